"""The best of all decoders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .. import _check
from .._check import Array
from .._value import ShortRepr
from ..channel.base import LEAST_NOISE, Channel, problems_of
from ..source.sparse import SparseSource


@dataclass(frozen=True, repr=False)
class Bayes(ShortRepr):
    """E[x | y] in a channel, the function of y with the least loss; scalar σ and p."""

    channel: Channel
    source: SparseSource

    def __post_init__(self) -> None:
        _check.instance("channel", self.channel, Channel)
        _check.instance("source", self.source, SparseSource)

    def __call__(self, y: ArrayLike) -> Array:
        y = _check.real("y", y)
        amplitude = self.source.amplitude
        sigma = np.full(1, max(float(self.channel.sigma), LEAST_NOISE * amplitude.scale))
        problems = problems_of(self.channel, amplitude, sigma, np.full(1, self.source.p))
        flat = y.reshape(-1)
        x = problems.densities(np.zeros(flat.size, int), flat, np.zeros(flat.size))
        return np.asarray((special.expit(x.odds) * x.mean).reshape(y.shape))
