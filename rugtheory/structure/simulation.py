"""Losses of rugs by simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import _check
from .._result import Result
from ..source.sparse import SparseSource
from .rug import Rug


@dataclass(frozen=True, repr=False, eq=False)
class SimulatedLoss(Result):
    """Mean loss per feature over samples, and its standard error."""

    loss: float
    standard_error: float
    n_samples: int


def simulate(
    rug: Rug,
    a: float,
    b: float,
    source: SparseSource,
    n_samples: int,
    *,
    seed: int | np.random.Generator,
    batch: int | None = None,
) -> SimulatedLoss:
    """Loss per feature of a rug on fresh samples, an experiment to hold the theory to.

    Parameters
    ----------
    rug : Rug
    a, b : float
        Diagonal and bias of the model; see `Rug.bias` for that of an `optimum`.
    source : SparseSource
        Law of the features, with scalar p.
    n_samples : int, at least 2
        Number of independent samples, each of all features; the standard error is over them.
    seed : int or Generator
        Same seed and batch, same draws.
    batch : int, optional
        Samples drawn at a time, about 2²⁰ features by default; several arrays of
        batch × n_sparse are held.

    Raises
    ------
    ValueError, TypeError
        If `a`, `b` or the p of `source` is not a scalar, or a count is too small.

    Examples
    --------
    >>> import rugtheory as rt
    >>> best, rug = rt.optimum(0.1, 0.25), rt.hadamard_rug(4096, 1024, seed=0)
    >>> b = rug.bias(best.b, best.a, 0.1)
    >>> measured = rt.simulate(rug, best.a, b, rt.SparseSource(0.1), 200, seed=1)
    >>> bool(abs(measured.loss - best.loss) < 4 * measured.standard_error)
    True
    """
    _check.instance("rug", rug, Rug)
    _check.instance("source", source, SparseSource)
    a, b = _check.scalar("a", a), _check.scalar("b", b)
    n_samples = _check.count("n_samples", n_samples, 2)
    batch = max(1, 2**20 // rug.n_sparse) if batch is None else _check.count("batch", batch, 1)
    generator = _check.rng(seed)
    losses = np.empty(n_samples)
    for start in range(0, n_samples, batch):
        part = losses[start : start + batch]
        x = source.sample((part.size, rug.n_sparse), generator)
        part[:] = np.mean((x - rug.decode(rug.encode(x), a, b)) ** 2, axis=1)
    error = float(losses.std(ddof=1) / np.sqrt(n_samples))
    return SimulatedLoss(float(losses.mean()), error, n_samples)
