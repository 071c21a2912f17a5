"""Sums of few values, whose law is a list of them."""

from __future__ import annotations

import numpy as np

from .._check import Array
from ..source.sparse import SparseSource

_MOST_VALUES, _MOST_WORK = 2**16, 2**22
# Sums that differ by less than this part of their size, or of their scale, are the same.
_SAME = 1e-14


def support(
    w: Array, source: SparseSource, resolution: float = np.inf
) -> tuple[Array, Array] | None:
    """The values of Z, ascending, and their probabilities, if they are few: few weights, a lattice.

    Sums that differ only by rounding are merged, but for differences that matter at `resolution`.
    """
    found = support_with_sizes(w, source, resolution)
    return None if found is None else found[:2]


# Values, ascending, their probabilities, and the mean of Σ|terms| in each.
_Sums = tuple[Array, Array, Array]


def support_with_sizes(w: Array, source: SparseSource, resolution: float) -> _Sums | None:
    total: _Sums = np.zeros(1), np.ones(1), np.zeros(1)
    if not w.size:
        return total
    atoms = source.amplitude.atoms()
    if atoms is None:
        return None
    values = np.append(0.0, atoms[0])
    shares = np.append(1 - source.p, source.p * atoms[1])
    scale = min(float(np.abs(w).sum()) * values.max(), resolution)
    work = 0
    for weight, count in zip(*np.unique(w, return_counts=True), strict=True):
        # The law of `count` equal terms, by doubling.
        terms: _Sums = weight * values, shares, np.abs(weight) * values
        while True:
            if count & 1:
                work += total[0].size * terms[0].size
                if work > _MOST_WORK:
                    return None
                total = _sum(total, terms, scale)
            count >>= 1
            if not count:
                break
            work += terms[0].size ** 2
            if work > _MOST_WORK:
                return None
            terms = _sum(terms, terms, scale)
        if total[0].size > _MOST_VALUES:
            return None
    return total


def _sum(one: _Sums, two: _Sums, scale: float) -> _Sums:
    """The same of a sum of two."""
    (x, p, size_x), (y, q, size_y) = one, two
    sums = np.add.outer(x, y).ravel()
    order = np.argsort(sums)
    sums = sums[order]
    new = np.diff(sums, prepend=-np.inf) > _SAME * np.maximum(np.abs(sums), scale)
    joint = np.multiply.outer(p, q).ravel()[order]
    first = np.flatnonzero(new)
    probability = np.add.reduceat(joint, first)
    sizes = np.add.reduceat(joint * np.add.outer(size_x, size_y).ravel()[order], first)
    some = probability > 0
    return (
        sums[new],
        probability,
        np.divide(sizes, probability, out=np.zeros_like(sizes), where=some),
    )
