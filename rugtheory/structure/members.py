"""What the hull of structures is made of: points at single ratios, each with its couplings.

The coupling of weights is the largest |W_ij|/W_ii, j ≠ i, over features that are alive: 0 of rugs
in the limit of many features and of features alone, 1 of even pairs, 1/c of uneven ones, 1/θ or a
little less of graphs, scale^(n-2) and more of precedence codes.  Codes that descents found have
couplings next to the cap that they were found under.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from ..source.amplitude import Amplitude
from ..theory.optimum import optimum
from ..theory.uneven import UnevenPairs, rough_pairs, uneven_pairs
from . import found_codes, precedence
from .bounded_precedence import MOST_SIZE, bounded_codes
from .graph_optimum import ScannedGraph, best_of_scanned, graph_coupling, scanned_graphs
from .graphs import TABLE
from .noisy_graph import best_of_noisy
from .small_code import ROUGH, SmallCode

# Couplings of uneven pairs that are tried at most.
_MOST = 1e8
_PAIRS = "pairs"
# Scans of large codes are less than this part off.
_SCANNED = 1e-5
# Pairs that are even to this part are called so.
_EVEN = 1e-6


class CappedPairs(NamedTuple):
    """Pairs that are not known yet, and the cap of their couplings."""

    most: float


class Node(NamedTuple):
    """A structure at one ratio: a point, or a place on a curve."""

    ratio: float
    loss: float
    family: str
    a: float = np.nan
    b: float = np.nan
    coupling: float = 0.0
    size: float = np.nan  # of a precedence code in its limit
    sample: int = -1  # the nearest sample of its curve
    made: UnevenPairs | SmallCode | ScannedGraph | CappedPairs | None = None
    rough: str = ""  # name of what loses no less than this
    most: float = np.nan  # what that loses at most


def points(
    p: float, variance: float, amplitude: Amplitude, cap: float | None, noise: float
) -> list[Node]:
    """Structures at single ratios, of couplings up to a cap, with noise in the hidden units.

    Noise is a bias of each output that is drawn anew, so what a structure loses without noise is
    the least that it loses.

    Without a cap, None, these are precedence codes in their limit, of some sizes, which lose less
    than graphs.  Of pairs, of graphs, and of codes that descents found there are rough nodes, see
    `settled`.
    """
    nodes = simplest(p, variance, amplitude, noise)
    pairs = promising_pairs(p, amplitude, cap, noise)
    if cap is None:
        return nodes + pairs + _limit_codes(p, amplitude)
    # Others have to lose less than rough ones do at most; of graphs noise says no such thing.
    known = nodes + [_at_most(x) for x in pairs]
    graphs = promising_graphs(TABLE, p, amplitude, cap, lower_hull(known), noise)
    known = known if noise else known + [_at_most(x) for x in graphs]
    codes = planar(p, amplitude, cap, known, noise=noise)
    below = lower_hull(known + codes)
    found = promising_codes(p, amplitude, cap, below, found_codes.LARGE, noise)
    large = [] if noise else scanned_codes(p, amplitude, cap, below)
    return nodes + pairs + graphs + codes + found + large


def _at_most(node: Node) -> Node:
    return node._replace(loss=node.most)


def simplest(p: float, variance: float, amplitude: Amplitude, noise: float = 0.0) -> list[Node]:
    """Features dropped, and alone."""
    alone = float(optimum(p, sigma=noise, amplitude=amplitude).loss) if noise else 0.0
    return [Node(0.0, variance, "dropped"), Node(1.0, alone, "singles")]


def promising_pairs(
    p: float, amplitude: Amplitude, cap: float | None, noise: float = 0.0
) -> list[Node]:
    """The rough node of the best pairs, if the cap allows pairs."""
    if cap is not None and cap < 1:
        return []
    most = _MOST if cap is None else min(cap, _MOST)
    low, high = rough_pairs(p, amplitude, most, noise)
    return [Node(0.5, low, "", made=CappedPairs(most), rough=_PAIRS, most=high)]


def planar(
    p: float,
    amplitude: Amplitude,
    cap: float,
    others: list[Node],
    most: int = MOST_SIZE,
    noise: float = 0.0,
) -> list[Node]:
    """Precedence codes of couplings up to the cap that lose less than the others side by side.

    They have up to `most` features each.
    """
    known = lower_hull(others)
    codes = bounded_codes(p, amplitude, cap, known, most, noise) if cap > 1 else ()
    return [Node(x.ratio, x.loss, "precedence", coupling=x.coupling, made=x) for x in codes]


def promising_codes(
    p: float,
    amplitude: Amplitude,
    cap: float,
    known: Callable[[float], float],
    most: int,
    noise: float = 0.0,
) -> list[Node]:
    """Rough nodes of codes that descents found, which may lose less than what is known there.

    Their couplings are at most `cap`, and they have up to `most` features.  They lose no less than
    without noise, and no less than by the noise alone.
    """
    allowed = {
        name: code.directions
        for name, code in found_codes.table().items()
        if code.serves(p, amplitude, cap) and code.directions.n <= most
    }
    rough = [
        Node(code.ratio, (1 - ROUGH) * found_codes.rough_loss(name, p, amplitude), "", rough=name)
        for name, code in allowed.items()
    ]
    rough = [node for node in rough if node.loss < known(node.ratio)]
    if not noise or not rough:
        return rough
    heard = [noise * allowed[node.rough].heard for node in rough]
    alone = optimum(p, sigma=np.concatenate(heard), amplitude=amplitude).loss
    parts = np.split(alone, np.cumsum([x.size for x in heard])[:-1])
    return [
        node._replace(loss=max(node.loss, float(part.mean())))
        for node, part in zip(rough, parts, strict=True)
        if part.mean() < known(node.ratio)
    ]


def scanned_codes(
    p: float, amplitude: Amplitude, cap: float, known: Callable[[float], float]
) -> list[Node]:
    """Large codes that descents found, where they lose less than what is known there.

    Their losses are those of scans, and above the true ones: least losses of all rows take seconds.
    """
    nodes = [
        Node(
            code.directions.ratio,
            (1 + _SCANNED) * found_codes.rough_loss(name, p, amplitude),
            code.size,
            coupling=code.directions.coupling,
        )
        for name, code in found_codes.table().items()
        if code.large and code.serves(p, amplitude, cap)
    ]
    return [node for node in nodes if node.loss < known(node.ratio)]


def settled(node: Node, p: float, amplitude: Amplitude, noise: float = 0.0) -> Node:
    """The exact node of a rough one."""
    if isinstance(node.made, CappedPairs):
        return _pair(p, amplitude, node.made.most, noise)
    if isinstance(node.made, ScannedGraph):
        name = node.rough
        if noise:
            lift, loss = best_of_noisy(name, p, amplitude, noise)[2:]
        else:
            lift, loss = best_of_scanned(node.made, p, amplitude)[2:]
        return Node(node.ratio, loss, name, coupling=graph_coupling(name, lift))
    code = found_codes.code_at(node.rough, p, amplitude, noise)
    family = found_codes.table()[node.rough].size
    return Node(code.ratio, code.loss, family, coupling=code.coupling, made=code)


def lower_hull(nodes: list[Node]) -> Callable[[float], float]:
    """The loss of points side by side, by the ratio."""
    corners = corners_of(nodes)
    ratio, loss = (np.array([getattr(x, name) for x in corners]) for name in ("ratio", "loss"))
    return lambda x: float(np.interp(x, ratio, loss))


def corners_of(nodes: list[Node]) -> list[Node]:
    """Those of the lower hull from ratio 0 to 1, ascending."""
    nodes = sorted(nodes, key=lambda node: node.ratio)
    ratio, loss = (np.array([getattr(x, name) for x in nodes]) for name in ("ratio", "loss"))
    # From the right, as losses near ratio 1 have all their digits in the steepness towards (1, 0).
    ends = np.flatnonzero(ratio == 1)
    corners, k = [], int(ends[np.argmin(loss[ends])])
    while True:
        corners.append(nodes[k])
        if not ratio[k] > 0:
            return corners[::-1]
        left = ratio < ratio[k]
        k = int(np.argmin((loss[left] - loss[k]) / (ratio[k] - ratio[left])))


def with_idle_units(nodes: list[Node]) -> list[Node]:
    """With what loses least at ratio 1 too, beside hidden units without weights.

    Where there is noise in hidden units features alone may lose more.
    """
    least = min(nodes, key=lambda node: node.loss)
    return nodes if least.ratio == 1 else [*nodes, least._replace(ratio=1.0)]


def code(p: float, n: float, amplitude: Amplitude) -> Node:
    """A precedence code in its limit."""
    loss = float(precedence.limit(np.array(p), np.array(n), amplitude))
    return Node(2 / n, loss, "precedence", coupling=np.inf, size=float(n))


def sizes(p: float, amplitude: Amplitude) -> tuple[float, float]:
    """The least and the largest size of a precedence code that may be on the hull."""
    return precedence.LEAST + 1.0, float(precedence.critical_size(np.array(p), amplitude))


def _limit_codes(p: float, amplitude: Amplitude) -> list[Node]:
    least, largest = sizes(p, amplitude)
    if largest < least:
        return []
    # Between code and code the hull is convex, where p ≤ ½ as here: some sizes are enough.
    some = np.unique(np.rint(np.geomspace(least, largest, 100)))
    return [code(p, n, amplitude) for n in some]


def _pair(p: float, amplitude: Amplitude, cap: float, noise: float) -> Node:
    pairs = uneven_pairs(p, hidden_noise=noise, amplitude=amplitude)
    if pairs.coupling * cap < 1:
        pairs = uneven_pairs(p, max_coupling=cap, hidden_noise=noise, amplitude=amplitude)
    coupling, loss = 1 / float(pairs.coupling), float(pairs.loss)
    if pairs.coupling > 1 - _EVEN:
        a, b = float(pairs.a[0]), float(pairs.b[0])
        return Node(0.5, loss, "antipodal", a, b, coupling, made=pairs)
    return Node(0.5, loss, "uneven pairs", coupling=coupling, made=pairs)


def promising_graphs(
    names: Iterable[str],
    p: float,
    amplitude: Amplitude,
    cap: float,
    known: Callable[[float], float],
    noise: float = 0.0,
) -> list[Node]:
    """Rough nodes of graphs of couplings up to a cap that may lose less than what is known.

    Each output hears the noise of a hidden unit or more.
    """
    alone = float(optimum(p, sigma=noise, amplitude=amplitude).loss) if noise else 0.0
    allowed = tuple(x for x in names if 1 / TABLE[x].theta <= cap)
    rough = [
        Node(
            TABLE[x.name].ratio,
            max((1 - ROUGH) * x.loss, alone),
            "",
            made=x,
            rough=x.name,
            most=(1 + ROUGH) * x.loss,
        )
        for x in scanned_graphs(allowed, p, amplitude)
    ]
    return [node for node in rough if node.loss < known(node.ratio)]
