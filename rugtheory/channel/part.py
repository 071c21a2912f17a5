"""Parts of what a reading hears that are independent of each other: the base class."""

from __future__ import annotations

from abc import ABC, abstractmethod

from .._check import Array
from .._value import ByValue
from ..source.amplitude import Amplitude, Complex


class Part(ByValue, ABC):
    """Terms of a sum that are independent of the other terms."""

    @property
    @abstractmethod
    def log_none(self) -> float:
        """Log of the probability that no term is on; -inf if one always is."""

    @property
    @abstractmethod
    def laws(self) -> set[Amplitude]:
        """Of the amplitudes in it."""

    @property
    @abstractmethod
    def mean(self) -> float:
        """Of the sum."""

    @property
    @abstractmethod
    def variance(self) -> float:
        """Of the sum."""

    @property
    @abstractmethod
    def cumulants(self) -> Array:
        """Of order 1 to 4 of the sum, shape (4,)."""

    @property
    @abstractmethod
    def second_moment(self) -> float:
        """Of the sum, without correlations between its terms except within a block."""

    @abstractmethod
    def exponent(self, s: Complex) -> tuple[Complex, Array]:
        """Log of φ/P₀, or of φ if P₀ = 0, up to multiples of 2πi; its error.

        `s` by increasing modulus.
        """

    @abstractmethod
    def by_law(self) -> list[tuple[Amplitude, Array]]:
        """The amplitude laws in it, and the weights of the terms of each."""

    @abstractmethod
    def scaled(self, by: float) -> Part:
        """The same with all weights times a factor."""

    @abstractmethod
    def relative_error(self, s: float) -> float:
        """Of φ on the line through a real `s`, from those of the amplitudes' transforms."""
