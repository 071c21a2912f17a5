"""A law of amplitudes on either side of zero: a ReLU can only store what is positive."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .._check import Array
from ..numerics.gauss import gauss_rule
from .amplitude import Amplitude

_FEW = 4
# Of the extrapolation of a density to 0: the first width in root mean squares, and how many.
_FIRST, _EXTRAPOLATED = 0.5, 10


class Side(NamedTuple):
    """Amplitudes of one sign: nodes, and weights that add to their share of the law."""

    nodes: Array
    weights: Array

    @property
    def share(self) -> float:
        """Probability of this sign."""
        return float(self.weights.sum())

    def moment(self, order: int) -> float:
        """E u^order, of amplitudes of this sign."""
        share = self.share
        return float(self.weights @ self.nodes**order) / share if share > 0 else 0.0

    def sizes(self) -> tuple[Array, Array]:
        """Few nodes of a Gauss rule, and their weights."""
        if self.nodes.size <= _FEW:
            return self.nodes, self.weights
        nodes, weights = gauss_rule(self.nodes, self.weights, _FEW)
        return nodes, self.share * weights


@lru_cache(maxsize=64)
def sides(amplitude: Amplitude) -> tuple[Side, Side]:
    """What is negative and what is positive."""
    atoms = amplitude.atoms()
    if atoms is None:
        rule = amplitude.resolving(np.zeros(1), np.zeros(1))
        nodes, weights = (x[:, 0] for x in np.broadcast_arrays(*rule))
    else:
        nodes, weights = atoms
    kept = weights > 0
    below, above = kept & (nodes < 0), kept & (nodes > 0)
    return Side(nodes[below], weights[below]), Side(nodes[above], weights[above])


def lost_power(amplitude: Amplitude) -> float:
    """E u² of what is negative, which is lost to a decoder that is not."""
    if amplitude.start >= 0:
        return 0.0
    if amplitude.end <= 0:
        return amplitude.second_moment
    negative = sides(amplitude)[0]
    return negative.share * negative.moment(2)


@lru_cache(maxsize=64)
def densities_at_zero(amplitude: Amplitude) -> tuple[float, float]:
    """Limits of the probability density as u → 0 from below and from above."""
    if amplitude.start >= 0:
        return 0.0, amplitude.density_at_zero
    if amplitude.atoms() is not None:
        return 0.0, 0.0
    # Two widths from the kink end panels of the rule, so that its masses are those of the law.
    width = np.asarray(_FIRST * amplitude.rms * 0.5 ** np.arange(_EXTRAPOLATED), np.float64)
    nodes, weights = np.broadcast_arrays(*amplitude.resolving(0 * width, width))
    near = np.abs(nodes) < 2 * width
    masses = [(weights * (near & mask)).sum(axis=0) for mask in (nodes < 0, nodes > 0)]
    below, above = (_limit(mass / (2 * width)) for mass in masses)
    return below, above


def _limit(values: Array) -> float:
    """By Richardson's extrapolation of values at halved widths."""
    row = values
    for k in range(1, values.size):
        row = (2**k * row[1:] - row[:-1]) / (2**k - 1)
    return float(max(row[0], 0.0)) if abs(row[0]) > 1e-9 * values.max(initial=0.0) else 0.0
