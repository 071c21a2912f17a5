"""Training of toy models x̂ = ReLU(W_out W_in x + b), many of one n_sparse at once.

On a GPU models are padded to the largest n_dense among them and share one batched product; hidden
units beyond a model's own are zero and stay zero, since their gradient is.  On a CPU, where one
model keeps a core busy, they are shared out among the threads.  Either way models of one seed see
the same uniform draws, made once, so that what a model learns does not depend on its company, up
to the rounding of differently sized products.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

import rugtheory as rt

BATCH = 1024
PROTOCOLS = ("converged", "paper", "constant")
# The paper stops when the mean over one window is not below that over the window before.
WINDOW = 100
WARM_UP = 100
# Of the exact loss that tells whether a model has converged; few rows stand badly for uneven ones.
_ROWS = 1024
_RTOL = 1e-4


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
        Number of steps of the first round.
    protocol : str
        "converged": rounds in which the step size rises over the first steps and then falls
        linearly to zero, each going on from the one before and twice as long (the warm restarts of
        arXiv:1608.03983), until one lowers the exact loss by less than `tolerance`.
        "paper": the step size is 3e-3/√n_sparse throughout, and training stops when the mean loss
        of the last 100 batches is not below that of the 100 before (arXiv:2410.12101, appendix B).
        "constant": the same without stopping.  These end after the steps of all rounds.
    tied : bool
        Whether W_out is W_in transposed.
    rate : float
        Largest step size of the protocol "converged".
    tolerance : float
        Relative gain of a round below which "converged" ends.
    rounds : int
        Number of rounds, at most.
    """

    n_sparse: int
    n_dense: int
    p: float
    seed: int = 0
    steps: int = 2000
    protocol: str = "converged"
    tied: bool = False
    rate: float = 1e-2
    tolerance: float = 0.01
    rounds: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.p <= 1:
            raise ValueError(f"p must lie in (0, 1], got {self.p}")
        if not 1 <= self.n_dense <= self.n_sparse:
            raise ValueError(f"n_dense must lie in [1, {self.n_sparse}], got {self.n_dense}")
        for name in ("steps", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol must be one of {PROTOCOLS}, got {self.protocol!r}")

    @property
    def most_steps(self) -> int:
        """Steps of all rounds."""
        return self.steps * (2**self.rounds - 1)

    def step_size(self, step: int, steps: int) -> float:
        """Step size at `step` of a round of `steps`."""
        if self.protocol in ("paper", "constant"):
            return 3e-3 / self.n_sparse**0.5
        return self.rate * min(1.0, (step + 1) / WARM_UP) * (1 - step / steps)


@dataclass(frozen=True)
class Trained:
    """Weights after training, float32.

    Attributes
    ----------
    spec : Spec
    w_in, w_out, b : ndarray
    losses : ndarray
        Of every batch.
    rounds : tuple of float
        Exact loss, of 1024 rows at most, after each round of the protocol "converged"; the weights
        are those after the best.
    """

    spec: Spec
    w_in: np.ndarray
    w_out: np.ndarray
    b: np.ndarray
    losses: np.ndarray
    rounds: tuple[float, ...] = ()


def gain(rounds: Sequence[float]) -> float:
    """By what part the last round lowered the loss; infinite after the first or none."""
    return 1 - rounds[-1] / min(rounds[:-1]) if len(rounds) > 1 else np.inf


def initial(spec: Spec) -> Trained:
    """W_in with columns of about unit length, W_out its transpose, b = 0."""
    generator = torch.Generator().manual_seed(spec.seed)
    w = torch.randn(spec.n_dense, spec.n_sparse, generator=generator) / spec.n_dense**0.5
    zero = np.zeros(spec.n_sparse, np.float32)
    return Trained(spec, w.numpy(), w.T.numpy(), zero, np.empty(0, np.float32))


def sample(p: float, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Features on with probability p, their amplitudes uniform on [0, 1]."""
    return _features(torch.rand(shape, generator=generator, device=generator.device), p)


def _features(uniform: torch.Tensor, p: float) -> torch.Tensor:
    """The same of uniform draws, in their place."""
    return uniform.sub_(1 - p).relu_().div_(p)


class _Scratch(threading.local):
    """Tensors that each thread uses again at every step: fresh ones cost more than the sums."""

    def __init__(self) -> None:
        self.tensors: dict[tuple[str, tuple[int, ...]], torch.Tensor] = {}

    def __call__(self, name: str, like: torch.Tensor, *shape: int) -> torch.Tensor:
        if (name, shape) not in self.tensors:
            self.tensors[name, shape] = like.new_empty(shape)
        return self.tensors[name, shape]


def gradients(
    x: torch.Tensor,
    encoder: torch.Tensor,
    decoder: torch.Tensor,
    b: torch.Tensor,
    scratch: _Scratch,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Mean over samples of |ReLU(x Eᵀ D + b) − x|², and its gradients by E, D and b.

    Shapes (models, samples, n_sparse), (models, n_dense, n_sparse) twice, (models, 1, n_sparse).
    """
    models, samples, n_sparse = x.shape
    n_dense = encoder.shape[1]
    h = torch.bmm(x, encoder.mT, out=scratch("h", x, models, samples, n_dense))
    full = models, samples, n_sparse
    y = torch.baddbmm(b, h, decoder, out=scratch("y", x, *full)).relu_()
    error = torch.sub(y, x, out=scratch("error", x, *full))
    loss = torch.linalg.vector_norm(error, dim=(1, 2)).square() / samples
    slope = error.mul_(y.sign_())
    by_h = torch.bmm(slope, decoder.mT, out=scratch("by h", x, models, samples, n_dense))
    found = by_h.mT @ x, h.mT @ slope, slope.sum(1, keepdim=True)
    return loss, [g.mul_(2 / samples) for g in found]


class _Company:
    """Models that share each product."""

    def __init__(self, starts: Sequence[Trained], device: str) -> None:
        self.specs = [start.spec for start in starts]
        self.n_dense = max(spec.n_dense for spec in self.specs)
        self.tied = self.specs[0].tied
        self.encoder = self._padded([start.w_in for start in starts], device)
        self.decoder = (
            self.encoder if self.tied else self._padded([s.w_out.T for s in starts], device)
        )
        self.b = torch.tensor(np.stack([start.b for start in starts])[:, None], device=device)
        self.parameters = [self.encoder, *([] if self.tied else [self.decoder]), self.b]
        self.adam = torch.optim.Adam(self.parameters, fused=True)

    def _padded(self, weights: Sequence[np.ndarray], device: str) -> torch.Tensor:
        padded = torch.zeros(len(weights), self.n_dense, weights[0].shape[1])
        for target, w in zip(padded, weights, strict=True):
            target[: len(w)] = torch.tensor(w)
        return padded.to(device)

    def step(
        self, uniform: dict[int, torch.Tensor], rate: float, scratch: _Scratch
    ) -> torch.Tensor:
        """One step of Adam; losses of the batch, shape (models,)."""
        x = scratch("x", self.b, len(self.specs), *uniform[self.specs[0].seed].shape)
        for target, spec in zip(x, self.specs, strict=True):
            _features(target.copy_(uniform[spec.seed]), spec.p)
        weights = self.encoder, self.decoder, self.b
        loss, (by_encoder, by_decoder, by_b) = gradients(x, *weights, scratch)
        by_weights = [by_encoder + by_decoder] if self.tied else [by_encoder, by_decoder]
        for parameter, gradient in zip(self.parameters, [*by_weights, by_b], strict=True):
            parameter.grad = gradient
        self.adam.param_groups[0]["lr"] = rate
        self.adam.step()
        return loss / x.shape[2]

    def model(self, i: int) -> list[np.ndarray]:
        """W_in, W_out and b of one of them."""
        n = self.specs[i].n_dense
        weights = self.encoder[i, :n], self.decoder[i, :n].T, self.b[i, 0]
        return [w.cpu().numpy().copy() for w in weights]


def train(
    specs: Sequence[Spec],
    *,
    starts: Sequence[Trained] | None = None,
    device: str = "cpu",
    progress: Callable[[int], object] = lambda step: None,
    watch: Callable[[list[Trained]], object] = lambda models: None,
    watched: Container[int] = (),
) -> list[Trained]:
    """Train models together that differ in n_dense, p and seed only.

    They start from `starts`, by default at random, see `initial`.  `progress` is called with the
    number of each step done, `watch` with the models still trained as they are after each of the
    steps in `watched`.
    """
    first = specs[0]
    if len({replace(s, n_dense=1, p=1.0, seed=0) for s in specs}) != 1:
        raise ValueError(f"specs may differ in n_dense, p and seed only, got {specs}")
    models = list(starts or map(initial, specs))
    if first.protocol != "converged":
        return _round(models, 0, first.most_steps, device, progress, watch, watched)
    for k in range(first.rounds):
        going = [i for i, model in enumerate(models) if gain(model.rounds) >= first.tolerance]
        if not going:
            break
        those, steps = [models[i] for i in going], first.steps << k
        trained = _round(those, k, steps, device, progress, watch, watched)
        for i, model in zip(going, trained, strict=True):
            rounds = (*model.rounds, _exact(model))
            best = model if rounds[-1] == min(rounds) else models[i]
            models[i] = replace(best, losses=model.losses, rounds=rounds)
    return models


def _share_products(device: str) -> bool:
    """Whether models share products on a device, rather than the threads."""
    return torch.device(device).type != "cpu"


def _exact(model: Trained) -> float:
    rows = min(_ROWS, model.spec.n_sparse)
    given = model.w_in, model.w_out, model.b, model.spec.p
    return rt.exact_loss(*given, rows=rows, rtol=_RTOL).mean


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
    first, before = starts[0].spec, starts[0].losses.size
    size = len(starts) if _share_products(device) else 1
    companies = [_Company(starts[i : i + size], device) for i in range(0, len(starts), size)]
    data = {
        s.spec.seed: torch.Generator(device).manual_seed((k + 1) * 2**32 + s.spec.seed)
        for s in starts
    }
    uniform = {seed: torch.empty(BATCH, first.n_sparse, device=device) for seed in data}
    scratch = _Scratch()
    losses = torch.empty(steps, len(starts), device=device)

    def models(done: int) -> list[Trained]:
        weights = [company.model(i) for company in companies for i in range(len(company.specs))]
        seen = losses[:done].T.cpu().numpy()
        return [
            Trained(start.spec, *w, np.append(start.losses, x), start.rounds)
            for start, w, x in zip(starts, weights, seen, strict=True)
        ]

    def draw(seed: int) -> torch.Tensor:
        return uniform[seed].uniform_(generator=data[seed])

    stopped: dict[int, Trained] = {}
    with _threads(len(companies)) as map_:
        for step in range(steps):
            list(map_(draw, data))
            rate = first.step_size(step, steps)
            advance = partial(_Company.step, uniform=uniform, rate=rate, scratch=scratch)
            torch.cat(list(map_(advance, companies)), out=losses[step])
            done = step + 1
            progress(before + done)
            if before + done in watched:
                watch(models(done))
            if first.protocol == "paper" and done % WINDOW == 0:
                for i in np.flatnonzero(stops(losses[:done].cpu().numpy())):
                    if i not in stopped:
                        stopped[i] = models(done)[i]
                if len(stopped) == len(starts):
                    break
    return [stopped.get(i, model) for i, model in enumerate(models(steps))]


@contextmanager
def _threads(most: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A map over as many threads as torch has, each of them working alone; `most` of them."""
    threads = torch.get_num_threads()
    if min(threads, most) == 1:
        yield map
        return
    torch.set_num_threads(1)
    try:
        workers = min(threads, most)
        with ThreadPoolExecutor(workers, None, torch.set_num_threads, (1,)) as pool:

            def map_(do: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
                given = list(items)
                results: list[Any] = [None] * len(given)

                def share(start: int) -> None:
                    results[start::workers] = [do(x) for x in given[start::workers]]

                list(pool.map(share, range(workers)))
                return results

            yield map_
    finally:
        torch.set_num_threads(threads)


def stops(losses: np.ndarray) -> np.ndarray:
    """Whether the paper's rule stops each model after these losses, shape (steps, models)."""
    steps = len(losses)
    if steps < 2 * WINDOW or steps % WINDOW:
        return np.zeros(losses.shape[1], bool)
    before, last = losses[-2 * WINDOW :].reshape(2, WINDOW, -1).mean(axis=1)
    return last >= before
