"""Named tensors of files, mappings and modules, out of what they are wrapped in."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import _check
from .._check import Array
from .._files import read_metadata, read_tensors
from .parametrised import module_tensors, whole_tensors

TORCH = (".pt", ".pth", ".bin", ".ckpt", ".tar")
# Keys that hold the state dict of the model, the likeliest first.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "params")
# What is put before names by wrappers of modules.
_PREFIXES = ("_orig_mod.", "module.", "model.")
# What lies beside a state dict and is not passed over.
_WEIGHTS = ("w", "w_in", "w_out", "b", "bias", "b_in")
_SHOWN = 40


@dataclass(frozen=True)
class State:
    """Named tensors.

    Attributes
    ----------
    where : str
        How messages call the whole: the path, or "x".
    tensors : mapping
        Tensors, and anything else that the state dict holds, by name.
    short : mapping
        The names without wrappers' prefixes, by name.
    metadata : mapping
        Texts of a safetensors file.
    beside : tuple of str
        What lies beside the state dict.
    made : tuple of str
        What was made from parts.
    """

    where: str
    tensors: Mapping[str, Any]
    metadata: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    made: tuple[str, ...] = ()

    @property
    def short(self) -> dict[str, str]:
        short = {name: name for name in self.tensors}
        for _ in _PREFIXES:  # in any order, each once
            for prefix in _PREFIXES:
                cut = {name: x.removeprefix(prefix) for name, x in short.items()}
                short = cut if len(set(cut.values())) == len(cut) else short
        while len({x.partition(".")[0] for x in short.values()}) == 1:
            if not all("." in x for x in short.values()):
                break
            short = {name: x.partition(".")[2] for name, x in short.items()}
        return short

    def listing(self) -> str:
        """All names and shapes."""
        items = list(self.tensors.items())
        shown = [described(name, x) for name, x in items[:_SHOWN]]
        return ", ".join(shown + [f"{len(items) - _SHOWN} more"] * (len(items) > _SHOWN)) or "none"

    def without(self, names: tuple[str, ...]) -> State:
        kept = {name: x for name, x in self.tensors.items() if name not in names}
        return replace(self, tensors=kept)

    def whole(self) -> State:
        """With tensors that are held in parts put together."""
        tensors, made = whole_tensors(self.tensors, to_array)
        return replace(self, tensors=tensors, made=made)


def described(name: str, value: Any) -> str:
    """Name and shape of a tensor, or the type of what is none."""
    shape = getattr(value, "shape", None)
    return f"{name} ({type(value).__name__})" if shape is None else f"{name} {tuple(shape)}"


def read_state(x: Any) -> State:
    """The tensors of a file, a mapping, a module, or of one matrix, which is called W."""
    if isinstance(x, str | os.PathLike):
        return _of_file(Path(x))
    if callable(getattr(x, "state_dict", None)) and not isinstance(x, type):
        return State("x", module_tensors(x))
    if isinstance(x, Mapping):
        inner, beside = _unwrapped(x, "x")
        return State("x", _flat(inner), beside=beside)
    if is_tensor(x):
        return State("x", {"W": x})
    several = isinstance(x, list | tuple) and any(map(is_tensor, x))
    remedy = "; Model(w_in, w_out, b) takes matrices one by one" if several else ""
    raise TypeError(
        "x must be a path, a mapping of names to arrays or tensors, a torch module or one matrix, "
        f"got {_check.shown(x)}{remedy}"
    )


def is_tensor(value: Any) -> bool:
    """If this is an array of NumPy, of PyTorch or of the like."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def to_array(name: str, value: Any) -> Array:
    """`value` as float64; raises ValueError if it is not real."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        try:
            value = value.detach().cpu()
        except (RuntimeError, NotImplementedError):
            raise ValueError(f"{name} must hold numbers, got {_check.shown(value)}") from None
        if value.is_complex():
            raise ValueError(f"{name} must be real, got dtype {value.dtype}")
        return np.asarray(value.to_dense().double().numpy())
    if np.ma.is_masked(value):
        raise ValueError(f"{name} must not be masked, got {_check.shown(value)}")
    x = np.asarray(value)
    # NumPy knows bfloat16 and float8 by extensions only.
    if x.dtype.kind not in "iuf" and not re.match(r"bfloat16|float8", x.dtype.name):
        raise ValueError(f"{name} must be real, got dtype {x.dtype}")
    return x.astype(np.float64)


def _of_file(path: Path) -> State:
    if path.suffix in (".safetensors", ".npz"):
        tensors = read_tensors(path)
        return State(str(path), tensors, read_metadata(path))
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if path.suffix == ".npy":
        try:
            return State(str(path), {"W": np.load(path, allow_pickle=False)})
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path} cannot be read as npy: {error}") from None
    if path.suffix not in TORCH:
        raise ValueError(
            f"a file x of weights must end in .safetensors, .npz, .npy or {', '.join(TORCH)}, "
            f"got {_check.shown(path.name)}"
        )
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of, it refuses
            whole = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as {path.suffix[1:]}: {_why(error)}") from None
    if is_tensor(whole):
        return State(str(path), {"W": whole})
    if not isinstance(whole, Mapping):
        raise ValueError(
            f"{path} must hold a state dict, got an object of type {type(whole).__name__}"
        )
    inner, beside = _unwrapped(whole, str(path))
    return State(str(path), _flat(inner), beside=beside)


def _why(error: Exception) -> str:
    """One line on a file of PyTorch that is refused; what would run code from it is no advice."""
    said = str(error)
    remedy = "save the state dict instead, torch.save(model.state_dict(), path)"
    if found := re.search(r"GLOBAL ([\w.]+)", said):
        return f"it holds more than tensors, {found[1]}, and no code is run from a file; {remedy}"
    if "TorchScript" in said:
        return f"it is an archive of TorchScript; {remedy}"
    if "Weights only" in said:
        return "it is no state dict of PyTorch"
    return re.split(r"[.\n] ?", said.strip())[0] or f"it is no such file ({type(error).__name__})"


def _unwrapped(whole: Mapping[Any, Any], where: str) -> tuple[Mapping[Any, Any], tuple[str, ...]]:
    """The state dict inside a checkpoint, and what lies beside it."""
    beside: list[str] = []
    while True:
        inside = {
            str(k): v
            for k, v in whole.items()
            if _holds_tensors(v) and (str(k) in _WRAPPERS or not _holds_own(whole))
        }
        key = next((k for k in _WRAPPERS if k in inside), None)
        if key is None and len(inside) == 1 and not _is_layers(inside):
            (key,) = inside
        if key is None:
            return whole, tuple(beside)
        for name in whole:
            if name != key and str(name).lower() in _WEIGHTS and is_tensor(whole[name]):
                raise ValueError(
                    f"{where} must hold all weights in {key}, got {described(name, whole[name])} "
                    "beside it"
                )
        beside += [described(str(k), v) for k, v in whole.items() if str(k) != key]
        inner = inside[key]
        whole = module_tensors(inner) if hasattr(inner, "state_dict") else inner


def _holds_tensors(value: Any) -> bool:
    if callable(getattr(value, "state_dict", None)):
        return hasattr(value, "parameters")
    return isinstance(value, Mapping) and any(
        isinstance(key, str) and (is_tensor(x) or _holds_tensors(x)) for key, x in value.items()
    )


def _holds_own(value: Mapping[Any, Any]) -> bool:
    return any(is_tensor(x) and len(x.shape) > 1 for x in value.values())


def _is_layers(inside: Mapping[str, Any]) -> bool:
    """If a single mapping is a layer by itself, like {"encoder": {"kernel": ...}}."""
    (one,) = inside.values()
    return isinstance(one, Mapping) and bool({"kernel", "weight"} & set(one))


def _flat(whole: Mapping[Any, Any]) -> dict[str, Any]:
    """Nested mappings as one, names joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in whole.items():
        if isinstance(value, Mapping) and _holds_tensors(value):
            flat |= {f"{key}.{name}": x for name, x in _flat(value).items()}
        else:
            flat[str(key)] = value
    return flat
