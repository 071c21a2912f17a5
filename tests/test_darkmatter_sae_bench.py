"""The bench with a decoder, where the truth is known: orthogonal features, or a linear decoder."""

import numpy as np
import pytest

from rugtheory import darkmatter

ROWS, D = 20_000, 8


@pytest.fixture(scope="module")
def activations():
    rng = np.random.default_rng(0)
    on = rng.random((ROWS, D)) < np.linspace(0.5, 0.1, D)
    return rng.uniform(0.5, 1.5, size=on.shape) * on


def exact(offset=0.0):
    """A decoder that is exact on what is not negative, and on all above -offset."""
    eye = np.eye(D)
    return darkmatter.SAE("standard", eye, np.full(D, offset), eye, np.full(D, -offset),
                          subtract_b_dec=False)  # fmt: skip


def test_absent_features_are_linear(activations):
    """Without a dense part FVU_nl is the noise that is added, whatever the dictionary lacks."""
    levels = [0.0, 0.1, 0.2]
    found = darkmatter.sae_bench(
        exact(), activations, learned=[0.25, 0.5], dense=[0.0, 1e-9], introduced=levels
    )
    assert found.learned.tolist() == [2, 4, 8]
    variance = activations.var(axis=0)
    for case in range(6):
        epsilon = found.introduced[case]
        share = epsilon**2 * D / variance.sum()
        assert found.introduced_share[case] == pytest.approx(share, rel=1e-6)
        # ε²d is known to √(2/(rows held out · d)).
        assert found.fvu_nl[case] == pytest.approx(share, rel=0.03, abs=1e-9)
        assert found.estimated_introduced[case] == pytest.approx(share, rel=0.02, abs=1e-9)
        assert abs(found.estimated_dense[case]) < 0.01 * share + 1e-9
        # The elements are taken in the order of how often they are active.
        absent = [activations[:, m:] for m in found.learned]
        missing = [np.mean(np.sum(a**2, axis=1)) / variance.sum() for a in absent]
        assert found.fvu[case] == pytest.approx(np.array(missing) + share, rel=0.05, abs=1e-9)


def test_a_linear_decoder_has_no_dense_error(activations):
    """All of x' passes where no latent is ever off, noise as well."""
    found = darkmatter.sae_bench(
        exact(50.0), activations, dense=[0.1, 0.3], introduced=[0.1, 0.2], learned=[0.5]
    )
    assert np.all(np.abs(found.estimated_dense) < 0.01 * found.introduced_share)
    assert found.estimated_introduced == pytest.approx(found.introduced_share, rel=0.02)


def test_table(activations):
    """Each estimate follows the noise that it is of."""
    eye = np.eye(D)
    x = np.hstack([activations, np.zeros((ROWS, D))])  # noise has directions of its own, too
    wide = np.hstack([eye, 0 * eye])
    sae = darkmatter.SAE("jumprelu", wide.T, np.zeros(D), wide, np.zeros(2 * D),
                         threshold=np.full(D, 0.4))  # fmt: skip
    levels = [0.0, 0.05, 0.1, 0.15]
    found = darkmatter.sae_bench(sae, x, dense=levels, introduced=levels)
    assert found.correlation[0, 0] > 0.9 and found.correlation[1, 1] > 0.9
    assert abs(found.correlation[0, 1]) < 0.4 and abs(found.correlation[1, 0]) < 0.1
    assert found.fvu.shape == found.fvu_nl.shape == (16, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dense": [0.1]}, "dense must hold at least 2 levels"),
        ({"introduced": [0.1, -0.2]}, "introduced must be non-negative"),
        ({"learned": [0.0]}, "learned must lie in"),
    ],
)
def test_refused(change, message, activations):
    given = {"dense": [0.1, 0.2], "introduced": [0.1, 0.2]} | change
    with pytest.raises(ValueError, match=message):
        darkmatter.sae_bench(exact(), activations[:500], **given)
    silent = darkmatter.SAE("standard", np.eye(D), np.full(D, -9.0), np.eye(D), np.zeros(D))
    with pytest.raises(ValueError, match="sae must be active on its own reconstructions"):
        darkmatter.sae_bench(silent, activations[:500], dense=[0, 1], introduced=[0, 1])
