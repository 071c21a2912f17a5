r"""Closed forms of the nonlinear error that no encoder introduces.

Let the reconstruction x̂ and what it misses e = x - x̂ be uncorrelated, with covariances C and D.
The best linear prediction of e from x = x̂ + e leaves

.. math:: D - D(C + D)^{+}D = D(C + D)^{+}C ,

the parallel sum of C and D: error counts as nonlinear as soon as it shares directions with what is
reconstructed, however perfect the encoder.  Both results here are cases of this formula.  They
explain the experiments of section B.3 and of appendix C of arXiv:2410.14670.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .._result import Result


@dataclass(frozen=True, eq=False, repr=False)
class MaskedError(Result):
    """Error of a reconstruction in which only absent features are wrong; arrays of one shape.

    Attributes
    ----------
    fvu : ndarray
        Fraction of the variance that the absent features have, 1 - f.
    fvu_nl : ndarray
        What the best linear prediction of the error leaves, (1 - r) f (1 - f).
    r2 : ndarray
        R² of that prediction, 1 - (1 - r) f.
    """

    fvu: Array
    fvu_nl: Array
    r2: Array


def masked_error(ratio: ArrayLike, fraction: ArrayLike) -> MaskedError:
    """Exact reconstruction of a fraction of the features, the others being absent.

    The features point in random directions, or form a tight frame, and have independent weights
    of equal variance.  Whiten x: with Π the projection of rank d on the rows of F, and M the mask
    of the features present, the nonlinear error is tr(MΠ) - tr(MΠMΠ) of d.  Here Π_ii ≈ r and
    Σ_{j≠i} Π_ij² ≈ r(1 - r), so that it is f - [f r + f²(1 - r)] = (1 - r) f (1 - f): the parabola
    of arXiv:2410.14670, appendix C.  It is no failure of random vectors as a model, and vanishes
    only where features do not overlap, r = 1.

    Parameters
    ----------
    ratio : array_like in (0, 1]
        r, dimension over number of features.
    fraction : array_like in [0, 1]
        f, the share of the features that is present.

    Returns
    -------
    MaskedError
        For n → ∞.  At finite n `fvu_nl` is multiplied by n/(n - 1) for a tight frame of equally
        long vectors under random masks, by n²/[(n + 2)(n - 1)] for Gaussian vectors: exactly.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range, or the shapes do not broadcast.

    Examples
    --------
    >>> import rugtheory as rt
    >>> error = rt.darkmatter.masked_error(0.25, 0.5)
    >>> print(error.fvu, error.fvu_nl, error.r2)
    0.5 0.1875 0.625
    """
    r, f = _check.probability("ratio", ratio), _check.share("fraction", fraction)
    _check.broadcastable(ratio=r, fraction=f)
    r, f = np.broadcast_arrays(r, f)
    return MaskedError(1 - f, (1 - r) * f * (1 - f), 1 - (1 - r) * f)


def leaked_variance(dense: ArrayLike, signal: ArrayLike) -> Array:
    """Nonlinear error that dense variance leaves on the direction of a learned feature.

    A direction carries x = w + g: w, of variance s = `signal`, is reconstructed exactly, and the
    independent g, of variance τ² = `dense`, not at all.  The best prediction of g from x has slope
    τ²/(s + τ²), and leaves τ²s/(s + τ²).  So dense variance is counted as linear error on
    unlearned directions only; what arXiv:2410.14670 calls introduced error contains the rest.

    Parameters
    ----------
    dense, signal : array_like ≥ 0
        Variances along the direction.

    Returns
    -------
    ndarray
        Variance left, zero where either is zero.

    Raises
    ------
    ValueError, TypeError
        If an argument is negative or the shapes do not broadcast.

    Examples
    --------
    >>> import rugtheory as rt
    >>> print(rt.darkmatter.leaked_variance([0.0, 1.0, 1.0], [1.0, 1.0, 1e9]).round(6))
    [0.  0.5 1. ]
    """
    dense, signal = _check.nonnegative("dense", dense), _check.nonnegative("signal", signal)
    _check.broadcastable(dense=dense, signal=signal)
    small, large = np.minimum(dense, signal), np.maximum(dense, signal)
    quotient = np.divide(small, large, out=np.zeros_like(large), where=large > 0)
    return np.asarray(small / (1 + quotient))
