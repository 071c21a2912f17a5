r"""What weights of rank d lose at least at every p: Uniform[0, 1] amplitudes, however many are on.

Given its own amplitude u, an output that is nearly u most often fires, so that each coupling to
another feature moves it; the variances of its means given one other feature add up.  With
m(c, u) = E min(c w, u)² of an amplitude w, a row whose couplings, at most c ≤ √2, have squares with
the sum t loses at least

.. math:: Λ(t) = L_0 / \bigl(k + \sqrt{1 + (k + q)^2}\bigr)^2 , \quad
    L_0 = p^2 (1-p)\, t \int_{u_0}^1 \frac{m(c, u)}{c^2} du , \quad
    k^2 = p (1-p)\, t\, \frac{m(c, u_0)}{4 c^2 u_0^2} , \quad q^2 = L_0/v(p)

for any u_0 in [0, 1), and by Welch's bound on all sets of rows their mean is at least
∫ Λ(2x/r - 1) dx, r < x < 1.  The proof is in docs/theory/lower_bounds.md.
"""

from __future__ import annotations

import numpy as np

from .._check import Array
from ..source.sparse import SparseSource

# Each of these is a bound.
_LEAST_AMPLITUDES = np.linspace(0, 0.95, 39)[:, None]
# Λ is concave, so that chords are below it.
_CHORDS = 1000
# A bound for couplings up to a larger cap holds too; m(c, u)/c² is 1/3 there to 1e-6.
_LEAST_CAP = 1e-6


def all_p(p: float, ratio: float, cap: float) -> float:
    """No weights of that ratio whose couplings are at most `cap`, √2 for all, lose less."""
    t = np.geomspace(1, 2 / ratio - 1, _CHORDS)
    rows = of_row(p, t, max(cap, _LEAST_CAP), _LEAST_AMPLITUDES)
    mean = np.trapezoid(rows, t) * ratio / 2
    return float(np.max(mean))


def of_row(p: float, t: Array, cap: float, least: Array) -> Array:
    """Λ(t), which is concave and rises, with the amplitudes from `least` on."""
    alone = p * p * (1 - p) * t * _integral(cap, least)
    # m(c, u)/(c u)² falls in u.
    x = least / cap
    steepest = np.where(x < 1, (1 - 2 * x / 3) / cap**2, 1 / (3 * np.maximum(least, cap) ** 2))
    k = np.sqrt(p * (1 - p) * t * steepest) / 2
    q = np.sqrt(alone / SparseSource(p).variance)
    return np.asarray(alone / (k + np.hypot(1, k + q)) ** 2)


def _integral(cap: float, least: Array) -> Array:
    """∫ m(c, u)/c² du from `least` to 1: u²/c² - 2u³/(3c³) up to c, then 1/3."""
    end = min(cap, 1.0)
    low, high = np.minimum(least, end) / cap, end / cap
    below = cap * (high**3 / 3 - high**4 / 6 - low**3 / 3 + low**4 / 6)
    return np.asarray(below + np.maximum(1 - np.maximum(least, cap), 0) / 3)
