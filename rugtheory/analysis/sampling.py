r"""Which outputs of a model to look at, and what they say of all the others.

The loss of an output is dear, but its diagonal a, bias b, and the mean, deviation and third
cumulant of its interference are had for all outputs at once, and with them its loss if the
interference were Gaussian.  Outputs that are dead or unlike the rest in these columns are all
taken, as far as half of the budget goes.  Where they are more, the farthest are taken, and others
are drawn from strata of about the same Gaussian loss.  Of the outputs that are like most some are
drawn at random, and the loss is regressed on the columns,

.. math:: \hat Y = \bar y + β \cdot (X - \bar x) = Σ_i w_i y_i , \qquad
    \mathrm{se}^2 = (1 - f) Σ_i w_i^2 \frac{e_i^2}{(1 - h_i)^2} ,

with bars for means over the m that are drawn, X the means of the columns over all, f the fraction
drawn, e_i the residuals and h_i their leverages: each output is judged by the fit without it
(Särndal, Swensson and Wretman, Model Assisted Survey Sampling, 1992, chapters 6, 7; MacKinnon and
White, J. Econometrics 29, 305, 1985).  Without columns this is s²/(m - 1), more than the
textbook's s²/m where few are drawn, which have too small a variance too often.  The estimate is
linear in y, so that one set of weights does for all quantities of the outputs.

Where features count differently, a few may make up most of the mean, and outputs are drawn with
chances proportional to importance times Gaussian loss instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..model.model import Model
from ..source.features import Features
from .columns import columns_of

Indices = NDArray[np.int64]
# Columns are counted in units of their usual spread, but of no less than this part of their scale.
_LEAST_SPREAD = 1e-3
# An output is unlike the rest if it is so many usual spreads away in one of the columns.
_UNLIKE = 4.0
# So many outputs are drawn for each column of a regression, at least.
_FOR_EACH_COLUMN = 8
# Of the average size, what a size is at least for a feature that varies like the average.
_LEAST_SIZE = 0.02
# Degrees of freedom that three draws or two count as.
_FEWEST = 0.1
# Outputs drawn of each stratum, at least.
_OF_EACH = 2
# Differences in these units that are nothing but rounding, and columns that depend on others.
_ALIKE, _DEPENDENT = 1e-6, 1e-6
# Fewer outputs are drawn from features alive and dead in proportion.
_FEW = 8


@dataclass(frozen=True)
class Part:
    """Outputs drawn at random from some that are alike.

    Attributes
    ----------
    of : ndarray of int64, shape (n,)
    rows : ndarray of int64, shape (m,)
        The ones drawn.
    weights : ndarray, shape (m,)
        ``weights @ y`` estimates the mean of y over the part; they add up to 1.
    columns : ndarray, shape (m, q)
        What is regressed on, about its mean over `rows`.
    """

    of: Indices
    rows: Indices
    weights: Array
    columns: Array

    @property
    def size(self) -> int:
        """How many outputs they stand for."""
        return int(self.of.size)

    def variance(self, y: Array) -> float:
        """Of the estimate; infinite if there is one output of several."""
        m = self.rows.size
        if m == self.size:
            return 0.0
        if m == 1:
            return np.inf
        residual, leverage = y - y.mean(), np.full(m, 1 / m)
        if self.columns.shape[1]:
            basis = _basis(self.columns)
            residual = residual - basis @ (basis.T @ residual)
            leverage += np.sum(basis**2, axis=1)
        # A row of leverage 1 has no residual to tell anything.
        left = np.maximum(1 - leverage, 1e-3)
        square = (self.weights * residual / left) ** 2
        return float((1 - m / self.size) * square.sum())


@dataclass(frozen=True)
class Proportional(Part):
    """Outputs drawn again and again, each time with chances proportional to a size.

    Attributes
    ----------
    draws : ndarray, shape (m,)
        How often each of `rows` was drawn.
    chances : ndarray, shape (m,)
        Of each, at a draw.
    """

    draws: Array
    chances: Array

    def variance(self, y: Array) -> float:
        count = float(self.draws.sum())
        if count < 2:
            return np.inf
        z = y / (self.chances * self.size)
        mean = float(self.draws @ z) / count
        # Of few draws the spread found is often too small: Student's law is wider than the normal.
        wider = 1 / max(count - 3, _FEWEST)
        return float(self.draws @ (z - mean) ** 2) / count * wider


@dataclass(frozen=True)
class Sample:
    """Some outputs, and weights for estimates over all.

    Attributes
    ----------
    rows : ndarray of int64, shape (m,)
        Ascending.
    weights : ndarray, shape (m,)
        ``weights @ y`` estimates the mean of y over all outputs; they add up to 1.
    parts : tuple of Part
    """

    rows: Indices
    weights: Array
    parts: tuple[Part, ...]

    def standard_error(self, y: Array) -> float:
        """Of ``weights @ y``; infinite if one output stands for several."""
        n = sum(x.size for x in self.parts)
        values = (y[np.searchsorted(self.rows, x.rows)] for x in self.parts)
        variance = (
            (x.size / n) ** 2 * x.variance(v) for x, v in zip(self.parts, values, strict=True)
        )
        return float(np.sqrt(sum(variance)))


def _sample(parts: list[Part]) -> Sample:
    n = sum(x.size for x in parts)
    rows = np.concatenate([x.rows for x in parts])
    weights = np.concatenate([x.size / n * x.weights for x in parts])
    order = np.argsort(rows)
    return Sample(rows[order], weights[order], tuple(parts))


def _plain(of: Indices, count: int, generator: np.random.Generator) -> Part:
    """`count` of these at random."""
    rows = of if count == of.size else generator.choice(of, count, replace=False)
    return _equal(of, rows)


def _equal(of: Indices, rows: Indices) -> Part:
    return Part(of, rows, np.full(rows.size, 1 / rows.size), np.empty((rows.size, 0)))


def whole(n: int) -> Sample:
    """All of `n` outputs."""
    return given(np.arange(n), n)


def given(rows: Indices, n: int) -> Sample:
    """These of `n` outputs, as if they had been drawn at random."""
    return _sample([_equal(np.arange(n), rows)])


def drawn(
    count: int, columns: Array, dead: NDArray[np.bool_], generator: np.random.Generator
) -> Sample:
    """`count` outputs of all, and weights.

    Parameters
    ----------
    count : int
        From 1 to n.
    columns : ndarray, shape (n, q)
        What is known of all outputs, an estimate of the loss first; of the order of 1.
    dead : ndarray of bool, shape (n,)
        Dead and other features are never in the same part, if two of each are affordable.
    generator : Generator
    """
    n = len(dead)
    if count == n:
        return whole(n)
    groups = [x for x in (np.flatnonzero(~dead), np.flatnonzero(dead)) if x.size]
    if count < sum(min(x.size, 2) for x in groups):
        return _sample([_plain(np.arange(n), count, generator)])
    if count < _FEW:
        shares = _shares(groups, count)
        return _sample([_plain(x, m, generator) for x, m in zip(groups, shares, strict=True)])

    known = _in_spreads(columns, columns[groups[0]])
    distance = np.abs(known).max(axis=1)
    unlike = distance > _UNLIKE
    if len(groups) > 1:
        unlike |= dead
    far = np.flatnonzero(unlike)
    far = far[np.argsort(-distance[far], kind="stable")]
    parts: list[Part] = []
    budget = max(count // 2, count - (n - far.size))
    if far.size > budget:
        # The farthest are taken whole, and some of the others; what is not so far goes on below.
        sure, rest = far[: budget // 2], far[budget // 2 :]
        kinds = dead[rest] if len(groups) > 1 else np.zeros(rest.size, bool)
        others = [rest[kinds], rest[~kinds & (distance[rest] > 2 * _UNLIKE)]]
        others = [x for x in others if x.size]
        left = min(budget - sure.size, sum(x.size for x in others))
        for x, m in zip(others, _shares(others, left), strict=True):
            parts += [_plain(y, k, generator) for y, k in _strata(x, columns[:, 0], m)]
        far = sure
    if far.size:
        parts.append(_plain(far, far.size, generator))
    taken = np.concatenate([x.of for x in parts]) if parts else far
    near = np.setdiff1d(np.arange(n), taken)
    parts.append(_regressed(near, count - sum(x.rows.size for x in parts), known, generator))
    return _sample(parts)


def proportional(count: int, sizes: Array, generator: np.random.Generator) -> Sample:
    """`count` outputs, those that are larger than a fair share taken for sure.

    Of the others, draws have chances proportional to their `sizes` (Hansen and Hurwitz, Annals of
    Mathematical Statistics 14, 333, 1943).
    """
    n = sizes.size
    if count == n:
        return whole(n)
    left, sure = np.argsort(-sizes, kind="stable"), np.zeros(0, np.int64)
    while True:
        chances, budget = _chances(sizes[left]), count - sure.size
        large = int(np.sum(budget * chances >= 1))
        large = min(large, count // 2 - sure.size)  # few draws say little of their spread
        if not large:
            break
        sure, left = np.append(sure, left[:large]), left[large:]
    parts = [_equal(sure, sure)] if sure.size else []
    picked, draws = np.unique(generator.choice(left.size, budget, p=chances), return_counts=True)
    weights = draws / (budget * chances[picked] * left.size)
    nothing = np.empty((picked.size, 0))
    parts.append(
        Proportional(left, left[picked], weights, nothing, draws.astype(float), chances[picked])
    )
    return _sample(parts)


def _chances(sizes: Array) -> Array:
    total = sizes.sum()
    return np.asarray(sizes / total) if total > 0 else np.full(sizes.size, 1 / sizes.size)


def _shares(groups: list[Indices], count: int) -> list[int]:
    """How many of each of at most two groups: in proportion, but two at least."""
    if len(groups) < 2:
        return [count] * len(groups)
    first, second = (x.size for x in groups)
    some = round(count * first / (first + second))
    some = min(max(some, min(first, 2), count - second), first, count - min(second, 2))
    return [some, count - some]


def _regressed(of: Indices, count: int, known: Array, generator: np.random.Generator) -> Part:
    """`count` of these at random, with weights that get the means of columns right."""
    part = _plain(of, count, generator)
    if count == of.size:
        return part
    x = known[part.rows] - known[part.rows].mean(axis=0)
    varying = np.flatnonzero(np.abs(x).max(axis=0) > _ALIKE)[: count // _FOR_EACH_COLUMN]
    if not varying.size:
        return part
    x = x[:, varying]
    gap = known[of][:, varying].mean(axis=0) - known[part.rows][:, varying].mean(axis=0)
    weights = part.weights + gap @ np.linalg.pinv(x, rcond=_DEPENDENT)
    return Part(of, part.rows, weights, x)


def _basis(x: Array) -> Array:
    """Orthonormal columns that span those of `x`."""
    u, size, _ = np.linalg.svd(x, full_matrices=False)
    return np.asarray(u[:, size > _DEPENDENT * size[0]])


def _in_spreads(columns: Array, usual: Array) -> Array:
    """Columns about the medians of the usual ones, in units of their spreads."""
    low, middle, high = np.quantile(usual, [0.16, 0.5, 0.84], axis=0)
    return np.asarray((columns - middle) / np.maximum((high - low) / 2, _LEAST_SPREAD))


def _strata(members: Indices, loss: Array, count: int) -> list[tuple[Indices, int]]:
    """Members in strata of about the same `loss`, and how many to draw of each, `count` in all."""
    strata = [members[np.argsort(loss[members], kind="stable")]]
    while count < members.size:
        costs = [x.size**2 * float(np.var(loss[x])) if x.size > _OF_EACH else 0.0 for x in strata]
        worst = int(np.argmax(costs))
        if costs[worst] <= _ALIKE**2:
            break
        parts = np.split(strata[worst], [_best_cut(loss[strata[worst]])])
        cut = [*strata[:worst], *parts, *strata[worst + 1 :]]
        if sum(min(x.size, _OF_EACH) for x in cut) > count:
            break
        strata = cut
    sizes = np.array([x.size for x in strata])
    number = np.minimum(sizes, min(count, _OF_EACH))
    for _ in range(count - int(number.sum())):
        number[np.argmax(np.where(number < sizes, sizes / number, 0.0))] += 1
    return list(zip(strata, number.tolist(), strict=True))


def _best_cut(x: Array) -> int:
    """Where to cut a sorted vector so that least of its variance is left."""
    sums, left = np.cumsum(x - x.mean())[:-1], np.arange(1, x.size)
    return int(np.argmax(sums**2 * (1 / left + 1 / (x.size - left)))) + 1


def some_rows(
    count: int, model: Model, features: Features, generator: np.random.Generator
) -> Sample:
    """`count` outputs of a model, and weights."""
    columns, dead = columns_of(model, features)
    if np.ptp(features.importance) > 0:
        # Gaussian losses are estimates: none is far below its share of what varies.
        most = features.importance * features.variance
        sizes = np.maximum(columns[:, 0], 0.0) + _LEAST_SIZE * most / (most.mean() or 1.0)
        return proportional(count, sizes, generator)
    return drawn(count, columns, dead, generator)
