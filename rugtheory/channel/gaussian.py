"""Gaussian interference."""

from __future__ import annotations

import numpy as np

from .._check import Array
from ..numerics.quadrature import Index
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from .base import Channel
from .fields import Reader
from .posterior import Posterior, log_normal, posterior, reading


class GaussianChannel(Channel):
    """ν ~ N(0, σ²): the channel of a rug with many features (arXiv:2410.12101, section 3.2)."""

    def mean(self, source: SparseSource) -> Array:
        return np.zeros_like(self.sigma)

    def variance(self, source: SparseSource) -> Array:
        return np.asarray(self.sigma**2)

    def off(self, amplitude: Amplitude, y: Array, sigma: Array, p: Array) -> Array:
        return log_normal(y, sigma)

    def on(self, amplitude: Amplitude, y: Array, sigma: Array, p: Array) -> Posterior:
        return posterior(amplitude, y, sigma)

    def edges(self, amplitude: Amplitude) -> list[float]:
        return [0.0]

    def _reader(self, amplitude: Amplitude, sigma: Array, p: Array) -> Reader:
        def read(problem: Index, anchor: Array, offset: Array) -> tuple[Posterior, Array]:
            s = sigma[problem]
            return reading(amplitude, anchor, offset, s), log_normal(anchor + offset, s)

        return read
