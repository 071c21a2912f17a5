"""The command `python -m validation report`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import xarray as xr

from rugtheory._files import add_overwrite, digest, writing
from rugtheory.cli.shared import add_command

from ..collect import collect, digests
from ..report import POINT, THEORY, VERDICT, outputs, read_paths, write_paths, write_report


def add(commands: Any) -> None:
    """The command report."""
    parser = add_command(commands, "report", run, "write tables and figures of collected results")
    parser.add_argument("data", type=Path, help="netCDF file, or the folder of a sweep")
    parser.add_argument("--paths", type=Path, nargs="+", help="netCDF files of the command path")
    parser.add_argument("--out", type=Path, default=Path("report"), help="folder to write (report)")
    add_overwrite(parser)


def run(options: argparse.Namespace) -> None:
    made: dict[str, Any] = {"command": "validation report"}
    if options.data.is_dir():
        data = collect(options.data)
        made |= digests(options.data)
    else:
        with xr.open_dataset(options.data) as file:
            data = file.load()
        _check_collected(options.data, data)
        made["data"] = digest(options.data)
    files: dict[Path, dict[str, Any]] = dict.fromkeys(outputs(data, options.out), made)
    paths = read_paths(options.paths or [])
    if options.paths:
        digests_of_paths = sorted(map(digest, options.paths))
        files[options.out / "path.png"] = {"command": made["command"], "paths": digests_of_paths}
    with writing(files, overwrite=options.overwrite, folders=[options.out]):
        written = write_report(data, options.out)
        if paths:
            written.append(write_paths(paths, options.out))
    for path in written:
        print(f"wrote {path}")


def _check_collected(path: Path, data: xr.Dataset) -> None:
    """Raise ValueError unless this is what the command collect writes."""
    needed = (*POINT, *THEORY, *VERDICT, "loss", "gain", "family", "steps_done")
    lacking = [name for name in needed if name not in data]
    if "point" not in data.dims or lacking:
        more = [f"{len(lacking) - 4} more"] * (len(lacking) > 4)
        raise ValueError(
            f"{path} must be what python -m validation collect writes, got a file without "
            f"{', '.join([*lacking[:4], *more]) or 'the dimension point'}"
        )
