"""Equality of objects that hold arrays, and how they are shown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any, ClassVar

import numpy as np

# So many numbers of an array are shown, entries of a tuple, and lines in all.
_MOST_NUMBERS, _MOST_ENTRIES, _MOST_LINES = 6, 4, 16
_WIDTH = 100


class ShortRepr:
    """A dataclass that is shown in a few lines whatever it holds.

    To be combined with ``dataclass(repr=False)``.
    """

    # Digits of numbers; all of them where an object is what a user gave.
    _digits: ClassVar[int] = 17

    def __repr__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in _fields(self)}
        inner = [f"{name}={shown(value, self._digits)}" for name, value in values.items()]
        name = type(self).__name__
        text = f"{name}({', '.join(inner)})"
        if len(text) <= _WIDTH:
            return text
        return "\n    ".join([f"{name}(", *_packed(inner)])


def _packed(items: list[str]) -> list[str]:
    """Lines with as many whole items as fit."""
    lines, width = [""], _WIDTH - 4
    for item in (*(f"{x}, " for x in items[:-1]), f"{items[-1]})"):
        if len(lines[-1]) + len(item) <= width or not lines[-1]:
            lines[-1] += item
        else:
            lines.append(item)
        if len(lines[-1]) > width:
            lines[-1:] = textwrap.wrap(lines[-1], width, subsequent_indent="    ")
            lines[-1] += " " * (not lines[-1].endswith(")"))
    lines = [line.rstrip() for line in lines]
    return lines if len(lines) <= _MOST_LINES else [*lines[:_MOST_LINES], "...)"]


class ByValue(ShortRepr):
    """A frozen dataclass that equals another of its class with equal fields, NaN equal to NaN.

    To be combined with ``dataclass(frozen=True, eq=False, repr=False)``: the comparison that
    dataclasses make themselves asks arrays for their truth value.
    """

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_same(x, y) for x, y in zip(_values(self), _values(other), strict=True))

    def __hash__(self) -> int:
        return hash((type(self), *_values(self)))


def _values(of: Any) -> list[Any]:
    return [getattr(of, field.name) for field in _fields(of)]


def _fields(of: Any) -> tuple[Field[Any], ...]:
    return fields(of)


def _same(x: Any, y: Any) -> bool:
    if isinstance(x, np.ndarray) or isinstance(y, np.ndarray):
        x, y = np.asarray(x), np.asarray(y)
        return x.dtype.kind == y.dtype.kind and np.array_equal(x, y, x.dtype.kind in "fc")
    if isinstance(x, Mapping) and isinstance(y, Mapping):
        return x.keys() == y.keys() and all(_same(x[k], y[k]) for k in x)
    if isinstance(x, tuple | list) and type(x) is type(y):
        return len(x) == len(y) and all(map(_same, x, y))
    return bool(x == y) or bool(x != x and y != y)


def shown(value: Any, digits: int) -> str:
    """A value in a line: numbers to so many digits, of large arrays the range."""
    if isinstance(value, float | np.floating):
        return repr(float(value)) if digits == 17 else f"{float(value):.{digits}g}"
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, np.ndarray):
        return _array(value, digits)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {shown(x, digits)}" for key, x in value.items()) + "}"
    if isinstance(value, tuple | list):
        texts = [shown(x, digits) for x in value[:_MOST_ENTRIES]]
        more = len(value) - _MOST_ENTRIES
        inner = ", ".join(texts + [f"... {more} more"] * (more > 0))
        return f"({inner}{',' * (len(value) == 1)})" if isinstance(value, tuple) else f"[{inner}]"
    # Of what is inside, on one line.
    return re.sub(r"\n\s*", " ", re.sub(r"\(\n\s*", "(", repr(value)))


def _array(value: np.ndarray[Any, Any], digits: int) -> str:
    if value.ndim == 0:
        return shown(value[()], digits)
    if 0 < value.size <= _MOST_NUMBERS or (value.ndim == 1 and not value.size):
        return f"[{', '.join(shown(x, digits) for x in value)}]"
    what = f"array {value.shape}"
    if value.dtype.kind == "b":
        return f"{what} with {int(value.sum())} true"
    finite = value[np.isfinite(value)] if value.dtype.kind in "iuf" else value[:0]
    if not finite.size:
        return f"{what} of {value.dtype}"
    return f"{what} in [{shown(finite.min(), 6)}, {shown(finite.max(), 6)}]"
