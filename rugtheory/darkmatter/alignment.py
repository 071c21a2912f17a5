"""Whether the probe that predicts ‖s‖² is the sum of the latents of s weighted by their activation.

Equations (12) and (13) of arXiv:2410.14670, for s the reconstruction without its bias.  For
orthogonal directions and independent activations W the slope along each is Cov(W², W)/Var W; that
is the mean of W where it is active, as the paper expects, only if W is then constant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array
from .._result import Result
from ._rows import Rows, blocks, same_count
from ._split import split
from .regression import Regression, regressions

_BLOCK_VALUES, _LEAST_ROWS = 2**22, 256
_WINDOW = 100
# A variance below this part of the second moment is rounding.
_CONSTANT = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class Alignment(Result):
    """The probe along the direction of each latent that varies, and what it should be there.

    Attributes
    ----------
    latents : ndarray of int, shape (m,)
        Latents whose activations vary, ascending.
    dot : ndarray, shape (m,)
        Probe · unit vector of the latent: equation (13).
    mean_active : ndarray, shape (m,)
        Mean of W, the activation times the norm of the decoder row, where it is not 0.
    slope : ndarray, shape (m,)
        Cov(W², W)/Var W: what `dot` is for orthogonal independent latents.
    correlation_mean_active, correlation_slope : float
        Pearson correlation of `dot` with each; 0 if one of them is the same for all latents.
    running_dot, running_mean_active : ndarray
        Running means over 100 latents (a tenth of them, if there are fewer than 1000) in the order
        of `mean_active`: what is left of the scatter of single latents.
    correlation_running : float
        Of the two.
    probe : Regression
        Of ‖s‖² on s.
    """

    latents: NDArray[np.intp] = field(repr=False)
    dot: Array = field(repr=False)
    mean_active: Array = field(repr=False)
    slope: Array = field(repr=False)
    correlation_mean_active: float
    correlation_slope: float
    running_dot: Array = field(repr=False)
    running_mean_active: Array = field(repr=False)
    correlation_running: float
    probe: Regression


def alignment(
    latents: Any,
    decoder: ArrayLike,
    *,
    contexts: ArrayLike | None = None,
    test_fraction: float = 0.25,
    bootstrap: int = 200,
    seed: int = 0,
    block_rows: int | None = None,
) -> Alignment:
    """Compare the probe for ‖s‖², s = latents @ decoder, with the activations of the latents.

    Parameters
    ----------
    latents : array_like or sliceable, shape (rows, n_latents)
        Activations; CSR matrices do.
    decoder : array_like, shape (n_latents, d)
        A direction for each latent, of any norm but 0.
    contexts, test_fraction, bootstrap, seed, block_rows
        As in `regress`.

    Returns
    -------
    Alignment

    Raises
    ------
    ValueError, TypeError
        As `regress`; also if fewer than 2 latents vary.

    Examples
    --------
    >>> import numpy as np
    >>> import rugtheory as rt
    >>> size = np.arange(1.0, 7)
    >>> latents = size * (np.random.default_rng(0).random((2000, 6)) < 0.2)
    >>> found = rt.darkmatter.alignment(latents, np.eye(6))
    >>> bool(np.allclose(found.dot, size)), round(found.correlation_mean_active, 9)
    (True, 1.0)
    """
    decoder = _check.real("decoder", decoder)
    rows = Rows("latents", latents)
    if decoder.ndim != 2 or decoder.shape[0] != rows.columns:
        raise ValueError(
            f"decoder must have shape ({rows.columns}, d) to go with latents, got {decoder.shape}"
        )
    norms = np.linalg.norm(decoder, axis=1)
    if not norms.all():
        raise ValueError(f"decoder must have no zero row, got one at {int(np.argmin(norms))}")
    n_rows = same_count(rows)
    if block_rows is None:
        block_rows = max(_BLOCK_VALUES // rows.columns, _LEAST_ROWS)
    length = _check.integer("block_rows", block_rows, 1)

    def read(some: NDArray[np.intp]) -> tuple[Array, Array]:
        s = rows.read(some) @ decoder
        return s, np.sum(s**2, axis=1, keepdims=True)

    probe = regressions(
        read,
        decoder.shape[1],
        [1],
        split(n_rows, contexts, test_fraction, _check.rng(seed)),
        bootstrap,
        seed,
        length,
    )[0]
    active = np.zeros(rows.columns)
    powers = np.zeros((3, rows.columns))
    for some in blocks(np.ones(n_rows, bool), length):
        w = rows.read(some) * norms
        active += np.count_nonzero(w, axis=0)
        power = w.copy()
        for k in range(3):
            powers[k] += power.sum(axis=0)
            power *= w
    m1, m2, m3 = powers / n_rows
    variance = m2 - m1**2
    varying = np.flatnonzero(variance > _CONSTANT * m2)
    if varying.size < 2:
        raise ValueError(f"latents must vary in at least 2 columns, got {varying.size}")
    dot = (decoder[varying] @ probe.slope[:, 0]) / norms[varying]
    mean_active = powers[0][varying] / active[varying]
    slope = (m3 - m2 * m1)[varying] / variance[varying]
    order = np.argsort(mean_active, kind="stable")
    running_dot, running_mean = (_running(values[order]) for values in (dot, mean_active))
    return Alignment(
        varying,
        dot,
        mean_active,
        slope,
        _correlation(dot, mean_active),
        _correlation(dot, slope),
        running_dot,
        running_mean,
        _correlation(running_dot, running_mean),
        probe,
    )


def _running(values: Array) -> Array:
    """Means over a window that is moved along."""
    window = min(_WINDOW, max(1, values.size // 10))
    total = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray((total[window:] - total[:-window]) / window)


def _correlation(one: Array, two: Array) -> float:
    if np.ptp(one) == 0 or np.ptp(two) == 0:
        return 0.0
    return float(np.corrcoef(one, two)[0, 1])
