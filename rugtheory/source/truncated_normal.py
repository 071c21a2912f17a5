"""The law of a Gaussian that is cut off at zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from .. import _check
from .._check import Array
from ..numerics.rectified import SQRT_2PI, normal_density
from .amplitude import Complex, set_parameters
from .density import Density

# Farther from the centre there is less than 1e-32 of the law; panels are as wide; in spreads.
_FAR, _PANEL = 12.0, 1.5


@dataclass(frozen=True)
class TruncatedNormal(Density):
    """N(centre, spread²) given that it is positive; centre ≥ 0, spread > 0.

    A feature that is N(centre, spread²) with probability p, and then passes a ReLU, is on with
    probability p Φ(centre/spread), and has this law.
    """

    centre: float = 1.0
    spread: float = 0.5

    def __post_init__(self) -> None:
        set_parameters(self, centre=_check.nonnegative("centre", self.centre))
        set_parameters(self, spread=_check.positive("spread", self.spread))

    @property
    def _above(self) -> tuple[float, float]:
        """Centre over spread, and the probability of what is positive."""
        z = self.centre / self.spread
        return z, float(special.ndtr(z))

    def inner_density(self, u: Array) -> Array:
        z = (u - self.centre) / self.spread
        return normal_density(z) / (self.spread * self._above[1])

    def breakpoints(self) -> Array:
        low, high = max(self.centre - _FAR * self.spread, 0.0), self.centre + _FAR * self.spread
        return np.linspace(low, high, 1 + int(np.ceil((high - low) / (_PANEL * self.spread))))

    def cumulants(self) -> tuple[float, float, float, float]:
        # Derivatives of log Φ(z) are those of the hazard h(-z) of a Gaussian.
        (z, above), s = self._above, self.spread
        h = np.exp(-0.5 * z * z) / SQRT_2PI / above
        first = h * (h + z)
        second = h * (2 * h * h + 3 * z * h + z * z - 1)
        third = 2 * first**2 + 2 * h * second - 2 * first + z * second
        return self.centre + s * h, s**2 * (1 - first), s**3 * second, -(s**4) * third

    def transform(self, t: Complex, order: int) -> Complex:
        # exp(ct + s²t²/2) Φ(z + st)/Φ(z), by the Faddeeva function on the side where it is small.
        (z, above), s = self._above, self.spread
        at = z + s * t
        tail = 0.5 * np.exp(-0.5 * z * z)
        right = at.real > 0
        beside = tail * special.wofz(1j * np.where(right, at, -at) / np.sqrt(2))
        whole = np.exp(np.where(right, t * (self.centre + 0.5 * s * s * t), 0.0))
        value = np.where(right, whole - beside, beside) / above
        if order:
            value = (self.centre + s * s * t) * value + s * 2 * tail / (SQRT_2PI * above)
        return np.asarray(value, np.complex128)

    @property
    def end(self) -> float:
        return np.inf

    @property
    def abscissa(self) -> float:
        return np.inf

    def sample(self, shape: int | tuple[int, ...], seed: int | np.random.Generator) -> Array:
        uniform = 1 - _check.rng(seed).random(_check.shape("shape", shape))  # in (0, 1]
        return np.asarray(self.centre - self.spread * special.ndtri(uniform * self._above[1]))
