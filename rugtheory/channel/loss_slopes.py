"""Derivatives of the losses of many outputs, from the integrals on contours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Complex
from ..theory.loss import LossGradient
from .contours import Contour
from .dependent_slopes import DependentSlopes
from .family import Own
from .heard import Nodes
from .inversion import windows

if TYPE_CHECKING:
    from .many_rows import OutputBlock


class LossSlopes:
    """Derivatives of the losses of a block, collected over contours."""

    def __init__(self, block: OutputBlock) -> None:
        self.block = block
        self.by_a, self.by_b, self.by_noise = np.zeros((3, block.m))
        self.blocks = DependentSlopes(block.blocks) if block.blocks is not None else None

    def add_quiet(self, gradient: LossGradient, none: Array) -> None:
        """What is left with all others off, `none` that those of other blocks are.

        `gradient` is that of L(a, b, τ/|a|), of a feature on and off, each of shape (2, m).
        """
        o, chances = self.block.outputs, self.block.chances
        a = self.block.own_diagonal(slopes=True)
        a = np.where(a != 0, a, 1.0)
        sigma = o.noise / np.abs(a)
        by_a = gradient.a - gradient.sigma * sigma / a
        by_noise = gradient.sigma / np.abs(a) / (2 * np.where(o.noise > 0, o.noise, 1.0))
        shares = none * np.stack([chances.alone, chances.off])
        self.by_a += np.sum(shares * by_a, axis=0)
        self.by_b += np.sum(shares * gradient.b, axis=0)
        self.by_noise += np.sum(shares * np.where(o.noise > 0, by_noise, 0.0), axis=0)
        if self.blocks is not None:
            self.blocks.add_quiet(*(none * gradient.b / self.block.unit))

    def add(
        self,
        contour: Contour,
        nodes: Nodes,
        rows: NDArray[np.int64],
        values: tuple[Complex, Complex],
        own: Own,
        moments: Complex,
    ) -> None:
        """Those of the integrals of some rows.

        `values` are e^{sb} E e^{sZ} over the blocks of others, Z ≠ 0 and all Z, `own` is the factor
        of the own block and `moments` are E u^k e^{asu}, k = 0, 1, 2.
        """
        block, s = self.block, contour.nodes
        unit = block.unit[rows]
        kernel = windows(s.size)[0] * (4 / contour.period) / s**3
        by_none, by_rest = (kernel * x for x in values)
        terms = by_none * own.none + by_rest * own.rest
        self.by_b[rows] += unit * (terms @ s).real
        self.by_noise[rows] += 0.5 * (terms @ s**2).real
        chances = block.chances
        by_c = (chances.alone + chances.beside)[rows, None] * by_none
        whole = by_rest * own.none
        if self.blocks is not None:
            whole += by_rest * own.rest
            self.blocks.add(nodes, rows, whole, (by_rest - by_none) * own.none)
            c = moments[0] - moments[1] * s / unit[:, None]
            self.blocks.add_own(nodes, rows, (by_none, by_rest), c, by_c)
        # dc/da, a in units of the row.
        by_a = moments[1] - moments[2] * s / unit[:, None]
        self.by_a[rows] += unit * ((by_c * by_a) @ s).real
        block.heard.add(nodes, rows, whole)

    def finished(self) -> tuple[Array, Array, Array]:
        """Slopes in the weights, the bias, and the square of the noise."""
        by_w = self.block.slopes(self.by_a, self.by_b)
        if self.blocks is not None:
            # Losses are in units of the square of the row, weights in units of the row.
            by_w += self.block.unit[:, None] * self.blocks.found.T
        return by_w, self.by_b, self.by_noise
