r"""Rugs with eigenvalues of their own: the best weights with the symmetry of a rug.

With H_S the rows S of the Hadamard matrix,

.. math:: W = \frac1n H_S^T\, \mathrm{diag}(λ)\, H_S , \qquad
    W_{ij} = φ_{i ⊕ j} , \qquad φ_k = \frac1n \sum_{s ∈ S} λ_s (-1)^{|k ∧ s|} ,

so every output hears the same weights and one row has the loss of the model.  In a rug all λ are
a n_sparse/n_dense; here they are free, and so is the bias.  The gradient of the loss in W has the
symmetry of W, so it vanishes in all directions W_out W_in can move in where it vanishes in λ and b:
the best rug is a stationary point of all weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy

from .. import _check
from .._check import Array
from .._result import Result
from ..channel.many_rows import HEIGHTS, Together
from ..channel.outputs import Losses, Outputs
from ..channel.row_laws import RowLaws
from ..channel.row_loss import RowLaw, row_loss
from ..model.model import Model
from ..numerics.hadamard import fwht
from ..source.identical import Identical
from ..source.sparse import SparseSource
from ..theory.optimum import optimum
from .rug import Rug

# Relative errors of the loss on the way, first and then, and of the one reported.
_RTOLS, _TRUTH = (1e-8, 1e-10), 1e-9
# A contour whose error is that much above the least at the start is not changed on the way, as the
# values of others differ; up to the second number.
_AS_GOOD, _NO_MORE = 10.0, 1e-5
# Of L-BFGS.  Gradients are good to about 1e-8 of the loss.
_PAIRS, _STEPS, _GTOL = 30, 5000, 3e-8
# Of the objective where no contour serves the row: far above all others.
_NOWHERE = 50.0


@dataclass(frozen=True, eq=False, repr=False)
class OptimisedRug(Result):
    """A rug with eigenvalues and a bias of its own.

    Attributes
    ----------
    rug : Rug
        What the eigenvectors are of.
    source : SparseSource
        The law of one feature.
    eigenvalues : ndarray, shape (n_dense,)
        λ of W, one for each of the rows of the rug.
    b : float
        Bias of the outputs.
    loss, error : float
        Loss per feature, exact, and its numerical error, meant as a bound.
    gradient : float
        Largest derivative of the log of the loss in the eigenvalues and the bias.
    """

    rug: Rug
    source: SparseSource
    eigenvalues: Array
    b: float
    loss: float
    error: float
    gradient: float

    @property
    def a(self) -> float:
        """Diagonal of W."""
        return float(self.eigenvalues.sum() / self.rug.n_sparse)

    @cached_property
    def phi(self) -> Array:
        """φ, shape (n_sparse,): W_ij = φ[i XOR j]."""
        return row_of(self.rug, self.eigenvalues)

    def model(self) -> Model:
        """The model with these eigenvalues and this bias, its two factors of equal length.

        W_in = |λ|^½ H_S/√n and W_out = H_Sᵀ |λ|^½ sign λ/√n, so W_in W_inᵀ = W_outᵀ W_out.
        """
        rows = self.rug.w_in / np.sqrt(self.rug.n_sparse)
        root = np.sqrt(np.abs(self.eigenvalues))
        return Model(root[:, None] * rows, rows.T * np.copysign(root, self.eigenvalues), self.b)


def optimised_rug(rug: Rug, source: SparseSource) -> OptimisedRug:
    """The eigenvalues and the bias of least loss for the eigenvectors of a rug.

    Parameters
    ----------
    rug : Rug
        With fewer hidden units than features.
    source : SparseSource
        The law of all features: on with less than an even chance, amplitudes with a density.

    Returns
    -------
    OptimisedRug
        The local minimum that a descent from equal eigenvalues, and the bias that is best for
        Gaussian interference, comes to.  Its loss is not above that of the rug there.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range, or features are not of that kind.

    Notes
    -----
    The gradient is that of one row, by the method of `exact_gradient`: 0.3 s for 512 features.  The
    loss is that of one row by itself, to 1e-9 where that is in reach.

    It is a stationary point of the loss over all weights and biases, and no minimum where it has
    been tried: see the page on descent.

    Examples
    --------
    >>> import rugtheory as rt
    >>> rug, source = rt.hadamard_rug(128, 32, seed=1), rt.SparseSource(0.045)
    >>> best = rt.optimised_rug(rug, source)
    >>> equal = rt.exact_loss(rug.model(rt.optimum(0.045, 0.25), source), rt.Identical(128, 0.045))
    >>> print(f"{best.loss / 0.045**2:.3f}, with equal eigenvalues {equal.mean / 0.045**2:.3f}")
    2.413, with equal eigenvalues 2.576
    """
    _check.instance("rug", rug, Rug)
    _check.instance("source", source, SparseSource)
    if rug.n_dense == rug.n_sparse:
        raise ValueError(f"rug must have n_dense < n_sparse, got {rug!r:.60}")
    rows = [SymmetricRow(rug, source, rtol) for rtol in _RTOLS]
    best = optimum(source.p, rug.ratio, amplitude=source.amplitude)
    b = rug.bias(float(best.b), float(best.a), source.p, amplitude=source.amplitude)
    x = np.append(np.full(rug.n_dense, float(best.a) / rug.ratio), b)
    options = {
        "maxcor": _PAIRS,
        "maxiter": _STEPS,
        "maxfun": 10**9,
        "ftol": 0.0,
        "gtol": _GTOL,
    }
    for row in rows:
        row.sorted_at(x)
        found = scipy.optimize.minimize(row, x, jac=True, method="L-BFGS-B", options=options)
        x = found.x
    estimate = row_loss(*row.at(found.x), rtol=_TRUTH)
    return OptimisedRug(
        rug=rug,
        source=source,
        eigenvalues=found.x[:-1],
        b=float(found.x[-1]),
        loss=float(estimate.value),
        error=float(estimate.error),
        gradient=float(np.abs(found.jac).max()),
    )


def row_of(rug: Rug, eigenvalues: Array) -> Array:
    """φ of a rug with these eigenvalues."""
    full = np.zeros(rug.n_sparse)
    full[rug.rows] = eigenvalues
    return np.asarray(fwht(full) / rug.n_sparse)


class SymmetricRow:
    """The log of the loss of the one row there is, and its gradient in λ and b."""

    def __init__(self, rug: Rug, source: SparseSource, rtol: float = _RTOLS[0]) -> None:
        self.rug, self.rtol = rug, rtol
        self.p = _check.scalar("source.p", source.p)
        self.laws = RowLaws(Identical(rug.n_sparse, self.p, source.amplitude))
        (scenario,) = self.laws.scenarios
        if not Together.can(scenario):
            raise ValueError(
                "source must be on with a probability below ½ and have a density of amplitudes, "
                f"got {source!r:.80}"
            )
        self.on = float(scenario.p[0])
        self.contours = [Together(scenario.kinds, height, rtol) for height in HEIGHTS]
        self.enough = rtol

    def sorted_at(self, x: Array) -> None:
        """Take the contours in the order of their errors at x, and no more than are as good."""
        w, b = row_of(self.rug, x[:-1]), float(x[-1])
        errors = []
        for together in self.contours:
            found = together(self._row(w, b), slopes=False)
            errors.append(float(found.error[0] / found.value[0]))
        order = np.argsort(np.where(np.isfinite(errors), errors, np.inf), kind="stable")
        self.contours = [self.contours[k] for k in order]
        self.enough = max(self.rtol, min(_AS_GOOD * errors[order[0]], _NO_MORE))

    def at(self, x: Array) -> tuple[float, RowLaw, float]:
        """Diagonal, what the reading hears, and bias."""
        w = row_of(self.rug, x[:-1])
        ((_, law),) = self.laws(0, w, 0.0)
        return float(w[0]), law, float(x[-1])

    def __call__(self, x: Array) -> tuple[float, Array]:
        found = self._loss(row_of(self.rug, x[:-1]), float(x[-1]))
        loss = float(found.value[0])
        if not np.isfinite(loss):
            return _NOWHERE, np.zeros_like(x)
        assert found.by_w is not None and found.by_b is not None
        slope = fwht(found.by_w[0])[self.rug.rows] / self.rug.n_sparse
        return float(np.log(loss)), np.append(slope, found.by_b) / loss

    def _loss(self, w: Array, b: float) -> Losses:
        best = Losses.none(1, w.size, True)
        for together in self.contours:
            best.improve(np.zeros(1, np.int64), together(self._row(w, b), slopes=True))
            if best.error[0] <= self.enough * best.value[0]:
                break
        return best

    def _row(self, w: Array, b: float) -> Outputs:
        own, none = np.zeros(1, np.int64), np.zeros(1)
        law = tuple(self.laws.amplitudes[:1])
        return Outputs(own, w[None], np.array([b]), none, np.array([self.on]), law, own)
