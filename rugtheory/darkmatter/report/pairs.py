"""Error norms of larger decoders from those of smaller ones, token by token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from ..per_token import per_token
from .entries import Record, check_finite, failure, r2
from .given import Given
from .keeping import Norms


def pairs(
    groups: Iterable[Mapping[str, Any]],
    records: Iterable[Record],
    norms: Mapping[str, Norms],
    given: Given,
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Equations (5) and (10) for a smaller and a larger decoder of one group, and what failed."""
    found, failures = [], []
    known = {r["name"]: r for r in records}
    for group in groups:
        for one, two in combinations([known[name] for name in group["members"]], 2):
            if one["width"] == two["width"]:
                continue
            name = f"{one['name']} → {two['name']}"
            try:
                pair = {"group": group["name"], **_pair(one, two, norms, given)}
                check_finite(name, pair)
                found.append(pair)
            except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
                failures.append(failure(name, error))
    return found, failures


def _pair(one: Record, two: Record, norms: Mapping[str, Norms], given: Given) -> dict[str, Any]:
    small, large = norms[one["name"]], norms[two["name"]]
    held = small["held_out"]
    found = per_token(
        small["error"][held], large["error"][held], small["nonlinear"][held], **given.options(held)
    )
    return {
        "small": one["name"],
        "large": two["name"],
        "widths": [one["width"], two["width"]],
        "r2": r2(found.error),
        "r2_both": r2(found.both),
        "fvu_decrease_percent": {"value": found.fvu_decrease, "se": found.fvu_decrease_se},
    }
