"""How symmetric given weights are: the statistics of arXiv:2410.12101, sections 3.2 and 5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array
from .._value import ByValue
from ..channel.row import RowChannel
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from ..source.uniform import Uniform
from ..theory.bounds import welch_sigma
from .exact import exact_loss as model
from .sampling import dead_features, each_row

_BLOCK = 256
# W_ij/W_ii of partners is below this, both ways.
_PARTNER = -0.5
# Factors kept in float32 make W_ij uncertain by 2⁻²³ |w_out_i| |w_in_j| at most; 8 times that.
_ROUNDING = 2.0**-20
# Singular values below this part of the largest are rounding, of float32 too.
_NO_RANK = 1e-6


@dataclass(frozen=True, eq=False)
class Symmetry(ByValue):
    """Statistics of W = W_out W_in; arrays have one entry a feature.

    What is relative to W_ii is NaN for dead features; means and spreads leave them out.

    Attributes
    ----------
    n_sparse, n_dense : int
    p : float
    dead : ndarray of bool, shape (n_sparse,)
        W_ii below a quarter of Σd³/Σd² over the positive diagonal entries d, the typical value
        among features that are alive.
    diagonal, bias : ndarray
        a_i = W_ii (Fig. 4) and b_i (5).
    variance : ndarray
        Var ν_i = v(p) Σ_{j≠i} (W_ij/W_ii)², equation (6).
    mean : ndarray
        E ν_i = E x Σ_{j≠i} W_ij/W_ii.
    lyapunov : ndarray
        Σ_{j≠i} |W_ij|³ / (Σ_{j≠i} W_ij²)^{3/2}, equation (3).
    skewness : ndarray
        Of ν_i.
    cubes : ndarray
        Σ_{j≠i} (W_ij/W_ii)³, on average at least -1 for symmetric semidefinite W.
    partner : ndarray of int
        The j with the most negative W_ij/W_ii, if there is only one such j, and if it is below -½
        both ways; else -1.  What lies within the rounding of float32 weights counts as equal, so
        that features in threes, all at -½, have no partner.
    dimensionality : ndarray
        |w_i|² / Σ_j (ŵ_i·w_j)² with w_i column i of W_in, the fraction of a dimension that the
        feature has (Elhage et al., Toy Models of Superposition, 2022); adds up to n_dense or less.
    capacity : ndarray
        W_ii²/Σ_j W_ij², the part of a reading that is signal.
    welch_variance : float
        The bound on the average of `variance`, equation (6), for the features that are alive: those
        that are dead cannot lower it.  It is v(p) (n_alive/n_dense - 1), 0 if n_alive ≤ n_dense.
    singular_values : ndarray, shape (n_dense,)
        Of W, descending.
    asymmetry : float
        ‖W - Wᵀ‖ / (√2 ‖W‖), Frobenius; 0 for symmetric W.
    projector_distance : float
        min_c ‖W - cP‖ / ‖W‖ with P the projector on the column space of W; 0 for rugs.  Singular
        values below 1e-6 of the largest count as zero.
    rows : ndarray of int
        The rows, alive, whose law was inverted.
    distances : ndarray
        Kolmogorov's distance of the law of ν from its Gaussian in each of `rows`.
    distance_error : float
        Bound on their numerical errors.
    """

    n_sparse: int
    n_dense: int
    p: float
    dead: NDArray[np.bool_]
    diagonal: Array
    bias: Array
    variance: Array
    mean: Array
    lyapunov: Array
    skewness: Array
    cubes: Array
    partner: NDArray[np.int64]
    dimensionality: Array
    capacity: Array
    welch_variance: float
    singular_values: Array
    asymmetry: float
    projector_distance: float
    rows: NDArray[np.int64]
    distances: Array
    distance_error: float

    def summary(self) -> dict[str, float]:
        """The numbers that say most, over the features that are alive.

        "variance over Welch bound" is left out where the bound is 0, with no more features alive
        than hidden units.
        """
        alive = ~self.dead
        if not alive.any():
            return {"n_sparse": self.n_sparse, "n_dense": self.n_dense, "dead": self.n_sparse}

        def spread(x: Array) -> float:
            return float(np.std(x[alive]))

        def mean(x: Array) -> float:
            return float(np.mean(x[alive]))

        bound = self.welch_variance
        return {
            "n_sparse": self.n_sparse,
            "n_dense": self.n_dense,
            "dead": int(self.dead.sum()),
            "with antipodal partner": int(np.sum(self.partner >= 0)),
            "diagonal mean": mean(self.diagonal),
            "diagonal spread": spread(self.diagonal),
            "bias mean": mean(self.bias),
            "bias spread": spread(self.bias),
            "variance mean": mean(self.variance),
            "variance spread": spread(self.variance),
            **({"variance over Welch bound": mean(self.variance) / bound} if bound else {}),
            "Lyapunov mean": mean(self.lyapunov),
            "Lyapunov worst": float(np.max(self.lyapunov[alive])),
            "skewness mean": mean(self.skewness),
            "sum of cubes mean": mean(self.cubes),
            "dimensionality mean": mean(self.dimensionality),
            "capacity mean": mean(self.capacity),
            "asymmetry": self.asymmetry,
            "distance from projector": self.projector_distance,
            "distance from Gaussian, mean": float(np.mean(self.distances)),
            "distance from Gaussian, worst": float(np.max(self.distances)),
        }


def symmetry(
    w_in: ArrayLike,
    w_out: ArrayLike,
    b: ArrayLike,
    p: float,
    *,
    rows: int = 16,
    amplitude: Amplitude = Uniform(),
    seed: int | np.random.Generator = 0,
) -> Symmetry:
    """Symmetry statistics of x̂ = ReLU(W_out W_in x + b), from the factors, W never whole.

    Parameters
    ----------
    w_in : array_like, shape (n_dense, n_sparse)
    w_out : array_like, shape (n_sparse, n_dense)
    b : array_like, shape (n_sparse,) or scalar
    p : float in (0, 1]
        Probability that a feature is on.
    rows : int
        Number of random rows whose law is compared with a Gaussian.
    amplitude : Amplitude
        Law of a feature that is on.
    seed : int or Generator
        For the choice of rows.

    Returns
    -------
    Symmetry

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a value is not finite or outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> rug = rt.hadamard_rug(64, 16, seed=0)
    >>> found = rt.symmetry(rug.w_in, rug.w_out(), 0.0, 0.1, rows=1)
    >>> round(found.summary()["variance over Welch bound"], 12)
    1.0
    """
    w_in, w_out, b = model("w_in", w_in, "w_out", w_out, b)
    source = SparseSource(_check.scalar_probability(p), amplitude)
    rows = _check.integer("rows", rows, 1)
    n_dense, n = w_in.shape
    diagonal = np.einsum("ik,ki->i", w_out, w_in)
    dead = dead_features(diagonal)
    first, second, third, cube = (np.empty(n) for _ in range(4))
    lowest, close = np.empty(n, np.int64), np.empty(n, bool)
    reads, written = np.sqrt(np.sum(w_out**2, axis=1)), np.sqrt(np.sum(w_in**2, axis=0))
    for start in range(0, n, _BLOCK):
        block = slice(start, min(start + _BLOCK, n))
        w = w_out[block] @ w_in
        own = np.arange(block.stop - start)
        w[own, start + own] = 0
        squares = w * w
        first[block], second[block] = w.sum(axis=1), squares.sum(axis=1)
        cube[block] = np.einsum("ij,ij->i", squares, w)
        third[block] = np.einsum("ij,ij->i", squares, np.abs(w))
        sign = np.where(diagonal[block] < 0, -1.0, 1.0)[:, None]
        w *= sign
        lowest[block] = np.argmin(w, axis=1)
        least = w[own, lowest[block]]
        slack = _ROUNDING * reads[block] * (written[lowest[block]] + written[block])
        w[own, lowest[block]] = np.inf
        alone = w.min(axis=1) > least + slack
        close[block] = alone & (least < _PARTNER * np.abs(diagonal[block]) - slack)
    alive = np.where(dead, np.nan, diagonal)
    close &= ~dead
    mutual = close & close[lowest] & (lowest[lowest] == np.arange(n))
    variance = source.variance * second / alive**2
    noisy = second > 0
    lyapunov = np.divide(third, second**1.5, out=np.zeros(n), where=noisy)
    cubes = np.divide(cube, second**1.5, out=np.zeros(n), where=noisy)
    skew = source.skewness * np.sign(alive) * cubes
    chosen = np.flatnonzero(~dead)
    if chosen.size > rows:
        chosen = np.sort(_check.rng(seed).choice(chosen, rows, replace=False))
    distances = [
        RowChannel(others, source.p, amplitude).distance_from_gaussian()
        for _, others in each_row(w_in, w_out, chosen)
    ]
    total = float(np.sum(second + diagonal**2))
    gram = w_in @ w_in.T
    inner = w_in @ w_out
    symmetric = float(np.sum(inner * inner.T))
    singular = _singular_values(w_in, w_out)
    rank = int(np.sum(singular > _NO_RANK * singular[0]))
    lengths = np.einsum("ki,ki->i", w_in, w_in)
    overlaps = np.einsum("ki,ki->i", w_in, gram @ w_in)
    return Symmetry(
        n_sparse=n,
        n_dense=n_dense,
        p=source.p,
        dead=dead,
        diagonal=diagonal,
        bias=np.array(b),
        variance=variance,
        mean=source.mean * first / alive,
        lyapunov=np.where(dead, np.nan, lyapunov),
        skewness=skew,
        cubes=cube / alive**3,
        partner=np.where(mutual, lowest, -1),
        dimensionality=np.divide(lengths**2, overlaps, out=np.zeros(n), where=overlaps > 0),
        capacity=diagonal**2 / np.maximum(second + diagonal**2, 1e-300),
        welch_variance=_welch_variance(source, n_dense, n - int(dead.sum())),
        singular_values=singular,
        asymmetry=float(np.sqrt(max(1 - symmetric / total, 0.0))) if total else 0.0,
        projector_distance=_from_projector(np.trace(inner), rank, total),
        rows=chosen,
        distances=np.array([d.value for d in distances]),
        distance_error=max((d.error for d in distances), default=0.0),
    )


def _welch_variance(source: SparseSource, n_dense: int, alive: int) -> float:
    if alive <= n_dense:
        return 0.0
    return float(welch_sigma(source.p, n_dense / alive, amplitude=source.amplitude)) ** 2


def _singular_values(w_in: Array, w_out: Array) -> Array:
    """Of W_out W_in, n_dense of them, descending, to rounding of the largest."""
    # W = Q₂ (R₂ R₁ᵀ) Q₁ᵀ, where Gram matrices would lose half of the digits.
    (r1,), (r2,) = (scipy.linalg.qr(factor, mode="r") for factor in (w_in.T, w_out))
    values = scipy.linalg.svdvals(r2[: len(w_in)] @ r1[: len(w_in)].T)
    return np.pad(values, (0, len(w_in) - values.size))


def _from_projector(trace: float, rank: int, total: float) -> float:
    return float(np.sqrt(max(1 - trace**2 / (rank * total), 0.0))) if rank and total else 0.0
