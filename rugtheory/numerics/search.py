"""Roots and minima of many functions at a time.

scipy.optimize takes longer to import than this package and all else that it needs, and nearly every
command needs a root: so roots are found here, and scipy's searches for minima are imported by the
first that needs them.  A function whose cost is mostly that of a call has its minima by
polynomials, see `local_minimum`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from .._check import Array

_BRACKETING = 30
_EPS, _TINY = float(np.finfo(float).eps), float(np.finfo(float).tiny)
# A polynomial goes through so many points, and its minimum is first looked for at so many.
_POINTS, _LOOKED_AT = 7, 25
# Intervals become shorter by this where the polynomial is good, and there are so many at most.
_SHORTER, _ROUNDS = 8.0, 12
# Of the last coefficients, relative to the first: what is left where the others have converged.
_CONVERGED, _GOOD = 2e-15, 1e-2


class Root(NamedTuple):
    """Where functions are zero; NaN, and no success, where the ends have one sign."""

    x: Array
    success: NDArray[np.bool_]


def find_root(f: Callable[..., Array], bracket: tuple[Any, ...], args: tuple[Array, ...]) -> Root:
    """Roots of functions that change sign between two points, to rounding.

    Inverse quadratic interpolation where three points make it safe, else bisection: T. R.
    Chandrupatla, Adv. Eng. Softw. 28, 145 (1997).
    """
    given = np.broadcast_arrays(*bracket, *args)
    x1, x2, *rest = (x.ravel() for x in given)
    f1, f2 = f(x1, *rest), f(x2, *rest)
    root, going = np.full(x1.size, np.nan), np.arange(x1.size)
    points = np.stack([x1, x2, x2, f1, f2, f2])
    t = np.full(x1.size, 0.5)
    while True:
        x1, x2, _, f1, f2, _ = points
        best, length = np.where(np.abs(f1) < np.abs(f2), x1, x2), np.abs(x2 - x1)
        least = _TINY + 4 * _EPS * np.abs(best)
        signs = np.sign(f1) * np.sign(f2)
        found = (signs == 0) | ((signs < 0) & (length <= least))
        root[going[found]] = best[found]
        some = (signs < 0) & ~found
        going, points, rest = going[some], points[:, some], [x[some] for x in rest]
        if not going.size:
            break
        t = np.clip(t[some], 0.5 * (least / length)[some], 1 - 0.5 * (least / length)[some])
        x = points[0] + t * (points[1] - points[0])
        points = _next_points(points, x, f(x, *rest))
        t = _share(*points)
    shaped = root.reshape(given[0].shape)
    return Root(shaped, np.isfinite(shaped))


def _next_points(points: Array, x: Array, y: Array) -> Array:
    """The new point, that on the other side of the root, and the one given up; values there."""
    x1, x2, _, f1, f2, _ = points
    same = np.sign(y) == np.sign(f1)
    rest = [np.where(same, *z) for z in ((x2, x1), (x1, x2), (f2, f1), (f1, f2))]
    return np.stack([x, rest[0], rest[1], y, rest[2], rest[3]])


def _share(x1: Array, x2: Array, x3: Array, f1: Array, f2: Array, f3: Array) -> Array:
    """How far from the first point to the second to go."""
    with np.errstate(divide="ignore", invalid="ignore"):
        xi, phi = (x1 - x2) / (x3 - x2), (f1 - f2) / (f3 - f2)
        safe = (1 - np.sqrt(1 - xi) < phi) & (phi < np.sqrt(xi))
        alpha = (x3 - x1) / (x2 - x1)
        t = f1 / (f1 - f2) * f3 / (f3 - f2) - alpha * f1 / (f3 - f1) * f2 / (f2 - f3)
    return np.where(safe, t, 0.5)


def find_minimum(
    f: Callable[..., Array], bracket: tuple[Any, ...], args: tuple[Array, ...], **tolerances: float
) -> Any:
    """`scipy.optimize.elementwise.find_minimum`."""
    from scipy.optimize import elementwise

    return elementwise.find_minimum(f, bracket, args=args, tolerances=tolerances)


def bracket_minimum(
    f: Callable[..., Array], middle: Array, *, xl0: Array, xr0: Array, args: tuple[Array, ...]
) -> Any:
    """`scipy.optimize.elementwise.bracket_minimum`, in few steps."""
    from scipy.optimize import elementwise

    return elementwise.bracket_minimum(f, middle, xl0=xl0, xr0=xr0, args=args, maxiter=_BRACKETING)


def local_minimum(
    f: Callable[..., Array], start: tuple[Array, ...], args: tuple[Array, ...], *, xatol: float
) -> Array:
    """Local minima of `f` from left, middle and right; the middle where there is none.

    Polynomials through a few points at a time say where the minimum of a smooth function is, and
    whether they do.  Where they do not, as at a kink, the minimum is bracketed.
    """
    left, middle, right = start
    result = middle.copy()
    centre, half = (left + right) / 2, (right - left) / 2
    moving = np.arange(middle.size)
    for _ in range(_ROUNDS):
        if not moving.size:
            return result
        y = _sampled(f, centre[moving], half[moving], tuple(x[moving] for x in args))
        found = polynomial_minimum(y)
        at = centre[moving] + half[moving] * found.at
        done = found.inside & (found.exact | (found.error * half[moving] <= xatol))
        result[moving[done]] = at[done]
        # A minimum at an end is beyond it.
        factor = np.where(found.inside, np.where(found.good, 1 / _SHORTER, 0.5), 1.5)
        centre[moving], half[moving] = at, half[moving] * factor
        moving = moving[~done]
    args = tuple(x[moving] for x in args)
    result[moving] = _bracketed(f, tuple(x[moving] for x in start), args, xatol)
    return result


def _sampled(f: Callable[..., Array], centre: Array, half: Array, args: tuple[Array, ...]) -> Array:
    """Values at Chebyshev points of an interval, along axis 0."""
    x = centre + half * sample_points()[:, None]
    return f(x.ravel(), *(np.tile(arg, _POINTS) for arg in args)).reshape(x.shape)


def sample_points() -> Array:
    """Where in [-1, 1] `polynomial_minimum` takes values, ascending; 0 is in the middle."""
    return _points()[0]


@cache
def _points() -> tuple[Array, Array]:
    """Points in [-1, 1], and the matrix from values to Chebyshev coefficients."""
    z = np.sin(np.pi / 2 * np.linspace(-1, 1, _POINTS))
    return np.asarray(z), np.asarray(np.linalg.inv(chebyshev.chebvander(z, _POINTS - 1)))


class PolynomialMinimum(NamedTuple):
    """The minimum of a polynomial through values at the points of [-1, 1], one a column.

    Its place and the error of that; whether it is inside, whether the polynomial is the function to
    rounding, and whether it is like it.
    """

    at: Array
    error: Array
    inside: NDArray[np.bool_]
    exact: NDArray[np.bool_]
    good: NDArray[np.bool_]


def polynomial_minimum(y: Array) -> PolynomialMinimum:
    z, matrix = _points()
    lowest, least = np.argmin(y, axis=0), y.min(axis=0)
    inside = (lowest > 0) & (lowest < _POINTS - 1)
    low, high = (z[np.clip(lowest + k, 0, _POINTS - 1)] for k in (-1, 1))
    # The least value is taken off for its digits; sums have one order whatever the number of them.
    y = y - least
    c = np.stack([sum(w * x for w, x in zip(row, y, strict=True)) for row in matrix])
    near = low + (high - low) * np.linspace(0, 1, _LOOKED_AT)[:, None]
    place = np.argmin(chebyshev.chebval(near, c, tensor=False), axis=0)
    at = near[place, np.arange(low.size)]
    slope, bend = (chebyshev.chebder(c, k) for k in (1, 2))
    for _ in range(4):
        curvature = chebyshev.chebval(at, bend, tensor=False)
        ahead = chebyshev.chebval(at, slope, tensor=False)
        step = np.divide(ahead, curvature, out=np.zeros_like(at), where=curvature > 0)
        at = np.clip(at - step, low, high)
    curvature = chebyshev.chebval(at, bend, tensor=False)
    # The derivative of the last polynomials is the square of their degree at most.
    tail = np.abs(c[-2:]).sum(axis=0)
    error = (_POINTS - 1) ** 2 * tail
    error = np.divide(error, curvature, out=np.ones_like(at), where=curvature > 0)
    exact = tail <= _CONVERGED * np.abs(least)
    good = tail <= _GOOD * y.max(axis=0)
    return PolynomialMinimum(np.where(inside, at, z[lowest]), error, inside, exact, good)


def _bracketed(
    f: Callable[..., Array], start: tuple[Array, ...], args: tuple[Array, ...], xatol: float
) -> Array:
    """The same one value at a time."""
    left, middle, right = start
    found = bracket_minimum(f, middle, xl0=left, xr0=right, args=args)
    ok = found.success
    result = middle.copy()
    if ok.any():
        bracket = tuple(x[ok] for x in found.bracket)
        result[ok] = find_minimum(f, bracket, args=tuple(x[ok] for x in args), xatol=xatol).x
    return result
