"""The best multiple of a rectified reading, a quadratic, and its moments by what is heard."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._check import Array
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from .row_loss import RowLaw

_ROUNDING = 1e-14

# E e², E e h and E h² of a decoder's output h and what it is off by, e = u - h.
Moments = tuple[Array, Array, Array]


def by_missed(
    amplitude: Amplitude, heard: tuple[Any, Array, Array], screened: tuple[Array, Array]
) -> Moments:
    """Moments of h = (u + Z - t)₊ where some interferer is on, by what the ReLU screens.

    Parameters
    ----------
    heard : tuple of array_like
        P(some on), E[Z - t; some on] and E[(Z - t)²; some on].
    screened : tuple of ndarray
        E[(t - u - Z)₊²; some on] and E[u (t - u - Z)₊; some on].
    """
    (some, first, second), (missed, crossed) = heard, screened
    m1, m2 = amplitude.mean, amplitude.second_moment
    left = second - missed
    return (
        left - 2 * crossed,
        -m1 * first - left + crossed,
        m2 * some + 2 * m1 * first + left,
    )


def by_passed(amplitude: Amplitude, some: Any, passed: tuple[Array, Array]) -> Moments:
    """The same by what passes the ReLU, E[h²; some on] and E[u h; some on]."""
    square, cross = passed
    return amplitude.second_moment * some - 2 * cross + square, cross - square, square


def best_multiple(
    source: RowLaw | SparseSource, on: Moments, off: Array, rounding: Array
) -> tuple[Array, Array]:
    """The least loss over a of a·ReLU(u + Z - t), and that a, which is positive.

    Parameters
    ----------
    source : RowLaw or SparseSource
        p and the amplitudes of the feature.
    on : tuple of ndarray
        Moments where the feature is on.
    off : ndarray
        (1 - p) E(Z - t)₊².
    rounding : ndarray
        Sizes of what was added up for the loss: no loss is far below their rounding.
    """
    p, m2 = source.p, source.amplitude.second_moment
    ee, eh, hh = on
    # The loss of a = 1 - d is q0 + q1 d + q2 d².
    q0, q1, q2 = p * ee + off, 2 * (p * eh - off), p * hh + off
    d = np.minimum(np.divide(-q1, 2 * q2, out=np.ones_like(q1), where=q2 > 0), 1.0)
    # Rounding must not look like a minimum.
    loss = np.maximum(q0 + d * (q1 + d * q2), _ROUNDING * rounding)
    return np.clip(loss, 0.0, p * m2), np.maximum(1 - d, 1e-6)
