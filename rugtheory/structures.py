r"""What lies below the loss of the Gaussian rug: dropped features, pairs, and the best of them.

Features in groups that share no hidden units do not interfere between groups.  So if parts f and
1 - f of the features can be stored at ratios r₁ and r₂ with losses L₁ and L₂, the ratio
f r₁ + (1 - f) r₂ has a structure with loss f L₁ + (1 - f) L₂.  The simplest group is that of
dropped features, with ratio 0 and the loss v(p) of predicting the mean.  Where the chord from there
lies below a curve L(r),

.. math:: (1 - f)\, v(p) + f\, L(r/f) < L(r) , \qquad r/f = r_c(p) ,

the best fraction is f = r/r_c with r_c the point where the chord touches the curve.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check
from ._check import Array
from ._search import find_minimum
from .antipodal import antipodal_optimum, uneven_pairs
from .optimum import Optimum, optimum
from .source import Amplitude, SparseSource, Uniform, check_amplitude

_SCAN = 48

Family = Callable[..., Optimum]


@dataclass(frozen=True)
class BestKnown:
    """The best structure known, as arrays of one shape.

    Attributes
    ----------
    p, ratio : ndarray
        Where.
    loss : ndarray
        Its loss per feature.
    family : ndarray of str
        "rug", "antipodal" for even pairs, "uneven pairs" (mixed with even ones or dropped features
        below ratio ½), or pairs of either kind "and singles".
    fraction : ndarray
        Fraction of the features that is represented at all.
    a, b : ndarray
        Diagonal, and bias for interference without mean but the partner's, of features in rugs or
        even pairs; NaN where there are none, see `uneven_pairs`.
    """

    p: Array
    ratio: Array
    loss: Array
    family: NDArray[np.str_]
    fraction: Array
    a: Array
    b: Array


def critical_ratio(p: ArrayLike, *, amplitude: Amplitude = Uniform()) -> Array:
    """The ratio r_c below which a rug does better to drop features: L(r_c) - v = r_c L'(r_c).

    Parameters
    ----------
    p : array_like in (0, 1]
        Probability that a feature is on, at least 1e-140.
    amplitude : Amplitude
        Law of a feature that is on.

    Returns
    -------
    ndarray
        r_c in (0, 1], shape of `p`.

    Raises
    ------
    ValueError, TypeError
        If `p` is outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> print(f"{rt.critical_ratio(0.045) / 0.045:.2f}")
    3.61
    """
    return _touching(optimum, p, amplitude, last=1.0)


def represented_fraction(
    p: ArrayLike, ratio: ArrayLike, *, amplitude: Amplitude = Uniform()
) -> Array:
    """Fraction of the features that a rug does best to represent, min(1, r/r_c(p)).

    Parameters and errors are those of `mixture_loss`.

    Examples
    --------
    >>> import rugtheory as rt
    >>> print(f"{rt.represented_fraction(0.045, 0.1):.2f}")
    0.62
    """
    p, ratio = _p_and_ratio(p, ratio)
    return np.asarray(np.minimum(ratio / critical_ratio(p, amplitude=amplitude), 1.0))


def mixture_loss(p: ArrayLike, ratio: ArrayLike, *, amplitude: Amplitude = Uniform()) -> Array:
    """Least loss per feature of a rug that may drop features and predict their mean instead.

    Parameters
    ----------
    p : array_like in (0, 1]
        Probability that a feature is on, at least 1e-140.
    ratio : array_like in (0, 1]
        n_dense / n_sparse.
    amplitude : Amplitude
        Law of a feature that is on.

    Returns
    -------
    ndarray
        (1 - f) v(p) + f L(p, r/f), shape of `p` and `ratio` broadcast together.

    Raises
    ------
    ValueError, TypeError
        If `p` or `ratio` is outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> print(f"{rt.mixture_loss(0.045, 0.05) / rt.optimum(0.045, 0.05).loss:.3f}")
    0.937
    """
    p, ratio = _p_and_ratio(p, ratio)
    critical = critical_ratio(p, amplitude=amplitude)
    return _dropping(optimum, p, ratio, critical, amplitude)[0]


def best_known(p: ArrayLike, ratio: ArrayLike, *, amplitude: Amplitude = Uniform()) -> BestKnown:
    """The least loss of rugs and pairs of features, with some dropped or stored alone if better.

    An upper bound on what can be reached for large n_sparse: trained models are known that do a
    little better.  Parameters and errors are those of `mixture_loss`.  A new p takes seconds, which
    are remembered.

    Examples
    --------
    >>> import rugtheory as rt
    >>> best = rt.best_known(0.045, [0.05, 0.25, 0.75])
    >>> best.family.tolist()
    ['antipodal', 'antipodal', 'uneven pairs and singles']
    """
    check_amplitude(amplitude)
    p, ratio = _p_and_ratio(p, ratio)
    q, where = np.unique(p, return_inverse=True)
    known = _Chords(*(x[where].reshape(p.shape) for x in _chords(tuple(q), amplitude)))
    candidates = {
        "rug": _dropping(optimum, p, ratio, known.rug, amplitude),
        "antipodal": _dropping(antipodal_optimum, p, ratio, known.even, amplitude),
        "uneven pairs": _with_uneven_pairs(ratio, known),
    }
    losses = np.stack([x[0] for x in candidates.values()])
    least = np.argmin(losses, axis=0)
    name = np.array(list(candidates))[least]
    name = np.where((least > 0) & (ratio > 0.5), np.char.add(name, " and singles"), name)
    loss, fraction, a, b = (np.choose(least, x) for x in zip(*candidates.values(), strict=True))
    return BestKnown(p, ratio, loss, name, fraction, a, b)


class _Chords(NamedTuple):
    """What the convex envelope is made of, for each p."""

    rug: Array  # ratio where the chord from dropped features touches the curve of the rug
    even: Array  # and that of even pairs
    at_half: Array  # loss of uneven pairs
    slope: Array  # of the chord from there, by which the loss rises per ratio missing
    near: Array  # how far below ½ it ends
    a: Array  # and at which even pairs
    b: Array
    drops: Array  # or at dropped features, if so


@lru_cache(maxsize=256)
def _chords(p: tuple[float, ...], amplitude: Amplitude) -> _Chords:
    q = np.array(p)
    at_half = uneven_pairs(q, amplitude=amplitude).loss
    variance = np.asarray(SparseSource(q, amplitude).variance)

    def steepness(log_gap: Array, q: Array, at_half: Array) -> Array:
        """Of the chord from uneven pairs to even ones at ratio ½ - gap."""
        gap = np.exp(log_gap)
        even = antipodal_optimum(q, 0.5 - gap, amplitude=amplitude)
        return np.asarray((even.loss - at_half) / gap)

    grid = np.linspace(np.log(1e-6), np.log(0.49), 16)[:, None] + 0 * q
    inside = np.clip(np.argmin(steepness(grid, q, at_half), axis=0), 1, 14)
    bracket = tuple(np.take_along_axis(grid, (inside + k)[None], axis=0)[0] for k in (-1, 0, 1))
    found = find_minimum(steepness, bracket, args=(q, at_half), tolerances={"xatol": 1e-5})
    near = np.exp(np.where(found.success, found.x, bracket[1]))
    even = antipodal_optimum(q, 0.5 - near, amplitude=amplitude)
    slope = (even.loss - at_half) / near
    drops = 2 * (variance - at_half) <= slope
    return _Chords(
        rug=_touching(optimum, q, amplitude, last=1.0),
        even=_touching(antipodal_optimum, q, amplitude, last=0.5),
        at_half=at_half,
        slope=np.where(drops, 2 * (variance - at_half), slope),
        near=np.where(drops, 0.5, near),
        a=even.a,
        b=even.b,
        drops=drops,
    )


def _with_uneven_pairs(ratio: Array, known: _Chords) -> tuple[Array, Array, Array, Array]:
    """Uneven pairs, ratio ½, beside singles above ½ and beside even pairs or dropped ones below."""
    missing = np.maximum(0.5 - ratio, 0.0)
    below = known.at_half + known.slope * missing
    loss = np.where(missing > 0, below, 2 * (1 - ratio) * known.at_half)
    loss = np.where(missing <= known.near, loss, np.inf)
    mixed = (missing > 0) & np.logical_not(known.drops)
    fraction = np.where(known.drops, np.minimum(2 * ratio, 1.0), 1.0)
    return loss, fraction, np.where(mixed, known.a, np.nan), np.where(mixed, known.b, np.nan)


def _p_and_ratio(p: ArrayLike, ratio: ArrayLike) -> tuple[Array, Array]:
    p = _check.probability("p", p, least=_check.LEAST_P)
    ratio = _check.probability("ratio", ratio)
    _check.broadcastable(p=p, ratio=ratio)
    p, ratio = np.broadcast_arrays(p, ratio)
    return p, ratio


def _dropping(
    family: Family, p: Array, ratio: Array, critical: Array, amplitude: Amplitude
) -> tuple[Array, Array, Array, Array]:
    """Loss, represented fraction, a and b of a family that may drop features."""
    fraction = np.minimum(ratio / critical, 1.0)
    best = family(p, np.maximum(ratio, critical), amplitude=amplitude)
    variance = SparseSource(p, amplitude).variance
    return (1 - fraction) * variance + fraction * best.loss, fraction, best.a, best.b


def _touching(family: Family, p: ArrayLike, amplitude: Amplitude, last: float) -> Array:
    """The ratio at which the chord from (0, v) to the curve is steepest, at most `last`."""
    p = _check.probability("p", p, least=_check.LEAST_P)
    q, where = np.unique(p, return_inverse=True)
    variance = np.asarray(SparseSource(q, amplitude).variance)

    def slope(log_ratio: Array, q: Array, variance: Array) -> Array:
        ratio = np.exp(log_ratio)
        best = family(q, ratio, amplitude=amplitude)
        return np.asarray((best.loss - variance) / (ratio * np.where(variance > 0, variance, 1)))

    # r_c/p grows like the logarithm of 1/p.
    top = np.log(np.minimum(last, 20 * q * (1 + np.log(1 / q))))
    grid = np.linspace(np.log(0.02 * q), top, _SCAN)
    slopes = slope(grid, q, variance)
    k = np.argmin(slopes, axis=0)
    inside = np.clip(k, 1, _SCAN - 2)
    bracket = tuple(np.take_along_axis(grid, (inside + d)[None], axis=0)[0] for d in (-1, 0, 1))
    found = find_minimum(slope, bracket, args=(q, variance))
    log_ratio = np.where(
        found.success & (found.f_x <= slopes.min(axis=0)), found.x, grid[k, range(q.size)]
    )
    return np.asarray(np.minimum(np.exp(log_ratio), last)[where].reshape(p.shape))
