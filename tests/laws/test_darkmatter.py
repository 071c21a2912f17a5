"""Laws of what sparse decoders leave unexplained."""

import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

import rugtheory as rt
from rugtheory import darkmatter as dm

from .domain import AMPLITUDE, RATIO, SCALE, SEEDS, A, B, P, few, some

SHARE = st.floats(0, 1)
SCORES = ("fvu", "fvu_centred", "fvu_nl", "r2")
# Fits and evaluates on all rows, for laws that hold on the rows of the fit.
WHOLE = {"test_fraction": 0, "bootstrap": 0}


def data(seed, rows=60, d=3):
    """Activations, and reconstructions with linear and nonlinear errors and a mean."""
    rng = np.random.default_rng(seed)
    x = rng.exponential(size=(rows, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)
    return x, x @ rng.normal(size=(d, d)) + np.sin(x) + 0.1 * rng.normal(size=(rows, d))


def rotation(seed, d):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def on_off(rng, rows, n):
    """Features that are on or off, all of which vary in the first rows."""
    on = rng.random((rows, n)) < 0.3
    on[: n + 1] = np.eye(n + 1, n)
    return on.astype(float)


class TestDecomposition:
    """Linear and nonlinear error of a decoder"""

    @some
    @given(SEEDS)
    def test_identity(self, seed):
        """FVU_nl = (1 - R²) FVU_centred in all resamplings, and FVU_centred ≤ FVU."""
        found = dm.decompose(*data(seed), bootstrap=20, seed=seed)
        assert isinstance(found, dm.Scores)
        assert found.fvu_nl == approx((1 - found.r2) * found.fvu_centred, rel=1e-11)
        assert found.fvu >= found.fvu_centred * (1 - 1e-12)
        kept = found.replicates
        expected = (1 - kept["r2"]) * kept["fvu_centred"]
        np.testing.assert_allclose(kept["fvu_nl"], expected, rtol=1e-11)

    @some
    @given(SEEDS)
    def test_pythagoras(self, seed):
        """On the rows of the fit, centred squares of linear and nonlinear error add to the error's.

        The parts themselves add to x - x̂, and R² is in [0, 1].
        """
        x, x_hat = data(seed)
        found = dm.decompose(x, x_hat, **WHOLE)
        linear, nonlinear = found.linear(x), found.nonlinear(x, x_hat)
        np.testing.assert_allclose(linear + nonlinear, x - x_hat, atol=1e-12)
        squares = [np.sum((y - y.mean(axis=0)) ** 2) for y in (x - x_hat, linear, nonlinear)]
        assert squares[0] == approx(squares[1] + squares[2], rel=1e-10)
        assert found.r2 == approx(squares[1] / squares[0], rel=1e-10) and 0 <= found.r2 <= 1
        norms = found.norms(x, x_hat, block_rows=7)
        np.testing.assert_allclose(norms.nonlinear, np.linalg.norm(nonlinear, axis=1), rtol=1e-9)

    @some
    @given(SEEDS, SCALE, st.floats(-10, 10))
    def test_units(self, seed, scale, shift):
        """Rotation, scaling and shift of activations and reconstructions change no score."""
        x, x_hat = data(seed)
        turn = scale * rotation(seed, 3)
        one = dm.decompose(x, x_hat, bootstrap=0)
        two = dm.decompose(x @ turn + scale * shift, x_hat @ turn + scale * shift, bootstrap=0)
        for name in SCORES:
            assert getattr(two, name) == approx(getattr(one, name), rel=1e-8, abs=1e-9)

    @some
    @given(SEEDS, st.integers(1, 70))
    def test_blocks(self, seed, block_rows):
        """Neither the size of blocks nor a file in place of memory changes a score."""
        x, x_hat = data(seed)
        one = dm.decompose(x, x_hat, bootstrap=0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.npy"
            np.save(path, x)
            two = dm.decompose(dm.read_activations(path), x_hat, bootstrap=0, block_rows=block_rows)
        for name in SCORES:
            assert getattr(two, name) == approx(getattr(one, name), rel=1e-10, abs=1e-12)

    @some
    @given(SEEDS)
    def test_linear_decoders(self, seed):
        """The error of a decoder that is an affine map of x is linear: R² = 1, FVU_nl = 0."""
        x, y = data(seed)
        weights = np.random.default_rng(seed).normal(size=(3, 3))
        for x_hat in (x @ weights + 1, np.broadcast_to(y.mean(axis=0), x.shape)):
            found = dm.decompose(x, x_hat, bootstrap=0)
            assert found.r2 == approx(1, abs=1e-12) and found.fvu_nl < 1e-12 * found.fvu


class TestRegressions:
    """Regressions, adjacent components and error norms"""

    @some
    @given(SEEDS)
    def test_least_squares(self, seed):
        """A regression is numpy's least squares with a column of ones."""
        x, y = data(seed)
        found = dm.regress(x, y, **WHOLE)
        exact = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]
        np.testing.assert_allclose(found.slope, exact[:-1], atol=1e-9)
        np.testing.assert_allclose(found.intercept, exact[-1], atol=1e-9)
        np.testing.assert_allclose(found.predict(x), x @ exact[:-1] + exact[-1], atol=1e-9)
        left = np.sum((y - found.predict(x)) ** 2) / np.sum((y - y.mean(axis=0)) ** 2)
        assert found.r2 == approx(1 - left, abs=1e-11)

    @given(st.integers(3, 6), SEEDS)
    def test_mean(self, k, seed):
        """What is orthogonal to x is predicted by its mean: R² = 0."""
        n = 2**k
        order = 1 + np.random.default_rng(seed).permutation(n - 1)
        walsh = rt.hadamard_rug(n, n, seed=0).w_in[order]
        found = dm.regress(walsh[:2].T, walsh[2] + 5, **WHOLE)
        assert found.r2 == approx(0, abs=1e-13) and found.intercept == approx(5)

    @some
    @given(SEEDS)
    def test_adjacent(self, seed):
        """Components that add to the error explain it: R² = 1 together, and not one of them alone.

        If x is among them, they explain its linear and its nonlinear part as well.
        """
        x, x_hat = data(seed)
        one = np.random.default_rng(seed).normal(size=x.shape)
        parts = dm.decompose(x, x_hat)
        components = {"all": np.hstack([x, x_hat - one, one]), "one": one}
        found = dm.adjacent(components, x, x_hat, parts, bootstrap=0)
        for part in (found["all"].error, found["all"].linear, found["all"].nonlinear):
            assert part.r2 == approx(1, abs=1e-9)
        assert found["one"].error.r2 < 0.9

    @some
    @given(SEEDS, SCALE)
    def test_per_token(self, seed, scale):
        """An error norm that is linear in both predictors leaves no rest; units change no R²."""
        small, part = np.random.default_rng(seed).exponential(size=(2, 80))
        large = 0.3 * small + 0.5 * part + 1
        found = dm.per_token(small, large, part, bootstrap=0)
        assert found.both.r2 == approx(1, abs=1e-12) and found.error.r2 < 1
        assert found.fvu_decrease == approx(100, abs=1e-9)
        again = dm.per_token(scale * small, large**2, part, bootstrap=0)
        other = dm.per_token(small, scale * large**2, scale * part, bootstrap=0)
        assert again.error.r2 == approx(other.error.r2, abs=1e-10)
        assert again.both.r2 == approx(other.both.r2, abs=1e-10)

    @some
    @given(SEEDS, SCALE)
    def test_alignment(self, seed, scale):
        """Orthogonal directions that are on or off are the probe's own: R² = 1, dot = length."""
        rng = np.random.default_rng(seed)
        size = scale * rng.uniform(0.5, 2, 5)
        found = dm.alignment(on_off(rng, 60, 5), size[:, None] * rotation(seed, 5), **WHOLE)
        for known in (found.dot, found.mean_active, found.slope):
            np.testing.assert_allclose(known, size, rtol=1e-8)
        assert found.probe.r2 == approx(1) and found.correlation_mean_active == approx(1)


LAWS = st.builds(
    lambda p, law: dm.WeightLaw.sparse(rt.SparseSource(p, law)), st.floats(1e-6, 0.99), AMPLITUDE
)


def random_features(seed, n=4, d=3):
    return np.random.default_rng(seed).normal(size=(n, d))


class TestNormTest:
    """The norm prediction test in theory"""

    @given(SEEDS, LAWS, st.integers(1, 8))
    def test_shares(self, seed, law, d):
        """R² and what overlap, curvature and pairs take from it are in [0, 1] and add to 1."""
        probe = dm.norm_probe(random_features(seed, d=d), law)
        shares = [probe.r2, probe.overlap, probe.curvature, probe.pairs]
        assert min(shares) >= 0 and sum(shares) == approx(1, rel=1e-12)

    @given(SEEDS, st.floats(1e-9, 0.999), SCALE)
    def test_bernoulli(self, seed, p, scale):
        """Orthogonal features that are on or off: R² = 1, the probe being their sum."""
        law = dm.WeightLaw.sparse(rt.SparseSource(p, rt.Constant(scale)))
        turn = rotation(seed, 5)
        probe = dm.norm_probe(turn, law)
        assert probe.r2 == approx(1, abs=1e-12)
        np.testing.assert_allclose(probe.vector, scale * turn.sum(axis=0), atol=1e-9 * scale)

    @given(SEEDS, LAWS)
    def test_orthonormal(self, seed, law):
        """Orthonormal features of one law: R² = λ²s/(λ²s + c), that of one weight."""
        probe = dm.norm_probe(rotation(seed, 4), law)
        assert probe.r2 == approx(float(law.r2), rel=1e-10)
        assert law.r2 + law.unexplained == approx(1)
        assert probe.variance == approx(4 * float(law.slope**2 * law.variance + law.curvature))

    @given(SEEDS, LAWS, SCALE)
    def test_units(self, seed, law, scale):
        """Rotation and scale change no share; the variance goes as scale⁴."""
        features = random_features(seed)
        one = dm.norm_probe(features, law)
        two = dm.norm_probe(scale * features @ rotation(seed, 3), law)
        gram = dm.norm_probe(dm.features_from_gram(features @ features.T), law)
        for other in (two, gram):
            assert other.r2 == approx(one.r2, rel=1e-8)
            assert other.pairs == approx(one.pairs, rel=1e-8, abs=1e-12)
        assert two.variance == approx(scale**4 * one.variance, rel=1e-9)

    @some
    @given(SEEDS, st.floats(0.01, 0.9))
    def test_enumeration(self, seed, p):
        """The regression of ‖x‖² on x over all states of four features, weighed by probability."""
        values, weights = [0.1, 0.5, 2.0], np.array([1.0, 2.0, 1.0]) / 4
        features = random_features(seed)
        law = dm.WeightLaw.sparse(rt.SparseSource(p, rt.FromQuadrature(values, weights)))
        probe = dm.norm_probe(features, law)
        states = np.array(list(product([0.0, *values], repeat=4)))
        chance = np.prod(list(product([1 - p, *(p * weights)], repeat=4)), axis=1)
        x = states @ features
        square = np.sum(x**2, axis=1)
        design = np.column_stack([x, np.ones(len(x))])
        root = np.sqrt(chance)
        fit = np.linalg.lstsq(root[:, None] * design, root * square, rcond=None)[0]
        variance = chance @ (square - chance @ square) ** 2
        assert probe.variance == approx(variance, rel=1e-10)
        assert probe.r2 == approx(1 - chance @ (square - design @ fit) ** 2 / variance, abs=1e-9)
        np.testing.assert_allclose(probe.vector, fit[:-1], atol=1e-7)
        assert probe.intercept == approx(fit[-1], abs=1e-7)

    @given(st.floats(0.01, 0.99), st.floats(0.01, 100))
    def test_laws(self, p, rate):
        """Bernoulli and Poisson weights by their moments."""
        v = p * (1 - p)
        pairs = [
            (
                dm.WeightLaw.sparse(rt.SparseSource(p, rt.Constant())),
                dm.WeightLaw.from_moments(p, v, v * (1 - 2 * p), v * (1 - 3 * v)),
            ),
            (
                dm.WeightLaw.poisson(rate),
                dm.WeightLaw.from_moments(rate, rate, rate, rate + 3 * rate**2),
            ),
        ]
        for one, two in pairs:
            for name in ("mean", "variance", "slope", "curvature"):
                scale = float(one.variance) ** 2 if name == "curvature" else 0
                expected = approx(float(getattr(one, name)), rel=1e-11, abs=1e-10 * scale + 1e-14)
                assert float(getattr(two, name)) == expected

    @given(SEEDS, LAWS)
    def test_nulls(self, seed, law):
        """Gaussian weights have the null value of their moments, random signs have R² = 0."""
        features = random_features(seed)
        mean = float(law.mean) * features.sum(axis=0)
        null = dm.gaussian_null(mean, float(law.variance) * features.T @ features)
        assert dm.norm_probe(features, law.gaussian()).r2 == approx(null, rel=1e-9)
        assert dm.norm_probe(features, law.sign_flipped()).r2 == 0
        assert dm.gaussian_null(0 * mean, np.eye(3)) == 0

    @few
    @given(SEEDS, SCALE)
    def test_samples(self, seed, scale):
        """Samples of orthogonal features that are on or off: R² = 1, in all units."""
        v = scale * on_off(np.random.default_rng(seed), 80, 4) @ rotation(seed, 4)
        test = dm.norm_test(v, **WHOLE)
        assert test.squared.probe.r2 == approx(1)
        assert 0 <= test.squared.gaussian <= 1 and 0 <= test.norm.gaussian <= 1
        assert isinstance(test.norm, dm.NormScores)


class TestLeakage:
    """Nonlinear error that no encoder introduces"""

    @given(RATIO, SHARE)
    def test_masked(self, ratio, f):
        """Symmetric in f and 1 - f, zero at both ends and at r = 1; FVU_nl = (1 - R²) FVU."""
        one, two = dm.masked_error(ratio, f), dm.masked_error(ratio, 1 - f)
        assert one.fvu_nl == approx(float(two.fvu_nl), rel=1e-9, abs=1e-16)
        assert one.fvu_nl == approx(float((1 - one.r2) * one.fvu), rel=1e-9, abs=1e-15)
        assert dm.masked_error(ratio, 0).fvu_nl == dm.masked_error(ratio, 1).fvu_nl == 0
        assert dm.masked_error(1, f).fvu_nl == 0

    @given(SCALE, SCALE, st.floats(-60, 60))
    def test_leaked(self, dense, signal, k):
        """Variances in parallel, 1/leak = 1/τ² + 1/s: symmetric, below both, linear in units."""
        leak = float(dm.leaked_variance(dense, signal))
        assert 1 / leak == approx(1 / dense + 1 / signal)
        assert leak == dm.leaked_variance(signal, dense) and leak <= min(dense, signal)
        c = 2.0 ** round(k)
        assert dm.leaked_variance(c * dense, c * signal) == c * leak
        assert dm.leaked_variance(dense, 0) == 0
        assert dm.leaked_variance(dense, 1e30) == approx(dense)

    @some
    @given(SEEDS, st.floats(0.01, 0.9), AMPLITUDE, st.integers(0, 5), st.floats(0.01, 2))
    def test_bench(self, seed, p, law, learned, tau):
        """The parts of a bench add to its error, their shares to FVU_centred; it leaks as it says.

        On orthonormal directions: what is introduced, and what dense variance leaks on those
        learned.
        """
        made = dm.synthetic(
            rotation(seed, 5), p, learned, 20, dense=tau, introduced=0.3, amplitude=law, seed=seed
        )
        error = made.absent + made.dense - made.introduced
        np.testing.assert_allclose(made.x - made.x_hat, error, atol=1e-11)
        truth = made.truth
        shares = made.absent_share + made.dense_share + made.introduced_share
        assert truth.fvu_centred == approx(shares)
        assert truth.fvu_nl == approx((1 - truth.r2) * truth.fvu_centred, abs=1e-12)
        variance = float(rt.SparseSource(p, law).variance)
        leak = learned * float(dm.leaked_variance(tau**2, variance))
        assert truth.fvu_nl == approx((5 * 0.09 + leak) / (5 * (variance + tau**2)), rel=1e-9)

    def test_bench_table(self):
        """A table's shares are in the ratio of the variances, and its cases are all pairs."""
        table = dm.run_bench(np.eye(4), 0.2, [1], 60, dense=[0.1, 0.2], introduced=[0.1, 0.3])
        assert len(table.runs) == 4 and table.correlation.shape == (2, 2)
        assert table.introduced[1] / table.introduced[0] == approx(9)
        np.testing.assert_allclose(table.introduced / table.dense, [1, 9, 1 / 4, 9 / 4])


class TestDarkRug:
    """The rug read as an autoencoder"""

    @given(P, RATIO, AMPLITUDE, A, st.floats(-2, 2))
    def test_loss(self, p, ratio, law, a, z):
        """W = σ_x²[(1 - α)² + β²(1/r - 1) + FVU_nl] + (E x - E x̂)²: the parts add to the loss.

        The difference of means is what row 0 adds to the FVU.
        """
        source = rt.SparseSource(p, law)
        v, sigma = float(source.variance), float(rt.welch_sigma(p, ratio, amplitude=law))
        if not v > 0:
            return
        b = z * sigma
        dark, row = (
            dm.rug_dark_matter(p, ratio, a=a, b=b, constant_row=c, amplitude=law)
            for c in (False, True)
        )
        bias = ratio * v * float(row.fvu - dark.fvu)
        signal, noise = float(dark.slope_signal), float(dark.slope_noise)
        total = v * ((1 - signal) ** 2 + noise**2 * (1 / ratio - 1) + float(dark.fvu_nl)) + bias
        loss = float(rt.reduced_loss(a, b, sigma, p, amplitude=law))
        rounding = 1e-14 * ratio * v * float(row.fvu)
        assert total == approx(loss, rel=1e-9, abs=rounding)

    @given(P, RATIO, AMPLITUDE, SHARE)
    def test_fraction(self, p, ratio, law, f):
        """No feature leaves all of x as error, which is linear; all features leave the rug's.

        FVU_nl = f FVU_nl(1) + (α - β)² times that of masked features.
        """
        if not rt.SparseSource(p, law).variance > 0:
            return
        none, part, whole = (
            dm.rug_dark_matter(p, ratio, a=0.8, b=-0.1, fraction=x, amplitude=law)
            for x in (0, f, 1)
        )
        assert none.fvu == none.fvu_centred == none.r2 == 1 and none.fvu_nl == 0
        assert whole.fvu == whole.fvu_centred
        masked = dm.masked_error(ratio, f).fvu_nl
        bent = (whole.slope_signal - whole.slope_noise) ** 2
        assert part.fvu_nl == approx(float(f * whole.fvu_nl + bent * masked), rel=1e-9, abs=1e-300)
        assert 0 <= part.fvu_nl <= part.fvu_centred <= part.fvu
        assert part.fvu_nl == approx(
            float((1 - part.r2) * part.fvu_centred), abs=1e-14 * float(part.fvu_centred)
        )

    @given(P, RATIO, A, B, SCALE, SHARE)
    def test_units(self, p, ratio, a, b, scale, f):
        """Features c times as large with a bias c times as large have the same scores."""
        one = dm.rug_dark_matter(p, ratio, a=a, b=b, fraction=f)
        law = rt.Uniform(0, scale)
        two = dm.rug_dark_matter(p, ratio, a=a, b=scale * b, fraction=f, amplitude=law)
        assert two.fvu_nl == approx(float(one.fvu_nl), rel=1e-8, abs=1e-14)
        assert two.fvu == approx(float(one.fvu), rel=1e-8)

    @given(st.floats(1e-3, 1), RATIO, A, SHARE)
    def test_linear(self, p, ratio, a, f):
        """Where the ReLU never closes the code is linear, and so is all of the error."""
        sigma = float(rt.welch_sigma(p, ratio))
        dark = dm.rug_dark_matter(p, ratio, a=a, b=40 * (1 + abs(a)) * (1 + sigma), fraction=f)
        assert float(dark.fvu_nl) <= 1e-12 * float(dark.fvu_centred)

    @few
    @given(st.floats(1e-6, 1), st.floats(0.01, 0.99))
    def test_optimum(self, p, ratio):
        """a and b that are not given are those of the optimum."""
        best = rt.optimum(p, ratio)
        one, two = (
            dm.rug_dark_matter(p, ratio, **known) for known in ({}, {"a": best.a, "b": best.b})
        )
        for name, value in vars(two).items():
            np.testing.assert_allclose(getattr(one, name), value, rtol=1e-12)

    @few
    @given(st.integers(3, 6).map(lambda k: 2**k), st.floats(0.1, 0.9), SEEDS)
    def test_complete(self, n, p, seed):
        """A rug with all its rows decodes exactly: no error, and none to predict."""
        rug = rt.hadamard_rug(n, n, seed=seed)
        dark = dm.simulate_dark_matter(rug, 1.0, 0.0, rt.SparseSource(p), 10, seed=seed)
        assert dark.fvu < 1e-25 and dark.fvu_nl < 1e-25
        half = rt.Rug(n, np.arange(1, n // 2 + 1))
        left = dm.simulate_dark_matter(half, 1.0, 0.0, rt.SparseSource(p), 10, seed=seed)
        assert left.r2_norm == 0 and left.fvu > left.fvu_nl > 0


class TestPursuit:
    """Codes by greedy search"""

    @some
    @given(SEEDS)
    def test_descent(self, seed):
        """More atoms never leave more; codes are non-negative and of at most l0 atoms."""
        rng = np.random.default_rng(seed)
        atoms, x = rng.normal(size=(10, 4)), rng.normal(size=(6, 4))
        before = np.linalg.norm(x, axis=1)
        for l0 in range(5):
            codes = dm.gradient_pursuit(x, atoms, l0)
            left = np.linalg.norm(x - codes @ atoms, axis=1)
            assert np.all(left <= before * (1 + 1e-12))
            assert codes.nnz == 0 or codes.data.min() > 0
            assert np.all(np.diff(codes.indptr) <= l0)
            before = left

    @some
    @given(SEEDS, st.integers(0, 6), st.booleans())
    def test_planted(self, seed, l0, exact):
        """Codes planted in an orthonormal dictionary are found, of either sign by OMP."""
        rng = np.random.default_rng(seed)
        turn = rotation(seed, 6)
        planted = rng.permuted(np.tile(np.arange(6) < l0, (5, 1)), axis=1) * rng.uniform(1, 2)
        codes = dm.gradient_pursuit(planted @ turn, turn, l0, exact=exact)
        np.testing.assert_allclose(codes.toarray(), planted, atol=1e-12)
        planted = planted * rng.choice([-1, 1], planted.shape)
        codes = dm.orthogonal_matching_pursuit(planted @ turn, turn, l0)
        np.testing.assert_allclose(codes.toarray(), planted, atol=1e-12)

    @some
    @given(SEEDS, st.integers(-60, 60))
    def test_units(self, seed, k):
        """Rows 2ᵏ times as long have codes 2ᵏ times as large, exactly."""
        rng = np.random.default_rng(seed)
        atoms, x = rng.normal(size=(8, 3)), rng.normal(size=(4, 3))
        one, two = (dm.gradient_pursuit(y, atoms, 2).toarray() for y in (x, np.ldexp(x, k)))
        np.testing.assert_array_equal(two, np.ldexp(one, k))


class TestFloor:
    """Power laws with a floor"""

    @some
    @given(st.floats(-1, 1), st.floats(0.1, 10), st.floats(-2, -0.1), SCALE)
    def test_exact(self, floor, alpha, beta, scale):
        """An exact law is found again, in all units of size and loss."""
        size = 2.0 ** np.arange(8)
        law = dm.fit_floor(size, floor + alpha * size**beta, sigma=1e-3)
        assert law.beta == approx(beta, rel=1e-5)
        assert law.floor == approx(floor, abs=1e-4 * alpha) and law.alpha == approx(alpha, rel=1e-4)
        np.testing.assert_allclose(law(size), floor + alpha * size**beta, atol=1e-6 * alpha)
        again = dm.fit_floor(scale * size, scale * (floor + alpha * size**beta), sigma=1e-3 * scale)
        assert again.beta == approx(beta, rel=1e-5)
        assert again.alpha == approx(alpha * scale ** (1 - beta), rel=1e-3)


ARCHITECTURES = ("standard", "jumprelu", "topk", "abstopk", "groupmax", "gated")


def coder(seed, architecture, **more):
    rng = np.random.default_rng(seed)
    parts = {"w_enc": (3, 8), "b_enc": 8, "w_dec": (8, 3), "b_dec": 3}
    needed = {"jumprelu": ("threshold",), "gated": ("b_gate", "r_mag")}.get(architecture, ())
    parts = {name: rng.normal(size=shape) for name, shape in parts.items()}
    parts |= {name: rng.exponential(size=8) for name in needed}
    if architecture in ("topk", "abstopk", "groupmax"):
        parts["k"] = 2
    return dm.SAE(architecture, **(parts | more))


class TestSAE:
    """Sparse autoencoders, their files and reports"""

    @pytest.mark.parametrize("architecture", ARCHITECTURES)
    @few
    @given(seed=SEEDS)
    def test_shapes(self, architecture, seed):
        """Reconstructing is encoding and decoding; L0 counts codes; slices give the same rows."""
        sae, x = coder(seed, architecture), data(seed)[0]
        codes = sae.encode(x)
        assert codes.shape == (len(x), 8) and sae.decode(codes).shape == x.shape
        np.testing.assert_array_equal(sae.reconstruct(x), sae.decode(codes))
        np.testing.assert_array_equal(sae.l0(x), np.diff(codes.indptr))
        lazy = dm.Reconstruction(x, sae)
        np.testing.assert_allclose(lazy[3:9], sae.reconstruct(x)[3:9], atol=1e-12)
        if sae.k is not None:
            assert sae.l0(x).max() <= 2

    @few
    @given(SEEDS)
    def test_cases(self, seed):
        """TopK of all latents, and JumpReLU without a threshold, are ReLU."""
        x, relu = data(seed)[0], coder(seed, "standard")
        known = {name: getattr(relu, name) for name in ("w_enc", "b_enc", "w_dec", "b_dec")}
        for other in (
            coder(seed, "topk", **known, k=8),
            coder(seed, "jumprelu", **known, threshold=np.zeros(8)),
        ):
            np.testing.assert_array_equal(other.encode(x).toarray(), relu.encode(x).toarray())

    @pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"groupmax"}))
    def test_round_trip(self, architecture, tmp_path):
        """What was written is read: the same codes and reconstructions, bit for bit."""
        sae, x = coder(0, architecture), data(0)[0]
        dm.write_sae(sae, tmp_path / "sae")
        again = dm.read_sae(tmp_path / "sae")
        np.testing.assert_array_equal(again.encode(x).toarray(), sae.encode(x).toarray())
        np.testing.assert_array_equal(again.reconstruct(x), sae.reconstruct(x))

    def test_report(self, tmp_path):
        """A report has the scores of `decompose`, and a second run gives the same."""
        x, sae = data(0, 120)[0], coder(0, "topk")
        found, again = (dm.write_report(x, {"one": sae}, tmp_path, bootstrap=5) for _ in range(2))
        assert found["saes"] == again["saes"]
        alone = dm.decompose(x, sae.reconstruct(x).astype(np.float32), bootstrap=5)
        for name in SCORES:
            assert found["saes"][0][name]["value"] == approx(getattr(alone.corrected, name))
        assert dm.save_tables(found, tmp_path).read_text(encoding="utf-8") == dm.tables(found)
        assert all(path.stat().st_size for path in dm.save_figures(found, tmp_path))


class TestKnown:
    """Scores of decoders whose features, or whose losses, are known"""

    @few
    @given(SEEDS)
    def test_matches(self, seed):
        """Latents that are the features, turned round and in any order, match and detect them."""
        rng = np.random.default_rng(seed)
        features, order = rng.normal(size=(5, 4)), rng.permutation(5)
        match = dm.match_features(-2 * features[order], features)
        assert match.mcc == approx(1) and match.uniqueness == 1
        np.testing.assert_array_equal(match.nearest, order)
        weights = on_off(rng, 40, 5)
        found = dm.detect_features(match, weights[:, order], weights)
        assert found.precision == found.recall == found.f1 == found.accuracy == 1

    @few
    @given(SEEDS, SHARE)
    def test_losses(self, seed, share):
        """A part that undoes a share of each token's loss recovers that share."""
        loss, more = np.random.default_rng(seed).random((2, 30))
        found = dm.loss_recovered(loss, loss + more, loss + (1 - share) * more, bootstrap=3)
        assert found.recovered == approx(share, abs=1e-9)
        assert found.increase == approx(more.mean())

    def test_bench(self):
        """The bench tells more noise before a decoder from more noise after it."""
        sae = dm.SAE("topk", np.eye(4), np.zeros(4), np.eye(4), np.zeros(4), k=2)
        x = np.random.default_rng(0).exponential(size=(2000, 4))
        found = dm.sae_bench(sae, x, dense=[0, 0.2], introduced=[0, 0.3])
        assert found.correlation[1, 1] > 0.9 and found.correlation[1, 0] < 0.5
