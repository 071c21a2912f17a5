"""What the interference can be at best, and the linear model to compare with."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import _check
from ._check import Array
from .source import Amplitude, SparseSource, Uniform


def welch_sigma(p: ArrayLike, ratio: ArrayLike, *, amplitude: Amplitude = Uniform()) -> Array:
    """Least standard deviation of the interference per unit diagonal, a Welch-type bound.

    σ² = v(p) (1/r - 1), with v(p) the variance of one feature: equation (6) of arXiv:2410.12101,
    there for Uniform[0, 1].  The bound is on the row average of the variance of
    ν_i = Σ_{j≠i} W_ij x_j for any W of rank n_dense with unit diagonal; it is reached if and only
    if W is symmetric with all its non-zero eigenvalues equal.

    Parameters
    ----------
    p : array_like in (0, 1]
        Probability that a feature is on.
    ratio : array_like in (0, 1]
        n_dense / n_sparse.
    amplitude : Amplitude
        Law of a feature that is on.

    Returns
    -------
    ndarray
        σ, in the units of the feature; shape of `p` and `ratio` broadcast together.  Relative
        error at most 4 eps.

    Raises
    ------
    ValueError, TypeError
        If `p` or `ratio` is outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> print(f"{rt.welch_sigma(0.045, 0.25):.12f}")
    0.208521581617
    """
    p, ratio, source = _source(p, ratio, amplitude)
    return np.asarray(np.sqrt(source.variance * ((1 - ratio) / ratio)))


def linear_loss(p: ArrayLike, ratio: ArrayLike, *, amplitude: Amplitude = Uniform()) -> Array:
    """Least loss per feature of the linear autoencoder, W x + b without the ReLU: v(p) (1 - r).

    The features are independent with equal variance v(p), so any n_dense directions do equally
    well and the bias removes the mean.  At r → 0 it is v(p), the loss of predicting the mean,
    which is also the limit of every other decoder here.

    Parameters, errors and shapes are those of `welch_sigma`; the result is a squared amplitude.

    Examples
    --------
    >>> import rugtheory as rt
    >>> print(f"{rt.linear_loss(0.3, 0.25):.6f}")
    0.058125
    """
    p, ratio, source = _source(p, ratio, amplitude)
    return np.asarray(source.variance * (1 - ratio))


def _source(
    p: ArrayLike, ratio: ArrayLike, amplitude: Amplitude
) -> tuple[Array, Array, SparseSource]:
    p, ratio = _check.probability("p", p), _check.probability("ratio", ratio)
    _check.broadcastable(p=p, ratio=ratio)
    return p, ratio, SparseSource(p, amplitude)
