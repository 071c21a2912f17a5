"""The command `python -m validation collect`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rugtheory._files import add_overwrite, replacing, writing
from rugtheory.cli.shared import add_command

from ..collect import collect, digests


def add(commands: Any) -> None:
    """The command collect."""
    parser = add_command(
        commands, "collect", run, "gather the finished points of a sweep into one netCDF file"
    )
    parser.add_argument("folder", type=Path, help="where the sweep wrote its points")
    parser.add_argument("--out", type=Path, required=True, help="netCDF file to write")
    parser.set_defaults(suffix=".nc")
    add_overwrite(parser)


def run(options: argparse.Namespace) -> None:
    made = {"command": "validation collect"} | digests(options.folder)
    with writing({options.out: made}, overwrite=options.overwrite):
        data = collect(options.folder)
        with replacing(options.out) as partial:
            data.to_netcdf(partial, engine="h5netcdf")
    print(f"wrote {options.out}, {data.sizes['point']} points")
