"""One feature: off, or on with a random amplitude."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .._value import ByValue
from .amplitude import Amplitude, Complex, check_amplitude, check_not_negative
from .discrete import FromQuadrature
from .uniform import Uniform


@dataclass(frozen=True, eq=False, repr=False)
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


def on_law(
    p: ArrayLike, amplitude: Amplitude, *, least: float = _check.LEAST, positive: str = ""
) -> tuple[Array, Amplitude]:
    """`p`, checked, and `amplitude` of the same source, for which "on" means not zero.

    An atom of the amplitude law at 0 belongs to the features that are off.  `positive` says why
    amplitudes must not be negative, if so: ValueError if they are.
    """
    check_amplitude(amplitude)
    if positive:
        check_not_negative(amplitude, positive)
    p = _check.probability("p", p, least=least)
    atoms = amplitude.atoms()
    if atoms is None or np.all(atoms[0] != 0):
        return p, amplitude
    kept = atoms[0] != 0
    nodes, weights = (tuple(x[kept].tolist()) for x in atoms)
    share = sum(weights)
    return _check.probability("p", p * share, least=least), FromQuadrature(nodes, weights)
