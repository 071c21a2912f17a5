r"""How low the loss of weights can go: what is proved, for which weights, and where.

Uniform[0, 1] amplitudes.  With W scaled to unit diagonal and g(c) = c²/3 - c³/6 for c ≤ 1 and
1/3 - 1/(6c) above, rare features lose p² times the pair energy

.. math:: F = \frac1n \sum_{i≠j} \Bigl[\frac{(W_{ij})_+^2}{3p} + g((W_{ij})_-)\Bigr]
    ≥ \frac1n \sum_{i≠j} g(|W_{ij}|) , \qquad p ≤ 1 ,

at a = 1, b = 0 and p → 0, where biases let what is of order √p through.  The bounds are on F; their
proofs are in docs/theory/lower_bounds.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from .. import _check
from .._check import Array
from .._result import Result
from ..source.sparse import SparseSource
from .lower_all_p import all_p
from .optimum import optimum

RARE, ALL = "rare features", "all p"
# Of the linear program: places of inner products, degrees of polynomials, and of t.
_PLACES, _DEGREES, _OFFSETS, _SLACK, _FAR = 1001, 10, 12, 1e-7, 1e9
# Offsets t; beyond these the bound on couplings alone is larger.
_GRID = np.concatenate([np.linspace(0, 1, 4001), np.geomspace(1, 10, 200)[1:]])
_LEAST_DENSE = 6
# Standard deviations of noise at which losses make a convex hull: from below what columns of W_in
# far longer than the mean leave, to where nothing is told.  Steps are so small that chords between
# samples are above the hull by less than this part of it.
_SHORTEST, _LONGEST, _NOISES = 1e-3, 1e3, 2048
_ABOVE_HULL = 1e-5
_ROOT = float(np.sqrt(2))
# What is not proved of a bound.
_NUMERICAL = "; that no larger Σ X² is better, by the linear program"


@dataclass(frozen=True, eq=False, repr=False)
class Bound(Result):
    """A lower bound on the loss.

    Attributes
    ----------
    weights : str
        For which W it holds.
    scope : str
        "rare features": for the pair energy times p², which is the loss for p → 0 at a fixed number
        of features, and which losses at finite p may be below; "all p": for the exact loss.
    value : float
        Of the loss per feature.
    source : str
        What it rests on.
    """

    weights: str
    scope: str
    value: float
    source: str


def lower_bounds(
    p: float,
    ratio: float | None = None,
    *,
    n_sparse: int | None = None,
    n_dense: int | None = None,
    max_coupling: float = 10.0,
    hidden_noise: float = 0.0,
) -> tuple[Bound, ...]:
    """Lower bounds on the loss of Uniform[0, 1] features, each for a class of weights.

    Those of scope "rare features" hold for the loss as p → 0 at a fixed number of features, and
    are crossed at finite p: linear weights at p = 0.5, ratio 1/4 lose .0781, and the bound for all
    weights is .0808.  Those of scope "all p" hold for every number of features.

    Parameters
    ----------
    p : float in (0, 1]
        Probability that a feature is on.
    ratio : float in (0, 1], optional
        n_dense / n_sparse, in the limit of many features; or else
    n_sparse, n_dense : int, optional
        the numbers, of which n_dense is at most n_sparse.
    max_coupling : float > 0
        Cap c on |W_ij|/W_ii of the bound for bounded couplings.
    hidden_noise : float ≥ 0
        Standard deviation of the noise in the hidden units, against columns of W_in of mean square
        length 1 or less.

    Returns
    -------
    tuple of Bound
        For all W of that rank; couplings up to c; tied W (symmetric, positive semidefinite);
        symmetric W with no positive coupling and one negative eigenvalue, on the vector of ones, as
        graph codes are; with triangles too, and by a linear program, if the numbers are
        given and it has a solution; for all p those of all W and of couplings up to c; and with
        noise that of all W for all p, which knows of the noise alone.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range, or neither ratio nor both numbers are given.

    Notes
    -----
    The linear program (Gegenbauer polynomials of degree up to 10, HiGHS) is numerical: its inner
    products are on a grid, and it is no proof.  It agrees with the closed form to 1e-4 where the
    coupling of that, c, is below 1.

    Noise in the hidden units is a bias of the outputs that is drawn anew, so that what is below the
    loss of all biases is below that with noise.  Its own bound is convex in the squares of the
    lengths of columns, to 1e-5 of it.

    Examples
    --------
    >>> import rugtheory as rt
    >>> for bound in rt.lower_bounds(0.01, n_sparse=128, n_dense=32)[:5]:
    ...     print(f"{bound.value / 0.01**2:.3f} {bound.weights}")
    0.323 all
    0.323 couplings up to 10
    0.833 tied
    1.074 symmetric, no positive coupling, one negative eigenvalue on the vector of ones
    1.138 the same, with triangles
    """
    p = float(_check.probability("p", _check.scalar("p", p)))
    cap = float(_check.positive("max_coupling", _check.scalar("max_coupling", max_coupling)))
    noise = _check.hidden_noise(hidden_noise)
    numbers = _numbers(ratio, n_sparse, n_dense)
    given = numbers[1] / numbers[0] if numbers else _check.scalar("ratio", ratio or 0.0)
    r = float(_check.probability("ratio", given))
    rest, square = 1 / r - 1, p * p
    small = min(cap, _ROOT)
    variances = "variances given one other feature, and Welch's bound on all sets of rows"
    everywhere = [
        Bound("all", ALL, all_p(p, r, _ROOT), variances),
        Bound(f"couplings up to {cap:g}", ALL, all_p(p, r, small), variances),
    ]
    if noise:
        everywhere.append(Bound("all", ALL, noise_alone(p, noise), "each feature alone"))
    found = [
        Bound("all", RARE, square * everything(r), "weighted Welch bound on the simplex"),
        Bound(
            f"couplings up to {cap:g}",
            RARE,
            square * rest * float(pair_cost(small)) / small**2,
            "Welch bound, and the same on the simplex from √2 on",
        ),
        Bound("tied", RARE, square * max((2 / r - 3) / 6, rest / 6), "Welch and Schur, p ≤ 2/3"),
    ]
    silent = "symmetric, no positive coupling, one negative eigenvalue on the vector of ones"
    if numbers is None:
        limit = rest * float(_each(np.array(1 / rest))) if rest else 0.0
        return (*found, Bound(silent, RARE, square * limit, "moments, many features"), *everywhere)
    n, d = numbers
    if _LEAST_DENSE <= d < n:
        moments, triangles = (one_negative(n, d, triangles=x) for x in (False, True))
        found += [
            Bound(silent, RARE, square * moments, f"moments of balanced codes{_NUMERICAL}"),
            Bound(
                "the same, with triangles", RARE, square * triangles, f"tr (W - I)³ ≤ 0{_NUMERICAL}"
            ),
        ]
        numerical = gegenbauer(n, d)
        if np.isfinite(numerical):
            found.append(Bound("the same, numerical", RARE, square * numerical, "linear program"))
    return (*found, *everywhere)


def proved(p: float, ratio: float, *, hidden_noise: float = 0.0) -> float:
    """The largest of `lower_bounds` that no weights cross, at this p and any number of features."""
    bounds = lower_bounds(p, ratio, hidden_noise=hidden_noise)
    return max(x.value for x in bounds if (x.weights, x.scope) == ("all", ALL))


def pair_cost(c: float | Array) -> Array:
    """g(c), E min(u, c w)² of two features on with Uniform[0, 1] amplitudes u and w."""
    c = np.asarray(c, float)
    above = 1 / 3 - 1 / (6 * np.maximum(c, 1.0))
    return np.asarray(np.where(c <= 1, c * c / 3 - c**3 / 6, above))


def everything(ratio: float) -> float:
    """κ(1/r - 1), κ = g(√2)/2: no W of unit diagonal and that rank has a smaller pair energy."""
    return float(pair_cost(_ROOT)) / 2 * (1 / ratio - 1)


def noise_alone(p: float, noise: float) -> float:
    """What noise in the hidden units costs at least if no feature hears any other.

    An output with W_ii = a hears noise of deviation a·noise/l or more if its column of W_in has the
    length l.  Given all other features it is a ReLU of its own feature and that noise, which loses
    no less than the best one; and the mean over l, of mean square 1, is on the convex hull.
    """
    sigma = np.append(np.geomspace(_SHORTEST * noise, max(_LONGEST, noise), _NOISES), noise)
    square, loss = (noise / sigma) ** 2, optimum(p, sigma=sigma).loss
    square, loss = np.append(square, 0.0), np.append(loss, SparseSource(p).variance)
    left, right = square < 1, square > 1
    # The lowest chord across 1, and the loss there.
    rise = (1 - square[left, None]) / (square[right] - square[left, None])
    chords = loss[left, None] + rise * (loss[right] - loss[left, None])
    return float(min((1 - _ABOVE_HULL) * chords.min(), loss[square == 1].min()))


def one_negative(n: int, d: int, *, triangles: bool) -> float:
    """The pair energy of (1 + t) X - t J, X the Gram matrix of balanced unit vectors, at least."""
    t = _GRID[np.searchsorted(_GRID, _least_offset(n, d, triangles)) :]
    some = np.append(_least_offset(n, d, triangles), t)
    square, cube = _moments(some, n, d)
    return float(np.min(square * _each(cube / square)))


def _least_offset(n: int, d: int, triangles: bool) -> float:
    """The least t that the moments allow."""

    def gap(t: Array) -> Array:
        s, q = _moments(t, n, d)
        room = ((1 + n * t) * q - s**2) / (1 + s**2)
        return np.minimum(room, _triangle_gap(t, n, d) / n**2) if triangles else room

    k = int(np.argmax(gap(_GRID) >= 0))
    if not k:
        return 0.0
    return float(
        scipy.optimize.brentq(lambda t: float(gap(np.array(t))), *_GRID[k - 1 : k + 1], xtol=1e-15)
    )


def _each(c: Array) -> Array:
    """g(c)/c², which is convex and falls."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(c <= 1, 1 / 3 - c / 6, 1 / (3 * c**2) - 1 / (6 * c**3)))


def _moments(t: Array, n: int, d: int) -> tuple[Array, Array]:
    """Least row average of Σ W², j ≠ i, and the greatest of Σ |W|³ with it."""
    frame = (1 + t) ** 2 * n / (d - 1)
    return frame + n * t * t - 1, 1 + 3 * t * frame + n * t**3


def _triangle_gap(t: Array, n: int, d: int) -> Array:
    """What tr (W - I)³ ≤ 0 leaves: Cauchy and Schwarz for the eigenvalues that are not negative."""
    s, top = _moments(t, n, d)[0], n * t
    return (n + top) * (n * (1 + 3 * s) + top**3) - (n * (1 + s) - top**2) ** 2


def gegenbauer(n: int, d: int) -> float:
    """The same bound by linear programs over the inner products of X, least over t."""
    start = _least_offset(n, d, False)
    # Rounding, of the place of the least t too, must not exclude what is just possible.
    ends = start * np.append(1 + 1e-9, np.linspace(1, 4, _OFFSETS)[1:])
    values = [_program(t, n, d - 1) for t in ends]
    k = int(np.argmin(values))
    inside = [t for t in ends[max(k - 1, 0) : k + 2] if np.isfinite(_program(t, n, d - 1))]
    if len(inside) < 2:
        return float(values[k])
    found = scipy.optimize.minimize_scalar(
        lambda t: min(_program(float(t), n, d - 1), _FAR),
        bounds=(inside[0], inside[-1]),
        method="bounded",
        options={"xatol": 1e-7, "maxiter": 20},
    )
    return float(min(found.fun, values[k]))


def _program(t: float, n: int, dimension: int) -> float:
    """Least Σ_j g(|W_ij|) over measures of inner products with non-negative Gegenbauer sums."""
    square, cube = _moments(np.array(t), n, dimension + 1)
    # With the one coupling of codes for which moments are sharp.
    x = np.append(np.linspace(-1, t / (1 + t), _PLACES), (t - cube / square) / (1 + t))
    degree = np.arange(2, _DEGREES + 1)[:, None]
    index = (dimension - 2) / 2
    at = scipy.special.eval_gegenbauer(degree, index, x)
    at = at / scipy.special.eval_gegenbauer(degree, index, 1.0)
    found = scipy.optimize.linprog(
        pair_cost(np.abs((1 + t) * x - t)),
        A_ub=-at,
        b_ub=np.ones(len(at)) + _SLACK,
        A_eq=np.stack([np.ones_like(x), x]),
        b_eq=[n - 1, -1.0],
        method="highs",
    )
    return float(found.fun) if found.success else np.inf


def _numbers(
    ratio: float | None, n_sparse: int | None, n_dense: int | None
) -> tuple[int, int] | None:
    given = ratio is not None, n_sparse is not None, n_dense is not None
    if given == (True, False, False):
        return None
    if given != (False, True, True):
        named = zip(("ratio", "n_sparse", "n_dense"), (ratio, n_sparse, n_dense), strict=True)
        told = ", ".join(f"{name} = {_check.shown(value)}" for name, value in named)
        raise ValueError(f"ratio, or n_sparse and n_dense, must be given, got {told}")
    n = _check.count("n_sparse", n_sparse, 1)
    return n, _check.integer("n_dense", n_dense, 1, n)
