"""Precedence codes: their weights, and losses against enumeration, sums and simulation."""

from itertools import product

import mpmath as mp
import numpy as np
import pytest

import rugtheory as rt

from .models import alike

SIZES = (4, 5, 6, 9)


def enumerated(code, p):
    """The loss for amplitude 1, over all patterns of active features."""
    w = code.w_out @ code.w_in
    total = 0.0
    for x in product((0.0, 1.0), repeat=code.n_sparse):
        x = np.array(x)
        probability = p ** x.sum() * (1 - p) ** (x.size - x.sum())
        total += probability * ((np.maximum(w @ x, 0) - x) ** 2).mean()
    return total


def first_order(code, p, law):
    """Excess over the limit, by the square of what leaks from later features."""
    leak = np.maximum(np.triu(code.w_out @ code.w_in, 1), 0)
    return p * law.second_moment * (leak**2).sum() / code.n_sparse


class TestCode:
    @pytest.mark.parametrize("n", SIZES)
    def test_weights(self, n):
        code = rt.precedence_code(n, 20.0)
        w = code.w_out @ code.w_in
        assert code.n_sparse == n and code.ratio == 2 / n
        assert np.linalg.matrix_rank(code.w_in) == 2
        assert np.diag(w) == pytest.approx(1, rel=1e-12)
        silencing = (w < -1e-9).sum(axis=1, where=np.tri(n, k=-1, dtype=bool))
        assert silencing.tolist() == [0, *range(n - 2), n - 3]
        assert np.all(w[np.tri(n, k=-1, dtype=bool)] < 1e-9)

    @pytest.mark.parametrize("n", SIZES)
    @pytest.mark.parametrize("p", [0.02, 0.4])
    def test_enumeration(self, n, p):
        """The excess over the limit is the square of what leaks, falling with the scale's."""
        law = rt.Constant(1.0)
        limit = float(rt.precedence_loss(p, n, amplitude=law))
        assert enumerated(rt.precedence_code(n, 1e4), p) == pytest.approx(limit, rel=1e-4)
        excess = [enumerated(rt.precedence_code(n, s), p) - limit for s in (1e3, 2e3)]
        if n > 4:  # else nothing positive leaks
            assert excess[0] / excess[1] == pytest.approx(4, rel=0.01)

    def test_first_order_of_the_leak(self):
        p, n = 1e-3, 6
        code, law = rt.precedence_code(n, 50.0), rt.Constant(1.0)
        excess = enumerated(code, p) - float(rt.precedence_loss(p, n, amplitude=law))
        assert excess == pytest.approx(first_order(code, p, law), rel=0.02)

    @pytest.mark.parametrize("law", [rt.Uniform(), rt.Constant(1.0), rt.HalfNormal(1.0)])
    def test_exact_loss(self, law):
        """Inversion finds limit and leak of couplings of 1e18."""
        p, n = 1e-3, 8
        code = rt.precedence_code(n, 1e3)
        exact = rt.exact_loss(*alike(code.w_in, code.w_out, 0.0, p, amplitude=law))
        limit = float(rt.precedence_loss(p, n, amplitude=law))
        assert exact.mean_error < 1e-7 * limit
        assert exact.mean - limit == pytest.approx(first_order(code, p, law), rel=0.02)

    def test_simulation(self):
        """Uniform amplitudes, 4 standard errors."""
        p, code = 0.1, rt.precedence_code(7, 1e3)
        source, generator = rt.SparseSource(p), np.random.default_rng(0)
        x = source.sample((500_000, 7), generator)
        losses = ((np.maximum(x @ code.w_in.T @ code.w_out.T, 0) - x) ** 2).mean(axis=1)
        error = losses.std() / np.sqrt(losses.size)
        assert abs(losses.mean() - float(rt.precedence_loss(p, 7))) < 4 * error

    @pytest.mark.parametrize(
        ("n", "scale", "message"),
        [
            (3, 10.0, "n_sparse must be at least 4, got 3"),
            (5, 1.0, "scale must be above 1, got 1.0"),
            (5, np.nan, "scale"),
            (400, 10.0, "at most 1e300"),
        ],
    )
    def test_errors(self, n, scale, message):
        with pytest.raises(ValueError, match=message):
            rt.precedence_code(n, scale)


class TestLoss:
    def test_against_the_sum(self):
        """Σ 1 - (1 - p)^k at 40 digits."""
        with mp.workdps(40):
            for p in (1e-12, 1e-6, 0.003, 0.05, 0.3, 0.9, 1.0):
                for n in (4, 5, 17, 100, 1000):
                    q = 1 - mp.mpf(p)
                    terms = mp.fsum(1 - q**k for k in [0, *range(n - 2), n - 3])
                    expected = float(mp.mpf(p) / 3 * terms / n)
                    assert rt.precedence_loss(p, n) == pytest.approx(expected, rel=4e-15)

    def test_many_features_are_all_lost_but_one(self):
        """One feature of very many is decoded, whichever comes first: L → p E u² as n p → ∞."""
        assert rt.precedence_loss(0.5, 10**9) == pytest.approx(0.5 / 3, rel=1e-8)

    def test_shapes_and_errors(self):
        assert rt.precedence_loss([[0.1], [0.2]], [5, 6, 7]).shape == (2, 3)
        with pytest.raises(ValueError, match="n_sparse must be at least 4, got 3"):
            rt.precedence_loss(0.1, [5, 3])
        with pytest.raises(TypeError, match="n_sparse"):
            rt.precedence_loss(0.1, 5.5)


class TestBestKnown:
    @pytest.mark.parametrize("p", [1e-9, 1e-3, 0.045, 0.1])
    def test_at_and_between_the_ratios_of_codes(self, p):
        n = np.array([5, 6, 9])
        at = rt.best_known(p, 2 / n, limit=True)
        assert at.loss == pytest.approx(rt.precedence_loss(p, n), rel=1e-12)
        assert np.all(at.family == "precedence") and np.all(at.fraction == 1)
        between = rt.best_known(p, (2 / 5 + 2 / 6) / 2, limit=True).loss
        assert between == pytest.approx(at.loss[:2].mean(), rel=1e-12)

    @pytest.mark.parametrize("p", [1e-9, 1e-3, 0.045, 0.1, 0.2])
    @pytest.mark.parametrize("law", [rt.Uniform(), rt.Constant(1.0)])
    def test_dropping(self, p, law):
        """The chord from dropped features touches at the best of all sizes."""
        variance = float(rt.SparseSource(p, law).variance)
        n = np.unique(np.geomspace(5, 50 / p * (1 - np.log(p)), 20_000).astype(int))
        slopes = (variance - rt.precedence_loss(p, n, amplitude=law)) * n / 2
        ratio = 0.01 * p
        best = rt.best_known(p, ratio, amplitude=law, limit=True)
        assert (variance - best.loss) / ratio == pytest.approx(slopes.max(), rel=1e-6)
        assert best.fraction == pytest.approx(ratio * n[slopes.argmax()] / 2, rel=0.01)

    def test_rare_features_gain_without_limit_over_rugs(self):
        """Rugs have a logarithm of 1/p, codes none."""
        p = np.array([1e-4, 1e-8, 1e-12])
        gain = rt.mixture_loss(p, 0.2) / rt.best_known(p, 0.2, limit=True).loss
        assert np.all(np.diff(gain) > 1)
        assert rt.best_known(p, 0.2, limit=True).loss / p**2 == pytest.approx(7 / 6, rel=1e-3)
