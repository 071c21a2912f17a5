"""Contours along which the integrals of many rows are taken."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude, Complex

# Real s at which the transform of a row is looked at, in inverse units of the row; at _ALPHAS of
# them there are contours, whose periods times α are _TURNS.
PROBES = np.array([0.02, 0.06, 0.12, 0.25, 0.5, 1, 2, 3, 4, 5.5, 8, 11, 16, 22, 32])
_ALPHAS, _TURNS = (4, 5, 6, 8, 10, 12), (20.0, 28.0, 36.0, 48.0, 64.0, 96.0)


class Contour(NamedTuple):
    """Nodes α + ih(k + ½), h = 2π/period, up to some height."""

    probe: int
    period: float
    nodes: Complex

    @classmethod
    def every(cls, height: float, most: int) -> list[Contour]:
        """By number of nodes, of which there are so many at most."""
        found = []
        for probe in _ALPHAS:
            for turn in _TURNS:
                alpha = PROBES[probe]
                period = turn / alpha
                size = int(np.ceil(height * period / (2 * np.pi)))
                y = (np.arange(size) + 0.5) * (2 * np.pi / period)
                found.append(cls(probe, period, alpha + 1j * y))
        return sorted((x for x in found if x.nodes.size <= most), key=lambda x: x.nodes.size)


def exists(law: Amplitude, t: Array) -> NDArray[np.bool_]:
    """Whether E e^{tu} is finite, and not far larger nearby."""
    return np.asarray((t < 0.85 * law.abscissa) & (t > 0.85 * law.least_abscissa), np.bool_)
