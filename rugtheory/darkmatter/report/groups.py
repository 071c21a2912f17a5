"""Decoders of one architecture and about one L0: how what they leave depends on width."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..floor import fit_floor
from .entries import Record, change

# A decoder is about of an L0 if it is within this factor.
_SAME_L0 = 1.25


def groups(records: Iterable[Record], l0: Sequence[float] = ()) -> list[dict[str, Any]]:
    """One decoder a width, for each architecture and each L0; decoders of few latents first.

    With `l0`, of each width the decoder nearest to it, as the paper has it.  Without, the L0s are
    those of the width that has most decoders, and one that is not within a factor of 1.25 is of
    another group: no chain of neighbours makes a group of L0s far apart.
    """
    known = sorted(records, key=lambda r: (r["architecture"], r["l0"] or 0, r["width"] or 0))
    found: list[list[Record]] = []
    for kind in dict.fromkeys(r["architecture"] for r in known):
        left = [r for r in known if r["architecture"] == kind]
        found += [[r] for r in left if r["width"] is None]
        left = [r for r in left if r["width"] is not None]
        for target in l0 if left else ():
            found.append(_nearest(left, target, math.inf))
            left = _without(left, found[-1])
        while left:
            count = Counter(r["width"] for r in left)
            width = max(sorted(count), key=lambda w: count[w])
            anchors = [r["l0"] for r in left if r["width"] == width]
            for anchor in anchors:
                near = [r for r in left if _apart(r["l0"], anchor) == _least(r["l0"], anchors)]
                found.append(_nearest(near, anchor, _SAME_L0))
                left = _without(left, found[-1])
    groups = [
        _group(sorted(members, key=lambda r: r["width"] or 0)) for members in found if members
    ]
    return _named_apart(sorted(groups, key=lambda g: (g["architecture"], g["l0"] or 0)))


def _nearest(records: Sequence[Record], l0: float, limit: float) -> list[Record]:
    """Of each width, the record nearest to `l0`, if it is within the factor."""
    members = []
    for width in dict.fromkeys(r["width"] for r in records):
        some = [r for r in records if r["width"] == width]
        best = min(some, key=lambda r: _apart(r["l0"], l0))
        if _apart(best["l0"], l0) <= math.log(limit):
            members.append(best)
    return members


def _without(records: Sequence[Record], taken: Sequence[Record]) -> list[Record]:
    return [r for r in records if all(r is not one for one in taken)]


def _least(l0: float, anchors: Sequence[float]) -> float:
    return min(_apart(l0, anchor) for anchor in anchors)


def _named_apart(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Groups of one name, of decoders that differ by a seed for example, are numbered."""
    seen: Counter[str] = Counter()
    for group in groups:
        seen[group["name"]] += 1
        if seen[group["name"]] > 1:
            group["name"] += f", {seen[group['name']]}"
    return groups


def _apart(one: float, two: float) -> float:
    """|ln(one/two)|; no latents are apart from all but no latents."""
    return 0.0 if one == two else abs(math.log(max(one, 1e-9) / max(two, 1e-9)))


def _group(members: Sequence[Record]) -> dict[str, Any]:
    kind, l0s = members[0]["architecture"], [r["l0"] for r in members]
    if None in l0s:
        return {
            "name": f"{members[0]['name']}",
            "architecture": kind,
            "l0": None,
            "members": [r["name"] for r in members],
            **{score: against_width(members, score) for score in ("fvu", "fvu_nl")},
        }
    l0 = math.exp(sum(map(math.log, l0s)) / len(l0s)) if all(l0s) else 0.0
    low, high = f"{min(l0s):.3g}", f"{max(l0s):.3g}"
    spread = "" if low == high else f" ({low} to {high})"
    return {
        "name": f"{kind}, L0 ≈ {l0:.3g}{spread}",
        "architecture": kind,
        "l0": l0,
        "members": [r["name"] for r in members],
        **{score: against_width(members, score) for score in ("fvu", "fvu_nl")},
    }


def against_width(group: Sequence[Record], score: str) -> dict[str, Any]:
    """A horizontal line, and a power law with a floor if there are enough widths that it falls."""
    width = np.array([r["width"] or 0 for r in group], float)
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
