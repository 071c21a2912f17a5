"""Newton's steps to a stationary point, where descent by slopes alone is slow."""

from __future__ import annotations

import numpy as np
import scipy

from .._check import Array
from ..numerics.pools import one_pool
from .descent import Descent, Stop

# Products of the Hessian with a direction, at most; each takes a gradient, as a step of descent.
_PRODUCTS = 2000
# Length of the step of a difference, of a vector of length 1.
_STEP = 1e-5
# First and largest length of a step, as parts of the length of the point.
_FIRST, _LARGEST = 0.005, 0.05
# Error of the log of the loss: gains below are taken from slopes.
_ERROR = 1e-8
_LEAST = np.finfo(float).tiny


@one_pool()
def settle(descent: Descent) -> None:
    """Newton's steps within a trust region, to where no gradient is left.

    Each solves for the least of the quadratic model by conjugate gradients, up to the edge of the
    region or along negative curvature to it (Steihaug).  Products with the Hessian count as steps.
    """
    if descent.stopped or not descent.left:
        return
    descent.steady()
    if descent.slope <= descent.gtol:
        return
    try:
        _steps(descent, min(descent.left, _PRODUCTS))
    except Stop:
        descent.stopped = True


def _steps(descent: Descent, products: int) -> None:
    scale, x = descent.scale, descent.x
    here, slope_here, _ = descent.known(x)

    def evaluated(y: Array) -> tuple[float, Array]:
        there, slope, _ = descent.known(y * scale)
        if abs(there - here) <= _ERROR:
            there = here + float((slope + slope_here) @ (y * scale - x)) / 2
        return there, slope * scale

    def product(y: Array, direction: Array) -> Array:
        nonlocal products
        if not products:
            raise StopIteration
        products -= 1
        step = _STEP / np.linalg.norm(direction)
        there = descent.objective((y + step * direction) * scale)[1]
        return np.asarray((there - slope_here) * scale / step)

    def moved(intermediate_result: scipy.optimize.OptimizeResult) -> None:
        nonlocal x, here, slope_here
        there = intermediate_result.x * scale
        if not np.array_equal(there, x):
            x, here, slope_here = there, intermediate_result.fun, descent.known(there)[1]
            descent.stepped(x)
        if descent.slope <= descent.gtol:
            raise StopIteration

    length = float(np.linalg.norm(x / scale))
    try:
        scipy.optimize.minimize(
            evaluated,
            x / scale,
            jac=True,
            hessp=product,
            method="trust-ncg",
            callback=moved,
            options={
                "initial_trust_radius": _FIRST * length,
                "max_trust_radius": _LARGEST * length,
                "gtol": _LEAST,
            },
        )
    except StopIteration:  # products are used up
        return
