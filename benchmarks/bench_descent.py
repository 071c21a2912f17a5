"""Descent on the exact loss against Adam, on one core, in one run.

python benchmarks/bench_descent.py [--n-sparse 128] [--n-dense 32] [--p 0.045] [--seed 0]

Adam trains as the protocol "converged" of sweeps does, until a round gains less than 1 %; descents
stop where they have lost no more than Adam in the end.  One is from the same weights, one from
couplings of low pair energy, whose search counts.
"""

import argparse
import time

import torch

import rugtheory as rt
from validation.spec import Spec, initial
from validation.training import train


def adam(spec: Spec) -> tuple[float, float, int]:
    """CPU seconds, exact loss in the end, and steps."""
    start = time.process_time()
    (trained,) = train([spec])
    seconds = time.process_time() - start
    return seconds, rt.exact_loss(trained.model, spec.features).mean, trained.losses.size


def descent(spec: Spec, loss: float, init: str | rt.Model) -> tuple[float, float, int]:
    """CPU seconds until a loss is reached, the loss there, and steps."""
    end = 0.0

    def enough(model: rt.Model, value: float) -> None:
        nonlocal end
        end = time.process_time()
        if value <= loss:
            raise StopIteration

    # What is loaded at the first call is not counted, as with Adam.
    rt.minimize(rt.Identical(8, spec.p), 2, steps=1)
    start = time.process_time()
    found = rt.minimize(
        spec.features,
        spec.n_dense,
        init=init,
        seed=spec.seed,
        max_coupling=None,
        callback=enough,
    )
    # After it, exact losses of the end and the lowest curvatures are found.
    return end - start, found.loss, found.trajectory.size - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-sparse", type=int, default=128)
    parser.add_argument("--n-dense", type=int, default=32)
    parser.add_argument("--p", type=float, default=0.045)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    spec = Spec(options.n_sparse, options.n_dense, options.p, seed=options.seed)
    taken, loss, steps = adam(spec)
    print(f"Adam     {taken:7.1f} s, {loss / spec.p**2:.4f} p², {steps} steps")
    for name, init in {"descent": initial(spec).model, "rare": "rare"}.items():
        less, reached, fewer = descent(spec, loss, init)
        print(f"{name:8} {less:7.1f} s, {reached / spec.p**2:.4f} p², {fewer} steps")
        print(f"Adam takes {taken / less:.1f} times as long")


if __name__ == "__main__":
    main()
