"""Google DeepMind's Gemma Scope, as its tutorial reads it: JumpReLU, all in ``params.npz``."""

from __future__ import annotations

import re
from typing import Any

from .files import Tensors

WEIGHTS = "params.npz"
# What Google DeepMind calls its releases of transcoders, whose files do not say what they are.
_TRANSCODERS = re.compile(r"gemma-scope.*transcoder")


def read(tensors: Tensors, input_scale: float | None) -> dict[str, Any]:
    """What an SAE is made of."""
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
        "transcoder": any(map(_TRANSCODERS.search, tensors.path.resolve().parts)),
    }
