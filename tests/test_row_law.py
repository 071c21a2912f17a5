"""The law that rows share, against exact losses of its weights, minima, and rare features."""

import numpy as np
import pytest

import rugtheory as rt
from rugtheory.analysis.pair_energy import PairEnergy
from rugtheory.analysis.row_descent import Free, RowObjective, Symmetric
from rugtheory.analysis.row_law import _result
from rugtheory.analysis.row_search import Search
from rugtheory.channel.many_rows import HEIGHTS
from rugtheory.channel.pooled import Pooled, Terms
from rugtheory.channel.row_laws import RowLaws


def unequal(n):
    laws = [rt.Uniform() if k % 2 else rt.Exponential(0.4) for k in range(n)]
    return rt.Independent(0.1 * np.geomspace(1, 0.1, n), laws)


def pooled(features, i=0, rtol=1e-4):
    laws = RowLaws(features)
    (scenario,) = laws.scenarios
    return Pooled(scenario, float(scenario.p[i]), laws.amplitudes[i], rtol)


def couplings(n, d, seed):
    w = np.random.default_rng(seed).normal(size=(d, n))
    m = w.T @ w
    return m / np.diag(m)[:, None]


class TestPooled:
    @pytest.mark.parametrize("features", [rt.Identical(40, 0.05), unequal(40)], ids=type)
    def test_one_row_is_that_row(self, features):
        m, i = couplings(40, 8, 0), 3
        row = m[[i]]
        row[0, i] = 0.0
        found = pooled(features, i)(Terms(row, 1, np.array([i])), 1.2, -0.1)
        truth = rt.exact_loss(rt.Model(np.eye(40), 1.2 * m, -0.1), features, rows=[i])
        assert abs(found.value - truth.loss[0]) <= found.error + truth.error[0]

    @pytest.mark.parametrize(
        "features",
        [rt.Identical(12, 0.05), pytest.param(unequal(12), marks=pytest.mark.slow)],
        ids=type,
    )
    def test_equal_rows_pool_to_one(self, features):
        """Rows of equal couplings, of which the own feature is left out of each."""
        m, i = couplings(12, 5, 1), 3
        row = m[[i]]
        row[0, i] = 0.0
        one, many = (
            pooled(features, i)(Terms(w, len(w), np.full(len(w), i)), 1.2, -0.1, slopes=True)
            for w in (row, np.repeat(row, 5, axis=0))
        )
        assert many.value == pytest.approx(one.value, rel=1e-9)
        assert many.by_a == pytest.approx(one.by_a, rel=1e-9)
        assert np.allclose(5 * many.by_w, one.by_w, rtol=1e-7, atol=1e-12)

    @pytest.mark.parametrize("seed", range(6))
    def test_parts_of_features_are_taken_in_series(self, seed):
        """Weights of which a row has a twelfth each: terms up to the second order in p."""
        generator, n, p = np.random.default_rng(seed), 12, 2e-3
        w = np.append(generator.uniform(0.2, 1.5, 3), -generator.uniform(0, 3.5, 9))
        a, b = generator.uniform(0.8, 1.3), -generator.uniform(0, 0.3)
        found = pooled(rt.Identical(n, p), rtol=1e-5)(Terms(w[None], n), a, b)
        truth = second_order(w, np.full(n, 1 / n), p, a, b)
        assert found.error < 1e-4 * found.value
        assert found.value == pytest.approx(truth, rel=p)

    @pytest.mark.parametrize("p", [1e-3, 1e-6, 1e-12])
    def test_stated_errors_hold_for_rare_features_on_each_contour(self, p):
        m = couplings(12, 5, 3)
        np.fill_diagonal(m, 0.0)
        features, one = rt.Identical(12, p), pooled(rt.Identical(12, p))
        for w in (m, np.minimum(m, 0.0)):
            model = rt.Model(np.eye(12), w + np.eye(12), 0.0)
            # The mean of rows and that of what they hear are alike to the first order in p.
            rows = rt.exact_loss(model, features, rtol=1e-10).mean
            for height in HEIGHTS[:3]:
                one.heights = [height]
                found = one(Terms(w, 12, np.arange(12)), 1.0, 0.0)
                assert abs(found.value - rows) <= found.error + 2 * p * rows


def second_order(w, k, p, a, b):
    """Loss where k of each weight is heard, k(k - 1)/2 of them twice; all amplitudes uniform."""
    u, g = np.polynomial.legendre.leggauss(48)
    u, g = (u + 1) / 2, g / 2

    def on(z):
        return ((u - np.maximum(a * (u + z[..., None]) + b, 0)) ** 2) @ g

    def off(z):
        return np.maximum(a * z + b, 0) ** 2

    odds, heard = p / (1 - p), np.multiply.outer(w, u)
    total = p * on(np.zeros(1))[0] + (1 - p) * off(0.0)
    total += odds * k @ (p * on(heard) + (1 - p) * off(heard)) @ g
    for i in range(w.size):
        for j in range(i + 1):
            twice = k[i] * k[j] if i > j else k[i] * (k[i] - 1) / 2
            both = off(np.add.outer(heard[i], heard[j]))
            total += odds**2 * twice * (1 - p) * (g @ both @ g)
    return (1 - p) ** k.sum() * total


def objectives():
    features = rt.Identical(12, 0.05)
    one = pooled(features)
    generator = np.random.default_rng(0)
    symmetric, free = Symmetric(12, 4), Free(12, 4, np.arange(12) % 3)
    x = symmetric.start(generator)
    x[-2:] = 1.1, -0.05
    model = symmetric.model(x)
    w_out = model.w_out + 0.1 * generator.normal(size=(12, 4))
    y = np.concatenate([model.w_in.ravel(), w_out.ravel(), [1.0, 1.1, 1.2], [-0.1, -0.05, 0.02]])
    third = np.full(3, 1 / 3)
    yield pytest.param(RowObjective(symmetric, (one,), np.ones(1)), x, id="symmetric")
    yield pytest.param(RowObjective(symmetric, (one,), np.ones(1), 0.3, 2.0), x, id="cap")
    yield pytest.param(RowObjective(free, (one,) * 3, third), y, id="classes")
    yield pytest.param(PairEnergy(symmetric), x, id="pairs")


@pytest.mark.parametrize(("objective", "x"), list(objectives()))
def test_slopes_are_those_of_differences(objective, x):
    generator, h = np.random.default_rng(1), 1e-4
    for _ in range(3):
        way = generator.normal(size=x.size)
        way /= np.linalg.norm(way)
        difference = (objective(x + h * way)[0] - objective(x - h * way)[0]) / (2 * h)
        assert objective(x)[1] @ way == pytest.approx(difference, rel=2e-3, abs=2e-4)


def test_a_class_for_each_row_is_the_exact_loss():
    features, n = rt.Identical(10, 0.08), 10
    m = couplings(n, 4, 2)
    u, s, v = np.linalg.svd(m)  # of rank 4
    free = Free(n, 4, np.arange(n))
    a, b = np.linspace(0.9, 1.2, n), np.linspace(-0.2, 0.0, n)
    x = np.concatenate([v[:4].ravel(), (u[:, :4] * s[:4]).ravel(), a, b])
    objective = RowObjective(free, (pooled(features),) * n, np.full(n, 1 / n))
    truth = rt.exact_loss(free.model(x), features)
    told = objective(x)[2]
    assert abs(told.loss - truth.mean) <= told.error + truth.mean_error


def test_rare_features_have_the_pair_energy():
    """As p → 0 at a = 1, b = 0 the loss over p² is the energy in closed form, for any couplings."""
    n, p = 12, 1e-3
    w = np.random.default_rng(3).normal(size=(5, n))
    w /= np.linalg.norm(w, axis=0)
    m = w.T @ w
    np.fill_diagonal(m, 0.0)
    found = pooled(rt.Identical(n, p), rtol=1e-3)(Terms(m, n, np.arange(n)), 1.0, 0.0).value
    up, down = np.maximum(m, 0), np.maximum(-m, 0)
    assert down.max() < 1
    energy = (up**2 / (3 * p) + down**2 / 3 - down**3 / 6).sum() / n
    assert found / p**2 == pytest.approx(energy, rel=3e-3)


def test_law_is_that_of_its_own_weights_and_near_the_minimum():
    features, p = rt.Identical(64, 0.045), 0.045
    found = rt.row_law(features, 16, seeds=(0, 1))
    assert found.verdict == "consistent"
    assert abs(found.loss - found.exact) < 2e-3 * found.exact
    assert found.exact == pytest.approx(rt.exact_loss(found.model, features).mean, rel=1e-6)
    assert found.law.sum() == pytest.approx(63)
    assert np.allclose(found.model.b, found.b[0]) and np.allclose(found.model.diagonal, found.a[0])
    # The exact minimum from a random start, 1.3951 p², which knows nothing of a law.
    assert found.loss / p**2 == pytest.approx(1.3951, rel=0.01)


@pytest.mark.parametrize(("part", "going"), [(1.0, 1), (0.0, 2)])
def test_of_seeds_that_are_alike_one_goes_on(monkeypatch, part, going):
    monkeypatch.setattr("rugtheory.analysis.row_law._ALIKE", part)
    monkeypatch.setattr("rugtheory.analysis.row_law._BEGUN", 10)
    features, shown = rt.Identical(40, 0.05), []

    def seen(some):
        shown.append(len(some))
        return some

    settings = {"products": 0, "steps": 25}
    found = rt.row_law(features, 10, seeds=(0, 1), progress=seen, **settings)
    alone = [rt.row_law(features, 10, seeds=k, **settings) for k in (0, 1)]
    assert shown == [2, going]
    assert found.error >= np.ptp(found.by_seed) > 0
    # Steps that start anew lead elsewhere, not far.
    assert found.exact == pytest.approx(min(x.exact for x in alone), rel=5e-3)
    if going == 2:
        assert found.loss in found.by_seed
    for x in alone:
        assert x.by_seed.tolist() == [x.loss]


def side_by_side(model, copies):
    """Weights of several groups that share no hidden units."""
    return rt.Model(
        np.kron(np.eye(copies), model.w_in),
        np.kron(np.eye(copies), model.w_out),
        np.tile(model.b, copies),
    )


def law_of(model, p, labels):
    """The loss of the law of given weights, with the decoders that they have."""
    laws = RowLaws(rt.Identical(model.n_sparse, p))
    (scenario,) = laws.scenarios
    sizes = np.bincount(labels)
    one = Pooled(scenario, p, laws.amplitudes[0], 1e-4)
    at = Free(model.n_sparse, model.n_dense, labels)
    decoders = [np.bincount(labels, x) / sizes for x in (model.diagonal, model.b)]
    x = np.concatenate([model.w_in.ravel(), model.w_out.ravel(), *decoders])
    return RowObjective(at, (one,) * sizes.size, sizes / labels.size)(x)[2]


@pytest.mark.slow
def test_a_law_asked_for_again_says_the_same():
    """Where errors are missed on all contours, and the longest ones serve no row at all."""
    features = rt.Independent(np.repeat([0.05, 0.01], 6), rt.Uniform())
    laws, kinds = RowLaws(features), np.repeat([0, 1], 6)
    search = Search(laws, laws.scenarios[0], kinds, kinds, np.ones(12), 4, False, np.inf, 1, 1e-5)
    at, x = search._start(np.random.default_rng(0))
    objective = RowObjective(at, search._pooled(1e-4), search._shares)
    first, again = (objective(x)[2] for _ in range(2))
    assert first.error > 1e-4 * first.loss
    assert abs(again.loss - first.loss) <= first.error + again.error < 0.01 * first.loss


@pytest.mark.slow
def test_a_class_for_each_place_in_a_small_code_is_exact():
    """So laws of classes can be as low as small codes; they lack a start that leads there."""
    code, p = rt.best_model(15, 4, 0.1).model, 0.1
    model = side_by_side(code, 2)
    exact = rt.exact_loss(model, rt.Identical(30, p))
    places = np.arange(30) % 15
    told = law_of(model, p, places)
    assert abs(told.loss - exact.mean) <= told.error + exact.mean_error
    assert told.error < 1e-4 * told.loss
    assert law_of(model, p, places // 8).loss > 1.02 * exact.mean


@pytest.mark.slow
def test_the_least_law_does_not_rise_with_the_number_of_copies():
    """Groups side by side hear the same law as one of them, and lose the same."""
    features, p = rt.Identical(24, 0.045), 0.045
    found = rt.row_law(features, 6, seeds=0, steps=300)
    for copies in (2, 3):
        many = side_by_side(found.model, copies)
        told = law_of(many, p, np.zeros(24 * copies, int))
        assert told.loss == pytest.approx(found.loss, rel=1e-4)
        exact = rt.exact_loss(many, rt.Identical(24 * copies, p)).mean
        assert exact == pytest.approx(found.exact, rel=1e-6)


@pytest.mark.slow
def test_minima():
    """Exact minima of seeds 0 and 1 of `minimize`, without a law: 1.5217 and 1.5189 p²."""
    features, p = rt.Identical(128, 0.045), 0.045
    found = rt.row_law(features, 32)
    assert found.loss / p**2 == pytest.approx(1.5189, rel=5e-3)
    assert rt.minimize(features, 32, init=found.model, steps=300).loss < found.exact


@pytest.mark.slow
def test_couplings_keep_below_a_cap():
    found = rt.row_law(rt.Identical(24, 0.02), 6, seeds=0, max_coupling=1)
    free = rt.row_law(rt.Identical(24, 0.02), 6, seeds=0)
    assert found.coupling <= 1 < free.coupling
    assert found.loss > free.loss


def test_rows_that_differ_are_told():
    """At (4, 2, 0.1) the law is of no weights: rows with and without a partner are averaged."""
    found = rt.row_law(rt.Identical(4, 0.1), 2, seeds=0)
    assert found.verdict == "rows differ here"
    assert found.error >= abs(found.loss - found.exact) > 5e-3 * found.exact


@pytest.mark.slow
def test_a_law_from_which_rows_come_to_differ_is_told():
    """At (32, 3, 0.045) descent leaves the law: 60 steps lose a tenth less, and rows differ."""
    features = rt.Identical(32, 0.045)
    found = rt.row_law(features, 3, seeds=0)
    assert abs(found.loss - found.exact) < 5e-3 * found.exact and found.spread < 0.02
    assert found.verdict == "saddle" and found.curvature < -0.01
    below = rt.minimize(features, 3, init=found.model, steps=60)
    assert below.loss < 0.9 * found.exact
    assert below.losses.std() > 0.2 * below.losses.mean()
    unseen = rt.row_law(features, 3, seeds=0, steps=100, products=0)
    assert np.isnan(unseen.curvature) and unseen.verdict in ("consistent", "stopped")


@pytest.mark.slow
def test_a_law_at_a_minimum_is_none():
    """At (64, 16, 0.045) descent gains a tenth of a per cent; rows stay as alike as they are."""
    features = rt.Identical(64, 0.045)
    found = rt.row_law(features, 16, seeds=0)
    assert found.verdict == "consistent" and found.curvature > -3e-4
    below = rt.minimize(features, 16, init=found.model, steps=400)
    assert below.loss > 0.995 * found.exact
    assert below.losses.std() < 0.1 * below.losses.mean()


@pytest.mark.slow
def test_unequal_features_have_a_class_each():
    features = rt.Independent(np.repeat([0.05, 0.01], 6), rt.Uniform())
    found = rt.row_law(features, 4, seeds=0, steps=30)
    assert found.labels.tolist() == [0] * 6 + [1] * 6
    assert found.loss < features.second_moment.mean()
    assert found.loss == pytest.approx(found.class_losses.mean())


def test_a_class_of_dropped_features_is_told():
    """Two features alone in a hidden unit each, and two that are hardly there: these lose v."""
    features = rt.Identical(4, 0.1)
    faint = [[1, 0, 1e-3, 0], [0, 1, 0, 1e-3]]
    model = rt.Model(faint, np.transpose(faint), [0, 0, 0.05, 0.05])
    laws, labels = RowLaws(features), np.array([0, 0, 1, 1])
    (scenario,), kinds = laws.scenarios, np.zeros(4, int)
    search = Search(laws, scenario, kinds, labels, np.ones(4), 2, True, np.inf, 1, 1e-5)
    end, _ = search.onward(model, rt.exact_loss(model, features).loss)
    found = _result(end, features, search)
    assert found.verdict == "dropped class"
    assert found.class_losses[1] == pytest.approx(rt.SparseSource(0.1).variance, rel=1e-3)
    assert found.class_losses[0] < 1e-3 * found.class_losses[1]


@pytest.mark.slow
@pytest.mark.parametrize("most", [2, 3])
def test_more_classes_are_never_worse(most):
    """Classes can be alike, so a search with more of them that ends higher has missed something."""
    n, n_dense = 6, 2
    few = {"max_coupling": 2.0, "seeds": 0, "steps": 30 * most, "products": 0}
    found = [rt.row_law(rt.Identical(n, 0.1), n_dense, classes=k + 1, **few) for k in range(most)]
    assert all(x.exact <= y.exact * (1 + 1e-9) for x, y in zip(found[1:], found, strict=False))
    assert found[1].exact < 0.9 * found[0].exact  # rows that are alike are far from the best
    for k, one in enumerate(found, 1):
        assert one.labels.tolist() == (np.arange(n) * k // n).tolist()
        assert one.exact == pytest.approx(rt.exact_loss(one.model, rt.Identical(n, 0.1)).mean)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"classes": [0, 0, 2, 2]}, "without gaps"),
        ({"classes": [0, 1]}, "one a feature"),
        ({"classes": 5}, r"in \[1, 4\]"),
        ({"seeds": -1}, "negative"),
        ({"features": rt.Identical(4, 0.6)}, "below ½"),
        ({"features": rt.Identical(4, 0.1, rt.Uniform(-1, 1))}, "must not be negative"),
        ({"features": unequal(4), "classes": 1}, "one law"),
    ],
    ids=str,
)
def test_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        rt.row_law(**{"features": rt.Identical(4, 0.1), "n_dense": 2} | arguments)
