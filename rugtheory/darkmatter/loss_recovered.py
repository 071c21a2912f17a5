r"""How much of a model's loss a part of a decoder's error brings back.

Where x̂ takes the place of the activation x, the loss of the model grows.  With one part c of the
error added, x̂ + c, some of the growth is undone: figure 9 of arXiv:2410.14670,

.. math:: \frac{L(\hat x) - L(\hat x + c)}{L(\hat x) - L(x)} .
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .._result import Result
from ._split import resamplings, split
from .regression import scatter


@dataclass(frozen=True, eq=False, repr=False)
class LossRecovered(Result):
    """Growth of the loss, and the part of it that is undone.

    Attributes
    ----------
    increase, increase_se : float
        Mean of the loss with x̂ less that with x, and its standard error.
    recovered, recovered_se : float
        Part of the increase that is undone; negative if the loss grows further.
    replicates : ndarray, shape (bootstrap,)
        `recovered` of each resampling; those of equal contexts and seeds are paired.
    """

    increase: float
    increase_se: float
    recovered: float
    recovered_se: float
    replicates: Array = field(repr=False)


def loss_recovered(
    loss: ArrayLike,
    with_x_hat: ArrayLike,
    with_part: ArrayLike,
    *,
    contexts: ArrayLike | None = None,
    bootstrap: int = 200,
    seed: int = 0,
) -> LossRecovered:
    """The part of the increase of the loss by x̂ that a part of the error, added to x̂, undoes.

    Parameters
    ----------
    loss, with_x_hat, with_part : array_like, shape (tokens,)
        Loss of each token: of the model as it is, with x̂ for x, and with x̂ + c for x, where c is
        for example `Decomposition.linear` of x.
    contexts : array_like, shape (tokens,), optional
        Label of the context of each token; contexts are resampled.
    bootstrap, seed : int
        As in `decompose`.

    Returns
    -------
    LossRecovered

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a value is not finite, or the means with x and x̂ are equal.

    Examples
    --------
    >>> import rugtheory as rt
    >>> found = rt.darkmatter.loss_recovered([1.0, 2.0], [2.0, 4.0], [1.5, 3.0])
    >>> found.increase, found.recovered
    (1.5, 0.5)
    """
    given = {"loss": loss, "with_x_hat": with_x_hat, "with_part": with_part}
    losses = [_check.axis(name, value) for name, value in given.items()]
    for name, one in zip(given, losses, strict=True):
        if one.size != losses[0].size:
            raise ValueError(f"{name} must have {losses[0].size} values, got {one.size}")
    bootstrap = _check.count("bootstrap", bootstrap, 0)
    unit = split(losses[0].size, contexts, 0.0, _check.rng(seed))
    sums = np.stack([np.bincount(unit.unit, one, unit.n_units) for one in losses], axis=1)
    counts = np.bincount(unit.unit, minlength=unit.n_units)
    weights = resamplings(counts > 0, bootstrap, _check.rng(seed))
    means = (weights @ sums) / (weights @ counts)[:, None]
    increase = means[:, 1] - means[:, 0]
    if increase[0] == 0:
        raise ValueError("with_x_hat must have another mean than loss, got the same")
    undone = means[:, 1] - means[:, 2]
    # A resampling may have no increase at all.
    replicates = np.divide(undone, increase, out=np.zeros_like(undone), where=increase != 0)
    return LossRecovered(
        float(increase[0]),
        scatter(increase[1:]),
        float(replicates[0]),
        scatter(replicates[1:]),
        replicates[1:],
    )
