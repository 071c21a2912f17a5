"""Structures that there are at all ratios: rugs and even pairs, with noise in the hidden units."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._check import Array
from ..source.amplitude import Amplitude
from ..theory.bounds import welch_sigma
from ..theory.optimum import Optimum, optimum
from ..theory.pairs import AntipodalOptimum, antipodal_optimum, loss_near, noisy_pairs

# Of the curves at each ratio, for many features.
COUPLINGS = {"rug": 0.0, "antipodal": 1.0}
FAMILIES: dict[str, Callable[..., Optimum | AntipodalOptimum]] = {
    "rug": optimum,
    "antipodal": antipodal_optimum,
}


class Curve(NamedTuple):
    """Samples of a family that there is at all ratios, and where they may be on the hull."""

    ratio: Array
    loss: Array
    beta: Array  # b/a
    below: NDArray[np.bool_]

    def near(
        self, family: str, p: float, ratio: Array, amplitude: Amplitude, noise: float
    ) -> Array:
        """The losses of a family between these samples; of pairs, next to their thresholds."""
        if family == "antipodal":
            beta = np.interp(ratio, self.ratio, self.beta)
            return loss_near(p, ratio, beta, amplitude, noise)
        return best_of(family, p, ratio, amplitude, noise).loss


def _noisy_rug(p: float, ratio: ArrayLike, noise: float, *, amplitude: Amplitude) -> Optimum:
    """A tight frame hears the noise of one hidden unit per unit diagonal."""
    sigma = np.hypot(welch_sigma(p, ratio, amplitude=amplitude), noise)
    return optimum(p, sigma=sigma, amplitude=amplitude)


_NOISY: dict[str, Callable[..., Optimum | AntipodalOptimum]] = {
    "rug": _noisy_rug,
    "antipodal": noisy_pairs,
}


def best_of(
    family: str, p: float, ratio: Array | float, amplitude: Amplitude, noise: float
) -> Optimum | AntipodalOptimum:
    """The best of a curve at some ratios, with noise in the hidden units."""
    if not noise:
        return FAMILIES[family](p, ratio, amplitude=amplitude)
    if family not in _NOISY:
        raise ValueError(f"hidden_noise must be 0 for the family {family!r}, got {noise}")
    return _NOISY[family](p, ratio, noise, amplitude=amplitude)
