r"""Losses of models of a few features, exact to rounding: no inversion, no cancellation.

If the features of a set V are on, with uniform amplitudes, the reading v = b + Σ_V w_j u_j has

.. math:: \tfrac12 E v_+^2 = F(b, w) = \frac{1}{(k+2)!\,\prod_V w_j}
    \sum_{T ⊆ V} (-1)^{k - |T|} \Bigl(b + \sum_T w_j\Bigr)_+^{k+2} , \qquad k = |V| ,

and E u_i v_+ = ∂F/∂w_i, so losses and their gradient are derivatives of F.  The sum cancels where a
weight is small.  All of it is done in integers, weights being multiples of 2⁻⁶⁰, and rounded once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import factorial

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# Weights are multiples of 2^-_BITS, none zero.
_BITS = 60
_POWER = 1 / 3  # E u²


@dataclass(frozen=True)
class Sets:
    """Probabilities of which features are on: `chance[T]`, bit j of T for feature j."""

    n: int
    chance: Array
    importance: Array

    @classmethod
    def independent(cls, p: Array, importance: Array) -> Sets:
        """Each on with a probability of its own."""
        on = np.arange(2**p.size)[:, None] >> np.arange(p.size) & 1
        return cls(p.size, np.where(on, p, 1 - p).prod(axis=1), importance)

    @classmethod
    def one_on(cls, n: int, importance: Array) -> Sets:
        """One feature at a time, all equally often: the limit of rare features."""
        chance = np.zeros(2**n)
        chance[2 ** np.arange(n)] = 1 / n
        return cls(n, chance, importance)

    @cached_property
    def members(self) -> NDArray[np.bool_]:
        """Which features a set has, shape (2ⁿ, n)."""
        found: NDArray[np.bool_] = (np.arange(2**self.n)[:, None] >> np.arange(self.n) & 1) > 0
        return found

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """How many features are in a set."""
        found: NDArray[np.int64] = self.members.sum(axis=1)
        return found


def losses(sets: Sets, w: Array, b: Array) -> tuple[Array, Array, Array]:
    """Mean squared errors of all outputs for W = `w`, and derivatives in W and b.

    Each output's own, without importance: shapes (n,), (n, n), (n,).
    """
    if not sets.chance[sets.sizes != 1].any():
        return _one_on(sets, w, b)
    found = [_row(sets, w[i], float(b[i]), i) for i in range(sets.n)]
    return (
        np.array([x[0] for x in found]),
        np.array([x[1] for x in found]),
        np.array([x[2] for x in found]),
    )


def open_moments(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """Integrals of 1, u and u² over the u in [0, 1] with au + b > 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.where(a != 0, np.clip(-b / a, 0, 1), 0.0)
    low = np.where(b > 0, 0.0, np.where(a + b > 0, root, 1.0))
    high = np.where(a + b > 0, 1.0, np.where(b > 0, root, low))
    return high - low, (high**2 - low**2) / 2, (high**3 - low**3) / 3


def _one_on(sets: Sets, w: Array, b: Array) -> tuple[Array, Array, Array]:
    """The same where one feature is on at a time, integrals over the u that open the ReLU."""
    at = b[:, None]
    m0, m1, m2 = open_moments(w, at)
    own, chance = np.eye(sets.n), sets.chance[2 ** np.arange(sets.n)]
    loss = at**2 * m0 + 2 * at * w * m1 + w**2 * m2 + own * (_POWER - 2 * (at * m1 + w * m2))
    by_w, by_b = 2 * (at * m1 + (w - own) * m2), 2 * (at * m0 + (w - own) * m1)
    return loss @ chance, by_w * chance, by_b @ chance


def _row(sets: Sets, w: Array, b: float, i: int) -> tuple[float, Array, float]:
    n, members = sets.n, sets.members
    weights = np.array([round(float(x) * 2**_BITS) or 1 for x in w], object)
    ends = np.full(2**n, round(b * 2**_BITS), object) + (members @ weights)
    ends = np.where(ends > 0, ends, 0)
    loss, slope, by_b = 0.0, np.zeros(n), 0.0
    for k in np.unique(sets.sizes[sets.chance > 0]):
        some = np.flatnonzero((sets.sizes == k) & (sets.chance > 0))
        if not k:
            top, one = float(ends[0] / 2**_BITS), float(ends[0] > 0)
            loss += sets.chance[0] * top**2
            by_b += sets.chance[0] * 2 * top * one
            continue
        # Signed sums over subsets of (b + Σ_T w)_+^{k+2-q}, those of T ∋ j in the columns.
        inside = members.T.astype(int).astype(object)
        lower = ends**k if k else ends
        second = _signed(np.concatenate([[lower], lower * inside]), n)[:, some]
        first = _signed(np.concatenate([[lower * ends], lower * ends * inside]), n)[:, some]
        whole = _signed((lower * ends * ends)[None], n)[0, some]
        both = _signed(lower * inside * inside[i], n)[:, some]
        for c, v in enumerate(some):
            on = np.flatnonzero(members[v])
            found = _of_set(int(k), weights, on, i, whole[c], first[:, c], second[:, c], both[:, c])
            chance = sets.chance[v]
            loss += chance * found[0]
            slope[on] += chance * found[1]
            by_b += chance * found[2]
    return loss, slope, by_b


def _signed(f: NDArray[np.object_], n: int) -> NDArray[np.object_]:
    """Σ_{T ⊆ V} (-1)^{|V| - |T|} f(T) of all V, along the last axis."""
    f = f.copy()
    for j in range(n):
        pairs = f.reshape(*f.shape[:-1], -1, 2, 2**j)
        pairs[..., 1, :] -= pairs[..., 0, :]
    return f


def _of_set(
    k: int,
    w: NDArray[np.object_],
    on: NDArray[np.intp],
    i: int,
    whole: int,
    first: NDArray[np.object_],
    second: NDArray[np.object_],
    both: NDArray[np.object_],
) -> tuple[float, Array, float]:
    """Mean of (u_i - v_+)² and its derivatives in the weights that are on and the bias.

    `whole`, `first`, `second` are sums of powers k + 2, k + 1, k; `both` those of T ∋ i, j.
    """
    product, unit = 1, 2**_BITS
    for j in on:
        product *= w[j]
    scale = factorial(k + 2) * product
    value = whole / (scale * unit**2)  # F
    slopes = [((k + 2) * w[j] * first[1 + j] - whole) / (scale * w[j] * unit) for j in on]
    by_b = first[0] / (factorial(k + 1) * product * unit)
    loss, by_w = 2 * value, 2 * np.array(slopes, float)
    moved = 2 * by_b
    if i in on:
        own = int(np.flatnonzero(on == i)[0])
        loss += _POWER - 2 * slopes[own]
        for c, j in enumerate(on):
            top = (k + 2) * (k + 1) * w[i] * w[j] * both[j] + whole * (2 if i == j else 1)
            top -= (k + 2) * (w[j] * first[1 + j] + w[i] * first[1 + i])
            by_w[c] -= 2 * (top / (scale * w[i] * w[j]))
        top = (k + 1) * w[i] * second[1 + i] - first[0]
        moved -= 2 * (top / (factorial(k + 1) * w[i] * product))
    return float(loss), by_w, float(moved)
