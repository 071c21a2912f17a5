"""The error of reconstructions in its parts, by products of x that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._check import Array
from .._moments import Read, cross_moments
from .._rows import Rows, block_length
from ..decomposition import Decomposition, split_error
from .given import Given
from .known import Known, Selection


def decomposed(known: Known, x_hat: Rows, selection: Selection) -> Decomposition:
    """The decomposition of the error of `x_hat`, by products of x that are known."""
    given = known.given
    x, whole = given.x, given.whole
    length = block_length(None, max(x.columns, whole.columns))
    read = errors(given, x_hat)
    parts, solver = selection.parts, selection.solver
    return split_error(
        read,
        solver,
        cross_moments(read, solver, parts.fitted, length),
        parts,
        length,
        given.bootstrap,
        given.seed,
        whole=None if whole is x else whole.read,
        eps=rounding(x_hat, whole),
    )


def errors(given: Given, x_hat: Rows) -> Read:
    """What reads rows of x, and of what x̂ leaves of x or of the targets."""
    x, whole = given.x, given.whole

    def read(rows: NDArray[np.intp]) -> tuple[NDArray[Any], Array]:
        block = x.read(rows)
        of = block if whole is x else whole.read(rows)
        return block, np.subtract(of, x_hat.read(rows), dtype=np.float64)

    return read


def rounding(x_hat: Rows, whole: Rows) -> float:
    """Rounding of errors: of float32, unless reconstructions and what they stand for have more."""
    long = x_hat.dtype == np.float64 == whole.dtype
    return float(np.finfo(np.float64 if long else np.float32).eps)
