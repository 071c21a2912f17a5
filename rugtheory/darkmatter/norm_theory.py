r"""What the norm prediction test finds in a sum of independent features.

The test (arXiv:2410.14670, equation 2) regresses ‖x‖² on x.  Here x = F w with independent weights
of mean μ_k and variance s_k, and G = FᵀF.  What the law of one weight contributes is the regression
of w² on w,

.. math:: w^2 = \text{const} + \lambda\,w + \varepsilon, \qquad
    \lambda = 2\mu + \kappa_3/s, \qquad c = \mathrm{Var}\,ε = \mathrm{Var}\,w^2 - λ^2 s ,

its *slope* and its *curvature*; κ₃ is the third cumulant of w.  With z = w - μ and g = Gμ,

.. math:: \|x\|^2 = \text{const} + \sum_k (2g_k + G_{kk}κ_{3k}/s_k)\, z_k
    + \sum_k G_{kk}\, ε_k + \sum_{j \ne k} G_{jk}\, z_j z_k .

These three sums are uncorrelated, and the last two with every z_k.  So the probe has to fit only
the first, a linear function of z, and it sees z through x.  With A = F diag(√s) and
τ_k = √s_k (2g_k + G_kk κ₃_k/s_k), the probe is the least-squares solution of Aᵀa = τ, and

.. math:: R^2 = \frac{\|A^\top a\|^2}
    {\|τ\|^2 + \sum_k G_{kk}^2 c_k + 2\sum_{j \ne k} G_{jk}^2 s_j s_k} .

Appendix B.1 of the paper is the case G = 1, where a = Σ λ_k F_k and R² = Σ sλ²/Σ(sλ² + c).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .._result import Result
from .._value import ByValue
from ..source.sparse import SparseSource

_EPS = float(np.finfo(float).eps)
# Its square is a curvature within range.
_MOST_RATE = 1e24


@dataclass(frozen=True, eq=False, repr=False)
class WeightLaw(ByValue):
    """Law of independent weights, as far as the norm prediction test sees it.

    Attributes
    ----------
    mean, variance : ndarray
        μ and s > 0 of the weights, of any common shape; one entry a feature.
    slope : ndarray
        λ = Cov(w², w)/Var w.
    curvature : ndarray, ≥ 0
        Var w² - λ²s, what of w² is no linear function of w.

    Raises
    ------
    ValueError, TypeError
        If an entry is not finite or outside its range, or shapes do not broadcast.

    Examples
    --------
    >>> import rugtheory as rt
    >>> law = rt.darkmatter.WeightLaw.poisson(1.0)
    >>> print(law.slope, f"{law.r2:.6f}")  # 9/11
    3.0 0.818182
    """

    mean: Array
    variance: Array
    slope: Array
    curvature: Array

    def __post_init__(self) -> None:
        values = {
            "mean": _check.real("mean", self.mean),
            "variance": _check.positive("variance", self.variance),
            "slope": _check.real("slope", self.slope),
            "curvature": _check.nonnegative("curvature", self.curvature),
        }
        _check.broadcastable(**values)
        for name, value in zip(values, np.broadcast_arrays(*values.values()), strict=True):
            object.__setattr__(self, name, value)

    @classmethod
    def sparse(cls, source: SparseSource) -> WeightLaw:
        """Sparse non-negative features; scaled Bernoulli ones have `Constant` amplitude.

        ValueError where the feature never varies (p = 1 and constant), or by less than 1e-50.
        Nothing cancels at small p or near p = 1: measured worst relative error of `r2`,
        `unexplained`, slope and curvature 1.4e-15, over p from 1e-45 to 1 and seven laws.
        """
        if not isinstance(source, SparseSource):
            raise TypeError(f"source must be a SparseSource, got {_check.shown(source)}")
        m, v, third, fourth = source.amplitude.cumulants()
        p, off = np.asarray(source.p), 1 - np.asarray(source.p)
        skew = third / v if v > 0 else 0.0
        varying = v + off * m * m
        if not np.all(varying > 0):
            raise ValueError(f"source must have a variance, got {_check.shown(source)}")
        slope = (third + 2 * m * v + off * m * (v + m * m)) / varying
        # u² has its own curvature, and the chord from the feature's off state to the line that
        # fits u² best: at u = 0 that line is at `gap`.
        curved = max(fourth + 2 * v * v - skew * third, 0.0)
        tilt, gap = v / (v + m * m), v - m * m - m * skew
        curvature = p * (curved + off * tilt * gap * gap / (off + p * tilt))
        return cls(p * m, p * varying, slope, curvature)

    @classmethod
    def poisson(cls, rate: ArrayLike) -> WeightLaw:
        """Poisson weights of mean `rate` in (0, 1e24]: λ = 2 rate + 1, curvature 2 rate²."""
        rate = _check.positive("rate", rate)
        if np.any(rate > _MOST_RATE):
            raise ValueError(f"rate must be at most {_MOST_RATE}, got {rate.max()}")
        return cls(rate, rate, 2 * rate + 1, 2 * rate * rate)

    @classmethod
    def from_moments(
        cls, mean: ArrayLike, variance: ArrayLike, third: ArrayLike, fourth: ArrayLike
    ) -> WeightLaw:
        """Any law, from its mean, variance and central moments of order 3 and 4.

        ValueError if no law has these moments: `fourth` ≥ variance² + third²/variance is needed,
        and a deficit within rounding counts as zero.
        """
        mean, variance = _check.real("mean", mean), _check.positive("variance", variance)
        third, fourth = _check.real("third", third), _check.real("fourth", fourth)
        _check.broadcastable(mean=mean, variance=variance, third=third, fourth=fourth)
        skew = third / variance
        curvature = fourth - variance * variance - skew * third
        if np.any(curvature < -8 * _EPS * fourth):
            raise ValueError(
                "fourth must be at least variance² + third²/variance = "
                f"{np.max(variance**2 + skew * third)}, got {np.min(fourth)}"
            )
        return cls(mean, variance, 2 * mean + skew, np.maximum(curvature, 0.0))

    def gaussian(self) -> WeightLaw:
        """Gaussian weights of the same mean and variance: a vector without features."""
        return WeightLaw(self.mean, self.variance, 2 * self.mean, 2 * self.variance**2)

    def sign_flipped(self) -> WeightLaw:
        """The weights times independent random signs, for which the test finds nothing."""
        power, zero = self.variance + self.mean**2, np.zeros_like(self.mean)
        square = self.slope**2 * self.variance + self.curvature
        return WeightLaw(zero, power, zero, square)

    @property
    def r2(self) -> Array:
        """R² of the test on orthogonal features of equal length with this law, entry by entry.

        ρ² = Cov(w², w)²/(Var w · Var w²).  Where w² does not vary there is nothing to predict:
        ValueError.
        """
        return self.slope**2 * self.variance / self._square_variance()

    @property
    def unexplained(self) -> Array:
        """1 - `r2`, to full relative accuracy."""
        return self.curvature / self._square_variance()

    def _square_variance(self) -> Array:
        total = self.slope**2 * self.variance + self.curvature
        if not np.all(total > 0):
            raise ValueError("the squares of the weights must vary for a test of them")
        return total


@dataclass(frozen=True, eq=False, repr=False)
class NormProbe(Result):
    """Best linear prediction of ‖x‖² from x = F w, for infinitely many samples.

    Attributes
    ----------
    vector : ndarray, shape (d,)
        The probe a: ‖x‖² ≈ a·x + intercept.  Of several the shortest.
    intercept : float
    response : ndarray, shape (n,)
        Fᵀa, which the paper compares with the mean weights (equation 13).
    r2 : float
        Share of Var ‖x‖² that is predicted.
    overlap, curvature, pairs : float
        Shares that are not: linear in w but out of reach because features overlap; from the
        curvature of single weights; from products of two.  They add to 1 - `r2`.
    variance : float
        Var ‖x‖².
    """

    vector: Array
    intercept: float
    response: Array
    r2: float
    overlap: float
    curvature: float
    pairs: float
    variance: float


def norm_probe(features: ArrayLike, law: WeightLaw) -> NormProbe:
    """The norm prediction test on x = F w in theory, for any features and independent weights.

    Parameters
    ----------
    features : array_like, shape (n, d)
        Feature vectors, the columns of F, one a row and of any length; see `features_from_gram` if
        only their inner products are known.
    law : WeightLaw
        Law of the weights, with entries that broadcast to shape (n,).

    Returns
    -------
    NormProbe

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, or ‖x‖² does not vary.

    Notes
    -----
    Takes of the order of n d min(n, d) operations; no n × n matrix is formed.  The shares are exact
    to rounding of 1, times the condition number of the features for `overlap`.

    Examples
    --------
    >>> import numpy as np, rugtheory as rt
    >>> law = rt.darkmatter.WeightLaw.sparse(rt.SparseSource(0.1, rt.Constant()))
    >>> probe = rt.darkmatter.norm_probe(np.eye(4), law)  # orthogonal Bernoulli features
    >>> print(f"{probe.r2:.12f}", probe.vector)
    1.000000000000 [1. 1. 1. 1.]
    """
    f = _matrix("features", features).T
    if not isinstance(law, WeightLaw):
        raise TypeError(f"law must be a WeightLaw, got {_check.shown(law)}")
    n = f.shape[1]
    try:
        mean, variance, slope, curvature = (
            np.broadcast_to(x, (n,)) for x in (law.mean, law.variance, law.slope, law.curvature)
        )
    except ValueError:
        raise ValueError(
            f"law must have entries that broadcast to ({n},), one a feature, "
            f"got shape {law.mean.shape}"
        ) from None
    scaled = f * np.sqrt(variance)
    length, scaled_length = np.sum(f * f, axis=0), np.sum(scaled * scaled, axis=0)
    centre = f @ mean
    # slope - 2μ is κ₃/s; for unit vectors that are orthogonal 2g cancels it against 2μ.
    target = np.sqrt(variance) * (2 * (f.T @ centre - length * mean) + length * slope)
    vector = np.linalg.lstsq(scaled.T, target, rcond=None)[0]
    reached = scaled.T @ vector
    small = scaled @ scaled.T if f.shape[0] < n else scaled.T @ scaled
    pairs = max(2 * float(np.sum(small**2) - np.sum(scaled_length**2)), 0.0)
    curved = float(np.sum(length**2 * curvature))
    explained, missed = float(reached @ reached), float(np.sum((target - reached) ** 2))
    total = explained + missed + curved + pairs
    if not total > 0:
        raise ValueError("the squared norm of x must vary, got a variance of 0")
    return NormProbe(
        vector=vector,
        intercept=float(centre @ centre + scaled_length.sum() - vector @ centre),
        response=f.T @ vector,
        r2=explained / total,
        overlap=missed / total,
        curvature=curved / total,
        pairs=pairs / total,
        variance=total,
    )


def features_from_gram(gram: ArrayLike) -> Array:
    """Vectors, one a row of a matrix of shape (n, rank), that have the given inner products.

    Parameters
    ----------
    gram : array_like, shape (n, n)
        Symmetric and positive semidefinite; eigenvalues within rounding of zero count as zero.

    Raises
    ------
    ValueError, TypeError
        If `gram` is not square, not symmetric, or has a negative eigenvalue.

    Examples
    --------
    >>> import numpy as np, rugtheory as rt
    >>> f = rt.darkmatter.features_from_gram(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    >>> print(f.shape, np.allclose(f @ f.T, [[1, -1], [-1, 1]]))
    (2, 1) True
    """
    g = _matrix("gram", gram)
    if g.shape[0] != g.shape[1]:
        raise ValueError(f"gram must be square, got shape {g.shape}")
    rounding = len(g) * _EPS * float(np.abs(g).max())
    if np.abs(g - g.T).max() > rounding:
        raise ValueError(f"gram must be symmetric, got differences up to {np.abs(g - g.T).max()}")
    values, vectors = np.linalg.eigh(g)
    if values[0] < -rounding:
        raise ValueError(f"gram must be positive semidefinite, got an eigenvalue {values[0]}")
    kept = values > rounding
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))


def gaussian_null(mean: ArrayLike, covariance: ArrayLike) -> float:
    """R² of the norm prediction test on a Gaussian vector: 4mᵀΣm/(4mᵀΣm + 2 tr Σ²).

    For x ~ N(m, Σ), Cov(x, ‖x‖²) = 2Σm and Var ‖x‖² = 4mᵀΣm + 2 tr Σ².  It is what the test finds
    without any features; an offset alone can make it large.  Multiplying x by a random sign
    makes it, and the R² of any vector, zero.

    Parameters
    ----------
    mean : array_like, shape (d,)
    covariance : array_like, shape (d, d)

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit or the covariance is zero.

    Examples
    --------
    >>> import numpy as np, rugtheory as rt
    >>> rt.darkmatter.gaussian_null([3.0, 0.0], np.eye(2))
    0.9
    """
    m, sigma = _check.axis("mean", mean), _matrix("covariance", covariance)
    if sigma.shape != (m.size, m.size):
        raise ValueError(f"covariance must have shape {(m.size, m.size)}, got {sigma.shape}")
    linear, quadratic = 4 * float(m @ sigma @ m), 2 * float(np.sum(sigma * sigma))
    if not quadratic > 0:
        raise ValueError("covariance must not be zero")
    return linear / (linear + quadratic)


def _matrix(name: str, value: ArrayLike) -> Array:
    array = _check.real(name, value)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name} must be a non-empty matrix, got shape {array.shape}")
    return array
