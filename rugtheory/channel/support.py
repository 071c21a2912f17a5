"""Sums of few values, whose law is a list of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._check import Array
from .algebras import Sums
from .block import Block
from .interference import Interference
from .terms import Terms

_MOST_VALUES, _MOST_WORK = 2**16, 2**22
# Sums that differ by less than this part of their size, or of their scale, are the same.
_SAME = 1e-14
# Of so many times as many sums as there may be values, a part is looked at first.
_SURELY = 4


def support(
    law: Interference, resolution: float = np.inf, rare: float = 0.0, most: int = _MOST_VALUES
) -> tuple[Array, Array] | None:
    """The values of Z, ascending, and their probabilities, if they are few: few terms, a lattice.

    Sums that differ only by rounding are merged, unless the difference matters at `resolution`.
    The noise is left out, and so are values of a probability up to `rare`.
    """
    found = support_with_sizes(law, resolution, rare, most)
    return None if found is None else found[:2]


def support_with_sizes(
    law: Interference, resolution: float, rare: float = 0.0, most: int = _MOST_VALUES
) -> Sums | None:
    """The same, with the mean of Σ|terms| in each value."""
    total: Sums = np.zeros(1), np.ones(1), np.zeros(1)
    if not law.parts:
        return total
    if not law.discrete:
        return None
    whole = sum(
        one.extent * float(np.abs(w).sum()) for part in law.parts for one, w in part.by_law()
    )
    adding = _Adding(min(whole, resolution), rare, most)
    for part in law.parts:
        for one, count in _equal_terms(part, adding):
            found = None if one is None else adding.power(total, one, count)
            if found is None:
                return None
            total = found
            if total[0].size > most:
                return None
    return total


def _equal_terms(part: object, adding: _Adding) -> Iterator[tuple[Sums | None, int]]:
    """The laws of terms, and how many there are of each."""
    if isinstance(part, Block):
        yield part.outcomes(adding), 1
    elif isinstance(part, Terms):
        atoms = part.amplitude.atoms()
        assert atoms is not None
        columns = np.stack([part.weights, np.broadcast_to(part.p, part.weights.shape)])
        distinct, counts = np.unique(columns, axis=1, return_counts=True)
        for (weight, p), count in zip(distinct.T, counts.tolist(), strict=True):
            values = weight * np.append(0.0, atoms[0])
            yield (values, np.append(1 - p, p * atoms[1]), np.abs(values)), count


class _Adding:
    """Adds independent sums, as long as they are few; `scale` is that of all values."""

    def __init__(self, scale: float, rare: float, most: int) -> None:
        self.scale, self.rare, self.most, self.work = scale, rare, most, 0

    def __call__(self, one: Sums, two: Sums) -> Sums | None:
        self.work += one[0].size * two[0].size
        if self.work > _MOST_WORK or (not self.rare and self._many(one, two)):
            return None
        x, p, sizes = _sum(one, two, self.scale)
        if not self.rare:
            return x, p, sizes
        kept = p > self.rare
        return x[kept], p[kept], sizes[kept]

    def _many(self, one: Sums, two: Sums) -> bool:
        """Whether a part of the sums shows that there are too many, which takes less than all."""
        if one[0].size * two[0].size < _SURELY * self.most:
            return False
        share = np.sqrt(2 * self.most / (one[0].size * two[0].size))
        few = [slice(0, int(np.ceil(share * x[0].size))) for x in (one, two)]
        part = [tuple(y[k] for y in x) for x, k in zip((one, two), few, strict=True)]
        return _sum(part[0], part[1], self.scale)[0].size > self.most

    def power(self, total: Sums, terms: Sums, count: int) -> Sums | None:
        """`total` and `count` equal terms, by doubling."""
        while True:
            if count & 1:
                found = self(total, terms)
                if found is None:
                    return None
                total = found
            count >>= 1
            if not count:
                return total
            if self.work > _MOST_WORK:
                return None
            doubled = self(terms, terms)
            if doubled is None:
                return None
            terms = doubled


def _sum(one: Sums, two: Sums, scale: float) -> Sums:
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
