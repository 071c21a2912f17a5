"""``python -m validation.unequal``: trained models of unequal features beside the best allocation.

Reads a finished sweep over laws of independent features, of one n_sparse, and keeps what each
feature loses and what capacity it has, trained and by each family of `rugtheory.allocate`.  The
weights of the smallest models are kept too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from tqdm import tqdm

import rugtheory as rt
from rugtheory._files import add_overwrite, digest, replacing, writing
from rugtheory.cli.running import guarded
from rugtheory.cli.shared import Parser
from rugtheory.source.files import features_of

from .collect import digests, results_of
from .spec import Spec

FAMILIES = ("gaussian", "pairs", "best")
_RTOL = 1e-7


@dataclass(frozen=True)
class Point:
    """A trained model and its features."""

    spec: Spec
    model: rt.Model


def points_of(sweep: Path) -> list[Point]:
    """All finished points of independent features, those of one law side by side."""
    found = [
        Point(Spec(**result["spec"]), rt.read_weights(path.with_suffix(".safetensors")))
        for path, result in results_of(sweep).items()
    ]
    for point in found:
        if not point.spec.law or not point.spec.features.independent:
            raise ValueError(f"{sweep} holds models of features that are alike, or depend")
    if len({point.spec.n_sparse for point in found}) > 1:
        raise ValueError(f"{sweep} holds models of several n_sparse")
    return sorted(found, key=lambda x: (x.spec.law, x.spec.n_dense, x.spec.seed))


def measured(point: Point) -> dict[str, Any]:
    """What a model reaches, feature by feature."""
    features = point.spec.features
    exact = rt.exact_loss(point.model, features, rows=len(features), rtol=_RTOL)
    found = rt.statistics(point.model, features, rows=1)
    return {
        "loss": exact.mean,
        "numerical_error": exact.mean_error,
        "losses": exact.loss,
        "capacity": found.capacity,
        "coupling": float(np.max(np.abs(_couplings(point.model)))),
    }


def _couplings(model: rt.Model) -> np.ndarray:
    w = model.w_out @ model.w_in
    own = np.diag(w).copy()
    np.fill_diagonal(w, 0)
    alive = own > 0.1 * own.max()
    return np.asarray(w[alive] / own[alive, None])


def predicted(features: rt.Features, n_dense: int, family: str) -> dict[str, Any]:
    """The best allocation in a family."""
    found = rt.allocate(features, n_dense, family=family)
    return {
        "theory": found.loss,
        "theory_error": found.error,
        "theory_exponent": -found.multiplier * n_dense / found.loss,
        "theory_losses": found.losses,
        "theory_capacity": found.capacity,
    }


def theory(points: Sequence[tuple[rt.Features, int]]) -> dict[str, Any]:
    """Columns of what all families make of features and hidden units."""
    found = [
        [predicted(features, n_dense, family) for family in FAMILIES]
        for features, n_dense in tqdm(points, desc="theory")
    ]
    return {
        name: (_axes(np.ndim(value), ("family",)), np.array([[x[name] for x in y] for y in found]))
        for name, value in found[0][0].items()
    }


def renewed(kept: xr.Dataset) -> xr.Dataset:
    """The same models beside the theory of today."""
    laws, n_dense = kept["law"].values.tolist(), kept["n_dense"].values.tolist()
    points = [(features_of(law), n) for law, n in zip(laws, n_dense, strict=True)]
    return kept.assign(theory(points)).assign_attrs(rugtheory=rt.__version__)


def compare(points: Sequence[Point]) -> xr.Dataset:
    """All points with what theory says of each."""
    reached = [measured(point) for point in tqdm(points, desc="trained")]
    columns: dict[str, Any] = {
        name: ("point", np.array([getattr(x.spec, name) for x in points]))
        for name in ("law", "n_dense", "seed", "protocol")
    }
    for name, value in reached[0].items():
        columns[name] = _axes(np.ndim(value), ()), np.array([x[name] for x in reached])
    columns |= theory([(point.spec.features, point.spec.n_dense) for point in points])
    small = min(point.spec.n_dense for point in points)
    kept = [k for k, point in enumerate(points) if point.spec.n_dense == small]
    columns["kept"] = "small", np.array(kept)
    for name, axes in (("w_in", ("unit", "feature")), ("w_out", ("feature", "unit"))):
        weights = [getattr(points[k].model, name) for k in kept]
        columns[name] = ("small", *axes), np.stack(weights).astype(np.float32)
    biases = np.stack([points[k].model.b for k in kept])
    columns["b"] = ("small", "feature"), biases.astype(np.float32)
    return xr.Dataset(columns, {"family": list(FAMILIES)}, {"rugtheory": rt.__version__})


def _axes(dimensions: int, more: tuple[str, ...]) -> tuple[str, ...]:
    return ("point", *more, *(("feature",) if dimensions else ()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(prog="python -m validation.unequal")
    parser.add_argument(
        "sweep",
        type=Path,
        help="folder of a finished sweep, or a file kept of one, whose theory is computed anew",
    )
    parser.add_argument("--out", type=Path, required=True, help="netCDF file")
    add_overwrite(parser)
    return guarded(parser, parser.parse_args(arguments), _run)


def _run(options: argparse.Namespace) -> None:
    file = options.sweep.is_file()
    told = {options.sweep.name: digest(options.sweep)} if file else digests(options.sweep)
    with writing(
        {options.out: {"command": "validation unequal"} | told}, overwrite=options.overwrite
    ):
        if file:
            data = renewed(xr.load_dataset(options.sweep))
        else:
            data = compare(points_of(options.sweep))
        packed = {name: {"zlib": True} for name, x in data.items() if x.dtype.kind in "fi"}
        with replacing(options.out) as partial:
            data.to_netcdf(partial, engine="h5netcdf", encoding=packed)
    print(f"wrote {options.out}, {data.sizes['point']} models")


if __name__ == "__main__":
    sys.exit(main())
