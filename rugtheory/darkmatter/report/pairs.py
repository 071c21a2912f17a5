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
            if one["width"] is None or two["width"] in (None, one["width"]):
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
    widths = [one["width"], two["width"]]
    found: dict[str, Any] = {"small": one["name"], "large": two["name"], "widths": widths}
    if not np.any(large["error"][held]):
        raise ValueError("the larger decoder leaves no error to predict")
    if np.allclose(small["error"][held], large["error"][held], rtol=1e-6, atol=0):
        # A decoder beside itself with latents that never fire: there is nothing left to improve.
        exact = {"value": 1.0, "se": 0.0}
        unknown = {"value": None, "se": None}
        return found | {"r2": exact, "r2_both": exact, "fvu_decrease_percent": unknown}
    both = per_token(
        small["error"][held], large["error"][held], small["nonlinear"][held], **given.options(held)
    )
    decrease = {"value": both.fvu_decrease, "se": both.fvu_decrease_se}
    return found | {
        "r2": r2(both.error),
        "r2_both": r2(both.both),
        "fvu_decrease_percent": decrease,
    }
