r"""Losses of rugs of a given size, where `optimum` is their limit for many features.

A reading of a rug hears a sum of W_ij x_j over finitely many features, whose law is not the
Gaussian of its variance.  The least loss over a and b of a row of W is that of `explain`, exact up
to inversion.  All rows of a Hadamard rug have the same law, up to the signs of W_ij; where
n_sparse is no power of two, an equal-norm tight frame takes the place of the rug: W = V^T V with V
of shape (n_dense, n_sparse), V V^T ∝ 1 and columns of length 1, so that
:math:`\sum_{j≠i} W_{ij}^2 = 1/r - 1` in each row, as in a rug.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from .. import _check
from .._check import Array
from .._result import Result
from ..channel.least import least_loss
from ..channel.row_laws import RowLaws
from ..source.amplitude import Amplitude
from ..source.identical import Identical
from ..source.uniform import Uniform
from ..theory.optimum import optimum
from .rug import hadamard_rug

_RTOL = 1e-7
# Alternating projections end where lengths differ by less.
_EVEN, _MOST_TURNS = 1e-10, 10_000


@dataclass(frozen=True, eq=False, repr=False)
class FiniteRug(Result):
    """The loss of rugs of one size.

    Attributes
    ----------
    p : float
    n_sparse, n_dense : int
    kind : str
        "Hadamard" or "tight frame".
    loss : float
        Mean over the rugs drawn of the least loss per feature over a and b.
    spread : float
        Standard deviation between rugs, and of tight frames between their rows.
    standard_error : float
        Of `loss`, spread/√draws.
    limit : float
        Loss of the Gaussian rug at n_dense/n_sparse, the limit for many features.
    """

    p: float
    n_sparse: int
    n_dense: int
    kind: str
    loss: float
    spread: float
    standard_error: float
    limit: float


def finite_rug(
    p: float,
    n_sparse: int,
    n_dense: int,
    *,
    draws: int = 16,
    amplitude: Amplitude = Uniform(),
    seed: int | np.random.Generator = 0,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> FiniteRug:
    """The least loss of random rugs of n_sparse features in n_dense hidden units.

    Parameters
    ----------
    p : float in (0, 1]
        Probability that a feature is on.
    n_sparse : int, at least 2
        Number of features.  Powers of two make Hadamard rugs, others equal-norm tight frames.
    n_dense : int in [1, n_sparse]
        Number of hidden units.
    draws : int, at least 2
        Random rugs, of each of which one random row is taken.
    amplitude : Amplitude
        Law of a feature that is on; it must not be negative.
    seed : int or Generator
        Same seed, same rugs.
    progress : callable
        Wraps the iterable of draws, to show progress.

    Returns
    -------
    FiniteRug

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.

    Examples
    --------
    At small p a sum over few features has a heavier tail than a Gaussian:

    >>> import rugtheory as rt
    >>> found = rt.finite_rug(0.05, 64, 16, draws=4)
    >>> found.kind, bool(found.loss > found.limit)
    ('Hadamard', True)
    """
    p = _check.scalar_probability(p)
    n_sparse = _check.count("n_sparse", n_sparse, 2)
    n_dense = _check.integer("n_dense", n_dense, 1, n_sparse)
    draws = _check.count("draws", draws, 2)
    _check.function("progress", progress)
    limit = float(optimum(p, n_dense / n_sparse, amplitude=amplitude).loss)
    generator = _check.rng(seed)
    laws = RowLaws(Identical(n_sparse, p, amplitude))
    hadamard = not n_sparse & (n_sparse - 1)
    losses = np.empty(draws)
    for k in progress(range(draws)):
        if hadamard:
            row = hadamard_rug(n_sparse, n_dense, seed=generator).phi
        else:
            frame = _tight_frame(n_sparse, n_dense, generator)
            row = frame[:, 0] @ frame
        ((_, law),) = laws(0, row, 0.0)
        losses[k] = least_loss(law, _RTOL).loss if n_dense < n_sparse else 0.0
    spread = float(losses.std(ddof=1))
    return FiniteRug(
        p=p,
        n_sparse=n_sparse,
        n_dense=n_dense,
        kind="Hadamard" if hadamard else "tight frame",
        loss=float(losses.mean()),
        spread=spread,
        standard_error=spread / float(np.sqrt(draws)),
        limit=limit,
    )


def _tight_frame(n_sparse: int, n_dense: int, generator: np.random.Generator) -> Array:
    """A random equal-norm tight frame, columns of length 1, by alternating projections."""
    v = generator.normal(size=(n_dense, n_sparse))
    for _ in range(_MOST_TURNS):
        v /= np.linalg.norm(v, axis=0)
        value, vector = np.linalg.eigh(v @ v.T)
        if np.ptp(value) <= _EVEN * value[-1]:
            break
        v = (vector / np.sqrt(value)) @ vector.T @ v
    return v
