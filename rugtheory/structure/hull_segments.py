"""A chain of chords and curves, and what there is on it at any ratio."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude
from . import precedence
from .hull_curves import COUPLINGS, FAMILIES, best_of
from .members import Node

# So many optima are found at a time: fewer points than would change how `optimum` starts.
_BLOCK = 512


class Segment(NamedTuple):
    """A part of the hull: a chord, or what a family has between two nodes."""

    low: Node
    high: Node
    chord: bool


class OnHull(NamedTuple):
    """At the ratios of a vector."""

    loss: Array
    family: NDArray[np.str_]
    fraction: Array
    a: Array
    b: Array
    coupling: Array

    @classmethod
    def none(cls, number: int) -> OnHull:
        """To be filled."""
        return cls(np.empty(number), np.empty(number, "U40"), *np.empty((4, number)))

    def put(self, where: NDArray[np.intp] | NDArray[np.bool_], found: OnHull) -> None:
        """Fill in what was found at some of the ratios."""
        for array, values in zip(self, found, strict=True):
            array[where] = values


def on_hull(
    chain: tuple[Segment, ...], p: float, ratio: Array, amplitude: Amplitude, noise: float
) -> OnHull:
    """What a chain is at the ratios of a vector."""
    found = OnHull.none(ratio.size)
    loss, family, fraction, a, b, coupling = found
    where = segments_at(chain, ratio)
    for k in np.unique(where):
        here, (low, high, chord) = where == k, chain[k]
        x = ratio[here]
        if not chord and low.size > 0:
            # Beside each other are codes of two sizes.
            n = np.clip(np.floor(2 / x), high.size, low.size)
            more = np.minimum(n + 1, low.size)
            losses = [precedence.limit(np.array(p), m, amplitude) for m in (more, n)]
            share = np.divide(x - 2 / more, 2 / n - 2 / more, out=np.ones_like(x), where=more > n)
            loss[here] = losses[0] + (losses[1] - losses[0]) * np.clip(share, 0, 1)
            family[here], fraction[here], a[here], b[here] = "precedence", 1.0, np.nan, np.nan
            coupling[here] = np.inf
        elif not chord:
            parts = [x[j : j + _BLOCK] for j in range(0, x.size, _BLOCK)]
            best = [best_of(low.family, p, part, amplitude, noise) for part in parts]
            loss[here], a[here], b[here] = (
                np.concatenate([getattr(one, name) for one in best]) for name in ("loss", "a", "b")
            )
            family[here], fraction[here], coupling[here] = low.family, 1.0, COUPLINGS[low.family]
        else:
            length = high.ratio - low.ratio
            rest, share = (high.ratio - x) / length, (x - low.ratio) / length
            loss[here] = rest * low.loss + share * high.loss
            fraction[here] = share if low.family == "dropped" else 1.0
            coupling[here] = np.where(rest > 0, max(low.coupling, high.coupling), high.coupling)
            both = low if np.isfinite(low.a) else high
            a[here], b[here] = both.a, both.b
            names = [one.family for one in (low, high) if one.family != "dropped"]
            family[here] = np.where(rest > 0, " and ".join(dict.fromkeys(names)), high.family)
            if high.family not in FAMILIES:
                for array in (a, b):
                    array[here] = np.where(rest > 0, array[here], np.nan)
            elif np.isfinite(low.a):
                a[here], b[here] = (
                    np.where(rest > 0, y, z) for y, z in ((low.a, high.a), (low.b, high.b))
                )
    return found


def segments_at(chain: tuple[Segment, ...], ratio: Array) -> NDArray[np.intp]:
    """Which segment each ratio is on."""
    return np.searchsorted([one.high.ratio for one in chain], ratio)
