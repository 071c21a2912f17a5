"""Speed of the loss and the optimum, as ratios measured in one run, and their peak memory.

    python benchmarks/bench_loss.py

One thread, a million points, p log-uniform in [1e-6, 0.99], ratio log-uniform in [1e-4, 0.999].
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from time import perf_counter

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtr

import rugtheory as rt

N = 1_000_000
FEW = 20


def best_of(function: Callable[[], object], repeat: int = 7) -> float:
    """Least time of several runs, in seconds."""
    times = []
    for _ in range(repeat):
        start = perf_counter()
        function()
        times.append(perf_counter() - start)
    return min(times)


def main() -> None:
    rng = np.random.default_rng(0)
    p = np.exp(rng.uniform(np.log(1e-6), np.log(0.99), N))
    ratio = np.exp(rng.uniform(np.log(1e-4), np.log(0.999), N))
    best = rt.optimum(p, ratio)
    threshold = best.b / (best.a * best.sigma)

    base = best_of(lambda: ndtr(threshold))
    loss = best_of(lambda: rt.reduced_loss(best.a, best.b, best.sigma, p))
    optimum = best_of(lambda: rt.optimum(p, ratio), 3)

    def one_by_one() -> None:
        for k in range(FEW):
            sigma = float(best.sigma[k])
            minimize(
                lambda x, k=k, sigma=sigma: float(rt.reduced_loss(x[0], x[1], sigma, p[k])),
                (1.0, -sigma),
                method="Nelder-Mead",
                options={"xatol": 1e-9, "fatol": 1e-15},
            )

    single = best_of(one_by_one, 1) / FEW
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    print(f"scipy.special.ndtr            {base * 1e3:8.1f} ms per {N} points")
    print(f"reduced_loss                  {loss * 1e3:8.1f} ms  = {loss / base:6.2f} x ndtr")
    print(f"optimum                       {optimum * 1e3:8.1f} ms  = {optimum / loss:6.2f} x loss")
    print(f"scipy.optimize.minimize       {single * 1e3:8.1f} ms per point")
    print(f"    = {single / (optimum / N):.0f} x one optimum of a million")
    print(f"peak memory                   {peak:8.2f} GiB")


if __name__ == "__main__":
    main()
