"""The best decoders above a threshold, from moments of E[x | y] less y, 0 and E u."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .._check import Array
from ..numerics.quadrature import Index


class Moments(NamedTuple):
    """Integrals above or below a threshold; T is M less y, 0 or E u, v = y - E u."""

    rho: Array
    v: Array
    vv: Array
    t: Array  # shape (3, ...), as the two that follow
    tv: Array
    tt: Array
    on: Array
    off: Array


def moments_of(flat: Array) -> Moments:
    return Moments(flat[0], flat[1], flat[2], flat[3:6], flat[6:9], flat[9:12], flat[12], flat[13])


class Fit(NamedTuple):
    """level + slope (v - centre), for the target of number `form`."""

    form: Index
    level: Array
    slope: Array
    centre: Array
    rest: Array

    def of(self, which: Index) -> Fit:
        """The fits of these numbers."""
        return Fit(
            self.form[which],
            self.level[which],
            self.slope[which],
            self.centre[which],
            self.rest[which],
        )

    def line(self, mean: float) -> tuple[Array, Array]:
        """a and b."""
        over_y, over_c = self.form == 0, self.form == 2
        level = self.level + np.where(over_c, mean, 0.0)
        return over_y + self.slope, level - self.slope * (self.centre + mean)


def _divided(x: Array, y: Array) -> Array:
    return np.divide(x, y, out=np.zeros_like(x), where=y > 0)


def regress(m: Moments) -> Fit:
    form = np.argmin(m.tt, axis=0)
    t, tv, tt = (np.take_along_axis(x, form[None], axis=0)[0] for x in (m.t, m.tv, m.tt))
    centre, level = _divided(m.v, m.rho), _divided(t, m.rho)
    slope = _divided(tv - centre * t, m.vv - centre * m.v)
    rest = tt - level * t - slope * (tv - centre * t)
    return Fit(form, level, slope, centre, np.maximum(rest, 0.0))


def with_jump(above: Moments, below: Moments, theta: Array) -> Array:
    """What the best affine value above θ, and zero below, adds to the loss of Bayes' decoder."""
    return np.asarray(regress(above).rest + below.tt[1])


def with_gate(mean: float) -> Callable[[Moments, Moments, Array], Array]:
    """The same for values that are nowhere negative; infinite where the best ones are."""

    def added(above: Moments, below: Moments, theta: Array) -> Array:
        fit = regress(above)
        a, b = fit.line(mean)
        return np.where(a * theta + b >= 0, fit.rest + below.tt[1], np.inf)

    return added


class _Ramp(NamedTuple):
    a: Array
    rest: Array


def ramp(above: Moments, theta: Array, mean: float) -> _Ramp:
    """The best a (y - θ) above θ, and what it adds there."""
    d = theta - mean
    square = above.vv - 2 * d * above.v + d * d * above.rho
    # M less y is θ less than M less (y - θ).
    first = np.stack(
        [
            above.tv[0] + theta * above.v - d * (above.t[0] + theta * above.rho),
            above.tv[1] - d * above.t[1],
        ]
    )
    power = np.stack([above.tt[0] + 2 * theta * above.t[0] + theta**2 * above.rho, above.tt[1]])
    slope = np.stack([_divided(x, square) for x in first])
    rest = power - slope * first
    form = (power[1] < power[0]).astype(np.intp)[None]
    slope, rest = (np.take_along_axis(x, form, axis=0)[0] for x in (slope, rest))
    a, rest = np.where(form[0] == 0, 1 + slope, slope), np.maximum(rest, 0.0)
    # A ReLU does not fall below zero, which is the best of it where M is negative on average.
    falls = a < 0
    return _Ramp(np.where(falls, 0.0, a), np.where(falls, power[1], rest))
