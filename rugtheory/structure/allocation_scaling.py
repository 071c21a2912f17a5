r"""How the loss of unequal features falls with the number of hidden units.

Where every feature that is kept is sparse, L_i = p_i Λ_i σ_i² with σ_i² = v_i (1/c_i - 1), Λ as in
`sparse_constants`.  Then I_i L_i is least, at the price λ, for

.. math:: c_i = \min(1, w_i/\sqrt λ) , \qquad w_i = \sqrt{I_i p_i Λ_i v_i} .

While nothing is alone or dropped c_i = n_dense w_i / Σw, and

.. math:: \sum_i I_i L_i = \frac{(\sum_i w_i)^2}{n_{dense}} - \sum_i w_i^2 ,

which falls with the power -1 of n_dense as long as this is far from n_sparse.  Of frequencies
p_i = C i^{-α} with α > 1, where Σw converges, the K commonest features are alone, c_i = (K/i)^α
beyond, and, up to logarithms in Λ,

.. math:: n_{dense} = K + \sum_{i>K} (K/i)^α = \frac{α}{α-1} K , \qquad
    \sum_i L_i = \frac{α\, w_K^2 K}{(α-1)(2α-1)} ∝ n_{dense}^{-(2α-1)} ,

as w_K ∝ K^{-α}: the power -(2α-1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array
from .._result import Result
from ..source.features import Features
from ..theory.allocation import classes_of
from ..theory.family import FAMILIES
from ..theory.sparse_law import sparse_constants
from .allocation import independent, method_of
from .best import MAX_COUPLING


@dataclass(frozen=True, eq=False, repr=False)
class AllocationScaling(Result):
    """Loss against the number of hidden units; arrays with an element for each number.

    Attributes
    ----------
    family : str
    n_dense : ndarray
    loss, bound : ndarray
        As in `Allocation`.
    exponent : ndarray
        d log loss / d log n_dense, from the price of a hidden unit.
    dropped, superposed, alone : ndarray of int
        Numbers of features with no capacity, with some, and with a hidden unit each.
    """

    family: str
    n_dense: Array
    loss: Array
    bound: Array
    exponent: Array
    dropped: NDArray[np.int64]
    superposed: NDArray[np.int64]
    alone: NDArray[np.int64]


def allocation_scaling(
    features: Features,
    n_dense: ArrayLike,
    *,
    family: str = "gaussian",
    max_coupling: float = MAX_COUPLING,
) -> AllocationScaling:
    """Losses of the best allocation for several numbers of hidden units, with exact exponents.

    The price λ of a hidden unit is the derivative of the loss, so that no differences are taken:
    d log L / d log n_dense = -λ n_dense / (n_sparse L).

    Parameters
    ----------
    features : Features
        Independent, of amplitudes that are not negative.
    n_dense : array_like > 0
        Numbers of hidden units, less than there are features that matter.
    family : "gaussian", "pairs" or "best"
    max_coupling : float > 0
        See `allocate`.

    Returns
    -------
    AllocationScaling

    Raises
    ------
    ValueError, TypeError
        As for `allocate`, and if a number of hidden units has room for all.

    Examples
    --------
    >>> import rugtheory as rt
    >>> found = rt.allocation_scaling(rt.Independent(rt.zipf(3000, 0.01, alpha=1.5)), [10, 100])
    >>> found.exponent.round(2)
    array([-1.87, -2.07])
    """
    units = _check.axis("n_dense", _check.positive("n_dense", n_dense))
    method = method_of(family, max_coupling)
    classes, member = method.classes(features)
    number, n = int(classes.count.sum()), len(features)
    if np.any(units >= number):
        raise ValueError(
            f"n_dense must be less than {number}, the number of features that matter, "
            f"got {units.max()}"
        )
    rows = []
    for one in units:
        shares = method.shares(classes, float(one))
        count, capacity = shares.groups.number, shares.capacity
        weight = classes.importance[shares.groups.kind]
        idle = float(np.sum((features.importance * features.variance)[member < 0]))
        loss = float((count * weight) @ shares.reading.loss) + idle
        alone, none = (int(count[capacity == x].sum()) for x in (1, 0))
        none += n - number
        slope = -shares.price * one / loss
        rows.append((loss / n, min(shares.dual + idle, loss) / n, slope, none, alone))
    loss, bound, exponent, dropped, alone = np.array(rows).T
    some = (x.astype(np.int64) for x in (dropped, n - dropped - alone, alone))
    return AllocationScaling(family, units, loss, bound, exponent, *some)


def sparse_allocation_law(features: Features, n_dense: ArrayLike) -> Array:
    """The loss of the best allocation of Gaussian rugs if all features were sparse enough.

    It is the mean of I_i p_i Λ_i v_i (1/c_i - 1) with c_i = min(1, w_i/√λ), see
    `rugtheory.structure.allocation_scaling`.  It holds where no feature is dropped, and features
    that are not alone are rare and hear little noise; elsewhere it is off to either side.

    Parameters
    ----------
    features : Features
        Independent, of amplitudes that are not negative.
    n_dense : array_like > 0
        Less than there are features that matter.

    Returns
    -------
    ndarray
        Of the shape of `n_dense`.

    Raises
    ------
    ValueError, TypeError
        As for `allocation_scaling`.

    Examples
    --------
    >>> import rugtheory as rt
    >>> features = rt.Independent(rt.zipf(1000, 1e-4, alpha=0.5))
    >>> ratio = rt.sparse_allocation_law(features, 300) / rt.allocate(features, 300).loss
    >>> print(f"{ratio:.3f}")
    0.994
    """
    units = _check.positive("n_dense", n_dense)
    classes, _ = classes_of(independent(features), FAMILIES["gaussian"], curves=False)
    number = int(classes.count.sum())
    if np.any(units >= number):
        raise ValueError(
            f"n_dense must be less than {number}, the number of features that matter, "
            f"got {units.max()}"
        )
    leading = np.empty(classes.p.size)
    for k, law in enumerate(classes.laws):
        some = classes.law == k
        leading[some] = sparse_constants(classes.p[some], amplitude=law).leading
    square = classes.importance * classes.p * leading * classes.variance
    order = np.argsort(-square)
    square, count = square[order], classes.count[order].astype(float)
    weight = np.sqrt(square)
    # With the k classes first alone, the others share what is left as their weights.
    ahead = np.concatenate([[0.0], np.cumsum(count)[:-1]])
    rest, tail = (np.cumsum((count * x)[::-1])[::-1] for x in (weight, square))
    # The last k at which the first of the others does not yet fill a unit.
    fits = units[..., None] > ahead
    least = (units[..., None] - ahead) * weight <= rest
    k = np.argmax(fits & least, axis=-1)
    return np.asarray((rest[k] ** 2 / (units - ahead[k]) - tail[k]) / len(features))
