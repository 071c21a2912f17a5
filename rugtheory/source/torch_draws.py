"""Draws of features as tensors, for training: the laws of `Features.sample`, on any device."""

from __future__ import annotations

from typing import Any

import torch

from .amplitude import Amplitude
from .discrete import Constant, FromQuadrature
from .exponential import Exponential
from .features import Draws, Features, Scenario
from .half_normal import HalfNormal
from .uniform import Uniform


def sample_torch(
    features: Features, n: int, generator: torch.Generator, dtype: Any
) -> torch.Tensor:
    """`n` draws of all features on the device of the generator, shape (n, n_features)."""
    x = _switches(features, n, generator).to(dtype)
    for law, columns in features.by_law.items():
        place = torch.as_tensor(columns, device=generator.device)
        some = x[:, place]
        on = some > 0
        some[on] = _amplitudes(law, int(on.sum()), generator).to(dtype)
        x[:, place] = some
    return x


def _switches(features: Features, n: int, generator: torch.Generator) -> torch.Tensor:
    device, scenarios = generator.device, features.scenarios
    shares = torch.tensor([x.probability for x in scenarios], dtype=torch.float64, device=device)
    if len(scenarios) == 1:
        return _of_scenario(scenarios[0], n, generator)
    which = torch.multinomial(shares, n, replacement=True, generator=generator)
    on = torch.zeros(n, len(features), dtype=torch.bool, device=device)
    for k, scenario in enumerate(scenarios):
        rows = (which == k).nonzero()[:, 0]
        on[rows] = _of_scenario(scenario, len(rows), generator)
    return on


def _of_scenario(scenario: Scenario, n: int, generator: torch.Generator) -> torch.Tensor:
    p = torch.as_tensor(scenario.p, device=generator.device)
    on = _uniform((n, p.numel()), generator) < p
    for block in scenario.blocks:
        whole = torch.ones(n, dtype=torch.bool, device=generator.device)
        masks = block.fold(Draws(lambda p: _branches(p, n, generator)))(whole)
        for i in block.features():
            on[:, i] = masks.get(i, False)
    return on


def _branches(p: tuple[float, ...], n: int, generator: torch.Generator) -> torch.Tensor:
    ends = torch.cumsum(torch.tensor(p, dtype=torch.float64, device=generator.device), 0)
    return torch.searchsorted(ends, _uniform((n,), generator), right=True)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    return torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)


def _amplitudes(law: Amplitude, n: int, generator: torch.Generator) -> torch.Tensor:
    u = _uniform((n,), generator)
    # By the very types: a subclass may be another law.
    if type(law) is Uniform:
        return law.low + (law.high - law.low) * u
    if type(law) is Constant:
        return torch.full_like(u, law.value)
    if type(law) is Exponential:
        return -law.scale * torch.log1p(-u)
    if type(law) is HalfNormal:
        return law.scale * 2**0.5 * torch.erfinv(u)
    if type(law) is FromQuadrature:
        ends = torch.cumsum(torch.tensor(law.weights, dtype=u.dtype, device=u.device), 0)
        nodes = torch.tensor(law.nodes, dtype=u.dtype, device=u.device)
        return nodes[torch.searchsorted(ends, u, right=True).clamp(max=len(nodes) - 1)]
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
    return torch.as_tensor(law.sample(n, seed), device=u.device)
