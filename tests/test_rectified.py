"""Repeated Gaussian integrals against G_n(z) = ∫_z^∞ (t - z)^n/n! φ(t) dt, done by mpmath."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rugtheory.numerics.rectified import signed_tails, tails

EPS = np.finfo(float).eps


def definition(n, z):
    with mp.workdps(40):
        z = mp.mpf(float(z))
        # exp(-z²/2) is taken out, so that the quadrature sees a function of size one.
        integrand = lambda s: s**n / mp.factorial(n) * mp.exp(-s * s / 2 - s * z)  # noqa: E731
        width = 1 / (1 + abs(z)) if z > 0 else 1
        points = [0, *(width * k for k in (2, 6, 15, 40, 100))]
        if z < 0:
            points = [0, -z / 2, -z, -z + 2, -z + 6, -z + 15]
        return mp.exp(-z * z / 2) * mp.quad(integrand, points) / mp.sqrt(2 * mp.pi)


@pytest.mark.parametrize(
    "z", [0.0, 1e-9, 0.1, 0.299, 0.301, 0.7, 1.0, 2.5, 4.0, 6.5, 8.0, 20.0, 37.0]
)
def test_tails_match_the_definition(z):
    values = tails(np.array(z))
    allowed = (6 + z * z / 4) * EPS
    for n, value in enumerate(values[1:]):
        assert abs(mp.mpf(float(value)) / definition(n, z) - 1) < allowed


@pytest.mark.parametrize("z", [-1e-9, -0.3, -1.0, -3.0, -9.0])
def test_negative_arguments(z):
    for n, value in enumerate(signed_tails(np.array(z))[1:]):
        assert abs(mp.mpf(float(value)) / definition(n, z) - 1) < 6 * EPS


def test_textbook_forms_would_not_do():
    # The direct form of G_2 has lost five digits at z = 8: the reason for this module.
    z = 8.0
    phi = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    direct = ((1 + z * z) * float(mp.erfc(z / mp.sqrt(2)) / 2) - z * phi) / 2
    exact = float(definition(2, z))
    assert abs(direct / exact - 1) > 1e3 * abs(float(tails(np.array(z)).g2) / exact - 1)


@given(st.floats(0, 30))
def test_recurrence(z):
    phi, g0, g1, g2, g3 = tails(np.array(z))
    np.testing.assert_allclose(g1 + z * g0, phi, rtol=1e-13)
    np.testing.assert_allclose(2 * g2 + z * g1, g0, rtol=1e-13)
    np.testing.assert_allclose(3 * g3 + z * g2, g1, rtol=1e-13)


def test_limits():
    assert [float(x) for x in tails(np.array(np.inf))] == [0.0] * 5
    at_zero = tails(np.array(0.0))
    assert float(at_zero.g0) == pytest.approx(0.5, rel=4 * EPS)
    assert float(at_zero.g2) == pytest.approx(0.25, rel=4 * EPS)
