r"""When a threshold is the best of the ReLU decoder in the Gaussian channel.

With h = ReLU(x + ν + β), β = b/a, the loss is quadratic in a, and minimal at a = E[xh]/E[h²]
(arXiv:2410.12101, equation 16).  Stationarity in b says that the error is balanced where the
decoder is active, a = E[x; h > 0]/E[h].  So β solves

.. math:: Ψ(β) = E[x; h>0]\,E[h^2] - E[xh]\,E[h] = 0,

positive below the root and negative above.  For β ≤ 0 and a > ½ each difference x - h = -(ν + β)
is formed before averaging, since there x and h nearly agree.  For β > 0 the linear decoder
is split off: with moments of the event h = 0 marked by a bar, k = E x + β and V = v + σ²,

.. math:: Ψ = (μσ^2 - vβ) - [\bar X(k^2 + V - \bar H_2) + μ\bar H_2 + (μk + v)\bar H_1
    + \overline{XH}(k + \bar H_1)],

where every barred term is positive and dies out as β/σ grows, which leaves the linear decoder
β = μσ²/v, a = v/V to rounding.  Hence also β < μσ²/v always.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._check import Array
from ..source.amplitude import Amplitude
from .moments import LONG, off_moments, on_moments

_WHOLE = 1e-290


class State(NamedTuple):
    """Ψ and its derivatives in β, and what the decoder is if this is the root; all over p."""

    psi: Array
    slope: Array
    curvature: Array
    scale: Array
    a: Array
    complement: Array  # 1 - a
    a_slope: Array
    gain: Array  # E x² less the loss with the best a


def stationarity(amplitude: Amplitude, beta: Array, sigma: Array, p: Array) -> State:
    # Moments are taken of the side of the threshold that the noise reaches more rarely.
    side = np.where(beta > 0, -1.0, 1.0)
    on = on_moments(amplitude, side, side * beta, sigma, longest=LONG)
    off = off_moments(side, side * beta, sigma)
    odds = (1 - p) / p
    passed, h, hh = (odds * f + g for f, g in zip(off[:3], on[:3], strict=True))
    phi = odds * off.phi + on.phi
    m1, variance = amplitude.mean, amplitude.variance + (1 - p) * amplitude.mean**2
    k = p * m1 + beta
    m1k = m1 * k + variance
    total = k * k + p * variance + sigma * sigma

    linear = beta > 0
    x = np.where(linear, m1 - on.u, on.u)
    xh = np.where(linear, m1k + on.uv, on.uv)
    p_h = k + p * h
    above = np.where(linear, 1 / p - passed, passed)
    h1 = np.where(linear, p_h / p, h)
    h2 = np.where(linear, total / p - hh, hh)
    noise = sigma * phi + beta * above
    psi = np.where(
        linear,
        (m1 * sigma * sigma - variance * beta - on.uv * p_h) / p - on.u * h2 - m1 * hh - m1k * h,
        np.where(
            2 * on.u < h,
            on.u * hh - on.uv * h,
            (sigma * sigma * passed + beta * h) * h - noise * hh,
        ),
    )
    x_slope = on.uphi / sigma
    slope = x_slope * h2 + np.where(
        linear,
        (-variance - on.u * p_h - on.uv) / p + m1 * h + passed * xh,
        on.u * h - on.uv * passed,
    )
    # σ² may be no number with all its digits.
    square, bent = sigma**2, -side * on.ucphi
    bend = np.divide(bent, square, out=bent / sigma / sigma, where=square > _WHOLE)
    curvature = bend * h2 + 3 * x_slope * h1 - xh * phi / sigma
    gain = np.divide(xh * xh, h2, out=np.zeros_like(h2), where=h2 > 0)
    # Where next to nothing passes there is no decoder to speak of.
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        a = x / h1
        complement, a_slope = noise / h1, (x_slope - a * above) / h1
    return State(psi, slope, curvature, x * h2, a, complement, a_slope, gain)


def linear_threshold(amplitude: Amplitude, sigma: Array, p: Array) -> Array:
    """β/σ of the linear decoder, μσ/v."""
    sigma, variance = np.broadcast_arrays(sigma, amplitude.variance + (1 - p) * amplitude.mean**2)
    threshold = np.full(sigma.shape, np.inf)
    np.divide(amplitude.mean * sigma, variance, out=threshold, where=variance > 0)
    return threshold
