"""Descents to the row law, from random weights and from those of laws with fewer classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..channel.pooled import Pooled, Terms
from ..channel.row_laws import RowLaws, RowScenario
from ..model.model import Model
from ..theory.optimum import optimum
from .descent import COARSE, FINE, Descent, Stop
from .pair_energy import leak_of, low_energy
from .row_descent import Coordinates, Free, LawLoss, RowObjective, Symmetric

# Steps on the pair energy, and pairs that L-BFGS keeps.
_START_STEPS, _PAIRS = 800, 12
# Steps over which a gain is measured.
_WINDOW = 50
_PENALTIES = 6
# Decoders to start from: a against that for Gaussian interference, and b/a.
_A, _B = (0.85, 0.95, 1.05), (0.0, -0.01, -0.03, -0.06, -0.1, -0.15, -0.22)
# W_out against W_in of weights that need not stay symmetric.
_UNLIKE = 0.01


class End(NamedTuple):
    """Where a descent ends: weights, losses of the law, the last gain, whether steps ran out."""

    model: Model
    told: LawLoss
    gain: float
    stopped: bool


class Under(NamedTuple):
    """A descent under way: where it is, the loss there, and steps left."""

    at: Coordinates
    x: Array
    loss: float
    left: int


@dataclass(frozen=True, eq=False)
class Search:
    """Descents with rows in given classes.

    Attributes
    ----------
    laws : RowLaws
        Of the features.
    scenario : RowScenario
        The only one of them.
    kinds, labels : ndarray of int, shape (n,)
        Numbers of the laws of features, and classes.
    importance : ndarray, shape (n,)
    n_dense : int
    free : bool
        Whether W is any product although there is one class.
    cap : float
        On couplings.
    steps : int
        At most.
    gain : float
        A descent ends where _WINDOW steps gain less, in the log of the loss.
    """

    laws: RowLaws
    scenario: RowScenario
    kinds: NDArray[np.int64]
    labels: NDArray[np.int64]
    importance: Array
    n_dense: int
    free: bool
    cap: float
    steps: int
    gain: float

    def __call__(self, generator: np.random.Generator) -> End:
        """Where random weights lead."""
        return self.ended(self.begun(generator, 0))

    def begun(self, generator: np.random.Generator, steps: int) -> Under:
        """Random weights, so many steps on at most."""
        at, x = self._start(generator)
        descent = Descent(self._objective(at), min(steps, self.steps), 1e-6, pairs=_PAIRS)
        descent.run(x)
        taken = len(descent.trajectory) - 1
        return Under(at, descent.x, descent.trajectory[-1], self.steps - taken)

    def ended(self, under: Under) -> End:
        """Where it leads."""
        return self._descended(under.at, under.x, under.left)

    def onward(self, model: Model, row_losses: Array) -> list[End]:
        """From weights of fewer classes: what these are in classes, and where they lead.

        Rows go to classes by their losses.  Empty where the law of the classes has no loss there.
        """
        order = np.empty_like(self.labels)
        for kind in np.unique(self.kinds):
            rows = np.flatnonzero(self.kinds == kind)
            places = rows[np.argsort(self.labels[rows], kind="stable")]
            order[places] = rows[np.argsort(row_losses[rows], kind="stable")]
        at = Free(self.labels.size, self.n_dense, self.labels)
        x = at.vector(model.w_in[:, order], model.w_out[order], model.b[order])
        told = self._told(at, x)
        if not np.isfinite(told.loss):
            return []
        return [End(at.model(x), told, 0.0, False), self._descended(at, x, self.steps)]

    def _told(self, at: Coordinates, x: Array) -> LawLoss:
        return RowObjective(at, self._pooled(FINE), self._shares)(x)[2]

    def _objective(self, at: Coordinates) -> RowObjective:
        return RowObjective(at, self._pooled(COARSE), self._shares, self.cap)

    def _descended(self, at: Coordinates, x: Array, steps: int) -> End:
        losses: list[float] = []

        def gained() -> float:
            return float(np.log(losses[-min(_WINDOW + 1, len(losses))] / losses[-1]))

        def each(_: Model, loss: float) -> None:
            losses.append(loss)
            # With a harder penalty the loss rises.
            if len(losses) > _WINDOW and abs(gained()) < self.gain:
                raise Stop

        objective = self._objective(at)
        for _ in range(_PENALTIES):
            losses[:] = [objective(x)[2].loss]
            descent = Descent(objective, steps, 1e-6, each, pairs=_PAIRS)
            descent.run(x)
            x = descent.x
            if not descent.above_cap:
                break
            objective = objective.harder()
        return End(at.model(x), self._told(at, x), gained(), len(losses) > steps)

    def _start(self, generator: np.random.Generator) -> tuple[Coordinates, Array]:
        """Couplings of low pair energy, and decoders that go with them."""
        n, classes = self.labels.size, self._shares.size
        symmetric = Symmetric(n, self.n_dense)
        leak = leak_of(float(np.mean(self.scenario.p)), n)
        x = low_energy(symmetric, generator, leak, _START_STEPS, 0.0)
        at: Coordinates = symmetric
        if self.free or classes > 1:
            at = Free(n, self.n_dense, self.labels)
            model = symmetric.model(x)
            other = generator.normal(size=model.w_out.shape) / np.sqrt(self.n_dense)
            w_out = model.w_out + _UNLIKE * other
            x = np.concatenate([model.w_in.ravel(), w_out.ravel(), np.zeros(2 * classes)])
        x[-2 * classes : -classes] = 1.0
        readings = at.readings(x)
        if readings is None:
            raise ValueError(f"n_dense = {self.n_dense} leaves no start with positive diagonal")
        ratio = min(1.0, self.n_dense / len(self.labels))
        for c, (one, terms) in enumerate(zip(self._pooled(COARSE), readings.terms, strict=True)):
            x[-2 * classes + c], x[-classes + c] = _decoder(one, terms, ratio)
        return at, x

    @property
    def _shares(self) -> Array:
        return np.bincount(self.labels, self.importance) / len(self.labels)

    def _pooled(self, rtol: float) -> tuple[Pooled, ...]:
        _, first = np.unique(self.labels, return_index=True)
        p, amplitudes = self.scenario.p, self.laws.amplitudes
        return tuple(Pooled(self.scenario, float(p[i]), amplitudes[i], rtol) for i in first)


def _decoder(one: Pooled, terms: Terms, ratio: float) -> tuple[float, float]:
    """The best of a few."""
    a = float(optimum(one.p, ratio, amplitude=one.amplitude).a)
    unit = one.amplitude.rms * np.sqrt(3)
    tried = [(a * y, a * y * b * unit) for y in _A for b in _B]
    losses = [one(terms, *y).value for y in tried]
    if not np.isfinite(losses).any():
        raise ValueError(f"no contour serves a start with p = {one.p}: features are on too often")
    return tried[int(np.nanargmin(losses))]
