"""Which rows are fitted and which evaluated, and what the bootstrap resamples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array

# More resampled units than this change a standard error by less than its own scatter.
_MOST_UNITS = 1024


@dataclass(frozen=True)
class Split:
    """Rows of the fit, rows of the evaluation, and the unit of the bootstrap each row is in."""

    fitted: NDArray[np.bool_]
    held_out: NDArray[np.bool_]
    unit: NDArray[np.intp]
    n_units: int


def split(
    n_rows: int,
    contexts: ArrayLike | None,
    test_fraction: float,
    generator: np.random.Generator,
    *,
    whole: bool = True,
) -> Split:
    """Hold out `test_fraction` of the contexts (rows if there are none, or not `whole`).

    Units are contexts.  Rows without contexts, and contexts beyond 1024 in number, are joined in
    their order into 1024 units: neighbours, so that dependence between neighbours stays inside.
    """
    codes = _codes(n_rows, contexts)
    n_contexts = int(codes.max()) + 1
    n_units = min(n_contexts, _MOST_UNITS)
    unit = codes * n_units // n_contexts
    fraction = _check.scalar("test_fraction", test_fraction)
    if not 0 <= fraction < 1:
        raise ValueError(f"test_fraction must lie in [0, 1), got {fraction}")
    if fraction == 0:
        everything = np.ones(n_rows, bool)
        return Split(everything, everything, unit, n_units)
    by_context = contexts is not None and whole
    members = n_contexts if by_context else n_rows
    if members < 3:
        what = "contexts" if by_context else "rows"
        raise ValueError(f"{what} must be at least 3 to be split, got {members}")
    # Two contexts are the least whose scatter can be seen.
    count = min(max(round(fraction * members), 2), members - 1)
    chosen = np.zeros(members, bool)
    chosen[generator.permutation(members)[:count]] = True
    held_out = chosen[codes] if by_context else chosen
    return Split(~held_out, held_out, unit, n_units)


def _codes(n_rows: int, contexts: ArrayLike | None) -> NDArray[np.intp]:
    if contexts is None:
        return np.arange(n_rows)
    labels = _check.array("contexts", contexts)
    if labels.shape != (n_rows,):
        raise ValueError(f"contexts must have shape ({n_rows},), got {labels.shape}")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError("contexts must be finite labels, got nan or inf")
    return np.unique(labels, return_inverse=True)[1]


def resamplings(
    present: NDArray[np.bool_], bootstrap: int, generator: np.random.Generator
) -> Array:
    """How often each unit is drawn, shape (1 + bootstrap, units); the first row is the data."""
    count = int(present.sum())
    if bootstrap and count < 2:
        raise ValueError(f"a bootstrap must have at least 2 contexts to resample, got {count}")
    weights = np.zeros((1 + bootstrap, present.size))
    weights[0, present] = 1
    if bootstrap:
        weights[1:, present] = generator.multinomial(
            count, np.full(count, 1 / count), size=bootstrap
        )
    return weights
