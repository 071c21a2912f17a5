"""Activations in files, and those computed when rows are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _check
from .._rows import Rows
from ..sae import SAE
from ..sae.sae import check_autoencoder


def read_activations(path: str | Path) -> Any:
    """Activations in a file, not read into memory: .npy, or .safetensors with one tensor.

    ``file.safetensors:name`` names one tensor of several.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file or tensor, or it is of another kind.
    """
    text, _, name = str(_check.path("path", path)).partition(".safetensors:")
    file = Path(f"{text}.safetensors" if name else text)
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {file}")
    if file.suffix == ".npy":
        try:
            return np.load(file, mmap_mode="r")
        except (ValueError, EOFError) as error:
            raise ValueError(f"{file} cannot be read as .npy: {error}") from error
    if file.suffix != ".safetensors":
        raise ValueError(f"{file} must be .npy or .safetensors")
    from safetensors import SafetensorError, safe_open

    try:
        tensors: Any = safe_open(file, "numpy")
    except SafetensorError as error:
        raise ValueError(f"{file} cannot be read as safetensors: {error}") from error
    names = list(tensors.keys())
    if not name and len(names) == 1:
        (name,) = names
    if name not in names:
        raise ValueError(f"{file} holds {', '.join(names)}; name one, as in {file}:{names[0]}")
    found = tensors.get_slice(name)
    if found.get_dtype() not in ("F16", "F32", "F64"):
        raise ValueError(f"{name} of {file} must be float16, 32 or 64, got {found.get_dtype()}")
    return found


class Reconstruction:
    """x̂ of activations, computed when rows are read; not of a transcoder."""

    def __init__(self, x: Any, sae: SAE) -> None:
        _check.instance("sae", sae, SAE)
        check_autoencoder("sae", sae)
        self.x, self.sae = Rows("x", x), sae
        self.shape = self.x.count, sae.d_in

    def __getitem__(self, rows: slice) -> NDArray[np.floating[Any]]:
        return self.sae.reconstruct(self.x.source[rows])
