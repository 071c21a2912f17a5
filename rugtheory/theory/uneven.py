"""Two features in one hidden unit, of which one may be stored more faintly than the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .._result import Result
from ..model.model import Model
from ..numerics.search import local_minimum
from ..source.amplitude import Amplitude
from ..source.sparse import on_law
from ..source.uniform import Uniform
from .pairs import NEAR, ONE_SIGN, STARTS, gauss_rule_of, optimise, over_blocks

# The least coupling that is tried is one over this.
_MOST = 1e8
# Losses of a scan over these are off by so much at most: of Uniform, and by a rule for other laws.
_GRID_OFF, _RULE_OFF = 0.01, 0.15
_LOG_C = np.append(np.linspace(np.log(1e-8), -4.5, 8), np.linspace(-4.0, 0.0, 33))


@dataclass(frozen=True, eq=False, repr=False)
class UnevenPairs(Result):
    """Two features in one hidden unit, W = [[a₁, -a₁c], [-a₂/c, a₂]].

    Attributes
    ----------
    p : ndarray
    coupling : ndarray
        c in [1e-8, 1].
    a, b : ndarray, shape (2, ...)
        Diagonal and bias of the first and the second feature.
    loss : ndarray
        Mean loss of the two.
    hidden_noise : float
        Standard deviation of the noise in the hidden unit.
    """

    p: Array
    coupling: Array
    a: Array
    b: Array
    loss: Array
    hidden_noise: float = 0.0

    def model(self) -> Model:
        """The model of one pair; p must be a scalar.

        With noise the columns of W_in have mean square length 1.
        """
        if self.p.ndim:
            raise ValueError(f"p must be a scalar to make one model, got shape {self.p.shape}")
        c, (first, second) = float(self.coupling), self.a.tolist()
        long = np.sqrt(2 / (1 + c * c)) if self.hidden_noise else 1.0
        w_out = [[first / long], [-second / c / long]]
        return Model([[long, -c * long]], w_out, self.b, hidden_noise=self.hidden_noise)


def uneven_pairs(
    p: ArrayLike,
    *,
    max_coupling: float = _MOST,
    hidden_noise: float = 0.0,
    amplitude: Amplitude = Uniform(),
) -> UnevenPairs:
    """The best pair of features in one hidden unit, ratio ½: not v, -v but uneven.

    With weights 1 and -c the first feature is disturbed by -c x₂ and the second by -x₁/c, which the
    ReLU of either screens unless both are on.  At a = 1, b = 0 and for Uniform[0, 1] the first then
    loses E min(u, cw)² = c²/3 - c³/6 and the second 1/3 - c/6.  Their mean is stationary at c = 1,
    where it is *greatest* and makes p²/6, and at c = 1/3, where it is 25/27 of that.

    For laws that keep away from zero the loss may fall with c all the way.  Its limit is then that
    of the `precedence_code` of four, p² E u²/2, and is reached to rounding at the least coupling
    that is tried, 1e-8.

    Parameters
    ----------
    p : array_like in (0, 1]
        Probability that a feature is on, at least 1e-140.
    max_coupling : float in [1, 1e8]
        Largest 1/c, by which the second feature hears the first.
    hidden_noise : float ≥ 0
        Standard deviation of noise in the hidden unit, against columns of W_in of mean square
        length 1.
    amplitude : Amplitude
        Law of a feature that is on.

    Returns
    -------
    UnevenPairs

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.

    Notes
    -----
    For all c and for the threshold b/a of either feature, a scan over many magnitudes comes first,
    for which a density is replaced by its Gauss rule, then every local minimum near the best is
    refined with the law itself.  The decoders a = 1, b = 0 and the linear one compete always, so
    that the loss is at most p² E u²/2, and at most v(p)/2, without noise.  A new p takes some
    tenths of a second, for densities other than Uniform some seconds, which are remembered.

    Examples
    --------
    >>> import rugtheory as rt
    >>> best = rt.uneven_pairs(1e-6)
    >>> print(f"{best.coupling:.4f} {best.loss / (1e-12 / 6) * 27:.4f}")
    0.3333 25.0000
    """
    given = _check.probability("p", p)
    p, amplitude = on_law(p, amplitude, least=_check.LEAST_P, positive=ONE_SIGN)
    most = _check.scalar("max_coupling", max_coupling)
    if not 1 <= most <= _MOST:
        raise ValueError(f"max_coupling must lie in [1, {_MOST:g}], got {most}")
    noise = _check.hidden_noise(hidden_noise)
    each = [_uneven(float(q), amplitude, -float(np.log(most)), noise) for q in p.ravel()]
    found = np.array(each).reshape(-1, 6)
    coupling, a1, a2, b1, b2, loss = (x.reshape(p.shape) for x in found.T)
    return UnevenPairs(given, coupling, np.stack([a1, a2]), np.stack([b1, b2]), loss, noise)


def rough_pairs(
    p: float, amplitude: Amplitude, max_coupling: float, noise: float
) -> tuple[float, float]:
    """Bounds between which `uneven_pairs` has the loss, by a scan that all caps share."""
    log_c, loss = _scanned(p, amplitude, -float(np.log(_MOST)), noise)
    allowed = log_c >= -np.log(min(max_coupling, _MOST))
    # Up to the coupling of the scan that is next to the cap.
    low = loss[max(int(np.argmax(allowed)) - 1, 0) :].min()
    off = _GRID_OFF if isinstance(amplitude, Uniform) else _RULE_OFF
    return (1 - off) * float(low), (1 + off) * float(loss[allowed].min())


@lru_cache(maxsize=4096)
def _scanned(p: float, amplitude: Amplitude, least: float, noise: float) -> tuple[Array, Array]:
    """A grid of log c, with one value beyond even pairs, and losses by a rule for the law."""
    down = np.append(least, _LOG_C[(_LOG_C > least) & (_LOG_C < 0)])
    grid = np.concatenate([down, [0.0, -down[-1]]])
    return grid, _best(p, gauss_rule_of(amplitude), least, noise, grid)[2].mean(axis=0)


def _best(
    p: float, amplitude: Amplitude, least: float, noise: float, log_c: Array
) -> tuple[Array, ...]:
    """a, b and losses of both features."""
    # The loss does not tell c from 1/c: it is even in its logarithm.
    log_c = np.minimum(np.abs(log_c), -least)
    c = np.exp(np.stack([-log_c, log_c]))
    # Columns of W_in have lengths in the ratio c, and mean square 1.
    q, sigma = np.full_like(c, p), noise * np.sqrt((1 + c * c) / 2) if noise else 0 * c
    return over_blocks(lambda s, q, c: optimise(amplitude, s, q, c), sigma, q, c)


@lru_cache(maxsize=4096)
def _uneven(p: float, amplitude: Amplitude, least: float, noise: float) -> tuple[float, ...]:
    """c, a and b of both features, and their mean loss; log c is at least `least` ≤ 0."""

    def best(log_c: Array) -> tuple[Array, ...]:
        return _best(p, amplitude, least, noise, log_c)

    def loss(log_c: Array) -> Array:
        return np.asarray(best(log_c)[2].mean(axis=0))

    grid, scanned = _scanned(p, amplitude, least, noise)
    middle = np.arange(1, grid.size - 1)
    low = (scanned[1:-1] <= scanned[:-2]) & (scanned[1:-1] <= scanned[2:])
    cells = middle[low & (scanned[1:-1] <= NEAR * scanned.min())]
    cells = cells[np.argsort(scanned[cells], kind="stable")[:STARTS]]
    tried = np.append(grid[[0, -2]], grid[cells])
    if cells.size and least < 0:
        start = tuple(grid[cells + k] for k in (-1, 0, 1))
        tried = np.append(tried, local_minimum(loss, start, (), xatol=1e-9))
    losses = loss(tried)
    # Of equals the most even pair.
    log_c = np.maximum(-np.abs(tried), least)
    k = np.lexsort((-log_c, losses))[0]
    a, b, both = (x[:, 0] for x in best(log_c[k : k + 1]))
    return (float(np.exp(log_c[k])), *a.tolist(), *b.tolist(), float(both.mean()))
