"""Dropped features and the best of the structures known."""

import numpy as np
import pytest
from scipy import optimize

import rugtheory as rt

from .laws.domain import AMPLITUDES


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


def check_hull(p, law, pairs=200):
    """Decreasing, convex, no more than any member and any mixture of its own values."""
    r = np.concatenate([np.linspace(0.01, 0.99, 99), 1 - np.geomspace(1e-12, 9e-3, 30)])
    r = np.sort(np.concatenate([r, p * np.geomspace(0.01, 0.9, 10)]))
    best = rt.best_known(p, r, amplitude=law, limit=True)
    variance = float(rt.SparseSource(p, law).variance)
    x, y = np.concatenate([[0], r, [1]]), np.concatenate([[variance], best.loss, [0]])
    assert np.all(np.diff(y) <= 0)
    i, j, k = np.sort(np.random.default_rng(0).choice(x.size, (pairs, 3)), axis=1).T
    near = np.arange(x.size - 2)
    i, j, k = np.append(i, near), np.append(j, near + 1), np.append(k, near + 2)
    i, j, k = (t[(i < j) & (j < k)] for t in (i, j, k))
    mixed = ((x[k] - x[j]) * y[i] + (x[j] - x[i]) * y[k]) / (x[k] - x[i])
    # So near to 1 doubles resolve 1 - r coarsely, and with it where chords touch.
    rel = np.where(1 - x[j] < 1e-9, 1e-10, 1e-12)
    assert np.all(y[j] <= mixed * (1 + rel))

    half = r <= 0.5
    members = [rt.optimum(p, r, amplitude=law).loss, (1 - r) * variance]
    members.append(np.where(half, np.inf, 2 * (1 - r) * rt.uneven_pairs(p, amplitude=law).loss))
    for member in members:
        assert np.all(best.loss <= member * (1 + 1e-12))
    some = r[half][::9]
    even = rt.antipodal_optimum(p, some, amplitude=law).loss
    assert np.all(best.loss[half][::9] <= even * (1 + 1e-12))
    n = np.array([4, 5, 6, 8, 13, 40])
    codes = rt.precedence_loss(p, n, amplitude=law)
    assert np.all(rt.best_known(p, 2 / n, amplitude=law, limit=True).loss <= codes * (1 + 1e-12))
    assert np.all((best.fraction > 0) & (best.fraction <= 1))
    return best


@pytest.mark.parametrize(
    ("p", "law"),
    [
        (0.5, rt.Uniform()),
        (0.045, rt.Uniform()),
        (0.3, rt.Constant()),
        (1e-9, rt.Constant(0.7)),
        (0.3, rt.FromQuadrature([0.1, 0.5, 2.0], [1.0, 2.0, 1.0])),
    ],
    ids=repr,
)
def test_convex_and_decreasing(p, law):
    """Chords between groups of features cannot do better than the curve."""
    check_hull(p, law)


@pytest.mark.slow
@pytest.mark.parametrize("p", [1e-9, 1e-3, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99, 1.0])
@pytest.mark.parametrize("law", AMPLITUDES, ids=repr)
def test_convex_and_decreasing_for_all_laws(p, law):
    check_hull(p, law)


def test_chords_touch():
    """Where the steepest chord from pairs touches the curve of the rug: L'(r) is its slope."""
    p, half = 0.5, float(rt.uneven_pairs(0.5).loss)
    variance = float(rt.SparseSource(p).variance)

    def gap(r):
        best = rt.optimum(p, r)
        slope = rt.loss_gradient(best.a, best.b, best.sigma, p).sigma
        slope *= -variance / (2 * r**2 * best.sigma)
        return float(slope - (best.loss - half) / (r - 0.5))

    touching = optimize.brentq(gap, 0.9, 0.99, xtol=1e-14)
    loss = float(rt.optimum(p, touching).loss)
    r = np.array([0.6, 0.895, 0.94])
    chord = half + (loss - half) / (touching - 0.5) * (r - 0.5)
    best = rt.best_known(p, r, limit=True)
    assert best.loss == pytest.approx(chord, rel=1e-13)
    assert best.family.tolist() == ["uneven pairs and rug"] * 3
    assert rt.best_known(p, 0.96, limit=True).family == "rug"
    assert np.all(best.a == best.a[0]) and best.a[0] == pytest.approx(
        float(rt.optimum(p, touching).a), rel=1e-6
    )


@pytest.mark.parametrize("p", [0.3, 0.44])
def test_continuous_in_p(p):
    """No family comes or goes with a jump; at 0.44 the rug is about to come."""
    r = np.array([0.05, 0.45, 0.5, 0.8, 0.97, 0.999])
    one, two = (rt.best_known(q, r, limit=True).loss for q in (p, p * (1 + 1e-7)))
    assert two == pytest.approx(one, rel=1e-6)


@pytest.mark.parametrize("p", [1.1e-15, 1e-40, 1e-140])
@pytest.mark.parametrize("law", [rt.Uniform(), rt.Constant(0.7)], ids=repr)
def test_rare_features(p, law):
    """Eight features lose 5/2 p² E u², at any p that there may be; uneven pairs E min²."""
    best = rt.best_known(p, [0.25, 0.75], amplitude=law, limit=True)
    pairs = 25 / 81 * 3 / 4 if law == rt.Uniform() else 1 / 4
    assert best.loss / p**2 / law.second_moment == pytest.approx([2.5, pairs], rel=1e-6)


def test_gain_at_small_ratio():
    """By how much dropping improves the Gaussian rug at most."""
    for p, gain in ((0.045, 0.06), (1e-5, 0.15)):
        ratio = np.geomspace(p / 10, 10 * p, 200)
        found = 1 - (rt.mixture_loss(p, ratio) / rt.optimum(p, ratio).loss).min()
        assert found == pytest.approx(gain, abs=0.006)


def test_other_laws_and_shapes():
    law = rt.Constant(1.0)
    best = rt.best_known([[0.01], [0.1]], [0.1, 0.3, 0.8], amplitude=law, limit=True)
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
