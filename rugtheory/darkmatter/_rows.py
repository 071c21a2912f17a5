"""Matrices that are read a block of rows at a time, and blocks that say where they are bad."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _check
from .._check import Array

# Blocks that stay near the cache, but enough rows for matrix products to be worth a block.
_BLOCK_VALUES = 2**20


class Rows:
    """A matrix of anything that slices to arrays: ndarray, memmap, safetensors slice, HDF5, CSR.

    A vector is a matrix of one column.  What cannot be sliced is made an array first.
    """

    def __init__(self, name: str, source: Any) -> None:
        shape = source.get_shape() if hasattr(source, "get_shape") else None
        if shape is None:
            shape = getattr(source, "shape", None)
        if shape is None or not hasattr(source, "__getitem__"):
            source = _check.real(name, source)
            shape = source.shape
        if len(shape) not in (1, 2) or 0 in shape:
            raise ValueError(
                f"{name} must have shape (rows,) or (rows, columns), none of them 0, "
                f"got {tuple(shape)}"
            )
        self.name, self.source = name, source
        self.count = int(shape[0])
        self.columns, self.flat = int(shape[1]) if len(shape) == 2 else 1, len(shape) == 1

    def read(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        """The ascending `rows`, all within a block, as a finite real matrix of their own type."""
        start, stop = int(rows[0]), int(rows[-1]) + 1
        part = self.source[start:stop]
        if hasattr(part, "toarray"):
            part = part.toarray()
        try:
            block = to_numpy(part)
            if block.dtype.kind not in "iuf":
                raise TypeError(f"dtype {block.dtype}")
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"{self.name} must slice to real arrays, got {error}") from None
        block = block.reshape(block.shape[0], -1)
        if block.shape != (stop - start, self.columns):
            raise ValueError(
                f"{self.name} must give shape {(stop - start, self.columns)} for rows {start} to "
                f"{stop - 1}, got {block.shape}"
            )
        if rows.size < block.shape[0]:
            block = block[rows - start]
        # One sum finds what is not finite; which row it is in is asked only then.
        with np.errstate(over="ignore", invalid="ignore"):
            total = block.sum()
        if not np.isfinite(total):
            bad = np.argwhere(~np.isfinite(block))
            if bad.size:
                row, column = bad[0]
                raise ValueError(
                    f"{self.name} must be finite, got {block[row, column]} in row {rows[row]}, "
                    f"column {column} (block of rows {start} to {stop - 1})"
                )
        return block

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Type of the values, None if it is none of NumPy's."""
        try:
            found: np.dtype[Any] = np.dtype(self.source.dtype)
            return found
        except (AttributeError, TypeError):
            return None

    def all(self) -> Array:
        """The whole matrix in float64."""
        return self.read(np.arange(self.count)).astype(np.float64)


def to_numpy(values: Any) -> NDArray[Any]:
    """An array of an array or a tensor; bfloat16 becomes float32, which holds it exactly."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":
            values = values.float()
        values = values.numpy()
    array = np.asarray(values)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def same_count(*matrices: Rows) -> int:
    """The number of rows that all have."""
    counts = {rows.name: rows.count for rows in matrices}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ValueError(f"numbers of rows must agree, got {shown}")
    return matrices[0].count


def block_length(block_rows: int | None, columns: int) -> int:
    """Rows in a block: as given, or enough for `columns`."""
    if block_rows is None:
        return max(_BLOCK_VALUES // columns, columns, 1)
    return _check.integer("block_rows", block_rows, 1)


def blocks(chosen: NDArray[np.bool_], length: int) -> Iterator[NDArray[np.intp]]:
    """Numbers of the chosen rows in every block that holds one."""
    for start in range(0, chosen.size, length):
        here = np.flatnonzero(chosen[start : start + length])
        if here.size:
            yield here + start
