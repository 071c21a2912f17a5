"""The best diagonal, bias and lift of a graph code, from the loss of its one row."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from ..channel.least import least_at, least_loss, leasts, rough_least
from ..channel.row_loss import Least, Row, RowLaw
from ..channel.row_scan import Lowest, Rows, lowest_of, together
from ..numerics.search import polynomial_minimum, sample_points
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource, on_law
from ..source.uniform import Uniform
from ..theory.pairs import ONE_SIGN
from .graphs import GRAPHS, TABLE, GraphOptimum

# Of losses compared near the best, and of the loss returned.
_POLISH, _FINAL = 1e-6, 1e-9
# Of scans that are believed, the difference from an exact loss.
_BELIEVED = 5e-3
# Of scans whose threshold is not looked at again; with 2e-6 losses were up to 2e-7 above the least.
_SURE = 1e-7
# How far from the threshold of a scan the minimum is looked for.
_NEAR = 0.01
# Below so many active neighbours, b and μ change the loss by less than 1e-4 of it.
_RARE = 1e-3
# From so many on, transforms decay fast: roots of the numbers of nodes, of fewer and of more.
_MANY = 0.5
_ROOTS, _FINE_ROOTS = (24, 16), ((24, 40), (16, 24))
# Lifts that are tried, in units of that of the linear decoder, and how the best is refined.
_LIFTS = np.append(0.0, np.geomspace(3e-3, 1.2, 5))
_SHORTER, _KINKED = 8.0, 4


class ScannedGraph(NamedTuple):
    """The least loss of a scan over lifts, and the lifts on both sides, 0 where there is no need.

    Where so few neighbours are on a = 1 and b = μ = 0 are best.
    """

    name: str
    loss: float
    low: float
    high: float


def graph_optimum(p: ArrayLike, name: str, *, amplitude: Amplitude = Uniform()) -> GraphOptimum:
    """The least loss of a graph code over a, b and μ.

    Parameters
    ----------
    p : array_like in (0, 1]
        Probability that a feature is on, at least 1e-140.
    name : str
        See `graph_code`.
    amplitude : Amplitude
        Law of a feature that is on.

    Returns
    -------
    GraphOptimum
        `loss` is that of the a, b and μ returned, to 1e-9 of it (measured 1e-9 for Uniform, 8e-6
        for Exponential amplitudes and p = 1e-100), and least to 1e-5, for less than 0.1 active
        neighbours to 2e-3.  It is at most that of the linear decoder, v(p)(1 - r), which competes.
        A new p takes some tenths of a second, for discrete laws up to some seconds, which are
        remembered.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> code = rt.graph_optimum(0.01, "M22")
    >>> print(f"{code.loss / rt.antipodal_optimum(0.01, code.ratio).loss:.2f}")
    0.62
    """
    _check.choice("name", name, GRAPHS)
    given = _check.probability("p", p)
    p, amplitude = on_law(p, amplitude, least=_check.LEAST_P, positive=ONE_SIGN)
    found = [best_graph(name, float(q), amplitude) for q in p.ravel()]
    a, b, lift, loss = np.array(found).reshape(-1, 4).T.reshape(4, *p.shape)
    return GraphOptimum(given, TABLE[name].ratio, a, b, lift, loss)


def interferers(name: str, lift: float) -> Array:
    """What a feature hears from the others, for a diagonal of 1."""
    graph = TABLE[name]
    kinds = np.array([lift - 1 / graph.theta, lift]) / (1 + lift)
    weights = np.repeat(kinds, [graph.degree, graph.n - 1 - graph.degree])
    return np.asarray(weights[weights != 0])


def graph_coupling(name: str, lift: float) -> float:
    """The largest of these, without its sign."""
    return max(abs(lift - 1 / TABLE[name].theta), abs(lift)) / (1 + lift)


def _law(name: str, lift: float, source: SparseSource) -> RowLaw:
    return RowLaw.identical(interferers(name, lift), source)


@lru_cache(maxsize=256)
def scanned_graphs(names: tuple[str, ...], p: float, amplitude: Amplitude) -> list[ScannedGraph]:
    """The least losses of graphs over a, b and a grid of lifts."""
    source = SparseSource(p, amplitude)
    rare = [x for x in names if TABLE[x].degree * p <= _RARE or not source.variance > 0]
    found = [ScannedGraph(x, _best(x, p, amplitude, 0.0, 0.0)[3], 0.0, 0.0) for x in rare]
    rest = [x for x in names if x not in rare]
    for many in (False, True):
        some = [x for x in rest if (TABLE[x].degree * p > _MANY) == many]
        lifts = np.array([even_lift(x) * _LIFTS for x in some]).ravel()
        rows = [x for x in some for _ in _LIFTS]
        losses = _lowest(rows, lifts, source, _ROOTS[many]).loss.reshape(-1, _LIFTS.size)
        for name, loss in zip(some, losses, strict=True):
            k = int(np.argmin(loss))
            ends = max(k - 1, 0), min(k + 1, _LIFTS.size - 1)
            low, high = (float(even_lift(name) * _LIFTS[x]) for x in ends)
            found.append(ScannedGraph(name, float(loss[k]), low, high))
    return sorted(found, key=lambda x: names.index(x.name))


def best_graph(name: str, p: float, amplitude: Amplitude) -> tuple[float, float, float, float]:
    """a, b, μ and the loss."""
    return best_of_scanned(scanned_graphs((name,), p, amplitude)[0], p, amplitude)


def best_of_scanned(
    scanned: ScannedGraph, p: float, amplitude: Amplitude
) -> tuple[float, float, float, float]:
    """The same from its scan."""
    return _best(scanned.name, p, amplitude, scanned.low, scanned.high)


@lru_cache(maxsize=2048)
def _best(
    name: str, p: float, amplitude: Amplitude, low: float, high: float
) -> tuple[float, float, float, float]:
    """The same, with μ between two lifts, or 0 if they are."""
    source, graph = SparseSource(p, amplitude), TABLE[name]
    if not source.variance > 0:
        return 0.0, source.mean, 0.0, 0.0

    def loss(a: float, threshold: float, lift: float) -> float:
        return Row(a, _law(name, lift, source).scaled(a), -a * threshold, _FINAL).estimate.value

    found = [_searched(name, source, low, high) if high > 0 else (1.0, 0.0, 0.0)]
    losses = [loss(*found[0])]
    # W is a projector over r, and no decoder is better than a linear one at less, where the
    # eigenvalues of -s and of the vector of ones are the same; 1ᵀW = 1ᵀ/r leaves no bias.
    if losses[0] > source.variance * (1 - graph.ratio):
        found.append((graph.ratio, 0.0, even_lift(name)))
        losses.append(loss(*found[1]))
    k = int(np.argmin(losses))
    a, threshold, lift = found[k]
    return a, 0.0 - a * threshold, lift, losses[k]


def even_lift(name: str) -> float:
    """μ of the linear decoder."""
    graph = TABLE[name]
    return (graph.smallest + graph.degree) / (graph.theta * graph.n)


def _lowest(names: list[str], lifts: Array, source: SparseSource, root: int) -> Lowest:
    """The least loss over a and b at the lifts of graphs, by scans."""
    if not names:
        return Lowest(*np.empty((3, 0)))
    if not together(source):
        pairs = zip(names, lifts, strict=True)
        return lowest_of([rough_least(_law(name, float(x), source)) for name, x in pairs])
    graphs = [TABLE[x] for x in names]
    theta, degree, n = np.array([(x.theta, x.degree, x.n) for x in graphs], float).T
    weights = np.stack([lifts - 1 / theta, lifts], axis=1) / (1 + lifts[:, None])
    rows = Rows(weights, np.stack([degree, n - 1 - degree], axis=1), source, root)
    return rows.lowest(rows.thresholds())


def _searched(
    name: str, source: SparseSource, low: float, high: float
) -> tuple[float, float, float]:
    """a, threshold and μ where polynomials through losses have their minimum."""
    roots = _FINE_ROOTS[TABLE[name].degree * float(source.p) > _MANY]
    # Losses of discrete laws have kinks.
    kinks = source.amplitude.atoms() is not None
    tried: list[tuple[float, Least]] = []
    for root in _KINKED * roots if kinks else roots:
        x = (low + high) / 2 + (high - low) / 2 * sample_points()
        losses = _lowest([name] * x.size, x, source, root)
        tried += _each(x, losses)
        found = polynomial_minimum(losses.loss[:, None])
        at, half = float(np.interp(found.at[0], [-1, 1], [low, high])), (high - low) / 2
        if kinks:
            at, half = min(tried, key=_loss)[0], half / 3
        else:
            half /= _SHORTER if found.good[0] else 2
        low, high = max(at - half, 0.0), at + half
    if not kinks:
        # Of the last scan alone: the fewer the nodes, the larger the error.
        tried = tried[-x.size :] + _each(
            np.array([at]), _lowest([name], np.array([at]), source, roots[-1])
        )
    lift, near = min(tried, key=_loss)
    law = _law(name, lift, source)
    best = _polished(law, near)
    return best.a, best.threshold, lift


def _loss(tried: tuple[float, Least]) -> float:
    return tried[1].loss


def _each(lifts: Array, losses: Lowest) -> list[tuple[float, Least]]:
    return [
        (float(x), Least(*(float(y) for y in one))) for x, *one in zip(lifts, *losses, strict=True)
    ]


def _polished(law: RowLaw, near: Least) -> Least:
    """The minimum next to what a scan found, or over all where exact losses differ from it."""
    start, row = least_at(law, near.threshold, near.a, _POLISH)
    off = abs(start.loss - near.loss)
    if not off <= _BELIEVED * start.loss:
        return least_loss(law, _POLISH)
    if row.inversion is None or not start.a > 0 or off <= _SURE * start.loss:
        return start
    half = _NEAR * float(np.hypot(near.threshold, np.sqrt(law.noise)))
    t = near.threshold + half * sample_points()
    each = leasts(row, start.a, t)
    at = polynomial_minimum(np.array([[x.loss] for x in each])).at
    each += leasts(row, start.a, near.threshold + half * at)
    return min((start, *each), key=lambda x: x.loss)
