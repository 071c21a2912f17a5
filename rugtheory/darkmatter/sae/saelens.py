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
# Of saves while training, which encode with one threshold for all latents afterwards.
_TRAINED = ("batchtopk", "matryoshka_batchtopk")
# Architectures of transcoders, and what their codes are like.
_TRANSCODERS = {
    "transcoder": "standard",
    "skip_transcoder": "standard",
    "jumprelu_transcoder": "jumprelu",
    "jumprelu_skip_transcoder": "jumprelu",
}
# Written beside the weights while training, with the factor that is not in them yet.
_SCALER = "activation_scaler.json"


def read(tensors: Tensors, input_scale: float | None) -> dict[str, Any]:
    """What an SAE is made of."""
    config = read_config(tensors.path)
    metadata = config.sub("metadata")
    old = _is_old(config, metadata)
    name = config.get("architecture", object, None)
    across = isinstance(name, str) and name in _TRANSCODERS
    if across:
        architecture, k = _TRANSCODERS[name], None
    elif old:
        architecture, k = _old_architecture(config)
    else:
        architecture = config.one_of("architecture", (*ARCHITECTURES, *_TRAINED))
        k = config.get("k", int) if architecture in ("topk", "abstopk") else None

    parts = tensors.basis()
    (d_in, d_sae), d_out = parts["w_enc"].shape, parts["w_dec"].shape[1]
    config.match("d_in", d_in)
    if across:
        config.match("d_out", d_out)
    config.match("d_sae", d_sae)
    parts |= {
        "architecture": "jumprelu" if architecture in _TRAINED else architecture,
        "k": k,
        "b_enc": tensors.take("b_mag" if architecture == "gated" else "b_enc", (d_sae,)),
        "subtract_b_dec": not across and config.get("apply_b_dec_to_input", bool, True),
        "transcoder": across or _transcoder(config, metadata),
        "metadata": config.values if old else metadata.values,
    }
    parts |= _normalization(config, tensors, input_scale)
    if across and "skip" in name:
        parts["w_skip"] = tensors.take("W_skip", (d_out, d_in))
    if architecture == "gated":
        parts |= {key: tensors.take(key, (d_sae,)) for key in ("b_gate", "r_mag")}
    elif parts["architecture"] == "jumprelu":
        parts["threshold"] = _threshold(tensors, d_sae)
    if config.get("rescale_acts_by_decoder_norm", bool, False):
        parts |= _with_norms_folded(parts, config)
    for key in ("scaling_factor", "finetuning_scaling_factor"):
        if key in tensors.left:
            factor = _factor(key, d_sae, config, tensors)
            parts["w_dec"] = in_float64(parts["w_dec"]) * in_float64(factor)[:, None]
    return parts


def _threshold(tensors: Tensors, d_sae: int) -> NDArray[np.floating[Any]]:
    """Of each latent: as it is, as a logarithm, or one for all of them."""
    if "log_threshold" in tensors.left:
        return np.exp(in_float64(tensors.take("log_threshold", (d_sae,))))
    if "topk_threshold" in tensors.left:
        one = tensors.take("topk_threshold", ())
        return np.full(d_sae, one)
    return tensors.take("threshold", (d_sae,))


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
    trained = config.get("architecture", str, "") in _TRAINED
    if parts["architecture"] not in ("topk", "abstopk") and not trained:
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


def _normalization(config: Config, tensors: Tensors, input_scale: float | None) -> dict[str, Any]:
    """The normalization of rows, and a scale of the input that is found in a file."""
    key = "normalize_activations"
    value = config.one_of(key, (*NORMALIZATIONS, _EXPECTED, True, False), "none")
    if value not in (True, _EXPECTED):
        return {"normalization": value or "none"}
    found = {"normalization": "none"}
    if input_scale is not None:
        return found
    scaler = tensors.path.with_name(_SCALER)
    if scaler.is_file():
        saved = read_config(tensors.path, _SCALER)
        if saved.get("has_whitening", bool, False):
            raise ValueError(
                f"{scaler}: has_whitening must be false, got True; save the SAE after training, "
                "when SAELens has folded it"
            )
        scale = saved.get("scaling_factor", float, None)
        if scale is not None:
            return found | {"input_scale": scale}
    raise ValueError(
        f"{config.path}: {key} is {value!r}, by a factor that is not in the file; give it "
        "as input_scale (1 if activations are scaled already)"
    )
