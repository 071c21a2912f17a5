r"""The lowest eigenvalues of the Hessian of the log of the loss, where weights can still move.

W_out W_in stays the same along (A W_in, -W_out A) for any A, or any antisymmetric A if weights are
tied or scaled against noise.  These directions are left out.  Products with the Hessian are central
differences of the exact gradient.
"""

from __future__ import annotations

import numpy as np
import scipy

from .._check import Array
from ..numerics.pools import one_pool
from .descent import Objective

# Length of the step of a difference, of a vector of length 1.
_STEP = 1e-4
_TOLERANCE, _MOST_PRODUCTS = 1e-3, 400
# Of the largest eigenvalue: what is left below this, with the error of products, is no direction.
_NOTHING = 1e-7


def hessian_product(objective: Objective, x: Array, direction: Array) -> Array:
    """Product of the Hessian at `x` with a direction, of any length.

    To about 1e-8 of its size where the third derivative is of the order of the second.
    """
    length = float(np.linalg.norm(direction))
    if not length:
        return np.zeros_like(direction)
    step = (_STEP / length) * direction
    return np.asarray((objective(x + step)[1] - objective(x - step)[1]) * (length / (2 * _STEP)))


class Gauge:
    """The directions in which W_out W_in stays the same."""

    def __init__(self, objective: Objective, x: Array) -> None:
        self.at, model = objective.at, objective.at.model(x)
        self.w_in, self.w_out = model.w_in, model.w_out
        self.rotations = self.at.tied or self.at.noise > 0
        first, second = self.w_in @ self.w_in.T, self.w_out.T @ self.w_out
        if self.rotations:
            first = second = first + second
        self.left, self.u = np.linalg.eigh(second)
        self.right, self.v = np.linalg.eigh(first)

    def without(self, direction: Array) -> Array:
        """The part of a direction that changes W."""
        size = self.w_in.size
        x = direction[:size].reshape(self.w_in.shape)
        tied = self.at.tied
        y = x.T if tied else direction[size : 2 * size].reshape(self.w_out.shape)
        found = x @ self.w_in.T - self.w_out.T @ y
        if self.rotations:
            found = found - found.T
        # A first + second A = found.
        sums = self.left[:, None] + self.right
        rotated = self.u.T @ found @ self.v
        a = self.u @ np.divide(rotated, sums, where=sums > 0, out=np.zeros_like(sums)) @ self.v.T
        parts = [(x - a @ self.w_in).ravel()]
        if not tied:
            parts.append((y + self.w_out @ a).ravel())
        if self.at.noise:  # the length of W_in is scaled away
            radial = self.w_in.ravel() / np.linalg.norm(self.w_in)
            parts[0] = parts[0] - radial * (radial @ parts[0])
        return np.concatenate([*parts, direction[-self.at.n :]])


@one_pool()
def lowest_curvatures(
    objective: Objective, x: Array, count: int, seed: int | np.random.Generator
) -> Array:
    """The `count` lowest eigenvalues over the largest, ascending; to about 1e-3 of the largest."""
    gauge = Gauge(objective, x)
    start = gauge.without(np.random.default_rng(seed).normal(size=x.size))

    def inside(direction: Array) -> Array:
        return gauge.without(hessian_product(objective, x, gauge.without(direction)))

    operator = scipy.sparse.linalg.LinearOperator((x.size, x.size), matvec=inside, dtype=float)
    options = {"tol": _TOLERANCE, "return_eigenvectors": False, "v0": start}
    largest = float(scipy.sparse.linalg.eigsh(operator, 1, which="LA", **options)[0])

    def lifted(direction: Array) -> Array:
        free = gauge.without(direction)
        return inside(free) + largest * (direction - free)

    operator = scipy.sparse.linalg.LinearOperator((x.size, x.size), matvec=lifted, dtype=float)
    found = scipy.sparse.linalg.eigsh(
        operator, count, which="SA", ncv=max(20, 4 * count), maxiter=_MOST_PRODUCTS, **options
    )
    return np.asarray(np.sort(found) / largest)


def lowest_seen(
    objective: Objective, x: Array, products: int, seed: int | np.random.Generator
) -> tuple[float, Array]:
    """The largest eigenvalue, and the vector of the lowest, as so many steps of Lanczos see them.

    Products jump where an output goes over to another contour between the points of a difference,
    so take `curvature_along` the vector: there is an eigenvalue below.
    """
    gauge = Gauge(objective, x)
    direction = gauge.without(np.random.default_rng(seed).normal(size=x.size))
    basis = np.empty((min(products, x.size), x.size))
    diagonal, beside = [], [float(np.linalg.norm(direction))]
    for k in range(len(basis)):
        basis[k] = direction / beside[-1]
        direction = gauge.without(hessian_product(objective, x, basis[k]))
        diagonal.append(float(basis[k] @ direction))
        seen = basis[: k + 1]
        for _ in range(2):  # once leaves rounding
            direction = direction - (seen @ direction) @ seen
        beside.append(float(np.linalg.norm(direction)))
        if beside[-1] <= _NOTHING * np.abs(diagonal).max():
            break
    found, parts = scipy.linalg.eigh_tridiagonal(diagonal, beside[1:-1])
    return float(found[-1]), parts[:, 0] @ seen


def curvature_along(objective: Objective, x: Array, direction: Array, step: float) -> float:
    """The second derivative along a direction of length 1, by slopes at two points."""
    ahead, behind = (objective(x + y * direction)[1] @ direction for y in (step, -step))
    return float(ahead - behind) / (2 * step)
