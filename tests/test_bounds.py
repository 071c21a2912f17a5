"""The Welch-type bound over random weights, and the linear baseline against its own optimum."""

import numpy as np
import pytest
from scipy.linalg import null_space

import rugtheory as rt

from .laws.domain import AMPLITUDES


@pytest.mark.parametrize(("n", "d"), [(3, 2), (6, 3), (28, 7)])
def test_known_tight_frames_reach_it(n, d):
    # Harmonic frames (and the 28 equiangular lines in R^7) are tight with unit vectors.
    if n == 28:
        pairs = [(i, j) for i in range(8) for j in range(i)]
        vectors = np.full((28, 8), -1.0)
        for row, (i, j) in enumerate(pairs):
            vectors[row, [i, j]] = 3
        basis = null_space(np.ones((1, 8)))
        vectors = vectors @ basis
    elif d == 3:
        g = (1 + 5**0.5) / 2
        vectors = np.array([[0, 1, g], [0, 1, -g], [1, g, 0], [1, -g, 0], [g, 0, 1], [g, 0, -1]])
    else:
        angles = 2 * np.pi * np.arange(3) / 3
        vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    w = vectors @ vectors.T
    sigma = np.sqrt(rt.SparseSource(0.3).variance * (np.sum(w**2, axis=1) - 1))
    np.testing.assert_allclose(sigma, rt.welch_sigma(0.3, d / n), rtol=1e-12)


def test_published_number():
    # theory of arXiv:2410.12101, (6): σ² = (4p - 3p²)/12 (1/r - 1)
    p, r = 0.045, 0.25
    assert rt.welch_sigma(p, r) == pytest.approx(np.sqrt((4 * p - 3 * p**2) / 12 * 3), rel=1e-15)
    assert rt.welch_sigma(p, 1.0) == 0


def test_digits_at_the_corners():
    # 1 - r must not lose what the float holds of it.
    assert rt.welch_sigma(1.0, 1 - 2.0**-40) == pytest.approx(
        np.sqrt(2.0**-40 / (1 - 2.0**-40) / 12), rel=1e-15
    )
    constant = rt.Constant(1.0)
    assert rt.linear_loss(1 - 2.0**-50, 0.5, amplitude=constant) == pytest.approx(
        2.0**-51 * (1 - 2.0**-50), rel=1e-15
    )


@pytest.mark.parametrize("law", [rt.Uniform(), rt.Exponential(), rt.Constant()])
@pytest.mark.parametrize(("n", "d"), [(6, 1), (6, 4), (5, 5)])
def test_linear_loss_is_that_of_principal_components(law, n, d):
    # Exact second moments of n independent features; best rank-d affine map by eigenvalues.
    source = rt.SparseSource(0.2, law)
    second = np.full((n, n), source.mean**2)
    np.fill_diagonal(second, source.second_moment)
    covariance = second - source.mean**2
    kept = np.sort(np.linalg.eigvalsh(covariance))[::-1][:d]
    loss = (np.trace(covariance) - kept.sum()) / n
    assert rt.linear_loss(0.2, d / n, amplitude=law) == pytest.approx(loss, rel=1e-12, abs=1e-15)


class TestLeastSkewness:
    @pytest.mark.parametrize("k", [2, 3, 4])
    def test_groups_attain_it_where_k3_is_negative(self, k):
        """Features of k at a time in one hidden unit: W of ones in blocks, ratio 1/k."""
        p, law = 0.8, rt.Constant(1.0)
        w = np.kron(np.eye(5), np.ones((k, k)))
        source = rt.SparseSource(p, law)
        off = w - np.eye(5 * k)
        sigma = np.sqrt(source.variance * (off**2).sum(axis=1))
        assert sigma == pytest.approx(float(rt.welch_sigma(p, 1 / k, amplitude=law)))
        third = source.skewness * source.variance**1.5 * (off**3).sum(axis=1)
        found = rt.least_skewness(p, 1 / k, amplitude=law)
        assert third / sigma**3 == pytest.approx(float(found)) and found < 0

    @pytest.mark.parametrize("law", AMPLITUDES, ids=repr)
    @pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.6, 0.8, 0.95, 1.0])
    def test_no_tight_frame_is_below(self, law, p):
        """Rugs and harmonic frames, which have the least variance, of one σ for all rows."""
        source = rt.SparseSource(p, law)
        if not source.variance > 0:
            return
        for n, d in ((8, 2), (8, 3), (16, 8), (16, 12)):
            angle = 2 * np.pi * np.outer(np.arange(n), np.arange(1, d // 2 + 1)) / n
            frames = [np.hstack([np.cos(angle), np.sin(angle)])]
            frames += [rt.hadamard_rug(n, d, seed=k).w_in.T for k in range(5)]
            if d <= n // 2:
                frames.append(rt.antipodal_rug(n, d, seed=0).w_in.T)
            for frame in frames:
                w = frame @ frame.T / (frame**2).sum(axis=1)[0]
                ratio = np.linalg.matrix_rank(frame) / n
                off = w - np.eye(n)
                squares = (off**2).sum() / n
                if abs(squares - (1 / ratio - 1)) > 1e-9:
                    continue
                skewness = source.skewness * (off**3).sum() / n / squares**1.5
                least = rt.least_skewness(p, ratio, amplitude=law)
                assert skewness >= least - 1e-9 * abs(least)


@pytest.mark.parametrize("function", [rt.welch_sigma, rt.linear_loss])
def test_bad_arguments(function):
    with pytest.raises(ValueError, match=r"ratio must lie in \(0, 1\], got 1.5"):
        function(0.1, 1.5)
    with pytest.raises(ValueError, match="p must lie in"):
        function(-0.1, 0.5)
    with pytest.raises(TypeError, match="ratio must be a real number"):
        function(0.1, None)
    with pytest.raises(ValueError, match="broadcast"):
        function([0.1, 0.2, 0.3], [0.1, 0.2])
