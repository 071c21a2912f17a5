"""A figure of the command line before it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..model.model import Model

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Given:
    """What the figures may draw on beside the theory.

    Attributes
    ----------
    p : float
        Of the weights.
    trained : xarray.Dataset or None
        Statistics of trained models, see `read_trained`.
    weights : Model or None
        A trained model, drawn beside rugs of its size.
    """

    p: float = 0.045
    trained: xr.Dataset | None = None
    weights: Model | None = None


@dataclass(frozen=True)
class Picture:
    """A figure before it is drawn: its numbers, how to draw them, and its size in inches."""

    numbers: xr.Dataset
    draw: Callable[[Figure], object]
    size: tuple[float, float]
