"""The decomposition against lstsq in memory, population values, and repeated simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from rugtheory.darkmatter import SAE, decompose, regress

SCORES = ("fvu", "fvu_centred", "fvu_nl", "r2", "r2_coordinates")


def planted(rng, n, d=4):
    """x Gaussian, E = x A + c(x² - 1): its second part is not predictable from x at all.

    Σ = I, so FVU_centred = (‖A‖² + 2 c² d)/d and R² = ‖A‖²/(‖A‖² + 2 c² d).
    """
    x = rng.normal(size=(n, d))
    a, c = np.diag(np.linspace(0.1, 0.6, d)), 0.2
    return x, x - (x @ a + c * (x**2 - 1)), a, c


def in_memory(x, x_hat, fitted, held_out, *, intercept=True):
    """All scores from numpy.linalg.lstsq, the FVUs of the rows held out."""
    x, x_hat = (np.asarray(part, np.longdouble) for part in (x, x_hat))
    error = x - x_hat
    mean = x[fitted].mean(0) if intercept else 0
    target = error[fitted].mean(0) if intercept else 0
    slope = np.linalg.lstsq(
        np.asarray(x[fitted] - mean, float), np.asarray(error[fitted] - target, float)
    )[0]
    left = error - target - (x - mean) @ slope
    x, error, left = (part[held_out] for part in (x, error, left))
    total = ((x - x.mean(0)) ** 2).sum()
    centred, unexplained = ((error - error.mean(0)) ** 2).sum(0), (left**2).sum(0)
    return {
        "fvu": (error**2).sum() / total,
        "fvu_centred": centred.sum() / total,
        "fvu_nl": unexplained.sum() / total,
        "r2": 1 - unexplained.sum() / centred.sum(),
        "r2_coordinates": np.mean(1 - (unexplained / centred)[centred > 0]),
    }


def test_planted_parts_are_found():
    x, x_hat, a, c = planted(np.random.default_rng(0), 120_000)
    d = x.shape[1]
    found = decompose(x, x_hat)
    linear, rest = np.sum(a**2), 2 * c**2 * d
    truth = {
        "fvu": (linear + rest) / d,
        "fvu_centred": (linear + rest) / d,
        "fvu_nl": rest / d,
        "r2": linear / (linear + rest),
        "r2_coordinates": np.mean(np.diag(a) ** 2 / (np.diag(a) ** 2 + 2 * c**2)),
    }
    for name, value in truth.items():
        error = getattr(found.standard_error, name)
        assert 0 < error < 0.02 * value
        assert abs(getattr(found, name) - value) < 4 * error, name
    assert truth["r2"] != pytest.approx(truth["r2_coordinates"], rel=0.1)
    # 4 standard errors of a regression coefficient: residual 0.3, 90 000 rows.
    np.testing.assert_allclose(found.slope, a, atol=4 * 0.3 / 300)
    np.testing.assert_allclose(found.intercept, 0, atol=4 * 0.3 / 300)


@pytest.mark.parametrize("mean", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("block_rows", [None, 7, 100])
def test_streaming_equals_lstsq_in_memory(mean, block_rows):
    rng = np.random.default_rng(1)
    x = rng.exponential(size=(600, 9)) @ rng.normal(size=(9, 9)) + mean
    x_hat = 0.7 * x + np.sin(x) - 0.2
    contexts = rng.permutation(600) // 20
    found = decompose(x, x_hat, contexts=contexts, block_rows=block_rows, bootstrap=0)
    truth = in_memory(x, x_hat, ~found.held_out, found.held_out)
    for name, value in truth.items():
        assert getattr(found, name) == pytest.approx(float(value), rel=1e-11), name


def test_the_scores_are_on_the_fit_rows_if_none_are_held_out():
    rng = np.random.default_rng(2)
    x, x_hat, _, _ = planted(rng, 300)
    found = decompose(x + 5, x_hat, test_fraction=0, bootstrap=0)
    everything = np.ones(300, bool)
    truth = in_memory(x + 5, x_hat, everything, everything)
    for name, value in truth.items():
        assert getattr(found, name) == pytest.approx(float(value), rel=1e-11), name
    assert found.fit_rows == found.test_rows == 300
    # On its own rows least squares leaves no mean error, and loses nothing by splitting.
    left = found.nonlinear(x + 5, x_hat)
    np.testing.assert_allclose(left.mean(0), 0, atol=1e-13)
    np.testing.assert_allclose(left + found.linear(x + 5), x + 5 - x_hat, atol=1e-13)


@pytest.mark.parametrize("held", [0.0, 0.4])
@pytest.mark.parametrize("size", [50, None])
def test_paper_convention(held, size):
    rng = np.random.default_rng(3)
    x = rng.exponential(size=(500, 5)) + np.array([0, 1, 2, 3, 40])
    x_hat = 0.5 * x + np.cos(x)
    contexts = np.arange(500) // size if size else None
    found = decompose(x, x_hat, contexts=contexts, convention="paper", test_fraction=held)
    everything = np.ones(500, bool)
    fitted = ~found.held_out if held else everything
    truth = in_memory(x, x_hat, fitted, found.held_out, intercept=False)
    of_all = in_memory(x, x_hat, fitted, everything, intercept=False)
    for name in ("r2", "r2_coordinates"):
        assert getattr(found, name) == pytest.approx(float(truth[name]), rel=1e-10)
    for name in ("fvu", "fvu_centred", "fvu_nl"):
        assert getattr(found, name) == pytest.approx(float(of_all[name]), rel=1e-10)
    np.testing.assert_allclose(found.intercept, 0, atol=1e-12)
    assert found.test_rows == (200 if held else 500)
    if held and size:  # rows, not contexts, are held out
        sides = [set(found.held_out[contexts == k]) for k in range(10)]
        assert any(len(side) == 2 for side in sides)


@given(st.integers(0, 10**6), st.integers(3, 40), st.floats(0.05, 0.95))
def test_no_context_is_on_both_sides(seed, n_contexts, fraction):
    rng = np.random.default_rng(seed)
    contexts = rng.integers(0, n_contexts, 400)
    contexts[:3] = [0, 1, 2]
    x = rng.normal(size=(400, 2))
    try:
        found = decompose(
            x, x**3, contexts=contexts, test_fraction=fraction, bootstrap=0, seed=seed
        )
    except ValueError as error:  # a few contexts can leave too few rows to fit
        assert "rows, got" in str(error)
        return
    assert not set(contexts[found.held_out]) & set(contexts[~found.held_out])
    count = len(set(contexts))
    assert len(set(contexts[found.held_out])) == min(max(round(fraction * count), 2), count - 1)
    assert found.test_rows == found.held_out.sum() and found.fit_rows == 400 - found.test_rows


@given(st.integers(0, 10**6), st.floats(1e-6, 1e6))
@settings(max_examples=25)
def test_rotation_and_scale_change_nothing(seed, scale):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(200, 4)) * [1, 2, 3, 4] + 1
    x_hat = np.abs(x)
    q = scale * ortho_group.rvs(4, random_state=rng)
    one, two = (decompose(a, b, bootstrap=20) for a, b in ((x, x_hat), (x @ q, x_hat @ q)))
    for name in SCORES[:-1]:
        assert getattr(one, name) == pytest.approx(getattr(two, name), rel=1e-9)
        assert getattr(one.standard_error, name) == pytest.approx(
            getattr(two.standard_error, name), rel=1e-7
        )


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.3]))
@settings(max_examples=25)
def test_the_identity(seed, held):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(100, 3)) + rng.normal(size=3)
    found = decompose(x, np.tanh(x) + 1, test_fraction=held, bootstrap=0)
    assert found.fvu_nl == pytest.approx((1 - found.r2) * found.fvu_centred, rel=1e-12)
    # The paper's mean over coordinates does not satisfy it.
    assert abs(found.fvu_nl / found.fvu_centred - (1 - found.r2_coordinates)) > 1e-12


def test_predicting_the_mean_scores_zero():
    # The error cos(kx), x uniform on a period, has no linear part: the best prediction is its mean.
    x = (np.arange(1000) + 0.5)[:, None] * 2 * np.pi / 1000 - np.pi
    found = decompose(x, x - np.cos(2 * x) - 3, test_fraction=0, bootstrap=0)
    assert found.r2 == pytest.approx(0, abs=1e-12)
    assert found.r2_coordinates == pytest.approx(0, abs=1e-12)
    assert found.fvu_nl == pytest.approx(found.fvu_centred, rel=1e-12)
    assert found.fvu == pytest.approx(found.fvu_centred + 9 / x.var(), rel=1e-12)


def clustered(rng, contexts, size=20):
    """Planted parts, the error stronger in some contexts: its squares within one are alike."""
    x, x_hat, _, _ = planted(rng, contexts * size, 2)
    strength = np.repeat(rng.uniform(0, 2, size=contexts), size)[:, None]
    return x, x - strength * (x - x_hat), np.repeat(np.arange(contexts), size)


def test_standard_errors_are_the_scatter_of_repeated_simulation():
    rng = np.random.default_rng(4)
    runs = []
    for k in range(150):
        x, x_hat, contexts = clustered(rng, 240)
        runs.append(decompose(x, x_hat, contexts=contexts, seed=k))
    for name in SCORES:
        scatter = np.std([getattr(run, name) for run in runs], ddof=1)
        claimed = np.mean([getattr(run.standard_error, name) for run in runs])
        # The scatter of 150 runs is known to 6 %, the clusters are 60.
        assert claimed == pytest.approx(scatter, rel=0.25), name
    # Taking rows for independent claims too little, so the test above can fail.
    rows = decompose(x, x_hat, contexts=np.arange(x.shape[0])).standard_error.fvu
    assert rows < 0.75 * runs[-1].standard_error.fvu


def test_replicates_of_two_decoders_are_paired():
    x, x_hat, _, _ = planted(np.random.default_rng(5), 4000)
    worse = x_hat + 0.01 * np.sin(5 * x)
    one, two = decompose(x, x_hat), decompose(x, worse)
    apart = np.hypot(one.standard_error.fvu_nl, two.standard_error.fvu_nl)
    assert np.std(two.replicates["fvu_nl"] - one.replicates["fvu_nl"]) < 0.3 * apart


class Sliced:
    """As a safetensors slice: a shape to ask for, rows to slice, nothing else."""

    def __init__(self, array):
        self.array = array
        self.most = 0

    def get_shape(self):
        return list(self.array.shape)

    def __getitem__(self, rows):
        part = self.array[rows]
        self.most = max(self.most, part.shape[0])
        return part


def test_larger_than_memory_inputs(tmp_path):
    safetensors = pytest.importorskip("safetensors")
    from safetensors.numpy import save_file

    rng = np.random.default_rng(6)
    x = (rng.exponential(size=(1000, 6)) + 100).astype(np.float32)
    x_hat = np.maximum(x - 101, 0).astype(np.float32)
    expected = decompose(x, x_hat, block_rows=128)
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=x.shape)
    mapped[:] = x
    assert decompose(mapped, x_hat, block_rows=128).fvu_nl == expected.fvu_nl
    save_file({"x": x}, tmp_path / "x.safetensors")
    with safetensors.safe_open(tmp_path / "x.safetensors", "numpy") as file:
        found = decompose(file.get_slice("x"), x_hat, block_rows=128)
    assert found.fvu_nl == expected.fvu_nl
    sliced = Sliced(x)
    assert decompose(sliced, x_hat, block_rows=128).r2 == expected.r2
    norms = expected.norms(sliced, x_hat, block_rows=100)
    assert sliced.most == 128
    np.testing.assert_allclose(
        norms.nonlinear, np.linalg.norm(expected.nonlinear(x, x_hat), axis=1), rtol=1e-12
    )
    np.testing.assert_allclose(norms.linear, np.linalg.norm(expected.linear(x), axis=1), rtol=1e-12)
    np.testing.assert_allclose(norms.error, np.linalg.norm(x.astype(float) - x_hat, axis=1))


def test_float32_and_float16_are_taken_for_what_they_hold():
    rng = np.random.default_rng(7)
    for dtype in (np.float16, np.float32):
        x = (rng.normal(size=(400, 3)) + 100).astype(dtype)
        x_hat = (x * np.float16(0.5)).astype(dtype)
        narrow, wide = (decompose(a, b) for a, b in ((x, x_hat), (x.astype(float), x_hat)))
        assert narrow.fvu_nl == pytest.approx(wide.fvu_nl, rel=1e-12)


def test_dependent_and_constant_columns():
    rng = np.random.default_rng(8)
    basis = rng.normal(size=(400, 3))
    x = np.hstack([basis @ rng.normal(size=(3, 6)), np.full((400, 1), 0.1)]) + 7
    x_hat = 0.5 * x + 0.1 * x**2
    found = decompose(x, x_hat, bootstrap=0)
    assert found.rank == 3
    # The same error predicted from three independent columns.
    error = x - x_hat
    fitted = ~found.held_out
    design = np.column_stack([basis, np.ones(400)])
    slope = np.linalg.lstsq(design[fitted], error[fitted])[0]
    left = (error - design @ slope)[found.held_out]
    held = x[found.held_out]
    truth = (left**2).sum() / ((held - held.mean(0)) ** 2).sum()
    assert found.fvu_nl == pytest.approx(truth, rel=1e-9)


def bad(rows=50, **changes):
    rng = np.random.default_rng(9)
    x = rng.normal(size=(rows, 3))
    return {"x": x, "x_hat": np.abs(x), **changes}


def with_nan(value=np.nan):
    x = bad()["x"]
    x[33, 1] = value
    return x


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (bad(x_hat=np.ones((50, 4))), ValueError, r"shape of x, \(50, 3\), got \(50, 4\)"),
        (bad(x_hat=np.ones((49, 3))), ValueError, r"shape of x, \(50, 3\), got \(49, 3\)"),
        (
            bad(x=with_nan(), block_rows=10),
            ValueError,
            r"x must be finite, got nan in row 33, column 1 \(block of rows 30 to 39\)",
        ),
        (bad(x_hat=with_nan(np.inf)), ValueError, "x_hat must be finite, got inf in row 33"),
        (bad(x=bad()["x"].astype(complex)), TypeError, "x must slice to real arrays"),
        (bad(x=bad()["x"].astype(str)), TypeError, "x must slice to real arrays"),
        (bad(x=np.ones((2, 2, 2))), ValueError, r"x must have shape \(rows,\)"),
        (bad(x=np.ones((50, 3))), ValueError, "x must vary over the rows of the fit"),
        (bad(x=np.full((50, 3), 0.1)), ValueError, "x must vary over the rows of the fit"),
        (bad(x_hat=bad()["x"]), ValueError, "x_hat must differ from x by more than a constant"),
        (bad(x_hat=bad()["x"] + 0.1), ValueError, "x_hat must differ from x"),
        (bad(6), ValueError, r"columns \+ 2 = 5 rows, got 4"),
        (bad(x=1e200 * bad()["x"]), ValueError, "small enough to be squared"),
        (bad(contexts=np.zeros(50)), ValueError, "at least 3 to be split, got 1"),
        (bad(contexts=np.zeros(49)), ValueError, r"contexts must have shape \(50,\)"),
        (bad(contexts=np.full(50, np.nan)), ValueError, "finite labels"),
        (bad(convention="papers"), ValueError, "one of centred, paper, got 'papers'"),
        (bad(test_fraction=1), ValueError, r"test_fraction must lie in \[0, 1\), got 1"),
        (bad(bootstrap=-1), ValueError, "bootstrap must be at least 0"),
        (bad(block_rows=0), ValueError, "block_rows must be at least 1"),
        (bad(contexts=[0] * 50, test_fraction=0), ValueError, "at least 2 contexts to resample"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        decompose(**arguments)


def test_bad_rows_to_split():
    found = decompose(**bad())
    with pytest.raises(ValueError, match="x must have 3 columns, got 4"):
        found.linear(np.ones((2, 4)))
    with pytest.raises(ValueError, match="numbers of rows must agree, got x 2, x_hat 3"):
        found.nonlinear(np.ones((2, 3)), np.ones((3, 3)))


def test_standard_errors_of_corrected_scores():
    """Over fresh samples corrected scores scatter as their errors say, less than those held out."""
    directions = np.random.default_rng(99).normal(size=(24, 8))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    known = directions[:12]
    sae = SAE("topk", known.T, np.zeros(12), known, np.zeros(8), k=2)
    contexts = np.arange(2000) // 20
    runs = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        # Contexts differ in scale, so that rows of one belong together.
        scale = np.repeat(rng.uniform(0.5, 1.5, size=100), 20)[:, None]
        weights = scale * rng.exponential(size=(2000, 24)) * (rng.random((2000, 24)) < 0.15)
        x = weights @ directions
        options = {"contexts": contexts, "bootstrap": 60, "seed": seed}
        x_hat = sae.reconstruct(x)
        parts = decompose(x, x_hat, **options)
        norm = regress(x, np.sum((x - x_hat) ** 2, axis=1), **options)
        best, errors = parts.corrected, parts.corrected_standard_error
        names = ("fvu", "fvu_nl", "r2", "r2_coordinates")
        runs.append(
            [
                [*(getattr(best, name) for name in names), norm.r2_corrected],
                [*(getattr(errors, name) for name in names), norm.r2_corrected_se],
                [*(getattr(parts.standard_error, name) for name in names), norm.r2_se],
            ]
        )
    values, errors, held_out = np.moveaxis(np.array(runs), 1, 0)
    spread = values.std(axis=0, ddof=1)
    # The standard deviation of 120 values is known to 6.5 %, of heavy tails to less.
    assert errors.mean(axis=0) == pytest.approx(spread, rel=0.25)
    assert np.all(held_out.mean(axis=0)[2:] > 1.4 * spread[2:])


def test_standard_errors_without_rows_held_out():
    """What is left is divided by the degrees of freedom, and so is its error."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    x_hat = 0.5 * x + 0.1 * rng.normal(size=x.shape)
    found = decompose(x, x_hat, test_fraction=0.0)
    for name in ("fvu_nl", "r2"):
        error = getattr(found.standard_error, name) / found.fit_factor
        assert getattr(found.corrected_standard_error, name) == pytest.approx(error)
    paper = decompose(x, x_hat, convention="paper")
    assert paper.corrected_standard_error == paper.standard_error
