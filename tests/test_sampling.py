"""Are the standard errors of sampled outputs honest?  Trained models, whole and damaged."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

import rugtheory as rt
from rugtheory.analysis.columns import columns_of
from rugtheory.analysis.sampling import drawn, some_rows, whole

from .models import TRAINED, alike

P, SEEDS = 0.045, range(300)


def silenced(w_in, w_out, b, k, random):
    b[k] -= random.uniform(0.3, 3, k.size)


def emptied(w_in, w_out, b, k, random):
    w_out[k], b[k] = 0, 0


def shuffled(w_in, w_out, b, k, random):
    w_out[k] = w_out[k][:, random.permutation(w_out.shape[1])]


def shaken(w_in, w_out, b, k, random):
    w_out[k] += random.normal(size=w_out[k].shape) * w_out.std()


def scaled(w_in, w_out, b, k, random):
    w_out[k] *= random.uniform(0.3, 2, (k.size, 1))


def shifted(w_in, w_out, b, k, random):
    b[k] += random.uniform(-0.1, 0.1, k.size)


DAMAGES = (silenced, emptied, shuffled, shaken, scaled, shifted)


@cache
def losses(name):
    model = rt.read_weights(TRAINED[name])
    return rt.exact_loss(*alike(model.w_in, model.w_out, model.b, P), rtol=1e-3).loss


def damaged(name, damage, count):
    """The model and the exact losses of all of its outputs: only those damaged are new."""
    model, random = rt.read_weights(TRAINED[name]), np.random.default_rng(count)
    parts = model.w_in, model.w_out.copy(), model.b.copy()
    k = np.sort(random.choice(model.b.size, count, replace=False))
    damage(*parts, k, random)
    y = losses(name).copy()
    y[k] = rt.exact_loss(*alike(*parts, P), rows=k, rtol=1e-3).loss
    return parts, y


def scores(parts, y, count):
    columns, dead = columns_of(*alike(*parts, P))
    found = []
    for seed in SEEDS:
        sample = drawn(count, columns, dead, np.random.default_rng(seed))
        assert sample.rows.size == count and np.all(np.diff(sample.rows) > 0)
        assert sample.weights.sum() == pytest.approx(1, rel=1e-9)
        some = y[sample.rows]
        found.append((sample.weights @ some - y.mean(), sample.standard_error(some)))
    miss, error = np.array(found).T
    return miss / error, error.mean() / y.mean()


def check(name, damage, bad, count):
    parts, y = damaged(name, damage, bad)
    z, error = scores(parts, y, count)
    assert np.sqrt(np.mean(z**2)) <= 1.2
    assert np.mean(np.abs(z) > 2) <= 0.1 and np.mean(np.abs(z) > 3) <= 0.02
    # It is no use to be honest about nothing.
    assert error < 0.5 * y.std() / y.mean() * np.sqrt((1 - count / y.size) / count)


@pytest.mark.parametrize("damage", DAMAGES)
def test_honest(damage):
    check("trained_512_128", damage, 5, 64)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("bad", [1, 3, 8])
def test_honest_of_all(name, damage, bad):
    check(name, damage, bad, 64)


def test_dead_outputs_are_not_missed():
    """Five outputs that lose p/3, a hundred times their share: 64 rows at random miss most."""
    parts, y = damaged("trained_512_128", silenced, 5)
    _, error = scores(parts, y, 64)
    assert error < 0.005 < (y.mean() - losses("trained_512_128").mean()) / y.mean()


class TestSamples:
    def test_all_rows(self):
        sample = whole(7)
        assert np.array_equal(sample.rows, np.arange(7))
        assert sample.standard_error(np.arange(7.0)) == 0

    @pytest.mark.parametrize("n", [2, 3, 5, 20])
    @pytest.mark.parametrize("dead", [0, 1, 3, 20])
    def test_every_count(self, n, dead):
        """As many as asked for, whatever is dead; weights that add up; means of what is alike."""
        random = np.random.default_rng(n)
        columns, is_dead = random.normal(size=(n, 5)), np.arange(n) < dead
        columns[is_dead] += 30
        for count in range(1, n + 1):
            sample = drawn(count, columns, is_dead, np.random.default_rng(0))
            assert sample.rows.size == count == np.unique(sample.rows).size
            assert sample.weights.sum() == pytest.approx(1)
            share = sample.weights[is_dead[sample.rows]].sum()
            if count >= 4:
                assert share == pytest.approx(is_dead.mean())
            assert sample.standard_error(np.ones(count)) in (0, np.inf)
            assert (sample.standard_error(np.ones(count)) == np.inf) == (count == 1 < n)

    def test_estimates_are_right_on_average(self):
        """Means of the estimate over all seeds: no bias beyond that of a regression."""
        random = np.random.default_rng(0)
        columns = random.normal(size=(200, 5))
        columns[:9] += 40
        y = 1 + columns @ random.normal(size=5) + 0.1 * random.normal(size=200) + columns[:, 0] ** 2
        found = []
        for seed in range(1000):
            sample = drawn(40, columns, np.zeros(200, bool), np.random.default_rng(seed))
            found.append(sample.weights @ y[sample.rows])
        error = np.std(found) / np.sqrt(1000)
        assert abs(np.mean(found) - y.mean()) < 4 * error + 0.05 * np.std(found)

    def test_the_loss_of_a_linear_model_is_known(self):
        """Its Gaussian loss is exact: no error is left but rounding, if it is regressed on."""
        random = np.random.default_rng(1)
        w_in, w_out = random.normal(size=(30, 100)), random.normal(size=(100, 30)) / 30
        given = w_in, w_out + w_in.T / 30, random.normal(size=100) * 0.1, 0.1
        some = rt.exact_loss(*alike(*given, decoder="identity"), rows=60)
        all_of_them = rt.exact_loss(*alike(*given, decoder="identity"))
        assert some.standard_error < 1e-9 * some.mean
        assert some.mean == pytest.approx(all_of_them.mean, rel=1e-9)

    def test_a_verdict_takes_the_same_rows(self, monkeypatch):
        nothing = SimpleNamespace(loss=0.0, family="none")
        monkeypatch.setattr("rugtheory.analysis.verdict.best_known", lambda *_, **__: nothing)
        parts, _ = damaged("trained_512_128", silenced, 5)
        verdict = rt.explain(*alike(*parts, P), rows=8, seed=3)
        exact = rt.exact_loss(*alike(*parts, P), rows=8, seed=3, rtol=1e-7)
        assert verdict.loss == pytest.approx(exact.mean, rel=1e-9)
        assert verdict.standard_error == pytest.approx(exact.standard_error, rel=1e-6)

    def test_rows_given_are_averaged(self):
        model = rt.read_weights(TRAINED["trained_512_128"])
        exact = rt.exact_loss(
            *alike(model.w_in, model.w_out, model.b, P), rows=[4, 9, 2, 9], rtol=1e-3
        )
        assert exact.rows.tolist() == [2, 4, 9]
        assert exact.mean == pytest.approx(exact.loss.mean(), rel=1e-14)


@pytest.mark.parametrize(
    ("factor", "count"), [(0.9, 8), pytest.param(0.9, 40, marks=pytest.mark.slow), (0.99, 24)]
)
def test_honest_where_features_count_differently(factor, count):
    """Estimates of the mean of importance times loss, over 300 seeds, against that of all rows."""
    model = rt.read_weights(TRAINED["trained_512_128"])
    features = rt.Independent(np.full(512, P), importance=rt.geometric(512, factor))
    y = features.importance * losses("trained_512_128")
    z, gaps = [], []
    for seed in range(300):
        sample = some_rows(count, model, features, np.random.default_rng(seed))
        gap = sample.weights @ y[sample.rows] - y.mean()
        gaps.append(gap)
        z.append(gap / sample.standard_error(y[sample.rows]))
    assert np.sqrt(np.mean(np.square(z))) < 1.3
    assert abs(np.mean(gaps)) < 4 * np.std(gaps) / np.sqrt(300)
    assert np.std(gaps) < 0.03 * y.mean()
