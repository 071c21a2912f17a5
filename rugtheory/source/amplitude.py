"""The law of one sparse feature x = c·u: on with probability p, then with a random amplitude u.

An amplitude law is a small frozen dataclass.  Beside the usual (moments, cumulants, moment
generating function, Gaussian quadrature, samples) each law can place quadrature nodes that
resolve a kink of a given position and width, which is what expectations of rectified readings
need when the interference is weak.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array

Complex = NDArray[np.complex128]
_MOST_ATOMS = 64
# Of the extrapolation of a density to 0: the first t in inverse means, and how many.
_FIRST_DECAY, _EXTRAPOLATED = 32.0, 8


class Amplitude(ABC):
    """Law of the amplitude u of a feature that is on."""

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
    def scale(self) -> float:
        """Typical modulus: the mean of a law on [0, ∞), the root mean square of others."""
        return self.mean if self.start >= 0 else self.rms

    @property
    def extent(self) -> float:
        """The largest modulus, of an unbounded law four times the typical one."""
        largest = max(abs(self.start), abs(self.end))
        return largest if np.isfinite(largest) else 4 * self.scale

    @property
    def jump(self) -> float:
        """How much a term changes when it is switched on, at most in most cases."""
        return min(self.extent, 4 * self.scale)

    @property
    def reach(self) -> float:
        """No modulus is larger, except with a probability far below rounding."""
        return min(max(abs(self.start), abs(self.end)), 60 * self.scale)

    @property
    def abscissa(self) -> float:
        """Supremum of the real t at which E exp(t u) is finite.

        An unbounded law has to say it itself: TypeError if it does not.
        """
        if np.isfinite(self.end):
            return np.inf
        raise TypeError(f"{type(self).__name__} is unbounded, so it must define abscissa")

    @property
    def least_abscissa(self) -> float:
        """Infimum of the real t at which E exp(t u) is finite.

        A law that is unbounded below has to say it itself: TypeError if it does not.
        """
        if np.isfinite(self.start):
            return -np.inf
        raise TypeError(
            f"{type(self).__name__} is unbounded below, so it must define least_abscissa"
        )

    @property
    def transform_error(self) -> float:
        """Error of `mgf` at t, relative to its value at Re t, beyond a few roundings."""
        return 0.0

    @property
    def density_at_zero(self) -> float:
        """Limit of the probability density as u → 0 from above; infinite if it has none.

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

    @property
    def rms(self) -> float:
        """Root of E u²."""
        return float(np.sqrt(self.second_moment))


def check_amplitude(amplitude: Amplitude) -> None:
    """Raise TypeError unless `amplitude` is an instance of a law."""
    if not isinstance(amplitude, Amplitude):
        raise TypeError(
            f"amplitude must be an amplitude law such as Uniform(0, 1), "
            f"got {_check.shown(amplitude)}"
        )


def check_not_negative(amplitude: Amplitude, why: str = "here") -> None:
    """Raise unless `amplitude` is a law on [0, ∞); `why` ends "must not be negative"."""
    check_amplitude(amplitude)
    if amplitude.start < 0:
        raise ValueError(f"amplitude must not be negative {why}, got {_check.shown(amplitude)}")


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


def set_parameters(law: Amplitude, **parameters: Array) -> None:
    for name, value in parameters.items():
        if value.ndim:
            raise TypeError(f"{name} must be a scalar, got an array of shape {value.shape}")
        object.__setattr__(law, name, float(value))
