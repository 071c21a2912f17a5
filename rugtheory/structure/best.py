r"""What lies below the loss of the Gaussian rug: dropped features, pairs, groups, the best of them.

Features in groups that share no hidden units do not interfere between groups.  So if parts f and
1 - f of the features can be stored at ratios r₁ and r₂ with losses L₁ and L₂, the ratio
f r₁ + (1 - f) r₂ has a structure with loss f L₁ + (1 - f) L₂.  The simplest group is that of
dropped features, with ratio 0 and the loss v(p) of predicting the mean.  Where the chord from there
lies below a curve L(r),

.. math:: (1 - f)\, v(p) + f\, L(r/f) < L(r) , \qquad r/f = r_c(p) ,

the best fraction is f = r/r_c with r_c the point where the chord touches the curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array
from .._result import Result
from ..source.amplitude import Amplitude
from ..source.sparse import on_law
from ..source.uniform import Uniform
from ..theory.pairs import ONE_SIGN
from .hull import known_at
from .hull_segments import OnHull
from .mixture import p_and_ratio

# What weights have: of trained ones few are above.
MAX_COUPLING = 10.0


@dataclass(frozen=True, eq=False, repr=False)
class BestKnown(Result):
    """The best structure known, as arrays of one shape.

    Attributes
    ----------
    p, ratio : ndarray
        Where.
    loss : ndarray
        Its loss per feature.
    family : ndarray of str
        "rug", "antipodal" for even pairs, "uneven pairs", "precedence" for `precedence_code` of one
        or two sizes, the name of a graph, see `graph_code`, the size of a code that descents found,
        such as "15 in 4", or "singles", features alone in a hidden unit.  Two of these side by side
        are joined, that of the smaller ratio first, as in "uneven pairs and singles".  Beside
        dropped features there is one family only, which has its own name.
    fraction : ndarray
        Fraction of the features that is represented at all; the others are dropped.
    a, b : ndarray
        Diagonal and bias of the features in rugs or even pairs, for rugs with the b of `optimum`,
        for pairs with that of `antipodal_optimum`; NaN where there are none, see `uneven_pairs`,
        `graph_optimum` and `best_model`.  Where there are both, those of the one named first.
    coupling : ndarray
        Largest |W_ij|/W_ii, j ≠ i, of what is side by side: 0 of rugs, as n_sparse grows, and of
        features alone, 1 of even pairs, inf of precedence codes in their limit.
    """

    p: Array
    ratio: Array
    loss: Array
    family: NDArray[np.str_]
    fraction: Array
    a: Array
    b: Array
    coupling: Array


def best_known(
    p: ArrayLike,
    ratio: ArrayLike,
    *,
    max_coupling: float = MAX_COUPLING,
    hidden_noise: float = 0.0,
    limit: bool = False,
    amplitude: Amplitude = Uniform(),
) -> BestKnown:
    """The least loss of structures known, side by side or with features dropped.

    What two structures lose side by side is a chord between them in the plane of ratio and loss, so
    it is the lower convex hull over the ratio of rugs, even and uneven pairs, graph codes,
    precedence codes, small codes that descents found, single features at (1, 0), and dropped ones
    at (0, v(p)).  An upper bound on what can be reached for large n_sparse.  Each structure has
    couplings, the largest |W_ij|/W_ii over features that are alive, and takes part if they are
    below a cap: so what is found exists as weights, see `best_model`, and the loss does not rise
    with the cap.

    Parameters
    ----------
    p : array_like in (0, 1]
        Probability that a feature is on, at least 1e-140.
    ratio : array_like in (0, 1]
        n_dense / n_sparse.
    max_coupling : float > 0
        The cap.
    hidden_noise : float ≥ 0
        Standard deviation of noise in the hidden units, none below 1e-50, against columns of W_in
        of features that are represented of mean square length 1, as `minimize` takes it: each
        structure has the factors of its W that hear least of it.  Length that dropped features
        leave is not used.
    limit : bool
        Whether to take the limit of growing couplings instead, which weights approach and do not
        reach: precedence codes of all sizes, see `precedence_loss`, with pairs and rugs.
        `max_coupling` must be left out, and `hidden_noise` 0: growing couplings hear it without
        bound.
    amplitude : Amplitude
        Law of a feature that is on.

    Returns
    -------
    BestKnown

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range, or there is a cap or noise for the limit.

    Notes
    -----
    Curves are sampled, and looked at again wherever they come near a chord between samples; the
    ends of chords are then moved along the curves to where they touch, so that the error of the
    loss is the square of theirs.  Measured in the limit against mixtures of its own values and
    against all members, for seven laws and p from 1e-9 to 1: no loss is above by more than 1e-12 of
    it, and 1e-10 for 1 - r below 1e-9, where doubles resolve 1 - r coarsely; against the tangent
    from the derivative of the loss, 1e-13.  Losses of graphs are least to 2e-3, see
    `graph_optimum`, and those of codes of more than 40 features are from scans, above the least by
    up to 2e-5; these codes are for amplitudes uniform on [0, 1], and left out where there is noise
    in the hidden units.  A new p takes one to two seconds, for discrete laws and densities other
    than Uniform up to fifteen; a ratio at which other codes matter takes as long again.  Both are
    remembered.  With noise in the hidden units it takes three to ten seconds, below p = 1e-6 up to
    a minute: exact losses are taken of all codes that might be better if they heard none, or
    nothing but noise.

    Examples
    --------
    >>> import rugtheory as rt
    >>> best = rt.best_known(0.01, [0.02, 0.25, 0.5, 0.75])
    >>> best.family.tolist()
    ['125 in 8', 'Higman-Sims and M22', 'uneven pairs', 'uneven pairs and singles']
    >>> best.coupling.round(2).tolist()
    [9.91, 0.49, 2.99, 2.99]
    >>> rt.best_known(0.01, 0.25, limit=True).family.item()
    'precedence'
    >>> rt.best_known(0.1, 0.25).family.item()
    '15 in 4'
    >>> noisy = rt.best_known(0.01, [0.5, 1.0], hidden_noise=0.01)
    >>> (noisy.loss / rt.optimum(0.01, sigma=0.01).loss).round(2).tolist()
    [7.55, 1.0]
    """
    cap = _cap(max_coupling, limit)
    noise = _check.hidden_noise(hidden_noise)
    if limit and noise:
        raise ValueError(f"hidden_noise must be 0 with limit=True, got {hidden_noise}")
    given = _check.probability("p", p)
    p, amplitude = on_law(p, amplitude, least=_check.LEAST_P, positive=ONE_SIGN)
    p, ratio = p_and_ratio(p, ratio)
    found = OnHull.none(p.size)
    for q in np.unique(p):
        found.put(p.ravel() == q, known_at(float(q), ratio[p == q], amplitude, cap, noise))
    shaped = {name: array.reshape(p.shape) for name, array in found._asdict().items()}
    return BestKnown(np.broadcast_to(given, p.shape), ratio, **shaped)


def _cap(max_coupling: float, limit: bool) -> float | None:
    cap = float(_check.positive("max_coupling", _check.scalar("max_coupling", max_coupling)))
    if not _check.boolean("limit", limit):
        return cap
    if cap != MAX_COUPLING:
        raise ValueError(f"max_coupling must be left out with limit=True, got {max_coupling}")
    return None
