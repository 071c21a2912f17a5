"""What the interference can be at best, and the linear model to compare with."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from ..source.uniform import Uniform


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
    which is also the limit of every other decoder here, of a ReLU if E x ≥ 0.

    Parameters, errors and shapes are those of `welch_sigma`; the result is a squared amplitude.

    Examples
    --------
    >>> import rugtheory as rt
    >>> print(f"{rt.linear_loss(0.3, 0.25):.6f}")
    0.058125
    """
    p, ratio, source = _source(p, ratio, amplitude)
    return np.asarray(source.variance * (1 - ratio))


def least_skewness(p: ArrayLike, ratio: ArrayLike, *, amplitude: Amplitude = Uniform()) -> Array:
    r"""Least average skewness of the interference at its least variance.

    The third cumulant of ν_i = Σ_{j≠i} W_ij x_j is k₃(p) Σ_{j≠i} W_ij³, so where k₃ > 0 the row
    average of that sum has to be least, where k₃ < 0 greatest.  For W symmetric and positive
    semidefinite with unit diagonal, so is its elementwise cube W∘W∘W, by Schur's product theorem.
    Hence 1ᵀ(W∘W∘W)1 ≥ 0: the row average, see `cubic_sum`, is at least -1.  And |W_ij| ≤ 1, so that
    it is at most that of Σ_{j≠i} W_ij², which is 1/r - 1 at the least variance:

    .. math:: \bar γ ≥ -k_3/σ^3 \quad (k_3 ≥ 0), \qquad
        \bar γ ≥ k_3 (1/r - 1)/σ^3 \quad (k_3 ≤ 0) .

    Antipodal rugs attain the first.  The second is attained where 1/r is a whole number k, by
    groups of k features that share one hidden unit, W_ij = 1 within them; and only there, as W_ij
    has to be 0 or 1.  The skewness of random rugs goes to zero.

    Without symmetry there is no bound: [[1, -t], [-1/t, 1]] has rank one and unit diagonal, and
    the average -(t³ + t⁻³)/2.  Nor without positivity: [[1, -t], [-t, 1]] has -t³.

    Parameters, errors and shapes are those of `welch_sigma`; -inf at ratio 1, but 0 for features
    that do not vary or are not skewed.

    Examples
    --------
    >>> import rugtheory as rt
    >>> print(f"{rt.least_skewness(0.045, 0.25):.4f}")
    -1.1316
    >>> print(f"{rt.least_skewness(0.8, 0.25, amplitude=rt.Constant()):.4f}")
    -0.8660
    """
    p, ratio, source = _source(p, ratio, amplitude)
    skewness, ratio = np.broadcast_arrays(source.skewness, ratio)
    least = np.zeros(ratio.shape)
    with np.errstate(divide="ignore"):
        signal = ratio / (1 - ratio)  # v/σ²
    # k₃/σ³ is the skewness of a feature times (v/σ²)^{3/2}.
    np.multiply(-skewness, signal**1.5, out=least, where=skewness > 0)
    np.multiply(skewness, np.sqrt(signal), out=least, where=skewness < 0)
    return least


def cubic_sum(w: ArrayLike) -> float:
    """Row average of Σ_{j≠i} (W_ij/W_ii)³ of a square matrix; see `least_skewness` for its bound.

    Raises ValueError if `w` is not square or has a zero on its diagonal.

    Examples
    --------
    >>> import rugtheory as rt
    >>> rt.cubic_sum([[1, -1], [-1, 1]])
    -1.0
    """
    w = _check.real("w", w)
    if w.ndim != 2 or w.shape[0] != w.shape[1] or not w.size:
        raise ValueError(f"w must be a square matrix, got shape {w.shape}")
    diagonal = np.diag(w)
    if np.any(diagonal == 0):
        raise ValueError(
            f"w must have no zero on its diagonal, got one in row {np.argmin(diagonal != 0)}"
        )
    cubes = (w / diagonal[:, None]) ** 3
    return float(np.mean(cubes.sum(axis=1) - 1))


def _source(
    p: ArrayLike, ratio: ArrayLike, amplitude: Amplitude
) -> tuple[Array, Array, SparseSource]:
    p, ratio = _check.probability("p", p), _check.probability("ratio", ratio)
    _check.broadcastable(p=p, ratio=ratio)
    return p, ratio, SparseSource(p, amplitude)
