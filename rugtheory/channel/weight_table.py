r"""Tables over the weight w of log E e^{swx}, for sums over many rows of weights at once.

For a feature that is on with odds o = p/(1-p), the transform of a term over the probability that
it is off is 1 + o E e^{swu}.  Its logarithm over o is a smooth function of w and o at every node s
of a contour, kept here as polynomials in both.  A sum over the terms of a row is then linear in the
sums of powers of its weights in each bin, and all rows, at all nodes, are one product of two
matrices.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude, Complex
from .terms import log1p
from .weight_bins import GROUP, ORDER, Axis, OddsRange

# The error of a fit at Chebyshev's nodes is largest about cos(πk/ORDER) at these k.
_CHECKS = np.array([0.0, 3.0, 5.0, 8.0])
# Error of a bin of which there is no polynomial.
_NEVER = 1e200
# 1 + o E e^{swu} keeps away from 0 where o E e^{wu Re s} is below this.
_REGULAR = 0.9
_MOST_GROWTH = 200.0


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
        self._known: dict[int, tuple[Array, Array]] = {}
        self._asked: tuple[bytes, Array, Array] = (b"", np.empty(0), np.empty(0))

    def __call__(self, bins: NDArray[np.int64]) -> tuple[Array, Array]:
        """Coefficients of whole groups of bins, and errors.

        The first of shape (columns · bins, 2 nodes), real parts first; the errors are of log(…)/o,
        shape (bins, nodes).
        """
        key = bins.tobytes()
        if key != self._asked[0]:
            groups = (bins[::GROUP] // GROUP).tolist()
            for k in groups:
                if k not in self._known:
                    self._known[k] = self._filled(k * GROUP + np.arange(GROUP, dtype=float))
            coefficients = np.concatenate([self._known[k][0] for k in groups], axis=1)
            errors = np.concatenate([self._known[k][1] for k in groups])
            self._asked = key, coefficients.reshape(-1, 2 * self.nodes.size), errors
        return self._asked[1], self._asked[2]

    def _filled(self, k: Array) -> tuple[Array, Array]:
        """Coefficients, shape (columns, bins, 2 nodes), and errors, shape (bins, nodes)."""
        within = self.range
        x, odds = np.cos(np.pi * _CHECKS / ORDER), within.checks
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = np.tensordot(within.fit, self._values(k, within.places, within.nodes), (1, 0))
            fitted = np.tensordot(within.products(odds, x), found, (1, 0))
            gap = (fitted - self._values(k, x, odds)).view(np.complex128)
        error = 2 * np.abs(gap).max(axis=0)
        bad = ~np.isfinite(error) | ~self._regular(k[:, None])
        error[bad] = _NEVER
        both = np.concatenate([found[..., ::2], found[..., 1::2]], axis=2)
        both[:, np.concatenate([bad, bad], axis=1)] = 0.0
        return both, error

    def _values(self, k: Array, x: Array, odds: Array) -> Array:
        """Shape (odds · places, bins, 2 nodes): complex numbers as pairs of real ones."""
        values = self._log(self.axis.weights(k, x[:, None]), odds).view(float)
        return values.reshape(-1, *values.shape[2:])

    def _log(self, w: Array, odds: Array) -> Complex:
        """Shape (odds, *w.shape, nodes)."""
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
