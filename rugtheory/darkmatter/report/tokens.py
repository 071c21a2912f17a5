"""Norms of the errors on one context, token by token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .keeping import Norms

_SHOWN_TOKENS = 48


def shown_tokens(
    norms: Mapping[str, Norms], contexts: ArrayLike | None, held_out: NDArray[np.bool_]
) -> dict[str, Any]:
    """Norms on the start of the first context held out that is long enough."""
    rows = np.flatnonzero(held_out)
    if contexts is not None:
        labels = np.asarray(contexts)[rows]
        names, first, count = np.unique(labels, return_index=True, return_counts=True)
        long = np.flatnonzero(count >= min(_SHOWN_TOKENS, count.max()))
        rows = rows[labels == names[long[np.argmin(first[long])]]]
    rows = rows[:_SHOWN_TOKENS]
    return {
        "rows": rows.tolist(),
        "norms": {
            name: {
                part: np.round(found[part][rows], 4).tolist()
                for part in ("error", "linear", "nonlinear")
            }
            for name, found in norms.items()
        },
    }
