"""Activations in files, and those computed when rows are read."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _check
from .._rows import Rows, same_count, to_numpy
from ..sae import SAE
from ..sae.sae import check_autoencoder

# A file of several tensors, and the name of one.
_SEVERAL = re.compile(r"(.+\.(?:safetensors|pt|pth))(?::(.+))?")
_READABLE = (
    "F16",
    "BF16",
    "F32",
    "F64",
    "BOOL",
    *(f"{kind}{n}" for kind in "IU" for n in (8, 16, 32, 64)),
)


def read_activations(path: str | Path) -> Any:
    """Activations in a file, or labels of rows, not read into memory.

    ``.npy``, or ``.safetensors`` or ``.pt`` (PyTorch) with one tensor; ``file.safetensors:name``
    and ``file.pt:name`` name one tensor of several.  bfloat16 is read as float32, which holds it
    exactly.  A pattern such as ``acts/part_*.safetensors`` puts files one after another, in the
    order of their names.  Of three axes, as in (contexts, positions, columns), the first two become
    that of the rows.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file or tensor, or it is of another kind.
    ImportError
        Without PyTorch for ``.pt``, without safetensors for ``.safetensors``.
    """
    file, name = split_name(str(_check.path("path", path)))
    if not Path(file).is_file() and glob.has_magic(file):
        parts = sorted(glob.glob(file))
        if not parts:
            raise FileNotFoundError(f"no file like {file}")
        return Stacked([_rows_of(_read(Path(part), name)) for part in parts], file)
    return _rows_of(_read(Path(file), name))


def split_name(text: str) -> tuple[str, str | None]:
    """File, or pattern of files, and the name of one tensor of several."""
    found = _SEVERAL.fullmatch(text)
    return (found[1], found[2]) if found else (text, None)


def _read(file: Path, name: str | None) -> Any:
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {file}")
    if file.suffix == ".npy":
        try:
            return np.load(file, mmap_mode="r")
        except (ValueError, EOFError) as error:
            raise ValueError(f"{file} cannot be read as .npy: {error}") from error
    if file.suffix in (".pt", ".pth"):
        return _of_torch(file, name)
    if file.suffix != ".safetensors":
        raise ValueError(f"{file} must be .npy, .safetensors or .pt")
    from safetensors import SafetensorError, safe_open

    try:
        tensors: Any = safe_open(file, "numpy")
    except SafetensorError as error:
        raise ValueError(f"{file} cannot be read as safetensors: {error}") from error
    name = _one_of(file, list(tensors.keys()), name)
    found = tensors.get_slice(name)
    if found.get_dtype() not in _READABLE:
        raise ValueError(f"{name} of {file} must be real numbers, got {found.get_dtype()}")
    return BrainFloats(file, name) if found.get_dtype() == "BF16" else found


def _rows_of(source: Any) -> Any:
    shape = source.get_shape() if hasattr(source, "get_shape") else source.shape
    return Flattened(source, shape) if len(shape) == 3 else source


def contexts_of(source: Any) -> NDArray[np.intp] | None:
    """The number of the context of each row, if activations came with an axis of contexts."""
    if isinstance(source, Flattened):
        return np.arange(source.shape[0]) // source.length
    if isinstance(source, Stacked):
        parts = [contexts_of(part.source) for part in source.parts]
        known = [part for part in parts if part is not None]
        if len(known) == len(parts):
            starts = np.cumsum([0, *(part[-1] + 1 for part in known)])
            return np.concatenate([a + b for a, b in zip(known, starts, strict=False)])
    return None


def _one_of(file: Path, names: list[str], name: str | None) -> str:
    if name is None and len(names) == 1:
        return names[0]
    if name not in names:
        some = f"; name one, as in {file}:{names[0]}" if names else ""
        raise ValueError(f"{file} holds {', '.join(names) or 'no tensor'}{some}")
    return name


def _of_torch(file: Path, name: str | None) -> Any:
    """A tensor of a file of PyTorch, of which nothing is run."""
    import torch

    try:
        held = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise ValueError(f"{file} cannot be read by torch.load: {error}") from error
    if isinstance(held, dict):
        tensors = {str(k): v for k, v in held.items() if isinstance(v, torch.Tensor)}
        held = tensors[_one_of(file, list(tensors), name)]
    elif name is not None:
        raise ValueError(f"{file} holds one tensor without a name, got {name}")
    if not isinstance(held, torch.Tensor):
        raise ValueError(f"{file} must hold a tensor, got {type(held).__name__}")
    return held


class BrainFloats:
    """A bfloat16 tensor of a safetensors file, in float32 where it is sliced."""

    def __init__(self, file: Path, name: str) -> None:
        with file.open("rb") as content:
            size = int.from_bytes(content.read(8), "little")
            entry = json.loads(content.read(size))[name]
        self.shape: tuple[int, ...] = tuple(entry["shape"])
        start = 8 + size + entry["data_offsets"][0]
        self.halves = np.memmap(file, "<u2", "r", start, self.shape)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        # bfloat16 is the upper half of float32.
        return (self.halves[rows].astype("<u4") << 16).view("<f4")


class Flattened:
    """Contexts of equal length, one after another."""

    def __init__(self, source: Any, shape: Sequence[int]) -> None:
        contexts, self.length, columns = shape
        self.source, self.shape = source, (contexts * self.length, columns)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(self.shape[0])
        first = start // self.length
        found = to_numpy(self.source[first : -(-stop // self.length)]).reshape(-1, self.shape[1])
        return found[start - first * self.length : stop - first * self.length]


class Stacked:
    """Matrices one after another."""

    def __init__(self, parts: Sequence[Any], name: str) -> None:
        self.parts = [Rows(name, part) for part in parts]
        widths = {part.columns for part in self.parts}
        if len(widths) > 1:
            raise ValueError(f"{name} must be of files of one width, got {sorted(widths)}")
        self.ends = np.cumsum([part.count for part in self.parts])
        flat = all(part.flat for part in self.parts)
        self.shape = (int(self.ends[-1]),) if flat else (int(self.ends[-1]), *widths)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(self.shape[0])
        found, first = [], 0
        for part, end in zip(self.parts, self.ends, strict=True):
            low, high = max(start, first), min(stop, int(end))
            if low < high:
                found.append(to_numpy(part.source[low - first : high - first]))
            first = int(end)
        return np.concatenate(found)


class Beside:
    """Matrices of equal numbers of rows, side by side."""

    def __init__(self, parts: Sequence[Rows]) -> None:
        self.parts = parts
        self.shape = same_count(*parts), sum(part.columns for part in parts)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        some = np.arange(rows.start, rows.stop)
        return np.hstack([part.read(some) for part in self.parts])


class Reconstruction:
    """x̂ of activations, computed when rows are read; not of a transcoder."""

    def __init__(self, x: Any, sae: SAE) -> None:
        _check.instance("sae", sae, SAE)
        check_autoencoder("sae", sae)
        self.x, self.sae = Rows("x", x), sae
        self.shape = self.x.count, sae.d_in

    def __getitem__(self, rows: slice) -> NDArray[np.floating[Any]]:
        return self.sae.reconstruct(self.x.source[rows])
