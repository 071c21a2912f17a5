"""The gradient of the exact loss in all weights and biases of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import _check
from .._check import Array
from .._result import Result
from ..model.model import Model, check_fit
from ..source.features import Features
from .blocks import Blocks


@dataclass(frozen=True, eq=False, repr=False)
class ExactGradient(Result):
    """The exact loss of a model and its derivatives.

    Attributes
    ----------
    loss : float
        Mean over all features of importance times squared error, as `exact_loss` has it.
    error : float
        Estimate of its numerical error, meant as a bound.
    losses : ndarray, shape (n_sparse,)
        Mean squared error of each output, without importance.
    w_in, w_out, b : ndarray
        Derivatives of `loss`, in the shapes of the model.  If weights are tied, that in the tied
        matrix is ``w_in + w_out.T``.
    """

    loss: float
    error: float
    losses: Array
    w_in: Array
    w_out: Array
    b: Array


def exact_gradient(model: Model, features: Features, *, rtol: float = 1e-8) -> ExactGradient:
    """Exact loss of a model and its gradient in every weight, without samples.

    Parameters
    ----------
    model : Model
        With a ReLU.
    features : Features
        As many as the model has inputs; amplitudes with a density, and those of the features that
        are independent of all others, perhaps given a latent, on with a probability below 1.
        Outputs that tables do not serve, as of such that are on with an even chance or more, take
        far longer.
    rtol : float
        Relative error to aim at in the loss of each output.

    Returns
    -------
    ExactGradient

    Raises
    ------
    ValueError, TypeError
        If model and features do not fit, there is no gradient for features of such a law, or no
        contour serves an output.

    Notes
    -----
    It takes about twice as long as the loss: the gradient is the adjoint of the same products, see
    `rugtheory.channel.many_rows`.

    Examples
    --------
    >>> import rugtheory as rt
    >>> pair = rt.exact_gradient(rt.Model([[1, -1]]), rt.Identical(2, 0.3))
    >>> abs(pair.loss - 0.3**2 / 6) < pair.error < 1e-6
    True
    >>> bool(pair.b[0] < 0)  # a larger bias is better, as both are on at times
    True
    """
    check_fit(model, features)
    return served(Gradient(features, _check.tolerance("rtol", rtol))(model))


def served(found: ExactGradient) -> ExactGradient:
    """The same; raise if there is none."""
    if not np.isfinite(found.loss):
        raise ValueError(
            "no contour serves output(s) "
            f"{np.flatnonzero(~np.isfinite(found.losses))[:5]} of this model"
        )
    return found


class Gradient:
    """Losses and gradients of models for the same features, from the same tables.

    Relative errors to aim at are those of each output, or of the mean if that is more, `together`.

    Raises ValueError if there are none for features of such a law.
    """

    def __init__(self, features: Features, rtol: float, *, together: bool = False) -> None:
        self.features, self.rtol, self.together = features, rtol, together
        self.blocks = Blocks(features, rtol, len(features), again=True, together=together)
        if not self.blocks.rungs:
            raise ValueError(
                "features must be of laws with a density of amplitudes, and those that are "
                f"independent be on with a probability below 1, got {features!r:.80}"
            )

    def __call__(self, model: Model) -> ExactGradient:
        """NaN where no contour serves an output."""
        if model.activation != "relu":
            raise ValueError(f"activation must be 'relu', got {model.activation!r}")
        n, blocks = model.n_sparse, self.blocks
        share = self.features.importance / n
        losses, error, by_b = np.empty((3, n))
        by_in, by_out = np.zeros_like(model.w_in), np.empty_like(model.w_out)
        part = np.empty_like(by_in)
        for block in blocks:
            rows = np.arange(block.start, block.stop)
            found = blocks(model, rows, model.w_out[block] @ model.w_in, slopes=True)
            losses[block], error[block] = found.value, found.error
            assert found.by_w is not None and found.by_b is not None
            assert found.by_noise is not None
            slopes = np.multiply(share[block, None], found.by_w, out=found.by_w)
            by_in += np.matmul(model.w_out[block].T, slopes, out=part)
            np.matmul(slopes, model.w_in.T, out=by_out[block])
            by_b[block] = share[block] * found.by_b
            # The noise of an output is that of a hidden unit times the length of w_out.
            noisy = 2 * model.hidden_noise**2 * share[block] * found.by_noise
            by_out[block] += noisy[:, None] * model.w_out[block]
        loss, total = float(share @ losses), float(share @ error)
        return ExactGradient(loss, total, losses, by_in, by_out, by_b)
