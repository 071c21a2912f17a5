"""Structures that features of about one frequency may form: what they lose, and their weights.

Losses are those of features that are alike, by scans at some p, which are good to a few per cent:
enough to choose by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from .._check import Array
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from . import found_codes
from .graph_optimum import best_graph, scanned_graphs
from .graphs import TABLE, graph_code
from .small_code import Directions, rough_losses

# W_12 of pairs whose W_21 is its inverse.
_PAIRS = (1.0, 0.8, 0.6, 0.45, 1 / 3)
# Losses are taken at so many p and fewer, at one if those of features are within this factor.
_SAMPLES, _ONE = 6, 1.001


class Piece(NamedTuple):
    """Hidden units, features, the loss of one in units of p² at some p, and what makes a W."""

    family: str
    units: int
    size: int
    loss: Array
    directions: Callable[[float], Directions]


class Pieces(NamedTuple):
    """All pieces of couplings up to a cap, at the p of features of one law."""

    p: Array
    pieces: list[Piece]

    def losses(self, piece: Piece, p: Array) -> Array:
        """Of one feature of each p among others of its own p."""
        log = np.log(np.maximum(piece.loss, np.finfo(float).tiny))
        return np.asarray(p**2 * np.exp(np.interp(np.log(p), np.log(self.p), log)))


def pieces_of(p: Array, amplitude: Amplitude, cap: float, most: int) -> Pieces:
    """Those of at most `most` features, for features with the probabilities `p`."""
    low, high = float(p.min()), float(p.max())
    alike = high <= _ONE * low
    at = np.array([low]) if alike else np.geomspace(low, high, min(_SAMPLES, p.size))
    found = [Piece("singles", 1, 1, np.zeros(at.size), partial(_given, _pair(0.0, 1)))]
    for family, code in _codes(cap):
        if code.n <= most:
            loss = [rough_losses([code], SparseSource(q, amplitude))[0] / q**2 for q in at.tolist()]
            made = partial(_given, code)
            found.append(Piece(family, code.n_dense, code.n, np.array(loss), made))
    graphs = tuple(x for x, graph in TABLE.items() if graph.n <= most and 1 / graph.theta <= cap)
    scans = [scanned_graphs(graphs, q, amplitude) if graphs else [] for q in at.tolist()]
    for k, name in enumerate(graphs):
        loss = [scan[k].loss / q**2 for scan, q in zip(scans, at.tolist(), strict=True)]
        graph, made = TABLE[name], partial(_graph, name, amplitude)
        found.append(Piece(name, graph.n_dense, graph.n, np.array(loss), made))
    return Pieces(at, found)


def _codes(cap: float) -> Iterator[tuple[str, Directions]]:
    for coupling in _PAIRS:
        if 1 / coupling <= cap:
            yield "antipodal" if coupling == 1 else "uneven pairs", _pair(coupling, 2)
    for code in found_codes.table().values():
        if code.directions.coupling <= cap and not code.large:
            yield code.size, code.directions


def _pair(coupling: float, n: int) -> Directions:
    """Two features in a hidden unit, or the first of them."""
    w_in, w_out = np.array([[1.0, -coupling]]), np.array([[1.0], [-1 / (coupling or 1.0)]])
    return Directions(w_in[:, :n], w_out[:n])


def _given(code: Directions, _: float) -> Directions:
    return code


def _graph(name: str, amplitude: Amplitude, p: float) -> Directions:
    code, lift = graph_code(name), best_graph(name, p, amplitude)[2]
    return Directions(code.w_in, code.w_out(1.0, lift))
