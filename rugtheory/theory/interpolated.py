"""Curves of very many features, interpolated over p.

Along rows of a grid of log p curves are cut into pieces.  Where rows have equally many, pieces go
over into each other as p changes: at the same share of the way, in log V, from the chord at one end
of a piece to that at the other, s² is a smooth function of p and of that share.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy

from .._check import Array
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from .capacity_curves import ALONE, DROPPED, Curve, Indices, Place, Table, curves_of
from .family import Family

Line = Callable[[Array], Array]
Surface = Callable[[Array, Array], Array]

_ACROSS = 384


class _Patch(NamedTuple):
    """A piece of consecutive rows: splines over rows, and over the way along it."""

    low: Line
    high: Line
    s: Surface
    loss: Surface
    a: Surface
    b: Surface


class _Strip(NamedTuple):
    """Consecutive rows of a law with equally many pieces."""

    chords: tuple[Line, ...]
    patches: tuple[_Patch | None, ...]


def grid(low: float, high: float, step: float) -> Array:
    """p from `low` to `high` in even steps of its logarithm, at most `step`, four at least."""
    steps = max(3, int(np.ceil((np.log(high) - np.log(low)) / step)))
    return np.asarray(np.minimum(np.geomspace(low, high, steps + 1), 1.0))


class InterpolatedTable:
    """As a `Table`, whose rows are features."""

    def __init__(
        self, family: Family, laws: tuple[Amplitude, ...], law: Indices, p: Array, step: float
    ) -> None:
        self.family = family
        self.strips: list[_Strip] = []
        self.lowest = np.inf
        self.strip = np.zeros(p.size, np.intp)
        self.at = np.zeros(p.size)
        self.variance = np.zeros(p.size)
        for k, amplitude in enumerate(laws):
            some = np.flatnonzero(law == k)
            if some.size:
                self.variance[some] = SparseSource(p[some], amplitude).variance
                self._add(amplitude, some, p[some], step)
        most = max(len(x.chords) for x in self.strips)
        self.chords = np.full((p.size, most), np.inf)
        for k, strip in enumerate(self.strips):
            some = np.flatnonzero(self.strip == k)
            for j, chord in enumerate(strip.chords):
                self.chords[some, j] = chord(self.at[some])

    def _add(self, amplitude: Amplitude, some: Indices, p: Array, step: float) -> None:
        rows = grid(float(p.min()), float(p.max()), step)
        curves = curves_of(self.family, amplitude, tuple(rows.tolist()))
        width = np.log(rows[-1] / rows[0]) / (rows.size - 1)
        at = np.log(p / rows[0]) / width if width > 0 else np.zeros_like(p)
        counts = np.array([len(x.pieces) for x in curves])
        edges = np.concatenate([[0], 1 + np.flatnonzero(np.diff(counts)), [rows.size]])
        nearest = np.searchsorted(edges, np.rint(at), side="right") - 1
        variance = SparseSource(rows, amplitude).variance
        for k, (one, two) in enumerate(pairwise(edges)):
            here = some[nearest == k]
            self.strip[here], self.at[here] = len(self.strips), at[nearest == k] - one
            self.strips.append(_strip(self.family, curves[one:two], variance[one:two]))
        keys = [piece.key[0] for curve in curves for piece in curve.pieces[:-1]]
        self.lowest = min(self.lowest, float(np.min([*keys, *(x.chords[0] for x in curves)])))

    def piece(self, row: Indices, price: Array) -> Indices:
        return np.asarray((self.chords[row] < price[..., None]).sum(axis=-1), np.intp)

    def place(self, row: Indices, piece: Indices, price: Array) -> Place:
        return Place(*self._look(row, piece, price, ("s", "loss")))

    def noise(self, row: Indices, piece: Indices, price: Array) -> Array:
        """s only."""
        return self._look(row, piece, price, ("s",))[0]

    def decoder(self, row: Indices, piece: Indices, price: Array) -> tuple[Array, Array]:
        """a and b, of features on a curve."""
        a, b = self._look(row, piece, price, ("a", "b"))
        return a, b

    def _look(
        self, row: Indices, piece: Indices, price: Array, names: tuple[str, ...]
    ) -> list[Array]:
        dropped = {"s": np.full(row.size, DROPPED), "loss": self.variance[row]}
        found = [dropped.get(name, np.zeros(row.size)) for name in names]
        for which, strip in enumerate(self.strips):
            for k, patch in enumerate(strip.patches):
                here = np.flatnonzero((self.strip[row] == which) & (piece == k))
                if not here.size:
                    continue
                if patch is None:
                    for name, values in zip(names, found, strict=True):
                        values[here] = {"s": ALONE, "a": 1.0}.get(name, 0.0)
                    continue
                at = self.at[row[here]]
                low, high = patch.low(at), patch.high(at)
                way = np.clip((price[here] - low) / np.maximum(high - low, 1e-12), 0.0, 1.0)
                for name, values in zip(names, found, strict=True):
                    new = np.asarray(getattr(patch, name)(at, way))
                    if name == "loss":
                        new = np.exp(new) * self.variance[row[here]]
                    if name == "s":
                        # The first piece begins at s = 0, where its features are alone.
                        new = np.sqrt(np.maximum(np.where((k == 0) & (way == 0), 0.0, new), 0.0))
                    values[here] = new
        return found


def _strip(family: Family, curves: tuple[Curve, ...], variance: Array) -> _Strip:
    table, rows = Table(family, list(curves)), np.arange(len(curves))
    patches: list[_Patch | None] = []
    for k in range(table.chords.shape[1]):
        pieces = [curve.pieces[k] for curve in curves]
        if pieces[0].s[0] == ALONE:
            patches.append(None)
            continue
        low = table.chords[:, k - 1] if k else np.array([piece.key[0] for piece in pieces])
        high = table.chords[:, k]
        price = low[:, None] + np.linspace(0, 1, _ACROSS) * (high - low)[:, None]
        row, piece = np.broadcast_to(rows[:, None], price.shape), np.full(price.shape, k)
        found = table.place(row, piece, price)
        every = [found.s**2]
        for name in ("level", "a", "b"):
            along = zip(found.s, curves, strict=True)
            every.append(np.stack([np.interp(s, x.s, getattr(x, name)) for s, x in along]))
        with np.errstate(divide="ignore"):
            every[1] = np.maximum(np.log(every[1] / variance[:, None]), -700.0)
        patches.append(_Patch(_line(low), _line(high), *(_surface(x) for x in every)))
    return _Strip(tuple(_line(x) for x in table.chords.T), tuple(patches))


def _line(values: Array) -> Line:
    """The spline through values at whole numbers."""
    if values.size == 1:
        return lambda at: np.full(at.shape, values[0])
    degree = min(3, values.size - 1)
    spline: Line = scipy.interpolate.make_interp_spline(np.arange(values.size), values, k=degree)
    return spline


def _surface(values: Array) -> Surface:
    """The spline through values over rows, at whole numbers, and over the way from 0 to 1."""
    if len(values) == 1:
        values = np.repeat(values, 2, axis=0)
    rows, way = np.arange(len(values)), np.linspace(0, 1, values.shape[1])
    surface: Surface = scipy.interpolate.RectBivariateSpline(
        rows, way, values, kx=min(3, rows.size - 1), s=0
    ).ev
    return surface
