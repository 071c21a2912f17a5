"""Training of toy models x̂ = ReLU(W_out W_in x + b), many of one n_sparse at once.

Models are padded to the largest n_dense among them and share one batched product; hidden units
beyond a model's own are zero and stay zero, since their gradient is.  Each model has generators of
its own for its initial weights and its data, so that what it learns does not depend on its company,
up to the rounding of differently sized products.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

BATCH = 1024
PROTOCOLS = ("converged", "paper", "constant")
# The paper stops when the mean over one window is not below that over the window before.
WINDOW = 100
WARM_UP = 100


@dataclass(frozen=True)
class Spec:
    """One model to train.

    Attributes
    ----------
    n_sparse, n_dense : int
    p : float
        Probability that a feature is on; amplitudes are uniform on [0, 1].
    seed : int
        Of the initial weights and of the data.
    steps : int
        Number of steps; for the protocol "paper" the most.
    protocol : str
        "converged": the step size rises over the first steps and then falls linearly to zero.
        "paper": the step size is 3e-3/√n_sparse throughout, and training stops when the mean loss
        of the last 100 batches is not below that of the 100 before (arXiv:2410.12101, appendix B).
        "constant": the same without stopping.
    tied : bool
        Whether W_out is W_in transposed.
    rate : float
        Largest step size of the protocol "converged".
    """

    n_sparse: int
    n_dense: int
    p: float
    seed: int = 0
    steps: int = 10_000
    protocol: str = "converged"
    tied: bool = False
    rate: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.p <= 1:
            raise ValueError(f"p must lie in (0, 1], got {self.p}")
        if not 1 <= self.n_dense <= self.n_sparse:
            raise ValueError(f"n_dense must lie in [1, {self.n_sparse}], got {self.n_dense}")
        if self.steps < 1:
            raise ValueError(f"steps must be positive, got {self.steps}")
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol must be one of {PROTOCOLS}, got {self.protocol!r}")

    def step_size(self, step: int) -> float:
        """Step size at `step`."""
        if self.protocol in ("paper", "constant"):
            return 3e-3 / self.n_sparse**0.5
        return self.rate * min(1.0, (step + 1) / WARM_UP) * (1 - step / self.steps)


@dataclass(frozen=True)
class Trained:
    """Weights after training, float32, with the loss of every batch."""

    spec: Spec
    w_in: np.ndarray
    w_out: np.ndarray
    b: np.ndarray
    losses: np.ndarray


def initial(spec: Spec, n_dense: int) -> tuple[torch.Tensor, torch.Tensor]:
    """W_in with columns of about unit length, zero beyond the model's hidden units; and a copy."""
    generator = torch.Generator().manual_seed(spec.seed)
    w = torch.zeros(n_dense, spec.n_sparse)
    w[: spec.n_dense] = torch.randn(spec.n_dense, spec.n_sparse, generator=generator)
    w /= spec.n_dense**0.5
    return w, w.T.clone()


def sample(p: float, shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    """Features on with probability p, their amplitudes uniform on [0, 1]."""
    uniform = torch.rand(shape, generator=generator, device=generator.device)
    return torch.relu(uniform - (1 - p)) / p


def train(
    specs: Sequence[Spec],
    *,
    device: str = "cpu",
    progress: Callable[[int, np.ndarray], object] = lambda step, losses: None,
    watch: Callable[[list[Trained]], object] = lambda models: None,
    watched: Container[int] = (),
) -> list[Trained]:
    """Train models together that differ in n_dense, p and seed only.

    `progress` is called with the number of each step done and the models' losses on its batch,
    `watch` with the models as they are after each of the steps in `watched`.
    """
    first = specs[0]
    if len({replace(s, n_dense=1, p=1.0, seed=0) for s in specs}) != 1:
        raise ValueError(f"specs may differ in n_dense, p and seed only, got {specs}")
    n_dense = max(s.n_dense for s in specs)
    pairs = [initial(s, n_dense) for s in specs]
    w_in = torch.stack([x for x, _ in pairs]).to(device).requires_grad_()
    w_out = torch.stack([y for _, y in pairs]).to(device).requires_grad_(not first.tied)
    b = torch.zeros(len(specs), 1, first.n_sparse, device=device, requires_grad=True)
    adam = torch.optim.Adam([x for x in (w_in, w_out, b) if x.requires_grad])
    data = [torch.Generator(device).manual_seed(2**32 + s.seed) for s in specs]
    losses = np.empty((first.steps, len(specs)), np.float32)
    done: dict[int, Trained] = {}

    def model(k: int, steps: int) -> Trained:
        n = specs[k].n_dense
        out = w_in[k].T if first.tied else w_out[k]
        weights = (x.detach().cpu().numpy().copy() for x in (w_in[k, :n], out[:, :n], b[k, 0]))
        return Trained(specs[k], *weights, losses[:steps, k].copy())

    for step in range(first.steps):
        x = torch.stack(
            [sample(s.p, (BATCH, s.n_sparse), g) for s, g in zip(specs, data, strict=True)]
        )
        h = torch.bmm(x, w_in.transpose(1, 2))
        reading = torch.bmm(h, w_in if first.tied else w_out.transpose(1, 2)) + b
        loss = (torch.relu(reading) - x).square().mean(dim=(1, 2))
        adam.zero_grad()
        loss.sum().backward()
        adam.param_groups[0]["lr"] = first.step_size(step)
        adam.step()
        losses[step] = loss.detach().cpu().numpy()
        progress(step + 1, losses[step])
        if step + 1 in watched:
            watch([model(k, step + 1) for k in range(len(specs))])
        if first.protocol == "paper":
            for k in np.flatnonzero(stops(losses[: step + 1])):
                done.setdefault(int(k), model(int(k), step + 1))
            if len(done) == len(specs):
                break
    return [done.get(k) or model(k, first.steps) for k in range(len(specs))]


def stops(losses: np.ndarray) -> np.ndarray:
    """Whether the paper's rule stops each model after these losses, shape (steps, models)."""
    steps = len(losses)
    if steps < 2 * WINDOW or steps % WINDOW:
        return np.zeros(losses.shape[1], bool)
    before, last = losses[-2 * WINDOW :].reshape(2, WINDOW, -1).mean(axis=1)
    return last >= before
