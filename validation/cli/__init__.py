"""The command `python -m validation`: a file a command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rugtheory.cli.running import guarded
from rugtheory.cli.shared import Parser

from . import collect, darkmatter, fit, path, report, sweep, train
from .shared import check

# In the order of the help text; each has `add(commands)`.
COMMANDS = (train, sweep, collect, path, fit, report, darkmatter)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 2 after one line on bad input, 130 after Ctrl-C."""
    parser = make_parser()
    options = parser.parse_args(arguments)

    def work(options: argparse.Namespace) -> None:
        check(options)
        options.run(options)

    return guarded(parser, options, work)


def make_parser() -> argparse.ArgumentParser:
    """Everything the command line understands."""
    parser = Parser(prog="python -m validation")
    parser.set_defaults(suffix=None)
    commands = parser.add_subparsers(required=True, metavar="command", parser_class=Parser)
    for command in COMMANDS:
        command.add(commands)
    return parser
