r"""The loss of given weights, exactly: x̂ = ReLU(W_out W_in x + b) on independent sparse features.

For one output the reading is v = a u + b + Z, with a = W_ii and Z = Σ_{j≠i} W_ij x_j a sum of
independent terms, far from Gaussian at practical sizes.  Conditioned on u,

.. math:: E(u - \mathrm{ReLU}(v))^2 = E u^2 + E[\mathrm{ReLU}(v)^2 - 2u\,\mathrm{ReLU}(v)]
    = E(u - v)^2 - E[\mathrm{ReLU}(-v)^2 + 2u\,\mathrm{ReLU}(-v)] ,

and either bracket is one integral over the moment generating function of Z: see
`rugtheory.channel.inversion`.  The form with the smaller first term is taken.  The event Z = 0 that
no interferer is on adds its probability times the loss without noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._check import Array
from ..source.amplitude import Complex
from ..source.sparse import SparseSource
from ..theory.loss import parts
from .inversion import Estimate, Integral, Interference
from .support import support_with_sizes

# Of a discrete law, whose transform never decays, more nodes tell little.
_MOST_NODES, _MOST_NODES_DISCRETE = 2**17, 2**15
_NEGLIGIBLE = 1e-13
# Relative changes of a diagonal that are rounding.
_NO_SHIFT = 1e-15
# A diagonal below this part of a weight is none: what it adds is far below rounding.
_NO_DIAGONAL = 1e-30
# Relative error of sums of positive terms, with a margin.
_ROUNDING = 4e-15


def row_loss(a: float, weights: Array, b: float, source: SparseSource, rtol: float) -> Estimate:
    """Loss of one output with diagonal `a` and interfering `weights`."""
    return Row(a, weights, b, source, rtol).estimate


class Row:
    """The output ReLU(a u + b + Z), Z = Σ weights_j x_j, and the same times any factor.

    Nothing is remembered of what was asked: answers depend on the arguments alone.

    Attributes
    ----------
    estimate : Estimate
        Its loss.
    inversion : Inversion or None
        What is known of Z at this a and b, if the loss took an inversion.
    """

    def __init__(
        self, a: float, weights: Array, b: float, source: SparseSource, rtol: float
    ) -> None:
        self.a, self.source, self.rtol = a, source, rtol
        self.weights = weights[np.argsort(-np.abs(weights))]
        self.estimate, self.inversion = self._inverted(a, b)

    def loss(self, a: float, threshold: float) -> float:
        """With weights scaled to the diagonal `a` and b = -a·threshold.

        What is known of Z serves for any a, and for thresholds not far from that of the row; others
        take an inversion of their own.
        """
        b = -a * threshold
        known = self.inversion.at(a, b) if self.inversion else None
        return self._inverted(a, b)[0].value if known is None else known

    def least(self, a: float, threshold: float) -> tuple[float, float]:
        """Least of these losses over a, and the best a.

        `a` is where to start: the loss is E u² - 2aA + a²B, and two values of it tell its minimum.
        """
        power, cut = self.source.second_moment, 0.3
        here, there = (self.loss(x, threshold) for x in (a, (1 - cut) * a))
        bend = (cut * (power - here) - (there - here)) / (cut * (1 - cut))  # a²B
        # (A/B - a)/a, unless nothing but rounding is left of B
        shift = (power - here - bend) / (2 * bend) if bend > 0 else 0.0
        if abs(shift) < _NO_SHIFT:
            shift = 0.0
        return here - bend * shift**2, a * (1 + shift)

    def _inverted(self, a: float, b: float) -> tuple[Estimate, Inversion | None]:
        source, weights, inversion = self.source, self.weights, None
        if a != self.a:
            weights = a / self.a * weights
        w, shifted, dropped = significant(weights, b, source, abs(a))
        if w.size and abs(a) < _NO_DIAGONAL * abs(w[0]):
            a = 0.0
        if shifted > source.amplitude.reach * (abs(a) + np.abs(w).sum()):  # the ReLU never closes
            return linear_row(a, weights, b, source), None
        values = support_with_sizes(w, source, abs(a) * source.amplitude.mean + abs(shifted))
        if values is None:
            law = Interference(w, source.p, source.amplitude)
            inversion = Inversion(a, b, shifted - b, law, source, self.rtol)
            value, error = inversion.estimate
        else:
            z, probability, size = values
            on, off, losses = _quiet_parts(a, shifted + z, source)
            value = float(probability @ losses)
            # Rounding of readings: none that a closed ReLU does not see, or of one without a sum.
            amplitude, sums = source.amplitude, np.where(size > 0, abs(shifted) + size, 0.0)
            missed = _ROUNDING * (
                abs(1 - a) * np.sqrt(amplitude.second_moment) + abs(shifted) + size
            )
            largest = a * amplitude.end if a > 0 else a * amplitude.start
            missed[shifted + z + largest < -missed] = 0.0
            passed = np.where(shifted + z < -_ROUNDING * sums, 0.0, _ROUNDING * sums)
            change = source.p * moved(on, missed) + (1 - source.p) * moved(off, passed)
            error = _ROUNDING * value + float(probability @ change)
        error += moved(value, dropped)
        return Estimate(float(value), float(error)), inversion


def linear_row(a: float, weights: Array, b: float, source: SparseSource) -> Estimate:
    noise = source.variance * float(weights @ weights + (1 - a) ** 2)
    offset = b + source.mean * (float(weights.sum()) - (1 - a))
    terms = abs(b) + source.mean * (float(np.abs(weights).sum()) + abs(1 - a))
    value = noise + offset**2
    return Estimate(value, _ROUNDING * noise + moved(offset**2, _ROUNDING * terms))


def moved(loss: Any, reading: Any) -> Any:
    """At most what an error of that size in the reading changes a loss by."""
    return 2 * np.sqrt(np.maximum(loss, 0.0)) * reading + reading**2


def significant(w: Array, b: float, source: SparseSource, a: float) -> tuple[Array, float, float]:
    """The weights that matter, b with the mean of the others, and the deviation of the others.

    A change of the reading moves the loss by at most 2√loss times its rms plus its square, and
    large weights may all be screened: then small ones matter against the diagonal `a`.
    """
    size = np.sqrt(np.cumsum(w[::-1] ** 2))[::-1]
    kept = size > _NEGLIGIBLE * np.minimum(size[:1], a or np.inf)
    rest = w[~kept]
    deviation = float(np.sqrt(source.variance * (rest @ rest)))
    return w[kept], b + source.mean * float(rest.sum()), deviation


def _quiet_parts(a: float, b: Array, source: SparseSource) -> tuple[Array, Array, Array]:
    """Loss without noise at each of the biases `b`: of a feature on, off, and in all."""
    one = np.ones_like(b)
    return parts(source.amplitude, a * one, b, 0 * one, source.p * one, (1 - a) * one)


class Inversion:
    """The loss of ReLU(a u + b + rest + Z), by integrals over the transform of Z.

    Attributes
    ----------
    estimate : Estimate
        Within `rtol`, if so many nodes as there may be are enough.
    """

    def __init__(
        self,
        a: float,
        b: float,
        rest: float,
        law: Interference,
        source: SparseSource,
        rtol: float,
    ) -> None:
        self.a, self.rest, self.law, self.source = a, rest, law, source
        b += rest
        amplitude, p, w = source.amplitude, source.p, law.weights
        missed, silent = self._first(1.0, a, b)
        self.side = -1 if missed < silent else 1

        def on_bound(s: Array) -> Array:
            square, cross = (amplitude.transform((a * s).astype(complex), k).real for k in (0, 1))
            return 2 * (square / np.abs(s) + cross) / np.abs(s)

        def scale(of: Array) -> float:
            m1, m2 = amplitude.mean, amplitude.second_moment
            return float(np.sqrt(of @ of * m2) + abs(b) + abs(a) * m1)

        edge = amplitude.abscissa / a if a else np.inf
        domain = (-np.inf, edge) if edge > 0 else (edge, np.inf)
        extent, near, above = map(scale, (w, w[self.side * w > 0], w[w > 0]))
        on, off = self._kernels(a)
        first = Integral(law, b, on, on_bound, self.side, domain, extent=extent, beyond=near)
        self.integrals = [(p, first)]
        if p < 1:
            second = Integral(law, b, off, lambda s: 2 / s**2, 1, extent=extent, beyond=above)
            self.integrals.append((1 - p, second))
        self.estimate = self._refined(self._known(1.0, a, b), self._rounding(a, b), rtol)

    def at(self, a: float, b: float) -> float | None:
        """The loss with all weights scaled to the diagonal `a`; None where that needs new nodes."""
        if not a * self.a > 0:
            return None
        by = a / self.a
        b += by * self.rest
        if any(abs(x.alpha * (b / by - x.shift)) > 1 for _, x in self.integrals):
            return None
        value = self._known(by, a, b)
        for (share, integral), kernel in zip(self.integrals, self._kernels(a), strict=False):
            value += share * integral.scaled(by, b, kernel)
        return value

    def _rounding(self, a: float, b: float) -> float:
        """What cancellation may leave in the part without integrals."""
        source, w = self.source, np.abs(self.law.weights)
        positive = self._known(1.0, a, b)
        if self.side < 0:  # the terms of the square of a sum, with positive signs
            some = float(-np.expm1(self.law.log_none))
            root = abs(a - 1) * np.sqrt(source.amplitude.second_moment) + abs(b)
            mean = source.mean * w.sum()
            size = some * root**2 + 2 * root * mean + mean**2 + source.variance * (w @ w)
            positive += source.p * float(size)
        return _ROUNDING * positive

    def _refined(self, known: float, rounding: float, rtol: float) -> Estimate:
        discrete = self.law.amplitude.atoms() is not None
        most = _MOST_NODES_DISCRETE if discrete else _MOST_NODES
        while True:
            value = known + sum(share * x.estimate.value for share, x in self.integrals)
            errors = [share * x.estimate.error for share, x in self.integrals]
            error = sum(errors) + rounding
            _, worst = self.integrals[int(np.argmax(errors))]
            if error <= rtol * value or worst.terms.size >= most:
                return Estimate(value, error)
            worst.refine()

    def _known(self, by: float, a: float, b: float) -> float:
        """The part without integrals; the weights are `by` times those of the law."""
        quiet = _quiet_parts(a, np.array([b]), self.source)[2][0]
        missed, silent = self._first(by, a, b)
        some_on = self.source.p * (missed if self.side < 0 else silent)
        return float(np.exp(self.law.log_none) * quiet + some_on)

    def _first(self, by: float, a: float, b: float) -> tuple[float, float]:
        """Squared error if the ReLU were open and closed, where the feature and others are on."""
        source, w = self.source, self.law.weights
        m1, m2 = source.amplitude.mean, source.amplitude.second_moment
        some = float(-np.expm1(self.law.log_none))
        mean = by * source.mean * float(w.sum())
        square = by**2 * source.variance * float(w @ w) + mean**2
        missed = some * ((a - 1) ** 2 * m2 + 2 * (a - 1) * b * m1 + b * b)
        missed += 2 * ((a - 1) * m1 + b) * mean + square
        return missed, some * m2

    def _kernels(self, a: float) -> tuple[Callable[[Complex], Complex], ...]:
        """Where the feature is on, and off."""
        transform = self.source.amplitude.transform

        def on(s: Complex) -> Complex:
            return 2 * (transform(a * s, 0) / s - transform(a * s, 1)) / (s * s)

        return on, lambda s: 2 / s**3
