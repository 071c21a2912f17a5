r"""The law of u given a reading y = u + ν of a feature that is on, ν ~ N(0, σ²).

Density g₁(y), posterior mean and variance of u, to full relative precision also where the reading
is many deviations outside the amplitudes.  A reading is given as anchor + offset, by which one
close to an amplitude that is much larger than σ keeps its digits.

For Uniform[0, w], with t = -y/σ the distance outside the nearer end, δ = w/σ, and G_n of
`rugtheory.numerics.rectified`,

.. math:: \int_0^w u^k φ((u-y)/σ)\,du = k!\,σ^{k+1} \Bigl[G_k(t) - \sum_{j≤k} \frac{δ^j}{j!}
    G_{k-j}(t+δ)\Bigr] ,

taken relative to φ(t) outside.  Inside, moments are taken around y instead.  The posteriors of
Exponential, HalfNormal and
TruncatedNormal are normal laws cut off at zero, the case w = ∞.  Of another law with a
density, readings well inside a panel of the law are integrated in the noise, others by the nodes
that the law places.
"""

from __future__ import annotations

from functools import singledispatch
from typing import NamedTuple

import numpy as np
from scipy import special

from .._check import Array
from ..numerics.gauss import composite
from ..numerics.rectified import SQRT_2PI, normal_density, ratios, tails
from ..source.amplitude import Amplitude
from ..source.density import Density
from ..source.exponential import Exponential
from ..source.half_normal import HalfNormal
from ..source.truncated_normal import TruncatedNormal
from ..source.uniform import Uniform

# Intervals shorter than this many deviations are integrated by a Gauss-Legendre rule.
_SHORT = 0.5
_SHORT_ORDER = 16
_LOG_SQRT_2PI = float(np.log(SQRT_2PI))
# Beyond this many deviations the noise has a probability below 1e-20.
_FAR = 9.6
_AT_A_TIME = 1_000_000
_BLOCK = 2048


class Posterior(NamedTuple):
    """Given that the feature is on: log density of the reading, mean and variance of u given y.

    `shift` is E[u - y | y], which the difference of mean and reading does not resolve at small σ.
    """

    log_density: Array
    mean: Array
    variance: Array
    shift: Array | None = None


def posterior(amplitude: Amplitude, y: Array, sigma: Array) -> Posterior:
    """At readings `y` with noise `sigma` > 0, of one shape."""
    return reading(amplitude, y, np.zeros_like(y), sigma)


def reading(amplitude: Amplitude, anchor: Array, offset: Array, sigma: Array) -> Posterior:
    """At readings `anchor` + `offset`; all of one shape."""
    flat = anchor.ravel(), offset.ravel(), sigma.ravel()
    atoms = discrete(amplitude)
    if atoms is None:
        blocks = range(0, max(anchor.size, 1), _BLOCK)
        parts = [_continuous(amplitude, *(x[k : k + _BLOCK] for x in flat)) for k in blocks]
        found = Posterior(*(np.concatenate(x) for x in zip(*parts, strict=True)))
    else:
        u, weights = atoms
        with np.errstate(divide="ignore"):
            logs = np.broadcast_to(np.log(weights)[:, None], (u.size, flat[0].size))
        found = mixture(u, u, logs, *flat)
    return Posterior(*(np.reshape(x, anchor.shape) for x in found))  # type: ignore[arg-type]


@singledispatch
def discrete(amplitude: Amplitude) -> tuple[Array, Array] | None:
    """Atoms of a discrete law and their probabilities, None for other laws."""
    atoms = amplitude.atoms()
    if atoms is not None:
        return atoms
    # Nodes that resolve any kink without regard to where it is are all that there is.
    kink, width = amplitude.scale * np.array([0.3, 0.9]), amplitude.scale * np.array([0.1, 0.03])
    u, weights = np.broadcast_arrays(*amplitude.resolving(kink, width))
    u, weights = (np.broadcast_to(x, (len(x), 2)) for x in (u, weights))
    same = np.array_equal(u[:, 0], u[:, 1]) and np.array_equal(weights[:, 0], weights[:, 1])
    return (u[:, 0], weights[:, 0]) if same else None


@discrete.register(Uniform)
@discrete.register(Density)
def _(amplitude: Amplitude) -> None:
    return None


def ends(amplitude: Amplitude) -> Array:
    """Amplitudes around which the law is not smooth: atoms, or ends of the smooth panels."""
    return np.unique(_ends(amplitude))


@singledispatch
def _ends(amplitude: Amplitude) -> Array:
    atoms = discrete(amplitude)
    if atoms is not None:
        return atoms[0]
    finite = [x for x in (amplitude.start, amplitude.end) if np.isfinite(x)]
    return np.concatenate([amplitude.breakpoints(), finite])


@_ends.register(Exponential)
@_ends.register(HalfNormal)
@_ends.register(TruncatedNormal)
def _(amplitude: Amplitude) -> Array:
    return np.zeros(1)


def log_normal(y: Array, sigma: Array) -> Array:
    """Log density of N(0, σ²)."""
    return -0.5 * (y / sigma) ** 2 - np.log(sigma) - _LOG_SQRT_2PI


def mixture(
    values: Array, centres: Array, logs: Array, anchor: Array, offset: Array, sigma: Array
) -> Posterior:
    """Posterior of `values` if each comes with a reading N(centre, σ²), and with log weight `logs`.

    `values` and `centres` are of shape (k,), `logs` of shape (k, m), the reading of shape (m,).
    """
    parts = []
    step = max(1, _AT_A_TIME // max(values.size, 1))
    for k in range(0, max(anchor.size, 1), step):
        block = slice(k, k + step)
        away = (centres[:, None] - anchor[block]) - offset[block]
        log = logs[:, block] - 0.5 * (away / sigma[block]) ** 2
        top = log.max(axis=0)
        share = np.exp(log - top)
        total = share.sum(axis=0)
        share /= total
        density = top + np.log(total) - np.log(sigma[block]) - _LOG_SQRT_2PI
        # Around one of the values a law of one value has exactly this mean, and no variance.
        mean = share.T @ (values - values[0])
        off = values[:, None] - values[0] - mean
        variance = (share * off**2).sum(axis=0)
        # u - y is what the centre is away, and what the value is away from the centre.
        shift = (share * away).sum(axis=0) + share.T @ (values - centres)
        parts.append((density, values[0] + mean, variance, shift))
    return Posterior(*(np.concatenate(x) for x in zip(*parts, strict=True)))


def mixed(parts: list[tuple[Array, Posterior]], shifts: list[Array] | None = None) -> Posterior:
    """The posterior of a mixture, from log weights and parts; axis 0 of a part is summed over.

    `shifts` are E[u - y | y] of the parts.
    """
    logs = np.concatenate([np.atleast_2d(w + x.log_density) for w, x in parts])
    top = logs.max(axis=0)
    share = np.exp(logs - top)
    total = share.sum(axis=0)
    share /= total
    means = np.concatenate([np.atleast_2d(x.mean) for _, x in parts])
    spreads = np.concatenate([np.atleast_2d(x.variance) for _, x in parts])
    mean = (share * means).sum(axis=0)
    variance = (share * (spreads + (means - mean) ** 2)).sum(axis=0)
    if shifts is None:
        return Posterior(top + np.log(total), mean, variance)
    shift = (share * np.concatenate([np.atleast_2d(x) for x in shifts])).sum(axis=0)
    return Posterior(top + np.log(total), mean, variance, shift)


@singledispatch
def _continuous(amplitude: Amplitude, anchor: Array, offset: Array, sigma: Array) -> Posterior:
    """By the nodes that the law places."""
    y = anchor + offset
    u, weights = amplitude.resolving(y, sigma)
    with np.errstate(divide="ignore"):
        logs = np.log(weights)
    away = (u - anchor) - offset
    log = logs - 0.5 * (away / sigma) ** 2
    top = log.max(axis=0)
    share = np.exp(log - top)
    total = share.sum(axis=0)
    share /= total
    shift = (share * away).sum(axis=0)
    variance = (share * (away - shift) ** 2).sum(axis=0)
    mean = (share * u).sum(axis=0)
    return Posterior(top + np.log(total) - np.log(sigma) - _LOG_SQRT_2PI, mean, variance, shift)


_nodes = _continuous.dispatch(object)


@_continuous.register(Density)
def _density(law: Density, anchor: Array, offset: Array, sigma: Array) -> Posterior:
    """Inside a smooth panel in the noise, at its ends by nodes of the law."""
    edges = law.breakpoints()
    away = np.abs((edges[:, None] - anchor) - offset).min(axis=0)
    y = anchor + offset
    inside = (away > 2 * _FAR * sigma) & (y > edges[0]) & (y < edges[-1])
    out = [np.empty_like(y) for _ in range(4)]
    for mask, part in ((inside, _smooth), (~inside, _nodes)):
        if mask.any():
            found = part(law, anchor[mask], offset[mask], sigma[mask])
            for x, values in zip(out, found, strict=True):
                x[mask] = values
    return Posterior(*out)


def _smooth(law: Density, anchor: Array, offset: Array, sigma: Array) -> Posterior:
    z, weights = composite(_FAR * np.linspace(-1, 1, 9)[:, None])
    y = anchor + offset
    density = law.inner_density(y + sigma * z)
    kernel = weights * normal_density(z)
    share = kernel * density
    total = share.sum(axis=0)
    share /= total
    # A constant density moves nothing, and leaves no rounding of what cancels.
    mean = (kernel * z * (density - law.inner_density(y))).sum(axis=0) / total
    variance = (share * (z - mean) ** 2).sum(axis=0)
    shift = sigma * mean
    return Posterior(np.log(total), y + shift, sigma**2 * variance, shift)


@_continuous.register(Exponential)
def _exponential(law: Exponential, anchor: Array, offset: Array, sigma: Array) -> Posterior:
    # e^{-u/s} moves the centre of the normal law by σ²/s.
    y, ratio = anchor + offset, sigma / law.scale
    moved = -sigma * ratio
    t = ratio - y / sigma
    log_mass, mean, variance, lead = half_line(t)
    with np.errstate(over="ignore"):
        weight = np.where(t >= 0, -0.5 * (y / sigma) ** 2, (0.5 * ratio**2 - y / law.scale))
    shift = np.where(t >= 0, sigma * mean - y, moved + sigma * lead)
    density = log_mass + weight - np.log(law.scale)
    return Posterior(density, sigma * mean, sigma**2 * variance, shift)


@_continuous.register(HalfNormal)
def _half_normal(law: HalfNormal, anchor: Array, offset: Array, sigma: Array) -> Posterior:
    y, wide = anchor + offset, np.hypot(sigma, law.scale)
    width = sigma * (law.scale / wide)
    t = -(y / sigma) * (law.scale / wide)
    log_mass, mean, variance, lead = half_line(t)
    log_mass = np.where(t >= 0, log_mass - 0.5 * t * t, log_mass)
    shift = np.where(t >= 0, width * mean - y, width * lead - y * (sigma / wide) ** 2)
    density = np.log(2.0) + log_normal(y, wide) + log_mass
    return Posterior(density, width * mean, width**2 * variance, shift)


@_continuous.register(TruncatedNormal)
def _truncated(law: TruncatedNormal, anchor: Array, offset: Array, sigma: Array) -> Posterior:
    away, wide = (anchor - law.centre) + offset, np.hypot(sigma, law.spread)
    width = sigma * (law.spread / wide)
    moved = -away * (sigma / wide) ** 2  # of the centre, from the reading
    t = -(anchor + offset + moved) / width
    log_mass, mean, variance, lead = half_line(t)
    log_mass = np.where(t >= 0, log_mass - 0.5 * t * t, log_mass)
    shift = np.where(t >= 0, width * mean - (anchor + offset), width * lead + moved)
    density = log_normal(away, wide) + log_mass - special.log_ndtr(law.centre / law.spread)
    return Posterior(density, width * mean, width**2 * variance, shift)


def half_line(t: Array) -> tuple[Array, Array, Array, Array]:
    """Of a standard normal n > t: log P, mean and variance of n - t, mean of n.

    For t ≥ 0 the probability is relative to exp(-t²/2).
    """
    out = [np.empty_like(t) for _ in range(4)]
    outside = t >= 0
    g0, g1, g2, _ = ratios(np.where(outside, np.minimum(t, 1e120), 0.0))
    mean = g1 / g0
    near = np.minimum(t, 0.0)
    mass = special.ndtr(-near)
    lead = normal_density(near) / mass
    # n - t > 0 has the second moment 1 - t (lead - t).
    for x, left, right in zip(
        out,
        (np.log(g0) - _LOG_SQRT_2PI, mean, 2 * g2 / g0 - mean**2, mean + t),
        (np.log(mass), lead - near, 1 + near * lead - lead**2, lead),
        strict=True,
    ):
        x[:] = np.where(outside, left, right)
    return out[0], out[1], out[2], out[3]


def above(z: Array) -> tuple[Array, Array, Array]:
    """Of a standard normal n > z: probability, variance and mean of n."""
    z = np.clip(z, -1e150, 1e150)
    log, _, variance, lead = half_line(z)
    return np.exp(log - 0.5 * np.maximum(z, 0.0) ** 2), variance, lead


@_continuous.register(Uniform)
def _uniform(law: Uniform, anchor: Array, offset: Array, sigma: Array) -> Posterior:
    width = law.high - law.low
    inside, left = (anchor - law.low) + offset, (law.high - anchor) - offset
    flipped = inside > left
    near = np.where(flipped, left, inside)
    t = -near / sigma
    delta = width / sigma
    log_z, mean, variance = np.empty_like(t), np.empty_like(t), np.empty_like(t)
    lead = np.empty_like(t)
    short = delta < _SHORT
    for mask, part in (
        (short, _short),
        (~short & (t >= 0), _outside),
        (~short & (t < 0), _within),
    ):
        if np.any(mask):
            log_z[mask], mean[mask], variance[mask], lead[mask] = part(t[mask], delta[mask])
    shift = np.where(flipped, -sigma * lead, sigma * lead)
    mean = sigma * mean
    mean = np.where(flipped, law.high - mean, law.low + mean)
    return Posterior(log_z - np.log(width), mean, sigma**2 * variance, shift)


def _short(t: Array, delta: Array) -> tuple[Array, Array, Array, Array]:
    """Log ∫φ(n) dn over [t, t + δ], mean and variance of n - t there, mean of n; any t."""
    x, w = Uniform().quadrature(_SHORT_ORDER)
    n = delta * x[:, None]
    share = w[:, None] * np.exp(-n * (t + n / 2))
    total = share.sum(axis=0)
    share /= total
    mean = (share * n).sum(axis=0)
    variance = (share * (n - mean) ** 2).sum(axis=0)
    return np.log(total * delta) - t * t / 2 - _LOG_SQRT_2PI, mean, variance, mean + t


def _outside(t: Array, delta: Array) -> tuple[Array, Array, Array, Array]:
    near, far = ratios(np.minimum(t, 1e120)), ratios(np.minimum(t + delta, 1e120))
    with np.errstate(over="ignore"):
        fall = np.exp(-delta * (t + delta / 2))
    zero = near[0] - fall * far[0]
    first = near[1] - fall * (far[1] + delta * far[0])
    second = near[2] - fall * (far[2] + delta * (far[1] + delta / 2 * far[0]))
    mean = first / zero
    log = np.log(zero) - t * t / 2 - _LOG_SQRT_2PI
    return log, mean, 2 * second / zero - mean**2, mean + t


def _within(t: Array, delta: Array) -> tuple[Array, Array, Array, Array]:
    far = t + delta
    zero = 1 - tails(-t).g0 - tails(far).g0
    low, high = normal_density(t), normal_density(far)
    shift = (low - high) / zero
    variance = 1 + (t * low - np.minimum(far, 1e100) * high) / zero - shift**2
    return np.log(zero), shift - t, variance, shift


def has_closed_form(amplitude: Amplitude) -> bool:
    """Whether posteriors cost about as much as a function of numpy."""
    return _continuous.dispatch(type(amplitude)) not in (_nodes, _density)
