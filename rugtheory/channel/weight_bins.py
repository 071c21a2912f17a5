"""Weights of rows taken apart into bins, and sums of their powers in each, with those of odds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy import special

from .._check import Array

# Half a bin near zero, in phase at the highest node, and coefficients of polynomials in w there.
HALF_PHASE, ORDER = 0.9, 8
# At most so many coefficients of polynomials in the odds, and the error aimed at.
_MOST_IN_ODDS, _IN_ODDS = 12, 1e-7
# Contours keep the odds times E e^{swu} below this; and E e^{swu} where odds differ.
REGULAR, LOUD = 0.8, 2.5
# From this part of a height on integrands fall.
_FALLS = 0.1
# From here on bins are in the logarithm of w, so long each.
_FAR, _LOG_BIN = 10.0, 0.6
_MOST_GROWTH = 200.0
# Bins that are taken together: few of them change from one model to the next.
GROUP = 8
# Weights whose slopes are taken at a time.
_CHUNK = 2**14


@dataclass(frozen=True)
class Axis:
    """Weights in bins, in units of a row: equal ones up to _FAR, in proportion to w beyond.

    Attributes
    ----------
    half : float
        Half the width of a bin near zero.
    """

    half: float

    @property
    def _far(self) -> int:
        return int(np.ceil(_FAR / (2 * self.half)))

    def place(self, w: Array) -> tuple[NDArray[np.int64], Array]:
        """The bin of each weight, and where in it, from -1 to 1."""
        z = w / (2 * self.half)
        edge = self._far
        if z.size and max(-z.min(), z.max()) >= edge:
            size = np.maximum(np.abs(z), edge)
            z = np.where(np.abs(z) < edge, z, np.sign(z) * (edge + np.log(size / edge) / _LOG_BIN))
        k = np.floor(z)
        x = 2 * (z - k) - 1
        return k.astype(np.int64), x

    def weights(self, k: Array, x: Array, *, beyond: bool = False) -> Array:
        """Where a bin and a place in it are; as if all bins were equal with `beyond`."""
        z, edge = np.asarray(k + (x + 1) / 2), self._far
        if beyond:
            return np.asarray(2 * self.half * z)
        size = np.maximum(np.abs(z), edge)
        far = np.sign(z) * edge * np.exp(np.minimum((size - edge) * _LOG_BIN, _MOST_GROWTH))
        return np.asarray(2 * self.half * np.where(np.abs(z) < edge, z, far))

    def near(self, k: int) -> bool:
        """Whether a bin is one of equal ones."""
        return -self._far <= k < self._far

    def stretch(self, k: NDArray[np.int64], w: Array) -> Array:
        """dw/dx at weights in bins k."""
        near = (k >= -self._far) & (k < self._far)
        return np.where(near, self.half, np.abs(w) * (_LOG_BIN / 2))


@lru_cache(maxsize=64)
def chebyshev_fit(order: int) -> tuple[Array, Array]:
    """What makes coefficients of T_k of values at Chebyshev's nodes, and of powers of those."""
    fit = np.linalg.inv(chebyshev.chebvander(chebyshev.chebpts1(order), order - 1))
    powers = np.zeros((order, order))
    for k in range(order):
        powers[: k + 1, k] = chebyshev.cheb2poly(np.eye(order)[k, : k + 1])
    return np.asarray(fit, float), powers


@lru_cache(maxsize=64)
def taken_apart(size: int, orders: tuple[int, ...], degrees: tuple[int, ...]) -> tuple[Array, ...]:
    """Chebyshev's polynomials over a group of equal bins as polynomials in each of them.

    The first `degrees` of `size`, as `orders` powers of the place in a bin: for each power of the
    odds, shape (order · GROUP, degree).
    """
    fit, powers = chebyshev_fit(ORDER)
    place = (2 * np.arange(GROUP)[:, None] + 1 + chebyshev.chebpts1(ORDER)) / GROUP - 1
    found = (powers @ fit @ chebyshev.chebvander(place, size - 1)).swapaxes(0, 1)
    return tuple(
        found[:order, :, :degree].reshape(-1, degree)
        for order, degree in zip(orders, degrees, strict=True)
    )


@dataclass(frozen=True)
class OddsRange:
    """Polynomials in the odds between the least and the most, and in the place in a bin.

    Attributes
    ----------
    least, most : float
    orders : tuple of int
        How many powers of the place go with each power of the odds: fewer with higher ones.
    """

    least: float
    most: float
    orders: tuple[int, ...]

    @classmethod
    def of(cls, odds: Array) -> OddsRange:
        least, most = float(odds.min()), float(odds.max())
        if most - least <= 1e-15 * most:
            return cls(most, most, (ORDER,))
        rate = _rate(least, most)
        # With a power of the odds goes one of E e^{swu} of one more.  In a bin that of order c has
        # a term of order m in the place of about (cφ)^m/(2^m m!), φ in proportion to s, and what is
        # integrated falls like s⁻³.
        m, y = np.arange(ORDER), np.linspace(0.02, 1, 50)[:, None]
        falls = 2 * np.minimum((_FALLS / y) ** 3, 1)
        orders = [ORDER]
        while len(orders) < _MOST_IN_ODDS and rate ** -len(orders) > _IN_ODDS:
            phase = HALF_PHASE / 2 * (len(orders) + 1) * y
            terms = np.max(falls * phase**m / special.factorial(m), axis=0)
            some = int(np.sum(terms * rate ** -len(orders) > _IN_ODDS))
            orders.append(min(max(some, 1), orders[-1]))
        return cls(least, most, tuple(orders))

    @lru_cache(maxsize=64)  # noqa: B019, of a value
    def degrees(self, size: int, extent: float) -> tuple[int, ...]:
        """How many of `size` polynomials over a group go with each power of the odds.

        As `orders`, where the term of order m has Bessel's J_m(cφ) of the phase of a group.
        """
        found, m, y = [size], np.arange(size), np.linspace(0.02, 1, 50)[:, None]
        falls = 2 * np.minimum((_FALLS / y) ** 3, 1)
        for c in range(1, len(self.orders)):
            phase = HALF_PHASE * GROUP * extent * (c + 1) * y
            terms = np.max(falls * np.abs(special.jv(m, phase)), axis=0)
            seen = np.flatnonzero(terms * _rate(self.least, self.most) ** -c > _IN_ODDS)
            found.append(int(seen.max(initial=0)) + 1)
        return tuple(found)

    @property
    def nodes(self) -> Array:
        """Odds at which to fit."""
        return self._odds(np.asarray(chebyshev.chebpts1(len(self.orders))))

    @property
    def checks(self) -> Array:
        """Odds at which the error of a fit is large."""
        size = len(self.orders)
        if size == 1:
            return np.array([self.most])
        return self._odds(np.array([-1.0, np.cos(np.pi * (size // 2) / size), 1.0]))

    def _odds(self, y: Array) -> Array:
        return (self.least + self.most) / 2 + (self.most - self.least) / 2 * y

    def powers(self, odds: Array) -> Array:
        """Of where they lie in the range, shape (odds, size)."""
        half = (self.most - self.least) / 2
        y = (odds - (self.least + self.most) / 2) / half if half else 0 * odds
        return np.vander(y, len(self.orders), increasing=True)

    @property
    def columns(self) -> list[tuple[int, int]]:
        """The powers that there are, of odds and of places."""
        return [(c, m) for c, order in enumerate(self.orders) for m in range(order)]

    def products(self, odds: Array, x: Array) -> Array:
        """Of those powers, shape (odds · places, columns)."""
        both = np.kron(self.powers(odds), np.vander(x, ORDER, increasing=True))
        return np.asarray(both[:, [c * ORDER + m for c, m in self.columns]])

    @property
    def fit(self) -> Array:
        """What makes coefficients of powers of the odds of values at `nodes`."""
        fit, powers = chebyshev_fit(len(self.orders))
        return powers @ fit


def _rate(least: float, most: float) -> float:
    """By which terms of log(1 + z o)/o fall: its branch point is beyond -1/|z|."""
    half, edge = (most - least) / 2, 1 / min(LOUD, REGULAR / most)
    distance = (edge + least + half) / half
    return float(distance + np.sqrt(distance**2 - 1))


@dataclass(frozen=True)
class Spread:
    """Weights of some rows and of the features of one table, taken apart into bins.

    Attributes
    ----------
    bins : ndarray of int, shape (u,)
        Those that any of the weights is in, and the others of their groups.
    place : ndarray of int, shape (rows · columns,)
        Row times u plus the index of the bin; rows times u for weights that are left out.
    x : ndarray, same shape
        Where in the bin.
    odds : ndarray, shape (size, columns)
        Odds times powers of the odds.
    within : OddsRange
    rows : int
    near : bool
        Whether no weight is beyond the equal bins.
    """

    bins: NDArray[np.int64]
    place: NDArray[np.int64]
    x: Array
    odds: Array
    within: OddsRange
    rows: int
    near: bool

    @classmethod
    def of(
        cls, w: Array, left_out: NDArray[np.bool_], axis: Axis, odds: Array, within: OddsRange
    ) -> Spread:
        """`w` and `left_out` of shape (rows, columns), `odds` of the columns."""
        k, x = axis.place(w)
        low, high = int(k.min()), int(k.max())
        first = low // GROUP
        k -= first * GROUP
        there = np.bincount(k.ravel(), minlength=GROUP * (high // GROUP - first + 1))
        used = np.flatnonzero(there.reshape(-1, GROUP).any(axis=1).repeat(GROUP))
        place = k
        if used.size < there.size:
            index = np.zeros(there.size, np.int64)
            index[used] = np.arange(used.size)
            place = index[k]
        place += used.size * np.arange(len(w))[:, None]
        place[left_out] = used.size * len(w)
        powers = (odds[:, None] * within.powers(odds)).T
        near = axis.near(low) and axis.near(high)
        return cls(used + first * GROUP, place.ravel(), x.ravel(), powers, within, len(w), near)

    def sums(self) -> Array:
        """Of powers in each bin, shape (rows, columns of `within`, bins)."""
        size, bins = self.rows * self.bins.size, self.bins.size
        found = np.empty((self.rows, len(self.within.columns), bins))
        if len(self.within.orders) == 1:
            power = None
            for m in range(ORDER):
                if m:
                    power = self.x.copy() if power is None else np.multiply(power, self.x, power)
                one = np.bincount(self.place, power, size + 1)[:size].reshape(self.rows, bins)
                np.multiply(one, self.odds[0, 0], out=found[:, m])
            return found
        # Products with a sparse matrix of one entry for each weight take all powers of the odds.
        columns = self.odds.shape[1]
        place, x = (z.reshape(self.rows, columns).T.ravel() for z in (self.place, self.x))
        ends = np.arange(0, place.size + 1, self.rows)
        power = np.ones(place.size)
        for m in range(ORDER):
            powers = [c for c, order in enumerate(self.within.orders) if order > m]
            entries = scipy.sparse.csc_array((power, place, ends), shape=(size + 1, columns))
            one = entries @ np.ascontiguousarray(self.odds[powers].T)
            at = [self.within.columns.index((c, m)) for c in powers]
            found[:, at] = one[:size].reshape(self.rows, bins, -1).swapaxes(1, 2)
            power *= x
        return found

    def stretch(self, w: Array, axis: Axis) -> Array | float:
        """dw/dx at the weights that were taken apart, shape (rows, columns)."""
        if self.near:
            return axis.half
        return axis.stretch(axis.place(w)[0], w)

    def slopes(self, sensitivity: Array) -> Array:
        """From sensitivities to `sums`, of their shape, those to x, shape (rows, columns)."""
        size = self.rows * self.bins.size
        table = np.zeros((len(self.within.columns), size + 1))
        table[:, :size].reshape(-1, self.rows, self.bins.size)[...] = sensitivity.swapaxes(0, 1)
        table *= np.array([m for _, m in self.within.columns], float)[:, None]
        columns = self.x.size // self.rows
        total = np.zeros((self.rows, columns))
        # As many rows at a time as stay in the caches.
        step = max(1, _CHUNK // columns)
        for start in range(0, self.rows, step):
            some = slice(start * columns, (start + step) * columns)
            x, place, at = self.x[some], self.place[some], len(table)
            for odds, order in zip(self.odds[::-1], self.within.orders[::-1], strict=True):
                at -= order
                if order == 1:
                    continue
                slope = np.take(table[at + order - 1], place, mode="clip")
                for m in range(order - 2, 0, -1):
                    slope *= x
                    slope += np.take(table[at + m], place, mode="clip")
                times = slope.reshape(-1, columns)
                times *= odds
                total[start : start + step] += times
        return total
