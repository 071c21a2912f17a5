"""Interference of one opposite feature and a Gaussian."""

from __future__ import annotations

import numpy as np

from .._check import Array
from ..numerics.quadrature import Index
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from .base import AT_A_TIME, Channel
from .fields import Reader
from .posterior import (
    Posterior,
    discrete,
    ends,
    has_closed_form,
    log_normal,
    mixed,
    mixture,
    reading,
)
from .table import Table


class AntipodalChannel(Channel):
    """ν = -x₂ + N(0, σ²), x₂ a feature like x: the channel of an antipodal rug."""

    def mean(self, source: SparseSource) -> Array:
        return np.asarray(-source.mean + 0 * self.sigma)

    def variance(self, source: SparseSource) -> Array:
        return np.asarray(self.sigma**2 + source.variance)

    def off(self, amplitude: Amplitude, y: Array, sigma: Array, p: Array) -> Array:
        nothing = np.zeros(y.size)
        log = _partner_alone(amplitude, y.ravel(), nothing, sigma.ravel(), p.ravel())
        return np.asarray(log.reshape(y.shape))

    def on(self, amplitude: Amplitude, y: Array, sigma: Array, p: Array) -> Posterior:
        channels, problem = np.unique(
            np.stack([sigma.ravel(), p.ravel()]), axis=1, return_inverse=True
        )
        read = self._reader(amplitude, *channels)
        found, _ = read(problem.ravel(), y.ravel(), np.zeros(y.size))
        return Posterior(*(np.reshape(x, y.shape) for x in found if x is not None))

    def edges(self, amplitude: Amplitude) -> list[float]:
        most = {float(amplitude.breakpoints().max())}
        return sorted({0.0} | {-float(x) for x in ends(amplitude)} | {-x for x in most})

    def _reader(self, amplitude: Amplitude, sigma: Array, p: Array) -> Reader:
        atoms = discrete(amplitude)
        if atoms is not None:
            return _discrete_pairs(*atoms, sigma, p)
        return _pairs(amplitude, sigma, p)


def _partner_alone(
    amplitude: Amplitude, anchor: Array, offset: Array, sigma: Array, p: Array
) -> Array:
    """Log density of -x₂ + N(0, σ²)."""
    with np.errstate(divide="ignore"):
        partner = np.log(p) + reading(amplitude, -anchor, -offset, sigma).log_density
        return np.logaddexp(np.log1p(-p) + log_normal(anchor + offset, sigma), partner)


def _discrete_pairs(u: Array, weights: Array, sigma: Array, p: Array) -> Reader:
    """Readings u - w + N(0, σ²) of atoms."""
    with np.errstate(divide="ignore"):
        log_p, log_q, log_u = np.log(p), np.log1p(-p), np.log(weights)
    values, centres = np.tile(u, u.size + 1), np.concatenate([u, (u - u[:, None]).ravel()])
    pair = np.tile(log_u, u.size + 1), np.concatenate([0 * u, np.repeat(log_u, u.size)])
    with_partner = np.repeat([False, True], [u.size, u.size**2])[:, None]

    def read(problem: Index, anchor: Array, offset: Array) -> tuple[Posterior, Array]:
        s, one, none = sigma[problem], log_p[problem], log_q[problem]
        logs = (pair[0] + pair[1])[:, None] + np.where(with_partner, one, none)
        on = mixture(values, centres, logs, anchor, offset, s)
        alone = np.concatenate([none[None], log_u[:, None] + one])
        at = np.append(0.0, -u)
        return on, mixture(at, at, alone, anchor, offset, s).log_density

    return read


def _pairs(amplitude: Amplitude, sigma: Array, p: Array) -> Reader:
    """Readings u - w + N(0, σ²) of a law with a density."""
    kinks = ends(amplitude)[:, None]
    closed = has_closed_form(amplitude)
    tables: dict[float, Table] = {}

    def alone(t: Array, s: Array, weights: Array) -> Posterior:
        if closed:
            return reading(amplitude, t, np.zeros_like(t), np.broadcast_to(s, t.shape))
        # Panels of no length are not worth a look.
        out = np.zeros((4, *t.shape))
        for value in np.unique(s):
            if value not in tables:
                tables[value] = Table(amplitude, value)
            some = (weights > 0) & (s == value)
            out[:, some] = np.stack(tables[value](t[some]))  # type: ignore[arg-type]
        return Posterior(*out)

    def read(problem: Index, anchor: Array, offset: Array) -> tuple[Posterior, Array]:
        parts, k = [], 0
        block = 256
        while k < max(anchor.size, 1):
            here = slice(k, k + block)
            s, q, y = sigma[problem[here]], p[problem[here]], anchor[here] + offset[here]
            w, weights = amplitude.resolving(_graded(kinks - y, s, closed), s)
            both = alone(y + w, s, weights)
            single = reading(amplitude, anchor[here], offset[here], s)
            with np.errstate(divide="ignore"):
                pairs = np.log(q) + np.log(weights)
                logs = [(np.log1p(-q), single), (pairs, both)]
            assert single.shift is not None and both.shift is not None
            found = mixed(logs, [single.shift, both.shift + w])
            parts.append((*found, _partner_alone(amplitude, anchor[here], offset[here], s, q)))
            k += block
            block = max(1, AT_A_TIME // len(w))
        *on, off = (np.concatenate(x) for x in zip(*parts, strict=True))
        return Posterior(*on), off

    return read


def _graded(kinks: Array, sigma: Array, smooth: bool) -> Array:
    """`kinks`, and for a density that may be singular there more of them, ever farther away."""
    if smooth:
        return kinks
    steps = 20.0 ** np.arange(1, 8)[:, None, None]
    with np.errstate(over="ignore"):
        away = sigma * np.concatenate([-steps, 0 * steps[:1], steps])
    return np.asarray((kinks + away).reshape(-1, sigma.size))
