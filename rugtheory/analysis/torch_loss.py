"""The exact loss for training loops of PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _check
from .._extras import remedy
from ..source.features import Features, check_features

if TYPE_CHECKING:
    import torch


def exact_loss_torch(
    features: Features, *, hidden_noise: float = 0.0, rtol: float = 1e-8
) -> torch.nn.Module:
    """The exact loss as a module of PyTorch, to be minimised without samples.

    Parameters
    ----------
    features : Features
        Such as `exact_gradient` takes.
    hidden_noise : float ≥ 0
        Standard deviation of independent Gaussian noise in each hidden unit.
    rtol : float
        Relative error to aim at in the loss of each output.

    Returns
    -------
    torch.nn.Module
        Called with tensors `w_in`, `w_out` and `b`, in the shapes of `Model` and of any dtype and
        device, it returns the mean loss of x̂ = ReLU(W_out (W_in x + noise) + b), a tensor like
        `w_in`.  Its derivatives are those of `exact_gradient`; they have no derivatives of their
        own.  Weights may be functions of parameters: tied ones are ``loss(w, w.T, b)``.  What is
        computed is float64 on the CPU, whatever the tensors are.

    Raises
    ------
    ImportError
        Without PyTorch.
    ValueError, TypeError
        If an argument is outside its range, or there is no gradient for such features.  The module
        raises them if weights do not fit, are not finite, or so large that no contour serves an
        output.

    Examples
    --------
    >>> import rugtheory as rt, torch
    >>> loss, w = rt.exact_loss_torch(rt.Identical(2, 0.3)), torch.tensor([[1.0, -1.0]])
    >>> b = torch.zeros(2, requires_grad=True)
    >>> pair = loss(w, w.T, b)
    >>> abs(pair.item() - 0.3**2 / 6) < 1e-6
    True
    >>> pair.backward()
    >>> bool((b.grad < 0).all())  # a larger bias is better, as both are on at times
    True
    """
    check_features(features)
    noise = _check.nonnegative("hidden_noise", _check.scalar("hidden_noise", hidden_noise))
    rtol = _check.tolerance("rtol", rtol)
    try:
        from .torch_function import LossModule
    except ImportError as error:
        raise ImportError(remedy(error), name=error.name) from error
    return LossModule(features, float(noise), rtol)
