"""Cells of tables in Markdown: numbers with their errors, and rows of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return [*("| " + " | ".join(line) + " |" for line in cells), ""]


def number(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"


def with_error(found: Mapping[str, float | None] | None, scale: float = 1) -> str:
    """0.1234(56): the error is in units of the last digit, two of its digits are shown."""
    if found is None or found["value"] is None:
        return "–"
    value, se = scale * found["value"], scale * (found["se"] or 0.0)
    if not se:
        return f"{value:.4f}"
    if se >= 1:
        # Two digits of the error, and the value to its last.
        places = max(1 - math.floor(math.log10(se)), 0)
        return f"{round(value, places) + 0.0:.{places}f} ± {se:.{places}f}"
    digits = min(max(1 - math.floor(math.log10(se)), 1), 6)
    if not round(se * 10**digits):
        return f"{value:.4f}"
    return f"{value:.{digits}f}({se * 10**digits:.0f})"


def percent(found: Mapping[str, float | None]) -> str:
    if found["relative"] is None or found["se"] is None:
        return "from 0"
    entry = {"value": found["relative"], "se": found["se"]}
    return f"{with_error(entry, 100)} %"
