"""Figures.  A function draws on the Axes it is given and returns the artists; it saves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .channel import RowChannel
from .rug import Rug
from .symmetry import Symmetry
from .verdict import Verdict

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from ._check import Array

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
    ax = _axes(ax)
    artists: list[Any] = []
    for (kind, name), colour in zip(_DECODERS.items(), _COLOURS, strict=False):
        ratios = table["over_bayes"].sel(decoder=kind).values
        artists += ax.plot(table["p"].values, ratios, color=colour, label=name)
    artists.append(ax.axhline(1, color="0.7", linewidth=0.8, zorder=0))
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="probability p that a feature is on",
        ylabel="loss / loss of Bayes' decoder",
        ylim=(0.3, 40),
    )
    artists.append(ax.legend(fontsize="small", frameon=False))
    return artists


def draw_scaling(x: ArrayLike, exact: ArrayLike, laws: dict[str, Array], axes: Any) -> list[Any]:
    """Exact losses and laws on the first of two Axes, relative residuals on the second."""
    upper, lower = axes
    artists: list[Any] = upper.plot(x, exact, color=_COLOURS[6], label="exact")
    for (name, law), colour in zip(laws.items(), _COLOURS, strict=False):
        artists += upper.plot(x, law, "--", color=colour, label=name)
        residual = np.abs(np.asarray(law) / np.asarray(exact) - 1)
        artists += lower.plot(x, np.maximum(residual, 1e-16), "--", color=colour)
    upper.set(xscale="log", yscale="log", ylabel="loss per feature")
    lower.set(xscale="log", yscale="log", ylabel="|law / exact - 1|", ylim=(1e-10, 10))
    low, high = np.min(exact), np.max(exact)
    upper.set_ylim(low / 3, high * 3)
    artists.append(upper.legend(fontsize="small", frameon=False))
    return artists


def draw_corner(
    w_in: ArrayLike, w_out: ArrayLike, ax: Axes | None = None, *, size: int = 30
) -> list[Any]:
    """The first `size` rows and columns of W = W_out W_in (Fig. 3 of arXiv:2410.12101)."""
    ax = _axes(ax)
    w = np.asarray(w_out)[:size] @ np.asarray(w_in)[:, :size]
    limit = float(np.abs(w).max()) or 1.0
    image = ax.imshow(w, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set(xlabel="input feature j", ylabel="output feature i")
    ax.set_title(rf"$W_{{ij}}$, first {len(w)} features", fontsize="medium")
    artists: list[Any] = [image]
    figure = ax.get_figure()
    if figure is not None:
        artists.append(figure.colorbar(image, ax=ax))
    return artists


def draw_diagonal(found: Symmetry, ax: Axes | None = None) -> list[Any]:
    """Diagonal W_ii and bias b_i against the feature; dead features as crosses."""
    ax = _axes(ax)
    i = np.arange(found.n_sparse)
    artists: list[Any] = []
    for values, colour, label in (
        (found.diagonal, _COLOURS[0], "diagonal $W_{ii}$"),
        (found.bias, _COLOURS[1], "bias $b_i$"),
    ):
        alive = ~found.dead
        artists += ax.plot(i[alive], values[alive], ".", markersize=2.5, color=colour)
        artists += ax.plot(i[found.dead], values[found.dead], "x", markersize=4, color=colour)
        middle = float(np.mean(values[alive])) if alive.any() else 0.0
        artists.append(
            ax.annotate(
                f"{label}: {middle:.3f}",
                (0.02, middle),
                xycoords=("axes fraction", "data"),
                xytext=(0, 5),
                textcoords="offset points",
                color=colour,
                fontsize="small",
            )
        )
    artists.append(ax.axhline(0, color="0.8", linewidth=0.8, zorder=0))
    ax.set(xlabel="feature i")
    dead = int(found.dead.sum())
    ax.set_title(
        "Diagonal and bias" + (f", {dead} dead features (×)" if dead else ""), fontsize="medium"
    )
    return artists


def draw_row_law(channel: RowChannel, ax: Axes | None = None) -> list[Any]:
    """Density of the interference in one row (averaged over short steps) and its Gaussian."""
    ax = _axes(ax)
    t = channel.mean + channel.std * np.linspace(-5, 5, 121)
    tail, _ = channel.tail(t)
    step = t[1] - t[0]
    density = -np.diff(tail) / step * channel.std
    middle = ((t[1:] + t[:-1]) / 2 - channel.mean) / channel.std
    edges = (t - channel.mean) / channel.std
    artists: list[Any] = [ax.stairs(density, edges, baseline=None, color=_COLOURS[0])]
    normal = np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi)
    artists += ax.plot(middle, normal, "--", color=_COLOURS[1])
    artists.append(ax.legend(artists, ["exact law", "Gaussian"], frameon=False, fontsize="small"))
    ax.set(
        xlabel="interference, in standard deviations from its mean",
        ylabel="density",
        yscale="log",
        ylim=(1e-6, 3 * max(float(density.max()), 0.4)),
    )
    ax.set_title(f"Interference in one row, skewness {channel.skewness:.2f}", fontsize="medium")
    return artists


def draw_waterfall(verdict: Verdict, ax: Axes | None = None) -> list[Any]:
    """From the loss of a model down to that of the best structure known, term by term."""
    ax = _axes(ax)
    names = ["model", *verdict.terms, f"best known ({verdict.family})"]
    left = verdict.loss
    artists: list[Any] = []
    span = max(verdict.loss, verdict.best, verdict.rug)
    for y, name in enumerate(names):
        if y in (0, len(names) - 1):
            start, width, colour = 0.0, (verdict.loss if y == 0 else verdict.best), "0.55"
        else:
            width = -verdict.terms[name]
            start, colour = left, _COLOURS[2] if width < 0 else _COLOURS[1]
            left += width
            span = max(span, left)
        artists.append(ax.barh(y, width, left=start, color=colour))
        end = max(start, start + width)
        sign = "" if y in (0, len(names) - 1) else "+"
        artists.append(ax.text(end, y, f" {width + 0.0:{sign}.3g}", va="center", fontsize="small"))
    artists.append(ax.axvline(verdict.rug, color="0.6", linestyle=":", linewidth=1, zorder=0))
    artists.append(
        ax.text(verdict.rug, -0.6, "Gaussian rug", ha="center", color="0.4", fontsize="small")
    )
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.invert_yaxis()
    ax.set(xlabel="loss per feature", xlim=(0, 1.25 * span))
    ax.set_title("From the model to the best known structure", fontsize="medium")
    return artists


def _axes(ax: Axes | None) -> Axes:
    if ax is None:
        import matplotlib.pyplot as plt

        return plt.gca()
    return ax
