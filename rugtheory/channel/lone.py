"""What a reading hears when one term is on alone, whose law needs no inversion.

Densities of amplitudes jump, and of those jumps that of a term alone is the largest: the transform
of what is left when it is taken out falls by one order faster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._check import Array
from ..source.amplitude import Amplitude, Complex
from .interference import Interference
from .terms import Terms

# Terms are summed one by one, so they have to be few.
_MOST = 64
# Of thresholds, the width that a jump is resolved to.
_SHARP = 1e-300
_ROUNDING = 1e-15


@dataclass(frozen=True)
class Lone:
    """One term w u on, all others off.

    Attributes
    ----------
    terms : list of (Amplitude, ndarray, ndarray)
        Laws, with weights and the chances that they are on alone.
    """

    terms: list[tuple[Amplitude, Array, Array]]

    def transform(self, s: Complex) -> Complex:
        """E[e^{sZ}; one on], at a vector `s`."""
        found = np.zeros(s.shape, np.complex128)
        for law, weights, chances in self.terms:
            found += np.einsum("sj,j->s", law.transform(s[:, None] * weights, 0), chances)
        return found

    def tail(self, t: Array) -> tuple[Array, Array]:
        """P(Z > t; one on), at a vector `t`, and its error."""
        found, error = np.zeros(t.shape), np.zeros(t.shape)
        for law, weights, chances in self.terms:
            x = t / weights[:, None]
            # Amplitudes next to the threshold are above or below by rounding.
            high, low = (
                _above(law, y.ravel()).reshape(x.shape)
                for y in (x - _ROUNDING * np.abs(x), x + _ROUNDING * np.abs(x))
            )
            above = (high + low) / 2
            found += chances @ np.where(weights[:, None] > 0, above, 1 - above)
            error += chances @ ((high - low) / 2 + _ROUNDING)
        return found, error


def _above(law: Amplitude, x: Array) -> Array:
    """P(u > x)."""
    found = (x < law.start).astype(float)
    inside = (x >= law.start) & (x < law.end)
    kinks = x[inside]
    if kinks.size:
        u, share = law.resolving(kinks, np.full_like(kinks, _SHARP))
        found[inside] = np.sum(share * (u > kinks), axis=0)
    return found


def lone_of(law: Interference) -> Lone | None:
    """Of independent terms without noise, if they are few and densities jump."""
    terms = [x for x in law.parts if isinstance(x, Terms)]
    few = sum(x.weights.size for x in terms) <= _MOST
    alone = len(terms) == len(law.parts) and not law.noise and np.isfinite(law.log_none)
    if not (alone and few) or law.discrete:
        return None
    none = float(np.exp(law.log_none))
    odds = (np.broadcast_to(x.p / (1 - x.p), x.weights.shape) for x in terms)
    return Lone([(x.amplitude, x.weights, none * y) for x, y in zip(terms, odds, strict=True)])
