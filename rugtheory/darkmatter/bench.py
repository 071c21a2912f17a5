r"""A test bench: activations of which every part is known, to see what the estimates make of them.

Equations (6) to (9) of arXiv:2410.14670, sections 5.2 and B.3 and appendix C, with

.. math:: x = \sum_i w_i y_i + \mathrm{Dense}, \quad
    \hat x = \sum_{i \le m} w_i y_i + \mathrm{Introduced}, \quad
    E = \sum_{i > m} w_i y_i + \mathrm{Dense} - \mathrm{Introduced} .

All parts are independent, so that their covariances give the population values of every score: with
K = Cov(E, x) = C_absent + C_dense, what is not linear has covariance Cov E - K C_x⁺ Kᵀ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .._result import Result
from ..source.amplitude import Amplitude, check_amplitude
from ..source.sparse import SparseSource
from ..source.uniform import Uniform
from .decomposition import Decomposition, Scores, decompose


@dataclass(frozen=True, eq=False, repr=False)
class Bench(Result):
    """Activations, reconstructions and their parts.

    Attributes
    ----------
    x, x_hat : ndarray, shape (rows, d)
    absent, dense, introduced : ndarray, shape (rows, d)
        x - x_hat = absent + dense - introduced.
    weights : ndarray, shape (rows, n_features)
        w, for `detect_features`.
    truth : Scores
        Population values of the scores of `decompose`.
    absent_share, dense_share, introduced_share : float
        Variances of the parts over the variance of x.
    """

    x: Array = field(repr=False)
    x_hat: Array = field(repr=False)
    absent: Array = field(repr=False)
    dense: Array = field(repr=False)
    introduced: Array = field(repr=False)
    weights: Array = field(repr=False)
    truth: Scores
    absent_share: float
    dense_share: float
    introduced_share: float


def synthetic(
    features: ArrayLike,
    p: ArrayLike,
    learned: int,
    rows: int,
    *,
    dense: ArrayLike = 0.0,
    introduced: ArrayLike = 0.0,
    amplitude: Amplitude = Uniform(),
    seed: int | np.random.Generator = 0,
) -> Bench:
    """Activations of independent sparse features of which the first `learned` are reconstructed.

    Parameters
    ----------
    features : array_like, shape (n_features, d)
        A direction for each feature.
    p : array_like in (0, 1], scalar or shape (n_features,)
        Probability that each is on; descending for a decoder that learns the commonest first.
    learned : int in [0, n_features]
    rows : int
        At least 1.
    dense, introduced : array_like, scalar or shape (d,)
        Standard deviations of the Gaussian dense part, and of the error that the decoder adds, in
        each coordinate.
    amplitude : Amplitude
        Law of a feature that is on.
    seed : int or Generator

    Returns
    -------
    Bench

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a value is outside its range, or the error does not vary.

    Examples
    --------
    Absent features in a space of their own are linear error, what is introduced is not.

    >>> import numpy as np
    >>> import rugtheory as rt
    >>> made = rt.darkmatter.synthetic(np.eye(8), 0.1, 4, 100, introduced=0.05)
    >>> round(made.truth.fvu_nl / made.introduced_share, 9)
    1.0
    """
    features = _features(features)
    check_amplitude(amplitude)
    n, d = features.shape
    p = _vector("p", _check.probability("p", p), n)
    learned = _check.integer("learned", learned, 0, n)
    rows = _check.count("rows", rows, 1)
    deviations = {
        name: _vector(name, _check.nonnegative(name, value), d)
        for name, value in (("dense", dense), ("introduced", introduced))
    }
    generator = _check.rng(seed)
    on = generator.random((rows, n)) < p
    weights = on * amplitude.sample((rows, n), generator)
    known = weights[:, :learned] @ features[:learned]
    absent = weights[:, learned:] @ features[learned:]
    noise = {
        name: deviation * generator.normal(size=(rows, d)) for name, deviation in deviations.items()
    }

    sources = [SparseSource(float(one), amplitude) for one in p]
    variance = np.array([one.variance for one in sources])
    missing = features[learned:]
    c_absent = (missing.T * variance[learned:]) @ missing
    c_dense, c_introduced = (np.diag(deviation**2) for deviation in deviations.values())
    c_x = (features.T * variance) @ features + c_dense
    mean = np.array([one.mean for one in sources])[learned:] @ missing
    return Bench(
        known + absent + noise["dense"],
        known + noise["introduced"],
        absent,
        noise["dense"],
        noise["introduced"],
        weights,
        _population(c_x, c_absent + c_dense, c_introduced, mean),
        *(float(np.trace(part) / np.trace(c_x)) for part in (c_absent, c_dense, c_introduced)),
    )


def _features(features: ArrayLike) -> Array:
    array = _check.real("features", features)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"features must have shape (n_features, d), got {array.shape}")
    return array


def _vector(name: str, value: Array, size: int) -> Array:
    if value.shape not in ((), (size,)):
        raise ValueError(f"{name} must be a scalar or have shape ({size},), got {value.shape}")
    return np.broadcast_to(value, size)


def _population(c_x: Array, shared: Array, introduced: Array, mean: Array) -> Scores:
    """Scores of an error of which `shared` is the covariance with x, `introduced` independent."""
    total = float(np.trace(c_x))
    error = np.diag(shared + introduced)
    if not error.any():
        raise ValueError("learned must leave some error, got an exact reconstruction")
    left = error - np.sum(shared * (np.linalg.pinv(c_x, hermitian=True) @ shared).T, axis=1)
    left = np.maximum(left, 0)
    return Scores(
        fvu=float((error.sum() + mean @ mean) / total),
        fvu_centred=float(error.sum() / total),
        fvu_nl=float(left.sum() / total),
        r2=float(1 - left.sum() / error.sum()),
        r2_coordinates=float(np.mean(1 - (left[error > 0] / error[error > 0]))),
    )


@dataclass(frozen=True, eq=False, repr=False)
class BenchTable(Result):
    """Estimates of the dense and the introduced part against their truth.

    Attributes
    ----------
    dense, introduced : ndarray, shape (cases,)
        Shares of the variance of x.
    estimated_dense : ndarray, shape (cases,)
        FVU_centred - FVU_nl where all features are learned: the gap that section 5.2 takes for it.
    estimated_introduced : ndarray, shape (cases,)
        Mean of FVU_nl over the numbers of learned features, the height of the horizontal line.
    expected_dense, expected_introduced : ndarray, shape (cases,)
        The same from the population values.
    correlation : ndarray, shape (2, 2)
        Of (dense, introduced) with (estimated dense, estimated introduced): the table of
        section 5.2, whose axes are standard deviations there and shares of variance here.
    runs : tuple of tuple of Decomposition
        For each case, one for each number of learned features.
    """

    dense: Array
    introduced: Array
    estimated_dense: Array
    estimated_introduced: Array
    expected_dense: Array
    expected_introduced: Array
    correlation: Array
    runs: tuple[tuple[Decomposition, ...], ...] = field(repr=False)


def run_bench(
    features: ArrayLike,
    p: ArrayLike,
    learned: Sequence[int],
    rows: int,
    *,
    dense: Sequence[float],
    introduced: Sequence[float],
    amplitude: Amplitude = Uniform(),
    bootstrap: int = 0,
    seed: int = 0,
) -> BenchTable:
    """Decompose the error at every level of dense and introduced noise, as section B.3 does.

    Parameters
    ----------
    features, p, rows, amplitude, seed
        As in `synthetic`.
    learned : sequence of int
        Numbers of learned features to average over; all features are added for the gap.
    dense, introduced : sequence of float > 0
        Standard deviations per coordinate; every pair of them is a case.
    bootstrap : int
        As in `decompose`.

    Returns
    -------
    BenchTable

    Raises
    ------
    ValueError, TypeError
        As `synthetic`; also if there are fewer than 2 levels of a noise.

    Examples
    --------
    >>> import numpy as np
    >>> import rugtheory as rt
    >>> table = rt.darkmatter.run_bench(
    ...     np.eye(8), 0.1, [2, 5], 2000, dense=[0.01, 0.05], introduced=[0.01, 0.1]
    ... )
    >>> bool(table.correlation[1, 1] > 0.9)
    True
    """
    features = _features(features)
    levels = [
        _check.positive(name, _check.axis(name, value))
        for name, value in (("dense", dense), ("introduced", introduced))
    ]
    for name, level in zip(("dense", "introduced"), levels, strict=True):
        if np.unique(level).size < 2:
            raise ValueError(f"{name} must hold at least 2 levels, got {level}")
    counts = sorted({*_check.integers("learned", learned).ravel().tolist(), features.shape[0]})
    generator = _check.rng(seed)
    columns, runs = [], []
    for tau in levels[0]:
        for eps in levels[1]:
            made = [
                synthetic(
                    features,
                    p,
                    count,
                    rows,
                    dense=tau,
                    introduced=eps,
                    amplitude=amplitude,
                    seed=generator,
                )
                for count in counts
            ]
            found = tuple(decompose(one.x, one.x_hat, bootstrap=bootstrap) for one in made)
            columns.append(
                [
                    made[-1].dense_share,
                    made[-1].introduced_share,
                    found[-1].fvu_centred - found[-1].fvu_nl,
                    np.mean([one.fvu_nl for one in found]),
                    made[-1].truth.fvu_centred - made[-1].truth.fvu_nl,
                    np.mean([one.truth.fvu_nl for one in made]),
                ]
            )
            runs.append(found)
    table = np.array(columns).T
    names = [one.name for one in fields(BenchTable)][: len(table)]
    return BenchTable(
        **dict(zip(names, table, strict=True)),
        correlation=np.corrcoef(table[:4])[:2, 2:],
        runs=tuple(runs),
    )
