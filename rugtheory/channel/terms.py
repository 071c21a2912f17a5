"""Independent terms of a sum, those of one amplitude law together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude, Complex
from ..source.sparse import SparseSource
from .part import Part

_EPS = float(np.finfo(float).eps)
# Error allowed in Q where the integrand is largest.
_CONCENTRATED = 1e-13
_FIRST_NODES = 32
_CHUNK = 2**18


@dataclass(frozen=True, eq=False)
class Terms(Part):
    """Σ_j w_j c_j u_j for independent c_j and u_j of one amplitude law.

    Attributes
    ----------
    weights : ndarray, shape (n,)
        None of them zero, by decreasing modulus.
    p : float or ndarray, shape (n,)
        Probability that each term is on: all 1, or all below.
    amplitude : Amplitude
    """

    weights: Array
    p: float | Array
    amplitude: Amplitude

    @cached_property
    def _certain(self) -> bool:
        return bool(np.all(np.asarray(self.p) == 1))

    @cached_property
    def _odds(self) -> float | Array:
        return 1.0 if self._certain else self.p / (1 - self.p)

    @cached_property
    def _counted(self) -> tuple[Array, Array]:
        """Weights, each once if they have one p, and how often they are there."""
        if isinstance(self.p, np.ndarray):
            return self.weights, np.ones(self.weights.size)
        distinct, counts = np.unique(self.weights, return_counts=True)
        return distinct, counts.astype(float)

    @cached_property
    def log_none(self) -> float:
        if not self.weights.size:
            return 0.0
        if self._certain:
            return -np.inf
        if isinstance(self.p, np.ndarray):
            return float(np.sum(np.log1p(-self.p)))
        return self.weights.size * float(np.log1p(-self.p))

    @property
    def laws(self) -> set[Amplitude]:
        return {self.amplitude}

    @cached_property
    def mean(self) -> float:
        if isinstance(self.p, np.ndarray):
            return float(self.weights @ self.p) * self.amplitude.mean
        return self.p * self.amplitude.mean * float(self.weights.sum())

    @cached_property
    def variance(self) -> float:
        each = SparseSource(self.p, self.amplitude).variance
        if isinstance(self.p, np.ndarray):
            return float(self.weights**2 @ each)
        return float(each) * float(self.weights @ self.weights)

    @property
    def cumulants(self) -> Array:
        each = SparseSource(self.p, self.amplitude).cumulants()
        powers = (np.sum(k * self.weights**n) for n, k in enumerate(each, 1))
        return np.array([float(x) for x in powers])

    @cached_property
    def second_moment(self) -> float:
        second = self.amplitude.second_moment
        if isinstance(self.p, np.ndarray):
            return second * float(self.weights**2 @ self.p)
        return self.p * second * float(self.weights @ self.weights)

    def by_law(self) -> list[tuple[Amplitude, Array]]:
        return [(self.amplitude, self.weights)]

    def scaled(self, by: float) -> Terms:
        return replace(self, weights=by * self.weights)

    def taken(self, mask: NDArray[np.bool_]) -> Terms:
        """Those of the terms that a mask takes."""
        p = self.p[mask] if isinstance(self.p, np.ndarray) else self.p
        return replace(self, weights=self.weights[mask], p=p)

    def relative_error(self, s: float) -> float:
        if not self.amplitude.transform_error:
            return 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            m = self.amplitude.transform((s * self.weights).astype(complex), 0).real
            shares = self.p * m / (1 - self.p + self.p * m)
        return self.amplitude.transform_error * float(np.sum(np.where(np.isfinite(m), shares, 1.0)))

    def exponent(self, s: Complex) -> tuple[Complex, Array]:
        splits = list(self._splits(s))
        if splits:
            direct = self._sum(s[[0, -1]], *self._counted)
        for kept, order in splits:
            strong, weak = self.weights[:kept], self.weights[kept:]
            nodes, counts = _concentrate(weak, order)
            q = self._sum(s, strong) + self._sum(s, nodes, counts)
            first, last = np.abs(q[[0, -1]] - direct)
            if first < _CONCENTRATED and last < 1e3 * _CONCENTRATED:
                return q, first + 4 * last * np.abs(s / s[-1]) + _rounding(q)
        q = self._sum(s, *self._counted)
        return q, np.broadcast_to(_rounding(q), s.shape)

    def _splits(self, s: Complex) -> Iterator[tuple[int, int]]:
        """Numbers of weights kept, and of nodes for the others, worth trying."""
        n, distinct = self.weights.size, self._counted[0].size
        if distinct < _FIRST_NODES or isinstance(self.p, np.ndarray) or self.p >= 0.5:
            return  # from p = ½ on the logarithm has branch points among small weights
        kept = np.unique(np.minimum(np.append(0, 2 ** np.arange(12)), n - 1))
        edge = np.abs(self.weights[kept])
        # None either where p E[e^{s w u}] / (1 - p) stays below 1 along the whole line.
        odds, abscissa = self.p / (1 - self.p), self.amplitude.abscissa
        real = np.minimum(edge * np.abs(s.real).max(), 0.999 * abscissa)
        with np.errstate(over="ignore", invalid="ignore"):
            regular = odds * self.amplitude.transform(real.astype(complex), 0).real < 0.9
            if self.amplitude.start < 0:
                regular &= odds * self.amplitude.transform(-real.astype(complex), 0).real < 0.9
        order = np.ceil(0.6 * edge * self.amplitude.extent * np.abs(s[-1]) + 16)
        for factor in (1.0, 1.6, 2.6, 4.0):
            cost = np.where(regular, kept + factor * order, np.inf)
            best = int(np.argmin(cost))
            if cost[best] < 0.5 * distinct:
                yield int(kept[best]), int(factor * order[best])

    def _sum(self, s: Complex, weights: Array, counts: Array | None = None) -> Complex:
        """Σ_j counts_j log(…w_j…), in chunks."""
        total = np.empty_like(s)
        size = max(1, _CHUNK // max(weights.size, 1))
        for start in range(0, s.size, size):
            part = slice(start, start + size)
            logs = self._log_term(s[part, None] * weights)
            # einsum takes no threads, which cost more than products this small.
            ones = np.ones(weights.size) if counts is None else counts
            total[part] = np.einsum("sj,j->s", logs, ones)
        return total

    def _log_term(self, t: Complex) -> Complex:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            mgf = self.amplitude.transform(t, 0)
            return np.asarray(np.log(mgf)) if self._certain else log1p(self._odds * mgf)


def _rounding(q: Complex) -> float:
    """Of a sum: relative to its terms, which are largest next to the real axis."""
    return float(4 * _EPS * np.abs(q[0]))


def log1p(z: Complex) -> Complex:
    # numpy's log1p of a complex number loses its real part near zero.
    x, y = z.real, z.imag
    log = np.empty_like(z)
    more = x * (2 + x) + y * y
    log.real = 0.5 * np.log1p(np.maximum(more, -0.5))
    # Next to z = -1 that is 1 less 1, where products of transforms that decay end.
    near = more < -0.5
    if near.any():
        log.real[near] = np.log(np.hypot(1 + x[near], y[near]))
    log.imag = np.arctan2(y, 1 + x)
    return log


def _concentrate(weights: Array, order: int) -> tuple[Array, Array]:
    """Chebyshev nodes and counts with Σ_j f(w_j) = Σ_k counts_k f(node_k) for smooth f."""
    width = np.abs(weights).max()
    x = chebyshev.chebpts1(order)
    sums = chebyshev.chebvander(weights / width, order - 1).sum(axis=0) * (2 / order)
    sums[0] /= 2
    return width * x, np.einsum("kj,j->k", chebyshev.chebvander(x, order - 1), sums)
