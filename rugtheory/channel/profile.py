"""The least loss over a of a row at many thresholds at once, for scans.

The moments of ReLU(u + ν - t) and of what it misses come from the transform of ν along a few paths,
see `rugtheory.channel.inversion`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..numerics.circle import on_circle
from ..numerics.rectified import signed_tails
from ..source.amplitude import Amplitude, Complex
from .interference import Interference
from .inversion import windows
from .multiple import best_multiple, by_missed, by_passed
from .paths import PATHS, abscissas, log_transforms, period
from .row_loss import RowLaw

_NO_THRESHOLD = 1e-300


def thresholds(law: RowLaw) -> Array:
    """Where to look, ascending: all scales that the law of u + ν has."""
    amplitude, p, on = law.amplitude, law.p, law.on
    size, end = amplitude.scale, amplitude.jump
    mean, sigma = law.heard, np.sqrt(law.noise)
    # Up to where the noise is as rare as the signal, and down to the linear decoder.
    flank = np.sqrt(8 / 3 * np.log(1 / p)) + np.sqrt(2 * np.log1p(size / sigma)) + 3
    linear = -p * amplitude.mean * law.noise / law.variance if law.variance > 0 else -size
    rare = min(on.mean_size, float(sigma))
    edges = np.append(0.0, [max(amplitude.start, -end), end])
    pieces = [
        np.zeros(1),
        mean + sigma * np.linspace(-4, 0, 9),
        mean + sigma * flank * np.linspace(0.03, 1, 20),
        mean + linear * np.geomspace(0.01, 1.5, 12),
        size * np.linspace(0.05, 1.6, 16),
        np.outer([-1, 1], rare * np.geomspace(0.05, 8, 10)).ravel(),
        np.add.outer(on.strongest(8), edges).ravel(),
        edges,
    ]
    return np.unique(np.concatenate(pieces))


class Profile:
    """The least loss over a at many thresholds at once, for a scan.

    Parameters
    ----------
    law : RowLaw
    nodes : int
        Of each path.
    """

    def __init__(self, law: RowLaw, nodes: int) -> None:
        self.law = law
        paths = _transforms(law.on, law.amplitude, nodes)
        self._on = [x.with_feature(law.amplitude) for x in paths]
        if law.off is not law.on:
            paths = _transforms(law.off, law.amplitude, nodes)
        self._off = [x.alone() for x in paths]

    def __call__(self, t: Array) -> tuple[Array, Array]:
        """The losses and the best a, which is positive."""
        law, p, amplitude = self.law, self.law.p, self.law.amplitude
        some, _, second = heard = _heard(law.on, t)
        # Where nothing interferes but noise, of e = u - h and h = ReLU(u + noise - t).
        kink = np.maximum(t, 0.0)
        u, share = amplitude.resolving(kink, 1e-9 * np.abs(t) + law.on.noise + _NO_THRESHOLD)
        none = float(np.exp(law.on.log_none))
        quiet = (none * np.sum(share * x, axis=0) for x in rectified_moments(u, t, law.on.noise))
        moments = self._moments_on(t, heard)
        ee, eh, hh = (x + y for x, y in zip(moments, quiet, strict=True))
        _, _, passed = rectified_moments(np.zeros_like(t), t, law.off.noise)
        off = (1 - p) * (self._moment_off(t) + np.exp(law.off.log_none) * passed)
        size = np.minimum(second, amplitude.second_moment * some)
        return best_multiple(law, (ee, eh, hh), off, p * size + off)

    def _moments_on(self, t: Array, heard: tuple[float, Array, Array]) -> Array:
        """Where the feature and some interferers are on, each by the path of least integrand."""
        (some, first, second), amplitude = heard, self.law.amplitude
        found = np.zeros((3, t.size))
        for path, at in _least(self._on, t):
            square, cross = path.integrals(t[at])
            if path.alpha > 0:
                found[:, at] = by_passed(amplitude, some, (square, cross))
            else:
                given = some, first[at], second[at]
                found[:, at] = by_missed(amplitude, given, (square, cross))
        return found

    def _moment_off(self, t: Array) -> Array:
        """E[(Z - t)₊²; some on] where the feature is off."""
        found, (_, _, second) = np.zeros(t.size), _heard(self.law.off, t)
        for path, at in _least(self._off, t):
            (square,) = path.integrals(t[at])
            found[at] = square if path.alpha > 0 else second[at] - square
        return np.maximum(found, 0.0)


def _heard(law: Interference, t: Array) -> tuple[float, Array, Array]:
    """P(some on), E[Z - t; some on] and E[(Z - t)²; some on]."""
    some = law.some
    square = law.variance + some * law.noise**2 + law.mean**2
    return some, law.mean - t * some, square - 2 * t * law.mean + t * t * some


def _least(paths: list[_Path], t: Array) -> Iterator[tuple[_Path, NDArray[np.intp]]]:
    """Each path, and the numbers of the thresholds at which its integrand is least."""
    if paths:
        best = np.argmin([x.log_size - x.alpha * t for x in paths], axis=0)
        for k in np.unique(best):
            yield paths[k], np.flatnonzero(best == k)


@dataclass(frozen=True)
class _Path:
    """Integrands along Re s = α, without the factors e^{-st} and e^{log_size}.

    `log_feature` is that of the feature's own transform, +inf where it does not go along.
    """

    alpha: float
    log_size: float
    log_feature: float
    period: float
    s: Complex
    values: Complex

    def integrals(self, t: Array) -> Array:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            factor = np.exp(self.log_size - self.alpha * t) * 2 / self.period
            phase = on_circle(np.multiply.outer(-self.s.imag, t))
            # A product this small needs no threads.
            value = factor * np.einsum("kn,nt->kt", self.values, phase).real
        return np.asarray(np.where(np.isfinite(value), value, 0.0))

    def alone(self) -> _Path:
        """Of E[(Z - t)₊²; some on], on the left E[(t - Z)₊²; some on]."""
        side = np.sign(self.alpha)
        return self._times((side * 2 / self.s**3)[None], 0.0)

    def with_feature(self, amplitude: Amplitude) -> _Path:
        """Of E v₊² and E u v₊ with v = u + Z - t, on the left E (-v)₊² and E u (-v)₊."""
        if not np.isfinite(self.log_feature):
            return replace(self, log_size=np.inf, values=np.zeros((2, self.s.size), complex))
        side = np.sign(self.alpha)
        on, cross = (amplitude.transform(self.s, k) for k in (0, 1))
        return self._times(np.stack([side * 2 * on / self.s, cross]) / self.s**2, self.log_feature)

    def _times(self, kernels: Complex, log_size: float) -> _Path:
        log_size += float(np.log(2 / abs(self.alpha) ** 3))
        values = self.values * (kernels * np.exp(-log_size))
        return replace(self, log_size=self.log_size + log_size, values=values)


def _transforms(law: Interference, amplitude: Amplitude, nodes: int) -> list[_Path]:
    """Of Z, along paths left and right of the imaginary axis."""
    whole, (low, high) = max(law.spread, law.jump / 2), law.domain()
    if not whole > 0:
        return []
    found = []
    for side, *bounds in ((-1, -low, -amplitude.least_abscissa), (1, high, amplitude.abscissa)):
        # What is far on the other side does not matter, nor does less than the feature itself.
        scale = min(whole, max(law.extent(side), amplitude.scale) + law.noise)
        for x in PATHS:
            alphas = side * np.array(abscissas(x, scale, *bounds))
            found.append(_transform(law, alphas, log_transforms(amplitude, alphas), nodes))
    return found


def _transform(law: Interference, alphas: Array, log_feature: Array, nodes: int) -> _Path:
    alpha, log_size = float(alphas[0]), law.log_mgf(alphas)
    with np.errstate(invalid="ignore"):
        growth = (float(x[1] - x[0]) for x in (log_size, log_feature))
        long, enough = period(*np.abs(alphas), *growth)
    s = np.asarray(alpha + 1j * (np.arange(nodes) + 0.5) * (2 * np.pi / long), np.complex128)
    sizes = float(log_size[0]), float(log_feature[0]) if enough else np.inf
    if not np.isfinite(sizes[0]):
        return _Path(alpha, np.inf, np.inf, float(long), s, np.zeros(nodes, complex))
    transform, _ = law.mgf(s, np.full_like(s, -sizes[0]))
    return _Path(alpha, *sizes, float(long), s, transform * windows(nodes)[0])


def rectified_moments(u: Array, t: Array, sigma: float) -> tuple[Array, Array, Array]:
    """E e², E e h and E h² of h = (u + σz - t)₊ and e = u - h, with z from N(0, 1)."""
    if not sigma:
        h = np.maximum(u - t, 0.0)
        return (u - h) ** 2, (u - h) * h, h * h
    # Where h > 0, e is t - σz.
    tail = signed_tails((t - u) / sigma)
    passed = sigma * tail.phi
    left = t * t * tail.g0 - (t + u) * passed + sigma * sigma * tail.g0
    h, hh = sigma * tail.g1, 2 * sigma * sigma * tail.g2
    return u * u * (1 - tail.g0) + left, t * h - sigma * sigma * tail.g0, hh
