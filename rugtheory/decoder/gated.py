"""The gated decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .base import Parameters


@dataclass(frozen=True, eq=False, repr=False)
class Gated(Parameters):
    """ReLU(a y + b) where y > threshold, else 0."""

    a: Any
    b: Any
    threshold: Any

    def __call__(self, y: ArrayLike) -> Array:
        y = _check.real("y", y)
        return np.asarray(np.where(y > self.threshold, np.maximum(self.a * y + self.b, 0), 0))
