"""Who gets the hidden units: allocations against brute force, limits and definitions."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize

import rugtheory as rt

from .laws.domain import AMPLITUDES

# Densities but the uniform one take seconds.
LAWS = [
    pytest.param(
        law, id=str(law), marks=[pytest.mark.slow] * (law.atoms() is None and "Uni" not in str(law))
    )
    for law in AMPLITUDES
]


def consistent(found, features, family="gaussian"):
    """Each loss is that of the decoder and channel given; capacities use all hidden units."""
    losses, laws = np.empty(len(features)), features.amplitudes
    for i, p in enumerate(features.on_probability):
        c = found.capacity[i]
        if found.dropped[i]:
            assert c == 0 and found.sigma[i] == np.inf and found.a[i] == 0
            losses[i] = features.variance[i]
        else:
            inverse = 1 if family == "gaussian" else 2
            noise = features.variance[i] * max(1 / c - inverse, 0)
            assert found.sigma[i] ** 2 == pytest.approx(noise, rel=1e-9, abs=1e-15)
            loss = rt.reduced_loss if family == "gaussian" else rt.antipodal_loss
            at = found.a[i], found.b[i], found.sigma[i], p
            losses[i] = loss(*at, amplitude=laws[i]) if c < 1 else 0
            losses[i] *= 1 if family == "gaussian" else min(2 * (1 - c), 1)
    assert found.losses == pytest.approx(losses, rel=1e-9, abs=1e-300)
    assert found.loss == pytest.approx(np.mean(features.importance * losses), rel=1e-9)
    useful = (features.variance > 0) & (features.importance > 0)
    assert found.capacity.sum() == pytest.approx(min(found.n_dense, useful.sum()), rel=1e-9)
    assert 0 <= found.bound <= found.loss and found.error == found.loss - found.bound


class TestEqualFeatures:
    @pytest.mark.parametrize("p", [1e-12, 1e-6, 0.01, 0.045, 0.3, 0.9])
    @pytest.mark.parametrize("ratio", [0.25, 0.75, 0.99])
    def test_is_the_optimum(self, p, ratio):
        if ratio < rt.critical_ratio(p):
            return
        found = rt.allocate(rt.Identical(1000, p), 1000 * ratio)
        assert found.loss == pytest.approx(float(rt.optimum(p, ratio).loss), rel=1e-12)
        assert found.error <= 1e-12 * found.loss
        assert found.capacity == pytest.approx(np.full(1000, ratio), rel=1e-9)

    @pytest.mark.parametrize(("p", "ratio"), [(0.045, 0.05), (0.3, 0.1), (0.9, 0.3), (1e-5, 1e-5)])
    def test_some_are_dropped(self, p, ratio):
        """The bound is the chord of `mixture_loss`; whole numbers of features cost O(1/n²) more."""
        n = 100_000
        found = rt.allocate(rt.Identical(n, p), n * ratio)
        chord = float(rt.mixture_loss(p, ratio))
        assert found.bound == pytest.approx(chord, rel=1e-9)
        assert chord * (1 - 1e-12) <= found.loss < chord * (1 + 1e-4)
        kept = float(rt.represented_fraction(p, ratio))
        assert np.mean(~found.dropped) == pytest.approx(kept, abs=2 / n)

    @pytest.mark.parametrize("ratio", [0.25, 0.5, 0.6, 0.75])
    def test_pairs(self, ratio):
        found = rt.allocate(rt.Identical(200, 0.045), 200 * ratio, family="pairs")
        best = float(rt.antipodal_optimum(0.045, ratio).loss)
        assert found.loss == pytest.approx(best, rel=1e-12)
        consistent(found, rt.Identical(200, 0.045), "pairs")

    def test_room_for_all(self):
        for n_dense in (5, 7.5):
            found = rt.allocate(rt.Identical(5, 0.1), n_dense)
            assert found.loss == found.bound == found.multiplier == 0
            assert found.capacity.tolist() == [1] * 5


def curve(p):
    """L and dL/dc of one feature, from values of `optimum` alone."""
    s = np.arccosh(np.sqrt(1 / (0.02 * p))) * np.linspace(0, 1, 1200)
    s[0] = 1e-6
    variance = float(rt.SparseSource(p).variance)
    loss = rt.optimum(p, sigma=np.sqrt(variance) * np.sinh(s)).loss
    log, last = CubicSpline(s, np.log(loss / np.tanh(s) ** 2)), 1 / np.cosh(s[-1]) ** 2

    def at(c):
        x = np.arccosh(np.sqrt(1 / np.clip(c, 1e-14, 1)))
        if x > s[-1]:
            slope = (loss[-1] - variance) / last
            return variance + slope * c, slope
        x = max(x, 1e-7)
        value, t = np.exp(log(x)) * np.tanh(x) ** 2, np.tanh(x)
        return value, value * (log(x, 1) + 2 / t / np.cosh(x) ** 2) / (-2 * t / np.cosh(x) ** 2)

    return at


def brute_force(p, importance, n_dense, rng, starts):
    n, curves = p.size, [curve(x) for x in p]

    def loss(c):
        values = np.array([one(x) for one, x in zip(curves, c, strict=True)])
        return importance @ values[:, 0], importance * values[:, 1]

    total = {"type": "eq", "fun": lambda c: c.sum() - n_dense, "jac": np.ones_like}
    best = np.inf
    for k in range(starts):
        if k % 3 == 0:
            start = rng.dirichlet(np.ones(n)) * n_dense
        elif k % 3 == 1:
            start = np.zeros(n)
            start[rng.permutation(n)[:n_dense]] = 0.95
            start += 0.05 * n_dense / n
        else:
            kept = int(rng.integers(n_dense, n + 1))
            start = np.full(n, 1e-3)
            start[rng.permutation(n)[:kept]] = n_dense / kept
        found = minimize(
            loss,
            np.clip(start, 1e-6, 1),
            jac=True,
            method="SLSQP",
            bounds=[(0, 1)] * n,
            constraints=total,
            options={"ftol": 1e-14, "maxiter": 300},
        )
        if abs(found.x.sum() - n_dense) < 1e-9:
            best = min(best, found.fun)
    return best / n


class TestBruteForce:
    @staticmethod
    def against(seed, most, starts):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, most + 1))
        p, importance = 10 ** rng.uniform(-2.5, -0.02, n), 10 ** rng.uniform(-1, 1, n)
        if seed % 3 == 0:
            p[:], importance[:] = p[0], importance[0]
        n_dense = int(rng.integers(1, n))
        features = rt.Independent(p, importance=importance)
        found = rt.allocate(features, n_dense)
        consistent(found, features)
        best = brute_force(p, importance, n_dense, rng, starts)
        # Splines of the brute force have errors of some 1e-11.
        assert found.loss <= best * (1 + 1e-10)
        assert found.bound <= best * (1 + 1e-10)
        return found.loss / best - 1

    @pytest.mark.parametrize("seed", range(4))
    def test_never_above(self, seed):
        self.against(seed, 7, 12)

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(4, 24))
    def test_equal_to_it(self, seed):
        assert abs(self.against(seed, 12, 60)) < 1e-8

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(24, 32))
    def test_never_above_of_more_features(self, seed):
        """Of some thirty features random starts need not find the least loss."""
        self.against(seed, 30, 60)


class TestDefinition:
    @pytest.mark.parametrize("amplitude", LAWS)
    def test_losses(self, amplitude):
        features = rt.Independent([0.01, 0.1, 0.1, 0.4], amplitude, importance=[3, 1, 1, 0.5])
        found = rt.allocate(features, 2)
        if amplitude.atoms() is None or np.all(amplitude.atoms()[0] > 0):
            consistent(found, features)

    @pytest.mark.parametrize("n_dense", [2, 5, 9.5])
    def test_losses_of_pairs(self, n_dense):
        """Some dropped, some in pairs with noise, one alone in part."""
        p = np.array([0.9, 0.5, 0.3, 0.2, 0.1, 0.1, 0.05, 0.03, 0.02, 0.01, 1e-3, 1e-4])
        features = rt.Independent(p, rt.Constant(), importance=np.linspace(1, 2, 12))
        consistent(rt.allocate(features, n_dense, family="pairs"), features, "pairs")

    def test_mixed_laws(self):
        laws = (rt.Exponential(), rt.Uniform(1, 2), rt.Constant(3), rt.Uniform(1, 2))
        features = rt.Independent([0.01, 0.1, 0.5, 0.1], laws)
        for n_dense in (1, 2, 3):
            consistent(rt.allocate(features, n_dense), features)

    def test_price_is_the_derivative(self):
        features = rt.Independent(rt.zipf(200, 0.4), importance=rt.geometric(200, 0.99))
        for n_dense in (10, 40, 120):
            found, *near = (rt.allocate(features, n_dense + x) for x in (0, -1e-4, 1e-4))
            slope = (near[1].bound - near[0].bound) / 2e-4
            assert found.multiplier == pytest.approx(-slope, rel=1e-5)

    def test_bound_is_a_dual_value(self):
        """From a grid of ratios, at the price found: a little above, for want of the best ratio."""
        p, n_dense = np.array([0.5, 0.2, 0.1, 0.05, 0.02, 0.01]), 2
        importance = np.array([1, 2, 1, 3, 1, 5.0])
        found = rt.allocate(rt.Independent(p, importance=importance), n_dense)
        ratio = np.linspace(1e-4, 1, 4001)
        price, dual = found.multiplier * p.size, 0.0
        for q, weight in zip(p, importance, strict=True):
            losses = np.append(rt.SparseSource(q).variance, rt.optimum(q, ratio).loss)
            dual += np.min(weight * losses + price * np.append(0, ratio))
        dual = (dual - price * n_dense) / p.size
        assert dual * (1 - 1e-4) <= found.bound <= dual * (1 + 1e-12)

    def test_order_importance_and_units(self):
        rng = np.random.default_rng(0)
        p, weight = 10 ** rng.uniform(-3, -0.5, 40), rng.random(40)
        one = rt.allocate(rt.Independent(p, importance=weight), 9)
        order = rng.permutation(40)
        moved = rt.allocate(rt.Independent(p[order], importance=7 * weight[order]), 9)
        assert moved.loss == pytest.approx(7 * one.loss, rel=1e-10)
        assert moved.capacity == pytest.approx(one.capacity[order], rel=1e-6, abs=1e-9)
        large = rt.allocate(rt.Independent(p, rt.Uniform(0, 3), importance=weight), 9)
        assert large.loss == pytest.approx(9 * one.loss, rel=1e-10)
        assert large.sigma == pytest.approx(3 * one.sigma, rel=1e-6)

    def test_twice_as_many_of_all(self):
        """In twice the hidden units, a feature loses as much; but for the one left over."""
        p, weight = np.array([0.3, 0.1, 0.05, 0.02]), np.array([1, 2, 3, 1.0])
        one = rt.allocate(rt.Independent(np.repeat(p, 50), importance=np.repeat(weight, 50)), 30)
        two = rt.allocate(rt.Independent(np.repeat(p, 100), importance=np.repeat(weight, 100)), 60)
        assert two.bound == pytest.approx(one.bound, rel=1e-9)
        assert two.loss == pytest.approx(one.loss, rel=1e-4)

    def test_what_does_not_matter_is_dropped(self):
        features = rt.Independent([0.1, 0.2, 1.0], rt.Constant(), importance=[0, 1, 1])
        found = rt.allocate(features, 1)
        assert found.dropped.tolist() == [True, False, True]
        assert found.loss == 0 and found.losses == pytest.approx([0.09, 0, 0])
        nothing = rt.allocate(rt.Identical(3, 1.0, rt.Constant()), 1)
        assert nothing.loss == 0 and nothing.dropped.all()

    @pytest.mark.parametrize("p", [1e-140, 1e-30])
    def test_rare_features(self, p):
        found = rt.allocate(rt.Identical(10, p), 5)
        assert found.loss == pytest.approx(float(rt.optimum(p, 0.5).loss), rel=1e-12)

    def test_rare_features_beside_others(self):
        features = rt.Independent([0.3, 1e-12, 1e-30, 1e-140], importance=[1, 1e6, 1e12, 1e40])
        consistent(rt.allocate(rt.Independent(features.p[:2]), 1), rt.Independent(features.p[:2]))
        assert np.all(np.isfinite(rt.allocate(features, 2).losses))

    def test_refusals(self):
        with pytest.raises(ValueError, match="independent"):
            rt.allocate(rt.Groups([rt.Exclusive([0.3, 0.3])]), 1)
        with pytest.raises(ValueError, match="negative"):
            rt.allocate(rt.Identical(4, 0.1, rt.Uniform(-1, 1)), 1)
        with pytest.raises(ValueError, match="family"):
            rt.allocate(rt.Identical(4, 0.1), 1, family="worst")
        with pytest.raises(ValueError, match="n_dense"):
            rt.allocate(rt.Identical(4, 0.1), 0)


class TestMany:
    @pytest.mark.parametrize("n_dense", [40, 400, 2000])
    def test_all_that_are_kept_have_one_price(self, n_dense):
        """Differences of `optimum` at the capacities found; beyond the price nothing is kept."""
        features = rt.Independent(
            rt.zipf(4000, 0.6, alpha=0.8), importance=rt.geometric(4000, 0.999)
        )
        found = rt.allocate(features, n_dense)
        some = np.flatnonzero(~found.dropped)[:: max(1, (~found.dropped).sum() // 50)]
        some = some[found.capacity[some] < 0.99]
        p, c, h = features.p[some], found.capacity[some], 1e-5
        near = [rt.optimum(p, c * (1 + x)).loss for x in (-h, h)]
        price = features.importance[some] * (near[0] - near[1]) / (2 * h * c)
        assert price == pytest.approx(np.full(some.size, 4000 * found.multiplier), rel=1e-3)
        assert found.losses[some] == pytest.approx(rt.optimum(p, c).loss, rel=1e-9)
        assert found.capacity.sum() == pytest.approx(n_dense, rel=1e-12)
        assert 0 <= found.error < 1e-6 * found.loss

    def test_as_few(self):
        """Curves that are interpolated and such that are not; some features are equal."""
        p = np.round(np.random.default_rng(0).uniform(0.001, 0.9, 900), 3)
        one = rt.allocate(rt.Independent(p), 200)
        extra = np.append(p, np.linspace(1e-9, 2e-9, 400))  # that nothing is spent on
        other = rt.allocate(rt.Independent(extra), 200)
        assert other.dropped[900:].all()
        rest = np.sum(other.losses[900:])
        assert other.loss * 1300 - rest == pytest.approx(one.loss * 900, rel=1e-7)
        assert other.capacity[:900] == pytest.approx(one.capacity, rel=1e-3, abs=1e-3)

    def test_many_equal_ones_among_them(self):
        """A class on its chord is shared, also where curves are interpolated."""
        p = np.append(np.full(3000, 0.2), rt.zipf(2000, 0.01, alpha=0.3))
        found = rt.allocate(rt.Independent(p), 300)
        kept = ~found.dropped[:3000]
        assert 0 < kept.sum() < 3000
        assert 0 <= found.error < 1e-4 * found.loss

    @pytest.mark.parametrize("n_dense", [10, 55, 95])
    def test_losses_that_vanish(self, n_dense):
        """Constant features lose nothing, to rounding, where they hear little noise."""
        p = 10 ** np.random.default_rng(1).uniform(-9, -0.2, 100)
        features = rt.Independent(p, rt.Constant())
        found = rt.allocate(features, n_dense)
        assert found.capacity.sum() == pytest.approx(n_dense, rel=1e-12)
        some = np.flatnonzero((found.capacity > 0) & (found.capacity < 1))
        exact = np.zeros(100)
        exact[some] = rt.optimum(p[some], found.capacity[some], amplitude=rt.Constant()).loss
        exact[found.dropped] = features.variance[found.dropped]
        assert abs(found.loss - exact.mean()) <= max(2 * found.error, 1e-3 * found.loss)

    def test_pairs_between_curves(self):
        features = rt.Independent(rt.zipf(60, 0.1), rt.Constant())
        found = rt.allocate(features, 20, family="pairs")
        curve = (found.capacity > 0) & (found.capacity < 0.5)
        some = np.flatnonzero(curve)[::7]
        exact = [
            float(
                rt.antipodal_optimum(features.p[i], found.capacity[i], amplitude=rt.Constant()).loss
            )
            for i in some
        ]
        assert found.losses[some] == pytest.approx(exact, rel=0.01)
        assert found.error < 0.01 * found.loss


@pytest.mark.parametrize("family", ["gaussian", "pairs"])
@pytest.mark.parametrize("n_dense", [3, 12, 24])
def test_no_capacity_is_what_rounding_leaves(family, n_dense):
    features = rt.Independent(np.full(64, 0.1), importance=rt.geometric(64, 0.9))
    found = rt.allocate(features, n_dense, family=family)
    used = found.capacity[found.capacity > 0]
    assert used.min() > 1e-6
    assert used.sum() == pytest.approx(n_dense, rel=1e-12)
