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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude, Complex
from .block import NEVER
from .family import Chances, Family, HeardBlocks, Own
from .heard import Nodes
from .terms import log1p

# Transforms that are worked on at a time, 8 MB.
_CHUNK = 2**19


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
        for k, family in enumerate(families):
            for blocks, rows in _parts(family, every, 1):
                heard, own_block = self._others(k, blocks, rows)
                none, some = (np.broadcast_to(x, (heard.rows, 1)) for x in heard.chances)
                none, some = (x.reshape(blocks.size, rows.size) for x in (none, some))
                with np.errstate(divide="ignore"):
                    log = np.where(some < 0.5, np.log1p(-np.minimum(some, 0.5)), np.log(none))
                there = (none > NEVER) | own_block
                self.log_none[rows] += np.where(there & ~own_block, log, 0.0).sum(axis=0)
                self.atom[rows] &= there.all(axis=0)
            mine = np.flatnonzero(self.family == k)
            one = self._own(family, mine).own_chances
            off[mine] = np.broadcast_to(one.pair[0], (mine.size, 1))[:, 0]
            alone[mine], beside[mine] = one.none_by_c[:, 0], one.rest_by_c[:, 0]

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
        q = np.zeros((rows.size, at.nodes.size), np.complex128)
        error = np.zeros(q.shape)
        if not self.listed:
            for law, columns in self.by_law:
                at.transforms(law).fill(self.w[columns][:, rows])
        for k, family in enumerate(self.families):
            for blocks, part in _parts(family, np.arange(rows.size), at.nodes.size):
                heard, own_block = self._others(k, blocks, rows[part])
                none, rest, inexact = heard.others(at)
                shape = blocks.size, part.size, at.nodes.size
                with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                    inexact = (inexact / np.abs(none + rest)).reshape(shape)
                    logs = _log(none, rest).reshape(shape)
                inexact[own_block], logs[own_block] = 0.0, 0.0
                error[part] += inexact.sum(axis=0)
                q[part] += logs.sum(axis=0)
        return q, error

    def own(self, at: Nodes, rows: NDArray[np.int64], c: Complex, found: Own) -> Own:
        """F of the blocks of the own features, with these values of c, put into what is `found`."""
        for k, family in enumerate(self.families):
            mine = np.flatnonzero(self.family[rows] == k)
            for part in _split(mine, family.columns.shape[1] * at.nodes.size):
                heard = self._own(family, rows[part])
                for whole, one in zip(found, heard.own(at, c[part]), strict=True):
                    whole[part] = one
        return found

    @cached_property
    def _found(self) -> Array:
        """Slopes in the weights of all features, shape (features, rows)."""
        return np.zeros(self.w.shape)

    def add(self, at: Nodes, rows: NDArray[np.int64], moved: Complex, quiet: Complex) -> None:
        """Collect those of Re Σ_k of a product over the blocks of others.

        `moved` are its values, and `quiet` those of the part with none on, which is no part of it.
        """
        for k, family in enumerate(self.families):
            for blocks, part in _parts(family, np.arange(rows.size), at.nodes.size):
                heard, own_block = self._others(k, blocks, rows[part])
                whole, none = (np.tile(x[part], (blocks.size, 1)) for x in (moved, quiet))

                def by(pair: Pair, whole: Complex = whole, none: Complex = none) -> Pair:
                    each = whole / (pair[0] + pair[1])
                    return each - none / np.maximum(pair[0], NEVER), each

                found = heard.slopes(at, by)[0].reshape(-1, *own_block.shape)
                self._collect(family.columns[blocks].T, rows[part], np.where(own_block, 0.0, found))

    def add_own(
        self, at: Nodes, rows: NDArray[np.int64], by: Pair, c: Complex, by_c: Complex
    ) -> None:
        """Collect those of Re Σ_k (by₀ F₀ + by₁ F₁) of the blocks of the own features.

        The slopes in c of the terms are put into `by_c`.
        """
        for k, family in enumerate(self.families):
            mine = np.flatnonzero(self.family[rows] == k)
            for part in _split(mine, family.columns.shape[1] * at.nodes.size):
                heard = self._own(family, rows[part])
                some = by[0][part], by[1][part]
                found, by_c[part] = heard.slopes(at, lambda _, some=some: some, c[part])
                self._found[self._own_columns(family, rows[part]), rows[part]] += found

    def add_quiet(self, on: Array, off: Array) -> None:
        """Collect those of what is left with all others off, in weights of terms of weight zero.

        `on` and `off` are the slopes in the bias of the losses if the own feature is on and off,
        times the chance that no other block is heard.
        """
        if not np.any(self.left_out):
            return
        both = self.chances.alone * on + self.chances.off * off
        for k, family in enumerate(self.families):
            means = np.array([law.mean for law in family.laws])[:, None]
            for blocks, rows in _parts(family, np.arange(on.size), 1):
                heard, own_block = self._others(k, blocks, rows)
                none, silent = heard.silent()
                share = (silent.real / np.maximum(none.real, NEVER)).reshape(-1, *own_block.shape)
                share[:, own_block] = 0.0
                self._collect(family.columns[blocks].T, rows, means[..., None] * share * both[rows])
            mine = np.flatnonzero(self.family == k)
            # With c = i the real part is of the own feature off and the imaginary one of it on.
            _, silent = self._own(family, mine).silent(1j)
            found = means * (silent.real * off[mine] + silent.imag * on[mine])
            self._found[self._own_columns(family, mine), mine] += found

    def _collect(self, columns, rows, found) -> None:
        self._found[columns[..., None], rows] += found

    def slopes(self) -> Array:
        """What was collected, shape (rows, features)."""
        return self._found.T

    def _own_columns(self, family: Family, rows: NDArray[np.int64]) -> NDArray[np.intp]:
        return family.columns[self.block[rows]].T

    def _others(
        self, family: int, blocks: NDArray[np.intp], rows: NDArray[np.int64]
    ) -> tuple[HeardBlocks, NDArray[np.bool_]]:
        """Some blocks as some rows hear them, blocks first, and which of them is the row's own."""
        columns = self.families[family].columns[blocks].T
        w = self.w[columns][..., rows].reshape(len(columns), -1)
        left_out = self.left_out[columns][..., rows].reshape(w.shape)
        own_block = (self.family[rows] == family) & (self.block[rows] == blocks[:, None])
        left_out &= ~own_block.ravel()  # so that most members are heard in all rows
        return HeardBlocks(self.families[family], w, left_out), own_block

    def _own(self, family: Family, rows: NDArray[np.int64]) -> HeardBlocks:
        """The own block of some rows."""
        at = self._own_columns(family, rows), rows
        return HeardBlocks(family, self.w[at], self.left_out[at], self.place[rows])


def _log(none: Any, rest: Complex) -> Complex:
    """log(1 + rest/none), or log rest where `none` is nothing."""
    none = np.broadcast_to(none, (len(rest), 1))
    there = none[:, 0] > NEVER
    if there.all():
        return log1p(rest * (1 / none))
    found = np.log(rest)
    found[there] = log1p(rest[there] / none[there])
    return found


def _split(some: NDArray[np.intp], size: int) -> list[NDArray[np.intp]]:
    """In parts that stay in the caches, each taking so many transforms; none of nothing."""
    if not some.size:
        return []
    return np.array_split(some, -(-some.size // max(1, _CHUNK // size)))


def _parts(
    family: Family, rows: NDArray[np.intp], nodes: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Blocks and rows that are taken at a time."""
    blocks, members = family.columns.shape
    for part in _split(rows, members * nodes):
        for some in _split(np.arange(blocks), members * nodes * part.size):
            yield some, part
