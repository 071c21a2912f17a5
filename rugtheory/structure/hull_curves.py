"""Losses of rugs and of even pairs over the ratio at one p, sampled where they may be least."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude
from ..theory.bounds import welch_sigma
from ..theory.optimum import Optimum, optimum
from ..theory.pairs import (
    AntipodalOptimum,
    antipodal_optimum,
    antipodal_sigma,
    loss_near,
    rough_loss,
)

# Even pairs are looked at where a rough loss, and what it leaves of v(p), is so near the others.
_NEAR = 0.15
_LEAST_SIGMA = 1e-13
# The least loss of other structures, by the ratio.
Known = Callable[[Array], Array]
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

    def near(self, family: str, p: float, ratio: Array, amplitude: Amplitude) -> Array:
        """The losses of a family between these samples; of pairs, next to their thresholds."""
        if family == "antipodal":
            beta = np.interp(ratio, self.ratio, self.beta)
            return loss_near(p, ratio, beta, amplitude)
        return optimum(p, ratio, amplitude=amplitude).loss


def rug_curve(p: float, amplitude: Amplitude, known: Known) -> Curve:
    """Samples of rugs at all ratios."""
    ratio = np.concatenate(
        [np.geomspace(0.02 * p, 0.5, 100)[:-1], 1 - np.geomspace(0.5, 2**-50, 120)]
    )
    ratio = np.unique(ratio)
    # Below such a σ there is no telling the optimum of discrete laws.
    ratio = ratio[welch_sigma(p, ratio, amplitude=amplitude) > _LEAST_SIGMA * amplitude.mean]
    best = optima("rug", p, tuple(ratio.tolist()), amplitude)
    return Curve(ratio, best.loss, beta_of(best), best.loss < known(ratio))


@lru_cache(maxsize=4096)
def optima(
    family: str, p: float, ratio: tuple[float, ...], amplitude: Amplitude
) -> Optimum | AntipodalOptimum:
    """Those of `FAMILIES`: hulls at one p that differ in other members share them."""
    return FAMILIES[family](p, np.array(ratio), amplitude=amplitude)


def beta_of(best: Optimum | AntipodalOptimum) -> Array:
    """b/a."""
    return np.divide(best.b, best.a, out=np.zeros_like(best.a), where=best.a > 0)


def even_curve(p: float, variance: float, amplitude: Amplitude, known: Known) -> Curve | None:
    """Samples of even pairs where they are near the hull of the points, if anywhere."""
    ratio = np.append(np.geomspace(0.02 * p, 0.25, 12)[:-1], np.linspace(0.25, 0.5, 11))
    others = known(ratio[:-1])
    # No better than without the partner, in the Gaussian noise alone.
    sigma = antipodal_sigma(p, ratio[:-1], amplitude=amplitude)
    near = optimum(p, sigma=sigma, amplitude=amplitude).loss < others
    if near.any():
        some, rest = rough_loss(p, ratio[:-1][near], amplitude), others[near]
        near[near] = (some < (1 + _NEAR) * rest) & (
            variance - some > (1 - _NEAR) * (variance - rest)
        )
    if not near.any():
        return None
    first, last = np.flatnonzero(near)[[0, -1]]
    ratio = ratio[max(first - 1, 0) : last + 2]
    best = optima("antipodal", p, tuple(ratio.tolist()), amplitude)
    # At ½ there are uneven pairs, which are no worse.
    below = (best.loss < known(ratio)) & (ratio < 0.5)
    return Curve(ratio, best.loss, beta_of(best), below)
