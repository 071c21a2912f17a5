"""The command `python -m validation train`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from tqdm import tqdm

import rugtheory as rt
from rugtheory._files import add_overwrite, replacing, writing
from rugtheory.cli.shared import add_command
from rugtheory.source.files import text_of

from ..spec import PROTOCOLS, Spec, gain
from ..sweep import evaluate, tensors
from ..training import train
from .shared import N_SPARSE, P, add_machine, add_point, hidden_units


def add(commands: Any) -> None:
    """The command train."""
    parser = add_command(commands, "train", run, "train one model and print its exact loss")
    parser.add_argument(
        "--features", type=Path, metavar="FILE", help="TOML file of a law of features"
    )
    parser.add_argument("--n-sparse", type=int, help=f"number of features ({N_SPARSE})")
    add_point(parser)
    parser.set_defaults(p=None)  # --features has its own
    parser.add_argument("--steps", type=int, default=2000, help="steps of the first round (2000)")
    parser.add_argument(
        "--rounds", type=int, default=4, help="rounds at most, each twice as long (4)"
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="converged",
        help="converged: until a round changes the loss by less than 1 %% (default); paper: until "
        "100 steps do not lower the loss; constant: all steps of one size, none left out; descent: "
        "on the exact loss, without samples; rare: the same from couplings of low pair energy; "
        "best: from the best weights known with the cap; "
        "continued: the same after converged; law: the same from the weights of a row law",
    )
    parser.add_argument(
        "--max-coupling",
        type=float,
        default=10.0,
        help="cap on the couplings |W_ij|/W_ii of descents (10)",
    )
    parser.add_argument("--tied", action="store_true", help="keep W_out the transpose of W_in")
    add_machine(parser)
    parser.add_argument("--half", action="store_true", help="store the weights in float16")
    parser.add_argument("--out", type=Path, help="safetensors file to write")
    parser.set_defaults(suffix=".safetensors")
    add_overwrite(parser)


def run(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    device = options.device
    n_sparse, p, law = _features(options)
    spec = Spec(
        n_sparse,
        hidden_units(n_sparse, options.ratio),
        p,
        seed=options.seed,
        steps=options.steps,
        protocol=options.protocol,
        tied=options.tied,
        rounds=options.rounds,
        law=law,
        max_coupling=options.max_coupling,
    )
    made = {"command": "validation train", "half": options.half} | spec.settings()
    files = {} if options.out is None else {options.out: made}
    with writing(files, overwrite=options.overwrite):
        with tqdm(total=spec.most_steps, desc="training", unit="step") as bar:
            (trained,) = train([spec], device=device, progress=lambda step: bar.update())
        if options.half:
            halved = {k: getattr(trained, k).astype("float16") for k in ("w_in", "w_out", "b")}
            trained = replace(trained, **halved)
        result = evaluate(trained, device)
        print(json.dumps(result | _theory(spec), indent=1))
        fell = gain(trained.rounds)
        if spec.tolerance <= fell < np.inf:
            print(
                f"note: the last round still lowered the loss by {100 * fell:.2g} %, more --rounds "
                "would lower it further",
                file=sys.stderr,
            )
        if options.out is not None:
            about = {"command": "python -m validation train", "result": json.dumps(result)}
            with replacing(options.out) as partial:
                save_file(tensors(trained), partial, about)
            print(f"wrote {options.out}", file=sys.stderr)


def _features(options: argparse.Namespace) -> tuple[int, float, str]:
    """Number, mean probability and TOML of the features; no TOML of those that are all alike."""
    if options.features is None:
        p = P if options.p is None else options.p
        return N_SPARSE if options.n_sparse is None else options.n_sparse, p, ""
    for name in ("p", "n_sparse"):
        if getattr(options, name) is not None:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} goes without --features, which has its own")
    features = rt.read_features(options.features)
    return len(features), float(features.on_probability.mean()), text_of(features)


def _theory(spec: Spec) -> dict[str, Any]:
    """What the loss is compared with: nothing, if features depend on each other."""
    if not spec.law:
        ratio = spec.n_dense / spec.n_sparse
        best = rt.best_known(spec.p, ratio)
        rug = float(rt.optimum(spec.p, ratio).loss)
        return {"rug": rug, "best_known": float(best.loss), "family": str(best.family)}
    if not spec.features.independent:
        return {}
    return {"allocation": float(rt.allocate(spec.features, spec.n_dense).loss)}
