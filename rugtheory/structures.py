r"""What lies below the loss of the Gaussian rug: dropped features, pairs, groups, the best of them.

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

from . import _check, precedence
from ._check import Array
from ._search import find_minimum
from .antipodal import antipodal_optimum, uneven_pairs
from .optimum import Optimum, optimum
from .source import Amplitude, SparseSource, Uniform, check_amplitude

_SCAN = 48

Family = Callable[..., Optimum]
_Point = tuple[Array | float, Array]  # a ratio and the loss there


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
        "rug", "antipodal" for even pairs, "uneven pairs", "precedence" for `precedence_code`, or
        pairs of either kind "and singles".  Uneven pairs and codes, which exist at one ratio each,
        are mixed with one another, features alone in a hidden unit or dropped ones at the ratios
        between.
    fraction : ndarray
        Fraction of the features that is represented at all.
    a, b : ndarray
        Diagonal, and bias for interference without mean but the partner's, of features in rugs or
        even pairs; NaN where there are none, see `uneven_pairs` and `precedence_code`.
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
    """The least loss of rugs, pairs and precedence codes, side by side or with features dropped.

    An upper bound on what can be reached for large n_sparse, approached by precedence codes as
    their couplings grow.  Parameters and errors are those of `mixture_loss`.  A new p takes one or
    two seconds, which are remembered; for densities other than Uniform up to a minute.

    Examples
    --------
    >>> import rugtheory as rt
    >>> best = rt.best_known(0.045, [0.02, 0.25, 0.5, 0.75])
    >>> best.family.tolist()
    ['precedence', 'precedence', 'uneven pairs', 'uneven pairs and singles']
    >>> best.fraction.round(2).tolist()
    [0.75, 1.0, 1.0, 1.0]
    """
    check_amplitude(amplitude)
    p, ratio = _p_and_ratio(p, ratio)
    q, where = np.unique(p, return_inverse=True)
    known = _known(tuple(q), amplitude)
    rug, even, pairs = (x[where.reshape(p.shape)] for x in known)
    variance = np.asarray(SparseSource(p, amplitude).variance)
    fraction = np.minimum(2 * ratio, 1.0)
    uneven = np.minimum(
        _mixed(ratio, (0.0, variance), (0.5, pairs)), _mixed(ratio, (0.5, pairs), (1.0, 0 * pairs))
    )
    nothing = np.full(p.shape, np.nan)
    found = {
        "rug": _dropping(optimum, p, ratio, rug, amplitude),
        "antipodal": _dropping(antipodal_optimum, p, ratio, even, amplitude),
        "uneven pairs": (uneven, fraction, nothing, nothing),
        "precedence": (*_codes(p, ratio, variance, pairs, amplitude), nothing, nothing),
    }
    best = np.argmin([loss for loss, *_ in found.values()], axis=0)
    loss, fraction, a, b = (
        np.take_along_axis(np.stack(x), best[None], axis=0)[0]
        for x in zip(*found.values(), strict=True)
    )
    family = np.array(list(found))[best]
    beside = np.isin(family, ["antipodal", "uneven pairs"]) & (ratio > 0.5)
    family = np.where(beside, np.char.add(family, " and singles"), family)
    return BestKnown(p, ratio, loss, family, fraction, a, b)


def _mixed(ratio: Array, low: _Point, high: _Point) -> Array:
    """Loss of two groups side by side; infinite outside of their ratios."""
    (start, first), (end, last) = low, high
    share = (ratio - start) / (end - start)
    return np.where((share >= 0) & (share <= 1), first + (last - first) * share, np.inf)


def _codes(
    p: Array, ratio: Array, variance: Array, pairs: Array, amplitude: Amplitude
) -> tuple[Array, Array]:
    """Loss and represented fraction of precedence codes beside what goes best with them."""

    def code(n: Array) -> _Point:
        return 2 / n, precedence.limit(p, n, amplitude)

    # Beside the largest features are dropped, beside the smallest are pairs.
    least = np.full(p.shape, precedence.LEAST + 1.0)
    largest = np.maximum(precedence.critical_size(p, amplitude), least)
    n = np.clip(np.floor(2 / ratio), least, largest)
    sides = [
        _mixed(ratio, (0.0, variance), code(largest)),
        _mixed(ratio, code(n + 1), code(n)),
        _mixed(ratio, code(least), (0.5, pairs)),
    ]
    return np.min(sides, axis=0), np.minimum(ratio * largest / 2, 1.0)


class _Known(NamedTuple):
    """What takes time to find, for each p."""

    rug: Array  # ratio where the chord from dropped features touches the curve of the rug
    even: Array  # and that of even pairs
    pairs: Array  # loss of uneven pairs


@lru_cache(maxsize=256)
def _known(p: tuple[float, ...], amplitude: Amplitude) -> _Known:
    q = np.array(p)
    return _Known(
        _touching(optimum, q, amplitude, last=1.0),
        _touching(antipodal_optimum, q, amplitude, last=0.5),
        uneven_pairs(q, amplitude=amplitude).loss,
    )


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
