r"""Any number of features in two hidden units, with an order of precedence.

Scaling feature j of the encoder by 1/d_j and row i of the decoder by d_i leaves the diagonal and
the rank of W alone and multiplies W_ij by d_i/d_j.  With d growing fast along the features,
interference from later features vanishes, and what is negative among that from earlier ones grows
until it silences.  So all that is needed is

.. math:: W_{ii} = 1 , \qquad W_{ij} ≤ 0 \quad (j < i) ,

and a feature is lost only while one of those earlier features is on for which W_ij < 0.  In a
plane, let the features point to angles θ_1 = 0 < θ_2 < … < θ_{n-1} = π, δ apart, and to -π/2, and
let each read out at right angles to the one before:

.. math:: W_{ij} = d_i\, \frac{\sin(θ_j - θ_{i-1})}{\sin δ}\, / d_j , \qquad 2 ≤ i ≤ n - 1 .

A feature then hears nothing from the one before, and the last, which reads out along -π/2, nothing
from the first and the last but one, which are opposite to each other.  Feature i is silenced by
k_i earlier features, 0, 0, 1, …, n - 3, n - 3, and

.. math:: L → \frac{p\,E u^2}{n} \sum_i \bigl[1 - (1 - p)^{k_i}\bigr]
    → \frac{n - 3}{2}\, p^2\, E u^2 , \qquad p → 0 .

The ratio is 2/n.  Four features are two antipodal pairs as uneven as can be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .._value import ShortRepr
from ..model.model import Model
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource, on_law
from ..source.uniform import Uniform
from ..theory.pairs import ONE_SIGN

LEAST = 4
_LOG_RANGE = 300 * np.log(10)
_TERMS = 20


@dataclass(frozen=True, eq=False, repr=False)
class PrecedenceCode(ShortRepr):
    """Weights of features in a plane, each silenced by all but one of those before it.

    Attributes
    ----------
    scale : float
        d_{i+1}/d_i.
    w_in : ndarray, shape (2, n_sparse)
    w_out : ndarray, shape (n_sparse, 2)
    """

    scale: float
    w_in: Array
    w_out: Array

    @property
    def n_sparse(self) -> int:
        """Number of features."""
        return int(self.w_in.shape[1])

    @property
    def n_dense(self) -> int:
        """Number of hidden units, 2."""
        return int(self.w_in.shape[0])

    @property
    def ratio(self) -> float:
        """n_dense / n_sparse."""
        return self.n_dense / self.n_sparse

    def model(self, a: float = 1.0, b: float = 0.0) -> Model:
        """The model with a diagonal and a bias, by default those of the limit of rare features."""
        a, b = _check.scalar("a", a), _check.scalar("b", b)
        return Model(self.w_in, a * self.w_out, b)


def precedence_code(n_sparse: int, scale: float) -> PrecedenceCode:
    """Weights that store features in two hidden units, in an order of precedence.

    Parameters
    ----------
    n_sparse : int
        Number of features, at least 4.
    scale : float
        By how much the readout of each feature is steeper than that of the one before, above 1.
        For b = 0 the loss is above `precedence_loss` by p E u² Σ_{i<j} max(W_ij, 0)²/n, which falls
        as 1/scale², and a correction of higher order.

    Returns
    -------
    PrecedenceCode

    Raises
    ------
    ValueError, TypeError
        If `n_sparse` is below 4, `scale` is not above 1, or couplings of scale**(n_sparse - 1)
        exceed 1e300.

    Examples
    --------
    >>> import rugtheory as rt
    >>> code = rt.precedence_code(5, 100.0)
    >>> (code.w_out @ code.w_in).round(3)[:3] + 0
    array([[ 1.e+00,  0.e+00,  0.e+00,  0.e+00,  0.e+00],
           [ 0.e+00,  1.e+00,  1.e-02,  0.e+00,  0.e+00],
           [-1.e+04,  0.e+00,  1.e+00,  1.e-02,  0.e+00]])
    """
    n = _check.count("n_sparse", n_sparse, LEAST)
    scale = _check.scalar("scale", scale)
    if not scale > 1:
        raise ValueError(f"scale must be above 1, got {scale}")
    if (n - 1) * np.log(scale) > _LOG_RANGE:
        raise ValueError(f"scale**(n_sparse - 1) must be at most 1e300, got {scale}**{n - 1}")
    angle = np.linspace(0, np.pi, n - 1)
    # The last two to all digits: what is left of sin π would be multiplied by the largest coupling.
    feature = np.array([[np.cos(t), np.sin(t)] for t in angle[:-1]] + [[-1.0, 0.0], [0.0, -1.0]])
    across = feature[:-2] @ [[0.0, 1.0], [-1.0, 0.0]] / np.sin(angle[1])
    # The first is free: at right angles to the second, it hears nothing positive but the last.
    first = [1.0, -1 / np.tan(angle[1])]
    readout = np.concatenate([[first], across, [[0.0, -1.0]]])
    steepness = scale ** (np.arange(n) - (n - 1) / 2)[:, None]
    return PrecedenceCode(scale, np.ascontiguousarray((feature / steepness).T), readout * steepness)


def precedence_loss(
    p: ArrayLike, n_sparse: ArrayLike, *, amplitude: Amplitude = Uniform()
) -> Array:
    """Loss per feature of `precedence_code` for scale → ∞ and b = 0, its greatest lower bound.

    Parameters
    ----------
    p : array_like in (0, 1]
        Probability that a feature is on.
    n_sparse : array_like of int
        Number of features in the two hidden units, at least 4.
    amplitude : Amplitude
        Law of a feature that is on.

    Returns
    -------
    ndarray
        Shape of `p` and `n_sparse` broadcast together; measured worst relative error 3e-15.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> print(f"{rt.precedence_loss(1e-6, 6) / 1e-12:.4f}")
    0.5000
    """
    p, amplitude = on_law(p, amplitude, positive=ONE_SIGN)
    n = _check.integers("n_sparse", n_sparse)
    if np.any(n < LEAST):
        raise ValueError(f"n_sparse must be at least {LEAST}, got {n[n < LEAST].flat[0]}")
    sizes = n.astype(float)
    _check.broadcastable(p=p, n_sparse=sizes)
    return limit(p, sizes, amplitude)


def limit(p: Array, n: Array, amplitude: Amplitude) -> Array:
    """`precedence_loss` of whole numbers n, however large."""
    p, n = np.broadcast_arrays(p, n)
    return np.asarray(p * amplitude.second_moment * (_silenced(p, n - 2) + _lost(p, n - 3)) / n)


def critical_size(p: Array, amplitude: Amplitude) -> Array:
    """The n at whose ratio 2/n the chord from dropped features, at ratio 0, is steepest."""
    source = SparseSource(p, amplitude)
    # n times the rise from v is p E u² [n pκ - 1 - (1 - q^(n-2))/p - q^(n-3)], κ = (E u)²/E u².
    kappa = amplitude.mean**2 / amplitude.second_moment
    with np.errstate(divide="ignore", invalid="ignore"):
        log_q = np.log1p(-p)
        best = 3 + np.log(p * p * kappa / ((1 - 2 * p) * -log_q)) / log_q
    best = np.where((p < 0.5) & (best > LEAST), best, LEAST)
    sizes = np.stack([np.floor(best), np.floor(best) + 1])
    slopes = (limit(p, sizes, amplitude) - np.asarray(source.variance)) * sizes
    return np.asarray(np.where(slopes[0] <= slopes[1], sizes[0], sizes[1]))


def _lost(p: Array, k: Array) -> Array:
    """1 - (1 - p)^k, k > 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(k * np.log1p(-p)))


def _silenced(p: Array, n: Array) -> Array:
    """Σ_{k<n} [1 - (1 - p)^k] = n - [1 - (1 - p)^n]/p."""
    rare = n * p < 1
    few = np.where(rare, n, 0.0)
    term, total = few, np.zeros_like(few)
    for j in range(2, _TERMS):
        term = -term * p * (few - j + 1) / j
        total -= term
    return np.where(rare, total, n - _lost(p, n) / p)
