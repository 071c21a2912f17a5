"""Whether weights read from a module are all that the module does."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .._check import Array

# Of the largest value, for each type's precision.
_TOLERANCE = 64
_ROWS = 6


def activation_of(module: Any, w_in: Array, w_out: Array, b: Array, k: int | None) -> str | None:
    """The activation with which these weights do what the module does.

    "other" if there is none; None if the module cannot be run on features.  Weights have an axis
    of instances in front if there are `k`.
    """
    first = next(iter(module.parameters()), None)
    if first is None or not callable(getattr(module, "forward", None)):
        return None
    n = w_in.shape[-1]
    shape = (_ROWS, n) if k is None else (_ROWS, k, n)
    x = np.random.default_rng(0).random(shape) * (np.random.default_rng(1).random(shape) < 0.5)
    given = torch.tensor(x, dtype=first.dtype, device=first.device)
    x = given.double().cpu().numpy()
    training = module.training
    try:
        with torch.no_grad():
            got = _output(module.eval()(given), shape)
    except Exception:  # whatever a stranger's module raises on input that it is not made for
        got = None
    finally:
        module.train(training)
    if got is None:
        return None
    reading = np.einsum("...nm,...m->...n", w_out, np.einsum("...mn,...n->...m", w_in, x)) + b
    size = float(np.max(np.abs(w_out @ w_in).sum(axis=-1)) + np.max(np.abs(b)))
    slack = _TOLERANCE * torch.finfo(first.dtype).eps * max(size, 1.0)
    for name, expected in (("relu", np.maximum(reading, 0.0)), ("identity", reading)):
        if np.max(np.abs(got - expected)) <= slack:
            return name
    return "other"


def _output(result: Any, shape: tuple[int, ...]) -> Array | None:
    """The first tensor of the shape of the features in what a module returns."""
    several = result if isinstance(result, tuple | list) else [result]
    for one in several:
        if torch.is_tensor(one) and tuple(one.shape) == shape:
            return np.asarray(one.detach().double().cpu().numpy())
    return None
