r"""Paths along which a scan inverts transforms, for one row or for many.

At abscissa α > 0 and period T the midpoint rule gives I(t) with images I(t - T) e^{-αT}, which are
small if T is long enough, and I(t + T) e^{αT}, where by Chernoff's inequality

.. math:: I(t + T)\, e^{αT} ≤ C(α')\, e^{-α't - (α' - α) T} , \qquad α' > α ,

with C(α) e^{-αt} the integrand on the real axis.  The same holds on the left, with the signs of Z
and t.  All abscissas here are moduli, and t is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._check import Array
from ..source.amplitude import Amplitude

# In units of the inverse scale of what is heard.
PATHS = (0.7, 4.0)
# Images are below exp of these, relative to integrands at α and α'.
_LOG_IMAGES, _LOG_BEYOND = 24.0, 12.0
# Where transforms end, α' is so far from there, as a part of what α is.
_NEARER = 0.75
# Up to here a path stays where the transform of the feature is finite.
_WELL_BELOW = 0.8
# Sums with the feature may take a period as much longer as this.
_LONGER = 1.5


def abscissas(x: float, scale: Any, heard: Any, feature: Any) -> tuple[Any, Any]:
    """α and α'; `x` is one of `PATHS`.

    `heard` and `feature` say where transforms of what is heard, and of the feature, end.
    """
    alpha = np.minimum(x / scale, x / (1 + x) * heard)
    bound = np.minimum(heard, np.where(alpha <= _WELL_BELOW * feature, feature, np.inf))
    return alpha, np.minimum(2 * alpha, alpha + _NEARER * (bound - alpha))


def log_transforms(amplitude: Amplitude, s: Array) -> Array:
    """log E e^{su} at real s, +inf where it is not finite, -inf where it underflows."""
    finite = (amplitude.least_abscissa < s) & (s < amplitude.abscissa)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        log = np.log(amplitude.transform((finite * s).astype(complex), 0).real)
    # A complex number that overflows may be none.
    return np.where(finite & ~np.isnan(log), log, np.inf)


def period(alpha: Any, beyond: Any, heard: Any, feature: Any) -> tuple[Any, Any]:
    """T, and whether it is long enough for sums with the feature, where that is not far longer.

    `heard` and `feature` are log C(α')/C(α) of what is heard, and of the feature, which is not
    finite where there is none.
    """
    near, far = _LOG_IMAGES / alpha, beyond - alpha
    alone, both = (
        # Where C(α') overflows it says nothing.
        np.maximum(near, np.where(np.isfinite(x), (_LOG_BEYOND + x) / far, 0.0))
        for x in (heard, heard + np.maximum(feature, 0.0))
    )
    enough = np.isfinite(feature) & (both <= _LONGER * alone)
    return np.where(enough, both, alone), enough
