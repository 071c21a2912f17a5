"""Structures and bounds with noise in the hidden units, against exact losses of weights."""

import mpmath as mp
import numpy as np
import pytest

import rugtheory as rt
from rugtheory.analysis.descent import coupling
from rugtheory.channel.least import least_loss, scanned_least
from rugtheory.channel.profile import Profile, rectified_moments
from rugtheory.channel.row_loss import RowLaw
from rugtheory.cli import main
from rugtheory.structure.hull import _ratio
from rugtheory.structure.noisy_graph import noise_of, noisy_graph_model
from rugtheory.structure.quiet import quiet_factors


@pytest.mark.parametrize(
    ("n", "d", "p", "noise"),
    [
        (7, 2, 0.15, 0.01),
        pytest.param(9, 3, 0.05, 2.0, marks=pytest.mark.slow),
        pytest.param(12, 5, 0.01, 0.02, marks=pytest.mark.slow),
        pytest.param(20, 7, 0.1, 0.2, marks=pytest.mark.slow),
    ],
)
def test_weights_lose_what_is_said(n, d, p, noise):
    """And columns of W_in of features that are kept have mean square length 1."""
    best = rt.best_model(n, d, p, hidden_noise=noise)
    assert best.model.hidden_noise == noise
    exact = rt.exact_loss(best.model, rt.Identical(n, p))
    assert abs(exact.mean - best.loss) <= best.error + exact.mean_error
    assert best.coupling <= 10 * (1 + 1e-12)
    kept = n - best.families.get("dropped", 0)
    assert np.sum(best.model.w_in**2) == pytest.approx(kept)
    quiet = rt.best_model(n, d, p)
    assert best.loss >= quiet.loss
    assert best.loss <= rt.exact_loss(noisy(quiet.model, noise), rt.Identical(n, p)).mean
    bounds = rt.lower_bounds(p, n_sparse=n, n_dense=d, hidden_noise=noise)
    assert max(x.value for x in bounds if x.scope == "all p" and x.weights == "all") <= best.loss


def noisy(model, noise):
    """The same weights with columns of W_in of mean square length 1."""
    long = np.sqrt(np.sum(model.w_in**2) / model.n_sparse)
    return rt.Model(model.w_in / long, model.w_out * long, model.b, hidden_noise=noise)


@pytest.mark.parametrize(
    ("p", "noise"),
    [(0.1, 0.3), *(pytest.param(*x, marks=pytest.mark.slow) for x in ((0.01, 1e-3), (0.1, 0.05)))],
)
def test_pairs_are_what_descents_find(p, noise):
    pairs = rt.uneven_pairs(p, hidden_noise=noise)
    few = range(3)
    found = min(rt.minimize(rt.Identical(2, p), 1, hidden_noise=noise, seed=s).loss for s in few)
    assert float(pairs.loss) == pytest.approx(found, rel=1e-6)
    model = pairs.model()
    assert np.sum(model.w_in**2) == pytest.approx(2)
    exact = rt.exact_loss(model, rt.Identical(2, p)).mean
    assert float(pairs.loss) == pytest.approx(exact, rel=1e-7)
    assert rt.uneven_pairs(p, hidden_noise=0).loss == rt.uneven_pairs(p).loss


@pytest.mark.parametrize("name", ["Clebsch", "Schläfli"])
def test_a_graph_hears_the_nuclear_norm(name):
    """Its rows are alike; descent from it with the same noise does not find a tenth less."""
    p, noise = 0.02, 0.05
    model = noisy_graph_model(name, p, rt.Uniform(), noise)
    n, w = model.n_sparse, model.w_out @ model.w_in
    norm = np.linalg.svd(w / w[0, 0], compute_uv=False).sum() / n
    heard = np.linalg.norm(model.w_out, axis=1) / w[0, 0]
    assert heard == pytest.approx(norm)
    lift = w[0][np.abs(w[0] - w[0, 0]) > 1e-9].max() / w[0, 0]
    assert noise_of(name, lift / (1 - lift)) == pytest.approx(norm)
    exact = rt.exact_loss(model, rt.Identical(n, p)).mean
    quiet = rt.graph_code(name).model(rt.graph_optimum(p, name))
    assert exact < rt.exact_loss(noisy(quiet, noise), rt.Identical(n, p)).mean


def test_quiet_factors_hear_least():
    generator = np.random.default_rng(0)
    w_in, w_out = generator.normal(size=(3, 7)), generator.normal(size=(7, 3))
    quiet_in, quiet_out = quiet_factors(w_in, w_out)
    assert np.allclose(quiet_out @ quiet_in, w_out @ w_in)
    assert np.sum(quiet_in**2) == pytest.approx(7)
    least = np.sum(quiet_out**2)
    assert least == pytest.approx(np.linalg.svd(w_out @ w_in, compute_uv=False).sum() ** 2 / 7)
    for _ in range(100):
        turn = np.eye(3) + 0.2 * generator.normal(size=(3, 3))
        other_in = turn @ quiet_in
        size = np.sqrt(np.sum(other_in**2) / 7)
        assert np.sum((quiet_out @ np.linalg.inv(turn) * size) ** 2) >= least * (1 - 1e-12)


@pytest.mark.parametrize(
    ("p", "noises"),
    [
        pytest.param(0.01, (1e-4, 1.0), marks=pytest.mark.slow),
        pytest.param(0.1, (1e-4, 0.03, 0.2, 1.0, 100.0), marks=pytest.mark.slow),
    ],
)
def test_the_curve_rises_with_the_noise(p, noises):
    """From that without noise, by little at first, to features that are dropped."""
    ratio = np.array([0.1, 0.25, 0.5, 0.8, 1.0])
    first = before = rt.best_known(p, ratio)
    variance = rt.SparseSource(p).variance
    assert np.array_equal(rt.best_known(p, ratio, hidden_noise=0.0).loss, before.loss)
    for noise in noises:
        best = rt.best_known(p, ratio, hidden_noise=noise)
        assert np.all(best.loss >= before.loss * (1 - 1e-9))
        assert np.all(np.diff(best.loss) <= 1e-12 * variance)
        assert np.all(best.coupling <= 10 * (1 + 1e-12))
        assert best.loss[-1] <= rt.optimum(p, sigma=noise).loss * (1 + 1e-12)
        bound = rt.lower_bounds(p, 0.5, hidden_noise=noise)[-1]
        assert bound.scope == "all p" and np.all(bound.value <= best.loss)
        before = best
        if noise == 1e-4:
            assert best.loss[:3] == pytest.approx(first.loss[:3], rel=1e-3)
    assert before.loss == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize("seed", range(8))
def test_bounds_are_below_all_weights(seed):
    """Random weights, lengths of columns and biases: most of them lose far more."""
    generator = np.random.default_rng(seed)
    n, d = 6, int(generator.integers(1, 7))
    p, noise = 10 ** generator.uniform(-3, -0.5), 10 ** generator.uniform(-2, 0.5)
    w_in = generator.normal(size=(d, n)) * np.exp(generator.normal(size=n))
    w_in *= np.sqrt(n) / np.linalg.norm(w_in)
    w_out = w_in.T / np.sum(w_in**2, axis=0)[:, None]
    model = rt.Model(w_in, w_out, -noise * generator.random(), hidden_noise=noise)
    bound = rt.lower_bounds(p, n_sparse=n, n_dense=d, hidden_noise=noise)[-1]
    assert bound.value < rt.exact_loss(model, rt.Identical(n, p)).mean


@pytest.mark.parametrize(("p", "noise"), [(1e-3, 0.3), (0.05, 0.1), (0.01, 0.5)])
def test_noise_alone_is_nearly_attained(p, noise):
    """By features alone in a unit, some of them dropped and the others as much longer."""
    bound = rt.lower_bounds(p, n_sparse=60, n_dense=60, hidden_noise=noise)[-1].value
    variance, kept = rt.SparseSource(p).variance, np.arange(1, 61)
    alone = rt.optimum(p, sigma=noise * np.sqrt(kept / 60)).loss
    least = np.min(kept / 60 * alone + (1 - kept / 60) * variance)
    assert bound <= least * (1 + 1e-9)
    assert bound == pytest.approx(least, rel=2e-3)
    k = 1 + int(np.argmin(kept / 60 * alone + (1 - kept / 60) * variance))
    best = rt.optimum(p, sigma=noise * np.sqrt(k / 60))
    long, eye = np.sqrt(60 / k), np.diag((np.arange(60) < k).astype(float))
    b = np.where(np.arange(60) < k, best.b, rt.SparseSource(p).mean)
    model = rt.Model(long * eye, float(best.a) / long * eye, b, hidden_noise=noise)
    assert rt.exact_loss(model, rt.Identical(60, p)).mean == pytest.approx(least, rel=1e-6)


def test_descents_do_not_cross_the_bound():
    p, noise = 0.1, 0.2
    found = rt.minimize(rt.Identical(4, p), 4, hidden_noise=noise, seed=0, steps=60)
    bound = rt.lower_bounds(p, n_sparse=4, n_dense=4, hidden_noise=noise)[-1].value
    assert bound <= found.loss + found.error
    assert found.loss == pytest.approx(bound, rel=0.05)


def test_noise_and_the_limit_are_refused():
    with pytest.raises(ValueError, match=r"hidden_noise must be 0 with limit=True, got 0\.1"):
        rt.best_known(0.1, 0.5, limit=True, hidden_noise=0.1)
    for function in (rt.best_known, rt.lower_bounds):
        with pytest.raises(ValueError, match="hidden_noise"):
            function(0.1, 0.5, hidden_noise=-1.0)


class TestExplain:
    """Structures that a model is compared with have its noise, by the length of its columns."""

    p, noise = 0.05, 0.2

    def explained(self, model):
        features = rt.Identical(model.n_sparse, self.p)
        verdict = rt.explain(model, features, rows=None)
        known = rt.best_known(
            self.p,
            model.ratio,
            max_coupling=max(coupling(model), 1e-9),
            hidden_noise=verdict.hidden_noise,
        )
        assert verdict.best == float(known.loss) and verdict.family == str(known.family)
        assert verdict.loss == pytest.approx(rt.exact_loss(model, features).mean, rel=1e-6)
        assert verdict.loss - sum(verdict.terms.values()) == pytest.approx(verdict.best)
        return verdict

    @pytest.mark.slow
    def test_the_best_weights_have_no_way_to_go(self):
        """54 features in Schläfli's graph, twice, and no others."""
        model = rt.best_model(54, 14, self.p, hidden_noise=self.noise).model
        verdict = self.explained(model)
        assert verdict.hidden_noise == pytest.approx(self.noise)
        assert verdict.best <= verdict.loss <= 1.1 * verdict.best

    @pytest.mark.slow
    def test_scale(self):
        """Longer columns and more noise are the same model."""
        model = rt.uneven_pairs(self.p, hidden_noise=self.noise).model()
        first = self.explained(model)
        assert first.hidden_noise == pytest.approx(self.noise)
        assert first.loss == pytest.approx(first.best, rel=1e-6)
        longer = rt.Model(30 * model.w_in, model.w_out / 30, model.b, hidden_noise=30 * self.noise)
        other = self.explained(longer)
        assert other.hidden_noise == pytest.approx(self.noise)
        assert list(other.terms.values()) == pytest.approx(list(first.terms.values()), abs=1e-12)
        assert other.best == pytest.approx(first.best, rel=1e-12)

    @pytest.mark.slow
    def test_dead_features_have_no_say(self):
        """Columns of features alive are what structures are given."""
        pairs = rt.uneven_pairs(self.p, hidden_noise=self.noise).model()
        w_in, w_out = np.zeros((2, 4)), np.zeros((4, 2))
        w_in[:1, :2], w_out[:2, :1] = pairs.w_in, pairs.w_out
        b = np.append(pairs.b, [rt.SparseSource(self.p).mean] * 2)
        verdict = self.explained(rt.Model(w_in, w_out, b, hidden_noise=self.noise))
        assert verdict.dead == 2 and verdict.hidden_noise == pytest.approx(self.noise)

    def test_a_rug_is_at_its_bound(self):
        """Its rows hear no more than Welch's bound and the noise of one hidden unit."""
        sigma = np.hypot(rt.welch_sigma(self.p, 0.25), self.noise)
        rug, best = rt.hadamard_rug(64, 16, seed=0), rt.optimum(self.p, sigma=sigma)
        length = np.sqrt(np.sum(rug.w_in**2) / 64)
        w_out = rug.w_out(float(best.a)) * length
        model = rt.Model(rug.w_in / length, w_out, float(best.b), hidden_noise=self.noise)
        verdict = self.explained(model)
        assert verdict.terms["variance above the Welch bound"] == pytest.approx(0, abs=1e-12)
        assert verdict.terms["dropped features"] == pytest.approx(0, abs=1e-12)
        assert verdict.rug == pytest.approx(float(best.loss))

    def test_without_weights(self):
        """No column has a length: the noise is taken as it is."""
        model = rt.Model(np.zeros((1, 2)), np.zeros((2, 1)), 0.025, hidden_noise=self.noise)
        assert self.explained(model).hidden_noise == self.noise

    def test_command(self, tmp_path, capsys):
        """It prints losses with the noise that the file holds, and the noise."""
        model = rt.best_model(4, 2, self.p, hidden_noise=self.noise).model
        model.save(tmp_path / "model.safetensors")
        assert main(["weights", str(tmp_path / "model.safetensors"), "--p", str(self.p)]) == 0
        lines = capsys.readouterr().out.splitlines()
        said = {x[:32].strip(): float(x[32:].split()[0]) for x in lines if x[32:]}
        pairs = float(rt.uneven_pairs(self.p, max_coupling=1, hidden_noise=self.noise).loss)
        assert said["rug of antipodal pairs"] == pytest.approx(pairs, rel=1e-3)
        assert said["noise, by length of columns"] == pytest.approx(self.noise)
        bound = rt.lower_bounds(self.p, 0.5, hidden_noise=self.noise)[-1].value
        assert said["no weights below"] == pytest.approx(bound, rel=1e-5)
        known = next(loss for name, loss in said.items() if name.startswith("best known"))
        assert bound < known < said["Gaussian rug"]


@pytest.mark.parametrize("noise", [1e-6, 0.1, 30.0])
@pytest.mark.parametrize(
    ("u", "t"), [(0.0, -3.0), (0.0, 0.2), (0.3, 0.25), (1.0, -0.01), (1.0, 0.0)]
)
def test_moments_where_nothing_interferes(u, t, noise):
    """E e², E e h and E h² by mpmath."""
    found = rectified_moments(np.array([[u]]), np.array([t]), noise)

    def mean(of):
        kink = (t - u) / noise
        ends = sorted({-40, -8, -3, 0, 3, 8, 40, min(max(kink, -40), 40)})
        return mp.quad(lambda z: of(max(u + noise * z - t, 0)) * mp.npdf(z), ends)

    truth = [mean(lambda h: (u - h) ** 2), mean(lambda h: (u - h) * h), mean(lambda h: h * h)]
    size = np.sqrt(float(truth[0] * truth[2]))
    for k, one in enumerate(found):
        limit = size if k == 1 else float(truth[k])
        assert abs(float(one[0, 0]) - float(truth[k])) <= 1e-9 * limit + 1e-300


@pytest.mark.parametrize("noise", [0.03, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("p", [1e-3, 0.1])
def test_scans_hear_noise(p, noise):
    """What a scan says of a row is what an exact loss says, so that it needs one set of nodes."""
    law = RowLaw.identical(np.full(22, -0.4), rt.SparseSource(p), noise)
    best, scanned = least_loss(law, 1e-9), scanned_least(law)
    assert scanned.loss == pytest.approx(best.loss, rel=1e-4)
    loss, _ = Profile(law, 128)(np.array([best.threshold]))
    assert loss[0] == pytest.approx(best.loss, rel=1e-4)


def test_noise_next_to_nothing():
    """Where features alone lose less than rounding it is none; losses of them go as its square."""
    for noise in (5e-324, 1e-140, 1e-60):
        assert rt.best_known(0.1, 1.0, hidden_noise=noise).loss == 0
        assert rt.best_known(0.1, 0.5, hidden_noise=noise).loss == rt.best_known(0.1, 0.5).loss
        some, quiet = rt.lower_bounds(0.1, 0.5, hidden_noise=noise), rt.lower_bounds(0.1, 0.5)
        assert [x.value for x in some] == [x.value for x in quiet]
        assert rt.uneven_pairs(0.1, hidden_noise=noise).loss == rt.uneven_pairs(0.1).loss
        assert rt.best_model(4, 2, 0.1, hidden_noise=noise).model.hidden_noise == 0


def test_searches_stay_on_their_curves():
    """Where a curve is flat they ran to ratios that pairs do not have: p = 1e-140, noise 1e-3."""
    ratio = np.array([0.1, 0.3, 0.5])
    assert _ratio(np.array([-1e4, 0.0, 1e4]), ratio).tolist() == [0.1, 0.5, 0.5]
