"""The command `rugtheory optimum`."""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from ..theory.bounds import linear_loss
from ..theory.optimum import optimum
from .shared import RATIO, P, add_amplitude, add_command


def add(commands: Any) -> None:
    """The command optimum."""
    parser = add_command(commands, "optimum", run, "least loss of a rug, with its a and b")
    parser.add_argument("--p", type=float, nargs="+", required=True, help=P)
    channel = parser.add_mutually_exclusive_group(required=True)
    channel.add_argument("--ratio", type=float, nargs="+", help=RATIO)
    channel.add_argument(
        "--sigma",
        type=float,
        nargs="+",
        help="deviation of the interference per unit diagonal, instead of the least at a ratio",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a list of objects as JSON, with all digits"
    )
    add_amplitude(parser)


def run(options: argparse.Namespace) -> None:
    p = np.array(options.p)[:, None]
    given = {name: getattr(options, name) for name in ("ratio", "sigma") if getattr(options, name)}
    best = optimum(p, **{k: np.array(x) for k, x in given.items()}, amplitude=options.amplitude)
    columns = {"p": best.p, "ratio": best.ratio, "sigma": best.sigma}
    columns |= {"a": best.a, "b": best.b, "loss": best.loss}
    if best.ratio is not None:
        columns["linear_loss"] = linear_loss(best.p, best.ratio, amplitude=options.amplitude)
    known = {name: np.ravel(x).tolist() for name, x in columns.items() if x is not None}
    rows = [dict(zip(known, row, strict=True)) for row in zip(*known.values(), strict=True)]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print("  ".join(f"{name:>16}" for name in known))
    for row in rows:
        print("  ".join(f"{x:16.10g}" for x in row.values()))
