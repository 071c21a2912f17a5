"""Averages over the amplitude of functions of a rectified reading a(u + ν) + b, block by block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..numerics.sums import over_rows
from .amplitude import Amplitude
from .uniform import Uniform

# Beyond nine deviations the Gaussian tail is below 1e-18: the kink is out of reach.
REACH = 9.0
# Eight Gauss-Legendre points are exact to rounding over less than a quarter of the noise width,
# and where the kink is out of reach.
SHORT = 0.25
_SHORT_ORDER = 8
_BLOCK = 16384
_BLOCK_QUADRATURE = 64


def expect(
    amplitude: Amplitude,
    at: Callable[..., Array],
    closed: Callable[..., tuple[Array, NDArray[np.bool_]]],
    a: Array,
    b: Array,
    sigma: Array,
    *more: Array,
) -> Array:
    """E over u of ``at(u, a, b, sigma, *more)`` for flat arrays of one length.

    ``closed(law, a, b, sigma, *more)`` is that average for a `Uniform` law, with a mask of where
    it loses digits and a short Gauss rule has to take its place.  Both functions may have
    several components along leading axes.
    """
    if not isinstance(amplitude, Uniform):
        nodes, weights = amplitude.resolving(kink_of(a, b), sigma)
        return over_rows(weights * at(nodes, a, b, sigma, *more))
    value, inexact = closed(amplitude, a, b, sigma, *more)
    if np.any(inexact):
        u, w = amplitude.quadrature(_SHORT_ORDER)
        points = (x[inexact] for x in (a, b, sigma, *more))
        value[..., inexact] = over_rows(w[:, None] * at(u[:, None], *points))
    return value


def either(mask: NDArray[np.bool_], x: Array | float, y: Array | float) -> Array:
    """`x` where `mask`, else `y`, both finite: what ``numpy.where`` gives, at random masks faster.

    It branches at every element, and a processor that guesses wrong half of the time loses more by
    it than a product and a sum take.
    """
    return np.asarray(mask * x + ~mask * y)


def distance(reading: Array, deviation: Array) -> Array:
    """`reading` / `deviation`; without noise infinite of the same sign, negative at 0."""
    if np.all(deviation > 1e-200):
        return np.asarray(reading / deviation)
    far = np.where(reading > 0, np.inf, -np.inf)
    with np.errstate(over="ignore"):
        return np.divide(reading, deviation, out=far, where=deviation > 0)


def kink_of(a: Array, b: Array) -> Array:
    """The u at which au + b changes sign; a = 0 counts as rising."""
    if np.all(np.abs(a) > 1e-200):
        return np.asarray(-b / a)
    never = np.where(b > 0, -np.inf, np.inf)
    with np.errstate(over="ignore"):
        return np.divide(-b, a, out=never, where=a != 0)


def blockwise(
    function: Callable[..., tuple[Array, ...]],
    amplitude: Amplitude,
    *arrays: Array,
    size: int | None = None,
) -> tuple[Array, ...]:
    """``function(amplitude, *flat)`` on blocks of the broadcast `arrays`, put together again.

    Blocks are as long as keeps the temporaries in the cache, or of the `size` given, divided by
    the same factor for laws that take quadrature.
    """
    size = size or _BLOCK
    if not isinstance(amplitude, Uniform):
        size = max(1, size * _BLOCK_QUADRATURE // _BLOCK)
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    flat = [np.broadcast_to(array, shape).reshape(-1) for array in arrays]
    total = flat[0].size
    outputs: tuple[Array, ...] = ()
    for start in range(0, max(total, 1), size):
        block = slice(start, start + size)
        results = function(amplitude, *(x[block] for x in flat))
        outputs = outputs or tuple(np.empty(total) for _ in results)
        for output, result in zip(outputs, results, strict=True):
            output[block] = result
    return tuple(output.reshape(shape) for output in outputs)
