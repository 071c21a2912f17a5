r"""The least exact loss of weights, by descent on the exact gradient: training without data.

What is minimised is the logarithm of the loss, by L-BFGS in W_in, W_out and b, with

* an L2 penalty on the weights, if there is a `weight_decay`;
* a quadratic penalty on couplings |W_ij|/W_ii above a cap, of features that are alive, raised until
  none is above.  Without a cap the loss may fall for ever: as p grows, weights are better that
  silence an output whenever others are on, the more so the larger they are;
* W_in scaled to columns of mean square length 1 where there is noise in the hidden units, which
  larger weights would drown.

Errors of the loss are watched on the way: each output is taken on contours that serve it, and what
is reported in the end is `exact_loss`.  The tolerance is coarse on the way and tightened where no
step gains or no gradient is left.  Steps of Newton end it where gains are below rounding, and in
the last fifth of the steps if the gradient is nearly small enough; they end it once more where
errors are so small that the gradient is that of the loss.  Outputs that never fire have no
gradient: where descent ends they are made constant, and it goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from .. import _check
from .._check import Array
from .._result import Result
from ..model.model import Model
from ..source.features import Features, check_features
from .curvature import lowest_curvatures
from .descent import (
    COARSE,
    FINE,
    FINER,
    FINEST,
    Coordinates,
    Descent,
    Objective,
    Stop,
    coupling,
    exceeds,
)
from .exact import ExactLoss, exact_loss
from .gradient import Gradient
from .newton import settle
from .starts import starts_of

# Couplings are at their cap from this part of it on.
_AT_CAP = 0.98
# An eigenvalue below this part of the largest is a way down.
_DOWN = -1e-3
# Relative error of the loss reported, and of losses that say which outputs never fire.
_TRUTH, _ROUGH = 1e-7, 1e-6
# These lose all of E x² but for this part.
_CLOSED = 1e-5
_MOST_STEPS = 10**9
# One step in so many is left to Newton's, at the end.
_NEWTON = 5
# Steps after which starts are compared.
_TRIED = 30


@dataclass(frozen=True, eq=False, repr=False)
class Minimum(Result):
    """Weights found by descent.

    Attributes
    ----------
    model : Model
    loss, error : float
        Its loss, by `exact_loss`, and the numerical error of that, meant as a bound.
    losses : ndarray, shape (n_sparse,)
        Mean squared error of each output.
    trajectory : ndarray
        The loss after each step, first that of the start.  Making outputs constant that never fire
        is a step, which is taken when `steps` are used up too.
    gradient : float
        Largest entry of the gradient of what was minimised, the log of the loss and penalties; of
        losses with estimated errors of `gtol`, 1e-6 at most, if steps were left for them.
    coupling : float
        Largest |W_ij|/W_ii, j ≠ i, over features i that are alive.
    curvature : ndarray
        The lowest eigenvalues of the Hessian of the log of the loss, in units of the largest one,
        without the directions in which W stays the same; empty if none were asked for.
    verdict : str
        "minimum": no gradient is left, and no negative curvature was found; "saddle": there is
        some; "stationary": no gradient is left, curvature was not asked for; "at the cap": the same
        with couplings at their cap; "above the cap": no penalty kept them below, as where so few
        hidden units force more; "stopped": steps were used up, or descent found no better
        point, before the gradient was as small as asked for; "lost": the loss is no longer large
        against its numerical error, as where it falls to zero.
    """

    model: Model
    loss: float
    error: float
    losses: Array
    trajectory: Array
    gradient: float
    coupling: float
    curvature: Array
    verdict: str


def minimize(
    features: Features,
    n_dense: int,
    *,
    init: str | Model = "random",
    max_coupling: float | None = 10.0,
    hidden_noise: float = 0.0,
    tied: bool = False,
    weight_decay: float = 0.0,
    steps: int = 5000,
    gtol: float = 1e-6,
    curvature: int = 0,
    rtol: float = COARSE,
    seed: int | np.random.Generator = 0,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
    callback: Callable[[Model, float], None] | None = None,
) -> Minimum:
    """Weights of least exact loss, by descent from a start: no samples, no step sizes.

    Parameters
    ----------
    features : Features
        Such as `exact_gradient` takes.
    n_dense : int
        Hidden units.
    init : "random", "rare", "best" or Model
        Random unit columns of W_in with the best decoder for Gaussian interference; such with
        couplings of low pair energy, what features lose together where they are rare, for features
        that are alike and independent; the weights of `best_model` with the same cap, or a start
        "rare" if a few steps lead lower from there, of `allocated_model` for independent features
        that differ; or weights to go on from, those of another structure or of training.
    seed : int or Generator
        For the starts "random" and "rare".
    max_coupling : float > 0, optional
        Cap on |W_ij|/W_ii over features that are alive; None for none.
    hidden_noise : float ≥ 0
        Noise in the hidden units, against columns of W_in of mean square length 1.
    tied : bool
        Whether W_out is the transpose of W_in; not with `hidden_noise`.
    weight_decay : float ≥ 0
        Adds weight_decay/2 times the sum of the squares of W_in and W_out to the loss.
    steps : int
        Of descent, at most.
    gtol : float
        Largest entry of the gradient of the log of the loss to stop at.
    rtol : float
        Estimated error of each loss on the way, of the mean loss where features are not alike, made
        smaller where no step gains or no gradient is left.  True errors are far smaller.
    curvature : int
        How many of the lowest eigenvalues of the Hessian to find at the end.
    progress : callable
        Wraps the iterable of steps, to show progress.
    callback : callable, optional
        Called with the model and its loss after each step.  A StopIteration from it ends the
        descent there.

    Returns
    -------
    Minimum

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range, there is no gradient for such features, or no contour
        serves the start.

    Notes
    -----
    A minimum found is a local one: take several seeds, and ``init="best"``.
    At 128 features in 32 hidden units, p = 0.1, random starts end at 1.20 p² and above, its small
    codes side by side lose 1.04 p².

    The weights are those of the last step, or of the start if its couplings are below the cap and
    it loses less.  Where couplings end above the cap, `coupling` says by how much.

    Examples
    --------
    Two features in one hidden unit end as an uneven pair, of which nothing better is known.

    >>> import rugtheory as rt
    >>> found = rt.minimize(rt.Identical(2, 0.05), 1)
    >>> bool(abs(found.loss / rt.uneven_pairs(0.05).loss - 1) < 1e-5)
    True
    """
    check_features(features)
    n, n_dense = len(features), _check.count("n_dense", n_dense, 1)
    cap = np.inf
    if max_coupling is not None:
        cap = float(_check.positive("max_coupling", _check.scalar("max_coupling", max_coupling)))
    noise = float(_check.nonnegative("hidden_noise", _check.scalar("hidden_noise", hidden_noise)))
    decay = float(_check.nonnegative("weight_decay", _check.scalar("weight_decay", weight_decay)))
    steps, gtol = _check.integer("steps", steps, 0, _MOST_STEPS), _check.tolerance("gtol", gtol)
    curvature = _check.count("curvature", curvature, 0)
    _check.function("progress", progress)
    if callback is not None:
        _check.function("callback", callback)
    if _check.boolean("tied", tied) and noise:
        raise ValueError(f"tied must be False with hidden_noise, got hidden_noise = {noise}")
    generator = _check.rng(seed)
    starts = starts_of(init, features, n_dense, generator, cap=cap, noise=noise, tied=tied)
    at = Coordinates(n, n_dense, tied, noise)
    unlike = np.ptp(features.second_moment * features.importance) > 0
    gradient = Gradient(features, _check.tolerance("rtol", rtol), together=bool(unlike))
    objective = Objective(gradient, at, decay, cap)
    model, *others = starts
    if others:
        model = min(starts, key=lambda x: _lowest(objective, x, min(steps, _TRIED), gtol))
    bar = iter(progress(range(steps)))

    def each(model: Model, loss: float) -> None:
        next(bar, None)
        if callback is not None:
            try:
                callback(model, loss)
            except StopIteration as stop:
                raise Stop from stop

    descent = Descent(
        objective, steps, gtol, each, newton=steps // _NEWTON, scale=at.scale(features)
    )
    if not descent.run(at.vector(model)):
        raise ValueError(f"no contour serves the start, {model!r}: its weights are too large")
    while not (tied or descent.stopped):
        opened = _opened(at.model(descent.x), features)
        if opened is None:
            break
        descent.go_on(at.vector(opened))
        if not descent.left:
            break
    for least in (FINE, max(min(FINER, gtol), FINEST), FINEST):
        while descent.left and descent.sharper(least):
            pass
        settle(descent)
        if least < FINE and descent.slope <= gtol:
            break
    next(bar, None)  # a bar closes when nothing is left
    exact = _ended(descent, model, features)
    return _result(descent, exact, curvature, generator)


def _lowest(objective: Objective, start: Model, steps: int, gtol: float) -> float:
    """The least value below the cap, of a start and of where a few steps lead from it."""
    descent = Descent(objective, steps, gtol)
    x = objective.at.vector(start)
    if not descent.run(x):
        return np.inf
    values = [
        objective(y)[0]
        for y in (x, descent.x)
        if not exceeds(coupling(objective.at.model(y)), objective.cap)
    ]
    return min(values, default=np.inf)


def _ended(descent: Descent, start: Model, features: Features) -> ExactLoss:
    """The exact loss where it ends: at the start if that loses less and couplings end at the cap.

    Penalties hold couplings a little below the cap, where weights may lose more.
    """
    objective = descent.objective
    assert isinstance(objective, Objective)
    end, cap = objective.at.model(descent.x), objective.cap
    exact = exact_loss(end, features, rtol=_TRUTH)
    if objective.decay or coupling(end) < _AT_CAP * cap or exceeds(coupling(start), cap):
        return exact
    before = exact_loss(start, features, rtol=_TRUTH)
    if exact.mean <= before.mean:
        return exact
    descent.x = objective.at.vector(start)
    return before


def _opened(model: Model, features: Features) -> Model | None:
    """With constant outputs in place of those that never fire; None if all do.

    An output that is always zero has no gradient, and loses more than the mean of its feature does.
    """
    losses, mean = exact_loss(model, features, rtol=_ROUGH).loss, features.mean
    closed = (mean > 0) & (losses >= (1 - _CLOSED) * (features.variance + mean**2))
    if not closed.any():
        return None
    w_out = np.where(closed[:, None], 0.0, model.w_out)
    b = np.where(closed, mean, model.b)
    return Model(model.w_in, w_out, b, hidden_noise=model.hidden_noise)


def _result(
    descent: Descent, exact: ExactLoss, curvature: int, generator: np.random.Generator
) -> Minimum:
    objective = descent.objective
    assert isinstance(objective, Objective)
    model = objective.at.model(descent.x)
    largest = coupling(model)
    curvatures = np.zeros(0)
    if curvature:
        bare = replace(objective, cap=np.inf)
        while (sharper := bare.sharper(FINE)) is not None:
            bare = sharper
        curvatures = lowest_curvatures(bare, descent.x, curvature, generator)
    if descent.lost:
        verdict = "lost"
    elif exceeds(largest, objective.cap):
        verdict = "above the cap"
    elif descent.slope > descent.gtol:
        verdict = "stopped"
    elif largest >= _AT_CAP * objective.cap:
        verdict = "at the cap"
    elif not curvature:
        verdict = "stationary"
    else:
        verdict = "saddle" if curvatures[0] < _DOWN else "minimum"
    return Minimum(
        model=model,
        loss=exact.mean,
        error=exact.mean_error,
        losses=exact.loss,
        trajectory=np.array(descent.trajectory),
        gradient=descent.slope,
        coupling=largest,
        curvature=curvatures,
        verdict=verdict,
    )
