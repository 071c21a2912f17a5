r"""The least loss of many rows at a time, by a scan.

Rows whose interferers are of a few kinds, Z = Σ_k w_k (sum of n_k features), as those of graph
codes or of small codes, have transforms that make one array.  In units of its own scale each has
the same paths of integration, see `rugtheory.channel.profile`, and along a path of m² nodes, all
equally far apart,

.. math:: Σ_{i,j} v_{ij} z^{mi + j} = Σ_i z^{mi} Σ_j v_{ij} z^j , \qquad z = e^{-iht} ,

takes 2m powers for each threshold t.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._check import Array
from ..numerics.search import polynomial_minimum, sample_points
from ..source.amplitude import Complex
from ..source.sparse import SparseSource
from .inversion import windows
from .multiple import best_multiple
from .profile import LOG_IMAGES, PATHS
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
        self._scale = np.maximum(spread, law.jump / 2 * np.abs(weights).max(axis=1))
        self._paths = [[self._path(side, x, root) for x in PATHS] for side in (1, -1)]

    def _sum(self, each: Array) -> Array:
        return np.asarray((self.counts * each).sum(axis=1))

    def _edges(self) -> tuple[Array, Array]:
        """How far to the right, and to the left, the transforms are finite."""
        end = self.source.amplitude.abscissa / np.maximum(np.abs(self.weights), _TINY)
        end[self.counts == 0] = np.inf
        up = self.weights > 0
        return np.where(up, end, np.inf).min(axis=1), np.where(up, np.inf, end).min(axis=1)

    def _path(self, side: int, far: float, root: int) -> _Path:
        law = self.source.amplitude
        edge = self._edges()[0 if side > 0 else 1]
        alpha = side * np.minimum(far / self._scale, far / (1 + far) * edge)
        step = 2 * np.pi * np.abs(alpha) / LOG_IMAGES
        nodes = root * root
        s = alpha[:, None] + 1j * step[:, None] * (np.arange(nodes) + 0.5)
        log_size = self._log_transform(alpha[:, None].astype(complex))[1][:, 0].real
        q, log = self._log_transform(s)
        log = log - log_size[:, None]
        none = np.exp(self.log_none - log_size)[:, None]
        near = np.abs(q) < 1
        value = np.exp(log) - none
        value[near] = np.broadcast_to(none, q.shape)[near] * np.expm1(q[near])
        value *= windows(nodes)[0]
        if side > 0:
            values = (2 * value / s**3)[None]
        else:
            on, cross = (law.transform(s, k) for k in (0, 1))
            values = value * np.stack([-2 * on / s, cross]) / s**2
        return _Path(alpha, log_size, step, values.reshape(*values.shape[:2], root, root))

    def _log_transform(self, s: Complex) -> tuple[Complex, Complex]:
        """Q with E[e^{sZ}; some on] = P₀ expm1(Q), and its logarithm where it is large."""
        odds = self.p / (1 - self.p)
        q = np.zeros_like(s)
        for w, count in zip(self.weights.T, self.counts.T, strict=True):
            some = count > 0
            each = odds * self.source.amplitude.transform(s[some] * w[some, None], 0)
            q[some] += count[some, None] * log1p(each)
        log = q + self.log_none[:, None]
        if s.shape[1] == 1:  # on the real axis
            log = np.where(q.real < 30, self.log_none[:, None] + np.log(_expm1(q)), log)
        return q, log

    def losses(self, t: Array) -> tuple[Array, Array]:
        """The least loss over a at thresholds, shape (rows, thresholds), and the best a."""
        law, p = self.source.amplitude, self.p
        (off,) = self._moments(0, t)
        missed, crossed = self._moments(1, t)
        some, none = -np.expm1(self.log_none)[:, None], np.exp(self.log_none)[:, None]
        mean, variance = self.mean[:, None], self.variance[:, None]
        first = mean - t * some
        second = variance + mean**2 - 2 * t * mean + t * t * some
        kink = np.maximum(t, 0.0).ravel()
        u, share = law.resolving(kink, 1e-9 * kink + _TINY)
        h = np.maximum(u - t.ravel(), 0.0)
        e = u - h
        quiet = [none * np.sum(share * y, axis=0).reshape(t.shape) for y in (e * e, e * h, h * h)]
        off = (1 - p) * (np.maximum(off, 0.0) + none * np.maximum(-t, 0.0) ** 2)
        heard, screened = (some, first, second), (missed, crossed)
        ee, eh, hh = quiet
        return best_multiple(self.source, heard, screened, off, (ee, eh, hh))

    def _moments(self, side: int, t: Array) -> Array:
        """Each by the path whose integrand is least."""
        near, far = self._paths[side]
        first, second = (x.log_size[:, None] - x.alpha[:, None] * t for x in (near, far))
        return np.where(first <= second, near.moments(t), far.moments(t))

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

    They have the shape (…, rows, root, root).
    """

    alpha: Array
    log_size: Array
    step: Array
    values: Complex

    def moments(self, t: Array) -> Array:
        root = self.values.shape[-1]
        turn = np.exp(-1j * self.step[:, None] * t)[:, None]
        fine = turn ** np.arange(root)[:, None]
        inner = self.values @ fine
        coarse = (turn**root) ** np.arange(root)[:, None]
        sums = (inner * coarse).sum(axis=-2) * np.exp(-0.5j * self.step[:, None] * t)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            size = np.exp(self.log_size[:, None] - self.alpha[:, None] * t)
            value = size * self.step[:, None] / np.pi * sums.real
        return np.asarray(np.where(np.isfinite(value), value, 0.0))


def _expm1(q: Complex) -> Complex:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.expm1(q))
