"""The dark matter of the rug, in closed form and simulated (rugtheory.darkmatter)."""

from itertools import product

import numpy as np
import pytest
import sympy as sp

import rugtheory as rt
from rugtheory.darkmatter import rug_dark_matter, simulate_dark_matter

from .oracle import definition, tables
from .test_derivations import G0, G1, G2, pdf, vanishes, z

TABLE = tables.read("dark_matter")
TOLERANCE = 2e-14


class TestClosedForm:
    @pytest.mark.parametrize("law", sorted(set(TABLE.laws)))
    def test_against_the_definition(self, law):
        """p from 1e-12 to 1, ratio to 1 - 1e-9, b on and off the optimum by up to six σ."""
        rows = TABLE.laws == law
        p, ratio, a, b = (TABLE[name][rows] for name in ("p", "ratio", "a", "b"))
        dark = rug_dark_matter(p, ratio, a=a, b=b, amplitude=tables.amplitude(law))
        linear, nonlinear = TABLE["linear"][rows], TABLE["nonlinear"][rows]
        assert len(p) >= 3
        np.testing.assert_allclose(dark.fvu_nl, nonlinear, rtol=TOLERANCE, atol=1e-300)
        np.testing.assert_allclose(dark.slope_signal, TABLE["signal"][rows], rtol=TOLERANCE)
        np.testing.assert_allclose(dark.slope_noise, TABLE["noise"][rows], rtol=TOLERANCE)
        rounding = 1e-14 * (1 + np.abs(a) / ratio) * np.sqrt(linear)
        wrong = np.abs(dark.fvu_centred - (linear + nonlinear))
        assert np.all(wrong <= TOLERANCE * (linear + nonlinear) + rounding)
        assert np.array_equal(dark.fvu, dark.fvu_centred)

    @pytest.mark.parametrize("a", [-0.7, 1.3])
    @pytest.mark.parametrize("b", [-0.2, 0.3])
    def test_any_sign_of_diagonal_and_bias(self, a, b):
        p, ratio = 0.2, 0.4
        dark = rug_dark_matter(p, ratio, a=a, b=b)
        truth = map(float, definition.dark_matter(p, ratio, a, b))
        linear, nonlinear, signal, noise, mean = truth
        assert dark.fvu_nl == pytest.approx(nonlinear, rel=TOLERANCE)
        assert dark.slope_signal == pytest.approx(signal, rel=TOLERANCE)
        assert dark.slope_noise == pytest.approx(noise, rel=TOLERANCE)
        assert dark.r2 == pytest.approx(linear / (linear + nonlinear), rel=TOLERANCE)
        row = rug_dark_matter(p, ratio, a=a, b=b, constant_row=True)
        missed = (p / 2 - mean) ** 2 / (ratio * rt.SparseSource(p).variance)
        assert row.fvu - row.fvu_centred == pytest.approx(missed, rel=1e-12)

    @pytest.mark.parametrize("b", [-0.2, 0.0, 0.3])
    def test_no_code(self, b):
        dark = rug_dark_matter(0.2, 0.4, a=0.0, b=b)
        assert (dark.fvu_nl, dark.fvu_centred, dark.r2) == (0, 1, 1)

    def test_hermite_terms(self):
        """Slope of ReLU(n - z) in n is G₀; the rest, 2G₂ - G₁² - G₀², is even in z."""
        n = sp.symbols("n", real=True)
        assert vanishes(sp.integrate(n * (n - z) * pdf(n), (n, z, sp.oo)) - G0)
        rest = 2 * G2 - G1**2 - G0**2
        assert vanishes(rest - rest.subs(z, -z))

    def test_loss_is_the_sum_of_its_parts(self):
        """L = σ_x²[(1 - α)² + β²(1/r - 1) + ω] + (E x - E x̂)²."""
        rng = np.random.default_rng(0)
        p, ratio = rng.uniform(0.01, 1, (2, 40))
        a, b = rng.uniform(0.5, 1.5, 40), rng.uniform(-0.5, 0.5, 40)
        amplitude = rt.Beta(2.0, 3.0)
        dark = rug_dark_matter(p, ratio, a=a, b=b, amplitude=amplitude)
        constant = rug_dark_matter(p, ratio, a=a, b=b, amplitude=amplitude, constant_row=True)
        variance = rt.SparseSource(p, amplitude).variance
        missed = (constant.fvu - constant.fvu_centred) * ratio * variance
        parts = (1 - dark.slope_signal) ** 2 + dark.slope_noise**2 * (1 / ratio - 1) + dark.fvu_nl
        sigma = rt.welch_sigma(p, ratio, amplitude=amplitude)
        loss = rt.reduced_loss(a, b, sigma, p, amplitude=amplitude)
        assert variance * parts + missed == pytest.approx(loss, rel=1e-12)

    def test_no_compression(self):
        """At r = 1 there is no noise: the best code is exact."""
        dark = rug_dark_matter(0.1, 1.0)
        assert (dark.fvu, dark.fvu_nl, dark.slope_signal) == (0, 0, 1)
        bent = rug_dark_matter(0.1, 1.0, a=1.0, b=-0.5)
        u, w = np.polynomial.legendre.leggauss(8)
        x = np.concatenate([[0.0], 0.25 + u / 4, 0.75 + u / 4])
        weight = np.concatenate([[0.9], w / 40, w / 40])
        code = np.maximum(x - 0.5, 0)
        mean = weight @ x
        slope = weight @ ((x - mean) * code) / (weight @ (x - mean) ** 2)
        rest = weight @ (code - weight @ code - slope * (x - mean)) ** 2
        assert bent.fvu_nl == pytest.approx(rest / (weight @ (x - mean) ** 2), rel=1e-13)

    def test_linear_decoder_has_no_dark_matter(self):
        """Deep in compression the code is linear and W_in x̂ = h."""
        dark = rug_dark_matter(0.5, 1e-4)
        assert dark.fvu_nl == 0 and dark.fvu < 1e-28

    def test_regression_on_the_reading_alone_is_wrong(self):
        """Splitting x̂ by y = x + ν instead of x and ν doubles the nonlinear error."""
        p, ratio = 0.02, 0.125
        dark = rug_dark_matter(p, ratio)
        a, b, odds = dark.slope_signal, dark.slope_noise, 1 / ratio - 1
        common = ratio * a + (1 - ratio) * b
        wrong = dark.fvu_nl + (a - common) ** 2 + (b - common) ** 2 * odds
        assert wrong > 2 * dark.fvu_nl

    def test_broadcasting_and_blocks(self):
        p = np.geomspace(1e-6, 0.9, 3000)[:, None]
        dark = rug_dark_matter(p, [0.1, 0.5], fraction=0.3)
        assert all(getattr(dark, name).shape == (3000, 2) for name in dark.__dataclass_fields__)
        one = rug_dark_matter(p[-1, 0], 0.5, a=dark.a[-1, 1], b=dark.b[-1, 1], fraction=0.3)
        assert one.fvu_nl == pytest.approx(dark.fvu_nl[-1, 1], rel=1e-14)


class TestFraction:
    def test_limits(self):
        dark = rug_dark_matter(0.1, 0.25, fraction=[0.0, 1.0])
        assert dark.fvu[0] == 1 and dark.fvu_nl[0] == 0 and dark.r2[0] == 1
        assert dark.fvu[1] == rug_dark_matter(0.1, 0.25).fvu

    def test_average_over_masks(self):
        """(α - β)², (κ/r)² and κ/r terms by exact algebra for every mask of a small rug.

        e = h - W_in D x̂ with x̂ replaced by αx + βν: only the linear parts and the mask matter.
        """
        n, present, alpha, beta = 8, 3, 1.1, 0.4
        rug = rt.Rug(n, np.array([1, 2, 5, 6, 7]))
        w, r = rug.w_in, rug.ratio
        code = alpha * np.eye(n) + beta * (rug.matrix() - np.eye(n))
        left, linear = [], []
        for mask in product([0.0, 1.0], repeat=n):
            if sum(mask) == present:
                error = w - w @ np.diag(mask) @ code
                slope = error @ w.T / n
                linear.append(np.sum((slope @ w) ** 2) / np.sum(w * w))
                left.append(np.sum((error - slope @ w) ** 2) / np.sum(w * w))
        f, gain = present / n, alpha + beta * (1 - r) / r
        pairs = f * (present - 1) / (n - 1)  # two features, both present
        assert np.mean(left) == pytest.approx((alpha - beta) ** 2 * (1 - r) * (f - pairs))
        square = r * f + (1 - r) * pairs
        assert np.mean(linear) == pytest.approx(1 - 2 * gain * f + gain**2 * square)

    def test_derivation(self):
        """The two forms of the linear error, and FVU = 1 - f for an exact masked code."""
        f, r, k = sp.symbols("f r k", positive=True)
        square = f**2 + r * f * (1 - f)
        summed = (1 - f * k) ** 2 + k**2 * r * f * (1 - f)
        assert sp.expand(1 - 2 * k * f + k**2 * square - summed) == 0
        assert sp.expand(summed.subs(k, 1) + (1 - r) * f * (1 - f) - (1 - f)) == 0


class TestSimulation:
    """Finite n_sparse: theory is off by about 300/n_sparse at p = 0.02, r = 1/8."""

    @pytest.mark.parametrize("fraction", [1.0, 0.5, 0.25])
    def test_theory_within_four_errors(self, fraction):
        """What is left of the 1/n_sparse is far below the standard error here."""
        p, n = 0.2, 2**14
        best = rt.optimum(p, 0.5)
        rug = rt.Rug(n, 1 + np.random.default_rng(0).permutation(n - 1)[: n // 2])
        b = rug.bias(best.b, best.a, p)
        run = simulate_dark_matter(
            rug, best.a, b, rt.SparseSource(p), 60, seed=1, fraction=fraction
        )
        theory = rug_dark_matter(p, 0.5, fraction=fraction)
        for name in ("fvu", "fvu_centred", "fvu_nl"):
            error, expected = getattr(run, f"{name}_se"), float(getattr(theory, name))
            assert error < 0.005 * expected
            assert abs(getattr(run, name) - expected) < 4 * error
        assert run.r2 == pytest.approx(1 - run.fvu_nl / run.fvu_centred)
        assert run.r2_norm == (0 if fraction == 1 else None)

    @pytest.mark.parametrize("fraction", [1.0, 0.5])
    def test_constant_row_adds_the_mean_error(self, fraction):
        p, n = 0.1, 2**12
        a, b = 1.0, -0.2
        rows = np.append(0, 1 + np.random.default_rng(0).permutation(n - 1)[: n // 4 - 1])
        rug = rt.Rug(n, rows)
        run = simulate_dark_matter(
            rug, a, rug.bias(b, a, p), rt.SparseSource(p), 100, seed=1, fraction=fraction
        )
        theory = rug_dark_matter(p, 0.25, a=a, b=b, fraction=fraction, constant_row=True)
        added = theory.fvu - theory.fvu_centred
        assert added > 0.05
        # Of a random mask, n/4 squares of Gaussian sums are added up.
        masks = 4 * np.sqrt(8 / n) if fraction < 1 else 0.0
        assert run.fvu - run.fvu_centred == pytest.approx(added, rel=0.01 + masks)

    def test_approach_is_like_one_over_n(self):
        """The excess of the nonlinear error times n_sparse stays where it is over a factor 4."""
        p, ratio, rugs = 0.02, 0.125, 4
        best, theory = rt.optimum(p, ratio), rug_dark_matter(p, ratio)
        scaled, errors = [], []
        for n in (1024, 4096):
            runs = []
            for seed in range(rugs):
                rug = rt.Rug(n, 1 + np.random.default_rng(seed).permutation(n - 1)[: n // 8])
                b = rug.bias(best.b, best.a, p)
                run = simulate_dark_matter(
                    rug, best.a, b, rt.SparseSource(p), 2**19 // n, seed=seed
                )
                runs.append(n * (run.fvu_nl / theory.fvu_nl - 1))
            scaled.append(np.mean(runs))
            errors.append(np.std(runs, ddof=1) / np.sqrt(rugs))
        assert all(x > 4 * e for x, e in zip(scaled, errors, strict=True))
        assert abs(scaled[1] - scaled[0]) < 4 * np.hypot(*errors)

    def test_exact_linear_codes(self):
        """A bias that passes all readings: x̂ = ax + const exactly, e = (1 - a/r) h."""
        rug = rt.hadamard_rug(64, 16, seed=0)
        run = simulate_dark_matter(rug, 0.3, 50.0, rt.SparseSource(0.2), 50, seed=0)
        assert run.fvu_nl == pytest.approx(0, abs=1e-14)
        assert abs(run.fvu_centred - (1 - 0.3 * 4) ** 2) < 4 * run.fvu_centred_se + 1e-12

    def test_standard_errors_are_honest(self):
        rug, source = rt.hadamard_rug(256, 64, seed=0), rt.SparseSource(0.1)
        runs = [simulate_dark_matter(rug, 1.0, -0.2, source, 60, seed=s) for s in range(60)]
        for name in ("fvu", "fvu_centred", "fvu_nl"):
            scatter = np.std([getattr(run, name) for run in runs], ddof=1)
            stated = np.mean([getattr(run, f"{name}_se") for run in runs])
            assert 0.7 < scatter / stated < 1.4

    def test_same_seed_same_result(self):
        rug = rt.hadamard_rug(64, 16, seed=0)
        args = (rug, 1.0, -0.1, rt.SparseSource(0.1), 20)
        one = simulate_dark_matter(*args, seed=3, fraction=0.5)
        assert one == simulate_dark_matter(*args, seed=3, fraction=0.5)


def exact_averages(rug, a, b, p, mask=None):
    """All 2^n patterns of Bernoulli features: hidden layer, error and probabilities."""
    x = np.array(list(product([0.0, 1.0], repeat=rug.n_sparse)))
    weights = np.prod(np.where(x > 0, p, 1 - p), axis=1)
    hidden = rug.encode(x)
    code = rug.decode(hidden, a, b) * (1.0 if mask is None else mask)
    return hidden, hidden - rug.encode(code), weights


def covariance(x, y, weights):
    return (weights * (x - weights @ x).T) @ (y - weights @ y)


class TestSymmetry:
    """What the shifts i → i XOR s say at every size, by enumeration of all patterns."""

    @pytest.mark.parametrize("rows", [[1, 2, 4], [3, 5, 6, 7], [1, 2, 3, 4, 5]])
    def test_norm_of_the_error_cannot_be_predicted(self, rows):
        rug = rt.Rug(8, np.array(rows))
        hidden, error, weights = exact_averages(rug, 1.2, -0.15, 0.2)
        norm = np.sum(error**2, axis=1)
        assert weights @ (norm - weights @ norm) ** 2 > 0.1
        assert covariance(hidden, norm, weights) == pytest.approx(np.zeros(len(rows)), abs=1e-13)

    def test_with_the_constant_row_it_can(self):
        rug = rt.Rug(8, np.array([0, 1, 2, 4]))
        hidden, error, weights = exact_averages(rug, 1.2, -0.15, 0.2)
        norm = np.sum(error**2, axis=1)
        products = covariance(hidden, norm, weights)
        assert products[1:] == pytest.approx(np.zeros(3), abs=1e-13)
        spread = weights @ (hidden[:, 0] - weights @ hidden[:, 0]) ** 2
        r2 = products[0] ** 2 / spread / (weights @ (norm - weights @ norm) ** 2)
        assert r2 > 0.1
        source = rt.SparseSource(0.2, rt.Constant())
        runs = [
            simulate_dark_matter(rug, 1.2, -0.15, source, 2000, seed=s).r2_norm for s in range(20)
        ]
        assert abs(np.mean(runs) - r2) < 4 * np.std(runs, ddof=1) / np.sqrt(20)

    def test_absent_features_can_be_noticed(self):
        """A mask breaks the symmetry."""
        rug = rt.Rug(8, np.array([3, 5, 6, 7]))
        mask = np.array([1.0, 1, 1, 0, 1, 0, 1, 0])
        hidden, error, weights = exact_averages(rug, 1.2, -0.15, 0.2, mask)
        norm = np.sum(error**2, axis=1)
        assert np.abs(covariance(hidden, norm, weights)).max() > 0.1

    def test_error_is_predicted_coordinate_by_coordinate(self):
        """Cov(e_k, h_l) = 0 for k ≠ l, so that the linear error is diagonal."""
        rug = rt.Rug(8, np.array([0, 3, 5, 6, 7]))
        products = covariance(*exact_averages(rug, 1.2, -0.15, 0.2))
        off = products - np.diag(np.diag(products))
        assert np.abs(np.diag(products)).min() > 0.1
        assert off == pytest.approx(np.zeros_like(off), abs=1e-13)


class TestBadInput:
    rug = rt.hadamard_rug(16, 4, seed=0)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda rug: rug_dark_matter(0.0, 0.5), "p must lie in"),
            (lambda rug: rug_dark_matter(0.1, 1.5), "ratio must lie in"),
            (lambda rug: rug_dark_matter(0.1, 0.5, fraction=-0.1), "fraction must lie in"),
            (lambda rug: rug_dark_matter(0.1, 0.5, a=1.0), "a and b must be given together"),
            (lambda rug: rug_dark_matter([0.1, 0.2], [0.1, 0.2, 0.3]), "do not broadcast"),
            (lambda rug: rug_dark_matter(0.1, 0.5, amplitude=1), "amplitude must be"),
            (
                lambda rug: rug_dark_matter(1.0, 0.5, amplitude=rt.Constant()),
                "features must vary",
            ),
            (
                lambda rug: simulate_dark_matter(0, 1, 0, rt.SparseSource(0.1), 10, seed=0),
                "rug must be a Rug",
            ),
            (lambda rug: simulate_dark_matter(rug, 1, 0, 0.1, 10, seed=0), "source must be"),
            (
                lambda rug: simulate_dark_matter(rug, 1, 0, rt.SparseSource(0.1), 7, seed=0),
                "n_samples must be at least 8",
            ),
            (
                lambda rug: simulate_dark_matter(
                    rug, 1, 0, rt.SparseSource(0.1), 9, seed=0, fraction=2
                ),
                "fraction must lie in",
            ),
            (
                lambda rug: simulate_dark_matter(
                    rug, 1, 0, rt.SparseSource(1.0, rt.Constant()), 9, seed=0
                ),
                "features must vary",
            ),
        ],
    )
    def test_message(self, call, message):
        with pytest.raises((ValueError, TypeError), match=message):
            call(self.rug)
