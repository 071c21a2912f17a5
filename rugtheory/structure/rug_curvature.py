r"""The second variation of the loss at a rug, in closed form.

Rows of a rug are one row moved along a group, i → i XOR k, so its Hessian is diagonal in the
characters χ_k(i) = (-1)^|i ∧ k| of that group.  In the Hadamard basis, ΔW = n⁻¹ Σ_kl w_kl h_k h_lᵀ,
row i of ΔW has at the distance t = i XOR j

.. math:: ΔW_{i, i ⊕ t} = \sum_χ χ(i)\, D_t(χ) , \qquad
    D_t(χ) = \frac1n \sum_l w_{l ⊕ χ, l}\, h_l(t) ,

and with the Hessian B of the loss of the one row there is, in its weights by distance and its
bias, the mean loss changes by ½ Σ_χ D(χ)ᵀ B D(χ): no two χ meet.  With W_in = Σ_m α_m e_m h_mᵀ/√n
and W_out = Σ_m β_m h_m e_mᵀ/√n, m ∈ S, moves of W_out and W_in by V_km and U_mk in that basis give
w_kl = V_kl α_l + β_k U_kl, and in the second order Σ_m V_km U_mk on the diagonal, which the slopes
of the loss weigh.  So the block of χ is a matrix of V_{m ⊕ χ, m}, U_{m, m ⊕ χ} (m ∈ S) and a move χ
of the biases: n matrices of size 2 n_dense + 1 instead of one of (2 n_dense + 1) n.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array
from .._result import Result
from ..channel.row_curvature import row_curvature
from ..numerics.hadamard import fwht
from .optimised_rug import OptimisedRug, SymmetricRow

# Blocks as large as this have their ends by Lanczos, to this part of the largest eigenvalue.
_LARGE, _TOLERANCE, _VECTORS = 200, 1e-4, 24


@dataclass(frozen=True, eq=False, repr=False)
class RugCurvature(Result):
    """Ends of the spectrum of the Hessian of the loss at an optimised rug.

    Attributes
    ----------
    characters : ndarray of int64, shape (m,)
        The k of the characters (-1)^|i ∧ k| taken.
    lowest, largest : ndarray, shape (m,)
        Eigenvalues of the block of each, of the mean loss in the weights and biases of
        `OptimisedRug.model`.  Directions that leave W the same have eigenvalue 0, so `lowest` is
        never above.
    error : float
        Estimate of the numerical error of the blocks, meant as a bound.  Eigenvalues of blocks of
        200 rows and more are those of Lanczos' method to 1e-4 of each.
    """

    characters: NDArray[np.int64]
    lowest: Array
    largest: Array
    error: float

    @property
    def ratio(self) -> float:
        """The lowest eigenvalue over the largest, of the characters taken."""
        return float(self.lowest.min() / self.largest.max())


def rug_curvature(
    optimised: OptimisedRug,
    *,
    characters: ArrayLike | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> RugCurvature:
    """Lowest and largest eigenvalues of the Hessian of the loss at an optimised rug.

    Parameters
    ----------
    optimised : OptimisedRug
    characters : array_like of int in [0, n_sparse), optional
        Which blocks to take; all by default.
    progress : callable
        Wraps the iterable of blocks, to show progress.

    Returns
    -------
    RugCurvature

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range, or no contour serves the row.

    Notes
    -----
    All blocks of 512 features in 128 hidden units take some 10 s on one core, a block of 4096 in
    1024 0.3 s.

    Examples
    --------
    >>> import rugtheory as rt
    >>> best = rt.optimised_rug(rt.hadamard_rug(64, 16, seed=1), rt.SparseSource(0.045))
    >>> found = rt.rug_curvature(best)
    >>> bool(found.lowest.min() < -10 * found.error)  # a saddle
    True
    """
    _check.instance("optimised", optimised, OptimisedRug)
    _check.function("progress", progress)
    n = optimised.rug.n_sparse
    chosen = np.arange(n)
    if characters is not None:
        chosen = np.unique(_check.integers("characters", characters))
        if chosen[0] < 0 or chosen[-1] >= n:
            bad = chosen[0] if chosen[0] < 0 else chosen[-1]
            raise ValueError(f"characters must lie in [0, {n - 1}], got {bad}")
    blocks = _Blocks(optimised)
    ends = np.array([_ends(blocks[int(chosen[k])]) for k in progress(range(chosen.size))])
    return RugCurvature(chosen, ends[:, 0], ends[:, 1], blocks.error)


class _Blocks:
    """The Hessian of the mean loss, by characters."""

    def __init__(self, optimised: OptimisedRug) -> None:
        rug, n = optimised.rug, optimised.rug.n_sparse
        _, law, b = SymmetricRow(rug, optimised.source).at(
            np.append(optimised.eigenvalues, optimised.b)
        )
        found = row_curvature(optimised.phi, b, optimised.source, law)
        # In the Hadamard basis, biases in units of √n as the length of a vector of them.
        self.weights = fwht(fwht(found.hessian[:-1, :-1]), axis=0) / n**2
        self.mixed = fwht(found.hessian[-1, :-1]) / n**1.5
        self.bias = float(found.hessian[-1, -1]) / n
        self.slope = fwht(found.slope[:-1]) / n
        self.rows = rug.rows
        self.alpha = np.sqrt(np.abs(optimised.eigenvalues))
        self.beta = np.copysign(self.alpha, optimised.eigenvalues)
        # Moves of both factors add up in W, and the Hadamard basis is √n times an orthogonal one.
        self.error = found.error / n * max(1.0, 2 * float(np.max(self.alpha) ** 2))

    @cached_property
    def _out(self) -> Array:
        """Of moves of W_out alone, the same for all characters."""
        return self.alpha[:, None] * self.weights[np.ix_(self.rows, self.rows)] * self.alpha

    def __getitem__(self, k: int) -> Array:
        """The block of a character, shape (2 n_dense + 1, 2 n_dense + 1)."""
        s, moved, d = self.rows, self.rows ^ k, self.rows.size
        block = np.empty((2 * d + 1, 2 * d + 1))
        block[:d, :d] = self._out
        block[d:-1, d:-1] = self.beta[:, None] * self.weights[np.ix_(moved, moved)] * self.beta
        cross = self.alpha[:, None] * self.weights[np.ix_(s, moved)] * self.beta
        cross[np.arange(d), np.arange(d)] += self.slope[moved]
        block[:d, d:-1], block[d:-1, :d] = cross, cross.T
        edge = np.concatenate([self.alpha * self.mixed[s], self.beta * self.mixed[moved]])
        block[-1, :-1] = block[:-1, -1] = edge
        block[-1, -1] = self.bias
        return block


def _ends(block: Array) -> tuple[float, float]:
    """The lowest and the largest eigenvalue."""
    if len(block) < _LARGE:
        values = np.linalg.eigvalsh(block)
        return float(values[0]), float(values[-1])
    start = np.random.default_rng(len(block)).normal(size=len(block))
    low, high = scipy.sparse.linalg.eigsh(
        block,
        2,
        which="BE",
        v0=start,
        ncv=_VECTORS,
        tol=_TOLERANCE,
        return_eigenvectors=False,
    )
    return float(min(low, high)), float(max(low, high))
