"""Theory of amplitudes of either sign, against the definition and what symmetry says."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rugtheory as rt
from rugtheory.decoder.optimum import KINDS
from rugtheory.source.sides import densities_at_zero, lost_power

from .laws.domain import AMPLITUDES, SIGNED
from .oracle import channels
from .strangers import copied_law

LAWS = pytest.mark.parametrize("law", SIGNED, ids=repr)
DISCRETE = [law for law in SIGNED if law.atoms() is not None]
POINTS = [(0.3, 0.5), (0.01, 0.2), (0.9, 0.9), (1.0, 0.3), (1e-4, 0.9), (1e-9, 0.5)]
SYMMETRIC = [rt.Uniform(-1, 1), rt.FromQuadrature([-1.0, 1.0], [1.0, 1.0])]


def panels(law):
    """Ends of the law and, of a discrete one, its probabilities."""
    return ([law.low, law.high], None) if law.atoms() is None else law.atoms()


def definition(a, b, sigma, p, law):
    """E(x - ReLU(a(x + ν) + b))², a > 0, by mpmath: the noise in closed form, u by quadrature."""
    with mp.workdps(40):
        a, b, sigma, p = (mp.mpf(float(x)) for x in (a, b, sigma, p))
        e = a * sigma

        def error(u):
            c = a * u + b
            z = c / e
            above, at = mp.erfc(-z / mp.sqrt(2)) / 2, mp.npdf(z)
            first, second = c * above + e * at, (c * c + e * e) * above + c * e * at
            return u * u - 2 * u * first + second

        values, weights = panels(law)
        if weights is not None:
            on = sum(mp.mpf(w) * error(mp.mpf(u)) for u, w in zip(values, weights, strict=True))
        else:
            low, high = (mp.mpf(x) for x in values)
            kink = [-b / a + k * sigma for k in (-12, -7, -3, 0, 3, 7, 12)]
            points = sorted({low, high, *(x for x in kink if low < x < high)})
            on = mp.quad(error, points, method="gauss-legendre") / (high - low)
        return float(p * on + (1 - p) * error(mp.mpf(0)))


def least_by_scan(sigma, p, law):
    """The least loss over a dense grid of thresholds, each with its best a ≥ 0, and constants.

    A loss is E x² - 2aA + a²B, so two values of it at one threshold tell A and B.
    """
    size = max(abs(law.start), abs(law.end))
    near = sigma * np.linspace(-30, 30, 1201)
    beta = [near, size * np.linspace(-1.2, 1.2, 1201), *(near - u for u in panels(law)[0])]
    beta = np.concatenate([*beta, size * np.geomspace(1, 1e4, 200)])
    power = p * law.second_moment
    one, half = (rt.reduced_loss(a, a * beta, sigma, p, amplitude=law) for a in (1.0, 0.5))
    square = 2 * ((one - power) - 2 * (half - power))
    a = np.divide(square - (one - power), 2 * square, out=0 * one, where=square > 1e-12 * power)
    a = np.maximum(a, 0.0)
    scanned = rt.reduced_loss(a, a * beta, sigma, p, amplitude=law)
    return min(scanned.min(), power - max(p * law.mean, 0.0) ** 2)


@LAWS
@pytest.mark.parametrize(("p", "ratio"), POINTS)
class TestOptimum:
    def test_loss(self, law, p, ratio):
        """It is that of the decoder, and no decoder found by a scan does better."""
        best = rt.optimum(p, ratio, amplitude=law)
        if best.a > 0:
            exact = definition(best.a, best.b, best.sigma, p, law)
        else:
            exact = p * law.second_moment - 2 * float(best.b) * p * law.mean + float(best.b) ** 2
        assert float(best.loss) == pytest.approx(exact, rel=1e-12)
        assert best.a >= 0
        assert best.loss <= least_by_scan(float(best.sigma), p, law) * (1 + 1e-12)

    def test_bounds(self, law, p, ratio):
        """Between what is negative, which is lost, and the best constant or the proven bound."""
        loss = float(rt.optimum(p, ratio, amplitude=law).loss)
        constant = p * law.second_moment - max(p * law.mean, 0.0) ** 2
        assert loss >= p * lost_power(law) * (1 - 1e-14)
        assert loss <= constant * (1 + 1e-14)
        assert loss <= rt.upper_bound(p, ratio, amplitude=law)


@given(
    st.floats(-3, 1).map(lambda x: -(10**x)),
    st.floats(-3, 1).map(lambda x: 10**x),
    st.floats(-9, 0).map(lambda x: 10**x),
    st.floats(-6, 2).map(lambda x: 10**x),
    st.integers(2, 6),
)
@settings(max_examples=25)
def test_any_law(low, high, p, sigma, n):
    rng = np.random.default_rng(n)
    discrete = rt.FromQuadrature(rng.uniform(low, high, n), rng.dirichlet(np.ones(n)))
    for law in (rt.Uniform(low, high), discrete):
        best = rt.optimum(p, sigma=sigma, amplitude=law)
        found = rt.reduced_loss(best.a, best.b, sigma, p, amplitude=law)
        assert float(best.loss) == pytest.approx(float(found), rel=1e-12)
        assert best.loss <= least_by_scan(sigma, p, law) * (1 + 1e-12)


@pytest.mark.parametrize("sigma", [1e-6, 0.1, 3.0])
@pytest.mark.parametrize("p", [1e-6, 0.1, 1.0])
def test_hardly_negative(p, sigma):
    """A law that reaches an atom below zero is that on [0, 1]."""
    there = rt.optimum(p, sigma=sigma)
    here = rt.optimum(p, sigma=sigma, amplitude=rt.Uniform(-1e-13, 1))
    assert here.loss == pytest.approx(there.loss, rel=1e-9)
    assert here.a == pytest.approx(there.a, rel=1e-7)
    assert here.b == pytest.approx(there.b, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("law", SYMMETRIC, ids=repr)
class TestSymmetry:
    """x and -x have one law: what the package says of either is the same."""

    def test_half_is_lost(self, law):
        for p in (1e-6, 0.1, 0.9):
            share = rt.optimum(p, sigma=1e-5, amplitude=law).loss / (p * law.second_moment)
            assert share == pytest.approx(0.5, abs=1e-3)

    def test_linear(self, law):
        best = rt.optimum_decoder("linear", 0.3, 0.4, amplitude=law)
        assert best.loss == pytest.approx(0.3 * law.second_moment * 0.6, rel=1e-13)
        assert best.b == 0 and best.a == pytest.approx(0.4, rel=1e-13)

    def test_skewness(self, law):
        assert rt.least_skewness(0.2, 0.3, amplitude=law) == 0
        assert rt.hadamard_rug(32, 8, seed=0).skewness(0.2, amplitude=law) == 0

    def test_bayes_is_odd(self, law):
        bayes = rt.Bayes(rt.GaussianChannel(0.3), rt.SparseSource(0.2, law))
        y = np.linspace(-2, 2, 41)
        np.testing.assert_allclose(bayes(y), -bayes(-y), atol=1e-13)


def mirrored(law):
    if isinstance(law, rt.Uniform):
        return rt.Uniform(-law.high, -law.low)
    values, weights = law.atoms()
    return rt.FromQuadrature(-values, weights)


@LAWS
@pytest.mark.parametrize("kind", ["linear", "selection", "oracle", "bayes"])
def test_decoders_of_the_mirrored_law(law, kind):
    """Where a decoder may be negative, x and -x lose the same."""
    for p, ratio in POINTS[:4]:
        losses = [
            float(rt.optimum_decoder(kind, p, ratio, amplitude=x).loss)
            for x in (law, mirrored(law))
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)


@pytest.mark.parametrize("antipodal", [False, True])
@pytest.mark.parametrize("law", DISCRETE, ids=repr)
def test_decoders_of_discrete_laws(law, antipodal):
    """All kinds against sums over the atoms: trapezoidal rule, and moments at 400 digits."""
    for p, ratio in ((0.3, 0.5), (0.01, 0.2), (0.9, 0.9)):
        ratio = ratio / 2 if antipodal else ratio
        given = {"channel": "antipodal" if antipodal else "gaussian", "amplitude": law}
        best = {kind: rt.optimum_decoder(kind, p, ratio, **given) for kind in KINDS}
        sigma = float(best["bayes"].sigma)
        truth = channels.least_discrete_losses(*law.atoms(), sigma, p, antipodal=antipodal)
        power = p * law.second_moment
        for kind, expected in zip(("bayes", "oracle"), truth, strict=True):
            assert float(best[kind].loss) == pytest.approx(expected, rel=1e-9, abs=1e-15 * power)
        for kind in ("linear", "relu", "jumprelu", "gated", "topk"):
            one = best[kind]
            bend = {"linear": -1e3, "topk": one.threshold, "jumprelu": one.threshold}.get(kind)
            if bend is None:  # what a ReLU lets pass, and a gate
                bend = -one.b / one.a if one.a > 0 else -1e3
                bend = max(bend, one.threshold) if kind == "gated" else bend
            exact = channels.discrete_jump_loss(
                *law.atoms(), sigma, p, one.a, one.b, bend, antipodal=antipodal
            )
            assert float(one.loss) == pytest.approx(exact, rel=1e-9)
        loss = {kind: float(one.loss) * (1 - 1e-9) for kind, one in best.items()}
        assert loss["oracle"] <= loss["bayes"] <= loss["jumprelu"] <= best["linear"].loss
        assert loss["bayes"] <= loss["gated"] <= best["relu"].loss
        assert loss["jumprelu"] <= best["gated"].loss


@LAWS
def test_losses_of_given_decoders(law):
    """Against samples; the same decoder as a function and as a class."""
    p, n = 0.3, 400_000
    source, generator = rt.SparseSource(p, law), np.random.default_rng(3)
    x = source.sample(n, generator)
    for channel, noise in (
        (rt.GaussianChannel(0.4), 0.0),
        (rt.AntipodalChannel(0.4), -source.sample(n, generator)),
    ):
        y = x + noise + generator.normal(0, 0.4, n)
        for decoder in (rt.Linear(0.8, 0.1), rt.JumpReLU(1.1, 0.1, -0.3), rt.Gated(1, 0.1, 0.2)):
            error = (x - decoder(y)) ** 2
            loss = float(rt.decoder_loss(decoder, channel, source))
            assert abs(loss - error.mean()) < 5 * error.std() / np.sqrt(n)
            other = rt.decoder_loss(lambda y, f=decoder: f(y), channel, source)
            assert float(other) == pytest.approx(loss, rel=1e-8)


@LAWS
class TestScaling:
    @pytest.mark.parametrize("p", [0.3, 0.01, 1e-5])
    def test_sparse_constants(self, law, p):
        """What the optimum loses beyond what is negative tends to Λ, and its slope to Λ₁."""
        if law.end <= 0:
            assert rt.sparse_constants(p, amplitude=law).leading == 0
            return
        found = rt.sparse_constants(p, amplitude=law)
        assert found.lost == pytest.approx(lost_power(law))
        sigma = 1e-3 * law.rms * np.array([1.0, 0.5])
        lost = rt.optimum(p, sigma=sigma, amplitude=law).loss / p - found.lost
        value = lost / sigma**2
        assert value[1] == pytest.approx(found.leading, rel=0.02)
        if law.atoms() is None:
            slope = (value[0] - value[1]) / (sigma[0] - sigma[1])
            assert slope == pytest.approx(found.next, rel=0.06)

    def test_sparse_laws(self, law):
        """Near ratio 1 they are what the decoders lose.

        The next term is of order σ² for a density, of σ √log(1/σ) where atoms keep away from zero.
        """
        p, ratio, discrete = 0.1, 1 - 1e-5, law.atoms() is not None
        for kind in ("relu", "jumprelu", "selection", "bayes", "oracle"):
            order = int(kind in ("relu", "jumprelu"))
            if discrete and kind != "relu":
                continue  # amplitudes are told apart, and nothing is of the order of σ²
            # A jump that passes all readings is linear, and loses less than the law of gates.
            decoder = "gated" if kind == "jumprelu" else kind
            loss = rt.optimum_decoder(decoder, p, ratio, amplitude=law).loss
            lost = p * lost_power(law) * order
            expected = rt.sparse_law(kind, p, ratio, order=order, amplitude=law) - lost
            rel = (0.02 if discrete else 1e-3) if order else 0.1
            assert loss - lost == pytest.approx(expected, rel=rel, abs=1e-13)

    def test_topk_has_none(self, law):
        with pytest.raises(ValueError, match="negative for topk, which keeps the largest"):
            rt.sparse_law("topk", 0.1, 0.9, amplitude=law)

    def test_dropping(self, law):
        """The best of all fractions, of what is dropped the best constant that a ReLU has."""
        for p, ratio in ((0.3, 0.2), (0.01, 0.05)):
            loss = float(rt.mixture_loss(p, ratio, amplitude=law))
            dropped = p * law.second_moment - max(p * law.mean, 0.0) ** 2
            f = np.linspace(ratio, 1, 30)
            kept = rt.optimum(p, np.minimum(ratio / f, 1), amplitude=law).loss
            assert loss <= ((1 - f) * dropped + f * kept).min() * (1 + 1e-9)
            assert loss >= p * lost_power(law) * (1 - 1e-12)

    def test_exponents(self, law):
        """Differences of log L."""
        p, ratio, h = 0.2, 0.4, 1e-4
        slopes = rt.local_exponents(p, ratio, amplitude=law)

        def log_loss(p, ratio):
            return float(np.log(rt.optimum(p, ratio, amplitude=law).loss))

        by_p = (log_loss(p * np.exp(h), ratio) - log_loss(p * np.exp(-h), ratio)) / (2 * h)
        by_r = (log_loss(p, ratio * np.exp(h)) - log_loss(p, ratio * np.exp(-h))) / (2 * h)
        assert float(slopes.p) == pytest.approx(by_p, abs=1e-6)
        assert float(slopes.ratio) == pytest.approx(by_r, abs=1e-6)


def test_density_on_either_side():
    for law, expected in (
        (rt.Uniform(-1, 1), (0.5, 0.5)),
        (rt.Uniform(-0.4, 1.1), (1 / 1.5, 1 / 1.5)),
        (rt.Uniform(-2, 0), (0.5, 0.0)),
        (rt.Uniform(-2, -1), (0.0, 0.0)),
        (rt.Uniform(0.5, 1), (0.0, 0.0)),
        (rt.Constant(-1.0), (0.0, 0.0)),
    ):
        assert densities_at_zero(law) == pytest.approx(expected, rel=1e-12)


@LAWS
def test_bound_on_skewness(law):
    """Antipodal rugs attain it where k₃ > 0; random ones are above it."""
    p = 0.2
    for n_dense in (4, 8):
        least = float(rt.least_skewness(p, n_dense / 32, amplitude=law))
        random = [rt.hadamard_rug(32, n_dense, seed=k).skewness(p, amplitude=law) for k in range(5)]
        assert min(random) >= least - 1e-12
        pairs = rt.antipodal_rug(32, n_dense, seed=0).skewness(p, amplitude=law)
        if rt.SparseSource(p, law).skewness > 0:
            assert pairs == pytest.approx(least, rel=1e-12)
        else:
            assert pairs >= least - 1e-12


@pytest.mark.parametrize("law", SIGNED[:3], ids=repr)
def test_weights_of_the_optimum(law):
    """A rug of many features loses what the optimum says, the more so the more there are."""
    p, errors = 0.2, []
    best = rt.optimum(p, 0.5, amplitude=law)
    for n in (16, 256):
        rug = rt.hadamard_rug(n, n // 2, seed=0)
        model = rug.model(best, rt.SparseSource(p, law))
        exact = rt.exact_loss(model, rt.Identical(n, p, law), rows=1, seed=0)
        errors.append(abs(float(exact.mean / best.loss) - 1))
    assert errors[1] < 0.02 and errors[1] < errors[0]


@pytest.mark.parametrize("law", SIGNED[:2], ids=repr)
def test_a_stranger_of_either_sign(law):
    """A law known by its abstract methods and its lower end gives what ours gives."""
    copy = copied_law(law, "start")
    for p, ratio in POINTS[:3]:
        for function in (rt.optimum, rt.mixture_loss, rt.regime):
            ours, theirs = (function(p, ratio, amplitude=x) for x in (law, copy))
            ours, theirs = (getattr(x, "loss", getattr(x, "law", x)) for x in (ours, theirs))
            np.testing.assert_allclose(ours, theirs, rtol=1e-9)
        for kind in KINDS:
            ours, theirs = (
                rt.optimum_decoder(kind, p, ratio, amplitude=x).loss for x in (law, copy)
            )
            np.testing.assert_allclose(ours, theirs, rtol=1e-8)


def test_nothing_is_lost_of_one_sign():
    assert all(lost_power(law) == 0 for law in AMPLITUDES)


class TestExplained:
    @pytest.mark.parametrize(
        ("law", "alive"),
        [
            *((law, 6) for law in SIGNED),
            # Far smaller weights of a density take long.
            *(
                pytest.param(law, 4, marks=[pytest.mark.slow] * (law.atoms() is None))
                for law in SIGNED
            ),
        ],
        ids=repr,
    )
    def test_down_to_what_has_a_meaning(self, law, alive):
        """Exact losses, and only steps that rest on nothing known of positive amplitudes alone."""
        rng = np.random.default_rng(2)
        w = rng.normal(size=(2, 6))
        w *= np.where(np.arange(6) < alive, 1.0, 0.01) / np.linalg.norm(w, axis=0)
        model = rt.Model(w, b=-0.1)
        pair = [rt.Exclusive([0.1] * 3, law), rt.Together(0.1, 3, law)]
        for features, family, steps in (
            (rt.Identical(6, 0.1, law), "rug", 5),
            (rt.Independent(np.linspace(0.05, 0.2, 6), law), "own Gaussian channels", 2),
            (rt.Groups(pair), "own Gaussian channels", 2),
        ):
            verdict = rt.explain(model, features)
            assert verdict.loss == pytest.approx(rt.exact_loss(model, features).mean, rel=1e-6)
            assert verdict.family == family and len(verdict.terms) == steps
            assert verdict.loss - sum(verdict.terms.values()) == pytest.approx(verdict.best)
            assert verdict.terms["own a and b"] >= -1e-7 * verdict.loss
            assert verdict.dead == 6 - alive and "structure" not in verdict.terms

    @LAWS
    def test_of_a_rug(self, law):
        """It has the variance of the bound, equal rows, and nothing dropped."""
        best, source = rt.optimum(0.1, 0.25, amplitude=law), rt.SparseSource(0.1, law)
        if not best.a > 0:
            pytest.skip("a constant output is best")
        model = rt.hadamard_rug(16, 4, seed=0).model(best, source)
        verdict = rt.explain(model, rt.Identical(16, 0.1, law), rows=2)
        assert verdict.best == verdict.rug == float(best.loss)
        for name in ("spread between rows", "variance above the Welch bound", "dropped features"):
            assert abs(verdict.terms[name]) < 1e-9 * verdict.best, name

    def test_of_features_that_are_never_positive(self):
        """A ReLU has nothing better for them than 0, and loses E x²."""
        model = rt.Model([[1.0, 0.9, -1.0]], b=0.1)
        for law, square in ((rt.Constant(-1.0), 1.0), (rt.Uniform(-2, -1), 7 / 3)):
            verdict = rt.explain(model, rt.Identical(3, 0.1, law))
            assert verdict.best == pytest.approx(0.1 * square, rel=1e-12)
            left = [x for name, x in verdict.terms.items() if name != "own a and b"]
            np.testing.assert_allclose(left, 0, atol=1e-9)

    def test_without_interference(self):
        """Readings of features up to 0.1 never pass a threshold of 0.2; the best is ReLU(x)."""
        model = rt.Model(np.eye(3), b=[-0.2, -0.05, 0.0])
        verdict = rt.explain(model, rt.Identical(3, 0.1, rt.Uniform(-1, 0.1)))
        assert verdict.silent == 1 and verdict.terms["non-Gaussian interference"] == 0
        assert verdict.loss - verdict.terms["own a and b"] == pytest.approx(0.1 / 3 / 1.1)
