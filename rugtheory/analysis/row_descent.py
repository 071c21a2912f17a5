r"""Descent on the loss of pooled readings: coordinates of couplings, objective, and starts.

Couplings M_ij = W_ij/W_ii are either those of one symmetric matrix of unit diagonal with all
non-zero eigenvalues positive but one, or those of any W_out W_in.  The rows of a class share a, b
and the law of what they hear.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..channel.pooled import Pooled, Terms
from ..model.model import Model
from .descent import BELOW, HARDER, PENALTY, nowhere_with

# Of a start: what is along the direction of the negative eigenvalue.
_COMMON = 0.1
# A diagonal below this part of the largest is none.
_NO_DIAGONAL = 1e-9


class Readings(NamedTuple):
    """Weights that the rows of each class hear, per unit diagonal, and its decoder."""

    terms: list[Terms]
    a: Array
    b: Array


class Coordinates(Protocol):
    """How a vector stands for couplings and decoders of classes."""

    def readings(self, x: Array) -> Readings | None:
        """None where a diagonal is not positive."""

    def slope(self, x: Array, by_w: list[Array], by_a: Array, by_b: Array) -> Array:
        """The gradient in `x` from that in readings."""

    def model(self, x: Array) -> Model:
        """Weights that have these couplings."""


@dataclass(frozen=True)
class Symmetric:
    """One class; M = BᵀSB for S = diag(-1, 1, …, 1) and columns of B with b·Sb = 1.

    The vector holds columns of any length, then a and b.
    """

    n: int
    n_dense: int

    @cached_property
    def signs(self) -> Array:
        signs = np.ones((self.n_dense, 1))
        if self.n_dense > 1:
            signs[0] = -1.0
        return signs

    @cached_property
    def _upper(self) -> NDArray[np.int64]:
        i, j = np.triu_indices(self.n, 1)
        return np.asarray(i * self.n + j, np.int64)

    def columns(self, x: Array) -> tuple[Array, Array]:
        """B, and what its columns were divided by; 0 where b·Sb is not positive."""
        free = x[: self.n_dense * self.n].reshape(self.n_dense, self.n)
        squares = np.sum(self.signs * free * free, axis=0)
        if not squares.min() > _NO_DIAGONAL * squares.max():
            return free, np.zeros(self.n)
        length = np.sqrt(squares)
        return free / length, length

    def readings(self, x: Array) -> Readings | None:
        columns, length = self.columns(x)
        if not length.all():
            return None
        m = columns.T @ (self.signs * columns)
        terms = Terms(m.reshape(-1)[self._upper][None], self.n / 2)
        return Readings([terms], x[-2:-1], x[-1:])

    def slope(self, x: Array, by_w: list[Array], by_a: Array, by_b: Array) -> Array:
        columns, length = self.columns(x)
        by_m = np.zeros((self.n, self.n))
        by_m.reshape(-1)[self._upper] = by_w[0][0]
        by_columns = self.signs * (columns @ (by_m + by_m.T))
        along = np.sum(columns * by_columns, axis=0)
        free = (by_columns - self.signs * columns * along) / length
        return np.concatenate([free.ravel(), by_a, by_b])

    def model(self, x: Array) -> Model:
        columns, _ = self.columns(x)
        return Model(columns, x[-2] * (self.signs * columns).T, x[-1])

    def start(self, generator: np.random.Generator) -> Array:
        """Random, with a direction of the negative eigenvalue that is much like all ones."""
        free = generator.normal(size=(self.n_dense, self.n)) / np.sqrt(self.n_dense)
        if self.n_dense > 1:
            free[0] = _COMMON * np.abs(free[0])
            rest = np.linalg.norm(free[1:], axis=0)
            free[0] = np.where(free[0] < rest, free[0], _COMMON * rest)
        return np.append(free, [1.0, 0.0])


@dataclass(frozen=True, eq=False)
class Free:
    """M_ij = W_ij/W_ii of any W = W_out W_in, and decoders of classes.

    Attributes
    ----------
    n, n_dense : int
    labels : ndarray of int, shape (n,)
        Classes of rows, 0, 1, …
    """

    n: int
    n_dense: int
    labels: NDArray[np.int64]

    @cached_property
    def members(self) -> list[NDArray[np.int64]]:
        """Rows of each class."""
        return [np.flatnonzero(self.labels == c) for c in range(int(self.labels.max()) + 1)]

    def _factors(self, x: Array) -> tuple[Array, Array, Array]:
        """W_in, W_out with rows that make a diagonal of 1, and what they were divided by."""
        size, classes = self.n * self.n_dense, len(self.members)
        w_in = x[:size].reshape(self.n_dense, self.n)
        w_out = x[size : -2 * classes].reshape(self.n, self.n_dense)
        diagonal = np.einsum("ki,ik->i", w_in, w_out)
        if not diagonal.min() > _NO_DIAGONAL * np.abs(diagonal).max():
            return w_in, w_out, np.zeros(self.n)
        return w_in, w_out / diagonal[:, None], diagonal

    def vector(self, w_in: Array, w_out: Array, b: Array) -> Array:
        """The point of weights, with the mean diagonal and bias of each class."""
        diagonal = np.einsum("ki,ik->i", w_in, w_out)
        decoders = [[float(y[rows].mean()) for rows in self.members] for y in (diagonal, b)]
        return np.concatenate([w_in.ravel(), w_out.ravel(), *decoders])

    def readings(self, x: Array) -> Readings | None:
        w_in, w_out, diagonal = self._factors(x)
        if not diagonal.all():
            return None
        classes, terms = len(self.members), []
        for rows in self.members:
            w = w_out[rows] @ w_in
            w[np.arange(rows.size), rows] = 0.0
            terms.append(Terms(w, rows.size, rows))
        return Readings(terms, x[-2 * classes : -classes], x[-classes:])

    def slope(self, x: Array, by_w: list[Array], by_a: Array, by_b: Array) -> Array:
        w_in, w_out, diagonal = self._factors(x)
        by_in, by_out = np.zeros_like(w_in), np.empty_like(w_out)
        for rows, slopes in zip(self.members, by_w, strict=True):
            slopes[np.arange(rows.size), rows] = 0.0
            of_rows = slopes @ w_in.T
            # The diagonal stays 1: what is along it does not count.
            along = np.einsum("ik,ik->i", of_rows, w_out[rows])
            slopes[np.arange(rows.size), rows] = -along
            by_in += w_out[rows].T @ slopes
            by_out[rows] = (of_rows - along[:, None] * w_in[:, rows].T) / diagonal[rows, None]
        return np.concatenate([by_in.ravel(), by_out.ravel(), by_a, by_b])

    def model(self, x: Array) -> Model:
        w_in, w_out, _ = self._factors(x)
        classes = len(self.members)
        a, b = x[-2 * classes : -classes][self.labels], x[-classes:][self.labels]
        return Model(w_in, a[:, None] * w_out, b)


class LawLoss(NamedTuple):
    """Mean loss of the pooled readings, its error, and the loss of each class."""

    loss: float
    error: float
    losses: Array


@dataclass(frozen=True)
class RowObjective:
    """Log of the mean loss, with a penalty on couplings above a cap.

    Attributes
    ----------
    at : Coordinates
    pooled : tuple of Pooled
        One a class.
    shares : ndarray
        Of each class in the loss.
    cap : float
    penalty : float
        Of what is above the cap, squared.
    """

    at: Coordinates
    pooled: tuple[Pooled, ...]
    shares: Array
    cap: float = np.inf
    penalty: float = PENALTY

    def harder(self) -> RowObjective:
        """With a larger penalty."""
        return replace(self, penalty=HARDER * self.penalty)

    def sharper(self, least: float) -> None:
        """Errors stay as they are: another round has its own."""

    def __call__(self, x: Array) -> tuple[float, Array, LawLoss]:
        """Value, gradient, and the loss itself."""
        readings = self.at.readings(x)
        nowhere = nowhere_with(self.penalty)
        if readings is None or not readings.a.min() > 0:
            return nowhere, np.zeros_like(x), LawLoss(np.nan, np.inf, np.zeros(0))
        found = [
            one(terms, float(a), float(b), slopes=True)
            for one, terms, a, b in zip(self.pooled, *readings, strict=True)
        ]
        losses = np.array([y.value for y in found])
        loss = float(self.shares @ losses)
        told = LawLoss(loss, float(self.shares @ [y.error for y in found]), losses)
        if not np.isfinite(loss):
            return nowhere, np.zeros_like(x), told
        by_w = [y.by_w * (share / loss) for share, y in zip(self.shares, found, strict=True)]
        by_a = self.shares * [y.by_a for y in found] / loss
        by_b = self.shares * [y.by_b for y in found] / loss
        value = float(np.log(loss))
        for terms, slopes in zip(readings.terms, by_w, strict=True):
            if max(terms.w.max(), -terms.w.min()) > BELOW * self.cap:
                over = np.maximum(np.abs(terms.w) - BELOW * self.cap, 0.0)
                rows = sum(x.rows for x in readings.terms)
                value += self.penalty * float(np.sum(over**2)) / rows
                slopes += 2 * self.penalty / rows * over * np.sign(terms.w)
        return value, self.at.slope(x, by_w, by_a, by_b), told
