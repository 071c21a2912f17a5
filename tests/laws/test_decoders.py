"""Laws of decoders, pairs and structures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx

import rugtheory as rt

from ..models import alike
from .domain import AMPLITUDE, AMPLITUDES, RATIO, SCALED, SIGMA, A, B, P, few, some

ORDERED = (
    ("linear", "relu"),
    ("relu", "jumprelu"),
    ("jumprelu", "bayes"),
    ("bayes", "oracle"),
    ("topk", "jumprelu"),
    ("selection", "oracle"),
    ("linear", "selection"),
)
HALF = st.floats(1e-4, 0.5)
MODERATE = st.floats(-6, 0).map(lambda x: 10**x)


def ordered(p, ratio, law, channel):
    """Losses of all kinds, none negative and all in order."""
    table = rt.decoder_table([p], [ratio], channel=channel, amplitude=law).loss
    loss = {str(kind): float(table.sel(decoder=kind)[0, 0]) for kind in table.decoder.values}
    assert min(loss.values()) >= 0
    for worse, better in ORDERED:
        assert loss[better] <= loss[worse] * (1 + 1e-9), (worse, better)
    assert loss["gated"] == loss["jumprelu"]
    return loss


class TestDecoders:
    """Decoders in the Gaussian channel"""

    @given(P, RATIO, AMPLITUDE)
    @some
    def test_order(self, p, ratio, law):
        """linear ≥ ReLU ≥ JumpReLU = gated ≥ Bayes ≥ oracle; linear ≥ selection ≥ oracle."""
        loss = ordered(p, ratio, law, "gaussian")
        linear = float(rt.linear_loss(p, ratio, amplitude=law))
        assert loss["linear"] == approx(linear, rel=1e-12)

    @given(P, st.one_of(HALF, st.just(0.5)), st.sampled_from([AMPLITUDES[2], AMPLITUDES[6]]))
    @few
    def test_order_in_pairs(self, p, ratio, law):
        """The same order in the antipodal channel."""
        ordered(p, ratio, law, "antipodal")

    @pytest.mark.slow
    @given(P, st.one_of(HALF, st.just(0.5)), AMPLITUDE)
    @some
    def test_order_in_pairs_of_every_law(self, p, ratio, law):
        """The same order in the antipodal channel, of laws with a density as well."""
        ordered(p, ratio, law, "antipodal")

    @given(MODERATE, st.lists(st.floats(0.01, 0.99), min_size=2, max_size=2))
    @some
    def test_monotone(self, p, ratios):
        """The losses of Bayes and the oracle fall with the ratio; the oracle's is below pσ²."""
        for kind in ("bayes", "oracle"):
            low, high = rt.optimum_decoder(kind, p, sorted(ratios)).loss
            assert high <= low * (1 + 1e-9)
        best = rt.optimum_decoder("oracle", p, ratios[0])
        assert best.loss <= p * best.sigma**2

    @given(A, B, SIGMA, P, AMPLITUDE)
    def test_members(self, a, b, sigma, p, law):
        """`decoder_loss` of a ReLU is `reduced_loss`, that of a + b y its mean square error."""
        channel, source = rt.GaussianChannel(sigma), rt.SparseSource(p, law)
        relu = rt.decoder_loss(rt.ReLU(a, b), channel, source)
        assert relu == rt.reduced_loss(a, b, sigma, p, amplitude=law)
        linear = rt.decoder_loss(rt.Linear(a, b), channel, source)
        opened = b + abs(a) * (13 * sigma + law.reach) + abs(b)
        shifted = rt.reduced_loss(a, opened, sigma, p, amplitude=law)
        mean = (a - 1) * source.mean + b
        gap = (opened - b) ** 2 + 2 * (opened - b) * mean
        assert linear == approx(
            float(shifted - gap), rel=1e-9, abs=1e-12 * float(shifted + abs(gap))
        )

    @given(st.floats(0.1, 3), B, st.floats(1e-3, 20), P, AMPLITUDE)
    def test_jump_without_a_jump(self, a, b, sigma, p, law):
        """A JumpReLU whose threshold is -b/a is a ReLU."""
        channel, source = rt.GaussianChannel(sigma), rt.SparseSource(p, law)
        jump = rt.decoder_loss(rt.JumpReLU(a, b, -b / a), channel, source)
        relu = rt.reduced_loss(a, b, sigma, p, amplitude=law)
        scale = (a * sigma) ** 2 + p * law.second_moment * (1 + a * a) + b * b
        assert jump == approx(float(relu), rel=1e-9, abs=1e-13 * scale)

    @given(st.floats(0.5, 2), st.floats(-1, 0.5), st.floats(-0.5, 1), MODERATE)
    @settings(max_examples=3)
    def test_callables(self, a, b, theta, p):
        """Callables are integrated to what closed forms say; a gate below -b/a does nothing."""
        channel, source = rt.GaussianChannel(0.3), rt.SparseSource(p)
        for decoder in (rt.JumpReLU(a, b, theta), rt.ReLU(a, b)):
            integral = rt.decoder_loss(lambda y, f=decoder: f(y), channel, source)
            closed = rt.decoder_loss(decoder, channel, source)
            assert integral == approx(float(closed), rel=1e-7)
        gated = rt.decoder_loss(rt.Gated(a, b, min(theta, -b / a)), channel, source)
        assert gated == approx(float(closed), rel=1e-7)

    @given(MODERATE, st.floats(0.05, 3), AMPLITUDE)
    @some
    def test_bayes(self, p, sigma, law):
        """E[x | y] rises with y and stays among the amplitudes."""
        y = np.linspace(-4 * sigma, min(law.end, 4) + 4 * sigma, 50)
        for channel in (rt.GaussianChannel(sigma), rt.AntipodalChannel(sigma)):
            f = rt.Bayes(channel, rt.SparseSource(p, law))(y)
            assert np.all(f >= 0) and np.all(f <= law.end)
            if isinstance(channel, rt.GaussianChannel):
                assert np.all(np.diff(f) >= -1e-12 * law.mean)

    @given(st.floats(0.01, 0.9), st.floats(0.1, 0.5), st.sampled_from(["gaussian", "antipodal"]))
    @settings(max_examples=3)
    def test_mmse(self, p, ratio, kind):
        """The loss of `Bayes` by quadrature is that of the kind "bayes", in either channel."""
        best = rt.optimum_decoder("bayes", p, ratio, channel=kind)
        make = rt.AntipodalChannel if kind == "antipodal" else rt.GaussianChannel
        channel, source = make(max(float(best.sigma), 1e-3)), rt.SparseSource(p)
        if best.sigma >= 1e-3:
            loss = rt.decoder_loss(rt.Bayes(channel, source), channel, source)
            assert loss == approx(float(best.loss), rel=1e-8)

    @given(P, RATIO, st.floats(1e-4, 0.9), st.floats(1e-4, 0.9))
    @some
    def test_topk(self, p, ratio, one, two):
        """Keeping more lowers the threshold of TopK, which never beats the best one."""
        fewer, more = rt.optimum_decoder("topk", p, ratio, keep=sorted([one, two])).threshold
        assert more <= fewer + 1e-9 * abs(fewer)

    @given(MODERATE, st.floats(0.05, 0.5), st.sampled_from(["gaussian", "antipodal"]))
    @few
    def test_table(self, p, ratio, channel):
        """`decoder_table` holds the losses of `optimum_decoder`; none is below that of Bayes."""
        table = rt.decoder_table([p], [ratio], channel=channel)
        for kind in ("relu", "topk", "oracle"):
            best = rt.optimum_decoder(kind, p, ratio, channel=channel).loss
            assert float(table.loss.sel(decoder=kind)[0, 0]) == approx(float(best))
        over = table.over_bayes.drop_sel(decoder=["oracle", "selection"])
        assert float(over.min()) >= 1 - 1e-8


class TestPairs:
    """Antipodal and uneven pairs"""

    @given(A, B, SIGMA, P, st.floats(0.1, 3))
    def test_partner(self, a, b, sigma, p, c):
        """A partner of constant amplitude c shifts b by -ac with probability p."""
        law = rt.Constant(c)
        alone, shifted = rt.reduced_loss(a, [b, b - a * c], sigma, p, amplitude=law)
        both = rt.antipodal_loss(a, b, sigma, p, amplitude=law)
        assert both == approx(float((1 - p) * alone + p * shifted), rel=1e-11, abs=1e-280)

    @given(P)
    @some
    def test_at_one_half(self, p):
        """Pairs alone lose p²/6 at a = 1, b = 0, and no more at their optimum."""
        assert rt.antipodal_loss(1.0, 0.0, 0.0, p) == approx(p**2 / 6, rel=1e-13)
        best = rt.antipodal_optimum(p, 0.5)
        assert best.sigma == 0 and best.loss <= p**2 / 6 * (1 + 1e-12)

    @given(
        MODERATE.filter(lambda p: p < 0.999),
        HALF,
        AMPLITUDE,
        st.floats(-0.3, 0.3),
        st.floats(-0.3, 0.3),
    )
    @some
    def test_least(self, p, ratio, law, da, db):
        """The optimum of pairs is the loss at its a, b, below all nearby and the linear model."""
        best = rt.antipodal_optimum(p, ratio, amplitude=law)
        sigma = best.sigma
        width = best.a * (sigma + 0.1 * law.mean)

        def loss(a, b):
            return rt.antipodal_loss(a, b, sigma, p, amplitude=law)

        assert loss(best.a, best.b) == approx(float(best.loss), rel=1e-9)
        assert loss(best.a * (1 + da), best.b + db * width) >= best.loss * (1 - 1e-9)
        assert best.loss <= rt.linear_loss(p, ratio, amplitude=law) * (1 + 1e-9)

    @given(MODERATE, st.floats(0.5, 1))
    @few
    def test_singles(self, p, ratio):
        """Above ratio ½ the loss of pairs beside singles falls linearly to 0 at 1."""
        half, at, full = rt.antipodal_optimum(p, [0.5, ratio, 1.0]).loss
        assert full == 0 and at == approx(2 * (1 - ratio) * half, rel=1e-12)

    @given(st.floats(1e-3, 0.9), st.sampled_from([rt.Uniform(), rt.Uniform(0.3, 0.9)]))
    @settings(max_examples=2)
    def test_uneven(self, p, law):
        """Uneven pairs lose what their weights lose, and no more than even ones."""
        best = rt.uneven_pairs(p, amplitude=law)
        c = float(best.coupling)
        w_in, w_out = [[1.0, -c]], [[best.a[0]], [-best.a[1] / c]]
        exact = rt.exact_loss(*alike(w_in, w_out, best.b, p, amplitude=law))
        assert abs(exact.mean - best.loss) <= exact.mean_error + 1e-9 * best.loss
        assert 0 < c <= 1
        assert best.loss <= rt.antipodal_optimum(p, 0.5, amplitude=law).loss * (1 + 1e-9)


class TestStructures:
    """Dropped features and the best known structure"""

    @given(MODERATE, st.floats(1e-4, 1.0))
    @settings(max_examples=3)
    def test_mixture(self, p, ratio):
        """Dropping features is the best of all fractions, min(1, r/r_c), and linear in r < r_c."""
        loss, critical = float(rt.mixture_loss(p, ratio)), float(rt.critical_ratio(p))
        fraction = float(rt.represented_fraction(p, ratio))
        variance = float(rt.SparseSource(p).variance)
        assert fraction == approx(min(1, ratio / critical), rel=1e-12)
        f = np.append(np.linspace(ratio, 1, 40), fraction)
        mixtures = (1 - f) * variance + f * rt.optimum(p, np.minimum(ratio / f, 1)).loss
        assert loss <= mixtures.min() * (1 + 1e-10)
        assert loss == approx(mixtures[-1], rel=1e-10)
        assert 0 < critical <= 1

    @given(st.floats(1e-6, 1.0), st.floats(1e-4, 1.0))
    @settings(max_examples=2)
    def test_best_known(self, p, ratio):
        """The best known structure is no worse than its members."""
        best = rt.best_known(p, ratio, limit=True)
        members = [rt.mixture_loss(p, ratio), rt.antipodal_optimum(p, ratio).loss]
        if ratio >= 0.5:
            members.append(2 * (1 - ratio) * rt.uneven_pairs(p).loss)
        assert best.loss <= min(float(x) for x in members) * (1 + 1e-10) + 1e-300
        assert 0 < best.fraction <= 1
        if "and singles" in str(best.family):
            assert ratio > 0.5

    @pytest.mark.slow
    @given(st.sampled_from(SCALED[:2]), st.floats(0.1, 10), MODERATE)
    @settings(max_examples=3)
    def test_units(self, make, c, p):
        """The critical ratio does not depend on the unit of amplitudes."""
        one, scaled = (rt.critical_ratio(p, amplitude=make(x)) for x in (1.0, c))
        assert scaled == approx(float(one), rel=1e-5)


class TestGraphs:
    """Groups on strongly regular graphs"""

    @given(st.sampled_from(rt.GRAPHS[:-4]), st.floats(-9, 0).map(lambda x: 10**x))
    @settings(max_examples=4)
    def test_bounds(self, name, p):
        """At most E min(u, w/θ)² is lost to one active neighbour in a graph, u² to more."""
        best, code = rt.graph_optimum(p, name), rt.graph_code(name)
        k, one = code.degree, (2 * code.theta - 1) / (6 * code.theta**3)
        assert 0 < best.loss <= (p**2 * k * one + p**3 * k * (k - 1) / 6) * (1 + 1e-4)
        assert best.loss <= rt.SparseSource(p).second_moment

    @given(st.sampled_from(SCALED[:2]), st.floats(0.1, 10), st.floats(1e-3, 0.5))
    @settings(max_examples=2)
    def test_units(self, make, c, p):
        """The loss of a graph code scales with the square of the unit of amplitudes."""
        one, scaled = (rt.graph_optimum(p, "Gewirtz", amplitude=make(x)) for x in (1.0, c))
        assert scaled.loss == approx(float(one.loss) * c**2, rel=3e-4)


class TestPrecedence:
    """Precedence codes"""

    @given(st.floats(-12, 0).map(lambda x: 10**x), st.integers(4, 10**6))
    def test_bounds(self, p, n):
        """At most p times their number is lost to those before, more of more features."""
        loss, more = rt.precedence_loss(p, [n, n + 1])
        power = p * rt.Uniform().second_moment
        assert 0 < loss <= power * min(1, p * (n - 3) / 2) * (1 + 1e-12)
        assert loss <= more * (1 + 1e-12)

    @given(st.integers(4, 6), st.floats(5, 1e3), st.floats(0.01, 0.6))
    def test_code(self, n, scale, p):
        """A code loses what its limit says, and at most the square of what leaks besides."""
        code, law = rt.precedence_code(n, scale), rt.Constant(1.0)
        exact = rt.exact_loss(*alike(code.w_in, code.w_out, 0.0, p, amplitude=law))
        limit = float(rt.precedence_loss(p, n, amplitude=law))
        leak = np.abs(np.triu(code.w_out @ code.w_in, 1)).sum(axis=1)
        assert limit * (1 - 1e-9) <= exact.mean <= limit + (1 + n * p) * p * (leak**2).sum()

    @given(st.sampled_from(SCALED), st.floats(0.1, 10), MODERATE)
    def test_units(self, make, c, p):
        """The loss of a code scales with the square of the unit of amplitudes."""
        one, scaled = (rt.precedence_loss(p, 7, amplitude=make(x)) for x in (1.0, c))
        assert scaled == approx(float(one) * c**2, rel=1e-9)
