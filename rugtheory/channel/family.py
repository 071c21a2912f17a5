"""Blocks of dependent features that are alike, as rows hear them at the nodes of a contour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude, Complex
from ..source.pattern import Algebra, Every, On, OneOf, Pattern
from .algebras import Pair, Slopes, Transform
from .block import NEVER
from .heard import Nodes

_EPS = float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class Family:
    """Blocks of dependent features that are alike.

    Attributes
    ----------
    pattern : Pattern
        Which members of a block are on together, by their places in it.
    columns : ndarray of int, shape (blocks, members)
        Which features they are.
    laws : tuple of Amplitude
        Of the members.
    """

    pattern: Pattern
    columns: NDArray[np.intp]
    laws: tuple[Amplitude, ...]

    @cached_property
    def by_law(self) -> list[tuple[Amplitude, NDArray[np.intp]]]:
        """The members of each law."""
        return [
            (law, np.flatnonzero([law == x for x in self.laws])) for law in dict.fromkeys(self.laws)
        ]

    @classmethod
    def all(cls, blocks: Sequence[Pattern], amplitudes: Sequence[Amplitude]) -> tuple[Family, ...]:
        """Of these blocks; `amplitudes` are those of all features."""
        found: dict[tuple[Pattern, tuple[Amplitude, ...]], list[list[int]]] = {}
        for block in blocks:
            columns = list(block.features())
            laws = tuple(amplitudes[j] for j in columns)
            found.setdefault((block.fold(_Places(columns)), laws), []).append(columns)
        return tuple(cls(x, np.array(columns), laws) for (x, laws), columns in found.items())


class _Places(Algebra[Pattern]):
    """The same pattern, of the places of features in a list."""

    def __init__(self, features: list[int]) -> None:
        self.places = {j: k for k, j in enumerate(features)}

    def on(self, feature: int) -> Pattern:
        return On(self.places[feature])

    def one_of(self, p: tuple[float, ...], of: list[Pattern]) -> Pattern:
        return OneOf(p, tuple(of))

    def every(self, of: list[Pattern]) -> Pattern:
        return Every(tuple(of))


class Own(NamedTuple):
    """The factor F of the block of the own feature of some rows.

    Attributes
    ----------
    none, rest : ndarray of complex, shape (rows, nodes)
        With none of the others on, and with some.
    error : ndarray, shape (rows, nodes)
        Of `rest`.
    none_by_c, rest_by_c : ndarray, shape (rows, 1)
        Bounds on their derivatives in c.
    """

    none: Complex
    rest: Complex
    error: Array
    none_by_c: Array
    rest_by_c: Array

    @classmethod
    def alone(cls, p: Array, c: Complex) -> Own:
        """Of features of their own; p of shape (rows, 1)."""
        return cls(1 - p + p * c, np.zeros_like(c), np.zeros(c.shape), p, np.zeros_like(p))


class Chances(NamedTuple):
    """Of the block of the own feature of some rows.

    Attributes
    ----------
    alone, beside, off : ndarray, shape (rows,)
        That it is on and no other, that it is on with another, and that none is on.
    """

    alone: Array
    beside: Array
    off: Array


class Bounds(NamedTuple):
    """F at real s, and its derivatives: of `rest` in φ_j, shape (members, rows, nodes); in c."""

    pair: Pair
    rest_by_phi: Array
    none_by_c: Array
    rest_by_c: Array


class HeardBlocks:
    """Blocks as some rows hear them, one each.

    Parameters
    ----------
    family : Family
    w : ndarray, shape (members, rows)
    gone : ndarray of bool, same shape
        Terms that are none.
    own : ndarray of int, shape (rows,), or None
        Which of the members each row reads.
    """

    def __init__(
        self,
        family: Family,
        w: Array,
        gone: NDArray[np.bool_],
        own: NDArray[np.int64] | None = None,
    ) -> None:
        self.family, self.w, self.gone, self.rows = family, w, gone, w.shape[1]
        self.heard = ~gone
        self.mine: NDArray[np.bool_] | None = None
        if own is not None:
            self.mine = own == np.arange(len(w))[:, None]
            self.heard &= ~self.mine
        # Most members are heard in all rows.
        self._partly = np.flatnonzero(~self.heard.all(axis=1)).tolist()

    @property
    def all_heard(self) -> bool:
        """Whether all members are heard in all rows."""
        return not self._partly

    @property
    def means(self) -> Array:
        """Of the amplitudes of the members."""
        return np.array([law.mean for law in self.family.laws])

    def _pairs(self, phi: Any, c: Any) -> dict[int, Pair]:
        """P₀ and φ - P₀ of the members, from E e^{swu} of each, shape (members, rows, nodes)."""
        pairs: list[Pair] = [(0.0, x) for x in phi]
        for k in self._partly:
            none = self.gone[k, :, None].astype(float)
            if self.mine is not None:
                none = np.where(self.mine[k, :, None], c, none)
            pairs[k] = none, np.where(self.heard[k, :, None], phi[k], 0.0)
        return dict(enumerate(pairs))

    def _bounds(self, phi: Array, c: float) -> Bounds:
        slopes = Slopes(self._pairs(phi, c))
        whole = self.family.pattern.fold(slopes)
        by_phi, by_c = np.zeros(phi.shape), np.zeros((2, *phi.shape[1:]))
        for kind, by in enumerate([(1.0, 0.0), (0.0, 1.0)]):
            if kind == 0 and self.mine is None:
                continue  # there is no c
            whole.back(by)
            for k in range(len(phi)):
                by_none, by_phi[k] = slopes.found[k]
                if self.mine is not None:
                    by_c[kind] += np.where(self.mine[k, :, None], by_none, 0.0)
        by_phi[~self.heard] = 0.0
        return Bounds(whole.pair, by_phi, *by_c)

    @property
    def chances(self) -> Pair:
        """That none is on, and that some are."""
        return self._fold(np.ones((*self.w.shape, 1)), 0.0)

    @property
    def own_chances(self) -> Bounds:
        """The same if the own feature is off, and their slopes in c, its transform if on."""
        return self._bounds(np.ones((*self.w.shape, 1)), 0.0)

    def _fold(self, phi: Any, c: Any) -> Pair:
        with np.errstate(over="ignore", invalid="ignore"):
            return self.family.pattern.fold(Transform(self._pairs(phi, c)))

    def others(self, at: Nodes) -> tuple[Any, Complex, Array]:
        """F with none on and with some, and the error of the second."""
        phi, tables = self._transforms(at)
        none, rest = self._fold(phi, 0.0)
        if at.real:
            with np.errstate(invalid="ignore"):
                return none, rest, self._relative(tables) * np.abs(rest)
        bounds, size = self._on_axis(at, 0.0)
        return none, rest, self._error(bounds.rest_by_phi, size, tables)

    def own(self, at: Nodes, c: Complex) -> Own:
        """F with c of each row, shape (rows, nodes), in the place of the transform of its own."""
        phi, tables = self._transforms(at)
        none, rest = self._fold(phi, c)
        if at.real:
            nothing = np.zeros((len(c), 1))
            none, rest = np.real(none), np.real(rest)
            return Own(none, rest, self._relative(tables) * rest, nothing, nothing)
        off, size = self._on_axis(at, 0.0)
        both, _ = self._on_axis(at, 1.0)
        on = np.maximum(both.rest_by_phi - off.rest_by_phi, 0.0)
        error = self._error(off.rest_by_phi, size, tables)
        error = error + np.abs(c) * self._error(on, size, tables)
        return Own(none, rest, error, off.none_by_c, off.rest_by_c)

    def others_slopes(self, at: Nodes, whole: Complex, none: Complex) -> Array:
        """Derivatives in the weights of Re Σ_k of a product, in which F is a factor.

        Shape (members, rows); `whole` has the values of the product and `none` has what of it is
        with none on, both of shape (rows, nodes), and this is subtracted.
        """
        phi, _ = self._transforms(at)
        slopes = Slopes(self._pairs(phi, 0.0))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            f = self.family.pattern.fold(slopes)
            others = whole / (f.pair[0] + f.pair[1])
            f.back((others - none / np.maximum(f.pair[0], NEVER), others))
            return self._by_weight(at, slopes)

    def own_slopes(self, at: Nodes, by: Pair, c: Complex) -> tuple[Array, Complex]:
        """Derivatives of Re Σ_k (by₀ F₀ + by₁ F₁), F₀ with none of the others on, F₁ with some.

        In the weights, shape (members, rows), and those of the terms in c, shape (rows, nodes).
        """
        assert self.mine is not None
        phi, _ = self._transforms(at)
        slopes = Slopes(self._pairs(phi, c))
        by_c = np.zeros(c.shape, np.complex128)
        with np.errstate(over="ignore", invalid="ignore"):
            self.family.pattern.fold(slopes).back(by)
            for k, (by_none, _) in slopes.found.items():
                by_c += np.where(self.mine[k, :, None], by_none, 0.0)
            return self._by_weight(at, slopes), by_c

    def silent(self, c: complex = 0.0) -> tuple[Complex, Complex]:
        """The chance F₀ that none is on, and its slopes in the chances that terms of weight 0 are.

        Shapes (rows,) and (members, rows); c stands for the own feature.
        """
        ones = np.ones((*self.w.shape, 1))
        slopes = Slopes(self._pairs(ones, c))
        whole = self.family.pattern.fold(slopes)
        whole.back((1.0, 0.0))
        found = np.zeros(self.w.shape, np.complex128)
        for k, (by_none, _) in slopes.found.items():
            found[k] = np.broadcast_to(by_none, (self.rows, 1))[:, 0]
        found[self.heard if self.mine is None else self.heard | self.mine] = 0.0
        none = np.broadcast_to(np.asarray(whole.pair[0], np.complex128), (self.rows, 1))
        return none[:, 0], found

    def _by_weight(self, at: Nodes, slopes: Slopes) -> Array:
        """From slopes in transforms those in weights, shape (members, rows)."""
        found, shape = np.empty(self.w.shape), (self.rows, at.nodes.size)
        for law, some in self.family.by_law:
            moved = np.empty((some.size, *shape), np.complex128)
            for one, k in zip(moved, some.tolist(), strict=True):
                by_none, by_rest = slopes.found[k]
                one[...] = by_rest
                if k in self._partly:
                    # A term of weight zero is one whose transform 1 stands for its being off.
                    np.copyto(one, by_none, where=self.gone[k, :, None])
            table = at.transforms(law)
            slope = table.slopes(self.w[some].ravel(), moved.reshape(-1, at.nodes.size))
            found[some] = slope.reshape(some.size, -1)
        if self.mine is not None:
            found[self.mine] = 0.0
        return found

    def _transforms(self, at: Nodes) -> tuple[Complex, list[_Errors]]:
        """E e^{swu} of the members, shape (members, rows, nodes), and errors."""
        found, errors = [], []
        for law, some in self.family.by_law:
            values, place, error = at.transforms(law).transform(self.w[some].ravel())
            found.append(values.reshape(some.size, -1, at.nodes.size))
            errors.append(_Errors(some, place.reshape(some.size, -1), error))
        if len(found) == 1:
            return found[0], errors
        phi = np.empty((*self.w.shape, at.nodes.size), np.complex128)
        for x, values in zip(errors, found, strict=True):
            phi[x.members] = values
        return phi, errors

    def _on_axis(self, at: Nodes, c: float) -> tuple[Bounds, Array]:
        """Where the contour crosses the real axis; E e^{swu} of the members there."""
        phi = np.empty((*self.w.shape, 1))
        for law, some in self.family.by_law:
            t = (self.w[some] * at.nodes[0].real).astype(complex)
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                phi[some, :, 0] = law.transform(t, 0).real
        with np.errstate(over="ignore", invalid="ignore"):
            return self._bounds(phi, c), phi[..., 0]

    def _error(self, by_phi: Array, size: Array, tables: list[_Errors]) -> Array:
        """From bounds on slopes in the transforms, which are largest on the axis."""
        by_phi, total = by_phi[..., 0], np.zeros((self.rows, 1))
        for x, (law, _) in zip(tables, self.family.by_law, strict=True):
            rounding = law.transform_error + 4 * _EPS * len(self.w)
            moved = (by_phi[x.members] * size[x.members]).sum(axis=0)
            total = total + x.weighted(by_phi[x.members]) + rounding * moved[:, None]
        return total

    def _relative(self, tables: list[_Errors]) -> Array:
        """At real s: no part of F is in proportion to more than each transform."""
        found = sum(x.weighted(self.heard[x.members].astype(float)) for x in tables)
        return np.asarray(found + 4 * _EPS * len(self.w))


class _Errors(NamedTuple):
    """Of the transforms of some members: of bins, shape (bins, nodes), and the bin of each."""

    members: NDArray[np.intp]
    place: NDArray[np.intp]
    error: Array

    def weighted(self, by: Array) -> Array:
        """Sums over the members with these weights, shape (members, rows), at all nodes."""
        bins, rows = len(self.error), self.place.shape[1]
        where = np.arange(rows) * bins + self.place
        weights = np.bincount(where.ravel(), by.ravel(), rows * bins)
        return np.asarray(weights.reshape(-1, bins) @ self.error)
