"""The best diagonal, bias and lift of a graph code, from the loss of its one row."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from ..channel.least import least_loss, scanned_least
from ..channel.row_loss import Least, Row, RowLaw
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource, on_law
from ..source.uniform import Uniform
from ..theory.pairs import ONE_SIGN
from .graphs import GRAPHS, TABLE, GraphOptimum

# Of losses compared near the best, and of the loss returned.
_POLISH, _FINAL = 1e-6, 1e-9
# Below so many active neighbours, b and μ change the loss by less than 1e-4 of it.
_RARE = 1e-3
# Below so many, scans are too rough to tell how μ changes the loss.
_FEW = 0.25
# Lifts that are tried, in units of that of the linear decoder, and how far the best is refined.
_LIFTS = np.append(0.0, np.geomspace(3e-3, 1.2, 7))
_REFINED = 8


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
        for Exponential amplitudes and p = 1e-100), and least to about 1e-4.  It is at most that of
        the linear decoder, v(p)(1 - r), which competes.  A new p takes a quarter of a second, for
        discrete laws up to ten seconds, which are remembered.

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

    # W is a projector over r, and no decoder is better than a linear one at less, where the
    # eigenvalues of -s and of the vector of ones are the same; 1ᵀW = 1ᵀ/r leaves no bias.
    even = (graph.smallest + graph.degree) / (graph.theta * graph.n)
    found = [(1.0, 0.0, 0.0), (graph.ratio, 0.0, even)]
    if graph.degree * p > _RARE:
        found.append(_searched(name, even, source))
    a, threshold, lift = min(found, key=lambda x: loss(*x))
    return a, 0.0 - a * threshold, lift, loss(a, threshold, lift)


def _searched(name: str, even: float, source: SparseSource) -> tuple[float, float, float]:
    """a, threshold and μ at the lowest of what scans find, or of exact losses where these fail."""
    few, jumps = TABLE[name].degree * source.p < _FEW, source.amplitude.atoms() is not None

    def scanned(lift: float) -> Least:
        return scanned_least(_law(name, float(lift), source))

    def exact(lift: float) -> Least:
        return least_loss(_law(name, float(lift), source), _POLISH)

    lifts = even * _LIFTS
    losses = [(exact if jumps else scanned)(x).loss for x in lifts]
    k = int(np.argmin(losses))
    inside = float(lifts[max(k - 1, 0)]), float(lifts[min(k + 1, lifts.size - 1)])
    refined = scipy.optimize.minimize_scalar(
        lambda x: (exact if few or jumps else scanned)(x).loss,
        bounds=inside,
        method="bounded",
        options={"maxiter": _REFINED, "xatol": 1e-3 * even},
    )
    tried = {lift: exact(lift) for lift in (float(refined.x), float(lifts[k]))}
    lift = min(tried, key=lambda x: tried[x].loss)
    return tried[lift].a, tried[lift].threshold, lift
