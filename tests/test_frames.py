"""The bound on capacities, and the frames that reach it."""

import numpy as np
import pytest

import rugtheory as rt


def capacities(model, features):
    """Squared correlations of features and readings, from the whole covariance."""
    covariance, w = features.covariance, model.w_out @ model.w_in
    shared, power = np.diag(w @ covariance), np.diag(w @ covariance @ w.T)
    power = power * features.variance
    return np.divide(shared**2, power, out=np.zeros_like(power), where=power > 0)


def vector(rng):
    """Random capacities that add up to a whole number: a mean of vectors of ones and zeros."""
    n = int(rng.integers(2, 201))
    rows = int(rng.integers(1, n))
    shares = rng.dirichlet(np.full(rng.choice([1, 2, 5, 40]), rng.choice([1.0, 0.1])))
    chosen = np.zeros(n)
    for share in shares:
        chosen[rng.permutation(n)[:rows]] += share
    return np.minimum(chosen, 1.0)


class TestBound:
    @pytest.mark.parametrize("seed", range(20))
    def test_any_weights(self, seed):
        """Of groups and latents too; and of readings with noise."""
        rng = np.random.default_rng(seed)
        p = rng.uniform(0.01, 0.9, 6)
        for features in (
            rt.Independent(p),
            rt.Latent([p, p[::-1].copy()], [0.4, 0.6]),
            rt.Groups([rt.Exclusive(p[:3] / 3), rt.Together(0.2, 3)]),
        ):
            w_in, w_out = rng.normal(size=(2, 6)), rng.normal(size=(6, 2))
            model = rt.Model(w_in, w_out, hidden_noise=0.1 * (seed % 2))
            bound = rt.capacity_bound(features, 2)
            assert capacities(model, features).sum() <= bound * (1 + 1e-12)
            found = rt.statistics(model, features, rows=1)
            assert found.capacity_bound == bound
            if not model.hidden_noise:
                assert found.capacity == pytest.approx(capacities(model, features), rel=1e-9)

    def test_reached_by_correlated_features(self):
        """Readings of the best linear estimate from the leading eigenvectors."""
        p = np.array([0.3, 0.2, 0.1, 0.05])
        features = rt.Groups([rt.Exclusive(p), rt.Together(0.3, 2), rt.SparseSource(0.5)])
        covariance = features.covariance
        scale = np.sqrt(np.diag(covariance))
        vectors = np.linalg.eigh(covariance / np.outer(scale, scale))[1][:, ::-1][:, :3]
        model = rt.Model((vectors / scale[:, None]).T, vectors)
        bound = rt.capacity_bound(features, 3)
        assert bound > 3.2
        assert capacities(model, features).sum() == pytest.approx(bound, rel=1e-12)

    def test_two_that_exclude_each_other(self):
        """Correlation matrix [[1, ρ], [ρ, 1]]: 1 + |ρ|, with constant amplitudes ρ = -p/(1 - p)."""
        features = rt.Groups([rt.Exclusive([0.3, 0.3], rt.Constant())])
        assert rt.capacity_bound(features, 1) == pytest.approx(1 + 0.3 / 0.7)
        assert rt.capacity_bound(features, 2) == pytest.approx(2)

    def test_equal_features(self):
        rug, features = rt.hadamard_rug(64, 16, seed=0), rt.Identical(64, 0.1)
        sigma, v = rt.welch_sigma(0.1, 0.25), features.variance[0]
        assert 64 * v / (v + sigma**2) == pytest.approx(rt.capacity_bound(features, 16))
        assert capacities(rug.model(1.0, 0.0), features).sum() == pytest.approx(16)

    def test_features_that_never_vary(self):
        features = rt.Independent([1.0, 1.0, 0.5], rt.Constant())
        assert rt.capacity_bound(features, 2) == 1
        found = rt.statistics(rt.Model(np.eye(3)[:2]), features, rows=1)
        assert found.capacity == pytest.approx([0, 0, 0])
        none = rt.Identical(3, 1.0, rt.Constant())
        assert "capacity used" not in rt.statistics(rt.Model(np.eye(3)), none, rows=1).summary()


class TestFrame:
    @pytest.mark.parametrize("seed", [0, None])
    def test_random_capacities(self, seed):
        for k in range(50):
            rng = np.random.default_rng(k)
            wanted = vector(rng)
            features = rt.Independent(10 ** rng.uniform(-4, -0.05, wanted.size))
            model = rt.frame(features, wanted, seed=seed)
            assert model.n_dense == round(wanted.sum())
            found = capacities(model, features)
            assert np.abs(found - wanted).max() < 1e-12
            assert found.sum() == pytest.approx(model.n_dense, rel=1e-12)

    def test_each_feature_has_its_best_decoder(self):
        """A reading has the a, b and σ of the Gaussian optimum; a dropped feature its mean."""
        laws = (rt.Uniform(), rt.Exponential(), rt.Constant(), rt.Uniform())
        features = rt.Independent([0.3, 0.2, 0.1, 0.1], laws)
        model = rt.frame(features, [0.5, 0.2, 0.3, 0.0], seed=0)
        w = model.w_out @ model.w_in
        heard = w - np.diag(np.diag(w))
        for i, c in enumerate((0.5, 0.2, 0.3)):
            best = rt.optimum(features.p[i], c, amplitude=laws[i])
            assert w[i, i] == pytest.approx(float(best.a), rel=1e-12)
            assert model.b[i] + heard[i] @ features.mean == pytest.approx(float(best.b), rel=1e-9)
            noise = np.sqrt(heard[i] ** 2 @ features.variance) / w[i, i]
            assert noise == pytest.approx(float(best.sigma), rel=1e-12)
        assert model([1.0, 0, 0, 0])[3] == features.mean[3] == pytest.approx(0.05)

    def test_spread_interference_is_nearly_gaussian(self):
        """And that of a frame of rotations, which few features make, is not."""
        features = rt.Identical(256, 0.045)
        spread, few = (rt.frame(features, [0.25] * 256, seed=seed) for seed in (0, None))
        gaussian = float(rt.optimum(0.045, 0.25).loss)
        exact = [rt.exact_loss(x, features, rows=8, rtol=1e-4) for x in (spread, few)]
        assert exact[0].mean - gaussian < 0.15 * gaussian + 4 * exact[0].standard_error
        assert exact[1].mean > 3 * gaussian

    def test_seeds(self):
        features = rt.Identical(12, 0.1)
        one, again, other = (rt.frame(features, [0.25] * 12, seed=k) for k in (0, 0, 1))
        assert one == again != other

    @pytest.mark.parametrize(
        ("features", "wanted", "message"),
        [
            (rt.Identical(2, 0.1), [0.5, 0.4], "whole number"),
            (rt.Identical(2, 0.1), [0.0, 0.0], "whole number"),
            (rt.Identical(2, 0.1), [1.5, 0.5], r"lie in|\[0, 1\]"),
            (rt.Identical(2, 0.1), [1.0], "shape"),
            (rt.Identical(2, 1.0, rt.Constant()), [0.5, 0.5], "never vary"),
            (rt.Groups([rt.Exclusive([0.3, 0.3])]), [0.5, 0.5], "independent"),
        ],
    )
    def test_refusals(self, features, wanted, message):
        with pytest.raises(ValueError, match=message):
            rt.frame(features, wanted)
