"""Statistics and verdict of given weights."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rugtheory as rt

from .models import TRAINED, alike

P = 0.045


def direct(w_in, w_out, p):
    """Row statistics from the whole matrix, one entry at a time."""
    w = w_out @ w_in
    source = rt.SparseSource(p)
    rows = []
    for i in range(len(w)):
        others = np.delete(w[i], i)
        nu = others / w[i, i]
        third = source.cumulants()[2] * sum(nu**3)
        rows.append(
            {
                "variance": source.variance * sum(nu**2),
                "mean": source.mean * sum(nu),
                "lyapunov": sum(abs(others) ** 3) / sum(others**2) ** 1.5,
                "skewness": third / (source.variance * sum(nu**2)) ** 1.5,
                "cubes": sum(nu**3),
                "capacity": w[i, i] ** 2 / sum(w[i] ** 2),
            }
        )
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


class TestStatistics:
    def test_against_the_whole_matrix(self):
        generator = np.random.default_rng(0)
        w_in = generator.normal(size=(20, 50))
        w_out = w_in.T + 0.1 * generator.normal(size=(50, 20))
        b = generator.normal(size=50)
        found = rt.statistics(*alike(w_in, w_out, b, 0.1), rows=2)
        assert not found.dead.any()
        for name, values in direct(w_in, w_out, 0.1).items():
            assert getattr(found, name) == pytest.approx(values, rel=1e-11), name
        w = w_out @ w_in
        assert found.singular_values == pytest.approx(np.linalg.svd(w)[1][:20], rel=1e-9)
        skew = np.linalg.norm(w - w.T) / np.linalg.norm(w) / np.sqrt(2)
        assert found.asymmetry == pytest.approx(skew, rel=1e-9)
        basis = np.linalg.qr(w_out)[0]
        projector = basis @ basis.T
        c = np.sum(w * projector) / 20
        distance = np.linalg.norm(w - c * projector) / np.linalg.norm(w)
        assert found.projector_distance == pytest.approx(distance, rel=1e-9)
        unit = w_in / np.linalg.norm(w_in, axis=0)
        shares = np.linalg.norm(w_in, axis=0) ** 2 / np.sum((unit.T @ w_in) ** 2, axis=1)
        assert found.dimensionality == pytest.approx(shares, rel=1e-11)

    @pytest.mark.parametrize("seed", range(3))
    def test_rugs_reach_the_bound(self, seed):
        rug = rt.hadamard_rug(128, 40, seed=seed)
        found = rt.statistics(*alike(rug.w_in, rug.w_out(1.3), -0.2, P), rows=1)
        assert found.variance == pytest.approx(np.full(128, rug.sigma(P) ** 2))
        assert found.welch_variance == pytest.approx(rug.sigma(P) ** 2)
        assert found.lyapunov == pytest.approx(np.full(128, rug.lyapunov))
        assert found.skewness == pytest.approx(np.full(128, rug.skewness(P)))
        assert found.mean == pytest.approx(np.full(128, rug.interference_mean(P)), abs=1e-12)
        assert found.dimensionality == pytest.approx(np.full(128, 40 / 128))
        assert found.capacity == pytest.approx(np.full(128, 40 / 128))
        assert found.projector_distance < 1e-7 and found.asymmetry < 1e-7
        assert found.singular_values == pytest.approx(np.full(40, 1.3 * 128 / 40))
        assert np.all(found.partner < 0)

    def test_partners(self):
        rug = rt.antipodal_rug(64, 16, seed=0)
        found = rt.statistics(*alike(rug.w_in, rug.w_out(), 0.0, P), rows=1)
        assert np.array_equal(found.partner, np.arange(64) ^ 32)
        assert found.cubes == pytest.approx(np.full(64, -1.0))

    def test_dead_features_are_set_apart(self):
        generator = np.random.default_rng(1)
        w_in = generator.normal(size=(30, 40))
        w_in[:, :10] = 0
        w_out = w_in.T.copy()
        w_out[3] = generator.normal(size=30)  # reads others, but not itself
        found = rt.statistics(*alike(w_in, w_out, 0.0, P), rows=3)
        assert np.array_equal(np.flatnonzero(found.dead), np.arange(10))
        assert np.all(np.isnan(found.variance[:10])) and np.all(np.isfinite(found.variance[10:]))
        assert all(np.isfinite(x) for x in found.summary().values())
        assert found.summary()["dead"] == 10
        assert found.rows.size == 3 and np.all(found.rows >= 10)

    @pytest.mark.parametrize("dead", [0, 5, 25])
    def test_bound_of_what_is_alive(self, dead):
        """Never below the Welch-type bound, of trained and of random weights with dead features."""
        generator = np.random.default_rng(dead)
        w_in = generator.normal(size=(16, 64)) / 4
        w_out = w_in.T + 0.05 * generator.normal(size=(64, 16))
        models = [(w_in, w_out)]
        for path in TRAINED.values():
            model = rt.read_weights(path)
            models.append((model.w_in, model.w_out))
        rug = rt.hadamard_rug(64, 16, seed=0)
        models.append((rug.w_in, rug.w_out(1.3)))
        for w_in, w_out in models:
            w_in, w_out = w_in.copy(), w_out.copy()
            kind = generator.choice(len(w_out), dead, replace=False)
            w_out[kind[::2]] = 0
            w_in[:, kind[1::2]] = 0
            found = rt.statistics(*alike(w_in, w_out, 0.0, P), rows=1)
            alive = ~found.dead
            assert found.dead.sum() >= dead
            ratio = len(w_in) / alive.sum()
            bound = float(rt.welch_sigma(P, ratio)) ** 2
            assert found.welch_variance == pytest.approx(bound, rel=1e-12)
            over = found.summary()["variance over Welch bound"]
            assert over == pytest.approx(found.variance[alive].mean() / bound)
            assert over >= 1 - 1e-9

    def test_no_bound_where_hidden_units_are_enough(self):
        w_in = np.hstack([np.eye(3), np.zeros((3, 2))])
        found = rt.statistics(*alike(w_in, w_in.T, 0.0, P), rows=1)
        assert found.welch_variance == 0
        assert "variance over Welch bound" not in found.summary()

    def test_all_dead(self):
        found = rt.statistics(*alike(np.zeros((2, 4)), np.zeros((4, 2)), 0.0, P))
        assert found.summary() == {"n_sparse": 4, "n_dense": 2, "dead": 4}

    def test_trained_model(self):
        model = rt.read_weights(TRAINED["trained_512_128"])
        found = rt.statistics(*alike(model.w_in, model.w_out, model.b, P), rows=3).summary()
        assert found["dead"] == 0
        # Fig. 3 of arXiv:2410.12101 shows a model like it: diagonal 1.29 ± .01, bias -.18 ± .01.
        assert found["diagonal mean"] == pytest.approx(1.29, abs=0.01)
        assert found["bias mean"] == pytest.approx(-0.19, abs=0.015)
        assert 1 < found["variance over Welch bound"] < 1.1
        assert -0.8 < found["skewness mean"] < -0.7
        assert 0.04 < found["distance from Gaussian, mean"] < 0.07


# Its sums are enumerated.
QUICK = rt.Constant(1.0)
SPARE = {
    "a hidden unit of zeros": lambda w_in, w_out: (
        np.vstack([w_in, 0 * w_in[:1]]),
        np.hstack([w_out, 0 * w_out[:, :1]]),
    ),
    "a unit nobody reads": lambda w_in, w_out: (
        np.vstack([w_in, np.cos(np.arange(w_in.shape[1]))]),
        np.hstack([w_out, 0 * w_out[:, :1]]),
    ),
    "a unit split in two": lambda w_in, w_out: (
        np.vstack([w_in, w_in[:1]]),
        np.hstack([w_out[:, :1] * 0.3, w_out[:, 1:], w_out[:, :1] * 0.7]),
    ),
    "a combination of others, in float32": lambda w_in, w_out: (
        np.vstack([w_in, w_in[0] + w_in[1]]).astype("f4"),
        np.hstack([w_out - 0.5 * np.eye(1, w_out.shape[1]), 0.5 + 0 * w_out[:, :1]]).astype("f4"),
    ),
}


# Not of W.
OF_THE_FACTORS = ("n_dense", "dimensionality", "welch_variance", "capacity_bound", "distance_error")


@pytest.mark.parametrize("spare", SPARE)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_spare_hidden_units_change_nothing(spare, dtype):
    """Whatever does not change W changes no statistic of W: all fields but those of W_in alone."""
    rug = rt.hadamard_rug(32, 9, seed=1)
    w_in, w_out = rug.w_in.astype(dtype), rug.w_out(1.3).astype(dtype)
    more_in, more_out = SPARE[spare](w_in, w_out)
    # Where the unit takes part in W, compare with that W.
    w = more_out.astype(float) @ more_in.astype(float)
    u, s, vt = np.linalg.svd(w)
    same = rt.statistics(*alike(s[:9, None] * vt[:9], u[:, :9], -0.1, P), rows=1)
    padded = rt.statistics(*alike(more_in, more_out, -0.1, P), rows=1)
    for field in dataclasses.fields(same):
        x, y = getattr(same, field.name), getattr(padded, field.name)
        if field.name in OF_THE_FACTORS:
            continue
        if field.name == "singular_values":
            assert y.size == 10 and y[-1] <= 1e-6 * y[0]
            y = y[:9]
        assert y == pytest.approx(x, rel=1e-5, abs=1e-5, nan_ok=True), field.name
    if "combination" not in spare:  # W is still that of the rug
        assert padded.projector_distance < 1e-5


def frames(copies):
    """`copies` triangles, each in a plane of its own: W_ij/W_ii = -½ for two others."""
    angle = 2 * np.pi * np.arange(3) / 3
    return np.kron(np.eye(copies), np.array([np.cos(angle), np.sin(angle)]))


class TestPartners:
    @staticmethod
    def partners(w_in, a=1.0):
        return rt.statistics(*alike(w_in, a * w_in.T, 0.0, P, amplitude=QUICK), rows=1).partner

    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    @pytest.mark.parametrize("copies", [1, 4])
    def test_triangles_have_none(self, copies, dtype):
        """At -½, both ways and twice, whatever rounding says: over many rotations."""
        for seed in range(40):
            turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(2 * copies,) * 2))[0]
            turned = (turn @ frames(copies)).astype(dtype)
            assert np.all(self.partners(turned, dtype_of(dtype, 1.3)) == -1)

    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    def test_ties_favour_none(self, dtype):
        """Of a pentagon two others are equally far below -½, and none of them is the partner."""
        angle = 2 * np.pi * np.arange(5) / 5
        for seed in range(40):
            turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(2, 2)))[0]
            pentagon = (turn @ [np.cos(angle), np.sin(angle)]).astype(dtype)
            assert np.all(self.partners(pentagon) == -1)

    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    def test_clear_pairs_are_found(self, dtype):
        for seed in range(20):
            generator = np.random.default_rng(seed)
            turn = np.linalg.qr(generator.normal(size=(6, 6)))[0]
            pairs = (turn @ np.hstack([np.eye(6), -0.999 * np.eye(6)])).astype(dtype)
            order = generator.permutation(12)
            found = self.partners(pairs[:, order])
            assert np.array_equal(order[found], (order + 6) % 12)


def dtype_of(dtype, x):
    return np.dtype(dtype).type(x)


@given(
    st.integers(2, 9).flatmap(
        lambda n: hnp.arrays(
            float, (n, n - 1), elements=st.floats(-1, 1).map(lambda x: round(x, 3))
        )
    )
)
@settings(max_examples=100)
def test_cubic_bound(x):
    """Row average of Σ_{j≠i}W_ij³ ≥ -1 for every positive semidefinite W of unit diagonal."""
    lengths = np.linalg.norm(x, axis=1)
    unit = (x + (lengths == 0)[:, None]) / np.where(lengths > 0, lengths, np.sqrt(x.shape[1]))[
        :, None
    ]
    assert rt.cubic_sum(unit @ unit.T) >= -1 - 1e-12


class TestVerdict:
    def test_terms_add_up(self):
        model = rt.read_weights(TRAINED["trained_512_128"])
        verdict = rt.explain(*alike(model.w_in, model.w_out, model.b, P), rows=6)
        assert verdict.loss - sum(verdict.terms.values()) == pytest.approx(verdict.best, rel=1e-12)
        exact = rt.exact_loss(*alike(model.w_in, model.w_out, model.b, P), rows=40, seed=5)
        error = np.hypot(verdict.standard_error, exact.standard_error)
        assert abs(verdict.loss - exact.mean) < 4 * error
        assert 0 <= verdict.terms["own a and b"] < 1e-5
        assert verdict.terms["non-Gaussian interference"] < -0.001
        assert verdict.terms["variance above the Welch bound"] > 1e-4
        assert verdict.rug == pytest.approx(float(rt.optimum(P, 0.25).loss))
        assert verdict.family == "Higman-Sims and M22" and verdict.dead == 0

    def test_of_an_antipodal_rug_at_its_optimum(self):
        """Finite size apart, all that is left is what pairs gain over the Gaussian."""
        rug, best = rt.antipodal_rug(1024, 256, seed=0), rt.antipodal_optimum(P, 0.25)
        verdict = rt.explain(*alike(rug.w_in, rug.w_out(float(best.a)), best.b, P), rows=2)
        assert verdict.loss == pytest.approx(float(best.loss), rel=0.02)
        assert 0 <= verdict.terms["own a and b"] < 1e-5
        for name in ("spread between rows", "variance above the Welch bound", "dropped features"):
            assert verdict.terms[name] == pytest.approx(0, abs=1e-12)
        gain = -verdict.terms["non-Gaussian interference"]
        assert gain == pytest.approx(verdict.rug - float(best.loss), rel=0.05)

    def test_own_decoder(self):
        """A bad bias is blamed on the bias."""
        rug, best = rt.hadamard_rug(256, 64, seed=0), rt.optimum(P, 0.25)
        b = rug.bias(best.b, best.a, P)
        good, bad = (
            rt.explain(*alike(rug.w_in, rug.w_out(float(best.a)), b + shift, P), rows=2)
            for shift in (0, 0.2)
        )
        assert bad.loss - good.loss == pytest.approx(
            bad.terms["own a and b"] - good.terms["own a and b"], rel=1e-3
        )

    def test_dropped_features(self):
        """Half of the features in a rug, the others predicted by their mean."""
        rug, best = rt.hadamard_rug(128, 64, seed=0), rt.optimum(P, 0.5)
        w_in = np.hstack([rug.w_in, np.zeros((64, 128))])
        w_out = np.vstack([rug.w_out(float(best.a)), np.zeros((128, 64))])
        b = np.append(np.full(128, rug.bias(best.b, best.a, P)), np.full(128, P / 2))
        verdict = rt.explain(*alike(w_in, w_out, b, P), rows=6)
        assert verdict.dead == 128
        expected = 0.5 * float(best.loss) + 0.5 * rt.SparseSource(P).variance - verdict.rug
        assert verdict.terms["dropped features"] == pytest.approx(expected, rel=1e-9)
        assert abs(verdict.terms["own a and b"]) < 3e-3 * verdict.loss

    def test_all_rows_give_the_loss_of_the_model(self):
        rug = rt.hadamard_rug(16, 8, seed=0)
        verdict = rt.explain(*alike(rug.w_in, rug.w_out(1.2), -0.1, 0.2), rows=None)
        exact = rt.exact_loss(*alike(rug.w_in, rug.w_out(1.2), -0.1, 0.2))
        assert verdict.loss == pytest.approx(exact.mean, rel=1e-6)
        assert verdict.standard_error == 0 and verdict.rows == 16

    def test_all_dead(self):
        verdict = rt.explain(*alike(np.zeros((2, 4)), np.zeros((4, 2)), 0.0, P), rows=None)
        assert verdict.loss == pytest.approx(P / 3)
        assert verdict.dead == 4

    def test_bad_values(self):
        with pytest.raises(ValueError, match="n_dense must be at most n_sparse = 2, got 3"):
            rt.explain(*alike(np.ones((3, 2)), np.ones((2, 3)), 0.0, P))
        with pytest.raises(ValueError, match="rows must be at least 1"):
            rt.explain(*alike(np.ones((2, 3)), np.ones((3, 2)), 0.0, P), rows=0)
