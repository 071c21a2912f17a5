r"""The law of the interference in one output of given weights, and how far it is from a Gaussian.

Z = Σ_{j≠i} W_ij x_j has cumulants κ_n(Z) = κ_n(x) Σ_{j≠i} W_ij^n.  The Gaussian of the same mean
and variance is the channel of arXiv:2410.12101, section 3.2.  Edgeworth's series corrects averages,

.. math:: E\,g(Z) ≈ E_G\Bigl[g + \frac{κ_3}{6} g''' + \frac{κ_4}{24} g''''
    + \frac{κ_3^2}{72} g^{(6)}\Bigr].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial import hermite_e
from numpy.typing import ArrayLike
from scipy.special import ndtr

from .. import _check
from .._check import Array
from .._value import ByValue
from ..model.model import Model, check_fit
from ..numerics.rectified import normal_density
from ..source.amplitude import Amplitude, Complex
from ..source.features import Features
from ..source.identical import Identical
from ..source.uniform import Uniform
from ..theory.loss import loss_parts
from .algebras import from_raw_moments, raw_moments
from .interference import Interference
from .inversion import Estimate
from .row_laws import RowLaws
from .row_loss import RowLaw, row_loss
from .support import support
from .tails import Tails

# Points of the first search, over so many deviations to either side, and of those in a gap of it.
_POINTS, _FEW_POINTS = 400, 65
_SPREAD = 6.0
# Values of a discrete law, times points, that are worth listing with noise.
_LISTED = 2**20
# Error aimed at in Kolmogorov's distance, and nodes that are spent on it at most.
_DISTANCE, _DISTANCE_NODES = 1e-5, 2**12


@dataclass(frozen=True, eq=False, init=False, repr=False)
class RowChannel(ByValue):
    """The interference Z = Σ_{j≠i} W_ij x_j + noise of one output of a model.

    Parameters
    ----------
    model : Model
    features : Features
        As many as the model has inputs.
    i : int
        The output.

    Attributes
    ----------
    a : float
        W_ii.
    b : float
        Bias of the output.
    weights : ndarray, shape (n,)
        W_ij, not divided by W_ii; 0 for j = i.
    noise : float
        Standard deviation of what comes from noise in the hidden units.
    laws : list of (float, RowLaw)
        Probabilities of the scenarios of the features, and what the reading hears in them, given
        that feature i is on and given that it is off.

    Raises
    ------
    ValueError, TypeError
        If model and features do not fit, or there is no such output.

    Examples
    --------
    >>> import rugtheory as rt
    >>> rug = rt.hadamard_rug(256, 64, seed=0)
    >>> channel = rt.RowChannel(rt.Model(rug.w_in, rug.w_out()), rt.Identical(256, 0.05), 0)
    >>> abs(channel.std - rug.sigma(0.05)) < 1e-15
    True
    >>> channel.distance_from_gaussian().value < 0.05
    True
    """

    features: Features
    i: int
    a: float
    b: float
    weights: Array
    noise: float
    laws: list[tuple[float, RowLaw]]

    def __init__(self, model: Model, features: Features, i: int) -> None:
        check_fit(model, features)
        i = _check.integer("i", i, 0, model.n_sparse - 1)
        row = model.w_out[i] @ model.w_in
        self._set(row, features, i, float(model.b[i]), float(model.output_noise[i]))

    @classmethod
    def of(cls, weights: ArrayLike, p: float, amplitude: Amplitude = Uniform()) -> RowChannel:
        """The channel of identical features that are heard with these weights.

        Parameters
        ----------
        weights : array_like, shape (n,)
            Those of the other features, for a diagonal of 1.
        p : float in (0, 1]
            Probability that a feature is on.
        amplitude : Amplitude
            Law of a feature that is on.
        """
        weights = _check.real("weights", weights)
        if weights.ndim != 1:
            raise ValueError(f"weights must be a vector, got shape {weights.shape}")
        found = cls.__new__(cls)
        features = Identical(weights.size + 1, p, amplitude)
        found._set(np.append(1.0, weights), features, 0, 0.0, 0.0)
        return found

    def _set(self, row: Array, features: Features, i: int, b: float, noise: float) -> None:
        weights = row.copy()
        weights[i] = 0.0
        found = {"a": float(row[i]), "weights": weights, "laws": RowLaws(features)(i, row, noise)}
        found |= {"features": features, "i": i, "b": b, "noise": noise}
        for name, value in found.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"RowChannel(i={self.i}, of {self.weights.size} features)"

    @cached_property
    def _heard(self) -> list[tuple[float, Interference]]:
        """Laws of Z, with probabilities, of which it is a mixture."""
        found: list[tuple[float, Interference]] = []
        for share, law in self.laws:
            if law.on is law.off:
                found.append((share, law.on))
            else:
                found += [(share * law.p, law.on), (share * (1 - law.p), law.off)]
        return [(share, law) for share, law in found if share > 0]

    def cumulants(self) -> tuple[float, float, float, float]:
        """Cumulants of Z of order 1 to 4."""
        if len(self._heard) == 1:
            k1, k2, k3, k4 = self._heard[0][1].cumulants.tolist()
            return k1, k2, k3, k4
        # About a point within, so that little cancels.
        middle = sum(share * law.mean for share, law in self._heard)
        shift = np.array([middle, 0.0, 0.0, 0.0])
        moments = sum(share * raw_moments(law.cumulants - shift) for share, law in self._heard)
        k1, k2, k3, k4 = (from_raw_moments(np.asarray(moments)) + shift).tolist()
        return k1, k2, k3, k4

    @property
    def mean(self) -> float:
        """E Z."""
        return self.cumulants()[0]

    @property
    def std(self) -> float:
        """Standard deviation of Z."""
        return float(np.sqrt(max(self.cumulants()[1], 0.0)))

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
        domains = [law.domain() for _, law in self._heard]
        inside = all(np.all((low < s.real) & (s.real < high)) for low, high in domains)
        with np.errstate(over="ignore", invalid="ignore"):
            value = np.asarray(sum(share * law.transform(s) for share, law in self._heard))
        if not (inside and np.isfinite(value).all()):
            raise ValueError(f"s must be smaller for E exp(s Z) to be a number, got {s}")
        return value

    def tail(self, t: ArrayLike, *, atol: float = 1e-7) -> tuple[Array, float]:
        """P(Z > t), and a bound on the numerical error of all of them; `atol` is aimed at."""
        t = _check.real("t", t)
        if not t.size:
            return t, 0.0
        probability, error = self._tails(t.reshape(-1), _check.tolerance("atol", atol))
        return probability.reshape(t.shape), error

    @property
    def _tails(self) -> Callable[..., tuple[Array, float]]:
        """P(Z > t) as a function of `t`, `atol` and the most nodes; its calls share transforms."""
        parts = [(share, law, Tails(law)) for share, law in self._heard]

        def tails(t: Array, atol: float, *most: int, errors: bool = True) -> tuple[Array, float]:
            total, error = np.zeros_like(t), 0.0
            for share, law, some_on in parts:
                # Beyond this the probability is 0 or 1 to far below any `atol`; signs are kept.
                far = 1.01 * law.reach or 1.0
                one, missing = _tail(
                    law, some_on, np.clip(t, -far, far), atol, *most, errors=errors
                )
                total, error = total + share * one, error + share * missing
            return total, error

        return tails

    def distance_from_gaussian(self) -> Estimate:
        """Kolmogorov's distance sup |P(Z ≤ t) - Φ((t - mean)/std)|, from the exact law.

        1 if Z does not vary.  The supremum is over some 500 points, twice refined, and both sides
        of the atom at 0; the error is that of the probabilities.
        """
        mean, std = self.mean, self.std
        if std == 0:
            return Estimate(1.0, 0.0)
        tails = self._tails

        def gaps(t: Array, *, errors: bool = False) -> tuple[Array, float]:
            tail, error = tails(t, _DISTANCE, _DISTANCE_NODES, errors=errors)
            return np.abs(tail - ndtr((mean - t) / std)), error

        best, around = -1.0, np.zeros(0)
        t = np.append(mean + std * np.linspace(-_SPREAD, _SPREAD, _POINTS), [0.0, -1e-12 * std])
        t = np.unique(t)
        for _ in range(3):
            gap, _ = gaps(t)
            k = int(np.argmax(gap))
            near = t[max(k - 1, 0) : k + 2]
            if gap[k] > best:
                best, around = float(gap[k]), near
            t = np.linspace(near[0], near[-1], _FEW_POINTS)
        gap, error = gaps(around, errors=True)
        return Estimate(float(gap.max()), error)

    def loss(
        self, a: float | None = None, b: float | None = None, *, rtol: float = 1e-8
    ) -> Estimate:
        """Exact E(x - ReLU(a x + b + Z))², with its error; `a` and `b` are the model's by default.

        Z is not scaled with `a`.
        """
        a, b = self._given(a, b)
        rtol = _check.tolerance("rtol", rtol)
        return Estimate.mixture((share, row_loss(a, law, b, rtol)) for share, law in self.laws)

    def gaussian_loss(self, a: float | None = None, b: float | None = None) -> float:
        """The same for the Gaussian of the mean and variance of Z: `reduced_loss`."""
        return self.corrected_loss(a, b, order=2)

    def corrected_loss(
        self, a: float | None = None, b: float | None = None, *, order: int = 4
    ) -> float:
        """The same by Edgeworth's series to third or fourth order; order 2 is the Gaussian.

        Where what is heard depends on whether the feature is on, or on the scenario, each law has
        its own Gaussian.
        """
        a, b = self._given(a, b)
        order = _check.integer("order", order, 2, 4)
        return sum(share * _corrected(law, a, b, order) for share, law in self.laws)

    def _given(self, a: float | None, b: float | None) -> tuple[float, float]:
        a = self.a if a is None else _check.scalar("a", a)
        return a, self.b if b is None else _check.scalar("b", b)


def _tail(
    law: Interference, some_on: Tails, t: Array, atol: float, *most: int, errors: bool
) -> tuple[Array, float]:
    """P(Z > t) for one law of Z."""
    known = support(law)
    if known is not None and law.noise and known[0].size * t.size <= _LISTED:
        chance = ndtr(np.subtract.outer(known[0], t) / law.noise)
        # Values are known to rounding, which is seen through noise as narrow.
        return np.einsum("z,zt->t", known[1], chance), 1e-13 + 1e-14 * law.reach / law.noise
    if known is not None and not law.noise:
        z, above = known[0], np.append(np.cumsum(known[1][::-1])[::-1], 0.0)
        return above[np.searchsorted(z, t, side="right")], 1e-13
    some, error = some_on(t, atol, *most, errors=errors)
    alone = ndtr(-t / law.noise) if law.noise else (t < 0).astype(float)
    return np.clip(some + np.exp(law.log_none) * alone, 0.0, 1.0), float(error.max(initial=0.0))


def _corrected(law: RowLaw, a: float, b: float, order: int) -> float:
    total, amplitude = 0.0, law.amplitude
    for on, share, heard in ((True, law.p, law.on), (False, 1 - law.p, law.off)):
        mean, variance, *higher = heard.cumulants.tolist()
        std = float(np.sqrt(variance))
        own = a if abs(a) > 1e-30 * std else 1e-30 * std  # the formula divides the noise by it
        noise = std / abs(own) if own else 0.0
        parts = loss_parts(own, b + mean, noise, 1.0, amplitude=amplitude)
        loss = float(parts.on if on else parts.off)
        if std > 0:
            u, weights = np.zeros(1), np.ones(1)
            if on and abs(a) > 1e-30 * std:
                kink = np.array([-(b + mean) / a])
                u, weights = amplitude.resolving(kink, np.array([noise]))
            elif on:  # linear in u
                u = np.array([amplitude.mean])
            correction = _correction(u, a * u + b + mean, std, (higher[0], higher[1]), order)
            loss += float(np.sum(weights * correction))
        total += share * loss
    return total


def _correction(
    u: Array, reading: Array, std: float, cumulants: tuple[float, float], order: int
) -> Array:
    """What Edgeworth's series adds to E(u - ReLU(reading + Z))²."""
    k3, k4 = cumulants
    z = reading / std
    density = normal_density(z) / std

    def derivative(k: int) -> Array:
        """d^k/dv^k of E(u - ReLU(v + Z))² at Gaussian Z, k ≥ 3."""

        def of_ramp(n: int) -> Array:
            he = hermite_e.hermeval(z, [0.0] * (n - 2) + [1.0])
            return np.asarray((-1) ** n * he * density / std ** (n - 2))

        return 2 * of_ramp(k - 1) - 2 * u * of_ramp(k)

    total = np.zeros_like(z)
    if order >= 3:
        total += k3 / 6 * derivative(3)
    if order >= 4:
        total += k4 / 24 * derivative(4) + k3**2 / 72 * derivative(6)
    return total
