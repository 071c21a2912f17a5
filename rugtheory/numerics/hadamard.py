"""The fast Walsh-Hadamard transform."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array

# Best or near it among radices 8 to 64, measured for lengths 2¹² to 2²² in both precisions.
_LOG_RADIX = 4


def fwht(x: ArrayLike, axis: int = -1) -> NDArray[Any]:
    """Walsh–Hadamard transform, unnormalised and in natural (Sylvester) order.

    ``fwht(x)[i] = Σ_j (-1)^popcount(i AND j) x[j]``; applied twice it multiplies by the length.

    Parameters
    ----------
    x : array_like
        Real; float32 stays float32, everything else becomes float64.
    axis : int
        The axis to transform; its length must be a power of two.

    Returns
    -------
    ndarray
        Same shape as `x`, contiguous, never `x` itself.  Exact where Σ|x_j| of integers stays
        within 2⁵³ (float32: 2²⁴).  Two such arrays are the most that is held at a time.

    Raises
    ------
    ValueError, TypeError
        If the length is no power of two, or `x` is not real and finite.

    Examples
    --------
    >>> import rugtheory as rt
    >>> rt.fwht([1, 0, 2, 0])
    array([ 3.,  3., -1., -1.])
    """
    x = real_array("x", x)
    if x.ndim == 0:
        raise ValueError(f"x must have at least one axis, got the scalar {x}")
    axis = _check.integer("axis", axis, -x.ndim, x.ndim - 1) % x.ndim
    log_n = log2("length of x along axis", x.shape[axis])
    kind = np.float32 if x.dtype == np.float32 else np.float64
    y = np.ascontiguousarray(x, kind)
    most = float(np.finfo(kind).max) / x.shape[axis]
    largest = max(y.max(initial=0), -y.min(initial=0))
    if largest > most:
        raise ValueError(f"x must lie in [{-most:.3g}, {most:.3g}], got modulus {largest}")
    # H_n is the Kronecker product of small factors, one for a few binary digits of the index;
    # a product with each over its own digits leaves the other axes where they are.
    left, right = prod(x.shape[: axis + 1]), prod(x.shape[axis + 1 :])
    passes = max(1, -(-log_n // _LOG_RADIX))
    for k in range(passes):
        h = _sylvester(log_n // passes + (k < log_n % passes), y.dtype.char)
        left //= len(h)
        if right == 1:  # one large product instead of many products with a column
            y = y.reshape(left, len(h)) @ h
        else:
            y = h @ y.reshape(left, len(h), right)
        right *= len(h)
    return y.reshape(x.shape)


@cache
def _sylvester(bits: int, dtype: str) -> NDArray[Any]:
    index = np.arange(2**bits)
    h = signs(index[:, None], index).astype(dtype)
    h.flags.writeable = False
    return h


def signs(i: NDArray[Any], j: NDArray[Any]) -> Array:
    """H_ij = (-1)^popcount(i AND j)."""
    return np.where(np.bitwise_count(np.bitwise_and(i, j)) & 1, -1.0, 1.0)


def real_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """`value` as a real array of any type."""
    try:
        array = np.asarray(_check.plain(value))
        if array.dtype.kind not in "biuf":
            raise TypeError
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a real array, got {_check.shown(value)}") from None
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)].flat[0]}")
    return array


def log2(name: str, n: int) -> int:
    if n < 1 or n & (n - 1):
        raise ValueError(f"{name} must be a power of two, got {n}")
    return n.bit_length() - 1
