"""Losses of rugs of a given size, against simulation and the limit of many features."""

import itertools

import numpy as np
import pytest
from scipy.linalg import hadamard
from scipy.optimize import minimize

import rugtheory as rt

SAMPLES = 400_000


def simulated_least(row, p, seed=0):
    """Least mean loss over a and b on samples of one reading, and its standard error."""
    source, generator = rt.SparseSource(p), np.random.default_rng(seed)
    x = source.sample(SAMPLES, generator)
    z = source.sample((SAMPLES, len(row)), generator) @ row

    def losses(ab):
        return (x - np.maximum(ab[0] * (x + z) + ab[1], 0)) ** 2

    starts = itertools.product((0.6, 1.2), (0.0, -0.3))
    best = min(
        (minimize(lambda ab: losses(ab).mean(), ab, method="Nelder-Mead") for ab in starts),
        key=lambda found: found.fun,
    )
    return best.fun, losses(best.x).std() / np.sqrt(SAMPLES)


@pytest.mark.parametrize("p", [0.1, pytest.param(0.4, marks=pytest.mark.slow)])
def test_a_small_hadamard_rug(p):
    """n = 4, m = 3: leaving row k out leaves W_0j = -H_kj/3 and, for the constant one, -1/3."""
    found = rt.finite_rug(p, 4, 3, draws=64, seed=0)
    each = [simulated_least(-hadamard(4)[k][1:] / 3, p, seed=k) for k in range(4)]
    losses, errors = np.array(each).T
    expected = losses.mean()
    slack = 4 * (errors.mean() + found.standard_error)
    assert abs(found.loss - expected) < slack
    assert found.kind == "Hadamard" and losses.min() - 4 * errors.max() < found.loss


def test_the_tight_frame_of_three_vectors_in_a_plane():
    """120° apart up to signs: W_ij = ±½, both with equal chance."""
    p = 0.1
    found = rt.finite_rug(p, 3, 2, draws=64, seed=1)
    signs = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    each = [simulated_least(0.5 * np.array(s), p, seed=k) for k, s in enumerate(signs)]
    losses, errors = np.array(each).T
    assert abs(found.loss - losses.mean()) < 4 * (errors.mean() + found.standard_error)
    assert found.kind == "tight frame"


@pytest.mark.parametrize(("n_sparse", "n_dense"), [(1024, 256), (1000, 250)])
def test_many_features_are_the_limit(n_sparse, n_dense):
    found = rt.finite_rug(0.2, n_sparse, n_dense, draws=4)
    assert found.limit == float(rt.optimum(0.2, 0.25).loss)
    assert found.loss == pytest.approx(found.limit, rel=0.01)
    smaller = rt.finite_rug(0.2, n_sparse // 8, n_dense // 8, draws=8)
    assert smaller.loss > found.loss and smaller.spread > found.spread


def test_as_many_units_as_features_lose_nothing():
    for n in (4, 5):
        found = rt.finite_rug(0.3, n, n, draws=2)
        assert found.loss == 0 and found.limit == pytest.approx(0, abs=1e-15)


def test_curves_of_this_size():
    curves = rt.loss_curves([0.1], [0.25, 0.5])
    kept = []
    found = rt.finite_curves(curves, 2, n_sparse=64, seed=3, checkpoint=kept.append)
    for j, n_dense in enumerate((16, 32)):
        generator = np.random.default_rng((3, 0, j))
        one = rt.finite_rug(0.1, 64, n_dense, draws=2, seed=generator)
        assert float(found.finite_loss[0, j]) == one.loss
        assert float(found.finite_spread[0, j]) == one.spread
    assert len(kept) == 1
