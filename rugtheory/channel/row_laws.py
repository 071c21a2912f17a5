"""What the reading of each feature hears in given weights: from a joint law of features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude
from ..source.features import Features
from ..source.pattern import Every, On, OneOf, Pattern
from ..source.sparse import on_law
from .block import Block
from .family import Family
from .interference import Interference
from .part import Part
from .row_loss import RowLaw
from .terms import Terms

# Features of one law and p are taken by themselves where there are so many.
_MANY = 64


@dataclass(frozen=True)
class Kind:
    """Independent features of one amplitude law, and of one p unless `p` is an array."""

    columns: NDArray[np.intp]
    p: float | Array
    amplitude: Amplitude


@dataclass(frozen=True)
class RowScenario:
    probability: float
    p: Array
    kinds: tuple[Kind, ...]
    blocks: tuple[Pattern, ...]
    block_of: dict[int, int]
    families: tuple[Family, ...]


class RowLaws:
    """The laws of all readings of features, in each of their scenarios.

    "On" means not zero: an atom of an amplitude at 0 belongs to the features that are off.
    """

    def __init__(self, features: Features) -> None:
        known = {law: on_law(1.0, law) for law in set(features.amplitudes)}
        laws = [known[law] for law in features.amplitudes]
        self.amplitudes = tuple(law for _, law in laws)
        shares = np.array([float(share) for share, _ in laws])
        self.scenarios = [
            self._scenario(x.probability, shares * x.p, _thinned(x.blocks, shares))
            for x in features.scenarios
            if x.probability > 0
        ]

    def _scenario(self, probability: float, p: Array, blocks: tuple[Pattern, ...]) -> RowScenario:
        block_of = {i: k for k, block in enumerate(blocks) for i in block.features()}
        found: dict[Amplitude, list[int]] = {}
        for i, law in enumerate(self.amplitudes):
            if i not in block_of and p[i] > 0:
                found.setdefault(law, []).append(i)
        kinds = [
            kind
            for law, members in found.items()
            for kind in _kinds(np.array(members), p[members], law)
        ]
        families = Family.all(blocks, self.amplitudes)
        return RowScenario(probability, p, tuple(kinds), blocks, block_of, families)

    def __call__(self, i: int, weights: Array, noise: float) -> list[tuple[float, RowLaw]]:
        """Probabilities of the scenarios, and what reading `i` hears in them.

        `weights` are those of all features, of which the i-th is passed over.
        """
        return [(x.probability, self._law(x, i, weights, noise)) for x in self.scenarios]

    def whole(self, weights: Array, noise: float) -> list[tuple[float, Interference]]:
        """Probabilities of the scenarios, and the law of Σ_j weights_j x_j + noise in them."""
        return [
            (x.probability, Interference(tuple(self._parts(x, weights)), noise))
            for x in self.scenarios
        ]

    def _parts(self, scenario: RowScenario, weights: Array, i: int = -1) -> list[Part]:
        """Of all terms but the block of `i`, and `i` itself."""
        parts: list[Part] = list(_terms(scenario.kinds, i, weights))
        own = scenario.block_of.get(i)
        for k, block in enumerate(scenario.blocks):
            if k != own:
                parts += self._block(block, weights)
        return parts

    def _law(self, scenario: RowScenario, i: int, weights: Array, noise: float) -> RowLaw:
        parts, own = self._parts(scenario, weights, i), scenario.block_of.get(i)
        p = float(scenario.p[i])
        if own is None:
            heard = Interference(tuple(parts), noise)
            return RowLaw(p, self.amplitudes[i], heard, heard)
        block = scenario.blocks[own]
        nothing = Interference((), noise)
        on, off = (
            Interference((*parts, *self._block(given(i), weights)), noise) if share > 0 else nothing
            for given, share in ((block.given_on, p), (block.given_off, 1 - p))
        )
        return RowLaw(p, self.amplitudes[i], on, off)

    def _block(self, pattern: Pattern, weights: Array) -> list[Block]:
        members = list(pattern.features())
        heard = {j: float(weights[j]) for j in members}
        if not any(heard.values()):
            return []
        return [Block(pattern, heard, {j: self.amplitudes[j] for j in members})]


def _terms(kinds: tuple[Kind, ...], i: int, weights: Array) -> Iterator[Terms]:
    for kind in kinds:
        w = weights[kind.columns]
        heard = np.flatnonzero((w != 0) & (kind.columns != i))
        heard = heard[np.argsort(-np.abs(w[heard]))]
        if heard.size:
            p = kind.p[heard] if isinstance(kind.p, np.ndarray) else kind.p
            yield Terms(w[heard], p, kind.amplitude)


def _kinds(members: NDArray[np.intp], p: Array, law: Amplitude) -> Iterator[Kind]:
    values, counts = np.unique(p, return_counts=True)
    alone = values if values.size == 1 else values[(counts >= _MANY) | (values == 1)]
    for one in alone:
        yield Kind(members[p == one], float(one), law)
    others = ~np.isin(p, alone)
    if others.any():
        yield Kind(members[others], p[others], law)


def _thinned(blocks: tuple[Pattern, ...], shares: Array) -> tuple[Pattern, ...]:
    """Patterns in which features that are on may be zero all the same."""
    return tuple(_with_zeros(x, shares) for x in blocks)


def _with_zeros(pattern: Pattern, shares: Array) -> Pattern:
    if isinstance(pattern, On):
        share = float(shares[pattern.feature])
        return pattern if share == 1 else OneOf((share,), (pattern,))
    if isinstance(pattern, OneOf):
        return OneOf(pattern.p, tuple(_with_zeros(x, shares) for x in pattern.of))
    assert isinstance(pattern, Every)
    return Every(tuple(_with_zeros(x, shares) for x in pattern.of))
