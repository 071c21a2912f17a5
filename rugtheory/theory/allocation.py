r"""Who gets the hidden units: the allocation of capacity to features that are not alike.

By `capacity_bound` the capacities c_i of independent features add up to n_dense at most, and all
that do can be had.  With L_i(c) the loss of feature i at capacity c, that of identical features in
a structure of ratio c, the question is

.. math:: \min \sum_i I_i L_i(c_i) , \qquad \sum_i c_i = n_{dense} , \quad 0 ≤ c_i ≤ 1 .

For any price λ ≥ 0 of a hidden unit

.. math:: g(λ) = \sum_i \min_c [I_i L_i(c) + λ c] - λ\, n_{dense}

is a lower bound, and the greatest of them what is lost if each L_i is replaced by its lower convex
hull: on a chord of the hull some features of a kind are dropped, or have a hidden unit alone, and
the others are not.  Of features that are all different, one at most lies on a chord at the best
price.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from .._result import Result
from ..source.amplitude import Amplitude
from ..source.features import Features
from ..source.sparse import on_law
from ..source.uniform import Uniform
from .capacity_curves import ALONE, DROPPED, Indices, Table, curves_of
from .choosing import Choice, Prices, choose, price_of
from .family import FAMILIES, Family
from .interpolated import InterpolatedTable
from .many import Shares, share
from .sharing import Classes, Groups, Shared, best, exactly, places

# So many classes are searched; of more the price alone says what each gets.
_MANY = 1024
# So many curves are computed, for laws that take long fewer; for more they are interpolated over
# a grid of log p with this step.
_ROWS, _SLOW_ROWS = 512, 40
_STEP, _SLOW_STEP = 0.1, 0.4
# The ends of a chord are moved so many times.
_TURNS = 2


@dataclass(frozen=True, eq=False, repr=False)
class Allocation(Result):
    """Capacities of features that share hidden units; arrays have an element a feature.

    Attributes
    ----------
    family : str
    n_dense : float
    loss : float
        The mean of importance times loss.
    losses : ndarray
        Loss of each feature, without importance.
    capacity : ndarray
        Of each feature, in [0, 1]; they add up to `n_dense`, or to the number of features that
        matter if that is less.
    sigma : ndarray
        Standard deviation of the Gaussian interference per unit diagonal; inf of features dropped.
    a, b : ndarray
        Best diagonal and bias, as in `Optimum`, for "pairs" as in `AntipodalOptimum`; (0, mean) of
        features dropped, and (1, 0) of those alone.  For "best", `sigma`, a and b of features in
        superposition are NaN: see `best_known` at their capacity.
    dropped : ndarray of bool
        Features of capacity 0.
    multiplier : float
        λ/n, by how much `loss` falls with one more hidden unit.
    bound : float
        No allocation in the family loses less: the greatest g(λ), over n.
    error : float
        ``loss - bound``.
    """

    family: str
    n_dense: float
    loss: float
    losses: Array
    capacity: Array
    sigma: Array
    a: Array
    b: Array
    dropped: NDArray[np.bool_]
    multiplier: float
    bound: float
    error: float


def tabulate(
    family: Family, laws: tuple[Amplitude, ...], law: Indices, p: Array
) -> tuple[Table | InterpolatedTable, Indices]:
    """Curves for classes sorted by law and p, and which of them each has."""
    if not p.size:  # nothing to look up
        laws, law, p, new = (Uniform(),), np.zeros(1, np.intp), np.ones(1), np.ones(1, bool)
        family = FAMILIES["gaussian"]
    new = distinct(law, p)
    rows, step = (_ROWS, _STEP) if _quick(family, laws) else (_SLOW_ROWS, _SLOW_STEP)
    if new.sum() > rows:
        return InterpolatedTable(family, laws, law, p, step), np.arange(p.size)
    curves = [
        curve
        for k, one in enumerate(laws)
        if np.any(law == k)
        for curve in curves_of(family, one, tuple(p[new & (law == k)].tolist()))
    ]
    return Table(family, curves), (np.cumsum(new) - 1).astype(np.intp)


def distinct(law: Indices, p: Array) -> NDArray[np.bool_]:
    """The first of each law and p, sorted by these."""
    new = np.ones(p.size, bool)
    new[1:] = (np.diff(law) != 0) | (np.diff(p) != 0)
    return new


def classes_of(
    features: Features,
    family: Family,
    *,
    tables: Callable[..., tuple[Table | InterpolatedTable, Indices]] = tabulate,
    curves: bool = True,
) -> tuple[Classes, Indices]:
    """Features in classes, and the class of each; -1 of those that nothing is lost or won by.

    `tables` makes curves as `tabulate` does.
    """
    return _classes(features, family, tables, curves)


def shares_of(classes: Classes, n_dense: float) -> Shares:
    """The least loss, and how it comes about."""
    if n_dense >= classes.count.sum():
        return alone(classes)
    if isinstance(classes.table, InterpolatedTable) or classes.p.size > _MANY:
        return share(classes, n_dense, exact=_quick(classes.family, classes.laws))
    prices = price_of(classes, n_dense)
    choice = choose(classes, n_dense, prices)
    groups, price = choice.groups, choice.log_price
    start = Shared(classes, groups, price, places(classes, groups, price).s)
    shared = exactly(start, n_dense - choice.capacity)
    groups, s, capacity = _with_free(shared, choice)
    reading = classes.reading(groups.kind, s)
    # Between the capacity without noise and 1 some are in pairs and the others alone.
    inverse = classes.family.inverse
    spare = np.minimum((1 - capacity) * inverse / max(inverse - 1, 1e-300), 1.0)
    reading = reading._replace(loss=reading.loss * spare)
    if prices.jumping:
        dual, multiplier = _dual(classes, n_dense, prices)
    else:
        dual = float((groups.number * classes.importance[groups.kind]) @ reading.loss)
        multiplier = float(np.exp(shared.log_price))
    return Shares(groups, s, capacity, reading, dual, multiplier)


def alone(classes: Classes) -> Shares:
    """A hidden unit for each feature."""
    every = np.arange(classes.p.size)
    s, none = np.full(every.size, ALONE), np.zeros(every.size, np.intp)
    reading = classes.reading(every, s)
    return Shares(Groups(every, classes.count, none), s, s * s, reading, 0.0, 0.0)


def _quick(family: Family, laws: tuple[Amplitude, ...]) -> bool:
    """Whether exact losses of a million features take seconds."""
    return family.name == "gaussian" and set(laws) == {Uniform()}


def _with_free(shared: Shared, choice: Choice) -> tuple[Groups, Array, Array]:
    """Groups, noise and capacities with the one feature that is between pieces, if any."""
    classes, groups, s = shared.classes, shared.groups, shared.s
    capacity = classes.capacity(s)
    if choice.free is None:
        return groups, s, capacity
    c, top = choice.capacity, 1 / classes.family.inverse
    own = float(classes.family.noise(np.array(min(c, top)))) if c > 0 else DROPPED
    added = zip(groups, (choice.free, 1, 0), strict=True)
    groups = Groups(*(np.append(x, y) for x, y in added))
    return groups, np.append(s, ALONE if c == 1 else own), np.append(capacity, c)


def _classes(
    features: Features,
    family: Family,
    tables: Callable[..., tuple[Table | InterpolatedTable, Indices]],
    curves: bool,
) -> tuple[Classes, Indices]:
    p, importance = features.on_probability, np.asarray(features.importance, float)
    law = np.empty(p.size, np.intp)
    for k, members in enumerate(features.by_law.values()):
        law[members] = k
    matters = np.flatnonzero((features.variance > 0) & (importance > 0))
    keys = importance[matters], p[matters], law[matters]
    order = np.lexsort(keys)
    new = np.ones(order.size, bool)
    new[1:] = np.any([np.diff(key[order]) != 0 for key in keys], axis=0)
    member = np.full(p.size, -1, np.intp)
    member[matters[order]] = np.cumsum(new) - 1
    first = matters[order[new]]
    given = tuple(features.by_law)
    laws = tuple(on_law(1.0, one)[1] for one in given)
    share_on = np.array([float(on_law(1.0, one)[0]) for one in given])
    law, p = law[first], p[first] * share_on[law[first]]
    table, row = tables(family, laws, law, p if curves else p[:0])
    count = np.bincount(member[matters], minlength=first.size)
    weight, variance, mean = importance[first], features.variance[first], features.mean[first]
    return Classes(family, laws, law, p, weight, variance, mean, count, table, row), member


def _dual(classes: Classes, n_dense: float, prices: Prices) -> tuple[float, float]:
    """The greatest dual value where features lie on a chord, from exact losses, and its price."""
    kind = np.array(prices.jumping[:1])
    price, ends = (prices.low + prices.high) / 2, []
    for x in (prices.low, prices.high):
        group = Groups(kind, classes.count[kind], best(classes, x).piece[kind])
        ends.append(Shared(classes, group, price, places(classes, group, x).s))
    # The slope of the chord is stationary in the places of its ends.
    for _ in range(_TURNS):
        loss = [float(classes.reading(kind, x.s).loss[0]) for x in ends]
        capacity = [float(classes.capacity(x.s)[0]) for x in ends]
        slope = (loss[1] - loss[0]) / (capacity[0] - capacity[1])
        price = float(np.log(slope * classes.importance[kind[0]]))
        ends = [exactly(replace(x, log_price=price)) for x in ends]
    value = np.full(classes.p.size, np.inf)
    for near in (prices.low, prices.high):
        # Of other classes the piece is the same.
        some = np.arange(classes.p.size) if near == prices.low else np.array(prices.jumping)
        groups = Groups(some, classes.count[some], best(classes, near).piece[some])
        start = Shared(classes, groups, price, places(classes, groups, price).s)
        s = exactly(start).s
        losses = classes.reading(some, s).loss
        cost = classes.importance[some] * losses + np.exp(price) * classes.capacity(s)
        value[some] = np.minimum(value[some], cost)
    return float(classes.count @ value - np.exp(price) * n_dense), float(np.exp(price))


def result_of(
    features: Features, n_dense: float, classes: Classes, member: Indices, shares: Shares
) -> Allocation:
    """What is known of groups, feature by feature."""
    groups, s, capacity, reading, dual, price = shares
    with np.errstate(over="ignore"):
        sigma = np.sqrt(classes.variance[groups.kind]) * np.sinh(np.maximum(s, 0.0))
    # Of equal features the first have most.
    order = np.lexsort((-capacity, groups.kind))
    which = np.repeat(order, groups.number[order])
    owner = np.flatnonzero(member >= 0)
    owner = owner[np.argsort(member[owner], kind="stable")]
    n, variance = len(features), features.variance

    def of_all(some: Array, others: Array | float) -> Array:
        every = np.array(np.broadcast_to(others, n), float)
        every[owner] = some[which]
        return every

    losses, amounts = of_all(reading.loss, variance), of_all(capacity, 0.0)
    loss = float(np.mean(features.importance * losses))
    bound = min(dual / n, loss)
    return Allocation(
        family=classes.family.name,
        n_dense=n_dense,
        loss=loss,
        losses=losses,
        capacity=amounts,
        sigma=of_all(sigma, np.inf),
        a=of_all(reading.a, 0.0),
        b=of_all(reading.b, features.mean),
        dropped=amounts == 0,
        multiplier=price / n,
        bound=bound,
        error=loss - bound,
    )
