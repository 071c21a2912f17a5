"""What a report is of, and the settings that all its tests share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import _check
from ..._check import Array
from .._rows import Rows
from .dropped import Dropped

# What a report predicts the norms of errors from anyway.
OWN_BASELINES = ("activation", "activation norm", "L0", "token identity")


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
    features : ndarray, shape (n_features, columns of what is predicted), or None
        Directions of known features.
    weights : Rows or None
        Weight of each feature in each row.
    baselines : mapping of str to ndarray, shape (rows,)
        Numbers to predict the squared norm of errors from.
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
    features: Array | None = None
    weights: Rows | None = None
    baselines: Mapping[str, Array] = field(default_factory=dict)

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
        self._check_features()
        for name, values in self.baselines.items():
            if values.shape != (self.x.count,):
                raise ValueError(
                    f"baselines: {name} must have shape ({self.x.count},), got {values.shape}"
                )
            if name in OWN_BASELINES:
                raise ValueError(f"baselines must have names of their own, got {name!r}")
        self.dropped.check(self.x.count, self.contexts, self.tokens)

    def _check_features(self) -> None:
        features, weights = self.features, self.weights
        if features is None and weights is not None:
            raise ValueError("weights must be None without features, got an array")
        if features is None:
            return
        columns = self.whole.columns
        if features.ndim != 2 or features.shape[1] != columns or not len(features):
            raise ValueError(
                f"features must have shape (n_features, {columns}), got {features.shape}"
            )
        if not features.any(axis=1).all():
            raise ValueError(
                f"features must have no zero row, got one at {features.any(axis=1).argmin()}"
            )
        if weights is None:
            return
        shape = self.x.count, len(features)
        if (weights.count, weights.columns) != shape:
            raise ValueError(
                f"weights must have shape {shape}, got {(weights.count, weights.columns)}"
            )

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
