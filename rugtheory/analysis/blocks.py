"""Losses of the outputs of a model in blocks, where that takes less than one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..channel.apart import Apart
from ..channel.many_rows import Together
from ..channel.outputs import Losses, Outputs
from ..channel.row_laws import RowLaws
from ..model.model import Model
from ..source.features import Features

# Weights in a block: so few that they stay in the caches; and in a strip of blocks: so many that
# products with all other weights, which are read anew for each, take no longer than one of all.
_BLOCK, _STRIP = 2**19, 2**24
# Of fewer outputs in all each is taken by itself, or of fewer terms where features are of several
# p, whose tables have more columns.
_MANY, _MANY_TERMS = 96, 2**17
# Where features depend on each other an output takes far longer by itself.
_ENOUGH_DEPENDENT, _DEPENDENT_TERMS = 4, 2**10
# Contours on which outputs are taken term by term, where derivatives are asked for, and so many
# terms that it takes less than tables: of features of one p, and of several, whose tables have more
# columns and are filled anew as weights move.
_LISTED, _FEW_TERMS, _FEW_UNLIKE = (400.0, 800.0, 1600.0, 6400.0), 144, 2**16
_LISTED_UNLIKE = (100.0, 140.0, 200.0, 280.0, 400.0, 560.0, 800.0, 1600.0, 6400.0)
# Of outputs of unlike features errors may be so many times the tolerance of the mean: true ones
# are a thousandth of these at heights of 100 to 200.
_LOOSE = 10.0
# A height that serves fewer of the outputs of a block is not tried again.
_SERVES = 0.3
# Outputs by which the first height is chosen, and where features depend on each other; so many
# tell of more than a few whether to take them term by term.
_TRIED, _TRIED_DEPENDENT, _FEW = 3, 6, 12
# Where there are tables; lower contours term by term seldom serve what they miss.
_LEAST_LISTED = 800.0
# Contours that serve less than one in so many outputs of a block are not tabulated for one model.
_PART = 64
# Outputs whose errors contours term by term do not make smaller by this factor are not taken on
# them again, until errors have grown by it.
_GAIN = 2.0


class Rung(NamedTuple):
    """Contours on which outputs are taken.

    Attributes
    ----------
    height : float
        In inverse units of a row.
    enough : int
        Outputs left for which tables pay.
    apart : bool
        Whether losses with the own feature on and off have contours of their own.
    listed : bool
        Whether term by term, without tables.
    """

    height: float
    enough: int = 1
    apart: bool = False
    listed: bool = False

    def contours(self, laws: RowLaws, rtol: float, fewest: int = 1) -> list[Together]:
        """Those of each scenario."""
        made = Apart if self.apart else Together
        return [
            made(x.kinds, self.height, rtol, listed=self.listed, fewest=fewest, families=x.families)
            for x in laws.scenarios
        ]


# By what they cost.
_TABLES = (
    Rung(100.0, 16),
    Rung(150.0, 20),
    Rung(240.0, 24),
    Rung(400.0, 32),
    Rung(400.0, 96, apart=True),
    Rung(800.0, 48),
    Rung(800.0, 192, apart=True),
    Rung(1600.0, 96),
    Rung(3200.0, 96),
    Rung(1600.0, 384, apart=True),
)


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
    together : bool
        Whether errors of unlike outputs taken term by term may be those of the mean loss.
    """

    def __init__(
        self,
        features: Features,
        rtol: float,
        rows: int,
        *,
        again: bool = False,
        together: bool = False,
    ) -> None:
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
        # Each output of unlike features has rungs of its own that need not be tried again.
        own = few and self.unlike and not self.dependent
        self._own, self._passed = own, np.zeros(self.n, np.int64)
        # Relative errors with which outputs were taken term by term in vain.
        self._vain = np.zeros(self.n)
        self._importance = features.importance if together and own else None
        self.rungs = [
            rung
            for rung in _TABLES
            if able
            and not few
            and (alike or not rung.apart)
            and (again or (rows >= self._enough(rung) and not seldom))
        ]
        least = _LEAST_LISTED if self.rungs else 0.0
        if again and listed:
            heights = _LISTED_UNLIKE if own else _LISTED
            self.rungs += [Rung(h, listed=True) for h in heights if h >= least]
        # The first rung to be tried is a table if there are any: the highest may be better than
        # all contours term by term.
        first = [rung for rung in self.rungs if rung.listed == self.rungs[0].listed]
        self._last = len(first) - 1
        self._size, self._strip = (min(rows, max(1, x // self.n)) for x in (_BLOCK, _STRIP))
        self._known: dict[Rung, list[Together]] = {}
        self._distinct = tuple(dict.fromkeys(self.laws.amplitudes))
        numbers = {law: k for k, law in enumerate(self._distinct)}
        self._law = np.array([numbers[law] for law in self.laws.amplitudes])

    def __iter__(self) -> Iterator[slice]:
        """The outputs, as many at a time as make a strip."""
        for start in range(0, self.rows, self._strip):
            yield slice(start, min(start + self._strip, self.rows))

    def __call__(
        self, model: Model, rows: NDArray[np.int64], w: Array, *, slopes: bool = False
    ) -> Losses:
        """Losses of `rows` of a model, W_ij in `w`, shape (m, n); derivatives with `slopes`."""
        parts = (slice(k, k + self._size) for k in range(0, max(1, rows.size), self._size))
        return Losses.joined([self._block(model, rows[x], w[x], slopes) for x in parts])

    def _block(self, model: Model, rows: NDArray[np.int64], w: Array, slopes: bool) -> Losses:
        """Losses of a few rows."""
        found = Losses.none(rows.size, w.shape[1], slopes)
        if model.activation != "relu":
            return found
        if self._first < 0:
            self._first = self._start(model, rows, w)
        left, few = np.arange(rows.size), rows.size / 2
        # Heights of tables that serve an output, if not well enough.
        known = np.zeros(rows.size)
        best = self._passed[rows]
        listed = np.full(rows.size, np.nan)  # errors with which outputs are taken term by term
        for k, rung in enumerate(self.rungs[self._first :], self._first):
            some = left
            if rung.listed:
                vain = found.error <= _GAIN * self._vain[rows] * found.value
                some = some[(known[some] < rung.height) & ~vain[some]]
                listed[some] = np.fmax(listed[some], found.error[some])
            if self._own:
                some = some[self._passed[rows[some]] <= k]
            if some.size < self._enough(rung):
                continue
            if rung.listed and not self._gains(rung, model, rows, w, some, found):
                continue
            before = found.error[some]
            found.improve(some, self.at(rung, model, rows[some], w[some], slopes))
            best[some[found.error[some] < before]] = k
            known[some[np.isfinite(found.error[some])]] = rung.height
            served = found.error <= self._allowed(rows, found)
            if np.mean(served[some]) < _SERVES and some.size > few and k < self._last:
                self._first = max(self._first, k + 1)
            left = left[~served[left]]
        spent = left[found.error[left] > listed[left] / _GAIN]
        self._vain[rows[spent]] = _relative(listed[spent], found.value[spent])
        # One at a time, for a step that went too far may have asked for more than the next does.
        if self._own:
            self._passed[rows] += best > self._passed[rows]
        return found

    def _gains(
        self,
        rung: Rung,
        model: Model,
        rows: NDArray[np.int64],
        w: Array,
        some: NDArray[np.int64],
        found: Losses,
    ) -> bool:
        """Whether it makes errors of `some` smaller, by a few of them where there are many."""
        relative = _relative(found.error[some], found.value[some])
        if some.size <= _FEW or not np.all(np.isfinite(relative)):
            return True
        by_error = some[np.argsort(relative, kind="stable")]
        few = by_error[np.linspace(0, some.size - 1, _TRIED).astype(np.int64)]
        tried = self.at(rung, model, rows[few], w[few], False)
        return bool(np.any(tried.error < found.error[few] / _GAIN))

    def _allowed(self, rows: NDArray[np.int64], found: Losses) -> Array:
        """Errors that losses may have; NaN where there are none yet."""
        if self._importance is None:
            return self.rtol * found.value
        share = self._importance[rows]
        known = np.isfinite(found.value) & (share > 0)
        mean = np.sum(share[known] * found.value[known]) / max(1, rows.size)
        least = np.divide(_LOOSE * mean, share, out=np.zeros(rows.size), where=known)
        return self.rtol * np.maximum(found.value, least)

    def _enough(self, rung: Rung) -> int:
        """Outputs left for which it pays."""
        if self._again:
            return 1
        return _ENOUGH_DEPENDENT if self.dependent else rung.enough

    def _start(self, model: Model, rows: NDArray[np.int64], w: Array) -> int:
        """The first rung that serves most of a few outputs, where tables take longer than those.

        The last one for losses of one model if none does.
        """
        tried = _TRIED_DEPENDENT if self.dependent else _TRIED
        some = np.unique(np.linspace(0, rows.size - 1, tried).astype(np.int64))
        for k, rung in enumerate(self.rungs):
            if rung.listed or not (self.unlike or self.dependent):
                break
            contours = rung._replace(listed=True).contours(self.laws, self.rtol)
            found = self._losses(contours, model, rows[some], w[some], False)
            if np.mean(found.error <= self.rtol * found.value) > 0.5:
                return k
        return max(len(self.rungs) - 1, 0) if self.dependent and not self._again else 0

    def at(
        self,
        rung: Rung,
        model: Model,
        rows: NDArray[np.int64],
        w: Array,
        slopes: bool,
    ) -> Losses:
        """Those on the contours of a rung."""
        if rung not in self._known:
            fewest = 1 if self._again or self.dependent else 1 + self._size // _PART
            self._known[rung] = rung.contours(self.laws, self.rtol, fewest)
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


def _relative(error: Array, value: Array) -> Array:
    """Errors in units of losses, infinite where nothing is lost."""
    return np.asarray(np.divide(error, value, out=np.full(value.size, np.inf), where=value > 0))
