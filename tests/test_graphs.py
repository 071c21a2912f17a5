"""Graph codes: the graphs against published tables, their losses against sampling and limits."""

import numpy as np
import pytest

import rugtheory as rt

from .models import alike

# n, k, common neighbours of neighbours and of others; A. E. Brouwer and H. Van Maldeghem, 2022.
TABLE = {
    "Gewirtz": (56, 10, 0, 2),
    "M22": (77, 16, 0, 4),
    "Higman-Sims": (100, 22, 0, 6),
    "GQ(3,9)": (112, 30, 2, 10),
    "U4(3)": (162, 56, 10, 24),
    "McLaughlin": (275, 112, 30, 56),
}


def test_all_are_here():
    assert set(rt.GRAPHS) == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
class TestCode:
    def test_strongly_regular(self, name):
        n, k, neighbours, others = TABLE[name]
        code = rt.graph_code(name)
        a, one = code.adjacency.astype(int), np.eye(n, dtype=int)
        assert (code.n_sparse, code.degree) == (n, k) and np.array_equal(a, a.T)
        expected = k * one + neighbours * a + others * (1 - one - a)
        assert np.array_equal(a @ a, expected)

    def test_weights(self, name):
        """Rank n_dense; -½ for neighbours and nothing for the others, or all lifted."""
        code = rt.graph_code(name)
        assert code.w_in.shape == (code.n_dense, code.n_sparse)
        assert code.w_in @ code.w_in.T == pytest.approx(np.eye(code.n_dense), abs=1e-12)
        one = np.eye(code.n_sparse)
        assert code.w_out() @ code.w_in == pytest.approx(one - code.adjacency / 2, abs=1e-12)
        lifted = code.w_out(1.2, 0.05) @ code.w_in
        assert lifted == pytest.approx(1.2 * (one - code.adjacency / 2 + 0.05) / 1.05, abs=1e-12)
        assert np.linalg.matrix_rank(lifted, tol=1e-9) == code.n_dense

    def test_loss_is_that_of_the_weights(self, name):
        """By sampling the whole model, and by inversion of a few rows."""
        p, code = 0.045, rt.graph_code(name)
        best = rt.graph_optimum(p, name)
        w_out = code.w_out(float(best.a), float(best.lift))
        exact = rt.exact_loss(*alike(code.w_in, w_out, best.b, p), rows=3, rtol=1e-7)
        assert exact.loss == pytest.approx(float(best.loss), rel=1e-6)
        x = rt.SparseSource(p).sample((100_000, code.n_sparse), seed=1)
        losses = np.mean((np.maximum(x @ code.w_in.T @ w_out.T + best.b, 0) - x) ** 2, axis=1)
        standard_error = losses.std() / np.sqrt(losses.size)
        assert abs(losses.mean() - best.loss) < 4.5 * standard_error < 0.05 * best.loss

    def test_least(self, name):
        p, code = 0.1, rt.graph_code(name)
        best = rt.graph_optimum(p, name)
        for da, db, dlift in ((0.02, 0, 0), (0, 0.01, 0), (0, 0, 0.003)):
            for sign in (1, -1):
                w_out = code.w_out(float(best.a) * (1 + sign * da), float(best.lift) + sign * dlift)
                b = best.b + sign * db
                near = rt.exact_loss(*alike(code.w_in, w_out, b, p), rows=[0], rtol=1e-7).mean
                assert near > best.loss * (1 - 1e-4)


@pytest.mark.parametrize(
    ("law", "share", "rel"),
    [(rt.Uniform(), 1 / 16, 1e-7), (rt.Exponential(3.0), 9 * 2 / 9, 1e-5)],
    ids=["uniform", "exponential"],
)
def test_rare_features(law, share, rel):
    """L → p² k E min(u, w/2)²: nothing is lost unless a neighbour is on as well.

    The square of the smaller of uniforms on [0, 1] and [0, ½] has the mean 1/16; the smaller of
    exponentials with rates 1 and 2 is one with rate 3, whose square has the mean 2/9.
    """
    for name, (_, k, _, _) in TABLE.items():
        found = rt.graph_optimum([1e-9, 1e-100], name, amplitude=law)
        assert found.loss / found.p**2 == pytest.approx(k * share, rel=rel)


def test_far_below_pairs_where_features_are_rare():
    codes = [rt.graph_optimum(0.01, name) for name in rt.GRAPHS]
    loss, ratio = (np.array([float(getattr(x, name)) for x in codes]) for name in ("loss", "ratio"))
    assert np.all(loss < 0.8 * rt.antipodal_optimum(0.01, ratio).loss)


def test_always_on_and_bad_values():
    constant = rt.graph_optimum(1.0, "M22", amplitude=rt.Constant(2.0))
    assert constant.loss == 0 and constant.b == 2
    assert rt.graph_optimum([[0.1], [0.2]], "M22").loss.shape == (2, 1)
    with pytest.raises(ValueError, match=r"name must be one of .*, got 'Petersen'"):
        rt.graph_code("Petersen")
    with pytest.raises(ValueError, match=r"p must lie in \(0, 1\], got 0.0"):
        rt.graph_optimum(0.0, "M22")
