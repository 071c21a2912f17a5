"""Roots and minima of many functions at a time.

They are scipy's; scipy.optimize takes longer to import than this package and all else that it
needs, so it is imported by the first search.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._check import Array

_BRACKETING = 30


def find_root(f: Callable[..., Array], bracket: tuple[Any, ...], args: tuple[Array, ...]) -> Any:
    """`scipy.optimize.elementwise.find_root`."""
    from scipy.optimize import elementwise

    return elementwise.find_root(f, bracket, args=args)


def find_minimum(
    f: Callable[..., Array], bracket: tuple[Any, ...], args: tuple[Array, ...], **tolerances: float
) -> Any:
    """`scipy.optimize.elementwise.find_minimum`."""
    from scipy.optimize import elementwise

    return elementwise.find_minimum(f, bracket, args=args, tolerances=tolerances)


def bracket_minimum(
    f: Callable[..., Array], middle: Array, *, xl0: Array, xr0: Array, args: tuple[Array, ...]
) -> Any:
    """`scipy.optimize.elementwise.bracket_minimum`, in few steps."""
    from scipy.optimize import elementwise

    return elementwise.bracket_minimum(f, middle, xl0=xl0, xr0=xr0, args=args, maxiter=_BRACKETING)
