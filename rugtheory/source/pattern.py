r"""Which of some features are on together, as a tree of choices.

A pattern is one of

* `On`: a feature that is on;
* `OneOf`: one of several patterns, each with its probability, or nothing with what is left;
* `Every`: several patterns independent of each other.

A feature of its own is ``OneOf((p,), (On(i),))``; features that share a switch are
``OneOf((p,), (Every((On(i), On(j))),))``; of features that exclude each other at most one is taken;
children stand in one `Every` with their parent, behind its switch.  Given that a feature is on, or
off, the law of the others is a pattern again: Bayes' rule on the choices above it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from .. import _check
from .._value import ShortRepr

# Of probabilities that add up to 1.
_ROUNDING = 1e-9
T = TypeVar("T")


class Algebra(ABC, Generic[T]):
    """What `Pattern.fold` puts in the place of the three kinds of pattern."""

    @abstractmethod
    def on(self, feature: int) -> T:
        """Of a feature that is on."""

    @abstractmethod
    def one_of(self, p: tuple[float, ...], of: list[T]) -> T:
        """Of at most one of several."""

    @abstractmethod
    def every(self, of: list[T]) -> T:
        """Of several that are independent."""


class Pattern(ABC):
    """A law of which features are on; each feature stands in it once."""

    @abstractmethod
    def fold(self, algebra: Algebra[T]) -> T:
        """The value of the pattern in an algebra."""

    @abstractmethod
    def features(self) -> Iterator[int]:
        """The features in it."""

    @abstractmethod
    def probability(self, feature: int) -> float:
        """That a feature is on; 0 if it does not stand in it."""

    @abstractmethod
    def given_on(self, feature: int) -> Pattern:
        """The law of the others given that a feature is on, which has a positive probability."""

    @abstractmethod
    def given_off(self, feature: int) -> Pattern:
        """The law of the others given that it is off, which has a positive probability."""


@dataclass(frozen=True, repr=False)
class On(ShortRepr, Pattern):
    """A feature that is on."""

    feature: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "feature", _check.integer("feature", self.feature, 0))

    def fold(self, algebra: Algebra[T]) -> T:
        return algebra.on(self.feature)

    def features(self) -> Iterator[int]:
        yield self.feature

    def probability(self, feature: int) -> float:
        return float(feature == self.feature)

    def given_on(self, feature: int) -> Pattern:
        return NOTHING

    def given_off(self, feature: int) -> Pattern:
        raise ZeroDivisionError("a feature that is on is not off")


@dataclass(frozen=True, repr=False)
class OneOf(ShortRepr, Pattern):
    """At most one of several patterns: with probability ``p[k]`` the k-th."""

    p: tuple[float, ...]
    of: tuple[Pattern, ...]

    def __post_init__(self) -> None:
        of, p = check_patterns("of", self.of), _check.real("p", self.p)
        if p.shape != (len(of),) or np.any(p < 0) or p.sum() > 1 + _ROUNDING:
            raise ValueError(
                f"p must be {len(of)} probabilities, one of each pattern, that add up to no more "
                f"than 1, got {_check.shown(self.p)}"
            )
        object.__setattr__(self, "p", tuple(p.tolist()))
        object.__setattr__(self, "of", of)

    def fold(self, algebra: Algebra[T]) -> T:
        return algebra.one_of(self.p, [x.fold(algebra) for x in self.of])

    def features(self) -> Iterator[int]:
        for x in self.of:
            yield from x.features()

    def probability(self, feature: int) -> float:
        return sum(p * x.probability(feature) for p, x in zip(self.p, self.of, strict=True))

    def given_on(self, feature: int) -> Pattern:
        return self.of[_place(self.of, feature)].given_on(feature)

    def given_off(self, feature: int) -> Pattern:
        k = _place(self.of, feature)
        inside = self.of[k].probability(feature)
        p, of = list(self.p), list(self.of)
        p[k] *= 1 - inside
        # The first loses digits where the feature is nearly always on.
        left = max(1 - self.p[k] * inside, sum(p))
        p = [x / left for x in p]
        if p[k] > 0:
            of[k] = of[k].given_off(feature)
        else:
            del p[k], of[k]
        return OneOf(tuple(p), tuple(of))


@dataclass(frozen=True, repr=False)
class Every(ShortRepr, Pattern):
    """Several patterns, independent of each other."""

    of: tuple[Pattern, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", check_patterns("of", self.of))

    def fold(self, algebra: Algebra[T]) -> T:
        return algebra.every([x.fold(algebra) for x in self.of])

    def features(self) -> Iterator[int]:
        for x in self.of:
            yield from x.features()

    def probability(self, feature: int) -> float:
        return sum(x.probability(feature) for x in self.of)

    def given_on(self, feature: int) -> Pattern:
        k = _place(self.of, feature)
        return self._with(k, self.of[k].given_on(feature))

    def given_off(self, feature: int) -> Pattern:
        k = _place(self.of, feature)
        return self._with(k, self.of[k].given_off(feature))

    def _with(self, k: int, pattern: Pattern) -> Pattern:
        return Every((*self.of[:k], pattern, *self.of[k + 1 :]))


def check_patterns(name: str, patterns: Any) -> tuple[Pattern, ...]:
    """Several patterns, as a tuple; TypeError if they are none."""
    if not isinstance(patterns, tuple | list):
        raise TypeError(f"{name} must be a tuple of patterns, got {_check.shown(patterns)}")
    for x in patterns:
        if not isinstance(x, Pattern):
            raise TypeError(f"{name} must hold patterns, On, OneOf or Every, got {_check.shown(x)}")
    return tuple(patterns)


NOTHING = Every(())


def _place(patterns: tuple[Pattern, ...], feature: int) -> int:
    return next(k for k, x in enumerate(patterns) if feature in x.features())
