"""The uniform law, for which most integrals have closed forms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from ..numerics.gauss import around, composite, legendre_rule, on_interval, points
from .amplitude import Amplitude, Complex, set_parameters


@dataclass(frozen=True)
class Uniform(Amplitude):
    """Uniform on [low, high], low < high, of either sign; on [0, 1] it is the paper's law."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        set_parameters(self, low=_check.real("low", self.low))
        set_parameters(self, high=_check.real("high", self.high))
        if self.high <= self.low:
            raise ValueError(f"high must be greater than low = {self.low}, got {self.high}")

    def cumulants(self) -> tuple[float, float, float, float]:
        width = self.high - self.low
        return (self.low + self.high) / 2, width**2 / 12, 0.0, -(width**4) / 120

    def transform(self, t: Complex, order: int) -> Complex:
        width = self.high - self.low
        if self.low < 0:
            return self._signed(t, order)
        average = _expm1_over(width * t)
        if order:
            average = self.low * average + width * _expm1_over_slope(width * t)
        return average if self.low == 0 else np.exp(self.low * t) * average

    def _signed(self, t: Complex, order: int) -> Complex:
        """From the end at which |e^{tu}| is largest, so that nothing overflows that need not."""
        down = t.real > 0
        anchor, step = np.where(down, self.high, self.low), np.where(down, -1.0, 1.0)
        step *= self.high - self.low
        average = _expm1_over(step * t)
        if order:
            average = anchor * average + step * _expm1_over_slope(step * t)
        return np.asarray(np.exp(anchor * t) * average)

    @property
    def start(self) -> float:
        return self.low

    @property
    def end(self) -> float:
        return self.high

    def quadrature(self, n: int) -> tuple[Array, Array]:
        return on_interval(self.low, self.high, *legendre_rule(points(n)))

    def breakpoints(self) -> Array:
        return np.array([self.low, self.high])

    def atoms(self) -> None:
        return None

    @property
    def density_at_zero(self) -> float:
        return 1 / (self.high - self.low) if self.low <= 0 < self.high else 0.0

    def density(self, u: ArrayLike) -> Array:
        """Probability density at `u`."""
        u = _check.real("u", u)
        return np.where((u >= self.low) & (u <= self.high), 1 / (self.high - self.low), 0.0)

    def sample(self, shape: int | tuple[int, ...], seed: int | np.random.Generator) -> Array:
        return _check.rng(seed).uniform(self.low, self.high, _check.shape("shape", shape))

    def resolving(self, kink: Array, width: Array) -> tuple[Array, Array]:
        points = np.clip(around(kink, width), self.low, self.high)
        ends = np.broadcast_to([[self.low], [self.high]], (2, width.size))
        nodes, weights = composite(np.concatenate([points, ends]))
        return nodes, weights / (self.high - self.low)


def expm1(z: Complex) -> Complex:
    """e^z - 1."""
    # Several times faster than numpy's complex one, by ufuncs of real numbers; and numpy's tangent
    # of doubles is vectorised, unlike its sine.
    rise, half = np.expm1(z.real), np.tan(0.5 * z.imag)
    twice = 2 / (1 + half * half)
    sine = half * twice
    versine = half * sine
    value = np.empty_like(z)
    value.real = rise * (1 - versine) - versine
    value.imag = (1 + rise) * sine
    return value


def _expm1_over(z: Complex) -> Complex:
    """(e^z - 1)/z, continued by its value 1 at zero."""
    z = np.where(np.abs(z) < 1e-290, 1e-290, z)
    return np.asarray(expm1(z) / z, np.complex128)


def _expm1_over_slope(z: Complex) -> Complex:
    """Its derivative, ∫₀¹ v e^{zv} dv."""
    near = np.abs(z) < 1
    far = np.where(near, 1, z)
    slope = np.asarray((np.exp(far) - expm1(far) / far) / far, np.complex128)
    # Taylor's series where the difference would cancel: Σ z^k / (k! (k + 2)).
    slope[near] = np.polynomial.polynomial.polyval(z[near], _SERIES)
    return slope


_SERIES = np.array([1 / (math.factorial(k) * (k + 2)) for k in range(19)])
