r"""The allocation over the best structures known.

On their hull losses are convex, so the problem is: at the best price what each class takes uses all
hidden units, when a class that is on a chord there takes what is left.  The dual value is the loss.
"""

from __future__ import annotations

import numpy as np

from .._check import Array
from ..theory.allocation import alone
from ..theory.capacity_curves import ALONE, Indices, Table
from ..theory.choosing import Prices, filled
from ..theory.family import Reading
from ..theory.many import Shares
from ..theory.sharing import Classes, Groups, ends, places
from .best import best_known
from .hull_pieces import CURVES, HullTable

_FOUND = 1e-14
# Capacities at the price that is found are off by less than this part.
_MOVED = 1e-9
_DIFFERENCE = 1e-4
# Interpolated losses are compared with hulls of their own at so many features.
_COMPARED = 4


def share_hulls(classes: Classes, n_dense: float, *, cap: float) -> Shares:
    """Capacities that add up to `n_dense`, and their losses, with the dual value."""
    if n_dense >= classes.count.sum():
        return alone(classes)
    prices = _prices(classes, n_dense)
    groups, free = filled(classes, n_dense, prices)
    log_price = (prices.low + prices.high) / 2
    price = float(np.exp(log_price))
    s = places(classes, groups, log_price).s
    capacity = classes.capacity(s)
    rest = n_dense - float(groups.number @ capacity)
    if free is not None:
        added = zip(groups, (free, 1, 0), strict=True)
        groups = Groups(*(np.append(x, y) for x, y in added))
        capacity = np.append(capacity, np.clip(rest, 0.0, 1.0))
    else:
        moving = np.flatnonzero(_on_curve(classes, groups))
        if moving.size:
            part = rest / float(groups.number[moving] @ capacity[moving])
            # More than that is rounding of all the others.
            capacity[moving] *= 1 + np.clip(part, -_MOVED, _MOVED)
    loss = _losses(classes, groups.kind, capacity, cap)
    weight = classes.importance[groups.kind]
    value = float((groups.number * weight) @ loss)
    if isinstance(classes.table, HullTable):
        dual = value * (1 - _wrong(classes, groups, capacity, loss, cap))
    else:
        spent = value + price * (float(groups.number @ capacity) - n_dense)
        dual = spent - _gain(classes, groups, capacity, log_price, cap)
    return Shares(groups, *_described(classes, groups, capacity, loss), dual, price)


def _described(
    classes: Classes, groups: Groups, capacity: Array, loss: Array
) -> tuple[Array, Array, Reading]:
    """s, capacity and readings; those of features in superposition are up to their structure."""
    none = np.full(capacity.shape, np.nan)
    edges = [capacity == 0, capacity == 1]
    s = np.select(edges, [np.inf, ALONE], np.nan)
    a = np.select(edges, [0.0, 1.0], np.nan)
    b = np.select(edges, [classes.mean[groups.kind], 0.0], np.nan)
    return s, capacity, Reading(a, b, loss, none)


def _prices(classes: Classes, n_dense: float) -> Prices:
    """As `price_of`; of classes that have settled at a corner no more is asked."""
    low, high = ends(classes)
    table, weight = classes.table, np.log(classes.importance)
    assert isinstance(table, Table)
    left = [table.piece(classes.row, x - weight) for x in (low, high)]
    open_, settled = np.arange(classes.p.size), 0.0
    while high - low > _FOUND * max(1.0, abs(low), abs(high)):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        rows, price = classes.row[open_], middle - weight[open_]
        piece = table.piece(rows, price)
        used = classes.capacity(table.place(rows, piece, price).s)
        if settled + float(classes.count[open_] @ used) > n_dense:
            low, left[0][open_] = middle, piece
        else:
            high, left[1][open_] = middle, piece
        which = table.first[rows] + piece
        same = (left[0][open_] == left[1][open_]) & (table.stop[which] - table.start[which] == 1)
        settled += float(classes.count[open_[same]] @ used[same])
        open_ = open_[~same]
    return Prices(low, high, tuple(np.flatnonzero(left[0] != left[1]).tolist()))


def _on_curve(classes: Classes, groups: Groups) -> Array:
    """Whether groups are where capacity moves with the price."""
    table = classes.table
    assert isinstance(table, Table)
    which = table.first[classes.row[groups.kind]] + groups.piece
    return np.asarray(table.stop[which] - table.start[which] > 1)


def _losses(classes: Classes, kind: Indices, capacity: Array, cap: float) -> Array:
    table = classes.table
    if isinstance(table, HullTable):
        return table.losses(kind, capacity)
    return _exactly(classes, kind, capacity, cap)


def _exactly(classes: Classes, kind: Indices, capacity: Array, cap: float) -> Array:
    loss = np.where(capacity > 0, 0.0, classes.variance[kind])
    for k, law in enumerate(classes.laws):
        some = np.flatnonzero((classes.law[kind] == k) & (capacity > 0) & (capacity < 1))
        if some.size:
            p = classes.p[kind[some]]
            found = best_known(p, capacity[some], max_coupling=cap, amplitude=law)
            loss[some] = found.loss
    return loss


def _gain(classes: Classes, groups: Groups, capacity: Array, log_price: float, cap: float) -> float:
    """What features on curves could gain at the price: twice that to second order."""
    moving = np.flatnonzero(_on_curve(classes, groups))
    if not moving.size:
        return 0.0
    some = Groups(*(x[moving] for x in groups))
    near = [
        classes.capacity(places(classes, some, log_price + x).s)
        for x in (-_DIFFERENCE, _DIFFERENCE)
    ]
    steep = np.abs(near[1] - near[0]) / (2 * _DIFFERENCE)
    value, c = np.full(moving.size, np.nan), capacity[moving]
    for k, law in enumerate(classes.laws):
        here = np.flatnonzero(classes.law[some.kind] == k)
        p = classes.p[some.kind[here]]
        names = best_known(p, c[here], max_coupling=cap, amplitude=law).family
        for name, family in CURVES.items():
            one = names == name
            at = here[one]
            if at.size:
                value[at] = family.reading(law, p[one], family.noise(c[at])).value
    # Next to p = 0 values are 0 to rounding, and so is what could be gained.
    known = value > 0
    off = np.zeros(moving.size)
    off[known] = np.log(value[known] * classes.importance[some.kind[known]]) - log_price
    return float(np.exp(log_price) * (some.number @ (steep * off**2)))


def _wrong(classes: Classes, groups: Groups, capacity: Array, loss: Array, cap: float) -> float:
    """The largest relative error of interpolated losses in a sample of those that lose most."""
    lost = groups.number * classes.importance[groups.kind] * loss
    superposed = np.flatnonzero((capacity > 0) & (capacity < 1) & (lost > 0))
    if not superposed.size:
        return 0.0
    order = superposed[np.argsort(classes.p[groups.kind[superposed]], kind="stable")]
    sums = np.cumsum(lost[order])
    at = (np.arange(_COMPARED) + 0.5) / _COMPARED * sums[-1]
    some = np.unique(order[np.minimum(np.searchsorted(sums, at), order.size - 1)])
    exact = _exactly(classes, groups.kind[some], capacity[some], cap)
    return float(np.max(np.abs(loss[some] / exact - 1)))
