"""Exact losses of all rows, and gradients, in units of the product W_out W_in of the same run.

    OMP_NUM_THREADS=2 python benchmarks/bench_many_rows.py [--large]

Random weights with the best decoder for their Gaussian interference, p = 0.045, rtol 1e-6.  With
`--large` also (8192, 2048).  Then (512, 128) with 512 different p, importances and two laws of
amplitudes, against features that are all alike, with their mean p and with p = 0.045; and a descent
of 100 steps.  Where fewer features are on, contours are longer, whether they are alike or not.
"""

import argparse
import resource
import time

import numpy as np

import rugtheory as rt
from rugtheory.analysis.gradient import Gradient

P = 0.045


def least(function, repeats=3, clock=time.perf_counter):
    """Shortest time of a few calls, and the last result."""
    times = []
    for _ in range(repeats):
        start = clock()
        found = function()
        times.append(clock() - start)
    return min(times), found


def weights(n, d, seed=0):
    w_in = np.random.default_rng(seed).normal(size=(d, n)) / np.sqrt(d)
    best = rt.optimum(P, d / n)
    return rt.Model(w_in, float(best.a) * w_in.T, float(best.b))


def sizes(pairs):
    for n, d in pairs:
        model, features = weights(n, d), rt.Identical(n, P)
        repeats = 3 if n < 4000 else 1
        product, _ = least(lambda m=model: m.w_out @ m.w_in)
        loss, found = least(lambda m=model, f=features: rt.exact_loss(m, f, rtol=1e-6), repeats)
        slope, _ = least(lambda m=model, f=features: rt.exact_gradient(m, f, rtol=1e-6), repeats)
        worst = float((found.error / found.loss).max())
        print(
            f"({n}, {d}): product {1e3 * product:.1f} ms; loss of all rows {loss:.2f} s, "
            f"{loss / product:.0f} products, worst stated error {worst:.0e}; with gradient "
            f"{slope:.2f} s, {slope / loss:.1f} times as long"
        )


def unequal():
    n, d = 512, 128
    model, generator = weights(n, d), np.random.default_rng(1)
    laws = [rt.Uniform() if k % 2 else rt.Uniform(0.2, 1.0) for k in range(n)]
    p = rt.zipf(n, 0.2, alpha=0.5)
    features = {
        "512 different p, two laws": rt.Independent(p, laws, generator.random(n)),
        "alike, with their mean p": rt.Identical(n, float(p.mean())),
        f"alike, p = {P}": rt.Identical(n, P),
    }
    taken = {}
    for name, law in features.items():
        first, found = least(
            lambda law=law: rt.exact_loss(model, law, rtol=1e-6), clock=time.process_time
        )
        gradient = Gradient(law, 1e-6)
        gradient(model)  # tables are known from here on, as in a descent
        known, _ = least(lambda at=gradient: at(model), 5, clock=time.process_time)
        taken[name] = first, known
        worst = float((found.error / found.loss).max())
        ratios = [x / y for x, y in zip(next(iter(taken.values())), taken[name], strict=True)]
        print(
            f"(512, 128), {name}: loss {first:.2f} s of CPU, gradient with known tables "
            f"{known:.2f} s; the first take {ratios[0]:.1f} and {ratios[1]:.1f} times as "
            f"long, worst stated error {worst:.0e}"
        )


def descent():
    steps = 100
    seconds, found = least(lambda: rt.minimize(rt.Identical(512, P), 128, steps=steps), 1)
    print(f"(512, 128): {steps} steps of descent {seconds:.1f} s, loss/p^2 {found.loss / P**2:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    sizes([(512, 128), (2048, 512)] + ([(8192, 2048)] if options.large else []))
    unequal()
    descent()
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
