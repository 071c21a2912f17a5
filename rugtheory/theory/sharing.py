"""Classes of features that share hidden units: what is best at a price of capacity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .._check import Array
from ..source.amplitude import Amplitude
from .capacity_curves import ALONE, Indices, Place, Table
from .family import Family, Reading
from .interpolated import InterpolatedTable

# Of the logarithm of a price, in differences, and where it is found.
_DIFFERENCE, _FOUND = 1e-4, 1e-13
_LONGEST = 0.3
_STEPS = 12
_CONVERGED = 1e-8


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes of equal features, arrays with an element each.

    Attributes
    ----------
    family : Family
    laws : tuple of Amplitude
    law : ndarray of int
        Index into `laws`.
    p, importance, variance, mean : ndarray
    count : ndarray of int
        Features in each.
    table : Table or InterpolatedTable
    row : ndarray of int
        Curve of each in `table`.
    """

    family: Family
    laws: tuple[Amplitude, ...]
    law: Indices
    p: Array
    importance: Array
    variance: Array
    mean: Array
    count: Indices
    table: Table | InterpolatedTable
    row: Indices

    def capacity(self, s: Array) -> Array:
        inner = np.isfinite(s) & (s != ALONE)
        c = self.family.capacity(np.where(inner, s, 0.0))
        return np.where(inner, c, np.where(s == ALONE, 1.0, 0.0))

    def reading(self, kind: Indices, s: Array) -> Reading:
        """Best decoders, losses and values of features of classes `kind` at `s`, exactly."""
        alone = s == ALONE
        a, b = np.where(alone, 1.0, 0.0), np.where(alone, 0.0, self.mean[kind])
        loss, value = np.where(alone, 0.0, self.variance[kind]), np.full(s.shape, np.nan)
        for which, law in enumerate(self.laws):
            on_curve = (self.law[kind] == which) & (s >= 0) & np.isfinite(s)
            for some, quiet in (
                (np.flatnonzero(on_curve & (s == 0)), True),
                (np.flatnonzero(on_curve & (s > 0)), False),
            ):
                if some.size:
                    p = self.p[kind[some]]
                    one = self.family
                    found = one.quiet(law, p) if quiet else one.reading(law, p, s[some])
                    a[some], b[some], loss[some], value[some] = found
        return Reading(a, b, loss, value)


class Groups(NamedTuple):
    """Features on pieces of the curves of their classes: `number` of class `kind` on `piece`."""

    kind: Indices
    number: Indices
    piece: Indices


@dataclass(frozen=True, eq=False)
class Shared:
    """Groups at a price, each at some s."""

    classes: Classes
    groups: Groups
    log_price: float
    s: Array

    @property
    def capacity(self) -> float:
        return float(self.groups.number @ self.classes.capacity(self.s))


def best(classes: Classes, log_price: float) -> Groups:
    """All features on the pieces that are best at a price."""
    every = np.arange(classes.p.size)
    piece = classes.table.piece(classes.row, log_price - np.log(classes.importance))
    return Groups(every, classes.count, piece)


def places(classes: Classes, groups: Groups, log_price: Array | float) -> Place:
    """Where the features of each group are at a price; a last axis of prices is broadcast."""
    kind, piece, price = np.broadcast_arrays(
        *(x[(...,) + (None,) * np.ndim(log_price)] for x in (groups.kind, groups.piece)),
        log_price - np.log(classes.importance)[groups.kind][(...,) + (None,) * np.ndim(log_price)],
    )
    found = classes.table.place(classes.row[kind], piece, price)
    return found


def noise(classes: Classes, groups: Groups, log_price: float) -> Array:
    """s of the features of each group at a price."""
    price = log_price - np.log(classes.importance[groups.kind])
    return classes.table.noise(classes.row[groups.kind], groups.piece, price)


def capacity_at(classes: Classes, groups: Groups, log_price: float) -> float:
    return float(groups.number @ classes.capacity(noise(classes, groups, log_price)))


def loss_at(classes: Classes, groups: Groups, log_price: float) -> float:
    loss = places(classes, groups, log_price).loss
    return float((groups.number * classes.importance[groups.kind]) @ loss)


def settled(classes: Classes, groups: Groups, n_dense: float) -> float:
    """log of the price at which groups on given pieces use `n_dense` hidden units, or nearly."""
    low, high = ends(classes)
    while high - low > _FOUND * max(1.0, abs(low)):
        middle = (low + high) / 2
        if capacity_at(classes, groups, middle) > n_dense:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def ends(classes: Classes) -> tuple[float, float]:
    """Logarithms of prices at which all have as much, and as little, as there is."""
    weight = np.log(classes.importance)
    chords = classes.table.chords
    top = np.where(np.isfinite(chords), chords, -np.inf).max(axis=1)[classes.row]
    return float(classes.table.lowest + weight.min() - 1), float((top + weight).max() + 1)


def exactly(shared: Shared, n_dense: float | None = None) -> Shared:
    """s, and with `n_dense` the price too, by Newton's method on exact values.

    Each group has I V(s) at the price; with `n_dense` capacities add up to that.
    """
    classes, groups = shared.classes, shared.groups
    s, log_price = shared.s.copy(), shared.log_price
    moving = np.flatnonzero((s > 0) & np.isfinite(s))
    if not moving.size:
        return shared
    kind, count = groups.kind[moving], groups.number[moving]
    some = Groups(kind, count, groups.piece[moving])
    weight = np.log(classes.importance)[kind]
    near = [places(classes, some, log_price + x).s for x in (-_DIFFERENCE, _DIFFERENCE)]
    width = near[1] - near[0]
    steep = np.where(width > 0, 2 * _DIFFERENCE / np.where(width > 0, width, 1.0), 1e6)
    last: tuple[Array, Array] | None = None
    for _ in range(_STEPS):
        at = s[moving]
        with np.errstate(divide="ignore"):
            off = np.log(classes.reading(kind, at).value) + weight - log_price
        off = np.nan_to_num(off, neginf=-_LONGEST)
        if last is not None:
            moved = at - last[0]
            secant = (off + log_price - last[1]) / np.where(moved != 0, moved, 1.0)
            good = (np.abs(moved) > 1e-9 * at) & (secant > 0.2 * steep) & (secant < 5 * steep)
            steep = np.where(good, secant, steep)
        last = at, off + log_price
        change = 0.0
        if n_dense is not None:
            slope = classes.family.slope(at)
            missing = n_dense - float(groups.number @ classes.capacity(s))
            change = (missing + float(count @ (slope * off / steep))) / float(
                count @ (slope / steep)
            )
        step = np.clip((change - off) / steep, -_LONGEST * at, _LONGEST * at)
        s[moving], log_price = at + step, log_price + change
        if np.abs(step).max() <= _CONVERGED * np.abs(at).max():
            break
    return replace(shared, log_price=log_price, s=s)
