"""Newton's steps at the end of a descent, on functions whose minimum is known."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from rugtheory.analysis.descent import Descent, Stop
from rugtheory.analysis.newton import settle
from rugtheory.model.model import Model


@dataclass(frozen=True)
class _Told:
    loss: float
    error: float = 0.0


@dataclass(frozen=True)
class _Weights:
    def model(self, x):
        return Model(np.eye(1), np.eye(1), x[:1])


@dataclass(frozen=True)
class _Valley:
    """A parabola of curvatures from 1e-4 to 1, its flattest axis bent, with rounding in values."""

    size: int = 40
    rounding: float = 0.0
    bent: float = 0.03
    least: float = 1e-4
    cap: float = np.inf
    at: _Weights = _Weights()
    taken: list = field(default_factory=list)

    def __call__(self, x):
        self.taken.append(x)
        curvature = np.geomspace(self.least, 1.0, self.size)
        moved = x[1:] - self.bent * x[0] ** 2
        value = (curvature[0] * x[0] ** 2 + curvature[1:] @ moved**2) / 2
        slope = np.append(
            curvature[0] * x[0] - 2 * self.bent * x[0] * (curvature[1:] @ moved),
            curvature[1:] * moved,
        )
        noise = self.rounding * np.sin(1e6 * np.sum(x))
        return value + noise, slope, _Told(value)

    def harder(self):
        return self

    def sharper(self, least):
        return None


def _descent(objective, steps, **options):
    made = Descent(objective, steps, 1e-9, **options)
    assert made.run(np.linspace(1.0, 0.5, objective.size))
    return made


@pytest.mark.parametrize("rounding", [0.0, 1e-9])
@pytest.mark.parametrize("scale", [1.0, 0.5 + np.arange(40) / 40])
def test_ends_where_no_gradient_is_left(rounding, scale):
    """The minimum is at 0, and gains near it are far below the rounding of values."""
    descent = _descent(_Valley(rounding=rounding), 30, scale=scale)
    assert descent.slope > 1e-6
    descent.steps = 3000
    settle(descent)
    assert descent.slope <= 1e-9 and np.abs(descent.x).max() < 1e-4
    assert descent.trajectory[-1] < 1e-12


def test_products_count_as_steps():
    objective = _Valley()
    descent = _descent(objective, 30)
    objective.taken.clear()
    descent.steps += 25
    before = descent.trajectory[-1]
    settle(descent)
    assert descent.slope > descent.gtol and descent.trajectory[-1] <= before
    assert len(objective.taken) <= 2 * 25


def test_steps_are_left_where_the_gradient_is_near():
    """Else L-BFGS goes on to the end, or uses them up where the gradient is still large."""
    near = _descent(_Valley(), 1000, newton=900)
    assert near.gtol < near.slope <= 30 * near.gtol and near.left > 500
    assert _descent(_Valley(), 1000).slope <= near.gtol
    assert not _descent(_Valley(), 20, newton=15).left


def test_negative_curvature_is_a_way_down():
    descent = _descent(_Valley(least=1e-2), 0)
    saddle = _Saddle()
    descent.objective, descent.x, descent.steps = saddle, np.array([1e-3, 1.0, -1.0]), 500
    settle(descent)
    assert abs(abs(descent.x[0]) - 1) < 1e-6 and descent.slope <= descent.gtol


class _Saddle(_Valley):
    """x₀⁴/4 - x₀²/2 + ..., stationary at 0, least at ±1."""

    def __call__(self, x):
        value = x[0] ** 4 / 4 - x[0] ** 2 / 2 + x[1:] @ x[1:] / 2
        return value, np.append(x[0] ** 3 - x[0], x[1:]), _Told(value + 1)


def test_a_stop_ends_it():
    def stop(model, loss):
        raise Stop

    descent = _descent(_Valley(), 30)
    descent.steps, descent.each = 3000, stop
    settle(descent)
    assert descent.stopped
