r"""Features from samples: how often each is on, how large, and which are not independent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from .. import _check
from .._check import Array
from .._result import Result
from .discrete import FromQuadrature
from .independent import Independent

# Expected numbers of co-occurrences from which a normal law is good for the test.
_NORMAL = 10.0


@dataclass(frozen=True, eq=False, repr=False)
class FittedFeatures(Result):
    """Independent features that agree with samples one by one, and where they fail together.

    Attributes
    ----------
    features : Independent
        With the frequencies found, and the amplitudes found as discrete laws of at most `atoms`
        values that have the mean and mean square of the samples.
    on_error : ndarray, shape (n,)
        Standard errors of the frequencies.
    together : ndarray, shape (n, n)
        Number of samples in which both features are on.
    expected : ndarray, shape (n, n)
        The number expected of independent features.
    dependent : ndarray of int, shape (m, 2)
        Pairs of features of which the numbers contradict independence, i < j, the worst first.
    level : float
        The probability that at least one pair of independent features is among them, at most.
    """

    features: Independent
    on_error: Array
    together: Array
    expected: Array
    dependent: NDArray[np.int64]
    level: float


def fit_features(
    x: ArrayLike, *, atoms: int = 16, importance: ArrayLike = 1.0, level: float = 0.01
) -> FittedFeatures:
    """Independent features fitted to a matrix of samples, with a test of their independence.

    Parameters
    ----------
    x : array_like, shape (samples, n)
        A feature is on where it is not 0; each is on at least once.
    atoms : int
        Values that stand for the amplitudes of each feature: means of as many samples each.
    importance : array_like ≥ 0, scalar or shape (n,)
    level : float in (0, 1)
        Of the test, over all pairs (Bonferroni).

    Returns
    -------
    FittedFeatures

    Raises
    ------
    ValueError, TypeError
        If a feature is never on, or an argument is outside its range.

    Notes
    -----
    The number of samples in which two independent features are both on is, given how often each
    is, hypergeometric.  Pairs with small expected numbers are tested by Fisher's exact test, all
    others by the normal law of the same mean and variance.

    Examples
    --------
    >>> import numpy as np, rugtheory as rt
    >>> pairs = rt.Groups([rt.Together(0.1), rt.SparseSource(0.2)])
    >>> found = rt.fit_features(pairs.sample(2000, seed=0))
    >>> found.dependent.tolist()
    [[0, 1]]
    """
    x = _check.real("x", x)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"x must have shape (samples, features), got {x.shape}")
    atoms = _check.integer("atoms", atoms, 1)
    level = _check.scalar("level", level)
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    on = x != 0
    counts = on.sum(axis=0)
    if not counts.all():
        raise ValueError(f"x must have each feature on once, got feature {counts.argmin()} never")
    samples, p = len(x), counts / len(x)
    laws = [_amplitude(x[on[:, i], i], atoms) for i in range(x.shape[1])]
    both = on.astype(float).T @ on
    return FittedFeatures(
        Independent(p, laws, importance),
        np.sqrt(p * (1 - p) / samples),
        both,
        np.outer(counts, counts) / samples,
        _dependent(both, counts, samples, level),
        level,
    )


def _amplitude(u: Array, atoms: int) -> FromQuadrature:
    """Means of equal parts of the sorted samples, scaled about their mean to the mean square."""
    parts = np.array_split(np.sort(u), min(atoms, u.size))
    nodes = np.array([part.mean() for part in parts])
    weights = np.array([part.size / u.size for part in parts])
    mean = float(weights @ nodes)
    spread = float(weights @ (nodes - mean) ** 2)
    if spread > 0:
        stretched = mean + (nodes - mean) * np.sqrt(u.var() / spread)
        # Amplitudes stay on the side of 0 they are on.
        if np.all(np.sign(stretched) == np.sign(nodes)):
            nodes = stretched
    return FromQuadrature(tuple(nodes.tolist()), tuple(weights.tolist()))


def _dependent(
    both: Array, counts: NDArray[np.int64], samples: int, level: float
) -> NDArray[np.int64]:
    """Pairs that the test rejects, the least probable first."""
    i, j = np.triu_indices(counts.size, 1)
    if not i.size:
        return np.empty((0, 2), np.int64)
    expected = counts[i] * counts[j] / samples
    off = (samples - counts[i]) * (samples - counts[j]) / samples
    variance = expected * off / max(samples - 1, 1)
    gap, deviation = both[i, j] - expected, np.sqrt(variance)
    score = np.divide(gap, deviation, out=0 * expected, where=variance > 0)
    threshold = level / i.size
    limit = -ndtri(threshold / 2)
    few = np.minimum(expected, off) < _NORMAL
    from scipy.stats import fisher_exact  # slow to import

    found = ~few & (np.abs(score) > limit)
    # Fisher's test is dear: only where the number is off by more than half of what would matter.
    for k in np.flatnonzero(few & (np.abs(score) > 0.5 * limit)):
        together = int(both[i[k], j[k]])
        one, two = int(counts[i[k]]) - together, int(counts[j[k]]) - together
        table = [[together, one], [two, samples - together - one - two]]
        found[k] = fisher_exact(table).pvalue < threshold
    order = np.flatnonzero(found)
    order = order[np.argsort(-np.abs(score[order]), kind="stable")]
    return np.stack([i[order], j[order]], axis=1).astype(np.int64)
