"""What a report is of, and the settings that all its tests share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import _check
from .._rows import Rows
from ..sae import SAE


@dataclass(frozen=True, eq=False)
class Given:
    """Activations and decoders of a report, and how they are tested; see `write_report`.

    Attributes
    ----------
    x : Rows
    saes : mapping of str to SAE or path
    contexts, tokens : array_like, shape (rows,), or None
    components : mapping of str to array_like or sliceable
    pursuit, align : frozenset of str
        Names of decoders.
    test_fraction, bootstrap, seed
        As in `decompose`.
    """

    x: Rows
    saes: Mapping[str, SAE | str | Path]
    contexts: ArrayLike | None
    tokens: ArrayLike | None
    components: Mapping[str, Any]
    pursuit: frozenset[str]
    align: frozenset[str]
    test_fraction: float
    bootstrap: int
    seed: int

    def __post_init__(self) -> None:
        _check.instance("saes", self.saes, Mapping)
        _check.instance("components", self.components, Mapping)
        if not self.saes:
            raise ValueError("saes must hold at least one decoder, got none")
        for name, decoder in self.saes.items():
            if not isinstance(name, str) or Path(name).name != name:
                raise ValueError(f"names of saes must be names of files, got {name!r}")
            if not isinstance(decoder, SAE | str | Path):
                raise TypeError(f"saes must be decoders or paths, got {decoder!r:.60}")
        for label, names in {"pursuit": self.pursuit, "align": self.align}.items():
            if not names <= set(self.saes):
                unknown = ", ".join(map(str, names - set(self.saes)))
                raise ValueError(f"{label} must name decoders, got {unknown:.60}")
        for label, values in {"contexts": self.contexts, "tokens": self.tokens}.items():
            if values is not None and _check.array(label, values).shape != (self.x.count,):
                raise ValueError(
                    f"{label} must have shape ({self.x.count},), got {np.shape(values)}"
                )

    def asked(self, name: str) -> set[str]:
        """What is to be done with the decoder `name` besides the tests."""
        return {
            label
            for label, names in {"pursuit": self.pursuit, "align": self.align}.items()
            if name in names
        }

    @property
    def settings(self) -> dict[str, Any]:
        """Of the split and the bootstrap, by the names that every test gives them."""
        return {
            "test_fraction": self.test_fraction,
            "bootstrap": self.bootstrap,
            "seed": self.seed,
        }

    def options(self, rows: slice | NDArray[np.bool_] | None = None) -> dict[str, Any]:
        """The settings, with the contexts of `rows`, of all by default."""
        contexts = self.contexts
        if rows is not None and contexts is not None:
            contexts = np.asarray(contexts)[rows]
        return {"contexts": contexts, **self.settings}


def names_in(label: str, names: Iterable[str]) -> frozenset[str]:
    """`names` as a set; raise if they cannot be listed."""
    try:
        return frozenset(names)
    except TypeError:
        raise TypeError(f"{label} must hold names of decoders, got {names!r:.60}") from None
