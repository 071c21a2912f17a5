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


@dataclass(frozen=True)
class Law:
    """The row law whose weights a descent started from.

    Attributes
    ----------
    law_loss, law_exact : float
        That of the law, and the exact one of its weights.
    law_spread : float
        Standard deviation of the losses of their outputs, over the mean.
    law_curvature : float
        The lowest seen of the exact loss there, over the largest.
    law_ended : str
        The verdict of `rugtheory.row_law`.
    law_seconds : float
        CPU time, of all threads.
    """

    law_loss: float
    law_exact: float
    law_spread: float
    law_curvature: float
    law_ended: str
    law_seconds: float


def descend(
    init: str | rt.Model,
    features: rt.Features,
    n_dense: int,
    *,
    seed: int,
    tied: bool,
    max_coupling: float,
    steps: int,
    until: float,
    progress: Callable[[int], object],
) -> tuple[rt.Model, float, Descent]:
    """The model of least exact loss that descent from `init` finds, its loss, and how it ended.

    It stops at the time `until`, in seconds since the epoch.
    """

    def counted(steps: Iterable[int]) -> Iterator[int]:
        for step in steps:
            yield step
            progress(step + 1)

    def in_time(model: rt.Model, loss: float) -> None:
        if time.time() > until:
            raise StopIteration

    began = time.process_time()
    found = rt.minimize(
        features,
        n_dense,
        init=init,
        seed=seed,
        tied=tied,
        max_coupling=max_coupling,
        steps=steps,
        progress=counted,
        callback=in_time,
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


def of_law(spec: Spec) -> tuple[rt.Model, Law]:
    """Weights whose rows share a law, and that law."""
    began = time.process_time()
    cap = spec.max_coupling
    found = rt.row_law(spec.features, spec.n_dense, max_coupling=cap, seeds=spec.seed)
    seconds = time.process_time() - began
    numbers = found.loss, found.exact, found.spread, found.curvature
    return found.model, Law(*numbers, found.verdict, seconds)
