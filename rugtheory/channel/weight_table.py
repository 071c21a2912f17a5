r"""Tables over the weight w of log E e^{swx}, for sums over many rows of weights at once.

For a feature that is on with odds o = p/(1-p), the transform of a term over the probability that
it is off is 1 + o E e^{swu}.  Its logarithm over o is a smooth function of w and o at every node s
of a contour, kept here as polynomials in both.  A sum over the terms of a row is then linear in the
sums of powers of its weights in each bin, and all rows, at all nodes, are one product of two
matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude, Complex
from .terms import log1p
from .weight_bins import GROUP, ORDER, Axis, OddsRange, chebyshev_fit, taken_apart
from .weight_groups import Group, Groups, Sums

_EPS = float(np.finfo(float).eps)
# The error of a fit at Chebyshev's nodes is largest about cos(πk/ORDER) at these k.
_CHECKS = np.array([0.0, 3.0, 5.0, 8.0])
# Values at so many places of a whole group of equal bins are enough for laws of so large values at
# most: those places have none of them near the ends of the bins, where errors are seen.
_WIDE, _ENDS = ((26, 1.2), (38, 2.2)), np.array([-1.0, 1.0])
# Phase at which values in a bin differ by far more than rounding.
_WIDE_PHASE = 0.2
# Error of a bin of which there is no polynomial.
_NEVER = 1e200
# Values in a bin for which a polynomial takes less than each of them.
_PAYS = 12
# 1 + o E e^{swu} keeps away from 0 where o E e^{wu Re s} is below this.
_REGULAR = 0.9
_MOST_GROWTH = 200.0
# What a table may hold beyond the groups that were asked for last.
_MOST_BYTES, _MOST_OF_MOMENTS = 2**28, 2**24


@lru_cache(maxsize=64)
def _fit(order: int) -> tuple[Array, Array]:
    """Chebyshev's nodes, and what makes coefficients of powers of values there."""
    x = chebyshev.chebpts1(order)
    return x, np.asarray(np.linalg.inv(np.vander(x, increasing=True)), float)


class MomentTable:
    """E e^{asu} and E u e^{asu} as polynomials in a, at the nodes of a contour.

    Bins are filled when they are asked for.  With `orders` (0,) there is the first alone.
    """

    def __init__(
        self, law: Amplitude, nodes: Complex, axis: Axis, orders: tuple[int, ...] = (0, 1)
    ) -> None:
        self.law, self.nodes, self.axis, self.orders = law, nodes, axis, orders
        self._real = not nodes.imag.any()
        self._known: dict[int, tuple[Complex, Array]] = {}

    def __call__(self, a: Array, *, slope: bool = False) -> tuple[Complex, Array]:
        """Both, shape (2, m, nodes), and their errors; with `slope`, E u² e^{asu} as a third."""
        found = np.empty((2 + slope, a.size, self.nodes.size), np.complex128)
        error = np.empty((2, a.size, self.nodes.size))
        single, asked = np.zeros(a.size, np.bool_), 0
        for k, at, powers in self._by_bin(a):
            if k not in self._known:
                single[at] = at.size < ORDER and not slope  # a polynomial takes more values
                if single[at[0]]:
                    continue
            coefficients, inexact = self._bin(k)
            asked += 1
            found[:2, at] = powers @ coefficients
            error[:, at] = inexact[:, None]
            if slope:
                # d/da of E u e^{asu} is s E u² e^{asu}.
                steps = powers[:, :-1] * np.arange(1, ORDER)
                stretch = self.axis.stretch(np.full(at.size, k), a[at])[:, None]
                found[2, at] = steps @ coefficients[1, 1:] / (stretch * self.nodes)
        self._forget(asked)
        if single.any():
            t = np.multiply.outer(a[single], self.nodes)
            some = np.stack([self.transformed(t, order) for order in self.orders])
            bad = ~np.isfinite(some).all(axis=0)
            found[:, single] = np.where(bad, 0.0, some)
            error[:, single] = np.where(bad, _NEVER, 4 * _EPS * np.abs(some))
        return found, error

    def fill(self, a: Array, pays: int = _PAYS) -> None:
        """Fill the bins that `pays` of these are in, or more; what was not asked for may go."""
        bins, counts = np.unique(self.axis.place(a)[0], return_counts=True)
        asked = bins[counts >= pays].tolist()
        for k in asked:
            self._bin(k)
        self._forget(len(asked))

    def _bin(self, k: int) -> tuple[Complex, Array]:
        # Last asked for, last in order.
        found = self._known.pop(k, None)
        self._known[k] = self._filled(float(k)) if found is None else found
        return self._known[k]

    def _forget(self, asked: int) -> None:
        """Bins that were not asked for last, oldest first: weights of a descent move on."""
        if asked:
            size = sum(x.nbytes for x in next(reversed(self._known.values())))
            for k in list(self._known)[: -max(asked, _MOST_OF_MOMENTS // size)]:
                del self._known[k]

    def known(self, k: int) -> tuple[Complex, Array] | None:
        """Coefficients of E e^{asu} in a bin, shape (ORDER, nodes), and errors, if it is filled."""
        if k not in self._known:
            return None
        coefficients, error = self._known[k]
        return coefficients[0], error[0]

    def transform(self, a: Array) -> tuple[Any, NDArray[np.intp], Array]:
        """E e^{asu} alone, shape (m, nodes), of numbers of bins, and errors of those.

        At real nodes values are real, and errors relative.  The first bin is of what is not
        tabulated, exact to rounding and NaN where there is none.
        """
        real = self._real
        found = np.empty((a.size, self.nodes.size * (1 if real else 2)))
        place = np.zeros(a.size, np.intp)
        errors = [np.zeros(self.nodes.size)]
        for k, at, powers in self._by_bin(a):
            if k not in self._known:
                continue
            (coefficients, *_), (inexact, *_) = self._known[k]
            part = powers @ (coefficients.real if real else coefficients.view(float))
            found[at], place[at] = part, len(errors)
            if real:
                least = np.abs(part).min(axis=0)
                never = np.full_like(least, _NEVER)
                inexact = np.minimum(np.divide(inexact, least, out=never, where=least > 0), _NEVER)
            errors.append(inexact)
        at, values = np.flatnonzero(place == 0), found if real else found.view(np.complex128)
        exact = self.transformed(np.multiply.outer(a[at], self.nodes), 0)
        values[at] = exact.real if real else exact
        return values, place, np.array(errors)

    def slopes(self, a: Array, moved: Complex) -> Array:
        """Re Σ_k moved_k d/da E e^{as_k u}, shape (m,): the adjoint of `transform`."""
        found, listed = np.empty(a.size), np.ones(a.size, np.bool_)
        for k, at, powers in self._by_bin(a):
            if k not in self._known:
                continue
            sums = moved[at].conj().view(float) @ self._known[k][0][0].view(float).T
            found[at] = np.einsum("ij,ij,j->i", sums[:, 1:], powers[:, :-1], np.arange(1, ORDER))
            found[at] /= self.axis.stretch(np.full(at.size, k), a[at])
            listed[at] = False
        slopes = self.transformed(np.multiply.outer(a[listed], self.nodes), 1) * self.nodes
        found[listed] = np.einsum("ij,ij->i", slopes, moved[listed]).real
        return found

    def _by_bin(self, a: Array) -> Iterator[tuple[int, NDArray[np.intp], Array]]:
        """Bins, which of these are in each, and powers of the place in it."""
        bins, x = self.axis.place(a)
        order = np.argsort(bins, kind="stable")
        powers = np.vander(x[order], ORDER, increasing=True)
        some, starts = np.unique(bins[order], return_index=True)
        for k, start, end in zip(some.tolist(), starts, [*starts[1:], a.size], strict=True):
            yield k, order[start:end], powers[start:end]

    def _filled(self, k: float) -> tuple[Complex, Array]:
        """Coefficients, shape (orders, ORDER, nodes), and errors, shape (orders, nodes)."""
        x, to_powers = _fit(ORDER)
        # Where s is small a bin is so short that slopes would be rounding: values are taken wider.
        wide = np.ones(self.nodes.size)
        entire = np.isinf(self.law.abscissa) and np.isinf(self.law.least_abscissa)
        if entire and self.axis.near(int(k)):
            wide = np.maximum(_WIDE_PHASE / (self.axis.half * np.abs(self.nodes)), 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            coefficients = np.asarray(to_powers @ self._values(k, x, wide), np.complex128)
            coefficients /= wide ** np.arange(ORDER)[:, None]
        checks = np.cos(np.pi * _CHECKS / ORDER)
        fitted = np.vander(checks, ORDER, increasing=True) @ coefficients
        error = 2 * np.abs(fitted - self._values(k, checks)).max(axis=1)
        bad = ~np.isfinite(error).all(axis=0)
        coefficients[:, :, bad], error[:, bad] = 0.0, _NEVER
        return coefficients, error

    def _values(self, k: float, x: Array, wide: Array | float = 1.0) -> Complex:
        """At places in a bin, or as many times wider at each node."""
        x = np.multiply.outer(x, wide * np.ones(self.nodes.size))
        t = self.axis.weights(np.full(x.shape, k), x, beyond=self.axis.near(int(k))) * self.nodes
        return np.stack([self.transformed(t, order) for order in self.orders])

    def transformed(self, t: Complex, order: int) -> Complex:
        """E u^order e^{tu}; NaN where there is none, for formulas may have values there."""
        outside = (t.real > 0.95 * self.law.abscissa) | (t.real < 0.95 * self.law.least_abscissa)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = np.asarray(self.law.transform(t, order), np.complex128)
        found[outside] = np.nan
        return found


class WeightTable:
    """log(1 + o E e^{swu})/o for the features of one amplitude law, at some nodes s.

    Groups of bins are filled when they are asked for.

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
        self._known: dict[int, Group] = {}
        self._last: tuple[bytes, Groups] | None = None

    def exponent(
        self, bins: NDArray[np.int64], sums: Sums, rows: NDArray[np.int64]
    ) -> tuple[Array, Array]:
        """Sums of the logarithms, shape (rows, 2 nodes), and errors, shape (rows, nodes).

        Of some rows, from sums of powers in whole groups of bins.
        """
        return self._groups(bins).exponent(sums, rows)

    def slopes(self, bins: NDArray[np.int64], moved: Array) -> Array:
        """The adjoint: from sensitivities to the logarithms those to the sums."""
        return self._groups(bins).slopes(moved, len(self.range.columns))

    def _groups(self, bins: NDArray[np.int64]) -> Groups:
        """The groups of these bins, stacked; most often they are those asked for last."""
        asked = bins.tobytes()
        if self._last is None or self._last[0] != asked:
            self._last = asked, Groups([self._group(int(k) // GROUP) for k in bins[::GROUP]])
            self._forget(bins.size // GROUP)
        return self._last[1]

    def _group(self, k: int) -> Group:
        # Last asked for, last in order.
        found = self._known.pop(k, None)
        if found is None:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                found = self._filled(k * GROUP + np.arange(GROUP, dtype=float))
        self._known[k] = found
        return found

    def _forget(self, asked: int) -> None:
        """Groups that were not asked for last, oldest first: weights of a descent move on."""
        last = next(reversed(self._known.values()))
        size = last.coefficients.nbytes + last.error.nbytes
        for k in list(self._known)[: -max(asked, _MOST_BYTES // size)]:
            del self._known[k]

    def _filled(self, k: Array) -> Group:
        within = self.range
        ends = [self.axis.near(int(end)) for end in k[[0, -1]]]
        if all(ends) and self._regular(k[:, None]).all():
            for size, most in _WIDE:
                extent = max(abs(self.law.start), abs(self.law.end))
                if extent <= most:
                    return self._whole(k, size, within.degrees(size, extent))
        parts = [self._bin(one) for one in k[:, None]]
        coefficients, errors = (np.stack(x, axis=-2) for x in zip(*parts, strict=True))
        return Group(None, coefficients.reshape(-1, 2 * self.nodes.size), errors)

    def _whole(self, k: Array, size: int, degrees: tuple[int, ...]) -> Group:
        """Of equal bins, from values at `size` places in all; errors are seen at the ends."""
        in_odds = self._in_odds(k[:1], (chebyshev.chebpts1(size) + 1) * GROUP - 1)
        fit, _ = chebyshev_fit(size)
        found = [fit[:degree] @ one for degree, one in zip(degrees, in_odds, strict=True)]
        basis = taken_apart(size, self.range.orders, degrees)
        powers = np.concatenate([x @ y for x, y in zip(basis, found, strict=True)])
        error = self._error(k, powers.reshape(-1, GROUP, powers.shape[1]), _ENDS)
        bad = ~np.isfinite(error).all(axis=0)
        error[:, bad] = _NEVER
        coefficients = np.concatenate(found)
        coefficients[:, np.concatenate([bad, bad])] = 0.0
        return Group(basis, coefficients, error)

    def _bin(self, k: Array) -> tuple[Array, Array]:
        """Coefficients, shape (columns, 2 nodes), and errors of one bin."""
        _, to_powers = _fit(ORDER)
        in_odds = self._in_odds(k, chebyshev.chebpts1(ORDER))
        parts = (to_powers[:n] @ one for n, one in zip(self.range.orders, in_odds, strict=True))
        found = np.concatenate(list(parts))
        error = self._error(k, found[:, None], np.cos(np.pi * _CHECKS / ORDER))[0]
        bad = ~np.isfinite(error) | ~self._regular(k[:, None])[0]
        error[bad] = _NEVER
        found[:, np.concatenate([bad, bad])] = 0.0
        return found, error

    def _in_odds(self, k: Array, place: Array) -> Array:
        """Coefficients of powers of the odds at places from a bin on, shape (…, place, 2 nodes)."""
        values = self._log(self.axis.weights(k, place), self.range.nodes)
        return np.asarray(np.tensordot(self.range.fit, values, (1, 0)))

    def _error(self, k: Array, powers: Array, checks: Array) -> Array:
        """Of polynomials in bins, shape (columns, bins, 2 nodes), from places in each of them."""
        within = self.range
        fitted = np.tensordot(within.products(within.checks, checks), powers, (1, 0))
        truth = self._log(self.axis.weights(k, checks[:, None]), within.checks)
        gap = np.abs(fitted.reshape(truth.shape) - truth).max(axis=(0, 1))
        return np.asarray(2 * np.hypot(*np.split(gap, 2, axis=1)))

    def _log(self, w: Array, odds: Array) -> Array:
        """Shape (odds, *w.shape, 2 nodes), real parts first."""
        mgf = np.asarray(self.law.transform(np.multiply.outer(w, self.nodes), 0), np.complex128)
        found = np.empty((odds.size, *w.shape, 2 * self.nodes.size))
        for o, one in zip(odds, found, strict=True):
            logs = log1p(o * mgf)
            one[..., : self.nodes.size], one[..., self.nodes.size :] = logs.real, logs.imag
            one /= o
        return found

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
