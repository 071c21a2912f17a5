"""What a report is of, and the settings that all its tests share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import _check
from .._rows import Rows
from .dropped import Dropped


@dataclass(frozen=True, eq=False)
class Given:
    """Activations and decoders of a report, and how they are tested; see `write_report`.

    Attributes
    ----------
    x : Rows
    saes : mapping of str to decoder or path
    contexts, tokens : array_like, shape (rows,), or None
    components : mapping of str to array_like or sliceable
    pursuit, align : frozenset of str
        Names of decoders.
    test_fraction, bootstrap, seed
        As in `decompose`.
    targets : Rows or None
        What decoders predict, if it is not x.
    dropped : Dropped
        Which rows are left out.
    l0 : tuple of float
        L0s to compare widths at; none for those that many decoders are near.
    input_scale : float or None
        For decoders that are read.
    convention : "centred" or "paper"
        As in `decompose`.
    """

    x: Rows
    saes: Mapping[str, Any]
    contexts: ArrayLike | None
    tokens: ArrayLike | None
    components: Mapping[str, Any]
    pursuit: frozenset[str]
    align: frozenset[str]
    test_fraction: float
    bootstrap: int
    seed: int
    targets: Rows | None = None
    dropped: Dropped = field(default_factory=Dropped)
    l0: tuple[float, ...] = ()
    input_scale: float | None = None
    convention: str = "centred"

    def __post_init__(self) -> None:
        _check.choice("convention", self.convention, ("centred", "paper"))
        _check.instance("saes", self.saes, Mapping)
        _check.instance("components", self.components, Mapping)
        if not self.saes:
            raise ValueError("saes must hold at least one decoder, got none")
        for name in self.saes:
            if not isinstance(name, str) or Path(name).name != name:
                raise ValueError(f"names of saes must be names of files, got {name!r}")
        for label, names in {"pursuit": self.pursuit, "align": self.align}.items():
            if not names <= set(self.saes):
                unknown = ", ".join(map(str, names - set(self.saes)))
                raise ValueError(f"{label} must name decoders, got {unknown:.60}")
        for label, values in {"contexts": self.contexts, "tokens": self.tokens}.items():
            if values is not None and _check.array(label, values).shape != (self.x.count,):
                raise ValueError(
                    f"{label} must have shape ({self.x.count},), got {np.shape(values)}"
                )
        if self.targets is not None and self.targets.count != self.x.count:
            raise ValueError(
                f"targets must have {self.x.count} rows like the activations, "
                f"got {self.targets.count}"
            )
        self.dropped.check(self.x.count, self.contexts, self.tokens)

    def asked(self, name: str) -> set[str]:
        """What is to be done with the decoder `name` besides the tests."""
        return {
            label
            for label, names in {"pursuit": self.pursuit, "align": self.align}.items()
            if name in names
        }

    @property
    def centred(self) -> bool:
        """Whether maps have an intercept, and whole contexts are held out."""
        return self.convention == "centred"

    @property
    def whole(self) -> Rows:
        """What reconstructions stand for."""
        return self.x if self.targets is None else self.targets

    @property
    def settings(self) -> dict[str, Any]:
        """Of the split and the bootstrap, by the names that every test gives them."""
        return {
            "test_fraction": self.test_fraction,
            "bootstrap": self.bootstrap,
            "seed": self.seed,
        }

    def options(self, rows: slice | NDArray[Any] | None = None) -> dict[str, Any]:
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
        raise TypeError(f"{label} must hold names of decoders, got {_check.shown(names)}") from None
