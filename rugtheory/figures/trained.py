"""Trained models beside the theory: losses, maps of their statistics, paths of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._style import RELATIVE_LOSS, axes, colour_bar, styles
from ..theory.bounds import least_skewness

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

_FEW_COLUMNS = 4  # of a map, that have room for numbers in larger type
_MOST_LABELS = 60  # cells of a map that still have room for a number
_MOST_TICKS = 8


def draw_trained(
    points: xr.Dataset,
    theory: xr.Dataset,
    p: float,
    ax: Axes | None = None,
    *,
    sizes: ArrayLike | None = None,
) -> list[Any]:
    """Loss over v(p) against ratio at one p (Fig. 2 of arXiv:2410.12101), seeds averaged.

    Parameters
    ----------
    points : xarray.Dataset
        Trained models along the dimension point: p, n_sparse, ratio, loss and best_known, as
        collected from sweeps.
    theory : xarray.Dataset
        From `rugtheory.figures.numbers.theory_beside`.
    p : float
        Which p to draw, one of `theory`.
    ax : Axes
    sizes : array_like of int
        Every n_sparse of the figure, which fix the colour and the marker of each; by default those
        of `points`.

    Returns
    -------
    list
        The artists: lines for the linear model, the rug and pairs, points ± 2 standard errors over
        seeds for each n_sparse, dashes for the best known structure in its limit of large
        couplings, and the legend.
    """
    ax = axes(ax)
    row = theory.sel(p=p)
    floor = row["floor"].values
    artists: list[Any] = []
    for name, style, colour, label in (
        ("linear_loss", "--", "0.6", "linear"),
        ("loss", "-", "0.4", "Gaussian rug"),
        ("antipodal", "-.", "0.0", "antipodal pairs"),
    ):
        artists += ax.plot(
            row["ratio"].values, row[name].values / floor, style, color=colour, label=label
        )
    known = points["n_sparse"].values if sizes is None else np.asarray(sizes)
    look = styles(np.ravel(known).tolist())
    frame = points[["p", "n_sparse", "ratio", "loss", "best_known"]].to_dataframe()
    frame = frame[frame["p"] == p]
    best = frame.groupby("ratio")["best_known"].first() / floor[0]
    artists += ax.plot(
        best.index, best, "_", color="0.0", markersize=14, label="best known (limit)"
    )
    for n, part in frame.groupby("n_sparse"):
        if n not in look:
            raise ValueError(f"sizes must hold every n_sparse of points, got none for {n}")
        colour, marker = look[n]
        loss = part.groupby("ratio")["loss"].agg(["mean", "sem"]).fillna(0) / floor[0]
        artists.append(
            ax.errorbar(
                loss.index,
                loss["mean"],
                2 * loss["sem"],
                fmt=marker,
                markersize=6,
                markerfacecolor="none",
                color=colour,
                label=rf"trained, $n_\mathrm{{sparse}}$ = {n}",
            )
        )
    ax.set(yscale="log", xlabel="compression ratio r", ylabel=RELATIVE_LOSS)
    ax.set_title(f"p = {p:g}", fontsize="medium")
    artists.append(ax.legend(fontsize="x-small", frameon=False))
    return artists


def draw_map(
    p: ArrayLike,
    ratio: ArrayLike,
    values: ArrayLike,
    ax: Axes | None = None,
    *,
    label: str = "",
    limits: tuple[float, float] | None = None,
    signed: bool = False,
    log: bool = False,
) -> list[Any]:
    """Heat map of values at points of a grid of ratio and p (Figs. 4 to 7 of arXiv:2410.12101).

    Parameters
    ----------
    p, ratio, values : array_like, one-dimensional, of one length
        Values at the same p and ratio are averaged; where there are none the map is blank.
    ax : Axes
    label : str
        What the values are.
    limits : (float, float)
        Of the colours; by default those of the values.
    signed : bool
        Centre the colours on zero, with white there.
    log : bool
        Colours of the logarithm; values must be positive.
    """
    import pandas as pd
    from matplotlib.colors import LogNorm, Normalize

    ax = axes(ax)
    frame = pd.DataFrame({"p": p, "ratio": ratio, "value": values})
    grid = frame.pivot_table(index="p", columns="ratio", values="value", dropna=False)
    cells = grid.to_numpy()
    if signed:
        largest = max(map(abs, limits)) if limits else float(np.nanmax(np.abs(cells)))
        limits = (-largest, largest)
    low, high = limits or (None, None)
    image = ax.imshow(
        cells,
        origin="lower",
        aspect="auto",
        cmap="RdBu_r" if signed else "viridis",
        norm=(LogNorm if log else Normalize)(low, high),
    )
    for axis, at in ((ax.xaxis, grid.columns), (ax.yaxis, grid.index)):
        shown = range(0, len(at), -(-len(at) // _MOST_TICKS))
        axis.set_ticks(shown, [f"{at[k]:.3g}" for k in shown])
    artists: list[Any] = [image]
    if cells.size <= _MOST_LABELS:
        box = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1}
        size = "small" if cells.shape[1] <= _FEW_COLUMNS else "xx-small"
        for (i, j), value in np.ndenumerate(cells):
            if np.isfinite(value):
                text = ax.text(
                    j, i, f"{value:.2g}", ha="center", va="center", fontsize=size, bbox=box
                )
                artists.append(text)
    ax.set(xlabel="compression ratio r", ylabel="p")
    return artists + colour_bar(image, ax, label)


def draw_paths(paths: Sequence[xr.Dataset], panels: Any) -> list[Any]:
    """Loss over that of the rug, and row skewness, against steps; squares: the paper stops."""
    upper, lower = panels
    artists: list[Any] = []
    look = styles(int(path.n_sparse) for path in paths)
    for path in paths:
        colour, _ = look[int(path.n_sparse)]
        step, ratio = path["step"].values, path["loss"].values / path.rug
        error = 2 * path["standard_error"].values / path.rug
        label = rf"$n_\mathrm{{sparse}}$ = {path.n_sparse}"
        artists.append(upper.errorbar(step, ratio, error, color=colour, label=label, capsize=2))
        artists += lower.plot(step, path["row_skewness"].values, color=colour)
        if path.paper_stop > 0:
            at = float(np.interp(path.paper_stop, step, ratio))
            artists += upper.plot(path.paper_stop, at, "s", color=colour)
    first = paths[0]
    bound = float(least_skewness(first.p, first.n_dense / first.n_sparse))
    for ax, level, name in (
        (upper, 1.0, "Gaussian rug"),
        (upper, first.antipodal / first.rug, "antipodal rug"),
        (lower, bound, "antipodal rug"),
    ):
        artists.append(ax.axhline(level, color="0.6", linestyle="--", linewidth=0.8))
        artists.append(
            ax.annotate(name, (0.01, level), xycoords=("axes fraction", "data"), va="bottom")
        )
    upper.set(xscale="log", ylabel="exact loss / Gaussian rug", ylim=(0.6, 2))
    upper.set_title(f"p = {first.p:g}, r = {first.n_dense / first.n_sparse:g}, constant step size")
    artists.append(upper.legend(frameon=False))
    lower.set(xscale="log", xlabel="steps", ylabel="row skewness")
    return artists
