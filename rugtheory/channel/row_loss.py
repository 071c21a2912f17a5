r"""The loss of given weights, exactly: x̂ = ReLU(W_out W_in x + b) on sparse features.

For one output the reading is v = a u + b + Z, with a = W_ii and Z = Σ_{j≠i} W_ij x_j, far from
Gaussian at practical sizes; its law may depend on whether u is on.  Conditioned on u,

.. math:: E(u - \mathrm{ReLU}(v))^2 = E u^2 + E[\mathrm{ReLU}(v)^2 - 2u\,\mathrm{ReLU}(v)]
    = E(u - v)^2 - E[\mathrm{ReLU}(-v)^2 + 2u\,\mathrm{ReLU}(-v)] ,

and either bracket is one integral over the moment generating function of Z: see
`rugtheory.channel.inversion`.  The form with the smaller first term is taken.  The event Z = 0 that
no interferer is on adds its probability times the loss without noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._check import Array
from .._value import ByValue
from ..source.amplitude import Amplitude, Complex
from ..source.sparse import SparseSource
from ..theory.loss import parts
from .algebras import Sums
from .interference import Interference
from .inversion import Estimate, Integral
from .support import support_with_sizes

# Of a discrete law, whose transform never decays, more nodes tell little.
_MOST_NODES, _MOST_NODES_DISCRETE = 2**17, 2**15
# Relative changes of a diagonal that are rounding.
_NO_SHIFT = 1e-15
# A diagonal below this part of a weight is none: what it adds is far below rounding.
_NO_DIAGONAL = 1e-30
# Of biases, in units in which integrands change by a factor of e.
_NEAR = 0.3
# Relative error of sums of positive terms, with a margin.
_ROUNDING = 4e-15


@dataclass(frozen=True)
class Least:
    """The least loss, and the diagonal a and threshold t that have it.

    a = 0 at t = -inf stands for a constant, the mean of the feature; at t = inf, for zero.
    """

    loss: float
    a: float
    threshold: float

    def bias(self, mean: float) -> float:
        """Of the output with this diagonal, for a feature of this mean."""
        if self.a > 0:
            return 0.0 - self.a * self.threshold
        return mean if self.threshold < 0 else 0.0


@dataclass(frozen=True, eq=False, repr=False)
class RowLaw(ByValue):
    """A feature, and what its reading hears when it is on and when it is off.

    Attributes
    ----------
    p : float in [0, 1]
        Probability that the feature is on.
    amplitude : Amplitude
        Law of the feature when it is on.
    on, off : Interference
        One object if the feature is independent of the others.
    """

    p: float
    amplitude: Amplitude
    on: Interference
    off: Interference

    @classmethod
    def identical(cls, weights: Array, source: SparseSource, noise: float = 0.0) -> RowLaw:
        """Of identical features; `weights` are those of the others, `noise` what is Gaussian."""
        weights = weights[weights != 0]
        weights = weights[np.argsort(-np.abs(weights))]
        heard = Interference.identical(weights, source.p, source.amplitude)
        heard = replace(heard, noise=noise) if noise else heard
        return cls(source.p, source.amplitude, heard, heard)

    def scaled(self, by: float) -> RowLaw:
        """What is heard times a factor."""
        on = self.on.scaled(by)
        return replace(self, on=on, off=on if self.off is self.on else self.off.scaled(by))

    @property
    def heard(self) -> float:
        """E Z."""
        return self.p * self.on.mean + (1 - self.p) * self.off.mean

    @property
    def noise(self) -> float:
        """Var Z."""
        inside = [x.variance + x.noise**2 for x in (self.on, self.off)]
        gap = self.on.mean - self.off.mean
        return self.p * inside[0] + (1 - self.p) * inside[1] + self.p * (1 - self.p) * gap**2

    @property
    def linear(self) -> Least:
        """The best linear decoder, a (x + Z - t)."""
        shared = self.p * (1 - self.p) * self.amplitude.mean * (self.on.mean - self.off.mean)
        both, variance = self.variance + shared, self.variance
        total = variance + 2 * shared + self.noise
        if not both > 0:
            return Least(variance, 0.0, -np.inf)
        mean, a = self.p * self.amplitude.mean, both / total
        # Var x Var y - Cov², without cancellation.
        loss = max(variance * self.noise - shared**2, 0.0) / total
        return Least(loss, a, mean + self.heard - mean / a)

    @property
    def second_moment(self) -> float:
        """E x²."""
        return self.p * self.amplitude.second_moment

    @property
    def variance(self) -> float:
        """Var x."""
        return self.p * self.amplitude.variance + self.p * (1 - self.p) * self.amplitude.mean**2


def row_loss(a: float, law: RowLaw, b: float, rtol: float) -> Estimate:
    """Loss of one output with diagonal `a` and bias `b`."""
    return Row(a, law, b, rtol).estimate


class Row:
    """The output ReLU(a u + b + Z), and the same with a and Z times any factor.

    Nothing is remembered of what was asked: answers depend on the arguments alone.

    Attributes
    ----------
    estimate : Estimate
        Its loss.
    inversion : Inversion or None
        What is known of Z at this a and b, if the loss took an inversion.
    """

    def __init__(self, a: float, law: RowLaw, b: float, rtol: float) -> None:
        self.a, self.law, self.rtol = a, law, rtol
        self.estimate, self.inversion = _inverted(a, law, b, rtol)

    def loss(self, a: float, thresholds: Array) -> Array:
        """With what is heard scaled to the diagonal `a` and b = -a·threshold, shape (k,).

        The transforms of Z are good for any a, and for thresholds not far from that of the row;
        others take an inversion of their own.
        """
        b = -a * thresholds
        found = self.inversion.at(a, b) if self.inversion else np.full(b.size, np.nan)
        law = self.law if a == self.a else self.law.scaled(a / self.a)
        for k in np.flatnonzero(np.isnan(found)):
            found[k] = _inverted(a, law, float(b[k]), self.rtol)[0].value
        return found

    def least(self, a: float, thresholds: Array) -> tuple[Array, Array]:
        """Least of these losses over a, and the best a, at each threshold.

        The search starts at `a`: the loss is E u² - 2aA + a²B, so two values give its minimum.
        """
        power, cut = self.law.second_moment, 0.3
        here, there = (self.loss(x, thresholds) for x in (a, (1 - cut) * a))
        bend = (cut * (power - here) - (there - here)) / (cut * (1 - cut))  # a²B
        # (A/B - a)/a, unless nothing but rounding is left of B
        shift = np.divide(power - here - bend, 2 * bend, out=np.zeros(bend.size), where=bend > 0)
        shift[np.abs(shift) < _NO_SHIFT] = 0.0
        return here - bend * shift**2, a * (1 + shift)


def _inverted(a: float, law: RowLaw, b: float, rtol: float) -> tuple[Estimate, Inversion | None]:
    unit = abs(a) * law.amplitude.rms
    on, b_on, dropped = law.on.significant(unit)
    off, b_off, others = (on, b_on, dropped)
    if law.off is not law.on:
        off, b_off, others = law.off.significant(unit)
    heard, dropped = replace(law, on=on, off=off), max(dropped, others)
    b_on, b_off = b + b_on, b + b_off
    if abs(a) < _NO_DIAGONAL * max(on.largest, off.largest):
        a = 0.0
    reach = abs(a) * law.amplitude.reach
    if b_on > on.reach + reach and b_off > off.reach:  # the ReLU never closes
        return linear_row(a, law, b), None
    size = abs(a) * law.amplitude.scale
    if_on = if_off = support_with_sizes(on, size + abs(b_on))
    if if_on is not None and off is not on:
        if_off = support_with_sizes(off, size + abs(b_off))
    inversion = None
    if if_on is None or if_off is None:
        inversion = Inversion(a, b, (b_on - b, b_off - b), heard, rtol)
        value, error = inversion.estimate
    else:
        value, error = _listed(a, heard, (b_on, b_off), if_on, if_off)
    # A loss may be less than its error, but not less than nothing.
    return Estimate(max(float(value), 0.0), float(error + moved(value, dropped))), inversion


def _listed(
    a: float, law: RowLaw, biases: tuple[float, float], if_on: Sums, if_off: Sums
) -> Estimate:
    """The loss where all values of Z are known, given that the feature is on and that it is off."""
    amplitude, noise, (b_on, b_off) = law.amplitude, law.on.noise, biases
    z, probability, terms = if_on
    losses = _quiet_parts(a, b_on + z, law, noise)[0]
    # Rounding of readings: none that a closed ReLU does not see, or of one without a sum.
    missed = _ROUNDING * (abs(1 - a) * amplitude.rms + abs(b_on) + terms)
    closed = b_on + z + max(a * amplitude.end if a else 0.0, a * amplitude.start) < -missed
    missed[closed & (noise == 0)] = 0.0
    on = float(probability @ losses)
    error = law.p * (_ROUNDING * on + float(probability @ moved(losses, missed)))
    z, probability, terms = if_off
    losses = _quiet_parts(a, b_off + z, law, law.off.noise)[1]
    sums = _ROUNDING * np.where(terms > 0, abs(b_off) + terms, 0.0)
    passed = np.where((b_off + z < -sums) & (noise == 0), 0.0, sums)
    off = float(probability @ losses)
    error += (1 - law.p) * (_ROUNDING * off + float(probability @ moved(losses, passed)))
    return Estimate(law.p * on + (1 - law.p) * off, error)


def linear_row(a: float, law: RowLaw, b: float) -> Estimate:
    """Loss of the output a u + b + Z without a ReLU."""
    p, m1, on, off = law.p, law.amplitude.mean, law.on, law.off
    # Var(x - a x - Z), by what it is given on and given off.
    gap = (1 - a) * m1 - (on.mean - off.mean)
    inside = (1 - a) ** 2 * law.amplitude.variance + on.variance + on.noise**2
    noise = p * inside + (1 - p) * (off.variance + off.noise**2) + p * (1 - p) * gap**2
    heard = p * on.mean + (1 - p) * off.mean
    offset = b + heard - p * m1 * (1 - a)
    terms = abs(b) + p * on.extent() + (1 - p) * off.extent() + abs(heard) + p * abs(m1 * (1 - a))
    return Estimate(noise + offset**2, _ROUNDING * noise + moved(offset**2, _ROUNDING * terms))


def moved(loss: Any, reading: Any) -> Any:
    """At most what an error of that size in the reading changes a loss by."""
    return 2 * np.sqrt(np.maximum(loss, 0.0)) * reading + reading**2


def _quiet_parts(a: float, b: Array, law: RowLaw, noise: ArrayLike) -> tuple[Array, Array]:
    """Loss at each of the biases `b`, with the noise alone: of a feature on, and off."""
    noise = np.broadcast_to(noise, b.shape)
    # The formula divides the noise by the diagonal.
    own = np.where(np.abs(a) < _NO_DIAGONAL * noise, _NO_DIAGONAL * noise, a)
    sigma = np.divide(noise, np.abs(own), out=np.zeros(b.shape), where=noise > 0)
    return parts(law.amplitude, own, b, sigma, np.ones(b.shape), 1 - own)[:2]


class Inversion:
    """The loss of ReLU(a u + b + rest + Z), by integrals over the transform of Z.

    Attributes
    ----------
    estimate : Estimate
        Within `rtol`, if so many nodes as there may be are enough.
    """

    def __init__(
        self, a: float, b: float, rest: tuple[float, float], law: RowLaw, rtol: float
    ) -> None:
        self.a, self.b, self.rest, self.law = a, b, rest, law
        amplitude, p, on, off = law.amplitude, law.p, law.on, law.off
        biases = b_on, b_off = b + rest[0], b + rest[1]
        missed, silent = self._first(1.0, a, b_on)
        self.side = -1 if missed < silent else 1

        def on_bound(s: Array) -> Array:
            square, cross = (amplitude.transform((a * s).astype(complex), k).real for k in (0, 1))
            if amplitude.start < 0:
                cross = amplitude.reach * square
            return 2 * (square / np.abs(s) + cross) / np.abs(s)

        def scale(heard: Interference, side: int, b: float) -> float:
            return heard.extent(side) + heard.noise + abs(b) + abs(a) * amplitude.scale

        extent, near = scale(on, 0, b_on), scale(on, self.side, b_on)
        on_kernel, off_kernel = self._kernels(a)
        # Which of on and off, its probability, and what is to be integrated there.
        self.integrals: list[tuple[int, float, Integral]] = []
        if p > 0 and on.parts:
            domain = _domain(a, amplitude)
            first = Integral(
                on, b_on, on_kernel, on_bound, self.side, domain, extent=extent, beyond=near
            )
            self.integrals.append((0, p, first))
        if p < 1 and off.parts:
            extent, above = scale(off, 0, b_off), scale(off, 1, b_off)
            second = Integral(
                off, b_off, off_kernel, lambda s: 2 / s**2, 1, extent=extent, beyond=above
            )
            self.integrals.append((1, 1 - p, second))
        (known,) = self._known(1.0, a, np.array(biases)[:, None])
        self.estimate = self._refined(float(known), self._rounding(float(known), a, biases), rtol)

    def at(self, a: float, b: Array) -> Array:
        """Losses with what is heard scaled to the diagonal `a`; NaN where that takes new nodes."""
        if not a * self.a > 0:
            return np.full(b.size, np.nan)
        by = a / self.a
        biases = b + by * np.array(self.rest)[:, None]
        value = self._known(by, a, biases)
        kernels = self._kernels(a)
        for k, share, integral in self.integrals:
            near = np.abs(integral.alpha * (biases[k] / by - integral.shift)) <= 1
            value[near] += share * integral.scaled(by, biases[k, near], kernels[k])
            value[~near] = np.nan
        return value

    def is_near(self, b: float) -> bool:
        """Whether the nodes there are serve a bias well, and others near it."""
        return all(abs(x.alpha * (b - self.b)) <= _NEAR for _, _, x in self.integrals)

    def _rounding(self, known: float, a: float, biases: tuple[float, float]) -> float:
        """What cancellation may leave in the part without integrals, which is `known`."""
        positive = known
        if self.side < 0:  # the terms of the square of a sum, with positive signs
            law, on = self.law, self.law.on
            root = abs(a - 1) * law.amplitude.rms + abs(biases[0])
            mean = on.mean_size
            size = on.some * (root**2 + on.noise**2) + 2 * root * mean + mean**2 + on.variance
            positive += law.p * float(size)
        return _ROUNDING * positive

    def _refined(self, known: float, rounding: float, rtol: float) -> Estimate:
        while True:
            value = known + sum(share * x.estimate.value for _, share, x in self.integrals)
            errors = [share * x.estimate.error for _, share, x in self.integrals]
            error = sum(errors) + rounding
            worst = self.integrals[int(np.argmax(errors))][2]
            most = _MOST_NODES_DISCRETE if worst.law.discrete else _MOST_NODES
            if error <= rtol * value or worst.terms.size >= most:
                return Estimate(value, error)
            worst.refine()

    def _known(self, by: float, a: float, biases: Array) -> Array:
        """The part without integrals; what is heard is `by` times the law.

        The biases if the feature is on and if it is off have the shape (2, k).
        """
        p, on, off = self.law.p, self.law.on, self.law.off
        noise = abs(by) * np.repeat([on.noise, off.noise], biases.shape[1])
        losses = _quiet_parts(a, biases.ravel(), self.law, noise)
        none = np.zeros(biases.shape)
        for k, chance in enumerate(np.exp([on.log_none, off.log_none])):
            if chance:
                none[k] = chance * losses[k].reshape(biases.shape)[k]
        missed, silent = self._first(by, a, biases[0])
        first = none[0] + (missed if self.side < 0 else silent)
        return np.asarray(p * first + (1 - p) * none[1])

    def _first(self, by: float, a: float, b: Any) -> tuple[Any, Any]:
        """Squared error if the ReLU were open and closed, where the feature and others are on."""
        on, amplitude = self.law.on, self.law.amplitude
        m1, m2, some, mean = amplitude.mean, amplitude.second_moment, on.some, by * on.mean
        square = by**2 * (on.variance + some * on.noise**2) + mean**2
        missed = some * ((a - 1) ** 2 * m2 + 2 * (a - 1) * b * m1 + b * b)
        missed += 2 * ((a - 1) * m1 + b) * mean + square
        return missed, some * m2

    def _kernels(self, a: float) -> tuple[Callable[[Complex], Complex], ...]:
        """Where the feature is on, and off."""
        transform = self.law.amplitude.transform

        def on(s: Complex) -> Complex:
            return 2 * (transform(a * s, 0) / s - transform(a * s, 1)) / (s * s)

        return on, lambda s: 2 / s**3


def _domain(a: float, amplitude: Amplitude) -> tuple[float, float]:
    """The real s at which E e^{asu} is finite."""
    edges = (amplitude.least_abscissa, amplitude.abscissa)
    ends = [x / a for x in edges if a and np.isfinite(x)]
    low, high = [x for x in ends if x < 0], [x for x in ends if x > 0]
    return max(low, default=-np.inf), min(high, default=np.inf)
