"""The best decoders of each kind in any channel, from the densities of its readings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._check import Array
from ..channel.base import NO_NOISE, Channel, problems_of, start_panels
from ..channel.fits import Moments, ramp, with_gate, with_jump
from ..channel.readings import Readings
from ..source.amplitude import Amplitude


def from_readings(
    kinds: tuple[str, ...],
    law: Channel,
    amplitude: Amplitude,
    sigma: Array,
    p: Array,
    keep: Array,
) -> dict[str, tuple[Array, Array, Array, Array]]:
    """Loss, a, b and threshold of each kind, on flat arrays."""
    clean = sigma == 0
    sigma = np.maximum(sigma, NO_NOISE * amplitude.scale)
    readings = Readings.of(
        problems_of(law, amplitude, sigma, p), start_panels(law, amplitude, sigma, p)
    )
    every, nothing = np.arange(p.size), np.full(p.shape, np.nan)
    found = {}
    for kind in kinds:
        a, b, theta = nothing, nothing, nothing
        if kind == "oracle":
            loss = readings.oracle
        elif kind == "bayes":
            loss = readings.bayes
        elif kind == "relu":
            a, b, loss = _best_relu(readings, amplitude)
        elif kind == "topk":
            theta = readings.kept(keep)
            a, b, loss = readings.affine(every, theta)
        elif kind == "gated" and amplitude.start < 0:
            theta, a, b, loss = _best_gate(readings, amplitude)
        else:
            theta, a, b, loss = _best_jump(readings, with_jump)
        # Without noise nothing is lost to the little that stands for it.
        loss = np.where(clean & (loss <= p * (10 * sigma) ** 2), 0.0, loss)
        found[kind] = loss, a, b, theta
    return found


def _best_relu(readings: Readings, amplitude: Amplitude) -> tuple[Array, Array, Array]:
    """a, b and loss: the best of all bends, or the affine one if it bends below all readings."""
    p, mean = readings.problems.p, amplitude.mean
    every = np.arange(p.size)

    def added(above: Moments, below: Moments, theta: Array) -> Array:
        return np.asarray(ramp(above, theta, mean).rest + below.tt[1])

    bend, _ = readings.best(added)
    above, below = readings.moments(every, bend)
    fit = ramp(above, bend, mean)
    a, b, loss = fit.a, -fit.a * bend, readings.bayes + fit.rest + below.tt[1]
    lowest = readings.integral.panels[np.searchsorted(readings.integral.panels.problem, every)]
    start = lowest.anchor + lowest.left
    slope, level, affine = readings.affine(every, start)
    straight = (slope > 0) & (slope * start + level >= 0) & (affine < loss)
    pairs = ((slope, a), (level, b), (affine, loss))
    a, b, loss = (np.where(straight, x, y) for x, y in pairs)
    if amplitude.start < 0:
        level = np.maximum(p * mean, 0.0)
        constant = p * amplitude.second_moment - level**2
        pairs = ((0 * a, a), (level, b), (constant, loss))
        a, b, loss = (np.where(constant < loss, x, y) for x, y in pairs)
    return a, b, loss


def _best_jump(
    readings: Readings, added: Callable[[Moments, Moments, Array], Array]
) -> tuple[Array, Array, Array, Array]:
    """Threshold, a, b and loss: at the best threshold, or the best of the ends of panels."""
    every = np.arange(readings.problems.p.size)
    found = [(theta, *readings.affine(every, theta)) for theta in readings.best(added)]
    first = found[0][3] <= found[1][3]
    theta, a, b, loss = (np.where(first, *pair) for pair in zip(*found, strict=True))
    return theta, a, b, loss


def _best_gate(readings: Readings, amplitude: Amplitude) -> tuple[Array, Array, Array, Array]:
    """The same of values that are not negative: a jump, or where that would be one down a ReLU."""
    theta, a, b, loss = _best_jump(readings, with_gate(amplitude.mean))
    loss = np.where(a * theta + b >= 0, loss, np.inf)
    slope, level, least = _best_relu(readings, amplitude)
    panels, every = readings.integral.panels, np.arange(theta.size)
    lowest = panels[np.searchsorted(panels.problem, every)]
    bend = np.divide(-level, slope, out=lowest.anchor + lowest.left, where=slope > 0)
    pairs = ((bend, theta), (slope, a), (level, b), (least, loss))
    theta, a, b, loss = (np.where(least <= loss, x, y) for x, y in pairs)
    return theta, a, b, loss
