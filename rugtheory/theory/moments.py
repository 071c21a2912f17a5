"""Moments of a feature and of its rectified reading, from which gradient and optimum follow.

The reading of u is v = a(u + ν) + b, Gaussian with mean c = au + b and deviation e = |a|σ.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..numerics.rectified import signed_tails, tails
from ..source.amplitude import Amplitude
from ..source.expect import REACH, SHORT, distance, expect
from ..source.uniform import Uniform

# Deviations to the fourth power are numbers, and their inverses.
LONG = 1e60


class ReadingMoments(NamedTuple):
    """Averages over u and ν; 1₊ is one where v > 0, v₊ = ReLU(v), φ = φ(c/e)."""

    passed: Array  # E 1₊
    v: Array  # E v₊
    vv: Array  # E v₊²
    phi: Array  # E φ
    u: Array  # E u 1₊
    uu: Array  # E u² 1₊
    uv: Array  # E u v₊
    uphi: Array  # E u φ
    ucphi: Array  # E u (c/e) φ


def on_moments(
    amplitude: Amplitude,
    a: Array,
    b: Array,
    sigma: Array,
    *,
    short: float = SHORT,
    longest: float = np.inf,
) -> ReadingMoments:
    """The moments of a feature that is on; flat arrays, σ > 0.

    Over an amplitude range of less than `short` deviations, quadrature replaces the closed form of
    a uniform law, whose relative error grows as the inverse cube of that range; and over one of
    more than `longest`, where powers of it are no numbers.
    """
    return ReadingMoments(*expect(amplitude, _at, partial(_uniform, short, longest), a, b, sigma))


def off_moments(a: Array, b: Array, sigma: Array) -> ReadingMoments:
    """The moments of a feature that is off, u = 0."""
    return ReadingMoments(*_at(np.zeros_like(a), a, b, sigma))


def _at(u: Array, a: Array, b: Array, sigma: Array) -> Array:
    e = np.abs(a) * sigma
    c = a * u + b
    z = distance(c, e)
    g = tails(np.abs(z))
    active = z > 0
    passed = np.where(active, 1 - g.g0, g.g0)
    v = np.maximum(c, 0.0) + e * g.g1
    vv = np.where(active, c * c + e * e * (1 - 2 * g.g2), 2 * e * e * g.g2)
    reach = np.where(g.phi > 0, z, 0.0) * g.phi
    return np.stack([passed, v, vv, g.phi, u * passed, u * u * passed, u * v, u * g.phi, u * reach])


def _uniform(
    short: float, longest: float, law: Uniform, a: Array, b: Array, sigma: Array
) -> tuple[Array, NDArray[np.bool_]]:
    # With z = c/e, dz/du = 1/step: every moment is a boundary term of repeated integrals.
    e = np.abs(a) * sigma
    step = np.where(a > 0, sigma, -sigma)
    low, high, square = law.low, law.high, sigma * sigma
    z_low, z_high = distance(a * low + b, e), distance(a * high + b, e)
    g_low, g_high = signed_tails(-z_low), signed_tails(-z_high)
    d0, d1, d2, d3 = (y - x for x, y in zip(g_low[1:], g_high[1:], strict=True))

    def weighted(x: Array, y: Array) -> Array:
        return step * (high * y - low * x)

    averages = np.stack(
        [
            step * d1,
            e * step * d2,
            2 * e * e * step * d3,
            step * d0,
            weighted(g_low.g1, g_high.g1) - square * d2,
            weighted(low * g_low.g1, high * g_high.g1)
            - 2 * step * weighted(g_low.g2, g_high.g2)
            + 2 * step * square * d3,
            e * (weighted(g_low.g2, g_high.g2) - square * d3),
            weighted(g_low.g0, g_high.g0) - square * d1,
            square * d0 - weighted(g_low.phi, g_high.phi),
        ]
    ) / (high - low)
    linear = np.minimum(z_low, z_high) > REACH
    extent = np.maximum(high - low, np.maximum(np.abs(low), np.abs(high)))
    return averages, linear | (high - low < short * sigma) | (extent / longest > sigma)
