"""Features that are all alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .. import _check
from .._value import ByValue
from .amplitude import Amplitude, check_amplitude
from .features import Features, Scenario
from .uniform import Uniform


@dataclass(frozen=True, eq=False, repr=False)
class Identical(ByValue, Features):
    """Independent features of one law, as in arXiv:2410.12101.

    Parameters
    ----------
    n : int ≥ 1
        Number of features.
    p : float in (0, 1]
        Probability that a feature is on.
    amplitude : Amplitude
        Law of a feature that is on.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> rt.Identical(3, 0.3).variance
    array([0.0775, 0.0775, 0.0775])
    """

    n: int
    p: float
    amplitude: Amplitude = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", _check.count("n", self.n, 1))
        object.__setattr__(self, "p", _check.scalar_probability(self.p))
        check_amplitude(self.amplitude)

    @property
    def amplitudes(self) -> Sequence[Amplitude]:
        return (self.amplitude,) * self.n

    @property
    def scenarios(self) -> Sequence[Scenario]:
        return (Scenario(1.0, np.full(self.n, self.p)),)
