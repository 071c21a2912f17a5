"""Adjacency matrices of strongly regular graphs, each by a short construction.

References: A. E. Brouwer and H. Van Maldeghem, Strongly Regular Graphs, 2022; R. Hill, On the
largest size of cap in S(5,3), 1973, and Caps and groups, 1976.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .finite_fields import Field, Integers, field, powers_of_x, projective_points

Adjacency = NDArray[np.bool_]
# Generator polynomial of the binary Golay code of length 23, lowest power first.
_GOLAY = (1, 0, 1, 0, 1, 1, 1, 0, 0, 0, 1, 1)
# Rows of a large matrix at a time.
_ROWS = 512


def clebsch() -> Adjacency:
    """Vertices of a cube in five dimensions, opposite ones taken together; edges are its edges."""
    word = np.arange(16)
    return np.asarray(np.isin(word[:, None] ^ word, (1, 2, 4, 8, 15)))


def gewirtz() -> Adjacency:
    """Hexads of the Steiner system S(3, 6, 22) without one point; neighbours are disjoint."""
    hexads, _ = _hexads_and_heptads()
    without = hexads[hexads[:, 0] == 0]
    return np.asarray(without @ without.T == 0)


def m22() -> Adjacency:
    """All 77 hexads of S(3, 6, 22); neighbours are disjoint."""
    hexads, _ = _hexads_and_heptads()
    return np.asarray(hexads @ hexads.T == 0)


def higman_sims() -> Adjacency:
    """A point beside the 22 points of S(3, 6, 22), and these beside the hexads they are in."""
    hexads, _ = _hexads_and_heptads()
    one, none = np.ones((1, 22)), np.zeros((1, 77))
    return _symmetric([[0, one, none], [np.zeros((22, 22)), hexads.T], [hexads @ hexads.T == 0]])


def mclaughlin() -> Adjacency:
    """Points, hexads and heptads of S(4, 7, 23) seen from one of its points."""
    hexads, heptads = _hexads_and_heptads()
    return _symmetric(
        [
            [np.zeros((22, 22)), 1 - hexads.T, heptads.T],
            [hexads @ hexads.T == 0, hexads @ heptads.T == 3],
            [heptads @ heptads.T == 1],
        ]
    )


def u43() -> Adjacency:
    """What is not beside one vertex of McLaughlin's graph."""
    whole = mclaughlin()
    kept = ~whole[0] & (np.arange(len(whole)) > 0)
    return np.asarray(whole[np.ix_(kept, kept)])


def elliptic_quadric(q: int) -> Callable[[], Adjacency]:
    """Points of an elliptic quadric in PG(5, q); neighbours are on a line of it: GQ(q, q²)."""

    def adjacency() -> Adjacency:
        of, x = field(q), projective_points(q, 6)
        b, c = _irreducible(of)

        def form(y: list[Integers]) -> Integers:
            plane = [of.multiply[y[0], y[0]], of.multiply[b, of.multiply[y[0], y[1]]]]
            plane += [of.multiply[c, of.multiply[y[1], y[1]]]]
            return of.total([*plane, of.multiply[y[2], y[3]], of.multiply[y[4], y[5]]])

        points = x[form(list(x.T)) == 0]
        # Where both values are zero, that of the sum is the bilinear form.
        return _where_zero(
            len(points), lambda rows: form([of.add[z[rows, None], z] for z in points.T])
        )

    return adjacency


def hermitian_variety(q: int) -> Callable[[], Adjacency]:
    """Points of a Hermitian variety in PG(4, q²); neighbours are on a line of it: GQ(q², q³)."""

    def adjacency() -> Adjacency:
        of, x = field(q * q), projective_points(q * q, 5)

        def form(y: Integers, z: Integers) -> Integers:
            return of.total([of.multiply[s, t] for s, t in zip(y, z, strict=True)])

        conjugate = of.power(x, q)
        some = form(x.T, conjugate.T) == 0
        points, conjugate = x[some], conjugate[some]
        return _where_zero(
            len(points), lambda rows: form(points.T[:, rows, None], conjugate.T[:, None])
        )

    return adjacency


def cyclotomic(q: int, modulus: int, residues: tuple[int, ...]) -> Callable[[], Adjacency]:
    """Elements of a field; neighbours differ by a power x^i with i mod `modulus` a residue."""

    def adjacency() -> Adjacency:
        p, powers = powers_of_x(q)
        place = p ** np.arange(powers.shape[1])
        steps = powers[np.isin(np.arange(q - 1) % modulus, residues)]
        digits = np.arange(q)[:, None] // place % p
        found = np.zeros((q, q), bool)
        for step in steps:
            found[np.arange(q), (digits + step) % p @ place] = True
        return found

    return adjacency


def _where_zero(n: int, form: Callable[[Integers], Integers]) -> Adjacency:
    """Pairs of different points at which a form is zero."""
    rows = np.array_split(np.arange(n), -(-n // _ROWS))
    found = np.concatenate([form(some) == 0 for some in rows])
    np.fill_diagonal(found, False)
    return found


def _irreducible(of: Field) -> tuple[int, int]:
    """b and c with x² + b x + c ≠ 0 for all x."""
    x = np.arange(of.size)
    for b in range(of.size):
        for c in range(of.size):
            if np.all(of.total([of.multiply[x, x], of.multiply[b, x], np.full_like(x, c)])):
                return b, c
    raise AssertionError("every finite field has an irreducible polynomial of degree 2")


def _hexads_and_heptads() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Words of weight 7 of the Golay code, the blocks of S(4, 7, 23), with and without a point."""
    generator = np.array([np.roll(_GOLAY + (0,) * 11, shift) for shift in range(12)])
    message = (np.arange(2**12)[:, None] >> np.arange(12)) & 1
    words = message @ generator % 2
    blocks = words[words.sum(axis=1) == 7]
    return blocks[blocks[:, 0] == 1, 1:], blocks[blocks[:, 0] == 0, 1:]


def _symmetric(upper: list[list[ArrayLike]]) -> Adjacency:
    """The symmetric matrix with these blocks on and right of the diagonal."""
    rows = [[np.atleast_2d(x) for x in row] for row in upper]
    every = range(len(rows))
    full = [[rows[i][j - i] if i <= j else rows[j][i - j].T for j in every] for i in every]
    return np.asarray(np.block(full), bool)
