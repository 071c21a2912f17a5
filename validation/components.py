"""Cross entropy with parts of a decoder's error: figure 9 of arXiv:2410.14670.

At every token that is not masked x̂, x̂ + linear error and x̂ + nonlinear error take the place of the
layer's output x.  The linear map is fitted on the activations of the training texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rugtheory import darkmatter

from .masked import Batch, Head, Masked, Pieces, Progress, batches, losses

# Rows that the linear maps are fitted on.
FIT_ROWS = 60_000
VARIANTS = ("x_hat", "linear", "nonlinear")


class Parts:
    """x̂ of a decoder, and the linear error, of blocks of activations."""

    def __init__(self, path: Path, training: NDArray[Any]) -> None:
        self.sae = darkmatter.read_sae(path)
        x = np.float32(training[:FIT_ROWS])
        self.map = darkmatter.decompose(x, self.sae.reconstruct(x), test_fraction=0.0, bootstrap=0)

    def __call__(self, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.sae.reconstruct(x), self.map.linear(x).astype(np.float32)


def component_losses(
    pieces: Pieces,
    model: Masked,
    head: Head,
    number: NDArray[np.int64],
    saes: Mapping[str, Path],
    training: NDArray[Any],
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """For each decoder how much of the loss each part of its error brings back, and how much its
    norm and variance are; the loss with the mean for x beside that of the model as it is."""
    mean = np.mean(training[:FIT_ROWS], axis=0, dtype=np.float64)
    decoders = {name: Parts(path, training) for name, path in saes.items()}
    plain: list[list[NDArray[Any]]] = [[], []]
    found: dict[str, list[list[NDArray[Any]]]] = {n: [[] for _ in VARIANTS] for n in saes}
    norms: dict[str, list[NDArray[Any]]] = {name: [] for name in saes}
    texts: list[NDArray[Any]] = []
    for batch in batches(pieces, number, seed, 0):
        states = model.states(batch)
        texts.append(
            np.repeat([pieces[i][0] for i in batch.contexts], batch.hidden.sum(dim=1).numpy())
        )
        shown = _shown(batch)
        x = states[shown].numpy()
        for kept, values in zip(
            plain, (x, np.broadcast_to(np.float32(mean), x.shape)), strict=True
        ):
            kept.append(_loss(model, head, batch, states, shown, values))
        for name, parts in decoders.items():
            x_hat, linear = parts(x)
            for kept, values in zip(found[name], (x_hat, x_hat + linear, x - linear), strict=True):
                kept.append(_loss(model, head, batch, states, shown, values))
            error = np.float64(x) - x_hat
            vectors = error, linear, error - linear
            norms[name].append(np.stack([np.linalg.norm(v, axis=1) for v in vectors], axis=1))
        progress(len(batch.targets))
    contexts = np.concatenate(texts)
    clean, ablated = (np.concatenate(one) for one in plain)
    return {
        "tokens": clean.size,
        "texts": len(np.unique(contexts)),
        "loss": float(clean.mean()),
        "loss with the mean": float(ablated.mean()),
        "saes": [
            {"name": name, **_record(clean, found[name], np.concatenate(norms[name]), contexts)}
            for name in saes
        ],
    }


def _shown(batch: Batch) -> torch.Tensor:
    """Tokens that are neither padding nor masked nor [CLS] or [SEP]."""
    ends = batch.mask.sum(dim=1) - 1
    place = torch.arange(batch.mask.shape[1])
    inside = (place > 0) & (place < ends[:, None])
    return inside & (batch.mask == 1) & ~batch.hidden


def _loss(
    model: Masked,
    head: Head,
    batch: Batch,
    states: torch.Tensor,
    shown: torch.Tensor,
    values: NDArray[Any],
) -> NDArray[Any]:
    """The loss with `values` for the states that are `shown`."""
    changed = states.clone()
    changed[shown] = torch.from_numpy(np.ascontiguousarray(values, np.float32))
    return losses(model, head, changed, batch)


def _record(
    clean: NDArray[Any],
    kept: list[list[NDArray[Any]]],
    norms: NDArray[Any],
    contexts: NDArray[Any],
) -> dict[str, Any]:
    x_hat, *parts = (np.concatenate(one) for one in kept)
    mean, square = norms.mean(axis=0), np.square(norms).sum(axis=0)
    record: dict[str, Any] = {}
    for k, (name, other) in enumerate((("linear", 2), ("nonlinear", 1))):
        one = darkmatter.loss_recovered(clean, x_hat, parts[k], contexts=contexts)
        record["increase"] = {"value": one.increase, "se": one.increase_se}
        record[name] = {
            "recovered": {"value": one.recovered, "se": one.recovered_se},
            "norm": float(mean[1 + k] / mean[0]),
            "variance": float(1 - square[other] / square[0]),
        }
    return record
