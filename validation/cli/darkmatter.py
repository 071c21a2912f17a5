"""The command `python -m validation darkmatter`."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from rugtheory._files import add_overwrite, writing
from rugtheory.cli.shared import add_command


def add(commands: Any) -> None:
    """The command darkmatter."""
    parser = add_command(
        commands,
        "darkmatter",
        run,
        "take activations of a transformer, train SAEs on them, and report",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write; a killed run goes on there"
    )
    parser.add_argument(
        "--training", type=int, default=200_000, help="number of tokens to train on (200000)"
    )
    parser.add_argument(
        "--held-out", type=int, default=100_000, help="number of tokens to report on (100000)"
    )
    parser.add_argument(
        "--steps", type=int, default=600, help="steps of the training of each SAE (600)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the weights and rows of SAEs (0)"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of the transformer (1)")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="processes that train SAEs (one a core)"
    )
    parser.add_argument(
        "--parts", action="store_true", help="report on the parts of errors instead"
    )
    add_overwrite(parser)


def run(options: argparse.Namespace) -> None:
    from ..darkmatter import Plan
    from ..darkmatter import run as run_plan
    from ..parts import run_parts

    torch.set_num_threads(options.threads)
    plan = Plan(options.out, options.training, options.held_out, options.steps, options.seed)
    made = {k: v for k, v in asdict(plan).items() if k != "out"}
    made["command"] = "validation darkmatter" + (" --parts" if options.parts else "")
    if options.parts:
        file = options.out / "parts.json"
        with writing({file: made}, overwrite=options.overwrite, folders=[options.out]):
            run_parts(plan, tqdm)
        print(f"wrote {file}")
        return
    file = options.out / "darkmatter.json"
    with writing({file: made}, overwrite=options.overwrite, folders=[options.out]):
        kept = run_plan(plan, workers=options.workers, bar=tqdm)
    print(json.dumps(kept["seconds"], indent=1))
    print(f"wrote {file} and {options.out / 'report'}")
