"""Rows that a report leaves out, such as the first tokens of contexts, whose norms are huge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import _check
from ..._check import Array


@dataclass(frozen=True, eq=False)
class Dropped:
    """Which rows are left out of every score; none by default.

    Attributes
    ----------
    first : int
        Rows at the start of each context.
    norm : float or None
        Rows with a norm of more than so many times the median norm.
    tokens : tuple
        Rows of these tokens.
    mask : array_like of bool, shape (rows,), or None
        Rows at which it is true.
    """

    first: int = 0
    norm: float | None = None
    tokens: tuple[Any, ...] = ()
    mask: ArrayLike | None = None

    def check(self, count: int, contexts: ArrayLike | None, tokens: ArrayLike | None) -> None:
        """Raise unless these rows can be found."""
        _check.integer("drop_first", self.first, 0)
        if self.first and contexts is None:
            raise ValueError(f"drop_first must be 0 without contexts, got {self.first}")
        if self.norm is not None:
            _check.positive("drop_norm", _check.scalar("drop_norm", self.norm))
        if self.tokens and tokens is None:
            raise ValueError(f"drop_tokens must be empty without tokens, got {self.tokens[:3]}")
        if self.tokens:
            known = np.asarray(tokens)
            missing = [token for token in self.tokens if not np.any(known == token)]
            if missing:
                raise ValueError(f"drop_tokens must be tokens of the rows, got {missing[0]!r}")
        if self.mask is not None:
            mask = _check.array("drop", self.mask)
            if mask.shape != (count,) or not np.isin(mask, (0, 1)).all():
                raise ValueError(
                    f"drop must have shape ({count},) and hold true or false, got {mask.dtype} of "
                    f"shape {mask.shape}"
                )

    def rows(
        self, norms: Array, contexts: ArrayLike | None, tokens: ArrayLike | None
    ) -> NDArray[np.bool_]:
        """True at the rows left out; `norms` are those of all rows."""
        out = np.zeros(norms.size, bool)
        if self.mask is not None:
            out |= np.asarray(self.mask).astype(bool)
        if self.first:
            out |= positions(np.asarray(contexts)) < self.first
        if self.tokens:
            out |= np.isin(np.asarray(tokens), np.array(self.tokens))
        if self.norm is not None:
            out |= norms > self.norm * np.median(norms)
        if out.all():
            raise ValueError("x must leave some rows, got all of them dropped")
        return out

    @property
    def said(self) -> list[str]:
        """What is left out, in words."""
        return [
            *(["the first row of each context"] if self.first == 1 else []),
            *([f"the first {self.first} rows of each context"] if self.first > 1 else []),
            *([f"rows longer than {self.norm:g} median norms"] if self.norm is not None else []),
            *([f"rows of {len(self.tokens)} tokens"] if self.tokens else []),
            *(["rows of a mask"] if self.mask is not None else []),
        ]


def positions(contexts: NDArray[Any]) -> NDArray[np.intp]:
    """Which row of its context each row is, from 0."""
    order = np.argsort(np.unique(contexts, return_inverse=True)[1], kind="stable")
    labels = contexts[order]
    starts = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1]])
    lengths = np.diff(np.r_[starts, labels.size])
    found = np.empty(labels.size, np.intp)
    found[order] = np.arange(labels.size) - np.repeat(starts, lengths)
    return found


def some(values: Iterable[Any]) -> tuple[Any, ...]:
    """Tokens to drop, as a tuple."""
    if isinstance(values, str):
        raise TypeError(f"drop_tokens must hold tokens, got {_check.shown(values)}")
    found = _check.sequence("drop_tokens", values)
    for value in found:
        if not isinstance(value, str | int | np.integer):
            raise TypeError(f"drop_tokens must hold integers or texts, got {_check.shown(value)}")
    return found
