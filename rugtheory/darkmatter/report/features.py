"""Known features, of synthetic activations: whether the latents of a decoder stand for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._rows import Rows
from ..recovery import Detection, FeatureMatch, detection, match_features
from .given import Given
from .predictors import Coded, Predictor


class Features:
    """Latents of one decoder beside the known features; counted block by block while it codes."""

    def __init__(self, match: FeatureMatch, given: Given, used: NDArray[np.bool_]) -> None:
        self.match, self.weights, self.used = match, given.weights, used
        self.both, self.fires = np.zeros((2, match.nearest.size), np.int64)
        self.on = np.zeros(match.n_features, np.int64)

    def count(self, rows: slice, coded: Coded) -> None:
        """Count the rows of a block on which latents fire, features are on, and both."""
        if self.weights is None or coded.l0 is None or coded.active is None:
            return
        used = self.used[rows]
        on = self.weights.read(np.arange(rows.start, rows.stop)) != 0
        self.on += on[used].sum(axis=0)
        row = np.repeat(np.arange(used.size), coded.l0)
        row, latent = row[used[row]], coded.active[used[row]]
        hit = on[row, self.match.nearest[latent]]
        self.fires += np.bincount(latent, minlength=self.fires.size)
        self.both += np.bincount(latent[hit], minlength=self.both.size)

    @property
    def record(self) -> dict[str, Any]:
        """What there is to say; None where it is not known when features are on."""
        found: Detection | None = None
        if self.weights is not None:
            rows = int(self.used.sum())
            found = detection(self.match, self.both, self.fires, self.on, rows)
        return {
            "mcc": self.match.mcc,
            "uniqueness": self.match.uniqueness,
            **{
                name: None if found is None else getattr(found, name)
                for name in ("precision", "recall", "f1", "accuracy")
            },
        }


def features_of(made: Predictor | Rows, given: Given, used: NDArray[np.bool_]) -> Features | None:
    """The latents of a decoder that has some beside the known features, if there are any."""
    if given.features is None or isinstance(made, Rows):
        return None
    decoder = made.directions(given.x.read(np.arange(1)))
    if decoder is None:
        return None
    return Features(match_features(decoder, given.features), given, used)
