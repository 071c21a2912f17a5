"""Regressions, norm tests, per-token scaling, adjacent components and alignment: planted truths."""

import mpmath
import numpy as np
import pytest

from rugtheory.darkmatter import (
    adjacent,
    alignment,
    decompose,
    norm_test,
    per_token,
    regress,
)
from rugtheory.darkmatter.norm_test import gaussian_norm


def test_regression_finds_planted_r2():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60_000, 3)) + 10
    y = np.column_stack([2 * x[:, 0], x[:, 1]]) + rng.normal(size=(60_000, 2)) - 4
    found = regress(x, y)
    assert abs(found.r2 - 5 / 7) < 4 * found.r2_se
    assert abs(found.r2_columns - (4 / 5 + 1 / 2) / 2) < 4 * found.r2_columns_se
    assert 0 < found.r2_se < 0.01
    # Columns of variance 1, residual 1, 45 000 rows; the intercept is 10 slopes away.
    np.testing.assert_allclose(found.slope, [[2, 0], [0, 1], [0, 0]], atol=4 / 45_000**0.5)
    np.testing.assert_allclose(found.predict([[10, 11, 12]]), [[16, 7]], atol=0.06)


def test_unrelated_targets_score_the_price_of_fitting():
    # With an intercept and d Gaussian columns, a fit of n rows loses (1 + 1/n)(n - 2)/(n - d - 2)
    # of the variance on new rows.
    rng = np.random.default_rng(1)
    left = []
    for k in range(150):
        x, y = rng.normal(size=(1100, 5)), rng.normal(size=1100)
        found = regress(x, y, test_fraction=1000 / 1100, bootstrap=0, seed=k)
        assert (found.fit_rows, found.test_rows) == (100, 1000)
        left.append(1 - found.r2)
    n, d = 100, 5
    expected = (1 + 1 / n) * (n - 2) / (n - d - 2)
    assert abs(np.mean(left) - expected) < 4 * np.std(left) / len(left) ** 0.5
    assert np.mean(left) > 1.04


def test_a_sign_flip_is_no_prediction():
    rng = np.random.default_rng(2)
    x = rng.exponential(size=(8000, 6))
    test = norm_test(x)
    assert test.squared.probe.r2 > 0.5
    # 6 coefficients from 6000 rows cost 1e-3.
    for scores in (test.squared, test.norm):
        assert abs(scores.sign_flip.r2 + 1e-3) < 4 * scores.sign_flip.r2_se < 0.05


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        # Cov(w², w)²/(Var w Var w²) from the moments of each law
        (lambda rng, shape: (rng.random(shape) < 0.1) * 1.0, 1.0),
        (lambda rng, shape: rng.poisson(1.0, shape) * 1.0, 9 / 11),
        (lambda rng, shape: rng.exponential(size=shape), 4**2 / 20),
        (lambda rng, shape: rng.normal(size=shape), 0.0),
    ],
)
def test_norm_test_of_orthogonal_features(draw, truth):
    rng = np.random.default_rng(3)
    rotation = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    test = norm_test(draw(rng, (60_000, 8)) @ rotation)
    probe = test.squared.probe
    assert abs(probe.r2 - truth) < 4 * probe.r2_se + 4e-4


@pytest.mark.parametrize("mean", [0.0, 0.5, 3.0])
def test_a_gaussian_vector_has_its_null_value(mean):
    rng = np.random.default_rng(4)
    mixing = rng.normal(size=(5, 5))
    v = rng.normal(size=(80_000, 5)) @ mixing + mean
    x = v @ rng.normal(size=(5, 3)) + rng.normal(size=(80_000, 3))
    for test in (norm_test(v), norm_test(v, x=x)):
        for scores in (test.squared, test.norm):
            assert abs(scores.probe.r2 - scores.gaussian) < 4 * scores.probe.r2_se + 5e-4
    assert mean == 0 or norm_test(v).squared.gaussian > 0.005


def test_mean_norm_of_a_gaussian_vector():
    # One and two dimensions from the definition; isotropic at 384 from the chi law.
    for mu, var in ((1.0, 0.5), (1e-3, 2.0), (30.0, 1e-4)):
        norm, direction = gaussian_norm(np.array([mu]), np.array([var]))
        with mpmath.workdps(30):
            s = mpmath.sqrt(var)
            phi = mpmath.exp(-((mu / s) ** 2) / 2) * mpmath.sqrt(2 / mpmath.pi)
            truth = s * phi + mu * mpmath.erf(mu / s / mpmath.sqrt(2))
            sign = mpmath.erf(mu / s / mpmath.sqrt(2))
        assert norm == pytest.approx(float(truth), rel=1e-13)
        assert direction[0] == pytest.approx(float(sign), rel=1e-13)
    norm, direction = gaussian_norm(np.zeros(384), np.full(384, 2.0))
    with mpmath.workdps(30):
        truth = 2 * mpmath.gamma(mpmath.mpf(385) / 2) / mpmath.gamma(192)
    assert norm == pytest.approx(float(truth), rel=1e-13)
    assert not direction.any()
    mean, var = np.array([0.7, -0.2]), np.array([0.3, 1.1])
    norm, direction = gaussian_norm(mean, var)

    # The definition in polar coordinates: periodic in the angle, smooth in the radius.
    nodes, weights = np.polynomial.legendre.leggauss(200)
    r, t = (6 * (nodes + 1))[:, None], np.arange(200) * np.pi / 100
    v = np.stack([r * np.cos(t), r * np.sin(t)])
    density = np.exp(-((v.T - mean) ** 2 / (2 * var)).sum(-1)).T / np.sqrt(var[0] * var[1])
    density *= 6 * weights[:, None] * r / 200
    assert norm == pytest.approx(np.sum(r * density), rel=1e-12)
    np.testing.assert_allclose(direction, np.sum(v / r * density, axis=(1, 2)), rtol=1e-12)


def test_baselines():
    rng = np.random.default_rng(5)
    tokens = rng.integers(0, 50, 20_000)
    strength = rng.exponential(size=50)[tokens]
    noise = rng.normal(size=20_000)
    target = 10 + strength + 0.5 * noise
    v = target[:, None] ** 0.5 * np.array([[0.6, 0.8]])
    l0 = rng.poisson(20, 20_000)
    test = norm_test(v, x=rng.normal(size=(20_000, 3)), tokens=tokens, l0=l0).squared
    # Prediction by token leaves the noise.
    ratio = 0.25 / (strength.var() + 0.25)
    token = test.baselines["token identity"]
    assert abs(1 - token.r2 - ratio) < 4 * token.r2_se + 0.004
    assert abs(test.baselines["L0"].r2) < 0.005
    assert abs(test.baselines["activation norm"].r2) < 0.005
    assert abs(test.probe.r2) < 0.005
    own = norm_test(v).squared
    assert own.baselines["activation norm"].r2 > 0.99 and "L0" not in own.baselines


def test_tokens_not_seen_in_the_fit_get_the_mean():
    # Every context has a token of its own: held out, none of them is known.
    rng = np.random.default_rng(6)
    contexts = np.repeat(np.arange(40), 50)
    v = (1 + contexts[:, None] % 5) * rng.normal(size=(2000, 3))
    found = norm_test(v, tokens=contexts, contexts=contexts).squared.baselines["token identity"]
    assert -0.1 < found.r2 <= 0
    leaky = norm_test(v, tokens=contexts).squared.baselines["token identity"]
    assert leaky.r2 > 0.2


def test_per_token():
    rng = np.random.default_rng(7)
    linear, rest = rng.exponential(size=(2, 40_000))
    # Only the second part stays in the larger decoder: u on u + w leaves half of its variance.
    found = per_token(linear + rest, 0.5 * rest, rest)
    assert abs(found.error.r2 - 0.5) < 4 * found.error.r2_se
    assert found.both.r2 == pytest.approx(1, abs=1e-12)
    assert found.fvu_decrease == pytest.approx(100, abs=1e-9)
    noisy = per_token(linear + rest, 0.5 * rest + 0.5 * rng.exponential(size=40_000), rest)
    # 1/8 + 1/4 unexplained by the one, 1/4 by both.
    assert abs(noisy.fvu_decrease - 100 / 3) < 4 * noisy.fvu_decrease_se
    assert 0 < noisy.fvu_decrease_se < 2
    idle = per_token(linear, linear + rng.normal(size=40_000) ** 2, rng.exponential(size=40_000))
    assert abs(idle.fvu_decrease) < 4 * idle.fvu_decrease_se + 0.05
    with pytest.raises(ValueError, match="must have one length, got 3, 3, 2"):
        per_token([1, 2, 3], [1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="small must be non-negative, got -1"):
        per_token([-1, 2, 3], [1, 2, 3], [1, 2, 3])


def test_adjacent_components():
    rng = np.random.default_rng(8)
    n = 40_000
    before, attention, mlp = rng.normal(size=(3, n, 2))
    x = before + attention + mlp
    nonlinear = attention**2 - 1
    x_hat = x - (0.5 * x + nonlinear)
    split = decompose(x, x_hat)
    found = adjacent({"before": before, "attention²": attention**2, "x": x}, x, x_hat, split)
    # Var 0.5 x = 3/4, a third of it from each component; the nonlinear part has variance 2.
    for name, error, linear, rest in (
        ("before", (1 / 4) / (3 / 4 + 2), 1 / 3, 0.0),
        ("attention²", 2 / (3 / 4 + 2), 0.0, 1.0),
        ("x", (3 / 4) / (3 / 4 + 2), 1.0, 0.0),
    ):
        one = found[name]
        for part, truth in ((one.error, error), (one.linear, linear), (one.nonlinear, rest)):
            assert abs(part.r2 - truth) < 4 * part.r2_se + 1e-3, name
    assert np.array_equal(found["x"].error.held_out, split.held_out)
    with pytest.raises(ValueError, match="components must hold at least one"):
        adjacent({}, x, x_hat, split)
    with pytest.raises(ValueError, match="numbers of rows must agree"):
        adjacent({"before": before[1:]}, x, x_hat, split)


def test_alignment_of_orthogonal_latents():
    rng = np.random.default_rng(9)
    rate = np.array([0.5, 1.0, 2.0, 4.0, 1.0])
    latents = rng.poisson(rate, (200_000, 5)) * np.array([1.0, 1, 1, 1, 0])
    norms = np.array([1.0, 2, 1, 0.5, 1])
    decoder = norms[:, None] * np.linalg.qr(rng.normal(size=(5, 5)))[0]
    found = alignment(latents, decoder)
    np.testing.assert_array_equal(found.latents, range(4))
    # Poisson: Cov(w², w)/Var w = 2λ + 1, not E w²/E w = λ + 1; and E[w | w > 0] = λ/(1 - e^-λ).
    rate, norms = rate[:4], norms[:4]
    np.testing.assert_allclose(found.slope, norms * (2 * rate + 1), rtol=0.02)
    np.testing.assert_allclose(found.dot, norms * (2 * rate + 1), rtol=0.03)
    np.testing.assert_allclose(found.mean_active, norms * rate / -np.expm1(-rate), rtol=0.02)
    assert found.correlation_slope > 0.999 > found.correlation_mean_active
    with pytest.raises(ValueError, match=r"decoder must have shape \(5, d\)"):
        alignment(latents[:50], np.ones((4, 5)))
    with pytest.raises(ValueError, match="no zero row, got one at 1"):
        alignment(latents[:50], [[1.0, 0], [0, 0], [1, 1], [1, 2], [1, 3]])


def test_running_means_of_alignment():
    """Of 300 latents windows of 30, one after another in the order of their means."""
    rng = np.random.default_rng(4)
    size = rng.uniform(1, 2, 300)
    latents = size * (rng.random((900, 300)) < 0.3)
    found = alignment(latents, rng.normal(size=(300, 20)), bootstrap=0)
    order = np.argsort(found.mean_active)
    assert found.running_dot.shape == found.running_mean_active.shape == (271,)
    for k in (0, 17, 270):
        here = order[k : k + 30]
        np.testing.assert_allclose(found.running_dot[k], found.dot[here].mean())
        np.testing.assert_allclose(found.running_mean_active[k], found.mean_active[here].mean())
    both = np.corrcoef(found.running_dot, found.running_mean_active)[0, 1]
    np.testing.assert_allclose(found.correlation_running, both)


def test_alignment_takes_sparse_latents():
    from scipy.sparse import csr_array

    rng = np.random.default_rng(10)
    latents = rng.exponential(size=(500, 6)) * (rng.random((500, 6)) < 0.3)
    decoder = rng.normal(size=(6, 4))
    dense, sparse = (
        alignment(one, decoder, block_rows=64) for one in (latents, csr_array(latents))
    )
    np.testing.assert_array_equal(dense.dot, sparse.dot)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v: norm_test(v, x=v[1:]), "numbers of rows must agree, got v 50, x 49"),
        (lambda v: norm_test(v, l0=[1, 2]), r"l0 must have shape \(50,\), got \(2,\)"),
        (lambda v: norm_test(v, tokens=np.ones(50)), "tokens must be labels of shape"),
        (lambda v: norm_test(v / np.linalg.norm(v, axis=1)[:, None]), "target must vary"),
        (lambda v: regress(v, np.ones(50)), "target must vary"),
        (lambda v: regress(v, v[:, :0]), "none of them 0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(11).normal(size=(50, 3)))
