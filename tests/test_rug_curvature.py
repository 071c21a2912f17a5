"""The second variation at optimised rugs, against the Hessian of all weights."""

import mpmath as mp
import numpy as np
import pytest

import rugtheory as rt
from rugtheory.analysis.curvature import hessian_product, lowest_curvatures
from rugtheory.analysis.descent import Coordinates, Objective
from rugtheory.analysis.gradient import Gradient
from rugtheory.channel.row_curvature import row_curvature
from rugtheory.channel.row_laws import RowLaws
from rugtheory.structure.rug_curvature import _Blocks

from .oracle.enumeration import uniform_loss


def objective(found):
    """The log of the loss in all weights, which knows no symmetry."""
    n, d = found.rug.n_sparse, found.rug.n_dense
    at = Coordinates(n, d, tied=False, noise=0.0)
    gradient = Gradient(rt.Identical(n, found.source.p, found.source.amplitude), 1e-9)
    return Objective(gradient, at), at.vector(found.model())


# One with the row of ones, where an eigenvalue is negative.
@pytest.mark.parametrize(
    ("n", "d", "p", "seed", "law"),
    [
        (8, 3, 0.1, 1, rt.Uniform()),
        pytest.param(16, 6, 0.1, 0, rt.HalfNormal(), marks=pytest.mark.slow),
        pytest.param(32, 8, 0.1, 0, rt.Uniform(), marks=pytest.mark.slow),
        pytest.param(32, 8, 0.045, 1, rt.Uniform(), marks=pytest.mark.slow),
    ],
)
def test_all_eigenvalues_are_those_of_the_hessian(n, d, p, seed, law):
    found = rt.optimised_rug(rt.hadamard_rug(n, d, seed=seed), rt.SparseSource(p, law))
    log_loss, x = objective(found)
    hessian = np.array([hessian_product(log_loss, x, e) for e in np.eye(x.size)])
    expected = np.linalg.eigvalsh((hessian + hessian.T) / 2)
    blocks = _Blocks(found)
    values = np.concatenate([np.linalg.eigvalsh(blocks[k]) for k in range(n)])
    assert np.abs(np.sort(values) / found.loss - expected).max() <= 1e-5
    curved = rt.rug_curvature(found)
    assert curved.lowest.min() == pytest.approx(values.min(), rel=1e-9)
    assert curved.largest.max() == pytest.approx(values.max(), rel=1e-9)


@pytest.mark.parametrize("b", [1e-3, -1e-3, 2e-5])
def test_next_to_the_kink(b):
    """The reading is b where all is off: derivatives against differences of many digits."""
    p, weights = 0.0625, np.array([0.5, 0.45, -0.6])
    ((_, law),) = RowLaws(rt.Identical(3, p))(0, weights, 0.0)
    found = row_curvature(weights, b, rt.SparseSource(p), law)
    with mp.workdps(60):
        at = [mp.mpf(float(x)) for x in (*weights, b)]
        step = mp.mpf(10) ** -12

        def loss(*moves):
            x = list(at)
            for k, sign in moves:
                x[k] += sign * step
            return uniform_loss(x[0], np.array(x[1:3], dtype=object), x[3], p)

        hessian, slope = np.empty((4, 4)), np.empty(4)
        for j in range(4):
            slope[j] = (loss((j, 1)) - loss((j, -1))) / (2 * step)
            for k in range(j, 4):
                corners = (x * y * loss((j, x), (k, y)) for x in (1, -1) for y in (1, -1))
                hessian[j, k] = hessian[k, j] = sum(corners) / (4 * step**2)
    assert np.linalg.norm(found.hessian - hessian) <= found.error
    assert found.error <= 1e-2 * np.linalg.norm(hessian)
    assert np.abs(found.slope - slope).max() <= 1e-5 * np.abs(slope).max()


@pytest.mark.parametrize(
    ("n", "d", "p"),
    [
        (16, 4, 0.0625),
        (4, 1, 0.1),
        (8, 2, 0.1),
        pytest.param(32, 8, 0.001, marks=pytest.mark.slow),
    ],
)
def test_small_biases_and_rare_features(n, d, p):
    """There is a contour, and no lowest eigenvalue is above that of moves that leave W alone, 0."""
    found = rt.rug_curvature(rt.optimised_rug(rt.hadamard_rug(n, d, seed=0), rt.SparseSource(p)))
    assert found.lowest.max() <= found.error
    assert 0 < found.error < 0.03 * found.largest.max()


@pytest.mark.slow
def test_the_lowest_is_what_minimize_finds():
    found = rt.optimised_rug(rt.hadamard_rug(128, 32, seed=1), rt.SparseSource(0.045))
    curved = rt.rug_curvature(found)
    log_loss, x = objective(found)
    lowest = lowest_curvatures(log_loss, x, 1, 0)[0]
    assert curved.ratio == pytest.approx(lowest, abs=2e-3)


def test_ends_of_large_blocks():
    """By Lanczos' method, against all eigenvalues."""
    found = rt.optimised_rug(rt.hadamard_rug(512, 128, seed=1), rt.SparseSource(0.045))
    some = [0, 1, 77, 500]
    curved, blocks = rt.rug_curvature(found, characters=some), _Blocks(found)
    for k, low, high in zip(some, curved.lowest, curved.largest, strict=True):
        values = np.linalg.eigvalsh(blocks[k])
        assert low == pytest.approx(values[0], rel=2e-4)
        assert high == pytest.approx(values[-1], rel=2e-4)
    assert curved.error < 1e-3 * abs(curved.lowest).max()


def test_downhill_both_ways():
    """The loss itself, of all rows, is lower along the lowest direction by its curvature."""
    n = 32
    found = rt.optimised_rug(rt.hadamard_rug(n, 8, seed=1), rt.SparseSource(0.045))
    curved, model, rows = rt.rug_curvature(found), found.model(), found.rug.rows
    k = int(curved.characters[np.argmin(curved.lowest)])
    value, vector = np.linalg.eigh(_Blocks(found)[k])
    h = rt.hadamard_rug(n, n, seed=0).w_in / np.sqrt(n)
    # Moves of W_out and W_in by character k, and of the biases.
    step = 0.02 * vector[:, 0]
    out, into, bias = h[rows ^ k] * step[:8, None], h[rows ^ k] * step[8:-1, None], step[-1]
    drop = 0.0
    for sign in (1, -1):
        moved = rt.Model(
            model.w_in + sign * into,
            model.w_out + sign * out.T,
            model.b + sign * bias * h[k],
        )
        drop += rt.exact_loss(moved, rt.Identical(n, 0.045)).mean - found.loss
    assert drop == pytest.approx(value[0] * 0.02**2, rel=2e-2)


def test_characters_out_of_range():
    found = rt.optimised_rug(rt.hadamard_rug(8, 3, seed=0), rt.SparseSource(0.1))
    assert rt.rug_curvature(found, characters=[3, 3, 0]).characters.tolist() == [0, 3]
    with pytest.raises(ValueError, match=r"characters must lie in \[0, 7\], got 8"):
        rt.rug_curvature(found, characters=[1, 8])
