"""Products of the Hessian of the exact loss with directions in all weights and biases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .._result import Result
from ..model.model import Model, check_fit
from ..source.features import Features
from .gradient import Gradient, served

# Length of the step of a difference, in units of the weights of one feature.
_STEP = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class HessianProduct(Result):
    """The Hessian of the exact loss times a direction.

    Attributes
    ----------
    w_in, w_out, b : ndarray
        What the derivatives of the loss change by along the direction, in the shapes of the model.
    curvature : float
        The second derivative of the loss along the direction.
    error : float
        Estimate of the numerical error of the entries, from steps of two lengths.
    """

    w_in: Array
    w_out: Array
    b: Array
    curvature: float
    error: float


def exact_hessian_product(
    model: Model,
    features: Features,
    direction: Sequence[ArrayLike],
    *,
    rtol: float = 1e-8,
) -> HessianProduct:
    r"""Second derivatives of the exact loss along a direction in all weights and biases.

    Parameters
    ----------
    model : Model
        With a ReLU.
    features : Features
        Such as `exact_gradient` takes.
    direction : sequence of three arrays
        What W_in, W_out and b move by, in their shapes; of any length.
    rtol : float
        Relative error to aim at in the loss of each output.

    Returns
    -------
    HessianProduct

    Raises
    ------
    ValueError, TypeError
        As `exact_gradient` does, or if `direction` is not of the shapes of the model.

    Notes
    -----
    It is made of four gradients, at steps h and 2h to either side: (4 D(h) - D(2h))/3 of their
    central differences D; h is a thousandth of the weights of a feature.  The error of entries was
    1e-8 to 1e-4 of the largest of a product for seven models of 6 to 512 features, and is less with
    a smaller `rtol`.  Where the bias cancels what is heard exactly, as where few features have been
    optimised, the Hessian itself jumps, and `error` is large.

    Examples
    --------
    W_out W_in stays the same along (W_in, -W_out), and so do losses.

    >>> import rugtheory as rt
    >>> model, features = rt.Model([[1.0, -0.7]]), rt.Identical(2, 0.1)
    >>> slope = rt.exact_gradient(model, features)
    >>> along = rt.exact_hessian_product(model, features, (model.w_in, -model.w_out, [0, 0]))
    >>> bool(abs(along.w_in + slope.w_in).max() < 1e-8)
    True
    """
    check_fit(model, features)
    gradient = Gradient(features, _check.tolerance("rtol", rtol))
    at = (model.w_in, model.w_out, model.b)
    along = _direction(direction, at)
    length = np.sqrt(sum(np.sum(x**2) for x in along))
    if not length:
        w_in, w_out, b = along
        return HessianProduct(w_in, w_out, b, 0.0, 0.0)
    size = np.sqrt(sum(np.sum(x**2) for x in at) / model.n_sparse)
    step = _STEP * (size or 1.0) / length

    def slopes(t: float) -> tuple[Array, Array, Array]:
        moved = (x + t * way for x, way in zip(at, along, strict=True))
        found = served(gradient(Model(*moved, hidden_noise=model.hidden_noise)))
        return found.w_in, found.w_out, found.b

    def difference(t: float) -> list[Array]:
        ends = zip(slopes(t), slopes(-t), strict=True)
        return [(ahead - behind) / (2 * t) for ahead, behind in ends]

    near, far = difference(step), difference(2 * step)
    found = [x + (x - y) / 3 for x, y in zip(near, far, strict=True)]
    curvature = sum(float(np.sum(x * way)) for x, way in zip(found, along, strict=True))
    # The extrapolated error of rounding is 4/3 of that of the shorter step.
    error = 2 * max(float(np.abs(x - y).max()) for x, y in zip(near, far, strict=True))
    w_in, w_out, b = found
    return HessianProduct(w_in, w_out, b, curvature, error)


def _direction(direction: Sequence[ArrayLike], at: Sequence[Array]) -> list[Array]:
    found = [_check.real("direction", x) for x in _check.sequence("direction", direction)]
    shapes, given = ([x.shape for x in parts] for parts in (at, found))
    if given != shapes:
        raise ValueError(f"direction must be arrays of the shapes {shapes}, got {given}")
    return found
