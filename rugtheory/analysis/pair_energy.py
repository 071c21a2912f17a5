"""Couplings of low pair energy, what rare features lose: a start for descents, in a second.

Of p they only know how much positive couplings cost, but descents on the exact loss are most of the
way there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from .._check import Array
from ..numerics.pools import one_pool
from .descent import BELOW, nowhere_with
from .row_descent import Symmetric

# The least that positive couplings cost, and the most by which it grows at a time at first.
LEAK, _HARDER = 3.0, 10.0
# Biases take off most of it where so many others are on, or more.
_OFTEN = 0.1
# Of the square of the part by which a coupling is above the cap.
_STIFF = 1e3
_PAIRS = 12


@dataclass(frozen=True)
class PairEnergy:
    r"""Of couplings where almost all features are off: a start for descent.

    .. math:: \frac1n \sum_{i≠j} [λ W_+^2/3 + g(W_-)], \quad
        g(c) = c^2/3 - c^3/6\ (c ≤ 1),\ 1/3 - 1/(6c)\ (c > 1),

    is the loss over p² at a = 1, b = 0 and p → 0 if λ = 1/p.  Couplings near `cap` and above cost
    more.  Where there are no couplings of unit diagonal it is `far` times what is far above most
    energies.
    """

    at: Symmetric
    leak: float = LEAK
    cap: float = np.inf
    far: float = 1.0

    def __call__(self, x: Array) -> tuple[float, Array]:
        readings = self.at.readings(x)
        if readings is None:
            return self.far * nowhere_with(self.leak), np.zeros_like(x)
        w, rows, _ = readings.terms[0]
        energy, slope = pair_costs(w, self.leak)
        down = -w
        if np.isfinite(self.cap):
            over = np.maximum(down / (BELOW * self.cap) - 1, 0.0)
            energy += _STIFF * over**2
            slope -= 2 * _STIFF * over / (BELOW * self.cap)
        value, none = float(energy.sum()) / rows, np.zeros(1)
        return value, self.at.slope(x, [slope / rows], none, none)


def pair_costs(w: Array, leak: float) -> tuple[Array, Array]:
    """λ W₊²/3 + g(W₋) of each coupling, and its derivative."""
    up, near = np.maximum(w, 0.0), np.clip(-w, 0.0, 1.0)
    cost = leak / 3 * up**2 + near**2 * (1 / 3 - near / 6)
    slope = 2 / 3 * leak * up - near * (2 / 3 - near / 2)
    far = np.nonzero(w < -1.0)
    cost[far] = 1 / 3 + 1 / (6 * w[far])
    slope[far] = -1 / (6 * w[far] ** 2)
    return cost, slope


def leak_of(p: float, n: int) -> float:
    """λ for n features: 1/p where others are seldom on, far less where biases are of use."""
    return max(LEAK, 1 / (p * (1 + (n * p / _OFTEN) ** 2)))


@one_pool()
def low_energy(
    at: Symmetric,
    generator: np.random.Generator,
    leak: float,
    steps: int = 300,
    gain: float = 1e-6,
    *,
    cap: float = np.inf,
) -> Array:
    """Where L-BFGS leads from random couplings, until a step gains less than `gain` of the energy.

    First with positive couplings that cost little, so that they can be crossed.

    Raises
    ------
    ValueError
        If there are none of unit diagonal.
    """
    x = at.start(generator)
    if at.readings(x) is None:
        raise ValueError(f"n_dense = {at.n_dense} leaves no start with positive diagonal")
    options = {"maxcor": _PAIRS, "maxiter": steps, "ftol": gain, "gtol": 1e-9}
    for cost in sorted({LEAK, min(leak, _HARDER * LEAK), leak}):
        # Energies of very many features in few hidden units are above that of nowhere; a higher one
        # throughout leads searches that touch it to worse ends.
        for far in (1.0, float(at.n)):
            energy = PairEnergy(at, cost, cap, far)
            end = scipy.optimize.minimize(energy, x, jac=True, method="L-BFGS-B", options=options).x
            if at.readings(end) is not None:
                x = end
                break
    return np.asarray(x)
