"""Precedence codes whose couplings have a cap: the best scale, diagonals and biases.

Couplings of a code of n features grow like scale^(n-2), so a cap leaves a largest scale, and with
it what leaks from later features.  What one row loses at its best a and b is `least_loss`, whatever
the others do, so the scale is all there is to search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy

from .._check import Array
from ..channel.least import least_loss, scanned_least
from ..channel.row_loss import Least, RowLaw
from ..model.model import Model
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from .precedence import LEAST, precedence_code

_RTOL = 1e-7
# Scales are tried downwards from the largest in steps of this, and refined in so many.
_STEP, _REFINED = 1.25, 8
_LEAST_SCALE = 1.02
# A scale is given up, or a size, where its loss, or a scan of it, is above the best by this.
_FAR_ABOVE = 1.2
# Scans are not believed where a row has couplings above this.
_BELIEVED = 100.0
_MOST_SIZE = 40


class BoundedCode(NamedTuple):
    """The best code of one size below a cap, with its loss per feature."""

    n: int
    scale: float
    loss: float
    coupling: float
    rows: tuple[Least, ...]

    @property
    def ratio(self) -> float:
        return 2 / self.n

    def model(self) -> Model:
        """The weights of one code, n features in two hidden units."""
        code = precedence_code(self.n, self.scale)
        a = np.array([row.a for row in self.rows])
        b = np.array([-row.a * row.threshold for row in self.rows])
        return Model(code.w_in, a[:, None] * code.w_out, b)


def bounded_codes(
    p: float, amplitude: Amplitude, cap: float, known: Callable[[float], float]
) -> Iterator[BoundedCode]:
    """Codes of couplings up to `cap` that lose less, or nearly, than `known` at their ratio.

    Of two sizes in turn that lose more, larger ones lose more still.
    """
    missed = 0
    for n in range(LEAST + 1, _MOST_SIZE + 1):
        largest = _largest_scale(n, cap)
        if largest < _LEAST_SCALE or missed == 2:
            return
        found = None
        if _promising(n, largest, p, amplitude, _FAR_ABOVE * known(2 / n)):
            found = _best_scale(n, largest, p, amplitude)
        if found is None or found.loss > known(2 / n):
            missed += 1
        else:
            missed = 0
            yield found


def _weights(n: int, scale: float) -> Array:
    code = precedence_code(n, scale)
    return code.w_out @ code.w_in


def _coupling(n: int, scale: float) -> float:
    w = _weights(n, scale)
    return float(np.abs(w - np.diag(np.diag(w))).max())


@lru_cache(maxsize=1024)
def _largest_scale(n: int, cap: float) -> float:
    """The largest scale whose couplings are at most `cap`; 0 if there is none."""
    if _coupling(n, _LEAST_SCALE) > cap:
        return 0.0
    # Feature n - 1 silences the second by scale^(n-3) at least.
    high = 2 * _LEAST_SCALE * max(cap, 1.0) ** (1 / (n - 3))
    gap = lambda log: np.log(_coupling(n, float(np.exp(log))) / cap)  # noqa: E731
    root = scipy.optimize.brentq(gap, np.log(_LEAST_SCALE), np.log(high), xtol=1e-12)
    return float(np.exp(root)) * (1 - 1e-11)


def _laws(n: int, scale: float, p: float, amplitude: Amplitude) -> list[RowLaw]:
    source, w = SparseSource(p, amplitude), _weights(n, scale)
    return [RowLaw.identical(np.delete(w[i], i), source) for i in range(n)]


def _scales(largest: float) -> Iterator[float]:
    while largest > _LEAST_SCALE:
        yield largest
        largest /= _STEP


def _promising(n: int, largest: float, p: float, amplitude: Amplitude, goal: float) -> bool:
    """Whether a scan of some scale comes to the goal, or scans do not tell."""
    for scale in _scales(largest):
        if _coupling(n, scale) > _BELIEVED:
            return True
        laws = [x for x in _laws(n, scale, p, amplitude) if x.noise > 0]
        loss = sum(scanned_least(x).loss for x in laws) / n
        if loss <= goal:
            return True
        if loss > _FAR_ABOVE * goal:
            return False
    return False


@lru_cache(maxsize=1024)
def _best_scale(n: int, largest: float, p: float, amplitude: Amplitude) -> BoundedCode:
    tried: dict[float, BoundedCode] = {}

    def loss(scale: float) -> float:
        rows = tuple(least_loss(x, _RTOL) for x in _laws(n, scale, p, amplitude))
        mean = sum(x.loss for x in rows) / n
        tried[scale] = BoundedCode(n, scale, mean, _coupling(n, scale), rows)
        return mean

    best = np.inf
    for scale in _scales(largest):
        here = loss(scale)
        best = min(best, here)
        if here > _FAR_ABOVE * best:
            break
    scale = min(tried, key=lambda x: tried[x].loss)
    if scale < largest:
        scipy.optimize.minimize_scalar(
            lambda x: loss(float(x)),
            bounds=(scale / _STEP, min(scale * _STEP, largest)),
            method="bounded",
            options={"maxiter": _REFINED},
        )
    return min(tried.values(), key=lambda x: x.loss)
