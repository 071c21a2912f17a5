"""Errors of the papers and of their code, each demonstrated (docs/errata.md)."""

import numpy as np
import pytest

import rugtheory as rt

from .models import alike


def test_xor_makes_a_matrix_of_rank_one():
    """Section 4.2.2 prints H_ij = (-1)^popcount(i XOR j)."""
    i = np.arange(16)
    printed = (-1.0) ** np.bitwise_count(i[:, None] ^ i)
    meant = (-1.0) ** np.bitwise_count(i[:, None] & i)
    assert np.linalg.matrix_rank(printed) == 1
    assert np.array_equal(meant @ meant.T, 16 * np.eye(16))
    assert np.array_equal(meant, np.array([rt.fwht(row) for row in np.eye(16)]))


def test_the_constant_predictor_beats_the_printed_floor():
    """Section 4.3.1 bounds the loss at ratio → 0 by p/3 - p²/9; E u = ½ makes it p/3 - p²/4."""
    p = np.array([0.01, 0.3, 0.9])
    x = rt.SparseSource(0.3).sample(400_000, seed=0)
    constant = (x - 0.15) ** 2
    assert constant.mean() + 5 * constant.std() / 632 < 0.3 / 3 - 0.3**2 / 9
    assert np.all(rt.optimum(p, 1e-9).loss < p / 3 - p**2 / 9)
    assert rt.optimum(p, 1e-9).loss == pytest.approx(p / 3 - p**2 / 4, rel=1e-6)


def test_interference_becomes_gaussian_with_n_sparse_not_with_the_ratio():
    """Section 3.2 has n_d/n_s → ∞ where n_s → ∞ is meant: the ratio is at most 1."""
    by_size = [rt.hadamard_rug(n, n // 4, seed=0).lyapunov for n in (64, 1024, 16384)]
    assert by_size[0] > 3 * by_size[1] > 9 * by_size[2]


def test_the_lower_bound_needs_one_minus_r():
    """(31) replaces σ² by p/r, and so stays finite at r → 1 where the loss vanishes."""
    p, ratio = 1e-3, 1 - 1e-4
    sigma = rt.welch_sigma(p, ratio)
    constant = float(rt.lower_bound(p, ratio) / (p * sigma**2))
    printed = constant * p**2 / (3 * ratio)
    assert rt.lower_bound(p, ratio) < rt.optimum_decoder("oracle", p, ratio).loss < printed


def test_pairs_beat_the_rug():
    """Rugs are optimal among Gaussian interferences, not among matrices of the form (7)."""
    p, n, n_dense = 0.045, 256, 128
    best = rt.optimum(p, 0.5)
    rug = rt.hadamard_rug(n, n_dense, seed=0)
    pairs = rt.antipodal_rug(n, n_dense, seed=0)
    for weights in (rug, pairs):
        w = weights.matrix()
        assert w @ w == pytest.approx(2 * w) and np.array_equal(w, w.T)  # (7)
    b = rug.bias(best.b, best.a, p)
    first = rt.exact_loss(*alike(rug.w_in, rug.w_out(float(best.a)), b, p), rows=[0])
    second = rt.exact_loss(*alike(pairs.w_in, pairs.w_out(), 0.0, p), rows=[0])
    assert second.mean < 0.25 * first.mean


def test_an_elementwise_decoder_gains_a_logarithm():
    """Section 4.3.3 and the abstract: "at best by a constant factor" holds up to log(1/p)."""
    p = 10.0 ** -np.arange(1, 9)
    gain = rt.optimum(p, 0.99).loss / rt.optimum_decoder("bayes", p, 0.99).loss
    assert np.all(np.diff(gain) > 0.5)
    assert gain[-1] > 8
    assert np.polyfit(np.log(1 / p[4:]), gain[4:], 1)[0] == pytest.approx(0.5, abs=0.06)


class TestCode:
    """The scripts published with The Persian Rug."""

    def test_lyapunov_exponent(self):
        """Σ|w|³/Σw² instead of Σ|w|³/(Σw²)^{3/2} depends on the scale of W."""
        rug = rt.hadamard_rug(256, 64, seed=0)

        def published(w):
            return np.sum(np.abs(w) ** 3) / np.sum(w**2)

        off = rug.phi[1:]
        assert published(2 * off) == pytest.approx(2 * published(off))
        scaled = rt.statistics(*alike(rug.w_in, rug.w_out(2.0), 0.0, 0.1), rows=1)
        assert scaled.lyapunov == pytest.approx(np.full(256, rug.lyapunov))

    def test_linear_baseline(self):
        """The best linear model loses v(p)(1 - r); p/3 in place of v(p) ignores the bias."""
        p, n, n_dense = 0.3, 40, 10
        x = rt.SparseSource(p).sample((200_000, n), seed=0)
        centred = x - x.mean(axis=0)
        values = np.linalg.eigvalsh(centred.T @ centred / len(x))
        pca = values[: n - n_dense].sum() / n
        assert pca == pytest.approx(float(rt.linear_loss(p, n_dense / n)), rel=0.02)
        assert p / 3 * (1 - n_dense / n) > 1.2 * pca

    def test_variance_of_the_interference(self):
        """With the diagonal, and without division by a², it is a²(Var ν + v)."""
        p, a = 0.1, 1.3
        rug = rt.hadamard_rug(256, 64, seed=0)
        w = rug.matrix(a)
        v = rt.SparseSource(p).variance
        published = v * np.sum(w[0] ** 2)
        assert published == pytest.approx(a**2 * (rug.sigma(p) ** 2 + v))


class TestDarkMatter:
    """Decomposing the Dark Matter of Sparse Autoencoders, arXiv:2410.14670."""

    def test_least_squares_slope(self):
        """Appendix B.1 prints E w²/E w; Poisson weights of rate 1, enumerated to 25 events."""
        w = np.arange(26.0)
        weights = np.exp(-1.0) / np.cumprod(np.maximum(w, 1))
        design = np.stack([w, np.ones(26)], axis=1) * np.sqrt(weights)[:, None]
        slope = np.linalg.lstsq(design, w**2 * np.sqrt(weights), rcond=None)[0][0]
        assert slope == pytest.approx(3, rel=1e-9)
        assert weights @ w**2 / (weights @ w) == pytest.approx(2)
        law = rt.darkmatter.WeightLaw.poisson(1.0)
        assert rt.darkmatter.norm_probe(np.eye(3), law).response == pytest.approx(np.full(3, slope))

    @pytest.mark.parametrize(
        ("amplitude", "sign", "r2"),
        [
            (rt.Constant(), 1, 1),
            (rt.Uniform(), 1, 15 / 16),
            (rt.Exponential(), 1, 3 / 4),
            (rt.Uniform(), -1, 0),
        ],
    )
    def test_orthogonal_features_are_not_always_predictable(self, amplitude, sign, r2):
        """Section 5.1 claims R² = 1 for all; one rare feature, exact to its fourth moment."""
        x, weights = rt.SparseSource(1e-9, amplitude).quadrature(3)
        w, weights = np.append(x, sign * x), np.append(weights, weights) / 2
        covariance = np.cov(w, w * w, aweights=weights, bias=True)
        correlation = covariance[0, 1] ** 2 / (covariance[0, 0] * covariance[1, 1])
        assert correlation == pytest.approx(r2, abs=1e-8)

    def test_the_parabola_is_that_of_any_overlapping_features(self):
        """Appendix C blames random vectors; a regular frame, the rug's, has it too."""
        n, ratio = 64, 0.25
        w = rt.Rug(n, np.arange(1, 17)).w_in
        order = np.random.default_rng(0).permutation(n)
        for fraction in (0.25, 0.5, 0.75):
            absent = w[:, order[int(fraction * n) :]]
            error = absent @ absent.T
            left = np.trace(error - error @ np.linalg.solve(w @ w.T, error)) / np.trace(w @ w.T)
            expected = rt.darkmatter.masked_error(ratio, fraction).fvu_nl
            assert left == pytest.approx(expected, rel=0.1) and left > 0.12

    def published_r2(self, x, y):
        """Their regression and its score: no intercept, coordinates averaged without weights."""
        residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        return np.mean(1 - np.sum(residual**2, axis=0) / np.sum((y - y.mean(axis=0)) ** 2, axis=0))

    def test_no_intercept(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(10_000, 4))
        y = x @ rng.normal(size=(4, 4)) + 10
        assert self.published_r2(x, y) < -1
        assert self.published_r2(np.column_stack([x, np.ones(10_000)]), y) == pytest.approx(1)

    def test_unweighted_r2(self):
        """An error with a large linear coordinate and a small nonlinear one."""
        rng = np.random.default_rng(1)
        x = rng.normal(size=(50_000, 2))
        error = np.stack([x[:, 0], 0.1 * (x[:, 1] ** 2 - 1)], axis=1)
        fvu = np.sum(error**2) / np.sum((x - x.mean(axis=0)) ** 2)
        split = rt.darkmatter.decompose(x, x - error, test_fraction=0.0, bootstrap=0)
        r2 = self.published_r2(x, error)
        assert r2 == pytest.approx(0.5, abs=0.01)
        assert split.fvu_nl == pytest.approx((1 - split.r2) * split.fvu_centred)
        assert (1 - r2) * fvu > 20 * split.fvu_nl

    def test_steps_of_gradient_pursuit_are_not_atoms(self):
        """Section 7.1: as many steps as L0 can take fewer atoms."""
        rng = np.random.default_rng(2)
        atoms = rng.normal(size=(40, 8)) + 0.5
        x = rng.normal(size=(200, 8)) + 0.5
        counts = np.diff(rt.darkmatter.gradient_pursuit(x, atoms, 6, exact=False).indptr)
        assert counts.max() <= 6 and np.mean(counts < 6) > 0.1
        residual = np.zeros(8)  # of the signal atoms[0] after one step
        gradient = atoms @ residual
        c = gradient @ atoms
        with np.errstate(invalid="ignore"):
            assert np.isnan((c @ residual) / (c @ c))
