r"""Expectations of rectified sums by inversion of the moment generating function.

For α > 0, ReLU(v)² = (1/2πi) ∫ 2 s⁻³ e^{sv} ds and ReLU(v) = (1/2πi) ∫ s⁻² e^{sv} ds along
Re s = α, and for α < 0 the same integrals are -ReLU(-v)² and ReLU(-v).  So for independent
features an expectation is one integral of a product,

.. math:: \frac1{2πi} \int e^{sb}\, E[e^{sZ}]\, R(s)\, ds, \qquad Z = Σ_j w_j x_j .

What makes it exact to rounding:

* The event that no x_j is on is an atom of Z, the only one if amplitudes have a density.  It is
  left out here, E[e^{sZ}; Z ≠ 0] = (1-p)^n expm1(Q), for the caller to add in closed form.
* α is where the integrand is least on the real axis, so that it is about as small as the result.
  Large weights on the side that is rectified away do not keep it from being large.
* The midpoint rule of step h is exact up to images of the result, shifted by multiples of 2π/h,
  which Chernoff's inequality bounds.
* A smooth window, flat over its first half, cuts the integral off.  The result is thereby averaged
  over shifts b of about the inverse cut-off, without error where it is smooth in b.
* Most weights of a row are small, and Q, a sum of a smooth function over the weights, is as good as
  a sum over a few Chebyshev nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .._check import Array
from ..numerics.circle import on_circle
from ..source.amplitude import Complex
from .interference import Interference

_EPS = float(np.finfo(float).eps)
# Images of the midpoint rule, relative to the integrand on the real axis.
LOG_IMAGES = float(np.log(1e-15))
_GRID = 28
FIRST_NODES = 32
# More to start with, where a call costs more than some nodes of so few terms.
_FEW_TERMS, _MORE, _LESS = 32, 256, 64
_FAR = 1e3
_FAR_OUT = 30.0
# Of the scale of all values: below this part of it there is none on one side.
_NOTHING = 1e-30
_LOG_NOTHING = -640.0
# Where sums are cut off to be compared with the whole, and the factor on their largest difference.
CUTS, _SAFETY = (0.85, 0.7, 0.6, 0.5, 0.4, 0.3), 4.0
# A factor on bounds of what is cut off.
_BEYOND = 2.0


class Estimate(NamedTuple):
    """A value and an estimate of its error, meant as a bound."""

    value: float
    error: float

    @classmethod
    def mixture(cls, found: Iterable[tuple[float, Estimate]]) -> Estimate:
        """Mean of estimates with these shares, and that of their errors."""
        value = error = 0.0
        for share, one in found:
            value, error = value + share * one.value, error + share * one.error
        return cls(value, error)


class Integral:
    """(1/2πi) ∫ e^{s·shift} E[e^{sZ}; Z ≠ 0] kernel(s) ds on Re s > 0 (`side` = 1) or < 0 (-1).

    Parameters
    ----------
    kernel : callable
        R(s).
    bound : callable
        At real s: such that bound(s) e^{sv} is no less than the modulus of what R stands for at v.
    domain : (float, float)
        The real s at which `kernel` is finite.
    extent : float
        Scale of the values of v, to look for α between its inverse and far more.
    beyond : float
        The same of the values on the side looked at, less where those on the other are far away.
    """

    def __init__(
        self,
        law: Interference,
        shift: float,
        kernel: Callable[[Complex], Complex],
        bound: Callable[[Array], Array],
        side: int,
        domain: tuple[float, float] = (-np.inf, np.inf),
        *,
        extent: float,
        beyond: float,
    ) -> None:
        self.law, self.shift, self.kernel = law, shift, kernel
        self.terms, self.noise = np.empty(0), 0.0
        self.nodes, self.values = np.empty((2, 0), np.complex128)
        self.estimate = Estimate(0.0, 0.0)
        low, high = (f(x, y) for f, x, y in zip((max, min), law.domain(), domain, strict=True))
        edge = high if side > 0 else -low
        # Chernoff's bound on the result, from far below to far above where a sum of that extent, or
        # a Gaussian of that spread around the shift, has it least.
        reach = max(200 / extent, 40 / law.spread, 4 * abs(shift) / law.spread**2)
        if beyond > _NOTHING * extent:
            reach = max(reach, 20 / beyond)
        reach = min(reach, edge)
        while True:
            start = 0.02 * min(1 / extent, reach)
            points = _GRID + max(0, round(2 * np.log(reach / start / 1e5)))
            grid = np.geomspace(start, reach, points + 1)
            alpha = side * grid[:-1]
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                chernoff = alpha * shift + law.log_mgf(alpha) + np.log(bound(alpha))
            # What is as small as this is nothing, and its inverse still a number.
            known = np.isfinite(chernoff) & (chernoff > _LOG_NOTHING)
            if known.sum() >= _GRID // 2:
                break
            reach = grid[known.sum()]
        alpha, chernoff = alpha[known], chernoff[known]
        best = int(np.clip(np.argmin(chernoff), 2, alpha.size - 3))
        # At period T = 2π/h the images are at most C(α') exp(-|α' - α| T), whatever α'.
        excess = chernoff - chernoff[best] - LOG_IMAGES
        with np.errstate(divide="ignore"):
            periods = excess / np.abs(alpha - alpha[best])
        self.period = float(max(periods[:best].min(), periods[best + 1 :].min()))
        self.alpha, self.log_scale = float(alpha[best]), float(chernoff[best])
        accuracy = self.law.accuracy(self.alpha)
        log_scale = self.alpha * self.shift - self.log_scale
        self.accuracy = float(np.exp(log_scale + np.log(accuracy))) if accuracy > 0 else 0.0
        self.refine()

    def refine(self) -> None:
        """Twice as many nodes, twice as far up."""
        known, terms = self.terms.size, self.terms
        first = _MORE if self.law.size <= _FEW_TERMS else _LESS
        y = (np.arange(known, max(2 * known, first)) + 0.5) * (2 * np.pi / self.period)
        s = np.asarray(self.alpha + 1j * y, np.complex128)
        r = self.kernel(s)
        value, error = self.law.mgf(s, s * self.shift - self.log_scale)
        self.nodes, self.values = np.append(self.nodes, s), np.append(self.values, value)
        self.terms = terms = np.append(terms, (value * r).real)
        # Values of Z that are many times 1/α away count for nothing, or are the result.
        turns = np.abs(s) * (abs(self.shift) + min(self.law.spread, _FAR_OUT / abs(self.alpha)))
        rounding = _EPS * (4 + turns) * np.abs(value) + self.accuracy
        self.noise += float(np.sum((error + rounding) * np.abs(r)))

        factor = np.exp(self.log_scale) * 2 / self.period
        full, cut = cut_off(np.einsum("wk,k->w", windows(terms.size), terms))
        missing = float(cut) + self.noise
        if self.law.discrete:
            missing += self._revival()
        images = 4 * np.exp(self.log_scale + LOG_IMAGES)
        self.estimate = Estimate(factor * full, float(factor * missing + images))

    def scaled(self, by: float, shift: Array, kernel: Callable[[Complex], Complex]) -> Array:
        """The same for by·Z, other shifts, shape (k,), and a kernel, from the transform known.

        As good as the estimate unless α (shift/by - self.shift) is far from zero.
        """
        moved = np.multiply.outer(shift / by - self.shift, self.nodes)
        turned = np.exp(moved.real) * on_circle(moved.imag)
        values = windows(self.nodes.size)[0] * self.values * kernel(self.nodes / by)
        factor = np.exp(self.log_scale) * 2 / (self.period * by)
        return np.asarray(factor * np.einsum("kn,n->k", turned, values).real)

    def _revival(self) -> float:
        """What the terms of a discrete law, whose sums nearly repeat, add up to further out."""
        last = self.terms.size * 2 * np.pi / self.period
        y = last * np.geomspace(1, _FAR, 4 * FIRST_NODES + 1)[1:]
        s = np.asarray(self.alpha + 1j * y, np.complex128)
        value, _ = self.law.mgf(s, s * self.shift - self.log_scale)
        density = self.period / (2 * np.pi)
        return float(np.mean(np.abs(value * self.kernel(s)) * y) * np.log(_FAR) * density)


def cut_off(sums: Array, shares: Array | float = 1.0) -> tuple[Array, Array]:
    """The first of sums cut off at different lengths, see `windows`, and an estimate of its error.

    An error that decays with the number of terms changes with it: sums cut off earlier tell by how
    much, and more than two of them that no coincidence hides it.  Of what they are off by, `shares`
    are left at full length.
    """
    return sums[0], _SAFETY * np.max((np.abs(sums[1:] - sums[0]).T * shares).T, axis=0, initial=0.0)


def most_cut_off(sizes: Array, nodes: Complex) -> Array:
    """What the window of full length may cut off sums, from the moduli of their terms.

    Terms at nodes beyond fall like s⁻³, from twice the largest of the upper half on: they are
    differences of transforms and their limits, and as these cross the largest may be too small, by
    a factor of 1.4 at worst in some thousand rows of random weights without bias.
    """
    y, half = nodes.imag, nodes.size // 2
    inside = sizes @ (1 - windows(nodes.size)[0])
    beyond = _BEYOND * np.max(sizes[..., half:] * y[half:] ** 3, axis=-1) / y[-1] ** 2 / 2
    return np.asarray(inside + beyond / (y[1] - y[0]))


@lru_cache(maxsize=64)
def windows(size: int, cuts: tuple[float, ...] = CUTS) -> Array:
    """Factors that cut off sums of `size` terms smoothly, the first of them at the end."""
    return np.stack([_window(size, x) for x in (1.0, *cuts)])


def _window(size: int, cut: float) -> Array:
    """One up to cut/2, zero from `cut` on, all derivatives continuous; the nodes fill [0, 1]."""
    x = np.clip(((np.arange(size) + 0.5) / (size * cut) - 0.5) * 2, 1e-9, 1 - 1e-9)
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(1 / (1 - x) - 1 / x)))
