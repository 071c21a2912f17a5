r"""Antipodal rugs: features in pairs v, -v, whose interference a ReLU mostly screens.

If all rows S of a rug lie in one coset of an index-2 subgroup, here all have the highest bit set,
φ_S is antisymmetric, φ_S(i XOR n_sparse/2) = -φ_S(i): features i and i + n_sparse/2 are partners
with W_ij = -1.  W is as far from the identity as for any rug, so for ratio r the interference of
feature 1 is

.. math:: ν = -x_2 + N(0, v(p)(1/r - 2)), \qquad r ≤ ½ ,

Gaussian but for the partner as n_sparse grows.  The partner pushes the reading down, where the
ReLU does not see it unless both are on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import _check
from ._check import Array
from ._expect import blockwise
from ._search import find_minimum
from .loss import arguments, parts
from .moments import off_moments, on_moments
from .optimum import Optimum
from .rug import Rug
from .source import Amplitude, SparseSource, Uniform, check_amplitude

_NO_NOISE = 1e-60
_BLOCK = 64


def antipodal_rug(n_sparse: int, n_dense: int, *, seed: int | np.random.Generator) -> Rug:
    """A rug of random rows with pairs: features i and i + n_sparse/2 are stored as v and -v.

    Parameters
    ----------
    n_sparse : int
        Number of features, a power of two, at least 2.
    n_dense : int in [1, n_sparse/2]
        Number of hidden units.
    seed : int or Generator
        Same seed, same rug.

    Raises
    ------
    ValueError, TypeError
        If `n_sparse` is no power of two or `n_dense` is not in [1, n_sparse/2].

    Examples
    --------
    >>> import rugtheory as rt
    >>> rug = rt.antipodal_rug(64, 16, seed=0)
    >>> float(rug.phi[0]), float(rug.phi[32])
    (1.0, -1.0)
    """
    n_sparse = _check.integer("n_sparse", n_sparse, 2)
    if n_sparse & (n_sparse - 1):
        raise ValueError(f"n_sparse must be a power of two, got {n_sparse}")
    half = n_sparse // 2
    n_dense = _check.integer("n_dense", n_dense, 1, half)
    chosen = _check.rng(seed).choice(half, n_dense, replace=False, shuffle=False)
    return Rug(n_sparse, half + chosen)


def antipodal_sigma(p: ArrayLike, ratio: ArrayLike, *, amplitude: Amplitude = Uniform()) -> Array:
    """Standard deviation of the interference of an antipodal rug without the partner's.

    σ² = v(p) (1/r - 2), for ratio r in (0, ½]; shapes and errors are those of `welch_sigma`.
    """
    p, ratio = _check.probability("p", p), _check.probability("ratio", ratio)
    _check.broadcastable(p=p, ratio=ratio)
    if np.any(ratio > 0.5):
        raise ValueError(f"ratio must lie in (0, 1/2] for pairs, got {ratio[ratio > 0.5].flat[0]}")
    source = SparseSource(p, amplitude)
    return np.asarray(np.sqrt(source.variance * ((1 - 2 * ratio) / ratio)))


def antipodal_loss(
    a: ArrayLike,
    b: ArrayLike,
    sigma: ArrayLike,
    p: ArrayLike,
    *,
    amplitude: Amplitude = Uniform(),
) -> Array:
    """Loss per feature E(x₁ - ReLU(a(x₁ - x₂ + ν) + b))² with a partner x₂, ν ~ N(0, σ²).

    Parameters, errors and result are those of `reduced_loss`, which is averaged over the partner.

    Examples
    --------
    Pairs without other interference, r = ½, lose p²/6.

    >>> import rugtheory as rt
    >>> abs(float(rt.antipodal_loss(1.0, 0.0, 0.0, 0.3)) - 0.3**2 / 6) < 1e-16
    True
    """
    a, b, sigma, p = np.broadcast_arrays(*arguments(a, b, sigma, p, amplitude))

    def at(a: Array, b: Array, sigma: Array, p: Array) -> tuple[Array]:
        return (_loss(amplitude, a, b, sigma, p, 1 - a, np.ones_like(a)),)

    return _over_blocks(at, a, b, sigma, p)[0]


def antipodal_optimum(
    p: ArrayLike, ratio: ArrayLike, *, amplitude: Amplitude = Uniform()
) -> Optimum:
    """The a and b that minimise `antipodal_loss` at its σ, and the least loss.

    Parameters
    ----------
    p : array_like in (0, 1]
        Probability that a feature is on, at least 1e-140.
    ratio : array_like in (0, 1]
        n_dense / n_sparse.  Above ½ a part 2(1 - r) of the features are in pairs of ratio ½ and
        the others have a hidden unit each and no loss; a and b are those of the pairs.
    amplitude : Amplitude
        Law of a feature that is on.

    Returns
    -------
    Optimum
        Its `b` is the bias of a model whose weights are an `antipodal_rug`.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> best = rt.antipodal_optimum(0.045, 0.25)
    >>> print(f"{best.loss:.10f}")  # of the rug 0.0048557981
    0.0035841705
    """
    check_amplitude(amplitude)
    p = _check.probability("p", p, least=_check.LEAST_P)
    ratio = _check.probability("ratio", ratio)
    _check.broadcastable(p=p, ratio=ratio)
    p, ratio = np.broadcast_arrays(p, ratio)
    sigma = antipodal_sigma(p, np.minimum(ratio, 0.5), amplitude=amplitude)
    a, b, loss = _over_blocks(lambda s, q: _optimise(amplitude, s, q, np.ones_like(q)), sigma, p)
    paired = np.minimum(2 * (1 - ratio), 1.0)
    return Optimum(p, ratio, sigma, a, b, paired * loss)


@dataclass(frozen=True)
class UnevenPairs:
    """Two features in one hidden unit, W = [[a₁, -a₁c], [-a₂/c, a₂]].

    Attributes
    ----------
    p : ndarray
    coupling : ndarray
        c in (0, 1].
    a, b : ndarray, shape (2, ...)
        Diagonal and bias of the first and the second feature.
    loss : ndarray
        Mean loss of the two.
    """

    p: Array
    coupling: Array
    a: Array
    b: Array
    loss: Array


def uneven_pairs(p: ArrayLike, *, amplitude: Amplitude = Uniform()) -> UnevenPairs:
    """The best pair of features in one hidden unit, ratio ½: not v, -v but uneven.

    With weights 1 and -c the first feature is disturbed by -c x₂ and the second by -x₁/c, which the
    ReLU of either screens unless both are on.  At a = 1, b = 0 and for Uniform[0, 1] the first then
    loses E min(u, cw)² = c²/3 - c³/6 and the second 1/3 - c/6.  Their mean is stationary at c = 1,
    where it is *greatest* and makes p²/6, and at c = 1/3, where it is 25/27 of that.

    Parameters
    ----------
    p : array_like in (0, 1]
        Probability that a feature is on, at least 1e-140.
    amplitude : Amplitude
        Law of a feature that is on.

    Returns
    -------
    UnevenPairs

    Raises
    ------
    ValueError, TypeError
        If `p` is outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> best = rt.uneven_pairs(1e-6)
    >>> print(f"{best.coupling:.4f} {best.loss / (1e-12 / 6) * 27:.4f}")
    0.3333 25.0000
    """
    check_amplitude(amplitude)
    p = _check.probability("p", p, least=_check.LEAST_P)

    def best(log_c: Array, q: Array) -> tuple[Array, ...]:
        """a, b and loss of the first and the second feature."""
        c, q = np.broadcast_arrays(np.exp(np.stack([log_c, -log_c])), q)
        return _over_blocks(lambda c, q: _optimise(amplitude, 0 * q, q, c), c, q)

    def loss(log_c: Array, q: Array) -> Array:
        return np.asarray(best(log_c, q)[2].mean(axis=0))

    q, where = np.unique(p, return_inverse=True)
    grid = np.broadcast_to(np.linspace(-3.0, 0.0, 13)[:, None], (13, q.size))
    losses = loss(grid, q)
    inside = np.clip(np.argmin(losses, axis=0), 1, 11)
    bracket = tuple(np.take_along_axis(grid, (inside + k)[None], axis=0)[0] for k in (-1, 0, 1))
    found = find_minimum(loss, bracket, args=(q,))
    refined = found.success & (found.f_x <= losses.min(axis=0))
    log_c = np.where(refined, found.x, grid[np.argmin(losses, axis=0), range(q.size)])
    a, b, both = best(log_c, q)
    shape = p.shape
    return UnevenPairs(
        p,
        np.exp(log_c)[where].reshape(shape),
        a[:, where].reshape(2, *shape),
        b[:, where].reshape(2, *shape),
        both.mean(axis=0)[where].reshape(shape),
    )


def partner_nodes(
    amplitude: Amplitude, beta: Array, sigma: Array, coupling: Array | float = 1.0
) -> tuple[Array, Array]:
    """Nodes and weights for the partner: kinks where its interference just silences x₁.

    They lie where the reading x₁ - c x₂ + β vanishes at x₁ = 0 and at the ends of its amplitudes.
    """
    ends = {0.0, amplitude.start, amplitude.end} - {np.inf}
    kinks = np.stack([(beta + end) / coupling for end in sorted(ends)])
    return amplitude.resolving(kinks, sigma / coupling)


def _loss(
    amplitude: Amplitude,
    a: Array,
    b: Array,
    sigma: Array,
    p: Array,
    complement: Array,
    coupling: Array,
) -> Array:
    with np.errstate(over="ignore"):
        beta = np.divide(b, a, out=np.zeros_like(b), where=a != 0)
    u, weights = partner_nodes(amplitude, beta, sigma, coupling)

    def at(bias: Array) -> Array:
        return blockwise(parts, amplitude, a, bias, sigma, p, complement)[2]

    return np.asarray((1 - p) * at(b) + p * (weights * at(b - a * coupling * u)).sum(axis=0))


def _regression(
    amplitude: Amplitude, beta: Array, sigma: Array, p: Array, coupling: Array
) -> tuple[Array, Array]:
    """a = E[xh]/E[h²] with h = ReLU(x₁ - c x₂ + ν + β), equation (16), and its gain over a = 0."""
    width = np.maximum(sigma, _NO_NOISE * amplitude.mean)
    u, weights = partner_nodes(amplitude, beta, sigma, coupling)
    alone, both = (
        blockwise(_products, amplitude, beta, width, p) for beta in (beta, beta - coupling * u)
    )
    xh, hh = ((1 - p) * x + p * (weights * y).sum(axis=0) for x, y in zip(alone, both, strict=True))
    a = np.divide(xh, hh, out=np.zeros_like(xh), where=hh > 0)
    return a, a * xh


def _products(amplitude: Amplitude, beta: Array, sigma: Array, p: Array) -> tuple[Array, Array]:
    """E[xh]/p and E[h²]/p without a partner."""
    one = np.ones_like(beta)
    on, off = on_moments(amplitude, one, beta, sigma), off_moments(one, beta, sigma)
    return on.uv, on.vv + (1 - p) / p * off.vv


def _optimise(
    amplitude: Amplitude, sigma: Array, p: Array, coupling: Array
) -> tuple[Array, Array, Array]:
    """a, b and loss on flat arrays: the least loss over a grid of thresholds, then refined."""
    variance = amplitude.variance + (1 - p) * amplitude.mean**2
    noise = np.divide(sigma * sigma, variance, out=np.zeros_like(sigma), where=variance > 0)
    linear = amplitude.mean * (p * (1 + coupling) + noise)
    size = np.full_like(sigma, amplitude.mean)
    grid = np.concatenate(
        [
            sigma * np.linspace(-8, 6, 18)[:, None],
            -size * np.geomspace(1e-3, 4, 14)[:, None],
            linear * np.linspace(0.1, 1.25, 9)[:, None],
        ]
    )
    # Thresholds that coincide, as without noise, are told apart.
    grid = np.sort(grid, axis=0) + 1e-12 * size * np.arange(len(grid))[:, None]
    together = max(1, _BLOCK // max(1, sigma.size))

    def gains(betas: Array) -> Array:
        each = (np.tile(x, len(betas)) for x in (sigma, p, coupling))
        return _regression(amplitude, betas.ravel(), *each)[1].reshape(betas.shape)

    blocks = range(0, len(grid), together)
    gain = np.concatenate([gains(grid[k : k + together]) for k in blocks])

    def loss(beta: Array, sigma: Array, p: Array, coupling: Array) -> Array:
        a, _ = _regression(amplitude, beta, sigma, p, coupling)
        return _loss(amplitude, a, a * beta, sigma, p, 1 - a, coupling)

    best = np.clip(np.argmax(gain, axis=0), 1, len(grid) - 2)
    bracket = tuple(np.take_along_axis(grid, (best + k)[None], axis=0)[0] for k in (-1, 0, 1))
    found = find_minimum(loss, bracket, args=(sigma, p, coupling))
    beta = np.where(found.success, found.x, bracket[1])
    a, _ = _regression(amplitude, beta, sigma, p, coupling)
    return a, a * beta, _loss(amplitude, a, a * beta, sigma, p, 1 - a, coupling)


def _over_blocks(function: Callable[..., tuple[Array, ...]], *arrays: Array) -> tuple[Array, ...]:
    """`function` on flat blocks of `arrays` of one shape."""
    flat = [x.ravel() for x in arrays]
    blocks = [
        function(*(x[k : k + _BLOCK] for x in flat)) for k in range(0, max(flat[0].size, 1), _BLOCK)
    ]
    return tuple(np.concatenate(x).reshape(arrays[0].shape) for x in zip(*blocks, strict=True))
