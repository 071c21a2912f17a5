"""The numbers behind figures of features that are not alike, as labelled datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from ..source.independent import Independent, zipf
from ..structure.allocation_phases import allocation_phases, capacity_at_price
from ..structure.allocation_scaling import allocation_scaling, sparse_allocation_law
from ..structure.best import MAX_COUPLING

if TYPE_CHECKING:
    import xarray as xr


def allocation_phase_diagram(
    p: ArrayLike,
    importance: ArrayLike,
    *,
    family: str = "gaussian",
    max_coupling: float = MAX_COUPLING,
) -> xr.Dataset:
    """Phases of a feature among very many others, by p and by its importance over the price.

    Parameters
    ----------
    p : array_like in (0, 1], at most one-dimensional
    importance : array_like > 0, at most one-dimensional
        I/λ, with λ the price of a hidden unit.
    family : "gaussian", "pairs" or "best"
    max_coupling : float > 0
        See `allocate`.  For "best" each p takes about a second.

    Returns
    -------
    xarray.Dataset
        Dimensions p and importance; variables capacity, and kept_above and alone_above, the
        importances from which a feature is kept, and is alone in a hidden unit.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.
    """
    import xarray as xr

    p = _check.axis("p", p)
    importance = _check.axis("importance", _check.positive("importance", importance))
    found = allocation_phases(p, family=family, max_coupling=max_coupling)
    capacity = capacity_at_price(p, 1 / importance, family=family, max_coupling=max_coupling)
    return xr.Dataset(
        {
            "capacity": (("p", "importance"), capacity),
            "kept_above": ("p", 1 / found.dropped_above),
            "alone_above": ("p", 1 / found.alone_below),
        },
        {"p": p, "importance": importance},
        {"family": family, "amplitude": "Uniform[0, 1]"},
    )


def zipf_curves(
    alpha: ArrayLike, n_dense: ArrayLike, *, n_sparse: int, largest: float = 0.1
) -> xr.Dataset:
    """Losses of the best allocation of Gaussian rugs for p_i = largest · i^-α.

    Parameters
    ----------
    alpha : array_like, at most one-dimensional
    n_dense : array_like > 0, at most one-dimensional
    n_sparse : int
    largest : float in (0, 1]

    Returns
    -------
    xarray.Dataset
        Dimensions alpha and n_dense; variables loss, exponent d log loss / d log n_dense, law for
        sparse features, and the numbers of features dropped and alone.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.
    """
    import xarray as xr

    alpha, units = _check.axis("alpha", alpha), _check.axis("n_dense", n_dense)
    every = []
    for one in alpha:
        features = Independent(zipf(n_sparse, largest, alpha=float(one)))
        found = allocation_scaling(features, units)
        law = sparse_allocation_law(features, units)
        every.append((found.loss, found.exponent, law, found.dropped, found.alone))
    names = ("loss", "exponent", "law", "dropped", "alone")
    return xr.Dataset(
        {
            name: (("alpha", "n_dense"), np.array(values))
            for name, values in zip(names, zip(*every, strict=True), strict=True)
        },
        {"alpha": alpha, "n_dense": units},
        {"n_sparse": n_sparse, "largest": largest},
    )
