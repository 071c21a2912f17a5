r"""The least loss of features on pieces of their curves, when one of them may stay between pieces.

At the best price the capacities on the hull add up to n_dense, except those of features on chords.
Equal features share a chord: some stay on one piece of the curve, the rest on the next.  One
feature is left over, and gets the capacity that is best for all.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np

from .._check import Array
from .capacity_curves import Indices, Table
from .sharing import Classes, Groups, best, capacity_at, ends, loss_at, noise, places, settled

# A grid of prices at which one feature takes what the others leave, narrowed so many times.
_PRICES, _ZOOMS = 65, 6
# Capacities that are whole numbers of steps to this part.
_WHOLE = 1e-9
# Part of n_dense that sums of capacities are off by.
_SUMMED = 1e-13
# Up to so many features, moves of one or two of them are tried, so many at a time at most.
_FEW, _MOVES = 64, 300
_ROUNDING = 1e-13


class Choice(NamedTuple):
    """Groups of features, and one more feature of class `free`, if any, that takes `capacity`."""

    groups: Groups
    free: int | None
    capacity: float
    log_price: float
    loss: float


class Prices(NamedTuple):
    """The best price, just below and above; and the classes that change their piece there."""

    low: float
    high: float
    jumping: tuple[int, ...]


def price_of(classes: Classes, n_dense: float) -> Prices:
    """The price at which what is best for each feature uses n_dense hidden units."""
    low, high = ends(classes)
    while high - low > 1e-13 * max(1.0, abs(low), abs(high)):
        middle = (low + high) / 2
        if capacity_at(classes, best(classes, middle), middle) > n_dense:
            low = middle
        else:
            high = middle
    pieces = [best(classes, x).piece for x in (low, high)]
    return Prices(low, high, tuple(np.flatnonzero(pieces[0] != pieces[1]).tolist()))


def choose(classes: Classes, n_dense: float, prices: Prices) -> Choice:
    """The least loss that is found, and how."""
    groups, free = filled(classes, n_dense, prices)
    first = _with_free(classes, groups, free, n_dense)
    if free is None or classes.count.sum() > _FEW:
        return first
    return _improved(classes, first, n_dense, prices)


def filled(classes: Classes, n_dense: float, prices: Prices) -> tuple[Groups, int | None]:
    """Features moved along the chords at the price as long as there is room; one left over."""
    high = best(classes, prices.high)
    if not prices.jumping:
        return _groups(classes.count[None], high.piece[None]), None
    low = best(classes, prices.low)
    with_more, with_less = (
        classes.capacity(noise(classes, *x)) for x in ((low, prices.low), (high, prices.high))
    )
    room = n_dense - float(classes.count @ with_less)
    moved, free = np.zeros_like(classes.count), None
    for kind in prices.jumping:
        step = float(with_more[kind] - with_less[kind])
        count = int(min(classes.count[kind], np.floor(room / step + _WHOLE)))
        moved[kind] = count
        room -= count * step
        if count < classes.count[kind]:
            free = kind if room > _WHOLE * step else None
            break
    left = classes.count - moved
    if free is not None:
        left[free] -= 1
    return _groups(np.stack([moved, left]), np.stack([low.piece, high.piece])), free


def _groups(count: Indices, piece: Indices) -> Groups:
    kind = np.broadcast_to(np.arange(count.shape[1]), count.shape)
    some = count > 0
    return Groups(kind[some], count[some], piece[some])


def _with_free(classes: Classes, groups: Groups, free: int | None, n_dense: float) -> Choice:
    if free is None:
        price = settled(classes, groups, n_dense)
        loss = loss_at(classes, groups, price) if groups.kind.size else 0.0
        used = capacity_at(classes, groups, price) if groups.kind.size else 0.0
        over = used > n_dense * (1 + _WHOLE)
        return Choice(groups, None, 0.0, price, np.inf if over else loss)
    low, high = (settled(classes, groups, max(n_dense - x, 0.0)) for x in (0.0, 1.0))
    curve = _table(classes).curves[classes.row[free]]
    weight = classes.importance[free]
    found = Choice(groups, free, 0.0, low, np.inf)
    for _ in range(_ZOOMS):
        prices = np.linspace(low, high, _PRICES)
        there = places(classes, groups, prices)
        rest = n_dense - groups.number @ classes.capacity(there.s)
        # Next to nothing is what rounding leaves of the others.
        capacity = np.where(rest < _SUMMED * n_dense, 0.0, np.minimum(rest, 1.0))
        losses = (groups.number * classes.importance[groups.kind]) @ there.loss
        losses = losses + weight * curve.losses(classes.family, capacity)
        losses[rest < -_WHOLE] = np.inf
        k = int(np.argmin(losses))
        if losses[k] < found.loss:
            found = Choice(groups, free, float(capacity[k]), float(prices[k]), float(losses[k]))
        low, high = float(prices[max(k - 1, 0)]), float(prices[min(k + 1, _PRICES - 1)])
    return found


def _table(classes: Classes) -> Table:
    if not isinstance(classes.table, Table):
        raise TypeError("curves that are interpolated cannot be searched")
    return classes.table


def _improved(classes: Classes, start: Choice, n_dense: float, prices: Prices) -> Choice:
    """The best that moves of one or two features between pieces lead to."""
    price = (prices.low + prices.high) / 2
    cost = _costs(classes, price)
    lower = float(classes.count @ cost.min(axis=1)) - np.exp(price) * n_dense
    found = start
    while True:
        gap = found.loss - lower
        if gap <= _ROUNDING * abs(lower):
            return found
        better = found
        for count, free in _moves(classes, found, cost - cost.min(axis=1, keepdims=True), gap):
            pieces = np.broadcast_to(np.arange(count.shape[0])[:, None], count.shape)
            tried = _with_free(classes, _groups(count, pieces), free, n_dense)
            if tried.loss < better.loss * (1 - _ROUNDING):
                better = tried
        if better is found:
            return found
        found = better


def _costs(classes: Classes, price: float) -> Array:
    """The least I L + λ c of each class on each piece, inf where there is none."""
    every = np.arange(classes.p.size)
    pieces = _table(classes).pieces[classes.row]
    cost = np.full((every.size, int(pieces.max())), np.inf)
    for piece in range(cost.shape[1]):
        some = np.flatnonzero(piece < pieces)
        groups = Groups(some, classes.count[some], np.full(some.size, piece))
        there = places(classes, groups, price)
        value = classes.importance[some] * there.loss + np.exp(price) * classes.capacity(there.s)
        cost[some, piece] = value
    return cost


def _moves(
    classes: Classes, found: Choice, penalty: Array, gap: float
) -> list[tuple[Indices, int | None]]:
    """Counts on pieces, shape (pieces, classes), that cost less than the gap more."""
    count = np.zeros(penalty.T.shape, int)
    np.add.at(count, (found.groups.piece, found.groups.kind), found.groups.number)
    if found.free is not None:  # on the piece on which it costs least
        count[int(np.argmin(penalty[found.free])), found.free] += 1
    kinds = np.flatnonzero(np.sort(penalty, axis=1)[:, 1] < gap)
    single = [
        (kind, one, two)
        for kind in kinds
        for one, two in np.ndindex(*count.shape[:1] * 2)
        if one != two and count[one, kind] and penalty[kind, two] < gap
    ]
    single.sort(key=lambda x: penalty[x[0], x[2]])
    every = [(), *((x,) for x in single), *combinations(single, 2)]
    tried: list[tuple[Indices, int | None]] = []
    for move in every[:_MOVES]:
        after = count.copy()
        for kind, one, two in move:
            after[one, kind] -= 1
            after[two, kind] += 1
        if after.min() < 0:
            continue
        tried.append((after, None))
        for kind in kinds:
            for piece in np.flatnonzero(after[:, kind])[-1:]:
                left = after.copy()
                left[piece, kind] -= 1
                tried.append((left, int(kind)))
    return tried
