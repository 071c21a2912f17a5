"""What weights can reach: structures, bounds, minima and trained models in one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._style import axes

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

_LINES = {
    "rug": ("0.45", "-", "Gaussian rug"),
    "antipodal": ("#E69F00", "-.", "pairs"),
    "best_known": ("#0072B2", "-", "best known, couplings to {cap:g}"),
    "limit": ("#0072B2", ":", "its limit without a cap"),
    "bound": ("0.0", ":", "proved for all weights"),
}
_LOOKS = [("#D55E00", "o"), ("#009E73", "D"), ("#CC79A7", "s"), ("#56B4E9", "^"), ("0.2", "v")]


def draw_reachable(
    curves: xr.Dataset, p: float, ax: Axes | None = None, *, points: xr.Dataset | None = None
) -> list[Any]:
    """Loss over p² against ratio at one p: structures and bounds, lines; models, points.

    Parameters
    ----------
    curves : xarray.Dataset
        From `rugtheory.figures.numbers.reachable`.
    p : float
        Which p to draw, one of `curves`.
    ax : Axes
    points : xarray.Dataset, optional
        Along the dimension point: p, ratio, loss and kind, a name for the legend; if there is
        converged, points that have are filled and others hollow.

    Returns
    -------
    list
        The artists: the lines, points of each kind, filled and then hollow, and the legend.
    """
    ax = axes(ax)
    row = curves.sel(p=p)
    artists: list[Any] = []
    for name, (colour, style, label) in _LINES.items():
        text = label.format(cap=curves.attrs["max_coupling"])
        artists += ax.plot(row["ratio"], row[name], style, color=colour, lw=1.3, label=text)
    if points is not None:
        names = list(dict.fromkeys(points["kind"].values.tolist()))
        if len(names) > len(_LOOKS):
            raise ValueError(f"points must be of {len(_LOOKS)} kinds at most, got {len(names)}")
        here = points["p"].values == p
        done = points["converged"].values if "converged" in points else np.ones_like(here)
        for kind, (colour, marker) in zip(names, _LOOKS, strict=False):
            for filled in (True, False):
                mine = here & (points["kind"].values == kind) & (done == filled)
                some = points.isel(point=mine)
                if not (filled or mine.any()):
                    continue
                artists += ax.plot(
                    some["ratio"],
                    some["loss"] / p**2,
                    marker,
                    color=colour,
                    markersize=5,
                    markerfacecolor=colour if filled else "none",
                    label=kind if filled else f"{kind}, not converged",
                )
    ax.set(yscale="log", xlabel="compression ratio r", ylabel="loss / p²")
    ax.set_title(f"p = {p:g}", fontsize="medium")
    artists.append(ax.legend(fontsize="x-small", frameon=False))
    return artists
