"""Scaling laws, bounds, exponents and regimes."""

import mpmath as mp
import numpy as np
import pytest

import rugtheory as rt

LAWS = [rt.Uniform(), rt.Uniform(0.5, 1.0), rt.Exponential(0.5), rt.HalfNormal(1.0), rt.Beta(2, 3)]


@pytest.mark.parametrize("p", [0.9, 0.1, 0.045, 0.01, 1e-3, 1e-6, 1e-12, 1e-50])
def test_constant_from_its_definition(p):
    """min over m of 1 + m²/4 + g(m)(1-p)/p at 40 digits."""
    with mp.workdps(40):
        odds = (1 - mp.mpf(p)) / mp.mpf(p)

        def value(m):
            return 1 + m * m / 4 + odds * ((1 + m * m) * mp.ncdf(-m) - m * mp.npdf(m))

        found = rt.sparse_constants(p)
        # The slope, 2 G₁ in closed form, vanishes between m ± 1e-10.
        m = mp.findroot(
            lambda m: m / 4 - odds * (mp.npdf(m) - m * mp.ncdf(-m)), mp.mpf(float(found.shift))
        )
        assert float(found.leading) == pytest.approx(float(value(m)), rel=1e-13)
        assert float(found.shift) == pytest.approx(float(m), rel=1e-11)


def test_constants_of_the_literature():
    p = np.array([0.1, 0.045, 0.01, 0.001, 1e-4])
    known = [1.75438618, 2.00737614, 2.51943314, 3.38233797, 4.31274604]
    assert rt.sparse_constants(p).leading == pytest.approx(known, abs=6e-9)


@pytest.mark.parametrize("law", LAWS, ids=repr)
@pytest.mark.parametrize("p", [0.3, 0.05, 1e-3])
def test_residuals_shrink_at_their_order(law, p):
    """Over pσ², the exact optimum is Λ + Λ₁σ + O(σ²): slopes 1 and 2 in σ."""
    sigma = np.array([1e-4, 1e-5]) * law.mean
    exact = rt.optimum(p, sigma=sigma, amplitude=law).loss / (p * sigma**2)
    constants = rt.sparse_constants(p, amplitude=law)
    first = exact - constants.leading
    second = first - constants.next * sigma
    slopes = [np.log(abs(x[0] / x[1])) / np.log(10) for x in (first, second)]
    assert slopes[0] == pytest.approx(1, abs=0.02)
    assert slopes[1] == pytest.approx(2, abs=0.05)


def test_constant_amplitudes_have_no_logarithm():
    constants = rt.sparse_constants([0.1, 1e-6], amplitude=rt.Constant(2.0))
    assert np.array_equal(constants.leading, [1, 1]) and np.all(np.isinf(constants.shift))
    loss = rt.optimum(0.1, sigma=1e-5, amplitude=rt.Constant(2.0)).loss
    assert loss == pytest.approx(0.1 * 1e-10, rel=1e-4)


def test_expansion_of_the_constant():
    p = 10.0 ** -np.array([2, 3, 4, 6, 10, 20, 50, 100])
    error = np.abs(rt.sparse_constant_expansion(p) / rt.sparse_constants(p).leading - 1)
    assert np.all(error <= 0.01)
    assert np.all(np.diff(error[3:]) < 0) and error[-1] < 4e-5
    growth = rt.sparse_constants(1e-100).leading / (np.log(1e100) / 2)
    assert growth == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("kind", ["jumprelu", "topk"])
@pytest.mark.parametrize("p", [1e-4, 1e-6, 1e-8])
def test_laws_of_jumps(kind, p):
    """Relative to the exact loss the law's error falls with σ."""
    ratio = 1 - 10.0 ** -np.array([1, 3, 5])
    exact = rt.optimum_decoder(kind, p, ratio).loss
    error = np.abs(rt.sparse_law(kind, p, ratio) / exact - 1)
    assert error[0] < 0.01 and error[-1] < 1e-5 and np.all(np.diff(error) < 0)


@pytest.mark.parametrize("kind", ["selection", "oracle", "bayes"])
def test_leading_law_of_the_others(kind):
    p, ratio = 1e-6, 1 - 1e-6
    exact = rt.optimum_decoder(kind, p, ratio).loss
    assert rt.sparse_law(kind, p, ratio, order=0) == pytest.approx(float(exact), rel=1e-3)


class TestBounds:
    def test_floor(self):
        """(8) at ratio → 0, corrected: p/3 - p²/4."""
        p = np.array([1e-9, 0.01, 0.3, 1.0])
        assert rt.optimum(p, 1e-12).loss == pytest.approx(p / 3 - p**2 / 4, rel=1e-9)


class TestExponents:
    @pytest.mark.parametrize("law", LAWS[:3], ids=repr)
    @pytest.mark.parametrize(("p", "ratio"), [(0.01, 0.2), (1e-6, 0.5), (0.3, 1e-3), (0.9, 0.9)])
    def test_against_differences(self, law, p, ratio):
        h = 1e-4

        def log_loss(x, y):
            p_, r_ = p * np.exp(x * h), ratio * np.exp(y * h)
            return np.log(float(rt.optimum(p_, r_, amplitude=law).loss))

        slopes = rt.local_exponents(p, ratio, amplitude=law)
        by_p = (log_loss(1, 0) - log_loss(-1, 0)) / (2 * h)
        by_ratio = (log_loss(0, 1) - log_loss(0, -1)) / (2 * h)
        assert float(slopes.p) == pytest.approx(by_p, rel=1e-5, abs=1e-7)
        assert float(slopes.ratio) == pytest.approx(by_ratio, rel=1e-5, abs=1e-7)

    def test_limits(self):
        assert rt.local_exponents(1e-6, 1e-9).p == pytest.approx(1, abs=1e-3)  # L → p/3
        sparse = rt.local_exponents(1e-100, 0.01)  # L → p²/r but for logarithms
        assert sparse.p == pytest.approx(2, abs=0.01)
        assert sparse.ratio == pytest.approx(-1 / (1 - 0.01), abs=0.01)


def test_regimes():
    found = rt.regime(0.01, [1e-4, 0.03, 0.9])
    exact = rt.optimum(0.01, [1e-4, 0.03, 0.9]).loss
    assert found.name.tolist() == ["linear", "crossover", "sparse"]
    assert found.error == pytest.approx(np.abs(found.law / exact - 1))
    assert found.error[0] < 1e-6 and found.error[1] > 0.1 and found.error[2] < 0.01


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rt.sparse_law("linear", 0.1, 0.5), "kind must be one of relu, jumprelu"),
        (lambda: rt.sparse_law("bayes", 0.1, 0.5), "order must be 0 for bayes, got 1"),
        (lambda: rt.sparse_law("relu", 0.1, 0.5, order=2), r"order must be in \[0, 1\], got 2"),
        (lambda: rt.local_exponents(0.1, 1.0), "ratio must be less than 1"),
        (lambda: rt.regime(0.1, 1.0), "ratio must be less than 1"),
        (lambda: rt.upper_bound(2.0, 0.5), r"p must lie in \(0, 1\], got 2.0"),
    ],
)
def test_bad_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("kind", ["relu", "jumprelu", "gated", "topk"])
def test_sparse_law_is_a_number_up_to_p_one(kind):
    p, ratio = np.array([1e-12, 0.01, 0.9, 1 - 1e-9, 1 - 1e-15, 1.0]), 0.5
    law = rt.sparse_law(kind, p, ratio)
    assert np.all(np.isfinite(law)) and np.all(law > 0)
    if kind == "topk":  # all are kept, and the noise is all that is lost
        assert law[-1] == pytest.approx(float(rt.welch_sigma(1.0, ratio)) ** 2, rel=1e-12)
