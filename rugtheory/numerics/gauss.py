"""Gaussian rules: of panels between points, of an interval, of a discrete measure."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import numpy as np
import scipy
from scipy import special

from .. import _check
from .._check import Array

# More nodes than any integrand here needs; finding them takes seconds.
_MOST_POINTS = 10_000
PANEL_ORDER = 14


def points(n: int) -> int:
    return _check.integer("n", n, 1, _MOST_POINTS)


@cache
def legendre_rule(n: int) -> tuple[Array, Array]:
    return cast(tuple[Array, Array], special.roots_legendre(n))


def on_interval(low: Any, high: Any, x: Array, w: Array) -> tuple[Array, Array]:
    """A rule on [-1, 1] moved to [low, high], its weights adding to 1."""
    return low + (high - low) * (1 + x) / 2, w / 2


def around(kink: Array, width: Array) -> Array:
    if not width.any():  # a sharp kink ends panels, and there is nothing beside it
        return np.array(np.atleast_2d(kink))
    # Beyond nine widths the Gaussian tail is below 1e-18 and the integrand a polynomial.
    steps = np.array([-9, -6, -4, -2, 0, 2, 4, 6, 9])[:, None, None]
    points = np.asarray(np.atleast_2d(kink) + width * steps)
    return points.reshape(points.shape[0] * points.shape[1], width.size)


def composite(points: Array, order: int = PANEL_ORDER) -> tuple[Array, Array]:
    """Gauss-Legendre on the panels between `points` (axis 0, any order; one problem a column)."""
    points = np.sort(points, axis=0)
    x, w = legendre_rule(order)
    length = np.diff(points, axis=0)
    nodes = points[:-1] + length * (1 + x[:, None, None]) / 2
    weights = length * w[:, None, None] / 2
    shape = (order * len(length), points.shape[1])
    return nodes.reshape(shape), weights.reshape(shape)


def gauss_rule(u: Array, w: Array, n: int) -> tuple[Array, Array]:
    """`n`-point Gauss rule of the discrete measure (u, w), by the Lanczos process."""
    basis = np.zeros((n + 1, u.size))
    basis[0] = np.sqrt(w / w.sum())
    diagonal, off = np.zeros(n), np.zeros(n)
    for k in range(n):
        vector = u * basis[k]
        diagonal[k] = vector @ basis[k]
        for _ in range(2):  # twice is enough to keep the basis orthogonal to rounding
            vector -= basis[: k + 1].T @ (basis[: k + 1] @ vector)
        off[k] = np.linalg.norm(vector)
        basis[k + 1] = vector / off[k]
    nodes, vectors = scipy.linalg.eigh_tridiagonal(diagonal, off[:-1])
    return nodes, vectors[0] ** 2
