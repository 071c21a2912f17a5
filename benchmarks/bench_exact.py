"""Exact losses against Monte Carlo, verdicts, and statistics at size.

    OMP_NUM_THREADS=2 python benchmarks/bench_exact.py [--samples 10000000]

Exact losses of all rows of a trained model (512, 128), and of weights of size (2048, 512), with
their estimated errors and the time that Monte Carlo would need for a standard error as large, from
its measured speed in float32.  With `--samples` that many samples are drawn for the trained model
and compared.  Then features in groups of eight, in the time of as many that are alike and on as
often.  Last, statistics of (8192, 4096) with the peak of memory.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np

import rugtheory as rt

P = 0.045
TRAINED = Path(__file__).parents[1] / "tests" / "data" / "trained_512_128.safetensors"


def timed(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def monte_carlo(model, samples, generator, batch=5000):
    """Mean and standard error of the loss over samples of all features, in float32."""
    w_in, w_out, b = (x.astype(np.float32) for x in (model.w_in.T, model.w_out.T, model.b))
    losses = []
    for _ in range(max(1, samples // batch)):
        u = generator.random((batch, b.size), np.float32)
        x = np.maximum(u - np.float32(1 - P), 0) / np.float32(P)
        losses.append(np.mean((np.maximum(x @ w_in @ w_out + b, 0) - x) ** 2, axis=1))
    losses = np.concatenate(losses).astype(float)
    return losses.mean(), losses.std() / np.sqrt(losses.size), losses.size


def random_model(n_sparse, n_dense, generator):
    """Unit columns and the best decoder for their Gaussian interference."""
    w_in = generator.normal(size=(n_dense, n_sparse)) / np.sqrt(n_dense)
    best = rt.optimum(P, n_dense / n_sparse)
    return rt.Model(w_in, float(best.a) * w_in.T, float(best.b))


def compare(name, model, generator):
    seconds, exact = timed(lambda: rt.exact_loss(model, rt.Identical(model.n_sparse, P), rtol=1e-6))
    worst = float((exact.error / exact.loss).max())
    spent, (mean, error, samples) = timed(lambda: monte_carlo(model, 20_000, generator))
    needed = spent * (error / exact.mean_error) ** 2
    print(
        f"{name}: exact {seconds:.2f} s, loss {exact.mean:.9f}, mean estimated error "
        f"{exact.mean_error:.1e}, worst relative {worst:.1e}"
    )
    print(
        f"  Monte Carlo {samples} samples {spent:.2f} s: {mean:.6f} +- {error:.1e}; for the same "
        f"error {needed:.1e} s, {needed / seconds:.1e} times as long"
    )
    return exact


def verdict(model):
    """Time of a verdict, least losses over a and b included, in that of the losses of its rows."""
    given = model, rt.Identical(model.n_sparse, P)
    rt.explain(*given, rows=1)  # theory is remembered
    seconds, found = timed(lambda: rt.explain(*given))
    alone, _ = timed(lambda: rt.exact_loss(*given, rows=found.rows, rtol=1e-7))
    print(f"  verdict on {found.rows} rows {seconds:.2f} s, {seconds / alone:.1f} x their losses")


def groups(n=512, d=128):
    """All outputs with features in groups of eight, and a few of them one by one; in CPU time."""
    model = random_model(n, d, np.random.default_rng(0))
    below = [rt.SparseSource(0.15)] * 3, rt.Parent(0.3, [rt.Exclusive([0.2, 0.1, 0.05])])
    for name, group in {
        "on together": rt.Together(P, 8),
        "exclusive": rt.Exclusive([P] * 8),
        "parents and children": rt.Parent(0.2, [*below[0], below[1]]),
    }.items():
        features = rt.Groups([group] * (n // 8))
        alike = rt.Identical(n, float(features.on_probability.mean()))
        taken = []
        for law in (features, alike):
            times = []
            for _ in range(3):
                start = time.process_time()
                found = rt.exact_loss(model, law, rtol=1e-6)
                times.append(time.process_time() - start)
            taken.append((min(times), found))
        (seconds, found), (least, _) = taken
        start, some = time.process_time(), range(0, n, n // 8)
        for row in some:
            rt.exact_loss(model, features, rows=[row], rtol=1e-6)
        alone = (time.process_time() - start) * n / len(some)
        print(
            f"({n}, {d}), groups of 8 {name}: {seconds:.2f} s of CPU, {seconds / least:.1f} x "
            f"features alike of the same mean p, {alone / seconds:.0f} x as fast as one by one, "
            f"worst relative error {float((found.error / found.loss).max()):.1e}"
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int)
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    trained = rt.read_weights(TRAINED)
    exact = compare("trained (512, 128)", trained, generator)
    verdict(trained)
    if options.samples:
        spent, (mean, error, samples) = timed(
            lambda: monte_carlo(trained, options.samples, generator)
        )
        gap = (exact.mean - mean) / error
        print(
            f"  {samples} samples in {spent:.0f} s: {mean:.8f} +- {error:.1e}, exact is "
            f"{gap:+.2f} standard errors away"
        )
    compare("random (2048, 512)", random_model(2048, 512, generator), generator)
    groups()
    large = random_model(8192, 4096, generator)
    seconds, found = timed(lambda: rt.statistics(large, rt.Identical(large.n_sparse, P), rows=2))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"statistics (8192, 4096): {seconds:.1f} s, peak {peak:.2f} GiB, variance over the Welch "
        f"bound {found.summary()['variance over Welch bound']:.3f}"
    )


if __name__ == "__main__":
    main()
