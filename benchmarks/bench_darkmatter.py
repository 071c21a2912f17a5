"""Time of `decompose` against the bare matrix products it needs, and its memory, in one run.

OMP_NUM_THREADS=2 python benchmarks/bench_darkmatter.py [--rows 200000] [--columns 384] [--disk]

The products are Σ xxᵀ and Σ x eᵀ over the rows of the fit and x @ slope over those held out, in
blocks of the same size and in float64 as `decompose` does them.  Timings alternate and the least of
each is taken, of the wall clock and of the processor; other load on the machine moves both ratios,
most with more than one thread.  The data are float32, in memory or, with `--disk`, in memory-mapped
files.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path
from time import perf_counter, process_time

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
    """The products alone, on blocks that are there already."""
    generator = np.random.default_rng(0)
    x, e = (generator.normal(size=(length, columns)).astype(dtype) for _ in range(2))
    square = np.empty((columns, columns), dtype)
    product = np.empty((length, columns), dtype)
    for _ in range(fitted // length):
        np.matmul(x.T, x, out=square)
        np.matmul(x.T, e, out=square)
    for _ in range((rows - fitted) // length):
        np.matmul(x, square, out=product)


def timed(function):
    """Seconds of the wall clock and of the processor, and the result."""
    start = perf_counter(), process_time()
    result = function()
    return (perf_counter() - start[0], process_time() - start[1]), result


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
            spent, found = timed(lambda: rt.darkmatter.decompose(x, x_hat, contexts=contexts))
            ours.append(spent)
            sizes = (options.rows, options.columns, found.fit_rows, length)
            theirs.append(timed(lambda sizes=sizes: bare(*sizes, np.float64))[0])
            single.append(timed(lambda sizes=sizes: bare(*sizes, np.float32))[0])
        print(f"{options.rows} x {options.columns}: {found}")
        ours, theirs, single = (np.min(times, axis=0) for times in (ours, theirs, single))
        for name, one, two, three in zip(("wall", "cpu"), ours, theirs, single, strict=True):
            print(
                f"{name}: decompose {one:.2f} s, products {two:.2f} s in float64 and {three:.2f} s "
                f"in float32: ratios {one / two:.2f} and {one / three:.2f}"
            )
        print(f"peak memory {peak():.2f} GiB, {before:.2f} GiB before the first decomposition")


if __name__ == "__main__":
    main()
