"""Independent features, each with a law of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import _check
from .._check import Array
from .._value import ByValue
from .amplitude import Amplitude
from .features import Features, Scenario, importance_of, laws_of
from .uniform import Uniform


@dataclass(frozen=True, eq=False, repr=False)
class Independent(ByValue, Features):
    """Independent features.

    Parameters
    ----------
    p : array_like in (0, 1], shape (n,)
        Probability that each feature is on.
    amplitude : Amplitude or sequence of n of them
        Law of a feature that is on.
    importance : array_like ≥ 0, scalar or shape (n,)
        Weights of the squared errors; not all zero.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range or lengths differ.

    Examples
    --------
    >>> import rugtheory as rt
    >>> features = rt.Independent(rt.zipf(4, 0.5), importance=rt.geometric(4, 0.9))
    >>> features.mean
    array([0.25      , 0.125     , 0.08333333, 0.0625    ])
    """

    p: Any
    amplitude: Any = field(default_factory=Uniform)
    importance: Any = 1.0

    def __post_init__(self) -> None:
        p = _check.probability("p", self.p, least=_check.LEAST_P)
        if p.ndim != 1 or not p.size:
            raise ValueError(f"p must be a vector with an element a feature, got shape {p.shape}")
        object.__setattr__(self, "p", p)
        object.__setattr__(self, "importance", importance_of(self.importance, p.size))
        laws = self.amplitude
        if not isinstance(laws, Amplitude):
            object.__setattr__(self, "amplitude", laws_of(laws, p.size))

    @property
    def amplitudes(self) -> Sequence[Amplitude]:
        return laws_of(self.amplitude, self.p.size)

    @property
    def scenarios(self) -> Sequence[Scenario]:
        return (Scenario(1.0, self.p),)


def zipf(n: int, largest: float, *, alpha: float = 1.0) -> Array:
    """Frequencies p_i = largest · i^-alpha, i = 1 … n, of words and of features of language models.

    Parameters
    ----------
    n : int ≥ 1
    largest : float in (0, 1]
        Of the first feature.
    alpha : float
        Exponent.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    ValueError, TypeError
        If an argument, or a frequency, is outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> rt.zipf(3, 0.3)
    array([0.3 , 0.15, 0.1 ])
    """
    n, alpha = _check.count("n", n, 1), _check.scalar("alpha", alpha)
    with np.errstate(over="ignore", under="ignore"):
        p = _check.scalar("largest", largest) * np.arange(1.0, n + 1) ** -alpha
    return _check.probability("largest times i^-alpha", p, least=_check.LEAST_P)


def geometric(n: int, factor: float) -> Array:
    """Importances factor^i, i = 0 … n - 1, of the toy models of arXiv:2209.10652.

    Parameters
    ----------
    n : int ≥ 1
    factor : float > 0

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> rt.geometric(3, 0.5)
    array([1.  , 0.5 , 0.25])
    """
    n, base = _check.count("n", n, 1), _check.positive("factor", _check.scalar("factor", factor))
    with np.errstate(over="ignore", under="ignore"):
        return _check.nonnegative("powers of factor", base ** np.arange(n))
