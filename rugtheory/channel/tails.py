"""Tails of what a reading hears, by inversion of its moment generating function."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..numerics.circle import on_circle
from ..source.amplitude import Complex
from .interference import Interference
from .inversion import FIRST_NODES, LOG_IMAGES, cut_off, windows
from .lone import lone_of

_EPS = float(np.finfo(float).eps)
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


class Tails:
    """P(Z > t; some on) at any `t`, and estimates of the errors, from transforms computed once."""

    def __init__(self, law: Interference) -> None:
        # Values of very different size take nodes of their own each: of weights of one size some
        # are on, the larger ones off, with probability `quiet`.  Without terms that are on alone
        # small ones are smooth enough to be taken with the others.
        self._parts: list[tuple[float, Interference, Interference]] = []
        self._sides: dict[tuple[int, bool], _Side] = {}
        quiet = 1.0
        while law.parts:
            split = np.isfinite(law.log_none) and lone_of(law) is None
            limit = law.largest / _ONE_SIZE if split else 0.0
            strong, weak = law.apart(limit)
            self._parts.append((quiet, strong, weak))
            law, quiet = weak, quiet * float(np.exp(strong.log_none))

    def __call__(
        self, t: Array, atol: float, most: int = _MOST_TAIL_NODES, *, errors: bool = True
    ) -> tuple[Array, Array]:
        """At all of `t`, with `most` nodes at most; `atol` is aimed at.

        Without `errors`, which take several times as long as values, these are 0.
        """
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
                    some[side], missing[side] = found.tail(at, atol / quiet, most, errors)
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
        excess = log_mgf - steeper * least - LOG_IMAGES
        self.period = max(-LOG_IMAGES / alpha, float(np.min(excess / (steeper - alpha))))
        self.step, self.accuracy = 2 * np.pi / self.period, both.accuracy(alpha)
        self.terms, self.noise = np.empty(0, complex), 0.0
        self.lone = lone_of(both) if not weak.parts else None

    def _log_weak(self, s: Complex) -> tuple[Complex, Array]:
        q, inexact = self.weak.exponent(s)
        return q + self.weak.log_all_off + 0.5 * (self.weak.noise * s) ** 2, inexact

    def _refine(self) -> None:
        """Twice as many nodes, twice as far up."""
        known = self.terms.size
        y = (np.arange(known, max(2 * known, FIRST_NODES)) + 0.5) * self.step
        s = np.asarray(self.alpha + 1j * y, np.complex128)
        q, inexact = self._log_weak(s)
        value, error = self.strong.mgf(s, q)
        error = error + inexact * np.abs(value) + 8 * _EPS * np.abs(value) + self.accuracy
        if self.lone is not None:
            alone = self.lone.transform(s)
            value, error = value - alone, error + 8 * _EPS * np.abs(alone)
        self.terms = np.append(self.terms, value / s)
        self.noise += float(np.sum(error / np.abs(s)))

    def tail(self, t: Array, atol: float, most: int, errors: bool) -> tuple[Array, Array]:
        """At all of `t`, and estimates of the errors if they are asked for."""
        found = self._inverted(t, atol, most, errors)
        if self.lone is None:
            return found
        value, error = (x + y for x, y in zip(found, self.lone.tail(t), strict=True))
        return value, error

    def _inverted(self, t: Array, atol: float, most: int, errors: bool) -> tuple[Array, Array]:
        """The same without what is known by itself."""
        most_nodes = min(max(_TAIL_WORK // t.size, _TAIL_NODES), most)
        some = t[:: 1 + t.size // _TRIED]
        while self.terms.size < most_nodes and not self._known(some, atol):
            self._refine()
        if not errors:
            return self._scale(t) * _summed(self.terms, self.step, t, 1)[0], np.zeros(t.size)
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
        return scale * full, scale * (missing + self.noise) + 2 * np.exp(LOG_IMAGES)

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


def _summed(terms: Complex, step: float, t: Array, cuts: int | None = None) -> tuple[Array, Array]:
    """Σ_k terms_k e^{-i (k + ½) step t}, real part, and its error, from `cuts` sums, 0 of one."""
    full, missing = np.empty_like(t), np.empty_like(t)
    wave = (np.arange(terms.size) + 0.5) * step
    cut = windows(terms.size)[:cuts] * terms
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
