"""The best weights of a size: exact losses, budgets, and what else could be put together."""

from itertools import combinations_with_replacement

import numpy as np
import pytest

import rugtheory as rt
from rugtheory.structure.best import MAX_COUPLING
from rugtheory.structure.found_codes import code_at, table
from rugtheory.structure.members import promising_codes


@pytest.mark.parametrize(
    ("n_sparse", "n_dense", "p", "cap"),
    [
        pytest.param(128, 32, 0.01, 10.0, marks=pytest.mark.slow),
        pytest.param(40, 16, 0.15, 10.0, marks=pytest.mark.slow),
        pytest.param(90, 23, 0.045, 1.0, marks=pytest.mark.slow),
        (7, 2, 0.3, 0.4),
    ],
)
def test_loss_is_that_of_the_weights(n_sparse, n_dense, p, cap):
    best = rt.best_model(n_sparse, n_dense, p, max_coupling=cap)
    model = best.model
    assert (model.n_sparse, model.n_dense) == (n_sparse, n_dense)
    assert sum(best.families.values()) == n_sparse and best.coupling <= cap
    exact = rt.exact_loss(model, rt.Identical(n_sparse, p))
    assert exact.mean == pytest.approx(best.loss, rel=1e-6)
    w = np.abs(model.w_out @ model.w_in)
    np.fill_diagonal(w, 0.0)
    alive = model.diagonal > 0
    assert np.all(w[alive].max(axis=1) <= cap * model.diagonal[alive] * (1 + 1e-9))


@pytest.mark.slow
def test_below_what_training_found():
    """At (128, 32) trained models end at 1.52 p², descent on the exact loss at 1.51 and 1.52."""
    for p, known in ((0.01, 1.51), (0.045, 1.52)):
        best = rt.best_model(128, 32, p)
        assert best.loss / p**2 < 0.95 * known
        assert best.loss >= rt.best_known(p, 0.25).loss


@pytest.mark.slow
def test_no_mixture_of_blocks_is_better():
    """All ways to fill 6 hidden units with 14 features at p = 0.2, by enumeration."""
    p, n_dense, n_sparse = 0.2, 6, 14
    v, pair = float(rt.SparseSource(p).variance), float(rt.uneven_pairs(p).loss)
    five = rt.best_model(5, 2, p)
    kinds = {"none": (0, 0, 0.0), "single": (1, 1, 0.0), "pair": (1, 2, 2 * pair)}
    kinds["five"] = (2, 5, 5 * five.loss)
    for name in table():
        code = code_at(name, p, rt.Uniform())
        kinds[name] = (code.n_dense, code.n, code.n * code.loss)
    least = np.inf
    for some in combinations_with_replacement(kinds.values(), n_dense):
        units, size, loss = np.sum(some, axis=0)
        if units <= n_dense and size <= n_sparse:
            least = min(least, loss + (n_sparse - size) * v)
    best = rt.best_model(n_sparse, n_dense, p)
    assert best.loss * n_sparse == pytest.approx(least, rel=1e-9)


def test_enough_hidden_units_and_bad_values():
    best = rt.best_model(3, 5, 0.1)
    assert best.loss == 0 and best.families == {"singles": 3} and best.coupling == 0
    with pytest.raises(ValueError, match="n_dense"):
        rt.best_model(3, 0, 0.1)
    with pytest.raises(ValueError, match="max_coupling"):
        rt.best_model(3, 1, 0.1, max_coupling=-1.0)


@pytest.mark.parametrize(
    ("n_sparse", "n_dense"),
    [(30, 4), *(pytest.param(*x, marks=pytest.mark.slow) for x in [(30, 5), (60, 15), (47, 11)])],
)
def test_rare_features_are_not_dropped(n_sparse, n_dense):
    """One that is loses 1/(3p) in units of p²; in such weights all lose what pairs of them do."""
    p = 1e-6
    best = rt.best_model(n_sparse, n_dense, p)
    assert best.families == {"spread": n_sparse}
    model = best.model
    w = model.w_out @ model.w_in / model.diagonal[:, None]
    np.fill_diagonal(w, 0.0)
    up, down = np.maximum(w, 0.0), np.maximum(-w, 0.0)
    near, far = np.minimum(down, 1.0), np.maximum(down, 1.0)
    pairs = up**2 / (3 * p) + near**2 / 3 - near**3 / 6 + (1 - 1 / far) / 6
    assert best.loss / p**2 == pytest.approx(pairs.sum() / n_sparse, rel=1e-2)
    assert best.loss / p**2 < 8
    assert best.coupling <= 10


@pytest.mark.parametrize("p", [1e-6, 0.003, 0.03])
@pytest.mark.parametrize(
    ("n_sparse", "n_dense"), [pytest.param(31, 7, marks=pytest.mark.slow), (20, 3)]
)
def test_no_worse_than_where_a_descent_begins(n_sparse, n_dense, p):
    start = rt.minimize(rt.Identical(n_sparse, p), n_dense, init="rare", steps=0)
    assert rt.best_model(n_sparse, n_dense, p).loss <= start.loss


@pytest.mark.slow
def test_a_large_code_serves_few_hidden_units():
    """Where Adam ends at 12.6 p² without a cap on couplings; other laws do without the code."""
    best, p = rt.best_model(128, 8, 0.01), 0.01
    assert best.families["125 in 8"] == 125 and best.coupling < MAX_COUPLING
    exact = rt.exact_loss(best.model, rt.Identical(128, p), rtol=1e-5)
    assert exact.mean == pytest.approx(best.loss, rel=1e-5) and exact.mean < 12.2 * p**2
    other = promising_codes(p, rt.Uniform(0.5, 1.0), MAX_COUPLING, lambda ratio: np.inf, 128)
    assert not any(table()[x.rough].large for x in other)
