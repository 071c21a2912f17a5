"""Decoders of one architecture and about one L0: how what they leave depends on width."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..floor import fit_floor
from .entries import Record, change

# Decoders count as of one L0 if neighbours in L0 differ by less than this factor.
_SAME_L0 = 1.25


def groups(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Decoders of one architecture and about one L0, those of few latents first."""
    alike: list[list[Record]] = []
    for record in sorted(records, key=lambda r: (r["architecture"], r["l0"])):
        if alike and _near(alike[-1][-1], record):
            alike[-1].append(record)
        else:
            alike.append([record])
    return [_group(sorted(members, key=lambda r: r["width"])) for members in alike]


def _near(one: Record, two: Record) -> bool:
    """Whether decoders are of one group, the second having the higher L0."""
    return bool(one["architecture"] == two["architecture"] and two["l0"] <= _SAME_L0 * one["l0"])


def _group(members: Sequence[Record]) -> dict[str, Any]:
    l0 = math.exp(sum(math.log(max(r["l0"], 1e-9)) for r in members) / len(members))
    return {
        "name": f"{members[0]['architecture']}, L0 ≈ {l0:.3g}",
        "l0": l0,
        "members": [r["name"] for r in members],
        **{score: against_width(members, score) for score in ("fvu", "fvu_nl")},
    }


def against_width(group: Sequence[Record], score: str) -> dict[str, Any]:
    """A horizontal line, and a power law with a floor if there are enough widths that it falls."""
    width = np.array([r["width"] for r in group], float)
    value = np.array([r[score]["value"] for r in group])
    found: dict[str, Any] = {
        "mean": float(value.mean()),
        "change": change(float(value[0]), float(value[-1])),
        "law": None,
    }
    if len(np.unique(width)) >= 4 and value.argmin() > value.argmax():
        try:
            law = fit_floor(width, value)
        except (ValueError, ArithmeticError, RuntimeError) as error:
            return found | {"no_law": str(error)}
        found["law"] = {"floor": law.floor, "alpha": law.alpha, "beta": law.beta}
        found["law"]["floor_interval"] = [x if np.isfinite(x) else None for x in law.floor_interval]
        found["law"]["beta_interval"] = [x if np.isfinite(x) else None for x in law.beta_interval]
    return found
