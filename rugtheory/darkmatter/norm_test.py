r"""The norm prediction test: how well a linear probe of x predicts how long a vector v is.

Equation (2) of arXiv:2410.14670: the R² of

.. math:: a^* = \arg\min_a \mathbf{E}\,(a \cdot x + c - \|v\|^2)^2 .

A sparse sum of nearly orthogonal features has a high R².  What a vector without such structure
would have is the null value: a Gaussian vector with the same mean and covariance, for which Stein's
lemma, Cov(x, f(v)) = Σ_xv E ∇f(v), gives with Q = Σ_vx Σ_xx⁻¹ Σ_xv

.. math:: R^2_f = \frac{(\mathbf{E} \nabla f)^\top Q\, (\mathbf{E} \nabla f)}{\mathrm{Var} f(v)} ,

that is 4 μᵀQμ / (4 μᵀΣμ + 2 tr Σ²) for the squared norm.  Rows of x with random signs are a second
one: their relation to the length is only even, so the R² is 0, less what fitting costs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array
from .._result import Result
from ._moments import Affine, Read, evaluate, moments, solve
from ._rows import Rows, block_length, blocks, same_count
from ._split import Split, split
from .regression import Regression, judge, regressions

# ln t from -80 to 80 in steps of 1/4: both truncation and steps cost less than 1e-15.
_LOG_T = np.arange(-80, 80.125, 0.25)


@dataclass(frozen=True, eq=False, repr=False)
class NormScores(Result):
    """R² of predictions of one target.

    Attributes
    ----------
    probe : Regression
        Of the target on x: `probe.r2`, `probe.r2_se`, the probe itself in `probe.slope`.
    gaussian : float
        R² of the best probe if x and v were jointly Gaussian with their means and covariances.
    sign_flip : Regression
        Of the target on x with random signs of the rows: its R² is 0 less the price of fitting.
    baselines : dict of str to Regression
        "activation norm" (‖x‖), and "token identity" and "L0" if they were given.
    """

    probe: Regression
    gaussian: float
    sign_flip: Regression = field(repr=False)
    baselines: dict[str, Regression] = field(repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class NormTest(Result):
    """Norm prediction tests of ‖v‖² and ‖v‖."""

    squared: NormScores
    norm: NormScores


def norm_test(
    v: Any,
    *,
    x: Any = None,
    tokens: ArrayLike | None = None,
    l0: ArrayLike | None = None,
    contexts: ArrayLike | None = None,
    test_fraction: float = 0.25,
    bootstrap: int = 200,
    seed: int = 0,
    block_rows: int | None = None,
) -> NormTest:
    """Predict ‖v‖² and ‖v‖ linearly from x, with null values and baselines.

    Parameters
    ----------
    v : array_like or sliceable, shape (rows, d)
        The vectors, one part of the error for example.
    x : array_like or sliceable, shape (rows, columns), optional
        What to predict from; `v` itself by default.
    tokens : array_like of int, shape (rows,), optional
        Token identities: predicts the mean of the fit rows with the same token, of all if it is
        not among them.
    l0 : array_like, shape (rows,), optional
        Active latents of each row.
    contexts, test_fraction, bootstrap, seed, block_rows
        As in `regress`.

    Returns
    -------
    NormTest

    Raises
    ------
    ValueError, TypeError
        As `regress`; also if the norm does not vary.

    Notes
    -----
    The Gaussian value is that of the population with the moments of the fit rows: it pays no price
    of fitting, but where x is not v its Q is too large by a part of about columns/fit_rows.

    Examples
    --------
    A sparse sum of orthogonal features that are on or off; their sum is its own squared norm.

    >>> import numpy as np
    >>> import rugtheory as rt
    >>> v = (np.random.default_rng(0).random((2000, 8)) < 0.1).astype(float)
    >>> test = rt.darkmatter.norm_test(v)
    >>> round(test.squared.probe.r2, 9), test.squared.gaussian < 0.3
    (1.0, True)
    """
    v_rows = Rows("v", v)
    x_rows = v_rows if x is None else Rows("x", x)
    n_rows = same_count(v_rows, x_rows)
    parts = split(n_rows, contexts, test_fraction, _check.rng(seed))
    length = block_length(block_rows, x_rows.columns + v_rows.columns)
    bootstrap = _check.count("bootstrap", bootstrap, 0)
    targets, lengths = np.empty((n_rows, 2)), np.empty((n_rows, 1))
    for rows in blocks(np.ones(n_rows, bool), length):
        targets[rows, 1] = np.linalg.norm(v_rows.read(rows).astype(np.float64), axis=1)
        lengths[rows, 0] = np.linalg.norm(x_rows.read(rows).astype(np.float64), axis=1)
    targets[:, 0] = targets[:, 1] ** 2

    def probes(read: Read, n_x: int) -> tuple[Regression, ...]:
        return regressions(read, n_x, [1, 1], parts, bootstrap, seed, length)

    signs = _check.rng(seed).choice([-1.0, 1.0], size=(n_rows, 1))
    found = probes(lambda rows: (x_rows.read(rows), targets[rows]), x_rows.columns)
    flipped = probes(lambda rows: (signs[rows] * x_rows.read(rows), targets[rows]), x_rows.columns)
    baselines = {"activation norm": probes(lambda rows: (lengths[rows], targets[rows]), 1)}
    if l0 is not None:
        counts = _column("l0", l0, n_rows)
        baselines["L0"] = probes(lambda rows: (counts[rows], targets[rows]), 1)
    if tokens is not None:
        means = token_means(tokens, targets, parts)
        baselines["token identity"] = as_they_are(means, targets, parts, bootstrap, seed, length)
    null = _gaussian_r2(v_rows, x_rows, parts.fitted, length)
    return NormTest(
        *(
            NormScores(
                found[k],
                null[k],
                flipped[k],
                {name: both[k] for name, both in baselines.items()},
            )
            for k in range(2)
        )
    )


def _column(name: str, values: ArrayLike, n_rows: int) -> Array:
    column = _check.real(name, values)
    if column.shape != (n_rows,):
        raise ValueError(f"{name} must have shape ({n_rows},), got {column.shape}")
    return column[:, None]


def token_means(tokens: ArrayLike, targets: Array, parts: Split) -> Array:
    """Means of the targets over the fit rows with each row's token."""
    labels = _check.array("tokens", tokens)
    if labels.shape != (targets.shape[0],) or labels.dtype.kind not in "iuSU":
        raise ValueError(
            f"tokens must be labels of shape ({targets.shape[0]},), got {labels.dtype} of shape "
            f"{labels.shape}"
        )
    code = np.unique(labels, return_inverse=True)[1]
    seen = np.bincount(code[parts.fitted], minlength=int(code.max()) + 1)
    columns = []
    for target in targets.T:
        total = np.bincount(code[parts.fitted], target[parts.fitted], minlength=seen.size)
        overall = target[parts.fitted].mean()
        columns.append(np.where(seen > 0, total / np.maximum(seen, 1), overall)[code])
    return np.stack(columns, axis=1)


def as_they_are(
    predictions: Array, targets: Array, parts: Split, bootstrap: int, seed: int, length: int
) -> tuple[Regression, ...]:
    """Scores of predictions that have been fitted already: slope 1, intercept 0."""
    n = targets.shape[1]
    none = np.zeros(n)
    identity = Affine(np.eye(n), none, none, n, none, none)
    sums = evaluate(
        lambda rows: (predictions[rows], targets[rows]), identity, parts, parts.held_out, length
    )
    return judge(identity, sums, [1] * n, parts, bootstrap, seed)


def _gaussian_r2(v: Rows, x: Rows, chosen: NDArray[np.bool_], length: int) -> tuple[float, float]:
    """R² of ‖v‖² and ‖v‖ for jointly Gaussian x and v with the moments of the chosen rows."""
    own = moments(lambda rows: (v.read(rows), np.zeros((rows.size, 1))), chosen, length)
    covariance = own.xx / own.count
    if x is v:
        explained = covariance
    else:
        joint = moments(lambda rows: (x.read(rows), v.read(rows)), chosen, length)
        explained = solve(joint).slope.T @ joint.xy / joint.count
    values, vectors = np.linalg.eigh(covariance)
    values, mean = np.maximum(values, 0), vectors.T @ own.x_mean
    explained = vectors.T @ explained @ vectors
    variance = 4 * mean @ (values * mean) + 2 * values @ values
    mean_norm, direction = gaussian_norm(mean, values)
    return (
        float(4 * mean @ explained @ mean / variance),
        float(direction @ explained @ direction / (values.sum() + mean @ mean - mean_norm**2)),
    )


def gaussian_norm(mean: Array, variance: Array) -> tuple[float, Array]:
    r"""E‖v‖ and E[v/‖v‖] for independent Gaussian coordinates.

    With A(t) = E e^{-t‖v‖²} = Π (1 + 2tσ²)^{-1/2} e^{-tμ²/(1 + 2tσ²)},
    E‖v‖ = ∫ t^{-3/2} (1 - A) dt / (2√π) and E[v/‖v‖] = μ ∫ t^{-1/2} A/(1 + 2tσ²) dt / √π,
    by the trapezoidal rule in ln t, which converges geometrically.
    """
    scale = float(np.sqrt(variance.sum() + mean @ mean))
    mean, variance = mean / scale, variance / scale**2
    t = np.exp(_LOG_T)[:, None]
    width = 1 + 2 * t * variance
    log_a = -(t * mean**2 / width + np.log1p(2 * t * variance) / 2).sum(axis=1)
    step = _LOG_T[1] - _LOG_T[0]
    t = t[:, 0]
    norm = step / (2 * np.sqrt(np.pi)) * np.sum(-np.expm1(log_a) / np.sqrt(t))
    direction = step / np.sqrt(np.pi) * mean * ((np.sqrt(t) * np.exp(log_a)) @ (1 / width))
    return float(scale * norm), np.asarray(direction)
