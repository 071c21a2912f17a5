"""Decoders in scalar channels against integrals, identities and each other."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

import rugtheory as rt

from .laws.domain import AMPLITUDES
from .oracle import channels
from .strangers import concrete

POINTS = [(0.045, 0.25), (0.01, 0.1), (0.3, 0.9), (0.5, 1e-2), (1e-4, 0.5), (1e-8, 0.3), (0.9, 0.5)]
LAWS = [rt.Uniform(), rt.Uniform(0.3, 1.1), rt.Exponential(0.5), rt.Beta(2, 3), rt.Constant(0.7)]
PROBABILITIES = st.floats(1e-6, 1)
RATIOS = st.floats(1e-3, 0.99)


def gaussian(p, ratio, law=rt.Uniform()):
    return rt.GaussianChannel(rt.welch_sigma(p, ratio, amplitude=law)), rt.SparseSource(p, law)


class TestAgainstTheOracle:
    @pytest.mark.parametrize(("p", "ratio"), POINTS)
    def test_bayes_and_oracle(self, p, ratio):
        sigma = float(rt.welch_sigma(p, ratio))
        bayes, oracle = channels.least_losses(sigma, p)
        assert rt.optimum_decoder("bayes", p, ratio).loss == pytest.approx(float(bayes), rel=1e-10)
        assert rt.optimum_decoder("oracle", p, ratio).loss == pytest.approx(
            float(oracle), rel=1e-10
        )

    @pytest.mark.parametrize("kind", ["relu", "jumprelu", "topk", "linear"])
    @pytest.mark.parametrize(
        ("p", "ratio"),
        POINTS[::2] + [pytest.param(*x, marks=pytest.mark.slow) for x in POINTS[1::2]],
    )
    def test_losses_of_the_decoders_found(self, p, ratio, kind):
        best = rt.optimum_decoder(kind, p, ratio)
        a, b = mp.mpf(float(best.a)), mp.mpf(float(best.b))
        bend = {"relu": -b / a, "linear": mp.mpf(-1000)}.get(kind, mp.mpf(float(best.threshold)))
        truth = channels.loss(
            lambda y: a * y + b if y > bend else mp.mpf(0), float(best.sigma), p, [bend]
        )
        assert best.loss == pytest.approx(float(truth), rel=1e-10)

    @pytest.mark.parametrize(("a", "b", "theta"), [(1.1, -0.1, 0.3), (0.7, 0.2, -0.1), (1, 0, 0.5)])
    def test_any_jump(self, a, b, theta):
        channel, source = rt.GaussianChannel(0.2), rt.SparseSource(0.1)
        truth = float(
            channels.loss(lambda y: a * y + b if y > theta else 0, 0.2, 0.1, [mp.mpf(theta)])
        )
        for decoder in (rt.JumpReLU(a, b, theta), lambda y: np.where(y > theta, a * y + b, 0)):
            assert float(rt.decoder_loss(decoder, channel, source)) == pytest.approx(
                truth, rel=1e-9
            )


CLOSE = rt.FromQuadrature([0.2, 1.0, 1.5], [1.0, 2.0, 1.0])


# Posteriors of others take seconds in the antipodal channel.
CLOSED = [law for law in AMPLITUDES if not isinstance(law, rt.Beta)]


class TestDiscreteLaws:
    """Posteriors turn from atom to atom within σ²/Δ, far less than σ where that is small."""

    @pytest.mark.parametrize("antipodal", [False, True])
    @pytest.mark.parametrize(
        ("law", "p", "ratio"),
        [
            (CLOSE, 1 - 1e-9, 0.99),
            (CLOSE, 0.3, 0.97),
            (CLOSE, 0.01, 0.5),
            (CLOSE, 1e-4, 0.1),
            (rt.Constant(0.7), 0.05, 0.9),
            (rt.Constant(0.7), 1e-3, 0.1),
        ],
    )
    def test_from_the_definition(self, law, p, ratio, antipodal):
        given = {"channel": "antipodal" if antipodal else "gaussian", "amplitude": law}
        ratio = ratio / 2 if antipodal else ratio
        atoms = law.atoms()
        sigma = float(rt.optimum_decoder("bayes", p, ratio, **given).sigma)
        truth = channels.least_discrete_losses(*atoms, sigma, p, antipodal=antipodal)
        for kind, expected in zip(("bayes", "oracle"), truth, strict=True):
            loss = float(rt.optimum_decoder(kind, p, ratio, **given).loss)
            assert loss == pytest.approx(expected, rel=1e-9, abs=1e-300)
        for kind in ("linear", "relu", "jumprelu", "topk"):
            best = rt.optimum_decoder(kind, p, ratio, **given)
            bend = {"linear": -1e3, "relu": -best.b / best.a}.get(kind, best.threshold)
            exact = channels.discrete_jump_loss(
                *atoms, sigma, p, best.a, best.b, bend, antipodal=antipodal
            )
            assert float(best.loss) == pytest.approx(exact, rel=1e-9)

    @given(
        st.floats(-0.5, 1.7),
        st.floats(-1.5, 1.5),
        st.floats(-1, 1),
        st.floats(-12, 0).map(lambda x: 10**x),
        st.floats(-11, 0).map(lambda x: 10**x),
        st.sampled_from([rt.Constant(0.7), CLOSE]),
        st.booleans(),
    )
    @settings(max_examples=40)
    def test_any_jump(self, theta, a, b, p, sigma, law, antipodal):
        channel = (rt.AntipodalChannel if antipodal else rt.GaussianChannel)(sigma)
        exact = channels.discrete_jump_loss(
            *law.atoms(), sigma, p, a, b, theta, antipodal=antipodal
        )
        loss = rt.decoder_loss(rt.JumpReLU(a, b, theta), channel, rt.SparseSource(p, law))
        # A threshold that is an amplitude to rounding is on either side of it.
        slack = 1e-9 + 1e-15 / sigma
        assert float(loss) == pytest.approx(exact, rel=slack)

    @pytest.mark.parametrize("p", [1e-12, 1e-3, 0.5, 1.0])
    def test_one_amplitude(self, p):
        """Of one amplitude the oracle loses nothing, a jump exponentially little; none less."""
        ratio = np.array([0.1, 0.5, 0.9, 0.999, 1 - 1e-9])
        table = rt.decoder_table([p], ratio, amplitude=rt.Constant(0.7)).loss
        assert float(table.min()) >= 0
        assert np.all(table.sel(decoder="oracle") == 0)
        sigma = rt.welch_sigma(p, ratio, amplitude=rt.Constant(0.7))
        jump = table.sel(decoder="jumprelu").values[0]
        # The threshold in the middle mistakes no more than this.
        bound = 0.49 * special.ndtr(-0.35 / np.maximum(sigma, 1e-3))
        assert np.all(jump <= bound * (1 + 1e-9) + 1e-300)


class TestUnboundedPartner:
    """The partner of an unbounded amplitude moves readings down without end."""

    @pytest.mark.parametrize("scale", [1.0, 0.03])
    @pytest.mark.parametrize("p", [1e-12, 1e-4, 0.5])
    def test_exponential_pairs_alone(self, p, scale):
        """Ratio ½.  If both are on, y = u - w is Laplace's and min(u, w) exponential, mean s/2.

        Then u is max(y, 0) and that.  For y > 0 both may be on, with odds B/A of densities
        B = p²/2 and A = p(1 - p) times e^(-y/s)/s, and x = y or y + min: the variance within is
        s²/4 for both signs of y, that between s²/4 AB/(A + B).  For y < 0 the feature may be off,
        with odds A/B, and the mean s/2 is in doubt.
        """
        alone, both = p * (1 - p), p * p / 2
        between = alone * both / (alone + both)
        bayes = scale**2 * (2 * both / 4 + between / 4 + between / 4)
        # The oracle knows that the feature is on, not whether the partner is.
        oracle = scale**2 * (2 * both / 4 + between / 4)
        for kind, expected in (("bayes", bayes), ("oracle", oracle)):
            law = rt.Exponential(scale)
            loss = rt.optimum_decoder(kind, p, 0.5, channel="antipodal", amplitude=law).loss
            assert float(loss) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("make", concrete(rt.Channel), ids=lambda x: x.__name__)
    @pytest.mark.parametrize("law", CLOSED, ids=repr)
    def test_affine_functions(self, law, make):
        self.affine(law, make)

    @pytest.mark.slow
    @pytest.mark.parametrize("make", concrete(rt.Channel), ids=lambda x: x.__name__)
    @pytest.mark.parametrize("law", AMPLITUDES, ids=repr)
    def test_affine_functions_of_every_law(self, law, make):
        self.affine(law, make)

    @staticmethod
    def affine(law, make):
        """A function that is affine loses what the moments of x and ν say."""
        for sigma, p in ((0.3, 0.9), (0.02, 0.01)):
            channel, source = make(sigma), rt.SparseSource(p, law)
            expected = rt.decoder_loss(rt.Linear(1.1, -0.05), channel, source)
            loss = rt.decoder_loss(lambda y: 1.1 * y - 0.05, channel, source)
            assert float(loss) == pytest.approx(float(expected), rel=1e-9)


class TestJumps:
    @given(
        st.floats(-0.5, 1.5),
        st.floats(0.03, 0.5),
        st.floats(-8, 0).map(lambda x: 10**x),
        st.sampled_from(concrete(rt.Channel)),
        st.sampled_from([rt.Constant(0.7), CLOSE]),
    )
    @settings(max_examples=30)
    def test_of_functions(self, theta, sigma, p, make, law):
        """Where a function jumps anywhere, its integral is that of the closed form."""
        channel, source = make(sigma), rt.SparseSource(p, law)
        expected = rt.decoder_loss(rt.JumpReLU(0.0, 0.8, theta), channel, source)
        loss = rt.decoder_loss(lambda y: np.where(y > theta, 0.8, 0.0), channel, source)
        assert float(loss) == pytest.approx(float(expected), rel=1e-9)

    def test_of_one_that_never_rests(self):
        with pytest.warns(RuntimeWarning, match="of the decoder may be off by"):
            rt.decoder_loss(
                lambda y: np.sin(1e9 * y), rt.GaussianChannel(0.3), rt.SparseSource(0.1)
            )

    @pytest.mark.parametrize(
        ("decoder", "message"),
        [
            (lambda y: y[:3], "decoder must return one value a reading"),
            (lambda y: y / 0 * 0, "values of the decoder must be finite"),
        ],
    )
    def test_bad_functions(self, decoder, message):
        with np.errstate(all="ignore"), pytest.raises(ValueError, match=message):
            rt.decoder_loss(decoder, rt.GaussianChannel(0.3), rt.SparseSource(0.1))


def gauss(points, order):
    """Composite Gauss-Legendre rule between `points`."""
    x, w = np.polynomial.legendre.leggauss(order)
    points = np.unique(points)
    length = np.diff(points)[:, None]
    return (points[:-1, None] + length * (1 + x) / 2).ravel(), (length * w / 2).ravel()


def antipodal_losses(p, s, decoders):
    """Losses in the antipodal channel: of functions of y, of E[x | y], of E[x | y, on or off].

    Uniform amplitudes, densities of the four cases of x and its partner written out, dense rules.
    """
    steps = s * np.arange(-12, 12.5, 0.5)

    def density(z):
        return np.exp(-((z / s) ** 2) / 2) / np.sqrt(2 * np.pi)

    def on(y):  # density of u + n at y, and times u and u²
        mass = special.ndtr(y / s) - special.ndtr((y - 1) / s)
        first = y * mass + s * (density(y) - density(1 - y))
        second = y * first + s * s * mass - s * density(1 - y)
        return np.array([mass, first, second])

    bends = [x for x, _ in decoders]
    y, w = gauss(np.concatenate([-1 + steps, steps, 1 + steps, np.linspace(-1, 1, 41), bends]), 20)
    both = np.empty((3, y.size))
    for k, at in enumerate(y):
        u, share = gauss(np.clip(np.concatenate([-at + steps, 1 - at + steps, [0, 1]]), 0, 1), 16)
        both[:, k] = on(at + u) @ share
    alone = on(y)
    off = (1 - p) ** 2 * density(y) / s + p * (1 - p) * on(-y)[0]
    mass, first, second = p * (1 - p) * alone + p * p * both
    losses = [w @ (second - 2 * f(y) * first + f(y) ** 2 * (mass + off)) for _, f in decoders]
    for total in (mass + off, mass):
        losses.append(w @ (second - np.divide(first**2, total, out=0 * y, where=total > 1e-18)))
    return losses


@pytest.mark.parametrize(
    ("p", "ratio"),
    [
        (0.045, 0.25),
        pytest.param(0.3, 0.4, marks=pytest.mark.slow),
        pytest.param(0.01, 0.45, marks=pytest.mark.slow),
    ],
)
def test_antipodal_channel(p, ratio):
    found = [
        rt.optimum_decoder(kind, p, ratio, channel="antipodal")
        for kind in ("jumprelu", "topk", "relu", "bayes", "oracle")
    ]
    decoders = [
        (float(x.threshold), rt.JumpReLU(float(x.a), float(x.b), float(x.threshold)))
        for x in found[:2]
    ]
    relu = found[2]
    decoders.append((-float(relu.b / relu.a), rt.ReLU(float(relu.a), float(relu.b))))
    expected = antipodal_losses(p, float(found[0].sigma), decoders)
    assert [float(x.loss) for x in found] == pytest.approx(expected, rel=1e-10)


class TestOptimum:
    @pytest.mark.parametrize(
        ("p", "ratio", "channel"),
        [
            (0.045, 0.25, "gaussian"),
            (0.01, 0.45, "gaussian"),
            (0.3, 0.2, "antipodal"),
            pytest.param(0.3, 0.2, "gaussian", marks=pytest.mark.slow),
            pytest.param(0.045, 0.25, "antipodal", marks=pytest.mark.slow),
            pytest.param(0.01, 0.45, "antipodal", marks=pytest.mark.slow),
        ],
    )
    def test_no_jump_does_better(self, p, ratio, channel):
        best = rt.optimum_decoder("jumprelu", p, ratio, channel=channel)
        law = (rt.AntipodalChannel if channel == "antipodal" else rt.GaussianChannel)(best.sigma)
        source = rt.SparseSource(p)

        def loss(x):
            return float(rt.decoder_loss(rt.JumpReLU(*x), law, source))

        assert loss([best.a, best.b, best.threshold]) == pytest.approx(float(best.loss), rel=1e-10)
        for start in ([1, 0, 0.2], [1, 0, 0.6], [0.8, 0.1, 0.4], [1.3, -0.4, 0.3]):
            found = optimize.minimize(loss, start, method="Nelder-Mead", options={"maxiter": 800})
            assert best.loss <= found.fun * (1 + 1e-9)

    def test_jump_is_twice_the_posterior_mean(self):
        """Stationarity in the threshold, where the decoder found does jump."""
        p, ratio = 1e-4, 0.5
        best = rt.optimum_decoder("jumprelu", p, ratio)
        channel, source = gaussian(p, ratio)
        here = float(best.a * best.threshold + best.b)
        assert here == pytest.approx(2 * float(rt.Bayes(channel, source)(best.threshold)), rel=1e-5)

    @pytest.mark.parametrize("ratio", [0.0099, 0.1, 0.24, 0.5, 0.9])
    def test_topk_of_features_that_are_always_on_is_linear(self, ratio):
        best = rt.optimum_decoder("topk", 1.0, ratio)
        assert best.loss == pytest.approx(float(rt.linear_loss(1.0, ratio)), rel=1e-11)

    @given(PROBABILITIES, RATIOS, st.floats(1e-4, 0.9))
    @settings(max_examples=20)
    def test_topk_keeps_what_it_says(self, p, ratio, keep):
        best = rt.optimum_decoder("topk", p, ratio, keep=keep)
        z = float(best.threshold / best.sigma)
        above = (1 - p) * float(mp.ncdf(-z))
        with mp.workdps(20):
            s = mp.mpf(float(best.sigma))
            t = mp.mpf(float(best.threshold))
            # P(u + ν > t) for u uniform on [0, 1], integrated over u.
            ramp = lambda x: x * mp.ncdf(x) + mp.npdf(x)  # noqa: E731
            above += p * float(s * (ramp((1 - t) / s) - ramp(-t / s)))
        assert above == pytest.approx(keep, rel=1e-8)

    def test_linear_is_the_linear_model(self):
        p, ratio = np.array([[0.01], [0.3]]), np.array([0.1, 0.7])
        found = rt.optimum_decoder("linear", p, ratio)
        assert found.loss == pytest.approx(rt.linear_loss(p, ratio), rel=1e-13)
        assert found.a == pytest.approx(np.broadcast_to(ratio, (2, 2)), rel=1e-13)
        assert found.b == pytest.approx(p / 2 * (1 - ratio), rel=1e-13)

    def test_known_values(self):
        # Computed with quadrature to three or four digits.
        known = [(0.045, 0.25, 0.004480), (0.01, 0.1, 8.86e-4)]
        known += [(0.1, 0.25, 0.015921), (0.05, 0.5, 0.001563)]
        for p, ratio, value in known:
            assert rt.optimum_decoder("bayes", p, ratio).loss == pytest.approx(value, rel=5e-4)


class TestBayes:
    @pytest.mark.parametrize("law", LAWS, ids=repr)
    @pytest.mark.parametrize("kind", ["gaussian", "antipodal"])
    def test_orthogonality(self, law, kind):
        """E (x - f*(y)) g(y) = 0 for every g: by simulation."""
        source, generator = rt.SparseSource(0.2, law), np.random.default_rng(0)
        n, sigma = 200_000, 0.25
        x, noise = source.sample(n, generator), generator.normal(0, sigma, n)
        channel = rt.GaussianChannel(sigma)
        if kind == "antipodal":
            noise -= source.sample(n, generator)
            channel = rt.AntipodalChannel(sigma)
        y = x + noise
        grid = np.linspace(y.min(), y.max(), 400)
        missed = x - np.interp(y, grid, rt.Bayes(channel, source)(grid))
        for g in (1, y, y**2, np.sin(5 * y), np.exp(-y * y), y > 0.3):
            product = missed * g
            assert abs(product.mean()) < 4.5 * product.std() / np.sqrt(n) + 1e-5

    @pytest.mark.parametrize("law", LAWS, ids=repr)
    @pytest.mark.parametrize("kind", ["gaussian", "antipodal"])
    def test_mmse_is_the_loss_of_bayes(self, law, kind):
        p, ratio = 0.1, 0.3
        best = rt.optimum_decoder("bayes", p, ratio, channel=kind, amplitude=law)
        channel = (rt.AntipodalChannel if kind == "antipodal" else rt.GaussianChannel)(best.sigma)
        source, generator = rt.SparseSource(p, law), np.random.default_rng(1)
        n = 200_000
        x, y = source.sample(n, generator), generator.normal(0, float(best.sigma), n)
        if kind == "antipodal":
            y -= source.sample(n, generator)
        y += x
        grid = np.linspace(y.min(), y.max(), 400)
        errors = (x - np.interp(y, grid, rt.Bayes(channel, source)(grid))) ** 2
        assert abs(errors.mean() - best.loss) < 4.5 * errors.std() / np.sqrt(n) + 1e-5 * best.loss

    @pytest.mark.parametrize(("p", "sigma"), [(0.045, 0.2), (0.3, 1.0), (1e-3, 0.05)])
    def test_i_mmse(self, p, sigma):
        """Guo, Shamai and Verdú (2005): d I(x; y)/d snr = mmse/2, snr = 1/σ²."""

        x, w = np.polynomial.legendre.leggauss(30)

        def information(snr):
            s = snr**-0.5
            around = s * np.arange(-12, 13)
            points = np.sort(np.concatenate([around, 1 + around]))
            half = np.diff(points)[:, None] / 2
            y = points[:-1, None] + half * (1 + x)
            mass = np.where(
                y < 0.5,
                special.ndtr(y / s) - special.ndtr((y - 1) / s),
                special.ndtr((1 - y) / s) - special.ndtr(-y / s),
            )
            g = p * mass + (1 - p) * np.exp(-((y / s) ** 2) / 2) / (s * np.sqrt(2 * np.pi))
            return (half * w * special.entr(g)).sum() - np.log(2 * np.pi * np.e * s * s) / 2

        snr = sigma**-2.0
        # A central difference of fourth order.
        below, above = (
            (information(snr * (1 + k)) - information(snr * (1 - k))) / k for k in (1e-3, 2e-3)
        )
        slope = (4 * below - above) / (6 * snr)
        # The ratio at which the Welch bound is this σ.
        v = float(rt.SparseSource(p).variance)
        mmse = rt.optimum_decoder("bayes", p, v / (v + sigma**2)).loss
        assert mmse == pytest.approx(2 * slope, rel=1e-6)

    def test_limits(self):
        p = np.array([1e-6, 0.01, 0.5])
        variance = rt.SparseSource(p).variance
        assert rt.optimum_decoder("bayes", p, 1e-9).loss == pytest.approx(variance, rel=1e-6)
        sigma = rt.welch_sigma(p, 1 - 1e-9)
        clear = rt.optimum_decoder("bayes", p, 1 - 1e-9).loss
        assert clear == pytest.approx(p * sigma**2, rel=1e-2)

    def test_far_readings(self):
        """Exponentially small and large: no overflow, and the posterior of a truncated normal."""
        bayes = rt.Bayes(rt.GaussianChannel(0.01), rt.SparseSource(0.01))
        y = np.array([-30.0, -1.0, 0.5, 2.0, 40.0])
        f = bayes(y)
        assert np.all(np.isfinite(f)) and np.all(np.diff(f) > 0)
        assert f[2] == pytest.approx(0.5, rel=1e-12)
        assert f[-1] == pytest.approx(1 - 0.01**2 / 39, rel=1e-9)
        assert 0 < f[0] < 1e-8


@pytest.mark.parametrize("law", LAWS, ids=repr)
@pytest.mark.parametrize("channel", [rt.GaussianChannel(0.3), rt.AntipodalChannel(0.3)], ids=repr)
@pytest.mark.parametrize(
    "decoder",
    [
        rt.Linear(0.5, 0.1),
        rt.ReLU(1.2, -0.2),
        rt.JumpReLU(1.1, -0.1, 0.4),
        rt.Gated(1.3, -0.3, 0.1),
    ],
    ids=repr,
)
def test_losses_against_simulation(decoder, channel, law):
    source, generator = rt.SparseSource(0.2, law), np.random.default_rng(2)
    n = 100_000
    x, y = source.sample(n, generator), generator.normal(0, 0.3, n)
    if isinstance(channel, rt.AntipodalChannel):
        y -= source.sample(n, generator)
    errors = (x - decoder(x + y)) ** 2
    loss = float(rt.decoder_loss(decoder, channel, source))
    assert abs(errors.mean() - loss) < 4.5 * errors.std() / np.sqrt(n)


def test_table():
    table = rt.decoder_table([0.01, 0.1], [0.1, 0.5, 0.9])
    assert dict(table.sizes) == {"decoder": 8, "p": 2, "ratio": 3}
    assert np.all(table.over_bayes.sel(decoder="bayes") == 1)
    assert float(table.loss.sel(decoder="relu", p=0.1, ratio=0.5)) == float(
        rt.optimum(0.1, 0.5).loss
    )


def test_the_logarithm_is_removable():
    """As p → 0 a ReLU loses Λ(p) times what the best elementwise decoder does, a jump no more."""
    p = np.array([1e-4, 1e-8])
    bayes = rt.optimum_decoder("bayes", p, 0.99).loss
    relu = rt.optimum(p, 0.99).loss / bayes
    assert relu == pytest.approx(rt.sparse_constants(p).leading, rel=0.04)
    jump = rt.optimum_decoder("jumprelu", p, 0.99).loss / bayes
    assert np.all(jump < 1.01)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rt.optimum_decoder("tanh", 0.1, 0.5), "kind must be one of linear, relu"),
        (
            lambda: rt.optimum_decoder("relu", 0.1, 0.5, channel="x"),
            "channel must be one of gaussian, antipodal",
        ),
        (lambda: rt.optimum_decoder("bayes", 0.1, 0.7, channel="antipodal"), "ratio must lie in"),
        (lambda: rt.optimum_decoder("topk", 0.1, 0.5, keep=0.0), "keep must lie in"),
        (lambda: rt.GaussianChannel(-1.0), "sigma must be non-negative"),
        (
            lambda: rt.decoder_loss(np.tanh, rt.GaussianChannel([0.1, 0.2]), rt.SparseSource(0.1)),
            "sigma and p must be scalars",
        ),
        (
            lambda: rt.decoder_loss(np.tanh, rt.GaussianChannel(0.0), rt.SparseSource(0.1)),
            "sigma must be positive",
        ),
    ],
)
def test_bad_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()
