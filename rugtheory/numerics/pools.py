"""Threads of linear algebra, where NumPy and SciPy bring a pool each.

Wheels of both hold OpenBLAS, whose threads wait for more work without giving up their core.  Where
products of NumPy and steps of SciPy's L-BFGS take turns, the threads of one stand in the way of
the other: on two cores descents took three times as long as on one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any


@contextmanager
def one_pool() -> Iterator[None]:
    """SciPy's linear algebra on one thread, if it has a pool of its own; NumPy's is left alone."""
    with _of_scipy().limit(limits=1):
        yield


@lru_cache(maxsize=1)
def _of_scipy() -> Any:
    import scipy.linalg  # noqa: F401, which loads its library
    from threadpoolctl import ThreadpoolController

    every = ThreadpoolController()
    return every.select(filepath=[x["filepath"] for x in every.info() if _is_of_scipy(x)])


def _is_of_scipy(library: dict[str, Any]) -> bool:
    """Whether a library lies in SciPy's folder, or in one beside it as wheels have."""
    parts = Path(library["filepath"]).parts
    return library["user_api"] == "blas" and any(x in ("scipy", "scipy.libs") for x in parts)
