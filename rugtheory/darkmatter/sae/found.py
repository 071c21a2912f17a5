"""Decoders in folders: which there are, and names for them that tell them apart."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from .files import advice, is_there
from .read import FORMATS


def decoders_in(places: Iterable[str | Path]) -> dict[str, Path]:
    """The decoders at `places`, by name.

    A place is a decoder, a pattern of decoders, or a folder with decoders in it at any depth, and
    ``NAME=PATH`` gives one its name.  A decoder is otherwise called by the last part of its path;
    if that is not enough to tell all apart, by the parts that differ.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If there is no decoder in it, or two get one name.
    """
    named: dict[str, Path] = {}
    found: dict[Path, Path] = {}
    called: dict[Path, str] = {}
    for place in map(str, places):
        name, equals, given = place.partition("=")
        if equals and not Path(place).exists():
            if not name or Path(name).name != name:
                raise ValueError(f"NAME of NAME=PATH must be the name of a file, got {place!r}")
            if not Path(given).exists():
                raise FileNotFoundError(f"no such file or folder: {given}")
            if name in named:
                raise ValueError(f"two decoders are called {name}: {named[name]} and {given}")
            named[name] = _folder_of(Path(given))
            continue
        here = _at(place)
        for one in here:
            if one.resolve() in found:
                raise ValueError(f"a decoder is given twice: {one} and {found[one.resolve()]}")
            found[one.resolve()] = one
        called |= _names([one.resolve() for one in here])
    for name, count in Counter(called.values()).items():
        if count > 1:  # at several places
            some = [path for path in called if called[path] == name]
            parts = _differing(some)
            called |= {path: "_".join([*parts[path], name]) for path in some}
    for path, name in called.items():
        if name in named:
            raise ValueError(f"two decoders are called {name}: {named[name]} and {found[path]}")
        named[name] = found[path]
    return named


def _at(place: str) -> list[Path]:
    """The decoders at a place, in folders the ones nearest the top of each branch."""
    path = Path(place)
    if not path.exists():
        if not glob.has_magic(place):
            raise FileNotFoundError(f"no such file or folder: {place}")
        some = [Path(one) for one in sorted(glob.glob(place, recursive=True))]
        if not some:
            raise FileNotFoundError(f"no file or folder like {place}")
        return list(dict.fromkeys(one for part in some for one in _at(str(part))))
    path = _folder_of(path)
    if path.is_file() or is_decoder(path):
        return [path]
    inside = [one for part in sorted(path.iterdir()) for one in _inside(part)]
    if not inside:
        raise ValueError(
            f"{path} holds no decoder: no .npz file, and no folder with one of "
            f"{', '.join(FORMATS)} at any depth{advice(path)}"
        )
    return inside


def _inside(path: Path) -> list[Path]:
    if path.name.startswith("."):
        return []
    if path.is_file():
        return [path] if path.suffix == ".npz" else []
    if not path.is_dir():
        return []
    if is_decoder(path):
        return [path]
    return [one for part in sorted(path.iterdir()) for one in _inside(part)]


def is_decoder(folder: Path) -> bool:
    """Whether a folder looks like a decoder, whole or not: what is broken is to be named."""
    return (folder / "cfg.json").is_file() or any(is_there(folder / name) for name in FORMATS)


def _folder_of(path: Path) -> Path:
    """The folder of a file that has the name of its format, which says nothing of the decoder."""
    return path.absolute().parent if path.name in FORMATS and path.is_file() else path


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """The last parts of resolved paths, or the parts that are not the same in all and the last."""
    last = {path: path.stem if path.is_file() else path.name for path in paths}
    if len(set(last.values())) == len(paths):
        return last
    return {path: "_".join([*parts, last[path]]) for path, parts in _differing(paths).items()}


def _differing(paths: Sequence[Path]) -> dict[Path, list[str]]:
    """The parts of paths above the last that are not the same in all, aligned at the end.

    The folder that all are in is left out first, since paths need not be of one length.
    """
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    below = {path: path.relative_to(folder).parts for path in paths}
    depth = max(map(len, below.values()))
    padded = {path: [""] * (depth - len(parts)) + [*parts] for path, parts in below.items()}
    differ = [k for k in range(depth - 1) if len({parts[k] for parts in padded.values()}) > 1]
    return {path: [parts[k] for k in differ if parts[k]] for path, parts in padded.items()}
