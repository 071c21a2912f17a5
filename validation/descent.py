"""Descent on the exact loss, from weights that training has too, or from those of a row law."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import rugtheory as rt

if TYPE_CHECKING:
    from .spec import Spec


@dataclass(frozen=True)
class Descent:
    """How a descent ended.

    Attributes
    ----------
    descended : int
        Steps.
    start : float
        The loss that it started from.
    gradient, coupling : float
        Largest entry of the gradient of the log of the loss; largest |W_ij|/W_ii.
    ended : str
        The verdict of `rugtheory.minimize`.
    seconds : float
        CPU time, of all threads.
    """

    descended: int
    start: float
    gradient: float
    coupling: float
    ended: str
    seconds: float


def descend(
    model: rt.Model,
    features: rt.Features,
    *,
    tied: bool,
    max_coupling: float,
    steps: int,
    progress: Callable[[int], object],
) -> tuple[rt.Model, float, Descent]:
    """The model of least exact loss that descent from `model` finds, its loss, and how it ended."""

    def counted(steps: Iterable[int]) -> Iterator[int]:
        for step in steps:
            yield step
            progress(step + 1)

    began = time.process_time()
    found = rt.minimize(
        features,
        model.n_dense,
        init=model,
        tied=tied,
        max_coupling=max_coupling,
        steps=steps,
        progress=counted,
    )
    about = Descent(
        descended=found.trajectory.size - 1,
        start=float(found.trajectory[0]),
        gradient=found.gradient,
        coupling=found.coupling,
        ended=found.verdict,
        seconds=time.process_time() - began,
    )
    return found.model, found.loss, about


def of_law(spec: Spec) -> rt.Model:
    """Weights whose rows share a law."""
    features, d, cap = spec.features, spec.n_dense, spec.max_coupling
    return rt.row_law(features, d, max_coupling=cap, seeds=spec.seed).model
