"""The best a and b of the ReLU decoder in the Gaussian channel; see `.stationary`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray
from scipy import special

from .. import _check
from .._check import Array
from .._result import Result
from ..numerics.search import find_root
from ..source.amplitude import Amplitude
from ..source.expect import blockwise
from ..source.sides import sides
from ..source.sparse import on_law
from ..source.uniform import Uniform
from .bounds import welch_sigma
from .loss import parts
from .stationary import linear_threshold, stationarity

# Thresholds are scanned up to this β/σ, beyond which the decoder is linear to rounding.
_LINEAR = 7.0
_SURELY_LINEAR = 40.0
_SCAN = 48
_WINDOW = np.linspace(-6, 6, 13)[:, None]
# Of an amplitude that is constant to this part, so little noise is screened to rounding.
_CONSTANT, _CLEAR = 1e-15, 1e-14
# Sizes of amplitudes are kept apart if they make this part of the power.
_SIZES, _MATTERS = 8, 1e-4
# Noise that leaves less than rounding of what the best constant loses.
_DROWNED = 1e9
# Of amplitudes of either sign: thresholds between the largest and the least that are looked at.
_BETWEEN = 33
# A threshold that is linear at any σ that is a number.
_FURTHEST = 1e60
# Halley's iteration is cubic: after a step this small, relative to σ + |β|, it is done.
_STEP = 1e-7
_MAX_STEPS = 8
# Above this many points a table supplies the start: axes log p/(1 - p) and log of E u / σ.
_FEW = 1000
_TABLE_P = (np.log(1e-13), np.log(1e6), 96)
_TABLE_SIGNAL = (np.log(0.05), np.log(1e5), 96)


@dataclass(frozen=True, eq=False, repr=False)
class Optimum(Result):
    """Best ReLU decoder in the Gaussian channel; arrays of one shape.

    Attributes
    ----------
    p : ndarray
        Probability that a feature is on.
    ratio : ndarray or None
        n_dense / n_sparse, None if σ was given.
    sigma : ndarray
        Standard deviation of the interference per unit diagonal.
    a, b : ndarray
        Best diagonal and bias, for zero-mean interference.
    loss : ndarray
        Least loss per feature.
    """

    p: Array
    ratio: Array | None
    sigma: Array
    a: Array
    b: Array
    loss: Array


def optimum(
    p: ArrayLike,
    ratio: ArrayLike | None = None,
    *,
    sigma: ArrayLike | None = None,
    amplitude: Amplitude = Uniform(),
) -> Optimum:
    """The a and b that minimise `reduced_loss`, and the least loss.

    Parameters
    ----------
    p : array_like in (0, 1]
        Probability that a feature is on, at least 1e-140.
    ratio : array_like in (0, 1], optional
        n_dense / n_sparse; σ is then the least possible, `welch_sigma`, and the result is the
        loss of the Persian rug for large n_sparse.
    sigma : array_like ≥ 0, optional
        Standard deviation of the interference, given instead of `ratio`.
    amplitude : Amplitude
        Law of a feature that is on.  A ReLU cannot give negative values: so the loss is no less
        than E x² over x < 0, and no more than that of the constant max(E x, 0).

    Returns
    -------
    Optimum
        Arrays of the shape of `p` and `ratio` (or `sigma`) broadcast together.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range, or not exactly one of `ratio` and `sigma` is given.
    RuntimeError
        If no root is found, which was not seen.

    Notes
    -----
    Worst relative errors measured against stationary points of the definition at 50 digits: loss
    1e-15, a 7e-14, b 3e-13, over 336 points with p from 1e-12 to 1 and ratio from 1e-9 to
    1 - 1e-9.  The largest are those of a and b where they are small differences, near ratio = p.

    If amplitudes may be negative, a ≥ 0 still: E[x | y] rises with y, so that a decoder that falls
    does worse than its mean.  The bound by the linear model is gone, as its output may be negative;
    of a symmetric law about half of E x² is lost at small σ.  Where a constant is as good as any
    decoder to rounding, a is 0 and b that constant.  Errors measured against mpmath for laws of
    either sign: loss 1e-14; errors of a and b are those at which the loss does not change by more.

    Examples
    --------
    >>> import rugtheory as rt
    >>> best = rt.optimum(0.045, 0.25)
    >>> print(f"{best.a:.10f} {best.b:.10f} {best.loss:.10f}")
    1.2892146331 -0.4458339672 0.0048557981
    """
    given = _check.probability("p", p)
    p, amplitude = on_law(p, amplitude, least=_check.LEAST_P)
    if (ratio is None) == (sigma is None):
        raise ValueError(
            f"exactly one of ratio and sigma must be given, "
            f"got ratio={_check.shown(ratio)}, sigma={_check.shown(sigma)}"
        )
    if ratio is not None:
        ratio = _check.probability("ratio", ratio)
        sigma = welch_sigma(p, ratio, amplitude=amplitude)
    sigma = _check.nonnegative("sigma", sigma)  # type: ignore[arg-type]
    _check.broadcastable(p=p, sigma=sigma)
    a, b, loss = blockwise(_solve, amplitude, sigma, p)
    p, sigma = (np.broadcast_to(x, a.shape) for x in (given, sigma))
    ratio = None if ratio is None else np.broadcast_to(ratio, a.shape)
    return Optimum(p, ratio, sigma, a, b, loss)


def _solve(amplitude: Amplitude, sigma: Array, p: Array) -> tuple[Array, Array, Array]:
    """a, b and loss on flat arrays."""
    solve = _one_sign if amplitude.start >= 0 else _either_sign
    a, complement, b = solve(amplitude, sigma, p)
    return a, b, parts(amplitude, a, b, sigma, p, complement)[2]


def _one_sign(amplitude: Amplitude, sigma: Array, p: Array) -> tuple[Array, Array, Array]:
    """a, 1 - a and b."""
    # Linear and perfect decoders, and the constant one of a feature that never varies, need no
    # search; the signal-to-noise ratio v/σ² is all of them.
    variance = p * (amplitude.variance + (1 - p) * amplitude.mean**2)
    noise = sigma * sigma
    total = np.where(noise > 0, variance + noise, 1.0)
    a = np.where(noise > 0, variance / total, 1.0)
    complement = noise / total
    b = p * amplitude.mean * complement
    rest = (noise > 0) & (linear_threshold(amplitude, sigma, p) < _SURELY_LINEAR)
    if amplitude.variance <= _CONSTANT * amplitude.second_moment:
        clear = rest & (sigma < _CLEAR * amplitude.mean)
        a[clear], complement[clear], b[clear] = _screened(amplitude.mean, sigma[clear])
        rest &= ~clear
    if np.any(rest):
        s, q = sigma[rest], p[rest]
        start = _interpolated if isinstance(amplitude, Uniform) and s.size > _FEW else _bracketed
        a[rest], complement[rest], b[rest] = _polished(amplitude, s, q, start(amplitude, s, q))
    return a, complement, b


def _either_sign(amplitude: Amplitude, sigma: Array, p: Array) -> tuple[Array, Array, Array]:
    """The same where amplitudes may be negative: of all roots the best, or a constant."""
    quiet = (sigma * sigma == 0) & (amplitude.end > 0)
    # Without noise what is positive is stored exactly.
    a = np.where(quiet, 1.0, 0.0)
    complement, b = 1 - a, np.where(quiet, 0.0, np.maximum(p * amplitude.mean, 0.0))
    rest = ~quiet & (sigma < _DROWNED * amplitude.reach)
    above, _ = sides(amplitude)[1].sizes()
    if above.size == 1:
        clear = rest & (sigma < _CLEAR * above[0])
        a[clear], complement[clear], b[clear] = _screened(float(above[0]), sigma[clear])
        rest &= ~clear
    if amplitude.end <= 0 or not rest.any():
        return a, complement, b
    noisy = np.flatnonzero(rest)
    s, q = sigma[noisy], p[noisy]
    t, owner = _roots(amplitude, s, q, _scan_of_either_sign(amplitude, s, q))
    here = noisy[owner]
    found = stationarity(amplitude, t * sigma[here], sigma[here], p[here])
    rising = found.a > 0
    here, tried = here[rising], (found.a[rising], found.complement[rising])
    beta = (t * sigma[noisy[owner]])[rising]
    best = parts(amplitude, a, b, sigma, p, complement)[2]
    loss = parts(amplitude, tried[0], tried[0] * beta, sigma[here], p[here], tried[1])[2]
    for k in np.argsort(-loss, kind="stable"):
        i = here[k]
        if loss[k] < best[i]:
            a[i], complement[i], b[i] = tried[0][k], tried[1][k], tried[0][k] * beta[k]
    return a, complement, b


def _screened(m1: float, sigma: Array) -> tuple[Array, Array, Array]:
    """a, 1 - a and b that pass no noise: a shift costs nothing if what passes is always `m1`."""
    beta = -_SURELY_LINEAR * sigma
    square = (m1 + beta) ** 2 + sigma * sigma
    a = m1 * (m1 + beta) / square
    return a, (beta * (m1 + beta) + sigma * sigma) / square, a * beta


def _polished(
    amplitude: Amplitude, sigma: Array, p: Array, t: Array, *, retry: bool = True
) -> tuple[Array, Array, Array]:
    """a, 1 - a and b at the root of Ψ that Halley's iteration reaches from β = tσ."""
    a, complement, beta = np.empty_like(t), np.empty_like(t), t * sigma
    moving = np.arange(t.size)
    for _ in range(_MAX_STEPS):
        s, at = sigma[moving], beta[moving]
        now = stationarity(amplitude, at, s, p[moving])
        step = -2 * now.psi * now.slope / (2 * now.slope**2 - now.psi * now.curvature)
        a[moving] = now.a + now.a_slope * step
        complement[moving] = now.complement - now.a_slope * step
        beta[moving] = at + step
        moving = moving[~(np.abs(step) <= _STEP * (s + np.abs(at)))]
        if not moving.size:
            return a, complement, a * beta
    s, q = sigma[moving], p[moving]
    if not retry:
        raise RuntimeError(f"no optimum found at p = {q[0]}, sigma = {s[0]} for {amplitude}")
    better = _polished(amplitude, s, q, _bracketed(amplitude, s, q), retry=False)
    b = a * beta
    a[moving], complement[moving], b[moving] = better
    return a, complement, b


def _roots(
    amplitude: Amplitude, sigma: Array, p: Array, grid: Array
) -> tuple[Array, NDArray[np.intp]]:
    """All β/σ at which Ψ changes from positive to negative, and the points they belong to.

    `grid` ascends along axis 0, with a column a point.
    """

    def psi(t: Array, sigma: Array, p: Array) -> Array:
        at = stationarity(amplitude, t * sigma, sigma, p)
        return at.psi / np.where(at.scale > 0, at.scale, 1.0)

    scanned = blockwise(lambda _, *at: (psi(*at),), amplitude, grid, sigma, p)[0]
    positive = scanned > 0
    cell, point = np.nonzero(positive[:-1] & ~positive[1:])
    if not point.size:
        return np.empty(0), point
    bracket = grid[cell, point], grid[cell + 1, point]
    return np.asarray(find_root(psi, bracket, args=(sigma[point], p[point])).x), point


def _bracketed(amplitude: Amplitude, sigma: Array, p: Array) -> Array:
    """β/σ of the global minimum: scan for all roots of Ψ, solve for each, compare their losses."""
    top = linear_threshold(amplitude, sigma, p)
    grid = _scan(amplitude, sigma, p, np.minimum(top, _LINEAR))
    root, point = _roots(amplitude, sigma, p, grid)

    # The linear decoder competes everywhere: where it is exact no change of sign is left to see.
    t, owner = np.concatenate([top, root]), np.concatenate([np.arange(top.size), point])
    s, q = sigma[owner], p[owner]
    state = stationarity(amplitude, t * s, s, q)
    loss = parts(amplitude, state.a, state.a * t * s, s, q, state.complement)[2]
    # A loss close to E x² has not the digits of what the decoder gains, nor the gain those of a
    # small loss.
    least = np.full(top.shape, np.inf)
    np.minimum.at(least, owner, loss)
    small = least[owner] < 0.5 * q * amplitude.second_moment
    order = np.argsort(np.where(small, -loss, state.gain), kind="stable")
    best = np.empty_like(top)
    best[owner[order]] = t[order]  # of several with one owner the last, the best, stays
    return best


def _scan(amplitude: Amplitude, sigma: Array, p: Array, high: Array) -> Array:
    """Values of β/σ up to `high`, ascending along axis 0, between which Ψ has one root at most."""
    u, share = _scales(amplitude)
    low = _lowest(u, share, sigma, p)
    grid = [low + (high - low) * np.linspace(0, 1, _SCAN)[:, None]]
    # Or it silences the amplitudes of one size and passes the larger ones.
    grid += [x + _WINDOW for x in -u[:, None] / sigma if u.size > 1]
    return np.sort(np.minimum(np.concatenate(grid), high), axis=0)


def _scan_of_either_sign(amplitude: Amplitude, sigma: Array, p: Array) -> Array:
    """The same on all scales that there are, up to where the decoder is linear."""
    (below, _), (above, share) = (side.sizes() for side in sides(amplitude))
    low = np.minimum(_lowest(above, share, sigma, p), -_LINEAR)
    steps = np.linspace(0, 1, _SCAN)[:, None]
    grid = [low + (_LINEAR - low) * steps]
    grid += [-u / sigma + _WINDOW for u in (*below, *above)]
    ends = -above.max(), -max(amplitude.start, 2 * below.min())
    grid += [np.linspace(*ends, _BETWEEN)[:, None] / sigma]
    top = linear_threshold(amplitude, sigma, p)
    grid += [np.clip(top, -_LINEAR, _FURTHEST) * np.array([[0.5], [0.9], [1.1], [2.0]])]
    return np.sort(np.concatenate(grid), axis=0)


def _lowest(u: Array, share: Array, sigma: Array, p: Array) -> Array:
    """Below this β/σ nothing passes that matters."""
    # The threshold -β/σ follows the noise to the rarity of signals, of which the largest may be
    # rarer than others, and where amplitudes keep away from zero on to the point where what noise
    # passes is small against σ.
    rarity, clarity = -np.log(p * share.min()), np.log1p(u.max() / sigma)
    return np.asarray(-(np.sqrt(8 / 3 * rarity) + np.sqrt(2 * clarity) + 3))


@lru_cache(maxsize=64)
def _scales(amplitude: Amplitude) -> tuple[Array, Array]:
    """Amplitudes of a few sizes, and their probabilities, that make up the power of a feature."""
    u, share = amplitude.quadrature(_SIZES)
    power = share * u * u
    matters = power > _MATTERS * power.sum()
    return u[matters], share[matters]


def _interpolated(amplitude: Amplitude, sigma: Array, p: Array) -> Array:
    """β/σ to about three digits, from a table."""
    top = linear_threshold(amplitude, sigma, p)
    at = [
        (np.clip(x, low, high) - low) * ((n - 1) / (high - low))
        for x, (low, high, n) in zip(
            (special.logit(p), np.log(amplitude.mean / sigma)),
            (_TABLE_P, _TABLE_SIGNAL),
            strict=True,
        )
    ]
    shift = scipy.ndimage.map_coordinates(
        _table(amplitude), at, order=3, prefilter=False, mode="mirror"
    )
    return np.asarray(np.sinh(np.arcsinh(top) - shift))


@lru_cache(maxsize=8)
def _table(amplitude: Amplitude) -> Array:
    """Spline coefficients of arsinh(top) - arsinh(β/σ), which has limits at both ends."""
    logit_p, log_signal = (np.linspace(*axis) for axis in (_TABLE_P, _TABLE_SIGNAL))
    p, sigma = special.expit(logit_p)[:, None], amplitude.mean * np.exp(-log_signal)
    (t,) = blockwise(lambda *x: (_bracketed(*x),), amplitude, sigma, p)
    shift = np.arcsinh(linear_threshold(amplitude, sigma, p)) - np.arcsinh(t)
    return np.asarray(scipy.ndimage.spline_filter(shift, order=3, mode="mirror"))
