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


@pytest.mark.parametrize(
    "law", [LAWS[0], *(pytest.param(x, marks=pytest.mark.slow) for x in LAWS[1:])], ids=repr
)
def test_no_decoder_found_by_a_general_optimiser_is_better(law):
    rng = np.random.default_rng(5)
    for p, sigma in zip(10 ** rng.uniform(-5, 0, 6), 10 ** rng.uniform(-2, 1, 6), strict=True):
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
    p = np.geomspace(1e-8, 0.6, 6)[:, None]
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


def random_laws(seed, count):
    """Laws of amplitudes of very different size or frequency, with p and σ."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        k = rng.integers(2, 6)
        law = [
            rt.FromQuadrature(10 ** rng.uniform(-3, 0.5, k), 10 ** rng.uniform(-6, 0, k)),
            rt.FromQuadrature(np.linspace(0.1, 1, 12) ** 3, rng.random(12) ** 6 + 1e-9),
            rt.Beta(10 ** rng.uniform(-4, 1.5), 10 ** rng.uniform(-1, 3)),
        ][rng.integers(3)]
        p = 10 ** rng.uniform(-8, 0) if rng.random() < 0.7 else 1.0
        yield law, p, law.mean * 10 ** rng.uniform(-2, 2)


@pytest.mark.parametrize(("seed", "count"), [(0, 25), pytest.param(1, 400, marks=pytest.mark.slow)])
def test_no_threshold_of_a_dense_scan_is_better(seed, count):
    """Wherever sparsity is, in p or in the law; the loss is a quadratic in a at given b/a."""
    for law, p, sigma in random_laws(seed, count):
        best = rt.optimum(p, sigma=sigma, amplitude=law)
        atoms = law.atoms()
        linear = law.mean * sigma**2 / (law.variance + (1 - p) * law.mean**2)
        scales = [np.linspace(-12 * sigma, min(linear, 50 * sigma), 300)]
        scales.append(-np.geomspace(1e-6, 1, 80) * min(law.end, 50 * law.mean) * 2.2)
        if atoms is not None:
            scales += [-u + sigma * np.linspace(-6, 6, 25) for u in atoms[0]]
        b = np.concatenate(scales)
        whole = rt.reduced_loss(1.0, b, sigma, p, amplitude=law)
        half = rt.reduced_loss(0.5, b / 2, sigma, p, amplitude=law)
        none = p * law.second_moment
        square = 2 * (whole - 2 * half + none)
        cross = (none - whole + square) / 2
        a = np.where(square > 0, cross / np.where(square > 0, square, 1), 0)
        least = rt.reduced_loss(a, a * b, sigma, p, amplitude=law).min()
        assert best.loss <= least * (1 + 1e-9) + 1e-13 * none, (law, p, sigma)


def test_sparsity_inside_the_law():
    rare = rt.FromQuadrature((0.002, 0.9), (1, 4e-5))
    best = rt.optimum(1.0, sigma=0.035, amplitude=rare)
    assert best.loss <= rt.reduced_loss(1.2, -0.18156, 0.035, 1.0, amplitude=rare)
    one = rt.optimum(1.0, sigma=0.1, amplitude=rt.FromQuadrature((0.0, 1.0), (0.9999, 1e-4)))
    assert one.loss == pytest.approx(
        float(rt.optimum(1e-4, sigma=0.1, amplitude=rt.Constant()).loss)
    )


@pytest.mark.parametrize("law", [*LAWS, rt.Beta(0.5, 0.5), rt.Beta(1e-4, 1)], ids=repr)
def test_rarest_features(law):
    """Down to p = 1e-140 there is an optimum, and it is a stationary point: twice it loses E x²."""
    p = np.array([1e-12, 4e-17, 1.79e-19, 1e-30, 1e-80, 1e-139])[:, None]
    sigma = law.mean * np.array([1e-60, 1e-15, 1e-13, 1e-4, 0.1, 0.3, 1.0, 3.0, 30.0])
    best = rt.optimum(p, sigma=sigma, amplitude=law)
    variance = rt.SparseSource(p, law).variance
    assert np.all(best.loss <= variance * (1 + 1e-14)) and np.all(best.a > 0)
    doubled = rt.reduced_loss(2 * best.a, 2 * best.b, sigma, p, amplitude=law)
    assert np.allclose(doubled, p * law.second_moment, rtol=1e-9)


@pytest.mark.parametrize(
    "law", [rt.Constant(0.7), rt.FromQuadrature([0.3, 0.7], [1.0, 1.0])], ids=repr
)
def test_hardly_any_noise(law):
    """As σ → 0 the loss of a discrete law is pσ²Λ, with Λ = 1 where a shift costs nothing."""
    p, sigma = 0.1, law.mean * np.array([1e-60, 3e-16, 1e-15, 3e-14, 1e-12])
    best = rt.optimum(p, sigma=sigma, amplitude=law)
    leading = rt.sparse_constants(p, amplitude=law).leading
    assert best.loss / (p * sigma**2) == pytest.approx(float(leading), rel=1e-9)
