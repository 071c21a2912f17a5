"""What weights look like and do: rugs, symmetry, interference, verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._style import COLOURS, axes, colour_bar, styles, weight_colours
from ..analysis.statistics import Statistics
from ..analysis.verdict import Verdict
from ..structure.rug import Rug

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


def draw_rug(rug: Rug, ax: Axes | None = None) -> list[Any]:
    """The matrix W of a rug, unit diagonal (Fig. 1 of arXiv:2410.12101)."""
    ax = axes(ax)
    image = ax.imshow(rug.matrix(), cmap=weight_colours(), vmin=-1, vmax=1, interpolation="nearest")
    ax.set(xlabel="input feature j", ylabel="output feature i")
    ax.set_title(
        rf"Persian rug $W_{{ij}}$, $n_\mathrm{{sparse}}$ = {rug.n_sparse}, "
        rf"$n_\mathrm{{dense}}$ = {rug.n_dense}",
        fontsize="medium",
    )
    return [image, *colour_bar(image, ax, r"$W_{ij}$")]


def draw_corner(w: ArrayLike, b: ArrayLike, ax: Axes | None = None) -> list[Any]:
    """A square piece of W, and the bias in a column beside it (Fig. 3 of arXiv:2410.12101).

    Parameters
    ----------
    w : array_like, shape (n, n)
        Rows and columns of the first n features.
    b : array_like, shape (n,)
        Their biases.
    ax : Axes
    """
    from matplotlib.ticker import MaxNLocator

    ax = axes(ax)
    w, b = np.asarray(w), np.asarray(b)
    n = len(w)
    shown = np.column_stack([w, np.full((n, 1), np.nan), b])
    limit = float(np.abs([w.min(), w.max(), b.min(), b.max()]).max()) or 1.0
    image = ax.imshow(
        shown, cmap=weight_colours(), vmin=-limit, vmax=limit, interpolation="nearest"
    )
    step = max(1, round(n / 5))
    ax.set_xticks([*range(0, n, step), n + 1], [*map(str, range(0, n, step)), "$b_i$"])
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="input feature j", ylabel="output feature i")
    ax.set_title(rf"$W_{{ij}}$ and bias, first {n} features", fontsize="medium")
    return [image, *colour_bar(image, ax, r"$W_{ij}$, $b_i$")]


def draw_diagonal(found: Statistics, ax: Axes | None = None) -> list[Any]:
    """Diagonal W_ii and bias b_i against the feature; dead features as crosses."""
    from matplotlib.ticker import MaxNLocator

    ax = axes(ax)
    i = np.arange(found.n_sparse)
    artists: list[Any] = []
    size = float(np.clip(60 / np.sqrt(found.n_sparse), 2.5, 8))
    alive = ~found.dead
    for values, colour, label in (
        (found.diagonal, COLOURS[0], "diagonal $W_{ii}$"),
        (found.bias, COLOURS[1], "bias $b_i$"),
    ):
        middle = float(np.mean(values[alive])) if alive.any() else 0.0
        label = f"{label}, mean {middle:.3f}"
        look: dict[str, Any] = {"markersize": size, "color": colour}
        artists += ax.plot(i[alive], values[alive], ".", label=label, **look)
        artists += ax.plot(i[found.dead], values[found.dead], "x", **look)
    artists.append(ax.axhline(0, color="0.8", linewidth=0.8, zorder=0))
    # Above the points, whatever they are.
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.2 * (high - low))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    artists.append(ax.legend(loc="upper center", ncols=2, fontsize="small", frameon=False))
    ax.set(xlabel="feature i")
    dead = int(found.dead.sum())
    ax.set_title(
        "Diagonal and bias" + (f", {dead} dead features (×)" if dead else ""), fontsize="medium"
    )
    return artists


def draw_row_law(law: xr.Dataset, ax: Axes | None = None) -> list[Any]:
    """Density of the interference in one row and of its Gaussian, averaged over short steps.

    `law` is from `rugtheory.figures.numbers.row_law`.
    """
    ax = axes(ax)
    edges = np.append(law["low"].values, law["high"].values[-1])
    density, gaussian = law["density"].values, law["gaussian"].values
    artists: list[Any] = [ax.stairs(density, edges, baseline=None, color=COLOURS[0])]
    artists += ax.plot((edges[1:] + edges[:-1]) / 2, gaussian, "--", color=COLOURS[1])
    artists.append(ax.legend(artists, ["exact law", "Gaussian"], frameon=False, fontsize="small"))
    ax.set(
        xlabel="interference, in standard deviations from its mean",
        ylabel="density",
        yscale="log",
        ylim=(1e-6, 3 * max(float(density.max()), 0.4)),
    )
    ax.set_title(f"Interference in one row, skewness {law.skewness:.2f}", fontsize="medium")
    return artists


def draw_lyapunov(statistics: xr.Dataset, ax: Axes | None = None) -> list[Any]:
    """Lyapunov's statistic of rugs against their size, points, and its law, a line.

    `statistics` is from `rugtheory.figures.numbers.lyapunov_of_rugs`.
    """
    ax = axes(ax)
    size = statistics["n_sparse"].values
    artists: list[Any] = ax.plot(size, statistics["law"].values, color="0.5", zorder=0)
    artists.append(
        ax.annotate(
            r"$\sqrt{8/\pi}\,/\sqrt{n_\mathrm{sparse}}$",
            (size[size.size // 2], float(statistics["law"].values[size.size // 2])),
            xytext=(8, 8),
            textcoords="offset points",
            color="0.3",
        )
    )
    shifts = np.linspace(-1, 1, statistics.sizes["ratio"]) if statistics.sizes["ratio"] > 1 else [0]
    look = styles(statistics["ratio"].values.tolist())
    for ratio, shift in zip(statistics["ratio"].values, shifts, strict=True):
        colour, _ = look[float(ratio)]
        values = statistics["lyapunov"].sel(ratio=ratio)
        middle = values.median("rug").values
        reach = np.abs(np.stack([values.min("rug").values, values.max("rug").values]) - middle)
        artists.append(
            ax.errorbar(
                size * 1.08**shift,
                middle,
                reach,
                fmt="o",
                markersize=3,
                color=colour,
                label=f"r = {ratio:g}",
            )
        )
    ax.set(
        xscale="log",
        yscale="log",
        xlabel=r"number of features $n_\mathrm{sparse}$",
        ylabel=r"$\Sigma_j |W_{ij}|^3 / (\Sigma_j W_{ij}^2)^{3/2}$, $j \neq i$",
    )
    ax.set_title(
        f"Rugs: median and range of {statistics.sizes['rug']} with random rows", fontsize="medium"
    )
    artists.append(ax.legend(frameon=False, fontsize="small"))
    return artists


def draw_waterfall(verdict: Verdict, ax: Axes | None = None) -> list[Any]:
    """From the loss of a model down to that of the best structure known, term by term.

    Numbers are `verdict.terms`: positive where the model is above the next step, so that the bar
    goes down to it.
    """
    ax = axes(ax)
    names = [
        "model",
        *verdict.terms,
        verdict.family if verdict.rug is None else f"best known ({verdict.family})",
    ]
    left = verdict.loss
    artists: list[Any] = []
    span = max(verdict.loss, verdict.best, verdict.rug or 0.0)
    for y, name in enumerate(names):
        if y in (0, len(names) - 1):
            start, width, colour = 0.0, (verdict.loss if y == 0 else verdict.best), "0.55"
        else:
            width = -verdict.terms[name]
            start, colour = left, COLOURS[2] if width < 0 else COLOURS[1]
            left += width
            span = max(span, left)
        artists.append(ax.barh(y, width, left=start, color=colour))
        end = max(start, start + width)
        value = f"{verdict.terms[name] + 0.0:+.3g}" if name in verdict.terms else f"{width:.3g}"
        artists.append(ax.text(end, y, f" {value}", va="center", fontsize="small"))
    if verdict.rug is not None:
        artists.append(ax.axvline(verdict.rug, color="0.6", linestyle=":", linewidth=1, zorder=0))
        artists.append(
            ax.text(verdict.rug, -0.75, "Gaussian rug", ha="center", color="0.4", fontsize="small")
        )
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.set_ylim(len(names) - 0.4, -1.2)
    ax.set(xlabel="loss per feature", xlim=(0, 1.25 * span))
    # Names of terms leave less room than matplotlib reckons with.
    ax.locator_params(axis="x", nbins=4)
    ax.set_title("From the model to the best known structure", fontsize="medium")
    return artists


def draw_descent(
    losses: ArrayLike, references: Mapping[str, float] | None = None, ax: Axes | None = None
) -> list[Any]:
    """Loss after each step of a descent, and losses to compare it with as dashed lines.

    Parameters
    ----------
    losses : array_like, shape (steps,)
    references : mapping of str to float, optional
        Names and losses.
    ax : Axes
    """
    ax = axes(ax)
    losses = np.asarray(losses, float)
    artists: list[Any] = ax.plot(np.arange(losses.size), losses, color=COLOURS[0])
    for colour, (name, value) in zip(COLOURS[1:], (references or {}).items(), strict=False):
        artists.append(ax.axhline(value, color=colour, linestyle="--"))
        at = ax.get_yaxis_transform()
        artists.append(
            ax.text(0.99, value, name, color=colour, transform=at, ha="right", va="bottom")
        )
    ax.set(xlabel="step of descent", ylabel="loss per feature", yscale="log")
    return artists
