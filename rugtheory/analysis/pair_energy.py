"""Couplings of low pair energy, what rare features lose: a start for descents, in a second.

They know nothing of p, but descents on the exact loss are most of the way there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from .._check import Array
from .descent import nowhere_with
from .row_descent import Symmetric

# What positive couplings cost; 1/p in the pair energy itself, of which little would come off.
_LEAK = 3.0
_PAIRS = 12


@dataclass(frozen=True)
class PairEnergy:
    r"""Of couplings where almost all features are off: a start for descent.

    .. math:: \frac1n \sum_{i≠j} [λ W_+^2/3 + g(W_-)], \quad
        g(c) = c^2/3 - c^3/6\ (c ≤ 1),\ 1/3 - 1/(6c)\ (c > 1),

    is the loss over p² at a = 1, b = 0 and p → 0 if λ = 1/p.
    """

    at: Symmetric

    def __call__(self, x: Array) -> tuple[float, Array]:
        readings = self.at.readings(x)
        if readings is None:
            return nowhere_with(_LEAK), np.zeros_like(x)
        w, rows, _ = readings.terms[0]
        up, down = np.maximum(w, 0.0), np.maximum(-w, 0.0)
        near, far = np.minimum(down, 1.0), np.maximum(down, 1.0)
        # Beyond 1, g(1) and what is above.
        energy = _LEAK / 3 * up**2 + near**2 / 3 - near**3 / 6 + (1 - 1 / far) / 6
        slope = 2 / 3 * _LEAK * up - np.where(
            down < 1, 2 / 3 * near - near**2 / 2, 1 / (6 * far**2)
        )
        value, none = float(energy.sum()) / rows, np.zeros(1)
        return value, self.at.slope(x, [slope / rows], none, none)


def low_energy(at: Symmetric, generator: np.random.Generator, steps: int, gain: float) -> Array:
    """Where L-BFGS leads from random couplings, until a step gains less than `gain` of the energy.

    Raises
    ------
    ValueError
        If there are none of unit diagonal.
    """
    start = at.start(generator)
    if at.readings(start) is None:
        raise ValueError(f"n_dense = {at.n_dense} leaves no start with positive diagonal")
    options = {"maxcor": _PAIRS, "maxiter": steps, "ftol": gain, "gtol": 1e-9}
    found = scipy.optimize.minimize(
        PairEnergy(at), start, jac=True, method="L-BFGS-B", options=options
    )
    return np.asarray(found.x)
