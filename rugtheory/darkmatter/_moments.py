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

_EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Moments:
    """Means of x and y and their centred products Σ x̃x̃ᵀ, Σ x̃ỹᵀ."""

    count: int
    x_mean: Array
    y_mean: Array
    xx: Array
    xy: Array


@dataclass(frozen=True)
class Affine:
    """y ≈ (x - centre) @ slope + offset, using `rank` directions of x."""

    slope: Array
    centre: Array
    offset: Array
    rank: int


def moments(read: Read, chosen: NDArray[np.bool_], length: int) -> Moments:
    """Moments of the chosen rows."""
    count = 0
    for rows in blocks(chosen, length):
        x, y = read(rows)
        if not count:
            x_shift, y_shift = (part.mean(axis=0, dtype=np.float64) for part in (x, y))
            x_sum, y_sum = np.zeros(x.shape[1]), np.zeros(y.shape[1])
            xx, xy = np.zeros((x_sum.size, x_sum.size)), np.zeros((x_sum.size, y_sum.size))
        x = np.subtract(x, x_shift, dtype=np.float64)
        y = np.subtract(y, y_shift, dtype=np.float64)
        count += x.shape[0]
        x_sum += x.sum(axis=0)
        y_sum += y.sum(axis=0)
        # An overflow is reported below.
        with np.errstate(over="ignore", invalid="ignore"):
            xx += x.T @ x
            xy += x.T @ y
    with np.errstate(over="ignore", invalid="ignore"):
        xx -= np.outer(x_sum / count, x_sum)
        xy -= np.outer(x_sum / count, y_sum)
    if not (np.isfinite(xx).all() and np.isfinite(xy).all()):
        raise ValueError("values must be small enough to be squared in float64, got an overflow")
    return Moments(count, x_shift + x_sum / count, y_shift + y_sum / count, xx, xy)


def solve(found: Moments, *, intercept: bool = True) -> Affine:
    """Least squares in float64, of least norm where columns of x depend on each other.

    The columns are scaled to unit spread, and directions whose eigenvalue of the correlation matrix
    is below (columns x eps) of the largest are left out: below that the products hold rounding.
    """
    n, (n_x, n_y) = found.count, found.xy.shape
    if n < n_x + 2:
        raise ValueError(f"the fit must have at least columns + 2 = {n_x + 2} rows, got {n}")
    xx, xy, centre = found.xx, found.xy, found.x_mean
    if not intercept:
        xx = xx + n * np.outer(centre, centre)
        xy = xy + n * np.outer(centre, found.y_mean)
    spread = np.sqrt(np.maximum(np.diag(xx), 0))
    # A constant column varies by the rounding of its mean.
    varies = spread > (8 * _EPS * np.sqrt(n) * np.abs(centre) if intercept else 0.0)
    if not varies.any():
        raise ValueError("x must vary over the rows of the fit, got constant columns only")
    slope = np.zeros((n_x, n_y))
    scale = spread[varies]
    values, vectors = np.linalg.eigh(xx[np.ix_(varies, varies)] / np.outer(scale, scale))
    kept = values > n_x * _EPS * values[-1]
    basis = vectors[:, kept] / scale[:, None]
    slope[varies] = basis @ ((basis.T @ xy[varies]) / values[kept, None])
    offset = found.y_mean if intercept else centre @ slope
    return Affine(slope, centre, offset, int(kept.sum()))


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
    """Sums over units of targets and residuals of a map, and of x if `with_x`."""

    def __init__(self, affine: Affine, n_units: int, *, with_x: bool) -> None:
        self.y = Spread(affine.offset, n_units)
        self.x = Spread(affine.centre, n_units) if with_x else None
        self.residual = np.zeros((n_units, affine.offset.size))

    def add(self, unit: int, x: Array, y: Array, residual: Array) -> None:
        """Take in rows of one unit."""
        self.y.add(unit, y)
        if self.x is not None:
            self.x.add(unit, x)
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
) -> Evaluation:
    """Sums of the chosen rows over the units of `parts`."""
    found = Evaluation(affine, parts.n_units, with_x=with_x)
    for rows in blocks(chosen, length):
        x, y = read(rows)
        unit = parts.unit[rows]
        if np.any(unit[1:] < unit[:-1]):
            order = np.argsort(unit, kind="stable")
            x, y, unit = x[order], y[order], unit[order]
        x = np.subtract(x, affine.centre, dtype=np.float64)
        y = np.subtract(y, affine.offset, dtype=np.float64)
        residual = x @ affine.slope
        np.subtract(y, residual, out=residual)
        edges = [0, *(np.flatnonzero(np.diff(unit)) + 1).tolist(), unit.size]
        for first, last in pairwise(edges):
            same = slice(first, last)
            found.add(int(unit[first]), x[same], y[same], residual[same])
    return found
