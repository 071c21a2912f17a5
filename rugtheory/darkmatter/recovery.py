r"""Which known features the latents of a decoder stand for, and how well they detect them.

For synthetic activations x = Σ_k w_k f_k, of which the features f_k and the weights w_k are known.
With C_jk = |cos(d_j, f_k)|, d_j what latent j decodes to, the definitions are those of SAELens'
synthetic models (`sae_lens.synthetic.evals`) and of arXiv:2505.20254,

.. math:: \mathrm{MCC} = \max_{\text{pairings}} \frac{1}{m} \sum_{(j, k)} C_{jk}, \quad
    \mathrm{nearest}_j = \arg\max_k C_{jk}, \quad
    F_1 = \frac{1}{M} \sum_j \frac{2\,\mathrm{TP}_j}{2\,\mathrm{TP}_j + \mathrm{FP}_j
    + \mathrm{FN}_j} ,

where a pairing pairs m = min(M, n) of the M latents and n features one to one, and latent j is
read as a detector of its nearest feature: it is right where both are active.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array
from .._result import Result
from ._rows import Rows, blocks, same_count

_BLOCK_VALUES, _LEAST_ROWS = 2**22, 256


@dataclass(frozen=True, eq=False, repr=False)
class FeatureMatch(Result):
    """Latents matched with known features by the directions of both.

    Attributes
    ----------
    mcc : float
        Mean |cosine| of the pairs of the best one-to-one pairing.
    uniqueness : float
        Number of features that are nearest to some latent, over the number of latents.
    latents, features : ndarray of int, shape (min(n_latents, n_features),)
        The pairs of the best pairing.
    cosines : ndarray, shape (min(n_latents, n_features),)
        |cosine| of each pair.
    nearest : ndarray of int, shape (n_latents,)
        The feature of greatest |cosine| for each latent, of equal ones the first; -1 for a latent
        that decodes to nothing.
    n_features : int
    """

    mcc: float
    uniqueness: float
    latents: NDArray[np.intp] = field(repr=False)
    features: NDArray[np.intp] = field(repr=False)
    cosines: Array = field(repr=False)
    nearest: NDArray[np.intp] = field(repr=False)
    n_features: int


@dataclass(frozen=True, eq=False, repr=False)
class Detection(Result):
    """Latents as detectors of their nearest features: means over all latents, and each.

    Attributes
    ----------
    precision, recall, f1, accuracy : float
        Means over latents.  What has a denominator of zero counts as 0: for a latent that never
        fires, or decodes to nothing, all but the accuracy.
    latent_precision, latent_recall, latent_f1 : ndarray, shape (n_latents,)
    """

    precision: float
    recall: float
    f1: float
    accuracy: float
    latent_precision: Array = field(repr=False)
    latent_recall: Array = field(repr=False)
    latent_f1: Array = field(repr=False)


def match_features(decoder: ArrayLike, features: ArrayLike) -> FeatureMatch:
    """Match what latents decode to with the directions of known features.

    Parameters
    ----------
    decoder : array_like, shape (n_latents, d)
        A direction for each latent, `SAE.w_dec`; one of them at least not zero.
    features : array_like, shape (n_features, d)
        A direction for each feature, none of them zero.

    Returns
    -------
    FeatureMatch

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit or a value is not finite, a feature or the whole decoder is zero.

    Notes
    -----
    The pairing is that of `scipy.optimize.linear_sum_assignment`, on (n_latents, n_features)
    float64 values.

    Examples
    --------
    >>> import numpy as np
    >>> import rugtheory as rt
    >>> found = rt.darkmatter.match_features(np.eye(4)[[2, 0]], -np.eye(4))
    >>> found.mcc, found.uniqueness, found.nearest.tolist()
    (1.0, 1.0, [2, 0])
    """
    from scipy.optimize import linear_sum_assignment

    latents, known = _directions("decoder", decoder), _directions("features", features)
    if latents.shape[1] != known.shape[1]:
        raise ValueError(
            f"features must have {latents.shape[1]} columns like decoder, got {known.shape[1]}"
        )
    alive = latents.any(axis=1)
    if not known.any(axis=1).all():
        zero = int(np.argmin(known.any(axis=1)))
        raise ValueError(f"features must have no zero row, got one at {zero}")
    if not alive.any():
        raise ValueError("decoder must have a row that is not zero, got none")
    cosines = np.minimum(np.abs(latents @ known.T), 1)
    rows, columns = linear_sum_assignment(cosines, maximize=True)
    nearest = np.where(alive, cosines.argmax(axis=1), -1)
    return FeatureMatch(
        float(cosines[rows, columns].mean()),
        np.unique(nearest[alive]).size / alive.size,
        rows,
        columns,
        cosines[rows, columns],
        nearest,
        known.shape[0],
    )


def detect_features(
    match: FeatureMatch, codes: Any, weights: Any, *, block_rows: int | None = None
) -> Detection:
    """How well the firing of each latent tells whether its nearest feature is on.

    Parameters
    ----------
    match : FeatureMatch
        Of the decoder of these codes.
    codes : array_like or sliceable, shape (rows, n_latents)
        Codes of the activations; a latent fires where its code is not 0.  CSR matrices do.
    weights : array_like or sliceable, shape (rows, n_features)
        Weights of the features in the activations; a feature is on where its weight is not 0.
    block_rows : int, optional
        Rows read at a time.

    Returns
    -------
    Detection

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, or a value is not finite.

    Examples
    --------
    The latent fires on one of the two rows where its feature is on, and on no other.

    >>> import rugtheory as rt
    >>> match = rt.darkmatter.match_features([[1, 0]], [[1, 0], [0, 1]])
    >>> weights = [[1, 0], [3, 0], [0, 2], [0, 0]]
    >>> found = rt.darkmatter.detect_features(match, [[0], [3], [0], [0]], weights)
    >>> found.precision, found.recall, found.accuracy
    (1.0, 0.5, 0.75)
    """
    _check.instance("match", match, FeatureMatch)
    rows, on = Rows("codes", codes), Rows("weights", weights)
    for one, columns in ((rows, match.nearest.size), (on, match.n_features)):
        if one.columns != columns:
            raise ValueError(f"{one.name} must have {columns} columns, got {one.columns}")
    count = same_count(rows, on)
    if block_rows is None:
        block_rows = max(_BLOCK_VALUES // (rows.columns + on.columns), _LEAST_ROWS)
    length = _check.integer("block_rows", block_rows, 1)
    both, fires = np.zeros((2, rows.columns), np.int64)
    there = np.zeros(on.columns, np.int64)
    for some in blocks(np.ones(count, bool), length):
        fired, active = rows.read(some) != 0, on.read(some) != 0
        fires += fired.sum(axis=0)
        there += active.sum(axis=0)
        both += (fired & active[:, match.nearest]).sum(axis=0)
    return detection(match, both, fires, there, count)


def detection(
    match: FeatureMatch,
    both: NDArray[Any],
    fires: NDArray[Any],
    on: NDArray[Any],
    rows: int,
) -> Detection:
    """What counts of rows say: latents that fire, features on, and a latent with its nearest."""
    known = match.nearest >= 0
    hits = np.where(known, both, 0)
    there = np.where(known, on[match.nearest], 0)
    precision, recall = _share(hits, fires), _share(hits, there)
    f1 = _share(2 * hits, fires + there)
    right = rows - fires - there + 2 * hits
    return Detection(
        precision=float(precision.mean()),
        recall=float(recall.mean()),
        f1=float(f1.mean()),
        accuracy=float(np.mean(right / rows)),
        latent_precision=precision,
        latent_recall=recall,
        latent_f1=f1,
    )


def _share(part: NDArray[Any], whole: NDArray[Any]) -> Array:
    found: Array = np.divide(part, whole, out=np.zeros(part.size), where=whole > 0)
    return found


def _directions(name: str, vectors: ArrayLike) -> Array:
    """Rows of length 1, or 0 where they are zero."""
    array = _check.real(name, vectors)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must have shape (n, d), none of them 0, got {array.shape}")
    # The greatest of each row first: squares do not overflow.
    largest = np.abs(array).max(axis=1, keepdims=True)
    found: Array = np.divide(array, largest, out=np.zeros_like(array), where=largest > 0)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    np.divide(found, length, out=found, where=length > 0)
    return found
