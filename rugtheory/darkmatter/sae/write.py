"""An SAE written to files."""

from __future__ import annotations

import json
import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ... import _check
from .files import CONFIG
from .sae import SAE
from .saelens import ARCHITECTURES, LAYOUT, WEIGHTS


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

    Notes
    -----
    The files say ``sae_lens_version`` 6.0.0, whatever `sae.metadata` has: the first version of
    SAELens with this layout.  SAELens takes files of less, or of none, for those of its older
    layout, and asks for nothing else of it.  What wrote them is in ``written_by``.
    """
    from safetensors.numpy import save_file

    _check.instance("sae", sae, SAE)
    folder = _check.path("folder", folder)
    if sae.architecture not in ARCHITECTURES:
        raise ValueError(
            f"architecture must be one of {', '.join(ARCHITECTURES)} to be written, "
            f"got {sae.architecture!r}"
        )
    across = sae.w_skip is not None or sae.d_out != sae.d_in
    if across and (sae.architecture not in ("standard", "jumprelu") or sae.subtract_b_dec):
        raise ValueError(
            "architecture must be standard or jumprelu of a transcoder with w_skip or d_out other "
            f"than d_in to be written, and subtract_b_dec False, got {sae.architecture!r} and "
            f"{sae.subtract_b_dec}"
        )
    tensors = {
        "W_enc": sae.w_enc,
        "b_mag" if sae.architecture == "gated" else "b_enc": sae.b_enc,
        "W_dec": sae.w_dec,
        "b_dec": sae.b_dec,
        "threshold": sae.threshold,
        "b_gate": sae.b_gate,
        "r_mag": sae.r_mag,
        "W_skip": sae.w_skip,
    }
    try:
        text = json.dumps(_settings(sae), indent=1)
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata must be writable as JSON: {error}") from error
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"folder must be new or empty, got {folder}")
    # Two files appear at once only as a folder that is renamed.
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as partial:
        whole = Path(partial) / folder.name
        whole.mkdir()
        (whole / CONFIG).write_text(text, encoding="utf-8")
        save_file(
            {n: np.ascontiguousarray(a) for n, a in tensors.items() if a is not None},
            whole / WEIGHTS,
        )
        os.replace(whole, folder)


def _settings(sae: SAE) -> dict[str, Any]:
    """What is not an array, as SAELens calls it."""
    transcoder = {"transcode": sae.transcoder}
    architecture = sae.architecture
    if sae.w_skip is not None or sae.d_out != sae.d_in:
        skip = "skip_" if sae.w_skip is not None else ""
        jump = "jumprelu_" if architecture == "jumprelu" else ""
        architecture = f"{jump}{skip}transcoder"
    return {
        "architecture": architecture,
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
            **(transcoder if sae.transcoder or "transcode" in sae.metadata else {}),
            "sae_lens_version": f"{LAYOUT}.0.0",
            "written_by": f"rugtheory {version('rugtheory')}",
        },
        **({} if sae.d_out == sae.d_in else {"d_out": sae.d_out}),
        **({} if sae.k is None else {"k": sae.k, "rescale_acts_by_decoder_norm": False}),
    }
