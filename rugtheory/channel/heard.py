r"""Q = Σ_j log(1 + o_j E e^{s w_j u}) of many rows at the nodes of a contour, and its slopes in w.

From tables of the logarithm, as products of matrices; `rugtheory.channel.listed` takes them term by
term.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude, Complex
from .weight_bins import Axis, OddsRange, Spread
from .weight_groups import Sums
from .weight_table import MomentTable, WeightTable


@dataclass(frozen=True, eq=False)
class Senders:
    """Features of one kind, as far as rows hear them.

    Attributes
    ----------
    amplitude : Amplitude
    columns : slice or ndarray of int
        Which they are.
    odds : ndarray
        p/(1 - p) of each.
    """

    amplitude: Amplitude
    columns: Any
    odds: Array

    @cached_property
    def range(self) -> OddsRange:
        """Of the odds."""
        return OddsRange.of(self.odds)

    @classmethod
    def of(cls, columns: NDArray[np.intp], p: float | Array, amplitude: Amplitude) -> Senders:
        """With a slice for the columns if there is one, of which a view is enough."""
        odds = np.broadcast_to(p / (1 - p), columns.shape)
        step = int(columns[1] - columns[0]) if columns.size > 1 else 1
        if step > 0 and np.all(np.diff(columns) == step):
            return cls(amplitude, slice(int(columns[0]), int(columns[-1]) + 1, step), odds)
        return cls(amplitude, columns, odds)


class Nodes:
    """What is known at the nodes of a contour, or at real s."""

    def __init__(self, senders: list[Senders], nodes: Complex, axis: Axis) -> None:
        self.senders, self.nodes, self.axis = senders, nodes, axis
        self.real = not nodes.imag.any()
        self.error = max((x.amplitude.transform_error for x in senders), default=0.0)
        self._own: dict[Amplitude, MomentTable] = {}
        self._transforms: dict[Amplitude, MomentTable] = {}

    def own(self, law: Amplitude) -> MomentTable:
        """Of the feature of an output."""
        return self._own.setdefault(law, MomentTable(law, self.nodes, self.axis))

    def transforms(self, law: Amplitude) -> MomentTable:
        """Of features that others depend on."""
        known = self._transforms
        return known.setdefault(law, MomentTable(law, self.nodes, self.axis, orders=(0,)))

    @cached_property
    def tables(self) -> list[WeightTable]:
        """Of the terms, of each kind of features."""
        return [WeightTable(x.amplitude, x.range, self.nodes, self.axis) for x in self.senders]


class Heard(ABC):
    """The terms of some rows.

    Parameters
    ----------
    senders : list of Senders
    w : ndarray, shape (rows, features)
        In units of the rows.
    left_out : ndarray of bool, same shape
        Terms that are none.
    axis : Axis
    """

    def __init__(
        self, senders: list[Senders], w: Array, left_out: NDArray[np.bool_], axis: Axis
    ) -> None:
        self.senders, self.w, self.left_out, self.axis = senders, w, left_out, axis

    @abstractmethod
    def exponent(self, at: Nodes, rows: NDArray[np.int64]) -> tuple[Complex, Array]:
        """Q of some rows at the nodes, and its error."""

    @abstractmethod
    def add(self, at: Nodes, rows: NDArray[np.int64], moved: Complex) -> None:
        """Collect Re Σ_k moved_k dQ(s_k)/dw of some rows."""

    @abstractmethod
    def slopes(self) -> list[Array]:
        """What was collected, for each kind of features: shape (rows, columns)."""


class Binned(Heard):
    """From tables."""

    def __init__(
        self, senders: list[Senders], w: Array, left_out: NDArray[np.bool_], axis: Axis
    ) -> None:
        super().__init__(senders, w, left_out, axis)
        self.spreads = [
            Spread.of(w[:, x.columns], left_out[:, x.columns], axis, x.odds, x.range)
            for x in senders
        ]
        self.sums = [Sums(x.sums()) for x in self.spreads]

    def exponent(self, at: Nodes, rows: NDArray[np.int64]) -> tuple[Complex, Array]:
        both, error = np.zeros((rows.size, 2 * at.nodes.size)), np.zeros((rows.size, at.nodes.size))
        for table, spread, sums in zip(at.tables, self.spreads, self.sums, strict=True):
            one, inexact = table.exponent(spread.bins, sums, rows)
            both, error = both + one, error + inexact
        q = np.empty((rows.size, at.nodes.size), np.complex128)
        q.real, q.imag = np.split(both, 2, axis=1)
        return q, error

    @cached_property
    def _sensitivity(self) -> list[Array]:
        return [np.zeros_like(x.powers) for x in self.sums]

    def add(self, at: Nodes, rows: NDArray[np.int64], moved: Complex) -> None:
        both = np.concatenate([moved.real, -moved.imag], axis=1)
        for table, spread, found in zip(at.tables, self.spreads, self._sensitivity, strict=True):
            found[rows] = table.slopes(spread.bins, both)

    def slopes(self) -> list[Array]:
        return [
            spread.slopes(found) / spread.stretch(self.w[:, x.columns], self.axis)
            for x, spread, found in zip(self.senders, self.spreads, self._sensitivity, strict=True)
        ]
