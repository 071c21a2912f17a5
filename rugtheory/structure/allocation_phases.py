r"""Which features are dropped, in superposition or alone, at a price of hidden units.

Among very many others a feature does not change the price λ of a hidden unit.  It minimises
I L(c) + λ c by itself, so that all depends on its law and on λ/I: on the lower convex hull of L(c),
it is dropped above the slope of the chord that ends at (0, v), and alone below the slope at c = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .._result import Result
from ..source.amplitude import Amplitude, check_not_negative
from ..source.sparse import SparseSource, on_law
from ..source.uniform import Uniform
from ..theory.capacity_curves import ALONE, DROPPED, Indices, Table, curves_of
from ..theory.family import FAMILIES, Family
from .allocation import NAMES, ONE_SIGN, check_cap
from .best import MAX_COUPLING
from .hull_pieces import HULL, curve_of

# d log V/ds is taken from the table over twice this.
_DIFFERENCE = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class AllocationPhases(Result):
    """Prices of a hidden unit over importance, λ/I, that part three phases; arrays of one shape.

    Attributes
    ----------
    p : ndarray
        Probability that the feature is on.
    dropped_above : ndarray
        It is dropped if λ/I is more.
    alone_below : ndarray
        It has a hidden unit to itself if λ/I is less, and is in superposition between.
    least_capacity : ndarray
        Its capacity just below the first price; 1 where the two prices are one.
    """

    p: Array
    dropped_above: Array
    alone_below: Array
    least_capacity: Array


def allocation_phases(
    p: ArrayLike,
    *,
    family: str = "gaussian",
    max_coupling: float = MAX_COUPLING,
    amplitude: Amplitude = Uniform(),
) -> AllocationPhases:
    """The phases of a feature among very many: dropped, in superposition, alone.

    Parameters
    ----------
    p : array_like in (0, 1], at least 1e-140
    family : "gaussian", "pairs" or "best"
    max_coupling : float > 0
        See `allocate`.
    amplitude : Amplitude

    Returns
    -------
    AllocationPhases

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range, or a feature never varies.

    Notes
    -----
    Relative errors of the first price are 1e-12 for p from 1e-6 to 0.9 and 1e-9 at 1e-12; the
    second is the limit of V at c = 1, taken at σ = 1e-5 √v, or the slope of a chord, to 1e-6.

    Examples
    --------
    >>> import rugtheory as rt
    >>> found = rt.allocation_phases(0.01)
    >>> print(f"{found.dropped_above:.4f} {found.alone_below:.2e} {found.least_capacity:.3f}")
    0.0269 8.34e-05 0.058
    """
    cap = check_cap(_check.choice("family", family, NAMES), max_coupling)
    check_not_negative(amplitude, ONE_SIGN)
    given = _check.probability("p", p)
    p, amplitude = on_law(p, amplitude, least=_check.LEAST_P)
    variance = np.asarray(SparseSource(p, amplitude).variance)
    if np.any(variance == 0):
        raise ValueError(f"p must be of features that vary, got {given[variance == 0].flat[0]}")
    q, where = np.unique(p, return_inverse=True)
    if not q.size:
        return AllocationPhases(given, p, p, p)
    if family == HULL.name:
        found = _of_hulls(amplitude, q, cap)
    else:
        found = _of_curves(FAMILIES[family], amplitude, q)
    return AllocationPhases(given, *(x[where].reshape(p.shape) for x in found))


def _of_hulls(amplitude: Amplitude, p: Array, cap: float) -> tuple[Array, Array, Array]:
    """The first chord, and the last, of hulls that begin and end with one."""
    curves = [curve_of(x, amplitude, cap) for x in p.tolist()]
    dropped, alone = (np.exp([x.chords[k] for x in curves]) for k in (-1, 0))
    s = np.array([x.pieces[-2].s[-1] for x in curves])
    return dropped, alone, np.where(s == ALONE, 1.0, HULL.capacity(np.maximum(s, 0.0)))


def _of_curves(one: Family, amplitude: Amplitude, q: Array) -> tuple[Array, Array, Array]:
    # Of many optima at a time the last digits depend on how many there are.
    table = Table(one, [curves_of(one, amplitude, (x,))[0] for x in q.tolist()])
    last = table.pieces - 2
    s = _tangent(one, amplitude, table, q, last)
    # Where the chord from (0, v) touches the curve, and does not end at a feature alone.
    touches = s != ALONE
    loss, capacity = np.zeros(q.size), np.ones(q.size)
    some = np.where(touches, s, 1.0)
    quiet = touches & (some == 0)
    exact = one.reading(amplitude, q, np.where(quiet, 1.0, some))
    still = one.quiet(amplitude, q)
    loss[touches] = np.where(quiet, still.loss, exact.loss)[touches]
    capacity[touches] = one.capacity(some)[touches]
    dropped = (SparseSource(q, amplitude).variance - loss) / capacity
    # Alone below a chord, if one ends there, which may be the same one, or below V at c = 1.
    chord = np.array([curve.pieces[0].key.size == 1 for curve in table.curves])
    last_chord = np.where(table.pieces == 2, dropped, np.exp(table.chords[:, 0]))
    alone = np.where(chord, last_chord, still.value)
    return dropped, np.minimum(alone, dropped), capacity


def _tangent(family: Family, amplitude: Amplitude, table: Table, p: Array, last: Indices) -> Array:
    """Where the chord from (0, v) touches: V there is its slope."""
    rows, variance = np.arange(p.size), SparseSource(p, amplitude).variance
    price = table.chords[rows, last]
    s, low, high = (table.noise(rows, last, price + x) for x in (0.0, -_DIFFERENCE, _DIFFERENCE))
    some = np.flatnonzero((s > 0) & (high > low) & (s > low))
    found = family.reading(amplitude, p[some], s[some])
    slope = (variance[some] - found.loss) / family.capacity(s[some])
    steep = 2 * _DIFFERENCE / (high - low)[some]
    s[some] -= np.log(found.value / slope) / steep
    return s


def capacity_at_price(
    p: Array,
    price: Array,
    *,
    family: str = "gaussian",
    max_coupling: float = MAX_COUPLING,
    amplitude: Amplitude = Uniform(),
) -> Array:
    """The best capacity of features at prices λ/I, shape (p, prices), to some 1e-6."""
    cap = check_cap(family, max_coupling)
    if family == HULL.name:
        one, curves = HULL, [curve_of(x, amplitude, cap) for x in p.tolist()]
    else:
        one = FAMILIES[family]
        curves = list(curves_of(one, amplitude, tuple(p.tolist())))
    table = Table(one, curves)
    rows, log = np.broadcast_arrays(np.arange(p.size)[:, None], np.log(price))
    s = table.noise(rows, table.piece(rows, log), log)
    inner = np.isfinite(s) & (s != ALONE)
    c = one.capacity(np.where(inner, s, 0.0))
    return np.where(inner, c, np.where(s == DROPPED, 0.0, 1.0))
