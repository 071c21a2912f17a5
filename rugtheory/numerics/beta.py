r"""Integrals over the beta law, density u^(a-1) (1-u)^(b-1) / B(a, b) on [0, 1].

Moments of smooth functions take Gauss-Jacobi rules; functions with a kink take panels.  By the size
of t, the transform M(t) = E e^{tu} takes a Gauss rule, an integral on a path in the complex plane,
or the asymptotic series of both ends.

On the path z(u) = u [1 + iκ(1-u)] from 0 to 1, for Im t > 0,

.. math:: M(t) = E\left[e^{tz}\, [1+iκ(1-u)]^{a-1}\, [1-iκu]^{b-1}\, [1+iκ(1-2u)]\right] ,

and with κ = Im t Var(u)/(m(1-m)), at most 1, for the law tilted by e^{u Re t} with mean m, the
integrand does not oscillate where it is large.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import special

from .._check import Array
from .sums import over_rows

Complex = NDArray[np.complex128]
# Nodes of the Gauss rules for e^{tu}: so many, and one more for so much more of |t|.
_LEAST_NODES, _PER_NODE = 24, 3.4
_MOST_NODES = 256
# Tilted further than so many deviations, the law has its mass where the weights of a Gauss rule,
# which are good to rounding of the largest, have no digits.
_MOST_TILT = 0.5
# The asymptotic series of either end is good beyond this and the square of a + b.
_FAR = 50.0
_ORDER = 16
# Panels: ratio of the ends, and length in deviations of the law tilted to where the panel is.
_RATIO, _DEVIATIONS = 4.0, 2.5
_LEAST_MASS, _LEAST_DISTANCE = 1e-280, 1e-18
# A power of the distance from an end that rules on panels integrate without grading.
_MOST_POWER = 10
_CHUNK = 2**18
_OVERFLOW = 709.0


@cache
def gauss(n: int, a: float, b: float) -> tuple[Array, Array]:
    """Gauss rule of the law with `n` nodes; the weights add to 1."""
    # Three-term recurrence of the Jacobi polynomials with exponents b - 1 and a - 1, on [0, 1].
    k = np.arange(1.0, n)
    s = 2 * k + a + b - 2
    mean = np.append(a / (a + b), 0.5 + (a - b) * (a + b - 2) / (2 * s * (s + 2)))
    product = k * (k + a - 1) * (k + b - 1) / (s * s * (s + 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        square = product * (k + a + b - 2) / (s - 1)
    square[:1] = a * b / ((a + b) ** 2 * (a + b + 1))
    nodes, vectors = scipy.linalg.eigh_tridiagonal(mean, np.sqrt(square))
    weights = vectors[0] ** 2
    return np.clip(nodes, 0.0, 1.0), weights / weights.sum()


@cache
def breaks(a: float, b: float, *, tilted: bool = False) -> Array:
    """Ends of panels on [0, ½], descending, on which the law is smooth, or its tilts are too.

    The last is 0.  The other half has those of ``breaks(b, a)``, in the distance from 1.
    """
    points, u = [0.5], 0.5
    while True:
        step = _DEVIATIONS / math.sqrt(a * (1 - u) ** 2 + b * u * u)
        smooth = not tilted and a % 1 == 0 and a <= _MOST_POWER and u * max(b, 1.0) < 4
        if smooth or u < _LEAST_DISTANCE or special.betainc(a, b, u) < _LEAST_MASS:
            return np.append(points, 0.0)
        u = float(special.expit(special.logit(u) - min(step, math.log(_RATIO))))
        points.append(u)


def density(u: Array, a: float, b: float) -> Array:
    """Probability density at `u` in [0, 1]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log = special.xlogy(a - 1, u) + special.xlog1py(b - 1, -u) - special.betaln(a, b)
        return np.asarray(np.exp(log))


def half(points: Array, a: float, b: float, rule: tuple[Array, Array]) -> tuple[Array, Array]:
    """Nodes v and weights ∝ v^(a-1) (1-v)^(b-1) dv on the panels between `points` in [0, ½].

    The factor that is left out is the same for ``half(…, b, a)`` of the other half.  `points` has
    the panels along its first axis, `rule` is a rule on [-1, 1].
    """
    # v = w^(1/k), k = min(a, 1), takes an integrable singularity out of the weight.
    k = min(a, 1.0)
    ends = np.sort(points, axis=0) ** k
    x, share = rule
    length = np.diff(ends, axis=0)
    w = ends[:-1] + length * (1 + x[:, None, None]) / 2
    weights = length * share[:, None, None] / 2
    shape = (x.size * len(length), *points.shape[1:])
    w, weights = w.reshape(shape), weights.reshape(shape)
    v = w ** (1 / k)
    # Relative to the mean, where the two terms change by little: their sum keeps its digits.
    m, rest = a / (a + b), b / (a + b)
    shift = v - m
    with np.errstate(divide="ignore", invalid="ignore"):
        log = special.xlog1py(a - k, np.maximum(shift / m, -1.0)) + special.xlog1py(
            b - 1, -shift / rest
        )
    # What the substitution left out: v^(k-1) dv = dw/k, and m^(a-k) for m^(a-1).
    scale = np.exp(log - _offset(a, b)) / k * m ** (1 - k)
    return v, weights * scale


def _offset(a: float, b: float) -> float:
    """Keeps weights within the range of doubles."""
    m, rest = a / (a + b), b / (a + b)
    return float(special.betaln(a, b) - special.xlogy(a - 1, m) - special.xlogy(b - 1, rest))


def both(
    lower: Array, upper: Array, a: float, b: float, rule: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    """Nodes u, their distances 1 - u from the other end, and weights that add to 1.

    `lower` and `upper` are ends of panels, in the distance from 0 and from 1.
    """
    left, weight_left = half(lower, a, b, rule)
    right, weight_right = half(upper, b, a, rule)
    weights = np.concatenate([weight_left, weight_right])
    u = np.concatenate([left, 1 - right])
    return u, np.concatenate([1 - left, right]), weights / over_rows(weights)


def transform(t: Complex, a: float, b: float) -> Complex:
    """E e^{tu} at complex `t`, to about 1e-14 of its value at the real part of `t`."""
    value = np.empty_like(t)
    size = np.abs(t)
    far = size > _FAR + (a + b) ** 2
    value[far] = _ends(t[far], a, b)
    deviation = math.sqrt(a * b / (a + b + 1)) / (a + b)
    near = ~far & (np.abs(t.real) * deviation <= max(_MOST_TILT, 12 * deviation))
    sizes = [0.0]
    n = _LEAST_NODES
    while n <= _MOST_NODES:
        sizes.append((n - _LEAST_NODES + 8) * _PER_NODE)
        n = n * 3 // 2
    for low, high in pairwise(sizes):
        some = near & (size >= low) & (size < high)
        if some.any():
            nodes, weights = gauss(_LEAST_NODES + math.ceil(high / _PER_NODE), a, b)
            value[some] = _sum(t[some], nodes, weights)
    middle = ~far & ~(near & (size < sizes[-1]))
    if middle.any():
        value[middle] = _on_path(t[middle], a, b)
    return value


def _sum(t: Complex, nodes: Array, weights: Array) -> Complex:
    total = np.zeros_like(t)
    for u, w in zip(nodes, weights, strict=True):
        total += w * np.exp(t * u)
    return total


def _on_path(t: Complex, a: float, b: float) -> Complex:
    """The integral on the path z(u), where the exponential turns too often for a real one."""
    rule = special.roots_legendre(_ORDER)
    lower, upper = breaks(a, b, tilted=True), breaks(b, a, tilted=True)
    u, v, weights = both(lower[:, None], upper[:, None], a, b, rule)
    u, v, weights = u[:, 0], v[:, 0], weights[:, 0]
    kept = weights > 0
    u, v, log_weight = u[kept], v[kept], np.log(weights[kept])
    value = np.empty_like(t)
    length = max(1, _CHUNK // u.size)
    for start in range(0, t.size, length):
        part = slice(start, start + length)
        x, y = t[part].real[:, None], np.abs(t[part].imag)[:, None]
        m = _tilted_mean(x, a, b)
        kappa = np.minimum(y * m * (1 - m) / (a * (1 - m) ** 2 + b * m * m), 1.0)
        z = u * (1 + 1j * kappa * v)
        log = (x + 1j * y) * z + (a - 1) * np.log1p(1j * kappa * v) + log_weight
        log += (b - 1) * np.log1p(-1j * kappa * u)
        found = (np.exp(log) * (1 + 1j * kappa * (v - u))).sum(axis=1)
        found[log.real.max(axis=1) > _OVERFLOW] = np.inf
        value[part] = np.where(t[part].imag < 0, found.conj(), found)
    return value


def _tilted_mean(x: Array, a: float, b: float) -> Array:
    """About the mean of the law times e^{xu}: where a/u + x = b/(1-u)."""
    half = (x - a - b) / 2
    root = np.sqrt(half * half + a * x)
    # The root of x u² - 2 half u - a in (0, 1), in the form that does not cancel.
    return np.asarray(np.where(half > 0, (half + root) / np.where(x > 0, x, 1), a / (root - half)))


def _ends(z: Complex, a: float, b: float) -> Complex:
    """Both ends of [0, 1] in the asymptotic expansion of Kummer's function (DLMF 13.7.2)."""

    def end(exponent: float, other: float, z: Complex) -> Complex:
        term = total = np.ones_like(z)
        for n in range(30):
            term = term * ((exponent + n) * (1 - other + n) / (n + 1)) / z
            total = total + term
        log_scale = special.gammaln(a + b) - special.gammaln(other)
        return np.asarray(np.exp(log_scale - exponent * np.log(z)) * total)

    return np.asarray(end(a, b, -z) + np.exp(z) * end(b, a, z))
