"""Fits of a and b alone on a fixed rug, to compare with `rugtheory.optimum`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

import rugtheory as rt
from rugtheory import _check

from .batches import sample


@dataclass(frozen=True)
class Fit:
    """What training a and b on the weights of a rug arrives at, and what theory says.

    Attributes
    ----------
    a, b : float
        Fitted; `b` is added to a reading whose interference has mean zero, as in `optimum`.
    loss : float
        Exact loss of the rug with these.
    optimum : rugtheory.Optimum
        For Gaussian interference of the rug's own σ.
    exact_at_optimum : float
        Exact loss of the rug at the optimum's a and b: what is off from `optimum.loss` is the
        finite size of the rug.
    """

    a: float
    b: float
    loss: float
    optimum: rt.Optimum
    exact_at_optimum: float


def fit(
    rug: rt.Rug,
    p: float,
    *,
    steps: int = 1500,
    batch: int = 128,
    rate: float = 0.05,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[int], object] = lambda step: None,
) -> Fit:
    """Fit a and b by Adam on fresh samples, from a = 1, b = 0, the step size falling to zero."""
    _check.integer("steps", steps, 1)
    _check.integer("batch", batch, 1)
    w_in = torch.tensor(rug.w_in, dtype=torch.float32, device=device)
    a, b = (torch.tensor(x, device=device, requires_grad=True) for x in (1.0, 0.0))
    adam = torch.optim.Adam([a, b])
    generator = torch.Generator(device).manual_seed(seed)
    shift = rug.interference_mean(p)
    for step in range(steps):
        x = sample(p, (batch, rug.n_sparse), generator)
        reading = (x @ w_in.T) @ w_in / rug.n_dense - shift
        loss = (torch.relu(a * reading + b) - x).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.param_groups[0]["lr"] = rate * (1 - step / steps)
        adam.step()
        progress(step + 1)
    best = rt.optimum(p, sigma=rug.sigma(p))
    fitted = a.item(), b.item()
    return Fit(*fitted, _exact(rug, p, *fitted), best, _exact(rug, p, float(best.a), float(best.b)))


def _exact(rug: rt.Rug, p: float, a: float, b: float) -> float:
    """All rows of a rug have the same law, so one is enough."""
    model = rt.Model(rug.w_in, rug.w_out(a), rug.bias(b, a, p))
    return rt.exact_loss(model, rt.Identical(rug.n_sparse, p), rows=1).mean
