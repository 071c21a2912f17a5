"""Second moments, an affine map from them, and sums over units that say how good it is.

Everything is accumulated in float64 and about a mean: of the first block in the fit, of the fit in
the evaluation.  Sums of squares about zero would lose the spread where the mean is large.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ._rows import blocks
from ._split import Split

# Predictors and targets of the given rows, of any real type.
Read = Callable[[NDArray[np.intp]], tuple[NDArray[Any], NDArray[Any]]]
Whole = Callable[[NDArray[np.intp]], NDArray[Any]]

_EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Moments:
    """Means of x and y, their centred products Σ x̃x̃ᵀ and Σ x̃ỹᵀ, and Σ ỹ² of each column."""

    count: int
    x_mean: Array
    y_mean: Array
    xx: Array
    xy: Array
    yy: Array


@dataclass(frozen=True)
class Gram:
    """Mean of x and its centred products Σ x̃x̃ᵀ."""

    count: int
    mean: Array
    xx: Array


@dataclass(frozen=True)
class Affine:
    """y ≈ (x - centre) @ slope + offset, using `rank` directions of x.

    Over the rows fitted `total` is Σ (y - ȳ)² of each column, and `left` what the map leaves of it.
    """

    slope: Array
    centre: Array
    offset: Array
    rank: int
    total: Array
    left: Array
    intercept: bool = True


def moments(read: Read, chosen: NDArray[np.bool_], length: int) -> Moments:
    """Moments of the chosen rows."""
    count = 0
    for rows in blocks(chosen, length):
        x, y = read(rows)
        if not count:
            x_shift, y_shift = (part.mean(axis=0, dtype=np.float64) for part in (x, y))
            x_sum, y_sum = np.zeros(x.shape[1]), np.zeros(y.shape[1])
            xx, xy = np.zeros((x_sum.size, x_sum.size)), np.zeros((x_sum.size, y_sum.size))
            yy = np.zeros(y_sum.size)
        x = np.subtract(x, x_shift, dtype=np.float64)
        y = np.subtract(y, y_shift, dtype=np.float64)
        count += x.shape[0]
        x_sum += x.sum(axis=0)
        y_sum += y.sum(axis=0)
        yy += np.einsum("ij,ij->j", y, y)
        # An overflow is reported below.
        with np.errstate(over="ignore", invalid="ignore"):
            xx += x.T @ x
            xy += x.T @ y
    with np.errstate(over="ignore", invalid="ignore"):
        xx -= np.outer(x_sum / count, x_sum)
        xy -= np.outer(x_sum / count, y_sum)
    if not (np.isfinite(xx).all() and np.isfinite(xy).all()):
        raise ValueError("values must be small enough to be squared in float64, got an overflow")
    yy -= y_sum**2 / count
    return Moments(count, x_shift + x_sum / count, y_shift + y_sum / count, xx, xy, yy)


def gram(read: Whole, chosen: NDArray[np.bool_], length: int) -> Gram:
    """Mean and products of x alone, over the chosen rows."""
    found = moments(lambda rows: (read(rows), np.zeros((rows.size, 1))), chosen, length)
    return Gram(found.count, found.x_mean, found.xx)


def cross_moments(read: Read, solver: Solver, chosen: NDArray[np.bool_], length: int) -> Moments:
    """The same of rows whose products Σ x̃x̃ᵀ are known: only Σ x̃ỹᵀ is computed."""
    gram, count = solver.gram, 0
    for rows in blocks(chosen, length):
        x, y = read(rows)
        if not count:
            y_shift = y.mean(axis=0, dtype=np.float64)
            y_sum, yy = np.zeros((2, y.shape[1]))
            xy = np.zeros((x.shape[1], y.shape[1]))
        x = np.subtract(x, gram.mean, dtype=np.float64)
        y = np.subtract(y, y_shift, dtype=np.float64)
        count += x.shape[0]
        y_sum += y.sum(axis=0)
        yy += np.einsum("ij,ij->j", y, y)
        with np.errstate(over="ignore", invalid="ignore"):
            xy += x.T @ y
    if count != gram.count:
        raise ValueError(f"rows must be the {gram.count} of the products, got {count}")
    if not np.isfinite(xy).all():
        raise ValueError("values must be small enough to be squared in float64, got an overflow")
    yy -= y_sum**2 / count
    return Moments(count, gram.mean, y_shift + y_sum / count, gram.xx, xy, yy)


class Solver:
    """Least squares in float64 on one x, of least norm where its columns depend on each other.

    The columns are scaled to unit spread, and directions whose eigenvalue of the correlation matrix
    is below (columns x eps) of the largest are left out: below that the products hold rounding.
    """

    def __init__(self, gram: Gram, *, intercept: bool = True) -> None:
        n, n_x = gram.count, gram.mean.size
        if n < n_x + 2:
            raise ValueError(f"the fit must have at least columns + 2 = {n_x + 2} rows, got {n}")
        self.gram, self.intercept = gram, intercept
        xx = gram.xx if intercept else gram.xx + n * np.outer(gram.mean, gram.mean)
        spread = np.sqrt(np.maximum(np.diag(xx), 0))
        # A constant column varies by the rounding of its mean.
        self.varies = spread > (8 * _EPS * np.sqrt(n) * np.abs(gram.mean) if intercept else 0.0)
        if not self.varies.any():
            raise ValueError("x must vary over the rows of the fit, got constant columns only")
        scale = spread[self.varies]
        values, vectors = np.linalg.eigh(
            xx[np.ix_(self.varies, self.varies)] / np.outer(scale, scale)
        )
        kept = values > n_x * _EPS * values[-1]
        self.basis, self.values = vectors[:, kept] / scale[:, None], values[kept]

    def affine(self, found: Moments) -> Affine:
        """The best affine map to the y of `found`, of the same rows of x."""
        centre, xy = self.gram.mean, found.xy
        if not self.intercept:
            xy = xy + found.count * np.outer(centre, found.y_mean)
        slope = np.zeros_like(xy)
        slope[self.varies] = self.basis @ ((self.basis.T @ xy[self.varies]) / self.values[:, None])
        offset = found.y_mean if self.intercept else centre @ slope
        total = np.maximum(found.yy, 0)
        about = total if self.intercept else total + found.count * found.y_mean**2
        left = np.maximum(about - np.einsum("ij,ij->j", xy, slope), 0)
        return Affine(slope, centre, offset, self.values.size, total, left, self.intercept)


def solve(found: Moments, *, intercept: bool = True) -> Affine:
    """The best affine map from x to y; see `Solver`."""
    gram = Gram(found.count, found.x_mean, found.xx)
    return Solver(gram, intercept=intercept).affine(found)


class Spread:
    """Count, sum and sum of squares of columns about `shift`, over each unit."""

    def __init__(self, shift: Array, n_units: int) -> None:
        self.shift = shift
        self.count = np.zeros(n_units)
        self.sum = np.zeros((n_units, shift.size))
        self.square = np.zeros((n_units, shift.size))

    def add(self, unit: int, shifted: Array) -> None:
        """Take in rows of one unit, `shift` already subtracted."""
        self.count[unit] += shifted.shape[0]
        self.sum[unit] += shifted.sum(axis=0)
        self.square[unit] += np.einsum("ij,ij->j", shifted, shifted)

    def __add__(self, other: Spread) -> Spread:
        total = Spread(self.shift, self.count.size)
        total.count = self.count + other.count
        total.sum = self.sum + other.sum
        total.square = self.square + other.square
        return total

    def about_mean(self, weights: Array) -> Array:
        """Σ (y - ȳ)² of each column, with the units weighted: shape (weightings, columns)."""
        count, total = (weights @ self.count)[:, None], weights @ self.sum
        found = weights @ self.square - total**2 / count
        # Less than the rounding of a mean is none: the column is constant.
        rounding = count * (8 * _EPS * (self.shift + total / count)) ** 2
        return np.where(found > rounding, found, 0.0)

    def about_zero(self, weights: Array) -> Array:
        """Σ y² of each column, with the units weighted."""
        count = (weights @ self.count)[:, None]
        mean = self.shift + (weights @ self.sum) / count
        return self.about_mean(weights) + count * mean**2


class Evaluation:
    """Sums over units of targets and residuals of a map, and of x if it is asked for."""

    def __init__(self, affine: Affine, n_units: int) -> None:
        self.y = Spread(affine.offset, n_units)
        self.x: Spread | None = None
        self.residual = np.zeros((n_units, affine.offset.size))

    def add(self, unit: int, x: Array, y: Array, residual: Array) -> None:
        """Take in rows of one unit."""
        self.y.add(unit, y)
        if self.x is not None:
            self.x.add(unit, np.subtract(x, self.x.shift, dtype=np.float64))
        self.residual[unit] += np.einsum("ij,ij->j", residual, residual)

    def unexplained(self, weights: Array, columns: slice = slice(None)) -> tuple[Array, Array]:
        """1 - R² weighted by variance, and the mean over columns; one for each weighting.

        Columns that do not vary have no R² and are left out of the mean.
        """
        total = self.y.about_mean(weights)[:, columns]
        left = (weights @ self.residual)[:, columns]
        varies = total > 0
        if not varies.any(axis=1).all():
            raise ValueError("the target must vary over the evaluated rows, got a constant")
        each = np.divide(left, total, out=np.zeros_like(left), where=varies)
        return left.sum(axis=1) / total.sum(axis=1), each.sum(axis=1) / varies.sum(axis=1)


def evaluate(
    read: Read,
    affine: Affine,
    parts: Split,
    chosen: NDArray[np.bool_],
    length: int,
    *,
    with_x: bool = False,
    whole: Whole | None = None,
) -> Evaluation:
    """Sums of the chosen rows over the units of `parts`; `with_x`, of x too, or of `whole`."""
    found = Evaluation(affine, parts.n_units)
    for rows in blocks(chosen, length):
        x, y = read(rows)
        all_of = whole(rows) if whole is not None else x
        unit = parts.unit[rows]
        if np.any(unit[1:] < unit[:-1]):
            order = np.argsort(unit, kind="stable")
            x, y, all_of, unit = x[order], y[order], all_of[order], unit[order]
        x = np.subtract(x, affine.centre, dtype=np.float64)
        if with_x and found.x is None:
            shift = affine.centre if whole is None else all_of.mean(axis=0, dtype=np.float64)
            found.x = Spread(shift, parts.n_units)
        y = np.subtract(y, affine.offset, dtype=np.float64)
        residual = x @ affine.slope
        np.subtract(y, residual, out=residual)
        edges = [0, *(np.flatnonzero(np.diff(unit)) + 1).tolist(), unit.size]
        for first, last in pairwise(edges):
            same = slice(first, last)
            found.add(int(unit[first]), all_of[same], y[same], residual[same])
    return found
