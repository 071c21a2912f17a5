"""Weights for features that differ: exact losses, and what else could be put together."""

from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import scipy
import xarray as xr

import rugtheory as rt
from rugtheory.analysis.pair_energy import low_energy
from rugtheory.analysis.places import placed
from rugtheory.analysis.row_descent import Symmetric
from validation.unequal import features_of

DATA = Path(__file__).parents[1] / "validation" / "data"
FEATURES = {
    "frequencies": rt.Independent(rt.zipf(24, 0.3, alpha=0.7)),
    "importances": rt.Independent([0.1] * 24, importance=rt.geometric(24, 0.9)),
    "laws": rt.Independent([0.1, 0.2] * 12, amplitude=(rt.Uniform(), rt.Exponential()) * 12),
    "discrete": rt.Independent(rt.zipf(12, 0.2), amplitude=rt.Constant(0.7)),
    "rare": rt.Independent(rt.zipf(20, 1e-3)),
    "some without weight": rt.Independent(
        rt.zipf(12, 0.3), importance=[1, 0, 2, 1, 1, 0, 0, 1, 1, 1, 3, 1]
    ),
    "some always on": rt.Independent([1.0, 1.0, 0.5, 0.2, 0.2, 0.1]),
}


SLOW = ("rare", "frequencies")


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=[pytest.mark.slow] * (x in SLOW)) for x in FEATURES]
)
def test_loss_is_that_of_the_weights(name):
    features = FEATURES[name]
    best = rt.allocated_model(features, 5)
    exact = rt.exact_loss(best.model, features, rtol=1e-8)
    assert best.loss == pytest.approx(exact.mean, rel=1e-6)
    assert best.loss <= np.mean(features.importance * features.variance)
    assert best.coupling <= 10
    assert sum(best.families.values()) == len(features)


@pytest.mark.parametrize(
    "cap", [0.4, *(pytest.param(x, marks=pytest.mark.slow) for x in (1.0, 4.0))]
)
def test_couplings_are_below_the_cap(cap):
    best = rt.allocated_model(FEATURES["frequencies"], 9, max_coupling=cap)
    model = best.model
    w = model.w_out @ model.w_in
    alive = np.diag(w) > 0
    ratio = np.abs(w[alive]) / np.diag(w)[alive, None]
    ratio[np.arange(alive.sum()), np.flatnonzero(alive)] = 0.0
    assert ratio.max() <= cap * (1 + 1e-9)
    assert best.coupling == pytest.approx(ratio.max(initial=0.0))


NODES, WEIGHTS = np.polynomial.legendre.leggauss(150)
U, V = np.meshgrid((NODES + 1) / 2, (NODES + 1) / 2)
WEIGHT = np.outer(WEIGHTS, WEIGHTS) / 4


@cache
def pair_loss(p):
    """Of both features of an even pair, by integrals over both amplitudes, good to 1e-4 or so."""

    def output(own, other):
        def loss(at):
            a, b = at
            found = 0.0
            for on, x in ((own, U), (1 - own, 0 * U)):
                for heard, y in ((other, V), (1 - other, 0 * V)):
                    square = (x - np.maximum(a * (x - y) + b, 0.0)) ** 2
                    found += on * heard * np.sum(WEIGHT * square)
            return found

        return scipy.optimize.minimize(loss, (0.9, 0.02), method="Nelder-Mead").fun

    return output(p[0], p[1]) + output(p[1], p[0])


def test_no_other_blocks_lose_less():
    """Of even pairs, singles and dropped features: all there is with couplings up to 1."""
    p = (0.3, 0.25, 0.1, 0.09, 0.03)
    features = rt.Independent(p)
    variance = features.variance

    def least(left, units):
        if not left:
            return 0.0
        first, rest = left[0], left[1:]
        found = [variance[first] + least(rest, units)]
        if units:
            found.append(least(rest, units - 1))
            for other in rest:
                others = tuple(x for x in rest if x != other)
                found.append(pair_loss((p[first], p[other])) + least(others, units - 1))
        return min(found)

    for units in (1, 2, 3, 4):
        best = rt.allocated_model(features, units, max_coupling=1.0)
        truth = least(tuple(range(len(p))), units) / len(p)
        assert best.loss == pytest.approx(truth, rel=1e-3)


@pytest.mark.parametrize(
    ("alpha", "n_dense"),
    [
        (0.5, 6),
        pytest.param(0.5, 60, marks=pytest.mark.slow),
        pytest.param(1.5, 24, marks=pytest.mark.slow),
    ],
)
def test_below_what_training_found(alpha, n_dense):
    kept = xr.load_dataset(DATA / "unequal_zipf.nc", engine="h5netcdf")
    for k in np.flatnonzero(kept.n_dense.values == n_dense):
        features = features_of(str(kept.law.values[k]))
        if features.p[1] / features.p[0] == pytest.approx(2**-alpha):
            best = rt.allocated_model(features, n_dense)
            assert best.loss < 0.93 * float(kept.loss.values[k])
            return
    raise AssertionError("no such model")


@pytest.mark.slow
def test_rare_features_are_not_dropped():
    """One of these alone would lose more than all of them do."""
    features = rt.Independent(rt.zipf(20, 1e-4))
    best = rt.allocated_model(features, 5)
    assert best.families.get("spread", 0) > 8 and "dropped" not in best.families
    assert best.loss * len(features) < 0.1 * features.variance.min()


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.01, 0.1])
def test_features_that_are_alike(p):
    """There more structures are known, and chosen by exact losses."""
    best, alike = rt.allocated_model(rt.Identical(45, p), 12), rt.best_model(45, 12, p)
    assert (1 - 1e-6) * alike.loss <= best.loss < 1.15 * alike.loss


@pytest.mark.slow
def test_neither_their_order_nor_their_scale_counts():
    features = rt.Independent(rt.zipf(12, 0.3, alpha=0.7))
    best, order = rt.allocated_model(features, 5), np.random.default_rng(0).permutation(12)
    mixed = rt.Independent(
        features.p[order], amplitude=rt.Uniform(0, 5.0), importance=np.full(12, 3.0)
    )
    other = rt.allocated_model(mixed, 5)
    assert other.loss == pytest.approx(75 * best.loss, rel=1e-6)
    assert other.families == best.families


@pytest.mark.slow
def test_features_of_several_sizes():
    """Those of three times the size, with a ninth of the importance, are the same features."""
    p, sizes = rt.zipf(12, 0.3), np.tile([1.0, 3.0], 6)
    alike = rt.allocated_model(rt.Independent(p), 5)
    laws = tuple(rt.Uniform(0, x) for x in sizes)
    other = rt.allocated_model(rt.Independent(p, laws, sizes**-2), 5, max_coupling=30)
    assert other.loss <= alike.loss * (1 + 1e-6)


def test_more_units_than_features_lose_nothing():
    best = rt.allocated_model(rt.Independent([0.1, 0.2]), 5)
    assert best.loss == 0 and best.families == {"singles": 2}
    idle = rt.allocated_model(rt.Independent([1.0, 1.0], amplitude=rt.Constant()), 1)
    assert idle.loss == 0 and idle.families == {"dropped": 2}


class TestStart:
    @pytest.mark.slow
    def test_descents_begin_there(self):
        features = FEATURES["frequencies"]
        best = rt.allocated_model(features, 9, max_coupling=3.0)
        found = rt.minimize(features, 9, init="best", max_coupling=3.0, steps=20)
        assert found.trajectory[0] == pytest.approx(best.loss, rel=1e-4)
        assert found.loss <= best.loss * (1 + 1e-9)

    @pytest.mark.slow
    def test_beside_outputs_that_lose_nothing(self):
        """Features alone in a hidden unit: there is no relative error."""
        features = rt.Independent(rt.zipf(16, 0.3, alpha=1.5))
        best = rt.allocated_model(features, 9)
        assert best.families["singles"] > 1
        found = rt.minimize(features, 9, init=best.model, steps=3)
        assert found.loss <= best.loss * (1 + 1e-9)

    @pytest.mark.parametrize(
        ("features", "options", "message"),
        [
            (FEATURES["frequencies"], {"hidden_noise": 0.1}, "hidden_noise must be 0 with init"),
            (FEATURES["frequencies"], {"tied": True}, "tied must be False"),
            (FEATURES["frequencies"], {"max_coupling": None}, "max_coupling must not be None"),
            (rt.Groups([rt.Exclusive([0.1, 0.2])]), {}, "not independent"),
        ],
    )
    def test_refused_by_name(self, features, options, message):
        with pytest.raises(ValueError, match=message):
            rt.minimize(features, 2, init="best", **options)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (rt.Groups([rt.Exclusive([0.1, 0.2])]), "independent"),
        (rt.Independent([0.1, 0.2], amplitude=rt.Uniform(-1, 1)), "negative"),
    ],
)
def test_features_that_it_is_not_for(features, message):
    with pytest.raises(ValueError, match=message):
        rt.allocated_model(features, 1)


def test_couplings_of_low_energy_have_a_diagonal_of_one():
    """However many features share few hidden units, where all energies are large."""
    for n, units in ((352, 2), (96, 2), (60, 3)):
        at = Symmetric(n, units)
        low = at.model(low_energy(at, np.random.default_rng(0), 1009.0, cap=10.0))
        assert low.diagonal == pytest.approx(1, rel=1e-12)


class TestPlaces:
    def test_pairs_of_large_and_small(self):
        """By the rearrangement inequality, of all pairs."""
        p = np.random.default_rng(0).uniform(size=10)
        cost = np.kron(np.eye(5), 1 - np.eye(2))
        at = placed(cost, p, p)
        assert sorted(at) == list(range(10))
        ascending = np.sort(p)
        assert p[at] @ cost @ p[at] == pytest.approx(2 * ascending[:5] @ ascending[:4:-1])

    @pytest.mark.parametrize("seed", range(5))
    def test_no_swap_gains(self, seed):
        rng = np.random.default_rng(seed)
        cost = rng.uniform(size=(9, 9)) * (rng.uniform(size=(9, 9)) < 0.5)
        np.fill_diagonal(cost, 0.0)
        own, heard = rng.uniform(size=(2, 9))
        at = placed(cost, own, heard)
        found = own[at] @ cost @ heard[at]
        assert found <= own @ cost @ heard
        for s, t in combinations(range(9), 2):
            other = at.copy()
            other[[s, t]] = other[[t, s]]
            assert own[other] @ cost @ heard[other] >= found * (1 - 1e-8)


@pytest.mark.slow
def test_unlike_features_share_units_better_than_like_ones():
    """By samples, below what pairs of features that are alike lose by theory."""
    features = rt.Independent(rt.zipf(12, 0.3))
    best = rt.allocated_model(features, 6, max_coupling=1.0)
    likes = rt.allocate(features, 6, family="pairs").loss
    assert likes > 0
    x = features.sample(400_000, seed=1)
    losses = ((best.model(x) - x) ** 2).mean(axis=1)
    error = losses.std() / np.sqrt(losses.size)
    assert abs(losses.mean() - best.loss) < 4 * error
    assert losses.mean() + 5 * error < 0.9 * likes
