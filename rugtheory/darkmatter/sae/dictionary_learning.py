"""dictionary_learning of Marks, Karvonen and Mueller, as its `load_dictionary` reads it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .files import Tensors, in_float64, read_config

WEIGHTS = "ae.pt"
_SETTINGS = "config.json"
_CLASSES = (
    "AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "AutoEncoderTopK", "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder",
)  # fmt: skip
# Those with matrices of their own, and not those of linear layers.
_BARE = ("MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder")


def read(tensors: Tensors, input_scale: float | None) -> dict[str, Any]:
    """What an SAE is made of."""
    config = read_config(tensors.path, _SETTINGS)
    trainer = config.sub("trainer")
    kind = trainer.one_of("dict_class", _CLASSES)
    parts = tensors.basis() if kind in _BARE else _linear(tensors, kind)
    d_in, d_sae = parts["w_enc"].shape
    trainer.match("activation_dim", d_in)
    trainer.match("dict_size", d_sae)
    parts |= {"architecture": "standard", "metadata": config.values}
    parts["subtract_b_dec"] = kind not in ("AutoEncoderNew", "JumpReluAutoEncoder")
    if kind == "GatedAutoEncoder":
        gated = {"b_enc": "mag_bias", "b_gate": "gate_bias", "r_mag": "r_mag"}
        return (
            parts
            | {"architecture": "gated"}
            | {name: tensors.take(key, (d_sae,)) for name, key in gated.items()}
        )
    parts["b_enc"] = tensors.take("b_enc" if kind in _BARE else "encoder.bias", (d_sae,))
    if kind == "AutoEncoder":
        return parts | _of_unit_norm(parts)
    if kind == "JumpReluAutoEncoder":
        threshold = tensors.take("threshold", (d_sae,))
        return parts | {"architecture": "jumprelu", "threshold": threshold}
    if kind == "AutoEncoderNew":
        return parts
    k = tensors.integer("k") if "k" in tensors.left else trainer.get("k", int)
    trainer.match("k", k)
    tensors.left.pop("group_sizes", None)  # of the training only
    least = tensors.take("threshold", ()) if "threshold" in tensors.left else np.float32(-1)
    if kind == "AutoEncoderTopK":
        return parts | {"architecture": "topk", "k": k}
    return parts | {"architecture": "jumprelu", "threshold": np.full(d_sae, least)}


def _linear(tensors: Tensors, kind: str) -> dict[str, Any]:
    """The matrices of linear layers, and the bias of the decoder by its several names."""
    encoder, decoder = tensors.take("encoder.weight"), tensors.take("decoder.weight")
    if encoder.shape != decoder.shape[::-1]:
        raise ValueError(
            f"{tensors.path}: decoder.weight must have shape {encoder.shape[::-1]}, "
            f"got {decoder.shape}"
        )
    bias = {
        "AutoEncoder": "bias",
        "AutoEncoderNew": "decoder.bias",
        "GatedAutoEncoder": "decoder_bias",
    }.get(kind, "b_dec")
    return {
        "w_enc": encoder.T,
        "w_dec": decoder.T,
        "b_dec": tensors.take(bias, decoder.shape[:1]),
    }


def _of_unit_norm(parts: dict[str, Any]) -> dict[str, Any]:
    """Arrays with rows of the decoder of norm 1, as the package makes them when it loads."""
    norms = np.linalg.norm(in_float64(parts["w_dec"]), axis=1)
    norms[norms == 0] = 1
    return {
        "w_enc": in_float64(parts["w_enc"]) * norms,
        "b_enc": in_float64(parts["b_enc"]) * norms,
        "w_dec": in_float64(parts["w_dec"]) / norms[:, None],
    }
