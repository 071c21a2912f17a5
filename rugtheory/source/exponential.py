"""The exponential law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from .. import _check
from .._check import Array
from ..numerics.gauss import points
from .amplitude import Complex, set_parameters
from .density import Density


@dataclass(frozen=True)
class Exponential(Density):
    """Exponential with mean `scale` > 0."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        set_parameters(self, scale=_check.positive("scale", self.scale))

    def inner_density(self, u: Array) -> Array:
        return np.asarray(np.exp(-u / self.scale) / self.scale)

    def breakpoints(self) -> Array:
        return self.scale * np.linspace(0.0, 60.0, 9)

    def cumulants(self) -> tuple[float, float, float, float]:
        s = self.scale
        return s, s**2, 2 * s**3, 6 * s**4

    def transform(self, t: Complex, order: int) -> Complex:
        value = 1 / (1 - self.scale * t)
        return self.scale * value * value if order else value

    @property
    def end(self) -> float:
        return np.inf

    @property
    def abscissa(self) -> float:
        return 1 / self.scale

    def quadrature(self, n: int) -> tuple[Array, Array]:
        nodes, weights = special.roots_laguerre(points(n))
        return self.scale * nodes, weights / weights.sum()

    def sample(self, shape: int | tuple[int, ...], seed: int | np.random.Generator) -> Array:
        return _check.rng(seed).exponential(self.scale, _check.shape("shape", shape))
