r"""Densities of the readings of a channel, integrated once; decoders with a threshold from them.

With ρ(y) the density of readings and M(y) = E[x | y], any decoder f loses

.. math:: E(x - f(y))^2 = E\,\mathrm{Var}(x | y) + ∫ ρ (M - f)^2 dy ,

the loss of Bayes' decoder and what is added to it.  All terms are positive, so nothing cancels, and
the order of decoders by their losses does not depend on rounding.  Above a threshold, M is
regressed on y.  Instead of M itself that takes M - y, M or M - E u, whichever is least in square:
where a decoder is nearly right, these are as small as its errors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import special

from .._check import Array
from ..numerics.quadrature import (
    LEGENDRE,
    Index,
    Integral,
    Panels,
    evaluate,
    integrate,
    parts_of_legendre,
)
from ..numerics.search import find_minimum, find_root
from .posterior import Posterior

# Posterior of u and log density of ν, of problems at readings anchor + offset.
Reader = Callable[[Index, Array, Array], tuple[Posterior, Array]]
RTOL = 1e-11
# The noise has a probability below 1e-21 beyond this many deviations.
_FAR = 9.6
_STEPS = _FAR * np.linspace(-1, 1, 9)
# Posteriors turn from one atom to another over this many times σ²/Δ, at gaps Δ up to _GAP σ,
# beyond which the probability of a confusion, exp(-Δ²/8σ²), underflows.
_TURNS = 2.0 ** np.arange(1, 13)
_GAP = 90.0


class Problems(NamedTuple):
    """Channels with one feature each: reader, σ and p as flat arrays, and the mean u.

    `exact` tells whether the reader makes use of anchors.
    """

    reader: Reader
    sigma: Array
    p: Array
    mean: float
    exact: bool

    def rounding(self, panels: Panels) -> Array:
        """Relative errors of densities that know readings only to the rounding of their sum."""
        if self.exact:
            return np.zeros(len(panels))
        near = np.minimum(np.abs(panels.left), np.abs(panels.right))
        scale = np.maximum(near, self.sigma[panels.problem])
        return np.asarray(1e-15 * np.abs(panels.anchor) / scale)

    def densities(self, problem: Index, anchor: Array, offset: Array) -> Fields:
        """What there is to know of readings."""
        on, log_off = self.reader(problem, anchor, offset)
        p = self.p[problem]
        y = anchor + offset
        with np.errstate(divide="ignore", under="ignore"):
            log_on = np.log(p) + on.log_density
            log_off = np.log1p(-p) + log_off
            odds = log_on - log_off
            shift = on.mean - y if on.shift is None else on.shift
            values = y, np.exp(log_on), np.exp(log_off), odds, on.mean, on.variance, shift
        return Fields(*values)


class Fields(NamedTuple):
    """At readings y: densities times probabilities, posterior of a feature that is on."""

    y: Array
    on: Array
    off: Array
    odds: Array  # log on/off
    mean: Array
    variance: Array
    shift: Array  # E[u - y | y, on]


class Targets(NamedTuple):
    """ρ, and M = E[x | y] less y, 0 and a constant."""

    rho: Array
    doubt: Array  # ρ Var(x | y) without the posterior variance of u
    over_y: Array
    over_0: Array
    over_c: Array


def targets(x: Fields, centre: float) -> Targets:
    """From fields of any shape."""
    present, absent = special.expit(x.odds), special.expit(-x.odds)
    return Targets(
        x.on + x.off,
        x.on * absent * x.mean**2,
        present * x.shift - absent * x.y,
        present * x.mean,
        present * (x.mean - centre) - absent * centre,
    )


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


def _moments(flat: Array) -> Moments:
    return Moments(flat[0], flat[1], flat[2], flat[3:6], flat[6:9], flat[9:12], flat[12], flat[13])


def panels(
    anchors: Array,
    breaks: Array,
    sigma: float,
    p: float,
    scale: float,
    *,
    turns: bool,
    extra: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Anchors, left and right ends of panels that see all that may be narrow.

    Parameters
    ----------
    anchors : array
        Readings around which densities change on the scale of σ, ascending.
    breaks, extra : arrays
        Readings that are to be ends of panels.
    scale : float
        Typical size of an amplitude.
    turns : bool
        Whether posteriors may turn between neighbouring anchors within σ²/Δ.
    """
    if anchors.size > 1 and np.diff(anchors).min() < sigma / 4:
        cells = np.floor((anchors - anchors[0]) / (sigma / 4))
        anchors = anchors[np.unique(cells, return_index=True)[1]]
    # So far out there is no more than 1e-20 of p.
    tail = sigma * np.sqrt(92 - 2 * np.log(p))
    low = min(float(anchors[0]), float(breaks.min(initial=anchors[0]))) - tail
    high = max(float(anchors[-1]), float(breaks.max(initial=anchors[-1]))) + tail
    # Where on and off are equally likely, some way up the flank of the noise at zero.
    with np.errstate(divide="ignore"):
        rarity = np.log1p(-p) - np.log(p) + np.log(scale) - np.log(sigma) - 0.919
    flank = np.sqrt(2 * max(float(rarity), 0.0))
    around = np.concatenate(
        [
            flank * np.array([0.3, 0.5, 0.7, 0.85]),
            flank + np.array([-5.0, -2.5, -1, 0, 1, 2.5, 5, 10]) / (1 + flank),
            flank + np.array([1.5, 3.0, 6.0, 9.6]),
        ]
    )
    if anchors[0] < 0:
        around = np.concatenate([around, -around])
    middles = (anchors[:-1] + anchors[1:]) / 2
    loose = [breaks, np.linspace(low, high, 9 if extra is None else 41)]
    if anchors.size <= 8:  # laws that go as a power of u
        reach = np.log((high - low) / sigma) / np.log(32)
        out = sigma * _FAR * 32.0 ** np.arange(1, max(reach, 1.0))
        loose += [anchors[:, None] + out, anchors[:, None] - out]
    if extra is not None:
        loose.append(extra)
    if turns:
        loose += [_turns(anchors, k, sigma) for k in (1, 2, 3)]
    free = np.concatenate([np.ravel(x) for x in loose])
    free = free[(free >= low) & (free <= high)]
    home = np.searchsorted(middles, free)
    zero = int(np.argmin(np.abs(anchors)))
    count = anchors.size
    cell = np.concatenate(
        [
            np.repeat(np.arange(count), _STEPS.size),
            home,
            np.full(around.size, zero),
            np.arange(count - 1),
            np.arange(1, count),
        ]
    )
    offset = np.concatenate(
        [
            np.tile(sigma * _STEPS, count),
            free - anchors[home],
            sigma * around,
            middles - anchors[:-1],
            middles - anchors[1:],
        ]
    )
    first = np.concatenate([[low - anchors[0]], middles - anchors[1:]])
    last = np.concatenate([middles - anchors[:-1], [high - anchors[-1]]])
    inside = (offset >= first[cell]) & (offset <= last[cell])
    cell, offset = cell[inside], offset[inside]
    order = np.lexsort((offset, cell))
    cell, offset = cell[order], offset[order]
    same = cell[1:] == cell[:-1]
    close = same & (np.diff(offset) <= 1e-3 * sigma / (1 + flank))
    keep = ~np.append(False, close)
    # The last point of a cell is the end of its last panel.
    ends = np.append(~same, True)
    keep |= ends
    cell, offset = cell[keep], offset[keep]
    true = (cell[1:] == cell[:-1]) & (offset[1:] > offset[:-1])
    return anchors[cell[:-1][true]], offset[:-1][true], offset[1:][true]


def _turns(anchors: Array, apart: int, sigma: float) -> Array:
    gap = anchors[apart:] - anchors[:-apart]
    some = (gap > sigma) & (gap < _GAP * sigma)
    gap, middle = gap[some], anchors[:-apart][some] + gap[some] / 2
    step = (sigma / gap) * sigma * np.concatenate([-_TURNS[::-1], [0.0], _TURNS])[:, None]
    return np.asarray(np.where(np.abs(step) <= gap / 2, middle + step, middle).ravel())


@dataclass(frozen=True)
class Readings:
    """The densities of `problems` on panels that resolve them, and decoders from there.

    `oracle` and `bayes` are losses, E Var(x | y, on or off) and E Var(x | y).
    """

    problems: Problems
    integral: Integral

    @classmethod
    def of(cls, problems: Problems, start: Panels) -> Readings:
        """Integrate from the panels `start`."""

        def function(problem: Index, anchor: Array, offset: Array) -> tuple[Array, Array]:
            x = problems.densities(problem, anchor, offset)
            t = targets(x, problems.mean)
            within = x.on * x.variance
            power = t.rho * t.over_0**2
            values = [within, within + t.doubt, power, within + t.rho * t.over_y**2, t.rho]
            return np.stack(x), np.stack(values)

        return cls(
            problems,
            integrate(function, start, problems.p.size, rtol=RTOL, rounding=problems.rounding),
        )

    @property
    def oracle(self) -> Array:
        return np.asarray(self.integral.value[0])

    @property
    def bayes(self) -> Array:
        return np.asarray(self.integral.value[1])

    @cached_property
    def _first(self) -> Index:
        """Number of the first panel of each problem."""
        return np.searchsorted(self.integral.panels.problem, np.arange(self.problems.p.size))

    @cached_property
    def _sizes(self) -> Index:
        return np.bincount(self.integral.panels.problem, minlength=self.problems.p.size)

    @cached_property
    def _column(self) -> Index:
        """Position of each panel among those of its problem."""
        panels = self.integral.panels
        return np.asarray(np.arange(len(panels)) - self._first[panels.problem])

    def _padded(self, values: Array, fill: float) -> Array:
        shape = (*values.shape[:-1], self.problems.p.size, int(self._sizes.max()))
        table = np.full(shape, fill)
        table[..., self.integral.panels.problem, self._column] = values
        return table

    @cached_property
    def _left(self) -> Array:
        """Left ends of panels, shape (problems, panels), infinite beyond the last."""
        panels = self.integral.panels
        return self._padded(panels.anchor + panels.left, np.inf)

    @cached_property
    def _cumulated(self) -> tuple[Array, Array]:
        """Moments above the left end of each panel and below it, a column of nothing at the end."""
        flat = self._sums(Fields(*self.integral.fields), self.integral.panels)
        table = self._padded(flat, 0.0)
        nothing = np.zeros((*table.shape[:-1], 1))
        above = np.cumsum(table[..., ::-1], axis=-1)[..., ::-1]
        below = np.cumsum(table, axis=-1)
        return np.append(above, nothing, axis=-1), np.append(nothing, below, axis=-1)

    def _integrands(self, x: Fields) -> Array:
        """What `Moments` are integrals of, along axis 0."""
        t = targets(x, self.problems.mean)
        v = x.y - self.problems.mean
        of_t = np.stack(t[2:])
        parts = [t.rho, t.rho * v, t.rho * v * v]
        parts += [*(t.rho * of_t), *(t.rho * v * of_t), *(t.rho * of_t**2), x.on, x.off]
        return np.stack(parts)

    def _sums(self, x: Fields, panels: Panels) -> Array:
        return np.asarray((panels.weights * self._integrands(x)).sum(axis=-1))

    @cached_property
    def _series(self) -> Array:
        """Legendre coefficients of the integrands on each panel."""
        return np.asarray(self._integrands(Fields(*self.integral.fields)) @ LEGENDRE.T)

    def _cut(self, problem: Index, theta: Array) -> tuple[Index, Panels, Panels]:
        """Number of the panel that holds θ among those of its problem, and its two parts."""
        column = np.sum(self._left[problem] <= theta[:, None], axis=1) - 1
        column = np.clip(column, 0, self._sizes[problem] - 1)
        panel = self.integral.panels[self._first[problem] + column]
        cut = np.clip(theta - panel.anchor, panel.left, panel.right)
        left = Panels(problem, panel.anchor, panel.left, cut)
        return column, left, Panels(problem, panel.anchor, cut, panel.right)

    def _fields(self, panels: Panels) -> Fields:
        def function(problem: Index, anchor: Array, offset: Array) -> tuple[Array, Array]:
            x = np.stack(self.problems.densities(problem, anchor, offset))
            return x, x[:0]

        return Fields(*evaluate(function, panels)[0])

    def moments(self, problem: Index, theta: Array) -> tuple[Moments, Moments]:
        """Above and below `theta`, one for each number in `problem`, by the nodes there are."""
        column, left, right = self._cut(problem, theta)
        above, below = self._cumulated
        half = (right.right - left.left) / 2
        from_left = np.divide(left.right - left.left, half, out=np.zeros_like(half), where=half > 0)
        from_right = np.divide(
            right.right - right.left, half, out=np.zeros_like(half), where=half > 0
        )
        series = self._series[:, self._first[problem] + column]
        over = np.einsum("imj,jm->im", series, parts_of_legendre(from_left, from_right)[1])
        under = np.einsum("imj,jm->im", series, parts_of_legendre(from_left, from_right)[0])
        return (
            _moments(above[:, problem, column + 1] + half * over),
            _moments(below[:, problem, column] + half * under),
        )

    def affine(self, problem: Index, theta: Array) -> tuple[Array, Array, Array]:
        """a, b and loss of the best affine value above thresholds."""
        column, left, right = self._cut(problem, theta)
        above, below = self._cumulated
        over = above[:, problem, column + 1] + self._sums(self._fields(right), right)
        under = below[:, problem, column] + self._sums(self._fields(left), left)
        fit = _regress(_moments(over))
        a, b = fit.line(self.problems.mean)
        rest = self._rest(problem, theta, fit)
        return a, b, self.bayes[problem] + rest + _moments(under).tt[1]

    def _rest(self, problem: Index, theta: Array, fit: Fit) -> Array:
        """∫ρ(M - f)² above the threshold, node by node."""
        column, _, part = self._cut(problem, theta)
        mean = self.problems.mean

        def square(x: Fields, panels: Panels, fit: Fit) -> Array:
            t = targets(x, mean)
            which = np.broadcast_to(fit.form[None, :, None], (1, *x.y.shape))
            goal = np.take_along_axis(np.stack(t[2:]), which, axis=0)[0]
            line = fit.level[:, None] + fit.slope[:, None] * (x.y - mean - fit.centre[:, None])
            return np.asarray((panels.weights * t.rho * (goal - line) ** 2).sum(axis=-1))

        total = square(self._fields(part), part, fit)
        last = np.full(self.problems.p.size, -1)
        row = np.zeros(self.problems.p.size, int)
        last[problem], row[problem] = column, np.arange(problem.size)
        panels = self.integral.panels
        cut = last[panels.problem]
        whole = np.flatnonzero((cut >= 0) & (self._column > cut))
        home = row[panels.problem[whole]]
        x = Fields(*self.integral.fields[:, whole])
        squares = square(x, panels[whole], fit.of(home))
        return np.asarray(total + np.bincount(home, squares, minlength=problem.size))

    def best(self, added: Callable[[Moments, Moments, Array], Array]) -> tuple[Array, Array]:
        """Where `added`, of the moments above and below and θ, is least, and the best panel's end.

        The first is refined by interpolation, to rounding of what the panel holds.
        """
        every = np.arange(self.problems.p.size)
        above, below = (x[..., :-1] for x in self._cumulated)
        left = self._left
        with np.errstate(invalid="ignore"):
            losses = added(_moments(above), _moments(below), left)
        losses = np.where(np.isfinite(left) & np.isfinite(losses), losses, np.inf)
        least = np.argmin(losses, axis=1)
        lowest = left[every, least]
        middle = np.clip(least, 1, np.maximum(self._sizes - 2, 1))
        bracket = tuple(left[every, np.clip(middle + k, 0, self._sizes - 1)] for k in (-1, 0, 1))
        proper = (bracket[0] < bracket[1]) & (bracket[1] < bracket[2])
        if not proper.any():
            return lowest, lowest

        def loss(theta: Array, problem: Array) -> Array:
            index = problem.astype(np.intp)
            over, under = self.moments(index, theta)
            return added(over, under, theta)

        ends = tuple(x[proper] for x in bracket)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            found = find_minimum(loss, ends, args=(every[proper].astype(float),))
        theta = lowest.copy()
        theta[proper] = np.where(found.success, found.x, lowest[proper])
        return theta, lowest

    def kept(self, keep: Array) -> Array:
        """Thresholds that a part `keep` of the readings exceeds."""
        every = np.arange(self.problems.p.size)
        more = keep - self.problems.p

        def excess(above: Array, below: Array, more: Array) -> Array:
            # Above θ there are off readings, less the on readings below it, more than p.
            with np.errstate(divide="ignore", invalid="ignore"):
                above, below = np.maximum(above, 0), np.maximum(below, 0)
                ratio = np.log(above + np.maximum(-more, 0)) - np.log(below + np.maximum(more, 0))
            ratio = np.nan_to_num(ratio, nan=0.0, posinf=1e3, neginf=-1e3)
            return np.asarray(np.clip(ratio, -1e3, 1e3))

        above, below = self._cumulated
        valid = np.isfinite(self._left)
        scan = excess(above[13, :, :-1], below[12, :, :-1], more[:, None])
        high = np.where(valid & (scan > 0), np.arange(scan.shape[1]), -1).max(axis=1)
        beyond = np.where(valid & (scan < 0), np.arange(scan.shape[1]), scan.shape[1]).min(axis=1)
        left = self._left
        last = self.integral.panels[self._first + self._sizes - 1]
        end = last.anchor + last.right
        low = left[every, np.maximum(high, 0)]
        top = np.where(beyond < self._sizes, left[every, np.minimum(beyond, self._sizes - 1)], end)

        def at(theta: Array, problem: Array, more: Array) -> Array:
            over, under = self.moments(problem.astype(np.intp), theta)
            return excess(over.off, under.on, more)

        theta = left[:, 0].copy()
        some = (high >= 0) & (top > low)
        if some.any():
            args = every[some].astype(float), more[some]
            with np.errstate(invalid="ignore"):  # where the first guess is the root
                found = find_root(at, (low[some], top[some]), args=args)
            theta[some] = np.where(found.success, found.x, low[some])
        return theta


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


def _regress(m: Moments) -> Fit:
    form = np.argmin(m.tt, axis=0)
    t, tv, tt = (np.take_along_axis(x, form[None], axis=0)[0] for x in (m.t, m.tv, m.tt))
    centre, level = _divided(m.v, m.rho), _divided(t, m.rho)
    slope = _divided(tv - centre * t, m.vv - centre * m.v)
    rest = tt - level * t - slope * (tv - centre * t)
    return Fit(form, level, slope, centre, np.maximum(rest, 0.0))


def with_jump(above: Moments, below: Moments, theta: Array) -> Array:
    """What the best affine value above θ, and zero below, adds to the loss of Bayes' decoder."""
    return np.asarray(_regress(above).rest + below.tt[1])


def with_gate(mean: float) -> Callable[[Moments, Moments, Array], Array]:
    """The same for values that are nowhere negative; infinite where the best ones are."""

    def added(above: Moments, below: Moments, theta: Array) -> Array:
        fit = _regress(above)
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


def integrated_loss(
    problems: Problems,
    start: Panels,
    value: Callable[[Index, Array], Array],
    missed: Callable[[Index, Fields, Array], Array],
    *,
    jumps: bool = False,
) -> tuple[Array, Array]:
    """Losses of decoders that are functions of problem and reading, with estimates of the errors.

    `missed` is E[u - f | y, on], of the fields and of f; `jumps` is for decoders that may jump
    where no panel ends.
    """

    def function(problem: Index, anchor: Array, offset: Array) -> tuple[Array, Array]:
        x = problems.densities(problem, anchor, offset)
        f = value(problem, x.y)
        error = x.on * (x.variance + missed(problem, x, f) ** 2) + x.off * f**2
        return x.y[None][:0], error[None]

    found = integrate(
        function, start, problems.p.size, rtol=RTOL, rounding=problems.rounding, jumps=jumps
    )
    return found.value[0], found.error[0]
