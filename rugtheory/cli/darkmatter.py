"""The command `rugtheory darkmatter`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .._files import add_overwrite
from .shared import add_command


def add(commands: Any) -> None:
    """The command darkmatter."""
    parser = add_command(
        commands, "darkmatter", run, "report on what sparse autoencoders leave unexplained"
    )
    parser.add_argument(
        "acts", help="activations: .npy, .safetensors or .pt, FILE:NAME of several, or a pattern"
    )
    parser.add_argument(
        "--sae",
        nargs="+",
        required=True,
        metavar="[NAME=]PATH",
        help="decoders, patterns of them, or folders with some at any depth (SAELens, Gemma Scope, "
        "sparsify, dictionary_learning)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("darkmatter"), help="folder to write (darkmatter)"
    )
    parser.add_argument("--targets", help="what transcoders predict, in a file like ACTS")
    parser.add_argument("--contexts", help="label of each row's context, in a file like ACTS")
    parser.add_argument("--tokens", help="label of each row's token, in a file like ACTS")
    parser.add_argument(
        "--drop-first",
        type=int,
        default=0,
        metavar="N",
        help="leave out the first N rows of each context (0)",
    )
    parser.add_argument(
        "--drop-norm", type=float, metavar="X", help="leave out rows longer than X times the median"
    )
    parser.add_argument(
        "--drop-token",
        nargs="+",
        default=[],
        metavar="TOKEN",
        help="leave out rows of these tokens",
    )
    parser.add_argument("--drop", help="rows to leave out, 1 or true, in a file like ACTS")
    parser.add_argument(
        "--component",
        action="append",
        default=[],
        metavar="NAME=FILE[,SAE]",
        help="activations, or a decoder's reconstruction of them, to regress errors on",
    )
    parser.add_argument(
        "--features", help="directions that synthetic activations are made of, in a file like ACTS"
    )
    parser.add_argument(
        "--weights", help="weights of the directions of --features in each row, in a file like ACTS"
    )
    parser.add_argument(
        "--baseline",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="numbers of the rows, such as the loss on each token, to predict error norms from",
    )
    parser.add_argument(
        "--pursuit", action="store_true", help="also code activations by gradient pursuit; slow"
    )
    parser.add_argument(
        "--align", action="store_true", help="also compare the norm probe with latents; slow"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the report as JSON, with all digits"
    )
    parser.add_argument(
        "--l0",
        nargs="+",
        type=float,
        default=[],
        help="compare widths by the decoders of L0 nearest to these",
    )
    parser.add_argument(
        "--input-scale", type=float, help="factor on activations before decoders see them"
    )
    parser.add_argument(
        "--test-fraction", type=float, default=0.25, help="part of the rows held out (0.25)"
    )
    parser.add_argument(
        "--convention",
        choices=("centred", "paper"),
        default="centred",
        help="fit linear maps with an intercept (centred) or as scripts of the paper do (paper)",
    )
    parser.add_argument("--bootstrap", type=int, default=200, help="number of resamplings (200)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the split and of resamplings (0)"
    )
    add_overwrite(parser)


def run(options: argparse.Namespace) -> None:
    # What it needs would make every command start later.
    from .dark_report import report

    report(options)
