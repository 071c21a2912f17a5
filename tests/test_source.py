"""Sources: moments, transforms, rules and samples of every amplitude law agree with its density."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

import rugtheory as rt
from rugtheory.source import uniform
from rugtheory.source.laws import LAWS as NAMED

EPS = np.finfo(float).eps

LAWS = {
    "uniform": rt.Uniform(),
    "offset": rt.Uniform(0.2, 1.5),
    "constant": rt.Constant(0.7),
    "exponential": rt.Exponential(0.5),
    "halfnormal": rt.HalfNormal(1.2),
    "truncatednormal": rt.TruncatedNormal(1.0, 0.5),
    "beta": rt.Beta(2.0, 3.0),
    "arcsine": rt.Beta(0.5, 0.5),
    "atoms": rt.FromQuadrature([0.1, 0.5, 2.0], [1.0, 2.0, 1.0]),
}
WRITTEN_OUT = set(LAWS)
LAWS |= {name: law() for name, law in NAMED.items() if name not in LAWS}


def integral(name, function, breaks=()):
    """E f(u), integrated by mpmath from the density, written out here again.

    Between `breaks`, f is as good as a polynomial: 24 points of Gauss and Legendre are enough.
    """
    with mp.workdps(30):
        rule = {"method": "gauss-legendre", "maxdegree": 4} if len(breaks) else {}
        if name == "constant":
            return function(mp.mpf(0.7))
        if name == "atoms":
            atoms = ((0.1, 0.25), (0.5, 0.5), (2.0, 0.25))
            return sum(mp.mpf(w) * function(mp.mpf(u)) for u, w in atoms)
        if name == "arcsine":  # u = sin²θ has a uniform θ
            ends = [0, *(mp.asin(mp.sqrt(x)) for x in sorted(breaks) if 0 < x < 1), mp.pi / 2]
            return mp.quad(lambda t: function(mp.sin(t) ** 2), ends, **rule) * 2 / mp.pi
        if name not in WRITTEN_OUT:
            law = LAWS[name]
            ends = [*law.breakpoints(), *(x for x in breaks if law.start < x < law.end)]
            return mp.quad(
                lambda u: function(u) * float(law.density(float(u))), sorted(ends), **rule
            )
        low, high, scale = mp.mpf(0.2), mp.mpf(1.5), mp.mpf(1.2)
        density, ends = {
            "uniform": (lambda u: mp.mpf(1), [0, 1]),
            "offset": (lambda u: 1 / (high - low), [low, high]),
            "exponential": (lambda u: 2 * mp.exp(-2 * u), [0, 1, 4, 10, 20, 45]),
            "halfnormal": (
                lambda u: mp.sqrt(2 / mp.pi) / scale * mp.exp(-((u / scale) ** 2) / 2),
                [0, 1, 3, 6, 10, 18],
            ),
            "beta": (lambda u: 12 * u * (1 - u) ** 2, [0, 1]),
            "truncatednormal": (lambda u: 2 * mp.npdf(2 * u - 2) / mp.ncdf(2), [0, 1, 2, 4, 7]),
        }[name]
        inside = [mp.mpf(x) for x in breaks if ends[0] < x < ends[-1]]
        return mp.quad(lambda u: function(u) * density(u), sorted([*ends, *inside]), **rule)


@pytest.mark.parametrize("name", LAWS)
def test_cumulants(name):
    mean = integral(name, lambda u: u)
    m2, m3, m4 = (integral(name, lambda u, k=k: (u - mean) ** k) for k in (2, 3, 4))
    law = LAWS[name]
    for value, exact in zip(law.cumulants(), (mean, m2, m3, m4 - 3 * m2**2), strict=True):
        assert value == pytest.approx(float(exact), rel=20 * EPS, abs=1e-15)
    assert law.second_moment == pytest.approx(float(m2 + mean**2), rel=20 * EPS)


@pytest.mark.parametrize(
    "t",
    [
        0.0,
        1e-9,
        0.3 - 2j,
        -5 + 30j,
        -40.0,
        -1 - 150j,
        pytest.param(1 + 50j, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("name", LAWS)
def test_mgf(name, t, order):
    turns = np.linspace(0, 45, 45 * (int(abs(complex(t).imag)) // 10 + 2))
    exact = integral(name, lambda u: u**order * mp.exp(mp.mpc(t) * u), breaks=turns)
    scale = float(integral(name, lambda u: u**order * mp.exp(mp.re(mp.mpc(t)) * u)))
    tolerance = 1e-12 if order else 1e-13
    assert abs(complex(LAWS[name].mgf(t, order)) - complex(exact)) <= tolerance * scale


def test_mgf_outside_its_strip():
    law = rt.Exponential(0.5)
    assert law.abscissa == 2 and rt.Uniform().abscissa == np.inf
    with pytest.raises(ValueError, match="Re t"):
        law.mgf(2.0)
    with pytest.raises(ValueError, match=r"order must be in \[0, 1\], got 2"):
        law.mgf(1.0, 2)


@pytest.mark.parametrize("name", LAWS)
def test_support(name):
    law = LAWS[name]
    u = law.sample(20_000, seed=0)
    assert law.start <= u.min() and u.max() <= law.end
    if np.isfinite(law.end):
        assert u.min() - law.start < 0.1 and law.end - u.max() < 0.15
    if law.atoms() is not None:
        values, shares = law.atoms()
        assert np.all(np.isin(u, values)) and shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("n", [1, 5, 24])
@pytest.mark.parametrize("name", LAWS)
def test_gaussian_quadrature_is_exact_to_degree_2n_minus_1_and_no_further(name, n):
    law = LAWS[name]
    nodes, weights = law.quadrature(n)
    assert weights.sum() == pytest.approx(1, rel=1e-13)
    top = float(np.max(nodes))
    for degree in {1, min(2 * n - 1, 20)}:
        exact = float(integral(name, lambda u, d=degree: (u / top) ** d))
        assert weights @ (nodes / top) ** degree == pytest.approx(exact, rel=2e-12)
    if n == 5 and name not in ("constant", "atoms"):
        exact = float(integral(name, lambda u: (u / top) ** 10))
        assert abs(weights @ (nodes / top) ** 10 / exact - 1) > 1e-7


@pytest.mark.parametrize("kink", [-1.0, 1e-7, 0.3, 0.999, 3.0])
@pytest.mark.parametrize("width", [1e-12, 1e-5, 0.02, 50.0])
@pytest.mark.parametrize("name", LAWS)
def test_resolving_rules_integrate_across_a_smoothed_kink(name, kink, width):
    law = LAWS[name]
    nodes, weights = law.resolving(np.array([kink]), np.array([width]))
    value = float((weights * ndtr((nodes - kink) / width) * (1 + nodes) ** 2).sum(axis=0)[0])
    exact = integral(
        name,
        lambda u: mp.ncdf((u - mp.mpf(kink)) / mp.mpf(width)) * (1 + u) ** 2,
        breaks=[kink + k * width for k in (-12, -6, -3, 0, 3, 6, 12)],
    )
    # A step at the kink itself moves with its last digit.
    assert value == pytest.approx(float(exact), rel=1e-12, abs=1e-15 * kink**2 + 1e-300)


@given(st.floats(1e-12, 1), st.sampled_from(sorted(LAWS)))
def test_sparse_cumulants(p, name):
    law = LAWS[name]
    source = rt.SparseSource(p, law)
    with mp.workdps(60):
        k1, k2, k3, k4 = (mp.mpf(k) for k in law.cumulants())
        moments = (k1, k2 + k1**2, k3 + 3 * k1 * k2 + k1**3)
        moments += (k4 + 4 * k1 * k3 + 3 * k2**2 + 6 * k1**2 * k2 + k1**4,)
        m1, m2, m3, m4 = (mp.mpf(p) * m for m in moments)
        exact = (
            m1,
            m2 - m1**2,
            m3 - 3 * m1 * m2 + 2 * m1**3,
            m4 - 4 * m1 * m3 - 3 * m2**2 + 12 * m1**2 * m2 - 6 * m1**4,
        )
    scale = p * max(law.second_moment, 1) ** 2
    for order, (value, truth) in enumerate(zip(source.cumulants(), exact, strict=True)):
        slack = 0.0 if order < 2 else 1e-14 * scale  # the first two have one sign throughout
        assert float(value) == pytest.approx(float(truth), rel=1e-13, abs=slack)


def test_uniform_cumulants_of_the_paper():
    p = 0.3
    k = rt.SparseSource(p).cumulants()
    assert k[1] == pytest.approx((4 * p - 3 * p**2) / 12)
    assert k[2] == pytest.approx(p / 4 - p**2 / 2 + p**3 / 4)


@pytest.mark.parametrize("name", LAWS)
def test_samples_and_quadrature_of_the_source(name):
    source = rt.SparseSource(0.3, LAWS[name])
    x = source.sample(200_000, seed=3)
    assert np.array_equal(x, source.sample(200_000, seed=3))
    error = x.std() / np.sqrt(x.size)
    assert abs(x.mean() - source.mean) < 4.5 * error
    on = x > 0
    assert abs(on.mean() - 0.3) < 4.5 * np.sqrt(0.21 / x.size)
    nodes, weights = source.quadrature(8)
    assert weights @ nodes == pytest.approx(source.mean, rel=1e-12)
    assert weights @ nodes**2 == pytest.approx(source.second_moment, rel=1e-12)
    assert complex(source.mgf(-1.0)).real == pytest.approx(
        0.7 + 0.3 * float(integral(name, lambda u: mp.exp(-u))), rel=1e-12
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rt.SparseSource(0.0), r"p must lie in \(0, 1\], got 0.0"),
        (lambda: rt.SparseSource(1.3), "got 1.3"),
        (lambda: rt.SparseSource(np.nan), "p must be finite"),
        (lambda: rt.Uniform(1.0, 1.0), "high must be greater than low"),
        (lambda: rt.Uniform(np.nan, 1.0), "low must be finite"),
        (lambda: rt.Constant(0.0), "value must not be zero"),
        (lambda: rt.Exponential(-1.0), "scale must be positive"),
        (lambda: rt.Beta(0.0, 1.0), "alpha must be positive"),
        (lambda: rt.FromQuadrature([1.0, 2.0], [1.0]), "equal length"),
        (lambda: rt.FromQuadrature([0.0], [1.0]), "positive probability to a node"),
        (lambda: rt.SparseSource([0.1, 0.2]).sample(3, seed=0), "p must be a scalar"),
        (lambda: rt.SparseSource(0.1).sample(3, seed=-1), "seed must be at least 0"),
    ],
)
def test_bad_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rt.SparseSource("0.1"), "p must be a real number"),
        (lambda: rt.SparseSource(0.1, amplitude=rt.Uniform), "amplitude law"),
        (lambda: rt.Constant([1.0, 2.0]), "value must be a scalar"),
        (lambda: rt.Uniform().quadrature(2.5), "n must be an integer"),
    ],
)
def test_bad_types(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_exponential_less_one_of_a_complex_number():
    """Also where its real or imaginary part cancels, and at any size of the argument."""
    rng = np.random.default_rng(0)
    size = 10 ** rng.uniform(-12, 6, 2000)
    near = np.pi * rng.integers(1, 2000, 2000) * (1 + 10 ** rng.uniform(-15, -1, 2000))
    imag = rng.choice([-1, 1], 2000) * np.where(rng.random(2000) < 0.5, size, near)
    real = rng.choice([-1, 0, 1], 2000) * 10 ** rng.uniform(-12, 2, 2000)
    z = real + 1j * imag
    with mp.workdps(40):
        exact = [mp.expm1(mp.mpc(x)) for x in z]
        pairs = zip(uniform.expm1(z), exact, strict=True)
        error = [float(abs((mp.mpc(value) - true) / true)) for value, true in pairs]
    assert max(error) < 8e-16
