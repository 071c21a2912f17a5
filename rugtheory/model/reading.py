"""Reading the weights of a trained model from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import _check
from .._check import Array
from .._files import read_metadata, read_tensors
from .model import Model

_PAIRS = (
    ("W_in", "W_out"),
    ("w_in", "w_out"),
    ("initial_layer.weight", "final_layer.weight"),
)
_TIED = ("W", "w")
_BIASES = ("b", "bias", "b_final", "final_layer.bias")
# Biases of the hidden units.
_HIDDEN_BIASES = ("b_in", "initial_layer.bias")
# What `Rug.save` writes beside the weights, which follow from it.
_RUG_ROWS = "rows"
_TORCH = (".pt", ".pth", ".bin", ".ckpt")


def read_weights(path: str | Path) -> Model:
    """Weights from a safetensors file, an .npz archive or a PyTorch state dict.

    Parameters
    ----------
    path : str or Path
        `.safetensors`, `.npz`, or `.pt`, `.pth`, `.bin`, `.ckpt`.  The last are read with
        ``torch.load(weights_only=True)``, which runs no code from the file; torch is imported only
        then.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        If the file is not what its name says, a tensor is missing, has a wrong shape or is not
        finite, if orientation cannot be told, or if the file holds anything that is not used.
    ImportError
        Without the package that reads the format.

    Notes
    -----
    Names understood: W_in, W_out; initial_layer.weight, final_layer.weight; or a single W if the
    weights are tied, W_out = W_inᵀ.  The bias is b, bias, b_final or final_layer.bias.  Its length
    is n_sparse, which tells rows from columns; square matrices are only understood by the names of
    layers, whose weights PyTorch stores as (outputs, inputs).

    A bias of the hidden units, b_in or initial_layer.bias, is folded in: the `b` returned is then
    b + W_out b_in.  Texts `activation` and `hidden_noise` in the metadata of a safetensors file are
    those of the model, as `Model.save` writes them.  The `rows` of a rug saved by `Rug.save` are
    passed over.  Any other tensor is an error that names it, since a model that has it is not
    ReLU(W_out W_in x + b).
    """
    path = _check.path("path", path)
    tensors = _load(path)
    biases = [name for name in _BIASES if name in tensors]
    if len(biases) > 1:
        raise ValueError(f"{path} holds more than one bias of the outputs: {', '.join(biases)}")
    bias_name, b = _find(tensors, _BIASES, path)
    used = {bias_name}
    if b.ndim != 1:
        raise ValueError(f"{path}: {bias_name} must be a vector, got shape {b.shape}")
    for in_name, out_name in _PAIRS:
        if in_name in tensors or out_name in tensors:
            _, w_in = _find(tensors, (in_name,), path)
            _, w_out = _find(tensors, (out_name,), path)
            layers = in_name.startswith("initial")
            w_in = _oriented(path, in_name, w_in, b.size, 1, known=layers)
            w_out = _oriented(path, out_name, w_out, b.size, 0, known=layers)
            used |= {in_name, out_name}
            break
    else:
        name, w = _find(tensors, _TIED, path)
        in_name, out_name = name, f"{name} transposed"
        w_in = _oriented(path, name, w, b.size, 1, known=False)
        w_out = w_in.T
        used.add(name)
    if w_in.shape != w_out.shape[::-1]:
        raise ValueError(
            f"{path}: {in_name} {w_in.shape} and {out_name} {w_out.shape} do not fit together"
        )
    parts = [(in_name, w_in), (out_name, w_out), (bias_name, b)]
    hidden_name = next((name for name in _HIDDEN_BIASES if name in tensors), None)
    if hidden_name is not None:
        _, hidden = _find(tensors, (hidden_name,), path)
        if hidden.shape != w_in.shape[:1]:
            raise ValueError(
                f"{path}: {hidden_name} must be a vector of length {len(w_in)}, the number of "
                f"hidden units, got shape {hidden.shape}"
            )
        parts.append((hidden_name, hidden))
        used.add(hidden_name)
    _check_unused(path, tensors, used, w_in)
    for name, x in parts:
        if not np.isfinite(x).all():
            raise ValueError(f"{path}: {name} must be finite, got {x[~np.isfinite(x)][0]}")
    hidden_bias = None if hidden_name is None else parts[-1][1]
    try:
        return Model(w_in, w_out, b, b_in=hidden_bias, **_settings(read_metadata(path)))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _settings(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What `Model.save` writes beside the tensors."""
    found: dict[str, Any] = {}
    if "activation" in metadata:
        found["activation"] = metadata["activation"]
    if "hidden_noise" in metadata:
        try:
            found["hidden_noise"] = float(metadata["hidden_noise"])
        except ValueError:
            text = metadata["hidden_noise"]
            raise ValueError(f"hidden_noise must be a number, got {text!r:.60}") from None
    return found


def _check_unused(path: Path, tensors: Mapping[str, Any], used: set[str], w_in: Array) -> None:
    """Raise ValueError if there is anything beside what is used, and the rows of a rug."""
    unused = set(tensors) - used
    if path.suffix == ".safetensors" and _RUG_ROWS in unused:
        rows = np.asarray(tensors[_RUG_ROWS])
        if rows.dtype.kind in "iu" and rows.shape == w_in.shape[:1]:
            unused.remove(_RUG_ROWS)
    if unused:
        found = ", ".join(_described(name, tensors[name]) for name in sorted(unused))
        raise ValueError(
            f"{path}: nothing is known about {found}; a model ReLU(W_out W_in x + b) has only "
            f"{', '.join(sorted(used))} here"
        )


def _described(name: str, value: Any) -> str:
    shape = getattr(value, "shape", None)
    kind = type(value).__name__ if shape is None else f"shape {tuple(shape)}"
    return f"{name} ({kind})"


def _load(path: Path) -> Mapping[str, Any]:
    if path.suffix in (".safetensors", ".npz"):
        return read_tensors(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if path.suffix not in _TORCH:
        raise ValueError(
            f"path must end in .safetensors, .npz or {', '.join(_TORCH)}, got {path.name!r}"
        )
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        beside = [k for k, v in state.items() if "state_dict" in state and torch.is_tensor(v)]
        state = state.get("state_dict", state)
        tensors = {k: v.detach().double().numpy() for k, v in state.items() if torch.is_tensor(v)}
    except Exception as error:
        raise ValueError(f"{path} cannot be read as {path.suffix[1:]}: {error}") from error
    if beside:
        raise ValueError(f"{path}: nothing is known about {', '.join(beside)} beside state_dict")
    return {str(k): tensors.get(k, v) for k, v in state.items()}


def _find(tensors: Mapping[str, Any], names: tuple[str, ...], path: Path) -> tuple[str, Array]:
    for name in names:
        if name in tensors:
            x = np.asarray(tensors[name])
            if x.dtype.kind not in "iuf":
                raise ValueError(f"{path}: {name} must be real, got dtype {x.dtype}")
            return name, x.astype(np.float64)
    held = ", ".join(_described(name, x) for name, x in tensors.items())
    raise ValueError(f"{path} has no {' or '.join(names)}; it holds {held or 'nothing'}")


def _oriented(path: Path, name: str, w: Array, n_sparse: int, axis: int, *, known: bool) -> Array:
    """`w` with its axis of length `n_sparse` moved to `axis`."""
    if w.ndim != 2 or n_sparse not in w.shape:
        raise ValueError(
            f"{path}: {name} must be a matrix with an axis of length {n_sparse}, that of the bias, "
            f"got shape {w.shape}"
        )
    if w.shape == (n_sparse, n_sparse) and not known:
        raise ValueError(
            f"{path}: {name} is square, so rows cannot be told from columns; name the weights "
            "initial_layer.weight, of shape (n_dense, n_sparse), and final_layer.weight, of shape "
            "(n_sparse, n_dense)"
        )
    return w if w.shape[axis] == n_sparse else w.T
