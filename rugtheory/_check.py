"""Checks at the public door: every message names the argument, the value and what is valid."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Fourth powers of what is this large or small stay within double precision.
LARGEST = 1e50
# Losses go as p²; below this they would leave the range of double precision.
LEAST_P = 1e-140
# Of a probability that is not squared.
LEAST = 1e-290
# More values than any memory holds; numpy has no clear message for still more.
_MOST_VALUES = 2**48


def real(name: str, value: ArrayLike) -> Array:
    """`value` as a float64 array in [-1e50, 1e50]."""
    try:
        raw = np.asarray(plain(value))
        if raw.dtype.kind not in "iuf":
            raise TypeError
        array = raw.astype(np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a real number or array, got {shown(value)}") from None
    if not np.all(np.abs(array) <= LARGEST):
        _require(name, array, np.isfinite(array), "be finite")
        _require(name, array, np.abs(array) <= LARGEST, f"lie in [-{LARGEST}, {LARGEST}]")
    return array


def complex_array(name: str, value: ArrayLike) -> NDArray[np.complex128]:
    """`value` as a finite complex128 array."""
    try:
        raw = np.asarray(plain(value))
        if raw.dtype.kind not in "iufc":
            raise TypeError
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a number or array, got {shown(value)}") from None
    array = raw.astype(np.complex128)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)].flat[0]}")
    return array


def probability(name: str, value: ArrayLike, *, least: float = LEAST) -> Array:
    """`value` as an array in (0, 1], no less than `least`."""
    array = real(name, value)
    if not (np.all(array >= least) and np.all(array <= 1)):
        _require(name, array, (array > 0) & (array <= 1), "lie in (0, 1]")
    return _require(name, array, array >= least, f"be at least {least} here")


def scalar_probability(p: ArrayLike) -> float:
    """`p` as a float of which the square is a number."""
    return float(probability("p", scalar("p", p), least=LEAST_P))


def share(name: str, value: ArrayLike) -> Array:
    """`value` as an array in [0, 1]."""
    array = real(name, value)
    return _require(name, array, (array >= 0) & (array <= 1), "lie in [0, 1]")


def shares(weights: Array) -> Array:
    """Weights over their sum, as they are where this is 1 to rounding: what is done is done."""
    total = weights.sum()
    rounded = abs(total - 1) <= weights.size * np.finfo(float).eps
    return weights if rounded else np.asarray(weights / total)


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


def hidden_noise(value: ArrayLike) -> float:
    """The noise of structures; none below 1e-50, where squares of losses would be 0."""
    noise = float(nonnegative("hidden_noise", scalar("hidden_noise", value)))
    return noise if noise >= 1 / LARGEST else 0.0


def positive(name: str, value: ArrayLike) -> Array:
    """`value` as an array in [1e-50, 1e50]."""
    array = real(name, value)
    _require(name, array, array > 0, "be positive")
    return _require(name, array, array >= 1 / LARGEST, f"be at least {1 / LARGEST}")


def nonzero(name: str, value: ArrayLike) -> Array:
    """`value` as an array of which the moduli are in [1e-50, 1e50]."""
    array = real(name, value)
    _require(name, array, array != 0, "not be zero")
    return _require(name, array, np.abs(array) >= 1 / LARGEST, f"be at least {1 / LARGEST} in size")


def tolerance(name: str, value: ArrayLike) -> float:
    """`value` as a positive float."""
    return float(positive(name, scalar(name, value)))


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """`value` as an int in [low, high]."""
    if isinstance(value, bool | np.timedelta64) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {shown(value)}")
    if value < low or (high is not None and value > high):
        valid = f"at least {low}" if high is None else f"in [{low}, {high}]"
        raise ValueError(f"{name} must be {valid}, got {shown(value)}")
    return int(value)


def integers(name: str, value: ArrayLike) -> NDArray[np.int64]:
    """`value` as an array of at most one axis, not empty."""
    try:
        array = np.asarray(plain(value))
        if array.size and (array.dtype.kind not in "iu" or array.ndim > 1):
            raise TypeError
    except (TypeError, ValueError, RuntimeError):
        valid = "an integer or a vector of integers"
        raise TypeError(f"{name} must be {valid}, got {shown(value)}") from None
    if not array.size:
        raise ValueError(f"{name} must hold at least one integer, got none")
    return array.astype(np.int64)


def count(name: str, value: Any, low: int) -> int:
    """`value` as an int, at least `low`, of things that are to be held in memory."""
    number = integer(name, value, low)
    if number > _MOST_VALUES:
        raise ValueError(f"{name} must be at most {_MOST_VALUES}, got {shown(value)}")
    return number


def shape(name: str, value: Any) -> tuple[int, ...]:
    """`value`, an integer or a sequence of them, as the shape of an array."""
    lengths = tuple(value) if isinstance(value, tuple | list) else (value,)
    lengths = tuple(count(name, length, 0) for length in lengths)
    count(name, prod(lengths), 0)
    return lengths


def choice(name: str, value: Any, options: tuple[str, ...]) -> str:
    """`value` if it is one of `options`."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)}, got {shown(value)}")
    return value


def sequence(name: str, value: Any) -> tuple[Any, ...]:
    """`value` as a tuple."""
    try:
        return tuple(value)
    except TypeError:
        raise TypeError(f"{name} must be a sequence, got {shown(value)}") from None


def instance(name: str, value: Any, kind: type) -> None:
    """Raise TypeError unless `value` is of the `kind`."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be of type {kind.__name__}, got {shown(value)}")


def boolean(name: str, value: Any) -> bool:
    """`value` as a bool."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def array(name: str, value: ArrayLike) -> NDArray[Any]:
    """`value` as an array of any type."""
    try:
        return np.asarray(plain(value))
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} must have one shape, got {shown(value)}") from None


def function(name: str, value: Callable[..., Any]) -> None:
    """Raise TypeError unless `value` can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be callable, got {shown(value)}")


def path(name: str, value: Any) -> Path:
    """`value` as a path."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a path, got {shown(value)}")
    return Path(value)


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


def shown(value: Any) -> str:
    """`value` as messages have it: one short line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def plain(value: Any) -> Any:
    """What NumPy takes: tensors of PyTorch on the CPU, without gradient, in a type that it has."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
        return value.double() if value.is_floating_point() and value.itemsize < 4 else value
    if np.ma.is_masked(value):
        raise TypeError("numpy would ignore the mask")
    return value
