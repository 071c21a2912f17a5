r"""The law of the interference in one output of given weights, and how far it is from a Gaussian.

Z = Σ_{j≠i} W_ij x_j has cumulants κ_n(Z) = κ_n(x) Σ_{j≠i} W_ij^n.  The Gaussian of the same mean
and variance is the channel of arXiv:2410.12101, section 3.2.  Edgeworth's series corrects averages,

.. math:: E\,g(Z) ≈ E_G\Bigl[g + \frac{κ_3}{6} g''' + \frac{κ_4}{24} g''''
    + \frac{κ_3^2}{72} g^{(6)}\Bigr].
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.polynomial import hermite_e
from numpy.typing import ArrayLike
from scipy.special import ndtr

from .. import _check
from .._check import Array
from ..numerics.rectified import normal_density
from ..source.amplitude import Amplitude, Complex
from ..source.sparse import SparseSource
from ..source.uniform import Uniform
from ..theory.loss import reduced_loss
from .inversion import Estimate, tail_probability
from .row_loss import RowLaw, row_loss
from .support import support

_POINTS = 400
_SPREAD = 6.0
# Error aimed at in Kolmogorov's distance.
_DISTANCE = 1e-5


@dataclass(frozen=True, eq=False)
class RowChannel:
    """The interference Z = Σ_j w_j x_j of one output, by its weights, the diagonal left out.

    Parameters
    ----------
    weights : array_like, shape (n,)
        W_ij, j ≠ i, not divided by W_ii.
    p : float in (0, 1]
        Probability that a feature is on.
    amplitude : Amplitude
        Law of a feature that is on.

    Raises
    ------
    ValueError, TypeError
        If the weights are no finite vector, or p is outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> rug = rt.hadamard_rug(256, 64, seed=0)
    >>> channel = rt.RowChannel(rug.phi[1:], 0.05)
    >>> abs(channel.std - rug.sigma(0.05)) < 1e-15
    True
    >>> channel.distance_from_gaussian().value < 0.05
    True
    """

    weights: Array
    p: float
    amplitude: Amplitude = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        weights = _check.real("weights", self.weights)
        if weights.ndim != 1:
            raise ValueError(f"weights must be a vector, got shape {weights.shape}")
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "p", _check.scalar_probability(self.p))
        SparseSource(self.p, self.amplitude)

    @property
    def source(self) -> SparseSource:
        """The law of one feature."""
        return SparseSource(self.p, self.amplitude)

    @property
    def _law(self) -> RowLaw:
        return RowLaw.identical(self.weights, self.source)

    def cumulants(self) -> tuple[float, float, float, float]:
        """Cumulants of Z of order 1 to 4."""
        k1, k2, k3, k4 = (
            float(k * np.sum(self.weights**n)) for n, k in enumerate(self.source.cumulants(), 1)
        )
        return k1, k2, k3, k4

    @property
    def mean(self) -> float:
        """E Z."""
        return self.cumulants()[0]

    @property
    def std(self) -> float:
        """Standard deviation of Z."""
        return float(np.sqrt(self.cumulants()[1]))

    @property
    def skewness(self) -> float:
        """Third cumulant over std³; 0 if Z does not vary."""
        return self._standardised(3)

    @property
    def excess_kurtosis(self) -> float:
        """Fourth cumulant over std⁴; 0 if Z does not vary."""
        return self._standardised(4)

    def _standardised(self, order: int) -> float:
        return float(self.cumulants()[order - 1] / self.std**order) if self.std > 0 else 0.0

    def mgf(self, s: ArrayLike) -> Complex:
        """E exp(s Z) at complex `s`, same shape."""
        s = _check.complex_array("s", s)
        with np.errstate(over="ignore", invalid="ignore"):
            try:
                value = np.prod(self.source.mgf(s[..., None] * self.weights), axis=-1)
            except ValueError:
                value = np.array(np.inf)
        if not np.isfinite(value).all():
            raise ValueError(f"s must be smaller for E exp(s Z) to be a number, got {s}")
        return np.asarray(value)

    def tail(self, t: ArrayLike, *, atol: float = 1e-7) -> tuple[Array, float]:
        """P(Z > t), and a bound on the numerical error of all of them; `atol` is aimed at."""
        t = _check.real("t", t)
        if not t.size:
            return t, 0.0
        # Beyond this the probability is 0 or 1 to far below any `atol`.
        reach = 1.01 * self.amplitude.reach * np.sum(np.abs(self.weights))
        inside = np.clip(t.reshape(-1), -reach, reach)
        probability, error = self._tail(inside, _check.tolerance("atol", atol))
        return probability.reshape(t.shape), error

    def _tail(self, t: Array, atol: float) -> tuple[Array, float]:
        law = self._law.on
        known = support(law)
        if known is not None:
            z, above = known[0], np.append(np.cumsum(known[1][::-1])[::-1], 0.0)
            return above[np.searchsorted(z, t, side="right")], 1e-13
        some, error = tail_probability(law, t, atol)
        return np.clip(some + np.exp(law.log_none) * (t < 0), 0.0, 1.0), float(error.max())

    def distance_from_gaussian(self) -> Estimate:
        """Kolmogorov's distance sup |P(Z ≤ t) - Φ((t - mean)/std)|, from the exact law.

        1 if Z does not vary.  The supremum is over some 800 points, twice refined, and both sides
        of the atom at 0; the error is that of the probabilities.
        """
        if self.std == 0:
            return Estimate(1.0, 0.0)
        t = self.mean + self.std * np.linspace(-_SPREAD, _SPREAD, _POINTS)
        best, error = 0.0, 0.0
        for _ in range(3):
            t = np.unique(np.append(t, [0.0, -1e-12 * self.std]))
            tail, error = self._tail(t, _DISTANCE)
            gap = np.abs(tail - ndtr((self.mean - t) / self.std))
            k = int(np.argmax(gap))
            best = max(best, float(gap[k]))
            near = t[max(k - 1, 0)], t[min(k + 1, t.size - 1)]
            t = np.linspace(*near, _POINTS // 2)
        return Estimate(best, error)

    def loss(self, a: float, b: float, *, rtol: float = 1e-8) -> Estimate:
        """Exact E(x - ReLU(a x + b + Z))², x independent of Z, with its error."""
        a, b = _check.scalar("a", a), _check.scalar("b", b)
        return row_loss(a, self._law, b, _check.tolerance("rtol", rtol))

    def gaussian_loss(self, a: float, b: float) -> float:
        """The same for the Gaussian of the mean and variance of Z: `reduced_loss`."""
        return self.corrected_loss(a, b, order=2)

    def corrected_loss(self, a: float, b: float, *, order: int = 4) -> float:
        """The same by Edgeworth's series to third or fourth order; order 2 is the Gaussian."""
        a, b = _check.scalar("a", a), _check.scalar("b", b)
        order = _check.integer("order", order, 2, 4)
        if self.std == 0:
            alone = RowLaw.identical(np.zeros(0), self.source)
            return row_loss(a, alone, b + self.mean, 1e-8).value
        b += self.mean
        a = a if abs(a) > 1e-30 * self.std else 0.0
        if a:
            kink, width = np.array([-b / a]), np.array([self.std / abs(a)])
            u, share = self.amplitude.resolving(kink, width)
        else:  # linear in u
            u, share = np.array([self.amplitude.mean]), np.ones(1)
        on = float(np.sum(share * self._correction(u, a * u + b, order)))
        off = self._correction(np.zeros(1), np.array([b]), order)[0]
        correction = self.p * on + (1 - self.p) * float(off)
        return self._gaussian(a, b) + correction

    def _gaussian(self, a: float, b: float) -> float:
        if a:
            noise = self.std / abs(a)
            return float(reduced_loss(a, b, noise, self.p, amplitude=self.amplitude))
        z = b / self.std
        first = self.std * float(z * ndtr(z) + normal_density(np.array(z)))
        second = b * first + self.std**2 * float(ndtr(z))
        return float(self.source.second_moment - 2 * self.source.mean * first + second)

    def _correction(self, u: Array, reading: Array, order: int) -> Array:
        """What Edgeworth's series adds to E(u - ReLU(reading + Z))²."""
        _, _, k3, k4 = self.cumulants()
        z = reading / self.std
        density = normal_density(z) / self.std

        def derivative(k: int) -> Array:
            """d^k/dv^k of E(u - ReLU(v + Z))² at Gaussian Z, k ≥ 3."""

            def of_ramp(n: int) -> Array:
                he = hermite_e.hermeval(z, [0.0] * (n - 2) + [1.0])
                return np.asarray((-1) ** n * he * density / self.std ** (n - 2))

            return 2 * of_ramp(k - 1) - 2 * u * of_ramp(k)

        total = np.zeros_like(z)
        if order >= 3:
            total += k3 / 6 * derivative(3)
        if order >= 4:
            total += k4 / 24 * derivative(4) + k3**2 / 72 * derivative(6)
        return total
