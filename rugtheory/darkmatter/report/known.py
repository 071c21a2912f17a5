"""What the tests of all decoders share: norms of the activations, and their products, once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ... import _check
from ..._check import Array
from .._moments import Affine, Gram, Solver, cross_moments, gram
from .._rows import Rows, block_length
from .._split import Split, split
from ..norm_theory import gaussian_null
from .given import Given
from .keeping import Survey

# Of the longest rows this part is looked at; if they have more than half of the variance, other
# rows hardly count.
FEW, MOST = 0.01, 0.5


@dataclass(frozen=True)
class Selection:
    """Rows fitted and evaluated, and the least squares on x that they share."""

    parts: Split
    solver: Solver


class Known:
    """Norms, rows that are used, and products of x, computed when they are first needed."""

    def __init__(self, given: Given, survey: Survey) -> None:
        self.given, self.norms = given, survey.norms
        out = given.dropped.rows(survey.norms, given.contexts, given.tokens)
        self.used = ~out
        self.parts = split(
            given.x.count,
            given.contexts,
            given.test_fraction,
            _check.rng(given.seed),
            whole=given.centred,
        )
        # How far rows are from the middle, among those used.
        far = np.where(self.used, survey.squares, -1.0)
        few = max(1, round(FEW * int(self.used.sum())))
        self.farthest = np.zeros(far.size, bool)
        self.farthest[np.argpartition(far, -few)[-few:]] = True
        total = survey.squares[self.used].sum()
        self.share = float(survey.squares[self.farthest].sum() / total) if total else 0.0
        self._check_rows()

    @property
    def heavy(self) -> bool:
        """Whether few rows hold most of the variance."""
        return self.share > MOST

    @property
    def other_rows(self) -> tuple[str, NDArray[np.bool_]] | None:
        """Other rows to give scores of too, with their name."""
        if not self.used.all():
            return "all rows", np.ones_like(self.used)
        if self.heavy:
            return f"without the farthest {100 * FEW:g} % of rows", ~self.farthest
        return None

    @cached_property
    def main(self) -> Selection:
        """Of the rows used."""
        return self._selection(self.used)

    @cached_property
    def other(self) -> Selection | None:
        """Of the other rows."""
        return None if self.other_rows is None else self._selection(self.other_rows[1])

    @cached_property
    def signs(self) -> Array:
        """A random sign for each row, shape (rows, 1)."""
        rng = _check.rng(self.given.seed)
        return rng.choice([-1.0, 1.0], size=(self.given.x.count, 1))

    @cached_property
    def flipped(self) -> Solver:
        """Least squares on x with random signs: Σ xxᵀ stays, the mean does not."""
        known, x, fitted = self.main.solver.gram, self.given.x, self.main.parts.fitted
        total = np.zeros(x.columns)
        length = block_length(None, x.columns)
        for start in range(0, x.count, length):
            rows = np.arange(start, min(start + length, x.count))
            total += (self.signs[rows, 0] * fitted[rows]) @ x.read(rows).astype(np.float64)
        n, mean = known.count, total / known.count
        about_zero = known.xx + n * np.outer(known.mean, known.mean)
        xx = about_zero - n * np.outer(mean, mean)
        return Solver(Gram(n, mean, xx), intercept=self.given.centred)

    @cached_property
    def of_targets(self) -> Affine | None:
        """The best affine map from x to what decoders predict, if that is not x."""
        given, targets = self.given, self.given.targets
        if targets is None:
            return None
        main = self.main
        return main.solver.affine(
            cross_moments(
                lambda rows: (given.x.read(rows), targets.read(rows)),
                main.solver,
                main.parts.fitted,
                block_length(None, given.x.columns + targets.columns),
            )
        )

    @cached_property
    def null(self) -> float:
        """R² of the squared norm on x if all were Gaussian: an offset alone makes it large."""
        whole = self.given.whole
        if whole is self.given.x:
            own = self.main.solver.gram
            return gaussian_null(own.mean, own.xx / own.count)
        targets = self.of_targets
        assert targets is not None
        own = gram(whole.read, self.main.parts.fitted, block_length(None, whole.columns))
        return gaussian_r2(own, targets.slope, self.main.solver.gram)

    def _selection(self, rows: NDArray[np.bool_]) -> Selection:
        parts = replace(
            self.parts, fitted=self.parts.fitted & rows, held_out=self.parts.held_out & rows
        )
        x: Rows = self.given.x
        products = gram(x.read, parts.fitted, block_length(None, x.columns))
        return Selection(parts, Solver(products, intercept=self.given.centred))

    def _check_rows(self) -> None:
        """Raise if there are too few rows to fit a map, before anything is computed."""
        fitted = int((self.parts.fitted & self.used).sum())
        least = self.given.x.columns + 4
        if fitted < least:
            raise ValueError(
                f"x must leave at least columns + 4 = {least} rows to fit linear maps "
                f"on, got {fitted} of {self.given.x.count} rows"
            )
        if not (self.parts.held_out & self.used).any():
            raise ValueError("x must leave rows to evaluate, got all of them dropped")


def gaussian_r2(own: Gram, slope: Array, x: Gram) -> float:
    """R² of ‖v‖² on x for Gaussian vectors; `own` of v, `slope` of its best map from x."""
    covariance = own.xx / own.count
    pulled = slope @ own.mean
    explained = 4 * pulled @ x.xx @ pulled / x.count
    variance = 4 * own.mean @ covariance @ own.mean + 2 * np.sum(covariance**2)
    return float(explained / variance) if variance > 0 else 0.0
