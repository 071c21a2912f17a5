"""What is found about a decoder, kept on disk under a digest of all that went into it."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._check import Array
from ..._files import replacing
from .._rows import Rows, block_length
from ..sae import SAE
from .activations import Reconstruction
from .entries import Record
from .given import Given

# Norms of the error and of its parts, and which rows were held out.
Norms = dict[str, NDArray[Any]]
Visit = Callable[[NDArray[np.intp], NDArray[Any]], None]


@dataclass(frozen=True, eq=False)
class Survey:
    """What one reading of everything says.

    Attributes
    ----------
    digest : str
        Of all that results depend on besides the decoder: every byte of it.
    norms : ndarray, shape (rows,)
        ‖x‖.
    squares : ndarray, shape (rows,)
        ‖x - m‖², m the medians of the first block's coordinates.
    """

    digest: str
    norms: Array
    squares: Array


def survey(given: Given) -> Survey:
    """Read everything once: hash it, and take the norms of the activations."""
    settings = version("rugtheory"), *given.settings.values(), given.convention
    found = hashlib.sha256(repr(settings).encode())
    for label, values in {"contexts": given.contexts, "tokens": given.tokens}.items():
        found.update(f"{label} {values is None}".encode())
        if values is not None:
            # Which rows have one label is all that is used.
            codes = np.unique(np.asarray(values), return_inverse=True)[1]
            found.update(codes.astype("<i8").tobytes())
    norms, squares = np.empty(given.x.count), np.empty(given.x.count)
    middle: list[Array] = []

    def measure(rows: NDArray[np.intp], block: NDArray[Any]) -> None:
        block = block.astype(np.float64)
        if not middle:
            middle.append(np.median(block, axis=0))
        norms[rows] = np.linalg.norm(block, axis=1)
        block -= middle[0]
        squares[rows] = np.einsum("ij,ij->i", block, block)

    _hash_rows(found, "x", given.x, measure)
    if given.targets is not None:
        _hash_rows(found, "targets", given.targets)
    if given.features is not None:
        found.update(f"features {given.features.shape}".encode())
        found.update(given.features.tobytes())
    if given.weights is not None:
        _hash_rows(found, "weights", given.weights)
    for label, values in given.baselines.items():
        found.update(f"baseline {label}".encode() + values.tobytes())
    out = given.dropped.rows(norms, given.contexts, given.tokens)
    found.update(b"dropped" + np.packbits(out).tobytes())
    for label, source in given.components.items():
        name = f"components: {label}"
        if isinstance(source, Reconstruction):
            # Both together give it, without computing it.
            found.update(f"reconstruction {digest_of(source.sae, '', set())}".encode())
            source = source.x.source
        _hash_rows(found, name, Rows(name, source))
    return Survey(found.hexdigest(), norms, squares)


def _hash_rows(digest: Any, label: str, rows: Rows, visit: Visit | None = None) -> None:
    """Every row of a matrix, a block at a time."""
    digest.update(f"{label} {rows.count} {rows.columns}".encode())
    length = block_length(None, rows.columns)
    for start in range(0, rows.count, length):
        numbers = np.arange(start, min(start + length, rows.count))
        block = rows.read(numbers)
        digest.update(block.dtype.str.encode())
        digest.update(np.ascontiguousarray(block).data)
        if visit is not None:
            visit(numbers, block)


def digest_of_rows(rows: Rows, settings: str, more: set[str]) -> str:
    """Of reconstructions that no weights are known of."""
    digest = hashlib.sha256(f"{settings} {sorted(more)}".encode())
    _hash_rows(digest, "x_hat", rows)
    return digest.hexdigest()


def digest_of(sae: SAE, settings: str, more: set[str]) -> str:
    """Of a decoder, with a fingerprint of the rest and what is to be done besides the tests."""
    digest = hashlib.sha256(f"{settings} {sorted(more)} {sae!r}".encode())
    for one in fields(sae):
        array = getattr(sae, one.name)
        if isinstance(array, np.ndarray):
            digest.update(f"{one.name} {array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def kept(stem: Path, digest: str) -> Record | None:
    """What an earlier run found, if it is whole and of the same inputs."""
    try:
        record: Record = json.loads(stem.with_name(f"{stem.name}.json").read_text(encoding="utf-8"))
        # A run that was killed between the two files leaves them of different inputs.
        same = record.pop("digest") == digest == str(_norms(stem).pop("digest"))
        return record if same else None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def keep(stem: Path, digest: str, record: Record, norms: Norms) -> Record:
    """Write what was found to two files; the record is given back."""
    with replacing(stem.with_name(f"{stem.name}.npz")) as partial:
        np.savez(partial, digest=np.array(digest), **norms)  # type: ignore[arg-type]
    write_json(stem.with_name(f"{stem.name}.json"), {"digest": digest, **record})
    return record


def _norms(stem: Path) -> Norms:
    # NumPy leaves a broken file open if it opened it.
    with stem.with_name(f"{stem.name}.npz").open("rb") as file, np.load(file) as found:
        return dict(found)


class KeptNorms(Mapping[str, Norms]):
    """Norms of decoders by name, read when they are asked for: of many they would fill memory."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self.folder, self.names = folder, list(names)

    def __getitem__(self, name: str) -> Norms:
        return _norms(self.folder / name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def write_json(path: Path, values: Any) -> None:
    """A file that holds `values`, or none."""
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
