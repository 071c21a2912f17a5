"""Figures.  A function draws on the Axes it is given and returns the artists; it saves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .rug import Rug

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

# Okabe and Ito's palette, apart from its yellow, distinct for all kinds of colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def draw_curves(curves: xr.Dataset, ax: Axes | None = None) -> list[Any]:
    """Loss against ratio, a colour for each p: rug (solid), linear (dashed), simulated (points).

    Losses are divided by the floor v(p), so that curves of different p share one scale.
    """
    ax = _axes(ax)
    ratio = curves["ratio"].values
    artists: list[Any] = []
    for i, p in enumerate(curves["p"].values):
        colour, row = _COLOURS[i % len(_COLOURS)], curves.isel(p=i)
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
        xlabel=r"compression ratio $r = n_\mathrm{dense}/n_\mathrm{sparse}$",
        ylabel=r"loss / variance $v(p)$ of a feature",
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

    ax = _axes(ax)
    relative = (curves["loss"] / curves["floor"]).values
    mesh = ax.pcolormesh(
        curves["ratio"].values,
        curves["p"].values,
        relative,
        cmap="viridis",
        norm=LogNorm(max(relative.min(), 1e-12), 1),
        shading="nearest",
    )
    ax.set(
        xlabel=r"compression ratio $r = n_\mathrm{dense}/n_\mathrm{sparse}$",
        ylabel="probability p that a feature is on",
    )
    ax.set_title("Persian rug, theory", fontsize="medium")
    artists: list[Any] = [mesh]
    figure = ax.get_figure()
    if figure is not None:
        artists.append(figure.colorbar(mesh, ax=ax, label=r"loss / variance $v(p)$ of a feature"))
    return artists


def draw_rug(rug: Rug, ax: Axes | None = None) -> list[Any]:
    """The matrix W of a rug, unit diagonal (Fig. 1 of arXiv:2410.12101)."""
    ax = _axes(ax)
    image = ax.imshow(rug.matrix(), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    ax.set(xlabel="input feature j", ylabel="output feature i")
    ax.set_title(
        rf"Persian rug $W_{{ij}}$, $n_\mathrm{{sparse}}$ = {rug.n_sparse}, "
        rf"$n_\mathrm{{dense}}$ = {rug.n_dense}",
        fontsize="medium",
    )
    artists: list[Any] = [image]
    figure = ax.get_figure()
    if figure is not None:
        artists.append(figure.colorbar(image, ax=ax, label=r"$W_{ij}$"))
    return artists


def _axes(ax: Axes | None) -> Axes:
    if ax is None:
        import matplotlib.pyplot as plt

        return plt.gca()
    return ax
