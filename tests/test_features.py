"""Joint laws of features: losses, moments, samples and statistics against oracles."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import mpmath as mp
import numpy as np
import pytest

import rugtheory as rt
from rugtheory.channel import row_loss

from . import random_features as random
from .oracle import boxes, joint, nested
from .strangers import passing_on

EPS = float(np.finfo(float).eps)
NOISES = (0.0, 1e-3, 0.05, 0.3)
SIGNED = (
    *random.DISCRETE,
    rt.Constant(-1.0),
    rt.FromQuadrature((-1.0, 0.5), (0.4, 0.6)),
    rt.FromQuadrature((-0.7, 0.0, 0.7, 1.0), (0.2, 0.3, 0.3, 0.2)),
)
INTERVALS = (rt.Uniform(), rt.Uniform(0.5, 1.5), rt.Uniform(0.2, 0.3))
BOTH_SIGNS = (*INTERVALS, rt.Uniform(-1, 1), rt.Uniform(-0.7, 0.2), rt.Uniform(-1, -0.5))
MIXED = (*BOTH_SIGNS, *SIGNED)
DENSE = (
    rt.Exponential(),
    rt.HalfNormal(),
    rt.Beta(2, 3),
    rt.Exponential(0.3),
    rt.HalfNormal(2.0),
    rt.Beta(0.5, 1.5),
    rt.Beta(3, 0.5),
    rt.Uniform(-1, 1),
    rt.Constant(-0.7),
)


def drawn(kind, seed, laws, most=9):
    rng = np.random.default_rng(
        [seed, sorted(x.__name__ for x in random.KINDS).index(kind.__name__)]
    )
    while True:
        features = random.KINDS[kind](rng, laws)
        if len(features) <= most:
            return features, rng


def spread(n, slow):
    """Seeds of cases of all kinds: few that are fast, and many."""
    for seed in range(slow):
        for kind in random.KINDS:
            mark = () if seed < n else (pytest.mark.slow,)
            yield pytest.param(kind, seed, marks=mark, id=f"{kind.__name__}-{seed}")


def check_loss(model, features, truth, oracle=0.0):
    found = rt.exact_loss(model, features)
    truth = np.asarray(truth)
    wrong = np.abs((found.loss.astype(truth.dtype) - truth).astype(float))
    tolerance = found.error + 1e-14 * truth.astype(float) + oracle
    assert np.all(wrong <= tolerance), (wrong / tolerance, model, features)
    return found


def oracle_rounding(model, features):
    """Of x² - 2x E relu + E relu² with noise."""
    return 4 * EPS * features.second_moment if model.hidden_noise else 0.0


class TestEnumeration:
    @pytest.mark.parametrize(("kind", "seed"), list(spread(25, 275)))
    def test_discrete(self, kind, seed):
        features, rng = drawn(kind, seed, SIGNED if seed % 2 else random.DISCRETE)
        model = random.model(rng, features, NOISES[seed // 2 % 4])
        found = check_loss(
            model, features, joint.losses(model, features), oracle_rounding(model, features)
        )
        assert np.all(found.error <= 1e-12 * features.second_moment + 1e-9 * found.loss)

    @pytest.mark.parametrize(("kind", "seed"), list(spread(6, 100)))
    def test_inverted(self, kind, seed, monkeypatch):
        """The same where the values are not listed."""
        features, rng = drawn(kind, seed, SIGNED if seed % 2 else random.DISCRETE)
        model = random.model(rng, features, NOISES[2 + seed // 2 % 2])
        listed = row_loss.support_with_sizes

        def missing(law, resolution):
            return None if law.parts else listed(law, resolution)

        monkeypatch.setattr(row_loss, "support_with_sizes", missing)
        truth = joint.losses(model, features)
        found = check_loss(model, features, truth, oracle_rounding(model, features))
        assert np.all(found.error <= 1e-6 * found.loss + 1e-14)

    @pytest.mark.parametrize("kind", random.KINDS)
    def test_linear(self, kind):
        features, rng = drawn(kind, 3, SIGNED)
        model = random.model(rng, features, 0.1)
        model = rt.Model(model.w_in, model.w_out, model.b, hidden_noise=0.1, activation="identity")
        check_loss(model, features, joint.losses(model, features))


class TestBoxes:
    @pytest.mark.parametrize(("kind", "seed"), list(spread(12, 150)))
    def test_uniform(self, kind, seed):
        features, rng = drawn(
            kind, seed, (INTERVALS, BOTH_SIGNS, MIXED)[seed % 3], 4 if seed < 12 else 7
        )
        model = random.model(rng, features, (0.0, 0.0, *NOISES[1:])[seed % 5])
        check_loss(model, features, boxes.losses(model, features))

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(6))
    def test_eight(self, seed):
        rng = np.random.default_rng(seed)
        laws = [BOTH_SIGNS[k] for k in rng.integers(len(BOTH_SIGNS), size=8)]
        features = rt.Independent(random.p_of(rng, 8), laws)
        model = random.model(rng, features, 0.0)
        check_loss(model, features, boxes.losses(model, features))

    @pytest.mark.parametrize("noise", [1e-9, 1.0, 1e2, 1e5])
    @pytest.mark.parametrize("kind", random.KINDS)
    def test_noise(self, kind, noise):
        """Far smaller than the interference, and far larger."""
        features, rng = drawn(kind, 5, BOTH_SIGNS, 3)
        model = random.model(rng, features, noise)
        found = check_loss(model, features, boxes.losses(model, features))
        assert np.all(found.error <= 1e-7 * found.loss + 1e-14)

    @pytest.mark.parametrize("noise", [0.0, 0.1])
    @pytest.mark.parametrize("p", [1e-12, 0.5, 1 - 1e-9, 1.0])
    @pytest.mark.parametrize("law", [rt.Uniform(), rt.Uniform(-1, 1)])
    def test_probabilities(self, law, p, noise):
        """From hardly ever on to always, of all kinds."""
        angle = 2 * np.pi * np.arange(3) / 3
        model = rt.Model([np.cos(angle), np.sin(angle)], b=-0.05, hidden_noise=noise)
        for features in (
            rt.Identical(3, p, law),
            rt.Groups([rt.Together(p, 2, law), rt.SparseSource(p, law)]),
            rt.Groups([rt.Exclusive([p / 3] * 3, law)]),
            rt.Groups([rt.Parent(p, [rt.SparseSource(p, law)] * 2, law)]),
            rt.Groups([rt.Parent(p, [rt.SparseSource(p / 2, law)] * 2, law, exclusive=True)]),
            rt.Latent([[p, 0.0, 1.0], [1.0, p, 0.0]], [0.3, 0.7], law),
        ):
            check_loss(model, features, boxes.losses(model, features))


@pytest.mark.parametrize(("kind", "seed"), list(spread(6, 50)))
def test_other_laws(kind, seed):
    noise = (0.0, 0.0, *NOISES[1:])[seed % 5]
    most = 2 if noise or seed < 6 else 3
    features, rng = drawn(kind, seed, DENSE, most)
    model = random.model(rng, features, noise)
    truth, coarse = (nested.losses(model, features, order) for order in (20, 14))
    oracle = np.abs(truth - coarse) + oracle_rounding(model, features)
    assert np.all(oracle <= 1e-8 * truth + 1e-14)
    check_loss(model, features, truth, oracle)


class TestMoments:
    @pytest.mark.parametrize(("kind", "seed"), list(spread(10, 50)))
    def test_enumeration(self, kind, seed):
        features, _ = drawn(kind, seed, SIGNED)
        p, x = joint.outcomes(features)
        mean = p @ x
        covariance = (p[:, None] * (x - mean)).T @ (x - mean)
        assert np.allclose(features.mean, mean.astype(float), rtol=1e-13, atol=1e-15)
        assert np.allclose(features.covariance, covariance.astype(float), rtol=1e-11, atol=1e-15)
        assert np.allclose(features.variance, np.diag(covariance).astype(float), rtol=1e-13)
        assert np.allclose(features.second_moment, (p @ x**2).astype(float), rtol=1e-13)
        assert np.array_equal(features.covariance, features.covariance.T) or np.allclose(
            features.covariance, features.covariance.T, rtol=1e-12, atol=1e-16
        )
        on = sum(float(q) * np.array(mask) for q, mask in boxes.patterns(features))
        assert np.allclose(features.on_probability, on, rtol=1e-13)

    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("kind", random.KINDS)
    def test_samples(self, kind, seed):
        features, rng = drawn(kind, seed, SIGNED)
        n = 20_000
        assert np.array_equal(features.sample(50, 3), features.sample(50, 3))
        x, on = features.sample(n, rng), features.switches(n, rng).astype(float)
        p, values = joint.outcomes(features)
        close(x, p, values)
        close(x[:, :, None] * x[:, None, :], p, values[:, :, None] * values[:, None, :])
        p, masks = zip(*boxes.patterns(features), strict=True)
        p, masks = np.array(p, float), np.array(masks, float)
        close(on, p, masks)
        close(on[:, :, None] * on[:, None, :], p, masks[:, :, None] * masks[:, None, :])

    def test_sampled_continuous(self):
        features = rt.Independent(
            [0.3, 0.5, 1.0], [rt.Uniform(-1, 2), rt.Beta(2, 3), rt.HalfNormal()]
        )
        x = features.sample(40_000, 0)
        error = np.sqrt(features.variance / len(x))
        assert np.all(np.abs(x.mean(axis=0) - features.mean) <= 5 * error)

    def test_none(self):
        assert rt.Identical(3, 0.2).sample(0, 0).shape == (0, 3)


def close(drawn, p, values):
    """Means of what was drawn are within five standard errors, and those of one value exact."""
    axes = (len(p),) + (1,) * (values.ndim - 1)
    p = np.reshape(p, axes)
    mean = (p * values).sum(axis=0).astype(float)
    error = np.sqrt(np.maximum((p * values**2).sum(axis=0).astype(float) - mean**2, 0) / len(drawn))
    rare = 10 / len(drawn)
    assert np.all(np.abs(drawn.mean(axis=0) - mean) <= 5 * error + rare * (error > 0) + 1e-12)
