r"""The reading that hears what the rows of a class hear on average.

With μ(w) the mean number of weights w in a row of the class, what is heard has the transform

.. math:: E\,e^{sZ} = \exp ∫ \log M(ws)\, dμ(w), \qquad M(t) = E\,e^{tx},

as if each term of each row were there for a part, one over the number of rows.  It is a row like
any other, inverted as `rugtheory.channel.many_rows` does, with sums over the weights of all rows.
The derivative of its loss in μ(w) is the influence of one further weight w.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude, Complex
from .heard import Heard, Nodes, Senders
from .many_rows import HEIGHTS, OutputBlock, Together
from .outputs import Outputs, heard_power
from .row_laws import RowScenario
from .weight_bins import GROUP, Axis, Spread
from .weight_groups import Sums

# Lower contours have losses as good, but not slopes, on which a descent goes down.
_SMOOTH = HEIGHTS[2:]
# Where features are rare; tables of features of several p would be too large.
_HIGH = (1600.0, 3200.0)
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
        alike = not any(np.ndim(kind.p) for kind in self.kinds)
        self.heights = [*_SMOOTH, *(_HIGH if alike else ())]
        self._known: dict[float, Together] = {}

    def __call__(self, terms: Terms, a: float, b: float, *, slopes: bool = False) -> PooledLoss:
        """Loss of the decoder ReLU(a (x + Z) + b); derivatives with `slopes`."""
        outputs = Outputs(
            np.zeros(1, np.int64),
            np.array([[a]]),
            np.array([b]),
            np.zeros(1),
            np.array([self.p]),
            (self.amplitude,),
            np.zeros(1, np.int64),
        )
        none: Array = np.zeros(0)
        best, least = PooledLoss(np.nan, np.inf, none, 0.0, 0.0), self.heights[0]
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
                least = height
            if best.error <= self.rtol * best.value:
                break
        # Lower contours are not tried again; longer ones may serve no row at all.
        self.heights = [height for height in self.heights if height >= least]
        return best


class PooledBlock(OutputBlock):
    """One output that hears the weights of many rows, each of them for a part."""

    def __init__(self, of: Together, outputs: Outputs, terms: Terms) -> None:
        self.of, self.outputs, self.m, self.terms = of, outputs, 1, terms
        a = float(outputs.a[0])
        # Any terms, in any number, where all features are of one kind.
        alone = len(of.senders) == 1
        self.columns = [slice(None) if alone else x.columns for x in of.senders]
        parts = list(zip(of.senders, self.columns, strict=True))
        power = [heard_power(terms.w[:, columns], x.amplitude).sum() for x, columns in parts]
        self._measure(np.array([a**2 * np.sum(power) / terms.rows]))
        # Weights in units of the row.
        self.scale = a / float(self.unit[0])
        self.pools = [_Pool(x, terms, columns, self.scale, of.axis) for x, columns in parts]
        self.ends = [pool.ends for pool in self.pools]
        self.log_none = np.array([sum(pool.log_none for pool in self.pools)])
        self.heard = _Pools(self.pools)

    def log_bounds(self) -> tuple[Array, Array]:
        """As for rows, where a part of a term is still the transform of a measure.

        Powers (1 + o E e^{swu})^k that are no integers have branch points, of which those on the
        real axis are of the measure's tails: past them there is no bound on images.
        """
        bounds, heard = super().log_bounds()
        return np.where(self._smooth(), bounds, np.inf), heard

    def slopes(self, by_a: Array, by_b: Array) -> Array:
        """Derivatives in all weights, flat, and in a."""
        w, scale = self.terms.w, self.scale
        by_w = np.empty_like(w)
        # Losses are in units of the square of the row, weights in units of the row.
        factor = float(self.unit[0]) ** 2 * scale
        for columns, slopes in zip(self.columns, self.heard.slopes(), strict=True):
            by_w[:, columns] = factor * slopes
        return np.append(by_w, by_a[0] + np.vdot(by_w, w) / float(self.outputs.a[0]))


class _Pool:
    """The terms of one kind of features, taken apart some at a time."""

    def __init__(
        self, sender: Senders, terms: Terms, columns: Any, scale: float, axis: Axis
    ) -> None:
        self.sender, self.axis, self.rows, self.scale = sender, axis, terms.rows, scale
        part = terms.w[:, columns]
        self.shape, self.flat = part.shape, part.reshape(-1)
        least, most = scale * part.min(), scale * part.max()
        self.ends = np.array([least]), np.array([most])
        first, last = axis.place(np.array([least, most]))[0] // GROUP
        self.bins = np.arange(first * GROUP, (last + 1) * GROUP)
        self.near = all(axis.near(int(k)) for k in self.bins[[0, -1]])
        # All terms have the odds of their columns, of which there is one if all are alike.
        self.powers = (sender.odds[:, None] * sender.range.powers(sender.odds)).T
        self.alike = len(self.powers) == 1
        own = _own(terms, np.arange(terms.w.shape[1])[columns])
        off = -np.log1p(sender.odds)
        one_row = float(off[0]) * part.shape[1] if self.alike else float(off.sum())
        self.log_none = (len(part) * one_row - float(off[own[1]].sum())) / terms.rows
        self.left_out = np.ravel_multi_index(own, part.shape)
        sums = sum(spread.sums() for _, spread in self.spreads())
        self.sums = Sums(np.asarray(sums) / terms.rows)

    def spreads(self) -> Iterator[tuple[slice, Spread]]:
        """The terms, flat and some at a time, as those of one row."""
        columns = self.shape[1]
        step = _CHUNK if self.alike else columns * max(1, _CHUNK // columns)
        for start in range(0, self.flat.size, step):
            some = slice(start, min(start + step, self.flat.size))
            k, x = self.axis.place(self.scale * self.flat[some])
            place = k - self.bins[0]
            gone = self.left_out[(self.left_out >= start) & (self.left_out < some.stop)]
            place[gone - start] = self.bins.size
            powers = self.powers[:, :1] if self.alike else np.tile(self.powers, x.size // columns)
            yield some, Spread(self.bins, place, x, powers, self.sender.range, 1, self.near)

    def slopes(self, sensitivity: Array) -> Array:
        """In weights in units of the row, from those in the sums."""
        found = np.empty(self.flat.size)
        for some, spread in self.spreads():
            stretch = spread.stretch(self.scale * self.flat[some], self.axis)
            found[some] = spread.slopes(sensitivity)[0] / stretch / self.rows
        return found.reshape(self.shape)


def _own(terms: Terms, columns: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns, among these, of the features that are read."""
    if terms.own is None:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    rows = np.flatnonzero(np.isin(terms.own, columns))
    return rows, np.searchsorted(columns, terms.own[rows])


class _Pools(Heard):
    """What one output hears of all kinds."""

    def __init__(self, pools: list[_Pool]) -> None:
        self.pools = pools
        self._sensitivity = [np.zeros_like(pool.sums.powers) for pool in pools]

    def exponent(self, at: Nodes, rows: NDArray[np.int64]) -> tuple[Complex, Array]:
        q, error = np.zeros((1, at.nodes.size), np.complex128), np.zeros((1, at.nodes.size))
        for table, pool in zip(at.tables, self.pools, strict=True):
            both, inexact = table.exponent(pool.bins, pool.sums, rows)
            q += both[:, : at.nodes.size] + 1j * both[:, at.nodes.size :]
            error += inexact
        return q, error

    def add(self, at: Nodes, rows: NDArray[np.int64], moved: Complex) -> None:
        both = np.concatenate([moved.real, -moved.imag], axis=1)
        for table, pool, found in zip(at.tables, self.pools, self._sensitivity, strict=True):
            found += table.slopes(pool.bins, both)

    def slopes(self) -> list[Array]:
        return [
            pool.slopes(found) for pool, found in zip(self.pools, self._sensitivity, strict=True)
        ]
