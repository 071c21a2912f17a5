"""Rugs against dense linear algebra, and their interference against samples."""

import os
import sys
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard

import rugtheory as rt

SMALL, SOURCE = rt.hadamard_rug(8, 4, seed=0), rt.SparseSource(0.1)

sizes = st.integers(0, 7).map(lambda k: 2**k)


@st.composite
def rugs(draw):
    n_sparse = draw(sizes)
    return rt.hadamard_rug(
        n_sparse, draw(st.integers(1, n_sparse)), seed=draw(st.integers(0, 10**9))
    )


@pytest.mark.parametrize("n", [1, 2, 8, 32, 64, 2048])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_fwht_is_the_hadamard_matrix_on_every_axis(n, dtype):
    rng = np.random.default_rng(n)
    x = (100 * rng.normal(size=(3, n))).astype(dtype)
    h = hadamard(n)
    tolerance = 1e-3 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(rt.fwht(x), x @ h, atol=tolerance * n)
    np.testing.assert_allclose(rt.fwht(x.T, axis=0), h @ x.T, atol=tolerance * n)
    cube = np.stack([x, 2 * x, 3 * x], axis=-1)
    expected = np.einsum("bjk,ij->bik", cube, h)
    np.testing.assert_allclose(rt.fwht(cube, axis=1), expected, atol=3 * tolerance * n)
    assert rt.fwht(cube[:0], axis=1).shape == (0, n, 3)
    assert rt.fwht(x).dtype == (np.float32 if dtype == "float32" else np.float64)


@pytest.mark.parametrize("n", [1, 16])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fwht_leaves_its_argument_alone(n, dtype):
    x = np.arange(2.0 * n, dtype=dtype).reshape(2, n)
    before = x.copy()
    rt.fwht(x)[...] = -1
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("x", "keywords", "error", "message"),
    [
        ([1.0, np.nan], {}, ValueError, "x must be finite, got nan"),
        (np.ones(3), {}, ValueError, "power of two, got 3"),
        (np.ones((4, 0)), {}, ValueError, "power of two, got 0"),
        (1.0, {}, ValueError, "at least one axis"),
        (np.ones(4), {"axis": 1}, ValueError, r"axis must be in \[-1, 0\], got 1"),
        (1j * np.ones(4), {}, TypeError, "x must be a real array"),
    ],
)
def test_fwht_rejects(x, keywords, error, message):
    with pytest.raises(error, match=message):
        rt.fwht(x, **keywords)


@given(rugs(), st.floats(1e-3, 0.9))
def test_statistics_by_brute_force(rug, p):
    rows = rug.matrix()
    off = rows - np.diag(np.diag(rows))
    squares, cubes = np.sum(off**2, axis=1), np.sum(off**3, axis=1)
    if rug.n_dense == rug.n_sparse:
        assert rug.lyapunov == rug.skewness(p) == 0
        return
    np.testing.assert_allclose(np.sum(np.abs(off) ** 3, axis=1) / squares**1.5, rug.lyapunov)
    k = rt.SparseSource(p).cumulants()
    skewness = k[2] * cubes / (k[1] * squares) ** 1.5
    np.testing.assert_allclose(skewness, rug.skewness(p), rtol=1e-10, atol=1e-12)


def test_skewness_at_the_corners():
    rug = rt.hadamard_rug(64, 20, seed=0)
    assert rug.skewness(1.0, amplitude=rt.Constant()) == 0  # always on: the interference is fixed
    # As p → 0 the cumulants of Bernoulli features are all p, and the skewness is C / sqrt(p).
    scaled = [rug.skewness(p, amplitude=rt.Constant()) * p**0.5 for p in (1e-9, 1e-200)]
    assert scaled[0] != 0 and scaled[0] == pytest.approx(scaled[1], rel=1e-8)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_interference_of_sampled_features(seed):
    p, law = 0.05, rt.Exponential(0.5)
    rug = rt.hadamard_rug(256, 50, seed=seed)
    x = rt.SparseSource(p, law).sample((20_000, 256), seed=seed)
    nu = (x @ rug.matrix() - x)[:, 7]
    n = nu.size
    assert abs(nu.mean() - rug.interference_mean(p, amplitude=law)) < 4.5 * nu.std() / np.sqrt(n)
    centred = nu - nu.mean()
    for moment, exact in (
        (centred**2, rug.sigma(p, amplitude=law) ** 2),
        (centred**3, rug.skewness(p, amplitude=law) * rug.sigma(p, amplitude=law) ** 3),
    ):
        assert abs(moment.mean() - exact) < 4.5 * moment.std() / np.sqrt(n)


def test_bias_may_differ_between_features():
    rug = rt.hadamard_rug(16, 5, seed=0)
    h, b = rug.encode(np.ones(16)), np.linspace(-1, 1, 16)
    np.testing.assert_allclose(rug.decode(h, 1, b), np.maximum(rug.w_out() @ h + b, 0), atol=1e-12)


def test_same_seed_same_rug():
    one, two = (rt.hadamard_rug(1024, 300, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.rows, two.rows)
    assert not np.array_equal(one.rows, rt.hadamard_rug(1024, 300, seed=5).rows)
    assert one == two and hash(one) == hash(two)
    assert one != rt.Rug(2048, one.rows) and one != "rug"
    assert not one.rows.flags.writeable and not one.phi.flags.writeable


def test_every_subset_is_equally_likely():
    generator = np.random.default_rng(0)
    counts = np.zeros(8)
    for _ in range(4000):
        counts[rt.hadamard_rug(8, 3, seed=generator).rows] += 1
    expected, spread = 1500, np.sqrt(4000 * 3 / 8 * 5 / 8)
    assert np.all(np.abs(counts - expected) < 4.5 * spread)


def test_save_and_load(tmp_path):
    from safetensors.numpy import load_file

    rug = rt.hadamard_rug(64, 10, seed=0)
    path = tmp_path / "rug.safetensors"
    rug.save(path, a=1.25, b=-0.5)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert rt.Rug.load(path) == rug
    saved = load_file(path)
    np.testing.assert_allclose(saved["W_out"] @ saved["W_in"], rug.matrix(1.25), atol=1e-13)
    np.testing.assert_array_equal(saved["b"], np.full(64, -0.5))


def test_metadata(tmp_path):
    from safetensors import safe_open

    rt.hadamard_rug(64, 10, seed=3).save(tmp_path / "rug", a=1.25, b=-0.1, seed=3)
    with safe_open(tmp_path / "rug", framework="numpy") as file:
        about = file.metadata()
    assert (int(about["n_sparse"]), int(about["n_dense"]), int(about["seed"])) == (64, 10, 3)
    assert (float(about["a"]), float(about["b"])) == (1.25, -0.1)


def test_large_rugs_are_saved_as_their_rows(tmp_path):
    rug = rt.hadamard_rug(2**16, 2**9, seed=0)
    rug.save(tmp_path / "rug")
    assert rt.Rug.load(tmp_path / "rug") == rug
    assert (tmp_path / "rug").stat().st_size < 2**20
    with pytest.raises(ValueError, match="w_in would have"):
        _ = rug.w_in


def test_a_failed_save_leaves_nothing(tmp_path, monkeypatch):
    rug = rt.hadamard_rug(64, 10, seed=0)
    with monkeypatch.context() as patch, pytest.raises(ImportError, match=r"rugtheory\[sweep\]"):
        patch.setitem(sys.modules, "safetensors", None)
        rug.save(tmp_path / "rug")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no room"):
        patch.setattr(os, "replace", Mock(side_effect=OSError("no room")))
        rug.save(tmp_path / "rug")
    assert not list(tmp_path.iterdir())


def test_files_that_are_not_rugs(tmp_path):
    from safetensors.numpy import save_file

    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"not a rug")
    other = tmp_path / "other"
    save_file({"x": np.ones(3)}, other)
    cut = tmp_path / "cut"
    rt.hadamard_rug(64, 10, seed=0).save(cut)
    cut.write_bytes(cut.read_bytes()[:-100])
    about = {"format": "rugtheory.rug", "n_sparse": "8"}
    bare, repeated, odd = tmp_path / "bare", tmp_path / "repeated", tmp_path / "odd"
    save_file({"b": np.ones(3)}, bare, metadata=about)
    save_file({"rows": np.array([1, 1])}, repeated, metadata=about)
    save_file({"rows": np.array([1, 2])}, odd, metadata=about | {"n_sparse": "many"})
    for path in (garbage, other, cut, bare, repeated, odd):
        with pytest.raises(ValueError, match=f"{path.name} does not hold a rug: "):
            rt.Rug.load(path)
    with pytest.raises(FileNotFoundError):
        rt.Rug.load(tmp_path / "missing")


def test_simulation_is_the_model_itself():
    rug, source = rt.hadamard_rug(64, 20, seed=0), rt.SparseSource(0.2)
    best = rt.optimum(0.2, rug.ratio)
    b = best.b - best.a * source.mean * (rug.matrix()[0].sum() - 1)
    assert rug.bias(best.b, best.a, 0.2) == pytest.approx(float(b))
    measured = rt.simulate(rug, best.a, b, source, 5000, seed=1)
    x = source.sample((20_000, 64), seed=2)
    losses = np.mean((x - np.maximum(best.a * x @ rug.matrix() + b, 0)) ** 2, axis=1)
    error = np.hypot(losses.std() / np.sqrt(losses.size), measured.standard_error)
    assert abs(losses.mean() - measured.loss) < 4.5 * error
    assert measured == rt.simulate(rug, best.a, b, source, 5000, seed=1)
    apart = rt.simulate(rug, best.a, b, source, 5000, seed=3, batch=7)
    error = np.hypot(apart.standard_error, measured.standard_error)
    assert 0 < abs(apart.loss - measured.loss) < 4.5 * error


def test_the_standard_error_is_honest():
    rug, source = rt.hadamard_rug(64, 20, seed=0), rt.SparseSource(0.2)
    runs = [rt.simulate(rug, 0.8, -0.2, source, 100, seed=seed) for seed in range(400)]
    losses = np.array([run.loss for run in runs])
    mean_square = np.mean([run.standard_error**2 for run in runs])
    # The relative deviation of a variance from 400 near-Gaussian values is sqrt(2 / 399).
    assert abs(losses.var(ddof=1) / mean_square - 1) < 4.5 * np.sqrt(2 / 399)


@pytest.mark.parametrize("p", [0.045, 0.3])
@pytest.mark.parametrize("n_dense", [409, 1024, 3072])
def test_large_rugs_have_the_loss_of_the_theory(p, n_dense):
    rug = rt.hadamard_rug(4096, n_dense, seed=0)
    best = rt.optimum(p, rug.ratio)
    b = rug.bias(best.b, best.a, p)
    measured = rt.simulate(rug, best.a, b, rt.SparseSource(p), 300, seed=1)
    assert abs(measured.loss - best.loss) < 4.5 * measured.standard_error


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: rt.hadamard_rug(100, 10, seed=0), ValueError, "n_sparse must be a power of two"),
        (
            lambda: rt.hadamard_rug(64, 0, seed=0),
            ValueError,
            r"n_dense must be in \[1, 64\], got 0",
        ),
        (lambda: rt.hadamard_rug(64, 65, seed=0), ValueError, "got 65"),
        (lambda: rt.hadamard_rug(64.0, 6, seed=0), TypeError, "n_sparse must be an integer"),
        (lambda: rt.hadamard_rug(64, 6, seed="x"), TypeError, "seed must be an integer"),
        (lambda: rt.Rug(8, np.array([1, 1])), ValueError, "different, got 1 more than once"),
        (lambda: rt.Rug(8, np.array([], int)), ValueError, "at least one integer"),
        (lambda: rt.Rug(8, np.array([8])), ValueError, r"rows must lie in \[0, 7\], got 8"),
        (lambda: rt.Rug(8, np.array([0.5])), TypeError, "vector of integers"),
        (lambda: rt.hadamard_rug(8192, 4, seed=0).matrix(), ValueError, "use phi"),
        (lambda: SMALL.encode(np.ones(7)), ValueError, "last axis 8"),
        (lambda: SMALL.decode(np.ones(5), 1, 0), ValueError, "last axis 4"),
        (lambda: SMALL.decode(np.ones(4), np.nan, 0), ValueError, "a must be finite"),
        (lambda: SMALL.decode(np.ones(4), 1, np.ones(3)), ValueError, "b must broadcast to"),
        (lambda: SMALL.decode(np.ones(4), 1, np.ones((2, 8))), ValueError, "b must broadcast to"),
        (lambda: SMALL.sigma([0.1, 0.2]), ValueError, "p must be a scalar"),
        (lambda: SMALL.bias(0, [1, 2], 0.1), ValueError, "a must be a scalar"),
        (lambda: rt.simulate(SMALL, 1, 0, 0.1, 9, seed=0), TypeError, "source must be"),
        (lambda: rt.simulate(SMALL, 1, 0, SOURCE, 1, seed=0), ValueError, "n_samples must be"),
        (lambda: rt.simulate(SMALL, 1, 0, SOURCE, 9, seed=0, batch=0), ValueError, "batch must"),
        (
            lambda: rt.simulate(SMALL, 1, 0, rt.SparseSource([0.1, 0.2]), 9, seed=0),
            ValueError,
            "p must be a scalar",
        ),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
