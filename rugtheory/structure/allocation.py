r"""Who gets the hidden units: the allocation of capacity, in a family of structures.

See `rugtheory.theory.allocation` for the theory, which this file joins to the structures known.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from .. import _check
from ..source.amplitude import check_not_negative
from ..source.features import Features, check_features
from ..theory.allocation import Allocation, classes_of, result_of, shares_of
from ..theory.capacity_curves import Indices
from ..theory.family import FAMILIES
from ..theory.many import Shares
from ..theory.sharing import Classes
from .best import MAX_COUPLING
from .hull_pieces import HULL, hull_tables
from .hull_shares import share_hulls

# Why amplitudes of either sign are refused.
ONE_SIGN = "where hidden units are shared out"
NAMES = (*FAMILIES, HULL.name)


class Method(NamedTuple):
    """How features are put in classes, and hidden units shared out to these."""

    classes: Callable[[Features], tuple[Classes, Indices]]
    shares: Callable[[Classes, float], Shares]


def allocate(
    features: Features,
    n_dense: float,
    *,
    family: str = "gaussian",
    max_coupling: float = MAX_COUPLING,
) -> Allocation:
    """The allocation of hidden units to independent features that loses least.

    Parameters
    ----------
    features : Features
        Independent, of amplitudes that are not negative.
    n_dense : float > 0
        Number of hidden units; the theory is for many, and takes fractions.
    family : "gaussian", "pairs" or "best"
        What loses L(c): the Gaussian rug, `optimum` at ratio c; pairs, `antipodal_optimum` at
        ratio c, that is, features with a partner of their own kind; or the best structure known
        of couplings up to `max_coupling`, `best_known` at ratio c.
    max_coupling : float > 0
        The cap of `best_known`, with "best" only.

    Returns
    -------
    Allocation

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range, or features depend on each other.

    Notes
    -----
    Up to 1024 classes of equal features, of at most 512 p (40 for "pairs" and laws
    other than `Uniform`), losses are exact for the capacities given, and these are the best ones to
    rounding if the right features are dropped; ``error`` is the most that a wrong choice may cost.
    Against SLSQP from 60 random starts, 85 problems of 2 to 12 features: no loss was above SLSQP's
    best by more than a part 3e-12; of 20 problems with up to 30 features, one loss was below it by
    a part 7e-4, and the others were equal.  Of more features curves are interpolated over p.
    Losses of Gaussian rugs on `Uniform` features are still exact for the capacities given, which
    have relative errors of some 1e-6; others are interpolated, and ``error`` has the error of a
    sample of them. A million features take 2 to 8 s of one core and 0.5 GB.

    Capacities add up to `n_dense` to a part 1e-13.  Features of p below that, beside others that
    fill all hidden units alone, may be given what rounding leaves.

    In the family "best" each class of equal features is stored in hidden units of its own, in the
    structures that `best_known` names at its capacity, side by side or with some of the features
    dropped.  Graphs and codes come in sizes of their own, so this is what many features of each
    class approach, and a class of few, or one, stands for many like it: its capacity may lie
    anywhere on the hull.  There the problem is convex, and `bound` is the loss to rounding.  Of up
    to 24 p losses are those of `best_known`; of more, hulls are interpolated over a grid of p with
    up to 33, which takes up to a minute, and ``error`` has the largest error of a sample of four
    features, 4e-4 of the loss where p is from 0.05 to 0.1.  A new p takes about a second.

    Examples
    --------
    >>> import rugtheory as rt
    >>> features = rt.Independent(rt.zipf(200, 0.5), importance=rt.geometric(200, 0.99))
    >>> found = rt.allocate(features, 20)
    >>> print(f"{found.capacity.sum():.6f} {found.dropped.sum()} {found.loss:.6f}")
    20.000000 84 0.000466
    """
    n_dense = float(_check.positive("n_dense", _check.scalar("n_dense", n_dense)))
    method = method_of(family, max_coupling)
    classes, member = method.classes(features)
    return result_of(features, n_dense, classes, member, method.shares(classes, n_dense))


def method_of(family: str, max_coupling: float = MAX_COUPLING) -> Method:
    """The method for a family of structures."""
    cap = check_cap(_check.choice("family", family, NAMES), max_coupling)
    if family == HULL.name:
        tables = partial(hull_tables, cap=cap)
        return Method(
            lambda features: classes_of(independent(features), HULL, tables=tables),
            partial(share_hulls, cap=cap),
        )
    return Method(lambda features: classes_of(independent(features), FAMILIES[family]), shares_of)


def check_cap(family: str, max_coupling: float) -> float:
    """The cap, which no family but the best may be given."""
    cap = float(_check.positive("max_coupling", _check.scalar("max_coupling", max_coupling)))
    if family != HULL.name and cap != MAX_COUPLING:
        raise ValueError(
            f"max_coupling is of the family {HULL.name!r}, and must be left out for {family!r}, "
            f"got {max_coupling}"
        )
    return cap


def independent(features: Features) -> Features:
    """Features that hidden units can be shared out to."""
    check_features(features)
    if not features.independent:
        raise ValueError(
            "features must be independent, for capacities to add up to n_dense, "
            f"got {_check.shown(features)}"
        )
    for law in features.by_law:
        check_not_negative(law, ONE_SIGN)
    return features
