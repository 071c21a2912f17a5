r"""The least loss of many rows at a time, by a scan.

Rows whose interferers are of a few kinds, Z = Σ_k w_k (sum of n_k features), as those of graph
codes or of small codes, have transforms that make one array.  In units of its own scale each has
the same paths of integration, see `rugtheory.channel.profile`, and along a path of m² nodes, all
equally far apart,

.. math:: Σ_{i,j} v_{ij} z^{mi + j} = Σ_i z^{mi} Σ_j v_{ij} z^j , \qquad z = e^{-iht} ,

takes 2m powers for each threshold t.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .._check import Array
from ..numerics.circle import on_circle
from ..numerics.search import polynomial_minimum, sample_points
from ..source.amplitude import Complex
from ..source.sparse import SparseSource
from .inversion import windows
from .multiple import best_multiple, by_missed, by_passed
from .paths import PATHS, abscissas, log_transforms, period
from .row_loss import Least
from .terms import log1p

_TINY = 1e-300
_ZOOMS = 1


class Lowest(NamedTuple):
    """The least loss found of each row, with a and threshold."""

    loss: Array
    a: Array
    threshold: Array


def together(source: SparseSource) -> bool:
    """Whether scans of rows can be taken together: amplitudes have a density, and may be off."""
    return source.amplitude.atoms() is None and bool(source.p < 1)


def lowest_of(each: list[Least]) -> Lowest:
    """Those of single rows."""
    return Lowest(*np.array([(x.loss, x.a, x.threshold) for x in each]).reshape(-1, 3).T)


class Rows:
    """Rows with a diagonal of 1.

    Parameters
    ----------
    weights, counts : ndarray, shape (rows, kinds)
        Of the interferers of each kind, and how many there are.
    source : SparseSource
        All features.
    root : int
        Root of the number of nodes of a path.
    """

    def __init__(self, weights: Array, counts: Array, source: SparseSource, root: int) -> None:
        self.source, self.weights, self.counts = source, weights, counts * (weights != 0)
        law, p = source.amplitude, float(source.p)
        self.p = p
        self.mean = p * law.mean * self._sum(weights)
        self.variance = float(source.variance) * self._sum(weights**2)
        self.log_none = self._sum(np.ones_like(weights)) * float(np.log1p(-p))
        spread = np.sqrt(p * law.second_moment * self._sum(weights**2))
        self._whole = np.maximum(spread, law.jump / 2 * np.abs(weights).max(axis=1))
        self._paths = list(self._all_paths(root))

    def _sum(self, each: Array) -> Array:
        return np.asarray((self.counts * each).sum(axis=1))

    def _abscissas(self, side: float, x: float) -> tuple[Array, Array]:
        """Chosen as by `profile`, moduli."""
        law = self.source.amplitude
        end = law.abscissa / np.maximum(np.abs(self.weights), _TINY)
        end[(self.counts == 0) | (side * self.weights <= 0)] = np.inf
        extent = np.sqrt(law.second_moment * self._sum(np.maximum(side * self.weights, 0.0) ** 2))
        scale = np.minimum(self._whole, np.maximum(extent, law.scale))
        return abscissas(x, scale, end.min(axis=1), law.abscissa if side > 0 else np.inf)

    def _all_paths(self, root: int) -> Iterator[_Path]:
        law, sides, nodes = self.source.amplitude, np.repeat([-1.0, 1.0], len(PATHS)), root * root
        each = [self._abscissas(side, x) for side, x in zip(sides, PATHS * 2, strict=True)]
        moduli = np.transpose(each, (1, 2, 0))  # (α and α', rows, paths)
        real = sides * moduli
        every = [self._log_transform(x.astype(complex), real=True)[1].real for x in real]
        log_sizes, feature = np.stack(every), log_transforms(law, real)
        with np.errstate(invalid="ignore"):
            growth = (x[1] - x[0] for x in (log_sizes, feature))
            long, enough = period(*moduli, *growth)
        feature = np.where(enough, feature[0], np.inf)
        alpha, step = real[0], 2 * np.pi / long
        s: Complex = alpha[..., None] + 1j * step[..., None] * (np.arange(nodes) + 0.5)
        q, log = self._log_transform(s.reshape(len(s), -1))
        q, log = q.reshape(s.shape), log.reshape(s.shape) - log_sizes[0][..., None]
        none = np.exp(self.log_none[:, None] - log_sizes[0])[..., None]
        near = np.abs(q) < 1
        value = np.exp(log) - none
        value[near] = np.broadcast_to(none, q.shape)[near] * np.expm1(q[near])
        value *= windows(nodes)[0]
        value /= s * s
        for k, side in enumerate(sides):
            z: Complex = s[:, k]
            kernels = side * 2 * law.transform(z, 0) / z, law.transform(z, 1), side * 2 / z
            values = np.stack([value[:, k] * x for x in kernels])
            sizes = log_sizes[0, :, k], feature[:, k]
            yield _Path(alpha[:, k], *sizes, step[:, k], values.reshape(3, -1, root, root))

    def _log_transform(self, s: Complex, *, real: bool = False) -> tuple[Complex, Complex]:
        """Q with E[e^{sZ}; some on] = P₀ expm1(Q), and its logarithm where it is large."""
        odds = self.p / (1 - self.p)
        q = np.zeros_like(s)
        for w, count in zip(self.weights.T, self.counts.T, strict=True):
            some = count > 0
            each = odds * self.source.amplitude.transform(s[some] * w[some, None], 0)
            q[some] += count[some, None] * log1p(each)
        log = q + self.log_none[:, None]
        if real:
            log = np.where(q.real < 30, self.log_none[:, None] + np.log(_expm1(q)), log)
        return q, log

    def losses(self, t: Array) -> tuple[Array, Array]:
        """The least loss over a at thresholds, shape (rows, thresholds), and the best a."""
        law, p = self.source.amplitude, self.p
        some, none = -np.expm1(self.log_none)[:, None], np.exp(self.log_none)[:, None]
        mean, variance = self.mean[:, None], self.variance[:, None]
        first = mean - t * some
        second = variance + mean**2 - 2 * t * mean + t * t * some
        moments, passed = self._moments(t, (some, first, second))
        kink = np.maximum(t, 0.0).ravel()
        u, share = law.resolving(kink, 1e-9 * kink + _TINY)
        h = np.maximum(u - t.ravel(), 0.0)
        e = u - h
        quiet = (none * np.sum(share * y, axis=0).reshape(t.shape) for y in (e * e, e * h, h * h))
        ee, eh, hh = (x + y for x, y in zip(moments, quiet, strict=True))
        off = (1 - p) * (np.maximum(passed, 0.0) + none * np.maximum(-t, 0.0) ** 2)
        size = np.minimum(second, law.second_moment * some)
        return best_multiple(self.source, (ee, eh, hh), off, p * size + off)

    def _moments(self, t: Array, heard: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        """Where the feature is on, and E[(Z - t)₊²; some on], by paths of least integrand."""
        law, second = self.source.amplitude, heard[2]
        found = np.zeros((4, *t.shape))
        least = np.full((2, *t.shape), np.inf)
        for path in self._paths:
            square, cross, off = path.integrals(t)
            # Where an integrand is large another path is taken.
            with np.errstate(over="ignore", invalid="ignore"):
                if path.alpha[0] > 0:
                    moments = by_passed(law, heard[0], (square, cross))
                else:
                    moments, off = by_missed(law, heard, (square, cross)), second - off
            alone = path.size(t)
            sizes = alone + path.log_feature[:, None], alone
            on, other = (x < y for x, y in zip(sizes, least, strict=True))
            for one, y in zip(found, moments, strict=False):
                one[on] = y[on]
            found[3][other] = off[other]
            least = np.minimum(sizes, least)
        return found[:3], found[3]

    def thresholds(self) -> Array:
        """Where to look, ascending along the last axis: all scales there are."""
        law, p = self.source.amplitude, self.p
        size, sigma = law.scale, np.sqrt(self.variance)
        flank = np.sqrt(8 / 3 * np.log(1 / p)) + np.sqrt(2 * np.log1p(size / sigma)) + 3
        linear = -p * law.mean * self.variance / float(self.source.variance)
        rare = np.minimum(p * law.mean * self._sum(np.abs(self.weights)), sigma)
        most = np.abs(self.weights).max(axis=1) * law.jump
        mean, sigma, linear, rare, most = (
            x[:, None] for x in (self.mean, sigma, linear, rare, most)
        )
        pieces = [
            np.zeros_like(mean),
            mean + sigma * np.linspace(-4, 0, 9),
            mean + sigma * flank[:, None] * np.linspace(0.03, 1, 16),
            mean + linear * np.geomspace(0.01, 1.5, 10),
            size * np.linspace(0.05, 1.6, 10) + 0 * mean,
            rare * np.geomspace(0.05, 8, 7),
            -rare * np.geomspace(0.05, 8, 7),
            most * np.array([-2.0, -1.0, 1.0]),
        ]
        return np.sort(np.concatenate(pieces, axis=1), axis=1)

    def lowest(self, t: Array) -> Lowest:
        """The best of thresholds in ascending order, and between them."""
        for _ in range(_ZOOMS + 1):
            loss, a = self.losses(t)
            k = np.argmin(loss, axis=1)
            rows, last = np.arange(k.size), t.shape[1] - 1
            low, high = t[rows, np.maximum(k - 1, 0)], t[rows, np.minimum(k + 1, last)]
            found = Lowest(loss[rows, k], a[rows, k], t[rows, k])
            centre, half = (low + high) / 2, (high - low) / 2
            t = centre[:, None] + half[:, None] * sample_points()
        threshold = centre + half * polynomial_minimum(self.losses(t)[0].T).at
        loss, a = self.losses(threshold[:, None])
        better = loss[:, 0] < found.loss
        between = Lowest(loss[:, 0], a[:, 0], threshold)
        return Lowest(*(np.where(better, x, y) for x, y in zip(between, found, strict=True)))


class _Path(NamedTuple):
    """Values at nodes α + i·step·(k + ½) without e^{-st + log_size}.

    They have the shape (3, rows, root, root): as those of `profile`, with the feature and alone.
    """

    alpha: Array
    log_size: Array
    log_feature: Array
    step: Array
    values: Complex

    def size(self, t: Array) -> Array:
        """Logarithm of the integrand on the real axis."""
        kernel = np.log(2 / np.abs(self.alpha) ** 3)
        return np.asarray((self.log_size + kernel)[:, None] - self.alpha[:, None] * t)

    def integrals(self, t: Array) -> Array:
        root = self.values.shape[-1]
        half = on_circle(-0.5 * self.step[:, None] * t)
        turn = half * half
        fine = _powers(turn, root)
        inner = self.values @ fine
        coarse = _powers(fine[:, -1] * turn, root)
        sums = (inner * coarse).sum(axis=-2) * half
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            size = np.exp(self.log_size[:, None] - self.alpha[:, None] * t)
            value = size * self.step[:, None] / np.pi * sums.real
        return np.asarray(np.where(np.isfinite(value), value, 0.0))


def _powers(z: Complex, n: int) -> Complex:
    """From 0 to n - 1, along the last axis but one."""
    steps = np.broadcast_to(z[..., None, :], (*z.shape[:-1], n, z.shape[-1])).copy()
    steps[..., 0, :] = 1
    return np.asarray(np.cumprod(steps, axis=-2))


def _expm1(q: Complex) -> Complex:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.expm1(q))
