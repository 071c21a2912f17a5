"""Graph codes: the graphs against published tables, their losses against sampling and limits."""

import numpy as np
import pytest

import rugtheory as rt

from .models import alike

# n, k, common neighbours of neighbours and of others, and the multiplicity of the least eigenvalue;
# A. E. Brouwer and H. Van Maldeghem, Strongly Regular Graphs, 2022, table 12.
TABLE = {
    "Clebsch": (16, 5, 0, 2, 5),
    "Schläfli": (27, 10, 1, 5, 6),
    "Gewirtz": (56, 10, 0, 2, 20),
    "M22": (77, 16, 0, 4, 21),
    "Higman-Sims": (100, 22, 0, 6, 22),
    "GQ(3,9)": (112, 30, 2, 10, 21),
    "U4(3)": (162, 56, 10, 24, 21),
    "GQ(4,8)": (165, 36, 3, 9, 44),
    "McLaughlin": (275, 112, 30, 56, 22),
    "GQ(4,16)": (325, 68, 3, 17, 52),
    "Games": (729, 112, 1, 20, 112),
    "GQ(5,25)": (756, 130, 4, 26, 105),
    "GQ(9,27)": (2440, 252, 8, 28, 549),
    "GQ(7,49)": (2752, 350, 6, 50, 301),
    "Hill": (4096, 234, 2, 14, 1287),
    "GQ(8,64)": (4617, 520, 7, 65, 456),
}
SMALL = [name for name, (n, *_) in TABLE.items() if n < 400]
LARGE = [name for name in TABLE if name not in SMALL]
# Rows of large matrices that are checked.
ROWS = 64


def test_all_are_here():
    assert set(rt.GRAPHS) == set(TABLE)


def named(slow=LARGE):
    return pytest.mark.parametrize(
        "name", [pytest.param(x, marks=[pytest.mark.slow] * (x in slow)) for x in TABLE]
    )


@named(slow=LARGE[2:])
def test_strongly_regular(name):
    """A² = k I + λ A + μ (J - I - A), of large graphs in some rows."""
    n, k, neighbours, others, least = TABLE[name]
    code = rt.graph_code(name)
    a = code.adjacency
    assert (code.n_sparse, code.degree, code.n_dense) == (n, k, 1 + least)
    assert np.array_equal(a, a.T) and not a.diagonal().any()
    rows = np.random.default_rng(0).choice(n, min(n, ROWS), replace=False)
    one, beside = np.eye(n)[rows], a[rows].astype(np.float32)
    expected = k * one + neighbours * beside + others * (1 - one - beside)
    assert np.array_equal(beside @ a.astype(np.float32), expected)


@named()
def test_weights(name):
    """Rank n_dense; -1/θ for neighbours and nothing for the others, or all lifted."""
    code = rt.graph_code(name)
    n, rows = code.n_sparse, slice(0, ROWS)
    assert code.w_in.shape == (code.n_dense, n)
    assert code.w_in @ code.w_in.T == pytest.approx(np.eye(code.n_dense), abs=1e-12)
    one, inhibited = np.eye(n)[rows], code.adjacency[rows] / code.theta
    assert code.w_out()[rows] @ code.w_in == pytest.approx(one - inhibited, abs=1e-12)
    lifted = code.w_out(1.2, 0.05)[rows] @ code.w_in
    assert lifted == pytest.approx(1.2 * (one - inhibited + 0.05) / 1.05, abs=1e-12)


@pytest.mark.parametrize("name", SMALL)
class TestLoss:
    def test_loss_is_that_of_the_weights(self, name):
        """By sampling the whole model, and by inversion of a few rows."""
        p, code = 0.045, rt.graph_code(name)
        best = rt.graph_optimum(p, name)
        w_out = code.w_out(float(best.a), float(best.lift))
        exact = rt.exact_loss(*alike(code.w_in, w_out, best.b, p), rows=3, rtol=1e-7)
        assert exact.loss == pytest.approx(float(best.loss), rel=1e-6)
        x = rt.SparseSource(p).sample((10**7 // code.n_sparse, code.n_sparse), seed=1)
        losses = np.mean((np.maximum(x @ code.w_in.T @ w_out.T + best.b, 0) - x) ** 2, axis=1)
        standard_error = losses.std() / np.sqrt(losses.size)
        assert abs(losses.mean() - best.loss) < 4.5 * standard_error < 0.06 * best.loss

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
    [
        (rt.Uniform(), lambda theta: (2 * theta - 1) / (6 * theta**3), 1e-7),
        (rt.Exponential(3.0), lambda theta: 9 * 2 / (1 + theta) ** 2, 1e-5),
    ],
    ids=["uniform", "exponential"],
)
def test_rare_features(law, share, rel):
    """L → p² k E min(u, w/θ)²: nothing is lost unless a neighbour is on as well.

    The smaller of exponentials with rates 1 and θ is one with rate 1 + θ, whose square has the mean
    2/(1 + θ)².
    """
    theta = {"Clebsch": 1, "Schläfli": 1, "GQ(4,8)": 3, "GQ(4,16)": 3, "Games": 4, "GQ(5,25)": 4}
    theta |= {"GQ(7,49)": 6, "GQ(8,64)": 7, "GQ(9,27)": 8, "Hill": 10}
    for name, (_, k, *_) in TABLE.items():
        found = rt.graph_optimum([1e-11, 1e-100], name, amplitude=law)
        expected = k * share(theta.get(name, 2))
        assert found.loss / found.p**2 == pytest.approx(expected, rel=rel)


@pytest.mark.parametrize(
    ("name", "losses"),
    [
        ("GQ(4,16)", (2.13, 2.39)),
        ("Games", (2.10, 2.58)),
        ("GQ(5,25)", (2.45, 3.09)),
        ("GQ(9,27)", (1.31, 1.94)),
        ("Hill", (0.781, 1.14)),
    ],
)
def test_of_the_literature(name, losses):
    """No more than an earlier search over a, b and μ found, and not much less: p = 0.001, 0.01."""
    p = np.array([0.001, 0.01])
    loss = rt.graph_optimum(p, name).loss / p**2
    assert np.all(loss < np.array(losses) + 5e-3) and np.all(loss > 0.995 * np.array(losses))


def test_far_below_pairs_where_features_are_rare():
    codes = [rt.graph_optimum(0.01, name) for name in SMALL[2:]]
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
