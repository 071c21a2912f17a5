"""Precedence codes whose couplings have a cap: the best scale, diagonals and biases.

Couplings of a code of n features grow like scale^(n-2), so a cap leaves a largest scale, and with
it what leaks from later features.  What one row loses at its best a and b does not depend on those
of others, see `rugtheory.structure.small_code`, so the scale is all there is to search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import scipy

from .._check import Array
from ..numerics.search import find_root
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from .precedence import LEAST, precedence_code
from .small_code import ROUGH, Directions, SmallCode, rough_losses

# Scales are tried downwards from the largest in steps of this, and refined in so many.
_STEP, _REFINED = 1.25, 8
_LEAST_SCALE = 1.02
# A scale is given up where its loss is above the best by this.
_FAR_ABOVE = 1.2
# Scans are not believed where a row has couplings above this.
_BELIEVED = 100.0
MOST_SIZE = 40


def bounded_codes(
    p: float,
    amplitude: Amplitude,
    cap: float,
    known: Callable[[float], float],
    most: int = MOST_SIZE,
    noise: float = 0.0,
) -> Iterator[SmallCode]:
    """Codes of couplings up to `cap` that lose less, or nearly, than `known` at their ratio.

    They have up to `most` features.  Scans are without the noise in the hidden units, and say what
    a code loses at least.

    Of two sizes in turn that lose more, larger ones lose more still.
    """
    missed = 0
    for n in range(LEAST + 1, min(most, MOST_SIZE) + 1):
        largest = _largest_scale(n, cap)
        if largest < _LEAST_SCALE or missed == 2:
            return
        found = None
        rough = _rough(n, largest, p, amplitude)
        if rough is None or rough.min() <= (1 + ROUGH) * known(2 / n):
            found = _best_scale(n, largest, p, amplitude, noise)
        if found is None or found.loss > known(2 / n):
            missed += 1
        else:
            missed = 0
            yield found


def _directions(n: int, scale: float) -> Directions:
    code = precedence_code(n, scale)
    return Directions(code.w_in, code.w_out)


@lru_cache(maxsize=1024)
def _largest_scale(n: int, cap: float) -> float:
    """The largest scale whose couplings are at most `cap`; 0 if there is none."""
    if _directions(n, _LEAST_SCALE).coupling > cap:
        return 0.0
    # Feature n - 1 silences the second by scale^(n-3) at least.
    high = 2 * _LEAST_SCALE * max(cap, 1.0) ** (1 / (n - 3))

    def gap(log: Array) -> Array:
        couplings = [_directions(n, scale).coupling for scale in np.exp(log).tolist()]
        return np.asarray(np.log(np.array(couplings) / cap))

    root = find_root(gap, tuple(np.log([[_LEAST_SCALE], [high]])), ())
    return float(np.exp(root.x[0])) * (1 - 1e-11)


def _scales(largest: float) -> Array:
    """From the largest down."""
    steps = int(np.ceil(np.log(largest / _LEAST_SCALE) / np.log(_STEP)))
    return np.asarray(largest / _STEP ** np.arange(max(steps, 1)))


@lru_cache(maxsize=1024)
def _rough(n: int, largest: float, p: float, amplitude: Amplitude) -> Array | None:
    """Losses at these scales by scans; None if they do not tell."""
    if _directions(n, largest).coupling > _BELIEVED:
        return None
    scales = [_directions(n, float(scale)) for scale in _scales(largest)]
    return rough_losses(scales, SparseSource(p, amplitude))


@lru_cache(maxsize=1024)
def _best_scale(n: int, largest: float, p: float, amplitude: Amplitude, noise: float) -> SmallCode:
    source = SparseSource(p, amplitude)
    tried: dict[float, SmallCode] = {}

    def loss(scale: float) -> float:
        tried[scale] = SmallCode.of(_directions(n, scale), source, noise)
        return tried[scale].loss

    # With noise smaller scales are better than a scan says.
    rough, best = None if noise else _rough(n, largest, p, amplitude), np.inf
    for k, scale in enumerate(_scales(largest)):
        if rough is not None and rough[k] > (1 + ROUGH) * rough.min():
            continue
        here = loss(float(scale))
        best = min(best, here)
        if here > _FAR_ABOVE * best:
            break
    scale = min(tried, key=lambda x: tried[x].loss)
    if scale < largest:
        scipy.optimize.minimize_scalar(
            lambda x: loss(float(x)),
            bounds=(max(scale / _STEP, _LEAST_SCALE), min(scale * _STEP, largest)),
            method="bounded",
            options={"maxiter": _REFINED},
        )
    return min(tried.values(), key=lambda x: x.loss)
