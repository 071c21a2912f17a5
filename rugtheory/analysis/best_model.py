r"""The best weights of a given size that can be made of the structures known.

Blocks that share no hidden units add up: with u_b hidden units, n_b features and the loss L_b for
each feature of a block, the least total for m features and u hidden units is

.. math:: G(u, m) = \min_b\, G(u - u_b, (m - n_b)_+) + L_b \min(n_b, m) , \qquad G(0, m) = m v ,

with v what a feature loses that is dropped.  A block that has more places than there are features
left loses less than that for each, as fewer interfere: its exact loss is taken in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _check
from .._check import Array
from .._result import Result
from ..model.model import Model
from ..source.amplitude import Amplitude
from ..source.identical import Identical
from ..source.sparse import SparseSource, on_law
from ..source.uniform import Uniform
from ..structure.best import MAX_COUPLING
from ..structure.found_codes import table
from ..structure.graph_optimum import graph_optimum
from ..structure.graphs import TABLE, graph_code
from ..structure.members import (
    Node,
    lower_hull,
    planar,
    promising_codes,
    promising_graphs,
    promising_pairs,
    settled,
    simplest,
)
from ..structure.noisy_graph import noisy_graph_model
from ..structure.quiet import unit_columns
from ..structure.small_code import SmallCode
from ..theory.optimum import optimum
from ..theory.pairs import ONE_SIGN
from ..theory.uneven import UnevenPairs
from .descent import coupling, exceeds
from .exact import exact_loss
from .spread import spread_models

# Relative error of the loss of a block that is not full, and of features spread over all units.
_RTOL = 1e-7
# These are tried up to so much of n_sparse² · n_dense, n_dense 16 at least, up to the second where
# blocks drop features; and not believed above that part of the best loss.
_SPREAD, _SPREAD_DROPPED, _WORTH = 2**20, 2**23, 1.1


@dataclass(frozen=True, eq=False, repr=False)
class BestModel(Result):
    """The best weights of a size that structures make.

    Attributes
    ----------
    model : Model
    loss, error : float
        Its exact loss per feature, and the numerical error of that.
    coupling : float
        Largest |W_ij|/W_ii, j ≠ i, over features that are alive.
    families : dict of str to int
        How many features are in each kind of block, in the order of the model: names of graphs,
        "precedence", "uneven pairs" or "antipodal", "singles" and "dropped"; of codes that
        descents found their sizes, such as "15 in 4"; or "spread", over all hidden units.
    """

    model: Model
    loss: float
    error: float
    coupling: float
    families: dict[str, int]


class _Block(NamedTuple):
    """Hidden units, features, the loss of each, and what makes the weights."""

    units: int
    size: int
    loss: float
    family: str
    make: Callable[[], Model]


def best_model(
    n_sparse: int,
    n_dense: int,
    p: float,
    *,
    max_coupling: float = MAX_COUPLING,
    hidden_noise: float = 0.0,
    amplitude: Amplitude = Uniform(),
) -> BestModel:
    """Weights of least loss among blocks side by side, and features spread over all units.

    Blocks are graphs, small codes, pairs and singles.  The others have couplings of low pair
    energy, and one diagonal and bias: they serve sizes that no blocks fit.

    Parameters
    ----------
    n_sparse, n_dense : int
        Numbers of features and of hidden units; what does not fit into blocks is dropped, and has
        its mean as bias, and hidden units that are left over have no weights.
    p : float in (0, 1]
        Probability that a feature is on, at least 1e-140.
    max_coupling : float > 0
        Largest |W_ij|/W_ii of a block.
    hidden_noise : float ≥ 0
        Standard deviation of noise in the hidden units of the model, none below 1e-50.  Columns of
        W_in then have mean square length 1 in each block, and 0 of features that are dropped.
    amplitude : Amplitude
        Law of a feature that is on.

    Returns
    -------
    BestModel

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.

    Notes
    -----
    That of blocks is at least the loss of `best_known` with the same cap, to 2e-5, which mixes them
    in any proportion, but for blocks that are not full, and has rugs, which are no blocks.  It
    takes some seconds, with graphs of some thousand features a minute, and n_sparse · n_dense times
    9 bytes.  Spread features are tried up to n_sparse² · n_dense = 2²⁰, and up to 2²³ where blocks
    leave some features out, which takes a minute and a half at (512, 20); they are where descents
    from three random starts end, so that with one hidden unit more they may lose a little more.

    Examples
    --------
    >>> import rugtheory as rt
    >>> best = rt.best_model(105, 25, 0.01)
    >>> best.model, best.families
    (Model(n_sparse=105, n_dense=25), {'Higman-Sims': 100, 'precedence': 5})
    """
    n_sparse = _check.count("n_sparse", n_sparse, 1)
    n_dense = _check.count("n_dense", n_dense, 1)
    cap = float(_check.positive("max_coupling", _check.scalar("max_coupling", max_coupling)))
    noise = _check.hidden_noise(hidden_noise)
    given = _check.scalar("p", p)
    on, law = on_law(given, amplitude, least=_check.LEAST_P, positive=ONE_SIGN)
    source = SparseSource(float(on), law)
    found = _of_blocks(source, given, amplitude, n_sparse, n_dense, cap, noise)
    # A dropped feature may lose more than all others together where they are rare.
    most = _SPREAD_DROPPED if "dropped" in found.families else _SPREAD
    if n_sparse**2 * max(n_dense, 16) <= most:
        for model, about in spread_models(n_sparse, n_dense, source, cap, noise):
            largest = coupling(model)
            if about > _WORTH * found.loss or exceeds(largest, cap):
                continue
            exact = exact_loss(model, Identical(n_sparse, given, amplitude), rtol=_RTOL)
            if exact.mean < found.loss:
                families = {"spread": n_sparse}
                found = BestModel(model, exact.mean, exact.mean_error, largest, families)
    return found


def _of_blocks(
    source: SparseSource,
    given: float,
    amplitude: Amplitude,
    n_sparse: int,
    n_dense: int,
    cap: float,
    noise: float,
) -> BestModel:
    """The best of blocks side by side; p and amplitudes of features as they are given."""
    blocks = _blocks(source, n_dense, n_sparse, cap, noise)
    chosen = _chosen(blocks, n_sparse, n_dense, float(source.variance))
    parts, families = list[tuple[NDArray[np.intp], Model]](), dict[str, int]()
    losses, error, left = 0.0, 0.0, n_sparse
    for block in chosen:
        part, number = block.make(), min(block.size, left)
        members = np.arange(number) + (n_sparse - left)
        families[block.family] = families.get(block.family, 0) + number
        left -= number
        if number < block.size:
            w_in, w_out = part.w_in[:, :number], part.w_out[:number]
            if noise:
                w_in, w_out = unit_columns(w_in, w_out)
            part = Model(w_in, w_out, part.b[:number], hidden_noise=noise)
            exact = exact_loss(part, Identical(number, given, amplitude), rtol=_RTOL)
            losses, error = losses + number * exact.mean, error + number * exact.mean_error
        else:
            losses += number * block.loss
            error += number * _RTOL * block.loss
        parts.append((members, part))
    if left:
        families["dropped"] = left
        losses += left * float(source.variance)
    model = side_by_side(parts, n_dense, np.full(n_sparse, float(source.mean)), noise)
    return BestModel(model, losses / n_sparse, error / n_sparse, coupling(model), families)


def _blocks(
    source: SparseSource, n_dense: int, n_sparse: int, cap: float, noise: float
) -> list[_Block]:
    """All that may be of use, graphs only if they beat what is simpler at their ratio."""
    p, law, variance = float(source.p), source.amplitude, float(source.variance)
    if not variance > 0:  # the bias alone reconstructs a constant feature
        return []
    pairs = [settled(x, p, law, noise) for x in promising_pairs(p, law, cap, noise)]
    simple = simplest(p, variance, law, noise) + pairs
    known = lower_hull(simple)
    # Of codes with more places than there are features a smaller one loses less.
    nodes = simple + planar(p, law, cap, simple, n_sparse, noise)
    codes = promising_codes(p, law, cap, lower_hull(nodes), n_sparse, noise)
    small, large = ([x for x in codes if table()[x.rough].large == y] for y in (False, True))
    nodes += [settled(x, p, law, noise) for x in small]
    # With fewer features than hidden units a graph is no use.
    names = [name for name, x in TABLE.items() if x.n_dense <= min(n_dense, n_sparse)]
    some = promising_graphs(names, p, law, cap, known, noise)
    nodes += [settled(x, p, law, noise) for x in some]
    ratio, known = n_dense / n_sparse, lower_hull(nodes)
    large = [x for x in large if lower_hull([*nodes, x])(ratio) < known(ratio)]
    nodes += [settled(x, p, law, noise) for x in large]
    return [
        _block(x, source, noise)
        for x in nodes
        if x.family != "dropped" and not exceeds(x.coupling, cap)
    ]


def _block(node: Node, source: SparseSource, noise: float) -> _Block:
    if node.family in TABLE:
        name, graph = node.family, TABLE[node.family]

        def of_graph() -> Model:
            if noise:
                return noisy_graph_model(name, float(source.p), source.amplitude, noise)
            best = graph_optimum(source.p, name, amplitude=source.amplitude)
            return graph_code(name).model(best)

        return _Block(graph.n_dense, graph.n, node.loss, name, of_graph)
    if node.family == "singles":
        return _Block(1, 1, node.loss, "singles", lambda: _alone(source, noise))
    made = node.made
    assert isinstance(made, UnevenPairs | SmallCode)
    units, size = (1, 2) if isinstance(made, UnevenPairs) else (made.n_dense, made.n)
    return _Block(units, size, node.loss, node.family, made.model)


def _alone(source: SparseSource, noise: float) -> Model:
    """One feature in a hidden unit."""
    if not noise:
        return Model([[1.0]], [[1.0]])
    best = optimum(source.p, sigma=noise, amplitude=source.amplitude)
    return Model([[1.0]], [[float(best.a)]], float(best.b), hidden_noise=noise)


def _chosen(blocks: list[_Block], n_sparse: int, n_dense: int, dropped: float) -> list[_Block]:
    """Which blocks to take, by the recursion; largest first."""
    m = np.arange(n_sparse + 1)
    total, choice = [m * dropped], [np.full(n_sparse + 1, -1, np.int8)]
    added = [block.loss * np.minimum(block.size, m) for block in blocks]
    for u in range(1, n_dense + 1):
        # A hidden unit may be left over.
        best, which = total[-1].copy(), np.full(n_sparse + 1, -1, np.int8)
        for k, block in enumerate(blocks):
            if block.units > u:
                continue
            before = total[u - block.units]
            full = np.concatenate([np.full(min(block.size, n_sparse + 1), before[0]), before])
            value = full[: n_sparse + 1] + added[k]
            better = value < best
            best[better], which[better] = value[better], k
        total.append(best)
        choice.append(which)
    chosen, left, u = [], n_sparse, n_dense
    while u > 0 and left > 0:
        k = int(choice[u][left])
        if k < 0:
            u -= 1
            continue
        chosen.append(blocks[k])
        u, left = u - blocks[k].units, max(left - blocks[k].size, 0)
    # The one that is not full stays last.
    partial = chosen[-1:] if sum(block.size for block in chosen) > n_sparse else []
    return sorted(chosen[: len(chosen) - len(partial)], key=lambda x: -x.size) + partial


def side_by_side(
    parts: Iterable[tuple[NDArray[np.intp], Model]], n_dense: int, mean: Array, noise: float = 0.0
) -> Model:
    """Models of some features each, which share no hidden units; others have their mean as bias."""
    n, row = mean.size, 0
    w_in: Array = np.zeros((n_dense, n))
    w_out, b = np.zeros((n, n_dense)), mean.copy()
    for members, part in parts:
        rows = slice(row, row + part.n_dense)
        w_in[rows, members], w_out[members, rows], b[members] = part.w_in, part.w_out, part.b
        row = rows.stop
    return Model(w_in, w_out, b, hidden_noise=noise)
