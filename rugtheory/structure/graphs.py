r"""Features on the vertices of strongly regular graphs, each inhibited by its neighbours.

Let A be the adjacency matrix of a strongly regular graph with n vertices, degree k and eigenvalues
k, θ > 0 and -s, of multiplicity g.  In

.. math:: W = a\, \frac{I - A/θ + μJ}{1 + μ} , \qquad \operatorname{rank} W = 1 + g ,

with J the matrix of ones, the eigenspace of θ is silenced, and what is left are the g dimensions of
-s and the vector of ones.  At μ = 0 a feature hears its k neighbours, each with weight -a/θ, and
nothing else at all: W has one negative eigenvalue, on the vector of ones, and couplings 1/θ.  A
feature that is on alone is stored without error.  With b = 0 and a = 1 the loss of rare features is

.. math:: L → p^2\, k\, E \min(u, w/θ)^2 , \qquad p → 0 ,

k p² (2θ - 1)/(6θ³) for Uniform[0, 1] amplitudes, with no logarithm, where the loss of any rug is p²
times one.  An antipodal pair is the smallest such graph, of one edge.  Many groups side by side
make a structure of any size.

A graph is a line of the table here, with a construction of its adjacency matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _check
from .._check import Array
from .._result import Result
from .._value import ShortRepr
from ..model.model import Model
from . import graph_constructions as made

# Of the random start of a basis.
_SEED = 0


class Graph(NamedTuple):
    """n vertices of degree k; λ common neighbours of neighbours and μ of others; A, if asked."""

    n: int
    degree: int
    of_neighbours: int
    of_others: int
    construct: Callable[[], NDArray[np.bool_]]

    @property
    def theta(self) -> int:
        """θ, the positive root of x² - (λ - μ) x - (k - μ)."""
        gap = self.of_neighbours - self.of_others
        return (gap + math.isqrt(gap * gap + 4 * (self.degree - self.of_others))) // 2

    @property
    def smallest(self) -> int:
        """s: the two eigenvalues beside k add up to λ - μ."""
        return self.theta - self.of_neighbours + self.of_others

    @property
    def n_dense(self) -> int:
        """1 + g, as k + f θ = g s and f + g = n - 1."""
        g = (self.degree + (self.n - 1) * self.theta) // (self.theta + self.smallest)
        return 1 + g

    @property
    def ratio(self) -> float:
        return self.n_dense / self.n


def _quadrangle(s: int, t: int, construct: Callable[[], NDArray[np.bool_]]) -> Graph:
    """Points of a generalised quadrangle GQ(s, t), beside those on a line with them."""
    return Graph((s + 1) * (s * t + 1), s * (t + 1), s - 1, t + 1, construct)


TABLE = {
    "Clebsch": Graph(16, 5, 0, 2, made.clebsch),
    "Schläfli": _quadrangle(2, 4, made.elliptic_quadric(2)),
    "Gewirtz": Graph(56, 10, 0, 2, made.gewirtz),
    "M22": Graph(77, 16, 0, 4, made.m22),
    "Higman-Sims": Graph(100, 22, 0, 6, made.higman_sims),
    "GQ(3,9)": _quadrangle(3, 9, made.elliptic_quadric(3)),
    "U4(3)": Graph(162, 56, 10, 24, made.u43),
    "GQ(4,8)": _quadrangle(4, 8, made.hermitian_variety(2)),
    "McLaughlin": Graph(275, 112, 30, 56, made.mclaughlin),
    "GQ(4,16)": _quadrangle(4, 16, made.elliptic_quadric(4)),
    "Games": Graph(729, 112, 1, 20, made.cyclotomic(729, 52, (0, 1, 9, 14, 22, 29, 39, 42))),
    "GQ(5,25)": _quadrangle(5, 25, made.elliptic_quadric(5)),
    "GQ(9,27)": _quadrangle(9, 27, made.hermitian_variety(3)),
    "GQ(7,49)": _quadrangle(7, 49, made.elliptic_quadric(7)),
    "Hill": Graph(4096, 234, 2, 14, made.cyclotomic(4096, 35, (0, 7))),
    "GQ(8,64)": _quadrangle(8, 64, made.elliptic_quadric(8)),
}
GRAPHS = tuple(TABLE)


@dataclass(frozen=True, eq=False, repr=False)
class GraphCode(ShortRepr):
    """Weights from a strongly regular graph.

    Attributes
    ----------
    name : str
    adjacency : ndarray of bool, shape (n_sparse, n_sparse)
    n_dense : int
        Rank of W.
    theta : int
        The eigenvalue that is silenced; couplings are 1/θ.
    """

    name: str
    adjacency: NDArray[np.bool_]
    n_dense: int
    theta: int

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
        return _basis(self.name)

    def w_out(self, a: float = 1.0, lift: float = 0.0) -> Array:
        """W_out, shape (n_sparse, n_dense): W has diagonal `a`, and μ = `lift` > -1."""
        a, lift = _check.scalar("a", a), _check.scalar("lift", lift)
        if lift <= -1:
            raise ValueError(f"lift must be above -1, got {lift}")
        basis = self.w_in.T
        heard = basis - self.adjacency @ basis / self.theta + lift * basis.sum(axis=0)
        return np.asarray(a / (1 + lift) * heard)

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
        One of `GRAPHS`: n_sparse is 16 to 4617 and the ratio 0.5 to 0.084.  GQ(s,t) stands for the
        collinearity graph of a generalised quadrangle, U4(3) for that on 162 vertices, Games and
        Hill for the graphs of the caps of 56 points in PG(5, 3) and of 78 in PG(5, 4).

    Returns
    -------
    GraphCode
        The largest, of 2440 to 4617 vertices, take some seconds.

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
    return GraphCode(name, _adjacency(name), TABLE[name].n_dense, TABLE[name].theta)


@cache
def _adjacency(name: str) -> NDArray[np.bool_]:
    found = TABLE[name].construct()
    found.flags.writeable = False
    return found


@cache
def _basis(name: str) -> Array:
    """Orthonormal rows that span all but the eigenspace of θ.

    A - θ leaves these dimensions of as many random vectors; a second time, of their own basis, it
    takes the rounding of the first away.
    """
    graph = TABLE[name]
    shifted = _adjacency(name) - graph.theta * np.eye(graph.n)
    found = np.random.default_rng(_SEED).normal(size=(graph.n, graph.n_dense))
    for _ in range(2):
        found = np.linalg.qr(shifted @ found)[0]
    basis = np.ascontiguousarray(found.T)
    basis.flags.writeable = False
    return basis
