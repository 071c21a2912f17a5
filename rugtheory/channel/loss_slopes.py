"""Derivatives of the losses of many outputs, from the integrals on contours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Complex
from ..theory.loss import LossGradient
from .contours import Contour
from .heard import Nodes
from .inversion import windows

if TYPE_CHECKING:
    from .many_rows import OutputBlock


class LossSlopes:
    """Derivatives of the losses of a block, collected over contours."""

    def __init__(self, block: OutputBlock) -> None:
        self.block = block
        self.by_a, self.by_b, self.by_noise = np.zeros((3, block.m))

    def add_quiet(self, gradient: LossGradient | None, none: Array) -> None:
        """What is left with all others off: L(a, b, τ/|a|)."""
        assert gradient is not None
        o = self.block.outputs
        a = np.where(o.a != 0, o.a, 1.0)
        sigma = o.noise / np.abs(a)
        self.by_a += none * np.where(o.a != 0, gradient.a - gradient.sigma * sigma / a, gradient.a)
        self.by_b += none * gradient.b
        noisy = o.noise > 0
        slope = gradient.sigma / np.abs(a) / (2 * np.where(noisy, o.noise, 1.0))
        self.by_noise += none * np.where(noisy, slope, 0.0)

    def add(
        self,
        contour: Contour,
        nodes: Nodes,
        rows: NDArray[np.int64],
        full: Complex,
        value: Complex,
        kernel: Complex,
        own: Complex,
    ) -> None:
        """Those of the integrals of some rows."""
        block, s = self.block, contour.nodes
        unit, p = block.unit[rows], block.outputs.p[rows, None]
        weights = windows(s.size)[0] * 2 / contour.period
        # d/da of (E e^{asu}/s - E u e^{asu}) at a s in units of the row.
        by_a = 2 * p * (own[1] - own[2] * s / unit[:, None]) / s**2
        self.by_a[rows] += unit * ((by_a * value).real @ weights)
        self.by_b[rows] += unit * ((kernel * value * s).real @ weights)
        self.by_noise[rows] += 0.5 * ((kernel * value * s * s).real @ weights)
        block.heard.add(nodes, rows, kernel * full * weights)

    def finished(self) -> tuple[Array, Array, Array]:
        """Slopes in the weights, the bias, and the square of the noise."""
        return self.block.slopes(self.by_a, self.by_b), self.by_b, self.by_noise
