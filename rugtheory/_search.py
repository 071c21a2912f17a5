"""Roots and minima of many functions at a time.

They are scipy's; scipy.optimize takes longer to import than this package and all else that it
needs, so it is imported by the first search.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._check import Array


def find_root(f: Callable[..., Array], bracket: tuple[Any, ...], args: tuple[Array, ...]) -> Any:
    """`scipy.optimize.elementwise.find_root`."""
    from scipy.optimize import elementwise

    return elementwise.find_root(f, bracket, args=args)


def find_minimum(f: Callable[..., Array], bracket: tuple[Any, ...], args: tuple[Array, ...]) -> Any:
    """`scipy.optimize.elementwise.find_minimum`."""
    from scipy.optimize import elementwise

    return elementwise.find_minimum(f, bracket, args=args)
