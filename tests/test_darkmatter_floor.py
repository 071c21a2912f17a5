"""Power laws with a floor: planted parameters and the coverage of the intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from rugtheory.darkmatter import fit_floor

WIDTH = 2.0 ** np.arange(14, 21)


@given(st.floats(-2, 2), st.floats(-3, 3), st.floats(-1.5, -0.05), st.floats(-3, 6))
@settings(max_examples=25)
def test_exact_laws_are_found_from_anywhere(floor, log_fall, beta, log_unit):
    size = WIDTH / 2**14 * np.exp(log_unit)
    fall = np.exp(log_fall) / (size[0] ** beta - size[-1] ** beta)
    law = fit_floor(size, floor + fall * size**beta)
    scale = np.exp(log_fall)
    assert law.beta == pytest.approx(beta, rel=1e-6)
    assert law.alpha == pytest.approx(fall, rel=1e-5)
    assert law.floor == pytest.approx(floor, abs=1e-5 * scale / min(-beta, 1))
    np.testing.assert_allclose(law(size), floor + fall * size**beta, atol=1e-7 * scale)


def test_the_best_fit_is_that_of_a_general_solver():
    rng = np.random.default_rng(0)
    loss = 0.1 + 3 * WIDTH**-0.3 + 0.003 * rng.normal(size=7)
    sigma = 0.003 * rng.uniform(0.5, 2, 7)
    law = fit_floor(WIDTH, loss, sigma=sigma)

    def residual(theta):
        return (theta[0] + theta[1] * (WIDTH / WIDTH[0]) ** theta[2] - loss) / sigma

    best = least_squares(residual, [0.05, 0.2, -0.5], xtol=1e-15, ftol=1e-15, gtol=1e-15).x
    assert law.floor == pytest.approx(best[0], rel=1e-5)
    assert law.beta == pytest.approx(best[2], rel=1e-5)
    assert law.alpha == pytest.approx(best[1] * WIDTH[0] ** -best[2], rel=1e-4)


@pytest.mark.parametrize(
    ("known", "noise"),
    [(False, 0.01), (True, 0.01), pytest.param(False, 0.05, marks=pytest.mark.slow)],
)
def test_intervals_hold_the_truth_as_often_as_they_say(known, noise):
    rng = np.random.default_rng(1)
    truth = 0.1 + 3 * WIDTH**-0.3
    sigma = noise * (truth[0] - truth[-1])
    repeats, held = 60, np.zeros(3)
    for _ in range(repeats):
        law = fit_floor(
            WIDTH,
            truth + sigma * rng.normal(size=7),
            sigma=sigma if known else None,
            confidence=0.8,
        )
        intervals = (law.floor_interval, law.alpha_interval, law.beta_interval)
        held += [
            low <= value <= high
            for value, (low, high) in zip((0.1, 3, -0.3), intervals, strict=True)
        ]
        for value, (low, high) in zip((law.floor, law.alpha, law.beta), intervals, strict=True):
            assert low <= value <= high
    # 4 standard deviations of the binomial law.
    np.testing.assert_allclose(held / repeats, 0.8, atol=4 * (0.8 * 0.2 / repeats) ** 0.5)


def test_what_the_data_do_not_fix_is_unbounded():
    # A straight line in ln M has no floor that could be known.
    law = fit_floor(WIDTH, 1 - 0.05 * np.log(WIDTH) + 1e-3 * np.cos(np.arange(7) ** 2))
    assert law.floor_interval[0] == -np.inf and law.floor_interval[1] < 0.5
    assert law.alpha_interval[1] == np.inf
    assert law.beta_interval[1] == 0
    # All of the fall is at the first point: any steep law does.
    step = fit_floor(WIDTH, [1.0, 0, 0.01, -0.01, 0, 0.01, 0])
    assert step.beta_interval[0] == -np.inf and step.alpha_interval[1] == np.inf
    assert -0.05 < step.floor_interval[0] < step.floor_interval[1] < 0.05
    # Errors as large as the fall: there may be none.
    unknown = fit_floor(WIDTH, 1 / np.arange(1, 8), sigma=1.0)
    assert unknown.alpha_interval == (0, np.inf) and unknown.beta_interval == (-np.inf, 0)


def test_scale_of_the_losses_does_not_matter():
    loss = 0.1 + 3 * WIDTH**-0.3 + 1e-3 * np.sin(np.arange(7))
    one, two = fit_floor(WIDTH, loss), fit_floor(WIDTH, 1e6 * loss + 5)
    np.testing.assert_allclose(
        two.floor_interval, 1e6 * np.array(one.floor_interval) + 5, rtol=1e-6
    )
    np.testing.assert_allclose(two.alpha_interval, 1e6 * np.array(one.alpha_interval), rtol=1e-6)
    np.testing.assert_allclose(two.beta_interval, one.beta_interval, rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "loss", "keywords", "message"),
    [
        ([1, 2, 3], [3, 2, 1], {}, "at least 4 points, 3 of them distinct, got 3"),
        ([1, 1, 2, 2], [3, 3, 2, 1], {}, "got 4 with 2 distinct"),
        ([1, 2, 3, 0], [4, 3, 2, 1], {}, "size must be positive, got 0"),
        ([1, 2, 3, 4], [4, 3, 2], {}, r"loss must have shape \(4,\)"),
        ([1, 2, 3, 4], [1, 1, 1, 1], {}, "loss must vary, got 1"),
        ([1, 2, 3, 4], [1, 2, 3, 4], {}, "loss must fall with size"),
        ([1, 2, 3, 4], [4, 3, 2, 1], {"sigma": [1, 2]}, "sigma must be a scalar or have shape"),
        ([1, 2, 3, 4], [4, 3, 2, 1], {"confidence": 1}, r"confidence must lie in \(0, 1\)"),
    ],
)
def test_bad_input(size, loss, keywords, message):
    with pytest.raises(ValueError, match=message):
        fit_floor(size, loss, **keywords)
