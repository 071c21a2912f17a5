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
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude, Complex
from .block import NEVER
from .family import Chances, Family, HeardBlocks, Own
from .heard import Nodes
from .terms import log1p

_EPS = float(np.finfo(float).eps)
# Transforms that are worked on at a time, 8 MB.
_CHUNK = 2**19


class BlocksPart(NamedTuple):
    """Blocks that are alike as some rows hear them.

    Attributes
    ----------
    rows : ndarray of int
        Places among the rows asked for.
    columns : ndarray of int, shape (members, blocks), or (members, rows) of own blocks
    heard : HeardBlocks
        Rows within blocks.
    own : ndarray of bool, shape (blocks, rows), or (rows,) of own blocks
        Which are those of the own feature.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    heard: HeardBlocks
    own: NDArray[np.bool_]


class Dependent:
    """Blocks as the rows of a block of outputs hear them.

    Parameters
    ----------
    families : sequence of Family
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
        families: Sequence[Family],
        w: Array,
        left_out: NDArray[np.bool_],
        own: NDArray[np.int64],
        p: Array,
        *,
        listed: bool = False,
    ) -> None:
        self.families, self.listed = families, listed
        self.number = sum(len(family.columns) for family in families)
        # By feature: blocks take all rows of a few.
        self.w, self.left_out = np.ascontiguousarray(w.T), np.ascontiguousarray(left_out.T)
        # Of the own feature: the family, the block in it and the place in that.
        where = np.full((3, w.shape[1]), -1)
        for k, family in enumerate(families):
            block, place = np.indices(family.columns.shape)
            where[0, family.columns], where[1, family.columns] = k, block
            where[2, family.columns] = place
        self.family, self.block, self.place = where[:, own]
        every = np.arange(len(w))
        self.log_none, self.atom = np.zeros(every.size), np.ones(every.size, np.bool_)
        self.chances = alone, beside, off = Chances(p.copy(), np.zeros(every.size), 1 - p)
        for x in self.others(every, 1):
            none, some = (np.broadcast_to(y, (x.own.size, 1)) for y in x.heard.chances)
            none, some = none.reshape(x.own.shape), some.reshape(x.own.shape)
            with np.errstate(divide="ignore"):
                log = np.where(some < 0.5, np.log1p(-np.minimum(some, 0.5)), np.log(none))
            there = (none > NEVER) | x.own
            self.log_none[x.rows] += np.where(there & ~x.own, log, 0.0).sum(axis=0)
            self.atom[x.rows] &= there.all(axis=0)
        for x in self.own_blocks(every, 1):
            one = x.heard.own_chances
            off[x.rows] = np.broadcast_to(one.pair[0], (x.rows.size, 1))[:, 0]
            alone[x.rows], beside[x.rows] = one.none_by_c[:, 0], one.rest_by_c[:, 0]

    @cached_property
    def by_law(self) -> list[tuple[Amplitude, NDArray[np.intp]]]:
        """The features in all blocks of each amplitude law."""
        found: dict[Amplitude, list[NDArray[np.intp]]] = {}
        for family in self.families:
            for law, some in family.by_law:
                found.setdefault(law, []).append(family.columns[:, some].ravel())
        return [(law, np.concatenate(columns)) for law, columns in found.items()]

    @cached_property
    def ends(self) -> list[tuple[Amplitude, tuple[Array, Array]]]:
        """The least and the largest weights of each row, by amplitude law."""
        parts = [(law, self.w[columns]) for law, columns in self.by_law]
        return [(law, (part.min(axis=0), part.max(axis=0))) for law, part in parts]

    def exponent(self, at: Nodes, rows: NDArray[np.int64]) -> tuple[Complex, Array]:
        """Σ log F/P₀ of the blocks of others at the nodes, and its error."""
        # Π F/P₀ - 1, in which nothing cancels: a logarithm takes as long as ten products.
        product = np.zeros((rows.size, at.nodes.size), np.complex128)
        error, q = np.zeros(product.shape), np.zeros_like(product)
        if not self.listed:
            for law, columns in self.by_law:
                at.transforms(law).fill(self.w[columns][:, rows])
        for x in self.others(rows, at.nodes.size):
            none, rest, inexact = x.heard.others(at)
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                inexact = (inexact / np.abs(none + rest)).reshape(*x.own.shape, -1)
                if at.real:  # where a product may be no number
                    logs = _log(none, rest).reshape(*x.own.shape, -1)
                    logs[x.own] = 0.0
                    q[x.rows] += logs.sum(axis=0)
                else:
                    product[x.rows] = _product(product[x.rows], none, rest, x.own)
            inexact[x.own] = 0.0
            error[x.rows] += inexact.sum(axis=0)
        if not at.real:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                q, size = log1p(product), np.abs(product)
                # Those over part of the blocks are not larger than that over all on the real axis,
                # next to which is the first node.
                rounding = 4 * self.number * _EPS * np.maximum(size, size[:, :1])
                error += rounding / np.abs(1 + product)
        return q, error

    def own(self, at: Nodes, rows: NDArray[np.int64], c: Complex, found: Own) -> Own:
        """F of the blocks of the own features, with these values of c, put into what is `found`."""
        for x in self.own_blocks(rows, at.nodes.size):
            for whole, one in zip(found, x.heard.own(at, c[x.rows]), strict=True):
                whole[x.rows] = one
        return found

    def others(self, rows: NDArray[np.int64], nodes: int) -> Iterator[BlocksPart]:
        """The blocks of others, and own ones to be passed over, in parts for so many nodes."""
        for k, family in enumerate(self.families):
            blocks, members = family.columns.shape
            for part in _split(np.arange(rows.size), members * nodes):
                for some in _split(np.arange(blocks), members * nodes * part.size):
                    columns = family.columns[some].T
                    w = self.w[columns][..., rows[part]].reshape(members, -1)
                    left_out = self.left_out[columns][..., rows[part]].reshape(w.shape)
                    own = self.family[rows[part]] == k
                    own = own & (self.block[rows[part]] == some[:, None])
                    left_out &= ~own.ravel()  # so that most members are heard in all rows
                    yield BlocksPart(part, columns, HeardBlocks(family, w, left_out), own)

    def own_blocks(self, rows: NDArray[np.int64], nodes: int) -> Iterator[BlocksPart]:
        """The own blocks of the rows that have one, in parts for so many nodes."""
        for k, family in enumerate(self.families):
            mine = np.flatnonzero(self.family[rows] == k)
            for part in _split(mine, family.columns.shape[1] * nodes):
                some = rows[part]
                columns = family.columns[self.block[some]].T
                at = columns, some
                heard = HeardBlocks(family, self.w[at], self.left_out[at], self.place[some])
                yield BlocksPart(part, columns, heard, np.ones(part.size, np.bool_))


def _product(first: Complex, none: Any, rest: Complex, own: NDArray[np.bool_]) -> Complex:
    """(1 + first) Π (1 + rest/none) - 1 over blocks but own ones, or rest where none is nothing."""
    none = np.broadcast_to(none, (len(rest), 1))
    there = none > NEVER
    more = rest * np.where(there, 1 / none, 1.0)
    if not there.all():
        more -= ~there
    for x, mine in zip(more.reshape(*own.shape, -1), own, strict=True):
        x[mine] = 0.0
        x *= 1 + first
        first = first + x
    return first


def _log(none: Any, rest: Any) -> Array:
    """log(1 + rest/none), or log rest where `none` is nothing."""
    none = np.broadcast_to(none, (len(rest), 1))
    there = none[:, 0] > NEVER
    if there.all():
        return np.asarray(np.log1p(rest / none))
    found = np.asarray(np.log(rest))
    found[there] = np.log1p(rest[there] / none[there])
    return found


def _split(some: NDArray[np.intp], size: int) -> list[NDArray[np.intp]]:
    """In parts that stay in the caches; each of these takes so many transforms."""
    if not some.size:
        return []
    return np.array_split(some, -(-some.size // max(1, _CHUNK // size)))
