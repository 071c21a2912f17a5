"""Descent on the exact loss: what is minimised, in which coordinates, and the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import scipy
from numpy.typing import NDArray

from .._check import Array
from ..model.model import Model
from ..numerics.pools import one_pool
from ..source.features import Features
from .columns import dead_features, presence
from .gradient import ExactGradient, Gradient

# Rows of W at a time.
_ROWS = 512
# L-BFGS: pairs kept, and steps before it starts anew.
_PAIRS, _STEPS = 30, 1000
# Of the objective where there is no contour: far above all others, penalties too.
_NOWHERE = 50.0
# First weight of the penalty on couplings, factor of the next, and how many there are.
PENALTY, HARDER, _PENALTIES = 0.1, 10.0, 6
# Couplings aim at this part of the cap.
BELOW = 0.99
# A penalty that does not do leaves one in so many of the steps left to harder ones, and is given up
# where so many steps gain less than this: the next one moves all that it has yet to gain.
_KEPT = 4
_WATCHED, _LITTLE = 100, 3e-3
# A round that gains less than this in the log of the loss is the last but for rounding, at the
# least tolerance.
_NO_GAIN = 1e-9
# A line search that ends without a step where the gradient is above this stands at a wall, as where
# a feature would die: the next ones begin with steps so much shorter, down to the least.
_STEEP, _SHORTER, _SHORTEST = 1e-3, 1e-2, 1e-6
# Gradients near the one to stop at, in units of it.
_NEAR = 30
# Of the log of a loss: by less, a line search does not tell one point from another.
_ROUNDING = 1e-12
# Stated errors on the way, where it ends, where the gradient there is that of the loss to 1e-6, and
# where no larger ones do; true ones are a tenth of these, and smooth.
COARSE, FINE, FINER, FINEST = 1e-3, 1e-4, 1e-6, 1e-8
# What tolerances are multiplied by where no step gains.
_SHARPER = 1e-2
# Features of less importance · E x² than this part of the largest share one unit.
_LEAST_SHARE = 1e-4
# Where nothing is lost there is no logarithm, and nothing to gain.
_LEAST_LOSS = float(np.finfo(float).tiny)
# Contours of smaller errors are chosen in so many calls at most.
_ASKED = 12
# Errors above this part of the loss are what descent would go down on.
_LOST = 0.05


@dataclass(frozen=True)
class Coordinates:
    """How a vector stands for a model.

    With noise in the hidden units, the columns of W_in have mean square length 1.
    """

    n: int
    n_dense: int
    tied: bool
    noise: float

    def model(self, x: Array) -> Model:
        """The model at `x`."""
        size = self.n * self.n_dense
        w_in = x[:size].reshape(self.n_dense, self.n)
        if self.noise:
            w_in = w_in * (np.sqrt(self.n) / np.linalg.norm(w_in))
        w_out = None if self.tied else x[size : 2 * size].reshape(self.n, self.n_dense)
        return Model(w_in, w_out, x[-self.n :], hidden_noise=self.noise)

    def vector(self, model: Model) -> Array:
        """The point of a model."""
        weights = [model.w_in.ravel()] if self.tied else [model.w_in.ravel(), model.w_out.ravel()]
        return np.concatenate([*weights, model.b])

    def scale(self, features: Features) -> Array | float:
        """Units in which curvatures are about alike: those of a feature go as importance · E x²."""
        importance, power = features.importance, features.second_moment
        own, mean = importance * power, np.mean(importance)
        if np.ptp(own) == 0 == np.ptp(power):
            return 1.0
        # What a feature sends is heard by all outputs, whatever its own importance.
        sent, heard = (importance + mean) / 2 * power, own
        by_in, by_out = (
            np.sqrt(np.mean(own) / np.maximum(x, _LEAST_SHARE * x.max())) for x in (sent, heard)
        )
        parts = [np.tile(by_in, self.n_dense)]
        if not self.tied:
            parts.append(np.repeat(by_out, self.n_dense))
        return np.concatenate([*parts, by_out])

    def slope(self, x: Array, w_in: Array, w_out: Array, b: Array) -> Array:
        """The gradient in `x` from that in weights and biases."""
        if self.tied:
            return np.concatenate([(w_in + w_out.T).ravel(), b])
        by_in = w_in.ravel()
        if self.noise:
            length = np.linalg.norm(x[: by_in.size])
            radial = x[: by_in.size] / length
            by_in = (by_in - radial * (radial @ by_in)) * (np.sqrt(self.n) / length)
        return np.concatenate([by_in, w_out.ravel(), b])


@dataclass(frozen=True)
class Objective:
    """Log of the loss, with a penalty on large weights and on couplings above a cap.

    Attributes
    ----------
    gradient : Gradient
    at : Coordinates
    decay : float
        Half of it times the sum of squared weights is added to the loss.
    cap : float
        On |W_ij|/W_ii of features that are alive.
    penalty : float
        Of what is above the cap.
    """

    gradient: Gradient
    at: Coordinates
    decay: float = 0.0
    cap: float = np.inf
    penalty: float = PENALTY

    def harder(self) -> Objective:
        """With a larger penalty."""
        return replace(self, penalty=HARDER * self.penalty)

    def sharper(self, least: float) -> Objective | None:
        """With smaller errors of the loss, as a minimum needs them; None if they are the least.

        In the end those of each output: an error of the mean may leave an output with a slope.
        """
        old = self.gradient
        if old.rtol <= least and not old.together:
            return None
        # Errors of outputs that lose next to nothing are dear: all that can be had without, first.
        together = old.together and old.rtol > least >= FINE
        rtol = max(_SHARPER * old.rtol, least) if old.rtol > least else old.rtol
        return replace(self, gradient=Gradient(old.features, rtol, together=together))

    def __call__(self, x: Array) -> tuple[float, Array, ExactGradient]:
        """Value, gradient, and the loss itself."""
        model = self.at.model(x)
        found = self.gradient(model)
        if not np.isfinite(found.loss):
            return nowhere_with(self.penalty), np.zeros_like(x), found
        squares = float(np.sum(model.w_in**2) + np.sum(model.w_out**2))
        total = found.loss + self.decay / 2 * squares
        if not total > _LEAST_LOSS:
            return float(np.log(_LEAST_LOSS)), np.zeros_like(x), found
        by_in = (found.w_in + self.decay * model.w_in) / total
        by_out = (found.w_out + self.decay * model.w_out) / total
        value = float(np.log(total))
        if np.isfinite(self.cap):
            above, in_, out = _above(model, BELOW * self.cap)
            value += self.penalty * above
            by_in, by_out = by_in + self.penalty * in_, by_out + self.penalty * out
        return value, self.at.slope(x, by_in, by_out, found.b / total), found


def coupling(model: Model) -> float:
    """Largest |W_ij|/W_ii, j ≠ i, over features i that are alive; 0 if none is."""
    alive = np.flatnonzero(~dead_features(model.diagonal))
    return max((float(ratio.max()) for _, ratio, _ in _ratios(model, alive)), default=0.0)


def exceeds(found: float, cap: float) -> bool:
    """Whether a coupling is above a cap, but for rounding: pairs have couplings of 1."""
    return found > cap * (1 + _ROUNDING)


def _ratios(
    model: Model, some: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.intp], Array, Array]]:
    """Of some features i, a few at a time: |W_ij|/W_ii, 0 for j = i, and signs of W_ij."""
    for start in range(0, some.size, _ROWS):
        rows = some[start : start + _ROWS]
        w = model.w_out[rows] @ model.w_in
        ratio = np.abs(w) / model.diagonal[rows, None]
        ratio[np.arange(rows.size), rows] = 0.0
        yield rows, ratio, np.sign(w)


def _above(model: Model, cap: float) -> tuple[float, Array, Array]:
    """Mean over features of Σ_j (|W_ij|/W_ii - cap)₊², and its gradient in the weights.

    Each feature counts as far as it is present, so that none that dies or comes alive makes a step:
    at a step a line search halves its interval without end.
    """
    n, diagonal = model.n_sparse, model.diagonal
    by_in, by_out = np.zeros_like(model.w_in), np.zeros_like(model.w_out)
    share, by_diagonal = presence(diagonal)
    some = np.flatnonzero(share)
    lengths = np.linalg.norm(model.w_out[some], axis=1) / diagonal[some]
    if lengths.max(initial=0.0) * np.linalg.norm(model.w_in, axis=0).max() <= cap:
        return 0.0, by_in, by_out  # by Cauchy and Schwarz
    each = np.zeros(n)
    for rows, ratio, sign in _ratios(model, some):
        over = np.maximum(ratio - cap, 0.0)
        if not over.any():
            continue
        each[rows] = np.sum(over**2, axis=1) / n
        scale = 2 * share[rows] / (n * diagonal[rows])
        slope = scale[:, None] * over * sign
        slope[np.arange(rows.size), rows] = -scale * np.einsum("ij,ij->i", over, ratio)
        by_in += model.w_out[rows].T @ slope
        by_out[rows] = slope @ model.w_in.T
    moved = by_diagonal(each)
    by_in += moved * model.w_out.T
    by_out += moved[:, None] * model.w_in.T
    return float(share @ each), by_in, by_out


def nowhere_with(penalty: float) -> float:
    """The objective where there is no contour."""
    return _NOWHERE * (1 + penalty)


class Modelled(Protocol):
    """How a vector stands for a model."""

    def model(self, x: Array) -> Model:
        """The model at `x`."""


class Told(Protocol):
    """A loss and an estimate of its error."""

    @property
    def loss(self) -> float: ...

    @property
    def error(self) -> float: ...


class Falling(Protocol):
    """What a descent goes down on."""

    @property
    def at(self) -> Modelled: ...

    @property
    def cap(self) -> float: ...

    def __call__(self, x: Array) -> tuple[float, Array, Told]:
        """Value, gradient, and the loss itself."""

    def harder(self) -> Falling:
        """With a larger penalty on couplings."""

    def sharper(self, least: float) -> Falling | None:
        """With smaller errors; None if there are none, or these are the least."""


class Stop(Exception):
    """Ends a descent where it is."""


def unwatched(_: Model, loss: float) -> None:
    """Steps of which nobody is told."""


@dataclass
class Descent:
    """Steps of L-BFGS from a start, with harder and harder penalties on couplings.

    Attributes
    ----------
    objective : Falling
    steps : int
        How many there may be.
    gtol : float
        Largest entry of the gradient to stop at.
    each : callable
        Called with the model and its loss after each step; may raise Stop.
    pairs : int
        Kept of steps and changes of the gradient.
    newton : int
        Steps left to Newton's where the gradient is near the one to stop at by then.
    scale : float or ndarray
        Units of the coordinates in which steps are taken, such that the curvature is about the same
        in all of them.
    x : ndarray
        Where it is.
    trajectory : list of float
        Losses after each step.
    stopped : bool
        Whether `each` said so.
    lost : bool
        Whether it ended where errors of the loss are no longer small against it.
    """

    objective: Falling
    steps: int
    gtol: float
    each: Callable[[Model, float], None] = unwatched
    pairs: int = _PAIRS
    newton: int = 0
    scale: Array | float = 1.0
    x: Array = field(default_factory=lambda: np.zeros(0))
    trajectory: list[float] = field(default_factory=list)
    lost: bool = False
    stopped: bool = False
    _last: tuple[Any, Array, tuple[float, Array, Told] | None] = field(
        default=(None, np.zeros(0), None), init=False
    )
    # Where there was no gradient, which a line search may have passed over.
    _level: Array = field(default_factory=lambda: np.zeros(0), init=False)
    # Units in which steps are taken: the first that is tried has length 1.
    _unit: Array | float = field(default=1.0, init=False)
    # Steps for harder penalties.
    _kept: int = field(default=0, init=False)
    # Whether a harder one is due, and the value when that was last asked.
    _given_up: bool = field(default=False, init=False)
    _seen: float = field(default=np.inf, init=False)

    def run(self, start: Array) -> bool:
        """From a start to where no gradient is left or steps are used up; False if it has none."""
        self.x = start
        self.trajectory = [self.known(start)[2].loss]
        if not np.isfinite(self.trajectory[0]):
            return False
        self.go_on()
        return True

    @one_pool()
    def go_on(self, beside: Array | None = None) -> None:
        """The same from where it is, or from a point beside that, which counts as a step."""
        try:
            if beside is not None:
                self.stepped(beside)
            for harder in reversed(range(_PENALTIES)):
                self._settle(self.left // _KEPT, last=not harder)
                if not (self.above_cap and self.left):
                    break
                self.objective = self.objective.harder()
        except Stop:
            self.stopped = True

    @property
    def slope(self) -> float:
        """Largest entry of the gradient."""
        return float(np.abs(self.known(self.x)[1]).max())

    def known(self, x: Array) -> tuple[float, Array, Told]:
        """Value, gradient and loss; not taken again where they were asked for last."""
        objective, at, found = self._last
        if found is None or objective is not self.objective or not np.array_equal(at, x):
            found = self.objective(x)
            self._last = self.objective, x.copy(), found
        return found

    def steady(self) -> None:
        """Ask again where it is, until the loss stays: smaller errors are looked for by and by."""
        for _ in range(_ASKED):
            before, found = self.known(self.x), self.objective(self.x)
            self._last = self.objective, self.x.copy(), found
            if np.array_equal(before[1], found[1]):
                break

    @property
    def _model(self) -> Model:
        return self.objective.at.model(self.x)

    @property
    def left(self) -> int:
        """Steps that there may still be."""
        return max(self.steps + 1 - len(self.trajectory), 0)

    @property
    def above_cap(self) -> bool:
        """Whether couplings are."""
        cap = self.objective.cap
        return bool(np.isfinite(cap)) and exceeds(coupling(self._model), cap)

    @property
    def _spent(self) -> bool:
        """Whether the steps left are for harder penalties, or for Newton's."""
        if self._given_up or (self.left <= self.newton and self.slope <= _NEAR * self.gtol):
            return True
        return self.left <= self._kept and self.above_cap

    def _settle(self, kept: int, *, last: bool) -> None:
        """L-BFGS, started anew as long as that helps; leaves `kept` steps if above the cap.

        There only the `last` penalty is settled to the end.
        """
        self._kept, self._given_up, self._seen = kept, False, -np.inf if last else np.inf
        first = 1.0
        while self.left and not self._spent:
            before, self._level = self.known(self.x)[0], np.zeros(0)
            self._unit = first * self.scale
            steps = len(self.trajectory)
            found = scipy.optimize.minimize(
                self._evaluated,
                self.x / self._unit,
                jac=True,
                method="L-BFGS-B",
                callback=self._moved,
                options={
                    "maxcor": self.pairs,
                    "maxiter": min(self.left, _STEPS),
                    "maxfun": 10**9,
                    "ftol": 0.0,
                    "gtol": self.gtol * float(np.min(self._unit)),
                },
            )
            level = float(np.abs(found.jac / self._unit).max()) <= self.gtol
            if not level and self._level.size:
                level = self.known(self._level)[0] <= found.fun + _ROUNDING
                if level:
                    self.stepped(self._level)
            walled = not level and steps == len(self.trajectory) and self.slope > _STEEP
            first = _SHORTER * first if walled and first > _SHORTEST else 1.0
            if first < 1:
                continue
            # Without a step a gain is one of rounding, of an objective of any size.
            gained = before - found.fun if steps < len(self.trajectory) and not level else 0.0
            if gained > _NO_GAIN or self.sharper(FINE):
                continue
            if level or not gained > _ROUNDING * max(1.0, abs(before)):
                break

    def sharper(self, least: float) -> bool:
        """Whether errors of the loss are above the least, and are made smaller."""
        sharper = self.objective.sharper(least)
        self.objective = self.objective if sharper is None else sharper
        return sharper is not None

    def _evaluated(self, scaled: Array) -> tuple[float, Array]:
        x = scaled * self._unit
        value, slope, _ = self.known(x)
        if np.abs(slope).max() <= self.gtol and value < _NOWHERE:
            self._level = x
        return value, slope * self._unit

    def _moved(self, scaled: Array) -> None:
        self.stepped(scaled * self._unit)
        if len(self.trajectory) % _WATCHED == 0 and self._seen > -np.inf:
            before, self._seen = self._seen, self.known(self.x)[0]
            self._given_up = before - self._seen < _LITTLE and self.above_cap
        if self.slope <= self.gtol or self._spent:
            raise StopIteration

    def stepped(self, x: Array) -> None:
        """Go to the next point."""
        found = self.known(x)[2]
        self.x = x.copy()
        self.trajectory.append(found.loss)
        self.each(self._model, found.loss)
        if found.error > _LOST * found.loss:
            self.lost = True
            raise Stop
