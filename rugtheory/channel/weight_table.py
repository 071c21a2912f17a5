r"""Tables over the weight w of log E e^{swx}, for sums over many rows of weights at once.

For a feature that is on with odds o = p/(1-p), the transform of a term over the probability that
it is off is 1 + o E e^{swu}.  Its logarithm over o is a smooth function of w and o at every node s
of a contour, kept here as polynomials in both.  A sum over the terms of a row is then linear in the
sums of powers of its weights in each bin, and all rows, at all nodes, are one product of two
matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude, Complex
from .terms import log1p

# Coefficients of a polynomial in w, and at most in o.
ORDER, _MOST_IN_ODDS = 8, 12
# From here on bins are in the logarithm of w, and half of one is so long.
_FAR, _LOG_HALF = 10.0, 0.3
_BINS_AT_ONCE = 32
# The error of a fit at Chebyshev's nodes is largest about cos(πk/ORDER) at these k.
_CHECKS = np.array([0.0, 3.0, 5.0, 8.0])
# Error aimed at for polynomials in o, and that of a bin of which there is none.
_IN_ODDS, _NEVER = 1e-11, 1e200
# 1 + o E e^{swu} keeps away from 0 where o E e^{wu Re s} is below this.
_REGULAR = 0.9
_MOST_GROWTH = 200.0


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

    def weights(self, k: Array, x: Array) -> Array:
        """Where a bin and a place in it are."""
        z, edge = np.asarray(k + (x + 1) / 2), self._far
        size = np.maximum(np.abs(z), edge)
        far = np.sign(z) * edge * np.exp(np.minimum((size - edge) * _LOG_BIN, _MOST_GROWTH))
        return np.asarray(2 * self.half * np.where(np.abs(z) < edge, z, far))

    def stretch(self, k: NDArray[np.int64], w: Array) -> Array:
        """dw/dx at weights in bins k."""
        near = (k >= -self._far) & (k < self._far)
        return np.where(near, self.half, np.abs(w) * (_LOG_BIN / 2))


_LOG_BIN = 2 * _LOG_HALF


@lru_cache(maxsize=64)
def _fit(order: int) -> tuple[Array, Array]:
    """Chebyshev's nodes, and what makes coefficients of powers of values there."""
    x = chebyshev.chebpts1(order)
    return x, np.asarray(np.linalg.inv(np.vander(x, increasing=True)), float)


class MomentTable:
    """E e^{asu} and E u e^{asu} as polynomials in a, at the nodes of a contour.

    Bins are filled when they are asked for.
    """

    def __init__(self, law: Amplitude, nodes: Complex, axis: Axis) -> None:
        self.law, self.nodes, self.axis = law, nodes, axis
        self._known: dict[int, tuple[Complex, Array]] = {}

    def __call__(self, a: Array, *, slope: bool = False) -> tuple[Complex, Array]:
        """Both, shape (2, m, nodes), and their errors; with `slope`, E u² e^{asu} as a third."""
        found = np.empty((2 + slope, a.size, self.nodes.size), np.complex128)
        error = np.empty((2, a.size, self.nodes.size))
        bins, x = self.axis.place(a)
        for k in np.unique(bins):
            at = np.flatnonzero(bins == k)
            if int(k) not in self._known:
                self._known[int(k)] = self._filled(float(k))
            coefficients, inexact = self._known[int(k)]
            powers = np.vander(x[at], ORDER, increasing=True)
            found[:2, at] = powers @ coefficients
            error[:, at] = inexact[:, None]
            if slope:
                # d/da of E u e^{asu} is s E u² e^{asu}.
                steps = powers[:, :-1] * np.arange(1, ORDER)
                stretch = self.axis.stretch(bins[at], a[at])[:, None]
                found[2, at] = steps @ coefficients[1, 1:] / (stretch * self.nodes)
        return found, error

    def _filled(self, k: float) -> tuple[Complex, Array]:
        """Coefficients, shape (2, ORDER, nodes), and errors, shape (2, nodes)."""
        x, to_powers = _fit(ORDER)
        coefficients = np.asarray(to_powers @ self._values(k, x), np.complex128)
        checks = np.cos(np.pi * _CHECKS / ORDER)
        fitted = np.vander(checks, ORDER, increasing=True) @ coefficients
        error = 2 * np.abs(fitted - self._values(k, checks)).max(axis=1)
        bad = ~np.isfinite(error).all(axis=0)
        coefficients[:, :, bad], error[:, bad] = 0.0, _NEVER
        return coefficients, error

    def _values(self, k: float, x: Array) -> Complex:
        a = self.axis.weights(np.full(x.size, k), x)
        t = np.multiply.outer(a, self.nodes)
        outside = (t.real > 0.95 * self.law.abscissa) | (t.real < 0.95 * self.law.least_abscissa)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = np.stack([self.law.transform(t, order) for order in (0, 1)])
        found[:, outside] = np.nan
        return found


@dataclass(frozen=True)
class OddsRange:
    """Polynomials in the odds between the least and the most."""

    least: float
    most: float
    order: int

    @classmethod
    def of(cls, odds: Array) -> OddsRange:
        least, most = float(odds.min()), float(odds.max())
        if most - least <= 1e-15 * most:
            return cls(most, most, 1)
        # log(1 + z o)/o with |z| ≤ 2 has its branch point at -½ at least.
        half = (most - least) / 2
        distance = (0.5 + least + half) / half
        rate = distance + np.sqrt(distance**2 - 1)
        order = int(np.ceil(-np.log(_IN_ODDS) / np.log(rate)))
        return cls(least, most, min(max(order, 2), _MOST_IN_ODDS))

    @property
    def nodes(self) -> tuple[Array, Array]:
        """Where to fit, and what makes coefficients of powers of values there."""
        x, to_powers = _fit(self.order)
        return self._odds(x), to_powers

    @property
    def checks(self) -> Array:
        if self.order == 1:
            return np.array([self.most])
        return self._odds(np.array([-1.0, np.cos(np.pi * (self.order // 2) / self.order), 1.0]))

    def _odds(self, x: Array) -> Array:
        return (self.least + self.most) / 2 + (self.most - self.least) / 2 * x

    def powers(self, odds: Array) -> Array:
        """Shape (odds, order)."""
        half = (self.most - self.least) / 2
        x = (odds - (self.least + self.most) / 2) / half if half else 0 * odds
        return np.vander(x, self.order, increasing=True)


class WeightTable:
    """log(1 + o E e^{swu})/o for the features of one amplitude law, at some nodes s.

    Bins are filled when they are asked for.

    Parameters
    ----------
    law : Amplitude
    odds : OddsRange
        Of all its features.
    nodes : ndarray of complex
    axis : Axis
    """

    def __init__(self, law: Amplitude, odds: OddsRange, nodes: Complex, axis: Axis) -> None:
        self.law, self.range, self.nodes, self.axis = law, odds, nodes, axis
        self._known: dict[int, tuple[Array, Array]] = {}
        self._asked: tuple[bytes, Array, Array] = (b"", np.empty(0), np.empty(0))

    def __call__(self, bins: NDArray[np.int64]) -> tuple[Array, Array]:
        """Coefficients, shape (orders · bins, 2 nodes), real parts first, and errors.

        The errors are of log(…)/o, shape (bins, nodes).
        """
        key = bins.tobytes()
        if key != self._asked[0]:
            new = [k for k in bins.tolist() if k not in self._known]
            for start in range(0, len(new), _BINS_AT_ONCE):
                self._fill(new[start : start + _BINS_AT_ONCE])
            found = [self._known[k] for k in bins.tolist()]
            coefficients = np.stack([x for x, _ in found], axis=1)
            errors = np.stack([x for _, x in found])
            self._asked = key, coefficients.reshape(-1, 2 * self.nodes.size), errors
        return self._asked[1], self._asked[2]

    def _fill(self, bins: list[int]) -> None:
        k = np.array(bins, float)[:, None]
        x, to_powers = _fit(ORDER)
        odds, to_odds_powers = self.range.nodes
        # Products of real matrices: of complex arrays as pairs of numbers.
        values = self._log(self.axis.weights(k, x), odds).view(float)
        found = to_powers @ np.tensordot(to_odds_powers, values, (1, 0))
        x, odds = np.cos(np.pi * _CHECKS / ORDER), self.range.checks
        fitted = np.vander(x, ORDER, increasing=True) @ found
        fitted = np.tensordot(self.range.powers(odds), fitted, (1, 0))
        gap = fitted.view(np.complex128) - self._log(self.axis.weights(k, x), odds)
        error = 2 * np.abs(gap).max(axis=(0, 2))
        bad = ~np.isfinite(error) | ~self._regular(k)
        error[bad] = _NEVER
        # Orders of odds and of w first, then bins, then real parts and imaginary ones.
        both = np.moveaxis(found, 1, 2)
        both = np.concatenate([both[..., ::2], both[..., 1::2]], axis=3)
        both[:, :, np.concatenate([bad, bad], axis=1)] = 0.0
        both = both.reshape(-1, len(bins), 2 * self.nodes.size)
        for j, one in enumerate(bins):
            self._known[one] = both[:, j].copy(), error[j].copy()

    def _log(self, w: Array, odds: Array) -> Complex:
        """Shape (odds, *w.shape, nodes)."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            mgf = self.law.transform(np.multiply.outer(w, self.nodes), 0)
            return np.stack([log1p(np.asarray(o * mgf, np.complex128)) / o for o in odds])

    def _regular(self, k: Array) -> NDArray[np.bool_]:
        """Where the logarithm has no branch points; shape (bins, nodes).

        Next to them, where o E e^{wu Re s} is not below 1; none on the real axis.
        """
        law, ends = self.law, self.axis.weights(k, np.array([-1.0, 1.0]))
        t = np.multiply.outer(ends, self.nodes.real)
        inside = (t < 0.9 * law.abscissa) & (t > 0.9 * law.least_abscissa)
        inside &= t * law.extent < _MOST_GROWTH
        if law.start < 0:
            inside &= t * law.extent > -_MOST_GROWTH
        real, back = np.unique(np.where(inside, t, 0.0), return_inverse=True)
        growth = self.range.most * law.transform(real.astype(complex), 0).real
        apart = (growth < _REGULAR)[back].reshape(t.shape) | (self.nodes.imag == 0)
        return np.asarray(np.all(inside & apart, axis=1), np.bool_)


@dataclass(frozen=True)
class Spread:
    """Weights of some rows and of the features of one table, taken apart into bins.

    Attributes
    ----------
    bins : ndarray of int, shape (u,)
        Those that any of the weights is in.
    place : ndarray of int, shape (rows · columns,)
        Row times u plus the index of the bin.
    x : ndarray, same shape
        Where in the bin.
    by_odds : ndarray, shape (order, rows · columns)
        Odds times powers of the odds; 0 for weights that are left out.
    rows : int
    """

    bins: NDArray[np.int64]
    place: NDArray[np.int64]
    x: Array
    by_odds: Array
    rows: int

    @classmethod
    def of(
        cls, w: Array, left_out: NDArray[np.bool_], axis: Axis, odds: Array, within: OddsRange
    ) -> Spread:
        """`w` and `left_out` of shape (rows, columns), `odds` of the columns."""
        k, x = axis.place(w)
        low = int(k.min())
        k -= low
        there = np.bincount(k.ravel())
        used = np.flatnonzero(there)
        index = np.zeros(there.size, np.int64)
        index[used] = np.arange(used.size)
        place = index[k] + used.size * np.arange(len(w))[:, None]
        powers = odds * within.powers(odds).T
        by_odds = np.where(left_out, 0.0, powers[:, None, :]).reshape(len(powers), -1)
        return cls(used + low, place.ravel(), x.ravel(), by_odds, len(w))

    def sums(self) -> Array:
        """Of powers in each bin, shape (rows, orders · bins)."""
        size = self.rows * self.bins.size
        found = np.empty((self.rows, len(self.by_odds) * ORDER, self.bins.size))
        for c, column in enumerate(self.by_odds):
            power = column.copy()
            for m in range(ORDER):
                one = np.bincount(self.place, power, size)
                found[:, c * ORDER + m] = one.reshape(self.rows, -1)
                power *= self.x
        return found.reshape(self.rows, -1)

    def stretch(self, w: Array, axis: Axis) -> Array:
        """dw/dx at the weights that were taken apart, shape (rows, columns)."""
        return axis.stretch(self.bins[self.place % self.bins.size].reshape(w.shape), w)

    def slopes(self, sensitivity: Array) -> Array:
        """From sensitivities to `sums` those to x, shape (rows, columns)."""
        by_row = sensitivity.reshape(self.rows, -1, self.bins.size)
        table = by_row.swapaxes(0, 1).reshape(by_row.shape[1], -1)
        total = np.zeros_like(self.x)
        for c, column in enumerate(self.by_odds):
            slope = (ORDER - 1) * table[(c + 1) * ORDER - 1][self.place]
            for m in range(ORDER - 2, 0, -1):
                slope *= self.x
                slope += m * table[c * ORDER + m][self.place]
            slope *= column
            total += slope
        return total.reshape(self.rows, -1)
