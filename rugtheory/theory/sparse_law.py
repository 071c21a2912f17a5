r"""Sharp laws of losses at small noise, which is at high sparsity.

As σ → 0 at fixed p, with b/a = -mσ and a = 1 + eσ, the ReLU decoder loses

.. math:: L = p σ^2 [Λ + Λ_1 σ + O(σ^2)], \qquad
    Λ = \min_m\; 1 + κ m^2 + 2\tfrac{1-p}{p} G_2(m), \qquad κ = 1 - m_1^2/m_2 .

The terms are the noise itself, what is left of the shift mσ after the diagonal e = m_1 m/m_2 has
made up for some of it (m_k = E u^k, κ = ¼ for Uniform[0, 1]), and the noise of absent features that
passes.  Amplitudes below the threshold change the next order, where f is their density at zero:

.. math:: Λ_1 = 2e [m^2 + 1 + 2\tfrac{1-p}{p} G_2(m)] - 2 e^2 m_1 m - 4 f G_3(-m) .

A decoder that jumps at tσ need not shift what it passes: it has Λ = 1 except for the noise that
passes and the signals it misses,

.. math:: 1 + \tfrac{1-p}{p} E[n^2; n > t] + σ f\, [4 t G_2(-t) - t^2 G_1(-t) - 4 G_3(-t)] .

G_n are the repeated Gaussian integrals of `rugtheory.numerics.rectified`.

If amplitudes may be negative, that part loses all it has, E[x²; x < 0], as if it were off.  Then q
is the probability that x > 0, m_k and κ are those of positive amplitudes, and

.. math:: L = E[x^2; x<0] + p σ^2 [Λ + Λ_1 σ + O(σ^2)], \qquad
    pΛ = \min_m\; q (1 + κ m^2) + 2 (1-p) G_2(m) .

With a density :math:`f_-` below zero as well as :math:`f_+` above, those whose noise lifts them
over the threshold add :math:`4 f_- G_3(m)` to Λ₁, and :math:`σ f_- [4 t G_2(t) + t^2 G_1(t) +
4 G_3(t)]` to what a jump loses: the terms of :math:`f_+` at -m and -t, with the other sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .. import _check
from .._check import Array
from .._result import Result
from ..numerics.rectified import ratios, signed_tails, tails
from ..numerics.search import find_minimum, find_root
from ..source.amplitude import Amplitude, check_not_negative
from ..source.sides import densities_at_zero, lost_power, sides
from ..source.sparse import on_law
from ..source.uniform import Uniform
from .bounds import welch_sigma

_LOG_SQRT_2PI = float(np.log(2 * np.pi) / 2)
_KINDS = ("relu", "jumprelu", "gated", "topk", "selection", "oracle", "bayes")


@dataclass(frozen=True, eq=False, repr=False)
class SparseConstants(Result):
    """L = p [lost + σ² (leading + next σ)] for the ReLU decoder as σ → 0.

    Attributes
    ----------
    shift : ndarray
        m = -b/(aσ); infinite for a constant amplitude, which noise cannot reach.
    leading, next : ndarray
        Λ and Λ₁.  For a constant amplitude there is no Λ₁, given as 0: the next term is of order
        σ times the root of log 1/σ.
    lost : float
        E u² of negative amplitudes, which no ReLU stores; 0 for a law on [0, ∞).
    """

    shift: Array
    leading: Array
    next: Array
    lost: float = 0.0


def sparse_constants(p: ArrayLike, *, amplitude: Amplitude = Uniform()) -> SparseConstants:
    """The constants of the loss of the ReLU decoder at small σ.

    Parameters
    ----------
    p : array_like in (0, 1]
        Probability that a feature is on.
    amplitude : Amplitude
        Law of a feature that is on, of either sign.  Where its density above zero is infinite, so
        is -Λ₁.

    Returns
    -------
    SparseConstants
        Of the shape of `p`.  Λ for Uniform[0, 1] has a relative error of at most 1e-14.

    Raises
    ------
    ValueError, TypeError
        If `p` is outside its range.

    Notes
    -----
    As p → 0, Λ grows like ½ log(1/p): see `sparse_constant_expansion`.

    Examples
    --------
    >>> import rugtheory as rt
    >>> print(f"{rt.sparse_constants(0.045).leading:.8f}")
    2.00737614
    """
    p, amplitude = on_law(p, amplitude)
    lost, share, m1, kappa = _stored(amplitude)
    everywhere = np.ones_like(p)
    if kappa < 1e-15:
        return SparseConstants(np.inf * everywhere, share * everywhere, 0 * p, lost)
    odds = (1 - p) / p / share
    m = _shift(odds, kappa)
    passed = 2 * odds * tails(m).g2
    e = (1 - kappa) * m / m1
    below, above = densities_at_zero(amplitude)
    with np.errstate(invalid="ignore"):
        boundary = 4 * (above * signed_tails(-m).g3 - below * tails(m).g3)
    next_order = share * 2 * e * (m * m + 1 + passed) - 2 * e * e * m1 * m * share - boundary
    return SparseConstants(m, share * (1 + kappa * m * m + passed), next_order, lost)


def _stored(amplitude: Amplitude) -> tuple[float, float, float, float]:
    """E u² of what is negative; P, E u and Var u / E u² of what is positive."""
    if amplitude.start >= 0:
        return 0.0, 1.0, amplitude.mean, amplitude.variance / amplitude.second_moment
    positive = sides(amplitude)[1]
    share, m1, m2 = positive.share, positive.moment(1), positive.moment(2)
    spread = float(positive.weights @ (positive.nodes - m1) ** 2)
    return lost_power(amplitude), share, m1, spread / (share * m2) if share > 0 else 0.0


def sparse_constant_expansion(p: ArrayLike) -> Array:
    """Λ(p) of Uniform[0, 1] as p → 0: 3/2 + m²/4 - 3/(2m²), with m² = 3W(c^(2/3)/3).

    Here c = 4(1-p)/(p √2π) and W is Lambert's function: m solves m/4 = (1-p)/p φ(m)/m², the leading
    order of the stationarity m/4 = (1-p)/p G₁(m).  So Λ → ½ log(1/p), slowly.
    The relative error is 5 % at p = 0.045, at most 1.02 % for p ≤ 0.01, and 7e-4 at 1e-20.

    Examples
    --------
    >>> import rugtheory as rt
    >>> print(f"{rt.sparse_constant_expansion(1e-8) / rt.sparse_constants(1e-8).leading:.3f}")
    1.004
    """
    p = _check.probability("p", p)
    if np.any(p == 1):
        raise ValueError("p must be less than 1, got 1.0")
    c = 4 * (1 - p) / (p * np.sqrt(2 * np.pi))
    square = 3 * special.lambertw(c ** (2 / 3) / 3).real
    return np.asarray(1.5 + square / 4 - 1.5 / square)


def sparse_law(
    kind: str,
    p: ArrayLike,
    ratio: ArrayLike,
    *,
    order: int = 1,
    amplitude: Amplitude = Uniform(),
) -> Array:
    """The loss of a decoder in the Gaussian channel for small σ, at the least σ of `ratio`.

    Parameters
    ----------
    kind : "relu", "jumprelu", "gated", "topk", "selection", "oracle" or "bayes"
        For "topk" as many features are kept as are on, k/n = p; not for amplitudes that may be
        negative, where the largest readings are not those of features that are on.
    p : array_like in (0, 1]
    ratio : array_like in (0, 1]
    order : 0 or 1
        Order in σ relative to the leading one.  At order 0 all kinds but "relu" lose p σ²; order 1
        is there for "relu" and for those that jump, whose threshold depends on σ.  Of a law that
        has a spread: where all amplitudes are one, those that jump lose less than any power of σ.
    amplitude : Amplitude

    Returns
    -------
    ndarray
        Of the shape of `p` and `ratio` broadcast together.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> exact, law = rt.optimum(0.01, 0.9).loss, rt.sparse_law("relu", 0.01, 0.9)
    >>> print(f"{law / exact - 1:.4f}")
    -0.0006
    """
    order = _check.integer("order", order, 0, 1)
    _check.choice("kind", kind, _KINDS)
    if kind in ("selection", "oracle", "bayes") and order > 0:
        raise ValueError(f"order must be 0 for {kind}, got {order}")
    p, amplitude = on_law(p, amplitude)
    if kind == "topk":
        check_not_negative(amplitude, "for topk, which keeps the largest readings")
    p, sigma = np.broadcast_arrays(p, welch_sigma(p, ratio, amplitude=amplitude))
    if kind == "relu":
        constants = sparse_constants(p, amplitude=amplitude)
        square = constants.leading + order * constants.next * sigma
        return np.asarray(p * (constants.lost + sigma**2 * square))
    if kind in ("selection", "oracle", "bayes"):
        return np.asarray(p * sigma**2)
    lost, share, *_ = _stored(amplitude)
    if order == 0:
        return np.asarray(p * (lost + sigma**2 * share))
    t = (_topk_threshold if kind == "topk" else _jump_threshold)(p, sigma, amplitude)
    return np.asarray(p * (lost + sigma**2 * _jump_constant(t, p, sigma, amplitude)))


def _shift(odds: Array, kappa: float) -> Array:
    """m with κ m = (1-p)/p G₁(m)."""
    m = np.zeros_like(odds)
    some = odds > 0
    if not some.any():
        return m
    target = np.log(odds[some] / kappa)

    def excess(log_m: Array, target: Array) -> Array:
        m = np.exp(log_m)
        return np.asarray(log_m + m * m / 2 + _LOG_SQRT_2PI - np.log(ratios(m)[1]) - target)

    low = np.minimum(target, 0.0) - 3
    high = np.log(np.sqrt(2 * np.maximum(target, 0.0)) + 3)
    root = find_root(excess, (low, high), args=(target,))
    m[some] = np.exp(root.x)
    return m


def _jump_constant(t: Array, p: Array, sigma: Array, amplitude: Amplitude) -> Array:
    below, above = densities_at_zero(amplitude)
    share = _stored(amplitude)[1]
    if below == above == 0:
        return np.full(p.shape, share)
    g, far = signed_tails(-t), signed_tails(t)
    missed = above * (4 * t * g.g2 - t * t * g.g1 - 4 * g.g3)
    lifted = below * (4 * t * far.g2 + t * t * far.g1 + 4 * far.g3)
    passed = far.g0 + t * g.phi
    return np.asarray(share + (1 - p) / p * passed + sigma * (missed + lifted))


def _jump_threshold(p: Array, sigma: Array, amplitude: Amplitude) -> Array:
    if densities_at_zero(amplitude) == (0.0, 0.0):
        return np.full(p.shape, np.inf)  # no amplitude is so small that a high threshold misses it
    p, sigma = p[None], sigma[None]

    def constant(t: Array, p: Array, sigma: Array) -> Array:
        return _jump_constant(t, p, sigma, amplitude)

    top = np.sqrt(2 * np.log(1 / p) + 2 * np.log1p(amplitude.scale / sigma)) + 3
    grid = top * np.linspace(0, 1, 64).reshape(-1, *[1] * (p.ndim - 1))
    best = np.clip(np.argmin(constant(grid, p, sigma), axis=0), 1, len(grid) - 2)[None]
    bracket = tuple(np.take_along_axis(grid, best + k, axis=0) for k in (-1, 0, 1))
    found = find_minimum(constant, bracket, args=(p, sigma))
    return np.asarray(np.where(found.success, found.x, bracket[1])[0])


def _topk_threshold(p: Array, sigma: Array, amplitude: Amplitude) -> Array:
    """As much noise above it as there are signals below."""
    density = amplitude.density_at_zero
    if density == 0:
        return np.full(p.shape, np.inf)

    def excess(t: Array, p: Array, sigma: Array) -> Array:
        above = signed_tails(t)
        return np.asarray((1 - p) * above.g0 - p * sigma * density * signed_tails(-t).g1)

    top = np.sqrt(2 * np.log(1 / p) + 2 * np.log1p(amplitude.mean / sigma)) + 3
    # Of features nearly always on, noise far below zero is kept, at p = 1 all of it.
    low = -top - np.sqrt(-2 * np.log(np.maximum(1 - p, 1e-300)))
    root = find_root(excess, (low, top), args=(p, sigma)).x
    return np.asarray(np.where(p < 1, root, low))
