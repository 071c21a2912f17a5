"""The beta law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import _check
from .._check import Array
from ..numerics import beta as _beta
from ..numerics.gauss import PANEL_ORDER, around, legendre_rule, points
from .amplitude import Complex, set_parameters
from .density import Density


@dataclass(frozen=True)
class Beta(Density):
    """Beta on [0, 1] with density ∝ u^(alpha - 1) (1 - u)^(beta - 1), `alpha`, `beta` > 0."""

    alpha: float
    beta: float

    def __post_init__(self) -> None:
        set_parameters(self, alpha=_check.positive("alpha", self.alpha))
        set_parameters(self, beta=_check.positive("beta", self.beta))

    def inner_density(self, u: Array) -> Array:
        return _beta.density(u, self.alpha, self.beta)

    def breakpoints(self) -> Array:
        lower, upper = self._breaks()
        return np.append(lower[::-1], 1 - upper[1:])

    def cumulants(self) -> tuple[float, float, float, float]:
        a, b = self.alpha, self.beta
        n = a + b
        variance = a * b / (n * n * (n + 1))
        third = variance * 2 * (b - a) / (n * (n + 2))
        excess = 6 * ((a - b) ** 2 * (n + 1) - a * b * (n + 2)) / (a * b * (n + 2) * (n + 3))
        return a / n, variance, third, excess * variance**2

    def transform(self, t: Complex, order: int) -> Complex:
        if order:
            return self.mean * Beta(self.alpha + 1, self.beta).transform(t, 0)
        return _beta.transform(t, self.alpha, self.beta)

    @property
    def transform_error(self) -> float:
        return 2e-14 + 5e-17 * (self.alpha + self.beta)

    @property
    def end(self) -> float:
        return 1.0

    def quadrature(self, n: int) -> tuple[Array, Array]:
        return _beta.gauss(points(n), self.alpha, self.beta)

    def sample(self, shape: int | tuple[int, ...], seed: int | np.random.Generator) -> Array:
        return _check.rng(seed).beta(self.alpha, self.beta, _check.shape("shape", shape))

    def resolving(self, kink: Array, width: Array) -> tuple[Array, Array]:
        # Each half is integrated in the distance from its own end, where the density may be
        # singular and where 1 - u would lose its digits.
        lower, upper = (
            np.concatenate(
                [
                    np.clip(around(at, width), 0.0, 0.5),
                    np.broadcast_to(fixed[:, None], (fixed.size, width.size)),
                ]
            )
            for at, fixed in zip((kink, 1 - kink), self._breaks(), strict=True)
        )
        u, _, weights = _beta.both(lower, upper, self.alpha, self.beta, legendre_rule(PANEL_ORDER))
        return u, weights

    def _breaks(self) -> tuple[Array, Array]:
        return _beta.breaks(self.alpha, self.beta), _beta.breaks(self.beta, self.alpha)
