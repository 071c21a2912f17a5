"""Equality of objects that hold arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np


class ByValue:
    """A frozen dataclass that equals another of its class with equal fields, NaN equal to NaN.

    To be combined with ``dataclass(frozen=True, eq=False)``: the comparison that dataclasses make
    themselves asks arrays for their truth value.
    """

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_same(x, y) for x, y in zip(_values(self), _values(other), strict=True))

    def __hash__(self) -> int:
        return hash((type(self), *_values(self)))


def _values(of: Any) -> list[Any]:
    return [getattr(of, field.name) for field in fields(of)]


def _same(x: Any, y: Any) -> bool:
    if isinstance(x, np.ndarray) or isinstance(y, np.ndarray):
        x, y = np.asarray(x), np.asarray(y)
        return x.dtype.kind == y.dtype.kind and np.array_equal(x, y, x.dtype.kind in "fc")
    if isinstance(x, Mapping) and isinstance(y, Mapping):
        return x.keys() == y.keys() and all(_same(x[k], y[k]) for k in x)
    if isinstance(x, tuple | list) and type(x) is type(y):
        return len(x) == len(y) and all(map(_same, x, y))
    return bool(x == y) or bool(x != x and y != y)
