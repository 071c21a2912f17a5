r"""Adaptive quadrature of many integrals over readings at a time.

The line is cut into panels.  A panel belongs to one integral and to an *anchor*, a place near which
the integrand changes on a scale that may be far below the spacing of floating point numbers there;
its ends, and the nodes on it, are offsets from that anchor.  Each panel is integrated by Gauss's
rule of 10 points and by Kronrod's extension to 21.  Panels on which the two differ by more than the
sum can bear are cut in halves, all of them at once, until none is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from .._check import Array

Index = NDArray[np.intp]
# Fields and integrands, each of shape (number, nodes), from problem, anchor and offset of a node.
Integrand = Callable[[Index, Array, Array], tuple[Array, Array]]
# QUADPACK's 10-point Gauss and 21-point Kronrod rules; every second node is Gauss's.
_HALF_NODES = [
    0.995657163025808080735527280689003,
    0.973906528517171720077964012084452,
    0.930157491355708226001207180059508,
    0.865063366688984510732096688423493,
    0.780817726586416897063717578345042,
    0.679409568299024406234327365114874,
    0.562757134668604683339000099272694,
    0.433395394129247190799265943165784,
    0.294392862701460198131126603103866,
    0.148874338981631210884826001129720,
]
_HALF_GAUSS = [
    0.066671344308688137593568809893332,
    0.149451349150580593145776339657697,
    0.219086362515982043995534934228163,
    0.269266719309996355091226921569469,
    0.295524224714752870173892994651338,
]
_HALF_KRONROD = [
    0.011694638867371874278064396062192,
    0.032558162307964727478818972459390,
    0.054755896574351996031381300244580,
    0.075039674810919952767043140916190,
    0.093125454583697605535465065083366,
    0.109387158802297641899210590325805,
    0.123491976262065851077958109831074,
    0.134709217311473325928054001771707,
    0.142775938577060080797094273138717,
    0.147739104901338491374841515972068,
]
NODES = np.concatenate([-np.array(_HALF_NODES), [0.0], _HALF_NODES[::-1]])
KRONROD = np.concatenate(
    [_HALF_KRONROD, [0.149445554002916905664936468389821], _HALF_KRONROD[::-1]]
)
_GAUSS = np.zeros(21)
_GAUSS[1::2] = [*_HALF_GAUSS, *_HALF_GAUSS[::-1]]
# From values at the nodes, a polynomial's coefficients in Legendre polynomials.
LEGENDRE = np.linalg.inv(legendre.legvander(NODES, 20))
_AT_ENDS = legendre.legvander(np.array([-1.0, 1.0]), 20) @ LEGENDRE
# A jump takes as many halvings as its position has binary digits.
_DEPTH = 60
_MOST_PANELS = 20_000
_NODES_AT_A_TIME = 32_768
# Panels whose halves differ as much as they do, at a level where that may be rounding, are left.
_ROUNDING = 1e-9
_STALLED = 3


@dataclass(frozen=True)
class Panels:
    """Intervals [anchor + left, anchor + right] of the integrals `problem`; flat arrays."""

    problem: Index
    anchor: Array
    left: Array
    right: Array

    def __len__(self) -> int:
        return len(self.problem)

    def __getitem__(self, which: NDArray[np.generic] | slice) -> Panels:
        return Panels(*(x[which] for x in vars(self).values()))

    def halves(self) -> Panels:
        """The left halves, then the right ones."""
        middle = self.left + (self.right - self.left) / 2
        return join(
            Panels(self.problem, self.anchor, self.left, middle),
            Panels(self.problem, self.anchor, middle, self.right),
        )

    @property
    def offsets(self) -> Array:
        """Nodes on each panel, shape (panels, 21)."""
        half = (self.right - self.left)[:, None] / 2
        # From the nearer end, so that nodes next to an end at zero keep their digits.
        low, high = (
            self.left[:, None] + half * (1 + NODES),
            self.right[:, None] - half * (1 - NODES),
        )
        return np.asarray(np.where(NODES < 0, low, high))

    @property
    def weights(self) -> Array:
        """Kronrod's weights, shape (panels, 21)."""
        return np.asarray((self.right - self.left)[:, None] / 2 * KRONROD)


@dataclass(frozen=True)
class Integral:
    """Integrals, estimates of their errors, and what they were made of.

    Attributes
    ----------
    value, error : arrays of shape (integrands, problems)
    panels : Panels
        Sorted by problem and position.
    fields : array of shape (fields, panels, 21)
        Values at the nodes.
    """

    value: Array
    error: Array
    panels: Panels
    fields: Array = field(repr=False)


def join(*panels: Panels) -> Panels:
    """All panels in one."""
    return Panels(
        np.concatenate([x.problem for x in panels]),
        np.concatenate([x.anchor for x in panels]),
        np.concatenate([x.left for x in panels]),
        np.concatenate([x.right for x in panels]),
    )


def evaluate(function: Integrand, panels: Panels) -> tuple[Array, Array]:
    """Fields and integrands at the nodes, each of shape (number, panels, 21)."""
    offsets = panels.offsets
    shape = offsets.shape
    problem = np.broadcast_to(panels.problem[:, None], shape).ravel()
    anchor, flat = np.broadcast_to(panels.anchor[:, None], shape).ravel(), offsets.ravel()
    blocks = range(0, max(offsets.size, 1), _NODES_AT_A_TIME)
    found = []
    for k in blocks:
        here = slice(k, k + _NODES_AT_A_TIME)
        found.append(function(problem[here], anchor[here], flat[here]))
    fields, values = (np.concatenate(x, axis=-1) for x in zip(*found, strict=True))
    return fields.reshape(-1, *shape), values.reshape(-1, *shape)


def parts_of_legendre(from_left: Array, from_right: Array) -> tuple[Array, Array]:
    """Integrals of Legendre polynomials 0 to 20 from -1 to x and from x to 1.

    `from_left` and `from_right` are 1 + x and 1 - x.
    """
    x = np.where(from_left < 1, from_left - 1, 1 - from_right)
    p = legendre.legvander(x, 21).T
    n = np.arange(1, 21)[:, None]
    below = (p[2:] - p[:-2]) / (2 * n + 1)
    return np.concatenate([from_left[None], below]), np.concatenate([from_right[None], -below])


def integrate(
    function: Integrand,
    panels: Panels,
    count: int,
    *,
    rtol: float,
    rounding: Callable[[Panels], Array] | None = None,
    jumps: bool = False,
) -> Integral:
    """Integrals of non-negative functions, each to `rtol` of itself.

    Parameters
    ----------
    function : callable
        Of problem, anchor and offset, flat arrays; returns fields that are kept for later, and the
        integrands.
    panels : Panels
        Where to begin.  What is much narrower than a panel may be missed.
    count : int
        Number of problems.
    rtol : float
        Bound on the estimated error over the integral.
    rounding : callable, optional
        Relative error of the integrands on panels, below which it is of no use to cut them.
    jumps : bool
        Whether integrands may jump anywhere.  Between the end of a panel and the node next to it
        no rule would see that, so ends are looked at as well.
    """
    done: list[tuple[Panels, Array, Array, Array]] = []
    stalled = np.zeros(len(panels), int)
    before = np.full(len(panels), np.inf)
    kept_value = kept_error = np.zeros(0)
    for depth in range(_DEPTH):
        fields, values = evaluate(function, panels)
        value, error, noise = _rules(values, panels)
        if jumps:
            error = error + _unseen(function, values, panels)
        if not depth:
            kept_value, kept_error = np.zeros((len(value), count)), np.zeros((len(value), count))
        total = kept_value + _by_problem(value, panels.problem, count)
        doubt = kept_error + _by_problem(error, panels.problem, count)
        leaves = np.bincount(panels.problem, minlength=count)
        for x, *_ in done:
            leaves += np.bincount(x.problem, minlength=count)
        bound = rtol * total
        open_ = (doubt > bound)[:, panels.problem]
        share = (bound / np.maximum(leaves, 1))[:, panels.problem]
        wanting = open_ & (error > share)
        # Rounding does not halve with the panel as the error at a jump does.
        worst = np.where(wanting, error / np.maximum(share, 1e-300), 0.0).max(axis=0)
        stalled = np.where(worst > 0.4 * before, stalled + 1, 0)
        rounded = ~wanting | (error <= _ROUNDING * noise)
        split = wanting.any(axis=0) & ~((stalled >= _STALLED) & rounded.all(axis=0))
        if rounding is not None:
            split &= (wanting & (error > rounding(panels) * noise)).any(axis=0)
        split &= (leaves <= _MOST_PANELS)[panels.problem] & (panels.right > panels.left)
        if depth == _DEPTH - 1:
            split[:] = False
        rest = ~split
        done.append((panels[rest], fields[:, rest], value[:, rest], error[:, rest]))
        kept_value = kept_value + _by_problem(value[:, rest], panels.problem[rest], count)
        kept_error = kept_error + _by_problem(error[:, rest], panels.problem[rest], count)
        if not split.any():
            break
        # In units of the bound the share of a panel shrinks as panels grow in number.
        before, stalled = (np.tile(x[split], 2) for x in (worst, stalled))
        panels = panels[split].halves()
    leaf = join(*(x[0] for x in done))
    order = np.lexsort((leaf.left, leaf.anchor, leaf.problem))
    fields = np.concatenate([x[1] for x in done], axis=1)[:, order]
    return Integral(kept_value, kept_error, leaf[order], fields)


def _rules(values: Array, panels: Panels) -> tuple[Array, Array, Array]:
    """Kronrod's sums, QUADPACK's estimates of their errors, and sums of moduli."""
    half = (panels.right - panels.left) / 2
    value = values @ KRONROD
    difference = np.abs(value - values @ _GAUSS)
    spread = np.abs(values - value[..., None] / 2) @ KRONROD
    ratio = np.divide(difference, spread, out=np.zeros_like(spread), where=spread > 0)
    error = spread * np.minimum(1.0, 200 * ratio) ** 1.5
    return half * value, half * error, half * (np.abs(values) @ KRONROD)


def _unseen(function: Integrand, values: Array, panels: Panels) -> Array:
    """What a jump next to the ends of panels would change, if one is there."""
    ends = []
    for offset, row in ((panels.left, _AT_ENDS[0]), (panels.right, _AT_ENDS[1])):
        there = function(panels.problem, panels.anchor, offset)[1]
        ends.append(np.abs(there - values @ row))
    gap = (panels.right - panels.left) / 2 * (1 - NODES[-1])
    return np.asarray(gap * (ends[0] + ends[1]))


def _by_problem(values: Array, problem: Index, count: int) -> Array:
    return np.stack([np.bincount(problem, x, minlength=count) for x in values])
