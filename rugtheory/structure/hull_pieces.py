"""Losses of the best structures known against capacity, as pieces that a price is looked up in.

The hull at one p has corners, points between two chords, and stretches of the curves of rugs and of
even pairs.  Between the p of a grid hulls are interpolated, and are polygons.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy

from .._check import Array
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from ..theory.allocation import distinct, tabulate
from ..theory.capacity_curves import ALONE, DROPPED, Curve, Indices, Piece, Table
from ..theory.family import FAMILIES, Family
from ..theory.interpolated import InterpolatedTable, grid
from .hull import hull
from .hull_segments import Segment, on_hull

# Places are kept as those of Gaussian rugs, 1/c = cosh² s.
HULL = Family("best", 1.0, 48, 48)
CURVES = {"rug": FAMILIES["gaussian"], "antipodal": FAMILIES["pairs"]}
_DENSE = 1024
_DEEP = -700.0
# So many p have hulls of their own; of more there is a grid of log p, with this step or more.
_ROWS, _STEP, _MOST_STEPS = 24, 0.2, 32
# Hulls are interpolated at so many p of a law, and sampled at so many capacities a factor of e.
_FINE, _SAMPLES = 1024, 40
_NEAR_ONE = 1 - np.geomspace(0.5, 1e-3, 48)


class HullTable(Table):
    """Hulls of features that are not on a grid of log p."""

    def __init__(self, laws: tuple[Amplitude, ...], law: Indices, p: Array, *, cap: float) -> None:
        curves: list[Curve] = []
        self.row, self.next = np.zeros((2, p.size), np.intp)
        self.share = np.zeros(p.size)
        self.variance = np.zeros(p.size)
        for k, one in enumerate(laws):
            some = np.flatnonzero(law == k)
            if not some.size:
                continue
            self.variance[some] = SparseSource(p[some], one).variance
            rows, found = _between(one, p[some], cap)
            at = np.interp(np.log(p[some]), np.log(rows), np.arange(rows.size))
            first = np.minimum(np.floor(at).astype(np.intp), max(rows.size - 2, 0))
            self.row[some] = len(curves) + np.rint(at).astype(np.intp)
            self.next[some], self.share[some] = len(curves) + first, at - first
            curves += found
        super().__init__(HULL, curves)
        # Part of a unit that is missing, and of the variance that is lost: both 0 of one alone.
        self.corners = [
            np.array(
                [[1 - _capacity(x.s[0]), x.loss[0] / one.pieces[-1].loss[0]] for x in one.pieces]
            ).T
            for one in curves
        ]

    def losses(self, kind: Indices, capacity: Array) -> Array:
        """Of classes `kind`, between the rows on both sides."""
        found = np.zeros(kind.size)
        # Alone they lose nothing, of which there is no logarithm.
        some = np.flatnonzero(capacity < 1)
        kind, capacity = kind[some], capacity[some]
        share, low = self.share[kind], self.next[kind]
        logs = [self._logs(rows, capacity) for rows in (low, low + (share > 0))]
        found[some] = np.exp((1 - share) * logs[0] + share * logs[1]) * self.variance[kind]
        return found

    def _logs(self, row: Indices, capacity: Array) -> Array:
        """Logarithms of losses over variances, capacities below 1."""
        found = np.empty(row.size)
        order = np.argsort(row, kind="stable")
        for some in np.split(order, np.flatnonzero(np.diff(row[order])) + 1):
            if some.size:
                missing, part = self.corners[row[some[0]]]
                found[some] = np.log(np.interp(1 - capacity[some], missing, part))
        return found


def hull_tables(
    family: Family, laws: tuple[Amplitude, ...], law: Indices, p: Array, *, cap: float
) -> tuple[Table | InterpolatedTable, Indices]:
    """As `tabulate`, for structures of couplings up to `cap`."""
    if not p.size:
        return tabulate(family, laws, law, p)
    new = distinct(law, p)
    if new.sum() > _ROWS:
        table = HullTable(laws, law, p, cap=cap)
        return table, table.row
    curves = [curve_of(q, laws[k], cap) for q, k in zip(p[new].tolist(), law[new], strict=True)]
    return Table(family, curves), (np.cumsum(new) - 1).astype(np.intp)


def curve_of(p: float, amplitude: Amplitude, cap: float) -> Curve:
    """The hull at one p."""
    pieces, chords = [Piece(np.zeros(1), np.array([ALONE]), np.zeros(1))], []
    for one in reversed(hull(p, amplitude, cap)):
        if not one.chord:
            pieces[-1] = _along(p, amplitude, one)
            continue
        low, high = one.low, one.high
        chords.append((low.loss - high.loss) / (high.ratio - low.ratio))
        pieces.append(_point(low.ratio, low.loss))
    return _curve(pieces, np.array(chords))


def _point(capacity: float, loss: float) -> Piece:
    s = float(HULL.noise(np.array(capacity))) if capacity > 0 else DROPPED
    return Piece(np.zeros(1), np.array([s]), np.array([loss]))


def _curve(pieces: list[Piece], chords: Array) -> Curve:
    none = np.empty(0)
    return Curve(
        none, none, none, none, none, none, tuple(pieces), np.maximum.accumulate(np.log(chords))
    )


def _capacity(s: float) -> float:
    return 1.0 if s == ALONE else 0.0 if s == DROPPED else float(HULL.capacity(np.array(s)))


def _along(p: float, amplitude: Amplitude, one: Segment) -> Piece:
    """A stretch of the curve of rugs or of even pairs, from its high end to the low one."""
    family = CURVES[one.low.family]
    start, end = family.noise(np.array([one.high.ratio, one.low.ratio])).tolist()
    s, dense = (np.linspace(start, end, x) for x in (HULL.columns, _DENSE))
    if not end > start:
        return _point(one.high.ratio, one.high.loss)
    reading = family.reading(amplitude, np.full_like(s, p), s)
    with np.errstate(divide="ignore"):
        key = np.maximum(np.log(reading.value), _DEEP)
    key, loss = (scipy.interpolate.PchipInterpolator(s, x)(dense) for x in (key, reading.loss))
    return Piece(np.maximum.accumulate(key), HULL.noise(family.capacity(dense)), loss)


def _between(amplitude: Amplitude, p: Array, cap: float) -> tuple[Array, list[Curve]]:
    """Hulls at these p, or at many between the least and the largest, ascending."""
    fine = np.unique(p)
    if fine.size > _FINE:
        fine = np.geomspace(fine[0], fine[-1], _FINE)
        fine[-1] = p.max()
    return fine, list(_interpolated(amplitude, tuple(fine.tolist()), cap))


# Numbers of hidden units in turn ask for the same hulls, which take up to a minute.
@lru_cache(maxsize=16)
def _interpolated(amplitude: Amplitude, p: tuple[float, ...], cap: float) -> tuple[Curve, ...]:
    """Hulls at p, ascending, from those of a grid of log p."""
    fine = np.array(p)
    low, high = float(fine[0]), float(fine[-1])
    step = max(_STEP, np.log(high / low) / _MOST_STEPS)
    rows = np.unique(grid(low, high, step)) if high > low else np.array([low])
    chains = [hull(float(q), amplitude, cap) for q in rows]
    corners = np.unique([x.high.ratio for chain in chains for x in chain[:-1]])
    first = float(corners[0]) if corners.size else 0.5
    count = max(2, int(_SAMPLES * np.log(0.5 / first))) if first < 0.5 else 2
    capacity = np.unique(
        np.concatenate([np.geomspace(min(first, 0.5), 0.5, count), corners, _NEAR_ONE])
    )
    capacity = capacity[capacity < 1]
    each = zip(chains, rows.tolist(), strict=True)
    loss = np.array([on_hull(chain, q, capacity, amplitude, 0.0).loss for chain, q in each])
    variance = np.asarray(SparseSource(rows, amplitude).variance)
    with np.errstate(divide="ignore"):
        part = np.maximum(np.log(loss / (1 - capacity) / variance[:, None]), _DEEP)
    if rows.size > 1:
        part = scipy.interpolate.PchipInterpolator(np.log(rows), part, axis=0)(
            np.clip(np.log(fine), np.log(rows[0]), np.log(rows[-1]))
        )
    variance = np.asarray(SparseSource(fine, amplitude).variance)
    losses = np.exp(part) * (1 - capacity) * variance[:, None]
    return tuple(_polygon(capacity, x, float(v)) for x, v in zip(losses, variance, strict=True))


def _polygon(capacity: Array, losses: Array, variance: float) -> Curve:
    """The lower hull of points, of (0, v) and of (1, 0)."""
    places = [1.0, *capacity[::-1].tolist(), 0.0]
    values = [0.0, *losses[::-1].tolist(), variance]
    kept: list[int] = []
    for k, (c, loss) in enumerate(zip(places, values, strict=True)):
        while len(kept) > 1:
            i, j = kept[-2], kept[-1]
            # Less steep than the chord before: that corner is above the hull.
            if (loss - values[j]) * (places[i] - places[j]) > (values[j] - values[i]) * (
                places[j] - c
            ):
                break
            kept.pop()
        kept.append(k)
    pieces = [Piece(np.zeros(1), np.array([ALONE]), np.zeros(1))]
    pieces += [_point(places[k], values[k]) for k in kept[1:]]
    corners = np.array([(places[k], values[k]) for k in kept])
    rise = np.diff(corners, axis=0)
    return _curve(pieces, -rise[:, 1] / rise[:, 0])
