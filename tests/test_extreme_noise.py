"""Noise of any size that is a number, in every function that takes it."""

import inspect
import warnings

import numpy as np
import pytest

import rugtheory as rt
from rugtheory.decoder.optimum import KINDS

from .laws.domain import AMPLITUDES, SIGNED

# Down to where σ² is 0, and to where powers of 1/σ are no numbers.
SIGMA = [0, 5e-324, 1e-310, 1e-162, 1e-154, 1e-120, 8.7e-97, 1e-60, 1e-28, 1e-17, 1e-8, 0.1]
SIGMA = np.array([*SIGMA, 10.0, 1e8, 1e17, 1e30, 1e50])
P = np.array([1e-140, 1e-30, 1e-5, 0.1, 0.5, 1.0])[:, None]
QUICK = [AMPLITUDES[0], *(x for x in AMPLITUDES if x.atoms() is not None)]
LINES = (1.0, 0.0), (1.2, -0.3), (0.0, 0.2), (-0.5, 0.1), (1e9, -1e3)
FUNCTIONS = {
    name: x
    for name, x in vars(rt).items()
    if inspect.isfunction(x) and "sigma" in inspect.signature(x).parameters
}
CHANNELS = {
    name: x
    for name, x in vars(rt).items()
    if inspect.isclass(x) and issubclass(x, rt.Channel)
    if not inspect.isabstract(x) and "sigma" in inspect.signature(x).parameters
}


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def at_line(name, a, b, law):
    found = FUNCTIONS[name](a, b, SIGMA, P, amplitude=law)
    fields = getattr(found, "__dataclass_fields__", None)
    return [found] if fields is None else [np.asarray(getattr(found, x)) for x in fields]


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"optimum"}))
def test_what_decoders_lose(name):
    # With a partner a density takes long.
    for law in [x for x in AMPLITUDES + SIGNED if name != "antipodal_loss" or x in QUICK]:
        check_losses(name, law)


@pytest.mark.slow
@pytest.mark.parametrize("law", [x for x in AMPLITUDES if x not in QUICK], ids=repr)
def test_what_decoders_lose_with_a_partner(law):
    check_losses("antipodal_loss", law)


def check_losses(name, law):
    for a, b in LINES:
        assert all(np.isfinite(x).all() for x in at_line(name, a, b, law))


@pytest.mark.parametrize("law", AMPLITUDES + SIGNED, ids=repr)
def test_the_best_decoder(law):
    """Its loss rises with σ, to no more than that of zero; a ReLU alone loses E ν² at most."""
    best, power = rt.optimum(P, sigma=SIGMA, amplitude=law), rt.SparseSource(P, law).second_moment
    assert np.isfinite([best.a, best.b]).all()
    loss = best.loss
    assert np.all(np.diff(loss, axis=1) >= -1e-9 * loss[:, 1:])
    assert np.all((loss >= 0) & (loss <= power * (1 + 1e-9)))
    if law.start >= 0:
        assert np.all(loss <= SIGMA**2 * (1 + 1e-9) + 1e-310)
    else:
        # What is negative is lost to a ReLU, and nothing else without noise.
        lost = power - rt.optimum(P, sigma=0.0, amplitude=law).loss
        np.testing.assert_allclose(power - loss[:, SIGMA < 1e-20], np.tile(lost, 9), rtol=1e-9)


@pytest.mark.parametrize("sigma", [1e-30, 1e-80, 8.7e-97, 1e-97, 1e-120, 1e-150])
def test_small_noise_has_one_law(sigma):
    """L ≈ p σ² Λ(p) with Λ from its own minimisation, at any σ that is small."""
    best = rt.optimum([0.1, 0.045, 0.01, 1e-3], sigma=sigma)
    np.testing.assert_allclose(
        best.loss / best.p / sigma**2, [1.75438618, 2.00737614, 2.51943314, 3.38233797], rtol=1e-8
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CHANNELS)
def test_every_decoder(name, kind):
    if name == "GaussianChannel":
        check_decoder(name, kind, rt.Uniform(), SIGMA[1:])
    check_decoder(name, kind, rt.Constant(0.7), SIGMA[1::5])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("law", [rt.Uniform(), rt.Constant(0.7), rt.Uniform(-0.4, 1.1)], ids=repr)
def test_every_decoder_at_length(name, kind, law):
    check_decoder(name, kind, law, SIGMA[1:])


def check_decoder(name, kind, law, sigmas):
    power = rt.SparseSource(P[2:4], law).second_moment
    for sigma in sigmas:
        found = rt.optimum_decoder(
            kind,
            P[2:4],
            0.3,
            channel=lambda p, _, __, sigma=sigma: CHANNELS[name](sigma + 0 * p),
            amplitude=law,
        )
        assert np.all((found.loss >= 0) & (found.loss <= power * (1 + 1e-9)))
        if name == "GaussianChannel" and law.start >= 0 and kind not in ("topk", "selection"):
            # Less noise than 1e-100 of an amplitude counts as that.
            assert np.all(found.loss <= max(sigma, 1e-100) ** 2 * (1 + 1e-9))
