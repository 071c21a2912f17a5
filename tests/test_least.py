"""The least loss over all a and b, against samples and enumeration of every threshold."""

import inspect
from itertools import pairwise, product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rugtheory as rt
from rugtheory.analysis.verdict import _silent
from rugtheory.channel.least import least_at, least_loss
from rugtheory.channel.profile import Profile, thresholds
from rugtheory.channel.row_loss import Row, RowLaw
from rugtheory.channel.row_scan import Rows

from .laws.domain import AMPLITUDES, SEEDS
from .models import TRAINED, alike

COS = np.cos(2 * np.pi * np.arange(1, 5) / 5)
generator = np.random.default_rng(3)
ROWS = {
    "pentagon": COS,
    "pair": [-1.0],
    "triangle": [-0.5, -0.5],
    "circulant": [-0.6, 0.3, 0.2, -0.4],
    "all positive": [0.2, 0.5, 0.9],
    "one large": [0.02, -0.03, 4.0],
    "large and opposed": [3.0, -3.0, 0.4],
    "far above its feature": [40.0, -11.0, 7.0],
    # Of weights trained with couplings up to 10, where a few others silence a feature.
    "screened": [-9.9, -8.8, -5.2, -5.2, -2.2, -0.76, -0.08, -0.05, 0.03, 0.04, 0.08, 0.1, 0.11],
    "many": generator.normal(size=30) * 0.3,
    "one-sided": -np.abs(generator.normal(size=20)) * 0.2,
}


@pytest.fixture(autouse=True)
def no_structures(monkeypatch):
    """The best known structure takes seconds, and is nothing to what is tested here."""
    nothing = SimpleNamespace(loss=0.0, family="none")
    monkeypatch.setattr("rugtheory.analysis.verdict.best_known", lambda *_, **__: nothing)


def sampled(weights, p, law, size, seed):
    """x and reading x + ν of `size` samples, by descending reading."""
    random, source = np.random.default_rng(seed), rt.SparseSource(p, law)
    x = source.sample(size, random)
    v = x + source.sample((size, len(weights)), random) @ np.asarray(weights)
    order = np.argsort(-v)
    return x[order], v[order]


def best_of_all_thresholds(x, v, share):
    """Least loss over a ≥ 0 and thresholds `v`, descending, and between; its a and t."""
    t = np.concatenate([v, (v[1:] + v[:-1]) / 2])
    count = np.searchsorted(-v, -t, side="left")
    sums = [
        np.append(0.0, np.cumsum(share * y))[count] for y in (np.ones_like(v), v, v * v, x, x * v)
    ]
    m, s, ss, sx, sxv = sums
    a, b = sxv - t * sx, ss - 2 * t * s + t * t * m
    power = np.sum(share * x * x)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(b > 1e-12 * ss.max(), a * np.maximum(a, 0) / b, 0.0)
    k = np.nanargmax(gain)
    return power - gain[k], a[k] / b[k], t[k]


def test_all_laws_are_tried():
    laws = {
        x
        for x in vars(rt).values()
        if inspect.isclass(x) and issubclass(x, rt.Amplitude) and not inspect.isabstract(x)
    }
    assert {type(law) for law in AMPLITUDES} == laws


def test_no_threshold_is_better_quick():
    for name, p, law in (
        ("pentagon", 0.03, rt.Uniform()),
        ("circulant", 0.8, rt.Exponential(0.5)),
        ("large and opposed", 0.3, rt.HalfNormal(1.2)),
        ("one-sided", 0.3, rt.Constant(0.7)),
    ):
        check_against_samples(name, p, law)


@pytest.mark.slow
@pytest.mark.parametrize("law", AMPLITUDES, ids=repr)
@pytest.mark.parametrize("p", [0.03, 0.3, 0.8])
@pytest.mark.parametrize("name", ROWS)
def test_no_threshold_is_better(name, p, law):
    check_against_samples(name, p, law)


def check_against_samples(name, p, law):
    """Not one of all thresholds of 30,000 samples is; the loss is that of samples at its own."""
    weights = np.asarray(ROWS[name])
    found = least_loss(RowLaw.identical(weights, rt.SparseSource(p, law)), 1e-6)
    x, v = sampled(weights, p, law, 30_000, seed=1)
    losses = (x - found.a * np.maximum(v - found.threshold, 0)) ** 2
    if found.a == 0:
        losses = (x - x.mean()) ** 2
    error = losses.std() / np.sqrt(x.size)
    assert abs(losses.mean() - found.loss) < 4.5 * error + 1e-9
    # What is best for the samples is so by chance in part: as much as the two differ in each.
    least, a, t = best_of_all_thresholds(x, v, np.full(x.size, 1 / x.size))
    gap = losses - (x - a * np.maximum(v - t, 0)) ** 2
    chance = 3 * gap.std() / np.sqrt(x.size)
    assert gap.mean() <= max(0.02 * least, chance) + 1e-9


@pytest.mark.parametrize("law", [x for x in AMPLITUDES if x.atoms() is not None], ids=repr)
@given(SEEDS, st.integers(1, 4), st.floats(-9, 0), st.floats(-2, 1))
@settings(max_examples=12)
def test_discrete_laws_by_enumeration(law, seed, n, log_p, log_scale):
    """Every threshold of every piece; from rare features to ones always on."""
    p, random = 10**log_p, np.random.default_rng(seed)
    weights = 10**log_scale * random.normal(size=n).round(3)
    atoms, q = law.atoms()
    values, shares = np.append(0.0, atoms), np.append(1 - p, p * q)
    x, v, share = values, values, shares
    for w in weights:
        x = np.repeat(x, values.size)
        v, share = np.add.outer(v, w * values).ravel(), np.multiply.outer(share, shares).ravel()
    found = least_loss(RowLaw.identical(weights, rt.SparseSource(p, law)), 1e-9)

    def loss(t):
        """By the error in place of its difference from E x², so that nothing cancels."""
        h = np.maximum(v - t, 0)
        square, cross = share @ h**2, share @ ((x - h) * h)
        d = max(cross / square, -1.0) if square > 0 else 0.0
        return share @ (x - h - d * h) ** 2

    edges = np.unique(v)
    grid = np.concatenate([np.linspace(*pair, 5) for pair in pairwise(edges)])
    below = edges[0] - np.ptp(edges) * np.geomspace(1e-3, 1e3, 60)
    least = min(map(loss, np.unique([*grid, *below, *edges])))
    assert found.loss <= least * (1 + 1e-7) + 1e-300
    if found.a > 0:
        direct = share @ (x - found.a * np.maximum(v - found.threshold, 0)) ** 2
        assert found.loss == pytest.approx(direct, rel=1e-6)


@pytest.mark.parametrize("p", [1e-120, 1e-30, 1e-9, 1e-4, 0.045, 0.5, 1.0])
def test_pairs(p):
    """A row with one partner is the channel of antipodal pairs without noise."""
    found = least_loss(RowLaw.identical(np.array([-1.0]), rt.SparseSource(p)), 1e-9)
    truth = float(rt.antipodal_optimum(p, 0.5).loss) if p > 1e-9 else p * p / 6
    assert found.loss == pytest.approx(truth, rel=1e-6, abs=1e-300)


def test_gaussian_limit():
    """Many small weights are Gaussian noise, of which the optimum is known."""
    n, p = 4000, 0.3
    weights = np.resize([1.0, -1.0], n) * 0.02
    source = rt.SparseSource(p)
    sigma = np.sqrt(source.variance * weights @ weights)
    best = rt.optimum(p, sigma=sigma)
    found = least_loss(RowLaw.identical(weights, source), 1e-7)
    assert found.loss == pytest.approx(float(best.loss), rel=2e-3)
    assert found.a == pytest.approx(float(best.a), rel=0.01)


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("p", [0.01, 0.045, 0.3])
def test_never_above_what_is_known(name, p):
    """Not above own a and b, other thresholds, a constant or the best linear decoder."""
    model, source = rt.read_weights(TRAINED[name]), rt.SparseSource(p)
    w = model.w_out[5] @ model.w_in
    nu, threshold = np.delete(w, 5) / w[5], -model.b[5] / w[5]
    found = least_loss(RowLaw.identical(nu, source), 1e-7)
    noise = source.variance * nu @ nu
    assert found.loss <= source.variance * noise / (source.variance + noise) * (1 + 1e-9)
    for t in (threshold, 0.9 * found.threshold, 1.1 * found.threshold, 0.0, 0.3, -0.3):
        row = Row(found.a, RowLaw.identical(found.a * nu, source), -found.a * t, 1e-7)
        assert found.loss <= row.least(found.a, np.array([t]))[0] * (1 + 1e-6)


@pytest.mark.parametrize("law", [rt.Uniform(), rt.HalfNormal(), rt.Exponential()], ids=repr)
@pytest.mark.parametrize("p", [0.003, 0.2])
def test_scans_have_the_minima_that_there_are(law, p):
    """A scan is off by less than a hundredth of each loss: so it has no minima of its own."""
    source = rt.SparseSource(p, law)
    for name, weights in ROWS.items():
        row = RowLaw.identical(np.array(weights), source)
        grid = thresholds(row)
        t = grid[(grid > -8) & (grid < law.scale)][::14]
        alone, a = Profile(row, 128)(t)
        many = Rows(np.array([weights]), np.ones((1, len(weights))), source, 12)
        truth = [
            float(least_at(row, x, start, 1e-7)[0].loss)
            for x, start in zip(t.tolist(), a.tolist(), strict=True)
        ]
        np.testing.assert_allclose(alone, truth, rtol=0.01, err_msg=name)
        np.testing.assert_allclose(many.losses(t[None])[0][0], truth, rtol=0.01, err_msg=name)


class TestMemory:
    """Answers depend on what is asked, not on what was asked before."""

    QUESTIONS = tuple(
        (a, np.array([t]))
        for a, t in ((1.3, 0.1), (0.7, 0.12), (1.3, 0.6), (2.0, -0.4), (1.3, 0.1))
    )

    @pytest.mark.parametrize("law", AMPLITUDES, ids=repr)
    def test_rows_forget(self, law):
        weights = np.array([0.37, -0.97, 0.02, 1e-16])

        def row():
            return Row(1.3, RowLaw.identical(weights, rt.SparseSource(0.1, law)), -0.13, 1e-6)

        alone = [(row().loss(*x), row().least(*x)) for x in self.QUESTIONS]
        for order in (reversed(range(5)), (2, 0, 3, 1, 4)):
            asked, estimate = row(), row().estimate
            for k in order:
                assert asked.least(*self.QUESTIONS[k]) == alone[k][1]
                assert asked.loss(*self.QUESTIONS[k]) == alone[k][0]
                assert asked.estimate == estimate

    def test_thresholds_together_or_alone(self):
        row = Row(
            1.3, RowLaw.identical(np.array([0.37, -0.97, 0.02]), rt.SparseSource(0.1)), 0.1, 1e-6
        )
        t = np.array([0.1, -0.05, 0.6, -3.0])
        alone = np.array([row.least(1.1, t[[k]]) for k in range(t.size)])[..., 0]
        np.testing.assert_allclose(np.stack(row.least(1.1, t)), alone.T, rtol=1e-12)

    def test_least_losses_forget(self):
        source = rt.SparseSource(0.045)
        names = ("pentagon", "circulant", "many")
        rows = [RowLaw.identical(np.asarray(ROWS[name]), source) for name in names]
        first = [least_loss(x, 1e-6) for x in rows]
        assert first[::-1] == [least_loss(x, 1e-6) for x in rows[::-1]]


class TestVerdict:
    """The least loss in a verdict."""

    @staticmethod
    def reachable(verdict):
        return verdict.loss - verdict.terms["own a and b"]

    @pytest.mark.parametrize(
        ("law", "least"), [(rt.Uniform(), 2.0029e-4), (rt.Constant(1.0), 2.5398e-4)]
    )
    def test_of_a_pentagon_does_not_depend_on_b(self, law, least):
        angle = 2 * np.pi * np.arange(5) / 5
        w_in = np.array([np.cos(angle), np.sin(angle)])
        told = [
            rt.explain(*alike(w_in, w_in.T, b, 0.01, amplitude=law), rows=None)
            for b in (-0.1, -1.5, -1.9, -5.0, 0.3)
        ]
        for verdict in told:
            terms = told[0].terms | {"own a and b": verdict.terms["own a and b"]}
            assert verdict.terms == terms
            assert verdict.terms["own a and b"] >= 0
            assert self.reachable(verdict) == pytest.approx(least, rel=1e-3)
        assert [x.silent for x in told] == [0, 0, 5, 5, 0]
        power = rt.SparseSource(0.01, law).second_moment
        assert told[3].loss == pytest.approx(power, rel=1e-12)
        if law.atoms() is None:
            x, v = sampled(COS, 0.01, law, 1_000_000, seed=0)
            share, slack = np.full(x.size, 1e-6), 0.05
        else:
            on = np.array(list(product((0, 1), repeat=5)))
            share, slack = np.prod(np.where(on, 0.01, 0.99), axis=1), 1e-4
            x, v = on[:, 0], on @ np.append(1.0, COS)
            order = np.argsort(-v)
            x, v, share = x[order], v[order], share[order]
        assert best_of_all_thresholds(x, v, share)[0] == pytest.approx(least, rel=slack)

    @pytest.mark.parametrize("seed", range(3))
    def test_of_a_circulant(self, seed):
        """At p = .8 as everywhere: no threshold is better for any row."""
        random = np.random.default_rng(seed)
        first = np.append(1.0, random.normal(size=4) * 0.6)
        w = np.array([np.roll(first, k) for k in range(5)])
        verdict = rt.explain(*alike(np.eye(5), w, -1.0, 0.8), rows=None)
        x, v = sampled(np.delete(w[0], 0), 0.8, rt.Uniform(), 200_000, seed=1)
        least, _, _ = best_of_all_thresholds(x, v, np.full(x.size, 1 / x.size))
        assert self.reachable(verdict) == pytest.approx(least, rel=0.02)


class TestSilent:
    def test_outputs_without_a_positive_reading_are_counted(self):
        model = rt.read_weights(TRAINED["trained_512_128"])
        b, w_out = model.b.copy(), model.w_out.copy()
        b[[3, 70, 400]] = -30.0
        b[[5, 6]] -= 4.0  # with so many features on that it never happens
        w_out[9], b[9] = 0.0, 0.0
        w_out[10], b[10] = 0.0, 0.01  # a constant, not silent
        verdict = rt.explain(*alike(model.w_in, w_out, b, 0.045), rows=4)
        assert verdict.silent == 6 and verdict.dead == 2

    @pytest.mark.parametrize("law", AMPLITUDES, ids=repr)
    def test_at_the_largest_reading(self, law):
        """Just above and well below it; of unbounded laws, of a probability that is no number."""
        w = np.array([[1.0, -0.5, 0.25], [-0.5, 1.0, 0.0], [0.5, 0.5, 1.0]])
        features = rt.Identical(3, 0.3, law)
        end = law.end if np.isfinite(law.end) else 400 * law.mean
        most = np.maximum(w, 0).sum(axis=1) * end
        assert _silent(rt.Model(np.eye(3), w, -most * (1 + 1e-9)), features) == 3
        often = np.maximum(w, 0).sum(axis=1) * min(law.end, 2 * law.mean)
        assert _silent(rt.Model(np.eye(3), w, -0.9 * often), features) == 0
