"""Antipodal rugs: weights, loss with a partner, its optimum."""

import numpy as np
import pytest
from scipy import optimize
from scipy.stats import norm

import rugtheory as rt
from rugtheory.theory.uneven import rough_pairs

from .laws.domain import AMPLITUDES
from .models import alike

LAWS = [rt.Uniform(), rt.Uniform(0.5, 0.6), rt.Exponential(0.5), rt.Beta(2, 3), rt.Constant(0.7)]


@pytest.mark.parametrize("law", LAWS, ids=repr)
@pytest.mark.parametrize(("a", "b", "sigma"), [(1.2, -0.3, 0.2), (1.0, 0.0, 0.0), (-0.5, 0.1, 0.3)])
def test_loss_against_the_exact_loss_of_many_small_weights(law, a, b, sigma):
    """The partner in full, the Gaussian rest as a symmetric sum, extrapolated in its length."""
    p = 0.2
    variance = rt.SparseSource(p, law).variance

    def with_rest_of(n):
        rest = np.resize([1.0, -1.0], n) * a * sigma / np.sqrt(n * variance)
        return rt.RowChannel.of(np.append(-a, rest), p, law).loss(a, b, rtol=1e-8).value

    few, more, most = (with_rest_of(n) for n in (1000, 2000, 4000))
    expected = (few - 6 * more + 8 * most) / 3  # errors of orders 1/n and 1/n²
    value = float(rt.antipodal_loss(a, b, sigma, p, amplitude=law))
    # Sums of a constant lie on a lattice, on which the expansion is not smooth.
    assert value == pytest.approx(expected, rel=1e-6 if law.atoms() is None else 2e-5)


def test_loss_from_the_definition():
    """Uniform amplitudes: three-fold integral, at one point."""
    a, b, sigma, p = 1.3, -0.37, 0.29, 0.045

    def reading(t):  # E ReLU(a n + t), E ReLU(a n + t)², n ~ N(0, σ²)
        s = a * sigma
        cdf, pdf = norm.cdf(t / s), norm.pdf(t / s)
        return t * cdf + s * pdf, (t * t + s * s) * cdf + t * s * pdf

    def error(x, y):
        first, second = reading(a * (x - y) + b)
        return x * x - 2 * x * first + second

    nodes, weights = np.polynomial.legendre.leggauss(100)
    u, w = (1 + nodes) / 2, weights / 2
    both = w @ error(u[:, None], u) @ w
    left, right = w @ error(0, u), w @ error(u, 0)
    exact = p * p * both + p * (1 - p) * (left + right) + (1 - p) ** 2 * error(0, 0)
    assert float(rt.antipodal_loss(a, b, sigma, p)) == pytest.approx(float(exact), rel=1e-12)


def test_pairs_alone_lose_p_squared_over_six():
    p = np.array([1e-12, 1e-6, 0.01, 0.3, 1.0])
    assert rt.antipodal_loss(1.0, 0.0, 0.0, p) == pytest.approx(p**2 / 6, rel=1e-14)
    assert rt.antipodal_sigma(p, 0.5) == pytest.approx(0)
    best = rt.antipodal_optimum(p[:-1], 0.5).loss
    assert np.all(best <= p[:-1] ** 2 / 6 * (1 + 1e-12))


class TestOptimum:
    @pytest.mark.parametrize("law", LAWS[:2] + LAWS[4:], ids=repr)
    @pytest.mark.parametrize(("p", "ratio"), [(0.045, 0.25), (0.3, 0.1), (0.01, 0.4), (0.7, 0.3)])
    def test_no_other_decoder_does_better(self, law, p, ratio):
        best = rt.antipodal_optimum(p, ratio, amplitude=law)
        sigma = float(best.sigma)

        def loss(x):
            return float(rt.antipodal_loss(x[0], x[1], sigma, p, amplitude=law))

        assert loss([best.a, best.b]) == pytest.approx(float(best.loss), rel=1e-12)
        for start in ([1.0, 0.0], [1.3, -0.6], [ratio, p / 2], [1.5, -1.0]):
            found = optimize.minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-5})
            assert best.loss <= found.fun * (1 + 1e-9)

    def test_linear_limit(self):
        best = rt.antipodal_optimum(0.5, 1e-4)
        assert best.loss == pytest.approx(float(rt.linear_loss(0.5, 1e-4)), rel=1e-12)
        assert best.a == pytest.approx(1e-4, rel=1e-6)
        assert best.b == pytest.approx(0.25, rel=1e-3)  # the partner's mean makes up the rest

    def test_singles_above_one_half(self):
        pairs = rt.antipodal_optimum(0.1, 0.5)
        best = rt.antipodal_optimum(0.1, [0.75, 1.0])
        assert best.loss == pytest.approx([pairs.loss / 2, 0])
        assert best.a == pytest.approx(float(pairs.a))

    def test_published_value(self):
        # Quadrature with 60 by 60 nodes gave .0035841705.
        assert f"{rt.antipodal_optimum(0.045, 0.25).loss:.10f}" == "0.0035841705"


class TestUnevenPairs:
    @pytest.mark.parametrize(
        "law", [rt.Uniform(), rt.Uniform(0.3, 0.9), rt.Constant(0.7)], ids=repr
    )
    @pytest.mark.parametrize("p", [0.3, 0.045])
    def test_loss_is_that_of_the_weights(self, law, p):
        best = rt.uneven_pairs(p, amplitude=law)
        c = float(best.coupling)
        w_in, w_out = [[1.0, -c]], [[best.a[0]], [-best.a[1] / c]]
        exact = rt.exact_loss(*alike(w_in, w_out, best.b, p, amplitude=law))
        assert abs(exact.mean - best.loss) <= exact.mean_error + 1e-9 * best.loss

    @pytest.mark.parametrize(
        "law",
        [
            rt.Uniform(),
            rt.Constant(0.7),
            rt.FromQuadrature((0.1, 0.5, 2.0), (0.25, 0.5, 0.25)),
            pytest.param(rt.Exponential(0.5), marks=pytest.mark.slow),
            pytest.param(rt.Beta(2, 3), marks=pytest.mark.slow),
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("noise", [0.0, pytest.param(0.03, marks=pytest.mark.slow)])
    def test_rough_bounds_hold(self, law, noise):
        """Of laws whose loss falls with the coupling all the way too, at any cap."""
        for p in (1e-9, 0.1, 0.9):
            for cap in (1.0, 1.04, 3.0, 1e8):
                best = rt.uneven_pairs(p, max_coupling=cap, hidden_noise=noise, amplitude=law)
                low, high = rough_pairs(p, law, cap, noise)
                assert low <= best.loss <= high

    def test_no_other_pair_does_better(self):
        p = 0.1
        best = rt.uneven_pairs(p)

        def loss(x):
            c, a1, b1, a2, b2 = x
            rows = ((a1, -a1 * c, b1), (a2, -a2 / c, b2))
            return sum(rt.RowChannel.of([w], p).loss(a, b, rtol=1e-9).value for a, w, b in rows) / 2

        found = optimize.minimize(loss, [0.5, 1, 0, 1, 0], method="Nelder-Mead")
        assert best.loss <= found.fun * (1 + 1e-7)
        assert best.coupling == pytest.approx(found.x[0], rel=0.01)

    def test_limit_of_rare_features(self):
        best = rt.uneven_pairs([1e-4, 1e-8])
        assert best.coupling == pytest.approx([1 / 3, 1 / 3], rel=1e-3)
        assert best.loss / best.p**2 == pytest.approx([25 / 162, 25 / 162], rel=1e-4)

    def test_linear_branch(self):
        """Where features are common the biases are those of a linear decoder, p E u (c + c²)."""
        found = rt.exact_loss(*alike([[1.0, -0.5]], [[0.871], [-0.4]], [0.209, 0.48], 0.8)).mean
        assert rt.uneven_pairs(0.8).loss <= found * (1 + 1e-6) < 0.0528
        assert rt.uneven_pairs(0.9).loss < rt.antipodal_optimum(0.9, 0.5).loss

    @pytest.mark.slow
    def test_even_pairs_of_exponential_amplitudes(self):
        """E min(u, cw)² + E min(u, w/c)² = 4 (1 + c²)/(1 + c)² is least at c = 1."""
        best = rt.uneven_pairs(1e-6, amplitude=rt.Exponential(1.0))
        assert best.coupling == pytest.approx(1, abs=1e-3)
        assert best.loss / 1e-12 == pytest.approx(1 / 2, rel=1e-5)

    @pytest.mark.parametrize("p", [1e-140, 1e-40, 1e-5])
    def test_limit_of_no_coupling(self, p):
        """Amplitudes of one size: the loss falls with c to that of the code of four features."""
        best = rt.uneven_pairs(p, amplitude=rt.Constant(1.0))
        assert best.loss == pytest.approx(float(rt.precedence_loss(p, 4, amplitude=rt.Constant())))

    @pytest.mark.parametrize(
        ("law", "p"),
        [
            (rt.Uniform(), 0.8),
            (rt.Constant(0.7), 0.5),
            (rt.Constant(0.7), 0.8),
            (rt.FromQuadrature([0.1, 0.5, 2.0], [1.0, 2.0, 1.0]), 0.3),
        ],
        ids=repr,
    )
    def test_scan(self, law, p):
        below_a_scan(law, p)

    @pytest.mark.slow
    @pytest.mark.parametrize("p", [1e-3, 0.1, 0.3, 0.5, 0.69, 0.8, 0.95, 0.999])
    @pytest.mark.parametrize("law", AMPLITUDES, ids=repr)
    def test_scan_of_all_laws(self, law, p):
        below_a_scan(law, p)


def below_a_scan(law, p):
    """No pair is better of 81 couplings with 400 thresholds each.

    The scan takes the Gauss rule of a density; its best are then judged by their exact losses.
    """
    u, w = law.quadrature(24)
    x, share = np.append(0.0, u), np.append(1 - p, p * w)
    joint = np.multiply.outer(share, share)
    power = float(share @ x**2)

    def least(c):  # loss, a and b of a feature that hears -c times another
        reach = max(float(x.max()), 1e-9)
        beta = np.concatenate(
            [
                -np.geomspace(1e-4, 1, 60) * reach,
                np.geomspace(1e-4, 1.2, 300) * reach * max(c, 1e-3),
                p * law.mean * (c + c * c) * np.linspace(0.5, 1.2, 39),
                [0.0],
            ]
        )
        h = np.maximum(x[:, None] - c * x + beta[:, None, None], 0)
        xh, hh = ((joint * y).sum(axis=(1, 2)) for y in (x[:, None] * h, h * h))
        a = np.divide(xh, hh, out=np.zeros_like(hh), where=hh > 0)
        k = np.argmax(a * xh)
        return power - a[k] * xh[k], a[k], a[k] * beta[k]

    best = rt.uneven_pairs(p, amplitude=law)
    found = []
    for c in np.exp(np.linspace(-4, 0, 81)):
        (one, a1, b1), (two, a2, b2) = least(c), least(1 / c)
        found.append(((one + two) / 2, c, a1, b1, a2, b2))
    for _, c, a1, b1, a2, b2 in sorted(found)[:3]:
        exact = rt.exact_loss(
            *alike([[1.0, -c]], [[a1], [-a2 / c]], [b1, b2], p, amplitude=law), rtol=1e-10
        )
        assert best.loss <= exact.mean * (1 + 1e-9) + exact.mean_error


@pytest.mark.parametrize("ratio", [0.125, 0.25, 0.5])
def test_simulated(ratio):
    """Rugs of 4096 features against the theory of infinitely many."""
    p, n = 0.1, 4096
    best = rt.antipodal_optimum(p, ratio)
    rug = rt.antipodal_rug(n, int(n * ratio), seed=3)
    b = rug.bias(best.b, best.a, p)
    measured = rt.simulate(rug, best.a, b, rt.SparseSource(p), 200, seed=4)
    assert abs(measured.loss - best.loss) < 4 * measured.standard_error


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rt.antipodal_rug(6, 2, seed=0), "n_sparse must be a power of two, got 6"),
        (lambda: rt.antipodal_rug(8, 5, seed=0), r"n_dense must be in \[1, 4\], got 5"),
        (lambda: rt.antipodal_sigma(0.1, 0.6), r"ratio must lie in \(0, 1/2\] for pairs, got 0.6"),
        (lambda: rt.antipodal_optimum(0.1, 0.0), r"ratio must lie in \(0, 1\], got 0.0"),
        (lambda: rt.antipodal_loss(1, 0, -1, 0.1), "sigma must be non-negative"),
    ],
)
def test_bad_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()
