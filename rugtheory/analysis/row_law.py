r"""Weights of which all rows hear the same law: what they lose, without training and without data.

What a reading hears depends on its row of couplings M_ij = W_ij/W_ii through Σ_j log E e^{sM_ij x}
alone.  If all rows hear the mean of these sums over rows, the loss is that of one reading, a
function of the numbers μ(w) of weights in a row and of one decoder (a, b), and it is minimised
over all couplings that n_dense hidden units allow:

.. math:: \min_{M, a, b}\ L\Bigl(a, b; \frac1n \sum_i \sum_{j≠i} \log E\,e^{sM_{ij}x}\Bigr).

At the minimum, M minimises Σ v(M_ij) for v(w) = δL/δμ(w), the influence of one further weight w.
Rows may also be in classes, of which each has a law and a decoder; with a class for each row, the
loss is the exact one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array
from .._result import Result
from ..channel.many_rows import Together
from ..channel.row_laws import RowLaws, RowScenario
from ..model.model import Model
from ..source.features import Features, check_features
from .curvature import curvature_along, lowest_seen
from .descent import FINE, Coordinates, Objective, coupling, exceeds
from .exact import exact_loss
from .gradient import Gradient
from .row_search import End, Search, Under

# Estimated error of the loss that is reported.
_TRUTH = 1e-6
# Of the loss: where the law and its own weights differ by more, rows are not alike.
_DIFFER = 5e-3
# Of the variance of a feature: what loses no less than the rest is as good as dropped.
_KEPT = 1e-2
# Over the largest eigenvalue of the Hessian: what is below is a way down that the law has not.
_DOWN = -3e-4
# Errors of losses for products with the Hessian, so large that outputs keep to their contours; the
# step of a difference, of a vector of length 1, that makes sure of what they find.
_ROUGH, _STEP = 1e-2, 0.1
# Seeds whose losses are within this part of each other after so many steps are alike.
_ALIKE, _BEGUN = 1e-3, 200
_BINS = 100
_MOST_STEPS, _MOST_PRODUCTS = 10**9, 1000
_ABOVE = "above the cap"


@dataclass(frozen=True, eq=False, repr=False)
class SharedLaw(Result):
    """The law that the rows of a class share, and weights that have it.

    Attributes
    ----------
    loss : float
        Mean squared error of readings that hear the law of their class; of the best seed.
    error : float
        How far `loss` is from that of weights, as far as can be seen from here: its difference from
        `exact`, and the range of the seeds.  It knows nothing of rows that would differ.
    verdict : str
        "rows differ here": the law and its own weights do not lose the same, within 0.5 %, and
        `loss` is no prediction; "saddle": they do, but the exact loss is curved down there, and
        descent from these weights leads to rows that differ; "stopped": steps were used up before
        the loss settled; "above the cap": no penalty kept couplings below it; "dropped class": all
        features of some class are as good as dropped, so that the law is of the others beside
        them; "consistent": none of these, which does not say that no weights whose rows differ are
        better.
    model : Model
        Weights found.
    exact : float
        Their loss, by `exact_loss`.
    losses : ndarray, shape (n_sparse,)
        Exact mean squared error of each of their outputs.
    spread : float
        Standard deviation of `losses` within classes, over their mean.
    labels : ndarray of int, shape (n_sparse,)
        Class of each feature.
    class_losses, a, b : ndarray, shape (classes,)
        Mean squared error, diagonal and bias of each class.
    edges : ndarray, shape (bins + 1,)
        Bins of couplings W_ij/W_ii, j ≠ i.
    law : ndarray, shape (classes, bins)
        How many couplings in a bin a row of a class has on average.
    by_seed : ndarray, shape (seeds,)
        The loss of each seed, after as many steps as all of them take: to the end, or 200 if they
        are alike by then.
    gain : float
        What the last 50 steps gained, in the log of the loss.
    coupling : float
        Largest |W_ij|/W_ii, j ≠ i.
    curvature : float
        The lowest eigenvalue of the Hessian of the log of the exact loss, over the largest, as far
        as `products` see it, from above; NaN if there are none.
    """

    loss: float
    error: float
    verdict: str
    model: Model
    exact: float
    losses: Array
    spread: float
    labels: NDArray[np.int64]
    class_losses: Array
    a: Array
    b: Array
    edges: Array
    law: Array
    by_seed: Array
    gain: float
    coupling: float
    curvature: float


def row_law(
    features: Features,
    n_dense: int,
    *,
    classes: int | ArrayLike | None = None,
    free: bool = False,
    max_coupling: float | None = None,
    seeds: int | ArrayLike = (0, 1, 2),
    steps: int = 3000,
    gain: float = 3e-5,
    products: int = 40,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> SharedLaw:
    """The least loss of weights of which all rows of a class hear the same law.

    Parameters
    ----------
    features : Features
        Independent, each on with less than an even chance, amplitudes with a density and not
        negative.
    n_dense : int
        Hidden units.
    classes : int or array_like of int, shape (n_sparse,), optional
        So many classes of equal size, if features are identical, or the class of each feature,
        0, 1, …; features of a class have one law.  By default, a class for each law of features.
        With more, descents start from laws of fewer classes too, rows sorted by their losses: k
        classes take 2k - 1 descents for each seed, and are never worse than k - 1.
    free : bool
        Whether W is any product of rank `n_dense`; else couplings are symmetric with one negative
        eigenvalue, as those that descent and training find where rows are alike.  With several
        classes it always is any.
    max_coupling : float > 0, optional
        Cap on |W_ij|/W_ii.
    seeds : int or array_like of int
        Random starts; of all ends the one of least exact loss is taken.  If their losses are within
        0.1 % of each other after 200 steps, as they are where features are many, the least of them
        alone goes on.
    steps : int
        Of each descent, at most; random weights are first put where the energy of pairs is low.
    gain : float
        Stop where 50 steps gain less, in the log of the loss.
    products : int in [0, 1000]
        With the Hessian of the exact loss at the weights of the best seed, to find a way down.
    progress : callable
        Wraps the iterable of seeds, to show progress.

    Returns
    -------
    SharedLaw

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range, features are not of that kind, or those of one class
        differ.

    Notes
    -----
    What a row hears differs from the mean of its class, so the loss is one of weights only if rows
    are nearly alike; `exact` says what the weights found lose.  Against descents on the exact loss
    it is within 0.32 % at (n_sparse, n_dense, p) = (128, 32, 0.045), (128, 32, 0.01),
    (256, 64, 0.045) and (512, 128, 0.01), in 8 to 39 s a seed.  Where rows had better differ it is
    2 to 16 % above the least known.  The verdict tells that at p = 0.1 with a quarter of the hidden
    units, and at a tenth of them: there 40 products, 1 to 2 s at 128 features, find a way down.  It
    does not at (512, 128, 0.045), a plateau that descent leaves after a thousand steps.  To see
    what is gained, go on with ``rt.minimize(features, n_dense, init=found.model)``.

    It is for many features.  Of eight in three hidden units at p = 0.05 it ends at copies of fewer
    features, which lose 2.6 times as much as the corners of a regular octagon, of the same class.

    Examples
    --------
    >>> import rugtheory as rt
    >>> found = rt.row_law(rt.Identical(12, 0.02), 3, seeds=0, steps=3)
    >>> bool(found.exact < rt.SparseSource(0.02).variance)
    True
    """
    check_features(features)
    n, n_dense = len(features), _check.count("n_dense", n_dense, 1)
    if n < 2:
        raise ValueError(f"features must be two or more, got {n}")
    laws, scenario = _laws(features)
    kinds = _kinds(features)
    labels = _labels(kinds, classes)
    free = _check.boolean("free", free)
    cap = np.inf
    if max_coupling is not None:
        cap = float(_check.positive("max_coupling", _check.scalar("max_coupling", max_coupling)))
    starts = np.atleast_1d(_check.integers("seeds", seeds))
    if starts.min() < 0:
        raise ValueError(f"seeds must not be negative, got {starts.min()}")
    steps = _check.integer("steps", steps, 1, _MOST_STEPS)
    gain = _check.tolerance("gain", gain)
    products = _check.integer("products", products, 0, _MOST_PRODUCTS)
    _check.function("progress", progress)
    settings = features.importance, n_dense, free, cap, steps, gain
    searches = [Search(laws, scenario, kinds, x, *settings) for x in _stages(kinds, labels)]
    few = _BEGUN if starts.size > 1 else 0
    begun = [searches[0].begun(np.random.default_rng(s), few) for s in progress(starts.tolist())]
    by_seed = np.array([y.loss for y in begun])
    alike = starts.size > 1 and np.ptp(by_seed) <= _ALIKE * by_seed.min()
    going = [int(np.argmin(by_seed))] if alike else range(starts.size)
    found = [_ended(searches, features, int(starts[k]), begun[k]) for k in progress(going)]
    if not alike:
        by_seed = np.array([y.loss for y in found])
    best = min(found, key=_preferred)
    best = replace(best, by_seed=by_seed, error=best.error + float(np.ptp(by_seed)))
    return _curved(best, features, products, cap) if products else best


def _laws(features: Features) -> tuple[RowLaws, RowScenario]:
    laws = RowLaws(features)
    for law in laws.amplitudes:
        if law.start < 0:
            raise ValueError(
                f"features must not be negative to share a law, got {_check.shown(law)}"
            )
    scenario = laws.scenarios[0]
    if len(laws.scenarios) != 1 or scenario.blocks or not Together.can(scenario):
        raise ValueError(
            "features must be independent, each on with a probability below ½ and with a density "
            f"of amplitudes, got {features!r:.80}"
        )
    return laws, scenario


def _kinds(features: Features) -> NDArray[np.int64]:
    """The number of the law of each feature."""
    known: dict[Any, int] = {}
    laws = zip(features.on_probability, features.amplitudes, features.importance, strict=True)
    return np.array([known.setdefault(law, len(known)) for law in laws])


def _labels(kinds: NDArray[np.int64], classes: int | ArrayLike | None) -> NDArray[np.int64]:
    """The class of each feature."""
    n = kinds.size
    if classes is None:
        return kinds
    labels = _check.integers("classes", classes)
    if labels.ndim == 0:
        many = _check.integer("classes", int(labels), 1, n)
        labels = _equal(n, many)
    if labels.shape != (n,):
        raise ValueError(f"classes must have {n} entries, one a feature, got {labels.size}")
    names = np.unique(labels)
    if not np.array_equal(names, np.arange(names.size)):
        raise ValueError(f"classes must be 0, 1, … without gaps, got {names[:8]}")
    for c in names:
        if not _pure(kinds, labels == c):
            raise ValueError(f"features of a class must have one law, got several in class {c}")
    return labels


def _equal(n: int, classes: int) -> NDArray[np.int64]:
    """Classes of equal size."""
    return np.arange(n) * classes // n


def _pure(kinds: NDArray[np.int64], some: NDArray[np.bool_]) -> bool:
    return np.unique(kinds[some]).size == 1


def _stages(kinds: NDArray[np.int64], labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """These classes after those that are fewer: k - 1 after k - 2 … if they are of equal size."""
    n, most, least = labels.size, int(labels.max()) + 1, int(kinds.max()) + 1
    if least == most:
        return [labels]
    if least == 1 and np.array_equal(labels, _equal(n, most)):
        return [_equal(n, k) for k in range(1, most + 1)]
    return [kinds, labels]


def _ended(searches: list[Search], features: Features, seed: int, begun: Under) -> SharedLaw:
    """The best end of a seed's first descent, and of those with more classes after it."""
    best = _result(searches[0].ended(begun), features, searches[0])
    for search in searches[1:]:
        ends = [search(np.random.default_rng(seed)), *search.onward(best.model, best.losses)]
        best = min((_result(end, features, search) for end in ends), key=_preferred)
    return best


def _preferred(found: SharedLaw) -> tuple[bool, float]:
    """Those below the cap first, then by the loss of their weights."""
    return found.verdict == _ABOVE, found.exact


def _result(end: End, features: Features, search: Search) -> SharedLaw:
    """Of one seed."""
    labels, model = search.labels, end.model
    exact = exact_loss(model, features, rtol=_TRUTH)
    gap, largest = abs(end.told.loss - exact.mean), coupling(model)
    _, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    if exceeds(largest, search.cap):
        verdict = _ABOVE
    elif gap > _DIFFER * exact.mean:
        verdict = "rows differ here"
    elif np.any(end.told.losses >= (1 - _KEPT) * features.variance[first]):
        verdict = "dropped class"
    else:
        verdict = "stopped" if end.stopped else "consistent"
    edges, law = _law(model, labels)
    inside = exact.loss - (np.bincount(labels, exact.loss) / sizes)[labels]
    return SharedLaw(
        loss=end.told.loss,
        error=gap + end.told.error + exact.mean_error,
        verdict=verdict,
        model=model,
        exact=exact.mean,
        losses=exact.loss,
        spread=float(np.sqrt(np.mean(inside**2)) / exact.loss.mean()),
        labels=labels,
        class_losses=end.told.losses,
        a=model.diagonal[first],
        b=model.b[first],
        edges=edges,
        law=law,
        by_seed=np.array([end.told.loss]),
        gain=end.gain,
        coupling=largest,
        curvature=np.nan,
    )


def _curved(found: SharedLaw, features: Features, products: int, cap: float) -> SharedLaw:
    """With the curvature of the exact loss, and a verdict that knows it.

    Couplings at the cap cost what they cost in a descent, so that going beyond is no way down.
    """
    at = Coordinates(len(features), found.model.n_dense, False, 0.0)
    rough, fine = (Objective(Gradient(features, rtol), at, cap=cap) for rtol in (_ROUGH, FINE))
    x = at.vector(found.model)
    largest, way = lowest_seen(rough, x, products, 0)
    if not largest > 0:  # no contour serves these weights at such errors
        return found
    curvature = curvature_along(fine, x, way, _STEP) / largest
    saddle = found.verdict in ("consistent", "stopped") and curvature < _DOWN
    return replace(found, curvature=curvature, verdict="saddle" if saddle else found.verdict)


def _law(model: Model, labels: NDArray[np.int64]) -> tuple[Array, Array]:
    """Bins of couplings, and how many there are in a row of each class."""
    m = model.w_out @ model.w_in / model.diagonal[:, None]
    other = ~np.eye(len(m), dtype=bool)
    edges = np.linspace(m[other].min(), m[other].max(), _BINS + 1)
    law = [
        np.histogram(m[labels == c][other[labels == c]], edges)[0] / np.sum(labels == c)
        for c in range(int(labels.max()) + 1)
    ]
    return edges, np.array(law)
