"""Dropping features: the mixture of some that are represented and others that are not."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from ..numerics.search import find_minimum
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource, on_law
from ..source.uniform import Uniform
from ..theory.optimum import optimum

_SCAN = 48
# So many p are searched at a time: fewer points than would change how `optimum` starts.
_TOGETHER = 16


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
    p, amplitude = on_law(p, amplitude, least=_check.LEAST_P)
    q, where = np.unique(p, return_inverse=True)
    found = [_touching(q[k : k + _TOGETHER], amplitude) for k in range(0, q.size, _TOGETHER)]
    return np.asarray(np.concatenate([*found, []])[where].reshape(p.shape))


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
    p, ratio = p_and_ratio(p, ratio)
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
        (1 - f) v(p) + f L(p, r/f), shape of `p` and `ratio` broadcast together.  For v(p), E x² if
        E x < 0: a ReLU has no negative constant.

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
    p, ratio = p_and_ratio(p, ratio)
    critical = critical_ratio(p, amplitude=amplitude)
    fraction = np.minimum(ratio / critical, 1.0)
    best = optimum(p, np.maximum(ratio, critical), amplitude=amplitude)
    dropped = dropped_loss(p, amplitude)
    return np.asarray((1 - fraction) * dropped + fraction * best.loss)


def dropped_loss(p: ArrayLike, amplitude: Amplitude) -> Array:
    """What the best constant of a ReLU loses, max(E x, 0)."""
    source = SparseSource(p, amplitude)
    return np.asarray(source.variance if amplitude.mean >= 0 else source.second_moment)


def p_and_ratio(p: ArrayLike, ratio: ArrayLike) -> tuple[Array, Array]:
    p = _check.probability("p", p, least=_check.LEAST_P)
    ratio = _check.probability("ratio", ratio)
    _check.broadcastable(p=p, ratio=ratio)
    p, ratio = np.broadcast_arrays(p, ratio)
    return p, ratio


def _touching(q: Array, amplitude: Amplitude) -> Array:
    """The ratio at which the chord from (0, v) to the curve of rugs is steepest."""
    dropped = dropped_loss(q, amplitude)

    def slope(log_ratio: Array, q: Array, dropped: Array) -> Array:
        ratio = np.exp(log_ratio)
        best = optimum(q, ratio, amplitude=amplitude)
        return np.asarray((best.loss - dropped) / (ratio * np.where(dropped > 0, dropped, 1)))

    # r_c/p grows like the logarithm of 1/p.
    top = np.log(np.minimum(1.0, 20 * q * (1 + np.log(1 / q))))
    grid = np.linspace(np.log(0.02 * q), top, _SCAN)
    slopes = slope(grid, q, dropped)
    k = np.argmin(slopes, axis=0)
    inside = np.clip(k, 1, _SCAN - 2)
    bracket = tuple(np.take_along_axis(grid, (inside + d)[None], axis=0)[0] for d in (-1, 0, 1))
    found = find_minimum(slope, bracket, args=(q, dropped))
    log_ratio = np.where(
        found.success & (found.f_x <= slopes.min(axis=0)), found.x, grid[k, range(q.size)]
    )
    return np.minimum(np.exp(log_ratio), 1.0)
