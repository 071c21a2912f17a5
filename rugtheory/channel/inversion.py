r"""Expectations of rectified sums by inversion of the moment generating function.

For α > 0, ReLU(v)² = (1/2πi) ∫ 2 s⁻³ e^{sv} ds and ReLU(v) = (1/2πi) ∫ s⁻² e^{sv} ds along
Re s = α, and for α < 0 the same integrals are -ReLU(-v)² and ReLU(-v).  So for independent
features an expectation is one integral of a product,

.. math:: \frac1{2πi} \int e^{sb}\, E[e^{sZ}]\, R(s)\, ds, \qquad Z = Σ_j w_j x_j .

What makes it exact to rounding:

* The event that no x_j is on is an atom of Z, the only one if amplitudes have a density.  It is
  left out here, E[e^{sZ}; Z ≠ 0] = (1-p)^n expm1(Q), for the caller to add in closed form.
* α is where the integrand is least on the real axis, so that it is about as small as the result.
  Large weights on the side that is rectified away do not keep it from being large.
* The midpoint rule of step h is exact up to images of the result, shifted by multiples of 2π/h,
  which Chernoff's inequality bounds.
* A smooth window, flat over its first half, cuts the integral off.  The result is thereby averaged
  over shifts b of about the inverse cut-off, without error where it is smooth in b.
* Most weights of a row are small, and Q, a sum of a smooth function over the weights, is as good as
  a sum over a few Chebyshev nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..numerics.circle import on_circle
from ..source.amplitude import Complex
from .interference import Interference

_EPS = float(np.finfo(float).eps)
# Images of the midpoint rule, relative to the integrand on the real axis.
_LOG_IMAGES = float(np.log(1e-15))
_GRID = 28
_FIRST_NODES = 32
_FAR = 1e3
_FAR_OUT = 30.0
# Nodes of a tail: so many at least, and as many as keep nodes times points below the second number.
_TAIL_NODES, _TAIL_WORK, _MOST_TAIL_NODES = 2**11, 2**20, 2**16
# Points of a tail that are tried before all of them.
_TRIED = 8
# Weights within this factor are of one size.
_ONE_SIZE = 30.0
# Terms that decay like 1/k add up to the same over every octave, those of k^{-3/2} to .7.
_FAST = 0.8
_CHUNK = 2**18
# Points of equal distance are taken together where there are so many, and they are as far off as
# rounding makes them.
_LEAST_LATTICE, _LATTICE_ROUNDING = 64, 8 * _EPS
# Of the scale of all values: below this part of it there is none on one side.
_NOTHING = 1e-30
_LOG_NOTHING = -640.0
# Where sums are cut off to be compared with the whole, and the factor on their largest difference.
CUTS, _SAFETY = (0.85, 0.7, 0.6, 0.5, 0.4, 0.3), 4.0
# A factor on bounds of what is cut off.
_BEYOND = 2.0


class Estimate(NamedTuple):
    """A value and an estimate of its error, meant as a bound."""

    value: float
    error: float

    @classmethod
    def mixture(cls, found: Iterable[tuple[float, Estimate]]) -> Estimate:
        """Mean of estimates with these shares, and that of their errors."""
        value = error = 0.0
        for share, one in found:
            value, error = value + share * one.value, error + share * one.error
        return cls(value, error)


class Integral:
    """(1/2πi) ∫ e^{s·shift} E[e^{sZ}; Z ≠ 0] kernel(s) ds on Re s > 0 (`side` = 1) or < 0 (-1).

    Parameters
    ----------
    kernel : callable
        R(s).
    bound : callable
        At real s: such that bound(s) e^{sv} is no less than the modulus of what R stands for at v.
    domain : (float, float)
        The real s at which `kernel` is finite.
    extent : float
        Scale of the values of v, to look for α between its inverse and far more.
    beyond : float
        The same of the values on the side looked at, less where those on the other are far away.
    """

    def __init__(
        self,
        law: Interference,
        shift: float,
        kernel: Callable[[Complex], Complex],
        bound: Callable[[Array], Array],
        side: int,
        domain: tuple[float, float] = (-np.inf, np.inf),
        *,
        extent: float,
        beyond: float,
    ) -> None:
        self.law, self.shift, self.kernel = law, shift, kernel
        self.terms, self.noise = np.empty(0), 0.0
        self.nodes, self.values = np.empty((2, 0), np.complex128)
        self.estimate = Estimate(0.0, 0.0)
        low, high = (f(x, y) for f, x, y in zip((max, min), law.domain(), domain, strict=True))
        edge = high if side > 0 else -low
        # Chernoff's bound on the result, from far below to far above where a sum of that extent, or
        # a Gaussian of that spread around the shift, has it least.
        reach = max(200 / extent, 40 / law.spread, 4 * abs(shift) / law.spread**2)
        if beyond > _NOTHING * extent:
            reach = max(reach, 20 / beyond)
        reach = min(reach, edge)
        while True:
            start = 0.02 * min(1 / extent, reach)
            points = _GRID + max(0, round(2 * np.log(reach / start / 1e5)))
            grid = np.geomspace(start, reach, points + 1)
            alpha = side * grid[:-1]
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                chernoff = alpha * shift + law.log_mgf(alpha) + np.log(bound(alpha))
            # What is as small as this is nothing, and its inverse still a number.
            known = np.isfinite(chernoff) & (chernoff > _LOG_NOTHING)
            if known.sum() >= _GRID // 2:
                break
            reach = grid[known.sum()]
        alpha, chernoff = alpha[known], chernoff[known]
        best = int(np.clip(np.argmin(chernoff), 2, alpha.size - 3))
        # At period T = 2π/h the images are at most C(α') exp(-|α' - α| T), whatever α'.
        excess = chernoff - chernoff[best] - _LOG_IMAGES
        with np.errstate(divide="ignore"):
            periods = excess / np.abs(alpha - alpha[best])
        self.period = float(max(periods[:best].min(), periods[best + 1 :].min()))
        self.alpha, self.log_scale = float(alpha[best]), float(chernoff[best])
        accuracy = self.law.accuracy(self.alpha)
        log_scale = self.alpha * self.shift - self.log_scale
        self.accuracy = float(np.exp(log_scale + np.log(accuracy))) if accuracy > 0 else 0.0
        self.refine()

    def refine(self) -> None:
        """Twice as many nodes, twice as far up."""
        known, terms = self.terms.size, self.terms
        y = (np.arange(known, max(2 * known, _FIRST_NODES)) + 0.5) * (2 * np.pi / self.period)
        s = np.asarray(self.alpha + 1j * y, np.complex128)
        r = self.kernel(s)
        value, error = self.law.mgf(s, s * self.shift - self.log_scale)
        self.nodes, self.values = np.append(self.nodes, s), np.append(self.values, value)
        self.terms = terms = np.append(terms, (value * r).real)
        # Values of Z that are many times 1/α away count for nothing, or are the result.
        turns = np.abs(s) * (abs(self.shift) + min(self.law.spread, _FAR_OUT / abs(self.alpha)))
        rounding = _EPS * (4 + turns) * np.abs(value) + self.accuracy
        self.noise += float(np.sum((error + rounding) * np.abs(r)))

        factor = np.exp(self.log_scale) * 2 / self.period
        full, cut = cut_off(np.einsum("wk,k->w", windows(terms.size), terms))
        missing = float(cut) + self.noise
        if self.law.discrete:
            missing += self._revival()
        images = 4 * np.exp(self.log_scale + _LOG_IMAGES)
        self.estimate = Estimate(factor * full, float(factor * missing + images))

    def scaled(self, by: float, shift: Array, kernel: Callable[[Complex], Complex]) -> Array:
        """The same for by·Z, other shifts, shape (k,), and a kernel, from the transform known.

        As good as the estimate unless α (shift/by - self.shift) is far from zero.
        """
        moved = np.multiply.outer(shift / by - self.shift, self.nodes)
        turned = np.exp(moved.real) * on_circle(moved.imag)
        values = windows(self.nodes.size)[0] * self.values * kernel(self.nodes / by)
        factor = np.exp(self.log_scale) * 2 / (self.period * by)
        return np.asarray(factor * np.einsum("kn,n->k", turned, values).real)

    def _revival(self) -> float:
        """What the terms of a discrete law, whose sums nearly repeat, add up to further out."""
        last = self.terms.size * 2 * np.pi / self.period
        y = last * np.geomspace(1, _FAR, 4 * _FIRST_NODES + 1)[1:]
        s = np.asarray(self.alpha + 1j * y, np.complex128)
        value, _ = self.law.mgf(s, s * self.shift - self.log_scale)
        density = self.period / (2 * np.pi)
        return float(np.mean(np.abs(value * self.kernel(s)) * y) * np.log(_FAR) * density)


def cut_off(sums: Array, shares: Array | float = 1.0) -> tuple[Array, Array]:
    """The first of sums cut off at different lengths, see `windows`, and an estimate of its error.

    An error that decays with the number of terms changes with it: sums cut off earlier tell by how
    much, and more than two of them that no coincidence hides it.  Of what they are off by, `shares`
    are left at full length.
    """
    return sums[0], _SAFETY * np.max((np.abs(sums[1:] - sums[0]).T * shares).T, axis=0)


def most_cut_off(sizes: Array, nodes: Complex) -> Array:
    """What the window of full length may cut off sums, from the moduli of their terms.

    Terms at nodes beyond fall like s⁻³, from twice the largest of the upper half on: they are
    differences of transforms and their limits, and as these cross the largest may be too small, by
    a factor of 1.4 at worst in some thousand rows of random weights without bias.
    """
    y, half = nodes.imag, nodes.size // 2
    inside = sizes @ (1 - windows(nodes.size)[0])
    beyond = _BEYOND * np.max(sizes[..., half:] * y[half:] ** 3, axis=-1) / y[-1] ** 2 / 2
    return np.asarray(inside + beyond / (y[1] - y[0]))


@lru_cache(maxsize=64)
def windows(size: int, cuts: tuple[float, ...] = CUTS) -> Array:
    """Factors that cut off sums of `size` terms smoothly, the first of them at the end."""
    return np.stack([_window(size, x) for x in (1.0, *cuts)])


def _window(size: int, cut: float) -> Array:
    """One up to cut/2, zero from `cut` on, all derivatives continuous; the nodes fill [0, 1]."""
    x = np.clip(((np.arange(size) + 0.5) / (size * cut) - 0.5) * 2, 1e-9, 1 - 1e-9)
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(1 / (1 - x) - 1 / x)))


class Tails:
    """P(Z > t; some on) at any `t`, and estimates of the errors, from transforms computed once."""

    def __init__(self, law: Interference) -> None:
        # Values of very different size take nodes of their own each: of weights of one size some
        # are on, the larger ones off, with probability `quiet`.
        self._parts: list[tuple[float, Interference, Interference]] = []
        self._sides: dict[tuple[int, bool], _Side] = {}
        quiet = 1.0
        while law.parts:
            limit = law.largest / _ONE_SIZE if np.isfinite(law.log_none) else 0.0
            strong, weak = law.apart(limit)
            self._parts.append((quiet, strong, weak))
            law, quiet = weak, quiet * float(np.exp(strong.log_none))

    def __call__(self, t: Array, atol: float, most: int = _MOST_TAIL_NODES) -> tuple[Array, Array]:
        """At all of `t`, with `most` nodes at most; `atol` is aimed at."""
        value, error = np.zeros_like(t), np.zeros_like(t)
        for k, (quiet, strong, _) in enumerate(self._parts):
            if quiet < 0.1 * atol:
                return value, error + quiet
            some, missing = np.empty_like(t), np.empty_like(t)
            # Each tail is inverted on the side where it decays.
            for below in (False, True):
                side = (t < 0) == below
                if side.any():
                    at = np.abs(t[side])
                    found = self._side(k, below, float(at.min()))
                    some[side], missing[side] = found.tail(at, atol / quiet, most)
            some = np.where(t < 0, strong.some - some, some)
            value, error = value + quiet * some, error + quiet * missing
        return value, np.minimum(error, 1.0)

    def _side(self, part: int, below: bool, least: float) -> _Side:
        known = self._sides.get((part, below))
        if known is None or least < known.least:
            _, *both = self._parts[part]
            strong, weak = (law.scaled(-1.0 if below else 1.0) for law in both)
            known = self._sides[part, below] = _Side(strong, weak, least)
        return known


class _Side:
    """P(Z > t; some of the strong are on), Z the sum of both, at t ≥ `least` ≥ 0."""

    def __init__(self, strong: Interference, weak: Interference, least: float) -> None:
        self.strong, self.weak, self.least = strong, weak, least
        both = strong + weak
        _, high = both.domain()
        self.alpha = alpha = min(1 / max(both.spread, both.jump / 4), high / 4)
        # Images: to the right at most e^{-αT}, to the left by Chernoff's inequality.
        steeper = np.geomspace(1.5, 20, 12) * alpha
        steeper = steeper[steeper < 0.99 * high]
        log_mgf = strong.log_mgf(steeper) + self._log_weak(steeper.astype(complex))[0].real
        excess = log_mgf - steeper * least - _LOG_IMAGES
        self.period = max(-_LOG_IMAGES / alpha, float(np.min(excess / (steeper - alpha))))
        self.step, self.accuracy = 2 * np.pi / self.period, both.accuracy(alpha)
        self.terms, self.noise = np.empty(0, complex), 0.0

    def _log_weak(self, s: Complex) -> tuple[Complex, Array]:
        q, inexact = self.weak.exponent(s)
        return q + self.weak.log_all_off + 0.5 * (self.weak.noise * s) ** 2, inexact

    def _refine(self) -> None:
        """Twice as many nodes, twice as far up."""
        known = self.terms.size
        y = (np.arange(known, max(2 * known, _FIRST_NODES)) + 0.5) * self.step
        s = np.asarray(self.alpha + 1j * y, np.complex128)
        q, inexact = self._log_weak(s)
        value, error = self.strong.mgf(s, q)
        self.terms = np.append(self.terms, value / s)
        error = error + inexact * np.abs(value) + 8 * _EPS * np.abs(value) + self.accuracy
        self.noise += float(np.sum(error / np.abs(s)))

    def tail(self, t: Array, atol: float, most: int) -> tuple[Array, Array]:
        """At all of `t`, and estimates of the errors."""
        most_nodes = min(max(_TAIL_WORK // t.size, _TAIL_NODES), most)
        some = t[:: 1 + t.size // _TRIED]
        while self.terms.size < most_nodes and not self._known(some, atol):
            self._refine()
        while True:
            value, error = self._sum(t)
            last = self.terms.size >= most_nodes
            if (last or error.max() <= atol) and not _decaying(self.terms):
                error = np.maximum(error, self._jumps(t))
            if last or error.max() <= atol:
                return value, error
            self._refine()

    def _known(self, t: Array, atol: float) -> bool:
        return self.terms.size > 0 and bool(self._sum(t)[1].max() <= atol)

    def _scale(self, t: Array) -> Array:
        return np.asarray(np.exp(-self.alpha * t) * 2 / self.period)

    def _sum(self, t: Array) -> tuple[Array, Array]:
        """At the nodes there are."""
        full, missing = _summed(self.terms, self.step, t)
        scale = self._scale(t)
        return scale * full, scale * (missing + self.noise) + 2 * np.exp(_LOG_IMAGES)

    def _jumps(self, t: Array) -> Array:
        """What jumps narrower than the shortest wave, which look like slopes, may be off by.

        P(Z > t) falls from one end of a wave to the other by no less than the error between, and a
        jump adds a fifth of its height to the moduli in every octave.
        """
        wave = self.period / self.terms.size
        before, after = (self._sum(at)[0] for at in (t - wave, t + wave))
        most = 4 * self._scale(t) * np.max(_octaves(self.terms))
        # Both ends have errors of their own.
        return np.asarray(np.minimum(2 * np.abs(before - after), most))


def _summed(terms: Complex, step: float, t: Array) -> tuple[Array, Array]:
    """Σ_k terms_k e^{-i (k + ½) step t}, real part, and its error."""
    full, missing = np.empty_like(t), np.empty_like(t)
    wave = (np.arange(terms.size) + 0.5) * step
    cut = windows(terms.size) * terms
    spaced, place, gap = _lattice(t)
    if gap:
        # e^{-iωt} of points of equal distance is a product of a coarse and a fine turn.
        fine = int(np.ceil(np.sqrt(place.max() + 1)))
        first = t[spaced][np.argmin(place)]
        turn = _real(on_circle(np.outer(gap * np.arange(fine), wave)))
        coarse = (
            cut * on_circle(-wave * (first + gap * start))
            for start in range(0, int(place.max()) + 1, fine)
        )
        sums = np.stack([_real(x) @ turn.T for x in coarse], axis=1).reshape(len(cut), -1)
        full[spaced], missing[spaced] = cut_off(sums[:, place])
    rest = np.flatnonzero(~spaced)
    length = max(1, _CHUNK // terms.size)
    for start in range(0, rest.size, length):
        part = rest[start : start + length]
        turn = _real(on_circle(np.outer(t[part], wave)))
        full[part], missing[part] = cut_off(_real(cut) @ turn.T)
    return full, missing


def _real(z: Complex) -> Array:
    """Real and imaginary parts side by side: products with conjugates are sums over both."""
    return np.concatenate([z.real, z.imag], axis=-1)


def _lattice(t: Array) -> tuple[NDArray[np.bool_], NDArray[np.intp], float]:
    """Which points have equal distances, their places, and the distance; 0 if they are too few."""
    nothing = np.zeros(t.size, bool), np.zeros(0, np.intp), 0.0
    if t.size < _LEAST_LATTICE:
        return nothing
    gap, middle = float(np.median(np.diff(t))), t[t.size // 2]
    if gap == 0:
        return nothing
    place = np.rint((t - middle) / gap)
    # A single difference has the rounding of t, which the places would multiply.
    far = np.abs(place) <= t.size
    far &= np.abs(place) >= max(0.5 * np.max(np.abs(place[far])), 1)
    if not far.any():
        return nothing
    gap = float(np.median((t - middle)[far] / place[far]))
    off = np.abs(t - middle - place * gap)
    spaced = off <= _LATTICE_ROUNDING * np.max(np.abs(t))
    place = place[spaced] - place[spaced].min()
    if spaced.sum() < t.size // 2 or place.max() > 2 * t.size:
        return nothing
    return spaced, place.astype(np.intp), gap


def _octaves(terms: Complex) -> tuple[float, float]:
    """Sums of the moduli of the terms over the last octave but one, and the last."""
    size, n = np.abs(terms), terms.size
    return float(size[n // 4 : n // 2].sum()), float(size[n // 2 :].sum())


def _decaying(terms: Complex) -> bool:
    """Whether the moduli of the terms have a finite sum."""
    before, last = _octaves(terms)
    return last < _FAST * before
