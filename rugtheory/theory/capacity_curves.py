r"""Losses of features against capacity, sampled, with their lower convex hulls.

A curve is cut into pieces by the chords of its hull.  On a piece the value V of more capacity rises
as capacity falls, up to where it turns; what is best at a price μ of capacity, min L + μ c, lies on
the piece between the slopes of the chords at its ends, and there has V = μ.  The first piece may be
the one point (1, 0), the last is (0, v), the feature dropped.

Curves are numbered by rows, one for each p of a grid.  Features between rows are interpolated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from .family import LEAST_S, Family

Indices = NDArray[np.intp]

_DENSE = 1536
# Capacities are looked at down to this part of p.
_LEAST = 0.1
# More samples than these between two points of a hull are a chord, fewer are rounding.
_GAP = 6
# Logarithms of V that differ by more than this from the largest are of no account.
_DEEP = 1000.0
# What stands for s of a feature dropped, and of one alone where no end of the curve is that.
ALONE, DROPPED = -1.0, np.inf
# Apart from all logarithms of V there are.
_APART = 4096.0


class Piece(NamedTuple):
    """log V, rising, s and losses; of one point: `ALONE` or `DROPPED`."""

    key: Array
    s: Array
    loss: Array


@dataclass(frozen=True, eq=False)
class Curve:
    """One row: dense samples, pieces, and the chords between these.

    Attributes
    ----------
    s, loss, key : ndarray
        Noise, loss and log V of the samples, s rising; losses are integrals of V.
    level, a, b : ndarray
        Losses, diagonals and biases as they are interpolated themselves.
    pieces : tuple of Piece
    chords : ndarray
        log of the slope of each chord, rising, one less than pieces.
    """

    s: Array
    loss: Array
    key: Array
    level: Array
    a: Array
    b: Array
    pieces: tuple[Piece, ...]
    chords: Array

    def losses(self, family: Family, capacity: Array) -> Array:
        """Interpolated losses at capacities in [0, 1], those between c₀ and 1 on a chord."""
        quiet = 1 / family.inverse
        s = np.minimum(family.noise(np.clip(capacity, 1e-300, quiet)), self.s[-1])
        step = self.s[1]
        left = np.minimum((s / step).astype(int), self.s.size - 2)
        t = s / step - left
        y0, y1 = self.loss[left], self.loss[left + 1]
        d0, d1 = (-np.exp(self.key[k]) * family.slope(self.s[k]) * step for k in (left, left + 1))
        bend = (1 - t) * t * ((1 - t) * (d0 - (y1 - y0)) + t * (y1 - y0 - d1))
        loss = y0 + t * (y1 - y0) + bend
        end = float(family.capacity(self.s[-1:])[0])
        variance = float(self.pieces[-1].loss[0])
        below = variance - (variance - self.loss[-1]) * capacity / end
        loss = np.where(capacity < end, below, loss)
        spare = (1 - capacity) / (1 - quiet) if quiet < 1 else np.ones_like(capacity)
        return np.asarray(loss * np.minimum(spare, 1.0))


# 512 curves take 40 MB.
@lru_cache(maxsize=8)
def curves_of(family: Family, amplitude: Amplitude, p: tuple[float, ...]) -> tuple[Curve, ...]:
    """Curves of features of one law, a row for each p; they must vary."""
    q = np.array(p)[:, None]
    end = np.arccosh(np.sqrt(np.maximum(1 / (_LEAST * q) - family.inverse + 1, 1.1)))
    t = np.linspace(0, 1, family.samples(amplitude)) ** 1.5
    s = np.maximum(end * t, LEAST_S)
    reading = family.reading(amplitude, *np.broadcast_arrays(q, s))
    top = np.log(reading.value.max(axis=1, keepdims=True))
    with np.errstate(divide="ignore"):
        key = np.maximum(np.log(reading.value), top - _DEEP)
    dense = np.linspace(0, 1, _DENSE)
    part = family.missing(s) if family.inverse == 1 else np.ones_like(s)
    with np.errstate(divide="ignore"):
        level = np.maximum(np.log(reading.loss / part), top - _DEEP)
    level = np.exp(scipy.interpolate.CubicSpline(t, level, axis=1)(dense))
    key, a, b = (
        scipy.interpolate.PchipInterpolator(t, x, axis=1)(dense)
        for x in (key, reading.a, reading.b)
    )
    s = end * dense
    level *= family.missing(s) if family.inverse == 1 else 1.0
    # Integrated, losses are as convex as V is monotone.
    saved = scipy.integrate.cumulative_simpson(
        -np.exp(key) * family.slope(s), x=s, axis=1, initial=0
    )
    first = 0.0 if family.inverse == 1 else reading.loss[:, :1]
    loss = first + saved * ((reading.loss[:, -1:] - first) / saved[:, -1:])
    variance = SparseSource(np.array(p), amplitude).variance
    return tuple(
        _curve(family, s[k], loss[k], key[k], (level[k], a[k], b[k]), variance[k])
        for k in range(len(p))
    )


def _curve(
    family: Family, s: Array, loss: Array, key: Array, known: tuple[Array, ...], variance: float
) -> Curve:
    # The samples, and before them the feature alone if it is none of them, dropped after them;
    # lists, as arrays are many times slower where numbers are taken one at a time.
    before = 0 if family.inverse == 1 else 1
    capacity: list[float] = [1.0] * before + family.capacity(s).tolist() + [0.0]
    missing: list[float] = [0.0] * before + family.missing(s).tolist() + [1.0]
    losses: list[float] = [0.0] * before + loss.tolist() + [float(variance)]

    def rise(i: int, j: int) -> float:
        # Of capacities and what is missing to 1, those that are smaller have all their digits.
        few = capacity[i] < 0.5
        less = capacity[i] - capacity[j] if few else missing[j] - missing[i]
        return (losses[j] - losses[i]) / less

    hull = _lower_hull(len(missing), rise)
    pieces, chords, start = [], [], hull[0]
    for one, two in pairwise(hull):
        if two == len(missing) - 1 or one < before or two - one > _GAP:
            pieces.append(_piece(s, key, loss, start - before, one - before))
            chords.append(np.log(rise(one, two)))
            start = two
    pieces.append(Piece(np.zeros(1), np.array([DROPPED]), np.array([variance])))
    level, a, b = known
    return Curve(s, loss, key, level, a, b, tuple(pieces), np.array(chords))


def _piece(s: Array, key: Array, loss: Array, first: int, last: int) -> Piece:
    """Samples from `first` to `last`, and as far beyond as V goes on rising."""
    if last < 0:
        return Piece(np.zeros(1), np.array([ALONE]), np.zeros(1))
    first = max(first, 0)
    while last + 1 < s.size and key[last + 1] > key[last]:
        last += 1
    while first > 0 and key[first - 1] < key[first]:
        first -= 1
    some = slice(first, last + 1)
    return Piece(np.maximum.accumulate(key[some]), s[some], loss[some])


def _lower_hull(size: int, rise: Callable[[int, int], float]) -> list[int]:
    """Indices of the points on the lower convex hull, with `rise` the slope between two."""
    hull: list[int] = []
    for k in range(size):
        while len(hull) > 1 and rise(hull[-2], hull[-1]) >= rise(hull[-1], k):
            hull.pop()
        hull.append(k)
    return hull


class Place(NamedTuple):
    """Places on curves: the noise s, and the loss there."""

    s: Array
    loss: Array


class Table:
    """Pieces of many curves in one array, to look up many features at a time."""

    def __init__(self, family: Family, curves: list[Curve]) -> None:
        self.curves = curves
        pieces = [piece for curve in curves for piece in curve.pieces]
        counts = np.array([len(curve.pieces) for curve in curves])
        self.family, self.pieces = family, counts
        self.first: Indices = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp)
        self.chords = np.full((len(curves), int(counts.max()) - 1), np.inf)
        for k, curve in enumerate(curves):
            self.chords[k, : curve.chords.size] = curve.chords
        sizes = np.array([piece.key.size for piece in pieces])
        self.stop: Indices = np.cumsum(sizes)
        self.start: Indices = self.stop - sizes
        self.key, self.s, self.loss = (np.concatenate(x) for x in zip(*pieces, strict=True))
        self.lowest = float(min(self.key.min(), self.chords.min()))
        inner = np.where(np.isfinite(self.s), self.s, 0.0)
        self.slope = -np.exp(self.key) * family.slope(inner)  # dL/ds
        self.apart = self.key + _APART * np.repeat(np.arange(len(pieces)), sizes)

    def piece(self, row: Indices, price: Array) -> Indices:
        """The piece of each row that is best at prices, given by their logarithms.

        So many chords are below the price, by bisection: rows of the table are long, and many.
        """
        row, price = np.broadcast_arrays(row, price)
        last = self.chords.shape[1] - 1
        low, high = np.zeros(row.shape, np.intp), self.pieces[row] - 1
        for _ in range(int(self.pieces.max()).bit_length()):
            middle = (low + high) // 2
            below = (middle < high) & (self.chords[row, np.minimum(middle, last)] < price)
            low, high = np.where(below, middle + 1, low), np.where(below, high, middle)
        return low

    def noise(self, row: Indices, piece: Indices, price: Array) -> Array:
        """s of `place`."""
        return self.place(row, piece, price).s

    def decoder(self, row: Indices, piece: Indices, price: Array) -> tuple[Array, Array]:
        """a and b, interpolated, of features on a curve."""
        s, (a, b) = self.noise(row, piece, price), np.zeros((2, row.size))
        for k in np.unique(row):
            some, curve = row == k, self.curves[k]
            at = np.clip(s[some], curve.s[0], curve.s[-1])
            a[some], b[some] = np.interp(at, curve.s, curve.a), np.interp(at, curve.s, curve.b)
        return a, b

    def place(self, row: Indices, piece: Indices, price: Array) -> Place:
        """Where on these pieces V is the price, or the end that is nearest to it."""
        which = self.first[row] + piece
        low, high = self.start[which], self.stop[which] - 1
        price = np.clip(price, self.key[low], self.key[high])
        right = np.clip(np.searchsorted(self.apart, price + _APART * which), low, high)
        left = np.maximum(right - 1, low)
        width = self.key[right] - self.key[left]
        t = np.divide(price - self.key[left], width, out=np.ones_like(price), where=width > 0)
        point = left == right
        step = np.where(point, 0.0, self.s[right] - np.where(point, 0.0, self.s[left]))
        s = self.s[right] - np.where(point, 0.0, (1 - t) * step)
        # The cubic with the losses and slopes of both ends.
        y0, y1, d0, d1 = self.loss[left], self.loss[right], self.slope[left], self.slope[right]
        rise = y1 - y0
        bend = (1 - t) * t * ((1 - t) * (d0 * step - rise) + t * (rise - d1 * step))
        return Place(s, np.where(point, y1, y0 + t * rise + bend))
