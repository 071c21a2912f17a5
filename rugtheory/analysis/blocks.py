"""Losses of the outputs of a model in blocks, where that takes less than one by one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..channel.many_rows import HEIGHTS, Together
from ..channel.outputs import Losses, Outputs
from ..channel.row_laws import RowLaws
from ..model.model import Model
from ..source.features import Features

# Weights in a block: so many that the product pays, so few that they stay in the caches.
_BLOCK = 2**19
# Outputs left for which the tables of each height pay.  Of fewer outputs in all each is taken by
# itself, or of fewer terms where features are of several p, whose tables have more columns.
_ENOUGH, _MANY, _MANY_TERMS = (16, 20, 24, 48, 96, 256, 1024), 96, 2**17
# The same where features depend on each other, of which an output takes far longer by itself.
_ENOUGH_DEPENDENT, _DEPENDENT_TERMS = 4, 2**10
# Contours on which outputs are taken term by term, where derivatives are asked for, and so many
# terms that it takes less than tables: of features of one p, and of several, whose tables have more
# columns and are filled anew as weights move.
_LISTED, _FEW_TERMS, _FEW_UNLIKE = (400.0, 800.0, 1600.0, 6400.0), 144, 2**13
# A height that serves fewer of the outputs of a block is not tried again.
_SERVES = 0.3
# Outputs by which the first height is chosen, and where features depend on each other.
_TRIED, _TRIED_DEPENDENT = 3, 6
# Tables of features of several p, or of dependent ones, have many columns: of heights up to this.
# Term by term it is the least where there are tables; lower contours seldom serve what they miss.
_LOW = 800.0
# Contours that serve less than one in so many outputs of a block are not tabulated for one model.
_PART = 64


class Blocks:
    """Losses of outputs with estimates of errors, infinite where there are none.

    Parameters
    ----------
    features : Features
    rtol : float
        Relative error to aim at; outputs that miss it are tried on longer contours.
    rows : int
        How many outputs there are to be.
    again : bool
        Whether for many models, and derivatives: tables always pay then, and outputs that they do
        not serve are taken term by term.
    """

    def __init__(self, features: Features, rtol: float, rows: int, *, again: bool = False) -> None:
        self.laws, self.rtol, self.rows, self.n = RowLaws(features), rtol, rows, len(features)
        scenarios = self.laws.scenarios
        self.unlike = any(np.ndim(kind.p) for x in scenarios for kind in x.kinds)
        self.dependent = any(x.blocks for x in scenarios)
        alike = not (self.unlike or self.dependent)
        able, listed = (all(Together.can(x, listed=y) for x in scenarios) for y in (False, True))
        few = again and listed and rows * self.n <= (_FEW_UNLIKE if self.unlike else _FEW_TERMS)
        seldom = rows < _MANY
        if not alike:
            seldom = rows * self.n < (_MANY_TERMS if self.unlike else _DEPENDENT_TERMS)
        self._again, self._first = again, -1  # number of the first rung, once it is chosen
        self.rungs = [
            (h, False)
            for k, h in enumerate(HEIGHTS)
            if able
            and not few
            and (alike or h <= _LOW)
            and (again or (rows >= self._enough(k) and not seldom))
        ]
        least = _LOW if self.rungs else 0.0
        self.rungs += [(h, True) for h in _LISTED if again and listed and h >= least]
        self._size = min(rows, max(1, _BLOCK // self.n))
        self._known: dict[tuple[float, bool], list[Together]] = {}
        self._distinct = tuple(dict.fromkeys(self.laws.amplitudes))
        numbers = {law: k for k, law in enumerate(self._distinct)}
        self._law = np.array([numbers[law] for law in self.laws.amplitudes])

    def __iter__(self) -> Iterator[slice]:
        """The outputs, as many at a time as make a block."""
        for start in range(0, self.rows, self._size):
            yield slice(start, min(start + self._size, self.rows))

    def __call__(
        self, model: Model, rows: NDArray[np.int64], w: Array, *, slopes: bool = False
    ) -> Losses:
        """Losses of `rows` of a model, W_ij in `w`, shape (m, n); derivatives with `slopes`."""
        found = Losses.none(rows.size, w.shape[1], slopes)
        if model.activation != "relu":
            return found
        if self._first < 0:
            self._first = self._start(model, rows, w)
        left, few = np.arange(rows.size), rows.size / 2
        # Heights of contours that serve an output, if not well enough: only higher ones do better.
        known = np.zeros(rows.size)
        for k, rung in enumerate(self.rungs[self._first :], self._first):
            some = left[known[left] < rung[0]]
            if some.size < self._enough(k):
                continue
            found.improve(some, self.at(rung, model, rows[some], w[some], slopes))
            known[some[np.isfinite(found.error[some])]] = rung[0]
            served = found.error[some] <= self.rtol * found.value[some]
            if np.mean(served) < _SERVES and rung != self.rungs[-1] and some.size > few:
                self._first = max(self._first, k + 1)
            left = left[~(found.error[left] <= self.rtol * found.value[left])]
        return found

    def _enough(self, rung: int) -> int:
        """Outputs left for which it pays."""
        if self._again:
            return 1
        return _ENOUGH_DEPENDENT if self.dependent else _ENOUGH[rung]

    def _start(self, model: Model, rows: NDArray[np.int64], w: Array) -> int:
        """The first rung that serves most of a few outputs, where tables take longer than those.

        The last one for losses of one model if none does.
        """
        tried = _TRIED_DEPENDENT if self.dependent else _TRIED
        some = np.unique(np.linspace(0, rows.size - 1, tried).astype(np.int64))
        for k, (height, listed) in enumerate(self.rungs):
            if listed or not (self.unlike or self.dependent):
                break
            contours = [
                Together(x.kinds, height, self.rtol, listed=True, families=x.families)
                for x in self.laws.scenarios
            ]
            found = self._losses(contours, model, rows[some], w[some], False)
            if np.mean(found.error <= self.rtol * found.value) > 0.5:
                return k
        return max(len(self.rungs) - 1, 0) if self.dependent and not self._again else 0

    def at(
        self,
        rung: tuple[float, bool],
        model: Model,
        rows: NDArray[np.int64],
        w: Array,
        slopes: bool,
    ) -> Losses:
        """Those on contours of one height, from tables or term by term."""
        if rung not in self._known:
            height, listed = rung
            fewest = 1 if self._again or self.dependent else 1 + self._size // _PART
            self._known[rung] = [
                Together(
                    x.kinds, height, self.rtol, listed=listed, fewest=fewest, families=x.families
                )
                for x in self.laws.scenarios
            ]
        return self._losses(self._known[rung], model, rows, w, slopes)

    def _losses(
        self,
        contours: list[Together],
        model: Model,
        rows: NDArray[np.int64],
        w: Array,
        slopes: bool,
    ) -> Losses:
        noise, found = model.output_noise[rows], []
        for scenario, together in zip(self.laws.scenarios, contours, strict=True):
            own = scenario.p[rows], self._distinct, self._law[rows]
            outputs = Outputs(rows, w, model.b[rows], noise, *own)
            found.append((scenario.probability, together(outputs, slopes=slopes)))
        return Losses.mixture(found)
