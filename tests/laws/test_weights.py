"""Laws of rugs and of given weights."""

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx
from scipy.linalg import hadamard

import rugtheory as rt

from ..models import alike
from .domain import AMPLITUDE, SEEDS, P, few, some

SIZES = st.integers(0, 7).map(lambda k: 2**k)
# Laws whose sums are enumerated.
QUICK = [rt.Constant(0.7), rt.FromQuadrature([0.1, 0.5, 2.0], [1.0, 2.0, 1.0])]
WEIGHTS = st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=1, max_size=6)


@st.composite
def rugs(draw):
    n_sparse = draw(SIZES)
    return rt.hadamard_rug(n_sparse, draw(st.integers(1, n_sparse)), seed=draw(SEEDS))


def model(seed, n_sparse=8, n_dense=3):
    """Random weights with a positive diagonal."""
    rng = np.random.default_rng(seed)
    w_in = rng.normal(size=(n_dense, n_sparse))
    return (
        w_in,
        w_in.T + 0.1 * rng.normal(size=(n_sparse, n_dense)),
        0.3 * rng.normal(size=n_sparse),
    )


class TestRugs:
    """Rugs and the Walsh–Hadamard transform"""

    @given(SIZES, SEEDS)
    def test_transform(self, n, seed):
        """The transform is n times its own inverse, keeps the norm and is linear; exactly."""
        x, y = np.random.default_rng(seed).integers(-1000, 1000, (2, n))
        np.testing.assert_array_equal(rt.fwht(rt.fwht(x)), n * x)
        assert rt.fwht(x) @ rt.fwht(x) == n * (x @ x)
        np.testing.assert_array_equal(rt.fwht(x + 3 * y), rt.fwht(x) + 3 * rt.fwht(y))

    @given(rugs())
    def test_matrix(self, rug):
        """W = HᵀH/n_dense on the rows S: symmetric, diagonal 1, rank n_dense, W² = W/r."""
        n, d = rug.n_sparse, rug.n_dense
        h, w = hadamard(n)[rug.rows], rug.matrix()
        np.testing.assert_allclose(w, h.T @ h / d, atol=1e-14)
        np.testing.assert_array_equal(rug.w_in, h)
        np.testing.assert_allclose(rug.w_out(1.3) @ rug.w_in, 1.3 * w, atol=1e-13)
        np.testing.assert_array_equal(np.diag(w), np.ones(n))
        np.testing.assert_array_equal(w, w.T)
        np.testing.assert_allclose(w @ w, w / rug.ratio, atol=1e-12 / rug.ratio)
        assert np.linalg.matrix_rank(w) == d
        np.testing.assert_allclose(w.sum(axis=1), rug.row_sum, atol=1e-11)
        for i in range(0, n, max(1, n // 5)):
            np.testing.assert_array_equal(w[i], rug.phi[i ^ np.arange(n)])

    @given(rugs(), P, AMPLITUDE)
    def test_bound(self, rug, p, law):
        """Every rug reaches the Welch-type bound."""
        bound = rt.welch_sigma(p, rug.ratio, amplitude=law)
        assert rug.sigma(p, amplitude=law) == approx(float(bound), rel=1e-11, abs=1e-12 * p)

    @given(rugs(), st.floats(1e-3, 0.9))
    def test_statistics(self, rug, p):
        """Mean, deviation and skewness are those of `RowChannel` for any row; so is Lyapunov's."""
        for i in {0, rug.n_sparse // 2, rug.n_sparse - 1}:
            row = rt.RowChannel.of(np.delete(rug.matrix()[i], i), p)
            assert rug.interference_mean(p) == approx(row.mean, abs=1e-11)
            assert rug.sigma(p) == approx(row.std, abs=1e-12)
            assert rug.skewness(p) == approx(row.skewness, rel=1e-9, abs=1e-11)
            cubes = np.sum(np.abs(row.weights) ** 3)
            squares = np.sum(row.weights**2)
            assert rug.lyapunov * squares**1.5 == approx(float(cubes), rel=1e-9, abs=1e-11)

    @given(rugs(), SEEDS, st.floats(-2, 2), st.floats(-1, 1))
    def test_codes(self, rug, seed, a, b):
        """`encode` and `decode` are the dense model; a rug of full rank decodes perfectly."""
        x = np.random.default_rng(seed).random((2, 3, rug.n_sparse))
        h = rug.encode(x)
        np.testing.assert_allclose(h, x @ rug.w_in.T, atol=1e-11)
        dense = np.maximum(h @ rug.w_out(a).T + b, 0)
        np.testing.assert_allclose(rug.decode(h, a, b), dense, atol=1e-11)
        if rug.n_dense == rug.n_sparse:
            np.testing.assert_allclose(rug.decode(h, 1, 0), x, atol=1e-12)

    @given(rugs(), st.floats(-1, 1), st.floats(0.5, 2), st.floats(0.01, 1))
    def test_bias(self, rug, b, a, p):
        """With `bias` the mean reading is that of an interference without mean."""
        source = rt.SparseSource(p)
        heard = a * (rug.matrix() @ np.full(rug.n_sparse, source.mean))[0]
        mean = heard + rug.bias(b, a, p, channel="gaussian")
        assert mean == approx(a * source.mean + b, abs=1e-11)
        # What partners take away is in the channel of pairs, and stays.
        assert heard + rug.bias(b, a, p, channel="antipodal") == approx(b, abs=1e-11)

    @given(st.integers(1, 8), SEEDS)
    @some
    def test_partners(self, log_n, seed):
        """Antipodal rugs have W_ij = -1 for partners and attain the bound of third order."""
        n = 2**log_n
        rug = rt.antipodal_rug(n, 1 + seed % (n // 2), seed=seed)
        w = rug.matrix()
        assert np.array_equal(np.diag(np.roll(w, n // 2, axis=0)), -np.ones(n))
        assert w == approx(rug.w_out() @ rug.w_in, abs=1e-12)
        assert rt.cubic_sum(w) == approx(-1)
        assert rug.skewness(0.1) == approx(float(rt.least_skewness(0.1, rug.ratio)))

    @given(SEEDS, st.integers(1, 16))
    @some
    def test_seeds_and_files(self, tmp_path_factory, seed, n_dense):
        """Same seed, same rug and same simulation; a rug read back is the rug that was saved."""
        rug = rt.hadamard_rug(16, n_dense, seed=seed)
        assert rug == rt.hadamard_rug(16, n_dense, seed=seed) == rt.Rug(16, rug.rows[::-1])
        path = tmp_path_factory.getbasetemp() / "law.safetensors"
        rug.save(path, a=1.2, b=-0.1)
        assert rt.Rug.load(path) == rug
        weights = rt.read_weights(path) if n_dense < 16 else None
        if weights is not None:
            np.testing.assert_allclose(weights.w_out @ weights.w_in, rug.matrix(1.2), atol=1e-13)
        one, two = (
            rt.simulate(rug, 1.2, -0.1, rt.SparseSource(0.1), 4, seed=seed) for _ in range(2)
        )
        assert one == two and one.loss >= 0

    @given(st.sampled_from([0.05, 0.2, 0.6]), SEEDS)
    @settings(max_examples=4)
    def test_simulation(self, p, seed):
        """Simulated rugs lose what their weights lose exactly, within 5 standard errors."""
        rug = rt.hadamard_rug(32, 12, seed=seed)
        best = rt.optimum(p, rug.ratio)
        b = rug.bias(best.b, best.a, p)
        measured = rt.simulate(rug, best.a, b, rt.SparseSource(p), 3000, seed=seed)
        exact = rt.exact_loss(*alike(rug.w_in, rug.w_out(best.a), b, p), rows=[0])
        assert abs(measured.loss - exact.mean) < 5 * measured.standard_error


class TestExactLoss:
    """Exact loss of given weights"""

    @given(SEEDS, st.floats(1e-6, 1), AMPLITUDE)
    @few
    def test_invariance(self, seed, p, law):
        """Permuted features permute the losses; a change of basis of the hidden units is none."""
        w_in, w_out, b = model(seed, 5, 2)
        rng = np.random.default_rng(seed)
        order, change = rng.permutation(5), rng.normal(size=(2, 2)) + 3 * np.eye(2)
        loss = rt.exact_loss(*alike(w_in, w_out, b, p, amplitude=law))
        permuted = rt.exact_loss(*alike(w_in[:, order], w_out[order], b[order], p, amplitude=law))
        turned = rt.exact_loss(
            *alike(change @ w_in, w_out @ np.linalg.inv(change), b, p, amplitude=law)
        )
        for other, expected in ((permuted, loss.loss[order]), (turned, loss.loss)):
            slack = 2 * loss.error.max() + 2 * other.error.max() + 1e-9 * expected
            assert np.all(np.abs(other.loss - expected) <= slack)

    @given(WEIGHTS, st.floats(0.01, 1), st.floats(-2, 2), st.floats(-1, 1), st.floats(0.1, 10))
    @some
    def test_units(self, weights, p, a, b, c):
        """Amplitudes and bias c times as large: losses c² times as large."""
        small = rt.RowChannel.of(weights, p).loss(a, b)
        large = rt.RowChannel.of(weights, p, rt.Uniform(0, c)).loss(a, c * b)
        slack = large.error + c * c * small.error + 1e-12 * large.value
        assert abs(large.value - c * c * small.value) <= slack

    @given(WEIGHTS, st.floats(0.01, 1), st.floats(-2, 2), AMPLITUDE)
    @some
    def test_open(self, weights, p, a, law):
        """A bias that keeps the ReLU open leaves the loss of the linear model, in closed form."""
        row, source = rt.RowChannel.of(weights, p, law), rt.SparseSource(p, law)
        b = 0.9 * law.reach * (abs(a) + np.abs(weights).sum())
        b = b if law.end < np.inf else b / 2
        if np.isfinite(law.end):
            b = law.end * (abs(a) + float(np.sum(np.abs(weights)))) * (1 - 1e-9)
        affine = source.variance * (1 - a) ** 2 + row.std**2
        affine += (b + row.mean - (1 - a) * source.mean) ** 2
        found = row.loss(a, b)
        assert abs(found.value - affine) <= found.error + 1e-8 * affine

    @given(st.floats(1e-6, 1), st.floats(-2, 2), st.floats(-1, 1), AMPLITUDE, st.integers(0, 4))
    def test_alone(self, p, a, b, law, n):
        """Without interference the loss is `reduced_loss` at σ = 0."""
        found = rt.RowChannel.of(np.zeros(n), p, law).loss(a, b)
        reduced = float(rt.reduced_loss(a, b, 0.0, p, amplitude=law))
        assert found.value == approx(reduced, rel=1e-12, abs=1e-300)

    @given(st.floats(0.02, 1), st.floats(-1, 1), st.floats(0, 1.5), st.floats(-1, 0.5))
    @some
    def test_one_interferer(self, p, w, a, b):
        """One interferer of weight w shifts the bias by wu: the average of `reduced_loss` at 0."""
        x, share = rt.Uniform().quadrature(400)
        shifted = rt.reduced_loss(a, b + w * x, 0.0, p) @ share
        expected = (1 - p) * rt.reduced_loss(a, b, 0.0, p) + p * shifted
        found = rt.RowChannel.of([w], p).loss(a, b)
        assert abs(found.value - expected) <= found.error + 1e-5 * expected

    @given(SEEDS, st.floats(0.01, 0.9))
    @few
    def test_rows(self, seed, p):
        """`exact_loss` is the loss of `RowChannel`, row by row; "identity" leaves the ReLU out."""
        w_in, w_out, b = model(seed, 5, 2)
        w = w_out @ w_in
        found = rt.exact_loss(*alike(w_in, w_out, b, p))
        for i in range(5):
            row = rt.RowChannel.of(np.delete(w[i], i), p)
            alone = row.loss(w[i, i], b[i])
            assert abs(found.loss[i] - alone.value) <= found.error[i] + alone.error
        opened = b + 2 * np.abs(w).sum(axis=1)
        relu = rt.exact_loss(*alike(w_in, w_out, opened, p))
        linear = rt.exact_loss(*alike(w_in, w_out, opened, p, decoder="identity"))
        assert relu.loss == approx(linear.loss, rel=1e-10)
        assert found.mean == approx(found.loss.mean())


class TestGradient:
    """Gradients of exact losses, and descent on them"""

    @given(SEEDS, st.floats(1e-3, 0.2))
    @few
    def test_gauge(self, seed, p):
        """W_in times the gradient in W_in is that in W_out times W_out: no basis is preferred."""
        found = rt.exact_gradient(*alike(*model(seed, 6, 3), p))
        w_in, w_out, _ = model(seed, 6, 3)
        one, two = w_in @ found.w_in.T, found.w_out.T @ w_out
        assert np.abs(one - two).max() <= 1e-10 * max(np.abs(one).max(), found.loss)

    @given(SEEDS, st.floats(0.01, 0.3))
    @few
    def test_gauge_of_second_derivatives(self, seed, p):
        """Along (W_in, -W_out), where W stays, the gradient turns by (-1, 1) times itself."""
        given, features = alike(*model(seed, 6, 3), p)
        slope = rt.exact_gradient(given, features)
        way = given.w_in, -given.w_out, np.zeros(6)
        found = rt.exact_hessian_product(given, features, way)
        assert isinstance(found, rt.HessianProduct)
        most = 1e-4 * max(np.abs(slope.w_in).max(), slope.loss) + found.error
        assert np.abs(found.w_in + slope.w_in).max() <= most
        assert np.abs(found.w_out - slope.w_out).max() <= most

    @given(SEEDS)
    @settings(max_examples=3)
    def test_descent(self, seed):
        """A descent ends no higher than it starts, and goes on where it ended."""
        start, features = alike(*model(seed, 6, 3), 0.05)
        found = rt.minimize(features, 3, init=start, max_coupling=None, steps=10)
        assert found.loss <= rt.exact_loss(start, features).mean * (1 + 1e-6)
        on = rt.minimize(features, 3, init=found.model, max_coupling=None, steps=3)
        assert on.trajectory[0] == approx(found.trajectory[-1], rel=1e-6)

    @given(st.sampled_from([2, 4, 6]), st.floats(0.01, 1))
    @few
    def test_as_many_units_as_features(self, n, p):
        """Rugs of any size lose nothing with as many hidden units as features."""
        assert rt.finite_rug(p, n, n, draws=2).loss < 1e-12
        curves = rt.finite_curves(rt.loss_curves([p], [0.5, 1.0]), 2, n_sparse=n)
        assert float(curves["finite_loss"].values[0, 1]) < 1e-12
        assert np.all(curves["loss"].values == rt.loss_curves([p], [0.5, 1.0])["loss"].values)


class TestRowChannel:
    """Law of a row's interference"""

    @given(WEIGHTS, WEIGHTS, st.floats(1e-3, 1), AMPLITUDE)
    def test_sums(self, one, two, p, law):
        """Cumulants add, transforms multiply, for independent sums."""
        parts = [rt.RowChannel.of(w, p, law) for w in (one, two)]
        both = rt.RowChannel.of(one + two, p, law)
        added = np.sum([x.cumulants() for x in parts], axis=0)
        assert both.cumulants() == approx(added, rel=1e-9, abs=1e-12)
        product = complex(parts[0].mgf(0.3j)) * complex(parts[1].mgf(0.3j))
        assert complex(both.mgf(0.3j)) == approx(product, rel=1e-11)
        assert both.std**2 == approx(both.cumulants()[1], rel=1e-12, abs=1e-300)
        if both.std > 1e-3:
            k3, k4 = both.cumulants()[2:]
            assert both.skewness * both.std**3 == approx(k3, rel=1e-9)
            assert both.excess_kurtosis * both.std**4 == approx(k4, rel=1e-9)

    @given(WEIGHTS.filter(lambda w: max(map(abs, w)) > 0.1), st.floats(0.05, 0.9))
    @some
    def test_tail(self, weights, p):
        """P(Z > t) falls from 1 to 0, and with weights reversed in sign it is P(Z < -t)."""
        row, mirror = rt.RowChannel.of(weights, p), rt.RowChannel.of(np.negative(weights), p)
        t = np.append(np.linspace(-1, 1, 8) * (np.abs(weights).sum() + 0.123), [-1e30, 1e30])
        tail, error = row.tail(t)
        other, more = mirror.tail(-t)
        assert tail + other == approx(np.ones(t.size), abs=error + more)
        assert np.all(np.diff(tail[:8]) <= 2 * error)
        assert tail[-2:] == approx([1, 0], abs=error)

    @given(WEIGHTS.filter(any), st.floats(0.05, 1), st.floats(0.2, 2), st.floats(-1, 1), AMPLITUDE)
    def test_gaussian(self, weights, p, a, b, law):
        """Order 2 is `reduced_loss` at σ = std/|a| and the bias that has the mean in it."""
        row = rt.RowChannel.of(weights, p, law)
        if row.std < 1e-6:
            return
        gaussian = rt.reduced_loss(a, b + row.mean, row.std / a, p, amplitude=law)
        assert row.gaussian_loss(a, b) == approx(float(gaussian), rel=1e-10)
        assert row.corrected_loss(a, b, order=2) == approx(float(gaussian), rel=1e-10)

    @given(st.floats(0.1, 0.6), st.floats(0.8, 1.4), st.floats(-0.4, 0))
    @settings(max_examples=3)
    def test_central_limit(self, p, a, b):
        """Of many small weights the law is Gaussian: distance and loss close in as 1/√n."""
        distances, gaps = [], []
        for n in (50, 800):
            row = rt.RowChannel.of(np.resize([1.0, -0.5], n) / np.sqrt(n), p)
            b_n = b - row.mean
            distances.append(row.distance_from_gaussian().value)
            gaps.append(abs(row.corrected_loss(a, b_n) - row.loss(a, b_n, rtol=1e-10).value))
        assert distances[1] < distances[0] / 3 and gaps[1] <= gaps[0] / 6 + 1e-9


class TestSymmetry:
    """Symmetry statistics and verdicts"""

    @given(SEEDS, st.floats(0.01, 0.9), st.sampled_from(QUICK))
    @settings(max_examples=3)
    def test_invariance(self, seed, p, law):
        """Permuted features permute the statistics; rotated hidden units do not change them."""
        w_in, w_out, b = model(seed)
        rng = np.random.default_rng(seed)
        order = rng.permutation(8)
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        one = rt.statistics(*alike(w_in, w_out, b, p, amplitude=law), rows=1)
        permuted = rt.statistics(
            *alike(w_in[:, order], w_out[order], b[order], p, amplitude=law), rows=1
        )
        turned = rt.statistics(*alike(turn @ w_in, w_out @ turn.T, b, p, amplitude=law), rows=1)
        for field in dataclasses.fields(one):
            x, y, z = (getattr(s, field.name) for s in (one, permuted, turned))
            if field.name in ("rows", "distances", "distance_error", "partner"):
                continue
            by_feature = np.shape(x) == (8,)
            assert y == approx(x[order] if by_feature else x, rel=1e-8, abs=1e-9, nan_ok=True)
            assert z == approx(x, rel=1e-8, abs=1e-9, nan_ok=True)

    @given(SEEDS, st.floats(0.01, 0.9), st.sampled_from(QUICK))
    @settings(max_examples=3)
    def test_against_rows(self, seed, p, law):
        """Statistics are those of `RowChannel`; singular values those of W; bounds hold."""
        w_in, w_out, b = model(seed)
        w, found = w_out @ w_in, rt.statistics(*alike(w_in, w_out, b, p, amplitude=law), rows=1)
        assert np.sum(found.singular_values**2) == approx(float(np.sum(w**2)), rel=1e-9)
        assert found.dimensionality.sum() <= 3 + 1e-9 and np.all(found.capacity <= 1)
        for i in np.flatnonzero(~found.dead):
            row = rt.RowChannel.of(np.delete(w[i], i) / w[i, i], p, law)
            assert found.variance[i] == approx(row.std**2, rel=1e-9)
            assert found.mean[i] == approx(row.mean, rel=1e-9, abs=1e-12)
            assert found.skewness[i] == approx(row.skewness, rel=1e-8, abs=1e-11)
            assert found.cubes[i] == approx(float(np.sum(row.weights**3)), rel=1e-9)
            cubes, squares = np.sum(np.abs(row.weights) ** 3), np.sum(row.weights**2)
            assert found.lyapunov[i] == approx(float(cubes / squares**1.5), rel=1e-9)
        if not found.dead.any():
            assert found.variance.mean() >= found.welch_variance * (1 - 1e-9)

    @given(SEEDS, st.integers(1, 15), st.floats(0.01, 0.9))
    @settings(max_examples=3)
    def test_rugs(self, seed, n_dense, p):
        """Rugs are symmetric projectors at the bound, of capacity and dimensionality r."""
        rug = rt.hadamard_rug(16, n_dense, seed=seed)
        found = rt.statistics(*alike(rug.w_in, rug.w_out(1.3), -0.2, p), rows=1)
        assert found.variance == approx(np.full(16, found.welch_variance), rel=1e-10)
        assert found.capacity == approx(np.full(16, rug.ratio))
        assert found.dimensionality == approx(np.full(16, rug.ratio))
        assert found.projector_distance < 1e-7 and found.asymmetry < 1e-7

    @given(SEEDS, st.floats(0.02, 0.5))
    @settings(max_examples=2)
    def test_verdict(self, seed, p):
        """The terms lead from the exact loss to the best known; "own a and b" is not negative."""
        w_in, w_out, b = model(seed, 6, 2)
        law = rt.Uniform(0, 0.7)
        verdict = rt.explain(*alike(w_in, w_out, b, p, amplitude=law), rows=None)
        exact = rt.exact_loss(*alike(w_in, w_out, b, p, amplitude=law))
        assert verdict.loss == approx(exact.mean, rel=1e-5)
        assert verdict.loss - sum(verdict.terms.values()) == approx(verdict.best, rel=1e-9)
        w = w_out @ w_in
        alive = ~rt.statistics(*alike(w_in, w_out, b, p, amplitude=law), rows=1).dead
        cap = np.max((np.abs(w) / np.diag(w)[:, None])[~np.eye(6, dtype=bool)].reshape(6, 5)[alive])
        best = rt.best_known(p, 1 / 3, amplitude=law, max_coupling=cap).loss
        assert verdict.best == approx(float(best), rel=1e-9)
        assert verdict.terms["own a and b"] >= -1e-6 * verdict.loss
