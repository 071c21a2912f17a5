r"""Why a trained model has the loss it has: the way down from it to the best structure known.

Let f be the fraction of features that are alive, L_i the exact loss of output i, L_i* the least of
all a_i ≥ 0 and all b_i with the interference ν_i it has, G(σ) the least loss with Gaussian
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
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .._value import ByValue
from ..channel.least import least_loss
from ..channel.row_loss import row_loss
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource, on_law
from ..source.uniform import Uniform
from ..structure.best import best_known
from ..theory.bounds import welch_sigma
from ..theory.optimum import optimum
from .exact import exact_loss as model
from .sampling import columns_of, drawn, each_row, whole

_RTOL = 1e-7
# Of p: outputs that fire with less probability never fire.
_SILENT = 1e-6


@dataclass(frozen=True, eq=False)
class Verdict(ByValue):
    """The loss of a model and what separates it from the best structure known.

    Attributes
    ----------
    loss : float
        Exact loss per feature: over all features if all rows were taken, else an estimate for all,
        that of `exact_loss` for as many rows and the same seed.
    standard_error : float
        Of `loss`, from taking some of the rows.
    numerical_error : float
        Bound on the error of the inversions in `loss`.
    terms : dict of str to float
        What to take from `loss` to arrive at `best`, in that order; ``loss - sum(terms) == best``
        to rounding.  The keys are those of the formula in `rugtheory.analysis.verdict`: "own a and b",
        "non-Gaussian interference", "spread between rows", "variance above the Welch bound",
        "dropped features", "structure".  A positive term is loss that the model has above the next
        step, a negative one what it does better.  Means over outputs are estimates for all, from
        the rows taken, but for the Gaussian losses, which are of all.
    rug : float
        Loss of the Gaussian rug at the model's ratio.
    best : float
        Loss of the best known structure there, of the family `family`.
    family : str
        See `BestKnown`.
    dead : int
        Number of dead features, of which the diagonal is too small.
    rows : int
        Number of rows inverted.
    silent : int
        Number of outputs, of features dead or alive, that never fire: the probability of a
        positive reading is 0, or by Chernoff's inequality below 1e-6 of `p`.  Such an output
        loses E x², and "own a and b" has what better a and b would save.
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
    silent: int = 0


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
        How many rows to invert, drawn as by `exact_loss`, but two at least of features alive and
        two of dead ones; None for all.
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
    on, amplitude = on_law(_check.scalar_probability(p), amplitude)
    source = SparseSource(float(on), amplitude)
    _check.function("progress", progress)
    p, (n_dense, n) = source.p, w_in.shape
    if n_dense > n:
        raise ValueError(f"n_dense must be at most n_sparse = {n}, got {n_dense}")
    columns, dead = columns_of(w_in, w_out, b, source)
    diagonal = np.einsum("ik,ki->i", w_out, w_in)
    alive = np.flatnonzero(~dead)
    f, variance = alive.size / n, source.variance
    if rows is None:
        sample = whole(n)
    else:
        count = min(_check.integer("rows", rows, 1), n)
        count = max(count, min(2, alive.size) + min(2, n - alive.size))
        sample = drawn(count, columns, dead, _check.rng(seed))
    chosen = sample.rows
    own, least, error = np.empty((3, chosen.size))
    every = each_row(w_in, w_out, chosen)
    for k in progress(range(chosen.size)):
        a, others = next(every)
        own[k], error[k] = row_loss(a, others, float(b[chosen[k]]), source, _RTOL)
        least[k] = variance
        if not dead[chosen[k]]:
            least[k] = least_loss(others / a, source, _RTOL).loss

    rug = float(optimum(p, n_dense / n, amplitude=amplitude).loss)
    best = best_known(p, n_dense / n, amplitude=amplitude)
    terms = {"own a and b": float(sample.weights @ (own - least))}
    terms |= {"non-Gaussian interference": 0.0, "spread between rows": 0.0}
    terms |= {"variance above the Welch bound": 0.0}
    reached = (1 - f) * variance
    if alive.size:
        second = np.einsum("ik,ik->i", w_out[alive] @ (w_in @ w_in.T), w_out[alive])
        a = diagonal[alive]
        sigma = np.sqrt(variance * np.maximum(second - a * a, 0.0)) / a
        gaussian = optimum(p, sigma=sigma, amplitude=amplitude).loss
        typical = float(np.sqrt(np.mean(sigma**2)))
        bound = welch_sigma(p, min(n_dense / alive.size, 1.0), amplitude=amplitude)
        mean, at_bound = optimum(p, sigma=[typical, float(bound)], amplitude=amplitude).loss
        reachable = float(sample.weights @ np.where(dead[chosen], 0.0, least))
        terms["non-Gaussian interference"] = reachable - f * float(np.mean(gaussian))
        terms["spread between rows"] = f * float(np.mean(gaussian) - mean)
        terms["variance above the Welch bound"] = f * float(mean - at_bound)
        reached += f * float(at_bound)
    terms["dropped features"] = reached - rug
    terms["structure"] = rug - float(best.loss)
    return Verdict(
        loss=float(best.loss) + sum(terms.values()),
        standard_error=sample.standard_error(own),
        numerical_error=float(np.abs(sample.weights) @ error),
        terms=terms,
        rug=rug,
        best=float(best.loss),
        family=str(best.family),
        dead=int(dead.sum()),
        rows=chosen.size,
        silent=_silent(w_in, w_out, b, source),
    )


def _silent(w_in: Array, w_out: Array, b: Array, source: SparseSource) -> int:
    """How many outputs never fire."""
    diagonal = np.einsum("ik,ki->i", w_out, w_in)
    mean = source.mean * (w_out @ w_in.sum(axis=1) - diagonal)
    # With its own feature on, or off if that is better, such an output is off on average.
    usual = b + mean + source.amplitude.mean * np.maximum(diagonal, 0.0)
    rounding = 1e-12 * (np.abs(b) + np.abs(mean) + np.abs(diagonal) * source.amplitude.mean)
    some = np.flatnonzero(usual <= rounding)
    every = each_row(w_in, w_out, some)
    return sum(
        _never_fires(np.append(others, a), float(b[i]), source)
        for i, (a, others) in zip(some, every, strict=True)
    )


def _never_fires(weights: Array, b: float, source: SparseSource) -> bool:
    """If P(Σ weights_j x_j + b > 0) is 0, or surely below a small part of p."""
    amplitude = source.amplitude
    up = weights[weights > 0]
    if b + amplitude.end * float(up.sum()) <= 0 if up.size else b <= 0:
        return True
    if not up.size:
        return False
    size = float(np.sqrt(source.second_moment * (weights @ weights))) + float(up.max())
    steep = np.geomspace(0.01, 1e4, 60) / (size * amplitude.mean)
    steep = steep[steep * float(up.max()) < 0.99 * amplitude.abscissa]
    t = np.multiply.outer(steep, weights).astype(complex)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        mgf = amplitude.transform(t, 0).real
        log = np.sum(np.log1p(source.p * (mgf - 1)), axis=1) + steep * b
    log = log[np.isfinite(log)]
    return bool(log.size and log.min() < np.log(_SILENT * source.p))
