"""Losses over p and ratio in theory: curves, maps, regimes, decoders, laws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._style import COLOURS, PROBABILITY, RATIO, RELATIVE_LOSS, axes, colour_bar

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from numpy.typing import NDArray


def draw_curves(curves: xr.Dataset, ax: Axes | None = None) -> list[Any]:
    """Loss against ratio, a colour for each p: rug (solid), linear (dashed), simulated (points).

    Losses are divided by the floor v(p), so that curves of different p share one scale.
    """
    ax = axes(ax)
    ratio = curves["ratio"].values
    artists: list[Any] = []
    for i, p in enumerate(curves["p"].values):
        colour, row = COLOURS[i % len(COLOURS)], curves.isel(p=i)
        floor = row["floor"].values
        positive = row["loss"].values > 0  # at ratio 1 nothing is lost, and nothing to draw
        artists += ax.plot(
            ratio[positive],
            (row["loss"].values / floor)[positive],
            color=colour,
            label=f"p = {p:.3g}",
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
    linear = curves["linear_loss"].isel(p=0).values / curves["floor"].isel(p=0).values
    artists += ax.plot(
        ratio[linear > 0], linear[linear > 0], "--", color="0.4", label="linear model, any p"
    )
    ax.set(
        yscale="log",
        xlabel=RATIO,
        ylabel=RELATIVE_LOSS,
    )
    title = "Persian rug: theory (lines)"
    if "simulated_loss" in curves:
        n, m = curves.attrs["n_sparse"], curves.attrs["n_samples"]
        title += rf", simulated rugs (points ± 2 SE, $n_\mathrm{{sparse}}$ = {n}, {m} samples)"
    ax.set_title(title, fontsize="medium")
    artists.append(ax.legend(fontsize="small", frameon=False))
    return artists


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
    ax.set(xlabel=RATIO, ylabel=PROBABILITY)
    ax.set_title("Persian rug, theory", fontsize="medium")
    return [mesh, *colour_bar(mesh, ax, RELATIVE_LOSS)]


_REGIMES = {
    "linear": (COLOURS[5], r"linear: $L = v(p)\,(1-r)$"),
    "crossover": ("#BBBBBB", "crossover"),
    "sparse": (COLOURS[4], r"sparse: $L = p\sigma^2(\Lambda + \Lambda_1\sigma)$"),
}


def draw_phases(phases: xr.Dataset, ax: Axes | None = None) -> list[Any]:
    """Where which law holds within 10 %, and the ratio below which a rug drops features.

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
    for code, (_, label) in enumerate(_REGIMES.values()):
        if (codes == code).any():
            i, j = _heart(codes == code)
            artists.append(ax.text(ratio[j], p[i], label, ha="center", va="center"))
    artists += ax.plot(phases["critical_ratio"].values, p, color="black")
    k = int(0.3 * p.size)
    artists.append(
        ax.annotate(
            r"$r_c(p)$: left of it, dropping" "\nfeatures loses less",
            (float(phases["critical_ratio"].values[k]), p[k]),
            xytext=(-12, 24),
            textcoords="offset points",
            ha="right",
            fontsize="small",
            arrowprops={"arrowstyle": "-", "color": "black", "linewidth": 0.7},
        )
    )
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
    mesh = ax.pcolormesh(
        ratio, p, over, cmap="RdBu_r", norm=TwoSlopeNorm(1, 0, 2), shading="gouraud"
    )
    lines = ax.contour(ratio, p, over, [0.2, 0.4, 0.6, 0.8, 0.95], colors="0.3", linewidths=0.7)
    artists: list[Any] = [mesh, lines, *ax.clabel(lines, fontsize="small")]
    artists += ax.plot(ratio, gain["boundary"].values, color="black")
    for text, shift, va in (("pairs lose more", 4, "bottom"), ("pairs lose less", -4, "top")):
        artists.append(
            ax.annotate(
                text,
                (ratio[ratio.size // 2], float(gain["boundary"].values[ratio.size // 2])),
                xytext=(0, shift),
                textcoords="offset points",
                ha="center",
                va=va,
                fontsize="small",
            )
        )
    ax.set(yscale="log", xlabel=RATIO, ylabel=PROBABILITY)
    ax.set_title("Antipodal pairs against the Gaussian rug", fontsize="medium")
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
    for (kind, name), colour in zip(_DECODERS.items(), COLOURS, strict=False):
        ratios = table["over_bayes"].sel(decoder=kind).values
        artists += ax.plot(table["p"].values, ratios, color=colour, label=name)
    artists.append(ax.axhline(1, color="0.7", linewidth=0.8, zorder=0))
    ax.set(
        xscale="log",
        yscale="log",
        xlabel=PROBABILITY,
        ylabel="loss / loss of Bayes' decoder",
        ylim=(0.3, 40),
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
    for name, law, colour in zip(
        curves["name"].values, curves["law"].values, COLOURS, strict=False
    ):
        artists += upper.plot(at, law, "--", color=colour, label=str(name))
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
    artists.append(upper.legend(fontsize="small", frameon=False))
    return artists
