"""Time of `decompose` against the bare matrix products it needs, and its memory, in one run.

OMP_NUM_THREADS=2 python benchmarks/bench_darkmatter.py [--rows 200000] [--columns 384] [--disk]

The products are Σ xxᵀ and Σ x eᵀ over the rows of the fit and x @ slope over those held out, in
blocks of the same size and in float64 as `decompose` does them.  Timings alternate and the least of
each is taken; the ratio still moves with other load on the machine.  The data are float32, in
memory or, with `--disk`, in memory-mapped files.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

import rugtheory as rt

CHUNK = 10_000


def data(rows, columns, folder):
    """Float32 activations with a decaying spectrum and a mean, and a masked reconstruction."""
    generator = np.random.default_rng(0)

    def empty(name):
        if folder is None:
            return np.empty((rows, columns), np.float32)
        return np.lib.format.open_memmap(
            Path(folder, name), mode="w+", dtype=np.float32, shape=(rows, columns)
        )

    x, x_hat = empty("x.npy"), empty("x_hat.npy")
    mixing = generator.normal(size=(columns, columns)).astype(np.float32)
    mixing *= (1 / np.arange(1, columns + 1) ** 0.5)[:, None].astype(np.float32)
    for start in range(0, rows, CHUNK):
        stop = min(start + CHUNK, rows)
        codes = generator.exponential(size=(stop - start, columns)).astype(np.float32)
        x[start:stop] = codes @ mixing + 3
        codes[:, columns // 2 :] = 0
        x_hat[start:stop] = codes @ mixing
    return x, x_hat


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def bare(rows, columns, fitted, length, dtype):
    """Seconds of the products alone, on blocks that are there already."""
    generator = np.random.default_rng(0)
    x, e = (generator.normal(size=(length, columns)).astype(dtype) for _ in range(2))
    square = np.empty((columns, columns), dtype)
    product = np.empty((length, columns), dtype)
    start = perf_counter()
    for _ in range(fitted // length):
        np.matmul(x.T, x, out=square)
        np.matmul(x.T, e, out=square)
    for _ in range((rows - fitted) // length):
        np.matmul(x, square, out=product)
    return perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--columns", type=int, default=384)
    parser.add_argument("--context", type=int, default=1000, help="rows in a context")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--disk", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        x, x_hat = data(options.rows, options.columns, folder if options.disk else None)
        contexts = np.arange(options.rows) // options.context
        before = peak()
        length = max(2**20 // options.columns, options.columns)
        ours, theirs, single = [], [], []
        for _ in range(options.repeats):
            start = perf_counter()
            found = rt.darkmatter.decompose(x, x_hat, contexts=contexts)
            ours.append(perf_counter() - start)
            sizes = (options.rows, options.columns, found.fit_rows, length)
            theirs.append(bare(*sizes, np.float64))
            single.append(bare(*sizes, np.float32))
        print(f"{options.rows} x {options.columns}: {found}")
        print(
            f"decompose {min(ours):.2f} s, products {min(theirs):.2f} s in float64 and "
            f"{min(single):.2f} s in float32: ratios {min(ours) / min(theirs):.2f} and "
            f"{min(ours) / min(single):.2f}"
        )
        print(f"peak memory {peak():.2f} GiB, {before:.2f} GiB before the first decomposition")


if __name__ == "__main__":
    main()
