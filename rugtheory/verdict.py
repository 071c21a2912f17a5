r"""Why a trained model has the loss it has: the way down from it to the best structure known.

Let f be the fraction of features that are alive, L_i the exact loss of output i, L_i* the least
that any a_i, b_i would give with the interference ν_i it has, G(σ) the least loss with Gaussian
interference, σ_i² = Var ν_i, σ̄² its mean, L_rug and L_best the losses of the Gaussian rug and of
the best known structure at the model's ratio r.  Angle brackets are means over features alive.

.. math::
    L &= (1-f) L_{dead} + f⟨L_i⟩ \\
      &= L_{best} + [(1-f)(L_{dead} - v) + f⟨L_i - L_i^*⟩] && \text{own a and b} \\
      &+ f⟨L_i^* - G(σ_i)⟩ && \text{non-Gaussian interference} \\
      &+ f[⟨G(σ_i)⟩ - G(\bar σ)] && \text{spread between rows} \\
      &+ f[G(\bar σ) - G(σ_W(r/f))] && \text{variance above the Welch bound} \\
      &+ [(1-f)v + f G(σ_W(r/f)) - L_{rug}] && \text{dropped features} \\
      &+ [L_{rug} - L_{best}] && \text{structure} .
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from . import _check
from ._check import Array
from .bounds import welch_sigma
from ._sampling import dead_features
from .exact import Row, model
from .optimum import optimum
from .source import Amplitude, SparseSource, Uniform
from .structures import best_known

_RTOL = 1e-7


@dataclass(frozen=True)
class Verdict:
    """The loss of a model and what separates it from the best structure known.

    Attributes
    ----------
    loss : float
        Exact loss per feature: over all features if all rows were taken, else an estimate.
    standard_error : float
        Of `loss`, from taking some of the rows.
    numerical_error : float
        Bound on the error of the inversions in `loss`.
    terms : dict of str to float
        What to take from `loss` to arrive at `best`, in that order; ``loss - sum(terms) == best``
        to rounding.  The keys are those of the formula in `rugtheory.verdict`: "own a and b",
        "non-Gaussian interference", "spread between rows", "variance above the Welch bound",
        "dropped features", "structure".  Negative terms are what the model does better than the
        next step.
    rug : float
        Loss of the Gaussian rug at the model's ratio.
    best : float
        Loss of the best known structure there, of the family `family`.
    family : str
        See `BestKnown`.
    dead : int
        Number of dead features.
    rows : int
        Number of rows inverted.
    """

    loss: float
    standard_error: float
    numerical_error: float
    terms: dict[str, float]
    rug: float
    best: float
    family: str
    dead: int
    rows: int


def explain(
    w_in: ArrayLike,
    w_out: ArrayLike,
    b: ArrayLike,
    p: float,
    *,
    rows: int | None = 32,
    amplitude: Amplitude = Uniform(),
    seed: int | np.random.Generator = 0,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Verdict:
    """Break the loss of a model down into what separates it from the best structure known.

    Parameters
    ----------
    w_in : array_like, shape (n_dense, n_sparse), n_dense ≤ n_sparse
    w_out : array_like, shape (n_sparse, n_dense)
    b : array_like, shape (n_sparse,) or scalar
    p : float in (0, 1]
        Probability that a feature is on.
    rows : int or None
        How many rows to invert, of features alive and dead in proportion; None for all.
    amplitude : Amplitude
        Law of a feature that is on.
    seed : int or Generator
        For the choice of rows.
    progress : callable
        Wraps the iterable of rows, to show progress.

    Returns
    -------
    Verdict

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a value is not finite or outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> rug = rt.antipodal_rug(64, 16, seed=0)
    >>> verdict = rt.explain(rug.w_in, rug.w_out(1.3), -0.37, 0.045, rows=2)
    >>> verdict.terms["non-Gaussian interference"] < 0
    True
    """
    w_in, w_out, b = model("w_in", w_in, "w_out", w_out, b)
    source = SparseSource(_check.scalar_probability(p), amplitude)
    _check.function("progress", progress)
    p, (n_dense, n) = source.p, w_in.shape
    if n_dense > n:
        raise ValueError(f"n_dense must be at most n_sparse = {n}, got {n_dense}")
    diagonal = np.einsum("ik,ki->i", w_out, w_in)
    dead = dead_features(diagonal)
    alive = np.flatnonzero(~dead)
    f, variance = alive.size / n, source.variance

    generator = _check.rng(seed)
    share = 1.0 if rows is None else min(_check.integer("rows", rows, 1), n) / n
    chosen = np.sort(
        np.concatenate([_some(x, share, generator) for x in (np.flatnonzero(dead), alive)])
    )
    own, least, error = np.empty((3, chosen.size))
    start: tuple[float, float] | None = None
    for k in progress(range(chosen.size)):
        i = chosen[k]
        w = w_out[i] @ w_in
        row = Row(w[i], np.delete(w, i), b[i], source, _RTOL)
        own[k], error[k] = row.estimate
        if dead[i]:
            least[k] = variance
        else:
            a, threshold = start or (w[i], -b[i] / w[i])
            least[k], *at = _least(row, a, threshold)
            start = at[0], at[1]

    rug = float(optimum(p, n_dense / n, amplitude=amplitude).loss)
    best = best_known(p, n_dense / n, amplitude=amplitude)
    lost = dead[chosen]
    terms = {"own a and b": 0.0, "non-Gaussian interference": 0.0, "spread between rows": 0.0}
    terms |= {"variance above the Welch bound": 0.0}
    reached = (1 - f) * variance
    squared_error = 0.0
    if dead.any():
        terms["own a and b"] += (1 - f) * float(np.mean(own[lost] - variance))
        squared_error += _squared_error(own[lost], n - alive.size) * (1 - f) ** 2
    if alive.size:
        second = np.einsum("ik,ik->i", w_out[alive] @ (w_in @ w_in.T), w_out[alive])
        a = diagonal[alive]
        sigma = np.sqrt(variance * np.maximum(second - a * a, 0.0)) / a
        taken = sigma[np.searchsorted(alive, chosen[~lost])]
        gaussian = optimum(p, sigma=taken, amplitude=amplitude).loss
        typical = float(np.sqrt(np.mean(sigma**2)))
        bound = welch_sigma(p, min(n_dense / alive.size, 1.0), amplitude=amplitude)
        mean, at_bound = optimum(p, sigma=[typical, float(bound)], amplitude=amplitude).loss
        terms["own a and b"] += f * float(np.mean(own[~lost] - least[~lost]))
        terms["non-Gaussian interference"] = f * float(np.mean(least[~lost] - gaussian))
        terms["spread between rows"] = f * float(np.mean(gaussian) - mean)
        terms["variance above the Welch bound"] = f * float(mean - at_bound)
        reached += f * float(at_bound)
        squared_error += _squared_error(own[~lost], alive.size) * f**2
    terms["dropped features"] = reached - rug
    terms["structure"] = rug - float(best.loss)
    return Verdict(
        loss=float(best.loss) + sum(terms.values()),
        standard_error=float(np.sqrt(squared_error)),
        numerical_error=float(error.mean()),
        terms=terms,
        rug=rug,
        best=float(best.loss),
        family=str(best.family),
        dead=int(dead.sum()),
        rows=chosen.size,
    )


def _some(of: NDArray[np.int64], share: float, generator: np.random.Generator) -> NDArray[np.int64]:
    count = min(of.size, max(2, round(share * of.size)))
    return of if count == of.size else generator.choice(of, count, replace=False)


def _squared_error(x: Array, total: int) -> float:
    """Of the mean of `x` for that of a finite population of size `total`."""
    return float(np.var(x, ddof=1)) / x.size * (1 - x.size / total) if x.size > 1 else 0.0


def _least(row: Row, a: float, threshold: float) -> tuple[float, float, float]:
    """Least loss over a and b of a row; the best a and -b/a.

    `a` and `threshold` are where to start.
    """
    if not row.source.variance > 0:  # a constant is told without any weights
        return 0.0, a, threshold
    best = (np.inf, a, threshold)

    def loss(threshold: float) -> float:
        nonlocal best
        least, a = row.least(best[1], threshold)
        if least < best[0]:
            best = (least, a, threshold)
        return least

    step = 0.03 * abs(threshold) + 0.003 * row.source.amplitude.mean
    bracket = (threshold, threshold + step)
    scipy.optimize.minimize_scalar(loss, bracket=bracket, options={"xtol": 1e-3, "maxiter": 20})
    return best
