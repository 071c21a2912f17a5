"""Some outputs of a model, and their losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..source.amplitude import Amplitude


@dataclass(frozen=True)
class Outputs:
    """Some outputs of a model: own feature, weights of all features, bias and noise.

    Attributes
    ----------
    rows : ndarray of int, shape (m,)
    w : ndarray, shape (m, n)
    b, noise, p : ndarray, shape (m,)
    laws : tuple of amplitude laws
    law : ndarray of int, shape (m,)
        Which of them that of each feature is.
    """

    rows: NDArray[np.int64]
    w: Array
    b: Array
    noise: Array
    p: Array
    laws: tuple[Amplitude, ...]
    law: NDArray[np.int64]

    @cached_property
    def a(self) -> Array:
        """Diagonal."""
        return self.w[np.arange(self.rows.size), self.rows]

    def some(self, at: NDArray[np.intp]) -> Outputs:
        """Those at these places."""
        names = "rows", "w", "b", "noise", "p", "law"
        return replace(self, **{name: getattr(self, name)[at] for name in names})

    @cached_property
    def by_law(self) -> list[tuple[Amplitude, NDArray[np.int64]]]:
        """The outputs of each amplitude law."""
        members = ((law, np.flatnonzero(self.law == k)) for k, law in enumerate(self.laws))
        return [(law, some) for law, some in members if some.size]


@dataclass(frozen=True)
class Losses:
    """Losses of some outputs, estimates of errors, and derivatives if they were asked for.

    Attributes
    ----------
    value, error : ndarray, shape (m,)
    by_w : ndarray, shape (m, n), or None
        In all weights of the rows, the diagonal too.
    by_b, by_noise : ndarray, shape (m,), or None
        In the bias, and in the square of the noise.
    """

    value: Array
    error: Array
    by_w: Array | None = None
    by_b: Array | None = None
    by_noise: Array | None = None

    @classmethod
    def none(cls, m: int, n: int, slopes: bool) -> Losses:
        """Nothing known of `m` outputs: errors are infinite."""
        known = np.full(m, np.nan), np.full(m, np.inf)
        return cls(*known, *((np.zeros((m, n)), *np.zeros((2, m))) if slopes else ()))

    def improve(self, at: NDArray[np.int64], by: Losses) -> None:
        """Take those of the outputs `at` from others where their errors are less."""
        better = by.error < self.error[at]
        for field in fields(self):
            mine, new = getattr(self, field.name), getattr(by, field.name)
            if mine is not None:
                mine[at[better]] = new if better.all() else new[better]

    @classmethod
    def joined(cls, found: Sequence[Losses]) -> Losses:
        """Of one set of outputs after the other."""
        return found[0] if len(found) == 1 else cls._of_each(found, np.concatenate)

    @classmethod
    def mixture(cls, found: Sequence[tuple[float, Losses]]) -> Losses:
        """Means of losses, errors and derivatives with these shares."""
        shares = [share for share, _ in found]

        def mean(values: list[Array]) -> Any:
            return sum(share * x for share, x in zip(shares, values, strict=True))

        return cls._of_each([one for _, one in found], mean)

    @classmethod
    def _of_each(cls, found: Sequence[Losses], made: Callable[[list[Array]], Any]) -> Losses:
        """What is made of their losses, errors and derivatives."""
        every = ([getattr(one, field.name) for one in found] for field in fields(cls))
        columns: list[Any] = [None if values[0] is None else made(values) for values in every]
        return cls(*columns)


def heard_power(w: Array, law: Amplitude) -> Array:
    """Of the terms of each row on the side that passes the ReLU, if they were always on."""
    up, down = law.end > 0, law.start < 0
    side = np.abs(w) if up and down else np.maximum(w if up else -w, 0.0)
    return np.asarray(law.second_moment * np.einsum("ij,ij->i", side, side))
