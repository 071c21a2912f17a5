r"""Q of many rows at the nodes of a contour, and its slopes in w, from a product over the terms.

It takes longer than tables of the logarithm where features are alike.  Those of features of several
p have more columns than there are terms in a row of some hundred features, and serve contours only
that no branch point is near; here the transforms are tabulated, which know nothing of p, and
branches do not show in e^Q.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Complex
from .heard import Heard, Nodes, Senders
from .terms import log1p
from .weight_bins import ORDER, Axis
from .weight_table import MomentTable

_EPS = float(np.finfo(float).eps)
# Terms times nodes of a part of the rows, of what is kept for slopes, and of what caches hold.
_PART, _KEPT, _CHUNK = 2**20, 2**22, 2**15
# Terms in a bin for which it is tabulated, at so many nodes at most.
_PAYS, _MOST_NODES = 4, 2**11
# Terms o E e^{swu} up to this on the real axis keep 1 + o E e^{swu} away from zero.
_QUIET = 0.5


class Listed(Heard):
    """Term by term."""

    def __init__(
        self, senders: list[Senders], w: Array, left_out: NDArray[np.bool_], axis: Axis
    ) -> None:
        super().__init__(senders, w, left_out, axis)
        self._found = [np.zeros((len(w), x.odds.size)) for x in senders]
        # Of the rows and nodes that were asked for last, if they are few.
        self._last: dict[tuple[int, int], Product] = {}

    def exponent(self, at: Nodes, rows: NDArray[np.int64]) -> tuple[Complex, Array]:
        q = np.zeros((rows.size, at.nodes.size), np.complex128)
        error = np.zeros(q.shape)
        self._last = {}
        keep = q.size * self.w.shape[1] <= _KEPT
        for kind, part in self._parts(at, rows):
            product = self._product(kind, at, rows[part])
            one, inexact = product.exponent()
            q[part] += one
            error[part] += inexact
            if keep:
                self._last[kind, part.start] = product
        return q, error

    def add(self, at: Nodes, rows: NDArray[np.int64], moved: Complex) -> None:
        for kind, part in self._parts(at, rows):
            product = self._last.pop((kind, part.start), None)
            if product is None:
                product = self._product(kind, at, rows[part])
            self._found[kind][rows[part]] += product.slopes(moved[part])

    def slopes(self) -> list[Array]:
        return self._found

    def _parts(self, at: Nodes, rows: NDArray[np.int64]) -> Iterator[tuple[int, slice]]:
        """Kinds of features, with a few rows at a time."""
        for kind, x in enumerate(self.senders):
            size = max(1, _PART // max(1, x.odds.size * at.nodes.size))
            for start in range(0, rows.size, size):
                yield kind, slice(start, min(start + size, rows.size))

    def _product(self, kind: int, at: Nodes, rows: NDArray[np.int64]) -> Product:
        x = self.senders[kind]
        odds = np.where(self.left_out[rows][:, x.columns], 0.0, x.odds)
        w, table = self.w[rows][:, x.columns], at.transforms(x.amplitude)
        if at.nodes.size <= _MOST_NODES:
            table.fill(w, _PAYS)
        return Product(table, w, odds)


class Product:
    """Π_j (1 + o_j E e^{s w_j u}) of some rows.

    Parameters
    ----------
    table : MomentTable
        Of the law of u.
    w, odds : ndarray, shape (rows, terms)
        Odds are 0 where there is no term.
    """

    def __init__(self, table: MomentTable, w: Array, odds: Array) -> None:
        self.table, self.w, self.odds = table, w, odds
        self.nodes, self.real = table.nodes, not table.nodes.imag.any()
        bins, x = table.axis.place(w.ravel())
        order = np.argsort(bins, kind="stable")
        self.powers = np.vander(x[order], ORDER, increasing=True)
        self.stretch = table.axis.stretch(bins, w.ravel())[order]
        # By bin, and where each term is there.
        self.values = np.empty((w.size, self.nodes.size), np.complex128)
        self.place = np.argsort(order).reshape(w.shape)
        some, starts = np.unique(bins[order], return_index=True)
        ends = np.append(starts[1:], w.size)
        known = {k: found for k in some.tolist() if (found := table.known(k)) is not None}
        self.filled = [
            (start, end, known[k][0].view(float))
            for k, start, end in zip(some.tolist(), starts, ends, strict=True)
            if k in known
        ]
        single = np.array([k not in known for k in some.tolist()], np.bool_)
        self.single = np.flatnonzero(np.repeat(single, ends - starts))
        self.single_w = w.ravel()[order][self.single]
        # Number of the bin of each term, 0 where it is exact, and errors.
        self.number = np.repeat(np.where(single, 0, np.cumsum(~single)), ends - starts)[self.place]
        self.errors = np.array([np.zeros(self.nodes.size), *(known[k][1] for k in known)])
        self._fill()

    def _fill(self) -> None:
        values = self.values.view(float)
        for start, end, coefficients in self.filled:
            np.matmul(self.powers[start:end], coefficients, out=values[start:end])
        self.values[self.single] = self.table.transformed(
            np.multiply.outer(self.single_w, self.nodes), 0
        )

    def _chunks(self) -> Iterator[slice]:
        size = max(1, _CHUNK // max(1, self.w.shape[1] * self.nodes.size))
        for start in range(0, len(self.w), size):
            yield slice(start, min(start + size, len(self.w)))

    def _terms(self, some: slice) -> Complex:
        """o E e^{swu}, shape (rows, terms, nodes)."""
        found = np.asarray(self.values[self.place[some]])
        found *= self.odds[some, :, None]
        return found

    def exponent(self) -> tuple[Complex, Array]:
        """The logarithm of the product and its error, shape (rows, nodes)."""
        product = np.empty((len(self.w), self.nodes.size), np.complex128)
        least, loud = np.full(product.shape, _QUIET), self._loud()
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for some in self._chunks():
                terms = self._terms(some)
                product[some] = _product(terms)
                for row in some.start + np.flatnonzero(loud[some].any(axis=1)):
                    near = np.abs(1 + terms[row - some.start, loud[row]])
                    least[row] = np.minimum(least[row], near.min(axis=0))
            size = np.abs(product)
            error = self._inexact() / least
            # Products of part of the terms are not larger than that of all on the real axis, next
            # to which is the first node.
            most = size if self.real else np.maximum(size, size[:, :1])
            levels = 2 + np.log2(max(2, self.w.shape[1]))
            error += 4 * _EPS * levels * most / np.abs(1 + product)
            return log1p(product), error

    def _inexact(self) -> Array:
        """Sums of the errors of the terms."""
        rows, bins = len(self.w), len(self.errors)
        at = self.number + bins * np.arange(rows)[:, None]
        shares = np.bincount(at.ravel(), self.odds.ravel(), rows * bins)
        return np.asarray(shares.reshape(rows, bins) @ self.errors)

    def _loud(self) -> NDArray[np.bool_]:
        """Which terms may come near -1."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            real = (self.w * self.nodes[0].real).astype(complex)
            growth = self.odds * self.table.transformed(real, 0).real
        return np.asarray(~(growth <= _QUIET), np.bool_)

    def slopes(self, moved: Complex) -> Array:
        """Re Σ_k moved_k d/dw of the logarithm, shape (rows, terms); ends the use of the values."""
        # Real parts of products are sums of products of parts with those of the conjugates.
        moved = moved.conj()
        for some in self._chunks():
            terms = self._terms(some)
            terms += 1
            np.conjugate(terms, out=terms)
            np.divide(moved[some, None], terms, out=terms)
            self.values[self.place[some]] = terms
        values = self.values.view(float)
        sums = np.zeros((self.w.size, ORDER - 1))
        for start, end, coefficients in self.filled:
            np.matmul(values[start:end], coefficients[1:].T, out=sums[start:end])
        found = np.einsum("ij,ij,j->i", sums, self.powers[:, :-1], np.arange(1, ORDER))
        by_w = self.table.transformed(np.multiply.outer(self.single_w, self.nodes), 1) * self.nodes
        single = np.einsum("ij,ij->i", by_w.view(float), values[self.single])
        found /= self.stretch
        found[self.single] = single
        return np.asarray(found[self.place] * self.odds)


def _product(terms: Complex) -> Complex:
    """Π (1 + y) - 1 over the terms y, shape (rows, terms, nodes), in which nothing cancels."""
    if not terms.shape[1]:
        return np.zeros((len(terms), terms.shape[2]), np.complex128)
    while (size := terms.shape[1]) > 1:
        first, second = terms[:, : size // 2], terms[:, size // 2 : size // 2 * 2]
        both = first * second
        both += first
        both += second
        terms = np.concatenate([both, terms[:, -1:]], axis=1) if size % 2 else both
    return terms[:, 0]
