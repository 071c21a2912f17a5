"""The synthetic bench: its population values against closed forms, the estimates against both."""

import numpy as np
import pytest

import rugtheory as rt
from rugtheory.darkmatter import decompose, run_bench, synthetic

SCORES = ("fvu", "fvu_centred", "fvu_nl", "r2", "r2_coordinates")


def random_features(n, d, seed):
    features = np.random.default_rng(seed).normal(size=(n, d))
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def test_parts_add_up():
    made = synthetic(random_features(30, 8, 0), 0.2, 10, 200, dense=0.1, introduced=0.2)
    np.testing.assert_allclose(made.x - made.x_hat, made.absent + made.dense - made.introduced)


@pytest.mark.parametrize(
    "law", [rt.Uniform(), rt.Exponential(), rt.Constant(2.0)], ids=lambda law: type(law).__name__
)
def test_estimates_meet_the_population(law):
    p = 0.3 / np.arange(1, 25) ** 0.7
    made = synthetic(
        random_features(24, 8, 1),
        p,
        10,
        80_000,
        dense=np.linspace(0, 0.3, 8),
        introduced=0.15,
        amplitude=law,
    )
    found = decompose(made.x, made.x_hat)
    for name in SCORES:
        gap = getattr(found, name) - getattr(made.truth, name)
        # 9 parameters from 60 000 rows cost a part of 1.5e-4.
        assert abs(gap) < 4 * getattr(found.standard_error, name) + 2e-4, name
    total = made.x.var(axis=0).sum()
    for share, part in (
        (made.absent_share, made.absent),
        (made.dense_share, made.dense),
        (made.introduced_share, made.introduced),
    ):
        assert part.var(axis=0).sum() / total == pytest.approx(share, rel=0.05)


def test_absent_random_features_leave_a_parabola():
    # d directions out of n = d/r, exactly reconstructed in part: FVU_nl → (1 - r) f (1 - f).
    n, d = 2048, 512
    r = d / n
    gaussian = np.random.default_rng(2).normal(size=(n, d)) / d**0.5
    for fraction in (0.125, 0.25, 0.5, 0.75):
        truth = synthetic(gaussian, 0.01, int(fraction * n), 1).truth
        # The limit is reached as 1/n: 1/d is a generous bound on what is left of it.
        assert abs(truth.fvu_nl - (1 - r) * fraction * (1 - fraction)) < 1 / d
    # And the estimate, at a size where it can be simulated.
    small = np.random.default_rng(3).normal(size=(64, 16)) / 4
    heights = {}
    for learned in (8, 32, 56):
        made = synthetic(small, 0.1, learned, 30_000)
        found = decompose(made.x, made.x_hat)
        heights[learned] = found.fvu_nl
        assert abs(found.fvu_nl - made.truth.fvu_nl) < 4 * found.standard_error.fvu_nl + 2e-4
    assert heights[32] > 1.5 * max(heights[8], heights[56])


@pytest.mark.parametrize("tau", [0.05, 0.2, 1.0])
def test_dense_part_leaks_along_learned_directions(tau):
    # Orthogonal features of variance s, all learned: τ²s/(s + τ²) stays per direction.
    s = float(rt.SparseSource(0.2).variance)
    left = tau**2 * s / (s + tau**2)
    truth = synthetic(np.eye(6), 0.2, 6, 1, dense=tau).truth
    assert truth.fvu_nl == pytest.approx(left / (s + tau**2), rel=1e-12)
    made = synthetic(np.eye(6), 0.2, 6, 60_000, dense=tau)
    found = decompose(made.x, made.x_hat)
    expected = left / (s + tau**2)
    assert abs(found.fvu_nl - expected) < 4 * found.standard_error.fvu_nl + 2e-4 * expected
    # In a direction that is not learned nothing stays.
    apart = synthetic(np.eye(6)[:3], 0.2, 3, 1, dense=tau * np.repeat([0.0, 1.0], 3)).truth
    assert apart.fvu_nl == pytest.approx(0, abs=1e-15)


def test_introduced_error_is_not_linear():
    truth = synthetic(np.eye(5), 0.1, 3, 1, introduced=0.3).truth
    s = float(rt.SparseSource(0.1).variance)
    assert truth.fvu_nl == pytest.approx(0.09 / s, rel=1e-12)
    assert truth.r2 == pytest.approx(2 * s / (2 * s + 5 * 0.09), rel=1e-12)
    mean = rt.SparseSource(0.1).mean
    assert truth.fvu - truth.fvu_centred == pytest.approx(2 * mean**2 / (5 * s), rel=1e-12)


def test_table_of_noises():
    features = random_features(24, 32, 4)
    table = run_bench(
        features, 0.1, [6, 12, 18], 12_000, dense=[0.01, 0.05, 0.1], introduced=[0.01, 0.05, 0.1]
    )
    assert table.dense.shape == (9,) and len(table.runs[0]) == 4
    np.testing.assert_allclose(table.estimated_dense, table.expected_dense, rtol=0.1, atol=2e-3)
    np.testing.assert_allclose(
        table.estimated_introduced, table.expected_introduced, rtol=0.1, atol=2e-3
    )
    # Each estimate follows its own part; the dense one leaks into the other.
    assert table.correlation[0, 0] > 0.9 and table.correlation[1, 1] > 0.9
    assert abs(table.correlation[1, 0]) < 0.2
    assert 0 < table.correlation[0, 1] < 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": np.ones(3)}, r"features must have shape \(n_features, d\)"),
        ({"p": [0.1, 0.2]}, r"p must be a scalar or have shape \(4,\)"),
        ({"p": 0.0}, r"p must lie in \(0, 1\], got 0"),
        ({"learned": 5}, r"learned must be in \[0, 4\], got 5"),
        ({"dense": -1.0}, "dense must be non-negative"),
        ({"introduced": [1.0]}, "introduced must be a scalar or have shape"),
        ({"learned": 4}, "learned must leave some error"),
        ({"rows": 0}, "rows must be at least 1"),
    ],
)
def test_bad_input(changes, message):
    arguments = {"features": np.eye(4), "p": 0.1, "learned": 2, "rows": 10, **changes}
    with pytest.raises(ValueError, match=message):
        synthetic(**arguments)
    with pytest.raises(ValueError, match="dense must hold at least 2 levels"):
        run_bench(np.eye(4), 0.1, [2], 100, dense=[0.1], introduced=[0.1, 0.2])
