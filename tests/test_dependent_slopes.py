"""Gradients where features depend on each other, against differences that know no contours."""

from itertools import count

import mpmath as mp
import numpy as np
import pytest

import rugtheory as rt
from rugtheory.analysis.blocks import Blocks, Rung

from . import random_features
from .oracle.enumeration import uniform_loss_of_sets
from .test_many_rows import DEPENDENT, MANY, joint, sets_of

STEP = mp.mpf(10) ** -15


def slope(loss, x, at):
    """By a difference of many digits."""
    ends = []
    for sign in (1, -1):
        moved = list(x)
        moved[at] += sign * STEP
        ends.append(loss(moved))
    return float((ends[0] - ends[1]) / (2 * STEP))


@pytest.mark.parametrize(
    ("kind", "p"),
    [
        *((kind, 0.1) for kind in DEPENDENT),
        ("always", 1e-9),
        ("children", 1e-9),
        *(
            pytest.param(x, 1e-9, marks=pytest.mark.slow)
            for x in ("together", "exclusive", "parent")
        ),
    ],
)
def test_by_enumeration(kind, p):
    """Every weight and bias of six rows, on all contours: all sets of features, in 80 digits."""
    features = rt.Groups([DEPENDENT[kind](p, rt.Uniform()), rt.Together(p / 2, 2)])
    numbers, generator, n = count(), np.random.default_rng(5), 6
    sets = joint([sets_of(group, numbers) for group in features.groups])
    w_in, w_out = generator.normal(size=(2, n)), generator.normal(size=(n, 2))
    w_out[3] = 0.0  # a row that hears nothing, and is silent
    w_in[:, 1] = 0.0  # a feature that none hears, but would if its weights were not zero
    model = rt.Model(w_in, w_out, 0.2 * generator.normal(size=n))
    w = model.w_out @ model.w_in
    with mp.workdps(60):
        truth = np.empty((n, n + 1))
        for i in range(n):
            x = [mp.mpf(y) for y in (*w[i], model.b[i])]
            for at in range(n + 1):
                truth[i, at] = slope(
                    lambda y, i=i: uniform_loss_of_sets(i, y[:n], y[n], sets), x, at
                )
    truth[3, 3] = np.nan  # a diagonal of zero beside a bias below zero: a kink
    blocks, served = Blocks(features, 1e-9, MANY, again=True), 0
    for rung in blocks.rungs:
        found = blocks.at(rung, model, np.arange(n), w, True)
        mine = np.column_stack([found.by_w, found.by_b])
        scale = np.nanmax(np.abs(truth), axis=1, keepdims=True)
        gap = np.abs(mine - truth) / np.maximum(scale, p)
        some = found.error <= 1e-7 * found.value
        assert np.nanmax(gap[some], initial=0.0) <= 1e-7
        served += some.sum()
    assert served >= 3 * n


LAWS = rt.Uniform(), rt.Uniform(-1, 1), rt.Exponential(1.0), rt.Uniform(0.5, 1)


def gap(model, features, seed, step=1e-4):
    """Slope of the loss in a random direction, by losses of rows taken by themselves, against ours.

    In units of the length of the gradient.
    """
    generator, base = np.random.default_rng(seed), (model.w_in, model.w_out, model.b)
    way = [generator.normal(size=x.shape) for x in base]

    def loss(t):
        moved = (x + t * y for x, y in zip(base, way, strict=True))
        one = rt.Model(*moved, hidden_noise=model.hidden_noise)
        return rt.exact_loss(one, features, rtol=1e-11).mean

    ends = [loss(t) for t in (-2 * step, -step, step, 2 * step)]
    truth = (8 * (ends[2] - ends[1]) - (ends[3] - ends[0])) / (12 * step)
    found = rt.exact_gradient(model, features, rtol=1e-9)
    slopes = np.concatenate([x.ravel() for x in (found.w_in, found.w_out, found.b)])
    mine = slopes @ np.concatenate([x.ravel() for x in way])
    return abs(mine - truth) / np.linalg.norm(slopes)


def random_model(generator, n, d, noise):
    w = generator.normal(size=(d, n)) / np.sqrt(d)
    other = 1.1 * w.T + 0.1 * generator.normal(size=(n, d))
    return rt.Model(w, other, 0.2 * generator.normal(size=n) - 0.1, hidden_noise=noise)


@pytest.mark.parametrize("noise", [pytest.param(0.0, marks=pytest.mark.slow), 0.1])
@pytest.mark.parametrize("kind", DEPENDENT)
def test_by_rows_taken_by_themselves(kind, noise):
    """A group beside features of their own, two laws of amplitudes, unequal importances."""
    generator = np.random.default_rng(3)
    groups = [DEPENDENT[kind](0.2, LAWS[2]), rt.SparseSource(0.1), rt.SparseSource(0.3)]
    features = rt.Groups(groups, generator.random(6))
    assert gap(random_model(generator, 6, 2, noise), features, 4) <= 1e-6


@pytest.mark.parametrize("seed", [2, *(pytest.param(k, marks=pytest.mark.slow) for k in range(8))])
@pytest.mark.parametrize("kind", random_features.KINDS, ids=lambda x: x.__name__)
def test_random_features_of_every_kind(kind, seed):
    """Of all kinds that tests know, in some random trees of groups, with noise or without."""
    generator = np.random.default_rng(seed)
    features = random_features.KINDS[kind](generator, LAWS)
    n = len(features)
    model = random_model(generator, n, max(1, n // 3), 0.1 * (seed % 2))
    assert gap(model, features, seed) <= 1e-6


def test_tables_and_single_terms_agree():
    """Many rows from tables, which few rows do not fill."""
    generator, n = np.random.default_rng(0), 40
    groups = [kind(0.1, LAWS[k % 2]) for k, kind in enumerate(DEPENDENT.values())]
    features = rt.Groups([*groups, *groups, *[rt.SparseSource(0.1)] * (n - 8 * len(groups))])
    n = len(features)
    model = random_model(generator, n, 10, 0.0)
    blocks, w = Blocks(features, 1e-6, n, again=True), model.w_out @ model.w_in
    tables, terms = (
        blocks.at(Rung(800.0, listed=listed), model, np.arange(n), w, True)
        for listed in (False, True)
    )
    some = (tables.error <= 1e-6 * tables.value) & (terms.error <= 1e-6 * terms.value)
    assert some.mean() > 0.5
    for mine, other in ((tables.by_w, terms.by_w), (tables.by_b, terms.by_b)):
        assert np.abs(mine - other)[some].max() <= 1e-7 * np.abs(other).max()


def test_two_features_that_exclude_each_other_share_a_unit():
    """And nothing is lost, if one is v and the other -v."""
    found = rt.minimize(rt.Groups([rt.Exclusive([0.2, 0.3])]), 1, seed=1, max_coupling=None)
    assert found.loss < 1e-3 * 0.2
    w = found.model.w_out @ found.model.w_in
    assert w[0, 1] < 0 and w[1, 0] < 0


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(x, marks=[pytest.mark.slow] * (x not in ("together", "exclusive")))
        for x in DEPENDENT
    ],
)
def test_descent_goes_down_on_the_loss(kind):
    features = rt.Groups([DEPENDENT[kind](0.1, rt.Uniform()), rt.SparseSource(0.1)])
    # Without a cap, which a step may trade the loss for.
    found = rt.minimize(features, 2, seed=0, max_coupling=None, steps=30)
    assert np.all(np.diff(found.trajectory) < 0)
    assert found.loss < 0.8 * found.trajectory[0]
    assert abs(found.trajectory[-1] - found.loss) <= 1e-3 * found.loss + found.error


@pytest.mark.slow
@pytest.mark.parametrize("kind", DEPENDENT)
def test_descent_ends_where_no_gradient_is_left(kind):
    features = rt.Groups([DEPENDENT[kind](0.1, rt.Uniform()), rt.SparseSource(0.1)])
    found = rt.minimize(features, 2, seed=0, max_coupling=2.0, gtol=1e-5)
    assert found.gradient <= 1e-5
    assert found.verdict in ("stationary", "at the cap")
