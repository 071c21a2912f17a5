r"""Features on the vertices of strongly regular graphs, each inhibited by its neighbours.

Let A be the adjacency matrix of a strongly regular graph with n vertices, degree k and eigenvalues
k, θ > 0 and -s.  In

.. math:: W = a\, \frac{I - A/θ + μJ}{1 + μ} , \qquad \operatorname{rank} W = 1 + g ,

with J the matrix of ones, the eigenspace of θ is silenced, and what is left are the g dimensions of
-s and the vector of ones.  At μ = 0 a feature hears its k neighbours, each with weight -a/θ, and
nothing else at all: W has one negative eigenvalue, on the vector of ones.  A feature that is on
alone is stored without error.  With b = 0 and a = 1 the loss for rare features is

.. math:: L → p^2\, k\, E \min(u, w/θ)^2 , \qquad p → 0 ,

k p²/16 for Uniform[0, 1] amplitudes and θ = 2, with no logarithm, where the loss of any rug is p²
times one.  An antipodal pair is the smallest such graph, of one edge.  Many groups side by side
make a structure of any size.

The graphs here have θ = 2 and few triangles.  All are made from the 253 blocks of the Steiner
system S(4, 7, 23), the words of weight 7 in the binary Golay code (A. E. Brouwer and H. Van
Maldeghem, Strongly Regular Graphs, 2022, chapter 10).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array
from .._result import Result
from .._value import ShortRepr
from ..channel.row_loss import Row, RowLaw
from ..model.model import Model
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource, on_law
from ..source.uniform import Uniform
from ..theory.pairs import ONE_SIGN
from ..theory.partner import gaussian_fit

_THETA = 2
# n, k and 1 + g
_PARAMETERS = {
    "Gewirtz": (56, 10, 21),
    "M22": (77, 16, 22),
    "Higman-Sims": (100, 22, 23),
    "GQ(3,9)": (112, 30, 22),
    "U4(3)": (162, 56, 22),
    "McLaughlin": (275, 112, 23),
}
GRAPHS = tuple(_PARAMETERS)
# Generator polynomial of the binary Golay code of length 23, lowest power first.
_GOLAY = (1, 0, 1, 0, 1, 1, 1, 0, 0, 0, 1, 1)
# Of the losses compared at first and near the best, and of the loss returned.
_SEARCH, _POLISH, _FINAL = 1e-4, 1e-6, 1e-9
# Below so many active neighbours, b and μ change the loss by less than 1e-4 of it.
_RARE = 1e-3
# Above so many, more starts than that of rare features: at these parts of the linear decoder's μ.
_COMMON = 0.1
_SHARES = (0.4, 1.0)
_LEAST_LIFT, _TINY = -0.9, 1e-300


@dataclass(frozen=True, eq=False, repr=False)
class GraphCode(ShortRepr):
    """Weights from a strongly regular graph.

    Attributes
    ----------
    name : str
    adjacency : ndarray of bool, shape (n_sparse, n_sparse)
    n_dense : int
        Rank of W.
    """

    name: str
    adjacency: NDArray[np.bool_]
    n_dense: int

    @property
    def n_sparse(self) -> int:
        """Number of vertices."""
        return len(self.adjacency)

    @property
    def degree(self) -> int:
        """Number of neighbours of each vertex."""
        return int(self.adjacency[0].sum())

    @property
    def ratio(self) -> float:
        """n_dense / n_sparse."""
        return self.n_dense / self.n_sparse

    @property
    def w_in(self) -> Array:
        """Orthonormal rows that span the rows of W, shape (n_dense, n_sparse)."""
        value, vector = np.linalg.eigh(self.adjacency.astype(float))
        return np.ascontiguousarray(vector[:, np.abs(value - _THETA) > 0.5].T)

    def w_out(self, a: float = 1.0, lift: float = 0.0) -> Array:
        """W_out, shape (n_sparse, n_dense): W has diagonal `a`, and μ = `lift` > -1."""
        a, lift = _check.scalar("a", a), _check.scalar("lift", lift)
        if lift <= -1:
            raise ValueError(f"lift must be above -1, got {lift}")
        w = np.eye(self.n_sparse) - self.adjacency / _THETA + lift
        return np.asarray(a / (1 + lift) * w @ self.w_in.T)

    def model(
        self, optimum: GraphOptimum | float, b: float | None = None, *, lift: float = 0.0
    ) -> Model:
        """The model with the parameters of an optimum, or with a diagonal a, a bias and a lift.

        The b of a `GraphOptimum` is the bias of the model, and so is a number given.
        """
        if isinstance(optimum, GraphOptimum):
            if b is not None or lift:
                raise TypeError("b and lift must be left out with an optimum, which has its own")
            a, b, lift = (float(_check.scalar(n, getattr(optimum, n))) for n in ("a", "b", "lift"))
        else:
            a, b = _check.scalar("optimum", optimum), _check.scalar("b", 0.0 if b is None else b)
        return Model(self.w_in, self.w_out(a, lift), b)


@dataclass(frozen=True, eq=False, repr=False)
class GraphOptimum(Result):
    """The best parameters of a graph code, as arrays of one shape.

    Attributes
    ----------
    p : ndarray
    ratio : float
        n_dense / n_sparse.
    a, b : ndarray
        Diagonal and bias.
    lift : ndarray
        μ, what is added to all entries of W before its diagonal is made `a`.
    loss : ndarray
        Loss per feature with these.
    """

    p: Array
    ratio: float
    a: Array
    b: Array
    lift: Array
    loss: Array


def graph_code(name: str) -> GraphCode:
    """Weights in which a feature is inhibited by its neighbours in a strongly regular graph.

    Parameters
    ----------
    name : str
        "Gewirtz", "M22", "Higman-Sims", "GQ(3,9)" (the collinearity graph of the generalised
        quadrangle), "U4(3)" (on 162 vertices) or "McLaughlin"; n_sparse is 56 to 275 and the ratio
        0.375 to 0.084.

    Returns
    -------
    GraphCode

    Raises
    ------
    ValueError, TypeError
        If `name` is another.

    Examples
    --------
    >>> import rugtheory as rt
    >>> code = rt.graph_code("Higman-Sims")
    >>> code.n_sparse, code.n_dense, code.degree
    (100, 23, 22)
    >>> (code.w_out() @ code.w_in)[0, :4].round(9) + 0
    array([ 1. , -0.5, -0.5, -0.5])
    """
    _check.choice("name", name, GRAPHS)
    return GraphCode(name, _adjacency(name), _PARAMETERS[name][2])


def graph_ratio(name: str) -> float:
    """n_dense / n_sparse of a graph code."""
    n, _, n_dense = _PARAMETERS[name]
    return n_dense / n


@cache
def _adjacency(name: str) -> NDArray[np.bool_]:
    blocks = _blocks()
    hexads, heptads = (blocks[blocks[:, 0] == x, 1:] for x in (1, 0))
    disjoint = hexads @ hexads.T == 0
    match name:
        case "M22":
            adjacency = disjoint
        case "Gewirtz":
            without = hexads[:, 0] == 0
            adjacency = disjoint[np.ix_(without, without)]
        case "Higman-Sims":
            one, none = np.ones((1, 22)), np.zeros((1, 77))
            adjacency = _symmetric([[0, one, none], [np.zeros((22, 22)), hexads.T], [disjoint]])
        case "McLaughlin":
            adjacency = _symmetric(
                [
                    [np.zeros((22, 22)), 1 - hexads.T, heptads.T],
                    [disjoint, hexads @ heptads.T == 3],
                    [heptads @ heptads.T == 1],
                ]
            )
        case _:
            whole = _adjacency("McLaughlin")
            kept = whole[0] if name == "GQ(3,9)" else ~whole[0] & (np.arange(len(whole)) > 0)
            adjacency = whole[np.ix_(kept, kept)]
    found = np.asarray(adjacency, bool)
    found.flags.writeable = False
    return found


def _blocks() -> NDArray[np.int64]:
    """The words of weight 7 of the Golay code, shape (253, 23)."""
    generator = np.array([np.roll(_GOLAY + (0,) * 11, shift) for shift in range(12)])
    message = (np.arange(2**12)[:, None] >> np.arange(12)) & 1
    words = message @ generator % 2
    return np.asarray(words[words.sum(axis=1) == 7])


def _symmetric(upper: list[list[ArrayLike]]) -> NDArray[np.bool_]:
    """The symmetric matrix with these blocks on and right of the diagonal."""
    rows = [[np.atleast_2d(x) for x in row] for row in upper]
    every = range(len(rows))
    full = [[rows[i][j - i] if i <= j else rows[j][i - j].T for j in every] for i in every]
    return np.asarray(np.block(full), bool)


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
        for Exponential amplitudes and p = 1e-100), and least to about 1e-5.  It is at most that of
        the linear decoder, v(p)(1 - r): the search starts there among other places.  A new p takes
        one or two seconds, for discrete laws up to half a minute, which are remembered.

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
    found = [_optimum(name, float(q), amplitude) for q in p.ravel()]
    a, b, lift, loss = np.array(found).reshape(-1, 4).T.reshape(4, *p.shape)
    return GraphOptimum(given, graph_ratio(name), a, b, lift, loss)


@lru_cache(maxsize=2048)
def _optimum(name: str, p: float, amplitude: Amplitude) -> tuple[float, float, float, float]:
    source = SparseSource(p, amplitude)
    n, k, rank = _PARAMETERS[name]
    if not source.variance > 0:
        return 0.0, source.mean, 0.0, 0.0

    def interferers(lift: float) -> Array:
        weights = np.repeat([lift - 1 / _THETA, lift], [k, n - 1 - k]) / (1 + lift)
        return np.asarray(weights[weights != 0])

    def row(rtol: float, a: float, threshold: float, lift: float) -> Row:
        return Row(a, RowLaw.identical(a * interferers(lift), source), -a * threshold, rtol)

    def loss(rtol: float, *where: float) -> float:
        return row(rtol, *where).estimate.value

    # W is a projector over r, and no decoder is better than a linear one at less, where the
    # eigenvalues of -s and of the vector of ones are the same; 1ᵀW = 1ᵀ/r leaves no bias.
    smallest = (k + _THETA * (n - rank)) / (rank - 1)
    even = (smallest + k) / (_THETA * n)
    found = [(1.0, 0.0, 0.0), (rank / n, 0.0, even)]
    if k * p > _RARE:
        # What neighbours take away on average, up to a few active ones, sets the scale of both.
        scale = min(k * p, 2.0)
        steps = [(0.2 * amplitude.mean * scale, 0.8 * scale / n)]
        starts = [(0.0, 0.0)]
        if k * p > _COMMON:
            starts += [(0.0, share * even) for share in _SHARES]
            steps += [(0.1 * amplitude.mean, 0.1 * even)] * len(_SHARES)

        def best_a(threshold: float, lift: float, rtol: float) -> tuple[float, float]:
            a = _gaussian_a(interferers(lift), source, threshold)
            return row(rtol, a, threshold, lift).least(a, threshold)[::-1]

        found += [_descended(best_a, *x, _SEARCH) for x in zip(starts, steps, strict=True)]
        best = min(found, key=lambda x: loss(_POLISH, *x))
        finer = (0.2 * max(steps[0][0], best[1]), 0.2 * max(steps[0][1], best[2]))
        found += [_descended(best_a, best[1:], finer, _POLISH)]
    a, threshold, lift = min(found, key=lambda x: loss(_FINAL, *x))
    return a, 0.0 - a * threshold, lift, loss(_FINAL, a, threshold, lift)


def _gaussian_a(weights: Array, source: SparseSource, threshold: float) -> float:
    """What a would be best for Gaussian interference."""
    mean, sigma = source.mean * weights.sum(), np.sqrt(source.variance * (weights @ weights))
    return gaussian_fit(source, float(mean) - threshold, float(sigma))


def _descended(
    best_a: Callable[[float, float, float], tuple[float, float]],
    start: tuple[float, float],
    step: tuple[float, float],
    rtol: float,
) -> tuple[float, float, float]:
    """a, threshold and μ at a local minimum."""

    def at(x: Array) -> tuple[float, float]:
        # μ > -1 keeps the diagonal positive.
        return float(start[0] + step[0] * x[0]), float(max(start[1] + step[1] * x[1], _LEAST_LIFT))

    def log_loss(x: Array) -> float:
        return float(np.log(max(best_a(*at(x), rtol)[1], _TINY)))

    simplex = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 5.0]])
    options = {"initial_simplex": simplex, "xatol": 0.1, "fatol": rtol, "maxfev": 200}
    found = scipy.optimize.minimize(log_loss, simplex[0], method="Nelder-Mead", options=options)
    threshold, lift = at(found.x)
    return best_a(threshold, lift, rtol)[0], threshold, lift
