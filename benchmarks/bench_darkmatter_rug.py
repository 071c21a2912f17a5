"""How fast the rug's dark matter reaches its limit of many features, over random rugs.

python benchmarks/bench_darkmatter_rug.py [log2 of features drawn a line, 26]
"""

from __future__ import annotations

import sys
from time import perf_counter

import numpy as np

import rugtheory as rt

POINTS = ((0.02, 0.125, 1.0), (0.045, 0.25, 1.0), (0.045, 0.25, 0.5))
RUGS = 8


def main(log_draws: int) -> None:
    for p, ratio, fraction in POINTS:
        best, source = rt.optimum(p, ratio), rt.SparseSource(p)
        theory = rt.darkmatter.rug_dark_matter(p, ratio, fraction=fraction)
        print(f"\np = {p}, r = {ratio}, f = {fraction}: theory n → ∞", end=" ")
        print(f"FVU {theory.fvu_centred:.5f}, nonlinear {theory.fvu_nl:.5f}, R² {theory.r2:.4f}")
        print("| n_s | FVU, centred | nonlinear | R² | n_s (nonlinear/theory - 1) | s |")
        print("|---|---|---|---|---|---|")
        for log_n in range(10, 17):
            start, n = perf_counter(), 2**log_n
            runs = []
            for seed in range(RUGS):
                rows = 1 + np.random.default_rng(seed).permutation(n - 1)[: int(ratio * n)]
                rug = rt.Rug(n, rows)
                b = rug.bias(best.b, best.a, p)
                draws = 2**log_draws // n // RUGS
                run = rt.darkmatter.simulate_dark_matter(
                    rug, best.a, b, source, draws, seed=seed, fraction=fraction
                )
                runs.append((run.fvu_centred, run.fvu_nl, run.r2))
            (fvu, nonlinear, r2), scatter = np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1)
            error = scatter / np.sqrt(RUGS)
            excess = n * np.array([nonlinear / theory.fvu_nl - 1, error[1] / theory.fvu_nl])
            print(
                f"| {n} | {fvu:.5f} ± {error[0]:.5f} | {nonlinear:.5f} ± {error[1]:.5f} "
                f"| {r2:.4f} ± {error[2]:.4f} | {excess[0]:.0f} ± {excess[1]:.0f} "
                f"| {perf_counter() - start:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 26)
