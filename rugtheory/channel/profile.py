"""The least loss over a of a row at many thresholds at once, for scans.

The moments of ReLU(u + ν - t) and of what it misses come from the transform of ν along a few paths,
see `rugtheory.channel.inversion`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.polynomial import hermite_e

from .._check import Array
from ..numerics.circle import on_circle
from ..source.amplitude import Amplitude, Complex
from .interference import Interference
from .inversion import windows
from .multiple import best_multiple
from .row_loss import RowLaw

# Paths of integration, in units of the inverse scale of the interference.
PATHS = (0.7, 4.0)
# Images of a midpoint rule are below exp of this.
LOG_IMAGES = 24.0
_NO_THRESHOLD = 1e-300
_NORMAL_NODES = 24


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
        self._paths = {side: self._found(side, nodes) for side in (1, -1)}

    def _found(self, side: int, nodes: int) -> list[_Path]:
        """Paths right of the imaginary axis, for the feature off, or left of it, for it on."""
        heard = self.law.off if side > 0 else self.law.on
        low, high = heard.domain()
        bound = high if side > 0 else -low
        scale = max(heard.spread, heard.jump / 2)
        if not scale > 0:
            return []
        alphas = (side * min(x / scale, x / (1 + x) * bound) for x in PATHS)
        return [_path(heard, self.law.amplitude, x, nodes) for x in alphas]

    def __call__(self, t: Array) -> tuple[Array, Array]:
        """The losses and the best a, which is positive."""
        law, p, amplitude = self.law, self.law.p, self.law.amplitude
        on, some = law.on, law.on.some
        square = on.variance + some * on.noise**2 + on.mean**2
        first, second = on.mean - t * some, square - 2 * t * on.mean + t * t * some
        (off,) = self._moments(1, t)
        missed, crossed = self._moments(-1, t)
        # Where nothing interferes but noise, of e = u - h and h = ReLU(u + noise - t).
        noise, chance = _normal(law.on.noise)
        kink = np.maximum(t, 0.0)
        u, share = amplitude.resolving(kink, 1e-9 * np.abs(t) + on.noise + _NO_THRESHOLD)
        h = np.maximum(u[..., None] + noise - t[..., None], 0.0)
        e = u[..., None] - h
        none = float(np.exp(on.log_none))
        ee, eh, hh = (none * np.sum(share * (y @ chance), axis=0) for y in (e * e, e * h, h * h))
        quiet = np.exp(law.off.log_none) * (np.maximum(noise - t[:, None], 0.0) ** 2 @ chance)
        off = (1 - p) * (np.maximum(off, 0.0) + quiet)
        heard, screened = (some, first, second), (missed, crossed)
        return best_multiple(law, heard, screened, off, (ee, eh, hh))

    def _moments(self, side: int, t: Array) -> Array:
        """Each by the path whose integrand is least."""
        paths = self._paths[side]
        if not paths:
            return np.zeros((1 if side > 0 else 2, t.size))
        best = np.argmin([x.log_size - x.alpha * t for x in paths], axis=0)
        found = np.zeros((1 if side > 0 else 2, t.size))
        for k, path in enumerate(paths):
            found[:, best == k] = path.moments(t[best == k])
        return found


@dataclass(frozen=True)
class _Path:
    """Integrands along Re s = α, without the factors e^{-st} and e^{log_size}.

    On the right E(Z - t)₊², on the left E(t - u - Z)₊² and E u (t - u - Z)₊, without Z = 0.
    """

    alpha: float
    log_size: float
    step: float
    s: Complex
    values: Complex

    def moments(self, t: Array) -> Array:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            factor = np.exp(self.log_size - self.alpha * t) * self.step / np.pi
            phase = on_circle(np.multiply.outer(-self.s.imag, t))
            # A product this small needs no threads.
            value = factor * np.einsum("kn,nt->kt", self.values, phase).real
        return np.asarray(np.where(np.isfinite(value), value, 0.0))


def _path(law: Interference, amplitude: Amplitude, alpha: float, nodes: int) -> _Path:
    step = 2 * np.pi * abs(alpha) / LOG_IMAGES
    x = (np.arange(nodes) + 0.5) / nodes
    s = np.asarray(alpha + 1j * nodes * x * step, np.complex128)
    log_size = float(law.log_mgf(np.array([alpha]))[0])
    if not np.isfinite(log_size):
        return _Path(alpha, np.inf, step, s, np.zeros((1 if alpha > 0 else 2, nodes), complex))
    transform, _ = law.mgf(s, np.full_like(s, -log_size))
    transform = transform * windows(nodes)[0]
    if alpha > 0:
        return _Path(alpha, log_size, step, s, (2 * transform / s**3)[None])
    on, cross = (amplitude.transform(s, k) for k in (0, 1))
    return _Path(alpha, log_size, step, s, transform * np.stack([-2 * on / s, cross]) / s**2)


@cache
def _normal(noise: float) -> tuple[Array, Array]:
    """Nodes and weights of N(0, noise²)."""
    if not noise:
        return np.zeros(1), np.ones(1)
    x, w = hermite_e.hermegauss(_NORMAL_NODES)
    return noise * x, w / w.sum()
