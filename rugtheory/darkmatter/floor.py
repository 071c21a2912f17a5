"""Power laws with a floor, c + α M^β, and how well a few points fix them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .._result import Result

# Range searched of -β times the range of ln M: below, the law is a straight line in ln M to 1e-3
# of its fall, above, a step at the first point.
_FLAT, _STEEP = 1e-3, 50.0
_COARSE, _FINE, _ZOOMS = 200, 16, 12


@dataclass(frozen=True, repr=False, eq=False)
class FloorFit(Result):
    """loss ≈ floor + alpha M^beta by least squares, with confidence intervals.

    Attributes
    ----------
    floor, alpha, beta : float
        beta < 0.
    floor_interval, alpha_interval, beta_interval : tuple of float
        By the profile of the sum of squares.  An end that the data do not fix is infinite, or 0
        for alpha and the upper end of beta.
    confidence : float
        Of the intervals.
    residual : float
        Root of the sum of squares (over sigma², if given) per degree of freedom.
    """

    floor: float
    alpha: float
    beta: float
    floor_interval: tuple[float, float]
    alpha_interval: tuple[float, float]
    beta_interval: tuple[float, float]
    confidence: float
    residual: float

    def __call__(self, size: ArrayLike) -> Array:
        """The fitted law at M = `size`."""
        return np.asarray(self.floor + self.alpha * _check.positive("size", size) ** self.beta)


def fit_floor(
    size: ArrayLike,
    loss: ArrayLike,
    *,
    sigma: ArrayLike | None = None,
    confidence: float = 0.95,
) -> FloorFit:
    """Fit c + α M^β, β < 0, to losses of models of size M: arXiv:2410.14670, figure 1.

    For each β the best c and α are those of a linear fit, so the search is over β alone, all of its
    range: there is no starting value to choose and no other minimum to end in.

    Parameters
    ----------
    size : array_like, shape (points,)
        M > 0, widths for example; at least 3 distinct.
    loss : array_like, shape (points,)
    sigma : array_like, shape (points,) or scalar, optional
        Known standard deviations of the losses.  By default they are equal, and estimated from the
        residuals, which takes a 4th point.
    confidence : float in (0, 1)
        Of the intervals.

    Returns
    -------
    FloorFit

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, there are too few points, or the losses do not fall.

    Notes
    -----
    The intervals hold all values θ with S(θ) ≤ S(best)(1 + F/(n - 3)), S(θ) the least sum of
    squares at θ and F the quantile of the F law with 1 and n - 3 degrees of freedom; with `sigma`,
    all with S(θ) ≤ S(best) + χ².  They would be exact for a model without curvature: of the 95 %
    intervals for 7 widths with errors of 0.3, 1, 3 and 10 % of the fall, 94 to 99 % held the truth
    (300 repeats each).  Errors common to all points are not in them.

    Examples
    --------
    >>> import numpy as np
    >>> import rugtheory as rt
    >>> width = 2.0 ** np.arange(14, 21)
    >>> law = rt.darkmatter.fit_floor(width, 0.1 + 3 * width**-0.3, sigma=1e-4)
    >>> print(f"{law.floor:.6f} {law.alpha:.6f} {law.beta:.6f}")
    0.100000 3.000000 -0.300000
    """
    from scipy.stats import chi2, f

    size, loss, deviation = _points(size, loss, sigma)
    confidence = _check.scalar("confidence", confidence)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    # About the geometric mean of the sizes, the drop there and β are least correlated.
    centre, spread = float(np.log(size).mean()), float(np.ptp(np.log(size)))
    model = _Model(np.log(size) - centre, loss, np.broadcast_to(1 / deviation, size.shape))
    flat, steep = -_FLAT / spread, -_STEEP / spread

    def least(squares: Callable[[Array], Array]) -> tuple[float, float]:
        return _least(squares, flat, steep)

    beta, best = least(model.squares)
    floor, drop = (float(part[0]) for part in model.linear(np.array([beta])))
    if drop == 0:
        raise ValueError("loss must fall with size, got its best fit without a fall")
    alpha = drop * float(np.exp(-beta * centre))
    freedom = size.size - 3
    if sigma is None:
        limit = best * (1 + f.ppf(confidence, 1, freedom) / freedom)
    else:
        limit = best + chi2.ppf(confidence, 1)

    def at_floor(value: float) -> float:
        return float(limit - least(lambda b: model.squares_at_floor(value, b))[1])

    def at_alpha(log_value: float) -> float:
        squares = least(lambda b: model.squares_at_drop(np.exp(log_value + b * centre), b))[1]
        return float(limit - squares)

    def at_beta(log_value: float) -> float:
        return float(limit - model.squares(-np.exp(np.array([log_value])))[0])

    # A side where a straight line in ln M, a step, or no fall at all is within the limit is open.
    line, step = (bool(model.squares(np.array([end]))[0] <= limit) for end in (flat, steep))
    still = bool(model.squares_at_drop(np.zeros(1), np.array([beta]))[0] <= limit)
    vanishes, diverges = still or (step and centre < 0), line or (step and centre > 0)
    log_alpha, log_beta, shift = np.log(alpha), np.log(-beta), 0.01 * float(np.ptp(loss))
    return FloorFit(
        floor=floor,
        alpha=alpha,
        beta=beta,
        floor_interval=(
            -np.inf if line else _end(at_floor, floor, -shift),
            _end(at_floor, floor, shift),
        ),
        alpha_interval=(
            0.0 if vanishes else float(np.exp(_end(at_alpha, log_alpha, -0.1))),
            np.inf if diverges else float(np.exp(_end(at_alpha, log_alpha, 0.1))),
        ),
        beta_interval=(
            -np.inf if step else -float(np.exp(_root(at_beta, log_beta, np.log(-steep)))),
            0.0 if line else -float(np.exp(_root(at_beta, log_beta, np.log(-flat)))),
        ),
        confidence=confidence,
        residual=float(np.sqrt(best / freedom)) if freedom else 0.0,
    )


def _points(
    size: ArrayLike, loss: ArrayLike, sigma: ArrayLike | None
) -> tuple[Array, Array, Array]:
    """Sizes, losses and their standard deviations, 1 if they are not known."""
    size, loss = _check.positive("size", _check.axis("size", size)), _check.axis("loss", loss)
    if size.shape != loss.shape:
        raise ValueError(f"loss must have shape {size.shape} to go with size, got {loss.shape}")
    needed = 3 if sigma is not None else 4
    if size.size < needed or np.unique(size).size < 3:
        raise ValueError(
            f"size must hold at least {needed} points, 3 of them distinct, got {size.size} with "
            f"{np.unique(size).size} distinct"
        )
    if np.ptp(loss) == 0:
        raise ValueError(f"loss must vary, got {loss[0]} at every size")
    deviation = np.ones(())
    if sigma is not None:
        deviation = _check.positive("sigma", sigma)
        if deviation.shape not in ((), size.shape):
            raise ValueError(
                f"sigma must be a scalar or have shape {size.shape}, got {deviation.shape}"
            )
    return size, loss, deviation


@dataclass(frozen=True)
class _Model:
    """Weighted sums of squares of c + a e^{βu}, a ≥ 0, for vectors of β."""

    u: Array
    loss: Array
    weight: Array

    def linear(self, beta: Array) -> tuple[Array, Array]:
        """The best c and a for each β."""
        g = np.exp(beta[:, None] * self.u)
        share = self.weight**2 / np.sum(self.weight**2)
        g_mean, mean = g @ share, self.loss @ share
        # The spread of g, from expm1 as g is nearly 1 for small β.
        g = np.expm1(beta[:, None] * self.u)
        g = g - (g @ share)[:, None]
        drop = np.maximum((g * share) @ (self.loss - mean) / (g**2 @ share), 0)
        return mean - drop * g_mean, drop

    def squares(self, beta: Array) -> Array:
        """Least sum of squares at each β."""
        return self._squares(*self.linear(beta), beta)

    def squares_at_floor(self, floor: float, beta: Array) -> Array:
        """The same with c given."""
        g = np.exp(beta[:, None] * self.u)
        drop = (g * self.weight**2) @ (self.loss - floor) / (g**2 @ self.weight**2)
        return self._squares(np.full(beta.size, floor), np.maximum(drop, 0), beta)

    def squares_at_drop(self, drop: Array, beta: Array) -> Array:
        """The same with a given for each β."""
        share = self.weight**2 / np.sum(self.weight**2)
        floor = self.loss @ share - drop * (np.exp(beta[:, None] * self.u) @ share)
        return self._squares(floor, drop, beta)

    def _squares(self, floor: Array, drop: Array, beta: Array) -> Array:
        fitted = floor[:, None] + drop[:, None] * np.exp(beta[:, None] * self.u)
        return np.asarray(np.sum((self.weight * (self.loss - fitted)) ** 2, axis=1))


def _least(squares: Callable[[Array], Array], flat: float, steep: float) -> tuple[float, float]:
    """The β between `flat` and `steep` with the least sum of squares, and that sum."""
    low, high = np.log(-flat), np.log(-steep)
    for points in (_COARSE, *(_FINE,) * _ZOOMS):
        grid = np.linspace(low, high, points)
        found = squares(-np.exp(grid))
        best = int(np.argmin(found))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, points - 1)]
    return -float(np.exp(grid[best])), float(found[best])


def _end(inside: Callable[[float], float], start: float, step: float) -> float:
    """Where `inside` turns negative, from `start` on in steps that double."""
    near = start
    while inside(start + step) > 0:
        near, step = start + step, 2 * step
    return _root(inside, near, start + step)


def _root(inside: Callable[[float], float], near: float, far: float) -> float:
    from scipy.optimize import brentq

    if inside(near) <= 0:  # a fit without residual
        return near
    return float(brentq(inside, near, far, rtol=1e-10))
