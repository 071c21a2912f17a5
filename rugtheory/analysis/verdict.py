r"""Why a trained model has the loss it has: the way down from it to the best structure known.

Let f be the fraction of features that are alive, L_i the exact loss of output i, L_i* the least of
all a_i ≥ 0 and all b_i with the interference ν_i it has, G(σ) the least loss with Gaussian
interference, σ_i² = Var ν_i, σ̄² its mean, L_rug and L_best the losses of the Gaussian rug and of
the best structure known at the model's ratio r with no larger couplings |W_ij|/W_ii, and with the
same noise in the hidden units, τ against columns of W_in of features alive of mean square length 1.
On average outputs hear τ² of it or more, and in rugs no more, so that σ_W² is v (1/r - 1) + τ².
Angle brackets are means over features alive.

.. math::
    L &= (1-f) L_{dead} + f⟨L_i⟩ \\
      &= L_{best} + [(1-f)(L_{dead} - v) + f⟨L_i - L_i^*⟩] && \text{own a and b} \\
      &+ f⟨L_i^* - G(σ_i)⟩ && \text{non-Gaussian interference} \\
      &+ f[⟨G(σ_i)⟩ - G(\bar σ)] && \text{spread between rows} \\
      &+ f[G(\bar σ) - G(σ_W(r/f))] && \text{variance above the Welch bound} \\
      &+ [(1-f)v + f G(σ_W(r/f)) - L_{rug}] && \text{dropped features} \\
      &+ [L_{rug} - L_{best}] && \text{structure} .

Features that are not identical have their own p, amplitude and importance I in the first two steps.
If they are independent, the rest of the way is that to the best allocation of capacity among
Gaussian rugs.  Let t σ_i, t ≤ 1, have capacities that add up to n_dense, L_alive the loss of the
best allocation to the features alive, with the others dropped, and L_best that to all, both without
noise in the hidden units: what the model hears of it is capacity that is not used.

.. math::
    ⟨I_i G_i(σ_i)⟩ &= L_{best} + [⟨I_i G_i(σ_i)⟩ - ⟨I_i G_i(tσ_i)⟩] && \text{unused capacity} \\
      &+ [⟨I_i G_i(tσ_i)⟩ - L_{alive}] && \text{shares of features alive} \\
      &+ [L_{alive} - L_{best}] && \text{dropped features} .

The family "best" has one more step, "structure", from there to the best allocation of capacity
among all structures known of no larger couplings, which is then L_best.  If features depend on each
other there are no more steps, and neither are there if amplitudes may be negative.  Features that
are alike and may be negative have all steps of the first formula but the last: no structure is
known for them but rugs.  v is the loss of the best constant that a ReLU has,
Var x + min(E x, 0)².
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import _check
from .._check import Array
from .._result import Result
from ..channel.interference import Interference
from ..channel.least import least_loss
from ..channel.row_laws import RowLaws
from ..model.model import Model, check_fit
from ..source.features import Features
from ..source.sparse import SparseSource, on_law
from ..structure.best import best_known
from ..structure.hull_curves import best_of
from ..structure.hull_pieces import HULL
from ..theory.bounds import welch_sigma
from ..theory.optimum import optimum
from .columns import dead_features, each_row
from .descent import coupling
from .exact import each_loss
from .sampling import Sample, some_rows, whole
from .statistics import interference_variance
from .unequal import allocation_steps, constant_losses, gaussian_losses

_RTOL = 1e-7
_NO_COUPLING = 1e-9
# Of p: outputs that fire with less probability never fire.
_SILENT = 1e-6
GAUSSIAN, ALLOCATION = "own Gaussian channels", "allocation"
ENDS = ("gaussian", HULL.name)


@dataclass(frozen=True, eq=False, repr=False)
class Verdict(Result):
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
        to rounding.  The keys are those of the formula in `rugtheory.analysis.verdict`: "own a and
        b", "non-Gaussian interference", then "spread between rows", "variance above the Welch
        bound", "dropped features", "structure" of identical features, and "unused capacity",
        "shares of features alive", "dropped features" of others that are independent, with
        "structure" last for the family "best".  Where amplitudes may be negative, the steps that
        rest on structures known for positive ones are left out: "structure", and all three of
        features that are not alike.  A positive
        term is loss that the model has above the next step, a negative one what it does better.
        Means over outputs are estimates from the rows taken; Gaussian losses are means over all
        outputs.
    rug : float or None
        Loss of the Gaussian rug at the model's ratio, with the noise of `hidden_noise`; None if
        features are not identical.
    best : float
        Loss of the best known structure there whose couplings are not above the model's own, of the
        family `family`, see `best_known`, or `rug` if amplitudes may be negative; if features are
        not identical, of the best allocation in the family asked for, see `allocate`, and if they
        depend on each other or may be negative, of Gaussian interference with the deviations that
        the model has.
    family : str
        See `BestKnown`; "allocation" or "own Gaussian channels" if features are not identical.
    dead : int
        Number of dead features, of which the diagonal is too small.
    rows : int
        Number of rows inverted.
    silent : int
        Number of outputs, of features dead or alive, that never fire: the probability of a
        positive reading is 0, or by Chernoff's inequality below 1e-6 of `p`.  Such an output
        loses E x², and "own a and b" has what better a and b would save.
    dropped, dropped_alive : int or None
        Number of features that the best allocation drops, and how many of them are alive in the
        model; None where there is no allocation.
    hidden_noise : float
        Deviation of the model's noise in the hidden units over the root mean square length of the
        columns of W_in of features alive, of all columns if none is: that of structures.
    """

    loss: float
    standard_error: float
    numerical_error: float
    terms: dict[str, float]
    rug: float | None
    best: float
    family: str
    dead: int
    rows: int
    silent: int = 0
    dropped: int | None = None
    dropped_alive: int | None = None
    hidden_noise: float = 0.0


def explain(
    model: Model,
    features: Features,
    *,
    rows: int | None = 32,
    seed: int | np.random.Generator = 0,
    family: str = "gaussian",
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Verdict:
    """Break the loss of a model down into what separates it from the best structure known.

    Parameters
    ----------
    model : Model
        With a ReLU, and no more hidden units than features.  What it is compared with has the same
        noise in the hidden units, if features are identical, which takes some seconds.
    features : Features
        As many as the model has inputs.
    rows : int or None
        How many rows to invert, drawn as by `exact_loss`, but two at least of features alive and
        two of dead ones; None for all.
    seed : int or Generator
        For the choice of rows.
    family : "gaussian" or "best"
        Where the way of independent features ends that are not identical: at the best allocation to
        Gaussian rugs, or to the best structures known of no larger couplings than the model's,
        which takes about a second for each p, and up to a minute.  That of identical features ends
        at `best_known` in any case.
    progress : callable
        Wraps the iterable of rows, to show progress.

    Returns
    -------
    Verdict

    Raises
    ------
    ValueError, TypeError
        If model and features do not fit, features depend on each other and the family is "best", or
        an argument is outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> rug = rt.antipodal_rug(64, 16, seed=0)
    >>> model = rt.Model(rug.w_in, rug.w_out(1.3), -0.37)
    >>> verdict = rt.explain(model, rt.Identical(64, 0.045), rows=2)
    >>> verdict.terms["non-Gaussian interference"] < 0
    True
    """
    check_fit(model, features)
    _check.function("progress", progress)
    n = model.n_sparse
    if model.n_dense > n:
        raise ValueError(f"n_dense must be at most n_sparse = {n}, got {model.n_dense}")
    if model.activation != "relu":
        raise ValueError(f"activation must be relu to be explained, got {model.activation}")
    positive = all(law.start >= 0 for law in features.by_law)
    if _check.choice("family", family, ENDS) == HULL.name and not (
        features.independent and positive
    ):
        raise ValueError(
            "family must be 'gaussian' for features that depend on each other or may be negative, "
            f"got {family!r}"
        )
    dead = dead_features(model.diagonal)
    sample = _chosen(rows, model, features, dead, seed)
    own, least, error = _losses(model, features, sample.rows, dead, progress)
    alive, weight = ~dead, features.importance
    sigma = _sigma(model, features)
    gaussian = gaussian_losses(sigma, features, dead)
    importance = weight[sample.rows]
    terms = {"own a and b": float(sample.weights @ (importance * (own - least)))}
    reachable = sample.weights @ np.where(dead[sample.rows], 0.0, importance * least)
    terms["non-Gaussian interference"] = float(reachable - np.sum((weight * gaussian)[alive]) / n)
    source, rug, dropped = _identical(features), None, None
    noise = noise_by_length(model, model.w_in[:, alive] if alive.any() else model.w_in)
    if source is None and features.independent and positive:
        cap = _cap(model) if family == HULL.name else None
        rest, best, dropped = allocation_steps(model, features, sigma, gaussian, dead, cap)
        found = ALLOCATION
        terms |= rest
    elif source is None:
        best, found = float(np.mean(weight * gaussian)), GAUSSIAN
    else:
        rest, rug, best, found = _steps(model, source, gaussian[alive], sigma[alive], alive, noise)
        terms |= rest
    return Verdict(
        loss=best + sum(terms.values()),
        standard_error=sample.standard_error(importance * own),
        numerical_error=float(np.abs(sample.weights) @ (importance * error)),
        terms=terms,
        rug=rug,
        best=best,
        family=found,
        dead=int(dead.sum()),
        rows=sample.rows.size,
        silent=_silent(model, features),
        dropped=None if dropped is None else int(dropped.sum()),
        dropped_alive=None if dropped is None else int(np.sum(dropped & alive)),
        hidden_noise=noise,
    )


def _chosen(
    rows: int | None,
    model: Model,
    features: Features,
    dead: NDArray[np.bool_],
    seed: int | np.random.Generator,
) -> Sample:
    n, n_dead = model.n_sparse, int(dead.sum())
    if rows is None:
        return whole(n)
    count = min(_check.integer("rows", rows, 1), n)
    count = max(count, min(2, n - n_dead) + min(2, n_dead))
    return some_rows(count, model, features, _check.rng(seed))


def _losses(
    model: Model,
    features: Features,
    rows: NDArray[np.int64],
    dead: NDArray[np.bool_],
    progress: Callable[[Iterable[int]], Iterable[int]],
) -> tuple[Array, Array, Array]:
    """Of each of `rows`: its loss, the least of all a and b, and the error of the first."""
    own, least, error = np.empty((3, rows.size))
    laws, noise, constant = RowLaws(features), model.output_noise, constant_losses(features)
    every = each_loss(model, features, rows, _RTOL)
    for k in progress(range(rows.size)):
        i, row, (own[k], error[k]), alone = next(every)
        least[k] = constant[i]
        if not dead[i]:
            heard = laws(i, row, float(noise[i]))
            if len(heard) > 1:
                raise ValueError(
                    "features must not depend on a latent to be explained: best a and b are "
                    f"known within one scenario only, and there are {len(heard)}"
                )
            least[k] = least_loss(heard[0][1].scaled(1 / float(row[i])), _RTOL, alone).loss
    return own, least, error


def _sigma(model: Model, features: Features) -> Array:
    """Deviation of the interference of each output, per unit diagonal."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(interference_variance(model, features)) / model.diagonal)


def _identical(features: Features) -> SparseSource | None:
    """The law that all features have, if they are independent and alike."""
    p, laws = features.on_probability, set(features.amplitudes)
    if (
        not features.independent
        or len(laws) > 1
        or np.any(p != p[0])
        or np.any(features.importance != 1)
    ):
        return None
    on, amplitude = on_law(float(p[0]), laws.pop())
    return SparseSource(float(on), amplitude)


def _cap(model: Model) -> float:
    """Of what has no larger couplings; without any, of what has some below rounding."""
    return max(coupling(model), _NO_COUPLING)


def noise_by_length(model: Model, columns: Array) -> float:
    """Noise in the hidden units, against columns of W_in of mean square length 1."""
    length = float(np.sqrt(np.mean(np.sum(columns**2, axis=0))))
    return min(model.hidden_noise / length, _check.LARGEST) if length else model.hidden_noise


def _steps(
    model: Model,
    source: SparseSource,
    gaussian: Array,
    sigma: Array,
    alive: NDArray[np.bool_],
    noise: float,
) -> tuple[dict[str, float], float, float, str]:
    """The steps from own Gaussian channels down; losses of the rug and of the best known.

    `gaussian` and `sigma` are losses and deviations in those of features alive, `noise` that in
    the hidden units.
    """
    p, amplitude, n_dense = source.p, source.amplitude, model.n_dense
    f, constant = float(np.mean(alive)), float(source.variance + min(source.mean, 0.0) ** 2)
    rug = float(best_of("rug", p, np.array(model.ratio), amplitude, noise).loss)
    terms = dict.fromkeys(("spread between rows", "variance above the Welch bound"), 0.0)
    reached = (1 - f) * constant
    if f:
        features_alive = int(np.sum(alive))
        typical = float(np.sqrt(np.mean(sigma**2)))
        bound = welch_sigma(p, min(n_dense / features_alive, 1.0), amplitude=amplitude)
        least = float(np.hypot(bound, noise))
        mean, at_bound = optimum(p, sigma=[typical, least], amplitude=amplitude).loss
        terms["spread between rows"] = f * float(np.mean(gaussian) - mean)
        terms["variance above the Welch bound"] = f * float(mean - at_bound)
        reached += f * float(at_bound)
    terms["dropped features"] = reached - rug
    if amplitude.start < 0:
        return terms, rug, rug, "rug"
    best = best_known(
        p, model.ratio, max_coupling=_cap(model), hidden_noise=noise, amplitude=amplitude
    )
    terms["structure"] = rug - float(best.loss)
    return terms, rug, float(best.loss), str(best.family)


def _silent(model: Model, features: Features) -> int:
    """How many outputs never fire."""
    diagonal, means = model.diagonal, features.mean
    sizes = np.array([min(law.scale, max(law.end, 0.0)) for law in features.amplitudes])
    mean = model.w_out @ (model.w_in @ means) - diagonal * means
    # With its own feature on, or off if that is better, such an output is off on average.
    usual = model.b + mean + sizes * np.maximum(diagonal, 0.0)
    rounding = 1e-12 * (np.abs(model.b) + np.abs(mean) + np.abs(diagonal) * sizes)
    some = np.flatnonzero(usual <= rounding)
    laws, noise, p = RowLaws(features), model.output_noise, features.on_probability
    return sum(
        all(
            _never_fires(heard, float(model.b[i]), float(p[i]))
            for _, heard in laws.whole(row, float(noise[i]))
        )
        for i, row in each_row(model, some)
    )


def _never_fires(heard: Interference, b: float, p: float) -> bool:
    """If P(Z + b > 0) is 0, or surely below a small part of `p`."""
    if not heard.noise and b + heard.highest <= 0:
        return True
    if not heard.spread:
        return False
    steep = np.geomspace(0.01, 1e4, 60) / (heard.spread + heard.jump)
    steep = steep[steep < 0.99 * heard.domain()[1]]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        log = heard.log_transform(steep) + steep * b
    log = log[np.isfinite(log)]
    return bool(log.size and log.min() < np.log(_SILENT * p))
