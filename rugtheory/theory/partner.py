"""A feature read beside a partner, y = x₁ - c x₂ + ν: its loss, and the best a at a threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._check import Array
from ..numerics.sums import over_rows
from ..source.amplitude import Amplitude
from ..source.expect import blockwise
from ..source.sparse import SparseSource
from ..source.uniform import Uniform
from .loss import parts
from .moments import off_moments, on_moments

_QUIET = 2**18  # nodes of a feature without noise that are held at a time


def partner_nodes(
    amplitude: Amplitude, beta: Array, sigma: Array, coupling: Array | float = 1.0
) -> tuple[Array, Array]:
    """Nodes and weights for the partner: kinks where its interference just silences x₁.

    They lie where the reading x₁ - c x₂ + β vanishes at x₁ = 0 and at the ends of its amplitudes.
    """
    ends = {0.0, amplitude.start, amplitude.end} - {np.inf}
    kinks = np.stack([(beta + end) / coupling for end in sorted(ends)])
    return amplitude.resolving(kinks, sigma / coupling)


def pair_loss(
    amplitude: Amplitude,
    a: Array,
    b: Array,
    sigma: Array,
    p: Array,
    complement: Array,
    coupling: Array,
) -> Array:
    with np.errstate(over="ignore"):
        beta = np.divide(b, a, out=np.zeros_like(b), where=a != 0)
    u, weights = partner_nodes(amplitude, beta, sigma, coupling)

    def at(bias: Array) -> Array:
        return blockwise(parts, amplitude, a, bias, sigma, p, complement)[2]

    return np.asarray((1 - p) * at(b) + p * over_rows(weights * at(b - a * coupling * u)))


class _Moments(NamedTuple):
    """Averages over a feature of h = ReLU(x - t + ν), all over p.

    The best multiple of h has a = E xh / E h², and 1 - a = E h(h - x) / E h² to all digits.
    """

    xh: Array
    hh: Array
    excess: Array  # E h(h - x)
    error: Array  # E (h - x)²


def pair_fit(
    amplitude: Amplitude,
    beta: Array,
    sigma: Array,
    p: Array,
    coupling: Array,
    *,
    partner: Amplitude | None = None,
) -> tuple[Array, Array, Array]:
    """a and 1 - a of the best a·ReLU(x₁ - c x₂ + ν + β), equation (16), and its loss over p.

    All arrays are flat, and either none or all of σ are zero.  `partner` may be a rule of few nodes
    for the law of x₂.
    """
    u, weights = _without_zeros(*partner_nodes(partner or amplitude, beta, sigma, coupling))
    moments = _noisy if sigma.any() else _quiet
    alone = moments(amplitude, -beta, sigma, p)
    shape = np.broadcast_shapes(u.shape, beta.shape)
    flat = (np.broadcast_to(x, shape).ravel() for x in (coupling * u - beta, sigma, p))
    both = (x.reshape(shape) for x in moments(amplitude, *flat))
    xh, hh, excess, error = (
        (1 - p) * x + p * over_rows(weights * y) for x, y in zip(alone, both, strict=True)
    )
    active = hh > 0
    a = np.divide(xh, hh, out=np.zeros_like(xh), where=active)
    complement = np.divide(excess, hh, out=np.ones_like(xh), where=active)
    # Of two forms that are equal the one that does not cancel.
    near = active & (a > 0.5)
    loss = np.where(near, error - excess * complement, amplitude.second_moment - a * xh)
    return np.where(near, 1 - complement, a), np.where(near, complement, 1 - a), loss


def gaussian_fit(source: SparseSource, beta: float, sigma: float) -> float:
    """The best a of a·ReLU(x + ν + β) in Gaussian noise; 1 where nothing passes."""
    moments = _noisy if sigma > 0 else _quiet
    at = (np.array([float(x)]) for x in (-beta, sigma, source.p))
    xh, hh, *_ = moments(source.amplitude, *at)
    return float(xh[0] / hh[0]) if hh[0] > 0 and xh[0] > 0 else 1.0


def _noisy(amplitude: Amplitude, t: Array, sigma: Array, p: Array) -> _Moments:
    def moments(amplitude: Amplitude, t: Array, sigma: Array, p: Array) -> tuple[Array, ...]:
        one, odds = np.ones_like(t), (1 - p) / p
        on, off = on_moments(amplitude, one, -t, sigma), off_moments(one, -t, sigma)
        error = parts(amplitude, one, -t, sigma, p, 0 * one)
        noise = odds * off.vv
        excess = sigma * sigma * on.passed - t * on.v + noise
        return on.uv, on.vv + noise, excess, error[0] + odds * error[1]

    return _Moments(*blockwise(moments, amplitude, t, sigma, p))


def _quiet(amplitude: Amplitude, t: Array, sigma: Array, p: Array) -> _Moments:
    """The same without ν."""
    off = (1 - p) / p * np.maximum(-t, 0) ** 2
    if isinstance(amplitude, Uniform):
        low, high = amplitude.low, amplitude.high
        at = np.clip(t, low, high)
        width, top = high - low, high - at
        below = low - np.minimum(t, low)  # by how much all readings exceed what is clipped
        h = top * top / (2 * width) + below
        hh = top**3 / (3 * width) + below * (width + below)
        error = ((at - low) * (at * at + at * low + low * low) / 3 + at * at * top) / width
        error = np.where(t < low, t * t, error)
    else:
        h, hh, error = np.empty((3, t.size))
        size = max(1, _QUIET // max(1, len(amplitude.resolving(t[:1], sigma[:1])[0])))
        for k in range(0, t.size, size):
            part = slice(k, k + size)
            u, weights = _without_zeros(*amplitude.resolving(t[part], sigma[part]))
            above = np.maximum(u - t[part], 0)
            h[part], hh[part] = over_rows(weights * above), over_rows(weights * above**2)
            error[part] = over_rows(weights * np.minimum(u, t[part]) ** 2)
    return _Moments(hh + t * h, hh + off, off - t * h, error + off)


def _without_zeros(nodes: Array, weights: Array) -> tuple[Array, Array]:
    """A rule without what nodes of weight zero in all columns can be had."""
    zero = weights == 0
    if not zero.any():
        return nodes, weights
    nodes, weights = np.broadcast_arrays(nodes, weights)
    order = np.argsort(zero, axis=0, kind="stable")[: int((~zero).sum(axis=0).max())]
    return np.take_along_axis(nodes, order, axis=0), np.take_along_axis(weights, order, axis=0)
