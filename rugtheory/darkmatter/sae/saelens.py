"""SAELens 3 to 6, as its `SAE.load_from_disk` reads it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .files import Config, Tensors, in_float64, read_config
from .sae import NORMALIZATIONS

WEIGHTS = "sae_weights.safetensors"
ARCHITECTURES = ("standard", "jumprelu", "topk", "abstopk", "gated")
# The layout that is written, and from which on it is so.
LAYOUT = 6
_EXPECTED = "expected_average_only_in"


def read(tensors: Tensors, input_scale: float | None) -> dict[str, Any]:
    """What an SAE is made of."""
    config = read_config(tensors.path)
    metadata = config.sub("metadata")
    old = _is_old(config, metadata)
    name = config.get("architecture", object, None)
    if isinstance(name, str) and "transcoder" in name:
        raise ValueError(
            f"{config.path}: architecture must be that of an autoencoder, got {name!r}: it "
            "predicts other activations than it encodes"
        )
    if old:
        architecture, k = _old_architecture(config)
    else:
        architecture = config.one_of("architecture", ARCHITECTURES)
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
        "normalization": _normalization(config, input_scale),
        "transcoder": _transcoder(config, metadata),
        "metadata": config.values if old else metadata.values,
    }
    for name in {"jumprelu": ("threshold",), "gated": ("b_gate", "r_mag")}.get(architecture, ()):
        parts[name] = tensors.take(name, (d_sae,))
    if config.get("rescale_acts_by_decoder_norm", bool, False):
        parts |= _with_norms_folded(parts, config)
    for key in ("scaling_factor", "finetuning_scaling_factor"):
        if key in tensors.left:
            factor = _factor(key, d_sae, config, tensors)
            parts["w_dec"] = in_float64(parts["w_dec"]) * in_float64(factor)[:, None]
    return parts


def _is_old(config: Config, metadata: Config) -> bool:
    """Whether it was written before SAELens 6."""
    written_by = config.get("sae_lens_version", str, metadata.get("sae_lens_version", str, "0"))
    try:
        return int(written_by.split(".")[0]) < LAYOUT
    except ValueError:
        raise ValueError(
            f"{config.path}: sae_lens_version must be a version, got {written_by!r:.80}"
        ) from None


def _with_norms_folded(parts: dict[str, Any], config: Config) -> dict[str, Any]:
    """Arrays whose codes are in units of the norms of the decoder, as TopK compares them."""
    if parts["architecture"] not in ("topk", "abstopk"):
        raise ValueError(
            f"{config.path}: rescale_acts_by_decoder_norm must be false for architecture "
            f"{parts['architecture']}, got True"
        )
    norms = np.linalg.norm(in_float64(parts["w_dec"]), axis=1)
    return {
        "w_enc": in_float64(parts["w_enc"]) * norms,
        "b_enc": in_float64(parts["b_enc"]) * norms,
        # A latent of norm 0 never exceeds 0, so its decoder row is of no matter.
        "w_dec": in_float64(parts["w_dec"]) / np.where(norms, norms, 1)[:, None],
    }


def _factor(key: str, d_sae: int, config: Config, tensors: Tensors) -> NDArray[np.floating[Any]]:
    """What the activations of the latents are multiplied by, 1 unless the settings say so."""
    factor = tensors.take(key, (d_sae,))
    if not config.get("finetuning_scaling_factor", bool, False) and np.any(factor != 1):
        raise ValueError(
            f"{config.path}: finetuning_scaling_factor must be true, as "
            f"{tensors.path.name} has a {key} that is not 1"
        )
    return factor


def _transcoder(config: Config, metadata: Config) -> bool:
    """Whether the output goes elsewhere than the input comes from."""
    for place in (config, metadata):
        into = place.get("hook_name_out", str, "")
        if into and into != place.get("hook_name", str, ""):
            return True
    return bool(metadata.get("transcode", bool, False))


def _old_architecture(config: Config) -> tuple[str, int | None]:
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


def _normalization(config: Config, input_scale: float | None) -> str:
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
