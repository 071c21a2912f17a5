"""Many small models trained together against one at a time, in one run.

python benchmarks/bench_training.py [--models 64] [--n-sparse 128] [--steps 50] [--device cpu]
"""

import argparse
import time

import torch

from validation.training import Spec, train

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--models", type=int, default=64)
parser.add_argument("--n-sparse", type=int, default=128)
parser.add_argument("--n-dense", type=int, default=32)
parser.add_argument("--steps", type=int, default=50)
parser.add_argument("--device", default="cpu")
parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
options = parser.parse_args()


def seconds(specs: list[Spec], size: int) -> float:
    """Time to train `specs`, `size` of them at once."""
    start = time.perf_counter()
    for i in range(0, len(specs), size):
        train(specs[i : i + size], device=options.device)
    if options.device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


specs = [
    Spec(options.n_sparse, options.n_dense, 0.045, seed=k, steps=options.steps)
    for k in range(options.models)
]
train(specs[:1], device=options.device)
for threads in options.threads:
    torch.set_num_threads(threads)
    alone = seconds(specs, 1)
    print(f"{threads} thread(s): one at a time {1e3 * alone / len(specs) / options.steps:.3f} ms")
    size = 4
    while size <= len(specs):
        together = seconds(specs, size)
        step = 1e3 * together / len(specs) / options.steps
        print(f"  {size:3d} together {step:.3f} ms a step of a model, {alone / together:.2f} x")
        size *= 4
