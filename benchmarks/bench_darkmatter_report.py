"""Time and memory of a report on SAEs against the matrix products that it needs, in one run.

OMP_NUM_THREADS=1 python benchmarks/bench_darkmatter_report.py [--rows 50000] [--width 16384]

Needed are xᵀx once, and for each decoder one product to encode, xᵀE, and the linear error: in the
precision in which each is done, float32 to encode and float64 for what is summed.  Activations are
float16 in a file.  Memory is the greatest that is anonymous, which no file could give back.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from pathlib import Path
from time import process_time, sleep

import numpy as np

import rugtheory as rt

CHUNK = 10_000


def activations(rows, columns, file):
    """Sparse sums of directions, in a file."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4 * columns, columns)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    x = np.lib.format.open_memmap(file, "w+", dtype=np.float16, shape=(rows, columns))
    for start in range(0, rows, CHUNK):
        block = x[start : start + CHUNK]
        latent = rng.integers(len(features), size=(len(block), 20))
        amplitude = rng.exponential(size=latent.shape).astype(np.float32)
        block[:] = np.einsum("ij,ijk->ik", amplitude, features[latent])
    return x


def decoders(columns, width, count):
    for seed in range(count):
        w = np.random.default_rng(seed + 1).normal(size=(width, columns)).astype(np.float32)
        w /= np.linalg.norm(w, axis=1, keepdims=True)
        zeros = np.zeros(width)
        threshold = np.full(width, 2.6 * (20 * 2 / columns) ** 0.5)
        yield (
            f"sae_{seed}",
            rt.darkmatter.SAE("jumprelu", w.T, zeros, 0.3 * w, np.zeros(columns), threshold),
        )


def needed(rows, columns, width, count):
    """Processor seconds of the products alone."""
    length = max(2**20 // columns, columns)
    rng = np.random.default_rng(0)
    x, e, square = (rng.normal(size=(n, columns)) for n in (length, length, columns))
    short, wide = x.astype(np.float32), rng.normal(size=(columns, width)).astype(np.float32)
    blocks = -(-rows // length)
    times = {}
    for name, product, often in (
        ("xᵀx, once", lambda: x.T @ x, 1),
        ("encode", lambda: short @ wide, count),
        ("xᵀE", lambda: x.T @ e, count),
        ("linear error", lambda: x @ square, count),
    ):
        product()
        start = process_time()
        for _ in range(3):
            product()
        times[name] = (process_time() - start) / 3 * blocks * often
    return times


class Memory(threading.Thread):
    """The greatest anonymous memory, in GiB, looked at fifty times a second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most, self.going = 0.0, True

    def run(self):
        while self.going:
            self.most = max(self.most, anonymous())
            sleep(0.02)


def anonymous():
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (one for one in status.splitlines() if one.startswith("RssAnon"))
    return int(line.split()[1]) / 2**20


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--columns", type=int, default=768)
    parser.add_argument("--width", type=int, default=16_384)
    parser.add_argument("--decoders", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        x = activations(options.rows, options.columns, Path(folder, "x.npy"))
        contexts = np.arange(options.rows) // 500
        saes = dict(decoders(options.columns, options.width, options.decoders))
        before = anonymous()
        memory = Memory()
        memory.start()
        start = process_time()
        found = rt.darkmatter.write_report(x, saes, Path(folder, "out"), contexts=contexts)
        spent = process_time() - start
        memory.going = False
    times = needed(options.rows, options.columns, options.width, options.decoders)
    print(f"{options.rows} x {options.columns}, {options.decoders} decoders of {options.width}, "
          f"L0 {found['saes'][0]['l0']:.0f}")  # fmt: skip
    print("needed: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times.items()))
    total = sum(times.values())
    print(f"report {spent:.1f} s of processor, products {total:.1f} s: ratio {spent / total:.2f}")
    print(f"anonymous memory {memory.most:.2f} GiB, {before:.2f} GiB before")


if __name__ == "__main__":
    main()
