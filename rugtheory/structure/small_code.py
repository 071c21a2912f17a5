"""Weights of a few features, each with the best diagonal and bias for what it hears.

Outputs do not share diagonals and biases, so with the rows of W up to their lengths given, what is
left is to find the least loss of each row by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._check import Array
from .._value import ByValue
from ..channel.least import least_loss, rough_least
from ..channel.row_loss import Least, RowLaw
from ..channel.row_scan import Rows, together
from ..model.model import Model
from ..source.sparse import SparseSource
from .quiet import quiet_factors

_RTOL = 1e-7
# Root of the number of nodes of a scan.
_ROOT = 12
# By this part at most a code loses less than a scan says.
ROUGH = 0.03


@dataclass(frozen=True, eq=False, repr=False)
class Directions(ByValue):
    """Factors of a W with a diagonal of 1.

    Attributes
    ----------
    w_in : ndarray, shape (n_dense, n)
    w_out : ndarray, shape (n, n_dense)
    """

    w_in: Array
    w_out: Array

    @property
    def n(self) -> int:
        """Number of features."""
        return len(self.w_out)

    @property
    def n_dense(self) -> int:
        """Number of hidden units."""
        return len(self.w_in)

    @property
    def ratio(self) -> float:
        return self.n_dense / self.n

    @cached_property
    def interferers(self) -> Array:
        """W_ij of the others, shape (n, n - 1)."""
        w = self.w_out @ self.w_in
        return w[~np.eye(self.n, dtype=bool)].reshape(self.n, self.n - 1)

    @property
    def coupling(self) -> float:
        """Largest |W_ij|, j ≠ i."""
        return float(np.abs(self.interferers).max(initial=0.0))

    @cached_property
    def quiet(self) -> Directions:
        """With factors of W that hear least of the noise in hidden units."""
        return Directions(*quiet_factors(self.w_in, self.w_out))

    @cached_property
    def heard(self) -> Array:
        """Deviation of what each output hears then, of noise of deviation 1."""
        return np.asarray(np.linalg.norm(self.quiet.w_out, axis=1))

    def with_noise(self, noise: float) -> tuple[Directions, Array]:
        """The factors to take with so much noise in the hidden units, and what outputs hear of it.

        Without noise they are as they are.
        """
        return (self.quiet, noise * self.heard) if noise else (self, np.zeros(self.n))


@dataclass(frozen=True, eq=False, repr=False)
class SmallCode(ByValue):
    """A code with the diagonals and biases of least loss for one law of all features."""

    directions: Directions
    source: SparseSource
    rows: tuple[Least, ...]
    noise: float = 0.0

    @classmethod
    def of(cls, directions: Directions, source: SparseSource, noise: float = 0.0) -> SmallCode:
        """By the least loss of each row; with noise in the hidden units, of other factors of W."""
        directions, heard = directions.with_noise(noise)
        rows = zip(directions.interferers, heard.tolist(), strict=True)
        laws = [RowLaw.identical(w, source, one) for w, one in rows]
        return cls(directions, source, tuple(least_loss(law, _RTOL) for law in laws), noise)

    @property
    def n(self) -> int:
        """Number of features."""
        return self.directions.n

    @property
    def n_dense(self) -> int:
        """Number of hidden units."""
        return self.directions.n_dense

    @property
    def ratio(self) -> float:
        return self.directions.ratio

    @property
    def coupling(self) -> float:
        """Largest |W_ij|/W_ii, j ≠ i."""
        return self.directions.coupling

    @property
    def loss(self) -> float:
        """Loss per feature."""
        return sum(row.loss for row in self.rows) / self.n

    def model(self) -> Model:
        """The weights."""
        a = np.array([row.a for row in self.rows])
        b = np.array([row.bias(float(self.source.mean)) for row in self.rows])
        w_in, w_out = self.directions.w_in, a[:, None] * self.directions.w_out
        return Model(w_in, w_out, b, hidden_noise=self.noise)


def rough_losses(some: list[Directions], source: SparseSource) -> Array:
    """Losses per feature of codes of one size by scans, good to a few per cent."""
    w = np.array([x.interferers for x in some])
    codes, n, others = w.shape
    w = w.reshape(codes * n, others)
    loss = np.zeros(codes * n)
    heard = (w != 0).any(axis=1)
    if together(source):
        rows = Rows(w[heard], np.ones_like(w[heard]), source, _ROOT)
        loss[heard] = rows.lowest(rows.thresholds()).loss
    else:
        loss[heard] = [rough_least(RowLaw.identical(x, source)).loss for x in w[heard]]
    # Rounding of what is 0 may be below.
    return np.asarray(np.maximum(loss.reshape(codes, n).mean(axis=1), 0.0))
