"""What there is to know of readings: densities, posteriors, and E[x | y] less y, 0 and E u."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

from .._check import Array
from ..numerics.quadrature import Index, Panels
from .posterior import Posterior

# Posterior of u and log density of ν, of problems at readings anchor + offset.
Reader = Callable[[Index, Array, Array], tuple[Posterior, Array]]


class Problems(NamedTuple):
    """Channels with one feature each: reader, σ and p as flat arrays, and the mean u.

    `exact` says if the anchors are used.
    """

    reader: Reader
    sigma: Array
    p: Array
    mean: float
    exact: bool

    def rounding(self, panels: Panels) -> Array:
        """Relative errors of densities that know readings only to the rounding of their sum."""
        if self.exact:
            return np.zeros(len(panels))
        near = np.minimum(np.abs(panels.left), np.abs(panels.right))
        scale = np.maximum(near, self.sigma[panels.problem])
        return np.asarray(1e-15 * np.abs(panels.anchor) / scale)

    def densities(self, problem: Index, anchor: Array, offset: Array) -> Fields:
        """What there is to know of readings."""
        on, log_off = self.reader(problem, anchor, offset)
        p = self.p[problem]
        y = anchor + offset
        with np.errstate(divide="ignore", under="ignore"):
            log_on = np.log(p) + on.log_density
            log_off = np.log1p(-p) + log_off
            odds = log_on - log_off
            shift = on.mean - y if on.shift is None else on.shift
            values = y, np.exp(log_on), np.exp(log_off), odds, on.mean, on.variance, shift
        return Fields(*values)


class Fields(NamedTuple):
    """At readings y: densities times probabilities, posterior of a feature that is on."""

    y: Array
    on: Array
    off: Array
    odds: Array  # log on/off
    mean: Array
    variance: Array
    shift: Array  # E[u - y | y, on]


class Targets(NamedTuple):
    """ρ, and M = E[x | y] less y, 0 and a constant."""

    rho: Array
    doubt: Array  # ρ Var(x | y) without the posterior variance of u
    over_y: Array
    over_0: Array
    over_c: Array


def targets(x: Fields, centre: float) -> Targets:
    """From fields of any shape."""
    present, absent = special.expit(x.odds), special.expit(-x.odds)
    return Targets(
        x.on + x.off,
        x.on * absent * x.mean**2,
        present * x.shift - absent * x.y,
        present * x.mean,
        present * (x.mean - centre) - absent * centre,
    )
