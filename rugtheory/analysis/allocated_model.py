"""Weights for independent features that differ, of structures side by side.

`shared_units` says which structures, as if a feature were among others of its p.  In place of the
last ones all features that are left may be spread over the hidden units that are left, at couplings
of low pair energy: of rare features none is dropped then.

Then features change places, within structures and between them, as long as that lowers what they
lose in pairs: a frequent one is better off beside rare ones.  In the end each output gets the
diagonal and the bias that are best for what it hears, by its exact loss.
"""

from __future__ import annotations

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
from ..structure.small_code import Directions
from .best_model import BestModel, side_by_side
from .descent import coupling, exceeds
from .pair_energy import LEAK, low_energy, pair_costs
from .places import placed
from .row_descent import Symmetric
from .shared_units import Part, Shared, shared_units

# Relative error of the loss of each output.
_RTOL = 1e-7
# Where spread features may begin, as parts of all.
_BEGINNINGS = (0, 1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4)
# How often units for spread features are looked for, by so many outputs, and up to which part of
# what blocks lose by scans they are believed to be better.
_ROUNDS, _ROWS, _WORTH = 2, 12, 1.1
# Scans are a few 1e-3 off: of what they say to lose up to so many times the least exact losses
# decide.
_NEAR = 1.02
# Pair energies that say so many times as much are not looked into.
_HOPELESS = 3.0


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
    `allocate` says what many features of each kind lose with the best structures, each kind by
    itself; these are weights for the features that there are, which may share structures.  Of 64
    features of importances 0.9^i and 0.97^i they lose 1 to 37 % less than
    ``allocate(..., family="best")``, of 128 of frequencies 0.3 i^-α from 14 % less to 2.3 times as
    much, and 4 to 82 % less than weights that training ends at in 17 cases of 20; with few hidden
    units for many rare features descents may end lower.  128 features take 10 to 60 seconds.  For
    features that are alike `best_model` knows more structures, and chooses by exact losses.

    Examples
    --------
    >>> import rugtheory as rt
    >>> features = rt.Independent(rt.zipf(16, 0.3, alpha=0.5))
    >>> best = rt.allocated_model(features, 8)
    >>> best.model, best.loss < rt.allocate(features, 8, family="pairs").loss
    (Model(n_sparse=16, n_dense=8), True)
    """
    independent(features)
    n_dense = _check.count("n_dense", n_dense, 1)
    cap = float(_check.positive("max_coupling", _check.scalar("max_coupling", max_coupling)))
    idle = features.importance * features.variance
    order = np.argsort(-idle, kind="stable")
    order = order[idle[order] > 0]
    if not order.size:
        return _made(features, n_dense, [])
    some, useful = list[list[Part]](), min(n_dense, order.size)
    for shared in shared_units(features, order, useful, cap):
        some.append(shared.blocks(order.size, useful))
        spread = _spread(shared, cap)
        if spread is not None:
            first, part = spread
            some.append([*shared.blocks(first, useful - part.directions.n_dense), part])
    some = [_placed(features, parts, cap) for parts in some]
    some = [x for x in some if not any(exceeds(y.directions.coupling, cap) for y in x)]
    rough = [_scanned(features, parts) for parts in some]
    near = (x for x, loss in zip(some, rough, strict=True) if loss <= _NEAR * min(rough))
    return min((_made(features, n_dense, parts) for parts in near), key=lambda x: x.loss)


def _spread(shared: Shared, cap: float) -> tuple[int, Part] | None:
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


def _spread_from(shared: Shared, first: int, cap: float) -> tuple[float, Part | None]:
    """What all features lose if those from `first` on are spread, and these; inf if none can be.

    Pair energies say how many hidden units to try first, and what is found there how far they are
    off.
    """
    best: tuple[float, Part | None] = np.inf, None
    scale, before = 1.0, 0
    for _ in range(_ROUNDS):
        units, loss = shared.units(first, scale)
        about = float(shared.total[shared.n_dense - units, first]) + loss
        if units in (0, before) or about > _HOPELESS * float(shared.total[-1, -1]):
            break
        members = shared.order[first:]
        low = _low(members.size, units, float(shared.p[first:].mean()), cap)
        part = Part("spread", members, low)
        found = _about(shared.features, _scaled(shared.features, part, cap))
        total = float(shared.total[shared.n_dense - units, first]) + found
        if total < best[0] and not exceeds(low.coupling, cap):
            best = total, part
        scale, before = scale * found / loss, units
    return best


def _low(n: int, units: int, p: float, cap: float) -> Directions:
    """Features over all of these hidden units, at couplings of low pair energy."""
    at = Symmetric(n, units)
    low = at.model(low_energy(at, np.random.default_rng(0), 1 / p, cap=cap))
    return Directions(low.w_in, low.w_out)


def _about(features: Features, part: Part) -> float:
    """Sum of importance times loss over a part, from scans of some outputs."""
    some = np.unique(np.linspace(0, part.members.size - 1, _ROWS).astype(np.intp))
    idle = features.variance[part.members]
    share = float(np.mean(_rough(features, part, some) / idle[some]))
    return share * float(features.importance[part.members] @ idle)


def _rough(features: Features, part: Part, some: NDArray[np.intp]) -> Array:
    """Losses of some outputs of a part, from scans."""
    laws, w = _heard(features, part), part.directions.w_out[some] @ part.directions.w_in
    found = (rough_least(laws(int(k), x, 0.0)[0][1]) for k, x in zip(some, w, strict=True))
    return np.array([x.loss for x in found])


def _scanned(features: Features, parts: list[Part]) -> float:
    """Sum of importance times loss with all other features dropped, from scans."""
    loss = features.variance.copy()
    for part in parts:
        loss[part.members] = _rough(features, part, np.arange(part.members.size))
    return float(features.importance @ loss)


def _made(features: Features, n_dense: int, parts: list[Part]) -> BestModel:
    """The model of some parts, all other features dropped."""
    families, loss, models = dict[str, int](), features.variance.copy(), []
    for part in parts:
        model, loss[part.members] = _decoded(features, part)
        models.append((part.members, model))
        families[part.family] = families.get(part.family, 0) + part.members.size
    left = len(features) - sum(families.values())
    if left:
        families["dropped"] = left
    model = side_by_side(models, n_dense, features.mean)
    mean = float(np.mean(features.importance * loss))
    return BestModel(model, mean, _RTOL * mean, coupling(model), families)


def _placed(features: Features, parts: list[Part], cap: float) -> list[Part]:
    """The same with features at better places."""
    if not parts:
        return parts
    sizes = np.cumsum([part.members.size for part in parts])
    members = np.concatenate([part.members for part in parts])
    cost = np.zeros((members.size, members.size))
    for part, end in zip(parts, sizes.tolist(), strict=True):
        some = slice(end - part.members.size, end)
        cost[some, some], _ = pair_costs(part.directions.w_out @ part.directions.w_in, LEAK)
    np.fill_diagonal(cost, 0.0)
    own = (features.importance * features.second_moment)[members]
    at = members[placed(cost, own, features.on_probability[members])]
    moved = zip(parts, np.split(at, sizes[:-1]), strict=True)
    return [_scaled(features, part._replace(members=some), cap) for part, some in moved]


def _scaled(features: Features, part: Part, cap: float) -> Part:
    """With W for features of their sizes, if its couplings are below the cap then."""
    sizes = np.array([features.amplitudes[i].rms for i in part.members.tolist()])
    if np.ptp(sizes) == 0:
        return part
    w = part.directions
    scaled = Directions(w.w_in / sizes, sizes[:, None] * w.w_out)
    return part if exceeds(scaled.coupling, cap) else part._replace(directions=scaled)


def _heard(features: Features, part: Part) -> RowLaws:
    """What outputs of a part hear: the features in it."""
    laws = tuple(features.amplitudes[i] for i in part.members.tolist())
    return RowLaws(Independent(features.on_probability[part.members], laws))


def _decoded(features: Features, part: Part) -> tuple[Model, Array]:
    """With the best diagonals and biases, and losses of outputs."""
    w_out, mean = part.directions.w_out, features.mean[part.members]
    laws, w = _heard(features, part), w_out @ part.directions.w_in
    found = [least_loss(laws(k, x, 0.0)[0][1], _RTOL) for k, x in enumerate(w)]
    a = np.array([x.a for x in found])
    b = np.array([x.bias(y) for x, y in zip(found, mean.tolist(), strict=True)])
    model = Model(part.directions.w_in, a[:, None] * w_out, b)
    return model, np.array([x.loss for x in found])
