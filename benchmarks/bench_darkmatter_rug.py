"""How fast the rug's dark matter reaches its limit of many features, over random rugs.

python benchmarks/bench_darkmatter_rug.py [log2 of features drawn a line, 26]
"""

from __future__ import annotations

import sys
from time import perf_counter

import numpy as np

import rugtheory as rt
from rugtheory.darkmatter import SimulatedDarkMatter, rug_dark_matter, simulate_dark_matter

POINTS = ((0.02, 0.125, 1.0), (0.045, 0.25, 1.0), (0.045, 0.25, 0.5))
RUGS = 8


def simulated(
    p: float, ratio: float, fraction: float, n: int, draws: int, seed: int, *, constant_row: bool
) -> SimulatedDarkMatter:
    """One random rug with or without row 0, `draws` features in all."""
    rows = 1 + np.random.default_rng(seed).permutation(n - 1)[: int(ratio * n)]
    if constant_row:
        rows[0] = 0
    rug, best = rt.Rug(n, rows), rt.optimum(p, ratio)
    b = rug.bias(best.b, best.a, p)
    return simulate_dark_matter(
        rug, best.a, b, rt.SparseSource(p), draws // n, seed=seed, fraction=fraction
    )


def approach(p: float, ratio: float, fraction: float, draws: int) -> None:
    theory = rug_dark_matter(p, ratio, fraction=fraction)
    print(f"\np = {p}, r = {ratio}, f = {fraction}: theory n → ∞", end=" ")
    print(f"FVU {theory.fvu_centred:.5f}, nonlinear {theory.fvu_nl:.5f}, R² {theory.r2:.4f}")
    print("| n_s | FVU, centred | nonlinear | R² | n_s (nonlinear/theory - 1) | s |")
    print("|---|---|---|---|---|---|")
    for log_n in range(10, 17):
        start, n = perf_counter(), 2**log_n
        runs = [
            simulated(p, ratio, fraction, n, draws // RUGS, seed, constant_row=False)
            for seed in range(RUGS)
        ]
        values = [(run.fvu_centred, run.fvu_nl, run.r2) for run in runs]
        fvu, nonlinear, r2 = np.mean(values, axis=0)
        error = np.std(values, axis=0, ddof=1) / np.sqrt(RUGS)
        excess = n * np.array([nonlinear / theory.fvu_nl - 1, error[1] / theory.fvu_nl])
        print(
            f"| {n} | {fvu:.5f} ± {error[0]:.5f} | {nonlinear:.5f} ± {error[1]:.5f} "
            f"| {r2:.4f} ± {error[2]:.4f} | {excess[0]:.0f} ± {excess[1]:.0f} "
            f"| {perf_counter() - start:.0f} |",
            flush=True,
        )


def norms(draws: int) -> None:
    print("\nR² of ‖e‖² on h for rugs with row 0, all features learned")
    print("| p | r | n_s | R² |")
    print("|---|---|---|---|")
    for p, ratio in ((0.02, 0.125), (0.045, 0.25), (0.1, 0.5)):
        for n in (2**10, 2**12, 2**14):
            runs = [
                simulated(p, ratio, 1.0, n, draws // RUGS, seed, constant_row=True).r2_norm
                for seed in range(RUGS)
            ]
            error = np.std(runs, ddof=1) / np.sqrt(RUGS)
            print(f"| {p} | {ratio} | {n} | {np.mean(runs):.3f} ± {error:.3f} |", flush=True)


def main(draws: int) -> None:
    for point in POINTS:
        approach(*point, draws)
    norms(draws)


if __name__ == "__main__":
    main(2 ** int(sys.argv[1]) if len(sys.argv) > 1 else 2**26)
