"""Many small models trained together against one at a time, in one run.

python benchmarks/bench_training.py [--n-sparse 128] [--steps 50] [--device cpu] [--group 4]
    [--cores 1 2]

The 64 models are a grid of four p, four seeds and four ratios.  One at a time, they are trained on
all cores by this package and by the usual loop of autograd and torch.optim.Adam; together, in as
many processes as cores, `--group` in a process at a time, as a sweep trains them.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor

import torch

from validation.batches import BATCH, sample
from validation.spec import Spec, initial
from validation.training import train


def usual(spec: Spec, device: str) -> None:
    """One model by autograd."""
    start = initial(spec)
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


def company(specs: list[Spec], device: str) -> int:
    torch.set_num_threads(1)
    return len(train(specs, device=device))


def together(specs: list[Spec], device: str, pool: Executor, group: int) -> None:
    groups = [specs[i : i + group] for i in range(0, len(specs), group)]
    assert sum(pool.map(company, groups, [device] * len(groups))) == len(specs)


def milliseconds(do: Callable[[], object], specs: list[Spec], device: str) -> float:
    """Time of a step of a model."""
    start = time.perf_counter()
    do()
    if device != "cpu":
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start) / len(specs) / specs[0].steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-sparse", type=int, default=128)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--group", type=int, default=4)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    n, device = options.n_sparse, options.device
    specs = [
        Spec(n, int(r * n), p, seed=seed, steps=options.steps, rounds=1, protocol="constant")
        for p in (0.01, 0.045, 0.1, 0.3)
        for seed in range(4)
        for r in (0.1, 0.25, 0.5, 0.75)
    ]

    for cores in options.cores:
        torch.set_num_threads(cores)
        with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
            together(specs, device, pool, options.group)
            train(specs[:1], device=device)
            ways = {
                "by autograd": lambda: [usual(spec, device) for spec in specs],
                "one at a time": lambda: [train([spec], device=device) for spec in specs],
                "together": lambda: together(specs, device, pool, options.group),
            }
            times = {name: milliseconds(way, specs, device) for name, way in ways.items()}
        print(f"{cores} core(s), ms a step of a model:")
        for name, time_ in times.items():
            print(f"  {name:14} {time_:.3f}, {time_ / times['together']:.2f} x")


if __name__ == "__main__":
    main()
