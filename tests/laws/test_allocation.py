"""Laws of features that share hidden units and are not alike."""

import numpy as np
from hypothesis import given, settings
from pytest import approx

import rugtheory as rt

from .domain import SEEDS


def drawn(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 30))
    p, weight = 10 ** rng.uniform(-6, -0.1, n), 10 ** rng.uniform(-1, 1, n)
    return rt.Independent(p, importance=weight), int(rng.integers(1, n))


class TestAllocation:
    """Features that are not alike"""

    @given(SEEDS)
    @settings(max_examples=4)
    def test_between_bounds(self, seed):
        """The best allocation loses no more than equal shares or dropping all, no less than its
        bound, and uses all capacity."""
        features, n_dense = drawn(seed)
        found, weight = rt.allocate(features, n_dense), features.importance
        equal = rt.optimum(features.p, n_dense / len(features)).loss
        assert found.bound <= found.loss <= np.mean(weight * equal) * (1 + 1e-9)
        assert found.loss <= np.mean(weight * features.variance)
        room = rt.capacity_bound(features, n_dense)
        assert found.capacity.sum() == approx(room, rel=1e-9)

    @given(SEEDS)
    @settings(max_examples=4)
    def test_more_units(self, seed):
        """More hidden units lose less, at a falling price; the exponent is the price's."""
        features, n_dense = drawn(seed)
        units = np.array([0.5, 1.0]) * n_dense
        one, two = (rt.allocate(features, x) for x in units)
        assert two.bound < one.bound and two.multiplier <= one.multiplier * (1 + 1e-9)
        exponent = rt.allocation_scaling(features, units).exponent[1]
        assert exponent == approx(-two.multiplier * n_dense / two.loss, rel=1e-9)
        law = rt.sparse_allocation_law(features, units)
        assert law[1] < law[0]

    @given(SEEDS)
    @settings(max_examples=4)
    def test_phases(self, seed):
        """At the price found, phases say which are dropped or alone; one may lie between."""
        features, n_dense = drawn(seed)
        found, phases = rt.allocate(features, n_dense), rt.allocation_phases(features.p)
        price = found.multiplier * len(features) / features.importance
        assert np.sum(found.dropped != (price > phases.dropped_above)) <= 1
        alone, near = found.capacity == 1, np.abs(price / phases.alone_below - 1) < 1e-4
        assert np.sum((alone != (price < phases.alone_below)) & ~near) <= 1

    @given(SEEDS)
    @settings(max_examples=4)
    def test_frames(self, seed):
        """A frame of capacities that are possible has them."""
        rng = np.random.default_rng(seed)
        features, n_dense = drawn(seed)
        chosen = [rng.permutation(len(features)) < n_dense for _ in range(3)]
        wanted = np.mean(chosen, axis=0)
        model = rt.frame(features, wanted, seed=seed)
        w = model.w_out @ model.w_in
        power = w**2 @ features.variance
        own = np.diag(w) ** 2 * features.variance
        some = power > 0
        assert own[some] / power[some] == approx(wanted[some], abs=1e-12)
        assert np.all(wanted[~some] == 0)
