"""The bound for all weights at every p: below exact losses of rows and of models of all kinds."""

from functools import partial

import mpmath as mp
import numpy as np
import pytest
import scipy

import rugtheory as rt
from rugtheory.theory.lower_all_p import all_p, of_row

from .models import TRAINED
from .oracle.enumeration import uniform_loss

RNG = 20261127
ROOT = float(np.sqrt(2))
LEAST = np.linspace(0, 0.95, 20)[:, None]
# Couplings of a row of few features, from n - 1 normal numbers.
ROWS = {
    "any": lambda x: x,
    "negative": lambda x: -np.abs(x),
    "positive": np.abs,
    "at the edge": lambda x: np.full_like(x, -ROOT),
    "equal": lambda x: np.full_like(x, -np.abs(x[0])),
    "small": lambda x: 0.1 * x,
    "huge": lambda x: 1e6 * x,
    "one huge": lambda x: np.append(-1e6, x[1:]),
}


def bounds(p, n, d, cap=10.0, noise=0.0):
    """For all weights, and for those with a cap."""
    some = rt.lower_bounds(p, n_sparse=n, n_dense=d, max_coupling=cap, hidden_noise=noise)
    found = [x.value for x in some if x.scope == "all p"]
    assert len(found) == 2 + (noise > 0)
    return found


def least_of_row(couplings, p):
    """Over a and b, by enumeration of who is on."""

    def loss(at):
        return float(uniform_loss(at[0], at[0] * couplings, at[1], p))

    search = partial(scipy.optimize.minimize, loss, method="Nelder-Mead")
    starts = (1.0, 0.0), (1.0, -0.01), (0.7, 0.02)
    return min(loss(starts[0]), *(search(x, options={"maxfev": 40}).fun for x in starts[1:]))


@pytest.mark.parametrize("kind", ROWS)
def test_rows(kind):
    """What the theorem says of one row, at its best a and b."""
    rng = np.random.default_rng(RNG)
    for n in (2, 3, 4):
        for p in (3e-4, 10 ** rng.uniform(-3, -0.3), rng.uniform(0.5, 0.99)):
            couplings = ROWS[kind](rng.normal(size=n - 1))
            least = least_of_row(couplings, p)
            t = np.minimum(2.0, couplings**2).sum()
            assert np.max(of_row(p, np.array([t]), ROOT, LEAST)) <= least
            cap = float(np.max(np.abs(couplings)))
            if cap <= ROOT:
                t = np.sum(couplings**2)
                assert np.max(of_row(p, np.array([t]), cap, LEAST)) <= least


def test_rows_come_near():
    """The worst couplings, where features are rare."""
    p = 1e-6
    (found,) = of_row(p, np.array([4.0]), ROOT, np.zeros((1, 1)))
    assert found == pytest.approx(least_of_row(np.full(2, -ROOT), p), rel=5e-3)


@pytest.mark.parametrize(("cap", "least"), [(ROOT, 0.0), (ROOT, 0.3), (0.5, 0.2), (0.2, 0.6)])
def test_formula(cap, least):
    """Λ from the definition of m(c, u) by numerical integrals."""
    p, t = 0.03, 2.5

    def square(u):
        edge = [0, min(1, u / cap), 1]
        return mp.quad(lambda w: min(cap * w, u) ** 2, edge) / cap**2

    alone = p**2 * (1 - p) * t * mp.quad(square, sorted({least, max(cap, least), 1} - {ROOT}))
    k = mp.sqrt(p * (1 - p) * t * square(max(least, 1e-30)) / max(least, 1e-30) ** 2) / 2
    q = mp.sqrt(alone / (mp.mpf(p) / 3 - mp.mpf(p) ** 2 / 4))
    (found,) = of_row(p, np.array([t]), cap, np.array([[least]]))
    assert found == pytest.approx(float(alone / (k + mp.sqrt(1 + (k + q) ** 2)) ** 2), rel=1e-12)


@pytest.mark.parametrize("cap", [ROOT, 0.7, 1e-3])
def test_rows_are_concave_and_rise(cap):
    """Without which chords, and rows that differ, were no bounds."""
    t = np.linspace(0, 50, 2001)
    for p in (1e-6, 0.01, 0.3, 0.99):
        rows = of_row(p, t, cap, LEAST)
        assert np.all(np.diff(rows) > 0)
        assert np.all(np.diff(rows, 2) <= 1e-13 * rows[:, 2:])
        assert np.all(rows <= rt.SparseSource(p).variance)


def random_model(rng, n, d):
    """Columns and rows of very different lengths, biases, dead features and duplicates."""
    w_in = rng.normal(size=(d, n)) * np.exp(rng.normal(size=n) * rng.choice([0.0, 1.0, 5.0]))
    w_out = rng.choice([0.0, 0.3, 3.0]) * rng.normal(size=(n, d)) + w_in.T
    diagonal = np.einsum("ij,ji->i", w_out, w_in)
    # To a diagonal of about 1, positive most often.
    w_out *= (rng.uniform(0.6, 1.5, n) / np.where(diagonal == 0, 1, diagonal))[:, None]
    if rng.random() < 0.3:
        w_out[0] *= -1
    if rng.random() < 0.3:
        w_out[1] = 0
    if rng.random() < 0.3:
        w_in[:, -1], w_out[-1] = w_in[:, 0], w_out[0]
    return rt.Model(w_in, w_out, rng.normal(size=n) * rng.choice([0, 0.02, 0.2]))


def below(model, p):
    """Both bounds, of the model's own largest coupling, and the exact loss."""
    n = model.n_sparse
    w = model.w_out @ model.w_in
    alive = np.diag(w) > 0
    unit = np.abs(w[np.ix_(alive, alive)]) / np.diag(w)[alive][:, None]
    cap = max(float(np.max(unit - np.eye(len(unit)), initial=0)), 1e-9)
    exact = rt.exact_loss(model, rt.Identical(n, p), rtol=1e-3)
    for value in bounds(p, n, model.n_dense, cap):
        assert 0 <= value <= exact.mean + exact.mean_error
    return exact.mean


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in range(1, 8))]
)
def test_random_models(seed):
    rng = np.random.default_rng(RNG + seed)
    for _ in range(50):
        n = int(rng.integers(2, 9))
        p = float(rng.choice([1e-6, 10 ** rng.uniform(-4, 0), rng.uniform(0.3, 1), 1.0]))
        below(random_model(rng, n, int(rng.integers(1, n + 1))), p)


@pytest.mark.parametrize(
    "p", [0.03, *(pytest.param(x, marks=pytest.mark.slow) for x in (1e-4, 0.01, 0.1, 0.5, 0.9))]
)
def test_structures(p):
    """Rugs, pairs, graphs, orders of precedence, small codes, polygons, what descents find."""
    models = [
        rt.precedence_code(6, 30.0).model(),
        rt.uneven_pairs(p).model(),
        rt.graph_code("Clebsch").model(rt.graph_optimum(p, "Clebsch")),
        rt.best_model(12, 3, p, max_coupling=3.0).model,
        rt.best_model(15, 2, p).model,
    ]
    rug, best = rt.hadamard_rug(64, 16, seed=0), rt.optimum(p, 0.25)
    models.append(rt.Model(rug.w_in, rug.w_out(float(best.a)), float(best.b)))
    antipodal, best = rt.antipodal_rug(32, 8, seed=0), rt.antipodal_optimum(p, 0.25)
    models.append(rt.Model(antipodal.w_in, antipodal.w_out(float(best.a)), float(best.b)))
    for k in (3, 4, 5, 8, 13):
        angle = 2 * np.pi * np.arange(k) / k
        around = np.stack([np.cos(angle), np.sin(angle)])
        models += [rt.Model(around, a * around.T, b) for a, b in ((1, 0), (1.1, -0.1), (0.6, 0.02))]
    for model in models:
        below(model, p)


@pytest.mark.parametrize(
    ("n", "d", "p"), [(6, 2, 0.3), pytest.param(5, 4, 0.01, marks=pytest.mark.slow)]
)
def test_descents(n, d, p):
    found = rt.minimize(rt.Identical(n, p), d, seed=0, steps=150)
    assert below(found.model, p) == pytest.approx(found.loss, rel=1e-3)


@pytest.mark.parametrize("stem", ["trained_512_128", "trained_512_256"])
def test_trained_models(stem):
    """At p = 0.045, where 23 features are on at a time."""
    model = rt.read_weights(TRAINED[stem])
    loss = rt.exact_loss(model, rt.Identical(512, 0.045), rows=16, seed=0).mean
    first, _ = bounds(0.045, 512, model.n_dense)
    assert 0.1 * loss < first < 0.5 * loss


def test_with_noise():
    """Noise is a bias that is drawn anew."""
    rng = np.random.default_rng(RNG)
    for _ in range(10):
        model, p = random_model(rng, 5, 2), float(10 ** rng.uniform(-3, 0))
        noisy = rt.Model(model.w_in, model.w_out, model.b, hidden_noise=float(rng.uniform(0, 0.5)))
        value, _, _ = bounds(p, 5, 2, noise=noisy.hidden_noise)
        assert value <= rt.exact_loss(noisy, rt.Identical(5, p)).mean


@pytest.mark.parametrize("p", [1e-9, 1e-3, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("ratio", [1e-6, 0.1, 0.25, 0.99, 1.0])
def test_below_what_is_known(p, ratio):
    value = all_p(p, ratio, ROOT)
    assert 0 <= value <= rt.linear_loss(p, ratio)
    assert value <= rt.optimum(p, ratio).loss
    if ratio == 0.25:
        assert value <= rt.best_known(p, ratio).loss


@pytest.mark.parametrize("cap", [ROOT, 1.0, 0.01])
@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.5, 0.9])
def test_rare_features(ratio, cap):
    """As p → 0 it is the bound on the pair energy."""
    p = 1e-12
    some = rt.lower_bounds(p, ratio, max_coupling=cap)
    rare = next(x.value for x in some if x.weights == f"couplings up to {cap:g}")
    assert all_p(p, ratio, cap) == pytest.approx(rare, rel=2e-4)


@pytest.mark.parametrize(
    ("p", "ratio", "cap"), [(0.01, 0.25, ROOT), (0.1, 0.1, ROOT), (0.3, 0.5, 0.2)]
)
def test_integral(p, ratio, cap):
    """Chords are below the integral, and near it."""
    value = all_p(p, ratio, cap)

    def mean(least):
        def row(x):
            return float(of_row(p, np.array([2 * x / ratio - 1]), cap, np.array([[least]]))[0, 0])

        return scipy.integrate.quad(row, ratio, 1, epsabs=0, epsrel=1e-11)[0]

    best = max(mean(least) for least in np.linspace(0, 0.95, 39))
    assert best * (1 - 1e-4) <= value <= best * (1 + 1e-10)


def test_caps_beyond_what_is_small():
    """A cap that is next to nothing is no trouble, and one above √2 is none."""
    assert all_p(0.01, 0.25, 1e-300) == all_p(0.01, 0.25, 1e-6)
    some = rt.lower_bounds(0.01, 0.25, max_coupling=1e50)
    assert [x.value for x in some if x.scope == "all p"] == [all_p(0.01, 0.25, ROOT)] * 2
    assert rt.lower_bounds(1e-290, 0.25)[-1].value == 0  # rounded to it
