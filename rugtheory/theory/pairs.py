r"""Antipodal rugs: features in pairs v, -v, whose interference a ReLU mostly screens.

If all rows S of a rug lie in one coset of an index-2 subgroup, here all have the highest bit set,
φ_S is antisymmetric, φ_S(i XOR n_sparse/2) = -φ_S(i): features i and i + n_sparse/2 are partners
with W_ij = -1.  W is as far from the identity as for any rug, so for ratio r the interference of
feature 1 is

.. math:: ν = -x_2 + N(0, v(p)(1/r - 2)), \qquad r ≤ ½ ,

Gaussian, apart from the partner, as n_sparse grows.  The partner makes the reading negative, which
the ReLU sets to zero, unless both are on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array
from .._result import Result
from ..numerics.search import local_minimum
from ..source.amplitude import Amplitude
from ..source.discrete import FromQuadrature
from ..source.sparse import SparseSource, on_law
from ..source.uniform import Uniform
from .loss import arguments
from .partner import pair_fit, pair_loss

# Why pairs, graph codes and precedence codes have no optimum for amplitudes of either sign.
ONE_SIGN = "where a ReLU has to screen interference of one sign"
_BLOCK = 64
# Thresholds that are tried at a time.
_TOGETHER = 512
# Nodes of the rule that takes the place of a density in the scan.
_RULE = 20
# Averages over noise of so many parts of the range of a density take a Gauss rule of so many nodes.
_WIDE, _FINE_RULE = 0.03, 72
# Laws of so few atoms have all their kinks among the thresholds.
_FEW_ATOMS = 8
# So many minima are refined, of those within this factor of the least.
STARTS, NEAR = 3, 1.1
# How far from a threshold, in units of the scale of readings, the minimum next to it is looked for.
_NEXT = 0.05


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
        return (pair_loss(amplitude, a, b, sigma, p, 1 - a, np.ones_like(a)),)

    return over_blocks(at, a, b, sigma, p)[0]


@dataclass(frozen=True, eq=False, repr=False)
class AntipodalOptimum(Result):
    """Best ReLU decoder of a rug of pairs; arrays of one shape.

    ``loss == paired * antipodal_loss(a, b, sigma, p)`` to rounding, with the same `amplitude`.

    Attributes
    ----------
    p : ndarray
        Probability that a feature is on.
    ratio : ndarray
        n_dense / n_sparse.
    sigma : ndarray
        Standard deviation of the interference per unit diagonal, without the partner's.
    a, b : ndarray
        Best diagonal and bias of the features in pairs.  The channel has the partner in it, and so
        its mean -E x: `b` is the bias of a model whose weights are an `antipodal_rug`, and
        ``rug.bias(b, a, p)`` leaves it as it is.
    paired : ndarray
        Share of the features that are in pairs; the others have a hidden unit each and no loss.
    loss : ndarray
        Least loss per feature, over all features.
    """

    p: Array
    ratio: Array
    sigma: Array
    a: Array
    b: Array
    paired: Array
    loss: Array


def antipodal_optimum(
    p: ArrayLike, ratio: ArrayLike, *, amplitude: Amplitude = Uniform()
) -> AntipodalOptimum:
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
    AntipodalOptimum

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
    given = _check.probability("p", p)
    p, amplitude = on_law(p, amplitude, least=_check.LEAST_P, positive=ONE_SIGN)
    ratio = _check.probability("ratio", ratio)
    _check.broadcastable(p=p, ratio=ratio)
    given, p, ratio = np.broadcast_arrays(given, p, ratio)
    sigma = antipodal_sigma(p, np.minimum(ratio, 0.5), amplitude=amplitude)
    a, b, loss = over_blocks(lambda s, q: optimise(amplitude, s, q, np.ones_like(q)), sigma, p)
    paired = np.minimum(2 * (1 - ratio), 1.0)
    return AntipodalOptimum(given, ratio, sigma, a, b, paired, paired * loss)


def noisy_pairs(
    p: float, ratio: ArrayLike, noise: float, *, amplitude: Amplitude
) -> AntipodalOptimum:
    """`antipodal_optimum` with noise in the hidden units, ratios up to ½."""
    ratio = np.asarray(ratio, float)
    sigma = np.hypot(antipodal_sigma(p, ratio, amplitude=amplitude), noise)
    every = np.full_like(ratio, p)
    a, b, loss = over_blocks(lambda s, q: optimise(amplitude, s, q, np.ones_like(q)), sigma, every)
    return AntipodalOptimum(every, ratio, sigma, a, b, np.ones_like(ratio), loss)


def gauss_rule_of(amplitude: Amplitude) -> Amplitude:
    """A law for the first scan: discrete, or one with averages in closed form."""
    return amplitude if isinstance(amplitude, Uniform) else _rule(amplitude)


@lru_cache(maxsize=64)
def _rule(amplitude: Amplitude) -> Amplitude:
    atoms = amplitude.atoms()
    if atoms is not None and atoms[0].size <= _RULE:
        return amplitude
    return FromQuadrature(*(tuple(x.tolist()) for x in amplitude.quadrature(_RULE)))


def _linear(amplitude: Amplitude, sigma: Array, p: Array, coupling: Array) -> Array:
    """β of the linear decoder: E x (c + c² + σ²/v)."""
    variance = amplitude.variance + (1 - p) * amplitude.mean**2  # v/p
    noise = np.divide(sigma * sigma, variance, out=np.zeros_like(sigma), where=variance > 0)
    return np.asarray(amplitude.mean * (p * (coupling + coupling**2) + noise))


def _thresholds(amplitude: Amplitude, sigma: Array, p: Array, coupling: Array) -> Array:
    """A grid of β, ascending along axis 0: all scales of noise, features and partners."""
    size = np.full_like(sigma, amplitude.mean)
    partner = size * coupling
    many = np.geomspace(1e-3, 4, 14)[:, None]
    grid = [-size * many, partner * many, -np.minimum(partner, size) * many]
    grid += [_linear(amplitude, sigma, p, coupling) * np.linspace(0.1, 1.25, 9)[:, None]]
    if sigma.any():
        grid += [sigma * np.linspace(-8, 6, 18)[:, None]]
    atoms = amplitude.atoms()
    if atoms is not None and atoms[0].size <= _FEW_ATOMS:
        # Between kinks there is one minimum at most.
        values = np.append(0.0, atoms[0])
        kinks = np.concatenate([values[:, None] * coupling - x for x in values])
        kinks = np.sort(kinks, axis=0)
        grid += [kinks, (kinks[1:] + kinks[:-1]) / 2]
    every = np.sort(np.concatenate([*grid, 0 * size[None]]), axis=0)
    # Those that coincide go where the linear decoder is left behind.
    step = np.diff(every, axis=0, prepend=-np.inf)
    same = step <= 1e-9 * np.abs(every) + 1e-12 * np.minimum(partner, size)
    beyond = every[-1] + (size + np.abs(every[-1])) * np.cumsum(same, axis=0)
    return np.sort(np.where(same, beyond, every), axis=0)


def optimise(
    amplitude: Amplitude, sigma: Array, p: Array, coupling: Array
) -> tuple[Array, Array, Array]:
    """a, b and loss on flat arrays."""
    found = np.empty((3, sigma.size))
    wide = _wide(amplitude, sigma)
    for part in (sigma == 0, (sigma > 0) & ~wide, wide):
        if part.any():
            law = _fine_rule(amplitude) if part is wide else amplitude
            found[:, part] = _searched(amplitude, law, sigma[part], p[part], coupling[part])
    return found[0], found[1], found[2]


def _wide(amplitude: Amplitude, sigma: Array) -> NDArray[np.bool_]:
    """Where a Gauss rule is as good as the law itself, which takes far longer."""
    if isinstance(amplitude, Uniform) or amplitude.atoms() is not None:
        return np.zeros(sigma.shape, bool)
    return np.asarray(sigma >= _WIDE * (amplitude.end - amplitude.start))


@lru_cache(maxsize=64)
def _fine_rule(amplitude: Amplitude) -> Amplitude:
    return FromQuadrature(*(tuple(x.tolist()) for x in amplitude.quadrature(_FINE_RULE)))


def _searched(
    amplitude: Amplitude, law: Amplitude, sigma: Array, p: Array, coupling: Array
) -> tuple[Array, ...]:
    """The least loss over a grid of thresholds, then refined; `law` is as good for the search."""
    problem = sigma, p, coupling
    grid = _thresholds(amplitude, *problem)
    scanned = _scan(gauss_rule_of(amplitude), grid, *problem)
    inner = scanned[1:-1]
    low = (inner < scanned[:-2]) & (inner <= scanned[2:]) & (inner <= NEAR * inner.min(axis=0))
    ranks = np.argsort(np.where(low, inner, np.inf), axis=0, kind="stable")[:STARTS]
    cell, owner = np.nonzero(np.take_along_axis(low, ranks, axis=0))
    cell = ranks[cell, owner] + 1

    # Thresholds are measured by their scale, for one tolerance.
    scale = amplitude.mean * np.minimum(coupling, 1) + sigma

    def loss(x: Array, scale: Array, *problem: Array) -> Array:
        return pair_fit(law, x * scale, *problem)[2]

    tried = [np.zeros_like(sigma), _linear(amplitude, *problem)]
    owners = [np.arange(sigma.size)] * 2
    if cell.size:
        own = scale[owner]
        start = tuple(grid[cell + k, owner] / own for k in (-1, 0, 1))
        refined = local_minimum(loss, start, (own, *(x[owner] for x in problem)), xatol=1e-12)
        tried, owners = [*tried, refined * own, grid[cell, owner]], [*owners, owner, owner]
    beta, whose = np.concatenate(tried), np.concatenate(owners)
    a, complement, losses = pair_fit(law, beta, *(x[whose] for x in problem))
    order = np.argsort(-losses, kind="stable")
    best = np.empty(sigma.size, int)
    best[whose[order]] = order  # of several with one owner the last, least loss, stays
    a, beta, complement = a[best], beta[best], complement[best]
    if law is not amplitude:
        a, complement, _ = pair_fit(amplitude, beta, *problem)
    b = a * beta
    return a, b, pair_loss(amplitude, a, b, sigma, p, complement, coupling)


def _scan(amplitude: Amplitude, grid: Array, *problem: Array) -> Array:
    """Losses over p at the thresholds of a grid, each with the best a."""
    partner = _rule(amplitude) if problem[0].any() else amplitude
    together = max(1, _TOGETHER // grid.shape[1])
    parts = (grid[k : k + together] for k in range(0, len(grid), together))
    return np.concatenate(
        [
            pair_fit(
                amplitude,
                part.ravel(),
                *(np.tile(x, len(part)) for x in problem),
                partner=partner,
            )[2].reshape(part.shape)
            for part in parts
        ]
    )


def loss_near(
    p: float, ratio: Array, beta: Array, amplitude: Amplitude, noise: float = 0.0
) -> Array:
    """The local minimum next to thresholds -β of what `antipodal_optimum` minimises, ratio < ½.

    With `noise` in the hidden units too, which each output hears per unit diagonal.
    """
    sigma = np.hypot(antipodal_sigma(p, ratio, amplitude=amplitude), noise)
    problem = sigma, np.full_like(sigma, p), np.ones_like(sigma)
    scale = amplitude.mean + sigma
    law = _fine_rule(amplitude) if _wide(amplitude, sigma).all() else amplitude

    def loss(x: Array, scale: Array, *problem: Array) -> Array:
        return pair_fit(law, x * scale, *problem)[2]

    start = tuple(beta / scale + k for k in (-_NEXT, 0.0, _NEXT))
    x = local_minimum(loss, start, (scale, *problem), xatol=1e-12)
    return p * loss(x, scale, *problem)


def rough_loss(p: float, ratio: Array, amplitude: Amplitude, noise: float = 0.0) -> Array:
    """Least loss of `antipodal_optimum` to a few percent, for ratios in (0, ½)."""
    sigma = np.hypot(antipodal_sigma(p, ratio, amplitude=amplitude), noise)
    problem = sigma, np.full_like(sigma, p), np.ones_like(sigma)
    grid = _thresholds(amplitude, *problem)
    return np.asarray(p * _scan(gauss_rule_of(amplitude), grid, *problem).min(axis=0))


def over_blocks(function: Callable[..., tuple[Array, ...]], *arrays: Array) -> tuple[Array, ...]:
    """`function` on flat blocks of `arrays` of one shape."""
    flat = [x.ravel() for x in arrays]
    blocks = [
        function(*(x[k : k + _BLOCK] for x in flat)) for k in range(0, max(flat[0].size, 1), _BLOCK)
    ]
    return tuple(np.concatenate(x).reshape(arrays[0].shape) for x in zip(*blocks, strict=True))
