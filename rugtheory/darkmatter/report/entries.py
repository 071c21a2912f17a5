"""Entries of a report: numbers that JSON can hold, and errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ... import _check
from ..decomposition import Decomposition
from ..regression import Regression

# All that is found about one decoder.
Record = dict[str, Any]


def scores(parts: Decomposition) -> Record:
    """What is unexplained, with standard errors."""
    return {
        score: {"value": getattr(parts, score), "se": getattr(parts.standard_error, score)}
        for score in ("fvu", "fvu_centred", "fvu_nl", "r2", "r2_coordinates")
    }


def r2(found: Regression) -> dict[str, float]:
    """R² with its standard error."""
    return {"value": found.r2, "se": found.r2_se}


def change(before: float, after: float) -> float | None:
    """By what part of itself a number grows, None from 0."""
    return after / before - 1 if before else None


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
