"""Hidden units shared out to the best structures known: against linear programs and limits."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy.optimize import linprog

import rugtheory as rt
from rugtheory import figures
from rugtheory.cli import main
from rugtheory.figures import allocation_numbers as numbers

# Few, as the hull of each takes seconds: with and without stretches of curves.
P = (0.3, 0.1, 0.01, 0.001)


def allocated(p, n_dense, importance=1.0, **more):
    return rt.allocate(rt.Independent(p, importance=importance), n_dense, family="best", **more)


@pytest.mark.parametrize("p", P)
@pytest.mark.parametrize("ratio", [1e-4, 0.012, 0.03, 0.2, 0.31, 0.5, 0.75, 0.999])
def test_equal_features_are_the_best_known(p, ratio):
    found, n = allocated(np.full(1000, p), 1000 * ratio), 1000
    loss = float(rt.best_known(p, ratio).loss)
    assert found.loss == pytest.approx(loss, rel=1e-12)
    assert 0 <= found.error <= 1e-12 * loss
    assert found.capacity.sum() == pytest.approx(n * ratio, rel=1e-12)
    # Each feature that is on a corner has its loss there, and one may be between.
    assert found.losses[found.capacity == 0] == pytest.approx(float(rt.SparseSource(p).variance))
    some = found.capacity > 0
    assert found.losses[some] == pytest.approx(
        rt.best_known(p, found.capacity[some]).loss, rel=1e-12
    )
    assert np.unique(found.capacity.round(9)).size <= 3


def test_a_lower_cap_loses_more():
    p, n_dense = 0.1, 30.0
    losses = [allocated(np.full(100, p), n_dense, max_coupling=cap).loss for cap in (0.5, 2, 10)]
    assert losses[0] * (1 + 1e-12) >= losses[1] >= losses[2] * (1 - 1e-12)
    assert losses[0] > 1.01 * losses[2]
    capped = float(rt.best_known(p, n_dense / 100, max_coupling=0.5).loss)
    assert losses[0] == pytest.approx(capped, rel=1e-12)


def least_by_mixing(p, importance, n_dense, capacity):
    """A linear program: each feature mixes capacities of a grid, and of another near a guess."""
    cost, used, owner = [], [], []
    for i, (q, weight) in enumerate(zip(p, importance, strict=True)):
        c = np.concatenate([np.geomspace(1e-3, 0.5, 300), np.linspace(0.5, 1, 60)])
        near = capacity[i] * (1 + np.linspace(-1e-3, 1e-3, 101))
        c = np.append(c, near[(near > 0) & (near <= 1)])
        cost += [weight * float(rt.SparseSource(q).variance)]
        cost += (weight * rt.best_known(q, c).loss).tolist()
        used += [0.0, *c.tolist()]
        owner += [i] * (c.size + 1)
    one = np.equal.outer(np.arange(len(p)), owner).astype(float)
    scale = np.mean(cost)
    solved = linprog(
        np.array(cost) / scale,
        A_ub=[used],
        b_ub=[n_dense],
        A_eq=one,
        b_eq=np.ones(len(p)),
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return solved.fun * scale / len(p)


@pytest.mark.parametrize(
    ("seed", "n_dense"),
    [
        pytest.param(seed, x, marks=[pytest.mark.slow] * ((seed + k) % 2))
        for seed in range(2)
        for k, x in enumerate((0.3, 1, 2.2, 4, 6.5))
    ],
)
def test_against_a_linear_program(seed, n_dense):
    rng = np.random.default_rng(seed)
    p = np.append(P, rng.choice(P, 4))
    importance = 10 ** rng.uniform(-2, 1, p.size)
    found = allocated(p, n_dense, importance)
    least = least_by_mixing(p, importance, n_dense, found.capacity)
    # Corners of hulls that the grid lacks make the program lose more.
    assert least * (1 - 1e-6) <= found.loss <= least * (1 + 1e-9)
    assert 0 <= found.bound <= found.loss and found.error <= 1e-11 * found.loss


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(P), st.floats(1e-6, 1e3)), min_size=1, max_size=9),
    st.floats(1e-3, 0.999),
    st.integers(0, 2**32 - 1),
)
def test_no_other_capacities_lose_less(kinds, share, seed):
    p, importance = (np.array(x) for x in zip(*kinds, strict=True))
    n_dense = share * p.size
    found = allocated(p, n_dense, importance)
    assert found.capacity.sum() == pytest.approx(n_dense, rel=1e-10)
    assert np.all((found.capacity >= 0) & (found.capacity <= 1))
    # Some capacities that add up to n_dense, each at most 1.
    other = np.random.default_rng(seed).random(p.size) ** 3
    other *= n_dense / other.sum()
    other = np.minimum(other, 1)
    other += (1 - other) * (n_dense - other.sum()) / max((1 - other).sum(), 1e-300)
    losses = np.mean(importance * rt.best_known(p, np.clip(other, 1e-300, 1)).loss)
    assert found.bound <= losses * (1 + 1e-11)
    assert found.error <= 1e-11 * found.loss


def test_no_other_family_loses_less():
    features = rt.Independent(P, importance=[0.1, 3, 20, 100])
    for n_dense in (0.2, 0.9, 2, 3.5):
        least = rt.allocate(features, n_dense, family="best").loss
        for family in ("gaussian", "pairs"):
            assert least <= rt.allocate(features, n_dense, family=family).loss * (1 + 1e-9)


def test_price_is_the_derivative_of_the_loss():
    features = rt.Independent(np.repeat(P, 50), importance=np.tile([1.0, 3.0], 100))
    units, h = np.array([5.0, 40.0, 90.0]), 1e-5
    found, *near = (
        rt.allocation_scaling(features, units * (1 + x), family="best") for x in (0, -h, h)
    )
    slope = (np.log(near[1].loss) - np.log(near[0].loss)) / (2 * h)
    assert found.exponent == pytest.approx(slope, rel=1e-4)
    one = rt.allocate(features, 40, family="best")
    assert found.loss[1] == pytest.approx(one.loss, rel=1e-13)
    assert found.dropped[1] == one.dropped.sum()


def test_phases_are_the_ends_of_the_hull():
    found = rt.allocation_phases(P, family="best")
    for k, p in enumerate(P):
        ratio = np.geomspace(1e-3, 0.5, 400)
        rise = (float(rt.SparseSource(p).variance) - rt.best_known(p, ratio).loss) / ratio
        assert found.dropped_above[k] == pytest.approx(rise.max(), rel=1e-3)
        assert found.dropped_above[k] >= rise.max() * (1 - 1e-12)
        first = ratio[np.argmax(rise)]
        assert found.least_capacity[k] >= first * (1 - 0.05)
        last = float(rt.best_known(p, 0.999).loss) / (1 - 0.999)
        assert found.alone_below[k] == pytest.approx(last, rel=1e-9)


def test_phase_diagram():
    importance = np.geomspace(1, 1e5, 40)
    phases = numbers.allocation_phase_diagram(P, importance, family="best")
    kept = phases["capacity"].values > 0
    assert np.array_equal(kept, importance > phases["kept_above"].values[:, None])
    alone = phases["capacity"].values == 1
    assert np.array_equal(alone, importance > phases["alone_above"].values[:, None])
    assert np.all(np.diff(phases["capacity"].values, axis=1) >= -1e-9)
    assert figures.draw_allocation_phases(phases, Figure().add_subplot())


def test_figure():
    features = rt.Independent(P, importance=[0.1, 1, 30, 100])
    found = rt.allocate(features, 1.5, family="best")
    ax = Figure().add_subplot()
    figures.draw_allocation(found, features, ax)
    assert sum(line.get_xdata().size for line in ax.lines) == len(P)


def test_no_features_matter():
    features = rt.Independent([1.0, 1.0], rt.Constant())
    found = rt.allocate(features, 1, family="best")
    assert found.loss == 0 and found.dropped.all()
    alone = allocated([0.3, 0.1], 2)
    assert alone.loss == 0 and alone.capacity.tolist() == [1, 1]


def test_units_of_amplitudes():
    p, n_dense = [0.3, 0.3, 0.3], 0.9
    one = allocated(p, n_dense)
    law = rt.Uniform(0, 3)
    three = rt.allocate(rt.Independent(p, law), n_dense, family="best")
    assert three.loss == pytest.approx(9 * one.loss, rel=1e-6)


def test_refusals():
    with pytest.raises(ValueError, match="must be left out for 'pairs', got 3"):
        rt.allocate(rt.Identical(4, 0.1), 1, family="pairs", max_coupling=3)
    with pytest.raises(ValueError, match="max_coupling"):
        rt.allocate(rt.Identical(4, 0.1), 1, family="best", max_coupling=0)
    signed = re.escape("must not be negative where hidden units are shared out")
    with pytest.raises(ValueError, match=signed):
        rt.allocate(rt.Identical(4, 0.1, rt.Uniform(-1, 1)), 1, family="best")


def test_command(capsys):
    line = "allocate --zipf 0 --largest 0.1 --n-sparse 20 --n-dense 6 --family best"
    assert main([*line.split(), "--max-coupling", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    found = allocated(np.full(20, 0.1), 6, max_coupling=2)
    assert report["loss"] == found.loss and report["capacity"] == found.capacity.tolist()
    with pytest.raises(SystemExit, match="2"):
        main(
            ["allocate", "--zipf", "1", "--n-sparse", "9", "--n-dense", "2", "--max-coupling", "3"]
        )
    assert "max_coupling" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("cap", [1.0, 10.0])
def test_many_p_some_of_them_alone(cap):
    """The commonest feature is at the end of the grid of p, and has a hidden unit to itself."""
    p = np.linspace(0.001, 0.001005, 30)[::-1]
    importance = np.ones(30)
    importance[[0, 5]] = 1e6
    found = allocated(p, 10, importance, max_coupling=cap)
    assert found.capacity[[0, 5]].tolist() == [1, 1] and found.losses[[0, 5]].tolist() == [0, 0]
    others = allocated(np.full(28, 0.0010025), 8, max_coupling=cap)
    assert found.loss == pytest.approx(others.loss * 28 / 30, rel=2e-3)
    assert 0 < found.bound <= found.loss < np.inf


@pytest.mark.slow
def test_many_p():
    """Hulls between those of a grid of p, beside hulls of their own."""
    features = rt.Independent(np.geomspace(0.05, 0.1, 30))
    found = rt.allocate(features, 8, family="best")
    some = [13, 24]
    exact = rt.best_known(features.p[some], found.capacity[some]).loss
    assert found.losses[some] == pytest.approx(exact, rel=2e-3)
    assert 0 <= found.error < 3e-3 * found.loss
    assert found.capacity.sum() == pytest.approx(8, rel=1e-12)
    for family in ("gaussian", "pairs"):
        assert found.bound < rt.allocate(features, 8, family=family).loss


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "p", [*(pytest.param(p, marks=pytest.mark.slow) for p in (1e-140, 1e-60, 1e-35, 1e-25)), 1e-18]
)
@pytest.mark.parametrize("family", ["gaussian", "pairs", "best"])
def test_features_next_to_never_on(family, p):
    """Beside one that fills a unit: a bound, and never more than with the rare one dropped."""
    found = rt.allocate(rt.Independent([p, 0.5]), 1, family=family)
    assert found.bound <= found.loss <= p / 6 * (1 + 1e-12)
    assert found.error <= 1e-6 * found.loss


@pytest.mark.slow
@pytest.mark.parametrize("p", [1e-34, 1e-35, 1e-36])
def test_hulls_go_down_where_features_are_next_to_never_on(p):
    ratio = np.linspace(0.05, 0.95, 37)
    loss = rt.best_known(p, ratio).loss
    assert np.all(np.diff(loss) < 0) and np.all(np.diff(loss, 2) > -1e-9 * loss[1:-1])
