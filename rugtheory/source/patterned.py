"""Features given by their patterns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .. import _check
from .._value import ByValue
from .amplitude import Amplitude
from .features import Features, Scenario, importance_of, laws_of
from .pattern import check_patterns
from .uniform import Uniform


@dataclass(frozen=True, eq=False, repr=False)
class Patterned(ByValue, Features):
    """Features of which some come in blocks, each with a tree of choices of its own.

    Parameters
    ----------
    p : array_like in [0, 1], shape (n,)
        Probability that each feature is on; of a feature in a block 0, or what the block says.
    blocks : sequence of On, OneOf and Every
        Each feature stands in one of them at most; all others are independent.
    amplitude : Amplitude or sequence of n of them
    importance : array_like ≥ 0, scalar or shape (n,)

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range, or lengths differ.

    Examples
    --------
    >>> import rugtheory as rt
    >>> parent = rt.OneOf((0.5,), (rt.Every((rt.On(2), rt.OneOf((0.2,), (rt.On(0),)))),))
    >>> rt.Patterned([0, 0.3, 0], [parent]).on_probability
    array([0.1, 0.3, 0.5])
    """

    p: Any
    blocks: Any = ()
    amplitude: Any = field(default_factory=Uniform)
    importance: Any = 1.0

    def __post_init__(self) -> None:
        p, blocks = np.array(_check.share("p", self.p)), check_patterns("blocks", self.blocks)
        if p.ndim != 1 or not p.size:
            raise ValueError(f"p must be a vector with an element a feature, got shape {p.shape}")
        for block in blocks:
            for i in block.features():
                if i >= p.size:
                    raise ValueError(f"blocks must hold features below {p.size}, got {i}")
                chance = block.probability(i)
                if p[i] and abs(p[i] - chance) > 1e-9 * chance:
                    raise ValueError(f"p of feature {i} must be {chance}, got {p[i]}")
                p[i] = chance
        object.__setattr__(self, "p", p)
        object.__setattr__(self, "blocks", blocks)
        object.__setattr__(self, "importance", importance_of(self.importance, p.size))
        if not isinstance(self.amplitude, Amplitude):
            object.__setattr__(self, "amplitude", laws_of(self.amplitude, p.size))
        if not np.any(p > 0):
            raise ValueError(f"p must be positive for one feature at least, got {p}")
        _ = self.scenarios

    @property
    def amplitudes(self) -> Sequence[Amplitude]:
        return laws_of(self.amplitude, self.p.size)

    @cached_property
    def scenarios(self) -> Sequence[Scenario]:
        return (Scenario(1.0, self.p, self.blocks),)
