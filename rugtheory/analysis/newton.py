"""Newton's steps to a stationary point, where gains in the loss are below its rounding."""

from __future__ import annotations

import numpy as np
import scipy

from .._check import Array
from .curvature import Gauge, hessian_product
from .descent import Descent, Objective, Stop

_STEPS, _PRODUCTS, _HALVED = 10, 200, 4
# The log of the loss may rise by so much, its error.
_RISE = 1e-8


def settle(descent: Descent) -> None:
    """Steps that each make the gradient smaller, as long as there are any and it is too large."""
    if descent.stopped:
        return
    try:
        for _ in range(_STEPS):
            if descent.slope <= descent.gtol or not descent.left:
                break
            assert isinstance(descent.objective, Objective)
            better = _better(descent.objective, descent.x)
            if better is None:
                break
            descent.stepped(better)
    except Stop:
        descent.stopped = True


def _better(objective: Objective, x: Array) -> Array | None:
    """A point not far away where the gradient is smaller; None if none is found."""
    value, slope, _ = objective(x)
    # Where weights decay, W_out W_in is not all that counts.
    gauge = None if objective.decay else Gauge(objective, x)

    def free(direction: Array) -> Array:
        return direction if gauge is None else gauge.without(direction)

    def product(direction: Array) -> Array:
        return free(hessian_product(objective, x, free(direction)))

    operator = scipy.sparse.linalg.LinearOperator((x.size, x.size), matvec=product, dtype=float)
    step = -free(scipy.sparse.linalg.minres(operator, free(slope), maxiter=_PRODUCTS)[0])
    for _ in range(_HALVED):
        there, slope_there, _ = objective(x + step)
        if there <= value + _RISE and np.abs(slope_there).max() < 0.9 * np.abs(slope).max():
            return np.asarray(x + step)
        step /= 2
    return None
