"""Features fitted to samples."""

import numpy as np
import pytest

import rugtheory as rt

GROUPS = rt.Groups(
    [rt.Exclusive([0.2, 0.2]), rt.Together(0.05), rt.SparseSource(0.1), rt.SparseSource(0.3)]
)


def test_frequencies_and_amplitudes():
    found = rt.fit_features(GROUPS.sample(20_000, seed=0), importance=rt.geometric(6, 0.5))
    features = found.features
    gap = (features.p - GROUPS.on_probability) / found.on_error
    assert np.all(np.abs(gap) < 4)
    assert features.second_moment == pytest.approx(GROUPS.second_moment, rel=0.1)
    assert np.array_equal(features.importance, rt.geometric(6, 0.5))


def test_means_are_those_of_the_samples():
    x = GROUPS.sample(3000, seed=1)
    features = rt.fit_features(x).features
    assert features.mean == pytest.approx(x.mean(axis=0), rel=1e-12)
    assert features.second_moment == pytest.approx((x**2).mean(axis=0), rel=1e-12)
    signed = rt.fit_features(np.where(x > 0.5, -x, x)).features
    assert signed.second_moment == pytest.approx((x**2).mean(axis=0), rel=0.05)


def test_pairs_that_depend_on_each_other_are_found():
    found = rt.fit_features(GROUPS.sample(5000, seed=1))
    assert sorted(found.dependent.tolist()) == [[0, 1], [2, 3]]
    assert found.together[0, 1] == 0 and found.expected[0, 1] > 100


@pytest.mark.parametrize("rare", [False, True])
def test_level(rare):
    """No more false alarms than the level says, within three standard errors."""
    alarms, runs, level = 0, 150, 0.1
    for k in range(runs):
        rng = np.random.default_rng(k)
        p = rng.uniform(0.02, 0.05, 12) if rare else rng.uniform(0.2, 0.8, 12)
        x = rt.Independent(p).sample(400, rng)
        alarms += len(rt.fit_features(x, level=level).dependent) > 0
    assert alarms <= runs * level + 3 * np.sqrt(runs * level * (1 - level))


def test_loss_of_samples():
    """The exact loss of fitted features is that of the samples, within its standard error."""
    rng = np.random.default_rng(2)
    source = rt.Independent(rng.uniform(0.05, 0.3, 6), rt.Beta(2, 3))
    model = rt.Model(rng.normal(size=(3, 6)) / 2, b=-0.1)
    x = source.sample(8000, seed=3)
    errors = (x - model(x)) ** 2
    deviation = errors.std(axis=0) / np.sqrt(len(x))
    exact = rt.exact_loss(model, rt.fit_features(x).features)
    assert np.all(np.abs(exact.loss - errors.mean(axis=0)) < 4 * deviation)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones(3), r"x must have shape \(samples, features\), got \(3,\)"),
        (np.array([[1.0, 0.0]]), "x must have each feature on once, got feature 1 never"),
    ],
)
def test_bad_input(x, message):
    with pytest.raises(ValueError, match=message):
        rt.fit_features(x)
