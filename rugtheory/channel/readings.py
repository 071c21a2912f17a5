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

import numpy as np

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
from .fields import Fields, Problems, targets
from .fits import Fit, Moments, moments_of, regress

RTOL = 1e-11
# Where thresholds are tried first, in parts of a panel, and how many minima inside are refined.
_PARTS = (0.0, 0.25, 0.5, 0.75)
_REFINED = 3
# Of the power of all readings, what interpolation may be off by.
_ROUNDING = 1e-13


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
            moments_of(above[:, problem, column + 1] + half * over),
            moments_of(below[:, problem, column] + half * under),
        )

    def affine(self, problem: Index, theta: Array) -> tuple[Array, Array, Array]:
        """a, b and loss of the best affine value above thresholds."""
        column, left, right = self._cut(problem, theta)
        above, below = self._cumulated
        over = above[:, problem, column + 1] + self._sums(self._fields(right), right)
        under = below[:, problem, column] + self._sums(self._fields(left), left)
        fit = regress(moments_of(over))
        a, b = fit.line(self.problems.mean)
        rest = self._rest(problem, theta, fit)
        return a, b, self.bayes[problem] + rest + moments_of(under).tt[1]

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

    @cached_property
    def _scan(self) -> tuple[Array, Moments, Moments]:
        """Thresholds a quarter of a panel apart, and the moments above and below them.

        Each of shape (..., problems, points), infinite thresholds beyond the last panel.
        """
        panels = self.integral.panels
        half = (panels.right - panels.left) / 2
        above, below = self._cumulated
        over = [above[:, panels.problem, self._column]]
        under = [below[:, panels.problem, self._column]]
        beyond = above[:, panels.problem, self._column + 1]
        for part in _PARTS[1:]:
            down, up = parts_of_legendre(np.array([2 * part]), np.array([2 - 2 * part]))
            over.append(beyond + half * (self._series @ up[:, 0]))
            under.append(under[0] + half * (self._series @ down[:, 0]))
        theta = [panels.anchor + (panels.left + 2 * part * half) for part in _PARTS]

        def table(values: list[Array], fill: float) -> Array:
            padded = self._padded(np.stack(values), fill)
            return np.asarray(np.moveaxis(padded, 0, -1)).reshape(*padded.shape[1:-1], -1)

        return table(theta, np.inf), moments_of(table(over, 0.0)), moments_of(table(under, 0.0))

    def best(self, added: Callable[[Moments, Moments, Array], Array]) -> tuple[Array, Array]:
        """Where `added`, of the moments above and below and θ, is least, and the best panel's end.

        The first is refined by interpolation, to rounding of what the panel holds.  Inside panels
        there may be minima that their ends do not see; those that rounding may make are left out.
        """
        theta, above, below = self._scan
        with np.errstate(invalid="ignore"):
            losses = added(above, below, theta)
        losses = np.where(np.isfinite(theta) & np.isfinite(losses), losses, np.inf)
        ends = slice(None, None, len(_PARTS))
        first, lowest, least = _lowest(theta[:, ends], losses[:, ends])
        rounding = _ROUNDING * (above.tt[1] + below.tt[1]).max(axis=1)
        brackets = [first]
        if (losses.min(axis=1) < least - rounding).any():
            inside = np.where(losses < (least - rounding)[:, None], losses, np.inf)
            brackets += _minima(theta, inside)
        problem, bracket = (np.concatenate(x, axis=-1) for x in zip(*brackets, strict=True))
        if not problem.size:
            return lowest, lowest

        def loss(theta: Array, problem: Array) -> Array:
            index = problem.astype(np.intp)
            over, under = self.moments(index, theta)
            return added(over, under, theta)

        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            found = find_minimum(loss, tuple(bracket), args=(problem.astype(float),))
        value = np.where(found.success & np.isfinite(found.f_x), found.f_x, np.inf)
        value[first[0].size :] += rounding[problem[first[0].size :]]
        refined = lowest.copy()
        # The least of each problem comes last, and stays.
        order = np.argsort(-value, kind="stable")
        order = order[np.isfinite(value[order])]
        refined[problem[order]] = found.x[order]
        return refined, lowest

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


_Brackets = tuple[Index, Array]


def _lowest(theta: Array, losses: Array) -> tuple[_Brackets, Array, Array]:
    """Brackets next to the lowest point of each problem, that point, and the loss there."""
    every, least = np.arange(len(theta)), np.argmin(losses, axis=1)
    return _bracketed(every, theta, least), theta[every, least], losses[every, least]


def _minima(theta: Array, losses: Array) -> list[_Brackets]:
    """Brackets of the lowest minima of a scan."""
    end = np.full((len(theta), 1), np.inf)
    before, after = np.hstack([end, losses[:, :-1]]), np.hstack([losses[:, 1:], end])
    minima = np.where((losses <= before) & (losses <= after), losses, np.inf)
    found = np.argsort(minima, axis=1, kind="stable")[:, :_REFINED]
    each = [(np.flatnonzero(np.isfinite(minima[np.arange(len(theta)), k])), k) for k in found.T]
    return [_bracketed(some, theta[some], k[some]) for some, k in each]


def _bracketed(problem: Index, theta: Array, middle: Index) -> _Brackets:
    """The problems that have a bracket about these points of theirs, and three thresholds each."""
    rows, last = np.arange(len(theta)), np.isfinite(theta).sum(axis=1) - 1
    middle = np.clip(middle, 1, np.maximum(last - 1, 1))
    bracket = np.stack([theta[rows, np.clip(middle + k, 0, last)] for k in (-1, 0, 1)])
    proper = (bracket[0] < bracket[1]) & (bracket[1] < bracket[2])
    return problem[proper], bracket[:, proper]


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
