"""Allocation to very many classes of features: a price from some of them, then from all."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .._check import Array
from .capacity_curves import ALONE
from .choosing import Prices, filled
from .family import Reading
from .sharing import Classes, Groups, best, capacity_at, ends, noise

# The price is found for so many classes first, then for all, to this part of the capacities.
_SOME, _TRIES, _CLOSE = 4096, 24, 1e-6
_FIRST, _FOUND = 1e-3, 1e-10
# How capacities move with the price is judged by a price this far away.
_NEAR = 0.01
_EVEN = 1e-13
# Interpolated losses are compared with exact ones at twice so many features.
_COMPARED = 24


class Shares(NamedTuple):
    """Groups of features, with noise, capacity and decoder of each; a dual value and its price."""

    groups: Groups
    s: Array
    capacity: Array
    reading: Reading
    dual: float
    price: float


def share(classes: Classes, n_dense: float, *, exact: bool) -> Shares:
    """Capacities that add up to `n_dense`, and their losses: exact ones, or interpolated."""
    prices = _prices(classes, n_dense)
    groups, free = filled(classes, n_dense, prices)
    if free is not None:
        last = int(best(classes, prices.high).piece[free])
        more = zip(groups, (free, 1, last), strict=True)
        groups = Groups(*(np.append(x, y) for x, y in more))
    log_price = (prices.low + prices.high) / 2
    price, weight = float(np.exp(log_price)), classes.importance[groups.kind]
    s = _exactly(classes, groups, noise(classes, groups, log_price), n_dense)
    less = classes.capacity(noise(classes, groups, log_price + _NEAR))
    if exact:
        reading = classes.reading(groups.kind, s)
        with np.errstate(divide="ignore", invalid="ignore"):
            off = np.log(reading.value * weight / price)
        # What each could gain, to second order: twice that, to be below.
        gain = price * np.abs(classes.capacity(s) - less) / _NEAR * np.nan_to_num(off) ** 2
        hidden = float(groups.number @ gain)
    else:
        reading, wrong = _interpolated(classes, groups, s, log_price)
        hidden = wrong * float((groups.number * weight) @ reading.loss)
    value = float((groups.number * weight) @ reading.loss)
    return Shares(groups, s, classes.capacity(s), reading, value - hidden, price)


def _prices(classes: Classes, n_dense: float) -> Prices:
    """Prices at which all together use more than n_dense hidden units, and less, or nearly."""
    few = _part(classes)
    low, high = ends(classes)
    while high - low > _FOUND * max(1.0, abs(low)):
        middle = (low + high) / 2
        low, high = (middle, high) if _used(few, middle) > n_dense else (low, middle)
    at, width = (low + high) / 2, _FIRST
    used = [max(_used(few, at + x), 1e-300) for x in (-width, width)]
    slope = min(float(np.log(used[1] / used[0])) / (2 * width), -0.1)
    low, high, before = -np.inf, np.inf, None
    for _ in range(_TRIES):
        off = float(np.log(max(_used(classes, at), 1e-300) / n_dense))
        low, high = (max(low, at), high) if off > 0 else (low, min(high, at))
        if abs(off) < _CLOSE or high - low < _FOUND * max(1.0, abs(at)):
            break
        if before is not None and (off - before[1]) * (at - before[0]) < 0:
            slope = (off - before[1]) / (at - before[0])
        before, to = (at, off), at - off / slope
        at = to if low < to < high else (low + high) / 2
    low, high = (at if not np.isfinite(x) else x for x in (low, high))
    if abs(off) < _CLOSE:
        low = high = at
    pieces = [best(classes, x).piece for x in (low, high)]
    return Prices(low, high, tuple(np.flatnonzero(pieces[0] != pieces[1]).tolist()))


def _part(classes: Classes) -> Classes:
    """Some of many classes, each for all between it and the next, in their order."""
    count, variance = classes.count, classes.variance * classes.importance
    # As many of those that are common and of those that matter.
    weight = sum(count * x / (count @ x) for x in (np.ones_like(variance), variance, variance**0.5))
    steps = np.cumsum(weight) * (_SOME / 3)
    start = np.unique(np.concatenate([[0], 1 + np.flatnonzero(np.diff(np.floor(steps)) > 0)]))
    names = ("law", "p", "importance", "variance", "mean", "row")
    middle = (start + np.append(start[1:], count.size)) // 2
    parts = {name: getattr(classes, name)[middle] for name in names}
    return replace(classes, count=np.add.reduceat(count, start), **parts)


def _used(classes: Classes, log_price: float) -> float:
    return capacity_at(classes, best(classes, log_price), log_price)


def _exactly(classes: Classes, groups: Groups, s: Array, n_dense: float) -> Array:
    """All noise but none and infinite in another scale, for capacities to add up."""
    moving, number = (s > 0) & np.isfinite(s), groups.number
    rest = n_dense - float(number[~moving] @ classes.capacity(s[~moving]))
    some, count, inverse = np.sinh(s[moving]) ** 2, number[moving], classes.family.inverse
    scale = 1.0
    for _ in range(60):
        c = 1 / (inverse + scale * some)
        off = float(count @ c) - rest
        if abs(off) <= _EVEN * n_dense:
            break
        scale += off / float(count @ (c * c * some))
    found = s.copy()
    found[moving] = np.arcsinh(np.sqrt(scale * some))
    return found


def _interpolated(
    classes: Classes, groups: Groups, s: Array, log_price: float
) -> tuple[Reading, float]:
    """Losses and decoders from the table, and the relative error of losses in a sample."""
    table, row, mean = classes.table, classes.row[groups.kind], classes.mean[groups.kind]
    price = log_price - np.log(classes.importance[groups.kind])
    there = table.place(row, groups.piece, price)
    # Where s is not quite that of the table, a price is paid for the difference in capacity.
    less = classes.capacity(there.s) - classes.capacity(s)
    loss = there.loss + np.exp(price) * less
    a, b = table.decoder(row, groups.piece, price)
    dropped, alone = ~np.isfinite(s), s == ALONE
    a, b = np.where(dropped, 0.0, a), np.where(dropped, mean, b)
    a, b = np.where(alone, 1.0, a), np.where(alone, 0.0, b)
    curve = np.flatnonzero((s >= 0) & np.isfinite(s))
    wrong = 0.0
    if curve.size:
        # Evenly over all, and those that lose most.
        evenly = curve[np.linspace(0, curve.size - 1, _COMPARED).astype(np.intp)]
        weight = groups.number * classes.importance[groups.kind]
        most = curve[np.argsort(-(weight * loss)[curve])[:_COMPARED]]
        some = np.union1d(evenly, most)
        exact = classes.reading(groups.kind[some], s[some]).loss
        each = weight[some]
        total = float(each @ exact)
        wrong = float(each @ np.abs(loss[some] - exact)) / total if total else 0.0
    return Reading(a, b, loss, np.full(s.shape, np.nan)), wrong
