"""The exact loss as a function of tensors that PyTorch differentiates."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from ..model.model import Model, check_fit
from ..source.features import Features
from .gradient import Gradient


class _Loss(torch.autograd.Function):
    """Loss of weights, whose derivatives are those of `exact_gradient`."""

    @staticmethod
    def forward(
        ctx: Any,
        w_in: torch.Tensor,
        w_out: torch.Tensor,
        b: torch.Tensor,
        gradient: Gradient,
        hidden_noise: float,
    ) -> torch.Tensor:
        model = Model(w_in, w_out, b, hidden_noise=hidden_noise)
        check_fit(model, gradient.features)
        found = gradient(model)
        if not np.isfinite(found.loss):
            lost = np.flatnonzero(~np.isfinite(found.losses))[:5]
            raise ValueError(
                f"no contour serves output(s) {lost} of these weights: take smaller steps"
            )
        slopes = (found.w_in, found.w_out, found.b if b.ndim else found.b.sum())
        given = (w_in, w_out, b)
        ctx.save_for_backward(*(x.new_tensor(s) for x, s in zip(given, slopes, strict=True)))
        return w_in.new_tensor(found.loss)

    @staticmethod
    def backward(ctx: Any, by: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        # Without this a penalty on the gradient would be taken for a constant.
        if torch.is_grad_enabled():
            raise RuntimeError("the exact loss has no second derivatives: leave out create_graph")
        return (*(by.to(x) * x for x in ctx.saved_tensors), None, None)


class LossModule(nn.Module):
    """Loss of weights W_in, W_out and b on features; it has no parameters of its own."""

    def __init__(self, features: Features, hidden_noise: float, rtol: float) -> None:
        super().__init__()
        self.gradient, self.hidden_noise = Gradient(features, rtol), hidden_noise

    def forward(self, w_in: torch.Tensor, w_out: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        for name, x in (("w_in", w_in), ("w_out", w_out), ("b", b)):
            if not isinstance(x, torch.Tensor):
                raise TypeError(f"{name} must be a tensor, got {x!r:.60}")
        found: torch.Tensor = _Loss.apply(  # type: ignore[no-untyped-call]
            w_in, w_out, b, self.gradient, self.hidden_noise
        )
        return found
