"""Small codes whose weights were found by descents, and belong to no family known.

At p near 0.1 several features of a group are on at a time, and neither pairs nor graphs serve that:
exact descents of some 16 features in 4 hidden units, with a cap on couplings, end a fifth lower at
the same ratio, and copies side by side make weights of any size.  Their W, up to the length of its
rows, is data: ``python -m validation.found_codes`` says how it was found.  What a code loses is
computed at each p, with the best diagonals and biases there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from .._check import Array
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from .small_code import ROUGH, Directions, SmallCode, rough_losses

DATA = Path(__file__).with_name("found_codes.npz")


@cache
def table() -> dict[str, Directions]:
    """All codes by name, such as "15 in 4, p 0.1": p is where it was found."""
    with np.load(DATA) as kept:
        names = sorted({key.rpartition(".")[0] for key in kept})
        return {x: Directions(kept[f"{x}.w_in"], kept[f"{x}.w_out"]) for x in names}


def found_codes(
    p: float, amplitude: Amplitude, cap: float, known: Callable[[float], float], most: int
) -> Iterator[tuple[str, SmallCode]]:
    """Codes of couplings up to `cap` that lose less than `known` at their ratio, by their size.

    They have up to `most` features.
    """
    for name, directions in table().items():
        n_dense, n = directions.w_in.shape
        bar = known(n_dense / n)
        if n > most or directions.coupling > cap or _rough(name, p, amplitude) > (1 + ROUGH) * bar:
            continue
        code = _code(name, p, amplitude)
        if code.loss < bar:
            yield f"{n} in {n_dense}", code


@lru_cache(maxsize=4096)
def _rough(name: str, p: float, amplitude: Amplitude) -> float:
    return float(rough_losses([table()[name]], SparseSource(p, amplitude))[0])


@lru_cache(maxsize=1024)
def _code(name: str, p: float, amplitude: Amplitude) -> SmallCode:
    return SmallCode.of(table()[name], SparseSource(p, amplitude))


def directions_of(w_in: Array, w_out: Array) -> Directions:
    """W with its rows divided by their diagonals, in balanced factors."""
    lengths = np.einsum("ik,ki->i", w_out, w_in)
    w_out = w_out / lengths[:, None]
    u, s, v = np.linalg.svd(w_out @ w_in)
    root = np.sqrt(s[: len(w_in)])
    return Directions(root[:, None] * v[: len(w_in)], u[:, : len(w_in)] * root)
