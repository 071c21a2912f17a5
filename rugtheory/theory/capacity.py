"""How much of the hidden units each feature gets: capacities, and what they can add up to."""

from __future__ import annotations

import numpy as np

from .. import _check
from .._check import Array
from ..source.features import Features, check_features


def capacity_bound(features: Features, n_dense: int) -> float:
    r"""The most that the capacities of features in `n_dense` hidden units can add up to.

    The capacity of feature i (arXiv:2210.01892) is the squared correlation of x_i with its reading
    y_i = Σ_j W_ij x_j.  Let v_i = Var x_i.  Of uncorrelated features it is

    .. math:: C_i = \frac{W_{ii}^2 v_i}{\sum_j W_{ij}^2 v_j} = \frac{v_i}{v_i + σ_i^2} ,

    with σ_i² the variance of the interference ν_i = Σ_{j≠i} W_ij x_j / W_ii.  The bound is

    .. math:: \sum_i C_i ≤ n_{dense} .

    For equal features it is `welch_sigma`: the mean of v/(v + σ_i²) is then n_dense/n_sparse at
    most, and 1/(v + s) is convex in s.

    Features that are correlated have the sum of the n_dense largest eigenvalues of their
    correlation matrix in place of n_dense; σ_i² is then the variance of what the interference has
    besides its linear regression on x_i.

    *Proof.*  Let Σ = SS be the covariance of x, S symmetric, and w_i row i of W.  The vectors S w_i
    lie in a space of dimension n_dense at most, since W has that rank; let P project on it.  Take
    u_i = S e_i/√v_i, of length 1.  For a reading that varies, m_i = S w_i/|S w_i|,

    .. math:: C_i = \frac{(w_i^T Σ e_i)^2}{(w_i^T Σ w_i)\, v_i} = (m_i \cdot u_i)^2
        = (m_i \cdot P u_i)^2 ≤ |P u_i|^2 , \qquad
        \sum_i C_i ≤ \mathrm{Tr}\, P \sum_i u_i u_i^T .

    By Ky Fan's theorem the trace is at most the sum of the n_dense largest eigenvalues of
    Σ_i u_i u_iᵀ = S D⁻¹ S, D = diag v, which are those of the correlation matrix
    D^{-1/2} Σ D^{-1/2}.  If this is the identity they are all 1.  Noise in the hidden units adds to
    the variance of a reading and lowers C_i further.

    *Every such choice can be had* of uncorrelated features: if 0 ≤ C_i ≤ 1 add up to the whole
    number n_dense, then by the theorem of Schur and Horn some projector P of that rank has the
    diagonal C, and W_ij/W_ii = (P_ij/P_ii) √(v_i/v_j) has the capacities (P_ii)² / Σ_j P_ij² = C_i,
    since P² = P.  `frame` makes them.

    Parameters
    ----------
    features : Features
        Any joint law; features that never vary have no capacity.
    n_dense : int ≥ 1

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        If an argument is not a law of features, or outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> rt.capacity_bound(rt.Independent(rt.zipf(100, 0.5)), 10)
    10.0

    Two features of which one is on at a time are correlated, so one unit is of more use:

    >>> round(rt.capacity_bound(rt.Groups([rt.Exclusive([0.3, 0.3])]), 1), 3)
    1.29
    """
    check_features(features)
    n_dense = _check.integer("n_dense", n_dense, 1)
    varies = features.variance > 0
    if features.independent:
        return float(min(n_dense, int(np.sum(varies))))
    eigenvalues = np.linalg.eigvalsh(_correlation(features.covariance[np.ix_(varies, varies)]))
    return float(np.sum(eigenvalues[::-1][:n_dense]))


def capacity_of(own: Array, shared: Array, heard: Array, variance: Array) -> Array:
    """Squared correlation of features with a x + Z.

    `own` is a, `shared` the covariance of Z and x, `heard` the variance of Z; 0 where a reading or
    its feature does not vary.
    """
    signal = own * variance + shared
    power = variance * (own * own * variance + 2 * own * shared + heard)
    return np.divide(signal * signal, power, out=np.zeros_like(power), where=power > 0)


def _correlation(covariance: Array) -> Array:
    deviation = np.sqrt(np.diag(covariance))
    return np.asarray(covariance / np.outer(deviation, deviation))
