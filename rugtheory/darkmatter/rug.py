r"""The dark matter of the Persian rug, in closed form.

The rug is a sparse autoencoder of its own hidden layer: h = W_in x is the activation, the columns
of W_in are the dictionary, x̂ = ReLU(W_out h + b) is the code, and e = h - W_in x̂ its error.

**All features learned.**  Feature i is read as y_i = x_i + ν_i, and x_i and ν_i are uncorrelated.
Regress the code on both,

.. math:: \hat x = m + α\,(x - \mathbf{E}x) + β\,ν + \text{rest}, \qquad
    ω = \mathrm{Var}\,\text{rest}\,/\,σ_x^2 .

(Regressed on y alone it would have a larger rest, part of it linear in h.)  Now ν = (R - 1)x
with R = W_inᵀW_in/n_d, W_in W_inᵀ = n_s and so W_in R = W_in/r.  Hence, centred,

.. math:: e = δ\,h - W_\mathrm{in}\,\text{rest}, \qquad δ = 1 - κ/r, \qquad κ = rα + (1 - r)β .

By Stein's lemma the rest of one feature is uncorrelated with every other feature that makes up its
noise, and so with h, up to terms that vanish as 1/n_s.  Relative to Var h the linear error is δ²
and the nonlinear one ω.

**A fraction f learned**, of mask D.  Then W_in D x̂ = (α - β) W_in D x + β B h + W_in D rest with
B = W_in D W_inᵀ/n_d, and the best prediction of W_in D x from h is r B h.  Since tr B = n_d f/r and
tr B² = n_d [f² + r f(1 - f)]/r² for random masks,

.. math:: \text{nonlinear} = (α - β)^2 (1 - r) f (1 - f) + f ω, \qquad
    \text{linear} = (1 - f κ/r)^2 + (κ/r)^2 r f (1 - f) .

**The norm of the error.**  Shifting the features, x_i → x_{i ⊕ s}, multiplies h_k and e_k by
(-1)^popcount(k AND s) and leaves ‖e‖² as it is, for a code with one bias.  The features are
exchangeable, so Cov(h_k, ‖e‖²) equals (-1)^popcount(k AND s) times itself for every s: it is zero
unless k = 0.  With all features learned and row 0 not among the rows the norm prediction test
finds R² = 0 exactly, at every size, for any law of the features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .._result import Result
from ..numerics.rectified import tails
from ..source.amplitude import Amplitude, check_not_negative
from ..source.expect import blockwise, distance, kink_of
from ..source.sparse import SparseSource
from ..source.uniform import Uniform
from ..theory.bounds import welch_sigma
from ..theory.optimum import optimum

_BLOCK = 2048


@dataclass(frozen=True, eq=False, repr=False)
class RugDarkMatter(Result):
    """Error of a rug as an autoencoder of its hidden layer, n_s → ∞; arrays of one shape.

    Fractions are of the variance of the hidden layer.

    Attributes
    ----------
    p, ratio, a, b, fraction : ndarray
        Probability that a feature is on, n_dense / n_sparse, diagonal, bias, and share of
        features learned.
    slope_signal, slope_noise : ndarray
        α and β, slopes of the code on the feature and on its interference.
    fvu : ndarray
        E‖e‖²/Σ Var h; with the mean of the error.
    fvu_centred : ndarray
        Σ Var e/Σ Var h.
    fvu_nl : ndarray
        What the best linear prediction of e from h leaves.
    r2 : ndarray
        R² of that prediction, 1 - fvu_nl/fvu_centred; 0 where there is no error to predict.
    """

    p: Array
    ratio: Array
    a: Array
    b: Array
    fraction: Array
    slope_signal: Array
    slope_noise: Array
    fvu: Array
    fvu_centred: Array
    fvu_nl: Array
    r2: Array


def rug_dark_matter(
    p: ArrayLike,
    ratio: ArrayLike,
    *,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    fraction: ArrayLike = 1.0,
    constant_row: bool = False,
    amplitude: Amplitude = Uniform(),
) -> RugDarkMatter:
    """Linear and nonlinear error of the Persian rug, read as a sparse autoencoder.

    Parameters
    ----------
    p : array_like in (0, 1]
        Probability that a feature is on.
    ratio : array_like in (0, 1]
        n_dense / n_sparse.
    a, b : array_like, optional
        Diagonal and bias for zero-mean interference; those of `optimum` if neither is given.
    fraction : array_like in [0, 1]
        Share of the features that the code has, chosen at random; the others are absent from it,
        but not from the hidden layer.
    constant_row : bool
        Whether row 0, all ones, is among the rows of the rug.  It matters for `fvu` only, through
        the mean error: [E x - f E x̂]²/(r σ_x²) is then added to (E x̂)² f (1 - f)/σ_x².
    amplitude : Amplitude
        Law of a feature that is on.

    Returns
    -------
    RugDarkMatter
        Arrays of the shape of the arguments broadcast together.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range, only one of `a` and `b` is given, or features never
        vary (p = 1 and constant).

    Notes
    -----
    The interference is Gaussian with the σ of `welch_sigma`, as in the loss of the rug: with
    W = `reduced_loss`, W = σ_x²[(1 - α)² + β²(1/r - 1) + ω] + (E x - E x̂)².  ω is not taken from
    that difference, which loses all digits, but as a sum of variances: of the Hermite terms of the
    ReLU from the second on, of its slope over the amplitudes, and of its mean about the line
    that fits it best.

    Worst relative error of `fvu_nl`, α and β against integrals of the definition at 50 digits:
    7e-15, over 93 points with p from 1e-12 to 1, ratio from 1e-9 to 1 - 1e-9, b up to six σ from
    the optimum, and seven laws.  The linear error rests on δ, whose absolute error is a few
    eps of 1 + a/r: where the decoder is linear to rounding, δ is rounding alone, and no digit
    of `r2` is right.

    Examples
    --------
    >>> import rugtheory as rt
    >>> dark = rt.darkmatter.rug_dark_matter(0.045, 0.25)
    >>> print(f"{dark.fvu:.4f} {dark.fvu_nl:.4f} {dark.r2:.4f}")
    0.1984 0.1971 0.0068
    """
    check_not_negative(amplitude, "for the closed form of what a rug leaves")
    p, ratio = _check.probability("p", p), _check.probability("ratio", ratio)
    f = _check.share("fraction", fraction)
    constant_row = _check.boolean("constant_row", constant_row)
    if (a is None) != (b is None):
        raise ValueError(f"a and b must be given together or not at all, got a={a!r}, b={b!r}")
    if a is None or b is None:
        _check.broadcastable(p=p, ratio=ratio, fraction=f)
        best = optimum(p, ratio, amplitude=amplitude)
        a, b = best.a, best.b
    a, b = _check.real("a", a), _check.real("b", b)
    _check.broadcastable(p=p, ratio=ratio, a=a, b=b, fraction=f)
    variance = np.asarray(SparseSource(p, amplitude).variance)
    if not np.all(variance > 0):
        raise ValueError(f"features must vary, got p = 1 and {amplitude}")
    sigma = welch_sigma(p, ratio, amplitude=amplitude)
    code = _Code(*blockwise(_code, amplitude, a, b, sigma, p, ratio, size=_BLOCK))

    gain = 1 - code.delta  # κ/r
    nonlinear = f * code.rest + (code.signal - code.noise) ** 2 * (1 - ratio) * f * (1 - f)
    linear = (1 - f + f * code.delta) ** 2 + gain**2 * ratio * f * (1 - f)
    mean_error = code.mean**2 * f * (1 - f) / variance
    if constant_row:
        missed = f * code.missed + (1 - f) * p * amplitude.mean
        mean_error = mean_error + missed**2 / (ratio * variance)
    centred = linear + nonlinear
    r2 = np.divide(linear, centred, out=np.zeros_like(centred), where=centred > 0)
    return RugDarkMatter(
        *np.broadcast_arrays(
            p,
            ratio,
            a,
            b,
            f,
            code.signal,
            code.noise,
            centred + mean_error,
            centred,
            nonlinear,
            r2,
        )
    )


class _Code(NamedTuple):
    """The code of one feature regressed on the feature and its interference."""

    mean: Array  # E x̂
    missed: Array  # E x - E x̂
    signal: Array  # α
    noise: Array  # β
    delta: Array  # 1 - κ/r
    rest: Array  # ω


def _code(
    amplitude: Amplitude, a: Array, b: Array, sigma: Array, p: Array, ratio: Array
) -> tuple[Array, ...]:
    # ReLU(v) = v + ReLU(-v): the rest of both is the same, and the slopes differ by a.  That side
    # is taken on which an average amplitude gives little.
    m, v = amplitude.mean, amplitude.variance
    flipped = a * m + b > 0
    side = np.where(flipped, -1.0, 1.0)
    at = partial(_at, side * a, side * b, sigma)
    u, w = amplitude.resolving(kink_of(a, b), sigma)
    off = at(np.zeros_like(a))
    on = at(u)
    q = 1 - p

    mean, passed = np.sum(w * on.mean, axis=0), np.sum(w * on.passed, axis=0)
    covariance = np.sum(w * (u - m) * on.mean, axis=0)
    line = covariance / v if v > 0 else 0 * covariance
    bent = np.sum(w * (on.mean - mean - line * (u - m)) ** 2, axis=0)
    # From the best line through the amplitudes the code at zero is off by a gap, over which the
    # line for all x is a compromise.
    tilt = v / (v + m * m)
    gap = mean - line * m - off.mean
    varying = v + q * m * m

    kinked = np.sum(w * on.kinked, axis=0) + q / p * off.kinked
    steep = np.sum(w * (on.passed - passed) ** 2, axis=0) + q * (passed - off.passed) ** 2
    straight = bent + q * tilt * gap * gap / (q + p * tilt)
    rest = (kinked + (a * sigma) ** 2 * steep + straight) / varying

    slope = (covariance + q * m * (mean - off.mean)) / varying
    side_passed = p * passed + q * off.passed
    side_mean = p * mean + q * off.mean
    signal = np.where(flipped, a + slope, slope)
    failed = p * np.sum(w * on.failed, axis=0) + q * off.failed
    noise = a * np.where(flipped, failed, side_passed)
    kappa_rest = ratio * slope - (1 - ratio) * a * side_passed
    delta = np.where(
        flipped & (side_passed < 0.5),
        (ratio - a - kappa_rest) / ratio,
        np.where(flipped, (1 - a) - slope, 1 - slope) - (1 - ratio) / ratio * noise,
    )
    centre = p * m
    return _Code(
        np.where(flipped, a * centre + b + side_mean, side_mean),
        np.where(flipped, (1 - a) * centre - b, centre) - side_mean,
        signal,
        noise,
        delta,
        rest,
    )


class _Reading(NamedTuple):
    """ReLU(a(u + ν) + b) given u."""

    mean: Array
    passed: Array  # Pr[it is positive], which is its slope in ν over a
    failed: Array  # 1 - passed
    kinked: Array  # its variance about the line of that slope


def _at(a: Array, b: Array, sigma: Array, u: Array) -> _Reading:
    e = np.abs(a) * sigma
    c = a * u + b
    z = distance(c, e)
    g = tails(np.abs(z))
    return _Reading(
        np.maximum(c, 0.0) + e * g.g1,
        np.where(z > 0, 1 - g.g0, g.g0),
        np.where(z > 0, g.g0, 1 - g.g0),
        e * e * (2 * g.g2 - g.g1**2 - g.g0**2),
    )
