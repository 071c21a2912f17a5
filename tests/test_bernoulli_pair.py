"""Two features that are 0 or 1, in one hidden unit: losses, and bounds from below."""

import json
from pathlib import Path

import numpy as np
import pytest

import rugtheory as rt
from validation.bernoulli_pair import cell_bound, certified, far_bound, least_loss, total

KEPT = json.loads((Path(__file__).parents[1] / "validation/data/bernoulli_pair.json").read_text())
RANDOM = np.random.default_rng(0)


def expected(w, b, p, importance):
    """Over the four states, one by one."""
    loss = 0.0
    for x in ((0, 0), (1, 0), (0, 1), (1, 1)):
        h = w[0] * x[0] + w[1] * x[1]
        error = [(x[k] - max(w[k] * h + b[k], 0)) ** 2 for k in (0, 1)]
        chance = np.prod([p if on else 1 - p for on in x])
        loss += chance * (error[0] + importance * error[1]) / 2
    return loss


@pytest.mark.parametrize("point", KEPT["points"][::7], ids=lambda x: f"{x['p']} {x['importance']}")
def test_kept_losses_are_the_exact_ones(point):
    w, b, p, importance = (point[name] for name in ("w", "b", "p", "importance"))
    assert expected(w, b, p, importance) == pytest.approx(point["loss"], rel=1e-12)
    features = rt.Independent([p, p], rt.Constant(), importance=[1, importance])
    model = rt.Model(np.array([w]), np.array([w]).T, b)
    assert rt.exact_loss(model, features).mean == pytest.approx(point["loss"], rel=1e-6)
    assert 0.979 * point["loss"] < point["bound"] <= point["loss"]
    assert point["loss"] <= min(point["alone"], point["opposite"]) * (1 + 1e-9)


@pytest.mark.parametrize("p", [0.02, 0.3, 0.7])
def test_no_bias_is_better(p):
    for _ in range(40):
        a, c = RANDOM.uniform(0, 3), RANDOM.normal()
        least, bias = least_loss(np.array(a), np.array(c), p)
        other = np.append(RANDOM.normal(size=200) * 2, bias)
        w, rest = np.sqrt(a), c / np.sqrt(a)
        losses = [2 * expected((w, rest), (x, -1e9), p, 0) for x in other]
        assert least == pytest.approx(losses[-1], rel=1e-12)
        assert least <= min(losses) * (1 + 1e-12)


@pytest.mark.parametrize("importance", [0.1, 1.0])
@pytest.mark.parametrize("p", [0.05, 0.3])
def test_cells_hold_nothing_below_their_bounds(p, importance):
    for h in (0.3, 0.03, 0.003):
        w = RANDOM.normal(size=(200, 2)) * RANDOM.choice([0.5, 2, 6], size=(200, 1))
        bound = cell_bound(w, h, p, importance)
        for _ in range(30):
            inside = w + h * RANDOM.uniform(-1, 1, w.shape)
            assert np.all(bound <= total(inside, p, importance) + 1e-12)
    small = np.full((1, 2), [1.0, -1.0])
    exact = total(small, p, importance)
    assert cell_bound(small, 1e-6, p, importance) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.6])
def test_nothing_far_away_is_below_its_bound(p):
    far = RANDOM.choice([16.0, 30.0, 1000.0], 3000)
    # The product of the two weights is what matters.
    w = np.stack([far, RANDOM.normal(size=3000) * RANDOM.choice([1e-3, 1, 30], 3000) / far], -1)
    for swapped in (w, w[:, ::-1]):
        for importance in (0.1, 1.0):
            assert far_bound(p, importance) <= total(swapped, p, importance).min() + 1e-12


def test_certificate_again():
    point = next(x for x in KEPT["points"] if (x["p"], x["importance"]) == (0.1, 0.5))
    again = certified(0.1, 0.5, 0.02)
    assert again["loss"] == pytest.approx(point["loss"], rel=1e-9)
    assert again["bound"] == pytest.approx(point["bound"], rel=1e-6)
