"""The least loss over a of a row at many thresholds at once, for scans.

The moments of ReLU(u + ν - t) and of what it misses come from the transform of ν along a few paths,
see `rugtheory.channel.inversion`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._check import Array
from ..numerics.circle import on_circle
from ..numerics.rectified import signed_tails
from ..source.amplitude import Amplitude, Complex
from .interference import Interference
from .inversion import windows
from .multiple import best_multiple
from .row_loss import RowLaw

# Paths of integration, in units of the inverse scale of the interference.
PATHS = (0.7, 4.0)
# Images of a midpoint rule are below exp of this.
LOG_IMAGES = 24.0
# Below this, in deviations of what is heard, images are not small and a ReLU is as good as linear.
_LOWEST = -12.0
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
        first, second = _whole(on, t)
        linear = t < law.heard + _LOWEST * np.sqrt(law.noise)
        (off,) = np.where(linear, _whole(law.off, t)[1], self._moments(1, t))
        missed, crossed = self._moments(-1, t)
        # Where nothing interferes but noise, of e = u - h and h = ReLU(u + noise - t).
        u, share = amplitude.resolving(
            np.maximum(t, 0.0), 1e-9 * np.abs(t) + on.noise + _NO_THRESHOLD
        )
        none = float(np.exp(on.log_none))
        ee, eh, hh = (none * np.sum(share * x, axis=0) for x in rectified_moments(u, t, on.noise))
        quiet = (
            np.exp(law.off.log_none)
            * rectified_moments(np.zeros((1, t.size)), t, law.off.noise)[2][0]
        )
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


def _whole(heard: Interference, t: Array) -> tuple[Array, Array]:
    """E[Z - t; some on] and E[(Z - t)²; some on]."""
    some, mean = heard.some, heard.mean
    square = heard.variance + some * heard.noise**2 + mean**2
    return mean - t * some, square - 2 * t * mean + t * t * some


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
