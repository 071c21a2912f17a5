"""Files that appear whole or not at all, and that replace only what may be replaced.

Commands follow one rule (`writing`): a file that exists is replaced only if it is, byte for byte,
what the same command wrote there before, and if the new one holds all that went into it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What commands wrote into a folder, from what.
RECORD = ".rugtheory.json"
_CHUNK = 2**22
_SHOWN = 3
# Folders are shared by machines, numbers of processes are not.
_MACHINE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]

_SAFETENSORS = {
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    **{f"I{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    "BOOL": "?",
    "BF16": "<u2",
}

MadeOf = Mapping[str, Any]


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; it becomes `path` if all goes well.

    An error that names the temporary file names `path` instead.  What killed processes of this
    machine have left of `path` is removed.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no such folder: {path.parent}")
    # The suffix stays last: savers choose their format by it.
    partial = path.with_name(f".{os.getpid()}-{_MACHINE}.partial.{path.name}")
    _remove_left(path)
    try:
        partial.touch()
        mode = (path if path.exists() else partial).stat().st_mode
        partial.unlink()
        yield partial
        # Some savers make files that nobody else can read.
        partial.chmod(mode)
        os.replace(partial, path)
    except Exception as error:
        _rename_in(error, partial, path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def _remove_left(path: Path) -> None:
    ending = f"-{_MACHINE}.partial.{path.name}"
    for name in os.listdir(path.parent):
        number = name[1 : -len(ending)]
        if name.endswith(ending) and number.isdecimal() and not _runs(int(number)):
            path.with_name(name).unlink(missing_ok=True)


def _runs(process: int) -> bool:
    """Whether a process runs; True where that cannot be asked without harm."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OverflowError, OSError):
        return True
    return True


def _rename_in(error: Exception, partial: Path, path: Path) -> None:
    def renamed(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.replace(os.fsencode(partial.name), os.fsencode(path.name))
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        return value.replace(partial.name, path.name) if isinstance(value, str) else value

    error.args = tuple(map(renamed, error.args))
    if isinstance(error, OSError):
        for name in ("filename", "filename2"):
            if getattr(error, name) is not None:
                setattr(error, name, renamed(getattr(error, name)))
        if error.filename2 is not None and error.filename2 == error.filename:  # of a renaming
            del error.filename2


@contextmanager
def writing(
    outputs: Mapping[Path, MadeOf], *, overwrite: bool = False, folders: Iterable[Path] = ()
) -> Iterator[None]:
    """Check, before the work is done, that a command may write its `outputs`; record them after.

    Parameters
    ----------
    outputs : mapping of Path to mapping
        Every file that may be written, and all that goes into it: the name of the command, its
        settings, digests of its input files.
    overwrite : bool
        Replace whatever is there.
    folders : iterable of Path
        Folders of outputs that are made if they are missing.  All others must exist.

    Raises
    ------
    FileExistsError
        If a file is there that no command recorded, that was changed since, or that was made of
        something else.  A file made of a part of what goes into the new one may be replaced: the
        new one holds it.
    OSError
        If a path is a folder, or its folder is missing or cannot be written to.
    ValueError
        If two outputs are one file.

    Notes
    -----
    What was written is recorded in ``.rugtheory.json`` in the same folder.  A command that is
    killed leaves the record of what it was about to write, so that it can be run again.
    """
    made = {path: json.loads(json.dumps(given)) for path, given in outputs.items()}
    if len({path.resolve() for path in made}) < len(made):
        raise ValueError(f"outputs must be different files, got {', '.join(map(str, made))}")
    folders = list(folders)
    for path in made:
        _check_place(path, can_be_made=path.parent in folders)
    if not overwrite:
        for path, given in made.items():
            _check_replaceable(path, given)
    new = list(dict.fromkeys(folder for top in folders for folder in _missing(top)))
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    before = {path: (_entry(path), _identity(path)) for path in made}
    _record({path: {**before[path][0], "unfinished": given} for path, given in made.items()})
    done = False
    try:
        yield
        done = True
    finally:
        after: dict[Path, dict[str, Any] | None] = {}
        for path, given in made.items():
            entry, identity = before[path]
            if identity != _identity(path):
                entry = {"sha256": digest(path), "made_of": given}
            elif done and entry.get("made_of") is not None:
                entry["made_of"] = given  # a file that is up to date
            after[path] = entry if path.exists() and entry["made_of"] is not None else None
        _record(after)
        for folder in reversed(new):
            if not any(folder.iterdir()):
                folder.rmdir()


def _identity(path: Path) -> tuple[int, int] | None:
    """What changes when a file is replaced, even by the same bytes."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _entry(path: Path) -> dict[str, Any]:
    """SHA-256 of a file, and what it is recorded to be made of: None if that is not known."""
    if not path.exists():
        return {}
    sha256, known = digest(path), read_record(path.parent).get(path.name, {})
    same = known.get("sha256") == sha256
    return {"sha256": sha256, "made_of": known.get("made_of" if same else "unfinished")}


def _missing(folder: Path) -> list[Path]:
    """The folders that have to be made for `folder` to be there, outer ones first."""
    return [x for x in (*reversed(folder.parents), folder) if not x.exists()]


def _check_place(path: Path, *, can_be_made: bool) -> None:
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file")
    folder = path.parent
    if can_be_made:
        while not folder.exists():
            folder = folder.parent
    if not folder.exists():
        raise FileNotFoundError(f"no such folder: {folder}")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written to")


def _check_replaceable(path: Path, made_of: MadeOf) -> None:
    if not path.exists():
        return
    remedy = "give another path, or --overwrite to replace it"
    former = _entry(path)["made_of"]
    if former is None:
        known = path.name in read_record(path.parent)
        what = "was changed since a command wrote it" if known else "was not written by a command"
        raise FileExistsError(f"{path} exists and {what}; {remedy}")
    lost = {x: former[x] for x in former if x not in made_of or made_of[x] != former[x]}
    if lost:
        shown = [
            f"{name} {_show(value)}, now {_show(made_of.get(name))}"
            for name, value in list(lost.items())[:_SHOWN]
        ]
        more = [f"{len(lost) - _SHOWN} more"] * (len(lost) > _SHOWN)
        raise FileExistsError(f"{path} was made with {'; '.join(shown + more)}; {remedy}")


def _show(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def read_record(folder: Path) -> dict[str, Any]:
    """What commands recorded of their files in `folder`, by name."""
    path = folder / RECORD
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(x, dict) for x in found.values()):
        raise ValueError(f"{path} must hold an object of objects")
    return found


def _record(entries: Mapping[Path, dict[str, Any] | None]) -> None:
    """Set the entries of files; None removes one."""
    for folder in dict.fromkeys(path.parent for path in entries):
        known = read_record(folder)
        for path, entry in entries.items():
            if path.parent == folder:
                known.pop(path.name, None)
                if entry is not None:
                    known[path.name] = entry
        if known:
            with replacing(folder / RECORD) as partial:
                partial.write_text(json.dumps(known, indent=1), encoding="utf-8")
        else:
            (folder / RECORD).unlink(missing_ok=True)


def digest(path: Path) -> str:
    """SHA-256 of a file, read in blocks; of a folder, that of its files with their names."""
    found = hashlib.sha256()
    if path.is_dir():
        for file in sorted(x for x in path.iterdir() if x.is_file() and x.name[0] != "."):
            found.update(f"{file.name} {digest(file)}\n".encode())
    elif path.is_file():
        with path.open("rb") as content:
            while block := content.read(_CHUNK):
                found.update(block)
    return found.hexdigest()


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz archive or a .safetensors file; bfloat16 becomes float32.

    Raises FileNotFoundError if there is none, ImportError without safetensors, and ValueError,
    naming the file, for anything else that is wrong with it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        if path.suffix == ".npz":
            # Opened here: of a broken archive np.load leaves the file open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                # Members that are not arrays come as bytes.
                return {name: np.asarray(member) for name, member in archive.items()}
        from safetensors import deserialize

        views = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
        return {name: _tensor(name, view) for name, view in views}
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(f"{path} cannot be read as {path.suffix[1:]}: {error}") from error


def read_metadata(path: Path) -> dict[str, str]:
    """The texts that a .safetensors file has beside its tensors; none for other files."""
    if path.suffix != ".safetensors":
        return {}
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        found = json.loads(file.read(size)).get("__metadata__", {})
    return {str(k): str(v) for k, v in found.items()}


def _tensor(name: str, view: dict[str, Any]) -> NDArray[Any]:
    if view["dtype"] not in _SAFETENSORS:
        raise ValueError(f"{name} has dtype {view['dtype']}, not {', '.join(_SAFETENSORS)}")
    raw = np.frombuffer(view["data"], dtype=_SAFETENSORS[view["dtype"]]).reshape(view["shape"])
    # bfloat16 is the upper half of float32.
    return (raw.astype("<u4") << 16).view("<f4") if view["dtype"] == "BF16" else raw


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Give a command the flag that lifts the rule of `writing`."""
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files too that this command did not write from the same inputs",
    )
