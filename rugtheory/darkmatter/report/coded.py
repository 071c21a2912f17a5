"""Activations as a decoder codes them: reconstructions, and how long the parts of x are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._check import Array
from .._moments import Affine
from .._rows import Rows, block_length
from ..decomposition import Decomposition
from .entries import Record
from .given import Given
from .predictors import Coded, Predictor

# The six random vectors of section 6, whose squared norms are predicted from x.
PARTS = ("x", "x_hat", "linear x_hat", "error", "linear error", "nonlinear error")

Visit = Callable[[slice, Coded], None]

# Ends of the bins of log10 of how often latents are active.
DENSITIES = np.arange(-7, 0.125, 0.25)


@dataclass(frozen=True, eq=False)
class Reconstructed:
    """What a decoder makes of activations.

    Attributes
    ----------
    x_hat : Rows
        Reconstructions.
    l0 : ndarray, shape (rows,), or None
        Active latents of each row, where latents are known.
    frequency : ndarray, shape (latents,), or None
        On which part of the rows used each latent is active.
    """

    x_hat: Rows
    l0: Array | None
    frequency: Array | None


def code(
    predictor: Predictor | Rows,
    given: Given,
    used: NDArray[np.bool_],
    file: Path,
    detail: Any,
    visit: Visit = lambda rows, coded: None,
) -> Reconstructed:
    """Activations coded, with reconstructions in a new `file`; those given stay where they are.

    `visit` is called with the codes of each block.
    """
    if isinstance(predictor, Rows):
        return Reconstructed(predictor, None, None)
    x, columns = given.x, given.whole.columns
    x_hat: Any = None
    l0, active = np.empty(x.count), np.zeros(0, np.int64)
    known = True
    for rows in detail(slices(x, columns)):
        block = x.read(np.arange(rows.start, rows.stop))
        found = predictor.code(block)
        if found.x_hat.shape != (len(block), columns):
            raise ValueError(
                f"reconstructions must have shape {(len(block), columns)}, got {found.x_hat.shape}"
            )
        if x_hat is None:
            dtype = np.float64 if found.x_hat.dtype == np.float64 else np.float32
            shape = x.count, columns
            x_hat = np.lib.format.open_memmap(file, "w+", dtype=dtype, shape=shape)
        x_hat[rows] = found.x_hat
        visit(rows, found)
        if found.l0 is None or found.active is None:
            known = False
            continue
        l0[rows] = found.l0
        latents = found.active[np.repeat(used[rows], found.l0)]
        seen = np.bincount(latents, minlength=max(found.width or 0, active.size))
        active = seen + np.pad(active, (0, seen.size - active.size))
    if not known:
        return Reconstructed(Rows("x_hat", x_hat), None, None)
    return Reconstructed(Rows("x_hat", x_hat), l0, active / used.sum())


def latents(coded: Reconstructed, used: NDArray[np.bool_]) -> Record:
    """L0, dead latents and how often latents are active; all None where latents are unknown."""
    if coded.l0 is None or coded.frequency is None:
        return {"width": None, "l0": None, "dead": None, "density": None}
    frequency = coded.frequency
    alive = np.log10(frequency[frequency > 0])
    counts = np.histogram(np.clip(alive, DENSITIES[0], DENSITIES[-1]), DENSITIES)[0]
    return {
        "width": frequency.size,
        "l0": float(coded.l0[used].mean()),
        "dead": float(np.mean(frequency == 0)),
        "density": {"log10": DENSITIES.tolist(), "latents": counts.tolist()},
    }


def squared_norms(
    given: Given, x_hat: Rows, parts: Decomposition, targets: Affine | None
) -> tuple[Array, Array]:
    """‖·‖² of PARTS, shape (rows, 6), and the cosine of x and its linear error, shape (rows,)."""
    x, whole = given.x, given.whole
    squares, cosines = np.empty((x.count, len(PARTS))), np.empty(x.count)
    for some in slices(x, whole.columns):
        rows = np.arange(some.start, some.stop)
        block = x.read(rows).astype(np.float64)
        y = block if whole is x else whole.read(rows).astype(np.float64)
        hat = x_hat.read(rows).astype(np.float64)
        error, linear = y - hat, block @ parts.slope + parts.intercept
        # The linear part of x̂ is what the best map leaves of that of y: of x, which is its own.
        of_y = y if targets is None else (block - targets.centre) @ targets.slope + targets.offset
        vectors = y, hat, of_y - linear, error, linear, error - linear
        squares[some] = np.stack([np.einsum("ij,ij->i", v, v) for v in vectors], axis=1)
        product = np.sqrt(squares[some, 0] * squares[some, 4])
        inner = np.einsum("ij,ij->i", y, linear)
        cosines[some] = np.divide(inner, product, out=np.zeros_like(inner), where=product > 0)
    return squares, cosines


def slices(x: Rows, columns: int) -> Iterable[slice]:
    """All rows, a block at a time, for matrices with so many columns."""
    length = block_length(None, max(columns, x.columns))
    return [slice(k, min(k + length, x.count)) for k in range(0, x.count, length)]
