"""Time and memory of allocations: a million features that all differ, and few.

OMP_NUM_THREADS=1 python benchmarks/bench_allocation.py
"""

import resource
import time

import numpy as np

import rugtheory as rt


def timed(label, features, n_dense, family="gaussian"):
    start = time.process_time()
    found = rt.allocate(features, n_dense, family=family)
    used = time.process_time() - start
    print(
        f"{label:40} {used:6.2f} s of the processor, error {found.error / found.loss:.0e}, "
        f"{found.dropped.sum()} dropped, {np.sum(found.capacity == 1)} alone"
    )


def main():
    million = 10**6
    timed("Zipf 1.2, n = 10⁶, 512 units", rt.Independent(rt.zipf(million, 0.5, alpha=1.2)), 512)
    timed("Zipf 0.7, n = 10⁶, 512 units", rt.Independent(rt.zipf(million, 0.5, alpha=0.7)), 512)
    timed(
        "Zipf 0.7, n = 10⁶, 50000 units", rt.Independent(rt.zipf(million, 0.5, alpha=0.7)), 50_000
    )
    rng = np.random.default_rng(0)
    both = rt.Independent(rng.uniform(1e-4, 0.5, million), importance=rng.random(million))
    timed("p and importance at random, 50000 units", both, 50_000)
    steep = rt.Independent(rt.zipf(million, 0.5, alpha=1.2))
    for family in ("pairs", "best"):
        timed(f"Zipf 1.2, n = 10⁶, 2000 units, {family}", steep, 2000, family)
    few = rt.Independent(rt.zipf(200, 0.5), importance=rt.geometric(200, 0.99))
    timed("200 features, 20 units", few, 20)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
