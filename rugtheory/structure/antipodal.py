"""Rugs of pairs: weights."""

from __future__ import annotations

import numpy as np

from .. import _check
from .rug import Rug


def antipodal_rug(n_sparse: int, n_dense: int, *, seed: int | np.random.Generator) -> Rug:
    """A rug of random rows with pairs: features i and i + n_sparse/2 are stored as v and -v.

    Parameters
    ----------
    n_sparse : int
        Number of features, a power of two, at least 2.
    n_dense : int in [1, n_sparse/2]
        Number of hidden units.
    seed : int or Generator
        Same seed, same rug.

    Raises
    ------
    ValueError, TypeError
        If `n_sparse` is no power of two or `n_dense` is not in [1, n_sparse/2].

    Examples
    --------
    >>> import rugtheory as rt
    >>> rug = rt.antipodal_rug(64, 16, seed=0)
    >>> float(rug.phi[0]), float(rug.phi[32])
    (1.0, -1.0)
    """
    n_sparse = _check.integer("n_sparse", n_sparse, 2)
    if n_sparse & (n_sparse - 1):
        raise ValueError(f"n_sparse must be a power of two, got {n_sparse}")
    half = n_sparse // 2
    n_dense = _check.integer("n_dense", n_dense, 1, half)
    chosen = _check.rng(seed).choice(half, n_dense, replace=False, shuffle=False)
    return Rug(n_sparse, half + chosen, "antipodal")
