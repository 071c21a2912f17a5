"""The optimum: a stationary point, the global one, with the right limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

import rugtheory as rt

LAWS = [
    rt.Uniform(),
    rt.Uniform(0.5, 1.5),
    rt.Constant(0.7),
    rt.Exponential(0.5),
    rt.HalfNormal(1.2),
    rt.Beta(2.0, 3.0),
]

probabilities = st.floats(-12, 0).map(lambda x: 10**x)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_no_decoder_found_by_a_general_optimiser_is_better(law):
    rng = np.random.default_rng(5)
    for p, sigma in zip(10 ** rng.uniform(-5, 0, 12), 10 ** rng.uniform(-2, 1, 12), strict=True):
        best = rt.optimum(p, sigma=sigma, amplitude=law)
        for start in ((1.0, 0.0), (1.5, -3 * sigma), (0.1, 0.1), (3.0, -10 * sigma)):
            found = optimize.minimize(
                lambda x, s=sigma, p=p: float(rt.reduced_loss(*x, s, p, amplitude=law)),
                start,
                method="Nelder-Mead",
                options={"xatol": 1e-10, "fatol": 1e-18, "maxiter": 400},
            )
            assert found.fun >= best.loss * (1 - 1e-13)


@pytest.mark.parametrize("law", LAWS, ids=repr)
@given(p=probabilities, signal=st.floats(-2, 4))
@settings(max_examples=25)
def test_gradient_vanishes(law, p, signal):
    sigma = law.mean / 10**signal
    best = rt.optimum(p, sigma=sigma, amplitude=law)
    gradient = rt.loss_gradient(best.a, best.b, sigma, p, amplitude=law)
    scale = p * law.second_moment
    assert abs(gradient.a) < 1e-12 * scale
    assert abs(gradient.b) < 1e-12 * scale / law.mean


@pytest.mark.parametrize("law", [rt.Uniform(), rt.Uniform(0.5, 1), rt.Constant(), rt.Beta(2, 2)])
def test_loss_falls_with_ratio_and_rises_with_p_and_sigma(law):
    ratio = np.concatenate([np.geomspace(1e-9, 0.5, 40), 1 - np.geomspace(0.4, 1e-9, 20)])
    p = np.geomspace(1e-8, 0.6, 12)[:, None]
    loss = rt.optimum(p, ratio, amplitude=law).loss
    assert np.all(np.diff(loss, axis=1) <= 1e-13 * loss[:, 1:])
    sigma = np.geomspace(1e-6, 1e3, 80)
    loss = rt.optimum(p, sigma=sigma, amplitude=law).loss
    assert np.all(np.diff(loss, axis=1) >= -1e-13 * loss[:, 1:])


@pytest.mark.parametrize("p", [0.1, 0.045, 0.01, 0.001])
def test_high_sparsity_law(p):
    # L → p σ² Λ(p) as σ → 0, Λ minimised here on a grid, with the tail by numerical integration.
    z = np.linspace(0, 12, 40_001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    m = np.linspace(0, 4, 801)
    passed = np.array([np.trapezoid(np.maximum(z - k, 0) ** 2 * density, z) for k in m])
    constant = np.min(1 + m**2 / 4 + passed * (1 - p) / p)
    best = rt.optimum(p, sigma=1e-5)
    assert best.loss / (p * 1e-10) == pytest.approx(constant, rel=2e-4)


def test_scaling_of_the_amplitude():
    p, sigma = np.geomspace(1e-6, 1, 9)[:, None], np.geomspace(1e-3, 10, 9)
    one = rt.optimum(p, sigma=sigma)
    scaled = rt.optimum(p, sigma=7 * sigma, amplitude=rt.Uniform(0, 7))
    np.testing.assert_allclose(scaled.a, one.a, rtol=1e-12)
    np.testing.assert_allclose(scaled.b, 7 * one.b, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(scaled.loss, 49 * one.loss, rtol=1e-13)


def test_large_arrays_take_another_start_to_the_same_end():
    rng = np.random.default_rng(2)
    p = np.concatenate([10 ** rng.uniform(-14, 0, 3000), rng.random(3000)])
    ratio = np.concatenate([10 ** rng.uniform(-10, 0, 3000), rng.random(3000)])
    many = rt.optimum(p, ratio)
    few = [rt.optimum(p[i : i + 500], ratio[i : i + 500]) for i in range(0, 6000, 500)]
    for name, scale in (("a", 1e-11), ("loss", 1e-13)):
        together = np.concatenate([getattr(x, name) for x in few])
        np.testing.assert_allclose(getattr(many, name), together, rtol=scale)
    b = np.concatenate([x.b for x in few])
    np.testing.assert_array_less(np.abs(many.b - b), 1e-11 * many.a * (many.sigma + np.abs(b)))


def test_exponential_amplitudes_have_two_minima_and_the_lower_one_wins():
    # Rare and long-tailed: detecting the largest features competes with reading all linearly.
    law, sigma = rt.Exponential(1.0), 1 / 0.419
    for p in (1e-3, 1e-7, 1e-12):
        best = rt.optimum(p, sigma=sigma, amplitude=law)
        slope = np.geomspace(1e-16, 2, 400)[:, None]
        losses = rt.reduced_loss(
            slope, slope * np.linspace(-12, 6, 200) * sigma, sigma, p, amplitude=law
        )
        assert best.loss <= losses.min() * (1 + 1e-13)


def test_a_feature_that_never_varies():
    best = rt.optimum(1.0, sigma=0.3, amplitude=rt.Constant(0.7))
    assert (best.a, best.b, best.loss) == (0, 0.7, 0)


def test_shapes_and_fields():
    best = rt.optimum(np.full((3, 1), 0.1), np.full(4, 0.5))
    for name in ("p", "ratio", "sigma", "a", "b", "loss"):
        assert getattr(best, name).shape == (3, 4)
    assert rt.optimum(0.1, sigma=0.2).ratio is None
    with pytest.raises(AttributeError):
        best.a = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "message"),
    [
        ((0.1,), {}, ValueError, "exactly one of ratio and sigma"),
        ((0.1, 0.5), {"sigma": 0.1}, ValueError, "exactly one of ratio and sigma"),
        ((0.1, 0.0), {}, ValueError, r"ratio must lie in \(0, 1\], got 0.0"),
        ((0.1, 1.5), {}, ValueError, r"ratio must lie in \(0, 1\], got 1.5"),
        ((0.0, 0.5), {}, ValueError, r"p must lie in \(0, 1\], got 0.0"),
        ((0.1,), {"sigma": -1.0}, ValueError, "sigma must be non-negative"),
        (([0.1, 0.2], [0.1, 0.2, 0.3]), {}, ValueError, "do not broadcast"),
        (("0.1", 0.5), {}, TypeError, "p must be a real number"),
        ((0.1, 0.5), {"amplitude": "uniform"}, TypeError, "amplitude law"),
    ],
)
def test_bad_arguments(arguments, keywords, error, message):
    with pytest.raises(error, match=message):
        rt.optimum(*arguments, **keywords)
