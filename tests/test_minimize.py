"""Descent on the exact loss, against minima that are known otherwise."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import rugtheory as rt
from rugtheory.analysis.columns import dead_features
from rugtheory.analysis.curvature import (
    curvature_along,
    hessian_product,
    lowest_curvatures,
    lowest_seen,
)
from rugtheory.analysis.descent import PENALTY, Coordinates, Descent, Objective, nowhere_with
from rugtheory.analysis.gradient import Gradient
from rugtheory.analysis.starts import INITS
from rugtheory.cli import main

DATA = Path(__file__).parents[1] / "validation" / "data"


def lowest(features, n_dense, seeds, **options):
    return min(
        (rt.minimize(features, n_dense, seed=s, **options) for s in seeds), key=lambda x: x.loss
    )


@pytest.mark.parametrize("p", [pytest.param(0.02, marks=pytest.mark.slow), 0.1, 0.3])
def test_two_features_in_one_unit_are_a_pair(p):
    """Uneven pairs are searched for by other means, with losses in closed form."""
    found = lowest(rt.Identical(2, p), 1, range(3), max_coupling=None)
    assert abs(found.loss / float(rt.uneven_pairs(p).loss) - 1) < 1e-5


@pytest.mark.parametrize(("n", "d", "p"), [(2, 1, 0.05), (6, 2, 0.3)])
def test_few_features_end_in_a_minimum(n, d, p):
    """Kinks of single terms are resolved: no gradient is left, and losses on the way were true."""
    found = rt.minimize(rt.Identical(n, p), d, curvature=1)
    assert found.verdict == "minimum"
    assert found.gradient <= 1e-6
    assert abs(found.trajectory[-1] / found.loss - 1) <= 1e-6


def test_outputs_that_never_fire_are_opened():
    """They have no gradient: descent by itself ends next to where such weights are."""
    features, pairs = rt.Identical(2, 0.05), rt.uneven_pairs(0.05)
    good = rt.minimize(features, 1).model
    closed = rt.Model(good.w_in, good.w_out, [good.b[0], -5.0])
    still = rt.exact_gradient(closed, features)
    assert abs(still.b[1]) < 1e-30 and np.abs(still.w_out[1]).max() < 1e-30
    found = rt.minimize(features, 1, init=closed)
    assert abs(found.loss / float(pairs.loss) - 1) < 1e-5
    # Without a step to take they are constant.
    at_once = rt.minimize(features, 1, init=closed, steps=0)
    mean = features.mean[1]
    assert np.all(at_once.model.w_out[1] == 0) and at_once.model.b[1] == pytest.approx(mean)
    assert at_once.losses[1] == pytest.approx(features.variance[1], rel=1e-9)


def test_as_many_units_as_features_lose_nothing():
    found = rt.minimize(rt.Identical(3, 0.2), 3, seed=0)
    assert found.verdict == "lost"
    assert found.loss < 1e-3 * 0.2**2


def test_three_pairs_are_uneven():
    """Six features in three units: as good as uneven pairs, of which nothing better is known."""
    found = lowest(rt.Identical(6, 0.1), 3, range(2), steps=60)
    assert 1 - 1e-4 < found.loss / float(rt.uneven_pairs(0.1).loss) < 1 + 2e-2


def test_stationary_at_the_cap():
    features = rt.Identical(5, 0.05)
    found = rt.minimize(features, 2, seed=0, max_coupling=2.0)
    assert found.verdict == "at the cap"
    assert found.gradient <= 1e-6
    assert found.trajectory[-1] < 0.8 * found.trajectory[0]
    assert abs(found.trajectory[-1] - found.loss) <= 1e-4 * found.loss + found.error
    again = rt.exact_loss(found.model, features)
    assert abs(again.mean - found.loss) <= found.error + again.mean_error
    w = found.model.w_out @ found.model.w_in
    ratios = np.abs(w / np.diag(w)[:, None])[~np.eye(5, dtype=bool)]
    assert found.coupling == pytest.approx(ratios.max())
    assert 1.9 < found.coupling <= 2.0
    free = rt.minimize(features, 2, init=found.model, max_coupling=None, steps=30)
    assert free.loss < found.loss
    assert free.coupling > 2.0


@dataclass
class Told:
    loss: float
    error: float = 0.0


class Wall:
    """Down a slope to where it rises steeply, and no value beyond."""

    cap = np.inf

    def __init__(self, stiff):
        self.stiff, self.at = stiff, self

    def model(self, x):
        return rt.Model(np.eye(2))

    def __call__(self, x):
        if x[0] > 1e-3:
            return nowhere_with(PENALTY), np.zeros(2), Told(np.inf)
        over = max(x[0], 0.0)
        value = -0.3 * x[0] + 0.5 * self.stiff * over**2 + 0.5 * (x[1] - 1) ** 2
        slope = np.array([-0.3 + self.stiff * over, x[1] - 1])
        return value, slope, Told(float(np.exp(min(value, 100.0))))

    def harder(self):
        return self

    def sharper(self, least):
        return None


@pytest.mark.parametrize("start", [-1e-3, -1e-5, -1e-7, 0.0])
@pytest.mark.parametrize("stiff", [1e4, 1e7, 1e8, 1e9, 1e10])
def test_no_wall_ends_a_descent(start, stiff):
    """However far below the first length that is tried its steps have to be."""
    descent = Descent(Wall(stiff), 200, 1e-6)
    assert descent.run(np.array([start, 0.0]))
    assert descent.slope <= 1e-6
    np.testing.assert_allclose(descent.x, [0.3 / stiff, 1.0], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_couplings_come_below_the_cap_before_a_penalty_has_settled():
    """The first takes 3000 steps from this start; and a feature that dies makes a wall."""
    steps = count(1)

    def enough(model, loss):
        if next(steps) == 1200:
            raise StopIteration

    found = rt.minimize(rt.Identical(12, 0.1), 3, callback=enough)
    assert found.coupling <= 10.0
    assert found.loss < 1.14 * 0.1**2


@pytest.mark.parametrize("steps", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_few_steps_end_below_the_cap_and_no_worse_than_they_began(steps):
    """Codes side by side, which would gain by larger couplings."""
    features = rt.Identical(32, 0.1)
    start = rt.best_model(32, 12, 0.1)
    found = rt.minimize(features, 12, init=start.model, steps=steps)
    assert 9 < start.coupling <= 10
    assert found.coupling <= 10
    assert found.loss <= start.loss + found.error + start.error
    free = rt.minimize(features, 12, init=start.model, max_coupling=None, steps=steps)
    assert free.coupling > 10
    assert free.loss < start.loss


@pytest.mark.parametrize("seed", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_no_step_where_a_feature_dies(seed):
    """The objective is the integral of its slope; at a step a line search would not end."""
    generator = np.random.default_rng(seed)
    w_in = generator.normal(size=(3, 5))
    w_in /= np.linalg.norm(w_in, axis=0)
    w_out = w_in.T + 0.2 * generator.normal(size=(5, 3))
    # What the first output hears stays; its own weight goes to zero.
    gone = w_in.copy()
    gone[:, 0] = 0.0
    at = Coordinates(5, 3, False, 0.0)
    objective = Objective(Gradient(rt.Identical(5, 0.05), 1e-8), at, cap=1.0)
    start, end = (at.vector(rt.Model(x, w_out, -0.1)) for x in (w_in, gone))
    found, alive, counted = [], [], []
    for x in np.linspace(0.6, 1, 81):
        point = start + x * (end - start)
        value, slope, loss = objective(point)
        found.append((value, slope @ (end - start)))
        alive.append(~dead_features(at.model(point).diagonal))
        counted.append(value - np.log(loss.loss))
    assert alive[0].all() and not alive[-1][0]
    first = [row[0] for row in alive].index(False)
    assert counted[first] > counted[-1]  # it counts in part when it has just died
    values, slopes = np.array(found).T
    simpson = (slopes[:-2:2] + 4 * slopes[1:-1:2] + slopes[2::2]) / (6 * 40) * 0.4
    assert np.abs(np.diff(values[::2]) - simpson).max() < 1e-2 * np.ptp(values)


@pytest.mark.slow
def test_a_minimum_and_a_saddle():
    """Random weights end in a minimum; those of a rug with its best spectrum are none."""
    features = rt.Identical(64, 0.045)
    found = rt.minimize(features, 16, seed=0, curvature=1)
    assert found.verdict == "minimum"
    rug = rt.hadamard_rug(64, 16, seed=1)
    start = rug.model(rt.optimum(0.045, 0.25), rt.SparseSource(0.045))
    assert rt.exact_loss(start, features).mean > 1.3 * found.loss


class TestCurvature:
    def objective(self, **options):
        features = rt.Identical(5, 0.1)
        gradient = Gradient(features, 1e-8)
        at = Coordinates(5, 2, options.get("tied", False), options.get("noise", 0.0))
        return Objective(gradient, at)

    def point(self, objective):
        generator = np.random.default_rng(3)
        w_in = generator.normal(size=(2, 5))
        return objective.at.vector(
            rt.Model(w_in, 0.8 * w_in.T + 0.1 * generator.normal(size=(5, 2)), -0.2)
        )

    @pytest.mark.parametrize("options", [{}, {"tied": True}, {"noise": 0.1}], ids=str)
    def test_against_the_whole_hessian(self, options):
        """Eigenvalues of the matrix of products, its null directions by rotating W_in itself."""
        objective = self.objective(**options)
        x = self.point(objective)
        whole = np.stack([hessian_product(objective, x, e) for e in np.eye(x.size)])
        assert np.abs(whole - whole.T).max() < 1e-5 * np.abs(whole).max()
        w_in = x[:10].reshape(2, 5)
        w_out = w_in.T if "tied" in options else x[10:20].reshape(5, 2)
        ways = []
        for a in np.eye(4).reshape(4, 2, 2):
            a = a - a.T if options else a
            parts = [a @ w_in] if "tied" in options else [a @ w_in, -w_out @ a]
            ways.append(np.concatenate([*(y.ravel() for y in parts), np.zeros(5)]))
        if "noise" in options:
            ways.append(np.concatenate([w_in.ravel(), np.zeros(15)]))
        u, size, _ = np.linalg.svd(np.array(ways).T)
        free = u[:, int(np.sum(size > 1e-9)) :]
        values = np.linalg.eigvalsh(free.T @ (whole + whole.T) @ free / 2)
        found = lowest_curvatures(objective, x, 2, 0)
        assert np.allclose(found, values[:2] / values[-1], atol=5e-3)
        # More products than there are directions.
        largest, way = lowest_seen(objective, x, 40, 0)
        assert largest == pytest.approx(values[-1], rel=1e-4)
        assert curvature_along(objective, x, way, 1e-3) == pytest.approx(values[0], rel=1e-3)

    def test_loss_is_the_same_along_a_gauge(self):
        objective = self.objective()
        x = self.point(objective)
        model = objective.at.model(x)
        turn = np.array([[1.3, 0.4], [-0.2, 0.7]])
        other = rt.Model(turn @ model.w_in, model.w_out @ np.linalg.inv(turn), model.b)
        assert objective(objective.at.vector(other))[0] == pytest.approx(objective(x)[0], rel=1e-12)


def test_tied_and_noisy_weights():
    few = {"steps": 60, "seed": 0}
    tied = rt.minimize(rt.Identical(6, 0.1), 2, tied=True, **few)
    assert np.array_equal(tied.model.w_out, tied.model.w_in.T)
    one, other = rt.Identical(12, 0.05), rt.Independent(np.full(12, 0.05))
    same = [rt.minimize(x, 4, init="rare", steps=1).trajectory for x in (one, other)]
    assert np.allclose(*same, rtol=1e-6)
    noisy = rt.minimize(rt.Identical(6, 0.1), 2, hidden_noise=0.05, **few)
    assert abs(np.sum(noisy.model.w_in**2) - 6) < 1e-9
    assert noisy.model.hidden_noise == 0.05
    quiet = rt.minimize(rt.Identical(6, 0.1), 2, **few)
    assert quiet.loss < noisy.loss
    with pytest.raises(ValueError, match="tied"):
        rt.minimize(rt.Identical(6, 0.1), 2, tied=True, hidden_noise=0.1)


def test_weight_decay_makes_weights_small():
    free = rt.minimize(rt.Identical(5, 0.1), 2, seed=0, max_coupling=2.0)
    held = rt.minimize(rt.Identical(5, 0.1), 2, seed=0, max_coupling=2.0, weight_decay=1e-3)
    assert np.sum(held.model.w_in**2) < np.sum(free.model.w_in**2)
    # At a stationary point both factors are equally long: the decay is all that sees a gauge.
    assert abs(np.sum(held.model.w_in**2) / np.sum(held.model.w_out**2) - 1) < 1e-3
    assert held.loss > free.loss


def test_important_features_are_served_first():
    features = rt.Identical(2, 0.3)
    unequal = rt.Independent([0.3, 0.3], importance=[1.0, 0.01])
    found = rt.minimize(unequal, 1, seed=0, max_coupling=None, steps=60)
    assert found.losses[0] < 0.1 * found.losses[1]
    assert abs(found.loss - np.mean([1.0, 0.01] * found.losses)) < 1e-12
    assert rt.minimize(features, 1, seed=0, steps=60).loss > found.loss


def steepest(model, features, rtol):
    """Largest entry of the gradient of the log of the loss."""
    there = rt.exact_gradient(model, features, rtol=rtol)
    return max(np.abs(x).max() for x in (there.w_in, there.w_out, there.b)) / there.loss


def test_unequal_features_end_where_no_gradient_is_left():
    """Units of coordinates, and of errors, differ between features; where it ends they do not."""
    features = rt.Independent(0.1 / np.arange(1, 4))
    found = rt.minimize(features, 1, seed=0)
    assert found.verdict == "stationary"
    assert found.loss < rt.allocate(features, 1, family="gaussian").loss
    assert steepest(found.model, features, 1e-9) < 2e-5


@pytest.mark.parametrize(("n", "n_dense", "p"), [(6, 2, 0.3), (7, 2, 0.4)])
def test_the_gradient_told_is_that_of_the_loss(n, n_dense, p):
    """At larger errors none is left where that of the loss itself is five times gtol."""
    features = rt.Identical(n, p)
    found = rt.minimize(features, n_dense, seed=0)
    assert found.verdict == "stationary" and found.gradient <= 1e-6
    assert steepest(found.model, features, 1e-8) < 1.5e-6


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("n", "n_dense"), [(1, 1), (2, 2), (2, 3)])
def test_nothing_may_be_lost(n, n_dense, tied):
    found = rt.minimize(rt.Identical(n, 0.3), n_dense, seed=0, steps=100, tied=tied)
    assert found.loss < 1e-4 and found.trajectory.size <= 101


def test_units_of_coordinates():
    """Those of alike features are one; a rare or unimportant one takes longer steps."""
    at = Coordinates(3, 2, False, 0.0)
    assert at.scale(rt.Identical(3, 0.1)) == 1.0
    p, importance = np.array([0.1, 0.1, 0.001]), np.array([1.0, 0.5, 1.0])
    scale = at.scale(rt.Independent(p, importance=importance))
    w_in, w_out, b = scale[:6].reshape(2, 3), scale[6:12].reshape(3, 2), scale[12:]
    assert np.allclose(b[1:] / b[0], [2**0.5, 10])
    assert np.array_equal(w_out, np.tile(b[:, None], 2))
    assert np.all(w_in[0] == w_in[1])
    assert w_in[0, 2] / w_in[0, 0] == pytest.approx(10)
    assert 1 < w_in[0, 1] / w_in[0, 0] < 2**0.5
    tied = Coordinates(3, 2, True, 0.0).scale(rt.Independent(p, importance=importance))
    assert np.array_equal(tied, np.append(scale[:6], b))


def test_what_is_found_survives_a_stop():
    def enough(model, loss):
        seen.append((model, loss))
        if len(seen) == 5:
            raise StopIteration

    seen = []
    found = rt.minimize(rt.Identical(8, 0.05), 3, seed=0, callback=enough)
    assert found.verdict == "stopped"
    assert found.trajectory.size == 6
    assert found.model == seen[-1][0]
    on = rt.minimize(rt.Identical(8, 0.05), 3, init=found.model, steps=20)
    assert on.loss < found.loss


def test_the_bar_counts_steps():
    counted = []

    def bar(steps):
        for k in steps:
            counted.append(k)
            yield k

    found = rt.minimize(rt.Identical(6, 0.1), 2, seed=0, steps=7, progress=bar)
    assert len(counted) >= found.trajectory.size - 1


def test_bad_starts():
    features = rt.Identical(6, 0.1)
    with pytest.raises(ValueError, match="init"):
        rt.minimize(features, 2, init="lowest")
    with pytest.raises(ValueError, match="init must be 'random', 'rare', 'best' or a Model"):
        rt.minimize(features, 2, init=np.eye(6))
    with pytest.raises(ValueError, match="n_dense"):
        rt.minimize(features, 3, init=rt.Model(np.ones((2, 6))))
    with pytest.raises(ValueError, match="max_coupling"):
        rt.minimize(features, 2, max_coupling=-1.0)


def test_a_start_is_evaluated_once(monkeypatch):
    calls, given = [], Gradient.__call__

    def counted(self, model):
        calls.append(model)
        return given(self, model)

    monkeypatch.setattr(Gradient, "__call__", counted)
    found = rt.minimize(rt.Identical(6, 0.1), 2, steps=0)
    assert len(calls) == 1 and found.trajectory.size == 1
    calls.clear()
    rt.minimize(rt.Identical(6, 0.1), 2, steps=5)
    points = {model.w_in.tobytes() for model in calls}
    assert len(points) == len(calls)


@pytest.mark.parametrize(
    ("init", "options", "message"),
    [
        (rt.Model(np.eye(3), activation="identity"), {}, "activation"),
        (rt.Model(np.eye(3), hidden_noise=0.1), {}, "hidden_noise must be that of init, 0.1"),
        (rt.Model(np.eye(3)), {"hidden_noise": 0.1}, "hidden_noise must be that of init, 0.0"),
        (rt.Model(2 * np.eye(3), hidden_noise=0.1), {"hidden_noise": 0.1}, "length 1"),
        (rt.Model(np.eye(3), 2 * np.eye(3)), {"tied": True}, "tied"),
    ],
)
def test_a_start_is_taken_whole_or_refused(init, options, message):
    with pytest.raises(ValueError, match=message):
        rt.minimize(rt.Identical(3, 0.1), 3, init=init, **options)


def test_couplings_of_low_pair_energy_are_a_start():
    """Below where Adam ends from random weights after 14,000 steps, in eighty."""
    n, p = 128, 0.045
    cpu = xr.load_dataset(DATA / "cpu.nc")
    same = (cpu.n_sparse == n) & (cpu.n_dense == 32) & (cpu.p == p) & (cpu.protocol == "converged")
    found = rt.minimize(rt.Identical(n, p), 32, init="rare", steps=80)
    assert found.loss < cpu.loss.values[same.values].mean()
    assert found.coupling < 1


def test_small_codes_from_such_starts():
    """Both are one pair there, of two features; and noise has columns of length 1."""
    features = rt.Identical(2, 0.05)
    found = rt.minimize(features, 1, init="rare")
    assert abs(found.loss / float(rt.uneven_pairs(0.05).loss) - 1) < 1e-5
    noisy = rt.minimize(rt.Identical(12, 0.05), 4, init="rare", hidden_noise=0.1, steps=3)
    assert np.sum(noisy.model.w_in**2) == pytest.approx(12)
    for n, d in ((12, 2), (12, 12), (1, 1), (3, 1)):
        assert np.isfinite(rt.minimize(rt.Identical(n, 0.1), d, init="rare", steps=1).loss)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_the_best_known_is_a_start(noise):
    """Its codes are not where descent ends; 12 features in 5 have one that is dropped, if noisy."""
    features, units = rt.Independent([0.1] * 12, amplitude=rt.Uniform(0.5, 1.0)), 5
    best = rt.best_model(
        12, units, 0.1, max_coupling=3, amplitude=rt.Uniform(0.5, 1.0), hidden_noise=noise
    )
    options = {"max_coupling": 3, "hidden_noise": noise, "steps": 200}
    found = rt.minimize(features, units, init="best", **options)
    start = found.trajectory[0]
    assert start <= best.loss * (1 + 1e-6) and found.loss <= start
    if not noise:
        assert start == pytest.approx(best.loss, rel=1e-6)


@pytest.mark.slow
def test_the_best_start_may_be_one_that_all_features_share():
    """Of 256 features the best known are two copies of weights of 128, as where Adam ends below."""
    best = rt.best_model(256, 38, 0.01).loss
    found = rt.minimize(rt.Identical(256, 0.01), 38, init="best", steps=15)
    assert found.trajectory[0] > best and found.loss < 0.92 * best


NAMED = [name for name in INITS if name != "random"]


@pytest.mark.parametrize("init", NAMED)
@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        (rt.Identical(3, 0.1), {"tied": True}, "tied must be False with init = "),
        (rt.Groups([rt.Exclusive([0.1, 0.1])]), {}, "init .* not (alike and )?independent"),
    ],
)
def test_what_such_a_start_is_not_for(init, features, options, message):
    with pytest.raises(ValueError, match=message):
        rt.minimize(features, 2, init=init, **options)


@pytest.mark.parametrize(
    "features",
    [rt.Independent([0.1, 0.2, 0.1]), rt.Independent([0.1] * 3, importance=[1, 1, 2])],
)
def test_features_must_be_alike_to_begin_as_rare_ones(features):
    with pytest.raises(ValueError, match=r"init .* not alike"):
        rt.minimize(features, 2, init="rare")


def test_the_best_known_has_a_cap():
    with pytest.raises(ValueError, match="max_coupling must not be None with init = 'best'"):
        rt.minimize(rt.Identical(3, 0.1), 2, init="best", max_coupling=None)


class TestCommand:
    def test_a_start_by_name(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        law = "minimize --p 0.05 --n-sparse 8 --n-dense 3 --steps 4 --seed 2 --init rare"
        assert main([*law.split(), "--out", "m.safetensors"]) == 0
        capsys.readouterr()
        found = rt.minimize(rt.Identical(8, 0.05), 3, steps=4, seed=2, init="rare")
        assert np.allclose(rt.read_weights("m.safetensors").w_in, found.model.w_in, rtol=1e-6)
        assert json.loads(Path(".rugtheory.json").read_text())["m.safetensors"]["made_of"][
            "init"
        ] == ("rare")

    def test_options_against_the_file(self, tmp_path, capsys, monkeypatch):
        """What does not go with --from, or contradicts the file, is refused by name."""
        monkeypatch.chdir(tmp_path)
        rt.Model(np.eye(4)[:2], hidden_noise=0.25).save("m.safetensors")
        law = ["minimize", "--p", "0.1", "--steps", "0"]
        for more, said in (
            ("--from m.safetensors --n-dense 3", "--n-dense must be that of --from, 2, got 3"),
            ("--from m.safetensors --n-sparse 5", "--n-sparse must be that of --from, 4, got 5"),
            ("--from m.safetensors --seed 0", "--seed"),
            ("--from m.safetensors --init rare", "--init"),
            ("--from m.safetensors --hidden-noise 0", "hidden_noise must be that of init, 0.25"),
            ("--n-sparse 4 --n-dense 2 --names b=b", "--names"),
            ("--n-sparse 4 --n-dense 2 --ignore c", "--ignore"),
            ("--n-sparse 4 --n-dense 2 --instance 0", "--instance"),
            ("--n-sparse 4", "--n-dense"),
        ):
            with pytest.raises(SystemExit) as stopped:
                main([*law, *more.split()])
            assert stopped.value.code == 2
            assert said in capsys.readouterr().err

    def test_the_record_says_how_the_file_was_read(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        np.savez("m.npz", first=np.eye(4)[:2] + 0.1, second=np.eye(4)[:, :2], other=np.ones(7))
        arguments = "minimize --p 0.1 --steps 0 --from m.npz --out new.safetensors --names"
        read = ["W_in=first", "W_out=second", "--ignore", "other", "--n-sparse", "4"]
        assert main([*arguments.split(), *read]) == 0
        capsys.readouterr()
        made = json.loads(Path(".rugtheory.json").read_text())["new.safetensors"]["made_of"]
        assert made["names"] == ["W_in=first", "W_out=second"]
        assert made["ignore"] == ["other"]
        assert made["n_sparse"] == 4

    def test_what_it_compares_with(self, tmp_path, monkeypatch, capsys):
        """Each is an upper bound of the next; noise is heard by all that is named, or not named."""
        monkeypatch.chdir(tmp_path)
        features = rt.Independent([0.1, 0.2, 0.05, 0.1])
        features.save("f.toml")
        sizes = ["--n-dense", "2", "--steps", "0", "--json"]

        def told(*options):
            assert main(["minimize", *options, *sizes]) == 0
            out, err = capsys.readouterr()
            assert "--out" in err
            return json.loads(out)["references"]

        alike = ["--p", "0.1", "--n-sparse", "4"]
        plain, noisy = told(*alike), told(*alike, "--hidden-noise", "0.1")
        assert list(plain) == ["rug", "pairs", "best known"]
        assert plain["rug"] > plain["pairs"] > plain["best known"]
        assert list(noisy) == ["best known"] and noisy["best known"] > plain["best known"]
        shared = told("--features", "f.toml")
        assert shared["rugs"] > shared["pairs"]
        assert told("--features", "f.toml", "--hidden-noise", "0.1") == {}

    def test_killed_without_warning_it_has_the_weights(self, tmp_path):
        """Copies of the weights are made on the way."""
        out = tmp_path / "m.safetensors"
        law = "minimize --p 0.05 --n-sparse 32 --n-dense 8 --steps 100000 --out"
        code = (
            "from rugtheory.cli import main, minimize\n"
            f"minimize._EVERY = 0\nmain({[*law.split(), str(out)]})"
        )
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        try:
            while not out.exists() and process.poll() is None:
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait()
        assert rt.read_weights(out).w_in.shape == (8, 32)
