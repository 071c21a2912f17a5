"""The command `python -m validation sweep`."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from rugtheory.cli.shared import add_command

from ..sweep import read_sweep
from ..sweep import run as train_missing
from ..workers import Workers
from .shared import add_device

# Seconds for a scheduler to answer.
_PATIENCE = 10


def add(commands: Any) -> None:
    """The command sweep."""
    parser = add_command(commands, "sweep", run, "train the models of a grid that are missing")
    parser.add_argument("spec", type=Path, help="TOML file of the grid")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the points to")
    parser.add_argument(
        "--workers", type=int, help="number of processes (one a core on a CPU, 2 on a GPU)"
    )
    parser.add_argument("--dask", metavar="ADDRESS", help="work on this Dask scheduler instead")
    add_device(parser)
    parser.add_argument(
        "--group", type=int, help="number of models in a job (1 on a CPU, 16 on a GPU)"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=math.inf,
        help="after these descents stop where they are and nothing more is begun (no limit)",
    )


def run(options: argparse.Namespace) -> None:
    sweep = read_sweep(options.spec)
    group = options.group or (16 if options.device.startswith("cuda") else 1)

    def progress(futures: Iterable[Any], total: int) -> Iterable[Any]:
        yield from tqdm(futures, total=total, desc=str(options.out), unit="job")

    with _executor(options) as executor:
        train_missing(
            sweep,
            options.out,
            executor,
            device=options.device,
            group=group,
            minutes=options.minutes,
            progress=progress,
        )


def _executor(options: argparse.Namespace) -> AbstractContextManager[Executor]:
    if options.dask is None:
        return Workers(
            options.workers or (2 if options.device.startswith("cuda") else os.cpu_count() or 1)
        )
    from distributed import Client

    try:
        executor: Executor = Client(options.dask, timeout=_PATIENCE).get_executor()
    except OSError as error:
        raise OSError(f"--dask {options.dask}: no scheduler answers there") from error
    return executor
