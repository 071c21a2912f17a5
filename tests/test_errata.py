"""Errors of the papers and of their code, each demonstrated (docs/errata.md)."""

import numpy as np
import pytest

import rugtheory as rt


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
    first = rt.exact_loss(rug.w_in, rug.w_out(float(best.a)), b, p, rows=[0])
    second = rt.exact_loss(pairs.w_in, pairs.w_out(), 0.0, p, rows=[0])
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
        scaled = rt.symmetry(rug.w_in, rug.w_out(2.0), 0.0, 0.1, rows=1)
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
