"""Laws of what weights can reach: optimised rugs, row laws, best models, and bounds from below."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx

import rugtheory as rt

from .domain import SEEDS, few

RARE = st.floats(0.005, 0.1)


class TestReach:
    """What weights can reach"""

    @given(SEEDS, RARE)
    @settings(max_examples=3)
    def test_optimised_rugs(self, seed, p):
        """A rug with eigenvalues of its own loses no more than with equal ones."""
        rug, features = rt.hadamard_rug(16, 4, seed=seed % 8), rt.Identical(16, p)
        source = rt.SparseSource(p)
        found = rt.optimised_rug(rug, source)
        equal = rt.exact_loss(rug.model(rt.optimum(p, 0.25), source), features, rows=[0]).mean
        assert found.loss <= equal * (1 + 1e-6)

    def test_saddle(self):
        """Some blocks of the Hessian of a rug are the same alone and among all."""
        best = rt.optimised_rug(rt.hadamard_rug(16, 4, seed=1), rt.SparseSource(0.045))
        some, every = rt.rug_curvature(best, characters=[1, 5]), rt.rug_curvature(best)
        assert some.lowest == approx(every.lowest[[1, 5]], rel=1e-9)

    @given(SEEDS, RARE)
    @few
    def test_torch(self, seed, p):
        """The exact loss of tensors is that of arrays."""
        torch = pytest.importorskip("torch")
        rng, features = np.random.default_rng(seed), rt.Identical(5, p)
        w_in, w_out, b = rng.normal(size=(2, 5)), rng.normal(size=(5, 2)), rng.normal(size=5)
        found = rt.exact_loss_torch(features)(*map(torch.tensor, (w_in, w_out, b)))
        assert float(found) == approx(
            rt.exact_loss(rt.Model(w_in, w_out, b), features).mean, rel=1e-6
        )

    def test_row_law(self):
        """What a row law says of its weights is their exact loss, and no more than at its start."""
        features = rt.Identical(12, 0.03)
        short, long = (rt.row_law(features, 3, seeds=0, steps=x) for x in (2, 10))
        assert long.loss <= short.loss
        assert long.exact == approx(rt.exact_loss(long.model, features).mean, rel=1e-6)

    @given(st.integers(1, 6), RARE)
    @settings(max_examples=3)
    def test_best_models(self, n_dense, p):
        """More hidden units lose no more of 12; the loss is that of the weights below the cap."""
        few, more = (rt.best_model(12, d, p, max_coupling=2.0) for d in (n_dense, n_dense + 1))
        assert more.loss <= few.loss * (1 + 1e-9)
        assert few.coupling <= 2 and sum(few.families.values()) == 12
        exact = rt.exact_loss(few.model, rt.Identical(12, p))
        assert abs(exact.mean - few.loss) <= few.error + exact.mean_error

    @given(st.integers(1, 4), st.lists(RARE, min_size=5, max_size=5), st.floats(0.1, 10))
    @settings(max_examples=3)
    def test_allocated_models(self, n_dense, p, factor):
        """The loss of features that differ is that of the weights, and scales with importances."""
        features, more = (rt.Independent(p, importance=np.full(5, x)) for x in (1.0, factor))
        best, other = (rt.allocated_model(x, n_dense) for x in (features, more))
        assert other.loss == approx(factor * best.loss, rel=1e-9, abs=1e-300)
        assert best.loss <= features.variance.mean() * (1 + 1e-9)
        exact = rt.exact_loss(best.model, features)
        assert abs(exact.mean - best.loss) <= best.error + exact.mean_error

    @given(st.floats(1e-9, 1), st.floats(0.01, 0.99))
    def test_bounds(self, p, ratio):
        """Bounds are of at most the loss of predicting means, and fall as the ratio grows."""
        some, more = (rt.lower_bounds(p, r) for r in (ratio, (1 + ratio) / 2))
        for one, other in zip(some, more, strict=True):
            assert 0 <= other.value <= one.value * (1 + 1e-12)
        known = [bound for bound in some if bound.scope == "all p"]
        assert all(bound.value <= rt.SparseSource(p).variance for bound in known)
