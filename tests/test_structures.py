"""Dropped features and the best of the structures known."""

import numpy as np
import pytest
from scipy import optimize

import rugtheory as rt


@pytest.mark.parametrize("p", [1e-9, 1e-5, 0.001, 0.045, 0.2, 0.5, 0.9])
def test_critical_ratio_is_where_the_chord_touches(p):
    """v - L + r L'(r) = 0 with the exact derivative of the optimum, ∂L/∂σ dσ/dr."""
    variance = float(rt.SparseSource(p).variance)

    def gap(r):
        best = rt.optimum(p, r)
        slope = rt.loss_gradient(best.a, best.b, best.sigma, p).sigma
        return float(variance - best.loss - slope * variance / (2 * r * best.sigma))

    critical = float(rt.critical_ratio(p))
    root = optimize.brentq(gap, 0.8 * critical, min(1.2 * critical, 1 - 1e-9), xtol=1e-14)
    assert critical == pytest.approx(root, rel=1e-6)


def test_critical_ratio_of_the_literature():
    # Two digits, from a coarser scan; the values are flat there.
    p = np.array([0.5, 0.2, 0.1, 0.045, 0.01, 1e-3, 1e-4, 1e-5])
    known = [1.10, 1.84, 2.57, 3.61, 5.85, 9.19, 12.4, 15.6]
    assert rt.critical_ratio(p) / p == pytest.approx(known, rel=0.015)


def test_convex_and_decreasing():
    """Chords between groups of features cannot do better than the curve."""
    for p in (1e-4, 0.045, 0.2):
        r = np.linspace(0.01, 0.99, 40)
        loss = rt.best_known(p, r).loss
        assert np.all(np.diff(loss) < 0)
        assert np.all(np.diff(loss, 2) > -1e-7 * loss[1:-1])


def test_gain_at_small_ratio():
    """By how much dropping improves the Gaussian rug at most."""
    for p, gain in ((0.045, 0.06), (1e-5, 0.15)):
        ratio = np.geomspace(p / 10, 10 * p, 200)
        found = 1 - (rt.mixture_loss(p, ratio) / rt.optimum(p, ratio).loss).min()
        assert found == pytest.approx(gain, abs=0.006)


def test_other_laws_and_shapes():
    best = rt.best_known([[0.01], [0.1]], [0.1, 0.3, 0.8], amplitude=rt.Constant(1.0))
    assert best.loss.shape == best.family.shape == best.a.shape == (2, 3)
    assert rt.critical_ratio([0.1, 0.2]).shape == (2,)
    assert rt.critical_ratio(0.1).shape == ()


def test_bad_values():
    with pytest.raises(ValueError, match=r"ratio must lie in \(0, 1\], got 2.0"):
        rt.best_known(0.1, 2.0)
    with pytest.raises(ValueError, match=r"p must lie in \(0, 1\], got 0.0"):
        rt.critical_ratio(0.0)
    with pytest.raises(ValueError, match="shapes do not broadcast"):
        rt.mixture_loss([0.1, 0.2], [0.1, 0.2, 0.3])
