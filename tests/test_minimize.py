"""Descent on the exact loss, against minima that are known otherwise."""

import numpy as np
import pytest

import rugtheory as rt


def lowest(features, n_dense, seeds, **options):
    return min(
        (rt.minimize(features, n_dense, seed=s, **options) for s in seeds), key=lambda x: x.loss
    )


@pytest.mark.parametrize("p", [0.02, 0.1, 0.3])
def test_two_features_in_one_unit_are_a_pair(p):
    """The best pair of equal features is known in closed form; uneven pairs may be better."""
    found = lowest(rt.Identical(2, p), 1, range(3), max_coupling=None)
    equal = float(rt.antipodal_optimum(p, 0.5).loss)
    assert found.loss <= equal * (1 + 1e-6)
    assert found.loss >= float(rt.uneven_pairs(p).loss) * (1 - 1e-6)


def test_as_many_units_as_features_lose_nothing():
    found = rt.minimize(rt.Identical(3, 0.2), 3, seed=0)
    assert found.verdict == "lost"
    assert found.loss < 1e-3 * 0.2**2


def test_trajectory_falls_and_ends_at_the_loss():
    found = rt.minimize(rt.Identical(12, 0.05), 6, seed=0, max_coupling=None)
    assert found.verdict == "stationary"
    assert found.gradient <= 1e-6
    assert np.all(np.diff(found.trajectory) <= 1e-12)
    assert abs(found.trajectory[-1] - found.loss) <= 1e-4 * found.loss + found.error
    again = rt.exact_loss(found.model, rt.Identical(12, 0.05))
    assert abs(again.mean - found.loss) <= found.error + again.mean_error


def test_a_minimum_is_told_from_a_saddle():
    """The weights of a rug are stationary among rugs, and not the least near them."""
    features = rt.Identical(16, 0.05)
    found = rt.minimize(features, 4, seed=2, curvature=1)
    assert found.verdict == "minimum"
    rug, best = rt.hadamard_rug(16, 4, seed=1), rt.optimum(0.05, 0.25)
    start = rug.model(best, rt.SparseSource(0.05))
    below = rt.minimize(features, 4, init=start, seed=0)
    assert below.loss < 0.9 * rt.exact_loss(start, features).mean
    stuck = rt.minimize(features, 4, init=found.model, steps=3)
    assert abs(stuck.loss - found.loss) < 1e-6 * found.loss


@pytest.mark.parametrize("cap", [0.3, 1.0, 3.0])
def test_couplings_stay_below_their_cap(cap):
    found = rt.minimize(rt.Identical(12, 0.25), 3, seed=0, max_coupling=cap, gtol=1e-5)
    w = found.model.w_out @ found.model.w_in
    alive = np.diag(w) > 0.25 * np.diag(w).max()
    ratios = np.abs(w / np.diag(w)[:, None])[alive]
    assert np.max(ratios[ratios != 1.0]) <= cap
    assert abs(np.max(ratios[ratios != 1.0]) - found.coupling) < 1e-12


def test_tied_and_noisy_weights():
    tied = rt.minimize(rt.Identical(6, 0.1), 2, seed=0, tied=True)
    assert np.array_equal(tied.model.w_out, tied.model.w_in.T)
    noisy = rt.minimize(rt.Identical(6, 0.1), 2, seed=0, hidden_noise=0.05)
    assert abs(np.sum(noisy.model.w_in**2) - 6) < 1e-9
    assert noisy.model.hidden_noise == 0.05
    quiet = rt.minimize(rt.Identical(6, 0.1), 2, seed=0)
    assert quiet.loss < noisy.loss
    with pytest.raises(ValueError, match="tied"):
        rt.minimize(rt.Identical(6, 0.1), 2, tied=True, hidden_noise=0.1)


def test_weight_decay_makes_weights_small():
    free = rt.minimize(rt.Identical(6, 0.1), 2, seed=0)
    held = rt.minimize(rt.Identical(6, 0.1), 2, seed=0, weight_decay=1e-3)
    assert np.sum(held.model.w_in**2) < np.sum(free.model.w_in**2)
    # At a stationary point both factors are equally long: the decay is all that sees a gauge.
    assert abs(np.sum(held.model.w_in**2) / np.sum(held.model.w_out**2) - 1) < 1e-3
    assert held.loss > free.loss


def test_important_features_are_served_first():
    features = rt.Identical(2, 0.3)
    unequal = rt.Independent([0.3, 0.3], importance=[1.0, 0.01])
    found = rt.minimize(unequal, 1, seed=0, max_coupling=None)
    assert found.losses[0] < 0.1 * found.losses[1]
    assert abs(found.loss - np.mean([1.0, 0.01] * found.losses)) < 1e-12
    assert rt.minimize(features, 1, seed=0).loss > found.loss


def test_what_is_found_survives_a_stop():
    def enough(model, loss):
        seen.append((model, loss))
        if len(seen) == 5:
            raise StopIteration

    seen = []
    found = rt.minimize(rt.Identical(12, 0.05), 3, seed=0, callback=enough)
    assert found.verdict == "stopped"
    assert found.trajectory.size == 6
    assert found.model == seen[-1][0]
    on = rt.minimize(rt.Identical(12, 0.05), 3, init=found.model)
    assert on.loss < found.loss


def test_the_bar_counts_steps():
    counted = []

    def bar(steps):
        for k in steps:
            counted.append(k)
            yield k

    found = rt.minimize(rt.Identical(6, 0.1), 2, seed=0, steps=7, progress=bar)
    assert len(counted) >= found.trajectory.size - 1


def test_bad_starts():
    features = rt.Identical(6, 0.1)
    with pytest.raises(ValueError, match="init"):
        rt.minimize(features, 2, init="best")
    with pytest.raises(ValueError, match="n_dense"):
        rt.minimize(features, 3, init=rt.Model(np.ones((2, 6))))
    with pytest.raises(ValueError, match="max_coupling"):
        rt.minimize(features, 2, max_coupling=-1.0)
