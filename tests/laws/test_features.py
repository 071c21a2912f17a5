"""Laws of joint laws of features, and of models on them."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx

import rugtheory as rt

from ..random_features import KINDS

SEEDS = st.integers(0, 2**32 - 1)
P = st.floats(1e-3, 0.9)
DENSE = (rt.Uniform(), rt.Uniform(-0.5, 1), rt.Exponential(0.5), rt.Constant(0.7))


def drawn(seed, noise=0.0):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 5))
    w_in, w_out = rng.normal(size=(2, n)), rng.normal(size=(n, 2)) / 2
    return rng, rt.Model(w_in, w_out, 0.3 * rng.normal(size=n), hidden_noise=noise)


def same(one, two, order=slice(None)):
    """Two exact losses within what they say of their errors."""
    slack = one.error[order] + two.error + 1e-13 * two.loss
    assert np.all(np.abs(one.loss[order] - two.loss) <= slack)


class TestFeatures:
    """Joint laws of features"""

    @given(SEEDS, P, st.sampled_from(DENSE), st.sampled_from([0.0, 0.1]))
    @settings(max_examples=8)
    def test_identical(self, seed, p, law, noise):
        """Identical features may be written as independent ones, as groups or with a latent."""
        _, model = drawn(seed, noise)
        n = model.n_sparse
        first = rt.exact_loss(model, rt.Identical(n, p, law), rtol=1e-7)
        for other in (
            rt.Independent(np.full(n, p), law),
            rt.Groups([rt.SparseSource(p, law) for _ in range(n)]),
            rt.Groups([rt.Together(p, 1, law), *[rt.Exclusive([p], law)] * (n - 1)]),
            rt.Latent(np.full((2, n), p), [1, 3], law),
        ):
            same(first, rt.exact_loss(model, other, rtol=1e-7))

    @given(SEEDS, st.sampled_from(list(KINDS)))
    @settings(max_examples=20)
    def test_total_probability(self, seed, kind):
        """P(j on) = P(i on) P(j on | i on) + P(i off) P(j on | i off) in every block."""
        features = KINDS[kind](np.random.default_rng(seed), DENSE)
        for scenario in features.scenarios:
            for block in scenario.blocks:
                members = list(block.features())
                for i in members:
                    p = block.probability(i)
                    on, off = block.given_on(i), block.given_off(i)
                    for j in set(members) - {i}:
                        whole = p * on.probability(j) + (1 - p) * off.probability(j)
                        assert whole == approx(block.probability(j), rel=1e-12)

    @given(SEEDS, P, P, st.sampled_from(DENSE))
    @settings(max_examples=5)
    def test_mixture(self, seed, p, q, law):
        """The loss with a latent is the mean of the losses at its values."""
        _, model = drawn(seed)
        n, (weight, other) = model.n_sparse, (0.3, 0.7)
        both = rt.Latent([np.full(n, p), np.full(n, q)], [weight, other], law)
        one, two = (rt.exact_loss(model, rt.Identical(n, x, law), rtol=1e-7) for x in (p, q))
        mixed = weight * one.loss + other * two.loss
        found = rt.exact_loss(model, both, rtol=1e-7)
        assert np.all(np.abs(found.loss - mixed) <= found.error + one.error + two.error + 1e-15)

    @given(P, P, st.sampled_from(DENSE))
    def test_limits_of_groups(self, p, q, law):
        """Children of a parent that is always on are independent; one always on shares its p."""
        source = rt.SparseSource(q, law)
        alone = rt.Groups([rt.Parent(1.0, [source, source], law)]).covariance
        assert alone[1, 2] == approx(0, abs=1e-15) and alone[1, 1] == approx(source.variance)
        tied = rt.Groups([rt.Parent(p, [rt.SparseSource(1.0, law)], law)])
        assert tied.covariance == approx(rt.Groups([rt.Together(p, 2, law)]).covariance, rel=1e-12)

    @given(SEEDS, st.sampled_from(list(KINDS)))
    @settings(max_examples=10)
    def test_covariance(self, seed, kind):
        """Covariances are semidefinite, and have the variances on the diagonal."""
        features = KINDS[kind](np.random.default_rng(seed), DENSE)
        covariance = features.covariance
        assert np.array_equal(np.diag(covariance), features.variance)
        assert np.linalg.eigvalsh(covariance).min() >= -1e-12 * features.variance.max()

    @given(SEEDS, st.sampled_from(list(KINDS)))
    @settings(max_examples=10)
    def test_saved(self, seed, kind):
        """What is saved is read."""
        features = KINDS[kind](np.random.default_rng(seed), DENSE)
        with tempfile.TemporaryDirectory() as folder:
            features.save(Path(folder) / "features.toml")
            assert rt.read_features(Path(folder) / "features.toml") == features

    @given(st.integers(1, 50), st.floats(0.01, 1), st.floats(0, 3), st.floats(0.5, 1.5))
    def test_sequences(self, n, largest, alpha, factor):
        """Zipf's frequencies are a power law, geometric importances an exponential."""
        i = np.arange(1, n + 1)
        assert np.log(rt.zipf(n, largest, alpha=alpha) / largest) == approx(-alpha * np.log(i))
        assert np.log(rt.geometric(n, factor)) == approx((i - 1) * np.log(factor), abs=1e-12)

    @given(SEEDS)
    @settings(max_examples=10)
    def test_fit(self, seed):
        """Samples in another order, or twice over, have the same fit."""
        rng = np.random.default_rng(seed)
        x = rt.Independent(rng.uniform(0.2, 0.8, 4)).sample(60, rng)
        found, again = rt.fit_features(x), rt.fit_features(np.tile(rng.permutation(x), (2, 1)))
        assert np.array_equal(found.features.p, again.features.p)
        assert again.features.second_moment == approx(found.features.second_moment, rel=1e-12)

    @given(P, P)
    def test_tree(self, p, q):
        """A law written as a tree of choices is that of the group."""
        tree = rt.OneOf((p,), (rt.Every((rt.On(0), rt.OneOf((q,), (rt.On(1),)))),))
        (scenario,) = rt.Groups([rt.Parent(p, [rt.SparseSource(q)])]).scenarios
        assert scenario == rt.Scenario(1.0, [p, p * q], (tree,))
        assert rt.Patterned([0, 0], [tree]).scenarios == (scenario,)


class TestModels:
    """Models on features"""

    @given(SEEDS, st.floats(0.1, 10))
    @settings(max_examples=5)
    def test_units(self, seed, c):
        """In units of amplitudes c times as small, losses are c² times as large."""
        rng, model = drawn(seed, 0.2)
        p = rng.uniform(0.05, 0.5, model.n_sparse)
        scaled = rt.Model(model.w_in, model.w_out, c * model.b, hidden_noise=c * 0.2)
        one = rt.exact_loss(model, rt.Independent(p, rt.Uniform(-0.5, 1)), rtol=1e-7)
        two = rt.exact_loss(scaled, rt.Independent(p, rt.Uniform(-0.5 * c, c)), rtol=1e-7)
        assert np.all(np.abs(two.loss - c**2 * one.loss) <= two.error + c**2 * one.error)

    @given(SEEDS)
    @settings(max_examples=5)
    def test_order(self, seed):
        """Features in another order have the same losses in that order."""
        rng, model = drawn(seed)
        n = model.n_sparse
        p, laws = rng.uniform(0.05, 0.9, n), [DENSE[k] for k in rng.integers(len(DENSE), size=n)]
        order = rng.permutation(n)
        moved = rt.Model(model.w_in[:, order], model.w_out[order], model.b[order])
        features = rt.Independent(p[order], [laws[k] for k in order])
        one = rt.exact_loss(model, rt.Independent(p, laws), rtol=1e-7)
        same(one, rt.exact_loss(moved, features, rtol=1e-7), order)

    @given(SEEDS, st.floats(0.1, 10))
    @settings(max_examples=5)
    def test_importance(self, seed, c):
        """The mean loss is linear in the importances, and losses do not depend on them."""
        rng, model = drawn(seed)
        n = model.n_sparse
        p, weight = rng.uniform(0.05, 0.9, n), rng.random(n) + 0.1
        one, two = (
            rt.exact_loss(model, rt.Independent(p, importance=x)) for x in (weight, c * weight)
        )
        assert np.array_equal(one.loss, two.loss)
        assert two.mean == approx(c * one.mean, rel=1e-12)
        assert one.mean == approx(float(np.mean(weight * one.loss)), rel=1e-12)

    @given(SEEDS)
    def test_spectrum(self, seed):
        """What a feature sees of the frame's spectrum has a mean of 1 over its dimensionality."""
        _, model = drawn(seed)
        found = rt.frame_spectrum(model)
        assert found.weights.sum(axis=1) == approx(1, rel=1e-12)
        assert found.eigenvalues.sum() == approx(float(np.sum(model.w_in**2)), rel=1e-12)
        lengths = np.sum(model.w_in**2, axis=0)
        gram = (model.w_in / np.sqrt(lengths)).T @ model.w_in
        assert found.weights @ found.eigenvalues == approx(np.sum(gram**2, axis=1), rel=1e-10)

    @given(SEEDS)
    @settings(max_examples=5)
    def test_capacity(self, seed):
        """Capacities add up to no more than their bound, of independent features the units."""
        rng, model = drawn(seed, 0.1)
        p = rng.uniform(0.05, 0.9, model.n_sparse)
        features = rt.Independent(p, DENSE[0])
        found = rt.statistics(model, features, rows=1)
        assert found.capacity.sum() <= model.n_dense * (1 + 1e-12)
        assert found.capacity_bound == min(model.n_dense, model.n_sparse)
        together = rt.Latent([p, p[::-1].copy()], [0.3, 0.7], DENSE[0])
        found = rt.statistics(model, together, rows=1)
        assert found.capacity.sum() <= found.capacity_bound * (1 + 1e-12)
