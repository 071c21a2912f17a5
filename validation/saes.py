"""Sparse autoencoders trained on a CPU: TopK, and JumpReLU by way of BatchTopK.

A latent that is off has no gradient, so that all but the first product, the pre-activations, costs
in proportion to the number of latents that are on.  JumpReLU decoders are trained with the
largest l0·batch activations of a batch kept (arXiv:2412.06410); their threshold, one for all
latents, is set afterwards to keep l0 of them on in the mean.  That reaches a wanted L0 without the
search over penalties that training JumpReLU itself would need.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from rugtheory.darkmatter import SAE, read_sae, write_sae

WARM_UP = 50
CALIBRATION = 16_384
START = 0.1


@dataclass(frozen=True)
class SaeSpec:
    """One SAE to train: `architecture` "topk" or "jumprelu", `width` latents, `l0` of them on."""

    architecture: str
    width: int
    l0: int
    seed: int = 0
    steps: int = 1200
    batch: int = 512
    rate: float = 4e-3

    @property
    def name(self) -> str:
        """Unique name."""
        return f"{self.architecture}_{self.width}_{self.l0}"


def train_sae(
    spec: SaeSpec,
    x: NDArray[np.floating],
    progress: Callable[[float], object] = lambda loss: None,
) -> SAE:
    """The SAE of `spec`, trained on the rows of `x`, an array (rows, d), possibly on disk.

    `progress` is called with the FVU of each batch.
    """
    if spec.architecture not in ("topk", "jumprelu"):
        raise ValueError(f"architecture must be topk or jumprelu, got {spec.architecture!r}")
    random = np.random.default_rng(spec.seed)
    some = torch.from_numpy(np.float32(x[np.sort(random.choice(len(x), CALIBRATION, False))]))
    mean = some.mean(dim=0)
    scale = float((some - mean).square().sum(dim=1).mean().sqrt())
    # Latents start as directions of single tokens, which leaves fewer of them dead.
    some = (some - mean) / scale
    decoder = functional.normalize(some[torch.arange(spec.width) % CALIBRATION])
    decoder.requires_grad_()
    encoder = (START * decoder.detach()).requires_grad_()  # one latent a row
    b_enc = torch.zeros(spec.width, requires_grad=True)
    b_dec = torch.zeros(some.shape[1], requires_grad=True)
    parameters = [encoder, decoder, b_enc, b_dec]
    adam = torch.optim.Adam(parameters, fused=True)
    rows = _rows(random, len(x), spec.batch)
    for step in range(spec.steps):
        batch = (torch.from_numpy(np.float32(x[next(rows)])) - mean) / scale
        with torch.no_grad():
            before = batch @ encoder.T + b_enc
            token, latent = _largest(before, spec)
        values = _Selected.apply(  # type: ignore[no-untyped-call]
            encoder, b_enc, batch, before, token, latent
        )
        offsets = torch.searchsorted(token, torch.arange(len(batch)))
        output = functional.embedding_bag(
            latent, decoder, offsets, mode="sum", per_sample_weights=values
        )
        loss = (output + b_dec - batch).square().sum(dim=1).mean()
        adam.zero_grad()
        loss.backward()
        adam.param_groups[0]["lr"] = (
            spec.rate * min(1.0, (step + 1) / WARM_UP) * min(1.0, 2 * (1 - step / spec.steps))
        )
        adam.step()
        with torch.no_grad():
            decoder /= decoder.norm(dim=1, keepdim=True)
        progress(loss.item())
    with torch.inference_mode():
        weights = {
            "w_enc": encoder.T,
            "b_enc": b_enc * scale - encoder @ mean,
            "w_dec": decoder,
            "b_dec": b_dec * scale + mean,
        }
        if spec.architecture == "jumprelu":
            values = (some @ encoder.T + b_enc).topk(_most(spec), dim=1, sorted=False).values
            weights["threshold"] = (_threshold(values, spec) * scale).expand(spec.width)
    arrays = {name: value.detach().numpy().astype(np.float32) for name, value in weights.items()}
    return SAE(
        spec.architecture,
        arrays["w_enc"],
        arrays["b_enc"],
        arrays["w_dec"],
        arrays["b_dec"],
        threshold=arrays.get("threshold"),
        k=spec.l0 if spec.architecture == "topk" else None,
        subtract_b_dec=False,
        metadata={"training": asdict(spec)},
    )


def trained(spec: SaeSpec, acts: Path, folder: Path) -> Path:
    """Train the SAE of `spec` on the .npy file `acts`, unless it is in `folder` already.

    One thread; meant to be run in processes of their own.
    """
    path = folder / spec.name
    if path.exists():
        if read_sae(path).metadata["training"] != asdict(spec):
            raise ValueError(f"{path} holds another SAE; give another folder")
        return path
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    sae = train_sae(spec, np.load(acts, mmap_mode="r"))
    made = {"torch": str(torch.__version__), "seconds": round(time.perf_counter() - start, 1)}
    write_sae(replace(sae, metadata={**sae.metadata, **made}), path)
    return path


def _rows(random: np.random.Generator, n: int, batch: int) -> Iterator[NDArray[np.int64]]:
    while True:
        order = random.permutation(n)
        for k in range(0, n - batch + 1, batch):
            # In rising order, a file on disk is read forwards.
            yield np.sort(order[k : k + batch])


def _largest(before: torch.Tensor, spec: SaeSpec) -> tuple[torch.Tensor, torch.Tensor]:
    """Token and latent of each positive pre-activation that is kept, in the order of tokens."""
    candidates = before.topk(_most(spec), dim=1, sorted=False)
    kept = candidates.values > _threshold(candidates.values, spec)
    token = torch.arange(len(before))[:, None].expand_as(candidates.indices)
    return token[kept], candidates.indices[kept]


def _threshold(values: torch.Tensor, spec: SaeSpec) -> torch.Tensor:
    """What leaves l0 of the `values` of a token above it in the mean, or 0 if there are no more."""
    drop = values.numel() - spec.l0 * len(values)
    return torch.relu(values.flatten().kthvalue(drop).values) if drop > 0 else torch.zeros(())


def _most(spec: SaeSpec) -> int:
    """Greatest number of latents that may be on."""
    return spec.l0 if spec.architecture == "topk" else min(4 * spec.l0, spec.width)


class _Selected(torch.autograd.Function):
    """The pre-activations of chosen pairs of token and latent; no other pair costs a gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        encoder: torch.Tensor,
        bias: torch.Tensor,
        x: torch.Tensor,
        before: torch.Tensor,
        token: torch.Tensor,
        latent: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, token, latent)
        ctx.shape = before.shape
        return before[token, latent]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, token, latent = ctx.saved_tensors
        tokens, width = ctx.shape
        bias = gradient.new_zeros(width).index_add_(0, latent, gradient)
        pairs = torch.sparse_coo_tensor(
            torch.stack([latent, token]), gradient, (width, tokens), check_invariants=False
        )
        return pairs @ x, bias, None, None, None, None
