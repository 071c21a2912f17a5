"""Google DeepMind's Gemma Scope 2: JumpReLU, with lower-case names in ``params.safetensors``."""

from __future__ import annotations

from typing import Any

from .files import Config, Tensors, read_config

WEIGHTS = "params.safetensors"
_SETTINGS = "config.json"


def read(tensors: Tensors, input_scale: float | None) -> dict[str, Any]:
    """What an SAE or transcoder is made of."""
    path = tensors.path
    config = Config(path, {})
    if path.with_name(_SETTINGS).is_file():
        config = read_config(path, _SETTINGS)
        config.one_of("architecture", ("jump_relu",), "jump_relu")
    parts = {
        "w_enc": tensors.take("w_enc"),
        "w_dec": tensors.take("w_dec"),
    }
    (d_in, d_sae), d_out = parts["w_enc"].shape, parts["w_dec"].shape[1]
    skip = "affine_skip_connection" in tensors.left
    into = config.get("hf_hook_point_out", str, "")
    apart = bool(into) and into != config.get("hf_hook_point_in", str, into)
    return parts | {
        "architecture": "jumprelu",
        "b_enc": tensors.take("b_enc", (d_sae,)),
        "b_dec": tensors.take("b_dec", (d_out,)),
        "threshold": tensors.take("threshold", (d_sae,)),
        # Stored as x is multiplied by it from the left.
        "w_skip": tensors.take("affine_skip_connection", (d_in, d_out)).T if skip else None,
        "subtract_b_dec": False,
        "transcoder": skip or apart or any("transcoder" in part for part in path.resolve().parts),
        "metadata": config.values,
    }
