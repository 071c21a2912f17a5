"""Linear regression on rows that need not fit in memory, judged on rows it has not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array
from .._result import Result
from ._moments import Affine, Evaluation, Read, Solver, cross_moments, evaluate, moments, solve
from ._rows import Rows, block_length, same_count
from ._split import Split, resamplings, split

# What is left of an exact map is rounding.
_EXACT = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class Regression(Result):
    """y ≈ x @ slope + intercept and its R² on the rows held out.

    Attributes
    ----------
    slope : ndarray, shape (columns of x, columns of y)
    intercept : ndarray, shape (columns of y,)
    rank : int
        Directions of x that were used.
    r2, r2_se : float
        1 - Σ‖y - ŷ‖²/Σ‖y - ȳ‖² over the rows held out, ȳ their mean: columns weigh by their
        variance.  Standard error by bootstrap over contexts, the map held fixed.
    r2_columns, r2_columns_se : float
        Unweighted mean of the R² of the columns of y, those that vary.
    replicates : ndarray, shape (bootstrap,)
        `r2` of each resampling.  Equal contexts, fractions and seeds resample alike, so
        differences of replicates are paired.
    fit_rows, test_rows : int
        Numbers of rows.
    held_out : ndarray of bool, shape (rows,)
        The rows evaluated.
    fit_factor : float
        How many times what the best map leaves is left on the rows evaluated; see `decompose`.
    r2_corrected_se : float
        Standard error of `r2_corrected`; see `decompose`.
    """

    slope: Array = field(repr=False)
    intercept: Array = field(repr=False)
    rank: int
    r2: float
    r2_se: float
    r2_columns: float
    r2_columns_se: float
    replicates: Array = field(repr=False)
    fit_rows: int
    test_rows: int
    held_out: NDArray[np.bool_] = field(repr=False)
    fit_factor: float = 1.0
    r2_corrected_se: float = 0.0

    @property
    def r2_corrected(self) -> float:
        """R² of the best map, what it leaves being 1/`fit_factor` of what the fitted one leaves."""
        return 1 - (1 - self.r2) / self.fit_factor

    def predict(self, x: ArrayLike) -> Array:
        """ŷ of the rows `x`, shape (rows, columns of y)."""
        rows = Rows("x", x)
        if rows.columns != self.slope.shape[0]:
            raise ValueError(f"x must have {self.slope.shape[0]} columns, got {rows.columns}")
        return np.asarray(rows.all() @ self.slope + self.intercept)


def regress(
    x: Any,
    y: Any,
    *,
    contexts: ArrayLike | None = None,
    test_fraction: float = 0.25,
    bootstrap: int = 200,
    seed: int = 0,
    block_rows: int | None = None,
) -> Regression:
    """Least squares of the rows of y on those of x, with an intercept.

    Parameters
    ----------
    x, y : array_like or sliceable, shapes (rows, columns) or (rows,)
        Anything with a shape that slices to arrays: memmaps, safetensors slices, CSR matrices.
        Read in blocks, once for the fit and once for the evaluation.
    contexts : array_like, shape (rows,), optional
        Label of the context of each row.  Whole contexts are held out, and resampled.
    test_fraction : float in [0, 1)
        Part of the contexts (of the rows, if none are given) to hold out for evaluation.
        0 fits and evaluates on all rows.
    bootstrap : int
        Resamplings for the standard errors; 0 leaves them 0.
    seed : int
        Of the split and the resampling.
    block_rows : int, optional
        Rows read at a time.

    Returns
    -------
    Regression

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a value is not finite (the message names its row), the fit has fewer
        rows than columns of x + 2, or x or y are constant.

    Notes
    -----
    The R² on rows held out is below that of the best linear map by about (1 - R²) columns/fit_rows,
    the price of fitting, and more if rows far from the mean fit worse; `r2_corrected` is without.
    Without contexts, neighbouring rows are resampled together in up to 1024 runs.

    Examples
    --------
    >>> import numpy as np
    >>> import rugtheory as rt
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(4000, 3))
    >>> y = x @ [1.0, 0, 0] + rng.normal(size=4000)
    >>> found = rt.darkmatter.regress(x, y)
    >>> abs(found.r2 - 0.5) < 4 * found.r2_se
    True
    """
    x_rows, y_rows = Rows("x", x), Rows("y", y)
    n_rows = same_count(x_rows, y_rows)
    return regressions(
        lambda rows: (x_rows.read(rows), y_rows.read(rows)),
        x_rows.columns,
        [y_rows.columns],
        split(n_rows, contexts, test_fraction, _check.rng(seed)),
        bootstrap,
        seed,
        block_rows,
    )[0]


def regressions(
    read: Read,
    n_x: int,
    widths: Sequence[int],
    parts: Split,
    bootstrap: int,
    seed: int,
    block_rows: int | None = None,
    solver: Solver | None = None,
) -> tuple[Regression, ...]:
    """One regression for each group of target columns, of these `widths`, from one fit.

    `solver` is that of the rows fitted, if it is known.
    """
    length = block_length(block_rows, n_x + sum(widths))
    if solver is None:
        affine = solve(moments(read, parts.fitted, length))
    else:
        affine = solver.affine(cross_moments(read, solver, parts.fitted, length))
    sums = evaluate(read, affine, parts, parts.held_out, length)
    return judge(affine, sums, widths, parts, bootstrap, seed)


def judge(
    affine: Affine,
    sums: Evaluation,
    widths: Sequence[int],
    parts: Split,
    bootstrap: int,
    seed: int,
) -> tuple[Regression, ...]:
    """The regressions of an affine map that has been evaluated."""
    bootstrap = _check.count("bootstrap", bootstrap, 0)
    weights = resamplings(sums.y.count > 0, bootstrap, _check.rng(seed))
    found = []
    first = 0
    for width in widths:
        columns = slice(first, first + width)
        weighted, mean = sums.unexplained(weights, columns)
        slope = affine.slope[:, columns]
        factor = fit_factor(affine, parts, columns, float(weighted[0]))
        found.append(
            Regression(
                slope,
                affine.offset[columns] - affine.centre @ slope,
                affine.rank,
                float(1 - weighted[0]),
                scatter(weighted[1:]),
                float(1 - mean[0]),
                scatter(mean[1:]),
                1 - weighted[1:],
                int(parts.fitted.sum()),
                int(parts.held_out.sum()),
                parts.held_out,
                factor,
                corrected_scatter(weighted, np.ones_like(weighted), factor, parts),
            )
        )
        first += width
    return tuple(found)


def fit_factor(affine: Affine, parts: Split, columns: slice, left: float) -> float:
    """By what fitting multiplies what is `left`, a part of the variance of these columns.

    Noise of size A at rows of leverage h is left as A - h on the rows of the fit and as A + h on
    others, so the root of the product is without; on the rows of the fit alone what the degrees
    of freedom say.
    """
    count, fitted = int(parts.fitted.sum()), float(affine.total[columns].sum())
    inside = float(affine.left[columns].sum()) / fitted if fitted > 0 else 0.0
    # Without an intercept it is the paper's way, which does not correct.
    if not affine.intercept or not inside > _EXACT or not left > _EXACT:
        return 1.0
    if (parts.fitted & parts.held_out).any():
        return (count - affine.rank - 1) / count
    return math.sqrt(left / inside)


def corrected_scatter(left: Array, times: Array, factor: float, parts: Split) -> float:
    """Standard error of `times` · `left` / `factor`; the first values are those of the data.

    What is left on the rows fitted scatters as what is left on those held out does, at their
    number, and independently; of the root of their product each has half of the weight.
    """
    if factor == 1 or (parts.fitted & parts.held_out).any():
        return scatter((times * left)[1:]) / factor
    outside = scatter((times * np.sqrt(left))[1:]) * math.sqrt(left[0]) / factor
    share = int(parts.held_out.sum()) / int(parts.fitted.sum())
    inside = times[0] / factor * scatter(left[1:]) / 2 * math.sqrt(share)
    return math.hypot(outside, inside)


def scatter(replicates: Array) -> float:
    """Standard deviation, 0 if there are too few to have one."""
    return float(replicates.std(ddof=1)) if replicates.size > 1 else 0.0
