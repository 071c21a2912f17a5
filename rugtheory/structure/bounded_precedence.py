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
from ..channel.least import least_loss, rough_least
from ..channel.row_loss import Least, RowLaw
from ..channel.row_scan import Rows, together
from ..model.model import Model
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from .precedence import LEAST, precedence_code

_RTOL = 1e-7
# Scales are tried downwards from the largest in steps of this, and refined in so many.
_STEP, _REFINED = 1.25, 8
_LEAST_SCALE = 1.02
# A scale is given up where its loss is above the best by this, and where a scan of it is by this.
_FAR_ABOVE, _ROUGH = 1.2, 0.03
# Root of the number of nodes of a scan.
_ROOT = 24
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
        rough = _rough(n, largest, p, amplitude)
        if rough is None or rough.min() <= (1 + _ROUGH) * known(2 / n):
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


def _scales(largest: float) -> Array:
    """From the largest down."""
    steps = int(np.ceil(np.log(largest / _LEAST_SCALE) / np.log(_STEP)))
    return np.asarray(largest / _STEP ** np.arange(max(steps, 1)))


@lru_cache(maxsize=1024)
def _rough(n: int, largest: float, p: float, amplitude: Amplitude) -> Array | None:
    """Losses at these scales by scans; None if they do not tell."""
    if _coupling(n, largest) > _BELIEVED:
        return None
    source, scales = SparseSource(p, amplitude), _scales(largest)
    if together(source):
        w = np.array([np.delete(x, i) for s in scales for i, x in enumerate(_weights(n, s))])
        loss = np.zeros(len(w))
        some = (w != 0).any(axis=1)
        rows = Rows(w[some], np.ones_like(w[some]), source, _ROOT)
        loss[some] = rows.lowest(rows.thresholds()).loss
    else:
        laws = [x for s in scales for x in _laws(n, float(s), p, amplitude)]
        loss = np.array([rough_least(x).loss if x.noise > 0 else 0.0 for x in laws])
    return np.asarray(loss.reshape(scales.size, n).mean(axis=1))


@lru_cache(maxsize=1024)
def _best_scale(n: int, largest: float, p: float, amplitude: Amplitude) -> BoundedCode:
    tried: dict[float, BoundedCode] = {}

    def loss(scale: float) -> float:
        rows = tuple(least_loss(x, _RTOL) for x in _laws(n, scale, p, amplitude))
        mean = sum(x.loss for x in rows) / n
        tried[scale] = BoundedCode(n, scale, mean, _coupling(n, scale), rows)
        return mean

    rough, best = _rough(n, largest, p, amplitude), np.inf
    for k, scale in enumerate(_scales(largest)):
        if rough is not None and rough[k] > (1 + _ROUGH) * rough.min():
            continue
        here = loss(float(scale))
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
