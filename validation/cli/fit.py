"""The command `python -m validation fit`."""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from tqdm import tqdm

import rugtheory as rt
from rugtheory.cli.shared import add_command

from ..fit import fit
from .shared import add_machine, add_point, hidden_units


def add(commands: Any) -> None:
    """The command fit."""
    parser = add_command(commands, "fit", run, "fit a and b alone on a fixed rug")
    parser.add_argument(
        "--n-sparse", type=int, default=4096, help="number of features of the rug (4096)"
    )
    add_point(parser)
    parser.add_argument("--steps", type=int, default=1500, help="steps of the fit (1500)")
    add_machine(parser)
    parser.add_argument(
        "--json", action="store_true", help="print an object as JSON, with all digits"
    )


def run(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    n_dense = hidden_units(options.n_sparse, options.ratio)
    rug = rt.hadamard_rug(options.n_sparse, n_dense, seed=options.seed)
    with tqdm(total=options.steps, desc="fitting", unit="step") as bar:
        found = fit(
            rug,
            options.p,
            steps=options.steps,
            seed=options.seed,
            device=options.device,
            progress=lambda step: bar.update(),
        )
    best = found.optimum
    if options.json:
        numbers = {name: getattr(found, name) for name in ("a", "b", "loss", "exact_at_optimum")}
        print(json.dumps(numbers | {"optimum": best.to_dict()}, indent=1))
        return
    print(f"{'':24}{'fitted':>14}{'optimum':>14}{'fitted/optimum - 1':>20}")
    for name in ("a", "b", "loss"):
        value, theory = getattr(found, name), float(getattr(best, name))
        print(f"{name:24}{value:14.6g}{theory:14.6g}{value / theory - 1:20.2e}")
    finite = found.exact_at_optimum / float(best.loss) - 1
    print(f"{'exact loss at optimum':24}{found.exact_at_optimum:28.6g}{finite:20.2e}")
