"""What a model makes of each of its features, which need not be identical."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _check
from .._style import COLOURS, PROBABILITY, axes, colour_bar
from ..analysis.exact import ExactLoss
from ..analysis.spectrum import FrameSpectrum
from ..analysis.statistics import Statistics
from ..source.features import Features

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RELATIVE = r"loss / variance of the feature"


def draw_losses(loss: ExactLoss, features: Features, ax: Axes | None = None) -> list[Any]:
    """Loss over variance of each feature against how often it is on, with numerical errors.

    Features at 1, the grey line, are not stored: their mean loses as much.

    Parameters
    ----------
    loss : ExactLoss
        Of a model on `features`, of all outputs or some.
    features : Features
    ax : Axes
    """
    _check.instance("loss", loss, ExactLoss)
    _check.instance("features", features, Features)
    if loss.rows.max() >= len(features):
        raise ValueError(
            f"features must be those of the loss, at least {loss.rows.max() + 1}, "
            f"got {len(features)}"
        )
    ax = axes(ax)
    p, variance = features.on_probability[loss.rows], features.variance[loss.rows]
    some = variance > 0  # the bias alone reconstructs a constant
    relative, error = (x[some] / variance[some] for x in (loss.loss, loss.error))
    artists: list[Any] = [
        ax.axhline(1.0, color="0.7", linewidth=1, zorder=0),
        ax.errorbar(p[some], relative, error, fmt="o", markersize=3, color=COLOURS[0]),
    ]
    ax.set(xlabel=PROBABILITY, ylabel=_RELATIVE, xscale="log")
    if relative.size and relative.min() > 0:
        ax.set_yscale("log")
    ax.set_title(f"What is lost of each feature, mean loss {loss.mean:.3g}", fontsize="medium")
    return artists


def draw_capacity(found: Statistics, ax: Axes | None = None) -> list[Any]:
    """Capacity of each feature, the signal's part of its reading, against how often it is on.

    Dead features are crosses at 0.  The line is the even share n_dense / n_sparse.
    """
    _check.instance("found", found, Statistics)
    ax = axes(ax)
    alive, p = ~found.dead, found.on_probability
    even = min(found.n_dense / found.n_sparse, 1.0)
    artists: list[Any] = [
        ax.axhline(even, color="0.7", linewidth=1, zorder=0),
        *ax.plot(p[alive], found.capacity[alive], "o", markersize=3, color=COLOURS[0]),
        *ax.plot(p[found.dead], np.zeros(int(found.dead.sum())), "x", color=COLOURS[1]),
    ]
    ax.set(xlabel=PROBABILITY, ylabel="capacity", xscale="log", ylim=(-0.05, 1.05))
    total = float(found.capacity[alive].sum())
    ax.set_title(f"Capacity, {total:.3g} in all of {found.n_dense} hidden units", fontsize="medium")
    return artists


def draw_spectrum(spectrum: FrameSpectrum, ax: Axes | None = None) -> list[Any]:
    """What each feature sees of each eigenvalue of the frame operator; rows add to 1."""
    _check.instance("spectrum", spectrum, FrameSpectrum)
    ax = axes(ax)
    image = ax.imshow(
        spectrum.weights, cmap="viridis", vmin=0, vmax=1, aspect="auto", interpolation="nearest"
    )
    n = spectrum.eigenvalues.size
    shown = np.unique(np.linspace(0, n - 1, min(n, 6)).astype(int))
    ax.set_xticks(shown, [f"{spectrum.eigenvalues[k]:.3g}" for k in shown])
    ax.set(xlabel=r"eigenvalue $\lambda_k$ of the frame operator", ylabel="feature i")
    ax.set_title("Spectrum that each feature sees", fontsize="medium")
    return [image, *colour_bar(image, ax, r"$|v_k\cdot \hat w_i|^2$")]
