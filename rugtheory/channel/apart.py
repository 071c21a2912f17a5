r"""Losses of many outputs, with the own feature on and off taken apart.

What an output loses where its feature is off has the scale of what it hears, and where it is on
that of the feature.  Where a row hears little but from the side that is rectified away, as in
pairs, these are far from each other, and contours for both are as high as the one takes and as long
as the other does.  Here each part has contours of its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Complex
from .family import Chances, Own
from .heard import Nodes
from .many_rows import OutputBlock, Together
from .outputs import Losses, Outputs, heard_power

# Of the own feature, what is heard on the side that passes, where it pays.
_FAR_APART = 0.7


class Apart(Together):
    """As `Together`, of independent features, for the outputs for which it pays; no others."""

    def __call__(self, outputs: Outputs, *, slopes: bool = False) -> Losses:
        m, n = outputs.w.shape
        found = Losses.none(m, n, slopes)
        some = np.flatnonzero(self._heard(outputs) < _FAR_APART * np.abs(outputs.a))
        if some.size:
            these = outputs.some(some)
            parts = [made(self, these).losses(slopes) for made in (_On, _Off)]
            found.improve(some, Losses.mixture([(1.0, part) for part in parts]))
        return found

    def _heard(self, outputs: Outputs) -> Array:
        """Root mean squares of what passes, if always on, in those of the own feature."""
        w = outputs.w.copy()
        w[np.arange(outputs.rows.size), outputs.rows] = 0.0
        power = np.sum([heard_power(w[:, x.columns], x.amplitude) for x in self.senders], axis=0)
        own = np.array([law.second_moment for law in outputs.laws])[outputs.law]
        return np.asarray(np.sqrt(power / own))


class _On(OutputBlock):
    """What is lost with the own feature on, times the probability of that."""

    def beside(self, nodes: Nodes, rows: NDArray[np.int64], c: Complex) -> Own:
        whole = super().beside(nodes, rows, c)
        return whole._replace(none=whole.none_by_c * c)

    @property
    def chances(self) -> Chances:
        return super().chances._replace(off=np.zeros(self.m))


class _Off(OutputBlock):
    """With it off; there is nothing of its own in it."""

    def _size(self, power: Array) -> Array:
        return power

    def own(
        self, nodes: Nodes, rows: NDArray[np.int64], *, slope: bool = False
    ) -> tuple[Complex, Array]:
        shape = rows.size, nodes.nodes.size
        return np.zeros((2 + slope, *shape), np.complex128), np.zeros((2, *shape))

    def beside(self, nodes: Nodes, rows: NDArray[np.int64], c: Complex) -> Own:
        off, zero = 1 - self.outputs.p[rows, None], np.zeros((rows.size, 1))
        return Own(off + 0 * c, np.zeros_like(c), np.zeros(c.shape), zero, zero)

    @property
    def chances(self) -> Chances:
        return Chances(np.zeros(self.m), np.zeros(self.m), super().chances.off)
