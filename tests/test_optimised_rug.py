"""Rugs with eigenvalues of their own."""

from functools import cache

import numpy as np
import pytest

import rugtheory as rt
from rugtheory.structure.optimised_rug import OptimisedRug


@cache
def best(n, d, p, seed=1, law=rt.Uniform()):
    return rt.optimised_rug(rt.hadamard_rug(n, d, seed=seed), rt.SparseSource(p, law))


CASES = [
    (32, 8, 0.045, rt.Uniform()),
    pytest.param(64, 16, 0.045, rt.Uniform(), marks=pytest.mark.slow),
    pytest.param(128, 32, 0.01, rt.Uniform(), marks=pytest.mark.slow),
    (16, 3, 0.1, rt.HalfNormal()),
    pytest.param(64, 8, 0.1, rt.HalfNormal(), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("n", "d", "p", "law"), CASES)
def test_the_loss_is_that_of_all_rows_and_stationary_in_all_weights(n, d, p, law):
    """Neither knows that rows are alike."""
    found = best(n, d, p, law=law)
    model, features = found.model(), rt.Identical(n, p, law)
    w = model.w_out @ model.w_in
    assert np.allclose(np.diag(w), found.a, rtol=1e-13)
    index = np.arange(n)
    assert np.allclose(w, found.phi[index[:, None] ^ index], atol=1e-14)
    every = rt.exact_loss(model, features)
    assert np.all(np.abs(every.loss - found.loss) <= every.error + found.error)
    assert found.error <= 1e-7 * found.loss
    slope = rt.exact_gradient(model, features)
    assert max(np.abs(x).max() for x in (slope.w_in, slope.w_out, slope.b)) <= 1e-5 * found.loss
    assert found.gradient <= 1e-6


@pytest.mark.parametrize(("n", "d", "p", "law"), CASES)
def test_no_rug_with_equal_eigenvalues_is_better(n, d, p, law):
    found = best(n, d, p, law=law)
    rug = found.rug
    a, b = found.a, found.b
    for stretch in (0.8, 0.9, 1.0, 1.1):
        for shift in (-0.1, 0.0, 0.1):
            equal = rug.model(stretch * a, b + shift)
            loss = rt.exact_loss(equal, rt.Identical(n, p, law), rows=[0]).mean
            assert found.loss < loss


@pytest.mark.parametrize(
    ("n", "d", "p", "loss"),
    [(128, 32, 0.045, 2.413), (128, 32, 0.01, 4.136), (256, 64, 0.045, 2.595)],
)
def test_known_losses(n, d, p, loss):
    """Found by a prototype of another method."""
    assert best(n, d, p).loss / p**2 == pytest.approx(loss, abs=1e-3)


@pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 2))])
def test_moves_of_one_eigenvalue_gain_nothing(seed):
    """By the exact loss of a single row; one of these rugs has the row of ones."""
    found = best(64, 16, 0.03, seed)
    features = rt.Identical(64, 0.03)
    generator = np.random.default_rng(seed)
    for _ in range(6):
        eigenvalues = found.eigenvalues + 0.02 * generator.normal(size=16)
        moved = OptimisedRug(found.rug, found.source, eigenvalues, found.b, 0.0, 0.0, 0.0)
        assert rt.exact_loss(moved.model(), features, rows=[5]).mean > found.loss


def test_refused():
    rug = rt.hadamard_rug(8, 3, seed=0)
    with pytest.raises(ValueError, match="source must be on with a probability below ½"):
        rt.optimised_rug(rug, rt.SparseSource(0.6))
    with pytest.raises(ValueError, match="density"):
        rt.optimised_rug(rug, rt.SparseSource(0.1, rt.Constant()))
    with pytest.raises(ValueError, match="n_dense < n_sparse"):
        rt.optimised_rug(rt.hadamard_rug(8, 8, seed=0), rt.SparseSource(0.1))
    with pytest.raises(TypeError, match="rug must be"):
        rt.optimised_rug(3, rt.SparseSource(0.1))
    with pytest.raises((ValueError, TypeError), match="source"):
        rt.optimised_rug(rug, rt.SparseSource([0.1, 0.2]))
