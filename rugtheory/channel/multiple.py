"""The best multiple of a rectified reading, a quadratic, from what is heard and screened."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._check import Array
from ..source.sparse import SparseSource
from .row_loss import RowLaw

_ROUNDING = 1e-14


def best_multiple(
    source: RowLaw | SparseSource,
    heard: tuple[Any, Array, Array],
    screened: tuple[Array, Array],
    off: Array,
    none: tuple[Array, Array, Array],
) -> tuple[Array, Array]:
    """The least loss over a of a·ReLU(u + Z - t), and that a, which is positive.

    Parameters
    ----------
    source : RowLaw or SparseSource
        p and the amplitudes of the feature.
    heard : tuple of array_like
        P(some on), E[Z - t; some on] and E[(Z - t)²; some on].
    screened : tuple of ndarray
        E[(t - u - Z)₊²; some on] and E[u (t - u - Z)₊; some on].
    off : ndarray
        (1 - p) E(Z - t)₊².
    none : tuple of ndarray
        E e², E e h and E h² of h = (u - t)₊ and e = u - h, times the probability that none is on.
    """
    p, m1, m2 = source.p, source.amplitude.mean, source.amplitude.second_moment
    (some, first, second), (missed, crossed), (ee, eh, hh) = heard, screened, none
    # The loss of a = 1 - d is q0 + q1 d + q2 d².
    left = second - missed
    q0 = p * (left - 2 * crossed + ee) + off
    q1 = p * (-2 * m1 * first - 2 * left + 2 * crossed + 2 * eh) - 2 * off
    q2 = p * (m2 * some + 2 * m1 * first + left + hh) + off
    d = np.minimum(np.divide(-q1, 2 * q2, out=np.ones_like(q1), where=q2 > 0), 1.0)
    # Rounding must not look like a minimum.
    loss = np.maximum(q0 + d * (q1 + d * q2), _ROUNDING * (p * second + off))
    return np.clip(loss, 0.0, p * m2), np.maximum(1 - d, 1e-6)
