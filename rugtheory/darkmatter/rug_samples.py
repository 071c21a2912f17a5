"""The dark matter of the Persian rug, measured on samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import _check
from .._check import Array
from .._result import Result
from ..source.sparse import SparseSource
from ..structure.rug import Rug

_Triple = tuple[float, float, float]


@dataclass(frozen=True, repr=False, eq=False)
class SimulatedDarkMatter(Result):
    """Measured error of a rug as an autoencoder of its hidden layer, with standard errors.

    Attributes
    ----------
    fvu, fvu_centred, fvu_nl, r2 : float
        As in `RugDarkMatter`; `r2` may be negative, within its error.  The linear prediction is
        sought among multiples of h and of W_in D W_inᵀh, D the mask of learned features: where it
        is for large n_s.
    r2_norm : float or None
        R² of the best linear prediction of ‖e‖² from h if all features are learned, else None.
        Only h_0 can predict it: 0, exactly, without row 0 among the rows.
    fvu_se, fvu_centred_se, fvu_nl_se : float
        Standard errors over samples.  Control variates (the means of x and x², and ‖h‖²) take out
        most of the scatter; the bias of doing so is of the order of the error over √n_samples.
    n_samples : int
    """

    fvu: float
    fvu_centred: float
    fvu_nl: float
    r2: float
    r2_norm: float | None
    fvu_se: float
    fvu_centred_se: float
    fvu_nl_se: float
    n_samples: int


def simulate_dark_matter(
    rug: Rug,
    a: float,
    b: float,
    source: SparseSource,
    n_samples: int,
    *,
    seed: int | np.random.Generator,
    fraction: float = 1.0,
    batch: int | None = None,
) -> SimulatedDarkMatter:
    """Linear and nonlinear error of a rug on fresh samples, an experiment to hold the theory to.

    Parameters
    ----------
    rug : Rug
    a, b : float
        Diagonal and bias of the model; see `Rug.bias` for that of an `optimum`.
    source : SparseSource
        Law of the features, with scalar p.
    n_samples : int, at least 8
        Number of independent samples; hidden layers and errors of all are held.
    seed : int or Generator
        Same seed and batch, same draws.
    fraction : float in [0, 1]
        Share of the features learned; round(fraction · n_sparse) of them, drawn first.
    batch : int, optional
        Samples drawn at a time, about 2²⁰ features by default.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range, or features never vary.

    Examples
    --------
    >>> import rugtheory as rt
    >>> best, rug = rt.optimum(0.1, 0.25), rt.hadamard_rug(4096, 1024, seed=0)
    >>> b = rug.bias(best.b, best.a, 0.1)
    >>> source = rt.SparseSource(0.1)
    >>> dark = rt.darkmatter.simulate_dark_matter(rug, best.a, b, source, 100, seed=1)
    >>> bool(abs(dark.fvu_nl / rt.darkmatter.rug_dark_matter(0.1, 0.25).fvu_nl - 1) < 0.02)
    True
    """
    if not isinstance(rug, Rug):
        raise TypeError(f"rug must be a Rug, got {_check.shown(rug)}")
    if not isinstance(source, SparseSource):
        raise TypeError(f"source must be a SparseSource, got {_check.shown(source)}")
    a, b = _check.scalar("a", a), _check.scalar("b", b)
    n_samples = _check.count("n_samples", n_samples, 8)
    learned = _check.share("fraction", _check.scalar("fraction", fraction))
    n = rug.n_sparse
    batch = max(1, 2**20 // n) if batch is None else _check.integer("batch", batch, 1)
    _check.scalar("p of source", source.p)
    variance = source.variance
    if not variance > 0:
        raise ValueError(f"features must vary, got p = 1 and {source.amplitude}")
    generator = _check.rng(seed)
    mask = np.zeros(n)
    mask[generator.choice(n, round(float(learned) * n), replace=False, shuffle=False)] = 1
    hidden, error, moments = _samples(rug, a, b, source, mask, n_samples, batch, generator)

    power = np.sum(error**2, axis=1)
    hidden -= rug.encode(np.full(n, source.mean))
    scale = n * rug.n_dense * variance
    # What sparse samples and large activations add to the scatter has known means.
    known = np.column_stack([np.sum(hidden**2, axis=1), moments])
    known = known / [scale, source.mean, source.second_moment] - 1

    r2_norm = None if learned < 1 else _square_correlation(rug, hidden, power)

    hidden -= hidden.mean(axis=0)
    error -= error.mean(axis=0)
    freedom = n_samples / (n_samples - 1)  # of the means
    centred = freedom * np.sum(error**2, axis=1)
    predictors = [hidden]
    if 0 < learned < 1:
        predictors.append(_masked(rug, mask, hidden, batch))
    for x, c in zip(predictors, _multiples(error, predictors), strict=True):
        error -= c * x
    left = freedom * np.sum(error**2, axis=1)

    values, errors = _controlled(np.array([power, centred, left]) / scale, known)
    r2 = 1 - values[2] / values[1] if values[1] > 0 else 0.0
    return SimulatedDarkMatter(*values, r2, r2_norm, *errors, n_samples)


def _samples(
    rug: Rug,
    a: float,
    b: float,
    source: SparseSource,
    mask: Array,
    n_samples: int,
    batch: int,
    generator: np.random.Generator,
) -> tuple[Array, Array, Array]:
    """Hidden layers, their errors with the learned features, and the means of x and x²."""
    shape = n_samples, rug.n_dense
    hidden, error, moments = np.empty(shape), np.empty(shape), np.empty((n_samples, 2))
    for start in range(0, n_samples, batch):
        part = slice(start, start + batch)
        x = source.sample((len(hidden[part]), rug.n_sparse), generator)
        hidden[part] = rug.encode(x)
        error[part] = hidden[part] - rug.encode(mask * rug.decode(hidden[part], a, b))
        moments[part] = np.stack([x.mean(axis=1), np.mean(x * x, axis=1)], axis=1)
    return hidden, error, moments


def _multiples(error: Array, predictors: Sequence[Array]) -> Array:
    """Of each predictor, in the sum that is nearest to the error."""
    gram = [[np.vdot(x, y) for y in predictors] for x in predictors]
    products = [np.vdot(x, error) for x in predictors]
    return np.asarray(np.linalg.lstsq(gram, products, rcond=None)[0])


def _square_correlation(rug: Rug, hidden: Array, power: Array) -> float:
    if rug.rows[0] != 0 or np.ptp(power) == 0:
        return 0.0
    return float(np.corrcoef(hidden[:, 0], power)[0, 1] ** 2)


def _controlled(values: Array, known: Array) -> tuple[_Triple, _Triple]:
    """Means of the rows of `values`, and standard errors, by control variates of mean zero."""
    design = np.column_stack([np.ones(len(known)), known])
    inverse = np.linalg.pinv(design)
    fit = inverse @ values.T
    rest = values.T - design @ fit
    rank = np.linalg.matrix_rank(design)
    variance = np.sum(rest**2, axis=0) / (len(known) - rank) * np.sum(inverse[0] ** 2)
    return tuple(fit[0].tolist()), tuple(np.sqrt(variance).tolist())


def _masked(rug: Rug, mask: Array, hidden: Array, batch: int) -> Array:
    """W_in D W_inᵀ h for every row h of `hidden`, over n_sparse."""
    image = np.empty_like(hidden)
    for start in range(0, len(hidden), batch):
        part = slice(start, start + batch)
        # ReLU(v) - ReLU(-v) = v: the rug decodes linear readings as well.
        here, unit = hidden[part], rug.ratio
        reading = rug.decode(here, unit, 0.0) - rug.decode(-here, unit, 0.0)
        image[part] = rug.encode(mask * reading)
    return image
