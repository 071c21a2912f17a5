"""The laws the reduced loss obeys; its digits are the business of test_accuracy.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rugtheory as rt

LAWS = [
    rt.Uniform(),
    rt.Uniform(0.2, 1.5),
    rt.Constant(0.7),
    rt.Exponential(0.5),
    rt.HalfNormal(1.2),
    rt.Beta(2.0, 3.0),
    rt.FromQuadrature([0.1, 0.5, 2.0], [1.0, 2.0, 1.0]),
]

# One table of cases: a, b, sigma, and what the case is about.
CASES = {
    "near the optimum": (1.29, -0.45, 0.21),
    "loose": (0.3, 0.1, 3.0),
    "wide noise, no bias": (1.0, 0.0, 100.0),
    "positive bias": (0.8, 0.2, 0.3),
    "kink at the top": (1.0, -1.0, 0.05),
    "kink beyond the top": (0.5, -0.8, 0.1),
    "negative diagonal": (-1.3, 0.45, 0.2),
    "negative diagonal and bias": (-2.0, -0.3, 0.5),
    "no diagonal": (0.0, 0.2, 0.3),
    "no noise": (0.9, -0.05, 0.0),
    "hardly any noise": (1.0, -1e-7, 1e-8),
}

finite = st.floats(-5, 5)
probabilities = st.floats(1e-9, 1)


@pytest.mark.parametrize("tag", CASES)
def test_closed_form_is_quadrature_is_monte_carlo(tag):
    a, b, sigma = CASES[tag]
    closed = rt.loss_parts(a, b, sigma, 0.3)
    # Beta(1, 1) is the uniform law, integrated numerically.
    quadrature = rt.loss_parts(a, b, sigma, 0.3, amplitude=rt.Beta(1.0, 1.0))
    np.testing.assert_allclose(closed.on, quadrature.on, rtol=1e-13)
    rng = np.random.default_rng(7)
    n = 400_000
    u, nu = rng.random(n), sigma * rng.standard_normal(n)
    for part, x in ((closed.on, u), (closed.off, np.zeros(n))):
        errors = (x - np.maximum(a * (x + nu) + b, 0)) ** 2
        spread = errors.std() / np.sqrt(n)
        assert abs(errors.mean() - part) <= 4.5 * spread + 1e-15


@pytest.mark.parametrize("law", LAWS, ids=repr)
@pytest.mark.parametrize("tag", CASES)
def test_monte_carlo_for_every_law(tag, law):
    a, b, sigma = CASES[tag]
    rng = np.random.default_rng(11)
    n = 200_000
    x = rt.SparseSource(0.4, law).sample(n, rng)
    errors = (x - np.maximum(a * (x + sigma * rng.standard_normal(n)) + b, 0)) ** 2
    loss = rt.reduced_loss(a, b, sigma, 0.4, amplitude=law)
    assert abs(errors.mean() - loss) <= 4.5 * errors.std() / np.sqrt(n) + 1e-15


@pytest.mark.parametrize("law", LAWS, ids=repr)
@given(
    # at a = 0 the loss has a kink
    a=st.floats(0.02, 3) | st.floats(-3, -0.02),
    b=st.floats(-3, 3),
    sigma=st.floats(0.02, 5),
    p=probabilities,
)
def test_gradient_is_the_derivative(law, a, b, sigma, p):
    gradient = rt.loss_gradient(a, b, sigma, p, amplitude=law)
    at, weights = np.array([-2, -1, 1, 2]), np.array([1, -8, 8, -1]) / 12
    e = abs(a) * sigma
    h = {"a": 0.02 * abs(a) * min(sigma, 1) / (1 + abs(b)), "b": 0.02 * e, "sigma": 0.02 * sigma}
    scale = p * (1 + a * a) + (1 + sigma) ** 2 * a * a + b * b
    for name, step in h.items():
        point = {"a": a, "b": b, "sigma": sigma}
        point[name] = point[name] + step * at
        numerical = weights @ rt.reduced_loss(**point, p=p, amplitude=law) / step
        assert getattr(gradient, name) == pytest.approx(
            numerical, rel=1e-5, abs=1e-5 * e + 1e-13 * scale / step
        )


@given(finite, finite, probabilities)
def test_noiseless_limit(a, b, p):
    u = np.linspace(0, 1, 200_001)
    on = np.mean((u - np.maximum(a * u + b, 0))[1:-1] ** 2)
    parts = rt.loss_parts(a, b, 0.0, p)
    assert parts.on == pytest.approx(on, rel=1e-4, abs=1e-8)
    assert parts.off == max(b, 0) ** 2


def test_broadcasting_and_array_likes():
    a, b = np.ones((3, 1)), [-0.1, 0.0, 0.1, 0.2]
    loss = rt.reduced_loss(a, b, 0.2, 0.1)
    assert loss.shape == (3, 4) and loss.dtype == np.float64
    assert loss[2, 3] == rt.reduced_loss(1, 0.2, 0.2, 0.1)
    assert rt.reduced_loss(np.empty(0), 0.0, 0.1, 0.1).shape == (0,)
    assert rt.reduced_loss(1.0, 0.0, 0.1, 0.1).shape == ()


def test_blocks_make_no_difference():
    rng = np.random.default_rng(0)
    a, b, sigma = rng.normal(size=40_000), rng.normal(size=40_000), rng.random(40_000)
    loss = rt.reduced_loss(a, b, sigma, 0.1)
    some = rng.integers(0, 40_000, 50)
    np.testing.assert_array_equal(loss[some], rt.reduced_loss(a[some], b[some], sigma[some], 0.1))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((1, 0, -0.1, 0.1), ValueError, "sigma must be non-negative, got -0.1"),
        ((1, 0, 0.1, 0), ValueError, r"p must lie in \(0, 1\], got 0"),
        ((np.nan, 0, 0.1, 0.1), ValueError, "a must be finite, got nan"),
        ((1, np.inf, 0.1, 0.1), ValueError, "b must be finite, got inf"),
        ((1, "x", 0.1, 0.1), TypeError, "b must be a real number"),
        ((1, 1j, 0.1, 0.1), TypeError, "b must be a real number"),
        (([1, 2], [1, 2, 3], 0.1, 0.1), ValueError, "do not broadcast"),
    ],
)
def test_bad_arguments(arguments, error, message):
    for function in (rt.reduced_loss, rt.loss_parts, rt.loss_gradient):
        with pytest.raises(error, match=message):
            function(*arguments)
