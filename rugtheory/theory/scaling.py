"""How losses scale: bounds, local exponents, and which law holds where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from .. import _check
from .._check import Array
from .._result import Result
from ..numerics.rectified import normal_density
from ..source.amplitude import Amplitude
from ..source.sides import lost_power
from ..source.sparse import on_law
from ..source.uniform import Uniform
from .bounds import linear_loss, welch_sigma
from .loss import loss_gradient, loss_parts
from .optimum import optimum
from .sparse_law import sparse_law

_GOOD = 0.1
# Of (31): P(|n| ≤ 1), and the variance of n given that.
_WITHIN_ONE = float(special.erf(np.sqrt(0.5)))
_VARIANCE_WITHIN_ONE = 1 - 2 * float(normal_density(np.array(1.0))) / _WITHIN_ONE


def upper_bound(p: ArrayLike, ratio: ArrayLike, *, amplitude: Amplitude = Uniform()) -> Array:
    """An upper bound on the least loss of the ReLU decoder: E[x²; x < 0] + p σ² (3/2 + 2 log(1/p)).

    It is (13) and (17) of arXiv:2410.12101 with their constants, for every p, ratio and amplitude
    law.  Take a = 1 and b = -mσ with m² = 2 log(1/p).  Absent features lose 2σ² G₂(m) <
    (σ²/2) exp(-m²/2) = pσ²/2 by (11); others at most E(ν - mσ)² = σ²(1 + m²), since rectifying
    a reading brings it closer to a positive amplitude.  A negative amplitude is lost, and so is the
    noise that passes the ReLU there, which is less than where the feature is off.

    Parameters, errors and shapes are those of `welch_sigma`.

    Examples
    --------
    >>> import rugtheory as rt
    >>> bool(rt.optimum(0.01, 0.25).loss < rt.upper_bound(0.01, 0.25))
    True
    """
    p, amplitude = on_law(p, amplitude)
    sigma = welch_sigma(p, ratio, amplitude=amplitude)
    return np.asarray(p * (lost_power(amplitude) + sigma**2 * (1.5 - 2 * np.log(p))))


def lower_bound(p: ArrayLike, ratio: ArrayLike) -> Array:
    """A lower bound on any decoder of single readings, even one that knows which features are on.

    It is (31) of arXiv:2410.12101 with its constant, for Uniform[0, 1] and Gaussian interference:
    p σ² P² V (1 - 2σ) with P = P(|n| ≤ 1) = 0.683 and V = Var(n | |n| ≤ 1) = 0.291, for σ < ½ and
    0 beyond.  Of readings y in [σ, 1 - σ], which have probability at least P(1 - 2σ), the
    amplitude is within σ of y with probability at least P and then has variance σ² V.

    Parameters, errors and shapes are those of `welch_sigma`.

    Examples
    --------
    >>> import rugtheory as rt
    >>> bool(rt.lower_bound(0.01, 0.25) < rt.optimum_decoder("oracle", 0.01, 0.25).loss)
    True
    """
    sigma = welch_sigma(p, ratio)
    p = _check.probability("p", p)
    constant = _WITHIN_ONE**2 * _VARIANCE_WITHIN_ONE
    return np.asarray(p * sigma**2 * constant * np.maximum(1 - 2 * sigma, 0.0))


@dataclass(frozen=True, eq=False, repr=False)
class Exponents(Result):
    """Local exponents of the least loss of the Gaussian rug.

    Attributes
    ----------
    p : ndarray
        d log L / d log p at fixed ratio.
    ratio : ndarray
        d log L / d log ratio at fixed p.
    """

    p: Array
    ratio: Array


def local_exponents(
    p: ArrayLike, ratio: ArrayLike, *, amplitude: Amplitude = Uniform()
) -> Exponents:
    """Exact logarithmic derivatives of the optimum, by the envelope theorem: a and b stay put.

    Parameters
    ----------
    p : array_like in (0, 1]
    ratio : array_like in (0, 1)
    amplitude : Amplitude

    Returns
    -------
    Exponents

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> slopes = rt.local_exponents(1e-6, 0.1)
    >>> print(f"{slopes.p:.2f} {slopes.ratio:.2f}")  # p²/r, up to logarithms and 1 - r
    1.93 -1.11
    """
    ratio = _check.probability("ratio", ratio)
    if np.any(ratio == 1):
        raise ValueError("ratio must be less than 1, where the loss vanishes, got 1.0")
    best = optimum(p, ratio, amplitude=amplitude)
    a, b, sigma, p = best.a, best.b, best.sigma, best.p
    # p ∂L/∂p = p (on - off) = L - off.
    direct = 1 - loss_parts(a, b, sigma, p, amplitude=amplitude).off / best.loss
    steep = sigma * loss_gradient(a, b, sigma, p, amplitude=amplitude).sigma / best.loss
    k1, k2 = amplitude.mean, amplitude.variance
    variance_by_p = (k2 + (1 - 2 * p) * k1**2) / (k2 + (1 - p) * k1**2)
    return Exponents(
        np.asarray(direct + steep * variance_by_p / 2), np.asarray(-steep / (2 * (1 - ratio)))
    )


@dataclass(frozen=True, eq=False, repr=False)
class Regime(Result):
    """Which law holds where.

    Attributes
    ----------
    name : ndarray of str
        "linear", where v(p)(1 - r) is within 10 % of the exact loss; "sparse", where
        p [E(u²; u < 0) + σ²(Λ + Λ₁σ)] is; or "crossover".  Where both are, the closer.
    law : ndarray
        The value of the closer law.
    error : ndarray
        Its relative error.
    """

    name: NDArray[np.str_]
    law: Array
    error: Array


def regime(p: ArrayLike, ratio: ArrayLike, *, amplitude: Amplitude = Uniform()) -> Regime:
    """The regime of the Gaussian rug at (p, ratio), and how accurate its law is there.

    Parameters, errors and shapes are those of `optimum`; ratio below 1.

    Examples
    --------
    >>> import rugtheory as rt
    >>> rt.regime(0.01, [1e-4, 0.03, 0.9]).name.tolist()
    ['linear', 'crossover', 'sparse']
    """
    ratio = _check.probability("ratio", ratio)
    if np.any(ratio == 1):
        raise ValueError("ratio must be less than 1, where the loss vanishes, got 1.0")
    exact = optimum(p, ratio, amplitude=amplitude).loss
    linear = linear_loss(p, ratio, amplitude=amplitude)
    sparse = sparse_law("relu", p, ratio, amplitude=amplitude)
    errors = np.abs([linear / exact - 1, sparse / exact - 1])
    closer = errors[0] <= errors[1]
    error = errors.min(axis=0)
    name = np.where(error > _GOOD, "crossover", np.where(closer, "linear", "sparse"))
    return Regime(name, np.where(closer, linear, sparse), error)
