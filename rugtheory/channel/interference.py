r"""The law of what a reading hears, Z = Σ_j w_j x_j + N(0, τ²), through its transform.

Terms that are independent of all others are taken together if they have one amplitude law, and
blocks of dependent ones have a `Pattern` each.  With φ the transform E e^{sz} of a part and P₀ the
probability that none of its terms is on,

.. math:: E[e^{sZ};\ \text{some on}] = e^{τ²s²/2}\, P_0\, \mathrm{expm1}(Q), \qquad
    Q = Σ_{\text{parts}} \log\frac{φ(s)}{P_0} .

Nothing cancels in it: φ - P₀ is a sum of products of transforms of amplitudes, in patterns too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from .._check import Array
from .._value import ByValue
from ..source.amplitude import Amplitude, Complex
from ..source.pattern import Algebra, Pattern
from ..source.sparse import SparseSource

_EPS = float(np.finfo(float).eps)
# Error allowed in Q where the integrand is largest.
_CONCENTRATED = 1e-13
_FIRST_NODES = 32
_CHUNK = 2**18
# Probabilities of nothing below this are none: their inverse may be no number.
_NEVER = 1e-280
# Terms that add up to less than this part of the others are not seen.
_NEGLIGIBLE = 1e-13


class Part(ByValue, ABC):
    """Terms of a sum that are independent of the other terms."""

    @property
    @abstractmethod
    def log_none(self) -> float:
        """Log of the probability that no term is on; -inf if one always is."""

    @property
    @abstractmethod
    def laws(self) -> set[Amplitude]:
        """Of the amplitudes in it."""

    @property
    @abstractmethod
    def mean(self) -> float:
        """Of the sum."""

    @property
    @abstractmethod
    def variance(self) -> float:
        """Of the sum."""

    @property
    @abstractmethod
    def cumulants(self) -> Array:
        """Of order 1 to 4 of the sum, shape (4,)."""

    @property
    @abstractmethod
    def second_moment(self) -> float:
        """Of the sum, without correlations between its terms but for those of a block."""

    @abstractmethod
    def exponent(self, s: Complex) -> tuple[Complex, Array]:
        """Log of φ/P₀, or of φ if P₀ = 0, but for multiples of 2πi; its error.

        `s` by increasing modulus.
        """

    @abstractmethod
    def by_law(self) -> list[tuple[Amplitude, Array]]:
        """The amplitude laws in it, and the weights of the terms of each."""

    @abstractmethod
    def scaled(self, by: float) -> Part:
        """The same with all weights times a factor."""

    @abstractmethod
    def relative_error(self, s: float) -> float:
        """Of φ on the line through a real `s`, from those of the amplitudes' transforms."""


@dataclass(frozen=True, eq=False)
class Terms(Part):
    """Σ_j w_j c_j u_j for independent c_j and u_j of one amplitude law.

    Attributes
    ----------
    weights : ndarray, shape (n,)
        None of them zero, by decreasing modulus.
    p : float or ndarray, shape (n,)
        Probability that each term is on: all 1, or all below.
    amplitude : Amplitude
    """

    weights: Array
    p: float | Array
    amplitude: Amplitude

    @cached_property
    def _certain(self) -> bool:
        return bool(np.all(np.asarray(self.p) == 1))

    @cached_property
    def _odds(self) -> float | Array:
        return 1.0 if self._certain else self.p / (1 - self.p)

    @cached_property
    def _counted(self) -> tuple[Array, Array]:
        """Weights, each once if they have one p, and how often they are there."""
        if isinstance(self.p, np.ndarray):
            return self.weights, np.ones(self.weights.size)
        distinct, counts = np.unique(self.weights, return_counts=True)
        return distinct, counts.astype(float)

    @cached_property
    def log_none(self) -> float:
        if not self.weights.size:
            return 0.0
        if self._certain:
            return -np.inf
        if isinstance(self.p, np.ndarray):
            return float(np.sum(np.log1p(-self.p)))
        return self.weights.size * float(np.log1p(-self.p))

    @property
    def laws(self) -> set[Amplitude]:
        return {self.amplitude}

    @cached_property
    def mean(self) -> float:
        if isinstance(self.p, np.ndarray):
            return float(self.weights @ self.p) * self.amplitude.mean
        return self.p * self.amplitude.mean * float(self.weights.sum())

    @cached_property
    def variance(self) -> float:
        each = SparseSource(self.p, self.amplitude).variance
        if isinstance(self.p, np.ndarray):
            return float(self.weights**2 @ each)
        return float(each) * float(self.weights @ self.weights)

    @property
    def cumulants(self) -> Array:
        each = SparseSource(self.p, self.amplitude).cumulants()
        powers = (np.sum(k * self.weights**n) for n, k in enumerate(each, 1))
        return np.array([float(x) for x in powers])

    @cached_property
    def second_moment(self) -> float:
        second = self.amplitude.second_moment
        if isinstance(self.p, np.ndarray):
            return second * float(self.weights**2 @ self.p)
        return self.p * second * float(self.weights @ self.weights)

    def by_law(self) -> list[tuple[Amplitude, Array]]:
        return [(self.amplitude, self.weights)]

    def scaled(self, by: float) -> Terms:
        return replace(self, weights=by * self.weights)

    def taken(self, mask: NDArray[np.bool_]) -> Terms:
        """Those of the terms that a mask takes."""
        p = self.p[mask] if isinstance(self.p, np.ndarray) else self.p
        return replace(self, weights=self.weights[mask], p=p)

    def relative_error(self, s: float) -> float:
        if not self.amplitude.transform_error:
            return 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            m = self.amplitude.transform((s * self.weights).astype(complex), 0).real
            shares = self.p * m / (1 - self.p + self.p * m)
        return self.amplitude.transform_error * float(np.sum(np.where(np.isfinite(m), shares, 1.0)))

    def exponent(self, s: Complex) -> tuple[Complex, Array]:
        probes = s[[0, -1]]
        direct = self._sum(probes, *self._counted)
        # Rounding is relative to the terms, which are largest next to the real axis.
        rounding = 4 * _EPS * np.abs(direct[0])
        for kept, order in self._splits(s):
            strong, weak = self.weights[:kept], self.weights[kept:]
            nodes, counts = _concentrate(weak, order)
            q = self._sum(s, strong) + self._sum(s, nodes, counts)
            first, last = np.abs(q[[0, -1]] - direct)
            if first < _CONCENTRATED and last < 1e3 * _CONCENTRATED:
                return q, first + 4 * last * np.abs(s / s[-1]) + rounding
        return self._sum(s, *self._counted), np.broadcast_to(rounding, s.shape)

    def _splits(self, s: Complex) -> Iterator[tuple[int, int]]:
        """Numbers of weights kept, and of nodes for the others, worth trying."""
        n, distinct = self.weights.size, self._counted[0].size
        if distinct < _FIRST_NODES or isinstance(self.p, np.ndarray) or self.p >= 0.5:
            return  # from p = ½ on the logarithm has branch points among small weights
        kept = np.unique(np.minimum(np.append(0, 2 ** np.arange(12)), n - 1))
        edge = np.abs(self.weights[kept])
        # None either where p E[e^{s w u}] / (1 - p) stays below 1 along the whole line.
        odds, abscissa = self.p / (1 - self.p), self.amplitude.abscissa
        real = np.minimum(edge * np.abs(s.real).max(), 0.999 * abscissa)
        with np.errstate(over="ignore", invalid="ignore"):
            regular = odds * self.amplitude.transform(real.astype(complex), 0).real < 0.9
            if self.amplitude.start < 0:
                regular &= odds * self.amplitude.transform(-real.astype(complex), 0).real < 0.9
        order = np.ceil(0.6 * edge * self.amplitude.extent * np.abs(s[-1]) + 16)
        for factor in (1.0, 1.6, 2.6, 4.0):
            cost = np.where(regular, kept + factor * order, np.inf)
            best = int(np.argmin(cost))
            if cost[best] < 0.5 * distinct:
                yield int(kept[best]), int(factor * order[best])

    def _sum(self, s: Complex, weights: Array, counts: Array | None = None) -> Complex:
        """Σ_j counts_j log(…w_j…), in chunks."""
        total = np.empty_like(s)
        size = max(1, _CHUNK // max(weights.size, 1))
        for start in range(0, s.size, size):
            part = slice(start, start + size)
            logs = self._log_term(s[part, None] * weights)
            # einsum takes no threads, which cost more than products this small.
            ones = np.ones(weights.size) if counts is None else counts
            total[part] = np.einsum("sj,j->s", logs, ones)
        return total

    def _log_term(self, t: Complex) -> Complex:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            mgf = self.amplitude.transform(t, 0)
            return np.asarray(np.log(mgf)) if self._certain else _log1p(self._odds * mgf)


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
        none, some = self.pattern.fold(_Chances(set(self._members)))
        if some < 0.5:
            return float(np.log1p(-some))
        return float(np.log(none)) if none > _NEVER else -np.inf

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
        return self.pattern.fold(_Moments(terms))

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
        return from_raw_moments(self.pattern.fold(_RawMoments(terms)))

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
        values: dict[int, Complex] = {}
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for law in self.laws:
                some = [j for j in self._members if self.amplitudes[j] == law]
                found = law.transform(np.multiply.outer([self.weights[j] for j in some], s), 0)
                values |= dict(zip(some, found, strict=True))
            none, rest = self.pattern.fold(_Transform(values))
            if none > _NEVER:
                return _log1p(np.asarray(rest / none, np.complex128) + np.zeros_like(s))
            return np.asarray(np.log(rest), np.complex128)

    def outcomes(self, add: _Add) -> Sums | None:
        """The values of the sum if amplitudes are discrete; None if they are too many."""
        values = {}
        for j in self._members:
            atoms = self.amplitudes[j].atoms()
            if atoms is None:
                return None
            w = self.weights[j]
            order = np.argsort(w * atoms[0])
            values[j] = (w * atoms[0])[order], atoms[1][order], np.abs(w * atoms[0])[order]
        return self.pattern.fold(_Outcomes(values, add))


# Values, ascending, their probabilities, and the mean of Σ|terms| in each.
Sums = tuple[Array, Array, Array]
_Add = Callable[[Sums, Sums], Sums | None]


_Pair = tuple[float, Complex]


class _Transform(Algebra[_Pair]):
    """P₀ and φ - P₀, from E e^{s w u} of each term; sums of positive terms at real s."""

    def __init__(self, values: Mapping[int, Complex]) -> None:
        self.values = values

    def on(self, feature: int) -> _Pair:
        if feature not in self.values:
            return 1.0, np.zeros(1, np.complex128)
        return 0.0, self.values[feature]

    def one_of(self, p: tuple[float, ...], of: list[_Pair]) -> _Pair:
        none = max(1 - sum(p), 0.0) + sum(q * x[0] for q, x in zip(p, of, strict=True))
        rest = np.zeros(1, np.complex128)
        for q, x in zip(p, of, strict=True):
            rest = rest + q * x[1]
        return none, rest

    def every(self, of: list[_Pair]) -> _Pair:
        none, rest = 1.0, np.zeros(1, np.complex128)
        for n, x in of:
            none, rest = none * n, rest * x + rest * n + none * x
        return none, rest


class _Chances(Algebra[tuple[float, float]]):
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


class _Moments(Algebra[tuple[float, float]]):
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


class _RawMoments(Algebra[Array]):
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


class _Outcomes(Algebra["Sums | None"]):
    """Values of the sum; None if they are too many."""

    def __init__(self, values: Mapping[int, Sums], add: _Add) -> None:
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


@dataclass(frozen=True, eq=False)
class Interference(ByValue):
    """The law of Z = Σ_j w_j x_j + N(0, noise²), without the event that no x_j is on.

    Attributes
    ----------
    parts : tuple of Part
        Independent of each other.
    noise : float
        Standard deviation of what is Gaussian from the start.
    """

    parts: tuple[Part, ...]
    noise: float = 0.0

    @classmethod
    def identical(cls, weights: Array, p: float, amplitude: Amplitude) -> Interference:
        """Of independent features of one law; `weights` by decreasing modulus, none zero."""
        return cls((Terms(weights, p, amplitude),) if weights.size else ())

    @cached_property
    def log_none(self) -> float:
        """Log of the probability that all are off."""
        return sum(x.log_none for x in self.parts)

    @cached_property
    def some(self) -> float:
        """Probability that one is on at least."""
        return float(-np.expm1(self.log_none))

    @cached_property
    def log_all_off(self) -> float:
        """What `exponent` leaves out of the log of E e^{sZ}."""
        return sum(x.log_none for x in self.parts if np.isfinite(x.log_none))

    @property
    def _atom(self) -> bool:
        return bool(np.isfinite(self.log_none))

    @cached_property
    def mean(self) -> float:
        """E Z."""
        return sum(x.mean for x in self.parts)

    @cached_property
    def mean_size(self) -> float:
        """Σ E|w_j x_j|, at least |E Z|, but for terms of one amplitude of either sign."""
        return sum(
            Terms(np.abs(x.weights), x.p, x.amplitude).mean
            if isinstance(x, Terms)
            else float(np.sqrt(x.second_moment))
            for x in self.parts
        )

    @cached_property
    def variance(self) -> float:
        """Var Z without the noise."""
        return sum(x.variance for x in self.parts)

    @cached_property
    def cumulants(self) -> Array:
        """Of order 1 to 4 of Z, shape (4,)."""
        total = np.asarray(sum((x.cumulants for x in self.parts), np.zeros(4)))
        return np.asarray(total + np.array([0.0, self.noise**2, 0.0, 0.0]))

    @cached_property
    def highest(self) -> float:
        """Supremum of Z without the noise."""
        total = 0.0
        for part in self.parts:
            for law, w in part.by_law():
                up, down = w[w > 0].sum(), w[w < 0].sum()
                total += float(up * max(law.end, 0.0) if up else 0.0)
                total += float(down * min(law.start, 0.0) if down else 0.0)
        return total

    def log_transform(self, s: Array) -> Array:
        """Log E e^{sZ} at real `s`, by increasing modulus."""
        q, _ = self.exponent(s.astype(complex))
        return np.asarray(q.real + self.log_all_off + 0.5 * (self.noise * s) ** 2)

    def transform(self, s: Complex) -> Complex:
        """E e^{sZ}, s of any shape and order."""
        if not s.size:
            return s
        order = np.argsort(np.abs(s), axis=None)
        q, _ = self.exponent(s.ravel()[order])
        value = np.empty(s.size, np.complex128)
        value[order] = np.exp(q + self.log_all_off + 0.5 * (self.noise * s.ravel()[order]) ** 2)
        return value.reshape(s.shape)

    @cached_property
    def discrete(self) -> bool:
        """Whether all amplitudes are."""
        return all(law.atoms() is not None for x in self.parts for law in x.laws)

    @cached_property
    def spread(self) -> float:
        """Root mean square of Σ_j w_j (x_j - E x_j) and noise, but for a factor of at most 2."""
        return float(np.sqrt(sum(x.second_moment for x in self.parts) + self.noise**2))

    @cached_property
    def _sizes(self) -> tuple[Array, Array, Array, Array]:
        """Of each term: weight, E u², whether it may be positive, and negative."""
        columns = [(np.zeros(0),) * 4]
        for part in self.parts:
            for law, w in part.by_law():
                up, down = float(law.end > 0), float(law.start < 0)
                high, low = np.where(w > 0, up, down), np.where(w > 0, down, up)
                columns.append((w, np.full(w.size, law.second_moment), high, low))
        weights, second, high, low = (np.concatenate(x) for x in zip(*columns, strict=True))
        return weights, second, high, low

    def extent(self, side: int = 0) -> float:
        """Scale of the values of Z: root of Σ w² E u², of those on one side if `side` is ±1."""
        weights, second, high, low = self._sizes
        counted = 1.0 if side == 0 else high if side > 0 else low
        return float(np.sqrt(np.sum(weights**2 * second * counted)))

    @cached_property
    def largest(self) -> float:
        """Of the moduli of the weights."""
        return float(np.abs(self._sizes[0]).max(initial=0.0))

    def strongest(self, n: int) -> Array:
        """Values of the `n` terms that change most when they are on."""
        ends = [np.zeros(0)]
        for part in self.parts:
            ends += [law.jump * w for law, w in part.by_law()]
        every = np.concatenate(ends)
        return every[np.argsort(-np.abs(every), kind="stable")[:n]]

    @cached_property
    def jump(self) -> float:
        """Scale of the largest term when it is on."""
        sizes = [0.0]
        for part in self.parts:
            sizes += [law.jump * float(np.abs(w).max()) for law, w in part.by_law()]
        return max(sizes)

    @cached_property
    def reach(self) -> float:
        """No |Z| is larger, but for a probability far below rounding."""
        total = 40 * self.noise
        for part in self.parts:
            total += sum(law.reach * float(np.abs(w).sum()) for law, w in part.by_law())
        return total

    def scaled(self, by: float) -> Interference:
        """The law of `by`·Z."""
        return Interference(tuple(x.scaled(by) for x in self.parts), abs(by) * self.noise)

    def significant(self, unit: float) -> tuple[Interference, float, float]:
        """The terms that matter, the mean of the others, and their deviation.

        `unit` is a scale of the reading besides; a change of the reading moves the loss by at most
        2√loss times its rms plus its square.
        """
        sizes = [np.abs(x.weights) * x.amplitude.rms for x in self.parts if isinstance(x, Terms)]
        every = np.sort(np.concatenate([np.zeros(0), *sizes]))
        if not every.size:
            return self, 0.0, 0.0
        rest = np.sqrt(np.cumsum(every**2))
        whole = max(float(rest[-1]), self.spread)
        small = np.searchsorted(rest, _NEGLIGIBLE * min(whole, unit or np.inf), side="right")
        if not small:
            return self, 0.0, 0.0
        limit = every[small - 1]
        if small < every.size and every[small] == limit:
            # Of equal ones all stay.
            small = np.searchsorted(every, limit)
            limit = every[small - 1] if small else 0.0
        parts: list[Part] = []
        mean, variance = 0.0, 0.0
        for part in self.parts:
            if isinstance(part, Terms):
                kept = np.abs(part.weights) * part.amplitude.rms > limit
                gone = part.taken(~kept)
                mean, variance = mean + gone.mean, variance + gone.variance
                part = part.taken(kept)
                if not part.weights.size:
                    continue
            parts.append(part)
        return Interference(tuple(parts), self.noise), mean, float(np.sqrt(variance))

    def apart(self, limit: float) -> tuple[Interference, Interference]:
        """Terms of a larger and of a smaller modulus of the weight, blocks by their largest.

        The noise goes with the smaller ones.
        """
        large: list[Part] = []
        small: list[Part] = []
        for part in self.parts:
            if isinstance(part, Terms):
                high = np.abs(part.weights) > limit
                for mask, into in ((high, large), (~high, small)):
                    if mask.any():
                        into.append(part.taken(mask))
            else:
                (large if max(np.abs(w).max() for _, w in part.by_law()) > limit else small).append(
                    part
                )
        return Interference(tuple(large)), Interference(tuple(small), self.noise)

    def __add__(self, other: Interference) -> Interference:
        return Interference(self.parts + other.parts, float(np.hypot(self.noise, other.noise)))

    def accuracy(self, s: float) -> float:
        """Error of E e^{sZ} on the line through real `s` from those of amplitudes' transforms."""
        relative = sum(x.relative_error(s) for x in self.parts)
        if not relative:
            return 0.0
        q = self.exponent(np.array([s], complex))[0].real[0] + self.log_all_off
        with np.errstate(over="ignore"):
            return float(np.exp(q + 0.5 * (self.noise * s) ** 2)) * relative

    def domain(self) -> tuple[float, float]:
        """The real s, an open interval, at which E e^{sZ} is finite."""
        low, high = -np.inf, np.inf
        for part in self.parts:
            for law, weights in part.by_law():
                up, down = float(weights.max()), float(weights.min())
                for edge in (law.abscissa, law.least_abscissa):
                    ends = [edge / w for w in (up, down) if w and np.isfinite(edge)]
                    high = min([high, *(x for x in ends if x > 0)])
                    low = max([low, *(x for x in ends if x < 0)])
        return low, high

    def exponent(self, s: Complex) -> tuple[Complex, Array]:
        """The sum of those of the parts."""
        q, error = np.zeros(s.shape, np.complex128), np.zeros(s.shape)
        for part in self.parts:
            one, inexact = part.exponent(s)
            q, error = q + one, error + inexact
        return q, error

    def log_mgf(self, s: Array) -> Array:
        """Log E[e^{sZ}; some on] at real `s`, by increasing modulus; +inf where it overflows."""
        q, gaussian = self.exponent(s.astype(complex))[0].real, 0.5 * (self.noise * s) ** 2
        if not self._atom:
            return np.asarray(q + self.log_all_off + gaussian)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            log = self.log_none + np.where(q < 30, np.log(np.expm1(q)), q) + gaussian
        return np.where(np.isfinite(log), log, np.inf)

    def mgf(self, s: Complex, log_factor: Complex) -> tuple[Complex, Array]:
        """E[e^{sZ}; some on] e^{log_factor} and its error, at `s` by increasing modulus."""
        q, error = self.exponent(s)
        rest = log_factor + self.log_all_off
        if self.noise:
            rest = rest + 0.5 * (self.noise * s) ** 2
        if not self._atom:
            value = np.exp(q + rest)
            return value, error * np.abs(value)
        large = np.exp(q + rest)
        near = np.abs(q) < 1
        value = large - np.exp(rest)
        value[near] = np.expm1(q[near]) * np.exp(rest[near])
        return value, error * np.abs(large)


def _log1p(z: Complex) -> Complex:
    # numpy's log1p of a complex number loses its real part near zero.
    x, y = z.real, z.imag
    log = np.empty_like(z)
    log.real = 0.5 * np.log1p(x * (2 + x) + y * y)
    log.imag = np.arctan2(y, 1 + x)
    return log


def _concentrate(weights: Array, order: int) -> tuple[Array, Array]:
    """Chebyshev nodes and counts with Σ_j f(w_j) = Σ_k counts_k f(node_k) for smooth f."""
    width = np.abs(weights).max()
    x = chebyshev.chebpts1(order)
    sums = chebyshev.chebvander(weights / width, order - 1).sum(axis=0) * (2 / order)
    sums[0] /= 2
    return width * x, np.einsum("kj,j->k", chebyshev.chebvander(x, order - 1), sums)
