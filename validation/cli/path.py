"""The command `python -m validation path`."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from tqdm import tqdm

from rugtheory._files import add_overwrite, replacing, writing
from rugtheory.cli.shared import add_command

from ..path import follow
from ..spec import Spec
from .shared import N_SPARSE, add_machine, add_point, hidden_units


def add(commands: Any) -> None:
    """The command path."""
    parser = add_command(
        commands, "path", run, "loss and statistics of a model against the number of steps"
    )
    parser.add_argument(
        "--n-sparse",
        type=int,
        nargs="+",
        default=[N_SPARSE],
        help=f"numbers of features; each has a file ({N_SPARSE})",
    )
    add_point(parser)
    parser.add_argument(
        "--steps", type=int, default=20_000, help="number of steps, all of one size (20000)"
    )
    add_machine(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write netCDF files to")
    parser.add_argument(
        "--json", action="store_true", help="print a list of objects as JSON, with all digits"
    )
    add_overwrite(parser)


def run(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    device = options.device
    specs = {
        options.out / f"path_{n_sparse}.nc": Spec(
            n_sparse,
            hidden_units(n_sparse, options.ratio),
            options.p,
            seed=options.seed,
            steps=options.steps,
            rounds=1,
            protocol="constant",
        )
        for n_sparse in options.n_sparse
    }
    followed: list[xr.Dataset] = []
    made = {file: {"command": "validation path"} | spec.settings() for file, spec in specs.items()}
    with writing(made, overwrite=options.overwrite, folders=[options.out]):
        for file, spec in specs.items():
            with tqdm(total=spec.steps, desc=f"n_sparse {spec.n_sparse}", unit="step") as bar:
                data = follow(spec, device=device, progress=partial(_one_more, bar))
            with replacing(file) as unfinished:
                data.to_netcdf(unfinished, engine="h5netcdf")
            followed.append(data)
            if not options.json:
                print(data.to_dataframe().to_string())
                print(
                    f"rug {data.rug:.6g}, antipodal {data.antipodal:.6g}, "
                    f"paper stops {data.paper_stop}"
                )
                print(f"wrote {file}")
    if options.json:
        print(json.dumps([row for data in followed for row in _rows(data)], indent=1))


def _one_more(bar: tqdm[Any], step: int) -> None:
    bar.update()


def _rows(data: xr.Dataset) -> list[dict[str, Any]]:
    """What is known after each number of steps, None in place of NaN."""
    frame = data.to_dataframe().reset_index().assign(n_sparse=data.n_sparse)
    return [
        {name: None if x != x else x for name, x in row.items()} for row in frame.to_dict("records")
    ]
