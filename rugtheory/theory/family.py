r"""What a feature loses at a given capacity, in families of structures.

Identical features in a structure of ratio c have the capacity c each.  Let v be their variance and
s measure the noise of a reading,

.. math:: σ^2 = v \sinh^2 s , \qquad \frac{1}{c} = \frac{1}{c_0} + \sinh^2 s ,

with c₀ the capacity without noise: 1 of the Gaussian rug, whose σ² is v(1/c - 1), and ½ of pairs,
where σ² = v(1/c - 2).  What a little more capacity saves is, a and b being at their best,

.. math:: V = -\frac{dL}{dc} = \frac{\sqrt v}{2 c^2 \sinh s}\, \frac{∂L}{∂σ} .
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._check import Array
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from ..source.uniform import Uniform
from .loss import loss_gradient
from .optimum import optimum
from .pairs import antipodal_loss, optimise, over_blocks

# ∂L/∂σ of pairs by differences of fourth order in steps of this part of σ.
_STEP = 1e-3
# V near s = 0 is taken at this s.
LEAST_S = 1e-5


class Reading(NamedTuple):
    """The best decoder at some s, its loss, and the value V of more capacity."""

    a: Array
    b: Array
    loss: Array
    value: Array


class Family(NamedTuple):
    """A family of structures.

    Attributes
    ----------
    name : str
    inverse : float
        1/c₀.
    columns, quick : int
        Samples of a curve of `Uniform`, and of one that takes long.
    """

    name: str
    inverse: float
    columns: int
    quick: int

    def capacity(self, s: Array) -> Array:
        return np.asarray(1 / (self.inverse + np.sinh(s) ** 2))

    def missing(self, s: Array) -> Array:
        """1 - c, to all digits."""
        rest = self.inverse - 1 + np.sinh(s) ** 2
        return np.asarray(rest / (1 + rest))

    def slope(self, s: Array) -> Array:
        """dc/ds."""
        return np.asarray(-np.sinh(2 * s) * self.capacity(s) ** 2)

    def noise(self, capacity: Array) -> Array:
        """s at capacities up to c₀."""
        rest = np.maximum((1 - capacity) / capacity - (self.inverse - 1), 0.0)
        return np.asarray(np.arcsinh(np.sqrt(rest)))

    def samples(self, amplitude: Amplitude) -> int:
        return self.columns if isinstance(amplitude, Uniform) else self.quick

    def reading(self, amplitude: Amplitude, p: Array, s: Array) -> Reading:
        """What is best at `s` > 0, exactly; arrays of one shape."""
        sigma = np.sqrt(SparseSource(p, amplitude).variance) * np.sinh(s)
        solve = _pairs if self.name == "pairs" else _gaussian
        a, b, loss, steep = solve(amplitude, p, sigma)
        deviation = np.sqrt(SparseSource(p, amplitude).variance)
        value = deviation * steep / (2 * np.sinh(s) * self.capacity(s) ** 2)
        return Reading(a, b, loss, np.maximum(value, 0.0))

    def quiet(self, amplitude: Amplitude, p: Array) -> Reading:
        """What is best without noise, s = 0, with V in its limit."""
        near = self.reading(amplitude, p, np.full_like(p, LEAST_S))
        if self.inverse == 1:
            return Reading(np.ones_like(p), 0 * p, 0 * p, near.value)
        a, b, loss = over_blocks(
            lambda q: optimise(amplitude, 0 * q, q, np.ones_like(q)), np.asarray(p)
        )
        return Reading(a, b, loss, near.value)


def _gaussian(amplitude: Amplitude, p: Array, sigma: Array) -> tuple[Array, Array, Array, Array]:
    best = optimum(p, sigma=sigma, amplitude=amplitude)
    steep = loss_gradient(best.a, best.b, sigma, p, amplitude=amplitude).sigma
    return best.a, best.b, best.loss, steep


def _pairs(amplitude: Amplitude, p: Array, sigma: Array) -> tuple[Array, Array, Array, Array]:
    a, b, loss = over_blocks(lambda s, q: optimise(amplitude, s, q, np.ones_like(q)), sigma, p)
    shifted = [
        antipodal_loss(a, b, sigma * (1 + k * _STEP), p, amplitude=amplitude)
        for k in (-2, -1, 1, 2)
    ]
    steep = (shifted[0] - 8 * shifted[1] + 8 * shifted[2] - shifted[3]) / (12 * _STEP * sigma)
    return a, b, loss, steep


FAMILIES = {
    "gaussian": Family("gaussian", 1.0, 224, 96),
    "pairs": Family("pairs", 2.0, 40, 32),
}
