"""The norm prediction test in theory, and leakage (rugtheory.darkmatter)."""

from itertools import product

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

import rugtheory as rt
from rugtheory.darkmatter import (
    WeightLaw,
    features_from_gram,
    gaussian_null,
    leaked_variance,
    masked_error,
    norm_probe,
)

# Raw moments 1 to 4 of amplitude laws, from their definition.
RAW = {
    "uniform": (rt.Uniform(), lambda k: mp.mpf(1) / (k + 1)),
    "narrow": (
        rt.Uniform(0.5, 0.625),
        lambda k: (mp.mpf(5) ** (k + 1) - mp.mpf(4) ** (k + 1)) / mp.mpf(8) ** k / (k + 1),
    ),
    "constant": (rt.Constant(0.75), lambda k: mp.mpf(0.75) ** k),
    "exponential": (rt.Exponential(2.0), lambda k: mp.factorial(k) * 2**k),
    "halfnormal": (
        rt.HalfNormal(1.0),
        lambda k: mp.power(2, mp.mpf(k) / 2) * mp.gamma(mp.mpf(k + 1) / 2) / mp.sqrt(mp.pi),
    ),
    "beta": (rt.Beta(2.0, 3.0), lambda k: mp.beta(2 + k, 3) / mp.beta(2, 3)),
    "two": (
        rt.FromQuadrature((0.5, 2.0), (0.25, 0.75)),
        lambda k: mp.mpf(0.25) * mp.mpf(0.5) ** k + mp.mpf(0.75) * mp.mpf(2) ** k,
    ),
}


def truth(p, raw):
    """ρ², 1 - ρ², slope and curvature of w = c u from raw moments, at 700 digits."""
    with mp.workdps(700):
        m1, m2, m3, m4 = (mp.mpf(p) * raw(k) for k in (1, 2, 3, 4))
        variance, covariance, square = m2 - m1**2, m3 - m2 * m1, m4 - m2**2
        curvature = square - covariance**2 / variance
        return [
            float(x)
            for x in (1 - curvature / square, curvature / square, covariance / variance, curvature)
        ]


def patterns(laws):
    """All combinations of the values of independent discrete laws, and their probabilities."""
    values = np.array(list(product(*(x for x, _ in laws))))
    weights = np.array([np.prod(w) for w in product(*(w for _, w in laws))])
    return values, weights


def regression(x, y, weights):
    """Weighted least squares of y on x with intercept: (probe, intercept, R²)."""
    root = np.sqrt(weights)[:, None]
    design = np.column_stack([x, np.ones(len(x))])
    fit = np.linalg.lstsq(root * design, root[:, 0] * y, rcond=1e-12)[0]
    total = weights @ (y - weights @ y) ** 2
    return fit[:-1], fit[-1], 1 - weights @ (y - design @ fit) ** 2 / total


def poisson(rate, top):
    k = np.arange(top + 1)
    log = k * np.log(rate) - rate - np.cumsum(np.log(np.maximum(k, 1)))
    return k.astype(float), np.exp(log)


def moments(values, weights):
    mean = weights @ values
    return mean, *(weights @ (values - mean) ** k for k in (2, 3, 4))


class TestLaw:
    @pytest.mark.parametrize("name", RAW)
    @pytest.mark.parametrize("p", [1e-300, 1e-12, 1e-3, 0.3, 0.9, 1 - 1e-12])
    def test_against_raw_moments(self, name, p):
        amplitude, raw = RAW[name]
        law = WeightLaw.sparse(rt.SparseSource(p, amplitude))
        r2, unexplained, slope, curvature = truth(p, raw)
        assert law.r2 == pytest.approx(r2, rel=2e-15)
        assert law.unexplained == pytest.approx(unexplained, rel=2e-15)
        assert law.slope == pytest.approx(slope, rel=2e-15)
        assert law.curvature == pytest.approx(curvature, rel=2e-15)

    def test_closed_forms(self):
        p = np.geomspace(1e-12, 1, 30)
        uniform = (1 / 4 - p / 6) ** 2 / ((1 / 3 - p / 4) * (1 / 5 - p / 9))
        assert WeightLaw.sparse(rt.SparseSource(p)).r2 == pytest.approx(uniform, rel=1e-14)
        rate = np.geomspace(1e-12, 1e12, 30)
        expected = (2 * rate + 1) ** 2 / (4 * rate**2 + 6 * rate + 1)
        assert WeightLaw.poisson(rate).r2 == pytest.approx(expected, rel=1e-14)
        assert WeightLaw.poisson(1.0).r2 == pytest.approx(9 / 11, rel=1e-15)

    @pytest.mark.parametrize("name", RAW)
    def test_sparse_limit(self, name):
        """ρ² → m₃²/(m₂ m₄): a scaled Bernoulli 1, uniform 15/16, exponential 3/4."""
        amplitude, raw = RAW[name]
        law = WeightLaw.sparse(rt.SparseSource(1e-100, amplitude))
        assert law.r2 == pytest.approx(float(raw(3) ** 2 / (raw(2) * raw(4))), rel=1e-14)

    def test_moments_agree_with_sources(self):
        p = np.array([1e-3, 0.2, 0.8])
        source = rt.SparseSource(p, rt.Exponential())
        mean, k2, k3, k4 = source.cumulants()
        law = WeightLaw.from_moments(mean, k2, k3, k4 + 3 * k2**2)
        other = WeightLaw.sparse(source)
        assert law.slope == pytest.approx(other.slope, rel=1e-13)
        assert law.curvature == pytest.approx(other.curvature, rel=1e-13)

    def test_derivation(self):
        """Uniform and Poisson by algebra, from moments alone."""
        p, rate, t = sp.symbols("p lambda t", positive=True)
        cases = {
            (p / 2, p / 3, p / 4, p / 5): (sp.Rational(1, 4) - p / 6) ** 2
            / ((sp.Rational(1, 3) - p / 4) * (sp.Rational(1, 5) - p / 9)),
            tuple(sp.diff(sp.exp(rate * (sp.exp(t) - 1)), t, k).subs(t, 0) for k in (1, 2, 3, 4)): (
                2 * rate + 1
            )
            ** 2
            / (4 * rate**2 + 6 * rate + 1),
            (p, p, p, p): 1,
        }
        for (m1, m2, m3, m4), expected in cases.items():
            rho = (m3 - m2 * m1) ** 2 / ((m2 - m1**2) * (m4 - m2**2))
            assert sp.simplify(rho - expected) == 0

    def test_curvature_of_a_mixture(self):
        """p c + p(1-p) t g²/(1 - p + p t): the form without cancellation, by algebra."""
        p, m, v, k3, k4 = sp.symbols("p m v k3 k4", positive=True)
        raw = [m, m**2 + v, k3 + 3 * m * v + m**3]
        raw.append(k4 + 3 * v**2 + 4 * m * k3 + 6 * m**2 * v + m**4)
        m1, m2, m3, m4 = (p * x for x in raw)
        curvature = m4 - m2**2 - (m3 - m2 * m1) ** 2 / (m2 - m1**2)
        tilt, gap = v / (v + m**2), v - m**2 - m * k3 / v
        stable = p * (k4 + 2 * v**2 - k3**2 / v) + p * (1 - p) * tilt * gap**2 / (1 - p + p * tilt)
        assert sp.simplify(curvature - stable) == 0


class TestProbe:
    rng = np.random.default_rng(0)

    def discrete(self, n):
        """`n` different laws with four values each, one of them negative now and then."""
        values = self.rng.gamma(1.0, size=(n, 4)) - 0.2
        weights = self.rng.dirichlet(np.ones(4), size=n)
        return list(zip(values, weights, strict=True))

    def check(self, features, laws, law, rel=1e-10):
        w, weights = patterns(laws)
        x = w @ features.T
        y = np.sum(x * x, axis=1)
        probe, intercept, r2 = regression(x, y, weights)
        theory = norm_probe(features.T, law)
        total = weights @ (y - weights @ y) ** 2
        assert theory.r2 == pytest.approx(r2, rel=rel)
        assert theory.variance == pytest.approx(total, rel=rel)
        assert theory.response == pytest.approx(features.T @ probe, rel=1e3 * rel)
        assert theory.intercept == pytest.approx(intercept, rel=1e3 * rel)
        shares = theory.r2, theory.overlap, theory.curvature, theory.pairs
        assert sum(shares) == pytest.approx(1, rel=1e-14)
        assert min(shares) >= 0
        return theory

    @pytest.mark.parametrize("shape", [(5, 5), (3, 5), (7, 4), (2, 6), (1, 3)])
    def test_any_features_and_laws_by_enumeration(self, shape):
        features = self.rng.normal(size=shape)
        laws = self.discrete(shape[1])
        law = WeightLaw.from_moments(*np.transpose([moments(*x) for x in laws]))
        self.check(features, laws, law)

    @pytest.mark.parametrize("p", [0.01, 0.5, 0.97])
    def test_bernoulli_patterns(self, p):
        features = self.rng.normal(size=(6, 10))
        features /= np.linalg.norm(features, axis=0)
        law = WeightLaw.sparse(rt.SparseSource(p, rt.Constant(0.7)))
        bernoulli = np.array([0.0, 0.7]), np.array([1 - p, p])
        probe = self.check(features, [bernoulli] * 10, law)
        assert probe.curvature == 0
        assert probe.pairs > 0.01 * p
        # A symmetric law has no third cumulant: 2gᵀz is 2 F μ · x but for a constant.
        assert probe.overlap == pytest.approx(0, abs=1e-28) if p == 0.5 else probe.overlap > 0.01

    def test_orthogonal_bernoulli_is_perfect(self):
        law = WeightLaw.sparse(rt.SparseSource(np.linspace(0.1, 0.9, 8), rt.Constant(2.0)))
        rotation = np.linalg.qr(self.rng.normal(size=(8, 8)))[0]
        probe = norm_probe(rotation, law)
        assert probe.r2 == pytest.approx(1, abs=1e-14)
        assert probe.response == pytest.approx(np.full(8, 2.0))  # w² = 2 w
        assert probe.intercept == pytest.approx(0, abs=1e-13)

    def test_poisson_patterns(self):
        """Truncated at 22 events of rate 1: 1e-22 of the probability, 1e-16 of the moments."""
        features = self.rng.normal(size=(2, 3))
        values, weights = poisson(1.0, 22)
        assert 23**4 * (1 - weights.sum()) < 1e-10
        self.check(features, [(values, weights)] * 3, WeightLaw.poisson(1.0))
        orthogonal = np.eye(3)
        probe = self.check(orthogonal, [(values, weights)] * 3, WeightLaw.poisson(1.0))
        assert probe.r2 == pytest.approx(9 / 11, rel=1e-12)

    @pytest.mark.parametrize("amplitude", [rt.Uniform(), rt.Exponential(), rt.Beta(2.0, 0.5)])
    def test_gauss_quadrature_patterns(self, amplitude):
        """Three nodes integrate ‖x‖⁴ exactly in each weight."""
        source = rt.SparseSource(0.2, amplitude)
        self.check(
            self.rng.normal(size=(3, 5)), [source.quadrature(3)] * 5, WeightLaw.sparse(source)
        )

    def test_different_p_in_one_law(self):
        p = np.array([0.05, 0.3, 0.6, 0.9])
        laws = [rt.SparseSource(q).quadrature(3) for q in p]
        self.check(self.rng.normal(size=(3, 4)), laws, WeightLaw.sparse(rt.SparseSource(p)))

    @pytest.mark.parametrize("shape", [(16, 8), (16, 64), (8, 128)])
    def test_monte_carlo(self, shape):
        """Random unit features, uniform amplitudes; the probe of theory on fresh samples."""
        rng = np.random.default_rng(1)
        features = rng.normal(size=shape)
        features /= np.linalg.norm(features, axis=0)
        source = rt.SparseSource(0.05)
        probe = norm_probe(features.T, WeightLaw.sparse(source))
        x = source.sample((40_000, shape[1]), rng) @ features.T
        y = np.sum(x * x, axis=1)
        left = (y - x @ probe.vector - probe.intercept) ** 2 / probe.variance
        assert abs(left.mean() - (1 - probe.r2)) < 4 * left.std() / 200
        total = (y - y.mean()) ** 2
        assert abs(total.mean() - probe.variance) < 4 * total.std() / 200

    @pytest.mark.parametrize("constant", [False, True])
    @pytest.mark.parametrize("ratio", [0.25, 0.75])
    def test_hidden_layer_of_a_rug(self, constant, ratio):
        """Zero without the constant row; with it, a closed form that n_sparse drops out of."""
        n, p = 64, 0.1
        rows = np.random.default_rng(2).choice(np.arange(1, n), int(ratio * n), replace=False)
        if constant:
            rows[0] = 0
        rug, source = rt.Rug(n, rows), rt.SparseSource(p)
        probe = norm_probe(rug.w_in.T, WeightLaw.sparse(source))
        mean, s, k3, k4 = source.cumulants()
        top = (ratio * k3 + 2 * s * mean) ** 2 / s
        linear, square = 4 * mean * (mean * s + ratio * k3), k4 + 2 * s * s
        bottom = linear + ratio**2 * square + 2 * s * s * ratio * (1 - ratio)
        assert probe.r2 == pytest.approx(top / bottom if constant else 0, rel=1e-12, abs=1e-25)

    def test_one_direction_decides(self):
        """Orthogonal features less the direction of their mean: from ρ² to nothing."""
        law = WeightLaw.sparse(rt.SparseSource(0.01))
        whole, without = (rt.Rug(64, np.arange(first, 64)).w_in.T for first in (0, 1))
        assert norm_probe(whole, law).r2 == pytest.approx(law.r2, rel=1e-12)
        assert law.r2 > 0.93
        assert norm_probe(without, law).r2 == pytest.approx(0, abs=1e-25)

    def test_gram_and_features_agree(self):
        features = self.rng.normal(size=(3, 6))
        law = WeightLaw.sparse(rt.SparseSource(np.linspace(0.1, 0.6, 6)))
        direct = norm_probe(features.T, law)
        factor = features_from_gram(features.T @ features)
        assert factor.shape == (6, 3)
        other = norm_probe(factor, law)
        assert other.r2 == pytest.approx(direct.r2, rel=1e-12)
        assert other.response == pytest.approx(direct.response, rel=1e-11)
        assert other.intercept == pytest.approx(direct.intercept, rel=1e-11)

    def test_repeated_features_count_as_one_direction(self):
        """A copy of a feature: F is singular, ‖x‖² = (w₁ + w₂)² is still predicted in part."""
        laws = [(np.array([0.0, 1.0]), np.array([0.7, 0.3]))] * 2
        law = WeightLaw.sparse(rt.SparseSource(0.3, rt.Constant()))
        theory = self.check(np.array([[1.0, 1.0], [0.0, 0.0]]), laws, law)
        assert theory.pairs > 0.05


class TestNull:
    rng = np.random.default_rng(3)

    def test_gaussian(self):
        root, mean = self.rng.normal(size=(4, 4)), self.rng.normal(size=4)
        sigma = root @ root.T
        x = mean + self.rng.normal(size=(200_000, 4)) @ root.T
        y = np.sum(x * x, axis=1)
        covariance = 2 * sigma @ mean
        expected = covariance @ np.linalg.solve(sigma, covariance)
        left = (y - y.mean() - (x - mean) @ np.linalg.solve(sigma, covariance)) ** 2
        r2 = gaussian_null(mean, sigma)
        variance = expected / r2
        assert abs(left.mean() / variance - (1 - r2)) < 4 * left.std() / variance / 447
        assert gaussian_null(np.zeros(4), sigma) == 0

    def test_gaussian_weights(self):
        """Gaussian weights make a Gaussian vector, whatever the features."""
        features = self.rng.normal(size=(3, 7))
        law = WeightLaw.sparse(rt.SparseSource(np.linspace(0.1, 0.7, 7))).gaussian()
        sigma = (features * law.variance) @ features.T
        expected = gaussian_null(features @ law.mean, sigma)
        assert norm_probe(features.T, law).r2 == pytest.approx(expected, rel=1e-12)

    def test_random_signs(self):
        features = self.rng.normal(size=(3, 5))
        law = WeightLaw.sparse(rt.SparseSource(0.3))
        probe = norm_probe(features.T, law.sign_flipped())
        assert probe.r2 == 0 and not probe.vector.any()
        x, w = rt.SparseSource(0.3).quadrature(3)
        flipped = np.concatenate([x, -x]), np.concatenate([w, w]) / 2
        values, weights = patterns([flipped] * 5)
        y = np.sum((values @ features.T) ** 2, axis=1)
        assert regression(values @ features.T, y, weights)[2] == pytest.approx(0, abs=1e-13)
        assert probe.variance == pytest.approx(weights @ (y - weights @ y) ** 2, rel=1e-12)


class TestLeakage:
    def test_masked_tight_frame_is_exact_at_finite_n(self):
        """Every mask of a rug's features: the average is the parabola times n/(n - 1)."""
        n, present = 8, 3
        rug = rt.Rug(n, np.array([1, 2, 5, 7, 6]))
        f, left = rug.w_in, []
        for mask in product([0.0, 1.0], repeat=n):
            if sum(mask) == present:
                shown, absent = (f * np.array(x) @ f.T for x in (mask, 1 - np.array(mask)))
                rest = absent - absent @ np.linalg.solve(f @ f.T, absent)
                left.append(np.trace(rest) / np.trace(f @ f.T))
                assert rest == pytest.approx(
                    absent @ np.linalg.solve(shown + absent, shown), abs=1e-12
                )
        error = masked_error(5 / 8, present / n)
        assert np.mean(left) == pytest.approx(error.fvu_nl * n / (n - 1), rel=1e-12)

    def test_gaussian_features_at_finite_n(self):
        """The correction n²/[(n + 2)(n - 1)] of the docstring, small enough to be seen."""
        n, d, present = 8, 5, 4
        rng, left = np.random.default_rng(4), []
        for _ in range(4000):
            f = rng.normal(size=(d, n))
            absent, total = f[:, present:] @ f[:, present:].T, f @ f.T
            left.append(np.trace(absent - absent @ np.linalg.solve(total, absent)))
        left = np.array(left) / (d * n)  # E tr FFᵀ
        error = masked_error(d / n, present / n).fvu_nl
        se = left.std() / np.sqrt(len(left))
        assert abs(left.mean() - error * n**2 / ((n + 2) * (n - 1))) < 4 * se
        assert abs(left.mean() - error * n / (n - 1)) > 4 * se

    def test_dense_variance(self):
        s, tau = sp.symbols("s tau", positive=True)
        slope = tau**2 / (s + tau**2)
        left = sp.simplify((1 - slope) ** 2 * tau**2 + slope**2 * s)
        assert sp.simplify(left - tau**2 * s / (s + tau**2)) == 0
        w, g = np.random.default_rng(6).normal(size=(2, 200_000)) * [[2.0], [0.5]]
        x = w + g
        rest = g - x * (g @ x) / (x @ x)
        assert abs(np.mean(rest**2) - leaked_variance(0.25, 4.0)) < 4 * np.std(rest**2) / 447

    def test_extreme_variances(self):
        values = leaked_variance([1e-300, 1e300, 1e300, 0, 1.0], [1.0, 1e-300, 1e300, 0, 0])
        assert values == pytest.approx([1e-300, 1e-300, 5e299, 0, 0], rel=1e-15)


class TestBadInput:
    law = WeightLaw.poisson(1.0)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda law: norm_probe(np.ones(3), law), "features must be a non-empty matrix"),
            (lambda law: norm_probe(np.eye(2), "no"), "law must be a WeightLaw"),
            (lambda law: norm_probe(np.eye(2), WeightLaw.poisson(np.ones(3))), "broadcast to"),
            (lambda law: norm_probe(np.zeros((2, 2)), law), "must vary"),
            (lambda law: norm_probe([[np.nan]], law), "features must be finite"),
            (lambda law: WeightLaw.poisson(0.0), "rate must be positive"),
            (lambda law: WeightLaw.sparse(0.1), "source must be a SparseSource"),
            (
                lambda law: WeightLaw.sparse(rt.SparseSource(1.0, rt.Constant())),
                "must have a variance",
            ),
            (lambda law: WeightLaw.from_moments(0, 1, 1, 1.5), "fourth must be at least"),
            (lambda law: WeightLaw(0, 1, [1, 2], [1, 2, 3]), "do not broadcast"),
            (lambda law: WeightLaw(0.0, 1.0, 0.0, 0.0).r2, "must vary"),
            (lambda law: features_from_gram([[1.0, 2.0], [2.0, 1.0]]), "semidefinite"),
            (lambda law: features_from_gram([[1.0, 0.5], [0.2, 1.0]]), "symmetric"),
            (lambda law: features_from_gram(np.ones((2, 3))), "square"),
            (lambda law: gaussian_null([0.0], np.eye(2)), "covariance must have shape"),
            (lambda law: gaussian_null([1.0], [[0.0]]), "must not be zero"),
            (lambda law: masked_error(0.5, 1.5), "fraction must lie in"),
            (lambda law: masked_error(0.0, 0.5), "ratio must lie in"),
            (lambda law: leaked_variance(-1.0, 1.0), "dense must be non-negative"),
        ],
    )
    def test_message(self, call, message):
        with pytest.raises((ValueError, TypeError), match=message):
            call(self.law)
