"""Dependent terms of a sum, by their pattern."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .._check import Array
from ..source.amplitude import Amplitude, Complex
from ..source.pattern import Pattern
from .algebras import (
    Add,
    Chances,
    Moments,
    Outcomes,
    Pair,
    RawMoments,
    Sums,
    Transform,
    from_raw_moments,
    raw_moments,
)
from .part import Part
from .terms import log1p

_EPS = float(np.finfo(float).eps)
_CHUNK = 2**18
# Probabilities of nothing below this are none: their inverse may be no number.
NEVER = 1e-280


@dataclass(frozen=True, eq=False)
class Block(Part):
    """Σ_j w_j x_j over dependent features.

    Attributes
    ----------
    pattern : Pattern
        Which are on together.
    weights : mapping of int to float
        Of each feature in it; features of weight zero are no terms.
    amplitudes : mapping of int to Amplitude
    """

    pattern: Pattern
    weights: Mapping[int, float]
    amplitudes: Mapping[int, Amplitude]

    @cached_property
    def _members(self) -> list[int]:
        return [j for j in self.pattern.features() if self.weights[j]]

    @cached_property
    def log_none(self) -> float:
        none, some = self.pattern.fold(Chances(set(self._members)))
        if some < 0.5:
            return float(np.log1p(-some))
        return float(np.log(none)) if none > NEVER else -np.inf

    @property
    def laws(self) -> set[Amplitude]:
        return {self.amplitudes[j] for j in self._members}

    @cached_property
    def _moments(self) -> tuple[float, float]:
        terms = {
            j: (self.weights[j] * law.mean, self.weights[j] ** 2 * law.variance)
            for j, law in self.amplitudes.items()
            if j in self.weights
        }
        return self.pattern.fold(Moments(terms))

    @property
    def mean(self) -> float:
        return self._moments[0]

    @property
    def variance(self) -> float:
        return self._moments[1]

    @property
    def cumulants(self) -> Array:
        terms = {}
        for j in self._members:
            k = self.amplitudes[j].cumulants()
            terms[j] = raw_moments(np.array(k) * self.weights[j] ** np.arange(1, 5))
        return from_raw_moments(self.pattern.fold(RawMoments(terms)))

    @property
    def second_moment(self) -> float:
        return self.variance + self.mean**2

    def by_law(self) -> list[tuple[Amplitude, Array]]:
        return [
            (law, np.array([self.weights[j] for j in self._members if self.amplitudes[j] == law]))
            for law in self.laws
        ]

    def scaled(self, by: float) -> Block:
        return replace(self, weights={j: by * w for j, w in self.weights.items()})

    def relative_error(self, s: float) -> float:
        return float(sum(self.amplitudes[j].transform_error for j in self._members))

    def exponent(self, s: Complex) -> tuple[Complex, Array]:
        size = max(1, _CHUNK // max(len(self._members), 1))
        q = np.concatenate([self._log(s[k : k + size]) for k in range(0, s.size, size)])
        rounding = 4 * _EPS * max(len(self._members), 1) * np.abs(q[0])
        return q, np.broadcast_to(rounding, s.shape)

    def _log(self, s: Complex) -> Complex:
        values: dict[int, Pair] = {}
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for law in self.laws:
                some = [j for j in self._members if self.amplitudes[j] == law]
                found = law.transform(np.multiply.outer([self.weights[j] for j in some], s), 0)
                values |= {j: (0.0, phi) for j, phi in zip(some, found, strict=True)}
            none, rest = self.pattern.fold(Transform(values))
            rest = rest + np.zeros_like(s)
            return log1p(rest / none) if none > NEVER else np.asarray(np.log(rest), np.complex128)

    def outcomes(self, add: Add) -> Sums | None:
        """The values of the sum if amplitudes are discrete; None if they are too many."""
        values = {}
        for j in self._members:
            atoms = self.amplitudes[j].atoms()
            if atoms is None:
                return None
            w = self.weights[j]
            order = np.argsort(w * atoms[0])
            values[j] = (w * atoms[0])[order], atoms[1][order], np.abs(w * atoms[0])[order]
        return self.pattern.fold(Outcomes(values, add))
