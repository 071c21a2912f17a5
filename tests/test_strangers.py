"""Channels and amplitude laws that others derive from the base classes get the right numbers."""

import numpy as np
import pytest

import rugtheory as rt

from .laws.domain import AMPLITUDES
from .strangers import Smeared, TwoNormals, concrete, copied_channel, copied_law

CHANNELS = concrete(rt.Channel)
DECODERS = [
    rt.Linear(0.5, 0.1),
    rt.ReLU(1.2, -0.2),
    rt.ReLU(-0.4, 0.3),
    rt.JumpReLU(1.1, -0.1, 0.4),
    rt.Gated(1.3, -0.3, 0.1),
    np.tanh,
]
LAWS = [rt.Uniform(), rt.Constant(0.7), rt.FromQuadrature([0.1, 0.5, 2.0], [1.0, 2.0, 1.0])]
KINDS = ("linear", "relu", "jumprelu", "gated", "topk", "selection", "oracle", "bayes")


def test_all_laws_are_here():
    assert {type(law) for law in AMPLITUDES} == set(concrete(rt.Amplitude))


def losses(channel, source):
    return [float(rt.decoder_loss(decoder, channel, source)) for decoder in DECODERS]


class TestChannels:
    @pytest.mark.parametrize("kind", CHANNELS, ids=lambda x: x.__name__)
    @pytest.mark.parametrize("law", LAWS[1:], ids=repr)
    def test_copies_of_our_own(self, kind, law):
        for sigma, p in ((0.3, 0.2), (0.02, 1e-3), (0.3, 1.0)):
            channel, source = kind(sigma), rt.SparseSource(p, law)
            copy = copied_channel(channel)
            assert losses(copy, source) == pytest.approx(losses(channel, source), rel=1e-9)
            assert copy.mean(source) == pytest.approx(float(channel.mean(source)), abs=1e-10)
            assert copy.variance(source) == pytest.approx(float(channel.variance(source)), rel=1e-9)

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", CHANNELS, ids=lambda x: x.__name__)
    @pytest.mark.parametrize("law", AMPLITUDES, ids=repr)
    def test_copies_with_every_law(self, kind, law):
        channel, source = kind(0.3), rt.SparseSource(0.2, law)
        found = losses(copied_channel(channel), source)
        assert found == pytest.approx(losses(channel, source), rel=1e-8)

    def test_arrays(self):
        sigma, p = np.array([[0.1], [0.4]]), np.array([0.02, 0.3, 1.0])
        channel, source = rt.AntipodalChannel(sigma), rt.SparseSource(p, LAWS[2])
        copy = copied_channel(channel)
        for decoder in DECODERS[:-1]:
            expected = rt.decoder_loss(decoder, channel, source)
            assert expected.shape == (2, 3)
            assert rt.decoder_loss(decoder, copy, source) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("channel", [TwoNormals(0.1, 0.3, -0.4, 2.0), Smeared(0.05, 0.3)])
    def test_new_ones_against_simulation(self, channel):
        n, source = 100_000, rt.SparseSource(0.2, LAWS[2])
        generator = np.random.default_rng(0)
        x, noise = source.sample(n, generator), channel.sample(n, generator)
        assert abs(noise.mean() - channel.mean(source)) < 4.5 * noise.std() / np.sqrt(n)
        assert noise.var() == pytest.approx(float(channel.variance(source)), rel=0.02)
        y = np.linspace((x + noise).min(), (x + noise).max(), 400)
        bayes = rt.Bayes(channel, source)(y)
        for decoder in [*DECODERS, lambda z: np.interp(z, y, bayes)]:
            errors = (x - decoder(x + noise)) ** 2
            loss = float(rt.decoder_loss(decoder, channel, source))
            assert abs(errors.mean() - loss) < 4.5 * errors.std() / np.sqrt(n)

    def test_mixture_of_normals_from_the_definition(self):
        """A ReLU hears either of two normal laws, one of them off its centre."""
        channel, law, p = TwoNormals(0.1, 0.3, -0.4, 2.0), rt.Exponential(0.5), 0.1
        for decoder in DECODERS[1:3]:
            a, b = decoder.a, decoder.b
            parts = (
                rt.reduced_loss(a, b, 0.1, p, amplitude=law),
                rt.reduced_loss(a, b - 0.4 * a, 0.2, p, amplitude=law),
            )
            expected = 0.7 * parts[0] + 0.3 * parts[1]
            loss = rt.decoder_loss(decoder, channel, rt.SparseSource(p, law))
            assert loss == pytest.approx(float(expected), rel=1e-9)

    @pytest.mark.parametrize("kind", KINDS)
    def test_optima(self, kind):
        """A channel given as a function: its optima lose what they say and no less than others."""
        p, ratio = np.array([0.02, 0.3, 1.0]), 0.3

        def ours(p, ratio, amplitude):
            return rt.GaussianChannel(rt.welch_sigma(p, ratio, amplitude=amplitude))

        def copy(p, ratio, amplitude):
            return copied_channel(ours(p, ratio, amplitude))

        expected = rt.optimum_decoder(kind, p, ratio)
        for channel in (ours, copy):
            found = rt.optimum_decoder(kind, p, ratio, channel=channel)
            for name in ("sigma", "loss"):
                assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9)

        def other(p, ratio, amplitude):
            return TwoNormals(rt.welch_sigma(p, ratio, amplitude=amplitude), 0.3, -0.4, 2.0)

        found = rt.optimum_decoder(kind, p, ratio, channel=other, amplitude=LAWS[2])
        law, source = other(p, ratio, LAWS[2]), rt.SparseSource(p, LAWS[2])
        make = {
            "linear": lambda: rt.Linear(found.a, found.b),
            "relu": lambda: rt.ReLU(found.a, found.b),
            "jumprelu": lambda: rt.JumpReLU(found.a, found.b, found.threshold),
            "topk": lambda: rt.JumpReLU(found.a, found.b, found.threshold),
        }
        if kind in make:
            assert found.loss == pytest.approx(rt.decoder_loss(make[kind](), law, source), rel=1e-9)
        if kind == "relu":
            for da, db in ((0.99, 0), (1.01, 0), (1, 0.003), (1, -0.003)):
                beside = rt.decoder_loss(rt.ReLU(found.a * da, found.b + db), law, source)
                assert np.all(beside >= found.loss)

    def test_order(self):
        def other(p, ratio, amplitude):
            return Smeared(rt.welch_sigma(p, ratio, amplitude=amplitude), 0.1)

        table = rt.decoder_table([1e-6, 0.3], [0.1, 0.99], channel=other).loss
        assert float(table.min()) >= 0
        for worse, better in (
            ("linear", "relu"),
            ("relu", "jumprelu"),
            ("jumprelu", "bayes"),
            ("topk", "jumprelu"),
            ("bayes", "oracle"),
            ("selection", "oracle"),
        ):
            assert np.all(table.sel(decoder=better) <= table.sel(decoder=worse) * (1 + 1e-9))

    def test_no_points(self):
        for kind in KINDS:
            assert rt.optimum_decoder(kind, [], 0.5).loss.shape == (0,)

    def test_bad_channels(self):
        with pytest.raises(TypeError, match="what channel returns must be of type Channel"):
            rt.optimum_decoder("bayes", 0.1, 0.5, channel=lambda p, ratio, amplitude: 1.0)
        with pytest.raises(ValueError, match="sigma of the channel must have the shape"):
            rt.optimum_decoder("bayes", 0.1, 0.5, channel=lambda *_: rt.GaussianChannel([0.1, 0.2]))


class TestLaws:
    @pytest.mark.parametrize("law", AMPLITUDES, ids=repr)
    def test_copies(self, law):
        copy = copied_law(law)
        for sigma, p in ((0.3, 0.2), (0.01, 1e-3)):
            sources = rt.SparseSource(p, law), rt.SparseSource(p, copy)
            ours, theirs = (losses(rt.GaussianChannel(sigma), source) for source in sources)
            assert theirs == pytest.approx(ours, rel=1e-8)
        for kind in KINDS:
            ours, theirs = (
                rt.optimum_decoder(kind, [0.01, 0.3], 0.4, amplitude=x).loss for x in (law, copy)
            )
            assert theirs == pytest.approx(ours, rel=1e-8)

    @pytest.mark.parametrize("law", [AMPLITUDES[2], AMPLITUDES[6]], ids=repr)
    def test_copies_of_atoms_in_pairs(self, law):
        self.in_pairs(law)

    def test_threshold_between_ends_of_panels(self):
        """A law that does not say where it is narrow has wide panels, with minima inside them."""
        law = rt.TruncatedNormal(1.0, 0.5)
        ours, theirs = (
            rt.optimum_decoder("jumprelu", 0.1, 0.4, channel="antipodal", amplitude=x).loss
            for x in (law, copied_law(law))
        )
        assert theirs == pytest.approx(float(ours), rel=1e-8)

    @pytest.mark.slow
    @pytest.mark.parametrize("law", AMPLITUDES, ids=repr)
    def test_copies_in_pairs(self, law):
        self.in_pairs(law)

    @staticmethod
    def in_pairs(law):
        copy, channel = copied_law(law), rt.AntipodalChannel(0.3)
        ours, theirs = (losses(channel, rt.SparseSource(0.2, x)) for x in (law, copy))
        assert theirs == pytest.approx(ours, rel=1e-8)
        for kind in ("jumprelu", "topk", "oracle", "bayes"):
            ours, theirs = (
                rt.optimum_decoder(kind, 0.1, 0.4, channel="antipodal", amplitude=x).loss
                for x in (law, copy)
            )
            assert theirs == pytest.approx(float(ours), rel=1e-8)
