"""The best known structure below a cap on couplings: what is in it exists as weights."""

import numpy as np
import pytest

import rugtheory as rt
from rugtheory.structure.bounded_precedence import bounded_codes

CAPS = (0.05, 0.12, 0.3, 0.5, 1.0, 2.0, 4.0, 10.0, 30.0)
RATIO = np.linspace(0.02, 0.98, 33)


def coupling(w):
    """Largest |W_ij|/W_ii, j ≠ i."""
    scaled = np.abs(w / np.diag(w)[:, None])
    np.fill_diagonal(scaled, 0.0)
    return scaled.max()


@pytest.mark.parametrize(
    "p", [0.1, *(pytest.param(p, marks=pytest.mark.slow) for p in (1e-9, 1e-3, 0.02, 0.3, 0.8))]
)
def test_the_curve_falls_with_the_cap(p):
    """And each is convex in the ratio, of couplings below the cap, above the limit of all."""
    before = np.full(RATIO.shape, np.inf)
    for cap in CAPS:
        best = rt.best_known(p, RATIO, max_coupling=cap)
        assert np.all(best.coupling <= cap)
        assert np.all(best.loss <= before * (1 + 1e-9))
        assert np.all(best.loss <= rt.mixture_loss(p, RATIO) * (1 + 1e-9))
        assert np.all(np.diff(best.loss, 2) > -1e-9 * best.loss[1:-1])
        before = best.loss
    assert np.all(before >= rt.best_known(p, RATIO, limit=True).loss * (1 - 1e-9))


def test_no_more_than_its_members():
    p = 0.01
    for name in ("Gewirtz", "M22", "Games", "GQ(4,16)"):
        code = rt.graph_optimum(p, name)
        assert rt.best_known(p, code.ratio).loss <= code.loss * (1 + 1e-9)
        assert rt.best_known(p, code.ratio, max_coupling=0.1).loss > 1.2 * code.loss
    for cap in (1.0, 1.5, 10.0):
        pairs = rt.uneven_pairs(p, max_coupling=cap)
        assert 1 / pairs.coupling <= cap * (1 + 1e-12)
        found = rt.best_known(p, 0.5, max_coupling=cap)
        assert found.loss == pytest.approx(float(pairs.loss), rel=1e-9)


def test_rare_features_at_a_quarter():
    """Hill's graph, where 234 neighbours inhibit by 1/10 each, beside GQ(9,27), 252 by 1/8."""
    at = np.array([1288 / 4096, 550 / 2440])
    expected = np.array([234 * (1 / 300 - 1 / 6000), 252 * (1 / 192 - 1 / 3072)])
    best = rt.best_known(1e-9, at)
    assert best.loss / 1e-18 == pytest.approx(expected, rel=1e-6)
    assert best.family.tolist() == ["Hill", "GQ(9,27)"]


@pytest.mark.parametrize("p", [0.01, 0.1, pytest.param(0.3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("cap", [20.0, 50.0, pytest.param(500.0, marks=pytest.mark.slow)])
def test_no_warnings_of_integrands_that_are_not_taken(p, cap):
    """And it is between that with couplings up to 10 and the limit."""
    found = rt.best_known(p, 0.25, max_coupling=cap).loss
    assert rt.best_known(p, 0.25, limit=True).loss <= found
    assert found <= rt.best_known(p, 0.25).loss


@pytest.mark.parametrize("cap", [1.0, 1.4, 2.5, 10.0])
def test_uneven_pairs_with_a_cap(cap):
    """Losses of even pairs at 1, of the best from 3 on, and of c = 1/cap between: p²(...)."""
    p, c = 1e-6, max(1 / cap, 1 / 3)
    pairs = rt.uneven_pairs(p, max_coupling=cap)
    mean = (c * c / 3 - c**3 / 6 + 1 / 3 - c / 6) / 2
    assert float(pairs.loss) / p**2 == pytest.approx(mean, rel=1e-5)
    assert float(pairs.coupling) == pytest.approx(c, rel=2e-3)
    with pytest.raises(ValueError, match=r"max_coupling must lie in \[1, 1e\+08\], got 0.5"):
        rt.uneven_pairs(p, max_coupling=0.5)


def test_precedence_below_a_cap():
    """Weights exist, with couplings at the cap, and lose what is said; lower scales lose more."""
    p, cap = 0.15, 8.0
    (best,) = bounded_codes(p, rt.Uniform(), cap, lambda ratio: 0.6 * p**2)
    model, features = best.model(), rt.Identical(best.n, p)
    assert best.n == 5 and coupling(model.w_out @ model.w_in) <= cap
    assert rt.exact_loss(model, features).mean == pytest.approx(best.loss, rel=1e-6)
    codes = [rt.precedence_code(5, scale) for scale in np.linspace(1.1, 4, 25)]
    below = [code for code in codes if coupling(code.w_out @ code.w_in) <= cap]
    assert 3 < len(below) < len(codes)
    for code in below:
        exact = rt.exact_loss(code.model(), features).mean
        assert best.loss <= exact * (1 + 1e-6)


def test_bad_values():
    with pytest.raises(ValueError, match="max_coupling must be left out with limit=True, got 4"):
        rt.best_known(0.1, 0.25, max_coupling=4.0, limit=True)
    with pytest.raises(ValueError, match="max_coupling"):
        rt.best_known(0.1, 0.25, max_coupling=0.0)
    with pytest.raises(TypeError, match="limit"):
        rt.best_known(0.1, 0.25, limit="yes")


@pytest.mark.parametrize(
    ("p", "beside"),
    [
        (1e-12, [0.01, 1 - 1e-9]),
        pytest.param(1e-140, [0.01, 1 - 1e-9], marks=pytest.mark.slow),
    ],
)
def test_discrete_features_that_are_as_rare_as_they_may_be(p, beside):
    """At ratio ½ uneven pairs of coupling 10 are the best, and lose 0.49 (1 + 1/10²) p²/2."""
    rare = rt.best_known(p, [0.5, *beside], amplitude=rt.Constant(0.7)).loss
    assert np.all(rare > 0)
    assert rare[0] / p**2 == pytest.approx(0.49 * 1.01 / 2, rel=1e-9)
