"""Small codes whose weights were found by descents, and belong to no family known.

At p near 0.1 several features of a group are on at a time, and neither pairs nor graphs serve that:
exact descents of some 16 features in 4 hidden units, with a cap on couplings, end a fifth lower at
the same ratio, and copies side by side make weights of any size.  Of fewer hidden units and at
lower p, large codes are better.  Their W, up to the length of its rows, is data:
``python -m validation.found_codes`` says how it was found.  What a code loses is computed at each
p, with the best diagonals and biases there.  Of a large one that takes seconds, so that
`best_known` has what a scan says, and for amplitudes other than uniform ones it may take minutes,
so that it is left out.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._check import Array
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from ..source.uniform import Uniform
from .small_code import Directions, SmallCode, rough_losses

DATA = Path(__file__).with_name("found_codes.npz")
# More features make a large code.
LARGE = 40


class Found(NamedTuple):
    """A code, and the p between which it is looked at.

    With amplitudes uniform on [0, 1] it is on the hull of all structures well within these.
    """

    directions: Directions
    least: float
    most: float

    @property
    def large(self) -> bool:
        """Whether its losses take long."""
        return self.directions.n > LARGE

    def serves(self, p: float, amplitude: Amplitude, cap: float) -> bool:
        """Whether it may be of use, with couplings up to `cap`; large ones take uniform laws."""
        known = not self.large or amplitude == Uniform()
        return known and self.least <= p <= self.most and self.directions.coupling <= cap

    @property
    def size(self) -> str:
        """In words, such as "15 in 4"."""
        return f"{self.directions.n} in {self.directions.n_dense}"


@cache
def table() -> dict[str, Found]:
    """All codes by name, such as "15 in 4, p 0.1": p is where it was found."""
    with np.load(DATA) as kept:
        names = sorted({key.rpartition(".")[0] for key in kept})
        return {
            x: Found(
                Directions(kept[f"{x}.w_in"], kept[f"{x}.w_out"]), *kept[f"{x}.range"].tolist()
            )
            for x in names
        }


@lru_cache(maxsize=4096)
def rough_loss(name: str, p: float, amplitude: Amplitude) -> float:
    """Its loss by scans, good to a few per cent."""
    return float(rough_losses([table()[name].directions], SparseSource(p, amplitude))[0])


@lru_cache(maxsize=1024)
def code_at(name: str, p: float, amplitude: Amplitude, noise: float = 0.0) -> SmallCode:
    """A code with its best diagonals and biases, where there is this noise in the hidden units."""
    return SmallCode.of(table()[name].directions, SparseSource(p, amplitude), noise)


def directions_of(w_in: Array, w_out: Array) -> Directions:
    """W with its rows divided by their diagonals, in balanced factors."""
    lengths = np.einsum("ik,ki->i", w_out, w_in)
    w_out = w_out / lengths[:, None]
    u, s, v = np.linalg.svd(w_out @ w_in)
    root = np.sqrt(s[: len(w_in)])
    return Directions(root[:, None] * v[: len(w_in)], u[:, : len(w_in)] * root)
