r"""The reading that hears what the rows of a class hear on average.

With μ(w) the mean number of weights w in a row of the class, what is heard has the transform

.. math:: E\,e^{sZ} = \exp ∫ \log M(ws)\, dμ(w), \qquad M(t) = E\,e^{tx},

as if each term of each row were there for a part, one over the number of rows.  It is a row like
any other, inverted as `rugtheory.channel.many_rows` does, with sums over the weights of all rows.
The derivative of its loss in μ(w) is the influence of one further weight w.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude
from .many_rows import HEIGHTS, OutputBlock, Together
from .outputs import Outputs, heard_power
from .row_laws import RowScenario
from .weight_table import ORDER, Spread

# Weights at a time: so few that they stay in the caches.
_CHUNK = 2**14


class PooledLoss(NamedTuple):
    """Loss of a pooled reading, its error, and derivatives; those in weights in their shape."""

    value: float
    error: float
    by_w: Array
    by_a: float
    by_b: float


class Terms(NamedTuple):
    """Weights of rows of a class, per unit diagonal.

    Attributes
    ----------
    w : ndarray, shape (m, n)
        Of all features, or of shape (1, N) and of any N terms if all features are of one law.
    rows : float
        How many rows they are those of.
    own : ndarray of int, shape (m,), or None
        Column of the feature that is read, where w is 0; None if no such entries are in `w`.
    """

    w: Array
    rows: float
    own: NDArray[np.int64] | None = None


class Pooled:
    """Mean readings of features of one law.

    Parameters
    ----------
    scenario : RowScenario
        The law of all features, of which `Together.can` is true.
    p : float
        Probability of the features that are read.
    amplitude : Amplitude
        Their law.
    rtol : float
        Relative error to aim at, on longer and longer contours.
    """

    def __init__(self, scenario: RowScenario, p: float, amplitude: Amplitude, rtol: float) -> None:
        self.kinds, self.p, self.amplitude, self.rtol = scenario.kinds, p, amplitude, rtol
        self.heights = list(HEIGHTS)
        self._known: dict[float, Together] = {}

    def __call__(self, terms: Terms, a: float, b: float, *, slopes: bool = False) -> PooledLoss:
        """Loss of the decoder ReLU(a (x + Z) + b); derivatives with `slopes`."""
        outputs = Outputs(
            np.zeros(1, np.int64),
            np.array([[a]]),
            np.array([b]),
            np.zeros(1),
            np.array([self.p]),
            [self.amplitude],
        )
        none: Array = np.zeros(0)
        best = PooledLoss(np.nan, np.inf, none, 0.0, 0.0)
        for height in tuple(self.heights):
            if height not in self._known:
                self._known[height] = Together(self.kinds, height, self.rtol)
            block = PooledBlock(self._known[height], outputs, terms)
            found = block.losses(slopes)
            if found.error[0] < best.error:
                by_w, by_a, by_b = none, 0.0, 0.0
                if slopes:
                    assert found.by_w is not None and found.by_b is not None
                    by_w, by_a = found.by_w[:-1].reshape(terms.w.shape), found.by_w[-1]
                    by_b = float(found.by_b[0])
                best = PooledLoss(
                    float(found.value[0]), float(found.error[0]), by_w, float(by_a), by_b
                )
            if best.error <= self.rtol * best.value:
                break
            if height != HEIGHTS[-1]:
                self.heights.remove(height)
        return best


class PooledBlock(OutputBlock):
    """One output that hears the weights of many rows, each of them for a part."""

    def __init__(self, of: Together, outputs: Outputs, terms: Terms) -> None:
        self.of, self.outputs, self.m, self.terms = of, outputs, 1, terms
        a, power = float(outputs.a[0]), 0.0
        for kind, k in enumerate(of.kinds):
            power += float(heard_power(self._part(terms.w, kind), k.amplitude).sum())
        self._measure(np.array([a**2 * power / terms.rows]))
        # Weights in units of the row.
        self.scale = a / float(self.unit[0])
        self.log_none = np.zeros(1)
        self.ends, self.sums = [], []
        self.chunks: list[list[Spread]] = []
        for kind in range(len(of.kinds)):
            self._take_apart(kind)

    def _part(self, w: Array, kind: int) -> Array:
        """The weights of the features of a kind."""
        return w if len(self.of.kinds) == 1 else w[:, self.of.kinds[kind].columns]

    def _take_apart(self, kind: int) -> None:
        of, w = self.of, self._part(self.terms.w, kind)
        rows, own = self.terms.rows, self._own(kind)
        ends = self.scale * np.array([w.min(), w.max()])
        self.ends.append((ends[:1], ends[1:]))
        first, last = np.sort(of.axis.place(ends)[0])
        bins = np.arange(first, last + 1)
        total = np.zeros(of.ranges[kind].order * ORDER * bins.size)
        spreads = []
        for some, by_odds in self._chunks(w, kind):
            k, x = of.axis.place(some * self.scale)
            spreads.append(Spread(bins, k - first, x, by_odds, 1))
            total += spreads[-1].sums()[0]
        self.chunks.append(spreads)
        by_column = self._by_odds(kind)
        off = -np.log1p(of.odds[kind])
        # All terms have the odds of their columns, of which there is one if all are alike.
        log_none = off[0] * w.size if len(by_column) == 1 else off.sum() * len(w)
        if own.size:
            # At the lower end of the bin of 0.
            powers = by_column[:, own].sum(axis=1)[:, None] * (-1.0) ** np.arange(ORDER)
            total.reshape(-1, bins.size)[:, -first] -= powers.ravel()
            log_none -= off[own].sum()
        self.sums.append(total[None] / rows)
        self.log_none += log_none / rows

    def _own(self, kind: int) -> NDArray[np.int64]:
        """Which columns of a kind those of the features that are read are."""
        own = self.terms.own
        if own is None:
            return np.zeros(0, np.int64)
        columns = self.of.kinds[kind].columns
        return np.searchsorted(columns, own[np.isin(own, columns)])

    def _by_odds(self, kind: int) -> Array:
        """Odds times powers of them, shape (order, columns)."""
        odds = self.of.odds[kind]
        return np.asarray(odds * self.of.ranges[kind].powers(odds).T)

    def _chunks(self, w: Array, kind: int) -> Iterator[tuple[Array, Array]]:
        """The weights, flat and some at a time, and odds times their powers of each."""
        by_column = self._by_odds(kind)
        if len(by_column) == 1:
            flat = w.reshape(-1)
            for start in range(0, flat.size, _CHUNK):
                some = flat[start : start + _CHUNK]
                yield some, np.broadcast_to(by_column[:, :1], (1, some.size))
        else:
            step = max(1, _CHUNK // w.shape[1])
            for start in range(0, len(w), step):
                some = w[start : start + step]
                yield some.reshape(-1), np.tile(by_column, len(some))

    def bins(self, kind: int) -> NDArray[np.int64]:
        """Those of the weights of the features of a kind."""
        return self.chunks[kind][0].bins

    def slopes(self, sensitivity: list[Array], by_a: Array, by_b: Array) -> Array:
        """Derivatives in all weights, flat, and in a."""
        w, scale = self.terms.w, self.scale
        by_w = np.empty_like(w)
        # Losses are in units of the square of the row, weights in units of the row.
        factor = float(self.unit[0]) ** 2 * scale / self.terms.rows
        for kind, (spreads, found) in enumerate(zip(self.chunks, sensitivity, strict=True)):
            part = self._part(w, kind)
            slopes = np.empty(part.size)
            start, flat = 0, part.reshape(-1)
            for spread in spreads:
                some = slice(start, start + spread.x.size)
                start = some.stop
                slopes[some] = spread.slopes(found)[0]
                slopes[some] *= factor / spread.stretch(scale * flat[some], self.of.axis)
            if len(self.chunks) == 1:
                by_w = slopes.reshape(w.shape)
            else:
                by_w[:, self.of.kinds[kind].columns] = slopes.reshape(part.shape)
        return np.append(by_w, by_a[0] + np.vdot(by_w, w) / float(self.outputs.a[0]))
