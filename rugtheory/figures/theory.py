"""Losses over p and ratio in theory: curves, maps, regimes, decoders, laws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._style import COLOURS, PROBABILITY, RATIO, RELATIVE_LOSS, axes, colour_bar, styles

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from numpy.typing import NDArray


def draw_curves(
    curves: xr.Dataset, ax: Axes | None = None, *, lines: xr.Dataset | None = None
) -> list[Any]:
    """Loss against ratio, a colour for each p: rug (solid), linear (dashed), simulated (points).

    Losses are divided by the floor v(p), so that curves of different p share one scale.  `lines`
    has the same curves at more ratios, for smooth lines.
    """
    ax = axes(ax)
    ratio = curves["ratio"].values
    artists: list[Any] = []
    known_p = curves["p"].values
    for i, p in enumerate(known_p):
        colour, row = _colour(i, len(known_p)), curves.isel(p=i)
        line = (curves if lines is None else lines).isel(p=i)
        floor = row["floor"].values
        positive = row["loss"].values > 0  # at ratio 1 nothing is lost, and nothing to draw
        drawn = line["loss"].values > 0
        artists += ax.plot(
            line["ratio"].values[drawn],
            (line["loss"] / line["floor"]).values[drawn],
            color=colour,
            label=f"p = {p:.3g}",
        )
        if "finite_loss" in curves:
            middle, spread = (row[f"finite_{x}"].values / floor for x in ("loss", "spread"))
            some = positive & np.isfinite(middle) & (middle > 0)
            low, high = (middle + sign * spread for sign in (-1, 1))
            artists += ax.plot(ratio[some], middle[some], ":", color=colour)
            artists.append(
                ax.fill_between(
                    ratio[some],
                    np.maximum(low, 0.3 * middle)[some],
                    high[some],
                    color=colour,
                    alpha=0.15,
                    linewidth=0,
                )
            )
        if "simulated_loss" in curves:
            known = positive & np.isfinite(row["simulated_loss"].values)
            artists.append(
                ax.errorbar(
                    ratio[known],
                    (row["simulated_loss"].values / floor)[known],
                    2 * (row["standard_error"].values / floor)[known],
                    fmt="o",
                    markersize=3,
                    color=colour,
                )
            )
    shown = (curves if lines is None else lines).isel(p=0)
    linear = (shown["linear_loss"] / shown["floor"]).values
    artists += ax.plot(
        shown["ratio"].values[linear > 0],
        linear[linear > 0],
        "--",
        color="0.4",
        label="linear model, any p",
    )
    ax.set(
        yscale="log",
        xlabel=RATIO,
        ylabel=RELATIVE_LOSS,
    )
    title = "Gaussian rug (lines)"
    if "simulated_loss" in curves or "finite_loss" in curves:
        title += rf", and of $n_\mathrm{{sparse}}$ = {curves.attrs['n_sparse']}: "
    parts = []
    if "simulated_loss" in curves:
        parts.append(f"simulated (points ± 2 SE, {curves.attrs['n_samples']} samples)")
    if "finite_loss" in curves:
        parts.append("least loss (dotted, ± spread)")
    title += ("\n" if len(parts) > 1 else "") + ", ".join(parts)
    ax.set_title(title, fontsize="medium")
    artists.append(ax.legend(fontsize="small", frameon=False))
    return artists


def _colour(k: int, count: int) -> Any:
    """Colours of curves: of the palette as long as there are enough, else of a scale."""
    from matplotlib import colormaps

    return COLOURS[k] if count <= len(COLOURS) else colormaps["viridis"](0.95 * k / (count - 1))


def draw_grid(curves: xr.Dataset, ax: Axes | None = None) -> list[Any]:
    """Heat map of the rug's loss over its floor v(p), in the plane of ratio and p."""
    from matplotlib.colors import LogNorm

    ax = axes(ax)
    relative = (curves["loss"] / curves["floor"]).values
    mesh = ax.pcolormesh(
        curves["ratio"].values,
        curves["p"].values,
        relative,
        cmap="viridis",
        norm=LogNorm(max(relative.min(), 1e-12), 1),
        shading="nearest",
    )
    artists: list[Any] = [mesh]
    levels = [x for x in (1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9) if relative.min() < x < relative.max()]
    if levels and min(relative.shape) > 1:
        lines = ax.contour(
            curves["ratio"].values,
            curves["p"].values,
            relative,
            levels,
            colors="white",
            linewidths=0.7,
        )
        artists += [lines, *ax.clabel(lines, fontsize="small", fmt="%g")]
    ax.set(xlabel=RATIO, ylabel=PROBABILITY)
    ax.set_title("Persian rug, theory", fontsize="medium")
    return artists + colour_bar(mesh, ax, RELATIVE_LOSS)


_REGIMES = {
    "linear": (COLOURS[5], r"linear: $L = v(p)\,(1-r)$"),
    "crossover": ("#BBBBBB", "grey: neither law\nis within 10 %"),
    "sparse": (COLOURS[4], r"sparse: $L = p\sigma^2(\Lambda + \Lambda_1\sigma)$"),
}


def draw_phases(phases: xr.Dataset, ax: Axes | None = None) -> list[Any]:
    """Where which law holds within 10 %, where a rug drops features, and where pairs are better.

    `phases` is from `rugtheory.figures.numbers.phase_diagram`.
    """
    from matplotlib.colors import ListedColormap

    ax = axes(ax)
    ratio, p, name = phases["ratio"].values, phases["p"].values, phases["regime"].values
    codes = np.select([name == known for known in _REGIMES], range(len(_REGIMES)))
    colours = [colour for colour, _ in _REGIMES.values()]
    mesh = ax.pcolormesh(
        ratio,
        p,
        codes,
        cmap=ListedColormap(colours),
        vmin=-0.5,
        vmax=len(colours) - 0.5,
        alpha=0.5,
        shading="nearest",
        linewidth=0,
        rasterized=True,
    )
    artists: list[Any] = [mesh]
    for code, (regime, (_, label)) in enumerate(_REGIMES.items()):
        if (codes == code).any():
            i, j = _heart(codes == code)
            if regime == "crossover":
                artists.append(_pointer(ax, label, (ratio[j], p[i]), shift=6))
            else:
                artists.append(ax.text(ratio[j], p[i], label, ha="center", va="center"))
    critical = phases["critical_ratio"].values
    artists += ax.plot(critical, p, color="black")
    k = int(0.3 * p.size)
    text = r"left of $r_c(p)$, dropping" "\nfeatures loses less"
    artists.append(_pointer(ax, text, (critical[k], p[k])))
    pairs = phases["pair_boundary"]
    artists += ax.plot(pairs["pair_ratio"].values, pairs.values, ":", color="black")
    at = float(pairs["pair_ratio"].values[0]), float(pairs.values[0])
    artists.append(_pointer(ax, "below it, antipodal\npairs lose less", at, shift=-18))
    ax.set(
        xscale="log",
        yscale="log",
        xlabel=RATIO,
        ylabel=PROBABILITY,
        xlim=(ratio.min(), ratio.max()),
        ylim=(p.min(), p.max()),
    )
    ax.set_title("Gaussian rug: law within 10 % of its loss", fontsize="medium")
    return artists


def _pointer(ax: Axes, text: str, at: tuple[float, float], shift: float = 18) -> Any:
    """`text` to the left of a point and `shift` points above it, with a line to it."""
    return ax.annotate(
        text,
        at,
        xytext=(-24, shift),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize="small",
        arrowprops={"arrowstyle": "-", "color": "black", "linewidth": 0.7},
    )


def _heart(region: NDArray[np.bool_]) -> tuple[int, int]:
    """The cell of `region` farthest from its border."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    i, j = np.unravel_index(np.argmax(depth), region.shape)
    return int(i), int(j)


def draw_pairs(gain: xr.Dataset, ax: Axes | None = None) -> list[Any]:
    """Loss of antipodal pairs over that of the Gaussian rug, and where they are equal.

    `gain` is from `rugtheory.figures.numbers.pair_gain`.
    """
    from matplotlib.colors import TwoSlopeNorm

    ax = axes(ax)
    ratio, p, over = gain["ratio"].values, gain["p"].values, gain["over_rug"].values
    ax.set(yscale="log", xlabel=RATIO, ylabel=PROBABILITY)  # first: labels of contours depend on it
    mesh = ax.pcolormesh(
        ratio, p, over, cmap="RdBu_r", norm=TwoSlopeNorm(1, 0, 2), shading="gouraud"
    )
    lines = ax.contour(ratio, p, over, [0.2, 0.4, 0.6, 0.8], colors="0.3", linewidths=0.7)
    artists: list[Any] = [mesh, lines, *ax.clabel(lines, fontsize="small")]
    boundary = gain["boundary"].values
    artists += ax.plot(ratio, boundary, color="black")
    k = ratio.size // 6
    for text, shift, va in (("pairs lose more", 4, "bottom"), ("pairs lose less", -4, "top")):
        artists.append(
            ax.annotate(
                text,
                (ratio[k], boundary[k]),
                xytext=(0, shift),
                textcoords="offset points",
                ha="center",
                va=va,
                fontsize="small",
            )
        )
    ax.set_title("Antipodal pairs against the Gaussian rug, no feature dropped", fontsize="medium")
    return artists + colour_bar(mesh, ax, "loss of pairs / loss of the rug")


_DECODERS = {
    "linear": "linear",
    "relu": "ReLU",
    "jumprelu": "JumpReLU, gated",
    "topk": "TopK, k/n = p",
    "selection": "support known, affine",
    "oracle": "support known, Bayes",
}


def draw_decoders(table: xr.Dataset, ax: Axes | None = None) -> list[Any]:
    """Losses of decoders over that of Bayes' decoder against p, at one ratio or at r = p^s.

    `table` has dimensions decoder and p: from `decoder_table`, reduced to one ratio for each p.
    """
    ax = axes(ax)
    artists: list[Any] = []
    for (kind, name), colour in zip(_DECODERS.items(), COLOURS[: len(_DECODERS)], strict=True):
        ratios = table["over_bayes"].sel(decoder=kind).values
        artists += ax.plot(table["p"].values, ratios, color=colour, label=name)
    artists.append(ax.axhline(1, color="0.7", linewidth=0.8, zorder=0))
    # A decoder that knows the support of constant amplitudes loses nothing.
    lowest = float(table["over_bayes"].where(table["over_bayes"] > 0).min())
    ax.set(
        xscale="log",
        yscale="log",
        xlabel=PROBABILITY,
        ylabel="loss / loss of Bayes' decoder",
        ylim=(min(0.3, 0.8 * lowest), 40),
    )
    artists.append(ax.legend(fontsize="small", frameon=False))
    return artists


def draw_scaling(curves: xr.Dataset, x: str, panels: Any) -> list[Any]:
    """Exact losses and laws against `x`, p or ratio, on one of two Axes; residuals on the other.

    `curves` is from `rugtheory.figures.numbers.scaling_curves`.
    """
    upper, lower = panels
    at, exact = curves[x].values, curves["exact"].values
    artists: list[Any] = upper.plot(at, exact, color=COLOURS[6], label="exact")
    names = [str(name) for name in curves["name"].values]
    for name, law, colour in zip(names, curves["law"].values, COLOURS[: len(names)], strict=True):
        artists += upper.plot(at, law, "--", color=colour, label=name)
        artists += lower.plot(at, np.abs(law / exact - 1), "--", color=colour)
    upper.set(
        xscale="log",
        yscale="log",
        ylabel="loss per feature",
        ylim=(exact.min() / 3, exact.max() * 3),
    )
    lower.set(
        xscale="log",
        yscale="log",
        xlabel=PROBABILITY if x == "p" else RATIO,
        ylabel="|law / exact - 1|",
        ylim=(1e-6, 10),
    )
    artists.append(lower.axhline(0.1, color="0.7", linewidth=0.8, zorder=0))
    artists.append(
        lower.annotate("10 %", (0.01, 0.1), xycoords=("axes fraction", "data"), fontsize="small")
    )
    artists.append(upper.legend(fontsize="small", frameon=False))
    return artists


def draw_dark_matter(dark: xr.Dataset, x: str, ax: Axes | None = None) -> list[Any]:
    """Nonlinear error of the rug as an autoencoder (solid) and linear error (dashed) against `x`.

    `dark` is from `rugtheory.figures.numbers.dark_matter`, reduced to dimensions p and `x`, ratio
    or fraction.
    """
    ax = axes(ax)
    artists: list[Any] = []
    look = styles(dark["p"].values.tolist())
    for p in dark["p"].values:
        colour, _ = look[float(p)]
        row, label = dark.sel(p=p), f"p = {p:g}"
        artists += ax.plot(row[x].values, row["nonlinear"].values, color=colour, label=label)
        artists += ax.plot(row[x].values, row["linear"].values, "--", color=colour)
    ax.set(
        xlabel=RATIO if x == "ratio" else "share f of features learned",
        ylabel="error / variance of the hidden layer",
    )
    ax.set_title("Rug's dark matter: nonlinear (solid), linear (dashed)", fontsize="medium")
    artists.append(ax.legend(fontsize="small", frameon=False))
    return artists
