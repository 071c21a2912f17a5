"""Joint laws of features: losses, moments, samples and statistics against oracles."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

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


@pytest.mark.parametrize("small", 10.0 ** -np.arange(1.0, 13))
def test_what_is_left_where_a_feature_is_nearly_always_on(small):
    """Three others exclude it and each other: given that it is off, one of them is on."""
    features = rt.Groups([rt.Exclusive([1 - 3 * small, small, small, small])])
    left = features.scenarios[0].blocks[0].given_off(0)
    assert [left.probability(j) for j in range(1, 4)] == pytest.approx([1 / 3] * 3, rel=1e-3)


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
    truth, coarse = (nested.losses(model, features, order) for order in (28, 20))
    oracle = np.abs(truth - coarse) + oracle_rounding(model, features)
    # How well the rules know it is part of the tolerance; they must know it well.
    assert np.all(oracle <= 1e-6 * truth + 1e-14)
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


def copied(features):
    """Features that derive from `Features` alone, all that they must and may say passed on."""
    names = {*rt.Features.__abstractmethods__, "importance"}
    methods = {x: passing_on(rt.Features, x) for x in names}
    copy = type(f"Copy{type(features).__name__}", (rt.Features,), methods)()
    copy.of = features
    return copy


def same(ours, theirs, rel=1e-12):
    """Dataclasses of equal fields, to rounding."""
    for name in ours.__dataclass_fields__:
        x, y = getattr(ours, name), getattr(theirs, name)
        if isinstance(x, dict):
            assert x == pytest.approx(y, rel=1e-6, abs=1e-9), name
        elif isinstance(x, str) or x is None:
            assert x == y, name
        else:
            assert np.allclose(x, y, rtol=rel, atol=1e-13, equal_nan=True), name


@dataclass(frozen=True)
class Chain(rt.Features):
    """Three features, of which each is on with a probability that the one before it decides."""

    first: float
    after_on: float
    after_off: float
    split: bool = False

    @property
    def amplitudes(self):
        return (rt.Constant(1.0), rt.FromQuadrature((0.5, -1.0), (0.3, 0.7)), rt.Constant(0.6))

    @property
    def scenarios(self):
        if self.split:
            return [rt.Scenario(p, np.array(on, float)) for p, on in self.listed() if p > 0]
        both = self.first * self.after_on, (1 - self.first) * self.after_off
        middle = sum(both)
        return [
            rt.Scenario(middle, np.array([both[0] / middle, 1.0, self.after_on])),
            rt.Scenario(
                1 - middle,
                np.array([self.first * (1 - self.after_on) / (1 - middle), 0.0, self.after_off]),
            ),
        ]

    def listed(self):
        for k in range(8):
            on, p, chance = [k >> j & 1 for j in range(3)], 1.0, self.first
            for x in on:
                p *= chance if x else 1 - chance
                chance = self.after_on if x else self.after_off
            yield p, on

    def outcomes(self):
        for p, on in self.listed():
            values = joint.all_of(
                [
                    joint.one(1.0, law)[1:] if x else [(1, (0.0,))]
                    for x, law in zip(on, self.amplitudes, strict=True)
                ]
            )
            for q, x in values:
                yield p * float(q), x


@dataclass(frozen=True)
class Tree(rt.Features):
    """Of a pattern of one's own."""

    pattern: Any
    p: Any
    law: Any

    @property
    def amplitudes(self):
        return (self.law,) * len(self.p)

    @property
    def scenarios(self):
        return (rt.Scenario(1.0, np.array(self.p), (self.pattern,)),)


class TestStrangers:
    @pytest.mark.parametrize("kind", random.KINDS)
    def test_copies(self, kind):
        for seed in (1, 2):
            features, rng = drawn(kind, seed, INTERVALS, 4)
            model, copy = random.model(rng, features, 0.05), copied(features)
            same(rt.exact_loss(model, features), rt.exact_loss(model, copy), 0.0)
            same(rt.statistics(model, features, rows=1), rt.statistics(model, copy, rows=1), 0.0)
            assert np.array_equal(features.covariance, copy.covariance)
            assert np.array_equal(features.sample(20, 1), copy.sample(20, 1))
            if seed == 1 and len(features.scenarios) == 1:
                same(rt.explain(model, features, rows=2), rt.explain(model, copy, rows=2), 0.0)

    @pytest.mark.parametrize("split", [False, True])
    def test_chain(self, split):
        features = Chain(0.3, 0.7, 0.2, split)
        p, x = map(np.array, zip(*features.outcomes(), strict=True))
        rng = np.random.default_rng(0)
        model = rt.Model(rng.normal(size=(2, 3)), b=rng.normal(size=3) / 5)
        truth = p @ (x - model(x)) ** 2
        check_loss(model, features, truth)
        covariance = np.cov(x.T, aweights=p, bias=True)
        assert np.allclose(features.covariance, covariance, rtol=1e-12, atol=1e-15)
        drawn = features.sample(20_000, 1)
        close(drawn[:, :, None] * drawn[:, None, :], p, x[:, :, None] * x[:, None, :])
        channel = rt.RowChannel(model, features, 1)
        z = x @ channel.weights
        assert channel.cumulants() == pytest.approx(cumulants(p, z), rel=1e-10, abs=1e-14)

    def test_tree(self):
        """A falling chain, given as one tree, is parents within parents."""
        tree = rt.OneOf(
            (0.4,),
            (
                rt.Every(
                    (
                        rt.On(0),
                        rt.OneOf((0.5,), (rt.Every((rt.On(1), rt.OneOf((0.7,), (rt.On(2),)))),)),
                    )
                ),
            ),
        )
        law = rt.Uniform(-0.5, 1)
        ours = rt.Groups([rt.Parent(0.4, [rt.Parent(0.5, [rt.SparseSource(0.7, law)], law)], law)])
        theirs = Tree(tree, (0.4, 0.2, 0.14), law)
        model = rt.Model(np.random.default_rng(2).normal(size=(2, 3)), b=0.1, hidden_noise=0.1)
        same(rt.exact_loss(model, ours), rt.exact_loss(model, theirs))
        assert np.allclose(ours.covariance, theirs.covariance, rtol=1e-13)

    def test_repeated_feature(self):
        tree = rt.OneOf((0.4, 0.2), (rt.On(0), rt.Every((rt.On(0), rt.On(1)))))
        with pytest.raises(ValueError, match="blocks must hold each of 2 features at most once"):
            rt.Scenario(1.0, [0.4, 0.2], (tree,))


class TestAlike:
    """Identical features, given in all ways there are."""

    @staticmethod
    def ways(n, p, law):
        one = rt.Identical(n, p, law)
        return one, (
            rt.Independent([p] * n, law),
            rt.Independent([p] * n, [law] * n),
            rt.Groups([rt.SparseSource(p, law)] * n),
            rt.Groups([rt.Parent(p, (), law)] * n),
            rt.Groups([rt.Exclusive([p], law)] * n),
            rt.Groups([rt.Together(p, 1, law)] * n),
            rt.Latent([[p] * n], [3.0], law),
            rt.Latent([[p] * n, [0.5] * n], [3.0, 0.0], law),
        )

    LAWS = rt.Uniform(), rt.Constant(0.7), rt.FromQuadrature((0.0, 1.0), (0.4, 0.6))

    @pytest.mark.parametrize("noise", [0.0, 0.1])
    @pytest.mark.parametrize("law", LAWS)
    def test_ways(self, law, noise):
        rng = np.random.default_rng(4)
        model = rt.Model(rng.normal(size=(2, 3)) / 1.5, b=-0.1, hidden_noise=noise)
        one, others = self.ways(3, 0.2, law)
        loss = rt.exact_loss(model, one)
        statistics = rt.statistics(model, one, rows=1)
        for other in others:
            same(loss, rt.exact_loss(model, other))
            same(statistics, rt.statistics(model, other, rows=1), 1e-9)

    @pytest.mark.parametrize("noise", [0.0, 0.1])
    @pytest.mark.parametrize(
        "law", [LAWS[0], *(pytest.param(x, marks=pytest.mark.slow) for x in LAWS[1:])]
    )
    def test_ways_explained(self, law, noise):
        rng = np.random.default_rng(4)
        model = rt.Model(rng.normal(size=(2, 3)) / 1.5, b=-0.1, hidden_noise=noise)
        one, others = self.ways(3, 0.2, law)
        verdict = rt.explain(model, one, rows=1)
        for other in others:
            same(verdict, rt.explain(model, other, rows=1), 1e-7)

    def test_latent_of_equal_values(self):
        """Scenarios that do not differ are no dependence."""
        one, law = rt.Identical(4, 0.2), rt.Uniform()
        other = rt.Latent([[0.2] * 4] * 3, [1, 2, 3], law)
        model = rt.Model(np.random.default_rng(1).normal(size=(2, 4)), b=-0.1)
        assert np.allclose(
            rt.exact_loss(model, one).loss, rt.exact_loss(model, other).loss, rtol=1e-8
        )
        assert np.allclose(one.covariance, other.covariance, atol=1e-16)


class TestStatistics:
    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("kind", random.KINDS)
    def test_variance_and_capacity(self, kind, seed):
        features, rng = drawn(kind, seed, SIGNED)
        model = random.model(rng, features, NOISES[seed])
        found = rt.statistics(model, features, rows=1)
        p, x = joint.outcomes(features)
        matrix = model.w_out @ model.w_in
        diagonal = np.diag(matrix)
        assert np.allclose(found.diagonal, diagonal, rtol=1e-12, atol=1e-14)
        heard = x @ (matrix - np.diag(diagonal)).T.astype(np.longdouble)
        mean = p @ heard
        variance = (p @ (heard - mean) ** 2 + model.output_noise**2).astype(float)
        own = x - p @ x
        reading = heard - mean + own * diagonal
        power = p @ own**2 * (p @ reading**2 + model.output_noise**2)
        signal = (p @ (own * reading)) ** 2
        alive = ~found.dead
        near = {"rtol": 1e-9, "atol": 1e-13}
        assert np.allclose(found.variance[alive], (variance[alive] / diagonal[alive] ** 2), **near)
        assert np.allclose(found.mean[alive], (mean.astype(float)[alive] / diagonal[alive]), **near)
        some = power > 1e-24
        capacity = np.divide(signal, power, out=0 * power, where=some).astype(float)
        assert np.allclose(found.capacity[some], capacity[some], **near)
        assert np.all(np.isnan(found.variance[found.dead]))
        assert found.capacity.sum() <= found.capacity_bound * (1 + 1e-9)
        if features.independent:
            third = (p @ (heard - mean) ** 3).astype(float)
            skewness = (
                third[alive]
                / diagonal[alive] ** 3
                / np.maximum(found.variance[alive], 1e-300) ** 1.5
            )
            seen = found.variance[alive] > 1e-12
            assert np.allclose(found.skewness[alive][seen], skewness[seen], rtol=1e-7, atol=1e-9)
        else:
            assert np.all(np.isnan(found.skewness))
            assert found.welch_variance is None
        found.summary()

    def test_capacity_adds_up(self):
        """Of optimal use of the hidden units, to their number; noise takes some of it."""
        w, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))
        for features in (rt.Identical(6, 0.2), rt.Independent(rt.zipf(6, 0.5), rt.Uniform(-1, 2))):
            whole = rt.statistics(rt.Model(w), features, rows=1)
            assert whole.capacity.sum() == pytest.approx(6)
            noisy = rt.statistics(rt.Model(w, hidden_noise=0.3), features, rows=1)
            assert noisy.capacity.sum() < 5.9

    @pytest.mark.parametrize(
        "features",
        [
            rt.Independent(rt.zipf(6, 0.4), importance=rt.geometric(6, 0.7)),
            rt.Independent([0.3] * 6, [rt.Uniform(), rt.Constant(0.6), rt.HalfNormal()] * 2),
            rt.Groups(
                [rt.Together(0.1), rt.Exclusive([0.2, 0.3]), rt.SparseSource(0.1), rt.Parent(0.3)]
            ),
            rt.Groups(
                [rt.Parent(0.4, [rt.SparseSource(0.5)] * 2, exclusive=True), rt.Together(0.2, 3)]
            ),
            rt.Latent([[0.3, 0.2, 0.1] * 2], [1.0]),
        ],
        ids=lambda x: type(x).__name__,
    )
    @pytest.mark.parametrize("noise", [0.0, 0.2])
    def test_explained(self, features, noise):
        rng = np.random.default_rng(7)
        model = rt.Model(rng.normal(size=(3, 6)) / 1.7, b=-0.1 * rng.random(6), hidden_noise=noise)
        verdict, loss = rt.explain(model, features), rt.exact_loss(model, features)
        assert verdict.loss == pytest.approx(loss.mean, rel=1e-6)
        assert verdict.loss - sum(verdict.terms.values()) == pytest.approx(verdict.best, rel=1e-12)
        first, rest = list(verdict.terms)[:2], list(verdict.terms)[2:]
        assert first == ["own a and b", "non-Gaussian interference"]
        assert verdict.terms["own a and b"] >= -1e-7 * verdict.loss
        assert verdict.rug is None
        if features.independent:
            assert rest == ["unused capacity", "shares of features alive", "dropped features"]
            assert all(verdict.terms[name] >= -1e-9 * verdict.loss for name in rest)
            best = rt.allocate(features, 3)
            assert verdict.family == "allocation" and verdict.best == best.loss
            assert verdict.dropped == best.dropped.sum() >= verdict.dropped_alive
        else:
            assert not rest and verdict.family == "own Gaussian channels"
            assert verdict.dropped is verdict.dropped_alive is None

    def test_explained_down_to_the_allocation(self):
        """A frame of the best capacities has nothing to gain but by its shape."""
        features = rt.Independent(np.full(40, 0.1), importance=rt.geometric(40, 0.95))
        best = rt.allocate(features, 5)
        assert 0 < best.dropped.sum() < 35
        verdict = rt.explain(rt.frame(features, best.capacity), features, rows=6)
        assert verdict.dead == verdict.dropped == best.dropped.sum()
        assert verdict.dropped_alive == 0
        for name in ("unused capacity", "shares of features alive", "dropped features"):
            assert abs(verdict.terms[name]) < 1e-9 * best.loss, name

    def test_explained_of_capacities_that_are_not_best(self):
        """Equal shares use all capacity, and lose what the Gaussian rug of each loses."""
        features = rt.Independent(rt.zipf(24, 0.3))
        model = rt.frame(features, np.full(24, 0.25))
        verdict = rt.explain(model, features, rows=6)
        alike = np.mean(rt.optimum(features.p, 0.25).loss)
        terms = verdict.terms
        assert abs(terms["unused capacity"]) < 1e-9 * alike
        assert terms["shares of features alive"] + terms["dropped features"] == pytest.approx(
            alike - verdict.best, rel=1e-9
        )
        noisy = rt.Model(model.w_in, model.w_out, model.b, hidden_noise=0.05)
        assert rt.explain(noisy, features, rows=6).terms["unused capacity"] > 0

    def test_explained_down_to_the_best_structures(self):
        """Features that are hardly unlike end where identical ones do."""
        pair = rt.antipodal_rug(16, 8, seed=0)
        model = rt.Model(pair.w_in, pair.w_out(1.3), -0.1)
        one = rt.explain(model, rt.Identical(16, 0.1), rows=2)
        importance = 1 + 1e-9 * np.arange(16)
        features = rt.Independent(np.full(16, 0.1), importance=importance)
        two = rt.explain(model, features, rows=2, family="best")
        assert one.terms["structure"] > 0.01 * one.loss
        assert two.best == pytest.approx(one.best, rel=1e-7)
        assert two.terms["structure"] == pytest.approx(one.terms["structure"], rel=1e-4)
        assert list(two.terms)[-1] == "structure" and two.family == "allocation"
        assert two.loss - sum(two.terms.values()) == pytest.approx(two.best, rel=1e-12)
        sets = rt.Groups([rt.Together(0.1, 8), rt.Together(0.1, 8)])
        with pytest.raises(ValueError, match="family must be 'gaussian' for features that depend"):
            rt.explain(model, sets, family="best")

    def test_has_no_meaning(self):
        model = rt.Model(np.ones((1, 2)))
        with pytest.raises(ValueError, match="features must not depend on a latent"):
            rt.explain(model, rt.Latent([[0.1, 0.2], [0.3, 0.4]], [1, 1]))
        with pytest.raises(ValueError, match="activation must be relu"):
            rt.explain(rt.Model(np.ones((1, 2)), activation="identity"), rt.Identical(2, 0.1))
        with pytest.raises(ValueError, match="n_dense must be at most n_sparse = 1"):
            rt.explain(rt.Model(np.ones((2, 1))), rt.Identical(1, 0.1))


def cumulants(p, z):
    p, z = np.asarray(p, np.longdouble), np.asarray(z, np.longdouble)
    mean = p @ z
    second, third, fourth = (p @ (z - mean) ** k for k in (2, 3, 4))
    return [float(x) for x in (mean, second, third, fourth - 3 * second**2)]


class TestRowChannel:
    @pytest.mark.parametrize(("kind", "seed"), list(spread(8, 50)))
    def test_enumeration(self, kind, seed):
        features, rng = drawn(kind, seed, SIGNED)
        model = random.model(rng, features, NOISES[seed % 4])
        i = int(rng.integers(len(features)))
        channel = rt.RowChannel(model, features, i)
        p, x = joint.outcomes(features)
        weights = model.w_out[i] @ model.w_in
        assert channel.a == pytest.approx(weights[i], rel=1e-12, abs=1e-14)
        weights[i] = 0
        z = x.astype(np.longdouble) @ weights
        truth = cumulants(p, z)
        truth[1] += float(model.output_noise[i]) ** 2
        size = float(np.abs(weights).sum()) + channel.std + 1e-9
        for k, (found, right) in enumerate(zip(channel.cumulants(), truth, strict=True), 1):
            assert abs(found - right) <= 1e-11 * abs(right) + 1e-14 * size**k
        noise = float(model.output_noise[i])
        t = channel.mean + (channel.std + 1e-3) * np.linspace(-4, 4, 17)
        if noise:
            right = p @ ndtr(((z[:, None] - t) / noise).astype(float))
        else:
            # Between the values, not at them.
            t = t[np.abs(z[:, None] - t).min(axis=0) > 1e-9]
            right = p @ (z[:, None] > t)
        tail, error = channel.tail(t)
        assert np.all(np.abs(tail - right.astype(float)) <= error + 1e-14)
        assert error <= 1e-6
        found, loss = channel.loss(), rt.exact_loss(model, features, rows=[i])
        assert (found.value, found.error) == (loss.loss[0], loss.error[0])
        s = np.array([0.3, -0.2 + 1j])
        assert np.allclose(
            channel.mgf(s),
            (np.exp(np.multiply.outer(s, z.astype(float))) @ p.astype(float))
            * np.exp((noise * s) ** 2 / 2),
            rtol=1e-11,
        )
        distance = channel.distance_from_gaussian()
        assert 0 <= distance.value <= 1

    @pytest.mark.parametrize(("kind", "seed"), list(spread(4, 30)))
    def test_uniform_tails(self, kind, seed):
        features, rng = drawn(kind, seed, BOTH_SIGNS, 4 if seed < 4 else 6)
        model = random.model(rng, features, (0.0, 0.05)[seed % 2])
        i = int(rng.integers(len(features)))
        channel = rt.RowChannel(model, features, i)
        t = channel.mean + (channel.std + 1e-3) * np.linspace(-3, 3, 7)
        right = [float(boxes.tail(model, features, i, x)) for x in t]
        tail, error = channel.tail(t)
        assert np.all(np.abs(tail - right) <= error + 1e-14)

    def test_other_readings(self):
        features = rt.Groups([rt.Together(0.3, 2), rt.SparseSource(0.4, rt.Uniform(-1, 1))])
        model = rt.Model([[1.0, 0.5, -0.7]], b=-0.1, hidden_noise=0.05)
        channel = rt.RowChannel(model, features, 0)
        for a, b in ((0.0, 0.1), (-0.5, 0.3), (2.0, -1.0)):
            found = channel.loss(a, b)
            # A second hidden unit that only the feature itself passes through, without the noise.
            w_in = np.array([[1.0, 0.5, -0.7], [1.0, 0.0, 0.0]])
            w_out = np.array([[1.0, a - 1.0], [0.5, 0.0], [-0.7, 0.0]])
            other = rt.Model(w_in, w_out, [b, 0, 0])
            quiet = rt.RowChannel(other, features, 0)
            assert quiet.a == pytest.approx(a)
            truth = boxes.losses(other, features)[0]
            estimate = quiet.loss()
            assert abs(estimate.value - truth) <= estimate.error + 1e-14 * truth
            assert found.value > 0


class TestHostile:
    @pytest.mark.parametrize(
        ("make", "error", "match"),
        [
            (lambda: rt.Identical(0, 0.1), ValueError, "n must be at least 1, got 0"),
            (lambda: rt.Identical(2.0, 0.1), TypeError, "n must be an integer, got 2.0"),
            (lambda: rt.Identical(10**30, 0.1), ValueError, "n must be at most"),
            (lambda: rt.Identical(2, [0.1, 0.2]), ValueError, "p must be a scalar"),
            (lambda: rt.Identical(2, 0.0), ValueError, r"p must lie in \(0, 1\], got 0.0"),
            (lambda: rt.Identical(2, np.nan), ValueError, "p must be finite, got nan"),
            (lambda: rt.Identical(2, "x"), TypeError, "p must be a real number or array, got 'x'"),
            (
                lambda: rt.Identical(2, 0.1, 3),
                TypeError,
                "amplitude must be an amplitude law.*got 3",
            ),
            (lambda: rt.Identical(2, 0.1, [rt.Uniform()] * 2), TypeError, "amplitude must be"),
            (lambda: rt.Independent([]), ValueError, r"p must be a vector.*got shape \(0,\)"),
            (lambda: rt.Independent(0.1), ValueError, r"p must be a vector.*got shape \(\)"),
            (lambda: rt.Independent([0.1, 1.1]), ValueError, r"p must lie in \(0, 1\], got 1.1"),
            (lambda: rt.Independent([0.1, np.nan]), ValueError, "p must be finite, got nan"),
            (
                lambda: rt.Independent([0.1, 0.2], [rt.Uniform()]),
                ValueError,
                "amplitude must be.*2.*1",
            ),
            (lambda: rt.Independent([0.1, 0.2], 7), TypeError, "amplitude must be.*got 7"),
            (lambda: rt.Independent([0.1], ["x"]), TypeError, "amplitude must be.*got 'x'"),
            (lambda: rt.Independent([0.1], "x"), TypeError, "amplitude must be.*got 'x'"),
            (lambda: rt.Independent([0.1, 0.2], importance=[1]), ValueError, r"importance.*\(1,\)"),
            (
                lambda: rt.Independent([0.1], importance=-1),
                ValueError,
                "importance must be non-neg.*-1",
            ),
            (
                lambda: rt.Independent([0.1], importance=0),
                ValueError,
                "importance must be positive",
            ),
            (
                lambda: rt.Independent([0.1], importance=np.inf),
                ValueError,
                "importance must be finite",
            ),
            (lambda: rt.Independent([[0.1], [0.2, 0.3]]), TypeError, "p must be a real"),
            (lambda: rt.Groups([]), ValueError, "groups must hold at least one, got none"),
            (lambda: rt.Groups(3), TypeError, "groups must be a sequence of groups, got 3"),
            (lambda: rt.Groups([3]), TypeError, "groups must hold.*got 3"),
            (lambda: rt.Groups("ab"), TypeError, "groups must hold.*got 'a'"),
            (lambda: rt.Groups(rt.Together(0.1)), TypeError, "groups must be a sequence"),
            (lambda: rt.Groups([rt.SparseSource([0.1, 0.2])]), ValueError, "p of a SparseSource"),
            (lambda: rt.Groups([rt.Together(0.1)], [1]), ValueError, "importance"),
            (lambda: rt.Together(0.0), ValueError, r"p must lie in \(0, 1\], got 0.0"),
            (lambda: rt.Together(0.1, 0), ValueError, "n must be at least 1, got 0"),
            (lambda: rt.Together(0.1, 2, [rt.Uniform()]), ValueError, "amplitude must be.*2.*1"),
            (lambda: rt.Together([0.1]), ValueError, "p must be a scalar"),
            (
                lambda: rt.Exclusive([0.6, 0.6]),
                ValueError,
                "p must add up to no more than 1, got 1.2",
            ),
            (lambda: rt.Exclusive([]), ValueError, r"p must be a vector, got shape \(0,\)"),
            (lambda: rt.Exclusive([0.1, 0.0]), ValueError, r"p must lie in \(0, 1\], got 0.0"),
            (lambda: rt.Exclusive([0.1], 3), TypeError, "amplitude must be.*got 3"),
            (lambda: rt.Parent(2), ValueError, r"p must lie in \(0, 1\], got 2"),
            (lambda: rt.Parent(0.1, [1]), TypeError, "children must hold.*got 1"),
            (lambda: rt.Parent(0.1, 1), TypeError, "children must be a sequence.*got 1"),
            (lambda: rt.Parent(0.1, (), None), TypeError, "amplitude must be.*got None"),
            (lambda: rt.Parent(0.1, (), exclusive="x"), TypeError, "exclusive must be.*got 'x'"),
            (
                lambda: rt.Parent(0.1, [rt.Together(0.1)], exclusive=True),
                TypeError,
                "children that",
            ),
            (
                lambda: rt.Parent(0.1, [rt.SparseSource(0.6)] * 2, exclusive=True),
                ValueError,
                "children",
            ),
            (lambda: rt.Latent([0.1], [1]), ValueError, r"p must have shape.*\(1,\)"),
            (lambda: rt.Latent([[]], [1]), ValueError, r"p must have shape.*\(1, 0\)"),
            (
                lambda: rt.Latent([[0.1]], [1, 2]),
                ValueError,
                r"weights must have shape \(1,\).*\(2,\)",
            ),
            (lambda: rt.Latent([[0.1]], [0]), ValueError, "weights must have.*not all be 0"),
            (lambda: rt.Latent([[0.1]], [-1]), ValueError, "weights must be non-negative, got -1"),
            (lambda: rt.Latent([[0.0]], [1]), ValueError, "p must be positive.*feature 0 is off"),
            (lambda: rt.Latent([[1.2]], [1]), ValueError, r"p must lie in \[0, 1\], got 1.2"),
            (lambda: rt.Latent([[np.nan]], [1]), ValueError, r"p must be finite, got nan"),
            (lambda: rt.Latent([[0.1]], ["x"]), TypeError, "weights must be a real"),
            (
                lambda: rt.Latent.sigmoid(0.0, 1.0),
                ValueError,
                "offset and loading must be numbers or vectors",
            ),
            (lambda: rt.Latent.sigmoid([0.0, 1], [1.0, 1, 1]), ValueError, "offset.*loading"),
            (lambda: rt.Latent.sigmoid([0.0], 1.0, nodes=0), ValueError, "nodes must be in"),
            (lambda: rt.Latent.sigmoid([-1e49], 1.0), ValueError, "p must be positive"),
            (lambda: rt.Scenario(1.0, [[0.1]]), ValueError, "p must be a vector"),
            (
                lambda: rt.Scenario(1.5, [0.1]),
                ValueError,
                r"probability must lie in \[0, 1\], got 1.5",
            ),
            (
                lambda: rt.Scenario(1.0, [0.1], 3),
                TypeError,
                "blocks must be a tuple of patterns, got 3",
            ),
            (
                lambda: rt.Scenario(1.0, [0.1], (3,)),
                TypeError,
                "blocks must hold patterns.*got 3",
            ),
            (
                lambda: rt.Scenario(1.0, [0.1], (rt.OneOf((0.2,), (rt.On(0),)),)),
                ValueError,
                "p must be",
            ),
            (
                lambda: rt.Scenario(1.0, [1.0], (rt.On(1),)),
                ValueError,
                "blocks must hold each of 1 feat",
            ),
            (
                lambda: rt.Scenario(1.0, [1.0], (rt.On("x"),)),
                TypeError,
                "feature must be an int.*got 'x'",
            ),
            (
                lambda: rt.Scenario(1.0, [0.1], (rt.OneOf((0.1, 0.2), (rt.On(0),)),)),
                ValueError,
                "p must be",
            ),
            (
                lambda: rt.Scenario(1.0, [0.8] * 2, (rt.OneOf((0.8, 0.8), (rt.On(0), rt.On(1))),)),
                ValueError,
                "p must be 2 prob.*got .0.8, 0.8",
            ),
            (
                lambda: rt.Scenario(1.0, [0.1], (rt.OneOf((np.nan,), (rt.On(0),)),)),
                ValueError,
                "p must be",
            ),
            (lambda: rt.OneOf((0.1,), (3,)), TypeError, "of must hold patterns.*got 3"),
            (lambda: rt.OneOf(0.1, (rt.On(0),)), ValueError, "p must be 1 prob.*got 0.1"),
            (lambda: rt.Every(3), TypeError, "of must be a tuple of patterns, got 3"),
        ],
    )
    def test_laws(self, make, error, match):
        with pytest.raises(error, match=match):
            make()

    @pytest.mark.parametrize(
        "of", [rt.exact_loss, rt.statistics, rt.explain, lambda m, f: rt.RowChannel(m, f, 0)]
    )
    def test_pairs(self, of):
        model, features = rt.Model(np.ones((1, 2))), rt.Identical(2, 0.1)
        for bad in (None, 3, "x", rt.SparseSource(0.1), [features], rt.Uniform(), rt.Identical):
            with pytest.raises(TypeError, match="features must be a law of features"):
                of(model, bad)
        for bad in (None, np.ones((1, 2)), features):
            with pytest.raises(TypeError, match="model must be a Model"):
                of(bad, features)
        with pytest.raises(ValueError, match=r"features must be n_sparse = 2.*got 3"):
            of(model, rt.Identical(3, 0.1))

    def test_methods(self):
        features = rt.Identical(2, 0.1)
        for call, error, match in (
            (lambda: features.sample(-1, 0), ValueError, "n must be at least 0"),
            (lambda: features.sample(1.5, 0), TypeError, "n must be an integer"),
            (lambda: features.switches(-1, 0), ValueError, "n must be at least 0"),
            (lambda: features.switches("x", 0), TypeError, "n must be an integer"),
            (lambda: features.sample(1, "x"), TypeError, "seed must be an integer"),
            (lambda: features.sample(1, -1), ValueError, "seed must be at least 0"),
            (lambda: features.source(2), ValueError, r"i must be in \[0, 1\], got 2"),
            (lambda: features.source(0.0), TypeError, "i must be an integer, got 0.0"),
            (lambda: rt.RowChannel(rt.Model(np.ones((1, 2))), features, 2), ValueError, "i must"),
            (lambda: rt.RowChannel(rt.Model(np.ones((1, 2))), features, -1), ValueError, "i must"),
            (lambda: rt.RowChannel(rt.Model(np.ones((1, 2))), features, "x"), TypeError, "i must"),
        ):
            with pytest.raises(error, match=match):
                call()

    def test_strangers(self):
        """What somebody's own law says is checked where it is used."""
        model = rt.Model(np.ones((1, 2)))

        def law(scenarios, amplitudes=(rt.Uniform(),) * 2, importance=np.ones(2)):
            said = {"scenarios": scenarios, "amplitudes": amplitudes, "importance": importance}
            kind = {k: property(lambda self, v=v: v) for k, v in said.items()}
            return type("Mine", (rt.Features,), kind)()

        good = (rt.Scenario(1.0, [0.1, 0.2]),)
        for features, error, match in (
            (law((rt.Scenario(0.5, [0.1, 0.2]),)), ValueError, "add up to 1, got 0.5"),
            (law(()), ValueError, "add up to 1, got 0"),
            (law((3,)), TypeError, "scenarios.*Scenario, got 3"),
            (law(3), TypeError, "scenarios of features must be a sequence, got 3"),
            (law((rt.Scenario(1.0, [0.1]),)), ValueError, "scenarios of features must be of 2"),
            (law(good, (rt.Uniform(), 3)), TypeError, "amplitude"),
            (law(good, importance=[1.0]), ValueError, "importance"),
            (law(good, importance=[1.0, -1.0]), ValueError, "importance"),
        ):
            with pytest.raises(error, match=match):
                rt.exact_loss(model, features)
        right = rt.exact_loss(model, rt.Independent([0.1, 0.2])).mean
        assert rt.exact_loss(model, law(good)).mean == right


def test_large_blocks():
    """Nothing grows faster than the covariance matrix."""
    n = 400
    features = rt.Groups([rt.Parent(0.3, [rt.SparseSource(0.1)] * (n - 1))])
    assert features.covariance[1, 2] == pytest.approx(0.3 * 0.7 * 0.1**2 / 4, rel=1e-12)
    found = rt.exact_loss(rt.Model(np.eye(n)), features, rows=[0, 5])
    assert np.all(found.loss <= found.error)


@pytest.mark.parametrize("p", [1e-6, 1e-12, 1e-100])
def test_rare_blocks(p):
    """The chance of a block that is hardly ever on keeps its digits."""
    features = rt.Groups([rt.Together(p, 2, rt.Uniform(3, 5)), rt.SparseSource(1.0)])
    found = rt.exact_loss(rt.Model([[-1.0, -1.0, 1.0]], [[0], [0], [1]]), features, rows=[2])
    assert found.loss[0] == pytest.approx(p / 3, rel=1e-13)
    assert found.error[0] <= 1e-12 * p


@pytest.mark.parametrize("p", [1e-3, 1e-9, 1e-12, 1e-20])
def test_hardly_any_signal(p):
    """The best diagonal for noise far above a rare signal is tiny, and is found."""
    model = rt.Model([[1.0, 0.3]], hidden_noise=1.0)
    verdict = rt.explain(model, rt.Independent([p, 2 * p], rt.Uniform(0, 1e-2)))
    assert verdict.loss - sum(verdict.terms.values()) == pytest.approx(verdict.best, rel=1e-9)
    assert verdict.best <= 2 * p * 1e-4
