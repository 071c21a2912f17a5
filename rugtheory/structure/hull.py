"""The lower convex hull of the losses of structures over the ratio, at one p.

What graphs, and codes that descents found, lose at least is quick to tell, and exact losses are
taken only of those that are next to a ratio that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from .._check import Array
from ..numerics.search import local_minimum
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from . import precedence
from .hull_curves import (
    COUPLINGS,
    Curve,
    best_of,
    beta_of,
    even_curve,
    even_ratios,
    near_losses,
    optima,
    rug_curve,
)
from .hull_segments import OnHull, Segment, on_hull, segments_at
from .members import Node, code, corners_of, points, settled, sizes, with_idle_units

# A curve is looked at between its samples where it is so near a chord.
_GAP = 0.02
# The two ends of a chord are moved in turn so many times; each time squares the error.
_TURNS = 4
# Places on curves, as logits of the ratio, are found to this.
_PLACED = 1e-7
# A rug loses p v(p) (1/r - 1) at least near ratio 1, which is less than what pairs lose beside
# singles by the part p of it at most, and further away codes are far better: below this p, where
# that part is rounding, there are no rugs.
_RARE = 1e-15
# A curve is below the hull where rounding does not make it so.
_SURELY = 1e-12

_Groups = dict[frozenset[str], NDArray[np.intp]]
_NOTHING_LOST = (Segment(Node(0.0, 0.0, "rug"), Node(1.0, 0.0, "rug"), False),)
_Curves = dict[str, Curve]


def hull(
    p: float, amplitude: Amplitude, cap: float | None, noise: float = 0.0
) -> tuple[Segment, ...]:
    """The hull from ratio 0 to 1, of structures whose couplings are at most `cap`; None for all."""
    exact = frozenset[str]()
    for of in (_polygon, hull_of):
        while rough := _rough(of(p, amplitude, cap, noise, exact)):
            exact |= rough
    return hull_of(p, amplitude, cap, noise, exact)


def known_at(
    p: float, ratio: Array, amplitude: Amplitude, cap: float | None, noise: float = 0.0
) -> OnHull:
    """What the hull is at the ratios of a vector, each as if it were alone."""
    found = OnHull.none(ratio.size)
    # Next to most ratios the hull of points alone has the nodes that the whole one has.
    groups = {frozenset[str](): np.arange(ratio.size)}
    groups = _settled_beside(partial(_polygon, p, amplitude, cap, noise), groups, ratio)
    rest = _Groups()
    for exact, here in groups.items():
        chain = _polygon(p, amplitude, cap, noise, exact)
        where = segments_at(chain, ratio[here])
        near = [k for k in np.unique(where) if _curves_near(chain[k], p, amplitude, cap, noise)]
        curves = np.isin(where, near)
        points = here[~curves]
        found.put(points, on_hull(chain, p, ratio[points], amplitude, noise))
        if curves.any():
            rest[exact] = here[curves]
    rest = _settled_beside(partial(hull_of, p, amplitude, cap, noise), rest, ratio)
    for exact, here in rest.items():
        chain = hull_of(p, amplitude, cap, noise, exact)
        found.put(here, on_hull(chain, p, ratio[here], amplitude, noise))
    return found


def _curves_near(
    one: Segment, p: float, amplitude: Amplitude, cap: float | None, noise: float
) -> bool:
    """Whether curves may pass below the line through a chord: if none does, it is on the hull."""
    low, high = one.low, one.high
    if low.size > 0 or high.size > 0:  # of codes in their limit there are more than points
        return True
    if not one.chord:
        return False
    slope = (high.loss - low.loss) / (high.ratio - low.ratio)

    def line(ratio: Array) -> Array:
        return np.asarray(low.loss + slope * (ratio - low.ratio))

    if _has_rugs(p, cap):
        rugs = rug_curve(p, amplitude, line, noise)
        if near_losses(p, amplitude, rugs.loss, line(rugs.ratio), _GAP).any():
            return True
    return _has_pairs(cap) and even_ratios(p, amplitude, line, noise) is not None


def _has_pairs(cap: float | None) -> bool:
    return cap is None or cap >= COUPLINGS["antipodal"]


def _has_rugs(p: float, cap: float | None) -> bool:
    return p > _RARE or not _has_pairs(cap)


def _settled_beside(
    of: Callable[[frozenset[str]], tuple[Segment, ...]], groups: _Groups, ratio: Array
) -> _Groups:
    """Numbers of ratios by the exact nodes that it takes to have no rough ones next to them."""
    left, done = dict(groups), _Groups()
    while left:
        exact, some = left.popitem()
        chain = of(exact)
        where = segments_at(chain, ratio[some])
        rough = {k: _rough([chain[k]]) for k in np.unique(where).tolist()}
        for names in set(rough.values()):
            here = some[[rough[k] == names for k in where.tolist()]]
            goes = left if names else done
            goes[exact | names] = np.append(goes.get(exact | names, here[:0]), here)
    return done


def _rough(segments: Iterable[Segment]) -> frozenset[str]:
    return frozenset(x.rough for one in segments for x in (one.low, one.high) if x.rough)


@lru_cache(maxsize=1024)
def _points(p: float, amplitude: Amplitude, cap: float | None, noise: float) -> list[Node]:
    return points(p, float(SparseSource(p, amplitude).variance), amplitude, cap, noise)


def _nodes(
    p: float, amplitude: Amplitude, cap: float | None, noise: float, exact: frozenset[str]
) -> list[Node]:
    every = _points(p, amplitude, cap, noise)
    some = [settled(x, p, amplitude, noise) if x.rough in exact else x for x in every]
    return with_idle_units(some) if noise else some


def _polygon(
    p: float, amplitude: Amplitude, cap: float | None, noise: float, exact: frozenset[str]
) -> tuple[Segment, ...]:
    """The hull of points alone."""
    if not SparseSource(p, amplitude).variance > 0:
        return _NOTHING_LOST
    corners = corners_of(_nodes(p, amplitude, cap, noise, exact))
    return tuple(Segment(low, high, True) for low, high in pairwise(corners))


@lru_cache(maxsize=4096)
def hull_of(
    p: float, amplitude: Amplitude, cap: float | None, noise: float, exact: frozenset[str]
) -> tuple[Segment, ...]:
    """The hull with exact nodes of some codes, and rough ones of others that are below it."""
    variance = float(SparseSource(p, amplitude).variance)
    if not variance > 0:
        return _NOTHING_LOST
    some = _nodes(p, amplitude, cap, noise, exact)
    chain = _chain(some, {}, p, amplitude, noise)

    def known(ratio: Array) -> Array:
        return on_hull(chain, p, ratio, amplitude, noise).loss

    curves = {"rug": rug_curve(p, amplitude, known, noise)} if _has_rugs(p, cap) else {}
    even = even_curve(p, amplitude, known, noise) if _has_pairs(cap) else None
    if even is not None:
        curves["antipodal"] = even
    while True:
        chain = _chain(some, curves, p, amplitude, noise)
        missed = _missed(chain, curves, p, amplitude, noise)
        if not missed:
            return chain
        curves |= missed


def _chain(
    some: list[Node], curves: _Curves, p: float, amplitude: Amplitude, noise: float
) -> tuple[Segment, ...]:
    """The hull of points and of samples, from the right, with the ends of its chords moved."""
    nodes = some + [
        Node(float(curve.ratio[k]), float(curve.loss[k]), family, sample=int(k))
        for family, curve in curves.items()
        for k in np.flatnonzero(curve.below)
    ]
    corners = corners_of(nodes)
    segments: list[Segment] = []
    for low, high in pairwise(corners):
        curve = min(low.sample, high.sample) >= 0 and low.family == high.family
        beside = curve and abs(low.sample - high.sample) == 1
        if beside or (low.size > 0 and high.size > 0):
            segments.append(Segment(low, high, False))
        else:
            segments.append(Segment(*_tangent(low, high, curves, p, amplitude, noise), True))
    return tuple(_joined(segments))


def _joined(segments: list[Segment]) -> list[Segment]:
    """Parts of curves from the end of one chord to the start of the next."""
    joined: list[Segment] = []
    for k, one in enumerate(segments):
        if one.chord:
            low, high = one.low, one.high
            if joined and joined[-1].high.ratio > low.ratio:  # by rounding, on one curve
                low = joined[-1].high
            elif joined and joined[-1].high.ratio < low.ratio:
                joined.append(Segment(joined[-1].high, low, False))
            joined.append(Segment(low, high, True))
        elif k == len(segments) - 1:
            start = joined[-1].high if joined else one.low
            joined.append(Segment(start, one.high, False))
    return joined


def _tangent(
    low: Node, high: Node, curves: _Curves, p: float, amplitude: Amplitude, noise: float
) -> tuple[Node, Node]:
    """A chord with its ends moved along their families to where it is lowest."""
    free = [x.sample >= 0 or x.size > 0 for x in (low, high)]
    for _ in range(_TURNS if all(free) else 1):
        before = low.ratio, high.ratio
        if free[0]:
            low = _lowest(low, high, curves, p, amplitude, noise)
        if free[1]:
            high = _lowest(high, low, curves, p, amplitude, noise)
        # A curve's end depends on the other only, and codes come in whole sizes.
        stayed = [x for x, node in zip(before, (low, high), strict=True) if node.ratio == x]
        if stayed and low.family != high.family:
            break
    return low, high


def _lowest(
    node: Node, other: Node, curves: _Curves, p: float, amplitude: Amplitude, noise: float
) -> Node:
    """The node of a family from which the chord to another node is lowest."""

    # Slopes less that of the line to (1, 0), which leaves their order: near 1 what they differ by
    # is rounding of the slopes themselves.
    end = 1 - other.ratio
    line, alone = (other.loss / end, 0.0) if end > 0 else (0.0, other.loss)

    def rise(ratio: Array, loss: Array) -> Array:
        return np.asarray((loss - alone - line * (1 - ratio)) / np.abs(ratio - other.ratio))

    if node.size > 0:
        return _lowest_code(node, other, p, amplitude)
    curve = curves[node.family]
    side = curve.ratio > other.ratio if node.ratio > other.ratio else curve.ratio < other.ratio
    rises = np.where(side, rise(np.where(side, curve.ratio, np.nan), curve.loss), np.inf)
    k = int(np.argmin(np.where(np.abs(np.arange(side.size) - node.sample) <= 2, rises, np.inf)))
    x = float(curve.ratio[k])
    if 0 < k < side.size - 1 and side[k - 1] and side[k + 1]:
        # Beyond them it might pass the other end of the chord.
        beside = curve.ratio[k - 1 : k + 2]

        def at(place: Array) -> Array:
            ratio = _ratio(place, beside)
            return rise(ratio, curve.near(node.family, p, ratio, amplitude, noise))

        start = tuple(logit(curve.ratio[k + d : k + d + 1]) for d in (-1, 0, 1))
        x = float(_ratio(local_minimum(at, start, (), xatol=_PLACED)[0], beside))
    best = optima(node.family, p, (x,), amplitude, noise)
    if rise(np.array(x), best.loss)[0] > rises[k]:
        x = float(curve.ratio[k])
        best = optima(node.family, p, (x,), amplitude, noise)
    loss, a, b = (float(y[0]) for y in (best.loss, best.a, best.b))
    return Node(x, loss, node.family, a, b, COUPLINGS[node.family], sample=k)


def _lowest_code(node: Node, other: Node, p: float, amplitude: Amplitude) -> Node:
    low, high = sizes(p, amplitude)
    while True:
        # Sizes beyond 2⁵³ come in steps of floating point.
        some = np.unique(np.rint(np.geomspace(low, high, 64)))
        loss = precedence.limit(np.array(p), some, amplitude)
        k = int(np.argmin((loss - other.loss) / np.abs(2 / some - other.ratio)))
        last = low, high
        low, high = float(some[max(k - 1, 0)]), float(some[min(k + 1, some.size - 1)])
        if (low, high) == last or high - low <= 1e-14 * high:
            return code(p, float(some[k]), amplitude)


def _missed(
    chain: tuple[Segment, ...], curves: _Curves, p: float, amplitude: Amplitude, noise: float
) -> _Curves:
    """Curves with one sample more, where they pass below the hull between two samples."""
    found = {}
    for family, curve in curves.items():
        known = on_hull(chain, p, curve.ratio, amplitude, noise).loss
        chord = np.zeros(curve.ratio.shape, bool)
        for one in chain:
            if one.chord:
                chord |= (curve.ratio > one.low.ratio) & (curve.ratio < one.high.ratio)
        gap = np.where(chord, _excess(curve.loss, known), np.inf)
        middle = gap[1:-1]
        cells = 1 + np.flatnonzero(
            (middle < _GAP)
            & (middle <= gap[:-2])
            & (middle <= gap[2:])
            & np.isfinite(gap[:-2] + gap[2:])
        )
        if not cells.size:
            continue

        def over(place: Array, family: str = family, curve: Curve = curve) -> Array:
            ratio = _ratio(place, curve.ratio)
            loss = curve.near(family, p, ratio, amplitude, noise)
            return _excess(loss, on_hull(chain, p, ratio, amplitude, noise).loss)

        start = tuple(logit(curve.ratio[cells + d]) for d in (-1, 0, 1))
        more = _ratio(local_minimum(over, start, (), xatol=_PLACED), curve.ratio)
        best = best_of(family, p, more, amplitude, noise)
        under = _excess(best.loss, on_hull(chain, p, more, amplitude, noise).loss) < -_SURELY
        if under.any():
            order = np.argsort(np.append(curve.ratio, more[under]))
            old, new = (curve.ratio, curve.loss, curve.beta), (more, best.loss, beta_of(best))
            arrays = [np.append(x, y[under])[order] for x, y in zip(old, new, strict=True)]
            below = np.append(curve.below, under[under])[order]
            found[family] = Curve(arrays[0], arrays[1], arrays[2], below)
    return found


def _ratio(place: Array, within: Array) -> Array:
    """At logits; where a curve is flat a search may leave the ratios it began between."""
    return np.asarray(np.clip(expit(place), within[0], within[-1]))


def _excess(loss: Array, known: Array) -> Array:
    """By what part a loss is above what is known; far, where that is 0 to rounding.

    Losses of discrete laws may be p³ or less, which is 0 at the smallest p.
    """
    return np.divide(loss, known, out=np.full_like(known, 2.0), where=known > 0) - 1
