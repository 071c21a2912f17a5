"""Which features take which places of a structure, where they differ.

Two that share hidden units lose in proportion to the product of their p where they are rare.  So of
unlike features a frequent one is better off beside rare ones than beside others like it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._check import Array

# A swap has to gain this part of the whole; no more rounds than this.
_GAIN, _ROUNDS = 1e-9, 100


def placed(cost: Array, own: Array, heard: Array) -> NDArray[np.intp]:
    r"""The feature of each place: a local minimum of Σ_{s≠t} cost_st own_f(s) heard_f(t).

    Parameters
    ----------
    cost : ndarray, shape (n, n)
        Of place t for place s, 0 on the diagonal.
    own, heard : ndarray, shape (n,)
        Of each feature: what its losses count, and what it adds to those of others.

    Returns
    -------
    ndarray of int, shape (n,)
        No swap of two features would gain.
    """
    at = np.arange(len(cost))
    both = cost + cost.T
    least = -_GAIN * float(own @ cost @ heard)
    for _ in range(_ROUNDS):
        a, b = own[at], heard[at]
        hears, tells = cost @ b, cost.T @ a
        by_a, by_b = a[None] - a[:, None], b[None] - b[:, None]
        gains = by_a * (hears[:, None] - hears[None]) + by_b * (tells[:, None] - tells[None])
        gains -= both * by_a * by_b
        partner, swapped = np.argmin(gains, axis=1), False
        for s in np.argsort(gains.min(axis=1), kind="stable").tolist():
            t = int(partner[s])
            # Swaps before this one have changed what it gains.
            da, db = float(a[t] - a[s]), float(b[t] - b[s])
            gain = da * (hears[s] - hears[t]) + db * (tells[s] - tells[t]) - both[s, t] * da * db
            if gain < least:
                at[[s, t]] = at[[t, s]]
                a[[s, t]], b[[s, t]] = a[[t, s]], b[[t, s]]
                hears += db * (cost[:, s] - cost[:, t])
                tells += da * (cost[s] - cost[t])
                swapped = True
        if not swapped:
            break
    return at
