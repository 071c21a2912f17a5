"""Processor time of `rugtheory weights`, imports and all, on small and on large weights.

Run with OMP_NUM_THREADS=1: threads cost more than they gain in products this small.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import rugtheory as rt

LARGE = Path(__file__).parent.parent / "tests" / "data" / "trained_512_128.safetensors"


def seconds(*command):
    """Of processor time, the least of three runs."""
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def main():
    w = np.random.default_rng(0).normal(size=(5, 20))
    imports = seconds("-c", "import numpy, scipy.special")
    print(f"{'import numpy, scipy.special':32} {imports:.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.safetensors"
        rt.Model(w / np.linalg.norm(w, axis=0), b=np.full(20, -0.2)).save(small)
        for name, file in (("20 features in 5", small), ("512 features in 128", LARGE)):
            for rows in ("32", "2"):
                run = ("-m", "rugtheory", "weights", str(file), "--p", "0.045", "--rows", rows)
                found = seconds(*run)
                print(f"{f'{name}, --rows {rows}':32} {found:.2f} s, {found / imports:.1f} ×")


if __name__ == "__main__":
    main()
