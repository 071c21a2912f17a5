"""Exact losses of the outputs of given weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array
from .._result import Result
from ..channel.inversion import Estimate
from ..channel.row_loss import Row, RowLaw, linear_row, row_loss
from ..model.model import Model, check_fit
from ..source.features import Features
from .blocks import Blocks
from .sampling import Sample, given, some_rows, whole


@dataclass(frozen=True, eq=False, repr=False)
class ExactLoss(Result):
    """Losses of the outputs of a model.

    Attributes
    ----------
    rows : ndarray of int64, shape (m,)
        The outputs taken, ascending.
    loss, error : ndarray, shape (m,)
        Their mean squared errors, without importance, and estimates of the numerical error of
        each, meant as bounds.
    mean : float
        The loss of the model, the mean over all features of importance times squared error: over
        all outputs if `rows` are all of them, and else an estimate for all.  If rows were drawn, it
        is not ``loss.mean()``: outputs that are unlike the others are drawn more often and count
        less.  If rows were given, it is, apart from importances.
    mean_error : float
        Mean of `error`, of the same kind.
    standard_error : float
        Standard error of `mean` as an estimate for all outputs; 0 if it is over all, infinite if
        it is of one among more.  For rows that were given it is that of rows drawn at random, and
        says nothing if they were not.
    """

    rows: NDArray[np.int64]
    loss: Array
    error: Array
    mean: float
    mean_error: float
    standard_error: float


class OneLoss(NamedTuple):
    """An output, its row of W, its loss, and the inversion of this if there was one."""

    i: int
    weights: Array
    loss: Estimate
    alone: Row | None = None


def exact_loss(
    model: Model,
    features: Features,
    *,
    rows: int | ArrayLike | None = None,
    rtol: float = 1e-8,
    seed: int | np.random.Generator = 0,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> ExactLoss:
    """Loss of a model on features of any law, without sampling of x and without a Gaussian.

    Parameters
    ----------
    model : Model
    features : Features
        As many as the model has inputs.
    rows : int or array_like of int, optional
        So many rows, drawn from strata of outputs that are alike in the diagonal, the bias and the
        first two moments of the interference, or these; all by default.
    rtol : float
        Relative error to aim at in each loss.
    seed : int or Generator
        For the choice of rows.
    progress : callable
        Wraps the iterable of rows, to show progress.

    Returns
    -------
    ExactLoss

    Raises
    ------
    ValueError, TypeError
        If model and features do not fit, or an argument is outside its range.

    Notes
    -----
    The error is an estimate: rounding and the images of the midpoint rule are bounded, but what is
    cut off is judged by comparing sums cut off at seven lengths.  The tests compare it with closed
    forms of hard rows of one to three interferers, 3150 in the slow suite: none was further off.
    Where `rtol` is out of reach, as for readings at a kink of a discrete law, it says so.

    The standard error has been measured on trained models and on such with outputs silenced and
    damaged: see `rugtheory.analysis.sampling` for the estimate.

    Examples
    --------
    Two features that share one hidden unit, v and -v, lose p²/6.

    >>> import rugtheory as rt
    >>> pair = rt.exact_loss(rt.Model([[1, -1]]), rt.Identical(2, 0.3))
    >>> abs(pair.mean - 0.3**2 / 6) < 1e-9
    True

    If they exclude each other, nothing is lost.

    >>> pair = rt.exact_loss(rt.Model([[1, -1]]), rt.Groups([rt.Exclusive([0.3, 0.3])]))
    >>> bool(pair.mean <= pair.mean_error < 1e-9)
    True
    """
    check_fit(model, features)
    _check.function("progress", progress)
    rtol = _check.tolerance("rtol", rtol)
    sample = choose_rows(rows, model, features, seed)
    chosen = sample.rows
    loss, error = output_losses(model, features, chosen, rtol, progress)
    importance = features.importance[chosen]
    return ExactLoss(
        chosen,
        loss,
        error,
        float(sample.weights @ (importance * loss)),
        float(np.abs(sample.weights) @ (importance * error)),
        sample.standard_error(importance * loss),
    )


def output_losses(
    model: Model,
    features: Features,
    rows: NDArray[np.int64],
    rtol: float,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> tuple[Array, Array]:
    """Losses of these outputs and their errors."""
    loss, error = np.empty((2, rows.size))
    every = each_loss(model, features, rows, rtol)
    for k in progress(range(rows.size)):
        loss[k], error[k] = next(every).loss
    return loss, error


def each_loss(
    model: Model, features: Features, rows: NDArray[np.int64], rtol: float
) -> Iterator[OneLoss]:
    """Losses of many outputs at once, and of those that miss `rtol` alone."""
    blocks, noise = Blocks(features, rtol, rows.size), model.output_noise
    for some in blocks:
        w = model.w_out[rows[some]] @ model.w_in
        found = blocks(model, rows[some], w)
        for i, row, *estimate in zip(rows[some], w, found.value, found.error, strict=True):
            one = OneLoss(int(i), row, Estimate(*estimate))
            if not one.loss.error <= rtol * one.loss.value:
                heard = blocks.laws(int(i), row, float(noise[i]))
                if len(heard) == 1 and model.activation == "relu":
                    alone = Row(float(row[i]), heard[0][1], float(model.b[i]), rtol)
                    one = one._replace(loss=alone.estimate, alone=alone)
                else:
                    loss = output_loss(model, int(i), float(row[i]), heard, rtol)
                    one = one._replace(loss=loss)
            yield one


def output_loss(
    model: Model, i: int, a: float, heard: list[tuple[float, RowLaw]], rtol: float
) -> Estimate:
    """Loss of output `i`, with W_ii = `a`."""
    b, linear = float(model.b[i]), model.activation == "identity"
    return Estimate.mixture(
        (share, linear_row(a, x, b) if linear else row_loss(a, x, b, rtol)) for share, x in heard
    )


def choose_rows(
    rows: int | ArrayLike | None,
    model: Model,
    features: Features,
    seed: int | np.random.Generator,
) -> Sample:
    """All rows, so many of them drawn from strata, or the ones given."""
    n = model.n_sparse
    if rows is None:
        return whole(n)
    chosen = _check.integers("rows", rows)
    if chosen.ndim == 0:
        count = _check.integer("rows", int(chosen), 1, n)
        return some_rows(count, model, features, _check.rng(seed))
    if chosen.min() < 0 or chosen.max() >= n:
        raise ValueError(
            f"rows must lie in [0, {n - 1}], got {chosen[(chosen < 0) | (chosen >= n)][0]}"
        )
    return given(np.unique(chosen), n)
