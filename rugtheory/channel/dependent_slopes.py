r"""Derivatives of losses in the weights of dependent features.

The integrand of a row is a product over the blocks of others times c₀ F₀ + c₁ F₁ of the own block,
F₀ with none of the others on and F₁ with some, see `rugtheory.channel.dependent`.  It is linear in
each of the transforms :math:`φ_j`, and all slopes in them come from one pass back through the
pattern of a block.

A weight of zero makes no term, so what is left with all others off has slopes in such weights: a
feature that is on alone moves the reading by its mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Complex
from .algebras import Pair
from .block import NEVER
from .dependent import Dependent
from .heard import Nodes


class DependentSlopes:
    """Slopes in weights, in units of the rows, collected over contours.

    Attributes
    ----------
    found : ndarray, shape (features, rows)
    """

    def __init__(self, blocks: Dependent) -> None:
        self.blocks, self.found = blocks, np.zeros(blocks.w.shape)

    def add(self, at: Nodes, rows: NDArray[np.int64], whole: Complex, none: Complex) -> None:
        """Those of Re Σ_k of integrands, in the blocks of others.

        `whole` has the values with whatever others on, shape (rows, nodes), and `none` has what of
        them is with none on, which is no part of the integrand.
        """
        for x in self.blocks.others(rows, at.nodes.size):
            both = (np.tile(y[x.rows], (len(x.own), 1)) for y in (whole, none))
            slopes = x.heard.others_slopes(at, *both).reshape(-1, *x.own.shape)
            slopes[:, x.own] = 0.0
            self.found[x.columns[..., None], rows[x.rows]] += slopes

    def add_own(
        self, at: Nodes, rows: NDArray[np.int64], by: Pair, c: Complex, by_c: Complex
    ) -> None:
        """Those of Re Σ_k (by₀ F₀ + by₁ F₁), in the own blocks; slopes in c are put into `by_c`."""
        for x in self.blocks.own_blocks(rows, at.nodes.size):
            some = by[0][x.rows], by[1][x.rows]
            slopes, by_c[x.rows] = x.heard.own_slopes(at, some, c[x.rows])
            self.found[x.columns, rows[x.rows]] += slopes

    def add_quiet(self, on: Array, off: Array) -> None:
        """Those of what is left with all others off.

        Of its losses if the own feature is on and off, times the chance that none is on in other
        blocks, `on` and `off` are the slopes in a mean.
        """
        chances, every = self.blocks.chances, np.arange(on.size)
        both = chances.alone * on + chances.off * off
        for x in self.blocks.others(every, 1):
            if x.heard.all_heard:
                continue
            none, silent = x.heard.silent()
            shares = (silent.real / np.maximum(none.real, NEVER)).reshape(-1, *x.own.shape)
            shares[:, x.own] = 0.0
            slopes = x.heard.means[:, None, None] * shares * both[x.rows]
            self.found[x.columns[..., None], x.rows] += slopes
        for x in self.blocks.own_blocks(every, 1):
            # c = i in the place of the own feature tells chances that it is on from those off.
            _, silent = x.heard.silent(1j)
            slopes = silent.real * off[x.rows] + silent.imag * on[x.rows]
            self.found[x.columns, x.rows] += x.heard.means[:, None] * slopes
