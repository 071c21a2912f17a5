"""Posterior of a feature given its reading, against the truncated normal law at 60 digits."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rugtheory as rt
from rugtheory.channel.posterior import posterior


@given(
    st.floats(-6, 4).map(lambda x: 10**x),
    st.one_of(
        st.tuples(st.just("in"), st.floats(0, 1)), st.tuples(st.just("out"), st.floats(-35, 35))
    ),
    st.sampled_from([(0.0, 1.0), (0.2, 1.5)]),
)
@settings(max_examples=200)
def test_uniform(sigma, place, ends):
    low, high = ends
    if place[0] == "in":
        y = low + (high - low) * place[1]
    else:
        y = (high if place[1] > 0 else low) + sigma * place[1]
    found = posterior(rt.Uniform(low, high), np.array([y]), np.array([sigma]))
    with mp.workdps(60):
        s, y = mp.mpf(sigma), mp.mpf(float(y))
        left, right = (mp.mpf(low) - y) / s, (mp.mpf(high) - y) / s
        if left > 0:
            mass = (mp.erfc(left / mp.sqrt(2)) - mp.erfc(right / mp.sqrt(2))) / 2
        elif right < 0:
            mass = (mp.erfc(-right / mp.sqrt(2)) - mp.erfc(-left / mp.sqrt(2))) / 2
        else:
            mass = (mp.erf(right / mp.sqrt(2)) - mp.erf(left / mp.sqrt(2))) / 2
        shift = (mp.npdf(left) - mp.npdf(right)) / mass
        mean = y + s * shift
        ends_term = (left * mp.npdf(left) - right * mp.npdf(right)) / mass
        variance = s * s * (1 + ends_term - shift**2)
        log_density = mp.log(mass / (mp.mpf(high) - mp.mpf(low)))
    slack = 1e-15 * (1 + abs(float(y)) / sigma) ** 2  # a reading has its own rounding
    assert float(found.log_density[0]) == pytest.approx(float(log_density), abs=1e-12 + slack)
    assert float(found.mean[0]) == pytest.approx(float(mean), rel=1e-13, abs=1e-15)
    assert float(found.variance[0]) == pytest.approx(float(variance), rel=2e-13 + slack)


@pytest.mark.parametrize("sigma", [0.01, 0.3, 3.0])
def test_quadrature_of_other_laws(sigma):
    """A Beta(1, 1) is uniform, but takes the general path."""
    y = np.linspace(-3 * sigma, 1 + 3 * sigma, 31)
    noise = np.full_like(y, sigma)
    for x, z in zip(
        posterior(rt.Beta(1, 1), y, noise), posterior(rt.Uniform(), y, noise), strict=True
    ):
        assert x == pytest.approx(z, rel=1e-9)
