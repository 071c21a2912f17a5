"""The command `rugtheory`: a file a command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .. import __version__
from . import (
    allocate,
    curves,
    darkmatter,
    decoders,
    figures,
    minimize,
    optimum,
    rug,
    scaling,
    weights,
)
from .running import guarded
from .shared import Parser

# In the order of the help text; each has `add(commands)`.
COMMANDS = (
    curves,
    optimum,
    decoders,
    scaling,
    allocate,
    figures,
    rug,
    weights,
    minimize,
    darkmatter,
)

_CITATION = f"""\
@article{{cowsik2024persian,
  title   = {{The Persian Rug: solving toy models of superposition using large-scale symmetries}},
  author  = {{Cowsik, Aditya and Dolev, Kfir and Infanger, Alex}},
  journal = {{arXiv:2410.12101}},
  year    = {{2024}}
}}
@software{{rugtheory,
  title   = {{rugtheory: theory of toy models of superposition}},
  author  = {{{{The rugtheory developers}}}},
  version = {{{__version__}}},
  year    = {{2026}}
}}"""

_EXAMPLES = """\
examples:
  rugtheory curves --simulate 2000
  rugtheory curves --p 0.01 0.045 --ratio 0.1 0.25 0.5 --out small
  rugtheory curves --grid paper
  rugtheory optimum --p 0.045 --ratio 0.25 --json
  rugtheory decoders --p 1e-6 1e-4 0.01 --ratio 0.5 --figure decoders.png
  rugtheory scaling --power 0.5 --figure scaling.png
  rugtheory allocate --zipf 1.2 --n-sparse 100000 --n-dense 512 --figure allocation.png
  rugtheory figures --out figures --only phases decoders
  rugtheory weights model.safetensors --p 0.045 --figure weights.png
  rugtheory minimize --n-sparse 128 --n-dense 32 --p 0.045 --out minimum.safetensors
  rugtheory darkmatter acts.npy --sae saes/ --contexts contexts.npy --tokens tokens.npy
  rugtheory rug --n-sparse 256 --n-dense 40 --seed 0 --out rug.safetensors --figure rug.png
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 2 after one line on bad input, 130 after Ctrl-C."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.citation:
        print(_CITATION)
        return 0
    if options.run is None:
        parser.error("a command is needed, such as curves (see --help)")
    return guarded(parser, options, options.run)


def make_parser() -> argparse.ArgumentParser:
    """Everything the command line understands."""
    parser = Parser(
        prog="rugtheory",
        description="Theory of toy models of superposition.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rugtheory {__version__}")
    parser.add_argument("--citation", action="store_true", help="how to cite, as BibTeX")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", parser_class=Parser)
    for command in COMMANDS:
        command.add(commands)
    return parser
