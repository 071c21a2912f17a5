"""How symmetric given weights are: the statistics of arXiv:2410.12101, sections 3.2 and 5."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from .. import _check
from .._check import Array
from .._result import Result
from ..channel.row import RowChannel
from ..model.model import Model, check_fit
from ..source.features import Features
from ..source.sparse import SparseSource
from ..theory.capacity import capacity_bound, capacity_of
from .columns import dead_features

_BLOCK = 256
# W_ij/W_ii of partners is below this, both ways.
_PARTNER = -0.5
# Factors kept in float32 make W_ij uncertain by 2⁻²³ |w_out_i| |w_in_j| at most; 8 times that.
_ROUNDING = 2.0**-20
# Singular values below this part of the largest are rounding, of float32 too.
_NO_RANK = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class Statistics(Result):
    """Statistics of W = W_out W_in; arrays have one entry a feature.

    What is relative to W_ii is NaN for dead features; means and spreads leave them out.

    Attributes
    ----------
    n_sparse, n_dense : int
    on_probability : ndarray
        Probability that each feature is on.
    dead : ndarray of bool, shape (n_sparse,)
        W_ii below a quarter of Σd³/Σd² over the positive diagonal entries d, the typical value
        among features that are alive.
    diagonal, bias : ndarray
        a_i = W_ii (Fig. 4) and b_i (5).
    variance : ndarray
        Var ν_i with noise; of independent features without noise Σ_{j≠i} Var x_j (W_ij/W_ii)²,
        equation (6).
    mean : ndarray
        E ν_i = Σ_{j≠i} E x_j W_ij/W_ii.
    lyapunov : ndarray
        Σ_{j≠i} (|W_ij| s_j)³ / (W_ii² Var ν_i)^{3/2} with s_j the deviation of x_j, equation (3).
    skewness : ndarray
        Of ν_i; NaN for all if features depend on each other.
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
        Squared correlation of x_i and its reading, the part of the reading that is signal; of
        independent features Var x_i/(Var x_i + Var ν_i) (Scherlis et al., arXiv:2210.01892).
    capacity_bound : float
        The most that capacities can add up to, see `capacity_bound`.
    welch_variance : float or None
        The bound on the average of `variance`, equation (6), for the features that are alive: those
        that are dead cannot lower it.  It is v (n_alive/n_dense - 1), 0 if n_alive ≤ n_dense, with
        v = Var x; None unless features are independent and v is the same for all.
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
    on_probability: Array
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
    capacity_bound: float
    welch_variance: float | None
    singular_values: Array
    asymmetry: float
    projector_distance: float
    rows: NDArray[np.int64]
    distances: Array
    distance_error: float

    def summary(self) -> dict[str, float]:
        """The numbers that say most, over the features that are alive.

        "variance over Welch bound" is left out where there is no bound, or it is 0 with no more
        features alive than hidden units, "skewness mean" where features depend on each other, and
        "capacity used" where none varies.
        """
        alive = ~self.dead
        if not alive.any():
            return {"n_sparse": self.n_sparse, "n_dense": self.n_dense, "dead": self.n_sparse}

        def spread(x: Array) -> float:
            return float(np.std(x[alive]))

        def mean(x: Array) -> float:
            return float(np.mean(x[alive]))

        bound, skewness = self.welch_variance, mean(self.skewness)
        room = self.capacity_bound
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
            **({"skewness mean": skewness} if skewness == skewness else {}),
            "sum of cubes mean": mean(self.cubes),
            "dimensionality mean": mean(self.dimensionality),
            "capacity mean": mean(self.capacity),
            **({"capacity used": float(np.sum(self.capacity)) / room} if room else {}),
            "asymmetry": self.asymmetry,
            "distance from projector": self.projector_distance,
            "distance from Gaussian, mean": float(np.mean(self.distances)),
            "distance from Gaussian, worst": float(np.max(self.distances)),
            "rows compared with a Gaussian": self.rows.size,
        }


def statistics(
    model: Model,
    features: Features,
    *,
    rows: int = 16,
    seed: int | np.random.Generator = 0,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Statistics:
    """Statistics of the weights of a model, from the factors, W never whole.

    Parameters
    ----------
    model : Model
    features : Features
        As many as the model has inputs.
    rows : int
        Number of random rows whose law is compared with a Gaussian.
    seed : int or Generator
        For the choice of rows.
    progress : callable
        Wraps the iterable of rows, to show progress.

    Returns
    -------
    Statistics

    Raises
    ------
    ValueError, TypeError
        If model and features do not fit, or an argument is outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> rug = rt.hadamard_rug(64, 16, seed=0)
    >>> found = rt.statistics(rt.Model(rug.w_in, rug.w_out()), rt.Identical(64, 0.1), rows=1)
    >>> round(found.summary()["variance over Welch bound"], 12)
    1.0
    """
    check_fit(model, features)
    rows = _check.integer("rows", rows, 1)
    _check.function("progress", progress)
    w_in, w_out, diagonal, n = model.w_in, model.w_out, model.diagonal, model.n_sparse
    dead = dead_features(diagonal)
    sums, partner = _rows(model, features, dead)
    alive = np.where(dead, np.nan, diagonal)
    heard = sums.variance + model.output_noise**2
    chosen = np.flatnonzero(~dead)
    if chosen.size > rows:
        chosen = np.sort(_check.rng(seed).choice(chosen, rows, replace=False))
    distances = [
        RowChannel(model, features, int(i)).distance_from_gaussian() for i in progress(chosen)
    ]
    total = float(np.sum(sums.squares + diagonal**2))
    inner = w_in @ w_out
    singular = _singular_values(w_in, w_out)
    rank = int(np.sum(singular > _NO_RANK * singular[0]))
    lengths = np.einsum("ki,ki->i", w_in, w_in)
    overlaps = np.einsum("ki,ki->i", w_in, w_in @ w_in.T @ w_in)
    asymmetry = 1 - float(np.sum(inner * inner.T)) / total if total else 0.0
    return Statistics(
        n_sparse=n,
        n_dense=model.n_dense,
        on_probability=features.on_probability,
        dead=dead,
        diagonal=diagonal,
        bias=np.array(model.b),
        variance=heard / alive**2,
        mean=sums.mean / alive,
        lyapunov=np.where(dead, np.nan, _over(sums.lyapunov, heard**1.5)),
        skewness=np.sign(alive) * _over(sums.third, heard**1.5),
        cubes=sums.cubes / alive**3,
        partner=partner,
        dimensionality=_over(lengths**2, overlaps),
        capacity=capacity_of(diagonal, sums.shared, heard, features.variance),
        capacity_bound=capacity_bound(features, model.n_dense),
        welch_variance=_welch_variance(features, model.n_dense, n - int(dead.sum())),
        singular_values=singular,
        asymmetry=float(np.sqrt(max(asymmetry, 0.0))),
        projector_distance=_from_projector(np.trace(inner), rank, total),
        rows=chosen,
        distances=np.array([d.value for d in distances]),
        distance_error=max((d.error for d in distances), default=0.0),
    )


def _over(x: Array, y: Array) -> Array:
    """x / y, 0 where y is."""
    return np.divide(x, y, out=np.zeros(y.shape), where=y > 0)


@dataclass(frozen=True)
class _Sums:
    """Over j ≠ i of W_ij, for each i.

    Attributes
    ----------
    mean, variance, third : ndarray
        Cumulants of Σ W_ij x_j, without noise; the third is NaN for dependent features.
    squares, cubes : ndarray
        Of W_ij.
    lyapunov : ndarray
        Σ (|W_ij| std x_j)³.
    shared : ndarray
        Covariance of Σ W_ij x_j and x_i.
    """

    mean: Array
    variance: Array
    third: Array
    squares: Array
    cubes: Array
    lyapunov: Array
    shared: Array


def _rows(
    model: Model, features: Features, dead: NDArray[np.bool_]
) -> tuple[_Sums, NDArray[np.int64]]:
    """Sums over each row of W, and the partner of each feature, block by block."""
    w_in, w_out, diagonal, n = model.w_in, model.w_out, model.diagonal, model.n_sparse
    mean, variance, deviation = features.mean, features.variance, np.sqrt(features.variance)
    third = _third_cumulants(features)
    covariance = None if features.independent else features.covariance
    found = np.zeros((7, n))
    lowest, close = np.empty(n, np.int64), np.empty(n, bool)
    reads, written = np.sqrt(np.sum(w_out**2, axis=1)), np.sqrt(np.sum(w_in**2, axis=0))
    for start in range(0, n, _BLOCK):
        block = slice(start, min(start + _BLOCK, n))
        w = w_out[block] @ w_in
        own = np.arange(block.stop - start)
        w[own, start + own] = 0
        squares, size = w * w, np.abs(w)
        if covariance is None:
            found[1, block] = squares @ variance
        else:
            with_all = w @ covariance
            found[1, block] = np.sum(with_all * w, axis=1)
            found[6, block] = with_all[own, start + own]
        found[0, block] = w @ mean
        found[2, block] = (squares * w) @ third
        found[3, block], found[4, block] = squares.sum(axis=1), np.sum(squares * w, axis=1)
        found[5, block] = (squares * size) @ deviation**3
        w *= np.where(diagonal[block] < 0, -1.0, 1.0)[:, None]
        lowest[block] = np.argmin(w, axis=1)
        least = w[own, lowest[block]]
        slack = _ROUNDING * reads[block] * (written[lowest[block]] + written[block])
        w[own, lowest[block]] = np.inf
        alone = w.min(axis=1) > least + slack
        close[block] = alone & (least < _PARTNER * np.abs(diagonal[block]) - slack)
    close &= ~dead
    mutual = close & close[lowest] & (lowest[lowest] == np.arange(n))
    return _Sums(*found), np.where(mutual, lowest, -1)


def interference_variance(model: Model, features: Features) -> Array:
    """Variance of what each output hears besides its own feature, noise and all, shape (n,)."""
    w_in, w_out, a = model.w_in, model.w_out, model.diagonal
    if features.independent:
        heard = (w_in * features.variance) @ w_in.T
        whole = np.einsum("ik,ik->i", w_out @ heard, w_out)
        variance = np.maximum(whole - a * a * features.variance, 0.0)
    else:
        variance = _rows(model, features, np.zeros(a.size, bool))[0].variance
    return np.asarray(variance + model.output_noise**2)


def _third_cumulants(features: Features) -> Array:
    """Of each feature; NaN if features depend on each other, where they do not add up."""
    if not features.independent:
        return np.full(len(features), np.nan)
    third, p = np.empty(len(features)), features.on_probability
    for law, some in features.by_law.items():
        third[some] = SparseSource(p[some], law).cumulants()[2]
    return third


def _welch_variance(features: Features, n_dense: int, alive: int) -> float | None:
    variance = features.variance
    if not features.independent or np.ptp(variance) > 1e-12 * variance[0]:
        return None
    return float(variance[0]) * max(alive / n_dense - 1, 0.0)


def _singular_values(w_in: Array, w_out: Array) -> Array:
    """Of W_out W_in, n_dense of them, descending, to rounding of the largest."""
    # W = Q₂ (R₂ R₁ᵀ) Q₁ᵀ, where Gram matrices would lose half of the digits.
    (r1,), (r2,) = (scipy.linalg.qr(factor, mode="r") for factor in (w_in.T, w_out))
    values = scipy.linalg.svdvals(r2[: len(w_in)] @ r1[: len(w_in)].T)
    return np.pad(values, (0, len(w_in) - values.size))


def _from_projector(trace: float, rank: int, total: float) -> float:
    return float(np.sqrt(max(1 - trace**2 / (rank * total), 0.0))) if rank and total else 0.0
