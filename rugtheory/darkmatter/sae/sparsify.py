"""EleutherAI's sparsify 1, as its `SparseCoder.load_from_disk` reads it."""

from __future__ import annotations

from typing import Any

from .files import Tensors, read_config

WEIGHTS = "sae.safetensors"


def read(tensors: Tensors, input_scale: float | None) -> dict[str, Any]:
    """What an SAE is made of."""
    config = read_config(tensors.path)
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
    skip = config.get("skip_connection", bool, False)
    if skip and not config.get("transcode", bool, False):
        raise ValueError(
            f"{config.path}: skip_connection must be false without transcode, got True"
        )
    return {
        "w_skip": tensors.take("W_skip", (d_in, d_in)) if skip else None,
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
