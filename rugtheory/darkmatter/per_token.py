"""How well the error of a small decoder on a token predicts that of a larger one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._result import Result
from .regression import Regression, regress, scatter


@dataclass(frozen=True, eq=False, repr=False)
class PerToken(Result):
    """Predictions of ‖E₂‖, the error norm of a larger decoder on each row.

    Attributes
    ----------
    error : Regression
        From ‖E₁‖, the error norm of the smaller one: equation (5) of arXiv:2410.14670.
    both : Regression
        From ‖E₁‖ and the norm of its nonlinear part: equation (10).
    fvu_decrease, fvu_decrease_se : float
        By how many percent `both` leaves less unexplained than `error` on the rows held out, and
        its standard error by a paired bootstrap.  Negative where the second predictor only costs.
    """

    error: Regression
    both: Regression
    fvu_decrease: float
    fvu_decrease_se: float


def per_token(
    small: ArrayLike,
    large: ArrayLike,
    nonlinear: ArrayLike,
    *,
    contexts: ArrayLike | None = None,
    test_fraction: float = 0.25,
    bootstrap: int = 200,
    seed: int = 0,
) -> PerToken:
    """Regress the error norms of a large decoder on those of a small one, with an intercept.

    Parameters
    ----------
    small, large : array_like, shape (rows,)
        ‖E₁‖ and ‖E₂‖, as from `Decomposition.norms`.
    nonlinear : array_like, shape (rows,)
        Norm of the nonlinear part of E₁.
    contexts, test_fraction, bootstrap, seed
        As in `regress`.

    Returns
    -------
    PerToken

    Raises
    ------
    ValueError, TypeError
        If the lengths differ, a norm is negative or not finite, or the norms do not vary.

    Notes
    -----
    Use rows that the maps of both decompositions have not been fitted on, `held_out`.

    Examples
    --------
    >>> import numpy as np
    >>> import rugtheory as rt
    >>> linear, rest = np.random.default_rng(0).exponential(size=(2, 4000))
    >>> found = rt.darkmatter.per_token(np.hypot(linear, rest), rest, rest)
    >>> round(found.both.r2, 9), round(found.fvu_decrease, 6)
    (1.0, 100.0)
    """
    norms = [
        _check.nonnegative(name, _check.axis(name, value))
        for name, value in (("small", small), ("large", large), ("nonlinear", nonlinear))
    ]
    if len({norm.size for norm in norms}) > 1:
        raise ValueError(
            "small, large and nonlinear must have one length, got "
            f"{', '.join(str(norm.size) for norm in norms)}"
        )
    one, target, two = norms
    error, both = (
        regress(
            x,
            target,
            contexts=contexts,
            test_fraction=test_fraction,
            bootstrap=bootstrap,
            seed=seed,
        )
        for x in (one, np.column_stack([one, two]))
    )
    if error.r2 == 1:
        raise ValueError("small must leave some of large unexplained, got an exact prediction")
    decrease = 100 * (1 - (1 - both.r2) / (1 - error.r2))
    replicates = 100 * (1 - (1 - both.replicates) / (1 - error.replicates))
    return PerToken(error, both, decrease, scatter(replicates))
