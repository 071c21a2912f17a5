"""Training of toy models x̂ = ReLU(W_out W_in x + b), many of one n_sparse at once.

Two protocols descend on the exact loss of the weights, one at a time, see `descent`.

On a GPU models are padded to the largest n_dense among them and share one batched product; hidden
units beyond a model's own are zero and stay zero, since their gradient is.  On a CPU, where one
model keeps a core busy, they take turns.  Either way models of one seed and p see the same batches,
made once, so that what a model learns does not depend on its company, up to the rounding of
differently sized products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import replace

import numpy as np
import torch

import rugtheory as rt

from .batches import Batch, Data, LawData
from .descent import descend, of_law
from .spec import DESCENTS, NAMED, Spec, Trained, gain, initial

# The paper stops when the mean over one window is not below that over the window before.
WINDOW = 100
# Of the exact loss by which a model has converged or not; a few rows say little if they differ.
_ROWS = 1024
_RTOL = 1e-4
# Added to the length of a column, which may be zero.
_SHORT = 1e-8


def _rate(model: Trained) -> float:
    """Largest step size of the next round: a quarter after each that did harm."""
    rounds, spec = model.rounds, model.spec
    harm = sum(gain(rounds[:k]) <= -spec.tolerance for k in range(2, len(rounds) + 1))
    return float(spec.rate / 4**harm)


class _Scratch:
    """Tensors used again at every step: fresh ones cost more than the sums."""

    def __init__(self) -> None:
        self.tensors: dict[tuple[str, tuple[int, ...]], torch.Tensor] = {}

    def __call__(self, name: str, like: torch.Tensor, *shape: int) -> torch.Tensor:
        if (name, shape) not in self.tensors:
            self.tensors[name, shape] = like.new_empty(shape)
        return self.tensors[name, shape]

    def product(self, name: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        out = self(name, y, *y.shape[:-2], x.shape[-2], y.shape[-1])
        return torch.matmul(x, y, out=out)


def gradients(
    batch: Batch,
    encoder: torch.Tensor,
    decoder: torch.Tensor,
    b: torch.Tensor,
    scratch: _Scratch,
    weight: torch.Tensor | None = None,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Mean over samples of |ReLU(x E D + b) − x|², and its gradients by E, D and b.

    With `weight`, of shape (n_sparse,), squares are weighed by it.

    Shapes (..., samples, n_sparse), (..., n_sparse, n_dense), (..., n_dense, n_sparse) and
    (..., 1, n_sparse); where the batch is sparse there are no dimensions before these.
    """
    x, transposed, dense, cost = batch
    samples, n_sparse = dense.shape[-2:]
    n_dense = encoder.shape[-1]
    # Of the five products, E D comes first or x E does, whichever takes less time.
    e_d_first = n_sparse * (2 * cost * samples + 3 * n_dense)
    x_e_first = n_dense * samples * (2 * cost + 3)
    if e_d_first < x_e_first:
        w = scratch.product("w", encoder, decoder)
        y = scratch.product("y", x, w)
    else:
        h = scratch.product("h", x, encoder)
        y = scratch.product("y", h, decoder)
    y.add_(b).relu_()
    error = torch.sub(y, dense, out=scratch("error", y, *y.shape))
    if weight is None:
        loss = torch.linalg.vector_norm(error, dim=(-2, -1)).square() / samples
    else:
        loss = (error.square() * weight).sum(dim=(-2, -1)) / samples
        error *= weight
    slope = error.mul_(y.sign_())
    if e_d_first < x_e_first:
        by_w = scratch.product("by w", transposed, slope)
        found = [by_w @ decoder.mT, encoder.mT @ by_w]
    else:
        by_h = scratch.product("by h", slope, decoder.mT)
        found = [transposed @ by_h, h.mT @ slope]
    return loss, [g.mul_(2 / samples) for g in (*found, slope.sum(-2, keepdim=True))]


class _Company:
    """A model, or several that share each product, padded to the largest n_dense."""

    def __init__(
        self, starts: Sequence[Trained], data: Sequence[Data | LawData], device: str
    ) -> None:
        self.specs, self.data = [start.spec for start in starts], data
        self.weight = None
        if self.specs[0].law:
            importance = self.specs[0].features.importance
            self.weight = torch.tensor(importance, dtype=torch.float32, device=device)
        self.tied, self.decay = self.specs[0].tied, self.specs[0].decay
        self.n_dense = max(spec.n_dense for spec in self.specs)
        self.device = device
        self.encoder = self._stacked([self._padded(start.w_in).T for start in starts])
        self.decoder = (
            self.encoder.mT
            if self.tied
            else self._stacked([self._padded(start.w_out.T) for start in starts])
        )
        self.b = self._stacked([start.b[None] for start in starts])
        self.parameters = [self.encoder, *([] if self.tied else [self.decoder]), self.b]
        self.adam = torch.optim.Adam(self.parameters, fused=True)

    def _padded(self, w: np.ndarray) -> np.ndarray:
        return np.pad(w, ((0, self.n_dense - len(w)), (0, 0)))

    def _stacked(self, arrays: Sequence[np.ndarray]) -> torch.Tensor:
        array = np.stack(arrays) if len(arrays) > 1 else arrays[0]
        # Fused steps of Adam take parameters and gradients for contiguous.
        return torch.tensor(array, device=self.device).contiguous()

    def step(self, step: int, rate: float, scratch: _Scratch) -> torch.Tensor:
        """One step of Adam; losses of the batch, shape (models,)."""
        batch, *more = batches = [data.at(step) for data in self.data]
        if more:
            x = scratch("x", self.b, len(batches), *batch.dense.shape)
            batch = Batch.of(torch.stack([x.dense for x in batches], out=x))
        loss, (by_encoder, by_decoder, by_b) = gradients(
            batch, self.encoder, self.decoder, self.b, scratch, self.weight
        )
        by_weights = [by_encoder + by_decoder.mT] if self.tied else [by_encoder, by_decoder]
        for parameter, gradient in zip(self.parameters, [*by_weights, by_b], strict=True):
            parameter.grad = gradient.contiguous()
        self.adam.param_groups[0]["lr"] = rate
        if self.decay:
            self._shrink(rate)
        self.adam.step()
        return loss.view(-1) / self.b.shape[-1]

    @torch.no_grad()
    def _shrink(self, rate: float) -> None:
        """Weight decay, or that of the distance of the columns of W_in from length 1."""
        factor: float | torch.Tensor = 1 - self.decay * rate
        if self.decay < 0:
            length = torch.linalg.vector_norm(self.encoder, dim=-1, keepdim=True)
            factor = 1 + self.decay * rate * (1 - 1 / (length + _SHORT))
        self.encoder.mul_(factor)

    def model(self, i: int) -> list[np.ndarray]:
        """W_in, W_out and b of one of them."""
        n = self.specs[i].n_dense
        tensors = (self.encoder.mT, self.decoder.mT, self.b)
        w_in, w_out, b = (x if len(self.specs) == 1 else x[i] for x in tensors)
        return [x.cpu().numpy().copy() for x in (w_in[:n], w_out[:, :n], b[0])]


def train(
    specs: Sequence[Spec],
    *,
    starts: Sequence[Trained] | None = None,
    device: str = "cpu",
    until: float = math.inf,
    progress: Callable[[int], object] = lambda step: None,
    watch: Callable[[list[Trained]], object] = lambda models: None,
    watched: Container[int] = (),
) -> list[Trained]:
    """Train models together that differ in n_dense, p and seed only.

    On a CPU it is fastest to have those of one seed and p side by side.  They start from `starts`,
    by default at random, see `initial`.  `progress` is called with the number of each step done,
    `watch` with the models still trained as they are after each of the steps in `watched`.
    Descents stop at the time `until`, in seconds since the epoch.
    """
    first = specs[0]
    if len({replace(s, n_dense=1, p=1.0, seed=0) for s in specs}) != 1:
        raise ValueError(f"specs may differ in n_dense, p and seed only, got {specs}")
    models = list(starts or map(initial, specs))
    if first.protocol in DESCENTS and first.protocol != "continued":
        return [_descended(model, until, progress) for model in models]
    if first.protocol in ("paper", "constant"):
        return _round(models, 0, first.most_steps, device, progress, watch, watched)
    for k in range(first.rounds):
        rates = {
            i: _rate(model)
            for i, model in enumerate(models)
            if abs(gain(model.rounds)) >= first.tolerance
        }
        for rate in set(rates.values()):
            same = [i for i in rates if rates[i] == rate]
            starts = [replace(models[i], spec=replace(models[i].spec, rate=rate)) for i in same]
            trained = _round(starts, k, first.steps << k, device, progress, watch, watched)
            for i, model in zip(same, trained, strict=True):
                rounds = (*model.rounds, _exact(model))
                best = model if rounds[-1] == min(rounds) else models[i]
                models[i] = replace(best, spec=specs[i], losses=model.losses, rounds=rounds)
    if first.protocol == "continued":
        return [_descended(model, until, progress) for model in models]
    return models


def _descended(start: Trained, until: float, progress: Callable[[int], object]) -> Trained:
    """The model after exact descent from where it is."""
    spec, done = start.spec, start.losses.size
    init: str | rt.Model = start.model
    law = None
    if spec.protocol == "law":
        init, law = of_law(spec)
    elif spec.protocol in NAMED:
        init = spec.protocol
    model, loss, found = descend(
        init,
        spec.features,
        spec.n_dense,
        seed=spec.seed,
        tied=spec.tied,
        max_coupling=spec.max_coupling,
        steps=spec.descent_steps or spec.most_steps,
        until=until,
        progress=lambda step: progress(done + step),
    )
    return replace(
        start,
        w_in=model.w_in,
        w_out=model.w_out,
        b=model.b,
        rounds=(*start.rounds, loss),
        descent=found,
        shared=law,
    )


def _share_products(device: str) -> bool:
    """Whether models share products on a device, rather than taking turns."""
    return torch.device(device).type != "cpu"


def _exact(model: Trained) -> float:
    rows = min(_ROWS, model.spec.n_sparse)
    return rt.exact_loss(model.model, model.spec.features, rows=rows, rtol=_RTOL).mean


def _round(
    starts: list[Trained],
    k: int,
    steps: int,
    device: str,
    progress: Callable[[int], object],
    watch: Callable[[list[Trained]], object],
    watched: Container[int],
) -> list[Trained]:
    """The models after `steps` steps from `starts`, on the data of round `k`."""
    specs, before = [start.spec for start in starts], starts[0].losses.size
    size = len(specs) if _share_products(device) else 1
    law = specs[0].law
    data: dict[tuple[int, float], Data | LawData] = {}
    for seed, p in {(spec.seed, spec.p) for spec in specs}:
        stream = (k + 1) * 2**32 + seed
        data[seed, p] = (
            LawData(specs[0].features, stream, device)
            if law
            else Data(p, specs[0].n_sparse, stream, device)
        )
    seen = [data[spec.seed, spec.p] for spec in specs]
    companies = [
        _Company(starts[i : i + size], seen[i : i + size], device)
        for i in range(0, len(specs), size)
    ]
    scratch = _Scratch()
    losses = torch.empty(steps, len(specs), device=device)

    def models(done: int) -> list[Trained]:
        weights = [company.model(i) for company in companies for i in range(len(company.specs))]
        history = losses[:done].T.cpu().numpy()
        return [
            Trained(start.spec, w_in, w_out, b, np.append(start.losses, x), start.rounds)
            for start, (w_in, w_out, b), x in zip(starts, weights, history, strict=True)
        ]

    stopped: dict[int, Trained] = {}
    for step in range(steps):
        rate = specs[0].step_size(step, steps)
        torch.cat([company.step(step, rate, scratch) for company in companies], out=losses[step])
        done = step + 1
        progress(before + done)
        if before + done in watched:
            watch(models(done))
        if specs[0].protocol == "paper" and done % WINDOW == 0:
            for i in np.flatnonzero(stops(losses[:done].cpu().numpy())).tolist():
                if i not in stopped:
                    stopped[i] = models(done)[i]
            if len(stopped) == len(starts):
                break
    return [stopped.get(i, model) for i, model in enumerate(models(steps))]


def stops(losses: np.ndarray) -> np.ndarray:
    """Whether the paper's rule stops each model after these losses, shape (steps, models)."""
    steps = len(losses)
    if steps < 2 * WINDOW or steps % WINDOW:
        return np.zeros(losses.shape[1], bool)
    before, last = losses[-2 * WINDOW :].reshape(2, WINDOW, -1).mean(axis=1)
    return np.asarray(last >= before)
