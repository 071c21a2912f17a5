"""Gradient pursuit: planted codes, monotone residuals, the authors' search a row at a time."""

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rugtheory import darkmatter
from rugtheory.darkmatter import pursuit

BOTH = pytest.mark.parametrize("exact", [True, False])


def unit_rows(matrix):
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def coherent(seed, n_atoms, d, rows, shift=0.5):
    generator = np.random.default_rng(seed)
    atoms = unit_rows(generator.normal(size=(n_atoms, d)) + shift)
    return generator.normal(size=(rows, d)) + shift, atoms


def residuals(x, atoms, l0, exact):
    return np.linalg.norm(
        x - darkmatter.gradient_pursuit(x, atoms, l0, exact=exact) @ atoms, axis=1
    )


def authors_row(x, atoms, l0):
    """The authors' search for one row, with a weight for every atom."""
    w = np.zeros(len(atoms))
    for _ in range(l0):
        r = x - w @ atoms
        gradient = atoms @ r
        support = w != 0
        support[np.argmax(gradient)] = True
        gradient[~support] = 0
        c = gradient @ atoms
        w = np.maximum(w + (c @ r) / (c @ c) * gradient, 0)
    return w


@BOTH
@pytest.mark.parametrize(("dtype", "rel"), [(np.float64, 1e-13), (np.float32, 1e-5)])
def test_planted_codes_of_orthonormal_atoms_are_found(exact, dtype, rel):
    generator = np.random.default_rng(0)
    atoms = scipy.stats.ortho_group.rvs(24, random_state=1)[:20].astype(dtype)
    planted = generator.exponential(size=(300, 20)) + 0.1
    planted *= generator.random((300, 20)) < 0.3
    planted[0], planted[1, 1:] = 0, 0
    l0 = np.count_nonzero(planted, axis=1)
    assert l0.min() == 0 and l0.max() > 9
    codes = darkmatter.gradient_pursuit((planted @ atoms).astype(dtype), atoms, l0, exact=exact)
    assert codes.dtype == dtype
    assert np.array_equal(codes.toarray() != 0, planted != 0)
    assert codes.toarray() == pytest.approx(planted, rel=rel)


def test_atoms_that_do_not_help_are_not_taken():
    atoms = scipy.stats.ortho_group.rvs(12, random_state=2)
    planted = np.eye(12)[:3] * 2.5
    codes = darkmatter.gradient_pursuit(planted @ atoms, atoms, 12)
    assert np.array_equal(codes.toarray() != 0, planted != 0)


@BOTH
def test_signals_without_a_positive_inner_product_stay_zero(exact):
    codes = darkmatter.gradient_pursuit([[-1, -2], [-1, 0]], np.eye(2), 2, exact=exact)
    assert codes.nnz == 0


def test_the_authors_search_is_theirs():
    x, atoms = coherent(3, 30, 8, 60)
    l0 = np.random.default_rng(4).integers(0, 12, 60)
    codes = darkmatter.gradient_pursuit(x, atoms, l0, exact=False).toarray()
    expected = np.array([authors_row(row, atoms, n) for row, n in zip(x, l0, strict=True)])
    assert codes == pytest.approx(expected, abs=1e-12)
    # It takes atoms again, so rows end with fewer than asked for.
    counts = np.count_nonzero(codes, axis=1)
    assert np.all(counts <= l0) and np.any(counts < l0)


def test_exact_has_the_atoms_asked_for():
    x, atoms = coherent(3, 30, 8, 300)
    l0 = np.random.default_rng(4).integers(0, 6, 300)
    codes = darkmatter.gradient_pursuit(x, atoms, l0)
    assert codes.has_canonical_format and codes.data.min() > 0
    counts = np.diff(codes.indptr)
    assert np.all(counts <= l0)
    # Few rows have fewer: those that no non-negative code of all atoms explains better.
    (short,) = np.nonzero(counts < l0)
    assert 3 < short.size < 20
    for row in short:
        weights, least = scipy.optimize.nnls(atoms.T, x[row])
        assert np.count_nonzero(weights) == counts[row]
        found = np.linalg.norm(x[row] - codes[[row]] @ atoms)
        assert found == pytest.approx(least, rel=1e-6)


def test_as_many_atoms_explain_more_than_as_many_steps():
    x, atoms = coherent(3, 30, 8, 300)
    exact, authors = (residuals(x, atoms, 5, exact) for exact in (True, False))
    assert np.sum(exact**2) < np.sum(authors**2)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_atoms=st.integers(1, 14),
    d=st.integers(1, 6),
    shift=st.sampled_from([-1, 0, 0.5, 3]),
)
def test_the_residual_never_increases(seed, n_atoms, d, shift):
    x, atoms = coherent(seed, n_atoms, d, 20, shift)
    norms = np.linalg.norm(x, axis=1)
    path = [norms] + [residuals(x, atoms, n, True) for n in range(1, n_atoms + 1)]
    assert np.all(np.diff(path, axis=0) <= 1e-14 * norms)


def test_clipping_increases_the_residual_of_the_authors_search():
    atoms = np.array([[3, -2, -1], [1, 3, 0], [-1, -3, -1], [-2, 1, -3]])
    x = np.full((1, 3), -3)
    assert residuals(x, atoms, 3, False) < 0.52 < 0.527 < residuals(x, atoms, 4, False)
    assert residuals(x, atoms, 4, True) <= residuals(x, atoms, 3, True)


def test_one_atom_is_the_projection():
    x, atoms = coherent(5, 7, 4, 30)
    atoms *= np.arange(1, 8)[:, None]
    codes = darkmatter.gradient_pursuit(x, atoms, 1).toarray()
    pick = np.argmax(x @ atoms.T, axis=1)
    weight = np.sum(x * atoms[pick], axis=1) / np.sum(atoms[pick] ** 2, axis=1)
    assert codes[np.arange(30), pick] == pytest.approx(np.maximum(weight, 0))
    assert np.all(np.count_nonzero(codes, axis=1) <= 1)


def test_least_squares_on_the_support_is_not_beaten_and_is_near():
    x, atoms = coherent(6, 40, 10, 80)
    codes = darkmatter.gradient_pursuit(x, atoms, 4).toarray()
    found = np.linalg.norm(x - codes @ atoms, axis=1)
    least = [scipy.optimize.nnls(atoms[w > 0].T, row)[1] for w, row in zip(codes, x, strict=True)]
    assert np.all(found >= np.array(least) - 1e-12)
    assert np.sum(found**2) < 1.1 * np.sum(np.square(least))


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_awkward_signals_and_atoms_give_numbers(exact, dtype):
    generator = np.random.default_rng(7)
    atoms = unit_rows(generator.normal(size=(9, 5)))
    atoms[3] = atoms[2]
    atoms[4] = -atoms[2]
    atoms[5] = 0
    atoms[6] *= 1e-30
    atoms = atoms.astype(dtype)
    x = np.concatenate(
        [np.zeros((2, 5)), atoms, -atoms, 1e-300 * atoms, generator.normal(size=(9, 5))]
    )
    for l0 in (0, 1, 5, 9):
        with np.errstate(under="ignore"):
            codes = darkmatter.gradient_pursuit(x, atoms, l0, exact=exact)
        assert np.isfinite(codes.data).all() and np.all(codes.data > 0)
        assert np.all(np.diff(codes.indptr) <= l0)
        assert codes[:2].nnz == 0
    one = np.linalg.norm(x[2:6] - codes[2:6] @ atoms, axis=1)
    assert np.all(one < 20 * np.finfo(dtype).eps)


@BOTH
@pytest.mark.parametrize(
    ("scale", "of_atoms"), [(2.0**-900, 1), (2.0**900, 1), (2.0**90, 2.0**100)]
)
def test_scales_do_not_matter(exact, scale, of_atoms):
    x, atoms = coherent(8, 20, 6, 30)
    codes = darkmatter.gradient_pursuit(x, atoms, 5, exact=exact)
    scaled = darkmatter.gradient_pursuit(scale * x, of_atoms * atoms, 5, exact=exact)
    assert np.array_equal(scaled.indices, codes.indices)
    assert np.array_equal(scaled.data, codes.data * (scale / of_atoms))


@BOTH
def test_rows_are_independent_and_read_in_blocks(exact, monkeypatch, tmp_path):
    x, atoms = coherent(9, 25, 7, 50)
    l0 = np.random.default_rng(10).integers(0, 9, 50)
    whole = darkmatter.gradient_pursuit(x, atoms, l0, exact=exact).toarray()
    stored = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float64, x.shape)
    stored[:] = x
    monkeypatch.setattr(pursuit, "_BLOCK_VALUES", 25 * 8)
    seen = []
    blocks = darkmatter.gradient_pursuit(
        stored, atoms, l0, exact=exact, progress=lambda starts: seen.extend(starts) or starts
    )
    assert seen == list(range(0, 50, 8))
    assert blocks.toarray() == pytest.approx(whole, rel=1e-12, abs=1e-13)


def test_matching_pursuit_of_orthonormal_atoms_is_gradient_pursuit():
    atoms = scipy.stats.ortho_group.rvs(16, random_state=3)
    planted = np.abs(np.random.default_rng(11).normal(size=(40, 16)))
    x = planted @ atoms
    l0 = np.arange(40) % 17
    found = darkmatter.orthogonal_matching_pursuit(x, atoms, l0)
    expected = darkmatter.gradient_pursuit(x, atoms, l0)
    assert found.toarray() == pytest.approx(expected.toarray(), abs=1e-12)
    assert np.array_equal(np.diff(found.indptr), l0)


def test_matching_pursuit_fits_its_support():
    x, atoms = coherent(12, 30, 8, 40)
    atoms *= np.linspace(0.1, 3, 30)[:, None]
    atoms[4] = 0
    x[5] = 0
    codes = darkmatter.orthogonal_matching_pursuit(x, atoms, 4).toarray()
    assert np.all(np.count_nonzero(codes, axis=1) == np.where(np.arange(40) == 5, 0, 4))
    for w, row in zip(codes, x, strict=True):
        if np.any(w):
            best = np.linalg.lstsq(atoms[w != 0].T, row)[0]
            assert w[w != 0] == pytest.approx(best, rel=1e-9)
            unit = unit_rows(np.delete(atoms, 4, axis=0))
            assert np.argmax(np.abs(unit @ row)) in np.flatnonzero(np.delete(w, 4))


def test_matching_pursuit_of_rows_that_fewer_atoms_explain():
    codes = darkmatter.orthogonal_matching_pursuit([[3, 0, 0], [3, -1, 2]], np.eye(3), 3)
    assert codes.toarray() == pytest.approx(np.array([[3, 0, 0], [3, -1, 2]]))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.ones((2, 3)), np.eye(4), 1), ValueError, "x must have as many columns.*4, got 3"),
        ((np.ones((2, 3)), np.ones(3), 1), ValueError, r"dictionary must have shape .* got \(3,\)"),
        ((np.ones((2, 3)), np.eye(3), 4), ValueError, r"l0 must be in \[0, 3\].*got 4"),
        ((np.ones((2, 3)), np.eye(3), [1, -2]), ValueError, r"l0 must be in \[0, 3\].*got -2"),
        ((np.ones((2, 3)), np.eye(3), [1]), ValueError, r"scalar or have shape \(2,\), got \(1,\)"),
        (
            (np.ones((2, 3)), np.eye(3), 1.0),
            TypeError,
            "l0 must be an integer .* got dtype float64",
        ),
        (([[1, np.nan, 0]], np.eye(3), 1), ValueError, "x must be finite, got nan"),
        ((np.ones((2, 3)), np.full((3, 3), np.inf), 1), ValueError, "dictionary must be finite"),
        ((np.ones((2, 3)), "atoms", 1), TypeError, "dictionary must be a real number or array"),
    ],
)
@pytest.mark.parametrize(
    "search", [darkmatter.gradient_pursuit, darkmatter.orthogonal_matching_pursuit]
)
def test_bad_arguments(search, arguments, error, message):
    with pytest.raises(error, match=message):
        search(*arguments)
