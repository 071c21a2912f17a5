"""Losses of rugs and of even pairs over the ratio at one p, sampled where they may be least."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._check import Array
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from ..theory.bounds import welch_sigma
from ..theory.optimum import Optimum, optimum
from ..theory.pairs import (
    AntipodalOptimum,
    antipodal_optimum,
    antipodal_sigma,
    loss_near,
    noisy_pairs,
    rough_loss,
)

# Even pairs are looked at where a rough loss, and what it leaves of v(p), is so near the others.
_NEAR = 0.15
_LEAST_SIGMA = 1e-13
# Of the noise in the hidden units: less interference does not tell a rug from features alone.
_SEEN = 1e-3
# The least loss of other structures, by the ratio.
Known = Callable[[Array], Array]
# Of the curves at each ratio, for many features.
COUPLINGS = {"rug": 0.0, "antipodal": 1.0}
FAMILIES: dict[str, Callable[..., Optimum | AntipodalOptimum]] = {
    "rug": optimum,
    "antipodal": antipodal_optimum,
}


def _noisy_rug(p: float, ratio: ArrayLike, noise: float, *, amplitude: Amplitude) -> Optimum:
    """A tight frame hears the noise of one hidden unit per unit diagonal."""
    sigma = np.hypot(welch_sigma(p, ratio, amplitude=amplitude), noise)
    return optimum(p, sigma=sigma, amplitude=amplitude)


_NOISY: dict[str, Callable[..., Optimum | AntipodalOptimum]] = {
    "rug": _noisy_rug,
    "antipodal": noisy_pairs,
}


def best_of(
    family: str, p: float, ratio: Array, amplitude: Amplitude, noise: float
) -> Optimum | AntipodalOptimum:
    """The best of a family at some ratios, with noise in the hidden units."""
    if not noise:
        return FAMILIES[family](p, ratio, amplitude=amplitude)
    if family not in _NOISY:
        raise ValueError(f"hidden_noise must be 0 for the family {family!r}, got {noise}")
    return _NOISY[family](p, ratio, noise, amplitude=amplitude)


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


def rug_curve(p: float, amplitude: Amplitude, known: Known, noise: float) -> Curve:
    """Samples of rugs at all ratios."""
    ratio = np.concatenate(
        [np.geomspace(0.02 * p, 0.5, 100)[:-1], 1 - np.geomspace(0.5, 2**-50, 120)]
    )
    ratio = np.unique(ratio)
    # Below such a σ there is no telling the optimum of discrete laws.
    least = max(_LEAST_SIGMA * amplitude.mean, _SEEN * noise)
    ratio = ratio[welch_sigma(p, ratio, amplitude=amplitude) > least]
    best = optima("rug", p, tuple(ratio.tolist()), amplitude, noise)
    return Curve(ratio, best.loss, beta_of(best), best.loss < known(ratio))


@lru_cache(maxsize=4096)
def optima(
    family: str, p: float, ratio: tuple[float, ...], amplitude: Amplitude, noise: float
) -> Optimum | AntipodalOptimum:
    """Those of `best_of`: hulls at one p that differ in other members share them."""
    return best_of(family, p, np.array(ratio), amplitude, noise)


def beta_of(best: Optimum | AntipodalOptimum) -> Array:
    """b/a."""
    return np.divide(best.b, best.a, out=np.zeros_like(best.a), where=best.a > 0)


def even_curve(p: float, amplitude: Amplitude, known: Known, noise: float) -> Curve | None:
    """Samples of even pairs where they are near the hull of the points, if anywhere."""
    ratio = even_ratios(p, amplitude, known, noise)
    if ratio is None:
        return None
    best = optima("antipodal", p, tuple(ratio.tolist()), amplitude, noise)
    # At ½ there are uneven pairs, which are no worse.
    below = (best.loss < known(ratio)) & (ratio < 0.5)
    return Curve(ratio, best.loss, beta_of(best), below)


def even_ratios(p: float, amplitude: Amplitude, known: Known, noise: float) -> Array | None:
    """Ratios around those at which even pairs may lose less than what is known."""
    ratio = np.append(np.geomspace(0.02 * p, 0.25, 12)[:-1], np.linspace(0.25, 0.5, 11))
    others = known(ratio[:-1])
    # No better than without the partner, in the Gaussian noise alone.
    sigma = np.hypot(antipodal_sigma(p, ratio[:-1], amplitude=amplitude), noise)
    near = optimum(p, sigma=sigma, amplitude=amplitude).loss < others
    if near.any():
        some = rough_loss(p, ratio[:-1][near], amplitude, noise)
        near[near] = near_losses(p, amplitude, some, others[near], _NEAR)
    if not near.any():
        return None
    first, last = np.flatnonzero(near)[[0, -1]]
    return ratio[max(first - 1, 0) : last + 2]


def near_losses(
    p: float, amplitude: Amplitude, loss: Array, known: Array, part: float
) -> NDArray[np.bool_]:
    """Where losses, and what they leave of v(p), are within a part of what is known."""
    variance = float(SparseSource(p, amplitude).variance)
    return (loss < (1 + part) * known) & (variance - loss > (1 - part) * (variance - known))
