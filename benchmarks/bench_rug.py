"""Speed of the Walsh-Hadamard transform and scale of the rug, measured in one run.

python benchmarks/bench_rug.py
"""

from __future__ import annotations

import resource
from time import perf_counter

import numpy as np
import scipy.fft
from bench_loss import best_of

import rugtheory as rt

N_SPARSE, N_DENSE = 2**20, 2**18


def main() -> None:
    start = perf_counter()
    rug = rt.hadamard_rug(N_SPARSE, N_DENSE, seed=0)
    shown = rug.sigma(0.01), rug.skewness(0.01), rug.lyapunov, rug.row_sum
    print(f"rug {N_SPARSE} x {N_DENSE}: statistics in {perf_counter() - start:.2f} s {shown}")

    x = rt.SparseSource(0.01).sample((8, N_SPARSE), seed=1)
    best = rt.optimum(0.01, rug.ratio)
    start = perf_counter()
    rug.decode(rug.encode(x), float(best.a), rug.bias(float(best.b), float(best.a), 0.01))
    print(f"one encode-decode of 8 vectors in {perf_counter() - start:.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.2f} GiB")

    for dtype in ("float64", "float32"):
        y = np.random.default_rng(0).normal(size=N_SPARSE).astype(dtype)
        ours = best_of(lambda y=y: rt.fwht(y), 15)
        theirs = best_of(lambda y=y: scipy.fft.rfft(y), 15)
        print(f"{dtype}: fwht {ours * 1e3:.1f} ms = {ours / theirs:.2f} x scipy.fft.rfft")


if __name__ == "__main__":
    main()
