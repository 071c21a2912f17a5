"""Models as modules of PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from .model import Model


class Autoencoder(nn.Module):
    """x̂ = f(W_out (W_in x + noise) + b), with the noise in training mode only."""

    def __init__(self, model: Model, dtype: Any) -> None:
        super().__init__()
        self.W_in, self.W_out, self.b = (
            nn.Parameter(torch.tensor(x, dtype=dtype or torch.float32))
            for x in (model.w_in, model.w_out, model.b)
        )
        self.activation, self.hidden_noise = model.activation, model.hidden_noise

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = x @ self.W_in.T
        if self.training and self.hidden_noise:
            hidden = hidden + self.hidden_noise * torch.randn_like(hidden)
        reading = hidden @ self.W_out.T + self.b
        return torch.relu(reading) if self.activation == "relu" else reading


def module_of(model: Model, dtype: Any) -> nn.Module:
    """The module of a model."""
    return Autoencoder(model, dtype)
