"""What commands share: options, the record of their settings, and how they write."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn

from .._files import digest, writing
from ..source.amplitude import Amplitude
from ..source.features import Features
from ..source.files import read_features
from ..source.identical import Identical
from ..source.laws import LAWS, law_text, read_law
from ..source.uniform import Uniform

# What options of several commands mean.
P = "probability that a feature is on"
RATIO = "hidden units a feature, n_dense/n_sparse"


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], does: str
) -> argparse.ArgumentParser:
    """A command, what it does in the list of all and in its own help, and what runs it."""
    says = f"{does[0].upper()}{does[1:]}."
    parser: argparse.ArgumentParser = commands.add_parser(name, help=does, description=says)
    parser.set_defaults(run=run)
    return parser


def add_amplitude(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--amplitude",
        type=_amplitude,
        default=Uniform(),
        metavar="LAW",
        help=f"law of a feature that is on: {', '.join(LAWS)}, with parameters as in beta:2,3 "
        "(uniform:0,1)",
    )


def _amplitude(text: str) -> Amplitude:
    try:
        return read_law(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def features_of(options: argparse.Namespace, n_sparse: int) -> Features:
    """Those of --features FILE, or `n_sparse` features that are all alike, by --p."""
    if options.features is None:
        return Identical(n_sparse, options.p, options.amplitude)
    if options.amplitude != Uniform():
        raise ValueError("--amplitude goes with --p; --features FILE has amplitudes of its own")
    return read_features(options.features)


def settings(command: str, options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """What goes into a result: the settings of these names, and the contents of files."""
    found: dict[str, Any] = {"command": f"rugtheory {command}"}
    for name in names:
        value = getattr(options, name)
        if isinstance(value, Path):
            value = digest(value)
        found[name] = law_text(value) if isinstance(value, Amplitude) else value
    return found


def output(
    options: argparse.Namespace,
    outputs: Mapping[Path | None, Mapping[str, Any]],
    folders: Iterable[Path] = (),
) -> AbstractContextManager[None]:
    """Checks all outputs that are asked for before the work, pictures for their suffix too."""
    given = {path: made for path, made in outputs.items() if path is not None}
    if getattr(options, "figure", None) is not None:
        from .._style import check_suffix

        check_suffix(options.figure)
    return writing(given, overwrite=options.overwrite, folders=folders)


def draw_file(path: Path, draw: Any, panels: tuple[int, int] = (1, 1)) -> None:
    from .._style import save

    size = (2 + 5 * panels[1], 1.2 + 4 * panels[0])
    save(path, lambda figure: draw(figure.subplots(*panels)), size)
