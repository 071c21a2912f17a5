"""Models of a few features: exact losses, kept critical points, and bounds from below."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy

import rugtheory as rt
from validation.certificate import Cells, lower_bound, output_loss
from validation.few_features import Sets, losses
from validation.few_minima import Case, Tied, critical_points

DATA = Path(__file__).parents[1] / "validation/data"
MINIMA = json.loads((DATA / "few_minima.json").read_text())["cases"]
PHASES = json.loads((DATA / "few_phases.json").read_text())
RANDOM = np.random.default_rng(0)


def test_losses_are_those_of_the_inversion():
    """Which shares nothing with the closed form; a weight of 1e-9 and one of zero among them."""
    for n in (1, 2, 4):
        p, b = RANDOM.uniform(0.05, 0.45, n), 0.2 * RANDOM.normal(size=n)
        w = 0.7 * RANDOM.normal(size=(n, n))
        w[0, -1], w[-1, 0] = 1e-9, 0.0
        model = rt.Model(np.eye(n), w, b)
        exact = rt.exact_loss(model, rt.Independent(p), rtol=1e-10)
        found = losses(Sets.independent(p, np.ones(n)), w, b)[0]
        assert np.all(np.abs(found - exact.loss) <= exact.error + 1e-14)
        one_on = rt.Groups([rt.Exclusive([1 / n] * n)])
        exact = rt.exact_loss(model, one_on, rtol=1e-10)
        found = losses(Sets.one_on(n, np.ones(n)), w, b)[0]
        assert np.all(np.abs(found - exact.loss) <= exact.error + 1e-14)


@pytest.mark.parametrize("p", [None, 0.3])
def test_the_gradient_is_that_of_the_loss(p):
    f = Tied(Case(4, p, 0.8))
    x = 0.5 * RANDOM.normal(size=12)
    x[3] = 1e-8
    for e in np.eye(12):
        slope = (f(x + 1e-6 * e)[0] - f(x - 1e-6 * e)[0]) / 2e-6
        assert slope == pytest.approx(f.gradient(x) @ e, abs=1e-8)


def of_polygon(k):
    """The sum of the losses of a regular polygon, one of k features on; in one dimension each."""

    def loss(x):
        w, b = x[0] ** 2 * np.cos(2 * np.pi * np.arange(k) / k), x[1]
        u = (np.arange(4000) + 0.5) / 4000
        reading = np.maximum(w[:, None] * u + b, 0.0)
        return np.sum(np.mean((reading - (np.arange(k) == 0)[:, None] * u) ** 2, axis=1))

    return scipy.optimize.minimize(loss, [1.2, -0.4], method="Nelder-Mead").fun


@pytest.mark.parametrize(("n", "case"), [(5, 0), (6, 1)])
def test_the_best_are_regular_polygons(n, case):
    """Their losses by a midpoint rule."""
    best = MINIMA[case]["points"][0]
    assert MINIMA[case]["n"] == n and MINIMA[case]["factor"] == 1.0 and MINIMA[case]["p"] is None
    assert best["loss"] * n == pytest.approx(of_polygon(n), abs=1e-7)
    lengths = np.linalg.norm(best["w"], axis=0)
    assert np.ptp(lengths) < 1e-9 and best["index"] == best["flat"] == 0


def test_every_order_of_a_pentagon():
    """Five features of their own have 4!/2 orders around it, each a minimum."""
    (case,) = (x for x in MINIMA if (x["n"], x["p"], x["factor"]) == (5, None, 0.9))
    orders = set()
    for point in case["points"][:12]:
        assert point["index"] == 0
        angle = np.argsort(np.arctan2(*np.array(point["w"])[::-1]))
        turned = np.roll(angle, -int(np.argmin(angle)))
        orders.add(tuple(min(turned.tolist(), [0, *turned[:0:-1].tolist()])))
    assert len(orders) == 12


@pytest.mark.parametrize(
    "which", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in range(1, len(MINIMA)))]
)
def test_kept_points_are_critical_with_the_loss_they_say(which):
    """By the exact loss of the package; the gradient by that of the command."""
    case = MINIMA[which]
    n, importance = case["n"], case["factor"] ** np.arange(case["n"])
    f = Tied(Case(n, case["p"], case["factor"]))
    features = rt.Independent([case["p"] or 0.1] * n, importance=importance)
    if case["p"] is None:
        features = rt.Groups([rt.Exclusive([1 / n] * n)], importance=importance)
    for point in case["points"][:: max(1, len(case["points"]) // 2)]:
        w, b = np.array(point["w"]), np.array(point["b"])
        exact = rt.exact_loss(rt.Model(w, b=b), features, rtol=1e-8)
        assert abs(exact.mean - point["loss"]) <= exact.mean_error + 1e-11
        assert np.abs(f.gradient(np.append(w, b))).max() <= 1e-8


def test_a_search_finds_the_polygon_again():
    found = critical_points(Case(5, None, 1.0), 2, 0, seed=1)
    assert found[0]["loss"] == pytest.approx(MINIMA[0]["points"][0]["loss"], abs=1e-10)


def test_output_loss():
    for _ in range(20):
        a, c, b, p = *RANDOM.normal(size=3), RANDOM.uniform(0.05, 1)
        sets = Sets.independent(np.full(2, p), np.ones(2))
        expected = losses(sets, np.array([[a, c], [c, a]]), np.array([b, b]))[0][0]
        assert output_loss(*map(np.array, (a, c, b)), p) == pytest.approx(expected, abs=1e-14)


def test_bounds_of_cells_hold():
    """At random points of random cells, and corners."""
    for _ in range(30):
        w, half, p = RANDOM.normal(size=2), 10 ** RANDOM.uniform(-3, -0.5), RANDOM.uniform(0.02, 1)
        b, half_b = RANDOM.normal(size=2) * 0.5, RANDOM.uniform(1e-3, 0.3, 2)
        owner, row = np.zeros(2, np.int64), np.arange(2)
        bounds = Cells(w[None], half, owner, row, b, half_b).bounds(p)
        for place in (RANDOM.uniform(-1, 1, 4), RANDOM.choice([-1.0, 1.0], 4)):
            x, y = w + half * place[:2], b + half_b * place[2:]
            for i in (0, 1):
                assert output_loss(x[i] ** 2, x[0] * x[1], y[i], p) >= bounds[i]


def test_a_bound_that_is_known():
    """Common features, one of little importance: it is dropped, which loses its variance."""
    best = 0.1 * float(rt.SparseSource(0.8).variance) / 2
    bound, looked = lower_bound(0.8, 0.1, best, 0.1)
    assert bound == pytest.approx(0.9 * best)
    assert looked > 1000


def test_kept_bounds_are_close():
    points = [x for x in PHASES["points"] if "bound" in x]
    assert len(points) == len(PHASES["p"]) * len(PHASES["importance"])
    for x in points:
        assert (1 - PHASES["tolerance"]) * x["loss"] * (1 - 1e-12) <= x["bound"] <= x["loss"]
        sets = Sets.independent(np.full(2, x["p"]), np.array([1.0, x["importance"]]))
        w = np.array(x["w"])
        found = losses(sets, w.T @ w, np.array(x["b"]))[0] @ sets.importance / 2
        assert found == pytest.approx(x["loss"], rel=1e-12)
