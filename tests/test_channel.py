"""The law of a row's interference: cumulants, probabilities, corrections to the Gaussian."""

import mpmath
import numpy as np
import pytest
from scipy import special
from scipy.integrate import quad
from scipy.stats import norm

import rugtheory as rt
from rugtheory.channel.terms import log1p

from .oracle import rows

LAWS = [rt.Uniform(), rt.Exponential(0.5), rt.HalfNormal(0.7), rt.Beta(2, 3), rt.Constant(0.6)]
WEIGHTS = np.random.default_rng(2).normal(size=40) * 0.15


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_cumulants_are_derivatives_of_the_log_mgf(law):
    channel = rt.RowChannel.of(WEIGHTS[:9], 0.2, law)
    h = 0.4
    # Cauchy's integral for the Taylor coefficients of log E exp(sZ) around 0.
    s = h * np.exp(2j * np.pi * np.arange(64) / 64)
    coefficients = np.fft.fft(np.log(channel.mgf(s))).real / 64
    for n, cumulant in enumerate(channel.cumulants(), 1):
        expected = coefficients[n] / h**n * special.factorial(n)
        assert cumulant == pytest.approx(expected, rel=1e-10, abs=1e-13)


@pytest.mark.parametrize("law", LAWS, ids=repr)
@pytest.mark.parametrize(("size", "p"), [(40, 0.1), (3, 0.5), (20, 0.002)])
def test_tail_against_simulation(law, size, p):
    channel = rt.RowChannel.of(WEIGHTS[:size], p, law)
    z = rt.SparseSource(p, law).sample((200_000, size), 1) @ WEIGHTS[:size]
    t = channel.mean + channel.std * np.array([-2.1, -1.3, -0.4, 0.3, 1.1, 1.9, 3.2])
    tail, error = channel.tail(t)
    observed = (z[:, None] > t).mean(axis=0)
    slack = 4.5 * np.sqrt(tail * (1 - tail) / z.size) + error + 1e-9
    assert np.all(np.abs(tail - observed) < slack)
    assert error < 1e-3


def test_one_interferer_in_closed_form():
    """Z = 0 with probability 1 - p, else uniform on [0, ½]."""
    channel = rt.RowChannel.of([0.5], 0.3)
    t = np.array([-0.1, 0.1, 0.37, 0.6])
    tail, error = channel.tail(t)
    assert np.all(np.abs(tail - [1, 0.3 * 0.8, 0.3 * 0.26, 0]) <= error)
    assert error < 1e-4
    z, phi = (0 - channel.mean) / channel.std, special.ndtr
    largest = max(1 - 0.3 - phi(z), phi(z))
    found = channel.distance_from_gaussian()
    assert abs(found.value - largest) <= found.error + 1e-6


def two_interferers(t, p):
    """P(.5 x_1 - .3 x_2 <= t): neither, one, the other and both, a trapezoid from -.3 to .5."""
    ramps = [np.maximum(t - end, 0) ** 2 for end in (-0.3, 0.2, 0.0, 0.5)]
    both = (ramps[0] - ramps[1] - ramps[2] + ramps[3]) / (2 * 0.5 * 0.3)
    one = np.clip(t / 0.5, 0, 1) + np.clip((t + 0.3) / 0.3, 0, 1)
    return (1 - p) ** 2 * (t >= 0) + p * (1 - p) * one + p * p * both


@pytest.mark.parametrize("p", [0.9, 0.3, 0.02])
def test_distance_of_two_interferers(p):
    channel = rt.RowChannel.of([0.5, -0.3], p)
    t = channel.mean + channel.std * np.linspace(-6, 6, 2_000_001)
    t = np.append(t, [0.0, -1e-13])
    largest = np.max(np.abs(two_interferers(t, p) - norm.cdf(t, channel.mean, channel.std)))
    found = channel.distance_from_gaussian()
    assert abs(found.value - largest) <= found.error + 1e-6
    assert found.error < 1e-5


def test_distance_with_noise_that_is_narrow_beside_the_weights():
    """The largest weights are apart from those that the noise is not far below."""
    weights = [9.0, -4.0, 1.0, 0.1, -0.05, 0.02, 0.01, 0.3, -2.0]
    w_out = np.vstack([[1.0, *weights], np.eye(10)[1:]])
    model = rt.Model(np.eye(10), w_out, hidden_noise=1e-3)
    found = rt.RowChannel(model, rt.Identical(10, 0.05), 0).distance_from_gaussian()
    assert found.error < 1e-3


@pytest.mark.parametrize("step", [1e-9, 1e-3, 0.02])
def test_tails_of_many_points_together(step):
    """Points of equal distance are inverted together: here some, the rest beside them."""
    channel = rt.RowChannel.of(WEIGHTS[:9], 0.2)
    near = 0.07 + step * np.arange(-120, 120)
    t = np.append(near, [-7.0, 0.0, -1e-13, 0.1234])
    together, error = channel.tail(t)
    some = np.random.default_rng(0).permutation(t.size)[:40]
    alone, other = channel.tail(t[some])
    assert np.all(np.abs(together[some] - alone) <= error + other)
    assert error < 1e-3


def test_distance_of_a_constant():
    assert rt.RowChannel.of([0.0], 0.3).distance_from_gaussian().value == 1


def test_distance_falls_with_size():
    """Berry and Esseen: about as the inverse root of the number of terms."""
    distances = [
        rt.RowChannel.of(np.full(n, 1.0), 0.3).distance_from_gaussian().value for n in (16, 64, 256)
    ]
    assert distances[0] / distances[1] == pytest.approx(2, rel=0.2)
    assert distances[1] / distances[2] == pytest.approx(2, rel=0.2)


class TestCorrections:
    def test_gaussian_is_the_reduced_loss(self):
        channel = rt.RowChannel.of(WEIGHTS, 0.1)
        expected = rt.reduced_loss(1.3, -0.4 + channel.mean, channel.std / 1.3, 0.1)
        assert channel.gaussian_loss(1.3, -0.4) == pytest.approx(float(expected), rel=1e-14)

    @pytest.mark.parametrize("a", [1.2, 0.0, -0.5])
    def test_series_from_its_definition(self, a):
        """The Edgeworth density integrated numerically."""
        channel = rt.RowChannel.of(WEIGHTS, 0.1)
        b = -0.2
        k1, k2, k3, k4 = channel.cumulants()
        sd = np.sqrt(k2)

        def density(z):
            h3, h4 = z**3 - 3 * z, z**4 - 6 * z**2 + 3
            h6 = z**6 - 15 * z**4 + 45 * z**2 - 15
            series = (
                1 + k3 / (6 * sd**3) * h3 + k4 / (24 * k2**2) * h4 + (k3 / sd**3) ** 2 / 72 * h6
            )
            return norm.pdf(z) * series

        def loss(u):
            def integrand(z):
                return (u - max(a * u + b + k1 + sd * z, 0)) ** 2 * density(z)

            kink = -(a * u + b + k1) / sd
            points = np.clip([kink, -4.0, 0.0, 4.0], -12, 12)
            return quad(integrand, -12, 12, points=points, limit=200, epsabs=1e-12)[0]

        u, w = np.polynomial.legendre.leggauss(24)
        on = sum(x / 2 * loss((1 + y) / 2) for y, x in zip(u, w, strict=True))
        expected = 0.9 * float(loss(0.0)) + 0.1 * float(on)
        assert channel.corrected_loss(a, b) == pytest.approx(expected, rel=1e-6)

    def test_correct_to_higher_order_in_the_number_of_terms(self):
        """Errors of orders 2, 3 and 4 fall at least as n^-½, n^-1 and n^-1.5."""
        errors = []
        for n in (100, 400, 1600):
            weights = np.full(n, -0.9 / np.sqrt(n))
            channel = rt.RowChannel.of(weights, 0.3)
            b = -0.25 - channel.mean
            truth = channel.loss(1.1, b, rtol=1e-10).value
            errors.append([abs(channel.corrected_loss(1.1, b, order=k) - truth) for k in (2, 3, 4)])
        slopes = np.log(np.array(errors)[0] / np.array(errors)[-1]) / np.log(16)
        assert slopes[0] == pytest.approx(0.5, abs=0.15)
        assert slopes[1] > 0.85
        assert slopes[2] > 1.2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rt.RowChannel.of([[0.1]], 0.1), r"weights must be a vector, got shape \(1, 1\)"),
        (lambda: rt.RowChannel.of([np.inf], 0.1), "weights must be finite, got inf"),
        (lambda: rt.RowChannel.of([0.1], 1.1), r"p must lie in \(0, 1\], got 1.1"),
        (
            lambda: rt.RowChannel.of([0.1], 0.1).corrected_loss(1, 0, order=5),
            r"order must be in \[2, 4\]",
        ),
    ],
)
def test_bad_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("seed", "count"), [(2, 150), pytest.param(3, 2500, marks=pytest.mark.slow)]
)
def test_errors_of_tails_hold(seed, count):
    """No probability is further from its closed form than the error says."""
    rng, known = np.random.default_rng(seed), 0
    kinds = {"uniform": rt.Uniform, "exponential": rt.Exponential}
    for law, _, weights, _, p in rows.hard(seed, count):
        amplitude, w = kinds[law[0]](*law[1:]), np.array(weights)
        channel, size = rt.RowChannel.of(weights, p, amplitude), amplitude.mean
        near = rng.choice([0.001, -0.001, 1e-6, w[0] * size, 1.3 * w[0] * size, w.sum() * size])
        t = float(near if rng.random() < 0.8 else rng.normal() * np.abs(w).sum())
        tail, error = channel.tail(t)
        assert abs(tail - float(rows.tail(law, weights, t, p))) <= error, (law, weights, t, p)
        known += error < 1e-3
    assert known > 0.9 * count


def test_a_tail_between_weights_of_very_different_size():
    channel = rt.RowChannel.of([1.0, 0.001, -70.0], 0.1, rt.Uniform(9, 10))
    tail, error = channel.tail(0.001)
    assert abs(tail - 0.171) <= error < 1e-3


@pytest.mark.parametrize("about", [0.0, -1.0])
def test_a_complex_logarithm_keeps_its_digits(about):
    """Where 1 + z is 1, and where it is nothing but z: products of transforms decay to that."""
    sizes = np.geomspace(1e-12, 0.4, 30)
    z = about + np.multiply.outer(sizes, np.exp(1j * np.linspace(-3, 3, 13))).ravel()
    found = log1p(z)
    with mpmath.workdps(40):
        truth = np.array([complex(mpmath.log(1 + mpmath.mpc(x))) for x in z])
    np.testing.assert_allclose(found, truth, rtol=1e-14)
