"""Products of the Hessian of the exact loss, against digits of the definition and symmetries."""

import mpmath as mp
import numpy as np
import pytest

import rugtheory as rt

from .oracle.enumeration import uniform_loss


def some(seed, n=6, d=3):
    """Weights and biases, and two directions."""
    generator = np.random.default_rng(seed)
    shapes = (d, n), (n, d), (n,)
    at, one, two = ([generator.normal(size=x) for x in shapes] for _ in range(3))
    at[0] /= np.sqrt(d)
    at[1] = at[0].T + 0.2 * at[1]
    at[2] = -0.3 * np.abs(at[2])
    return at, one, two


def inner(one, two):
    return sum(np.sum(x * y) for x, y in zip(one, two, strict=True))


def parts(found):
    return found.w_in, found.w_out, found.b


FEATURES = {
    "alike": rt.Identical(6, 0.1),
    "unequal": rt.Independent(rt.zipf(6, 0.3), importance=rt.geometric(6, 0.8)),
    "groups": rt.Groups(
        [rt.Together(0.2, 2), rt.Exclusive([0.1, 0.2]), *[rt.SparseSource(0.1)] * 2]
    ),
}


def test_second_derivatives_of_many_digits():
    """Against differences of the definition in 80 digits, along two directions."""
    (w_in, w_out, b), one, two = some(3, 4, 2)
    model, p = rt.Model(w_in, w_out, b), 0.2
    found = rt.exact_hessian_product(model, rt.Identical(4, p), one, rtol=1e-10)
    with mp.workdps(60):
        start, first, second = (
            [np.vectorize(mp.mpf, otypes=[object])(x) for x in y]
            for y in ((w_in, w_out, b), one, two)
        )

        def loss(s, t):
            x, y, bias = (w + s * u + t * v for w, u, v in zip(start, first, second, strict=True))
            w = y @ x
            rows = (uniform_loss(w[i, i], np.delete(w[i], i), bias[i], p) for i in range(4))
            return sum(rows) / 4

        h = mp.mpf(10) ** -12
        mixed = (loss(h, h) - loss(h, -h) - loss(-h, h) + loss(-h, -h)) / (4 * h**2)
        along = (loss(h, 0) - 2 * loss(0, 0) + loss(-h, 0)) / h**2
    size = np.sqrt(inner(parts(found), parts(found)))
    assert abs(float(along) - found.curvature) < 2e-6 * size * np.sqrt(inner(one, one))
    assert abs(float(mixed) - inner(two, parts(found))) < 2e-6 * size * np.sqrt(inner(two, two))
    assert found.error < 1e-4 * size


@pytest.mark.slow
def test_the_stated_error_is_above_that_along_the_gauge():
    """Of random weights of many features, where four gradients are not exact."""
    generator = np.random.default_rng(0)
    w_in, a = generator.normal(size=(4, 16)) / 2, generator.normal(size=(4, 4))
    model, features = rt.Model(w_in, 1.2 * w_in.T, -0.2), rt.Identical(16, 0.03)
    slope = rt.exact_gradient(model, features, rtol=1e-10)
    found = rt.exact_hessian_product(
        model, features, (a @ w_in, -model.w_out @ a, 0 * model.b), rtol=1e-5
    )
    gap = np.abs(found.w_in + a.T @ slope.w_in).max()
    assert 1e-12 < gap <= found.error


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("features", FEATURES.values(), ids=list(FEATURES))
def test_symmetric(features, noise):
    at, one, two = some(0)
    model = rt.Model(*at, hidden_noise=noise)
    first, second = (rt.exact_hessian_product(model, features, x) for x in (one, two))
    size = np.sqrt(inner(parts(first), parts(first)) * inner(two, two))
    assert abs(inner(two, parts(first)) - inner(one, parts(second))) < 1e-5 * size
    assert first.curvature == pytest.approx(inner(one, parts(first)), rel=1e-12)


@pytest.mark.parametrize("features", FEATURES.values(), ids=list(FEATURES))
def test_along_the_gauge_it_is_known_from_the_gradient(features):
    """The loss is the same at (e^{tA} W_in, W_out e^{-tA}), so slopes turn against weights."""
    (w_in, w_out, b), *_ = some(1)
    model, a = rt.Model(w_in, w_out, b), np.random.default_rng(2).normal(size=(3, 3))
    slope = rt.exact_gradient(model, features, rtol=1e-9)
    found = rt.exact_hessian_product(model, features, (a @ w_in, -w_out @ a, 0 * b), rtol=1e-9)
    size = np.abs(slope.w_in).max() * np.abs(a).sum()
    assert np.abs(found.w_in + a.T @ slope.w_in).max() < 1e-5 * size
    assert np.abs(found.w_out - slope.w_out @ a.T).max() < 1e-5 * size
    assert np.abs(found.b).max() < 1e-5 * size


def test_of_any_length():
    at, one, _ = some(4)
    model, features = rt.Model(*at), FEATURES["alike"]
    found = rt.exact_hessian_product(model, features, one)
    tiny = rt.exact_hessian_product(model, features, [1e-30 * x for x in one])
    for x, y in zip(parts(found), parts(tiny), strict=True):
        np.testing.assert_allclose(1e-30 * x, y, rtol=1e-9, atol=0)
    none = rt.exact_hessian_product(model, features, [0 * x for x in one])
    assert not none.w_in.any() and none.curvature == 0 == none.error


@pytest.mark.parametrize(
    "direction",
    [
        [[1.0]],
        [np.ones((3, 6)), np.ones((3, 6)), np.ones(6)],
        [np.ones((3, 6)), np.ones((6, 3)), 1.0],
    ],
)
def test_bad_directions(direction):
    with pytest.raises(ValueError, match=r"direction must be arrays of the shapes \[\(3, 6\)"):
        rt.exact_hessian_product(rt.Model(*some(0)[0]), FEATURES["alike"], direction)
