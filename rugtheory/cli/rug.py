"""The command `rugtheory rug`."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .._files import add_overwrite, replacing
from ..structure.rug import Rug, hadamard_rug
from ..theory.optimum import optimum
from .shared import add_amplitude, add_command, draw_file, output, settings

RUG_SUFFIX = ".safetensors"


def add(commands: Any) -> None:
    """The command rug."""
    parser = add_command(commands, "rug", run, "make the weights of a Persian rug")
    parser.set_defaults(suffix=RUG_SUFFIX)
    parser.add_argument(
        "--n-sparse", type=int, required=True, help="number of features, a power of two"
    )
    parser.add_argument("--n-dense", type=int, required=True, help="number of hidden units")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of rows (0)")
    parser.add_argument("--p", type=float, help="optimise a and b for this p (else a = 1, b = 0)")
    parser.add_argument("--out", type=Path, help="safetensors file to write")
    parser.add_argument("--figure", type=Path, help="picture of W to write")
    parser.add_argument(
        "--json", action="store_true", help="print an object as JSON, with all digits"
    )
    add_overwrite(parser)
    add_amplitude(parser)


def run(options: argparse.Namespace) -> None:
    rug = hadamard_rug(options.n_sparse, options.n_dense, seed=options.seed)
    made = settings("rug", options, "n_sparse", "n_dense", "seed")
    ab = made | settings("rug", options, "p", "amplitude")
    if options.out is not None and options.out.suffix != RUG_SUFFIX:
        raise ValueError(f"--out must end in {RUG_SUFFIX}, got {options.out}")
    if options.out is not None and options.out == options.figure:
        raise ValueError(f"--out and --figure must be different files, got {options.out} twice")
    with output(options, {options.out: ab, options.figure: made}):
        _write_rug(rug, options)


def _write_rug(rug: Rug, options: argparse.Namespace) -> None:
    a, b, law = 1.0, 0.0, options.amplitude
    numbers: dict[str, float] = {
        "n_sparse": rug.n_sparse,
        "n_dense": rug.n_dense,
        "ratio": rug.ratio,
        "row sum": rug.row_sum,
        "Lyapunov statistic": rug.lyapunov,
    }
    if options.p is not None:
        best = optimum(options.p, rug.ratio, amplitude=law)
        a, b = float(best.a), rug.bias(float(best.b), float(best.a), options.p, amplitude=law)
        numbers |= {
            "p": options.p,
            "sigma": rug.sigma(options.p, amplitude=law),
            "skewness": rug.skewness(options.p, amplitude=law),
            "a": a,
            "bias": b,
            "loss in theory": float(best.loss),
        }
    # Both files appear, or none does.
    with ExitStack() as both:
        if options.out is not None:
            rug.save(both.enter_context(replacing(options.out)), a=a, b=b, seed=options.seed)
        if options.figure is not None:
            from ..figures import draw_rug

            draw_file(both.enter_context(replacing(options.figure)), lambda ax: draw_rug(rug, ax))
    if options.json:
        print(json.dumps(numbers, indent=1))
        return
    for name, value in numbers.items():
        print(f"{name:20} {value:.10g}")
    for path in (options.out, options.figure):
        if path is not None:
            print(f"wrote {path}")
