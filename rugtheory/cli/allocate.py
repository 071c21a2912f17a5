"""The command `rugtheory allocate`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from .. import _check
from .._files import add_overwrite
from ..source.features import Features
from ..source.files import read_features
from ..source.independent import Independent, geometric, zipf
from ..source.uniform import Uniform
from ..structure.allocation import NAMES, allocate
from ..structure.best import MAX_COUPLING
from ..theory.allocation import Allocation
from .shared import add_amplitude, add_command, draw_file, output, settings

_ROWS = 12


def add(commands: Any) -> None:
    """The command allocate."""
    parser = add_command(
        commands, "allocate", run, "how features that differ share the hidden units"
    )
    law = parser.add_mutually_exclusive_group(required=True)
    law.add_argument(
        "--zipf", type=float, metavar="ALPHA", help="exponent of frequencies C i^-ALPHA"
    )
    law.add_argument("--features", type=Path, metavar="FILE", help="TOML file of a law of features")
    parser.add_argument(
        "--largest", type=float, default=0.1, help="C, the frequency of the first feature (0.1)"
    )
    parser.add_argument("--n-sparse", type=int, help="number of features, with --zipf")
    parser.add_argument(
        "--importance",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="importances FACTOR^i, with --zipf (1)",
    )
    parser.add_argument("--n-dense", type=float, required=True, help="number of hidden units")
    parser.add_argument(
        "--family",
        choices=NAMES,
        default="gaussian",
        help=(
            "how features are stored: rugs (gaussian, the default), rugs of pairs (pairs), "
            "or the best structure known (best)"
        ),
    )
    parser.add_argument(
        "--max-coupling",
        type=float,
        default=MAX_COUPLING,
        help=f"cap on couplings, with --family best ({MAX_COUPLING:g})",
    )
    parser.add_argument(
        "--json", action="store_true", help="print all features as JSON, with all digits"
    )
    parser.add_argument("--figure", type=Path, help="picture to write")
    add_overwrite(parser)
    add_amplitude(parser)


def run(options: argparse.Namespace) -> None:
    features = _features(options)
    names = (
        "zipf",
        "features",
        "largest",
        "n_sparse",
        "importance",
        "n_dense",
        "family",
        "max_coupling",
    )
    made = settings("allocate", options, *names, "amplitude")
    family = {"family": options.family, "max_coupling": options.max_coupling}
    with output(options, {options.figure: made}):
        found = allocate(features, options.n_dense, **family)
        if options.json:
            print(json.dumps(_report(found, features), indent=1))
        else:
            _show(found, features)
        if options.figure is not None:
            _draw(found, features, options)


def _features(options: argparse.Namespace) -> Features:
    if options.features is not None:
        given = {
            "--n-sparse": options.n_sparse is not None,
            "--largest": options.largest != 0.1,
            "--importance": options.importance != 1,
            "--amplitude": options.amplitude != Uniform(),
        }
        for name, there in given.items():
            if there:
                raise ValueError(f"{name} goes with --zipf; --features FILE has all that is needed")
        return read_features(options.features)
    if options.n_sparse is None:
        raise ValueError("--n-sparse must be given with --zipf")
    n = _check.count("--n-sparse", options.n_sparse, 1)
    p = zipf(n, options.largest, alpha=_check.scalar("--zipf", options.zipf))
    importance = geometric(n, _check.tolerance("--importance", options.importance))
    return Independent(p, options.amplitude, importance)


def _report(found: Allocation, features: Features) -> dict[str, Any]:
    report = {name: getattr(found, name) for name in ("family", "n_dense", "loss", "bound")}
    report |= {"error": found.error, "multiplier": found.multiplier}
    columns = {"p": features.on_probability, "importance": features.importance}
    columns |= {name: getattr(found, name) for name in ("capacity", "a", "b", "losses", "sigma")}
    # JSON has no infinity, of features that are dropped, and no NaN, of those in other structures.
    return report | {
        name: [y if np.isfinite(y) else None for y in x.tolist()] for name, x in columns.items()
    }


def _show(found: Allocation, features: Features) -> None:
    c = found.capacity
    summary = {
        "features": c.size,
        "hidden units": found.n_dense,
        "dropped": int(found.dropped.sum()),
        "in superposition": int(np.sum((c > 0) & (c < 1))),
        "alone": int(np.sum(c == 1)),
        "loss": found.loss,
        "no less than": found.bound,
        "loss if all were dropped": float(np.mean(features.importance * features.variance)),
        "one more hidden unit saves": found.multiplier,
    }
    for name, value in summary.items():
        print(f"{name:28} {value:.6g}")
    names = ("feature", "p", "importance", "capacity", "sigma", "a", "b", "loss")
    print("".join(f"{name:>12}" for name in names))
    # By frequency, from the commonest to the rarest.
    order = np.argsort(-features.on_probability, kind="stable")
    shown = np.unique(np.rint(np.geomspace(1, c.size, _ROWS)).astype(int)) - 1
    for i in order[shown]:
        given = features.on_probability[i], features.importance[i], c[i]
        values = *given, found.sigma[i], found.a[i], found.b[i], found.losses[i]
        print(f"{i:12d}" + "".join(f"{x:12.5g}" for x in values))


def _draw(found: Allocation, features: Features, options: argparse.Namespace) -> None:
    from ..figures import draw_allocation

    draw_file(options.figure, lambda axes: draw_allocation(found, features, axes))
    if not options.json:
        print(f"wrote {options.figure}")
