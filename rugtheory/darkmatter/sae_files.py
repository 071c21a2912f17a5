"""The files in which sparse autoencoders are published.

Formats as their own code defines them: google-deepmind's Gemma Scope tutorial, SAELens 3 to 6
(`SAE.load_from_disk`), EleutherAI's sparsify 1 (`SparseCoder.load_from_disk`).
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import _check
from .._files import read_tensors
from .sae import NORMALIZATIONS, SAE

_CONFIG = "cfg.json"
_SAELENS = "sae_weights.safetensors"
_SPARSIFY = "sae.safetensors"
_GEMMA_SCOPE = "params.npz"
_WEIGHTS = (_SAELENS, _SPARSIFY, _GEMMA_SCOPE)

_SAELENS_ARCHITECTURES = ("standard", "jumprelu", "topk", "abstopk", "gated")
# What Google DeepMind calls its releases of transcoders, whose files do not say what they are.
_GEMMA_TRANSCODERS = re.compile(r"gemma-scope.*transcoder")
# The layout that is written, and from which on it is so.
_LAYOUT = 6
_EXPECTED = "expected_average_only_in"

_MISSING = object()
_TYPES = {int: "an integer", bool: "true or false", str: "a string", dict: "an object"}


def read_sae(
    path: str | Path,
    *,
    input_scale: float | None = None,
    dtype: DTypeLike | None = None,
    transcoder: bool | None = None,
) -> SAE:
    """A sparse autoencoder from its files.

    Parameters
    ----------
    path : str or Path
        A folder with `cfg.json` and `sae_weights.safetensors` (SAELens, any version), with
        `cfg.json` and `sae.safetensors` (EleutherAI's sparsify), or with `params.npz` (Gemma
        Scope); or an `.npz` file of the last kind.
    input_scale : float, optional
        Number to multiply activations by before encoding; reconstructions are divided by it.  To
        be given for SAELens files with `normalize_activations` "expected_average_only_in", which
        do not say it: √d_in over the mean norm of the activations, or 1 if they come scaled.
    dtype : float32 or float64, optional
        Of the arrays and the computation; by default float64 if the file has it, else float32.
    transcoder : bool, optional
        Whether it is a transcoder; by default what the files say (see the notes).

    Returns
    -------
    SAE

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    ValueError
        If a file cannot be read, an architecture, normalization or other setting is not one of
        those supported, a key is missing or unknown, a shape does not fit, or a value is not
        finite.  The message names file, key and value.
    ImportError
        Without safetensors, if the format needs it.

    Notes
    -----
    bfloat16 and float16 weights are computed with in float32, more exactly than where they were
    trained.  SAELens' `rescale_acts_by_decoder_norm` and `finetuning_scaling_factor`, and
    `input_scale`, are folded into the weights in float64.  Gemma Scope subtracts no b_dec.
    SAELens' hook_z SAEs expect the heads side by side in a row.

    A transcoder is told by `transcode` of sparsify, and by a `hook_name_out` of SAELens that is
    not its `hook_name`; SAELens' own architectures of transcoders are not read.  Nothing in Gemma
    Scope's files tells transcoders from SAEs: those in a folder with the name of DeepMind's
    releases, such as gemma-scope-2b-pt-transcoders, are taken for transcoders, of others it has
    to be said by `transcoder`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from rugtheory import darkmatter
    >>> eye = np.eye(3, dtype=np.float32)
    >>> sae = darkmatter.SAE("topk", eye, np.zeros(3), eye, np.zeros(3), k=1)
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     darkmatter.write_sae(sae, parent + "/sae")
    ...     sae = darkmatter.read_sae(parent + "/sae")
    >>> sae.encode([[1, 3, 2]]).toarray().tolist()
    [[0.0, 3.0, 0.0]]
    """
    try:
        valid = dtype is None or np.dtype(dtype) in (np.float32, np.float64)
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise ValueError(f"dtype must be float32 or float64, got {dtype!r:.60}")
    if input_scale is not None:
        input_scale = float(
            _check.positive("input_scale", _check.scalar("input_scale", input_scale))
        )
    if transcoder is not None:
        _check.boolean("transcoder", transcoder)
    file = _weights_file(_check.path("path", path))
    tensors = _Tensors(file)
    if file.name == _SAELENS:
        parts = _saelens(_read_config(file.with_name(_CONFIG)), tensors, input_scale)
    elif file.name == _SPARSIFY:
        parts = _sparsify(_read_config(file.with_name(_CONFIG)), tensors)
    else:
        parts = _gemma_scope(tensors)
        parts["transcoder"] = any(map(_GEMMA_TRANSCODERS.search, file.resolve().parts))
    tensors.finish()
    if transcoder is not None:
        parts["transcoder"] = transcoder
    if input_scale is not None:
        if parts.get("normalization", "none") != "none":
            raise ValueError(
                f"input_scale must be None, as {file} normalizes rows ({parts['normalization']})"
            )
        if parts["transcoder"]:
            raise ValueError(
                f"input_scale must be None, as {file} is a transcoder, got {input_scale}"
            )
        parts["w_enc"] = _long(parts["w_enc"]) * input_scale
        parts["w_dec"] = _long(parts["w_dec"]) / input_scale
        parts["b_dec"] = _long(parts["b_dec"]) / input_scale
    # SAE takes the dtype of w_enc.
    parts["w_enc"] = parts["w_enc"].astype(tensors.dtype if dtype is None else dtype)
    try:
        return SAE(**parts)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error


def write_sae(sae: SAE, folder: str | Path) -> None:
    """Write `sae` to a new folder, whole or not at all, in the layout of SAELens 6.

    Parameters
    ----------
    sae : SAE
        Of any architecture but groupmax, which SAELens does not have.
    folder : str or Path
        Must not exist, or be empty; its parent must exist.

    Raises
    ------
    ValueError
        If the format cannot express `sae`, or its metadata are not JSON.
    FileExistsError
        If `folder` holds anything.
    ImportError
        Without safetensors.
    """
    from safetensors.numpy import save_file

    _check.instance("sae", sae, SAE)
    folder = _check.path("folder", folder)
    if sae.architecture not in _SAELENS_ARCHITECTURES:
        raise ValueError(
            f"architecture must be one of {', '.join(_SAELENS_ARCHITECTURES)} to be written, "
            f"got {sae.architecture!r}"
        )
    config = {
        "architecture": sae.architecture,
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        "dtype": str(sae.w_enc.dtype),
        "device": "cpu",
        "apply_b_dec_to_input": bool(sae.subtract_b_dec),
        "normalize_activations": sae.normalization,
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_training_version": None,
            **sae.metadata,
            **(
                {"transcode": sae.transcoder}
                if sae.transcoder or "transcode" in sae.metadata
                else {}
            ),
            "sae_lens_version": f"{_LAYOUT}.0.0",
            "written_by": f"rugtheory {version('rugtheory')}",
        },
    }
    if sae.k is not None:
        config |= {"k": sae.k, "rescale_acts_by_decoder_norm": False}
    tensors = {"W_enc": sae.w_enc, "W_dec": sae.w_dec, "b_dec": sae.b_dec}
    tensors["b_mag" if sae.architecture == "gated" else "b_enc"] = sae.b_enc
    tensors |= {
        name: array
        for name in ("threshold", "b_gate", "r_mag")
        if (array := getattr(sae, name)) is not None
    }
    try:
        text = json.dumps(config, indent=1)
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata must be writable as JSON: {error}") from error
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"folder must be new or empty, got {folder}")
    # Two files appear at once only as a folder that is renamed.
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as partial:
        whole = Path(partial) / folder.name
        whole.mkdir()
        (whole / _CONFIG).write_text(text, encoding="utf-8")
        save_file({n: np.ascontiguousarray(a) for n, a in tensors.items()}, whole / _SAELENS)
        os.replace(whole, folder)


class _Tensors:
    """Arrays of a file, to be taken by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left = read_tensors(path)
        long = any(_floating(a) and a.itemsize > 4 for a in self.left.values())
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
        w_dec = self.take("W_dec")
        d_sae, d_in = w_dec.shape
        return {
            "w_enc": self.take("W_enc", (d_in, d_sae)),
            "w_dec": w_dec,
            "b_dec": self.take("b_dec", (d_in,)),
        }

    def finish(self) -> None:
        """Raise if something was not taken: it may change what the rest means."""
        if self.left:
            raise ValueError(f"{self.path} holds {', '.join(self.left)}, of unknown meaning")


class _Config:
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

    def sub(self, key: str) -> _Config:
        """The object `key`, empty if there is none."""
        return _Config(self.path, self.get(key, dict, {}))

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


def _long(array: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """In float64, before anything is computed with it: what is folded is rounded once, at last."""
    return array.astype(np.float64, copy=False)


def _floating(array: NDArray[Any]) -> bool:
    return array.dtype.kind == "f"


def _weights_file(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    if path.is_file() and path.suffix == ".npz":
        return path
    found = [path / name for name in _WEIGHTS if (path / name).is_file()]
    if len(found) != 1:
        raise ValueError(
            f"path must be an .npz file or a folder with one of {', '.join(_WEIGHTS)}, got {path}"
            + "".join(f" with {file.name}" for file in found)
        )
    return found[0]


def _read_config(path: Path) -> _Config:
    text = path.read_bytes()
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    return _Config(path, values)


def _gemma_scope(tensors: _Tensors) -> dict[str, Any]:
    # Some releases write w_enc for W_enc.
    tensors.left = {
        f"W_{key[2:]}" if key.startswith("w_") else key: array
        for key, array in tensors.left.items()
    }
    parts = tensors.basis()
    d_sae = (len(parts["w_dec"]),)
    return parts | {
        "architecture": "jumprelu",
        "b_enc": tensors.take("b_enc", d_sae),
        "threshold": tensors.take("threshold", d_sae),
        "subtract_b_dec": False,
    }


def _sparsify(config: _Config, tensors: _Tensors) -> dict[str, Any]:
    config.one_of("skip_connection", (False,), False)
    w_dec = tensors.take("W_dec")
    d_sae, d_in = w_dec.shape
    config.match("d_in", d_in)
    if config.get("num_latents", int, 0):
        config.match("num_latents", d_sae)
    activation = config.one_of("activation", ("topk", "groupmax"), "topk")
    # Releases before 1 could keep signs.
    if config.get("signed", bool, False):
        config.one_of("activation", ("topk",), "topk")
        activation = "abstopk"
    return {
        "architecture": activation,
        "k": config.get("k", int),
        "w_enc": tensors.take("encoder.weight", (d_sae, d_in)).T,
        "b_enc": tensors.take("encoder.bias", (d_sae,)),
        "w_dec": w_dec,
        "b_dec": tensors.take("b_dec", (d_in,)),
        "subtract_b_dec": not config.get("transcode", bool, False),
        "transcoder": config.get("transcode", bool, False),
        "metadata": config.values,
    }


def _saelens(config: _Config, tensors: _Tensors, input_scale: float | None) -> dict[str, Any]:
    metadata = config.sub("metadata")
    written_by = config.get("sae_lens_version", str, metadata.get("sae_lens_version", str, "0"))
    try:
        old = int(written_by.split(".")[0]) < _LAYOUT
    except ValueError:
        raise ValueError(
            f"{config.path}: sae_lens_version must be a version, got {written_by!r:.80}"
        ) from None
    name = config.get("architecture", object, None)
    if isinstance(name, str) and "transcoder" in name:
        raise ValueError(
            f"{config.path}: architecture must be that of an autoencoder, got {name!r}: it "
            "predicts other activations than it encodes"
        )
    if old:
        architecture, k = _old_architecture(config)
    else:
        architecture = config.one_of("architecture", _SAELENS_ARCHITECTURES)
        k = config.get("k", int) if architecture in ("topk", "abstopk") else None

    parts = tensors.basis()
    d_sae, d_in = parts["w_dec"].shape
    config.match("d_in", d_in)
    config.match("d_sae", d_sae)
    parts |= {
        "architecture": architecture,
        "k": k,
        "b_enc": tensors.take("b_mag" if architecture == "gated" else "b_enc", (d_sae,)),
        "subtract_b_dec": config.get("apply_b_dec_to_input", bool, True),
        "normalization": _saelens_normalization(config, input_scale),
        "transcoder": _saelens_transcoder(config, metadata),
        "metadata": config.values if old else metadata.values,
    }
    for name in {"jumprelu": ("threshold",), "gated": ("b_gate", "r_mag")}.get(architecture, ()):
        parts[name] = tensors.take(name, (d_sae,))

    if config.get("rescale_acts_by_decoder_norm", bool, False):
        if architecture not in ("topk", "abstopk"):
            raise ValueError(
                f"{config.path}: rescale_acts_by_decoder_norm must be false for architecture "
                f"{architecture}, got True"
            )
        norms = np.linalg.norm(_long(parts["w_dec"]), axis=1)
        parts["w_enc"] = _long(parts["w_enc"]) * norms
        parts["b_enc"] = _long(parts["b_enc"]) * norms
        # A latent of norm 0 never exceeds 0, so its decoder row is of no matter.
        parts["w_dec"] = _long(parts["w_dec"]) / np.where(norms, norms, 1)[:, None]
    for key in ("scaling_factor", "finetuning_scaling_factor"):
        if key in tensors.left:
            factor = tensors.take(key, (d_sae,))
            if not config.get("finetuning_scaling_factor", bool, False) and np.any(factor != 1):
                raise ValueError(
                    f"{config.path}: finetuning_scaling_factor must be true, as "
                    f"{tensors.path.name} has a {key} that is not 1"
                )
            parts["w_dec"] = _long(parts["w_dec"]) * _long(factor)[:, None]
    return parts


def _saelens_transcoder(config: _Config, metadata: _Config) -> bool:
    """Whether the output goes elsewhere than the input comes from."""
    for place in (config, metadata):
        into = place.get("hook_name_out", str, "")
        if into and into != place.get("hook_name", str, ""):
            return True
    return bool(metadata.get("transcode", bool, False))


def _old_architecture(config: _Config) -> tuple[str, int | None]:
    """Architecture and k before SAELens 6, which had TopK as an activation function."""
    architecture = config.one_of(
        "architecture", ("standard", "jumprelu", "topk", "gated"), "standard"
    )
    key = "activation_fn" if "activation_fn" in config.values else "activation_fn_str"
    if architecture in ("jumprelu", "gated"):
        config.one_of(key, ("relu",), "relu")
    elif config.one_of(key, ("relu", "topk"), "relu") == "topk":
        return "topk", config.sub("activation_fn_kwargs").get("k", int)
    elif architecture == "topk":
        raise ValueError(f"{config.path}: {key} must be topk for architecture topk, got relu")
    return architecture, None


def _saelens_normalization(config: _Config, input_scale: float | None) -> str:
    key = "normalize_activations"
    value = config.one_of(key, (*NORMALIZATIONS, _EXPECTED, True, False), "none")
    if value in (True, _EXPECTED):
        if input_scale is None:
            raise ValueError(
                f"{config.path}: {key} is {value!r}, by a factor that is not in the file; give it "
                "as input_scale (1 if activations are scaled already)"
            )
        return "none"
    return value or "none"
