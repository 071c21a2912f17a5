"""The law of one sparse feature x = c·u: on with probability p, then with a random amplitude u ≥ 0.

An amplitude law is a small frozen dataclass.  Beside the usual (moments, cumulants, moment
generating function, Gaussian quadrature, samples) each law can place quadrature nodes that
resolve a kink of a given position and width, which is what expectations of rectified readings
need when the interference is weak.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray
from scipy import special

from . import _beta, _check
from ._check import Array
from ._value import ByValue
from .rectified import SQRT_2PI, normal_density

Complex = NDArray[np.complex128]

# More nodes than any integrand here needs; finding them takes seconds.
_MOST_POINTS = 10_000
_PANEL_ORDER = 14
_MOST_ATOMS = 64
# Of the extrapolation of a density to 0: the first t in inverse means, and how many.
_FIRST_DECAY, _EXTRAPOLATED = 32.0, 8


class Amplitude(ABC):
    """Law of the amplitude u ≥ 0 of a feature that is on."""

    @abstractmethod
    def cumulants(self) -> tuple[float, float, float, float]:
        """Cumulants of u of order 1 to 4, the first being the mean."""

    def mgf(self, t: ArrayLike, order: int = 0) -> Complex:
        """Moment generating function E exp(t u) at complex `t`, same shape as `t`.

        With `order` = 1 its derivative, E u exp(t u).  It exists for real parts of `t` below
        `abscissa`; ValueError beyond, for another order, or where it overflows.
        """
        z = _check.complex_array("t", t)
        order = _check.integer("order", order, 0, 1)
        if np.any(z.real >= self.abscissa):
            raise ValueError(f"Re t must be below {self.abscissa}, got {z.real.max()}")
        with np.errstate(over="ignore", invalid="ignore"):
            value = self.transform(z, order)
        if not np.isfinite(value).all():
            raise ValueError(f"Re t must be smaller, got {z.real.max()}: E exp(t u) overflows")
        return value

    @abstractmethod
    def transform(self, t: Complex, order: int) -> Complex:
        """`mgf` without checks, not finite where it overflows."""

    @abstractmethod
    def quadrature(self, n: int) -> tuple[Array, Array]:
        """Gaussian quadrature of the law: `n` nodes and weights (fewer if the law is discrete).

        The weights add to 1 and the rule is exact for polynomials of degree 2n - 1.
        """

    @abstractmethod
    def sample(self, shape: int | tuple[int, ...], seed: int | np.random.Generator) -> Array:
        """Independent draws of u."""

    @abstractmethod
    def resolving(self, kink: Array, width: Array) -> tuple[Array, Array]:
        """Nodes and weights for functions that are polynomials away from a smoothed kink.

        Parameters
        ----------
        kink, width : arrays of shape (m,)
            Where the integrand changes from one polynomial to another, and the standard
            deviation of the Gaussian that smooths the change.  Several kinks with one width
            are given as an array of shape (k, m).

        Returns
        -------
        nodes, weights : arrays of shape (n, m) or broadcastable to it
        """

    @property
    @abstractmethod
    def end(self) -> float:
        """Supremum of the amplitudes, infinite for an unbounded law."""

    @property
    def start(self) -> float:
        """Infimum of the amplitudes."""
        return 0.0

    @property
    def reach(self) -> float:
        """No amplitude is larger, but for a probability far below rounding."""
        return min(self.end, 60 * self.mean)

    @property
    def abscissa(self) -> float:
        """Supremum of the real t at which E exp(t u) is finite.

        An unbounded law has to say it itself: TypeError if it does not.
        """
        if np.isfinite(self.end):
            return np.inf
        raise TypeError(f"{type(self).__name__} is unbounded, so it must define abscissa")

    @property
    def transform_error(self) -> float:
        """Error of `mgf` at t, relative to its value at Re t, beyond a few roundings."""
        return 0.0

    @property
    def density_at_zero(self) -> float:
        """Limit of the probability density as u → 0; infinite if it has none.

        Unless a law says so itself, it is lim t E exp(-t u), extrapolated to t → ∞.
        """
        if self.atoms() is not None or self.start > 0:
            return 0.0
        return _limit_at_zero(self)

    def atoms(self) -> tuple[Array, Array] | None:
        """Amplitudes and their probabilities if the law is discrete, None if it has a density.

        Unless a law says so itself, it is discrete if it has no rule of so many nodes.
        """
        nodes, weights = self.quadrature(_MOST_ATOMS)
        return (nodes, weights) if nodes.size < _MOST_ATOMS else None

    @abstractmethod
    def breakpoints(self) -> Array:
        """Ends of panels on each of which the law is smooth, the whole mass between them."""

    @property
    def mean(self) -> float:
        """E u."""
        return self.cumulants()[0]

    @property
    def variance(self) -> float:
        """Var u."""
        return self.cumulants()[1]

    @property
    def second_moment(self) -> float:
        """E u²."""
        return self.variance + self.mean**2


@dataclass(frozen=True)
class Uniform(Amplitude):
    """Uniform on [low, high], 0 ≤ low < high; on [0, 1] it is the paper's law."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        _set(self, low=_check.nonnegative("low", self.low))
        _set(self, high=_check.positive("high", self.high))
        if self.high <= self.low:
            raise ValueError(f"high must be greater than low = {self.low}, got {self.high}")

    def cumulants(self) -> tuple[float, float, float, float]:
        width = self.high - self.low
        return (self.low + self.high) / 2, width**2 / 12, 0.0, -(width**4) / 120

    def transform(self, t: Complex, order: int) -> Complex:
        width = self.high - self.low
        average = _expm1_over(width * t)
        if order:
            average = self.low * average + width * _expm1_over_slope(width * t)
        return average if self.low == 0 else np.exp(self.low * t) * average

    @property
    def start(self) -> float:
        return self.low

    @property
    def end(self) -> float:
        return self.high

    def quadrature(self, n: int) -> tuple[Array, Array]:
        return _interval(self.low, self.high, *_legendre(_points(n)))

    def breakpoints(self) -> Array:
        return np.array([self.low, self.high])

    def atoms(self) -> None:
        return None

    @property
    def density_at_zero(self) -> float:
        return 1 / self.high if self.low == 0 else 0.0

    def density(self, u: ArrayLike) -> Array:
        """Probability density at `u`."""
        u = _check.real("u", u)
        return np.where((u >= self.low) & (u <= self.high), 1 / (self.high - self.low), 0.0)

    def sample(self, shape: int | tuple[int, ...], seed: int | np.random.Generator) -> Array:
        return _check.rng(seed).uniform(self.low, self.high, _check.shape("shape", shape))

    def resolving(self, kink: Array, width: Array) -> tuple[Array, Array]:
        points = np.clip(_around(kink, width), self.low, self.high)
        ends = np.broadcast_to([[self.low], [self.high]], (2, width.size))
        nodes, weights = composite(np.concatenate([points, ends]))
        return nodes, weights / (self.high - self.low)


class _Atoms(Amplitude):
    """A discrete law: positive probabilities at finitely many amplitudes."""

    @abstractmethod
    def atoms(self) -> tuple[Array, Array]:
        """Amplitudes and their probabilities."""

    def cumulants(self) -> tuple[float, float, float, float]:
        u, w = self.atoms()
        mean = float(w @ u)
        m2, m3, m4 = (float(w @ (u - mean) ** k) for k in (2, 3, 4))
        return mean, m2, m3, m4 - 3 * m2**2

    def transform(self, t: Complex, order: int) -> Complex:
        u, w = self.atoms()
        w = w * u if order else w
        return np.asarray(np.exp(t[..., None] * u) @ w)

    @property
    def start(self) -> float:
        return float(self.atoms()[0].min())

    @property
    def end(self) -> float:
        return float(self.atoms()[0].max())

    def quadrature(self, n: int) -> tuple[Array, Array]:
        u, w = self.atoms()
        return (u, w) if u.size <= _points(n) else _gauss(u, w, n)

    def breakpoints(self) -> Array:
        return self.atoms()[0]

    def sample(self, shape: int | tuple[int, ...], seed: int | np.random.Generator) -> Array:
        u, w = self.atoms()
        return _check.rng(seed).choice(u, _check.shape("shape", shape), p=w)

    def resolving(self, kink: Array, width: Array) -> tuple[Array, Array]:
        u, w = self.atoms()
        return u[:, None], w[:, None]


@dataclass(frozen=True)
class Constant(_Atoms):
    """Always `value` > 0: Bernoulli features."""

    value: float = 1.0

    def __post_init__(self) -> None:
        _set(self, value=_check.positive("value", self.value))

    def atoms(self) -> tuple[Array, Array]:
        return np.array([self.value]), np.array([1.0])


@dataclass(frozen=True)
class FromQuadrature(_Atoms):
    """The discrete law with weight `weights[i]` at `nodes[i]` ≥ 0, for any law one can integrate.

    The weights are normalised to add to 1.  Results are exact for this discrete law; they hold
    for a continuous law that it stands for only while the interference is wide against the
    distance of the nodes.
    """

    nodes: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        nodes = _check.nonnegative("nodes", self.nodes)
        weights = _check.nonnegative("weights", self.weights)
        if nodes.ndim != 1 or nodes.shape != weights.shape:
            raise ValueError(
                "nodes and weights must be one-dimensional and of equal length, "
                f"got shapes {nodes.shape} and {weights.shape}"
            )
        if not weights @ nodes > 0:
            raise ValueError("weights must give positive probability to a positive node, got none")
        object.__setattr__(self, "nodes", tuple(nodes.tolist()))
        object.__setattr__(self, "weights", tuple((weights / weights.sum()).tolist()))

    def atoms(self) -> tuple[Array, Array]:
        return np.array(self.nodes), np.array(self.weights)


class Density(Amplitude):
    """A law given by a density on [0, end) that is smooth between its breakpoints."""

    def density(self, u: ArrayLike) -> Array:
        """Probability density at `u`."""
        u = _check.real("u", u)
        with np.errstate(divide="ignore"):
            return np.where(
                (u >= 0) & (u <= self.end), self.inner_density(np.clip(u, 0, self.end)), 0.0
            )

    def atoms(self) -> None:
        return None

    @property
    def density_at_zero(self) -> float:
        return float(self.density(0.0))

    @abstractmethod
    def inner_density(self, u: Array) -> Array:
        """`density` within [0, end]."""

    def quadrature(self, n: int) -> tuple[Array, Array]:
        nodes, weights = composite(self.breakpoints()[:, None], order=40)
        return _gauss(nodes[:, 0], weights[:, 0] * self.inner_density(nodes[:, 0]), _points(n))

    def resolving(self, kink: Array, width: Array) -> tuple[Array, Array]:
        fixed = self.breakpoints()
        points = np.clip(_around(kink, width), fixed[0], fixed[-1])
        ends = np.broadcast_to(fixed[:, None], (fixed.size, width.size))
        nodes, weights = composite(np.concatenate([points, ends]))
        return nodes, weights * self.inner_density(nodes)


@dataclass(frozen=True)
class Exponential(Density):
    """Exponential with mean `scale` > 0."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        _set(self, scale=_check.positive("scale", self.scale))

    def inner_density(self, u: Array) -> Array:
        return np.asarray(np.exp(-u / self.scale) / self.scale)

    def breakpoints(self) -> Array:
        return self.scale * np.linspace(0.0, 60.0, 9)

    def cumulants(self) -> tuple[float, float, float, float]:
        s = self.scale
        return s, s**2, 2 * s**3, 6 * s**4

    def transform(self, t: Complex, order: int) -> Complex:
        value = 1 / (1 - self.scale * t)
        return self.scale * value * value if order else value

    @property
    def end(self) -> float:
        return np.inf

    @property
    def abscissa(self) -> float:
        return 1 / self.scale

    def quadrature(self, n: int) -> tuple[Array, Array]:
        nodes, weights = special.roots_laguerre(_points(n))
        return self.scale * nodes, weights / weights.sum()

    def sample(self, shape: int | tuple[int, ...], seed: int | np.random.Generator) -> Array:
        return _check.rng(seed).exponential(self.scale, _check.shape("shape", shape))


@dataclass(frozen=True)
class HalfNormal(Density):
    """|N(0, scale²)|, `scale` > 0."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        _set(self, scale=_check.positive("scale", self.scale))

    def inner_density(self, u: Array) -> Array:
        return 2 * normal_density(u / self.scale) / self.scale

    def breakpoints(self) -> Array:
        return self.scale * np.linspace(0.0, 12.0, 9)

    def cumulants(self) -> tuple[float, float, float, float]:
        s, pi = self.scale, np.pi
        mean = 2 * s / SQRT_2PI
        return mean, s**2 * (1 - 2 / pi), mean * s**2 * (4 / pi - 1), 8 * s**4 * (pi - 3) / pi**2

    def transform(self, t: Complex, order: int) -> Complex:
        # 2 exp(s²t²/2) Φ(st) is the Faddeeva function w(-i s t / √2).
        z = self.scale * t
        value = np.asarray(special.wofz(-1j * z / np.sqrt(2)))
        return self.scale * (z * value + 2 / SQRT_2PI) if order else value

    @property
    def end(self) -> float:
        return np.inf

    @property
    def abscissa(self) -> float:
        return np.inf

    def sample(self, shape: int | tuple[int, ...], seed: int | np.random.Generator) -> Array:
        return np.abs(_check.rng(seed).normal(0.0, self.scale, _check.shape("shape", shape)))


@dataclass(frozen=True)
class Beta(Density):
    """Beta on [0, 1] with density ∝ u^(alpha - 1) (1 - u)^(beta - 1), `alpha`, `beta` > 0."""

    alpha: float
    beta: float

    def __post_init__(self) -> None:
        _set(self, alpha=_check.positive("alpha", self.alpha))
        _set(self, beta=_check.positive("beta", self.beta))

    def inner_density(self, u: Array) -> Array:
        return _beta.density(u, self.alpha, self.beta)

    def breakpoints(self) -> Array:
        lower, upper = self._breaks()
        return np.append(lower[::-1], 1 - upper[1:])

    def cumulants(self) -> tuple[float, float, float, float]:
        a, b = self.alpha, self.beta
        n = a + b
        variance = a * b / (n * n * (n + 1))
        third = variance * 2 * (b - a) / (n * (n + 2))
        excess = 6 * ((a - b) ** 2 * (n + 1) - a * b * (n + 2)) / (a * b * (n + 2) * (n + 3))
        return a / n, variance, third, excess * variance**2

    def transform(self, t: Complex, order: int) -> Complex:
        if order:
            return self.mean * Beta(self.alpha + 1, self.beta).transform(t, 0)
        return _beta.transform(t, self.alpha, self.beta)

    @property
    def transform_error(self) -> float:
        return 2e-14 + 5e-17 * (self.alpha + self.beta)

    @property
    def end(self) -> float:
        return 1.0

    def quadrature(self, n: int) -> tuple[Array, Array]:
        return _beta.gauss(_points(n), self.alpha, self.beta)

    def sample(self, shape: int | tuple[int, ...], seed: int | np.random.Generator) -> Array:
        return _check.rng(seed).beta(self.alpha, self.beta, _check.shape("shape", shape))

    def resolving(self, kink: Array, width: Array) -> tuple[Array, Array]:
        # Each half is integrated in the distance from its own end, where the density may be
        # singular and where 1 - u would lose its digits.
        lower, upper = (
            np.concatenate(
                [
                    np.clip(_around(at, width), 0.0, 0.5),
                    np.broadcast_to(fixed[:, None], (fixed.size, width.size)),
                ]
            )
            for at, fixed in zip((kink, 1 - kink), self._breaks(), strict=True)
        )
        u, _, weights = _beta.both(lower, upper, self.alpha, self.beta, _legendre(_PANEL_ORDER))
        return u, weights

    def _breaks(self) -> tuple[Array, Array]:
        return _beta.breaks(self.alpha, self.beta), _beta.breaks(self.beta, self.alpha)


@dataclass(frozen=True, eq=False)
class SparseSource(ByValue):
    """One feature: x = 0 with probability 1 - p, otherwise x = u ~ `amplitude`.

    Parameters
    ----------
    p : float or array in (0, 1]
        Probability that the feature is on.
    amplitude : Amplitude
        Law of the feature when it is on; Uniform[0, 1] as in the paper by default.

    Raises
    ------
    ValueError, TypeError
        If `p` is outside (0, 1] or `amplitude` is not an amplitude law.

    Examples
    --------
    >>> import rugtheory as rt
    >>> rt.SparseSource(0.3).variance
    0.0775
    """

    p: Any
    amplitude: Amplitude = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        p = _check.probability("p", self.p)
        object.__setattr__(self, "p", float(p) if p.ndim == 0 else p)
        check_amplitude(self.amplitude)

    @property
    def mean(self) -> Any:
        """E x = p E u."""
        return self.p * self.amplitude.mean

    @property
    def second_moment(self) -> Any:
        """E x² = p E u²."""
        return self.p * self.amplitude.second_moment

    @property
    def variance(self) -> Any:
        """Var x; (4p - 3p²)/12 for Uniform[0, 1]."""
        return self.cumulants()[1]

    @property
    def skewness(self) -> Any:
        """Third cumulant over the cube of the deviation; 0 if x does not vary."""
        _, variance, third, _ = self.cumulants()
        # Divided in steps: the cube of a small deviation underflows before the quotient does.
        safe = np.where(variance > 0, variance, 1.0)
        return np.where(variance > 0, third / safe / np.sqrt(safe), 0.0)

    def cumulants(self) -> tuple[Any, Any, Any, Any]:
        """Cumulants of x of order 1 to 4, by the law of total cumulance (no cancellation)."""
        p, q = self.p, self.p * (1 - self.p)
        k1, k2, k3, k4 = self.amplitude.cumulants()
        return (
            p * k1,
            p * k2 + q * k1**2,
            p * k3 + 3 * q * k1 * k2 + q * (1 - 2 * p) * k1**3,
            p * k4
            + q * (4 * k1 * k3 + 3 * k2**2 + 6 * (1 - 2 * p) * k1**2 * k2)
            + q * (1 - 6 * q) * k1**4,
        )

    def mgf(self, t: ArrayLike) -> Complex:
        """E exp(t x) at complex `t` (broadcast against `p`)."""
        return np.asarray(1 - self.p + self.p * self.amplitude.mgf(t))

    def quadrature(self, n: int) -> tuple[Array, Array]:
        """Nodes and weights of x: zero with 1 - p, then the amplitude's `n`-point rule times p.

        `p` must be a scalar.
        """
        u, w = self.amplitude.quadrature(n)
        return np.concatenate([[0.0], u]), np.concatenate([[1 - self._scalar_p()], self.p * w])

    def sample(self, shape: int | tuple[int, ...], seed: int | np.random.Generator) -> Array:
        """Independent draws of x; `p` must be a scalar; same seed, same draws."""
        generator, shape = _check.rng(seed), _check.shape("shape", shape)
        on = generator.random(shape) < self._scalar_p()
        x = np.zeros(shape)
        x[on] = self.amplitude.sample(int(on.sum()), generator)
        return x

    def _scalar_p(self) -> float:
        if not isinstance(self.p, float):
            raise ValueError(f"p must be a scalar here, got an array of shape {self.p.shape}")
        return self.p


def check_amplitude(amplitude: Amplitude) -> None:
    """Raise TypeError unless `amplitude` is an instance of a law."""
    if not isinstance(amplitude, Amplitude):
        raise TypeError(
            f"amplitude must be an amplitude law such as Uniform(0, 1), got {amplitude!r}"
        )


def on_law(
    p: ArrayLike, amplitude: Amplitude, *, least: float = _check.LEAST
) -> tuple[Array, Amplitude]:
    """`p`, checked, and `amplitude` of the same source, for which "on" means not zero.

    An atom of the amplitude law at 0 belongs to the features that are off.
    """
    check_amplitude(amplitude)
    p = _check.probability("p", p, least=least)
    atoms = amplitude.atoms()
    if atoms is None or np.all(atoms[0] > 0):
        return p, amplitude
    positive = atoms[0] > 0
    nodes, weights = (tuple(x[positive].tolist()) for x in atoms)
    share = sum(weights)
    return _check.probability("p", p * share, least=least), FromQuadrature(nodes, weights)


def _limit_at_zero(law: Amplitude) -> float:
    """Lim t E exp(-t u) by Richardson's extrapolation in 1/t."""
    t = _FIRST_DECAY * 2.0 ** np.arange(_EXTRAPOLATED) / law.mean
    values = t * law.transform(-t.astype(complex), 0).real
    rows = [values]
    for k in range(1, values.size):
        rows.append((2**k * rows[-1][1:] - rows[-1][:-1]) / (2**k - 1))
    best, other = float(rows[-1][0]), float(rows[-2][0])
    if abs(best - other) <= 1e-6 * (abs(best) + 1e-3 / law.mean):
        return best if best > 1e-6 / law.mean else 0.0
    # No power series in 1/t: the density grows or falls like another power of u.
    return np.inf if values[-1] > values[-2] else 0.0


def _expm1(z: Complex) -> Complex:
    # Several times faster than numpy's complex one, by ufuncs of real numbers.
    rise, half, sine = np.expm1(z.real), np.sin(0.5 * z.imag), np.sin(z.imag)
    value = np.empty_like(z)
    versine = 2 * half * half
    value.real = rise * (1 - versine) - versine
    value.imag = (1 + rise) * sine
    return value


def _expm1_over(z: Complex) -> Complex:
    """(e^z - 1)/z, continued by its value 1 at zero."""
    z = np.where(np.abs(z) < 1e-290, 1e-290, z)
    return np.asarray(_expm1(z) / z, np.complex128)


def _expm1_over_slope(z: Complex) -> Complex:
    """Its derivative, ∫₀¹ v e^{zv} dv."""
    near = np.abs(z) < 1
    far = np.where(near, 1, z)
    slope = np.asarray((np.exp(far) - _expm1(far) / far) / far, np.complex128)
    # Taylor's series where the difference would cancel: Σ z^k / (k! (k + 2)).
    slope[near] = np.polynomial.polynomial.polyval(z[near], _SERIES)
    return slope


_SERIES = np.array([1 / (math.factorial(k) * (k + 2)) for k in range(19)])


def _points(n: int) -> int:
    return _check.integer("n", n, 1, _MOST_POINTS)


@cache
def _legendre(n: int) -> tuple[Array, Array]:
    return cast(tuple[Array, Array], special.roots_legendre(n))


def _interval(low: Any, high: Any, x: Array, w: Array) -> tuple[Array, Array]:
    """A rule on [-1, 1] moved to [low, high], its weights adding to 1."""
    return low + (high - low) * (1 + x) / 2, w / 2


def _around(kink: Array, width: Array) -> Array:
    # Beyond nine widths the Gaussian tail is below 1e-18 and the integrand a polynomial.
    steps = np.array([-9, -6, -4, -2, 0, 2, 4, 6, 9])[:, None, None]
    points = np.asarray(np.atleast_2d(kink) + width * steps)
    return points.reshape(points.shape[0] * points.shape[1], width.size)


def composite(points: Array, order: int = _PANEL_ORDER) -> tuple[Array, Array]:
    """Gauss-Legendre on the panels between `points` (axis 0, any order; one problem a column)."""
    points = np.sort(points, axis=0)
    x, w = _legendre(order)
    length = np.diff(points, axis=0)
    nodes = points[:-1] + length * (1 + x[:, None, None]) / 2
    weights = length * w[:, None, None] / 2
    shape = (order * len(length), points.shape[1])
    return nodes.reshape(shape), weights.reshape(shape)


def _set(law: Amplitude, **parameters: Array) -> None:
    for name, value in parameters.items():
        if value.ndim:
            raise TypeError(f"{name} must be a scalar, got an array of shape {value.shape}")
        object.__setattr__(law, name, float(value))


def _gauss(u: Array, w: Array, n: int) -> tuple[Array, Array]:
    """`n`-point Gauss rule of the discrete measure (u, w), by the Lanczos process."""
    basis = np.zeros((n + 1, u.size))
    basis[0] = np.sqrt(w / w.sum())
    diagonal, off = np.zeros(n), np.zeros(n)
    for k in range(n):
        vector = u * basis[k]
        diagonal[k] = vector @ basis[k]
        for _ in range(2):  # twice is enough to keep the basis orthogonal to rounding
            vector -= basis[: k + 1].T @ (basis[: k + 1] @ vector)
        off[k] = np.linalg.norm(vector)
        basis[k + 1] = vector / off[k]
    nodes, vectors = scipy.linalg.eigh_tridiagonal(diagonal, off[:-1])
    return nodes, vectors[0] ** 2
