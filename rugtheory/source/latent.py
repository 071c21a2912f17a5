"""Features that depend on each other through one latent variable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.polynomial import hermite_e
from numpy.typing import ArrayLike
from scipy.special import expit

from .. import _check
from .._value import ByValue
from .amplitude import Amplitude
from .features import Features, Scenario, importance_of, laws_of
from .uniform import Uniform


@dataclass(frozen=True, eq=False, repr=False)
class Latent(ByValue, Features):
    """Features that are independent given a latent variable with finitely many values.

    Parameters
    ----------
    p : array_like in [0, 1], shape (k, n)
        Probability that each of n features is on, for each of k values of the latent; each is on
        at some of them.
    weights : array_like ≥ 0, shape (k,)
        Probabilities of the values, up to a factor.
    amplitude : Amplitude or sequence of n of them
    importance : array_like ≥ 0, scalar or shape (n,)

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range or shapes differ.

    Examples
    --------
    >>> import rugtheory as rt
    >>> topics = rt.Latent([[0.3, 0.3, 0.0], [0.0, 0.1, 0.2]], [1, 1])
    >>> topics.on_probability
    array([0.15, 0.2 , 0.1 ])
    """

    p: Any
    weights: Any
    amplitude: Any = field(default_factory=Uniform)
    importance: Any = 1.0

    def __post_init__(self) -> None:
        p, weights = _check.share("p", self.p), _check.nonnegative("weights", self.weights)
        if p.ndim != 2 or 0 in p.shape:
            raise ValueError(f"p must have shape (values, features), got {p.shape}")
        if weights.shape != p.shape[:1] or not weights.sum() > 0:
            raise ValueError(
                f"weights must have shape ({len(p)},) and not all be 0, got shape {weights.shape}"
            )
        kept = weights > 0
        p, weights = p[kept], _check.shares(weights[kept])
        never = np.flatnonzero(weights @ p < _check.LEAST_P)
        if never.size:
            raise ValueError(f"p must be positive for some value, but feature {never[0]} is off")
        n = p.shape[1]
        object.__setattr__(self, "p", p)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "importance", importance_of(self.importance, n))
        if not isinstance(self.amplitude, Amplitude):
            object.__setattr__(self, "amplitude", laws_of(self.amplitude, n))

    @classmethod
    def sigmoid(
        cls,
        offset: ArrayLike,
        loading: ArrayLike,
        *,
        nodes: int = 16,
        amplitude: Any = Uniform(),
        importance: ArrayLike = 1.0,
    ) -> Latent:
        """Features on with probability 1/(1 + exp(-offset_i - loading_i z)), z standard normal.

        The latent is integrated by Gauss and Hermite's rule of so many `nodes`, which stands for
        it exactly as far as means of what is asked are polynomials in z of degree 2 nodes - 1.

        Parameters
        ----------
        offset, loading : array_like, shape (n,) or scalar
        nodes : int
        amplitude, importance
            As of `Latent`.

        Examples
        --------
        >>> import rugtheory as rt
        >>> features = rt.Latent.sigmoid([-3.0, -3.0], [1.0, -1.0])
        >>> bool(features.covariance[0, 1] < 0)
        True
        """
        offset, loading = _check.real("offset", offset), _check.real("loading", loading)
        shapes = offset.shape, loading.shape
        if {offset.ndim, loading.ndim} not in ({1}, {0, 1}) or 0 in shapes[0] + shapes[1]:
            raise ValueError(
                "offset and loading must be numbers or vectors with an element a feature, "
                f"got shapes {shapes[0]} and {shapes[1]}"
            )
        if offset.ndim == loading.ndim and offset.size != loading.size:
            raise ValueError(
                f"offset and loading must have one length, got {offset.size} and {loading.size}"
            )
        z, weights = hermite_e.hermegauss(_check.integer("nodes", nodes, 1, 200))
        return cls(
            expit(offset + np.outer(z, np.ones(1)) * loading), weights, amplitude, importance
        )

    @property
    def amplitudes(self) -> Sequence[Amplitude]:
        return laws_of(self.amplitude, self.p.shape[1])

    @property
    def scenarios(self) -> Sequence[Scenario]:
        return tuple(Scenario(float(w), p) for w, p in zip(self.weights, self.p, strict=True))
