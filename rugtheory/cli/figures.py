"""The command `rugtheory figures`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import _check
from .._files import add_overwrite
from .shared import add_command, output, settings
from .weight_files import add_reading, read_model


def add(commands: Any) -> None:
    """The command figures."""
    parser = add_command(commands, "figures", run, "draw the figures of the paper, and more")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="draw these figures only")
    parser.add_argument("--data", type=Path, metavar="FILE", help="netCDF file of trained models")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="file of a trained model")
    parser.add_argument("--p", type=float, default=0.045, help="p that it was trained for (0.045)")
    parser.add_argument(
        "--format", choices=["png", "svg", "pdf"], default="png", help="png, svg or pdf (png)"
    )
    add_reading(parser)
    add_overwrite(parser)


def run(options: argparse.Namespace) -> None:
    from ..figures.gallery import chosen, write_figures
    from ..figures.picture import Given
    from ..figures.trained_pictures import TRAINED, read_trained

    trained = None if options.data is None else read_trained(options.data)
    model = None if options.weights is None else read_model(options.weights, options)
    given = Given(_check.scalar("p", _check.probability("p", options.p)), trained, model)
    outputs: dict[Path | None, dict[str, Any]] = {}
    for name in chosen(given, options.only):
        made = settings("figures", options, "p", "weights", *(["data"] if name in TRAINED else []))
        told = [x for x in ("names", "ignore", "instance") if getattr(options, x) is not None]
        made |= settings("figures", options, *told)
        for suffix in ("nc", options.format):
            outputs[options.out / f"{name}.{suffix}"] = made | {"figure": name}
    with output(options, outputs, [options.out]):
        for line in write_figures(options.out, given, only=options.only, suffix=options.format):
            print(line, flush=True)
