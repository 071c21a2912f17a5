"""Features that come in independent groups: together, one at most, or children of a parent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np

from .. import _check
from .._value import ByValue, ShortRepr
from .amplitude import Amplitude, check_amplitude
from .features import Features, Scenario, importance_of, laws_of
from .pattern import Every, On, OneOf, Pattern
from .sparse import SparseSource
from .uniform import Uniform


class Group(ABC):
    """Features that depend on each other."""

    @abstractmethod
    def pattern(self, numbers: Iterator[int]) -> Pattern:
        """Which are on together, the features numbered in the order of `laws`."""

    @abstractmethod
    def laws(self) -> tuple[Amplitude, ...]:
        """The amplitude laws of the features."""


@dataclass(frozen=True, repr=False)
class Together(ShortRepr, Group):
    """`n` features that share one switch; their amplitudes are independent.

    Parameters
    ----------
    p : float in (0, 1]
        Probability that all are on.
    n : int ≥ 1
    amplitude : Amplitude or sequence of n of them
    """

    p: float
    n: int = 2
    amplitude: Any = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", _check.scalar_probability(self.p))
        object.__setattr__(self, "n", _check.count("n", self.n, 1))
        object.__setattr__(self, "amplitude", laws_of(self.amplitude, self.n))

    def pattern(self, numbers: Iterator[int]) -> Pattern:
        return OneOf((self.p,), (Every(tuple(On(next(numbers)) for _ in range(self.n))),))

    def laws(self) -> tuple[Amplitude, ...]:
        return tuple(self.amplitude)


@dataclass(frozen=True, repr=False)
class Exclusive(ShortRepr, Group):
    """Features of which at most one is on.

    Parameters
    ----------
    p : array_like in (0, 1], shape (n,)
        Probability that each is on; they add up to no more than 1.
    amplitude : Amplitude or sequence of n of them
    """

    p: Any
    amplitude: Any = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        p = _exclusive("p", self.p)
        object.__setattr__(self, "p", p)
        object.__setattr__(self, "amplitude", laws_of(self.amplitude, len(p)))

    def pattern(self, numbers: Iterator[int]) -> Pattern:
        return OneOf(self.p, tuple(On(next(numbers)) for _ in self.p))

    def laws(self) -> tuple[Amplitude, ...]:
        return tuple(self.amplitude)


@dataclass(frozen=True, repr=False)
class Parent(ShortRepr, Group):
    """A feature, and others that can be on only if it is.

    Parameters
    ----------
    p : float in (0, 1]
        Probability that the parent is on; of a parent inside another, given that this is on.
    children : sequence of Parent, SparseSource, Together or Exclusive
        What may be on with it, each with its probability given that the parent is on.
    amplitude : Amplitude
        Law of the parent when it is on.
    exclusive : bool
        Whether at most one of the children, each a `Parent` or a `SparseSource`, is on.
    """

    p: float
    children: tuple[Any, ...] = ()
    amplitude: Amplitude = field(default_factory=Uniform)
    exclusive: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", _check.scalar_probability(self.p))
        object.__setattr__(self, "children", _groups("children", self.children))
        check_amplitude(self.amplitude)
        if _check.boolean("exclusive", self.exclusive):
            for child in self.children:
                if not isinstance(child, Parent | SparseSource):
                    raise TypeError(
                        "children that exclude each other must be features, Parent or "
                        f"SparseSource, got {_check.shown(child)}"
                    )
            _exclusive("p of the children", [child.p for child in self.children] or [1.0])

    def pattern(self, numbers: Iterator[int]) -> Pattern:
        parent, below = On(next(numbers)), [_pattern(x, numbers) for x in self.children]
        if self.exclusive and below:
            of = tuple(x.of[0] for x in below if isinstance(x, OneOf))
            below = [OneOf(tuple(child.p for child in self.children), of)]
        return OneOf((self.p,), (Every((parent, *below)),))

    def laws(self) -> tuple[Amplitude, ...]:
        return (self.amplitude, *(law for x in self.children for law in _laws(x)))


@dataclass(frozen=True, eq=False, repr=False)
class Groups(ByValue, Features):
    """Groups of features, independent of each other.

    Parameters
    ----------
    groups : sequence of Together, Exclusive, Parent and SparseSource
        The last is a feature of its own.  Features are numbered through, a parent before its
        children.
    importance : array_like ≥ 0, scalar or shape (n,)
        Weights of the squared errors; not all zero.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range or lengths differ.

    Examples
    --------
    >>> import rugtheory as rt
    >>> features = rt.Groups([rt.Together(0.1), rt.Exclusive([0.2, 0.3]), rt.SparseSource(0.1)])
    >>> features.on_probability
    array([0.1, 0.1, 0.2, 0.3, 0.1])
    >>> print(f"{features.covariance[2, 3]:.3f}")  # -p₂ p₃ (E u)²
    -0.015
    """

    groups: Any
    importance: Any = 1.0

    def __post_init__(self) -> None:
        groups = _groups("groups", self.groups)
        if not groups:
            raise ValueError("groups must hold at least one, got none")
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "importance", importance_of(self.importance, len(self)))

    @cached_property
    def amplitudes(self) -> tuple[Amplitude, ...]:
        return tuple(law for group in self.groups for law in _laws(group))

    @cached_property
    def scenarios(self) -> Sequence[Scenario]:
        numbers = count()
        patterns = [_pattern(group, numbers) for group in self.groups]
        p = np.array([x.probability(i) for x in patterns for i in sorted(x.features())])
        blocks = tuple(x for x in patterns if len(list(x.features())) > 1)
        return (Scenario(1.0, p, blocks),)


def _groups(name: str, groups: Any) -> tuple[Any, ...]:
    try:
        found = tuple(groups)
    except TypeError:
        raise TypeError(
            f"{name} must be a sequence of groups, got {_check.shown(groups)}"
        ) from None
    for group in found:
        if not isinstance(group, Group | SparseSource):
            raise TypeError(
                f"{name} must hold Together, Exclusive, Parent or SparseSource, "
                f"got {_check.shown(group)}"
            )
        if isinstance(group, SparseSource) and not isinstance(group.p, float):
            raise ValueError(f"{name}: p of a SparseSource must be a scalar, got {group.p}")
    return found


def _pattern(group: Group | SparseSource, numbers: Iterator[int]) -> Pattern:
    if isinstance(group, SparseSource):
        return OneOf((group.p,), (On(next(numbers)),))
    return group.pattern(numbers)


def _laws(group: Group | SparseSource) -> tuple[Amplitude, ...]:
    return (group.amplitude,) if isinstance(group, SparseSource) else group.laws()


def _exclusive(name: str, p: Any) -> tuple[float, ...]:
    checked = _check.probability(name, p, least=_check.LEAST_P)
    if checked.ndim != 1 or not checked.size:
        raise ValueError(f"{name} must be a vector, got shape {checked.shape}")
    if checked.sum() > 1 + 1e-12:
        raise ValueError(f"{name} must add up to no more than 1, got {checked.sum()}")
    return tuple((checked / max(checked.sum(), 1.0)).tolist())
