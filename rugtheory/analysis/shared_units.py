r"""How features that differ share hidden units out among blocks of structures.

With features in the order of what they lose if dropped, I_i v_i, the least that the first m of them
lose in u hidden units, in blocks of neighbours in that order, is

.. math:: G(u, m) = \min\{G(u - 1, m),\ G(u, m - 1) + I_m v_m,\
    \min_b G(u - u_b, m - n_b) + \sum_{i = m - n_b + 1}^m I_i L_b(p_i)\} ,

with u_b hidden units, n_b features, and L_b(p) what one feature of a block loses among others of
its p, or of the mean p of all that share hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.features import Features
from ..structure.pieces import Piece, Pieces, pieces_of
from ..structure.small_code import Directions
from .pair_energy import PairEnergy, low_energy
from .row_descent import Symmetric

# Spread features: hidden units of so many at which their energies are known, and the cost of
# positive couplings in them.
_UNITS, _FEATURES, _LEAK = (2, 3, 4, 6, 8, 12, 16, 24, 32), 64, 30.0
_NOT_USED, _DROPPED = -1, -2
# How often the mean p of features that share units is looked for anew.
_MEANS = 3


class Part(NamedTuple):
    """Features that share hidden units, and their W."""

    family: str
    members: NDArray[np.intp]
    directions: Directions


def shared_units(
    features: Features, order: NDArray[np.intp], n_dense: int, cap: float
) -> Iterator[Shared]:
    """With blocks of neighbours, and of features that hear the mean of all that share units."""
    pieces, losses = _pieces(features, order, cap)
    shared = Shared(features, order, n_dense, pieces, losses)
    yield shared
    p = features.on_probability[order]
    if np.ptp(p) > 0:
        for _ in range(_MEANS):
            mean = shared.mean_p()
            shared = Shared(features, order, n_dense, pieces, losses * (mean / p))
        yield shared


def _pieces(features: Features, order: NDArray[np.intp], cap: float) -> tuple[list[Piece], Array]:
    """All of them, and what each feature loses in each, shape (pieces, features)."""
    p, known, losses = features.on_probability[order], list[Pieces](), list[Array]()
    laws = np.array(features.amplitudes, dtype=object)[order]
    for law in dict.fromkeys(laws.tolist()):
        some = np.array([x == law for x in laws])
        of_law = pieces_of(p[some], law, cap, order.size)
        if not known:
            losses = [np.zeros(order.size) for _ in of_law.pieces]
        known.append(of_law)
        for loss, piece in zip(losses, of_law.pieces, strict=True):
            loss[some] = of_law.losses(piece, p[some])
    return known[0].pieces, np.array(losses)


class Shared:
    """The recursion, over features in an order and hidden units."""

    def __init__(
        self,
        features: Features,
        order: NDArray[np.intp],
        n_dense: int,
        pieces: list[Piece],
        losses: Array,
    ) -> None:
        self.features, self.order, self.n_dense = features, order, n_dense
        self.p, self.importance = features.on_probability[order], features.importance[order]
        idle = self.importance * features.variance[order]
        self.dropped = np.append(0.0, np.cumsum(idle))
        self.pieces = pieces
        self.added = np.cumsum(np.pad(self.importance * losses, ((0, 0), (1, 0))), axis=1)
        self._recursion()

    def mean_p(self) -> float:
        """Of the features that share hidden units."""
        sharing = [
            part.members
            for part in self.blocks(self.order.size, self.n_dense)
            if part.members.size > 1
        ]
        if not sharing:
            return float(np.mean(self.p))
        return float(np.mean(self.features.on_probability[np.concatenate(sharing)]))

    def _recursion(self) -> None:
        n = self.order.size
        total, choice = [self.dropped], [np.full(n + 1, _DROPPED)]
        for u in range(1, self.n_dense + 1):
            best, which = total[-1].copy(), np.full(n + 1, _NOT_USED)
            for k, (piece, added) in enumerate(zip(self.pieces, self.added, strict=True)):
                if piece.units > u or piece.size > n:
                    continue
                before = total[u - piece.units][: n + 1 - piece.size]
                value = before + added[piece.size :] - added[: n + 1 - piece.size]
                better = value < best[piece.size :]
                best[piece.size :][better], which[piece.size :][better] = value[better], k
            # Those that are dropped after the m where it pays most.
            gap = best - self.dropped
            lowest = np.minimum.accumulate(gap)
            fewer = lowest < gap
            best[fewer], which[fewer] = (lowest + self.dropped)[fewer], _DROPPED
            total.append(best)
            choice.append(which)
        self.total, self._choice = np.array(total), np.array(choice)

    def blocks(self, m: int, u: int) -> list[Part]:
        """The best ones for the first `m` features in `u` hidden units."""
        found = []
        while m > 0 and u > 0:
            k = int(self._choice[u, m])
            if k == _NOT_USED:
                u -= 1
            elif k == _DROPPED:
                m -= 1
            else:
                piece = self.pieces[k]
                members = self.order[m - piece.size : m]
                p = float(np.exp(np.mean(np.log(self.p[m - piece.size : m]))))
                found.append(Part(piece.family, members, piece.directions(p)))
                m, u = m - piece.size, u - piece.units
        return found[::-1]

    def units(self, first: int, scale: float) -> tuple[int, float]:
        """Hidden units for features spread from `first` on, and about what these lose; 0 if none.

        Each hears the others in proportion to their p, and loses `scale` times what pair energies
        say.
        """
        n, d = self.order.size, self.n_dense
        u = np.arange(2, min(d, n - first - 1) + 1)
        if not u.size:
            return 0, 0.0
        p, importance = self.p[first:], self.importance[first:]
        about = scale * float(np.mean(p) * (importance @ p)) * _energies(u / (n - first))
        k = int(np.argmin(self.total[d - u, first] + about))
        return int(u[k]), float(about[k])


@cache
def _energy_table() -> Array:
    """Pair energies of few features, by their hidden units."""
    found = []
    for units in _UNITS:
        at = Symmetric(_FEATURES, units)
        end = low_energy(at, np.random.default_rng(0), _LEAK)
        found.append(PairEnergy(at, _LEAK)(end)[0])
    return np.array(found)


def _energies(ratio: Array) -> Array:
    known = np.log(np.array(_UNITS) / _FEATURES)
    return np.asarray(np.exp(np.interp(np.log(ratio), known, np.log(_energy_table()))))
