"""Activations that come in blocks, read in their order, as a matrix that can be sliced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._rows import Rows, to_numpy

Blocks = Callable[[], Iterator[Any]]


@contextmanager
def activations(name: str, source: Any, folder: Path) -> Iterator[Rows]:
    """`source` as rows; an iterator, gone through once, is stored in `folder` meanwhile."""
    if isinstance(source, list | tuple) or hasattr(source, "__getitem__"):
        yield Rows(name, source)
    elif isinstance(source, Iterator):
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}.unfinished.bin"
        try:
            yield Rows(name, _stored(name, source, file))
        finally:
            file.unlink(missing_ok=True)
    elif callable(source):
        yield Rows(name, Streamed(name, source))
    elif isinstance(source, Iterable):
        yield Rows(name, Streamed(name, lambda: iter(source)))
    else:
        yield Rows(name, source)


class Streamed:
    """Blocks that can be gone through again, sliced by going on in them, or from the start."""

    def __init__(self, name: str, make: Blocks) -> None:
        self.name, self.make = name, make
        count, columns = 0, 0
        for block in self._blocks():
            count, columns = count + len(block), block.shape[1]
        self.shape = count, columns
        self.blocks = self._blocks()
        # The block at hand, and the number of its first row.
        self.place, self.block = 0, np.empty((0, columns))

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        if rows.start < self.place:
            self.blocks = self._blocks()
            self.place, self.block = 0, np.empty((0, self.shape[1]))
        parts: list[NDArray[Any]] = []
        wanted = rows.start
        while wanted < rows.stop:
            end = self.place + len(self.block)
            if end <= wanted:
                self.place = end
                following = next(self.blocks, None)
                if following is None:
                    raise ValueError(
                        f"{self.name} must give its {self.shape[0]} rows each time, got {end}"
                    )
                self.block = following
                continue
            part = self.block[wanted - self.place : rows.stop - self.place]
            parts.append(part)
            wanted += len(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _blocks(self) -> Iterator[NDArray[Any]]:
        return checked_blocks(self.name, self.make())


def checked_blocks(name: str, source: Iterator[Any]) -> Iterator[NDArray[Any]]:
    """Blocks as matrices of one width."""
    columns = None
    if not isinstance(source, Iterable):
        raise TypeError(f"{name} must give an iterator of blocks, got {source!r:.60}")
    for block in source:
        array = to_numpy(block)
        if array.ndim != 2 or array.shape[1] != (columns or array.shape[1]) or 0 in array.shape:
            raise ValueError(
                f"{name} must give blocks of shape (rows, {columns or 'columns'}), "
                f"got {array.shape}"
            )
        columns = array.shape[1]
        yield array
    if columns is None:
        raise ValueError(f"{name} must give blocks, got none")


def _stored(name: str, source: Iterator[Any], file: Path) -> NDArray[Any]:
    """The blocks of an iterator, in a file, in the type of the first."""
    count, columns = 0, 0
    dtype: np.dtype[Any] = np.dtype(float)
    with file.open("wb") as target:
        for block in checked_blocks(name, source):
            dtype = dtype if count else block.dtype
            if block.dtype != dtype:
                raise ValueError(f"{name} must give blocks of {dtype}, got {block.dtype}")
            np.ascontiguousarray(block).tofile(target)
            count, columns = count + len(block), block.shape[1]
    found: NDArray[Any] = np.memmap(file, dtype, "r", shape=(count, columns))
    return found
