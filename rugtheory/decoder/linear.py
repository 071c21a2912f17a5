"""The linear decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .base import Parameters


@dataclass(frozen=True, eq=False, repr=False)
class Linear(Parameters):
    """a y + b."""

    a: Any
    b: Any

    def __call__(self, y: ArrayLike) -> Array:
        return np.asarray(self.a * _check.real("y", y) + self.b)
