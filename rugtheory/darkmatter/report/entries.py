"""Entries of a report: numbers that JSON can hold, and errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ... import _check
from ..decomposition import Decomposition
from ..regression import Regression

# All that is found about one decoder.
Record = dict[str, Any]


def scores(parts: Decomposition) -> Record:
    """What is unexplained, with standard errors; "held_out" is without the correction."""
    found, best = {}, parts.corrected
    for score in ("fvu", "fvu_centred", "fvu_nl", "r2", "r2_coordinates"):
        value, raw = getattr(best, score), getattr(parts, score)
        if np.isnan(value):
            found[score] = {"value": None, "se": None}
            continue
        found[score] = {"value": value, "se": getattr(parts.corrected_standard_error, score)}
        if value != raw:
            found[score]["held_out"] = raw
    return found


def r2(found: Regression) -> dict[str, float]:
    """R² with its standard error; "held_out" is without the correction."""
    entry = {"value": found.r2_corrected, "se": found.r2_corrected_se}
    return entry if found.fit_factor == 1 else entry | {"held_out": found.r2}


def change(before: float | None, after: float | None) -> float | None:
    """By what part of itself a number grows, None from 0 or if one is not known."""
    return None if not before or after is None else after / before - 1


def failure(name: str, error: Exception) -> dict[str, str]:
    """What failed, and why."""
    return {"name": name, "error": " ".join(f"{type(error).__name__}: {error}".split())}


def check_finite(name: str, values: Any) -> None:
    """Raise if a number is not finite: JSON holds no such numbers."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            check_finite(f"{name}: {key}" if name else str(key), value)
    elif isinstance(values, list):
        for value in values:
            check_finite(name, value)
    elif isinstance(values, float) and not math.isfinite(values):
        raise ValueError(f"{name} must be finite, got {values}")


def check_report(found: Mapping[str, Any]) -> None:
    """Raise unless `found` is a report."""
    _check.instance("found", found, Mapping)
    missing = {"about", "saes", "pairs", "groups", "null"} - set(found)
    if missing:
        raise ValueError(f"found must be a report, got none of its {', '.join(sorted(missing))}")
