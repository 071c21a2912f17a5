"""Features that are not alike: their capacities, phases and scaling laws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._style import COLOURS, PROBABILITY, axes, colour_bar
from ..source.features import Features
from ..theory.allocation import Allocation

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

_STATES = {"dropped": "#BBBBBB", "in superposition": COLOURS[0], "alone": COLOURS[1]}


def draw_allocation(found: Allocation, features: Features, ax: Axes | None = None) -> list[Any]:
    """Capacity of each feature against its probability: dropped, in superposition, or alone."""
    ax = axes(ax)
    p, c = features.on_probability, found.capacity
    masks = {"dropped": c == 0, "in superposition": (c > 0) & (c < 1), "alone": c == 1}
    artists: list[Any] = []
    for name, colour in _STATES.items():
        some = masks[name]
        if some.any():
            label = f"{name}: {int(some.sum())}"
            artists += ax.plot(p[some], c[some], ".", color=colour, label=label, markersize=4)
    ax.set(xscale="log", xlabel=PROBABILITY, ylabel="capacity", ylim=(-0.03, 1.05))
    ax.set_title(
        f"{p.size} features, {found.n_dense:g} hidden units, {found.family}: loss {found.loss:.3g}",
        fontsize="medium",
    )
    artists.append(ax.legend(fontsize="small", frameon=False))
    return artists


def draw_allocation_phases(phases: xr.Dataset, ax: Axes | None = None) -> list[Any]:
    """Capacity in the plane of p and importance over price, with the borders of the phases.

    `phases` is from `rugtheory.figures.allocation_numbers.allocation_phase_diagram`.
    """
    from matplotlib.colors import LogNorm

    ax = axes(ax)
    p, importance = phases["p"].values, phases["importance"].values
    capacity = np.ma.masked_equal(phases["capacity"].values.T, 0)
    least = max(float(capacity.min()), 1e-4) if capacity.count() else 0.1
    norm = LogNorm(least, 1)
    mesh = ax.pcolormesh(p, importance, capacity, cmap="viridis", norm=norm, shading="nearest")
    ax.set_facecolor(_STATES["dropped"])
    artists: list[Any] = [mesh]
    for name, style in (("kept_above", "-"), ("alone_above", "--")):
        artists += ax.plot(p, phases[name].values, style, color="white")
    k = p.size // 4
    kept, alone = float(phases["kept_above"].values[k]), float(phases["alone_above"].values[k])
    top = min(alone, importance.max())
    for name, y, colour in (
        ("dropped", np.sqrt(kept * importance.min()), "black"),
        ("in superposition", np.sqrt(kept * top), "white"),
    ):
        artists.append(ax.text(p[k], y, name, color=colour, ha="center", va="center"))
    last = phases["alone_above"].values[-(p.size // 6)]
    if last < importance.max():
        y = np.sqrt(last * importance.max())
        artists.append(ax.text(p[-(p.size // 6)], y, "alone", ha="center", va="center"))
    ax.set(
        xscale="log",
        yscale="log",
        xlabel=PROBABILITY,
        ylabel=r"importance over the price of a hidden unit, $I/λ$",
        xlim=(p.min(), p.max()),
        ylim=(importance.min(), importance.max()),
    )
    ax.set_title(f"A feature among very many, {phases.attrs['family']}", fontsize="medium")
    return artists + colour_bar(mesh, ax, "capacity")


def draw_allocation_scaling(curves: xr.Dataset, panels: Any) -> list[Any]:
    """Loss against the number of hidden units on one of two Axes, its exponent on the other.

    `curves` is from `rugtheory.figures.allocation_numbers.zipf_curves`; the law of sparse features
    is dashed, and so is the exponent 2α - 1 for α > 1, 1 below.
    """
    upper, lower = panels
    artists: list[Any] = []
    units = curves["n_dense"].values
    for k, alpha in enumerate(curves["alpha"].values):
        colour, row = COLOURS[k % len(COLOURS)], curves.isel(alpha=k)
        label = f"α = {alpha:g}"
        artists += upper.plot(units, row["loss"].values, color=colour, label=label)
        artists += upper.plot(units, row["law"].values, "--", color=colour, linewidth=0.8)
        artists += lower.plot(units, -row["exponent"].values, color=colour)
        artists.append(
            lower.axhline(max(2 * alpha - 1, 1), color=colour, linestyle="--", linewidth=0.8)
        )
    upper.set(xscale="log", yscale="log", ylabel="loss per feature")
    lower.set(xscale="log", xlabel=r"$n_\mathrm{dense}$", ylabel=r"$-d \log L / d \log n$")
    artists.append(upper.legend(fontsize="small", frameon=False))
    return artists
