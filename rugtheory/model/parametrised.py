"""Tensors that a checkpoint holds in parts, as PyTorch's parametrisations keep them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .._check import Array

_Shape = tuple[int, ...]


class _Parts(NamedTuple):
    """A way to keep a tensor in parts.

    The names of the parts are a start, of which the groups are the name of the tensor, with one of
    the ends each.
    """

    kind: str
    start: str
    ends: tuple[str, ...]
    fit: Callable[..., bool]  # the shapes of the parts
    together: Callable[..., Array]  # the parts


def _norms_fit(g: _Shape, v: _Shape) -> bool:
    """One length for all, or for each index of some axes."""
    each = len(g) == len(v) and 1 in g and all(n in (1, m) for n, m in zip(g, v, strict=False))
    return len(v) > 1 and (g == () or each)


def _weight_norm(g: Array, v: Array) -> Array:
    """What has a length of its own in `g` gets it, and has the direction of `v`."""
    axes = tuple(k for k, n in enumerate(g.shape) if n == 1) if g.ndim else None
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(g * v / np.sqrt(np.sum(v * v, axis=axes, keepdims=True)))


def _spectra_fit(orig: _Shape, u: _Shape, v: _Shape) -> bool:
    return len(orig) == 2 and (u + v in (orig, orig[::-1])) and len(u) == len(v) == 1


def _spectral_norm(orig: Array, u: Array, v: Array) -> Array:
    """Over the largest singular value, of which `u` and `v` are the vectors."""
    left, right = (u, v) if (u.size, v.size) == orig.shape else (v, u)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(orig / (left @ orig @ right))


_NAME = r"(.*?)(\w+)_"
_KNOWN = (
    _Parts(
        "weight_norm",
        r"(.*)parametrizations\.(\w+)\.original",
        ("0", "1"),
        _norms_fit,
        _weight_norm,
    ),
    _Parts("weight_norm", _NAME, ("g", "v"), _norms_fit, _weight_norm),
    _Parts("pruning", _NAME, ("mask", "orig"), operator.eq, np.multiply),
    _Parts("spectral_norm", _NAME, ("orig", "u", "v"), _spectra_fit, _spectral_norm),
)
_UNKNOWN = re.compile(r"(?:.*\.)?parametrizations\.\w+\.")


def whole_tensors(
    tensors: Mapping[str, Any], to_array: Callable[[str, Any], Array]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The tensors, with those that come in known parts put together, and what was done."""
    found, made = dict(tensors), []
    for known in _KNOWN:
        for name in tensors:
            match = re.fullmatch(known.start + known.ends[0], name)
            if match is None:
                continue
            parts = [name.removesuffix(known.ends[0]) + end for end in known.ends]
            whole = "".join(match.groups())
            if whole in found or not all(part in found for part in parts):
                continue
            if not known.fit(*(tuple(getattr(found[x], "shape", ())) for x in parts)):
                continue
            found[whole] = known.together(*(to_array(x, found.pop(x)) for x in parts))
            made.append(f"{whole} by {known.kind} from {', '.join(parts[:-1])} and {parts[-1]}")
    return found, tuple(made)


def unknown_parts(tensors: Mapping[str, Any]) -> list[str]:
    """Names of tensors that are parts of others, of which a name does not say how."""
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
