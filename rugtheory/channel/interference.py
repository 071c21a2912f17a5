r"""The law of what a reading hears, Z = Σ_j w_j x_j + N(0, τ²), through its transform.

Terms that are independent of all others are taken together if they have one amplitude law, and
blocks of dependent ones have a `Pattern` each.  With φ the transform E e^{sz} of a part and P₀ the
probability that none of its terms is on,

.. math:: E[e^{sZ};\ \text{some on}] = e^{τ²s²/2}\, P_0\, \mathrm{expm1}(Q), \qquad
    Q = Σ_{\text{parts}} \log\frac{φ(s)}{P_0} .

Nothing cancels in it: φ - P₀ is a sum of products of transforms of amplitudes, in patterns too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._check import Array
from .._value import ByValue
from ..source.amplitude import Amplitude, Complex
from .part import Part
from .terms import Terms

# Terms that add up to less than this part of the others are not seen.
_NEGLIGIBLE = 1e-13


@dataclass(frozen=True, eq=False, repr=False)
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
        """Σ E|w_j x_j|, at least |E Z|; of terms with amplitudes of either sign, Σ |w_j| E x_j."""
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
        """Root mean square of Σ_j w_j (x_j - E x_j) and noise, up to a factor of at most 2."""
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

    @property
    def size(self) -> int:
        """Number of terms."""
        return int(self._sizes[0].size)

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
        """No |Z| is larger, except with a probability far below rounding."""
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
