"""Activations as a decoder codes them: reconstructions, and how long the parts of x are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..._check import Array
from .._rows import Rows, block_length
from ..decomposition import Decomposition
from ..sae import SAE

# The six random vectors of section 6, whose squared norms are predicted from x.
PARTS = ("x", "x_hat", "linear x_hat", "error", "linear error", "nonlinear error")


@dataclass(frozen=True, eq=False)
class Coded:
    """What a decoder makes of activations.

    Attributes
    ----------
    sae : SAE
    x_hat : memmap, shape (rows, d)
        Reconstructions, in a file.
    l0 : ndarray, shape (rows,)
        Active latents of each row.
    dead : float
        Fraction of latents that are never active.
    """

    sae: SAE
    x_hat: Any
    l0: Array
    dead: float


def code(sae: SAE, x: Rows, file: Path) -> Coded:
    """Activations coded by `sae`, with reconstructions in a new `file`."""
    x_hat = np.lib.format.open_memmap(file, "w+", dtype=np.float32, shape=(x.count, x.columns))
    l0, active = np.empty(x.count), np.zeros(sae.d_sae)
    for rows in slices(x, sae.d_sae):
        block = x.source[rows]
        codes = sae.encode(block)
        x_hat[rows] = sae.decode(codes, None if sae.normalization == "none" else block)
        l0[rows] = np.diff(codes.indptr)
        active += np.bincount(codes.indices, minlength=sae.d_sae)
    return Coded(sae, x_hat, l0, float(np.mean(active == 0)))


def squared_norms(x: Rows, x_hat: Any, parts: Decomposition) -> tuple[Array, float]:
    """‖·‖² of PARTS, shape (rows, 6), and the mean cosine of x and its linear error."""
    squares, cosines = np.empty((x.count, len(PARTS))), np.empty(x.count)
    for rows in slices(x, x.columns):
        block, hat = np.float64(x.source[rows]), np.float64(x_hat[rows])
        error, linear = block - hat, parts.linear(block)
        # The linear part of x̂ is what the best map leaves of x.
        vectors = block, hat, block - linear, error, linear, error - linear
        squares[rows] = np.stack([np.einsum("ij,ij->i", v, v) for v in vectors], axis=1)
        product = np.linalg.norm(block, axis=1) * np.linalg.norm(linear, axis=1)
        inner = np.einsum("ij,ij->i", block, linear)
        cosines[rows] = np.divide(inner, product, out=np.zeros_like(inner), where=product > 0)
    return squares, float(cosines.mean())


def slices(x: Rows, columns: int) -> Iterable[slice]:
    """All rows, a block at a time, for matrices with so many columns."""
    length = block_length(None, max(columns, x.columns))
    return (slice(k, min(k + length, x.count)) for k in range(0, x.count, length))
