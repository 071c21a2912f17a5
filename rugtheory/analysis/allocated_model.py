r"""Weights for independent features that differ, of structures side by side.

With features in the order of what they lose if dropped, I_i v_i, the least that the first m of them
lose in u hidden units, in blocks of neighbours in that order, is

.. math:: G(u, m) = \min\{G(u - 1, m),\ G(u, m - 1) + I_m v_m,\
    \min_b G(u - u_b, m - n_b) + \sum_{i = m - n_b + 1}^m I_i L_b(p_i)\} ,

with u_b hidden units, n_b features, and L_b(p) what one feature of a block loses among others of
its p.  In place of the last blocks all features that are left may be spread over the hidden units
that are left, at couplings of low pair energy: of rare features none is dropped then.

Then features change places, within blocks and between them, as long as that lowers what they lose
in pairs: L_b(p) is what they would lose among others of their p, and a frequent one is better off
beside rare ones.  In the end each output gets the diagonal and the bias that are best for what it
hears, by its exact loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _check
from .._check import Array
from ..channel.least import least_loss, rough_least
from ..channel.row_laws import RowLaws
from ..model.model import Model
from ..source.features import Features
from ..source.independent import Independent
from ..structure.allocation import independent
from ..structure.best import MAX_COUPLING
from ..structure.pieces import Piece, Pieces, pieces_of
from ..structure.small_code import Directions
from .best_model import BestModel
from .descent import coupling, exceeds
from .pair_energy import LEAK, PairEnergy, low_energy, pair_costs
from .places import placed
from .row_descent import Symmetric

# Relative error of the loss of each output.
_RTOL = 1e-7
# Of spread features: where they may begin, as parts of all, and hidden units of so many at which
# their energies are known.
_BEGINNINGS = (0, 1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4)
_UNITS, _FEATURES = (2, 3, 4, 6, 8, 12, 16, 24, 32), 64
# Descents on the pair energy: steps, the least gain, and the cost of positive couplings in general.
_STEPS, _GAIN, _LEAK = 300, 1e-6, 30.0
_NOT_USED, _DROPPED = -1, -2
# How often the mean p of features that share units is looked for anew.
_MEANS = 3
# How often units for spread features are looked for, by so many outputs, and up to which part of
# what blocks lose by scans they are believed to be better.
_ROUNDS, _ROWS, _WORTH = 2, 12, 1.1
# Pair energies that say so many times as much are not looked into.
_HOPELESS = 3.0


class _Part(NamedTuple):
    """Features that share hidden units, and their W."""

    family: str
    members: NDArray[np.intp]
    directions: Directions


class _Decoded(NamedTuple):
    """The rows of W_out, biases and losses of the outputs of a part."""

    w_out: Array
    b: Array
    loss: Array


def allocated_model(
    features: Features, n_dense: int, *, max_coupling: float = MAX_COUPLING
) -> BestModel:
    """Weights for independent features that differ, of blocks of structures side by side.

    Parameters
    ----------
    features : Features
        Independent, of amplitudes that are not negative.
    n_dense : int
        Number of hidden units.
    max_coupling : float > 0
        Largest |W_ij|/W_ii over features that are alive.

    Returns
    -------
    BestModel
        Its loss is the mean of importance times squared error.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range, or features depend on each other or may be negative.

    Notes
    -----
    `allocate` says what many features of each kind lose with the best structures; these are
    weights for those that there are.  Where frequencies fall slowly, or hidden units are many, they
    lose less than training and descents from random weights end at, within a tenth or so of
    ``allocate(..., family="best")``.  Where few hidden units serve many rare features, descents end
    lower.  128 features take ten to twenty seconds.  For features that are alike `best_model` knows
    more structures and exact losses of all.

    Examples
    --------
    >>> import rugtheory as rt
    >>> features = rt.Independent(rt.zipf(40, 0.3, alpha=0.5))
    >>> best = rt.allocated_model(features, 20)
    >>> best.model, best.loss < rt.allocate(features, 20, family="pairs").loss
    (Model(n_sparse=40, n_dense=20), True)
    """
    independent(features)
    n_dense = _check.count("n_dense", n_dense, 1)
    cap = float(_check.positive("max_coupling", _check.scalar("max_coupling", max_coupling)))
    idle = features.importance * features.variance
    order = np.argsort(-idle, kind="stable")
    order = order[idle[order] > 0]
    if not order.size:
        return _made(features, n_dense, [], cap)
    found = []
    for shared in _shared(features, order, n_dense, cap):
        found.append(_made(features, n_dense, shared.blocks(order.size, n_dense), cap))
        spread = _spread(shared, cap)
        if spread is not None:
            first, part = spread
            before = shared.blocks(first, n_dense - part.directions.n_dense)
            found.append(_made(features, n_dense, [*before, part], cap))
    return min((x for x in found if not exceeds(x.coupling, cap)), key=lambda x: x.loss)


def _shared(
    features: Features, order: NDArray[np.intp], n_dense: int, cap: float
) -> Iterator[_Shared]:
    """With blocks of neighbours, and of features that hear the mean of all that share units."""
    pieces, losses = _pieces(features, order, cap)
    shared = _Shared(features, order, n_dense, pieces, losses)
    yield shared
    p = features.on_probability[order]
    if np.ptp(p) > 0:
        for _ in range(_MEANS):
            mean = shared.mean_p()
            shared = _Shared(features, order, n_dense, pieces, losses * (mean / p))
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


class _Shared:
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

    def blocks(self, m: int, u: int) -> list[_Part]:
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
                found.append(_Part(piece.family, members, piece.directions(p)))
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
        end = low_energy(at, np.random.default_rng(0), _LEAK, _STEPS, _GAIN)
        found.append(PairEnergy(at, _LEAK)(end)[0])
    return np.array(found)


def _energies(ratio: Array) -> Array:
    known = np.log(np.array(_UNITS) / _FEATURES)
    return np.asarray(np.exp(np.interp(np.log(ratio), known, np.log(_energy_table()))))


def _spread(shared: _Shared, cap: float) -> tuple[int, _Part] | None:
    """Where spread features begin, and their weights; None if blocks are better."""
    n, most = shared.order.size, _WORTH * float(shared.total[-1, -1])
    firsts = np.unique(np.array(_BEGINNINGS) * n).astype(np.intp)
    found = {int(first): _spread_from(shared, int(first), cap) for first in firsts}
    # Again next to the best of these.
    k = int(np.argmin([found[int(first)][0] for first in firsts]))
    for first in (firsts[max(k - 1, 0)] + firsts[k], firsts[k] + np.append(firsts, n)[k + 1]):
        if int(first) // 2 not in found:
            found[int(first) // 2] = _spread_from(shared, int(first) // 2, cap)
    first = min(found, key=lambda x: found[x][0])
    total, part = found[first]
    return (first, part) if part is not None and total < most else None


def _spread_from(shared: _Shared, first: int, cap: float) -> tuple[float, _Part | None]:
    """What all features lose if those from `first` on are spread, and these; inf if none can be.

    Pair energies say how many hidden units to try first, and what is found there how far they are
    off.
    """
    best: tuple[float, _Part | None] = np.inf, None
    scale, before = 1.0, 0
    for _ in range(_ROUNDS):
        units, loss = shared.units(first, scale)
        about = float(shared.total[shared.n_dense - units, first]) + loss
        if units in (0, before) or about > _HOPELESS * float(shared.total[-1, -1]):
            break
        members = shared.order[first:]
        low = _low(members.size, units, float(shared.p[first:].mean()), cap)
        part = _scaled(shared.features, _Part("spread", members, low), cap)
        found = _about(shared.features, part)
        total = float(shared.total[shared.n_dense - units, first]) + found
        if total < best[0] and not exceeds(part.directions.coupling, cap):
            best = total, part
        scale, before = scale * found / loss, units
    return best


def _low(n: int, units: int, p: float, cap: float) -> Directions:
    """Features over all of these hidden units, at couplings of low pair energy."""
    at = Symmetric(n, units)
    end = low_energy(at, np.random.default_rng(0), 1 / p, _STEPS, _GAIN, cap=cap)
    low = at.model(end)
    return Directions(low.w_in, low.w_out / low.diagonal[:, None])


def _about(features: Features, part: _Part) -> float:
    """Sum of importance times loss over a part, from scans of some outputs."""
    some = np.unique(np.linspace(0, part.members.size - 1, _ROWS).astype(np.intp))
    laws, w = _heard(features, part), part.directions.w_out[some] @ part.directions.w_in
    loss = [rough_least(laws(int(k), x, 0.0)[0][1]).loss for k, x in zip(some, w, strict=True)]
    idle = features.variance[part.members]
    share = float(np.mean(np.array(loss) / idle[some]))
    return share * float(features.importance[part.members] @ idle)


def _made(features: Features, n_dense: int, parts: list[_Part], cap: float) -> BestModel:
    """The model of some parts, all other features dropped."""
    n, weight, families = len(features), features.importance, dict[str, int]()
    parts = _placed(features, parts, cap)
    w_in: Array = np.zeros((n_dense, n))
    w_out, b = np.zeros((n, n_dense)), features.mean.copy()
    loss, row = features.variance.copy(), 0
    for part in parts:
        made, rows = _decoded(features, part), slice(row, row + part.directions.n_dense)
        w_in[rows, part.members], w_out[part.members, rows] = part.directions.w_in, made.w_out
        b[part.members], loss[part.members] = made.b, made.loss
        families[part.family] = families.get(part.family, 0) + part.members.size
        row = rows.stop
    left = n - sum(families.values())
    if left:
        families["dropped"] = left
    model, mean = Model(w_in, w_out, b), float(np.mean(weight * loss))
    return BestModel(model, mean, _RTOL * mean, coupling(model), families)


def _placed(features: Features, parts: list[_Part], cap: float) -> list[_Part]:
    """The same with features at better places."""
    if not parts:
        return parts
    sizes = np.cumsum([part.members.size for part in parts])
    members = np.concatenate([part.members for part in parts])
    cost = np.zeros((members.size, members.size))
    for part, end in zip(parts, sizes.tolist(), strict=True):
        some = slice(end - part.members.size, end)
        cost[some, some] = pair_costs(part.directions.w_out @ part.directions.w_in, LEAK)
    np.fill_diagonal(cost, 0.0)
    own = (features.importance * features.second_moment)[members]
    at = members[placed(cost, own, features.on_probability[members])]
    moved = zip(parts, np.split(at, sizes[:-1]), strict=True)
    return [_scaled(features, part._replace(members=some), cap) for part, some in moved]


def _scaled(features: Features, part: _Part, cap: float) -> _Part:
    """With W for features of their sizes, if its couplings are below the cap then."""
    sizes = np.array([features.amplitudes[i].rms for i in part.members.tolist()])
    if np.ptp(sizes) == 0:
        return part
    w = part.directions
    scaled = Directions(w.w_in / sizes, sizes[:, None] * w.w_out)
    return part if exceeds(scaled.coupling, cap) else part._replace(directions=scaled)


def _heard(features: Features, part: _Part) -> RowLaws:
    """What outputs of a part hear: the features in it."""
    laws = tuple(features.amplitudes[i] for i in part.members.tolist())
    return RowLaws(Independent(features.on_probability[part.members], laws))


def _decoded(features: Features, part: _Part) -> _Decoded:
    w_out, mean = part.directions.w_out, features.mean[part.members]
    laws, w = _heard(features, part), w_out @ part.directions.w_in
    found = [least_loss(laws(k, x, 0.0)[0][1], _RTOL) for k, x in enumerate(w)]
    a = np.array([x.a for x in found])
    b = np.array([-x.a * x.threshold if x.a > 0 else y for x, y in zip(found, mean, strict=True)])
    return _Decoded(a[:, None] * w_out, b, np.array([x.loss for x in found]))
