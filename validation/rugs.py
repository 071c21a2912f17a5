"""``python -m validation.rugs``: optimised rugs and the lowest curvatures of the loss there."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from tqdm import tqdm

import rugtheory as rt
from rugtheory._files import add_overwrite, replacing, writing
from rugtheory.cli.running import guarded
from rugtheory.cli.shared import Parser

# n_sparse, ratio, p, seed, and how many characters are looked at, all by default.
GRID: list[tuple[int, float, float, int, int | None]] = [
    *((n, 0.25, 0.045, seed, None) for n in (64, 128, 256, 512, 1024) for seed in (0, 1, 2)),
    *((n, 0.25, p, 1, None) for n in (128, 512) for p in (0.01, 0.1)),
    *((n, ratio, 0.045, 1, None) for n in (128, 512) for ratio in (0.125, 0.5)),
    (2048, 0.25, 0.045, 1, 128),
    (4096, 0.25, 0.045, 1, 32),
]


def point(
    n_sparse: int, ratio: float, p: float, seed: int, characters: int | None = None
) -> dict[str, Any]:
    """One rug: its losses, and the ends of the spectrum over all characters, or so many."""
    rug = rt.hadamard_rug(n_sparse, round(ratio * n_sparse), seed=seed)
    source, features = rt.SparseSource(p), rt.Identical(n_sparse, p)
    start = time.process_time()
    found = rt.optimised_rug(rug, source)
    optimised = time.process_time()
    some = None
    if characters is not None and characters < n_sparse:
        some = np.random.default_rng(seed).choice(n_sparse, characters, replace=False)
    curved = rt.rug_curvature(found, characters=some)
    equal = rug.model(rt.optimum(p, rug.ratio), source)
    return {
        "n_sparse": n_sparse,
        "n_dense": rug.n_dense,
        "p": p,
        "seed": seed,
        "row_sum": rug.row_sum,
        "equal": rt.exact_loss(equal, features, rows=[0]).mean,
        "loss": found.loss,
        "gradient": found.gradient,
        "a": found.a,
        "b": found.b,
        "least_eigenvalue": float(found.eigenvalues.min()),
        "largest_eigenvalue": float(found.eigenvalues.max()),
        "characters": curved.characters.size,
        "lowest": float(curved.lowest.min()),
        "median_lowest": float(np.median(curved.lowest)),
        "largest": float(curved.largest.max()),
        "median_largest": float(np.median(curved.largest)),
        "error": curved.error,
        "seconds_optimised": optimised - start,
        "seconds_curved": time.process_time() - optimised,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(prog="python -m validation.rugs")
    parser.add_argument("--largest", type=int, default=4096, help="number of features")
    parser.add_argument("--out", type=Path, required=True, help="netCDF file")
    add_overwrite(parser)
    return guarded(parser, parser.parse_args(arguments), _run)


def _run(options: argparse.Namespace) -> None:
    grid = [x for x in GRID if x[0] <= options.largest]
    if not grid:
        raise ValueError(f"--largest must be at least {GRID[0][0]}, got {options.largest}")
    made = {"command": "validation rugs", "largest": options.largest}
    rows: list[dict[str, Any]] = []
    with writing({options.out: made}, overwrite=options.overwrite):
        for one in tqdm(grid, unit="rug"):
            rows.append(point(*one))
            # After each, so that nothing is lost.
            save(rows, options.out)
    print(f"wrote {options.out}, {len(rows)} rugs")


def save(rows: list[dict[str, Any]], out: Path) -> None:
    """Write rugs as a netCDF file with the dimension point."""
    columns = {name: ("point", np.array([row[name] for row in rows])) for name in rows[0]}
    about = {"rugtheory": rt.__version__, "numpy": np.__version__}
    about["command"] = "python -m validation.rugs"
    with replacing(out) as partial:
        xr.Dataset(columns, attrs=about).to_netcdf(partial, engine="h5netcdf")


if __name__ == "__main__":
    sys.exit(main())
