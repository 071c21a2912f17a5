r"""What a reading y = u + ν of a feature that is on tells about u, ν ~ N(0, σ²).

Density g₁(y), posterior mean and variance of u, to full relative precision also where the reading
is many deviations outside the amplitudes.  For Uniform[0, w], with t = -y/σ the distance outside
the nearer end, δ = w/σ, and G_n of `rugtheory.rectified`,

.. math:: \int_0^w u^k φ((u-y)/σ)\,du = k!\,σ^{k+1} \Bigl[G_k(t) - \sum_{j≤k} \frac{δ^j}{j!}
    G_{k-j}(t+δ)\Bigr] ,

taken relative to φ(t) outside.  Inside, moments are taken around y instead.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._check import Array
from .rectified import SQRT_2PI, normal_density, ratios, tails
from .source import Amplitude, Uniform

# Intervals shorter than this many deviations are integrated by a Gauss-Legendre rule.
_SHORT = 0.5
_SHORT_ORDER = 16
_LOG_SQRT_2PI = float(np.log(SQRT_2PI))


class Posterior(NamedTuple):
    """Given that the feature is on: log density of the reading, mean and variance of u given y."""

    log_density: Array
    mean: Array
    variance: Array


def posterior(amplitude: Amplitude, y: Array, sigma: Array) -> Posterior:
    """At readings `y` with noise `sigma` > 0, of one shape."""
    if isinstance(amplitude, Uniform):
        return _uniform(amplitude, y, sigma)
    flat_y, flat_sigma = y.ravel(), sigma.ravel()
    u, weights = amplitude.resolving(flat_y, flat_sigma)
    found = _discrete(u, weights, flat_y, flat_sigma)
    return Posterior(*(x.reshape(y.shape) for x in found))


def log_normal(y: Array, sigma: Array) -> Array:
    """Log density of N(0, σ²)."""
    return -0.5 * (y / sigma) ** 2 - np.log(sigma) - _LOG_SQRT_2PI


def mixed(parts: list[tuple[Array, Posterior]]) -> Posterior:
    """The posterior of a mixture, from log weights and parts; axis 0 of a part is summed over."""
    logs = np.concatenate([np.atleast_2d(w + x.log_density) for w, x in parts])
    top = logs.max(axis=0)
    share = np.exp(logs - top)
    total = share.sum(axis=0)
    share /= total
    means = np.concatenate([np.atleast_2d(x.mean) for _, x in parts])
    spreads = np.concatenate([np.atleast_2d(x.variance) for _, x in parts])
    mean = (share * means).sum(axis=0)
    variance = (share * (spreads + (means - mean) ** 2)).sum(axis=0)
    return Posterior(top + np.log(total), mean, variance)


def _discrete(u: Array, weights: Array, y: Array, sigma: Array) -> Posterior:
    with np.errstate(divide="ignore"):
        logs = np.log(weights) - 0.5 * ((u - y) / sigma) ** 2
    top = logs.max(axis=0)
    share = np.exp(logs - top)
    total = share.sum(axis=0)
    mean = (share * u).sum(axis=0) / total
    variance = (share * (u - mean) ** 2).sum(axis=0) / total
    return Posterior(top + np.log(total) - np.log(sigma) - _LOG_SQRT_2PI, mean, variance)


def _uniform(law: Uniform, y: Array, sigma: Array) -> Posterior:
    width = law.high - law.low
    inside = y - law.low
    flipped = inside > width / 2
    t = -np.where(flipped, width - inside, inside) / sigma
    delta = width / sigma
    log_z, mean, variance = np.empty_like(t), np.empty_like(t), np.empty_like(t)
    short = delta < _SHORT
    for mask, part in (
        (short, _short),
        (~short & (t >= 0), _outside),
        (~short & (t < 0), _within),
    ):
        if np.any(mask):
            log_z[mask], mean[mask], variance[mask] = part(t[mask], delta[mask])
    mean = sigma * mean
    mean = np.where(flipped, law.high - mean, law.low + mean)
    return Posterior(log_z - np.log(width), mean, sigma**2 * variance)


def _short(t: Array, delta: Array) -> tuple[Array, Array, Array]:
    """Log ∫φ(n) dn over [t, t + δ], mean and variance of n - t there; any t."""
    x, w = Uniform().quadrature(_SHORT_ORDER)
    n = delta * x[:, None]
    share = w[:, None] * np.exp(-n * (t + n / 2))
    total = share.sum(axis=0)
    share /= total
    mean = (share * n).sum(axis=0)
    variance = (share * (n - mean) ** 2).sum(axis=0)
    return np.log(total * delta) - t * t / 2 - _LOG_SQRT_2PI, mean, variance


def _outside(t: Array, delta: Array) -> tuple[Array, Array, Array]:
    near, far = ratios(t), ratios(t + delta)
    fall = np.exp(-delta * (t + delta / 2))
    zero = near[0] - fall * far[0]
    first = near[1] - fall * (far[1] + delta * far[0])
    second = near[2] - fall * (far[2] + delta * (far[1] + delta / 2 * far[0]))
    mean = first / zero
    return np.log(zero) - t * t / 2 - _LOG_SQRT_2PI, mean, 2 * second / zero - mean**2


def _within(t: Array, delta: Array) -> tuple[Array, Array, Array]:
    far = t + delta
    zero = 1 - tails(-t).g0 - tails(far).g0
    low, high = normal_density(t), normal_density(far)
    shift = (low - high) / zero
    variance = 1 + (t * low - np.minimum(far, 1e100) * high) / zero - shift**2
    return np.log(zero), shift - t, variance
