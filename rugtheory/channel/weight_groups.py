"""Groups of neighbouring bins of a table over weights, and products with many of them at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from .weight_bins import GROUP

Key = tuple[bytes, int]


class Group(NamedTuple):
    """Of neighbouring bins.

    Attributes
    ----------
    basis : tuple of ndarray, each of shape (powers · GROUP, degrees), or None
        For each power of the odds, Chebyshev's polynomials over all bins as powers of the place in
        each of them, where so few make all; None where powers are taken as they are.
    coefficients : ndarray, shape (degrees of all powers of the odds, 2 nodes)
        Real parts first.
    error : ndarray, shape (GROUP, nodes)
        Of log(1 + o E e^{swu})/o.
    """

    basis: tuple[Array, ...] | None
    coefficients: Array
    error: Array


class _Stack(NamedTuple):
    """Groups of one basis.

    Attributes
    ----------
    places : ndarray of int
        Which of all groups they are.
    basis : tuple of ndarray, or None
        Of each of them.
    coefficients : ndarray, shape (groups · degrees, 2 nodes)
    """

    places: NDArray[np.intp]
    basis: tuple[Array, ...] | None
    coefficients: Array

    @property
    def key(self) -> Key:
        """What `reduced` depends on, as long as the basis lives."""
        return self.places.tobytes(), id(self.basis)

    def reduced(self, sums: Array) -> Array:
        """From sums of powers, shape (rows, columns, bins), those of polynomials."""
        by_group = sums.reshape(*sums.shape[:2], -1, GROUP)[:, :, self.places].swapaxes(1, 2)
        if self.basis is None:
            return by_group.reshape(len(sums), -1)
        found, start = [], 0
        for basis in self.basis:
            stop = start + len(basis) // GROUP
            found.append(by_group[:, :, start:stop].reshape(-1, len(basis)) @ basis)
            start = stop
        return np.concatenate(found, axis=1).reshape(len(sums), -1)

    def restored(self, slopes: Array, into: Array) -> None:
        """From slopes in sums of polynomials, those in sums of powers: the adjoint."""
        rows, columns, groups = len(into), into.shape[1], self.places.size
        if self.basis is None:
            into[:, :, self.places] = slopes.reshape(rows, groups, columns, GROUP).swapaxes(1, 2)
            return
        each, start = slopes.reshape(rows * groups, -1), 0
        parts = np.split(each, np.cumsum([x.shape[1] for x in self.basis[:-1]]), axis=1)
        for part, basis in zip(parts, self.basis, strict=True):
            powers = (part @ basis.T).reshape(rows, groups, -1, GROUP).swapaxes(1, 2)
            into[:, start : start + powers.shape[1], self.places] = powers
            start += powers.shape[1]


class Sums:
    """Sums over the weights of rows.

    Attributes
    ----------
    powers : ndarray, shape (rows, columns, bins)
        Of powers of the place in each bin, in whole groups of bins.
    """

    def __init__(self, powers: Array) -> None:
        self.powers = powers
        self._reduced: dict[Key, tuple[_Stack, Array]] = {}

    def reduced(self, stack: _Stack) -> Array:
        """Those of polynomials, which are the same at all nodes."""
        if stack.key not in self._reduced:
            self._reduced[stack.key] = stack, stack.reduced(self.powers)
        return self._reduced[stack.key][1]


class Groups:
    """Several groups of one table.

    Parameters
    ----------
    groups : list of Group
    """

    def __init__(self, groups: list[Group]) -> None:
        self.error = np.concatenate([x.error for x in groups])
        whole = np.array([x.basis is not None for x in groups])
        self._stacks = [
            _Stack(
                places,
                groups[places[0]].basis,
                np.concatenate([groups[k].coefficients for k in places]),
            )
            for places in (np.flatnonzero(whole), np.flatnonzero(~whole))
            if places.size
        ]

    def exponent(self, sums: Sums, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        """Sums of the logarithms, shape (rows, 2 nodes), and errors, shape (rows, nodes)."""
        found = sum(sums.reduced(x)[rows] @ x.coefficients for x in self._stacks)
        # The first column has sums of the odds.
        return np.asarray(found), sums.powers[rows, 0] @ self.error

    def slopes(self, moved: Array, columns: int) -> Array:
        """The adjoint: from sensitivities to the logarithms those to the sums."""
        found = np.empty((len(moved), columns, len(self.error) // GROUP, GROUP))
        for x in self._stacks:
            x.restored(moved @ x.coefficients.T, found)
        return found.reshape(len(moved), columns, -1)
