"""What decoders with real parameters have in common."""

from __future__ import annotations

from .. import _check
from .._value import ByValue


class Parameters(ByValue):
    """Fields that are real numbers or arrays."""

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items()):
            value = _check.real(name, value)
            object.__setattr__(self, name, value if value.ndim else float(value))
