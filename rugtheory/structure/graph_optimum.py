"""The best diagonal, bias and lift of a graph code, from the loss of its one row."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from ..channel.least import least_loss, least_near, scanned_least
from ..channel.row_loss import Least, Row, RowLaw
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource, on_law
from ..source.uniform import Uniform
from ..theory.pairs import ONE_SIGN
from .graphs import GRAPHS, TABLE, GraphOptimum

# Of losses compared near the best, and of the loss returned.
_POLISH, _FINAL = 1e-6, 1e-9
# Of those of discrete laws, whose inversions take long.
_COARSE = 1e-3
# Below so many active neighbours, b and μ change the loss by less than 1e-4 of it.
_RARE = 1e-3
# Below so many, scans are too rough to tell how μ changes the loss.
_FEW = 0.25
# Lifts that are tried, in units of that of the linear decoder, and how far the best is refined.
_LIFTS = np.append(0.0, np.geomspace(3e-3, 1.2, 7))
_REFINED = 6


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


def rough_graph_loss(name: str, p: float, amplitude: Amplitude) -> float:
    """Least loss over a and b at μ = 0, by a scan."""
    return scanned_least(_law(name, 0.0, SparseSource(p, amplitude))).loss


def _law(name: str, lift: float, source: SparseSource) -> RowLaw:
    return RowLaw.identical(interferers(name, lift), source)


@lru_cache(maxsize=2048)
def best_graph(name: str, p: float, amplitude: Amplitude) -> tuple[float, float, float, float]:
    """a, b, μ and the loss."""
    source, graph = SparseSource(p, amplitude), TABLE[name]
    if not source.variance > 0:
        return 0.0, source.mean, 0.0, 0.0

    def loss(a: float, threshold: float, lift: float) -> float:
        return Row(a, _law(name, lift, source).scaled(a), -a * threshold, _FINAL).estimate.value

    rare = graph.degree * p <= _RARE
    found = [(1.0, 0.0, 0.0) if rare else _searched(name, source)]
    losses = [loss(*found[0])]
    # W is a projector over r, and no decoder is better than a linear one at less, where the
    # eigenvalues of -s and of the vector of ones are the same; 1ᵀW = 1ᵀ/r leaves no bias.
    if losses[0] > source.variance * (1 - graph.ratio):
        found.append((graph.ratio, 0.0, _even(name)))
        losses.append(loss(*found[1]))
    k = int(np.argmin(losses))
    a, threshold, lift = found[k]
    return a, 0.0 - a * threshold, lift, losses[k]


def _even(name: str) -> float:
    """μ of the linear decoder."""
    graph = TABLE[name]
    return (graph.smallest + graph.degree) / (graph.theta * graph.n)


def _searched(name: str, source: SparseSource) -> tuple[float, float, float]:
    """a, threshold and μ at the lowest of what scans find, checked where they are rough."""

    def scanned(lift: float) -> Least:
        return scanned_least(_law(name, float(lift), source))

    def checked(lift: float) -> Least:
        return least_near(_law(name, float(lift), source), scanned(lift), rtol)

    def exact(lift: float) -> Least:
        return least_loss(_law(name, float(lift), source), _POLISH)

    first, then, rtol = scanned, scanned, _POLISH
    if source.amplitude.atoms() is not None:
        first, then, rtol = checked, checked, _COARSE
    elif TABLE[name].degree * source.p < _FEW:
        then = checked
    lifts = _even(name) * _LIFTS
    k = int(np.argmin([first(x).loss for x in lifts]))
    inside = float(lifts[max(k - 1, 0)]), float(lifts[min(k + 1, lifts.size - 1)])
    refined = scipy.optimize.minimize_scalar(
        lambda x: then(x).loss,
        bounds=inside,
        method="bounded",
        options={"maxiter": _REFINED, "xatol": 1e-3 * _even(name)},
    )
    lift = float(refined.x)
    best = exact(lift)
    return best.a, best.threshold, lift
