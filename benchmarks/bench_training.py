"""Many small models trained together against one at a time, in one run.

python benchmarks/bench_training.py [--n-sparse 128] [--steps 50] [--device cpu] [--threads 1 2]

The 64 models are a grid of four ratios, four p and four seeds.  A third way trains each of them by
the usual loop of autograd and torch.optim.Adam, with draws of its own.  On a CPU the five matrix
products of each step are timed alone, too, on the same threads: no grouping is faster than these.
"""

import argparse
import time

import torch

from validation.training import BATCH, Spec, _threads, initial, sample, train

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--n-sparse", type=int, default=128)
parser.add_argument("--steps", type=int, default=50)
parser.add_argument("--device", default="cpu")
parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
options = parser.parse_args()


def usual(spec: Spec) -> None:
    """One model by autograd."""
    start, device = initial(spec), options.device
    weights = [torch.tensor(x, device=device) for x in (start.w_in, start.w_out, start.b)]
    w_in, w_out, b = (x.requires_grad_() for x in weights)
    adam = torch.optim.Adam([w_in, w_out, b], lr=1e-3)
    generator = torch.Generator(device).manual_seed(spec.seed)
    for _ in range(spec.steps):
        x = sample(spec.p, (BATCH, spec.n_sparse), generator)
        loss = (torch.relu(x @ w_in.T @ w_out.T + b) - x).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()


def milliseconds(way, specs: list[Spec]) -> float:
    """Time of a step of a model."""
    start = time.perf_counter()
    way(specs)
    if options.device != "cpu":
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start) / len(specs) / options.steps


def alone(specs: list[Spec]) -> None:
    for spec in specs:
        train([spec], device=options.device)


def by_autograd(specs: list[Spec]) -> None:
    for spec in specs:
        usual(spec)


def product(spec: Spec) -> None:
    """The products of one model, nothing else."""
    x, y = torch.rand(2, BATCH, spec.n_sparse)
    weights, gradient = torch.rand(2, spec.n_dense, spec.n_sparse)
    h = torch.empty(BATCH, spec.n_dense)
    for _ in range(spec.steps):
        torch.mm(x, weights.T, out=h)
        torch.mm(h, weights, out=y)
        torch.mm(y, weights.T, out=h)
        torch.mm(h.T, x, out=gradient)
        torch.mm(h.T, y, out=gradient)


def products(specs: list[Spec]) -> None:
    with _threads(len(specs)) as map_:
        list(map_(product, specs))


n = options.n_sparse
specs = [
    Spec(n, int(r * n), p, seed=seed, steps=options.steps, rounds=1, protocol="constant")
    for r in (0.1, 0.25, 0.5, 0.75)
    for p in (0.01, 0.045, 0.1, 0.3)
    for seed in range(4)
]
alone(specs[:1])
for threads in options.threads:
    torch.set_num_threads(threads)
    times = [milliseconds(way, specs) for way in (alone, lambda x: train(x, device=options.device))]
    plain = milliseconds(by_autograd, specs)
    models = 1e3 / times[1] / 1000
    print(f"{threads} thread(s), ms a step of a model: one at a time {times[0]:.3f}, ", end="")
    print(f"{len(specs)} together {times[1]:.3f}, {times[0] / times[1]:.2f} x; ", end="")
    print(f"by autograd {plain:.3f}, {plain / times[1]:.2f} x; {models:.2f} models/s of 1000 steps")
    if options.device == "cpu":
        least = milliseconds(products, specs)
        print(f"  their products alone {least:.3f}: at most {times[0] / least:.2f} x")
