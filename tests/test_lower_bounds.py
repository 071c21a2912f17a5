"""Lower bounds: never above the pair energy of weights of their class, nor above exact losses."""

import numpy as np
import pytest

import rugtheory as rt
from rugtheory.theory.lower import gegenbauer, one_negative, pair_cost

RNG = 20261126
# (n, d) and the pair energy of the moments, with triangles where that is known too.
KNOWN = [
    ((16, 6), 0.833, None),
    ((27, 7), 1.667, None),
    ((100, 23), 1.375, None),
    ((112, 22), 1.875, None),
    ((162, 22), 3.5, None),
    ((275, 23), 7.0, None),
    ((77, 22), 0.893, None),
    ((56, 21), 0.480, None),
    ((128, 32), 1.074, 1.138),
    ((512, 128), 0.895, None),
    ((256, 25), 5.55, None),
    ((512, 51), 4.62, None),
]


def values(p, weights=None, scope="rare features", **where):
    """The bounds over p² by their classes."""
    found = {x.weights: x.value / p**2 for x in rt.lower_bounds(p, **where) if x.scope == scope}
    return found if weights is None else found[weights]


def pair_energy(w, p):
    """(1/n) Σ [W_+²/(3p) + E min(u, W_- w)²], the second by the integral over w of u's part."""
    w = w / np.diagonal(w, axis1=-2, axis2=-1)[..., None]
    w = w * (1 - np.eye(w.shape[-1]))
    both = np.maximum(w, 0) ** 2 / (3 * p) + pair_cost(np.maximum(-w, 0))
    return both.sum(axis=(-2, -1)) / w.shape[-1]


@pytest.mark.parametrize("c", [0.01, 0.3, 1.0, 1.7, 12.0])
def test_pair_cost(c):
    """E min(u, c w)² by a midpoint rule over the square."""
    x = (np.arange(2000) + 0.5) / 2000
    mean = np.mean(np.minimum(x[:, None], c * x) ** 2)
    assert float(pair_cost(c)) == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize(
    ("numbers", "moments", "triangles"),
    [pytest.param(*x, marks=[pytest.mark.slow] * (k % 2)) for k, x in enumerate(KNOWN)],
)
def test_of_balanced_codes(numbers, moments, triangles):
    """Values of an earlier derivation, and the linear program, which knows nothing of moments."""
    found = one_negative(*numbers, triangles=False)
    assert found == pytest.approx(moments, abs=6e-4 if moments < 2 else 6e-3)  # its last digit
    assert gegenbauer(*numbers) == pytest.approx(found, rel=1e-4)
    better = one_negative(*numbers, triangles=True)
    assert better >= found * (1 - 1e-12)
    if triangles:
        assert better == pytest.approx(triangles, abs=6e-4)


@pytest.mark.parametrize("name", [name for name in rt.GRAPHS if name not in ("Hill", "GQ(8,64)")])
def test_graphs(name):
    """Graph codes are of the class; those of θ - s = λ - μ that are sharp attain the bound."""
    from rugtheory.structure.graphs import TABLE

    graph = TABLE[name]
    energy = graph.degree * float(pair_cost(1 / graph.theta))
    bound = one_negative(graph.n, graph.n_dense, triangles=True)
    assert bound <= energy * (1 + 1e-9)
    sharp = name in ("Clebsch", "Schläfli", "Higman-Sims", "U4(3)", "McLaughlin") or "," in name
    if sharp and name not in ("GQ(4,8)", "GQ(9,27)"):
        assert bound == pytest.approx(energy, rel=1e-9)


def test_ten_thousand_random_models():
    """Weights of all kinds and of each class, in small sizes, where they come near the bounds."""
    rng, p = np.random.default_rng(RNG), 1e-3
    for n, d in ((2, 1), (3, 1), (3, 2), (5, 2), (8, 3), (12, 6)):
        some = values(p, n_sparse=n, n_dense=d, max_coupling=2.0)
        w_in = rng.normal(size=(1700, d, n)) * rng.lognormal(sigma=1, size=(1700, 1, n))
        tied = np.swapaxes(w_in, 1, 2) @ w_in
        free = rng.normal(size=(1700, n, d)) @ w_in
        near = (np.swapaxes(w_in, 1, 2) + 0.3 * rng.normal(size=(1700, n, d))) @ w_in
        # Unit diagonals of tied W, by scaling rows and columns alike.
        scale = 1 / np.sqrt(np.diagonal(tied, axis1=1, axis2=2))
        tied = tied * scale[:, :, None] * scale[:, None, :]
        for w in (tied, free, near):
            energy = pair_energy(w, p)
            assert np.all(energy >= some["all"] * (1 - 1e-9))
            unit = np.abs(w / np.diagonal(w, axis1=1, axis2=2)[..., None])
            capped = np.max(unit, axis=(1, 2)) <= 2
            assert np.all(energy[capped] >= some["couplings up to 2"] * (1 - 1e-9))
        assert np.all(pair_energy(tied, p) >= some["tied"] - 1e-9)


def test_random_balanced_codes():
    """(1 + t) X - t J with X the Gram matrix of random balanced vectors, t the least with W ≤ 0."""
    rng, n, d = np.random.default_rng(RNG), 24, 8
    bound = one_negative(n, d, triangles=True)
    for _ in range(300):
        x = rng.normal(size=(n, d - 1))
        for _ in range(500):
            x -= x.mean(axis=0)
            x /= np.linalg.norm(x, axis=1)[:, None]
        if np.abs(x.sum(axis=0)).max() > 1e-9:
            continue
        gram = x @ x.T
        top = np.max(gram - 2 * np.eye(n))
        t = top / (1 - top)
        assert pair_energy((1 + t) * gram - t, 1e-3) >= bound


@pytest.mark.parametrize("n_dense", [128, 256])
def test_trained_models(n_dense):
    from .models import DATA

    model = rt.read_weights(DATA / f"trained_512_{n_dense}.safetensors")
    some = values(1e-3, n_sparse=512, n_dense=n_dense)
    energy = pair_energy(model.w_out @ model.w_in, 1e-3)
    assert energy >= some["all"] and energy >= some["couplings up to 10"]


def test_pairs_attain_the_bound_of_tied_weights():
    assert values(1e-3, "tied", ratio=0.5) == pytest.approx(1 / 6)


def test_crossed_at_finite_p():
    """Linear weights at (0.5, 1/4): .0781 against .0808."""
    found = values(0.5, "all", ratio=0.25) * 0.25
    assert found == pytest.approx(0.0808, abs=5e-5)
    assert float(rt.linear_loss(0.5, 0.25)) == pytest.approx(0.0781, abs=5e-5)


def test_bad_values():
    with pytest.raises(ValueError, match="ratio, or n_sparse and n_dense, must be given"):
        rt.lower_bounds(0.1, 0.5, n_sparse=4, n_dense=2)
    with pytest.raises(ValueError, match="must be given"):
        rt.lower_bounds(0.1, n_sparse=4)
    with pytest.raises(ValueError, match="n_dense"):
        rt.lower_bounds(0.1, n_sparse=4, n_dense=5)


@pytest.mark.parametrize(("n", "d"), [(2, 1), (8, 7), (40, 39), (64, 63), (200, 199), (50, 3)])
def test_every_bound_is_a_number(n, d):
    """With one hidden unit less than features the linear program may have no solution."""
    assert all(0 <= x.value < 1 for x in rt.lower_bounds(0.01, n_sparse=n, n_dense=d))
