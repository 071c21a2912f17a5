"""``python -m validation.reachable``: what is known of the least loss, point by point.

At each size and p at which weights went down on the exact loss: the rug and the best rug, the row
law, the best model of that size, the lowest end of descents, what Adam ends at, the best known with
the same cap on couplings, and what is proved.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from tqdm import tqdm

import rugtheory as rt
from rugtheory._files import add_overwrite, digest, replacing, writing
from rugtheory.analysis.descent import exceeds
from rugtheory.cli.running import guarded
from rugtheory.cli.shared import Parser
from rugtheory.theory.lower import proved

from .report import converged
from .spec import NAMED, Spec

# Of the rugs whose eigenvalues are optimised: small ones differ by what rows they have.
SEEDS = (0, 1, 2)
_POINT = ["n_sparse", "n_dense", "p"]
# Protocols of descents, by what they start from; and the cap on their couplings.
STARTS = {
    "descent": "random",
    **{name: name for name in NAMED},
    "law": "law",
    "continued": "training",
}
CAP = Spec.max_coupling


def optimised(n_sparse: int, n_dense: int, p: float) -> float:
    """The least loss of rugs with eigenvalues of their own."""
    rugs = (rt.hadamard_rug(n_sparse, n_dense, seed=seed) for seed in SEEDS)
    return min(rt.optimised_rug(rug, rt.SparseSource(p)).loss for rug in rugs)


def frame_of(files: Sequence[Path]) -> pd.DataFrame:
    """All models of collected sweeps, and whether each has converged."""
    some = [xr.load_dataset(file) for file in files]
    return pd.concat(
        [data.to_dataframe().assign(converged=converged(data)) for data in some], ignore_index=True
    )


def points(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Models of one n_sparse, n_dense and p, of which one went down on the exact loss.

    Tied ones, those that were trained on a law of features of their own, and descents with another
    cap on couplings are left out.
    """
    left_out = frame["tied"].astype(bool)
    if "law" in frame:
        left_out |= frame["law"].notna()
    left_out |= frame["protocol"].isin(STARTS) & (frame["max_coupling"] != CAP)
    frame = frame[~left_out]
    some = [models for _, models in frame.groupby(_POINT)]
    return [models for models in some if models["protocol"].isin(STARTS).any()]


def kept(some: pd.DataFrame) -> dict[str, Any]:
    """What models of one point are: the law, the lowest end of descents, what training ends at.

    Of several laws that whose weights lose least.
    """
    descents = some[some["protocol"].isin(STARTS)]
    lowest = descents.loc[descents["loss"].idxmin()]
    trained = some[some["protocol"] == "converged"]
    return {
        **{name: lowest[name] for name in _POINT},
        "ratio": lowest["n_dense"] / lowest["n_sparse"],
        **shared(some[some["protocol"] == "law"]),
        "minimum": lowest["loss"],
        "minimum_from": STARTS[lowest["protocol"]],
        "minimum_converged": bool(lowest["converged"]),
        "minimum_spread": lowest["spread"],
        "minimum_asymmetry": lowest["asymmetry"],
        "minimum_coupling": lowest["coupling"],
        "trained": trained["loss"].mean(),
        "trained_converged": bool(trained["converged"].all()),
    }


def shared(laws: pd.DataFrame) -> dict[str, Any]:
    """The row law, NaN where there is none."""
    none = {"law_loss": np.nan, "law_exact": np.nan, "law_spread": np.nan, "law_ended": ""}
    law = none if laws.empty else laws.loc[laws["law_exact"].idxmin()]
    return {
        "row_law": law["law_loss"],
        "row_law_exact": law["law_exact"],
        "row_law_spread": law["law_spread"],
        "row_law_verdict": law["law_ended"],
        "row_law_converged": law["law_ended"] == "consistent",
    }


def theory(n_sparse: int, n_dense: int, p: float) -> dict[str, Any]:
    """What needs no descent in all weights: losses of structures, and what is proved."""
    ratio = n_dense / n_sparse
    weights = rt.best_model(n_sparse, n_dense, p, max_coupling=CAP)
    best = rt.best_known(p, ratio, max_coupling=CAP)
    return {
        "rug": float(rt.optimum(p, ratio).loss),
        "best_model": weights.loss,
        "best_known": float(best.loss),
        "family": str(best.family),
        "bound": proved(p, ratio),
    }


def of_table(file: Path | None) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows of a table, by point."""
    if file is None:
        return {}
    rows = xr.load_dataset(file).to_dataframe().to_dict("records")
    return {tuple(row[x] for x in _POINT): row for row in rows}


def point(some: pd.DataFrame, known: dict[tuple[Any, ...], dict[str, Any]]) -> dict[str, Any]:
    """One row of the table; structures take minutes where an earlier row is not `known`."""
    row = kept(some)
    at = int(row["n_sparse"]), int(row["n_dense"]), float(row["p"])
    if at in known:
        return known[at] | row
    return row | theory(*at) | {"optimised_rug": optimised(*at)}


_COLUMNS = {
    "rug": "rug",
    "optimised_rug": "best rug",
    "row_law": "row law",
    "best_model": "best model",
    "minimum": "exact minimum",
    "trained": "trained",
    "best_known": "best known",
    "bound": "bound",
}


def markdown(data: xr.Dataset) -> str:
    """The table of losses over p².

    A star marks descents and trainings that had not ended, a dagger those with couplings above the
    cap.
    """
    head = ["n_sparse", "p", "n_dense", *_COLUMNS.values(), "from", "rows", "asymmetry"]
    lines = [head, ["---"] * len(head)]
    for row in data.to_dataframe().sort_values(["n_sparse", "p", "n_dense"]).to_dict("records"):
        cells = [str(row["n_sparse"]), f"{row['p']:g}", str(row["n_dense"])]
        for name in _COLUMNS:
            loss = row[name] / row["p"] ** 2
            cells.append("" if np.isnan(loss) else f"{loss:.4g}{_mark(name, row)}")
        cells.append(row["minimum_from"])
        spread = row["minimum_spread"]
        cells.append("" if np.isnan(spread) else f"{100 * spread:.0f} %")
        cells.append(f"{row['minimum_asymmetry']:.2f}")
        lines.append(cells)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _mark(name: str, row: dict[str, Any]) -> str:
    if exceeds(row.get(f"{name}_coupling", 0.0), CAP):
        return " †"
    return "" if row.get(f"{name}_converged", True) else " *"


def by_size(data: xr.Dataset) -> str:
    """Trained losses over p² with a column for each n_sparse; a star marks those not converged.

    A line has the k-th n_dense of each n_sparse, whose ratios are the same but for rounding.
    """
    frame = data.to_dataframe().assign(converged=converged(data))
    frame = frame.sort_values(["n_sparse", "p", "n_dense"])
    frame["place"] = frame.groupby(["n_sparse", "p"]).cumcount()
    sizes = frame["n_sparse"].unique()
    head = ["p", "n_dense", *(f"{n} features" for n in sizes)]
    lines = [head, ["---"] * len(head)]
    for (p, _), some in frame.groupby(["p", "place"]):
        losses = zip(some["loss"] / p**2, some["converged"], strict=True)
        cells = [f"{loss:.4g}{'' if done else ' *'}" for loss, done in losses]
        lines.append([f"{p:g}", ", ".join(map(str, some["n_dense"])), *cells])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(prog="python -m validation.reachable")
    parser.add_argument("data", nargs="+", type=Path, help="what the command collect writes")
    parser.add_argument("--out", type=Path, required=True, help="netCDF file")
    parser.add_argument(
        "--known", type=Path, help="earlier table; losses of structures at its points are its own"
    )
    parser.add_argument("--workers", type=int, help="number of processes (one a core)")
    add_overwrite(parser)
    return guarded(parser, parser.parse_args(arguments), _run)


def _run(options: argparse.Namespace) -> None:
    made = {"command": "validation reachable"}
    made |= {f"data {k}": digest(file) for k, file in enumerate(options.data)}
    found = points(frame_of(options.data))
    if not found:
        raise ValueError(f"data must have models of the protocols {tuple(STARTS)}, got none")
    each = partial(point, known=of_table(options.known))
    with writing({options.out: made}, overwrite=options.overwrite):
        with ProcessPoolExecutor(options.workers) as pool:
            rows = list(tqdm(pool.map(each, found), total=len(found), unit="point"))
        columns = {name: ("point", np.array([row[name] for row in rows])) for name in rows[0]}
        about = {"rugtheory": rt.__version__, "numpy": np.__version__}
        with replacing(options.out) as unfinished:
            xr.Dataset(columns, attrs=about).to_netcdf(unfinished, engine="h5netcdf")
    print(f"wrote {options.out}, {len(rows)} points")


if __name__ == "__main__":
    sys.exit(main())
