"""How commands read the weights of a model."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

from ..model.model import Model
from ..model.reading import UnclearWeights, read_weights


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Options that say what is what in a file of weights."""
    parser.add_argument(
        "--names",
        nargs="+",
        metavar="ROLE=NAME",
        help="what the file calls W_in, W_out, W (tied), b or b_in, where that is not clear",
    )
    parser.add_argument("--ignore", nargs="+", metavar="NAME", help="tensors to pass over")
    parser.add_argument("--instance", type=int, help="number of the model, if the file holds many")


def read_model(path: Path, options: argparse.Namespace) -> Model:
    """The model in a file; what was taken for what, if that is in doubt, is said on stderr."""
    names: dict[str, str] = {}
    for text in options.names or ():
        role, equals, name = text.partition("=")
        if not equals or role in names:
            raise ValueError(f"--names must be ROLE=NAME, each role once, got {text!r}")
        names[role] = name
    ignore, instance = tuple(options.ignore or ()), options.instance
    assert instance is None or isinstance(instance, int)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        try:
            model = read_weights(path, names=names or None, ignore=ignore, instance=instance)
        except UnclearWeights as error:
            raise ValueError(error.problem + _remedy(error)) from None
    for one in said:
        print(f"note: {one.message}", file=sys.stderr)
    return model


def _remedy(error: UnclearWeights) -> str:
    if not error.names or not all(isinstance(name, str) for name in error.names.values()):
        return ""
    names = " ".join(f"{role}={name}" for role, name in error.names.items())
    ignore = f" --ignore {' '.join(error.ignore)}" if error.ignore else ""
    return f"; it would be read with --names {names}{ignore}"
