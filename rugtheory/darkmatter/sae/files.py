"""What formats share: the files of an SAE, with arrays by name and settings by key and type."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._files import read_tensors
from .._rows import to_numpy

CONFIG = "cfg.json"

_MISSING = object()
_TYPES = {
    float: "a number",
    int: "an integer",
    bool: "true or false",
    str: "a string",
    dict: "an object",
}


# Files of formats that are not read, and what to do with them.
_OTHERS = {
    "hyperparams.json": "Llama Scope; SAELens reads it: SAE.from_pretrained(release, sae_id)",
    "*.pth": "Goodfire; SAELens reads it: SAE.from_pretrained(release, sae_id)",
    "*.pt": "OpenAI or other PyTorch files; load the tensors with torch.load, and make a "
    "darkmatter.SAE of them: with keys as OpenAI's, SAE('topk', w_enc=t['encoder.weight'].T, "
    "b_enc=t['latent_bias'], w_dec=t['decoder.weight'].T, b_dec=t['pre_bias'], k=k, "
    "normalization='layer_norm')",
    "*.safetensors": "no format known here; make a darkmatter.SAE of its tensors",
}


def weights_file(path: Path, names: Collection[str]) -> Path:
    """The file of the arrays: `path` itself if it is an .npz file, else that of `names` in it.

    A file in shards is called by the name of the whole, which is not there.
    """
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    if path.is_file() and (path.suffix == ".npz" or path.name in names):
        return path
    found = [path / name for name in names if is_there(path / name)]
    if len(found) != 1:
        raise ValueError(
            f"path must be an .npz file or a folder with one of {', '.join(names)}, got {path}"
            + "".join(f" with {file.name}" for file in found)
            + ("" if found else advice(path))
        )
    return found[0]


def is_there(file: Path) -> bool:
    """Whether there is a file, whole or in shards."""
    return file.is_file() or index_of(file).is_file()


def index_of(file: Path) -> Path:
    """What says which shard of `file` holds which tensor."""
    return file.with_name(f"{file.name}.index.json")


def advice(path: Path) -> str:
    """What to do with a file or folder of another format; nothing if it is of none."""
    for pattern, said in _OTHERS.items():
        if path.match(pattern) if path.is_file() else any(path.rglob(pattern)):
            return (
                f", which looks like {said}; then darkmatter.write_sae or SAELens' "
                "save_inference_model makes a folder that can be read, and write_report takes the "
                "object as it is"
            )
    return ""


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a file, of its shards, or of a file of PyTorch, of which nothing is run."""
    if path.suffix == ".pt":
        import torch

        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            return {str(k): to_numpy(v) for k, v in state.items()}
        except Exception as error:
            raise ValueError(f"{path} cannot be read by torch.load: {error}") from error
    if path.is_file() or not index_of(path).is_file():
        return read_tensors(path)
    index = index_of(path)
    weight_map = read_config(path, index.name).get("weight_map", dict)
    shards: dict[str, NDArray[Any]] = {}
    for name in dict.fromkeys(weight_map.values()):
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(f"{index}: weight_map must name files beside it, got {name!r:.80}")
        shards |= read_tensors(path.with_name(name))
    missing = set(weight_map) - set(shards)
    if missing:
        raise ValueError(f"{index}: its shards must hold {', '.join(sorted(missing))}")
    return shards


class Tensors:
    """Arrays of a file, to be taken by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left = _arrays(path)
        long = any(_floating(a) and a.itemsize > 4 and a.ndim for a in self.left.values())
        self.dtype = np.float64 if long else np.float32

    def take(self, key: str, shape: tuple[int, ...] | None = None) -> NDArray[np.floating[Any]]:
        """The array `key`, at least float32: of this shape, or any matrix."""
        if key not in self.left:
            raise ValueError(
                f"{self.path} has no {key}; besides what was read it holds "
                f"{', '.join(self.left) or 'nothing'}"
            )
        array = self.left.pop(key)
        if not _floating(array):
            raise ValueError(f"{self.path}: {key} must be floating, got dtype {array.dtype}")
        if shape is None and (array.ndim != 2 or 0 in array.shape):
            raise ValueError(f"{self.path}: {key} must be a matrix, got shape {array.shape}")
        if shape is not None and array.shape != shape:
            raise ValueError(f"{self.path}: {key} must have shape {shape}, got {array.shape}")
        finite = np.isfinite(array)
        if not finite.all():
            raise ValueError(f"{self.path}: {key} must be finite, got {array[~finite][0]}")
        return array.astype(np.result_type(array, np.float32), copy=False)

    def basis(self) -> dict[str, Any]:
        """W_enc, W_dec and b_dec, which all formats but sparsify's have."""
        w_dec, w_enc = self.take("W_dec"), self.take("W_enc")
        if w_enc.shape[1] != len(w_dec):
            shape = w_dec.shape[::-1]
            raise ValueError(f"{self.path}: W_enc must have shape {shape}, got {w_enc.shape}")
        return {"w_enc": w_enc, "w_dec": w_dec, "b_dec": self.take("b_dec", w_dec.shape[1:])}

    def integer(self, key: str) -> int:
        """The number `key`, an integer without axes."""
        array = self.left.pop(key, None)
        if array is None or array.dtype.kind not in "iu" or array.shape not in ((), (1,)):
            raise ValueError(f"{self.path}: {key} must be an integer, got {array!r:.60}")
        return int(array.reshape(()))

    def finish(self) -> None:
        """Raise if something was not taken: it may change what the rest means."""
        if self.left:
            raise ValueError(f"{self.path} holds {', '.join(self.left)}, of unknown meaning")


def read_config(weights: Path, name: str = CONFIG) -> Config:
    """The settings beside a file of arrays."""
    path = weights.with_name(name)
    text = path.read_bytes()
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    return Config(path, values)


class Config:
    """Settings of a file, to be asked for by key and type."""

    def __init__(self, path: Path, values: Any) -> None:
        if not isinstance(values, dict):
            raise ValueError(f"{path} must hold a JSON object, got {type(values).__name__}")
        self.path, self.values = path, values

    def get(self, key: str, kind: type, default: Any = _MISSING) -> Any:
        """The value of `key`, of type `kind`; `default` if there is none or it is null."""
        value = self.values.get(key)
        if value is None:
            if default is _MISSING:
                raise ValueError(f"{self.path} has no {key}; it holds {', '.join(self.values)}")
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ValueError(f"{self.path}: {key} must be {_TYPES[kind]}, got {value!r:.80}")
        return value

    def sub(self, key: str) -> Config:
        """The object `key`, empty if there is none."""
        return Config(self.path, self.get(key, dict, {}))

    def one_of(self, key: str, valid: tuple[Any, ...], default: Any = _MISSING) -> Any:
        """The value of `key`, which must be in `valid`."""
        value = self.get(key, object, default)
        # Equal is not enough: 1 == True.
        if not any(type(value) is type(v) and value == v for v in valid):
            raise ValueError(
                f"{self.path}: {key} must be one of {', '.join(map(str, valid))}, got {value!r:.80}"
            )
        return value

    def match(self, key: str, expected: int) -> None:
        """Raise unless the value of `key`, if there is one, is `expected`."""
        if self.get(key, int, expected) != expected:
            raise ValueError(
                f"{self.path}: {key} is {self.values[key]}, but the weights have {expected}"
            )


def in_float64(array: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """In float64, before anything is computed with it: what is folded is rounded once, at last."""
    return array.astype(np.float64, copy=False)


def _floating(array: NDArray[Any]) -> bool:
    return array.dtype.kind == "f"
