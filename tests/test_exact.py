"""Exact losses against enumeration, and the honesty of their error estimates."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rugtheory as rt
from rugtheory.analysis.columns import dead_features
from rugtheory.channel.row_loss import Row, RowLaw

from .models import TRAINED, alike, monte_carlo
from .oracle import rows
from .oracle.enumeration import constant_loss, uniform_loss

rng = np.random.default_rng(5)


def cases():
    """Rows of few features, by kind: (name, a, weights, b, p)."""
    for p in (1e-9, 1e-4, 0.045, 0.3, 0.8, 1.0):
        yield f"digon p={p}", 1.0, [-1.0], 0.0, p
        yield f"uneven digon p={p}", 1.1, [-0.7], -0.05, p
        yield f"triangle p={p}", 1.0, [-0.5] * 2, -0.1, p
        yield f"pentagon p={p}", 1.2, [0.37, 0.37, -0.97, -0.97], -0.3, p
        yield f"tetrahedron p={p}", 1.0, [-1 / 3] * 3, 0.0, p
        yield f"random p={p}", 1.3, (rng.normal(size=7) * 0.4).tolist(), -0.4, p
        yield f"weak p={p}", 0.9, (10 ** rng.uniform(-4, -1, 6)).tolist(), -0.01, p
    yield "atom and weak", 1.0, [-1.0, 1e-3, -2e-3, 1e-3], -0.02, 0.1
    yield "negative diagonal", -0.7, [0.5, -0.4, 0.2], 0.1, 0.2
    yield "no diagonal", 0.0, [0.5, -0.4, 0.2], 0.1, 0.2
    yield "always active", 1.0, [0.3, -0.2], 2.0, 0.3
    yield "never active", 1.0, [0.3, -0.2], -3.0, 0.3
    yield "no interference", 1.1, [], -0.1, 0.3


@pytest.mark.parametrize(("name", "a", "weights", "b", "p"), list(cases()))
class TestEnumeration:
    def check(self, a, weights, b, p, law, truth):
        row = rt.RowChannel.of(weights, p, law).loss(a, b, rtol=1e-9)
        error = abs(row.value - truth)
        assert error <= row.error + 1e-15 * truth, "the estimate is too small"
        assert row.error <= 1e-8 * truth + 1e-300

    def test_uniform(self, name, a, weights, b, p):
        self.check(a, weights, b, p, rt.Uniform(), float(uniform_loss(a, weights, b, p)))

    def test_constant(self, name, a, weights, b, p):
        law, truth = rt.Constant(0.7), float(constant_loss(a, weights, b, p, 0.7))
        self.check(a, weights, b, p, law, truth)


@pytest.mark.parametrize(("a", "threshold"), [(1.3, 0.1), (0.8, 0.11), (1.3, 0.6), (4.0, -0.05)])
@pytest.mark.parametrize("p", [1e-4, 0.1, 0.8])
def test_rows_scaled(a, threshold, p):
    """One inversion serves all scales, and thresholds near and far by another."""
    weights = np.array([0.37, 0.37, -0.97, -0.6, 0.02, 1e-16])
    row = Row(1.3, RowLaw.identical(weights, rt.SparseSource(p)), -0.13, 1e-9)
    for x in (0.1, threshold):
        truth = float(uniform_loss(a, a / 1.3 * weights[:-1], -a * x, p))
        assert row.loss(a, np.array([x])) == pytest.approx(truth, rel=1e-8)
    (least,), (best,) = row.least(a, np.array([threshold]))
    near = [float(row.loss(best * x, np.array([threshold]))[0]) for x in (0.99, 1, 1.01)]
    assert least == pytest.approx(near[1], rel=1e-8) and near[1] < min(near[0], near[2])


def test_twelve_features():
    weights = rng.normal(size=11) * 0.3
    row = rt.RowChannel.of(weights, 0.2, rt.Constant(1.0)).loss(1.1, -0.2)
    assert row.value == pytest.approx(float(constant_loss(1.1, weights, -0.2, 0.2, 1)), rel=1e-10)


@pytest.mark.parametrize("p", [0.05, 0.3])
@pytest.mark.parametrize("size", [18, 19])
def test_many_atoms_stay_honest(size, p):
    """2ⁿ values without a lattice: too many to enumerate in the package, not here."""
    weights = rng.normal(size=size) * 0.4
    z, share = np.zeros(1), np.ones(1)
    for w in weights:
        z = np.concatenate([z, z + w])
        share = np.concatenate([share * (1 - p), share * p])
    a, b = 1.1, -0.2
    on = share @ (1 - np.maximum(a + z + b, 0)) ** 2
    truth = (1 - p) * (share @ np.maximum(z + b, 0) ** 2) + p * on
    row = rt.RowChannel.of(weights, p, rt.Constant(1.0)).loss(a, b)
    assert abs(row.value - truth) <= row.error
    assert row.error <= 1e-4 * truth


def test_lattice():
    """Rugs with Bernoulli features: sums repeat, and the law is a convolution of integers."""
    n, n_dense, p, a, b = 256, 64, 0.045, 1.2, -0.3
    rug = rt.hadamard_rug(n, n_dense, seed=1)
    law = np.ones(1)
    for k in np.rint(rug.phi[1:] * n_dense).astype(int):
        step = np.zeros(abs(k) + 1)
        step[0] += 1 - p if k >= 0 else p
        step[-1] += p if k >= 0 else 1 - p
        law = np.convolve(law, step)
    low = np.minimum(np.rint(rug.phi[1:] * n_dense), 0).sum()
    z = (low + np.arange(law.size)) / n_dense
    off, on = np.maximum(b + a * z, 0) ** 2, (1 - np.maximum(a + a * z + b, 0)) ** 2
    truth = (1 - p) * (law @ off) + p * (law @ on)
    row = rt.RowChannel.of(a * rug.phi[1:], p, rt.Constant(1.0)).loss(a, b)
    assert row.value == pytest.approx(truth, rel=1e-11)


LAWS = [rt.Uniform(), rt.Exponential(0.5), rt.HalfNormal(0.7), rt.Beta(2, 3), rt.Constant(0.6)]


@pytest.mark.parametrize("law", LAWS, ids=repr)
@pytest.mark.parametrize(("size", "p"), [(30, 0.1), (200, 0.02), (40, 1.0)])
def test_laws_against_simulation(law, size, p):
    weights = np.random.default_rng(size).normal(size=size) / np.sqrt(size)
    a, b = 1.2, -0.15
    row = rt.RowChannel.of(weights, p, law).loss(a, b)
    assert row.error <= 1e-6 * row.value
    mean, error = monte_carlo(a, weights, b, p, law, 200_000)
    assert abs(row.value - mean) < 4.5 * error + row.error


@given(st.integers(1, 30), st.floats(0.001, 0.9), st.floats(-2, 2), st.floats(-1, 1))
@settings(max_examples=30)
def test_with_a_large_bias_the_decoder_is_linear(size, p, a, b):
    weights = np.random.default_rng(size).normal(size=size) * 0.3
    row = rt.RowChannel.of(weights, p).loss(a, b, rtol=1e-6)
    assert 0 < row.value
    b += 20.0 + size
    always = rt.RowChannel.of(weights, p).loss(a, b, rtol=1e-9)
    v, mean = rt.SparseSource(p).variance, rt.SparseSource(p).mean
    linear = v * ((1 - a) ** 2 + weights @ weights)
    linear += (b + mean * (weights.sum() + a - 1)) ** 2
    assert always.value == pytest.approx(linear, rel=1e-8)


class TestModels:
    @pytest.mark.parametrize(
        "name",
        [pytest.param(x, marks=[pytest.mark.slow] * (k > 0)) for k, x in enumerate(TRAINED)],
    )
    def test_trained(self, name):
        model, p = rt.read_weights(TRAINED[name]), 0.045
        rows = np.arange(0, 512, 32)
        exact = rt.exact_loss(*alike(model.w_in, model.w_out, model.b, p), rows=rows)
        assert np.all(exact.error <= 1e-8 * exact.loss)
        generator = np.random.default_rng(0)
        losses = []
        for _ in range(40):
            x = rt.SparseSource(p).sample((5000, 512), generator)
            y = np.maximum(x @ model.w_in.T @ model.w_out[rows].T + model.b[rows], 0)
            losses.append(np.mean((x[:, rows] - y) ** 2, axis=1))
        losses = np.concatenate(losses)
        assert abs(exact.mean - losses.mean()) < 4 * losses.std() / np.sqrt(losses.size)

    def test_gaussian_formula_is_far_off(self):
        model = rt.read_weights(TRAINED["trained_512_128"])
        w = model.w_out[7] @ model.w_in
        channel = rt.RowChannel.of(np.delete(w, 7), 0.045)
        ratio = channel.gaussian_loss(w[7], model.b[7]) / channel.loss(w[7], model.b[7]).value
        assert 1.4 < ratio < 1.7

    def test_rows_in_closed_form(self):
        """Pairs (v, -v) share a unit, another feature has one of its own: p²/6, p²/6 and 0."""
        w_in = np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
        exact = rt.exact_loss(*alike(w_in, w_in.T, 0.0, 0.2))
        assert exact.loss == pytest.approx([0.2**2 / 6] * 2 + [0], rel=1e-8, abs=1e-15)
        assert exact.mean == pytest.approx(0.2**2 / 9, rel=1e-8)
        assert exact.standard_error == 0

    def test_identity_decoder(self):
        generator = np.random.default_rng(3)
        w_in, w_out = generator.normal(size=(5, 12)), generator.normal(size=(12, 5)) / 5
        b, p = generator.normal(size=12), 0.3
        exact = rt.exact_loss(*alike(w_in, w_out, b, p, decoder="identity"))
        residual = np.eye(12) - w_out @ w_in
        source = rt.SparseSource(p)
        direct = source.variance * (residual**2).sum(1) + (source.mean * residual.sum(1) - b) ** 2
        assert exact.loss == pytest.approx(direct, rel=1e-12)

    def test_sampled_rows_estimate_the_mean(self):
        rug = rt.hadamard_rug(64, 16, seed=0)
        w_out = rug.w_out() * np.linspace(0.8, 1.6, 64)[:, None]
        everything = rt.exact_loss(*alike(rug.w_in, w_out, -0.2, 0.05), rtol=1e-5)
        some = rt.exact_loss(*alike(rug.w_in, w_out, -0.2, 0.05), rows=24, seed=2, rtol=1e-5)
        assert some.rows.size == 24
        assert 0 < abs(some.mean - everything.mean) < 4 * some.standard_error
        again = rt.exact_loss(*alike(rug.w_in, w_out, -0.2, 0.05), rows=some.rows, rtol=1e-5)
        assert np.array_equal(again.loss, some.loss)

    def test_zero_weights_do_not_interfere(self):
        alone = rt.RowChannel.of([], 0.3).loss(1.1, -0.1).value
        assert rt.RowChannel.of([0.0, 0.0], 0.3).loss(1.1, -0.1).value == alone
        assert alone == pytest.approx(float(rt.reduced_loss(1.1, -0.1, 0.0, 0.3)), rel=1e-15)

    def test_negligible_weights_change_nothing(self):
        """Rounding left in W of an antipodal rug at ratio ½ must not hide its atom."""
        generator = np.random.default_rng(0)
        weights = np.append(-1.0, generator.normal(size=500) * 1e-17)
        row = rt.RowChannel.of(weights, 0.045).loss(1.0, 0.0)
        assert row.value == pytest.approx(0.045**2 / 6, rel=1e-8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w_in": np.ones(3)}, r"w_in must have shape \(n_dense, n_sparse\)"),
        ({"w_out": np.ones((2, 3))}, r"w_out must have shape .* = \(3, 2\)"),
        ({"b": np.ones(2)}, r"b must be a scalar or have shape \(3,\)"),
        ({"b": np.nan}, "b must be finite"),
        ({"p": 0.0}, r"p must lie in \(0, 1\]"),
        ({"p": [0.1, 0.2]}, "p must be a scalar"),
        ({"rows": 4}, r"rows must be in \[1, 3\], got 4"),
        ({"rows": [0, 3]}, r"rows must lie in \[0, 2\], got 3"),
        ({"decoder": "tanh"}, "activation must be one of relu, identity, got 'tanh'"),
        ({"rtol": 0.0}, "rtol must be positive"),
    ],
)
def test_bad_values(change, message):
    given = {"w_in": np.ones((2, 3)), "w_out": np.ones((3, 2)), "b": 0.0, "p": 0.1} | change
    with pytest.raises(ValueError, match=message):
        parts = {name: given.pop(name) for name in ("rows", "rtol") if name in given}
        rt.exact_loss(*alike(**given), **parts)


def test_bad_types():
    with pytest.raises(TypeError, match="rows must be an integer or a vector"):
        rt.exact_loss(*alike(np.ones((2, 3)), np.ones((3, 2)), 0.0, 0.1), rows=1.5)
    with pytest.raises(TypeError, match="amplitude law"):
        rt.exact_loss(*alike(np.ones((2, 3)), np.ones((3, 2)), 0.0, 0.1, amplitude="uniform"))


LAWS_OF_ROWS = {"uniform": rt.Uniform, "exponential": rt.Exponential}


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 150), pytest.param(1, 3000, marks=pytest.mark.slow)]
)
def test_errors_of_hard_rows_hold(seed, count):
    """No loss is further from its closed form than its error says, at any tolerance."""
    rtols = np.random.default_rng(seed).choice([1e-4, 1e-6, 1e-8], count)
    reached = 0
    for (law, a, weights, b, p), rtol in zip(rows.hard(seed, count), rtols, strict=True):
        channel = rt.RowChannel.of(weights, p, LAWS_OF_ROWS[law[0]](*law[1:]))
        found = channel.loss(a, b, rtol=float(rtol))
        error = abs(float(mp.mpf(float(found.value)) - rows.loss(law, a, weights, b, p)))
        assert error <= found.error, (law, a, weights, b, p, rtol)
        reached += found.error <= rtol * found.value
    assert reached > 0.9 * count


@pytest.mark.parametrize(
    ("law", "a", "weights", "b", "p", "rtol"),
    [
        (("uniform", 0, 1), -1.0, [-0.5], 0.0, 0.9, 1e-8),
        (("uniform", 0, 1), 1.0, [-1.0, -1.0], -1.0, 0.3, 1e-6),
        (("exponential", 0.2), 0.0, [1.94, -0.77, 0.1], 0.06, 0.1, 1e-4),
        (("uniform", 0.999, 1), -0.5, [1.0, 0.1, 0.1], 1e-9, 0.9, 1e-8),
        # closed forms, of which cancellation leaves little
        (("uniform", 0.999, 1), 0.0, [1.14296532892973], 1e-9, 1.0, 1e-4),
        (("uniform", 0.999, 1), 1.0, [1.0, -1e6], 1e6, 1.0, 1e-8),
    ],
)
def test_errors_that_were_too_small(law, a, weights, b, p, rtol):
    found = rt.RowChannel.of(weights, p, LAWS_OF_ROWS[law[0]](*law[1:])).loss(a, b, rtol=rtol)
    truth = rows.loss(law, a, weights, b, p)
    assert abs(float(mp.mpf(float(found.value)) - truth)) <= found.error


@pytest.mark.parametrize("parameters", [(100, 100), (0.3, 0.7), (2, 1000), (1000.5, 1000.5)])
def test_errors_of_beta_rows_hold(parameters):
    """Against an average over the only interferer of losses without noise."""
    law, p, a, w = rt.Beta(*parameters), 0.3, 1.0, -0.5
    for b in (0.1 * law.mean, -0.3 * law.mean):
        found = rt.RowChannel.of([w], p, law).loss(a, b)
        # The loss has kinks in x where the reading vanishes at either end of the amplitudes.
        kinks = np.array([[-b / w], [-(a + b) / w], [law.mean]])
        x, share = law.resolving(kinks, np.array([np.sqrt(law.variance) / 4]))
        without, given = (
            rt.reduced_loss(a, b + w * z, 0.0, p, amplitude=law) for z in (0.0, x[:, 0])
        )
        truth = (1 - p) * without + p * share[:, 0] @ given
        assert abs(float(found.value - truth)) <= found.error + 1e-12 * truth
        assert found.error <= 1e-7 * truth


def test_a_beta_row_in_closed_form():
    """u is within 0.5 ± 0.4 but for 1e-60: the ReLU is open for a feature that is on."""
    p, b, square = 0.3, 0.05, 0.5 * 101 / 201
    found = rt.RowChannel.of([-0.5], p, rt.Beta(100, 100)).loss(1.0, b)
    truth = p * (b * b - b * p * 0.5 + 0.25 * p * square) + (1 - p) ** 2 * b * b
    assert abs(found.value - truth) <= found.error


@pytest.mark.parametrize("size", [1e-200, 1e-17, 1.0, 1e150])
def test_which_features_are_dead_does_not_depend_on_the_unit(size):
    diagonal = np.array([1.0, 0.9, 0.2, 0.0, -1.0, 0.3])
    assert dead_features(size * diagonal).tolist() == [False, False, True, True, True, False]
