"""Tensors that a checkpoint holds in parts, as PyTorch's parametrisations keep them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .._check import Array

# The ends of the names of two parts that make a tensor, and what is left of the name before them.
_PARTS = (
    (r"(.*)parametrizations\.(\w+)\.original", ("0", "1"), "weight_norm"),
    (r"(.*?)(\w+)_", ("g", "v"), "weight_norm"),
    (r"(.*?)(\w+)_", ("mask", "orig"), "pruning"),
)
_UNKNOWN = re.compile(r"(?:.*\.)?parametrizations\.\w+\.")


def whole_tensors(
    tensors: Mapping[str, Any], to_array: Callable[[str, Any], Array]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The tensors, with those that come in two known parts put together, and what was done."""
    found, made = dict(tensors), []
    for start, ends, kind in _PARTS:
        for name in tensors:
            match = re.fullmatch(start + ends[0], name)
            other = name.removesuffix(ends[0]) + ends[1]
            if match is None or name not in found or other not in found:
                continue
            shapes = [tuple(getattr(found[x], "shape", ())) for x in (name, other)]
            if not _fit(shapes[0], shapes[1], kind):
                continue
            whole = "".join(match.groups())
            if whole in found:
                continue
            first, second = to_array(name, found.pop(name)), to_array(other, found.pop(other))
            found[whole] = _weight_norm(first, second) if kind == "weight_norm" else first * second
            made.append(f"{whole} by {kind} from {name} and {other}")
    return found, tuple(made)


def unknown_parts(tensors: Mapping[str, Any]) -> list[str]:
    """Names of tensors that are parts of others in a way that names do not tell."""
    return [name for name in tensors if _UNKNOWN.match(name)]


def module_tensors(module: Any) -> dict[str, Any]:
    """The state dict of a module, with the values of what is parametrised in place of its parts."""
    found = dict(module.state_dict())
    for path, part in getattr(module, "named_modules", lambda: ())():
        before = f"{path}." if path else ""
        for name in getattr(part, "parametrizations", ()):
            inside = f"{before}parametrizations.{name}."
            found = {key: x for key, x in found.items() if not key.startswith(inside)}
            found[before + name] = getattr(part, name)
    return found


def _fit(first: tuple[int, ...], second: tuple[int, ...], kind: str) -> bool:
    if kind == "pruning":
        return first == second
    return (
        len(first) == len(second) > 1
        and 1 in first
        and all(n in (1, m) for n, m in zip(first, second, strict=True))
    )


def _weight_norm(g: Array, v: Array) -> Array:
    """Rows, or what has a length of its own in `g`, of that length and of the direction of `v`."""
    axes = tuple(k for k, n in enumerate(g.shape) if n == 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(g * v / np.sqrt(np.sum(v * v, axis=axes, keepdims=True)))
