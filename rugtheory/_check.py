"""Checks at the public door: every message names the argument, the value and what is valid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def real(name: str, value: ArrayLike) -> Array:
    """`value` as a finite float64 array."""
    try:
        raw = np.asarray(value)
        if raw.dtype.kind not in "iuf":
            raise TypeError
        array = raw.astype(np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a real number or array, got {_show(value)}") from None
    return _require(name, array, np.isfinite(array), "be finite")


def probability(name: str, value: ArrayLike) -> Array:
    """`value` as an array in (0, 1]."""
    array = real(name, value)
    return _require(name, array, (array > 0) & (array <= 1), "lie in (0, 1]")


def share(name: str, value: ArrayLike) -> Array:
    """`value` as an array in [0, 1]."""
    array = real(name, value)
    return _require(name, array, (array >= 0) & (array <= 1), "lie in [0, 1]")


def scalar(name: str, value: ArrayLike) -> float:
    """`value` as a finite float."""
    array = real(name, value)
    if array.ndim:
        raise ValueError(f"{name} must be a scalar, got an array of shape {array.shape}")
    return float(array)


def axis(name: str, value: ArrayLike) -> Array:
    """`value` as a non-empty vector."""
    array = np.atleast_1d(real(name, value))
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} must be a non-empty vector, got shape {array.shape}")
    return array


def nonnegative(name: str, value: ArrayLike) -> Array:
    """`value` as an array in [0, inf)."""
    array = real(name, value)
    return _require(name, array, array >= 0, "be non-negative")


def positive(name: str, value: ArrayLike) -> Array:
    """`value` as an array in (0, inf)."""
    array = real(name, value)
    return _require(name, array, array > 0, "be positive")


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """`value` as an int in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {_show(value)}")
    if value < low or (high is not None and value > high):
        valid = f"at least {low}" if high is None else f"in [{low}, {high}]"
        raise ValueError(f"{name} must be {valid}, got {value}")
    return int(value)


def rng(seed: int | np.random.Generator) -> np.random.Generator:
    """A generator from a non-negative integer seed, or the generator given."""
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(integer("seed", seed, 0))


def broadcastable(**arrays: Array) -> None:
    """Raise unless the shapes broadcast together."""
    try:
        np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"shapes do not broadcast together: {shapes}") from None


def _require(name: str, array: Array, valid: NDArray[np.bool_], condition: str) -> Array:
    if not np.all(valid):
        raise ValueError(f"{name} must {condition}, got {array[~valid].flat[0]}")
    return array


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
