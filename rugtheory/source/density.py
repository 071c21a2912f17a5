"""Laws given by a density."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from ..numerics.gauss import around, composite, gauss_rule, points
from .amplitude import Amplitude


class Density(Amplitude):
    """A law given by a density on [0, end) that is smooth between its breakpoints."""

    def density(self, u: ArrayLike) -> Array:
        """Probability density at `u`."""
        u = _check.real("u", u)
        with np.errstate(divide="ignore"):
            return np.where(
                (u >= 0) & (u <= self.end), self.inner_density(np.clip(u, 0, self.end)), 0.0
            )

    def atoms(self) -> None:
        return None

    @property
    def density_at_zero(self) -> float:
        return float(self.density(0.0))

    @abstractmethod
    def inner_density(self, u: Array) -> Array:
        """`density` within [0, end]."""

    def quadrature(self, n: int) -> tuple[Array, Array]:
        nodes, weights = composite(self.breakpoints()[:, None], order=40)
        return gauss_rule(nodes[:, 0], weights[:, 0] * self.inner_density(nodes[:, 0]), points(n))

    def resolving(self, kink: Array, width: Array) -> tuple[Array, Array]:
        fixed = self.breakpoints()
        points = np.clip(around(kink, width), fixed[0], fixed[-1])
        ends = np.broadcast_to(fixed[:, None], (fixed.size, width.size))
        nodes, weights = composite(np.concatenate([points, ends]))
        return nodes, weights * self.inner_density(nodes)
