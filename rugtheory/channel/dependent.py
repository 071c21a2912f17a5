r"""Blocks of dependent features as many rows hear them, at the nodes of a contour.

With φ_j = E e^{s w_j u} for each of its members, the transform of a block is a polynomial F of its
pattern in them, and :math:`\log E e^{sZ}` is a sum of :math:`\log F` over blocks.  The kernel of
the loss of a reading, 2 s⁻³ where its own feature i is off, is that times

.. math:: c = E(1 - su)\, e^{asu}

where it is on, so the block of i adds a factor F too, with c in the place of φ_i: given i and given
that it is off the others need not be known.  Values of F are split into what there is with none of
the others on, and the rest, a sum in which nothing cancels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude, Complex
from ..source.pattern import Pattern
from .algebras import Pair, Slopes, Transform
from .block import NEVER
from .heard import Nodes
from .terms import log1p

_EPS = float(np.finfo(float).eps)
# Transforms that are worked on at a time, 8 MB.
_CHUNK = 2**19


@dataclass(frozen=True, eq=False)
class Members:
    """Dependent features.

    Attributes
    ----------
    pattern : Pattern
        Which are on together.
    columns : ndarray of int
        Which they are.
    by_law : sequence of (Amplitude, ndarray of int)
        Their places among these, of each amplitude law.
    """

    pattern: Pattern
    columns: NDArray[np.intp]
    by_law: Sequence[tuple[Amplitude, NDArray[np.intp]]]

    @classmethod
    def of(cls, pattern: Pattern, amplitudes: Sequence[Amplitude]) -> Members:
        """`amplitudes` are those of all features."""
        columns = np.array(list(pattern.features()), np.intp)
        found: dict[Amplitude, list[int]] = {}
        for k, j in enumerate(columns):
            found.setdefault(amplitudes[j], []).append(k)
        return cls(pattern, columns, [(law, np.array(some)) for law, some in found.items()])


class Own(NamedTuple):
    """The factor F of the block of the own feature of some rows.

    Attributes
    ----------
    none, rest : ndarray of complex, shape (rows, nodes)
        With none of the others on, and with some.
    error : ndarray, shape (rows, nodes)
        Of `rest`.
    none_by_c, rest_by_c : ndarray, shape (rows, 1)
        Bounds on their derivatives in c.
    """

    none: Complex
    rest: Complex
    error: Array
    none_by_c: Array
    rest_by_c: Array

    @classmethod
    def alone(cls, p: Array, c: Complex) -> Own:
        """Of features of their own; p of shape (rows, 1)."""
        return cls(1 - p + p * c, np.zeros_like(c), np.zeros(c.shape), p, np.zeros_like(p))


class Chances(NamedTuple):
    """Of the block of the own feature of some rows.

    Attributes
    ----------
    alone, beside, off : ndarray, shape (rows,)
        That it is on and no other, that it is on with another, and that none is on.
    """

    alone: Array
    beside: Array
    off: Array


class Dependent:
    """Blocks as the rows of a block of outputs hear them.

    Parameters
    ----------
    blocks : sequence of Members
    w : ndarray, shape (rows, features)
        In units of the rows, 0 for the own feature.
    left_out : ndarray of bool, same shape
        Terms that are none.
    own : ndarray of int, shape (rows,)
        The feature that each row reads.
    p : ndarray, shape (rows,)
        Probability that this is on.
    listed : bool
        Whether without tables.

    Attributes
    ----------
    log_none : ndarray, shape (rows,)
        Log of the probability that none is on in the blocks of others, without those where one
        always is.
    atom : ndarray of bool, shape (rows,)
        Whether there are no such blocks.
    chances : Chances
    """

    def __init__(
        self,
        blocks: Sequence[Members],
        w: Array,
        left_out: NDArray[np.bool_],
        own: NDArray[np.int64],
        p: Array,
        *,
        listed: bool = False,
    ) -> None:
        self.blocks, self.listed = blocks, listed
        # By feature: blocks take all rows of a few.
        self.w, self.left_out = np.ascontiguousarray(w.T), np.ascontiguousarray(left_out.T)
        rows = len(w)
        block_of, place = np.full((2, w.shape[1]), -1)
        for k, block in enumerate(blocks):
            block_of[block.columns], place[block.columns] = k, np.arange(block.columns.size)
        self.own_block, self.own_place = block_of[own], place[own]
        self.log_none, self.atom = np.zeros(rows), np.ones(rows, np.bool_)
        self.chances = alone, beside, off = Chances(p.copy(), np.zeros(rows), 1 - p)
        for k, block in enumerate(blocks):
            others, mine = (np.flatnonzero(x) for x in (self.own_block != k, self.own_block == k))
            none, some = self._heard(block, others).chances
            none, some = (np.broadcast_to(x, (others.size, 1))[:, 0] for x in (none, some))
            there = none > NEVER
            self.atom[others[~there]] = False
            with np.errstate(divide="ignore"):
                log = np.where(some < 0.5, np.log1p(-np.minimum(some, 0.5)), np.log(none))
            self.log_none[others[there]] += log[there]
            if mine.size:
                one = self._heard(block, mine, own=True).own_chances
                off[mine] = np.broadcast_to(one.pair[0], (mine.size, 1))[:, 0]
                alone[mine], beside[mine] = one.none_by_c[:, 0], one.rest_by_c[:, 0]

    @cached_property
    def ends(self) -> list[tuple[Amplitude, tuple[Array, Array]]]:
        """The least and the largest weights of each row, by amplitude law."""
        parts = [(law, self.w[columns]) for law, columns in self.by_law]
        return [(law, (part.min(axis=0), part.max(axis=0))) for law, part in parts]

    @cached_property
    def by_law(self) -> list[tuple[Amplitude, NDArray[np.intp]]]:
        """The features in all blocks of each amplitude law."""
        found: dict[Amplitude, list[NDArray[np.intp]]] = {}
        for block in self.blocks:
            for law, some in block.by_law:
                found.setdefault(law, []).append(block.columns[some])
        return [(law, np.concatenate(columns)) for law, columns in found.items()]

    def exponent(self, at: Nodes, rows: NDArray[np.int64]) -> tuple[Complex, Array]:
        """Σ log F/P₀ of the blocks of others at the nodes, and its error."""
        q = np.zeros((rows.size, at.nodes.size), np.complex128)
        error = np.zeros(q.shape)
        if not self.listed:
            for law, columns in self.by_law:
                at.own(law).fill(self.w[columns][:, rows])
        for k, block in enumerate(self.blocks):
            for part in _parts(np.flatnonzero(self.own_block[rows] != k), block, at):
                heard = self._heard(block, rows[part])
                none, rest, inexact = heard.others(at)
                with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                    error[part] += inexact / np.abs(none + rest)
                    q[part] += _log(none, rest)
        return q, error

    def own(self, at: Nodes, rows: NDArray[np.int64], c: Complex, found: Own) -> Own:
        """F of the blocks of the own features, with these values of c, put into what is `found`."""
        for k, block in enumerate(self.blocks):
            for part in _parts(np.flatnonzero(self.own_block[rows] == k), block, at):
                heard = self._heard(block, rows[part], own=True)
                for mine, one in zip(found, heard.own(at, c[part]), strict=True):
                    mine[part] = one
        return found

    def _heard(self, block: Members, rows: NDArray[np.intp], *, own: bool = False) -> _Heard:
        at, place = block.columns, self.own_place[rows] if own else None
        return _Heard(block, self.w[at][:, rows], self.left_out[at][:, rows], place)


class _Bounds(NamedTuple):
    """F at real s, and its derivatives: of `rest` in φ_j, shape (members, rows, nodes); in c."""

    pair: Pair
    rest_by_phi: Array
    none_by_c: Array
    rest_by_c: Array


class _Heard:
    """A block as some rows hear it.

    Parameters
    ----------
    block : Members
    w : ndarray, shape (members, rows)
    gone : ndarray of bool, same shape
        Terms that are none.
    own : ndarray of int, shape (rows,), or None
        Which of the members each row reads.
    """

    def __init__(
        self, block: Members, w: Array, gone: NDArray[np.bool_], own: NDArray[np.int64] | None
    ) -> None:
        self.block, self.w, self.gone = block, w, gone
        self.heard = ~gone
        self.mine: NDArray[np.bool_] | None = None
        if own is not None:
            self.mine = own == np.arange(len(w))[:, None]
            self.heard &= ~self.mine
        # Most members are heard in all rows.
        self.partly = np.flatnonzero(~self.heard.all(axis=1)).tolist()

    def _pairs(self, phi: Any, c: Any) -> dict[int, Pair]:
        """P₀ and φ - P₀ of the members, from E e^{swu} of each, shape (members, rows, nodes)."""
        pairs: list[Pair] = [(0.0, x) for x in phi]
        for k in self.partly:
            none = self.gone[k, :, None].astype(float)
            if self.mine is not None:
                none = np.where(self.mine[k, :, None], c, none)
            pairs[k] = none, np.where(self.heard[k, :, None], phi[k], 0.0)
        return dict(zip(self.block.columns.tolist(), pairs, strict=True))

    def _bounds(self, phi: Array, c: float) -> _Bounds:
        slopes = Slopes(self._pairs(phi, c))
        whole, columns = self.block.pattern.fold(slopes), self.block.columns.tolist()
        by_phi, by_c = np.zeros(phi.shape), np.zeros((2, *phi.shape[1:]))
        for kind, by in enumerate([(1.0, 0.0), (0.0, 1.0)]):
            if kind == 0 and self.mine is None:
                continue  # there is no c
            whole.back(by)
            for k, j in enumerate(columns):
                by_none, by_phi[k] = slopes.found[j]
                if self.mine is not None:
                    by_c[kind] += np.where(self.mine[k, :, None], by_none, 0.0)
        by_phi[~self.heard] = 0.0
        return _Bounds(whole.pair, by_phi, *by_c)

    @property
    def chances(self) -> Pair:
        """That none is on, and that some are."""
        return self._fold(np.ones((*self.w.shape, 1)), 0.0)

    @property
    def own_chances(self) -> _Bounds:
        """The same if the own feature is off, and their slopes in c, its transform if on."""
        return self._bounds(np.ones((*self.w.shape, 1)), 0.0)

    def _fold(self, phi: Any, c: Any) -> Pair:
        with np.errstate(over="ignore", invalid="ignore"):
            return self.block.pattern.fold(Transform(self._pairs(phi, c)))

    def others(self, at: Nodes) -> tuple[Any, Complex, Array]:
        """F with none on and with some, and the error of the second."""
        phi, tables = self._transforms(at)
        none, rest = self._fold(phi, 0.0)
        if at.real:
            with np.errstate(invalid="ignore"):
                return none, rest, self._relative(phi, tables) * np.abs(rest)
        bounds, size = self._on_axis(at, 0.0)
        return none, rest, self._error(bounds.rest_by_phi, size, tables)

    def own(self, at: Nodes, c: Complex) -> Own:
        """F with c of each row, shape (rows, nodes), in the place of the transform of its own."""
        phi, tables = self._transforms(at)
        none, rest = self._fold(phi, c)
        if at.real:
            nothing = np.zeros((len(c), 1))
            none, rest = np.real(none), np.real(rest)
            return Own(none, rest, self._relative(phi, tables) * rest, nothing, nothing)
        off, size = self._on_axis(at, 0.0)
        both, _ = self._on_axis(at, 1.0)
        on = np.maximum(both.rest_by_phi - off.rest_by_phi, 0.0)
        error = self._error(off.rest_by_phi, size, tables)
        error = error + np.abs(c) * self._error(on, size, tables)
        return Own(none, rest, error, off.none_by_c, off.rest_by_c)

    def _transforms(self, at: Nodes) -> tuple[Complex, list[_Errors]]:
        """E e^{swu} of the members, shape (members, rows, nodes), and errors."""
        found, errors = [], []
        for law, some in self.block.by_law:
            values, place, error = at.own(law).transform(self.w[some].ravel())
            found.append(values.reshape(some.size, -1, at.nodes.size))
            errors.append(_Errors(some, place.reshape(some.size, -1), error))
        if len(found) == 1:
            return found[0], errors
        phi = np.empty((*self.w.shape, at.nodes.size), np.complex128)
        for x, values in zip(errors, found, strict=True):
            phi[x.members] = values
        return phi, errors

    def _on_axis(self, at: Nodes, c: float) -> tuple[_Bounds, Array]:
        """Where the contour crosses the real axis; E e^{swu} of the members there."""
        phi = np.empty((*self.w.shape, 1))
        for law, some in self.block.by_law:
            t = (self.w[some] * at.nodes[0].real).astype(complex)
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                phi[some, :, 0] = law.transform(t, 0).real
        with np.errstate(over="ignore", invalid="ignore"):
            return self._bounds(phi, c), phi[..., 0]

    def _error(self, by_phi: Array, size: Array, tables: list[_Errors]) -> Array:
        """From bounds on slopes in the transforms, which are largest on the axis."""
        by_phi, total = by_phi[..., 0], np.zeros((self.w.shape[1], 1))
        for x, (law, _) in zip(tables, self.block.by_law, strict=True):
            bins = np.arange(self.w.shape[1]) * len(x.error) + x.place
            weights = np.bincount(
                bins.ravel(), by_phi[x.members].ravel(), bins.shape[1] * len(x.error)
            )
            rounding = law.transform_error + 4 * _EPS * len(self.w)
            moved = (by_phi[x.members] * size[x.members]).sum(axis=0)
            total = total + weights.reshape(-1, len(x.error)) @ x.error + rounding * moved[:, None]
        return total

    def _relative(self, phi: Complex, tables: list[_Errors]) -> Array:
        """At real s: no part of F is in proportion to more than each transform."""
        total = np.full(phi.shape[1:], 4 * _EPS * len(self.w))
        for x in tables:
            with np.errstate(divide="ignore"):
                some = x.error[x.place] / np.abs(phi[x.members])
            total += np.where(self.heard[x.members, :, None], some, 0.0).sum(axis=0)
        return total


class _Errors(NamedTuple):
    """Of the transforms of some members: of bins, shape (bins, nodes), and the bin of each."""

    members: NDArray[np.intp]
    place: NDArray[np.intp]
    error: Array


def _log(none: Any, rest: Complex) -> Complex:
    """log(1 + rest/none), or log rest where `none` is nothing."""
    none = np.broadcast_to(none, (len(rest), 1))
    there = none[:, 0] > NEVER
    if there.all():
        return log1p(rest * (1 / none))
    found = np.log(rest)
    found[there] = log1p(rest[there] / none[there])
    return found


def _parts(rows: NDArray[np.intp], block: Members, at: Nodes) -> Iterator[NDArray[np.intp]]:
    """Of some rows, so many at a time that their transforms stay in the caches."""
    if not rows.size:
        return
    size = max(1, _CHUNK // (block.columns.size * at.nodes.size))
    yield from np.array_split(rows, -(-rows.size // size))
