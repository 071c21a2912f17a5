"""Laws of one feature in a scalar channel."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pytest import approx

import rugtheory as rt

from .domain import (
    AMPLITUDE,
    AMPLITUDES,
    RATIO,
    SCALE,
    SCALED,
    SEEDS,
    SIGMA,
    A,
    B,
    P,
    few,
    some,
)


def moments_to_cumulants(m1, m2, m3, m4):
    return (
        m1,
        m2 - m1**2,
        m3 - 3 * m2 * m1 + 2 * m1**3,
        m4 - 4 * m3 * m1 - 3 * m2**2 + 12 * m2 * m1**2 - 6 * m1**4,
    )


class TestSource:
    """Sources and amplitude laws"""

    @given(st.sampled_from(AMPLITUDES), st.floats(1e-3, 1))
    def test_cumulants(self, law, p):
        """The cumulants of u and of x are those of the moments of their Gauss rules."""
        for one in (law, rt.SparseSource(p, law)):
            nodes, weights = one.quadrature(8)
            moments = [float(weights @ nodes**k) for k in (1, 2, 3, 4)]
            scale = law.second_moment + law.mean**2
            for k, (x, y) in enumerate(
                zip(one.cumulants(), moments_to_cumulants(*moments), strict=True), 1
            ):
                assert x == approx(y, rel=1e-10, abs=1e-10 * scale ** (k / 2))

    @given(AMPLITUDE)
    def test_rare_features(self, law):
        """As p → 0 the cumulants of x approach p E uⁿ, its moments."""
        p = 1e-12
        nodes, weights = law.quadrature(8)
        moments = [p * float(weights @ nodes**k) for k in (1, 2, 3, 4)]
        assert rt.SparseSource(p, law).cumulants() == approx(moments, rel=1e-9)

    @given(st.sampled_from(SCALED), SCALE, P)
    def test_units(self, make, c, p):
        """Amplitudes c times as large have κ_n cⁿ times as large, and the same skewness."""
        one, scaled = rt.SparseSource(p, make(1.0)), rt.SparseSource(p, make(c))
        for n, (x, y) in enumerate(zip(one.cumulants(), scaled.cumulants(), strict=True), 1):
            assert y == approx(c**n * x, rel=1e-11, abs=1e-13 * p * c**n)
        assert scaled.skewness == approx(one.skewness, rel=1e-9, abs=1e-9)

    @given(AMPLITUDE, P, st.floats(-40, 40), st.floats(-3, 0.5))
    def test_transform(self, law, p, y, t):
        """E eᵗˣ is 1 at t = 0, bounded by 1 on the imaginary axis, log-convex and has slope E u."""
        source = rt.SparseSource(p, law)
        assert complex(source.mgf(0.0)) == approx(1)
        assert complex(law.mgf(0.0, 1)) == approx(law.mean)
        assert abs(complex(source.mgf(1j * y))) <= 1 + 1e-12
        low, middle, high = (float(source.mgf(x).real) for x in (t, (t + 0.2) / 2, 0.2))
        assert middle**2 <= low * high * (1 + 1e-12)

    @given(AMPLITUDE, SEEDS)
    @some
    def test_samples(self, law, seed):
        """Samples are reproducible, lie within the law, and are on with probability p."""
        source = rt.SparseSource(0.3, law)
        x = source.sample(4000, seed)
        assert np.array_equal(x, source.sample(4000, seed))
        on = x[x > 0]
        assert on.min() >= law.start and on.max() <= law.end
        assert abs(on.size - 1200) < 5 * np.sqrt(4000 * 0.21)
        assert abs(on.mean() - law.mean) <= 5 * np.sqrt(law.variance / on.size) + 1e-14


class TestLoss:
    """Reduced loss L(a, b, σ)"""

    @given(A, B, SIGMA, P, AMPLITUDE)
    def test_parts(self, a, b, sigma, p, law):
        """L = p L_on + (1 - p) L_off with L_on, L_off ≥ 0, and `reduced_loss` is that L."""
        parts = rt.loss_parts(a, b, sigma, p, amplitude=law)
        assert parts.on >= 0 and parts.off >= 0
        assert parts.total == approx(p * parts.on + (1 - p) * parts.off, rel=1e-15, abs=1e-300)
        assert parts.total == rt.reduced_loss(a, b, sigma, p, amplitude=law)

    @given(A, B, SIGMA, P, st.sampled_from(SCALED), SCALE)
    def test_units(self, a, b, sigma, p, make, c):
        """L(a, cb, cσ) for amplitudes c times as large is c² L(a, b, σ)."""
        one = rt.reduced_loss(a, b, sigma, p, amplitude=make(1.0))
        scaled = rt.reduced_loss(a, c * b, c * sigma, p, amplitude=make(c))
        assert scaled == approx(c * c * one, rel=1e-10, abs=1e-290)

    @given(st.floats(-3, 3), SIGMA, P, AMPLITUDE, st.floats(13, 40))
    def test_open(self, a, sigma, p, law, deviations):
        """A bias that keeps the ReLU open leaves the loss of the affine decoder."""
        b = abs(a) * (deviations * sigma + law.reach)
        source = rt.SparseSource(p, law)
        affine = source.variance * (1 - a) ** 2 + (a * sigma) ** 2
        affine += (b - (1 - a) * source.mean) ** 2
        assert rt.reduced_loss(a, b, sigma, p, amplitude=law) == approx(affine, rel=1e-12)

    @given(st.floats(-3, 3), SIGMA, P, AMPLITUDE, st.floats(40, 80))
    def test_closed(self, a, sigma, p, law, deviations):
        """A bias that keeps the ReLU closed leaves E x²."""
        b = -abs(a) * (deviations * sigma + law.reach)
        loss = rt.reduced_loss(a, b, sigma, p, amplitude=law)
        assert loss == approx(p * law.second_moment, rel=1e-12)

    @given(A, B, SIGMA)
    def test_reflection(self, a, b, sigma):
        """L_off(a, b) + L_off(-a, -b) = a²σ² + b²: what a ReLU passes and what it stops."""
        both = [float(rt.loss_parts(s * a, s * b, sigma, 0.5).off) for s in (1, -1)]
        assert sum(both) == approx((a * sigma) ** 2 + b**2, rel=1e-13, abs=1e-290)

    @given(A, B, SIGMA, P, AMPLITUDE)
    def test_quadratic(self, a, b, sigma, p, law):
        """L(ta, tb) is a quadratic in t ≥ 0 whose value at 0 is E x²."""
        loss = [rt.reduced_loss(t * a, t * b, sigma, p, amplitude=law) for t in range(4)]
        assert loss[0] == approx(p * law.second_moment, rel=1e-14)
        third = loss[3] - 3 * loss[2] + 3 * loss[1] - loss[0]
        assert abs(third) <= 1e-12 * max(loss)

    @given(A.filter(lambda a: abs(a) > 0.01), B, st.floats(0.01, 20), P, AMPLITUDE)
    def test_euler(self, a, b, sigma, p, law):
        """a ∂L/∂a + b ∂L/∂b is the derivative at t = 1 of the quadratic L(ta, tb)."""
        zero, one, two = (
            float(rt.reduced_loss(t * a, t * b, sigma, p, amplitude=law)) for t in range(3)
        )
        slope = one - zero + (two - 2 * one + zero) / 2
        gradient = rt.loss_gradient(a, b, sigma, p, amplitude=law)
        assert a * gradient.a + b * gradient.b == approx(slope, rel=1e-9, abs=1e-11 * (two + zero))

    @given(A.filter(lambda a: abs(a) > 0.01), B, st.floats(0.01, 20), P, AMPLITUDE)
    def test_gradient(self, a, b, sigma, p, law):
        """∂L/∂σ is the limit of differences of L."""
        h = 1e-3 * sigma
        at = rt.reduced_loss(a, b, sigma + h * np.array([-2, -1, 1, 2]), p, amplitude=law)
        slope = at @ [1, -8, 8, -1] / (12 * h)
        found = rt.loss_gradient(a, b, sigma, p, amplitude=law).sigma
        assert found == approx(slope, rel=1e-6, abs=1e-11 * float(at.max()) / h)

    @given(A, B, SIGMA)
    def test_mixture(self, a, b, sigma):
        """L_on is linear in the amplitude law: of atoms, and of the halves of an interval."""
        nodes, weights = [0.1, 0.5, 2.0], np.array([0.25, 0.5, 0.25])

        def on(law):
            return float(rt.loss_parts(a, b, sigma, 0.5, amplitude=law).on)

        atoms = sum(w * on(rt.Constant(u)) for u, w in zip(nodes, weights, strict=True))
        assert on(rt.FromQuadrature(nodes, weights)) == approx(atoms, rel=1e-12)
        halves = (on(rt.Uniform(0, 0.4)) * 0.4 + on(rt.Uniform(0.4, 1)) * 0.6, on(rt.Uniform()))
        assert halves[0] == approx(halves[1], rel=1e-11, abs=1e-290)

    @given(A, B, P)
    def test_clean(self, a, b, p):
        """Without noise L_off = ReLU(b)², and a = 1, b = 0 is perfect."""
        assert rt.loss_parts(a, b, 0.0, p).off == max(b, 0) ** 2
        assert rt.reduced_loss(1.0, 0.0, 0.0, p) == 0
        near, at = (rt.reduced_loss(a, b, sigma, p) for sigma in (1e-12, 0.0))
        assert near == approx(float(at), rel=1e-8, abs=1e-10 * p + 1e-20)


class TestOptimum:
    """Optimum over a and b"""

    @given(P, RATIO, AMPLITUDE, st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
    def test_least(self, p, ratio, law, da, db):
        """`loss` is L at (a, b), and no decoder nearby has less."""
        best = rt.optimum(p, ratio, amplitude=law)

        def loss(a, b):
            return rt.reduced_loss(a, b, best.sigma, p, amplitude=law)

        # Near a = 1 the argument has not the digits of 1 - a that `loss` is computed with.
        slack = 1e-14 * best.loss + 1e-29 * p * law.second_moment
        assert loss(best.a, best.b) == approx(float(best.loss), rel=1e-9, abs=slack)
        other = loss(best.a * (1 + da), best.b + db * best.a * best.sigma)
        assert other >= best.loss - slack

    @given(P, RATIO, AMPLITUDE)
    def test_doubled(self, p, ratio, law):
        """Twice the best decoder loses E x², as much as the output 0: a = E[xh]/E[h²], (16)."""
        best = rt.optimum(p, ratio, amplitude=law)
        doubled = rt.reduced_loss(2 * best.a, 2 * best.b, best.sigma, p, amplitude=law)
        assert doubled == approx(p * law.second_moment, rel=1e-11)

    @given(P, RATIO, AMPLITUDE)
    def test_balanced(self, p, ratio, law):
        """The gradient vanishes there, to rounding of E x²."""
        best = rt.optimum(p, ratio, amplitude=law)
        gradient = rt.loss_gradient(best.a, best.b, best.sigma, p, amplitude=law)
        scale = p * law.second_moment
        assert abs(gradient.a) < 1e-12 * scale
        assert abs(gradient.b) < 1e-12 * scale / law.mean

    @given(P, RATIO, AMPLITUDE)
    def test_between(self, p, ratio, law):
        """0 ≤ L ≤ v(p)(1 - r) ≤ v(p): never worse than the linear model, nor than the mean."""
        linear = rt.linear_loss(p, ratio, amplitude=law)
        assert 0 <= rt.optimum(p, ratio, amplitude=law).loss <= linear * (1 + 1e-13)
        assert linear <= rt.SparseSource(p, law).variance

    @given(P, RATIO, RATIO, st.sampled_from([rt.Uniform(), rt.Constant(0.7), rt.Beta(2.0, 3.0)]))
    def test_monotone(self, p, one, two, law):
        """The least loss falls with the ratio and rises with σ."""
        low, high = rt.optimum(p, sorted([one, two]), amplitude=law).loss
        assert high <= low * (1 + 1e-12)
        sigma = np.sort([rt.welch_sigma(0.3, x) for x in (one, two)])
        low, high = rt.optimum(p, sigma=sigma, amplitude=law).loss
        assert low <= high * (1 + 1e-12)

    @given(P, P, st.floats(0.1, 0.9), st.floats(-6, 2), AMPLITUDE)
    def test_concave(self, p, q, share, log_sigma, law):
        """At given σ the least loss is concave in p, a minimum of affine functions."""
        sigma = 10**log_sigma * law.mean
        mixed = share * p + (1 - share) * q
        least = rt.optimum([p, q, mixed], sigma=sigma, amplitude=law).loss
        assert least[2] >= (share * least[0] + (1 - share) * least[1]) * (1 - 1e-11)

    @given(P, st.floats(-3, 2), SCALE, st.sampled_from(SCALED))
    def test_units(self, p, log_sigma, c, make):
        """Amplitudes and σ c times as large: the same a, b times c, L times c²."""
        sigma = 10**log_sigma
        one = rt.optimum(p, sigma=sigma, amplitude=make(1.0))
        scaled = rt.optimum(p, sigma=c * sigma, amplitude=make(c))
        assert scaled.loss == approx(c * c * float(one.loss), rel=1e-11)
        assert scaled.a == approx(float(one.a), rel=1e-8)
        assert scaled.b == approx(c * float(one.b), rel=1e-8, abs=1e-9 * c * sigma * float(one.a))

    @given(st.floats(1e-3, 1), st.floats(1e-9, 1e-5))
    def test_linear_regime(self, p, far):
        """As r/p → 0 the decoder is linear: a = r, b = (p/2)(1 - r), L = v(p)(1 - r)."""
        ratio = p * far
        best = rt.optimum(p, ratio)
        assert best.a == approx(ratio, rel=1e-12)
        assert best.b == approx(p / 2 * (1 - ratio), rel=1e-12)
        assert best.loss == approx(float(rt.linear_loss(p, ratio)), rel=1e-14)

    @given(P.filter(lambda p: p < 0.9))
    def test_orthogonal_limit(self, p):
        """At ratio 1 nothing is lost, a = 1 and b = 0; the approach is a → 1, L of order pσ²."""
        full = rt.optimum(p, 1.0)
        assert (full.a, full.b, full.loss, full.sigma) == (1, 0, 0, 0)
        near = rt.optimum(p, 1 - 1e-12)
        assert near.a == approx(1, abs=1e-4)
        assert 0 < near.loss < 60 * p * near.sigma**2


class TestBounds:
    """Bounds on the interference"""

    @given(SEEDS, st.integers(2, 24), st.data(), st.booleans(), P, AMPLITUDE)
    def test_welch(self, seed, n, data, symmetric, p, law):
        """No W of rank n_dense and unit diagonal has less mean variance than (6)."""
        n_dense, rng = data.draw(st.integers(1, n)), np.random.default_rng(seed)
        if symmetric:
            w_in = rng.normal(size=(n_dense, n))
            w_in /= np.linalg.norm(w_in, axis=0)
            w = w_in.T @ w_in
        else:
            w = rng.normal(size=(n, n_dense)) @ rng.normal(size=(n_dense, n))
            w /= np.diag(w)[:, None]
        variance = rt.SparseSource(p, law).variance * (np.sum(w**2, axis=1) - 1).mean()
        bound = rt.welch_sigma(p, n_dense / n, amplitude=law) ** 2
        assert variance >= bound * (1 - 1e-12) - 1e-12 * p

    @given(SEEDS, st.integers(2, 9))
    def test_cubes(self, seed, n):
        """The row average of Σ_{j≠i}W_ij³ is at least -1 for Gram matrices of unit vectors."""
        rng = np.random.default_rng(seed)
        unit = rng.normal(size=(n, 1 + seed % n)).round(1) + 0.05
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        assert rt.cubic_sum(unit @ unit.T) >= -1 - 1e-12

    @given(P, RATIO.filter(lambda r: r <= 0.5), AMPLITUDE)
    def test_pairs(self, p, ratio, law):
        """A partner takes v(p) of the Welch variance: σ² = σ_pair² + v(p)."""
        whole = rt.welch_sigma(p, ratio, amplitude=law) ** 2
        rest = rt.antipodal_sigma(p, ratio, amplitude=law) ** 2
        assert whole == approx(float(rest + rt.SparseSource(p, law).variance), rel=1e-12)

    @given(P, RATIO, AMPLITUDE)
    def test_signal_to_noise(self, p, ratio, law):
        """At the bound the signal is the part r of a reading's variance, and the least skewness is
        -k₃/σ³, or k₃/(vσ) if k₃ < 0."""
        source = rt.SparseSource(p, law)
        assume(source.variance > 0)
        sigma = rt.welch_sigma(p, ratio, amplitude=law)
        assert source.variance / (source.variance + sigma**2) == approx(ratio, rel=1e-9)
        skewness = rt.least_skewness(p, ratio, amplitude=law)
        power = 1.5 if source.skewness > 0 else 0.5
        expected = -abs(source.skewness) * (ratio / (1 - ratio)) ** power
        assert skewness == approx(float(expected), rel=1e-10)

    @given(P, RATIO, AMPLITUDE)
    def test_least_loss_from_above(self, p, ratio, law):
        """L ≤ pσ²(3/2 + 2 log 1/p), (13) and (17) with their constants."""
        best = rt.optimum(p, ratio, amplitude=law).loss
        assert best <= rt.upper_bound(p, ratio, amplitude=law) * (1 + 1e-12)

    @given(P, RATIO)
    def test_oracle_from_below(self, p, ratio):
        """(31) is below the loss of the oracle, and above 0 while σ < ½."""
        bound = rt.lower_bound(p, ratio)
        assert bound <= rt.optimum_decoder("oracle", p, ratio).loss * (1 + 1e-9)
        assert (bound > 0) == (0 < rt.welch_sigma(p, ratio) < 0.5)


class TestScaling:
    """Scaling laws"""

    @given(
        st.floats(-12, -0.05).map(lambda x: 10**x),
        AMPLITUDE.filter(lambda law: law.atoms() is None),
    )
    def test_sparse_constants(self, p, law):
        """L/(pσ²) → Λ + Λ₁σ as σ → 0, for the least loss."""
        sigma = 1e-6 * law.mean
        exact = rt.optimum(p, sigma=sigma, amplitude=law).loss / (p * sigma**2)
        constants = rt.sparse_constants(p, amplitude=law)
        assert exact == approx(float(constants.leading + constants.next * sigma), rel=1e-8)

    @given(P, P)
    def test_constant(self, p, q):
        """Λ ≥ 1, falling with p, and at most 3/2 + 2 log 1/p."""
        low, high = rt.sparse_constants(sorted([p, q])).leading
        assert low >= high * (1 - 1e-13) and high >= 1 - 1e-13
        assert low <= 1.5 - 2 * np.log(min(p, q)) + 1e-13

    @given(st.floats(-12, -2).map(lambda x: 10**x))
    def test_expansion(self, p):
        """The expansion of Λ as p → 0 is within 1.1 % for p ≤ 0.01."""
        expansion = rt.sparse_constant_expansion(p)
        assert expansion == approx(float(rt.sparse_constants(p).leading), rel=0.011)

    @given(P, st.floats(-9, -6).map(lambda x: 1 - 10**x))
    @some
    def test_laws(self, p, ratio):
        """Near ratio 1, `sparse_law` is the loss of ReLU, oracle, selection and Bayes' decoder."""
        relu = rt.optimum(p, ratio).loss
        assert rt.sparse_law("relu", p, ratio) == approx(float(relu), rel=1e-4)
        sigma = float(rt.welch_sigma(p, ratio))
        for kind in ("selection", "oracle"):
            law, exact = rt.sparse_law(kind, p, ratio, order=0), rt.optimum_decoder(kind, p, ratio)
            assert law == approx(float(exact.loss), rel=20 * sigma + 1e-9)

    @given(P.filter(lambda p: p < 0.99), RATIO.filter(lambda r: r < 0.999))
    @some
    def test_exponents(self, p, ratio):
        """`local_exponents` are the slopes of log L."""
        h, k = 1e-4, 1e-4 * (1 - ratio)
        step = np.array([1, -1])
        by_p, by_ratio = (
            np.diff(np.log(rt.optimum(*at).loss))[0] / (-2 * width)
            for at, width in (
                ((p * np.exp(h * step), ratio), h),
                ((p, ratio * np.exp(k * step)), k),
            )
        )
        slopes = rt.local_exponents(p, ratio)
        assert float(slopes.p) == approx(by_p, rel=1e-4, abs=1e-6)
        assert float(slopes.ratio) == approx(by_ratio, rel=1e-4, abs=1e-6)

    @given(P, RATIO)
    def test_regimes(self, p, ratio):
        """`regime` names a law within 10 % of the loss, or says crossover."""
        found, exact = rt.regime(p, ratio), rt.optimum(p, ratio).loss
        assert abs(found.law / exact - 1) == approx(float(found.error), abs=1e-12)
        assert (found.error <= 0.1) == (found.name != "crossover")
        assert found.name in ("linear", "sparse", "crossover")


class TestCurves:
    """Curves as datasets"""

    @given(st.lists(P, min_size=1, max_size=3, unique=True), AMPLITUDE)
    @few
    def test_values(self, p, law):
        """`loss_curves` holds what `optimum` and `linear_loss` say, at every point."""
        ratio = [0.1, 0.9]
        curves = rt.loss_curves(p, ratio, amplitude=law)
        best = rt.optimum(np.array(p)[:, None], ratio, amplitude=law)
        assert np.array_equal(curves["loss"], best.loss) and np.array_equal(curves["a"], best.a)
        assert np.all(curves["linear_loss"] <= curves["floor"])

    @given(SEEDS)
    @settings(max_examples=3)
    def test_round_trip(self, tmp_path_factory, seed):
        """Curves read back from the file of `save_curves` are the same; same seed, same curves."""
        import xarray as xr

        curves = rt.loss_curves([0.1], [0.25, 0.5])
        one, two = (rt.simulated_curves(curves, 3, n_sparse=16, seed=seed) for _ in range(2))
        path, _ = rt.save_curves(one, tmp_path_factory.mktemp("curves"))
        with xr.open_dataset(path) as read:
            assert read.identical(one)
        assert two.identical(one)
