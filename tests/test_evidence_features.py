"""Trained models of features that are not identical: losses, and what is stored."""

import numpy as np
import pytest
import xarray as xr

import rugtheory as rt
from rugtheory.source.files import features_of

from .test_evidence import DATA

FILES = ("importance", "sets")


def points(name):
    data = xr.load_dataset(DATA / f"{name}.nc")
    for k in range(data.sizes["point"]):
        one = data.isel(point=k)
        model = rt.Model(one["W_in"].values, one["W_out"].values, one["b"].values)
        yield one, model, features_of(str(one["law"].values))


def check(name, samples, step=1):
    """No exact loss is further than four standard errors from the mean over samples."""
    for k, (one, model, features) in enumerate(points(name)):
        if k % step:
            continue
        exact = rt.exact_loss(model, features)
        assert exact.mean == pytest.approx(float(one["loss"]), rel=1e-6, abs=1e-15)
        total, square = 0.0, 0.0
        for seed in range(10):
            x = features.sample(samples // 10, np.random.default_rng([k, seed]))
            loss = (features.importance * (x - model(x)) ** 2).mean(axis=1)
            total, square = total + loss.sum(), square + np.sum(loss**2)
        mean = total / samples
        deviation = np.sqrt(max(square / samples - mean**2, 0.0) / samples)
        assert abs(exact.mean - mean) < 4 * deviation + 1e-12


@pytest.mark.parametrize("name", FILES)
def test_losses_against_samples(name):
    check(name, 100_000, step=5)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_all_losses_against_a_million_samples(name):
    check(name, 1_000_000)


def test_the_sparser_the_more_features_are_kept():
    """Importances .7^i: five features in five units where all are on, thirteen at p = 0.01."""
    kept = {}
    for one, model, _ in points("importance"):
        count = int(np.sum(np.linalg.norm(model.w_in, axis=0) > 0.5))
        p = round(float(one["p"]), 3)
        kept[p] = max(kept.get(p, 0), count)
    assert kept[1.0] == 5
    assert list(kept.values()) == sorted(kept.values(), reverse=True)  # p rises along the points
    assert kept[0.01] >= 12


def test_features_that_exclude_each_other_share_a_unit():
    """At p = 0.3 the best models store them opposite to each other, and lose nothing."""
    best = {}
    for one, model, features in points("sets"):
        together = features.covariance[0, 1] > 0
        w = model.w_in / np.linalg.norm(model.w_in, axis=0)
        found = float(one["loss"]), w[:, 0] @ w[:, 1], np.abs(w[:, :2].T @ w[:, 2:]).max()
        p = round(float(one["p"]), 3)
        best[together, p] = min(best.get((together, p), (np.inf,)), found)
    loss, inside, _ = best[False, 0.3]
    assert loss < 1e-12 and inside == pytest.approx(-1, abs=0.01)
    # What is on together is orthogonal, and opposite to what is not, while features are rare.
    for p in (0.03, 0.1):
        _, inside, across = best[True, p]
        assert abs(inside) < 0.05 and across > 0.98
    # Often enough on, the two of a set are stored as one.
    assert best[True, 0.3][1] == pytest.approx(1, abs=0.01)
