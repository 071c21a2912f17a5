"""How every command runs: errors in a line, Ctrl-C, closed pipes, and "-" for stdin and stdout."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .._extras import remedy

INTERRUPTED, CLOSED = 130, 141  # 128 and the number of the signal
# Options that are files to be read, and files to be written with the suffix of what goes to stdout.
_READ = ("file", "features", "weights", "data", "acts", "contexts", "tokens", "spec")
_WRITTEN: dict[str, str | None] = {"figure": ".png", "out": None}


def guarded(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    work: Callable[[argparse.Namespace], object],
) -> int:
    """Do the work of a command; exit code 2 after one line on bad input, 130 after Ctrl-C."""
    names: dict[str, str] = {}
    try:
        with _streams(options, names):
            work(options)
            sys.stdout.flush()
            return 0
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # What is left in the buffer has no reader either.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED
    except ImportError as error:
        parser.error(remedy(error))
    except MemoryError as error:
        parser.error(f"not enough memory: {error}")
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        said = " ".join(str(error).split())
        for temporary, name in names.items():
            said = said.replace(temporary, name)
        parser.error(said)
    # Here no traceback keeps progress bars open, which end their line.
    print(f"{parser.prog}: interrupted", file=sys.stderr)
    return INTERRUPTED


@contextlib.contextmanager
def _streams(options: argparse.Namespace, names: dict[str, str]) -> Any:
    """Temporary files in place of "-", filled from stdin before and copied to stdout after."""
    given = {name: value for name, value in vars(options).items() if str(value) == "-"}
    if not given:
        yield
        return
    read = [name for name in _READ if name in given]
    written: dict[str, str | None] = {
        name: value for name, value in _WRITTEN.items() if name in given
    }
    if "out" in given:
        written["out"] = getattr(options, "suffix", None)
        if written["out"] is None:
            raise ValueError("--out must be a folder, got -, which is stdout")
    if len(read) > 1 or len(written) > 1:
        raise ValueError(f"only one of {', '.join((*read, *written))} can be -")
    with tempfile.TemporaryDirectory() as folder:
        for name in read:
            content = sys.stdin.buffer.read()
            kind = ".toml" if name in ("features", "spec") else _suffix(content)
            _replace(options, names, name, Path(folder) / f"stdin{kind}").write_bytes(content)
        for name, suffix in written.items():
            _replace(options, names, name, Path(folder) / f"stdout{suffix}")
        if not written:
            yield
            return
        with contextlib.redirect_stdout(io.StringIO()) as said:
            yield
        text = said.getvalue()
        for temporary, shown in names.items():
            text = text.replace(temporary, shown)
        sys.stderr.write(text)
        for name in written:
            sys.stdout.buffer.write(Path(getattr(options, name)).read_bytes())
        sys.stdout.flush()


def _replace(options: argparse.Namespace, names: dict[str, str], name: str, path: Path) -> Path:
    value = getattr(options, name)
    setattr(options, name, path if isinstance(value, Path) else str(path))
    names[str(path)] = "-"
    return path


def _suffix(content: bytes) -> str:
    """The suffix of files that begin like this."""
    if content[:4] == b"PK\x03\x04":
        with contextlib.suppress(zipfile.BadZipFile):
            inside = zipfile.ZipFile(io.BytesIO(content)).namelist()
            return ".pt" if any(name.endswith("data.pkl") for name in inside) else ".npz"
    for suffix, starts in {".npy": (b"\x93NUMPY",), ".nc": (b"\x89HDF", b"CDF")}.items():
        if content.startswith(starts):
            return suffix
    if content[8:9] == b"{":
        return ".safetensors"
    raise ValueError("- must be an .npz, .safetensors, .pt, .npy or .nc file, got something else")
