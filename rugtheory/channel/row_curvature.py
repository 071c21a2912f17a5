r"""Second derivatives of the loss of one output, in its weights and its bias.

With the integral of `rugtheory.channel.many_rows` and f_j = log E e^{s W_j x_j},

.. math:: \frac{∂^2 L}{∂W_j ∂W_k} = \frac1{2πi} \int K(s)\, e^{sb}\, E e^{sZ}\, f_j' f_k'\, ds ,
    \qquad j ≠ k ,

where s takes the place of f' for the bias, ∂K/∂W_ii that of K f' for the own weight, and
s² E x_j² e^{s W_j x_j}/E e^{s W_j x_j} that of f'² on the diagonal.  So all of them are one product
of matrices.  Where the feature and all that is heard are off, the reading is b: of that event the
integral 2 s⁻³ e^{sb}, which falls no faster, is left out and b₊² taken for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._check import Array
from ..source.amplitude import Complex
from ..source.sparse import SparseSource
from .inversion import windows
from .row_loss import RowLaw, row_loss

# Contours Re s = α, in inverse units of the row, and their periods times α.
_ALPHAS, _TURNS = (4.0, 6.0, 9.0), (28.0, 48.0)
# Where sums are cut off, in inverse units of the row: further up where the error of the Hessian is
# more than a part of it, unless the height times the number of weights is too much; and where they
# are compared.
_HEIGHTS, _ENOUGH, _MOST = (800.0, 6400.0), 1e-4, 2**22
_CUTS = (0.85, 0.7, 0.5)
# Weights below this, in units of the row, do not move a reading.
_NOTHING = 1e-6
# The loss by the same integral must be that of the row to this.
_AGREES, _TRUTH = 1e-6, 1e-9
# Step of differences of transforms, in inverse units of an amplitude: to about 1e-11.
_STEP = 3e-3
# Of the Hessian, what rounding and these differences may leave.
_FLOOR = 1e-10


class RowCurvature(NamedTuple):
    """Second derivatives of the loss of an output that hears identical features.

    Attributes
    ----------
    loss : float
    slope : ndarray, shape (n + 1,)
        In the weights, first the own one, and in the bias.
    hessian : ndarray, shape (n + 1, n + 1)
    error : float
        How far the Hessian moves where the integral is cut off earlier, in Frobenius' norm.
    """

    loss: float
    slope: Array
    hessian: Array
    error: float


def row_curvature(weights: Array, b: float, source: SparseSource, law: RowLaw) -> RowCurvature:
    """Derivatives of an output whose own weight is the first of `weights`.

    Raises ValueError if no contour serves it, as where a weight is so small that the reading is at
    the kink of the ReLU whether its feature is on or not.
    """
    truth = float(row_loss(float(weights[0]), law, b, _TRUTH).value)
    p, power = float(source.p), float(source.amplitude.second_moment)
    side = np.maximum(weights, 0.0)
    unit = float(np.sqrt(power * (side @ side) + max(b, 0.0) ** 2))
    found, least = None, np.inf
    for height in _HEIGHTS:
        if height > _HEIGHTS[0] and height * weights.size > _MOST:
            break
        off, best = np.inf, None
        for alpha in _ALPHAS:
            for turn in _TURNS:
                of = _Contour(weights, b, source, unit, alpha, turn, height)
                missed = abs(p * power + of.quiet * max(b, 0.0) ** 2 + of.sum(of.terms) - truth)
                if missed < off:  # not where it overflows
                    off, best = missed, of
        least = min(least, off)
        if best is not None and off <= _AGREES * truth:
            slope, hessian, error = best.derivatives()
            if found is None or error < found.error:
                found = RowCurvature(truth, slope, hessian, error)
            if error <= _ENOUGH * np.linalg.norm(hessian):
                break
    if found is None:
        raise ValueError(
            f"weights must be such that a contour serves the row, got a loss off by {least:.1g}"
        )
    return found


class _Contour:
    """The integrand of the loss at nodes α + ih(k + ½), h = 2π/period, up to some height.

    α, its product with the period, and the height are in units of the row.
    """

    def __init__(
        self,
        weights: Array,
        b: float,
        source: SparseSource,
        unit: float,
        alpha: float,
        turn: float,
        height: float,
    ) -> None:
        alpha, period = alpha / unit, turn * unit / alpha
        size = int(np.ceil(height / unit * period / (2 * np.pi)))
        y = (np.arange(size) + 0.5) * (2 * np.pi / period)
        self.s = np.asarray(alpha + 1j * y, np.complex128)
        self.p, self.law, self.a = float(source.p), source.amplitude, float(weights[0])
        self.factor, self.others, self.b = 2 / period, weights[1:], b
        # Probability that the reading is b.
        self.quiet = (1 - self.p) ** (1 + np.sum(np.abs(self.others) > _NOTHING * unit))
        with np.errstate(over="ignore", invalid="ignore"):
            t = np.multiply.outer(self.others, self.s)
            self.heard = 1 - self.p + self.p * self.law.transform(t, 0)
            self.full = np.exp(np.log(self.heard).sum(axis=0) + b * self.s)
            self.kernel = self._kernel()
            self.at_b = self.quiet * 2 / self.s**3 * np.exp(b * self.s)
            self.terms = self.kernel * self.full - self.at_b

    def sum(self, terms: Complex) -> float:
        """The integral of terms."""
        return float(self.factor * (terms.real @ windows(self.s.size)[0]))

    def _kernel(self) -> Complex:
        s, p = self.s, self.p
        m0, m1 = (self.law.transform(self.a * s, k) for k in (0, 1))
        return np.asarray(2 * p * (m0 / s - m1) / s**2 + (1 - p) * 2 / s**3)

    def _kernel_slope(self, a: float) -> Complex:
        """∂K/∂a."""
        m1, m2 = self.law.transform(a * self.s, 1), self._second(a * self.s)
        return np.asarray(2 * self.p * (m1 - self.s * m2) / self.s**2)

    def _second(self, t: Complex) -> Complex:
        """E u² e^{tu}."""
        step = _STEP / self.law.scale

        def slope(h: float) -> Complex:
            return (self.law.transform(t + h, 1) - self.law.transform(t - h, 1)) / (2 * h)

        return np.asarray((4 * slope(step) - slope(2 * step)) / 3)

    def derivatives(self) -> tuple[Array, Array, float]:
        """Slopes, second derivatives, and an estimate of the errors of these."""
        s, p = self.s, self.p
        t = np.multiply.outer(self.others, s)
        first = p * s * self.law.transform(t, 1) / self.heard
        second = p * s**2 * self._second(t) / self.heard
        by_a, step = self._kernel_slope(self.a), _STEP * (abs(self.a) or 1.0)
        near, far = (
            (self._kernel_slope(self.a + k * step) - self._kernel_slope(self.a - k * step))
            / (2 * k * step)
            for k in (1, 2)
        )
        by_aa = (4 * near - far) / 3
        # The bias moves a reading like a feature that is always on: its f' is s.
        slopes = np.concatenate([first, s[None]])
        squares = np.concatenate([second, s[None] ** 2])

        def hessian(window: Array) -> Array:
            by = self.factor * window * self.full
            rest = slopes * (by * self.kernel)
            inner = rest.real @ slopes.real.T - rest.imag @ slopes.imag.T
            np.fill_diagonal(inner, (squares @ (by * self.kernel)).real)
            whole = np.empty((len(inner) + 1, len(inner) + 1))
            whole[1:, 1:] = inner
            whole[0, 1:] = whole[1:, 0] = (slopes @ (by * by_a)).real
            whole[0, 0] = float((by @ by_aa).real)
            whole[-1, -1] = self.factor * float((s**2 * self.terms).real @ window)
            whole[-1, -1] += 2 * self.quiet * (self.b > 0)
            return whole

        every = windows(s.size, _CUTS)
        best = hessian(every[0])
        error = max(float(np.linalg.norm(hessian(x) - best)) for x in every[1:])
        error += _FLOOR * float(np.linalg.norm(best))
        by = self.factor * every[0] * self.full
        slope = np.append((by @ by_a).real, (slopes @ (by * self.kernel)).real)
        slope[-1] = self.sum(s * self.terms) + 2 * self.quiet * max(self.b, 0.0)
        return slope, best, error
