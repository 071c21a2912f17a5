"""The spectrum of the frame operator of a model, and the part of it at each feature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._check import Array
from .._result import Result
from ..model.model import Model, check_model


@dataclass(frozen=True, eq=False, repr=False)
class FrameSpectrum(Result):
    """Eigenvalues of F = W_in W_inᵀ = Σ_i w_i w_iᵀ, w_i the columns of W_in.

    Attributes
    ----------
    eigenvalues : ndarray, shape (n_dense,)
        λ_k, descending.
    weights : ndarray, shape (n_sparse, n_dense)
        |v_k · w_i|²/|w_i|² with v_k the eigenvectors: the measure over the spectrum that feature i
        sees, which adds up to 1; 0 for features without a column.  The mean of λ over it is
        Σ_j (ŵ_i · w_j)², the denominator of `Statistics.dimensionality`.
    """

    eigenvalues: Array
    weights: Array


def frame_spectrum(model: Model) -> FrameSpectrum:
    """The spectrum of the frame operator of a model.

    Parameters
    ----------
    model : Model

    Returns
    -------
    FrameSpectrum

    Raises
    ------
    TypeError
        If `model` is no model.

    Notes
    -----
    Eigenvalues are right to rounding of the largest.

    Examples
    --------
    >>> import rugtheory as rt
    >>> rt.frame_spectrum(rt.Model([[1, -1, 0], [0, 0, 2]])).eigenvalues
    array([4., 2.])
    """
    check_model(model)
    vectors, sizes, _ = np.linalg.svd(model.w_in, full_matrices=False)
    if sizes.size < model.n_dense:  # more hidden units than features
        vectors, sizes, _ = np.linalg.svd(model.w_in, full_matrices=True)
        sizes = np.pad(sizes, (0, model.n_dense - sizes.size))
    seen = (model.w_in.T @ vectors) ** 2
    length = seen.sum(axis=1, keepdims=True)
    weights = np.divide(seen, length, out=np.zeros_like(seen), where=length > 0)
    return FrameSpectrum(sizes**2, weights)
