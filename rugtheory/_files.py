"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SAFETENSORS = {
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    **{f"I{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    "BOOL": "?",
    "BF16": "<u2",
}


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; it becomes `path` if all goes well."""
    path = Path(path)
    # The suffix stays last: savers choose their format by it.
    partial = path.with_name(f".{os.getpid()}.partial.{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


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


def _tensor(name: str, view: dict[str, Any]) -> NDArray[Any]:
    if view["dtype"] not in _SAFETENSORS:
        raise ValueError(f"{name} has dtype {view['dtype']}, not {', '.join(_SAFETENSORS)}")
    raw = np.frombuffer(view["data"], dtype=_SAFETENSORS[view["dtype"]]).reshape(view["shape"])
    # bfloat16 is the upper half of float32.
    return (raw.astype("<u4") << 16).view("<f4") if view["dtype"] == "BF16" else raw
