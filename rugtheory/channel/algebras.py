"""What patterns of dependent terms fold into: transforms, chances, moments, lists of values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import iadd
from typing import Any, NamedTuple

import numpy as np

from .._check import Array
from ..source.pattern import Algebra

# Values, ascending, their probabilities, and the mean of Σ|terms| in each.
Sums = tuple[Array, Array, Array]
Add = Callable[[Sums, Sums], Sums | None]

# P₀ and φ - P₀.
Pair = tuple[Any, Any]


class Transform(Algebra[Pair]):
    """P₀ and φ - P₀, from those of each feature that is on; sums of positive terms at real s.

    Those of a term are 0 and E e^{swu}, and of a feature that is none 1 and 0.
    """

    def __init__(self, values: Mapping[int, Pair]) -> None:
        self.values = values

    def on(self, feature: int) -> Pair:
        return self.values.get(feature, (1.0, 0.0))

    def one_of(self, p: tuple[float, ...], of: list[Pair]) -> Pair:
        none: Any = max(1 - sum(p), 0.0)
        for q, (n, _) in zip(p, of, strict=True):
            none = none + q * n
        parts = [q * x for q, (_, x) in zip(p, of, strict=True)]
        return none, reduce(iadd, parts) if parts else 0.0

    def every(self, of: list[Pair]) -> Pair:
        return reduce(_both, of) if of else (1.0, 0.0)


def _both(one: Pair, other: Pair) -> Pair:
    (none, rest), (n, x) = one, other
    # Most terms are never off where their block is on; what is not there takes no time.
    product = rest * (x if _is_nothing(n) else n + x)
    return none * n, product if _is_nothing(none) else product + none * x


def _is_nothing(x: Any) -> bool:
    return isinstance(x, float) and x == 0


class Slopes(Algebra["Sloped"]):
    """The same, and the derivatives of both in those of each feature, in the other direction."""

    def __init__(self, values: Mapping[int, Pair]) -> None:
        self.pairs, self.found = Transform(values), dict[int, Pair]()

    def on(self, feature: int) -> Sloped:
        def back(by: Pair) -> None:
            self.found[feature] = by

        return Sloped(self.pairs.on(feature), back)

    def one_of(self, p: tuple[float, ...], of: list[Sloped]) -> Sloped:
        def back(by: Pair) -> None:
            for q, x in zip(p, of, strict=True):
                x.back((q * by[0], q * by[1]))

        return Sloped(self.pairs.one_of(p, [x.pair for x in of]), back)

    def every(self, of: list[Sloped]) -> Sloped:
        pairs = [x.pair for x in of]

        def back(by: Pair) -> None:
            # Products of the ones before, and of the ones behind.
            before, behind = [(1.0, 0.0)], [(1.0, 0.0)]
            for one, other in zip(pairs[:-1], pairs[:0:-1], strict=True):
                before.append(self.pairs.every([before[-1], one]))
                behind.append(self.pairs.every([other, behind[-1]]))
            for x, *others in zip(of, before, behind[::-1], strict=True):
                none, rest = self.pairs.every(others)
                x.back((by[0] * none + by[1] * rest, by[1] * (none + rest)))

        return Sloped(self.pairs.every(pairs), back)


class Sloped(NamedTuple):
    """A value, and what hands derivatives in it on to those it is made of."""

    pair: Pair
    back: Callable[[Pair], None]


class Chances(Algebra[tuple[float, float]]):
    """Probabilities that no term is on, and that some are: each with all its digits."""

    def __init__(self, terms: set[int]) -> None:
        self.terms = terms

    def on(self, feature: int) -> tuple[float, float]:
        return (0.0, 1.0) if feature in self.terms else (1.0, 0.0)

    def one_of(self, p: tuple[float, ...], of: list[tuple[float, float]]) -> tuple[float, float]:
        none = max(1 - sum(p), 0.0) + sum(q * x[0] for q, x in zip(p, of, strict=True))
        return none, sum(q * x[1] for q, x in zip(p, of, strict=True))

    def every(self, of: list[tuple[float, float]]) -> tuple[float, float]:
        none, some = 1.0, 0.0
        for n, s in of:
            none, some = none * n, some + none * s
        return none, some


class Moments(Algebra[tuple[float, float]]):
    """Mean and variance of the sum; nothing cancels."""

    def __init__(self, terms: Mapping[int, tuple[float, float]]) -> None:
        self.terms = terms

    def on(self, feature: int) -> tuple[float, float]:
        return self.terms[feature]

    def one_of(self, p: tuple[float, ...], of: list[tuple[float, float]]) -> tuple[float, float]:
        mean = sum(q * m for q, (m, _) in zip(p, of, strict=True))
        inside = sum(q * (v + (m - mean) ** 2) for q, (m, v) in zip(p, of, strict=True))
        return mean, inside + max(1 - sum(p), 0.0) * mean**2

    def every(self, of: list[tuple[float, float]]) -> tuple[float, float]:
        return sum(m for m, _ in of), sum(v for _, v in of)


class RawMoments(Algebra[Array]):
    """E Zⁿ, n = 1 … 4."""

    def __init__(self, terms: Mapping[int, Array]) -> None:
        self.terms = terms

    def on(self, feature: int) -> Array:
        return self.terms.get(feature, np.zeros(4))

    def one_of(self, p: tuple[float, ...], of: list[Array]) -> Array:
        return np.asarray(sum((q * x for q, x in zip(p, of, strict=True)), np.zeros(4)))

    def every(self, of: list[Array]) -> Array:
        return raw_moments(np.asarray(sum((from_raw_moments(x) for x in of), np.zeros(4))))


def raw_moments(cumulants: Array) -> Array:
    """E Zⁿ from the cumulants, n = 1 … 4."""
    k1, k2, k3, k4 = cumulants
    third = k3 + 3 * k2 * k1 + k1**3
    return np.array([k1, k2 + k1**2, third, k4 + 4 * k3 * k1 + 3 * k2**2 + 6 * k2 * k1**2 + k1**4])


def from_raw_moments(moments: Array) -> Array:
    """The cumulants; of a variable of small probability nothing cancels."""
    m1, m2, m3, m4 = moments
    second, third = m2 - m1**2, m3 - 3 * m2 * m1 + 2 * m1**3
    fourth = m4 - 4 * m3 * m1 - 3 * m2**2 + 12 * m2 * m1**2 - 6 * m1**4
    return np.array([m1, second, third, fourth])


class Outcomes(Algebra["Sums | None"]):
    """Values of the sum; None if they are too many."""

    def __init__(self, values: Mapping[int, Sums], add: Add) -> None:
        self.values, self.add = values, add

    def on(self, feature: int) -> Sums | None:
        return self.values.get(feature, _zero())

    def one_of(self, p: tuple[float, ...], of: list[Sums | None]) -> Sums | None:
        known = [x for x in of if x is not None]
        if len(known) < len(of):
            return None
        shares = [max(1 - sum(p), 0.0), *p]
        parts = [_zero(), *known]
        value = np.concatenate([x[0] for x in parts])
        probability = np.concatenate([q * x[1] for q, x in zip(shares, parts, strict=True)])
        size = np.concatenate([x[2] for x in parts])
        some = probability > 0
        order = np.argsort(value[some], kind="stable")
        return value[some][order], probability[some][order], size[some][order]

    def every(self, of: list[Sums | None]) -> Sums | None:
        total: Sums | None = _zero()
        for x in of:
            total = None if total is None or x is None else self.add(total, x)
        return total


def _zero() -> Sums:
    return np.zeros(1), np.ones(1), np.zeros(1)
