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
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check
from ._check import Array
from ._search import find_minimum
from .antipodal import antipodal_optimum, uneven_pairs
from .graphs import GRAPHS, graph_optimum, graph_ratio
from .optimum import Optimum, optimum
from .source import Amplitude, SparseSource, Uniform, check_amplitude

_SCAN = 48
# Structures at one ratio each, from dropped features to features alone in a hidden unit: the ratio,
# and the name of what is mixed from it and others.
_GRAPHS = sorted(GRAPHS, key=graph_ratio)
_CORNERS = [
    (0.0, ""),
    *((graph_ratio(name), "strongly regular") for name in _GRAPHS),
    (0.5, "uneven pairs"),
    (1.0, ""),
]
_STARTS = np.array([ratio for ratio, _ in _CORNERS])
# Chords are told apart by a hundredth of their slope before they are computed to all digits.
_MARGIN = 0.01

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
        "rug", "antipodal" for even pairs, "uneven pairs", "strongly regular" for the groups of
        `graph_code`, or pairs of either kind "and singles".  Groups and uneven pairs, which exist
        at one ratio each, are mixed with one another, with even pairs, features alone in a hidden
        unit or dropped ones at the ratios between.
    fraction : ndarray
        Fraction of the features that is represented at all.
    a, b : ndarray
        Diagonal, and bias for interference without mean but the partner's, of features in rugs or
        even pairs; NaN where there are none, see `uneven_pairs` and `graph_optimum`.
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
    """The least loss of rugs, pairs and graph codes, side by side or with some features dropped.

    An upper bound on what can be reached for large n_sparse.  Parameters and errors are those of
    `mixture_loss`.  A new p takes seconds, which are remembered;
    for densities other than Uniform, up to a minute.

    Examples
    --------
    >>> import rugtheory as rt
    >>> best = rt.best_known(0.045, [0.25, 0.45, 0.5, 0.75])
    >>> best.family.tolist()
    ['strongly regular', 'antipodal', 'uneven pairs', 'uneven pairs and singles']
    """
    check_amplitude(amplitude)
    p, ratio = _p_and_ratio(p, ratio)
    q, where = np.unique(p, return_inverse=True)
    known = _known(tuple(q), amplitude)
    rug, at, slope, near, a, b = (x[..., where.reshape(p.shape)] for x in known)
    nothing, every = np.full(p.shape, np.nan), np.ones(p.shape)
    loss, *rest = _dropping(optimum, p, ratio, rug, amplitude)
    best = [loss, np.zeros(p.shape, int), *rest]
    names = ["rug"]

    def consider(name: str, *found: Array) -> None:
        if name not in names:
            names.append(name)
        less = found[0] < best[0]
        new = found[0], np.full(p.shape, names.index(name)), *found[1:]
        best[:] = [np.where(less, x, y) for x, y in zip(new, best, strict=True)]

    even = antipodal_optimum(p, ratio, amplitude=amplitude)
    consider("antipodal", even.loss, every, even.a, even.b)
    for i, j in combinations(range(len(_CORNERS)), 2):
        (low, first), (high, second) = _CORNERS[i], _CORNERS[j]
        if not first + second:
            continue  # features dropped and alone: the limit of a rug
        inside = (ratio >= low) & (ratio < high)
        share = (ratio - low) / (high - low)
        mixed = np.where(inside, at[i] + (at[j] - at[i]) * share, np.inf)
        consider(first or second, mixed, share if i == 0 else every, nothing, nothing)
    for (j, side), (i, (start, name)) in product(enumerate((-1, 1)), enumerate(_CORNERS)):
        gap = side * (ratio - start)
        inside = (gap > 0) & (gap <= near[j, i])
        mixed = np.where(inside, at[i] + slope[j, i] * gap, np.inf)
        share = np.divide(gap, near[j, i], out=np.ones(p.shape), where=inside)
        consider(name or "antipodal", mixed, share if i == 0 else every, a[j, i], b[j, i])
    loss, index, fraction, a, b = best
    family = np.array(names)[index]
    pairs = np.isin(family, ["antipodal", "uneven pairs"]) & (ratio > 0.5)
    family = np.where(pairs, np.char.add(family, " and singles"), family)
    return BestKnown(p, ratio, loss, family, fraction, a, b)


class _Known(NamedTuple):
    """What the lower envelope is made of; the last axis is p.

    Tangents have axes for their side of the corner, below or above, and for the corner.
    """

    rug: Array  # ratio where the chord from dropped features touches the curve of the rug
    corner: Array  # losses of the corners
    slope: Array  # of the tangents to even pairs, by which losses rise away from the corner
    near: Array  # and how far from it they touch, 0 for those that others pass below
    a: Array  # where even pairs have this diagonal
    b: Array


@lru_cache(maxsize=256)
def _known(p: tuple[float, ...], amplitude: Amplitude) -> _Known:
    q = np.array(p)
    variance = np.asarray(SparseSource(q, amplitude).variance)
    graphs = [graph_optimum(q, name, amplitude=amplitude).loss for name in _GRAPHS]
    pairs = uneven_pairs(q, amplitude=amplitude).loss
    corner = np.array([variance, *graphs, pairs, 0 * q])
    ratio = _ratios(q)
    sampled = antipodal_optimum(q, ratio, amplitude=amplitude).loss
    edge, bracket = _edges(corner, ratio, sampled)
    side, which, where = np.nonzero(edge)
    corners = q[where], _STARTS[which], np.where(side, 1.0, -1.0)
    losses = corner[which, where]

    def even(log_gap: Array, q: Array, start: Array, side: Array) -> Optimum:
        return antipodal_optimum(q, start + side * np.exp(log_gap), amplitude=amplitude)

    def steepness(log_gap: Array, q: Array, start: Array, side: Array, loss: Array) -> Array:
        return np.asarray((even(log_gap, q, start, side).loss - loss) / np.exp(log_gap))

    found = find_minimum(steepness, tuple(bracket), (*corners, losses), {"xatol": 1e-5})
    log_gap = np.where(found.success, found.x, bracket[1])
    touching, gap = even(log_gap, *corners), np.exp(log_gap)
    tangents = np.zeros((4, *edge.shape))
    tangents[:, edge] = (touching.loss - losses) / gap, gap, touching.a, touching.b
    return _Known(_touching(optimum, q, amplitude, last=1.0), corner, *tangents)


def _ratios(q: Array) -> Array:
    """Ascending ratios that show where the curve of even pairs bends, shape (n, q.size)."""
    # r_c/p grows like the logarithm of 1/p.
    first = np.minimum(0.01, 20 * q * (1 + np.log(1 / q)))
    low, third, high = np.minimum(0.02 * q, first / 2), 0.03 + 0 * q, 0.45 + 0 * q
    panels = [
        np.geomspace(start, end, n)[:-1]
        for start, end, n in ((low, first, 16), (first, third, 8), (third, high, 16))
    ]
    return np.concatenate([*panels, 0.5 - np.geomspace(0.05 + 0 * q, 1e-6, 16)])


def _edges(corner: Array, ratio: Array, even: Array) -> tuple[NDArray[np.bool_], Array]:
    """Which tangents are edges of the lower hull, and where: brackets of log |r - corner|."""
    start, side = _STARTS[:, None, None], np.array([-1, 1])[:, None, None, None]

    def chords(ratio: Array, loss: Array) -> tuple[Array, Array]:
        """Lengths along r and slopes; axes are side, corner, ratio and p."""
        gap = side * (ratio - start)
        slope = (loss - corner[:, None]) / np.where(gap > 0, gap, 1.0)
        return gap, np.where(gap > 0, slope, np.inf)

    gap, slope = chords(ratio, even)
    to_even, to_corners = slope.min(axis=2), chords(_STARTS[:, None], corner)[1].min(axis=2)
    below, above = np.minimum(to_even, to_corners)
    on_hull = below + above >= -_MARGIN * np.abs(above)
    edge = on_hull & (to_even <= (to_corners + _MARGIN * np.abs(to_corners))) & (to_even < np.inf)
    at = np.clip(np.argmin(slope, axis=2), 1, len(ratio) - 2)[:, :, None]
    first, middle, last = (np.take_along_axis(gap, at + k, axis=2)[:, :, 0] for k in (-1, 0, 1))
    # A neighbour on the other side of the corner is replaced by a point near it.
    ends = np.where(np.minimum(first, last) > 0, np.minimum(first, last), middle / 20)
    bracket = np.stack([ends, middle, np.maximum(first, last)])[:, edge]
    return edge, np.log(bracket)


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
