"""An SAE read from the files in which it is published: which format they are of, and the dtype."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ... import _check
from . import dictionary_learning, gemma_scope, gemma_scope_2, saelens, sparsify
from .files import Tensors, in_float64, weights_file
from .sae import SAE

Reader = Callable[[Tensors, float | None], dict[str, Any]]

# By the name of the weights' file, what makes arguments of `SAE` of it and the scale of the input.
# A format more is a file in this folder and a line here.
FORMATS: dict[str, Reader] = {
    saelens.WEIGHTS: saelens.read,
    sparsify.WEIGHTS: sparsify.read,
    gemma_scope.WEIGHTS: gemma_scope.read,
    gemma_scope_2.WEIGHTS: gemma_scope_2.read,
    dictionary_learning.WEIGHTS: dictionary_learning.read,
}


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
        A folder with `cfg.json` and `sae_weights.safetensors` (SAELens, any version, saved for
        inference or while training), with `cfg.json` and `sae.safetensors` (EleutherAI's
        sparsify), with `params.npz` (Gemma Scope), with `params.safetensors` (Gemma Scope 2), or
        with `config.json` and `ae.pt` (dictionary_learning); or an `.npz` file of the third kind.
        A safetensors file may be in shards, with an index beside them as Hugging Face writes it.
    input_scale : float, optional
        Number to multiply activations by before encoding; reconstructions are divided by it.  To
        be given for SAELens files with `normalize_activations` "expected_average_only_in", which
        do not say it unless there is an `activation_scaler.json`: √d_in over the mean norm of the
        activations, or 1 if they come scaled.
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
        Without safetensors or PyTorch, if the format needs it.

    Notes
    -----
    bfloat16 and float16 weights are computed with in float32, more exactly than where they were
    trained.  SAELens' `rescale_acts_by_decoder_norm` and `finetuning_scaling_factor`, and
    `input_scale`, are folded into the weights in float64.  Gemma Scope subtracts no b_dec.
    SAELens' hook_z SAEs expect the heads side by side in a row.

    BatchTopK, of SAELens' training or dictionary_learning, becomes JumpReLU with its threshold, as
    those packages encode with it.  dictionary_learning's AutoEncoder is read with decoder rows of
    norm 1, as its `from_pretrained` makes them.

    A file is a transcoder if sparsify's settings have `transcode`; if SAELens' architecture is one,
    or its `hook_name_out` differs from `hook_name`; or if Gemma Scope 2 has a skip connection,
    another point of output or the folder of transcoders.  Files of Gemma Scope 1 do not say it:
    those in a folder with the name of DeepMind's releases, such as gemma-scope-2b-pt-transcoders,
    are taken for transcoders, and for others `transcoder` has to say it.

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
        raise ValueError(f"dtype must be float32 or float64, got {_check.shown(dtype)}")
    if input_scale is not None:
        input_scale = float(
            _check.positive("input_scale", _check.scalar("input_scale", input_scale))
        )
    if transcoder is not None:
        _check.boolean("transcoder", transcoder)
    file = weights_file(_check.path("path", path), FORMATS)
    tensors = Tensors(file)
    # An .npz file by itself may have any name.
    read = FORMATS.get(file.name, gemma_scope.read)
    parts = {"transcoder": False, "normalization": "none", **read(tensors, input_scale)}
    tensors.finish()
    if transcoder is not None:
        parts["transcoder"] = transcoder
    # A scale that is given goes before one in a file.
    found = parts.pop("input_scale", None)
    input_scale = found if input_scale is None else input_scale
    if input_scale is not None:
        parts |= _scaled(parts, input_scale, file)
    # SAE takes the dtype of w_enc.
    parts["w_enc"] = parts["w_enc"].astype(tensors.dtype if dtype is None else dtype)
    try:
        return SAE(**parts)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error


def _scaled(parts: dict[str, Any], input_scale: float, file: Path) -> dict[str, Any]:
    """The arrays for activations that are not multiplied by the scale yet."""
    if parts["normalization"] != "none":
        raise ValueError(
            f"input_scale must be None, as {file} normalizes rows ({parts['normalization']})"
        )
    if parts["transcoder"]:
        raise ValueError(f"input_scale must be None, as {file} is a transcoder, got {input_scale}")
    return {
        "w_enc": in_float64(parts["w_enc"]) * input_scale,
        "w_dec": in_float64(parts["w_dec"]) / input_scale,
        "b_dec": in_float64(parts["b_dec"]) / input_scale,
    }
