"""The law of the modulus of a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from .. import _check
from .._check import Array
from ..numerics.rectified import SQRT_2PI, normal_density
from .amplitude import Complex, set_parameters
from .density import Density


@dataclass(frozen=True)
class HalfNormal(Density):
    """|N(0, scale²)|, `scale` > 0."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        set_parameters(self, scale=_check.positive("scale", self.scale))

    def inner_density(self, u: Array) -> Array:
        return 2 * normal_density(u / self.scale) / self.scale

    def breakpoints(self) -> Array:
        return self.scale * np.linspace(0.0, 12.0, 9)

    def cumulants(self) -> tuple[float, float, float, float]:
        s, pi = self.scale, np.pi
        mean = 2 * s / SQRT_2PI
        return mean, s**2 * (1 - 2 / pi), mean * s**2 * (4 / pi - 1), 8 * s**4 * (pi - 3) / pi**2

    def transform(self, t: Complex, order: int) -> Complex:
        # 2 exp(s²t²/2) Φ(st) is the Faddeeva function w(-i s t / √2).
        z = self.scale * t
        value = np.asarray(special.wofz(-1j * z / np.sqrt(2)))
        return self.scale * (z * value + 2 / SQRT_2PI) if order else value

    @property
    def end(self) -> float:
        return np.inf

    @property
    def abscissa(self) -> float:
        return np.inf

    def sample(self, shape: int | tuple[int, ...], seed: int | np.random.Generator) -> Array:
        return np.abs(_check.rng(seed).normal(0.0, self.scale, _check.shape("shape", shape)))
