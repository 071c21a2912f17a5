"""What is public about amplitude laws holds for any law: our own, copies, and a stranger's.

Functions with the argument `amplitude` are found in the table of valid calls, which holds all that
is public.
"""

import dataclasses
import inspect
import re

import mpmath as mp
import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm

import rugtheory as rt
from rugtheory import darkmatter as dm
from rugtheory._check import shown
from rugtheory.channel.paths import log_transforms

from .laws.domain import SIGNED
from .strangers import copied_law
from .test_hostile import CALLS

EPS = float(np.finfo(float).eps)
# Parameters that a law has to cope with; a law that is missing here fails.
PARAMETERS = {
    rt.Uniform: [(0.0, 1.0), (0.5, 1.5), (0.999, 1.0)],
    rt.Constant: [(0.7,)],
    rt.Exponential: [(0.5,)],
    rt.HalfNormal: [(1.2,)],
    rt.TruncatedNormal: [(1.0, 0.5), (0.0, 1.2), (2.0, 0.05), (0.1, 3.0)],
    rt.Beta: [
        (2, 3), (0.5, 0.5), (0.1, 2), (1e-4, 1), (1.5, 2.5), (1, 100), (50, 50),
        (2, 1000), (200, 300), (1000.5, 1000.5), (3000, 1),
    ],
    rt.FromQuadrature: [((0.1, 0.5, 2.0), (1.0, 2.0, 1.0))],
}  # fmt: skip


def leaves(kind):
    """Concrete laws of the package below `kind`."""
    for one in kind.__subclasses__():
        if one.__module__.startswith("rugtheory") and not inspect.isabstract(one):
            yield one
        yield from leaves(one)


# A law that is new is tried with its default parameters.
FOUND = [
    law(*args) for law in dict.fromkeys(leaves(rt.Amplitude)) for args in PARAMETERS.get(law, [()])
]


def by_density(law, function, breaks=()):
    """E f(u) from the density of a law that is not written out here."""
    ends = {*law.breakpoints().tolist(), *(x for x in breaks if law.start < x < law.end)}
    return mp.quad(lambda u: function(u) * float(law.density(float(u))), sorted(ends))


@pytest.fixture(params=FOUND, ids=repr)
def law(request):
    return request.param


def test_an_unbounded_law_says_how_fast_it_falls():
    class Copy(rt.Amplitude):
        cumulants = rt.Exponential().cumulants
        transform = rt.Exponential().transform
        quadrature = rt.Exponential().quadrature
        sample = rt.Exponential().sample
        resolving = rt.Exponential().resolving
        breakpoints = rt.Exponential().breakpoints
        end = np.inf

    with pytest.raises(TypeError, match="Copy is unbounded, so it must define abscissa"):
        rt.RowChannel.of([0.5], 0.1, Copy()).loss(1.0, 0.0)


class TestLaws:
    def test_logarithms_of_large_transforms(self, law):
        """They rise with s, and are infinite, not nothing, from where a transform overflows."""
        s = np.concatenate([-np.geomspace(1e6, 1, 20), np.geomspace(1, 1e6, 40)])
        found = log_transforms(law, s)
        assert not np.isnan(found).any() and np.all(found[:-1] <= found[1:])
        assert found[0] < 0 and found[-1] == np.inf

    def test_transform(self, law):
        """E e^{tu} on and off the real axis, against mpmath's Kummer function and definition."""
        deviation = np.sqrt(law.variance) or 1.0
        t = np.array([0, 1, 3 + 0.1j, 1j, -2 + 8j, 1 - 20j, 0.5 + 60j, -0.3 + 200j]) / deviation
        # Beyond, E e^{tu} overflows, or mpmath takes minutes.
        t = t[(t.real < law.abscissa) & (t.real * law.mean < 600) & (np.abs(t) < 1500)]
        found, scale = law.mgf(t), law.mgf(t.real).real
        for z, value, size in zip(t, found, scale, strict=True):
            # tu has a rounding of its own
            least = 1e-14 + 4 * EPS * abs(z) * law.reach
            error = abs(complex(definition(law, z)) - value)
            assert error <= (least + law.transform_error) * size

    def test_kinks(self, law):
        """E (u - k)₊² by the rule that resolves kinks, against the tail of the law in mpmath."""
        deviation = np.sqrt(law.variance)
        for k in (0.0, law.mean, law.mean + deviation, law.mean + 3 * deviation):
            nodes, weights = law.resolving(np.array([k]), np.array([0.0]))
            found = float((weights * np.maximum(nodes - k, 0) ** 2).sum())
            truth = float(excess(law, k))
            assert found == pytest.approx(truth, rel=2e-12, abs=1e-16 * law.second_moment)

    def test_rules_have_the_moments(self, law):
        nodes, weights = law.quadrature(6)
        assert weights.sum() == pytest.approx(1, rel=1e-13)
        assert weights @ nodes == pytest.approx(law.mean, rel=1e-12)
        assert weights @ nodes**2 == pytest.approx(law.second_moment, rel=1e-12)

    def test_density_at_zero_needs_no_closed_form(self, law):
        found, copy = law.density_at_zero, copied_law(law).density_at_zero
        assert copy == pytest.approx(found, rel=1e-8)


def definition(law, t):
    """E e^{tu} by mpmath."""
    t = mp.mpc(complex(t))
    with mp.workdps(40):
        match law:
            case rt.Beta(a, b):
                return mp.hyp1f1(a, mp.mpf(a) + b, t, maxterms=10**6)
            case rt.Uniform(low, high):
                width = mp.mpf(high) - low
                return (mp.exp(t * high) - mp.exp(t * low)) / (t * width) if t else mp.mpf(1)
            case rt.Exponential(s):
                return 1 / (1 - mp.mpf(s) * t)
            case rt.HalfNormal(s):
                z = mp.mpf(s) * t
                return mp.exp(z * z / 2) * mp.erfc(-z / mp.sqrt(2))
            case rt.TruncatedNormal(c, s):
                c, s = mp.mpf(c), mp.mpf(s)
                above = [mp.erfc(-(c / s + x) / mp.sqrt(2)) for x in (s * t, 0)]
                return mp.exp(c * t + (s * t) ** 2 / 2) * above[0] / above[1]
            case rt.Amplitude() if law.atoms() is None:
                turns = np.linspace(law.start, law.end, int(abs(t)) // 5 + 2)
                return by_density(law, lambda u: mp.exp(t * u), turns)
            case _:
                nodes, weights = law.atoms()
                return sum(mp.mpf(w) * mp.exp(t * u) for u, w in zip(nodes, weights, strict=True))


def excess(law, k):
    """E (u - k)₊² by mpmath."""
    with mp.workdps(30):
        k = mp.mpf(k)
        match law:
            case rt.Beta(a, b):
                a, b = mp.mpf(a), mp.mpf(b)
                if k >= 1:
                    return mp.mpf(0)
                tail = [mp.betainc(a + n, b, k, 1) / mp.beta(a, b) for n in range(3)]
                return tail[2] - 2 * k * tail[1] + k * k * tail[0]
            case rt.Uniform(low, high):
                below = max(low - k, mp.mpf(0))
                return (max(high - k, mp.mpf(0)) ** 3 - below**3) / (3 * (mp.mpf(high) - low))
            case rt.Exponential(s):
                return 2 * mp.mpf(s) ** 2 * mp.exp(-k / s)
            case rt.HalfNormal(s):
                z = k / s
                return 2 * mp.mpf(s) ** 2 * ((1 + z * z) * mp.ncdf(-z) - z * mp.npdf(z))
            case rt.TruncatedNormal(c, s):
                z, s = (k - mp.mpf(c)) / mp.mpf(s), mp.mpf(s)
                moment = (1 + z * z) * mp.ncdf(-z) - z * mp.npdf(z)
                return s * s * moment / mp.ncdf(mp.mpf(c) / s)
            case rt.Amplitude() if law.atoms() is None:
                return by_density(law, lambda u: max(u - k, mp.mpf(0)) ** 2, [float(k)])
            case _:
                pairs = zip(*law.atoms(), strict=True)
                return sum(mp.mpf(w) * max(u - k, mp.mpf(0)) ** 2 for u, w in pairs)


# Gradients are of laws with a density.
_OF_A_DENSITY = {
    rt.exact_gradient, rt.exact_hessian_product, rt.exact_loss_torch, rt.minimize, rt.row_law,
}  # fmt: skip
# They only hold the law.
_JOINT_LAWS = (
    rt.Identical, rt.Independent, rt.Latent, rt.Together, rt.Exclusive, rt.Parent, rt.Patterned,
)  # fmt: skip


def taking_amplitude():
    """Calls of everything public that takes an amplitude law, with the name of p in each."""
    for name, (function, arguments) in CALLS.items():
        # Of samples only the law is the same.
        simple = {"amplitude", "p"} <= arguments.keys() or of_features(arguments)
        if simple and function not in (dm.synthetic, dm.run_bench, *_JOINT_LAWS):
            yield pytest.param(function, arguments, id=name)


def of_features(arguments):
    return isinstance(arguments.get("features"), rt.Features)


def called(function, arguments, p, amplitude):
    given = {"p": p, "amplitude": amplitude}
    if of_features(arguments):
        given = {"features": rt.Identical(len(arguments["features"]), **given)}
    found = function(**(arguments | given))
    if dataclasses.is_dataclass(found):
        return {
            f.name: np.asarray(getattr(found, f.name), float)
            for f in dataclasses.fields(found)
            if _numeric(getattr(found, f.name)) and f.name not in _OF_THE_LAW
        }
    if hasattr(found, "data_vars"):
        return {name: found[name].values for name in found.data_vars}
    return {"value": np.asarray(found, float)} if _numeric(found) else {}


# What is given on that a feature is on, or is the p that was given, or a stated error, or an
# estimate from a few products with a Hessian.
_OF_THE_LAW = {
    "curvature",
    "on",
    "on_probability",
    "p",
    "numerical_error",
    "error",
    "mean_error",
    "distance_error",
    "law",
}


def _numeric(value):
    return value is not None and np.asarray(value).dtype.kind in "iuf"


def alike(function, one, two):
    assert one.keys() == two.keys()
    searched = function in _SEARCHED
    rel = 1e-4 if searched or function in _TO_FOUR_DIGITS else 1e-7
    for name, value in one.items():
        if searched and name not in ("loss", "best"):
            continue
        scale = np.max(np.abs(value[np.isfinite(value)]), initial=0.0)
        np.testing.assert_allclose(two[name], value, rel, rel * scale, err_msg=name)


# What rests on features that are not negative, and why.
_SCREENING = "where a ReLU has to screen interference of one sign"
_ONE_SIGN = (
    dict.fromkeys(
        (
            "antipodal_optimum", "best_known", "best_model", "graph_optimum", "precedence_loss",
            "uneven_pairs",
        ),
        _SCREENING,
    )
    | dict.fromkeys(
        (
            "allocate", "allocated_model", "allocation_phases", "allocation_scaling",
            "sparse_allocation_law",
        ),
        "where hidden units are shared out",
    )
    | {
        "row_law": "to share a law",
        "rug_dark_matter": "for the closed form of what a rug leaves",
    }
)  # fmt: skip


@pytest.mark.parametrize("law", SIGNED, ids=repr)
@pytest.mark.parametrize("name", [call.id for call in taking_amplitude()])
def test_amplitudes_of_either_sign(name, law):
    """They are refused by name and with a reason, or there is an answer."""
    function, arguments = CALLS[name]
    if name in _ONE_SIGN:
        refused = rf"(amplitude|features) must not be negative {_ONE_SIGN[name]}, got "
        with pytest.raises(ValueError, match=refused + re.escape(shown(law))):
            called(function, arguments, 0.1, law)
    elif function in _OF_A_DENSITY and law.atoms() is not None:
        with pytest.raises(ValueError, match="with a density of amplitudes"):
            called(function, arguments, 0.1, law)
    else:
        called(function, arguments, 0.1, law)


# They take long for laws with a density.
_LONG = {
    rt.antipodal_optimum, rt.best_known, rt.best_model, rt.critical_ratio, rt.explain,
    rt.graph_optimum, rt.mixture_loss, rt.represented_fraction, rt.statistics, rt.uneven_pairs,
}  # fmt: skip


def copies():
    """Every call with a law of each kind."""
    for call in taking_amplitude():
        for law in (rt.Uniform(), rt.Exponential(), rt.Constant()):
            if call.values[0] in _OF_A_DENSITY and law.atoms() is not None:
                continue
            slow = call.values[0] in _LONG and (law.atoms() is None or call.values[0] is rt.explain)
            slow |= call.values[0] is rt.row_law and law == rt.Exponential()
            marks = [pytest.mark.slow] if slow else []
            yield pytest.param(*call.values, law, id=f"{call.id}-{law}", marks=marks)


@pytest.mark.parametrize(("function", "arguments", "law"), list(copies()))
def test_copies_of_a_law(function, arguments, law):
    """A law known by its abstract methods alone gives what ours gives."""
    given = [called(function, arguments, 0.1, x) for x in (law, copied_law(law))]
    alike(function, *given)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        pytest.param(*x.values, id=x.id, marks=[pytest.mark.slow] * (x.values[0] is rt.explain))
        for x in taking_amplitude()
        if x.values[0] not in _OF_A_DENSITY
    ],
)
def test_an_atom_at_zero(function, arguments):
    """p = 0.4 with amplitudes that are 0 in three of four cases is p = 0.1 without."""
    given = [
        called(function, arguments, 0.1, rt.FromQuadrature([0.5, 1.0], [1.0, 2.0])),
        called(function, arguments, 0.4, rt.FromQuadrature([0.0, 0.5, 1.0], [9.0, 1.0, 2.0])),
    ]
    alike(function, *given)


# Of what a search finds the loss is known far better than where it is.
_SEARCHED = {
    rt.graph_optimum, rt.uneven_pairs, rt.antipodal_optimum, rt.best_known, rt.explain,
}  # fmt: skip
_TO_FOUR_DIGITS = {rt.critical_ratio, rt.represented_fraction, rt.statistics}


def test_a_new_law_against_simulation():
    """A triangular law, u = (v + w)/2 of two uniform v and w, written against the base class."""

    class Triangle(rt.Amplitude):
        end = 1.0

        def cumulants(self):
            return 0.5, 1 / 24, 0.0, -1 / 960

        def transform(self, t, order):
            half = rt.Uniform(0, 0.5)
            value = half.transform(t, 0)
            return 2 * value * half.transform(t, 1) if order else value**2

        def breakpoints(self):
            return np.array([0.0, 0.5, 1.0])

        def quadrature(self, n):
            nodes, weights = self.resolving(np.array([0.5]), np.array([0.0]))
            return nodes[:, 0], weights[:, 0]

        def resolving(self, kink, width):
            kinks = np.clip(kink + width * np.linspace(-9, 9, 19)[:, None], 0, 1)
            fixed = np.broadcast_to([[0.0], [0.5], [1.0]], (3, width.size))
            points = np.sort(np.concatenate([kinks, fixed]), axis=0)
            x, w = np.polynomial.legendre.leggauss(12)
            length = np.diff(points, axis=0)
            u = (points[:-1] + length * (1 + x[:, None, None]) / 2).reshape(-1, width.size)
            weights = (length * w[:, None, None] / 2).reshape(-1, width.size)
            return u, weights * 4 * np.minimum(u, 1 - u)

        def sample(self, shape, seed):
            rng = np.random.default_rng(seed)
            return (rng.random(shape) + rng.random(shape)) / 2

    law, rng = Triangle(), np.random.default_rng(3)
    p, sigma, a, b, n = 0.2, 0.15, 1.1, -0.1, 400_000
    x = rt.SparseSource(p, law).sample(n, rng)
    squares = (x - np.maximum(a * (x + sigma * rng.normal(size=n)) + b, 0)) ** 2
    gap = squares.mean() - rt.reduced_loss(a, b, sigma, p, amplitude=law)
    assert abs(gap) < 4 * squares.std() / np.sqrt(n)
    best = rt.optimum(p, sigma=sigma, amplitude=law)
    assert best.loss <= rt.reduced_loss(a, b, sigma, p, amplitude=law)
    w = np.array([0.3, -0.4])
    z = rt.SparseSource(p, law).sample((n, 2), rng) @ w
    squares = (x - np.maximum(a * x + z + b, 0)) ** 2
    exact = rt.RowChannel.of(w, p, law).loss(a, b)
    assert abs(squares.mean() - exact.value) < 4 * squares.std() / np.sqrt(n)
    # Few amplitudes are near 0: there is no term of the order of σ³ from what a threshold misses.
    constants = rt.sparse_constants(p, amplitude=law)
    assert law.density_at_zero == 0 and np.isfinite(constants.next)
    assert ndtr(-constants.shift) < 0.5


@pytest.mark.parametrize("law", [rt.Uniform(-1, 1), rt.Uniform(-0.4, 1.1), rt.Uniform(-2, -0.5)])
@pytest.mark.parametrize(("a", "b", "sigma"), [(1.2, -0.3, 0.2), (-0.7, 0.1, 0.5), (1.1, 0.4, 3.0)])
def test_losses_of_signed_amplitudes(law, a, b, sigma):
    """Loss and gradient by quadrature of the definition over u and the noise."""
    p = 0.3
    u, w = np.polynomial.legendre.leggauss(60)
    e = abs(a) * sigma

    def loss(x, a, b):
        z = (a * x + b) / e
        first = e * (norm.pdf(z) + z * norm.cdf(z))
        second = e**2 * ((1 + z**2) * norm.cdf(z) + z * norm.pdf(z))
        return x**2 - 2 * x * first + second

    kink = np.clip(-b / a, law.low, law.high)
    on = 0.0
    for low, high in ((law.low, kink), (kink, law.high)):
        for k in range(8):
            left, right = low + (high - low) * k / 8, low + (high - low) * (k + 1) / 8
            x = left + (right - left) * (1 + u) / 2
            on += (right - left) / 2 * w @ loss(x, a, b)
    expected = p * on / (law.high - law.low) + (1 - p) * loss(0.0, a, b)
    assert rt.reduced_loss(a, b, sigma, p, amplitude=law) == pytest.approx(expected, rel=1e-11)
    slope, h = rt.loss_gradient(a, b, sigma, p, amplitude=law), 1e-5

    def moved(*by):
        return float(rt.reduced_loss(a + by[0], b + by[1], sigma + by[2], p, amplitude=law))

    for k, found in enumerate((slope.a, slope.b, slope.sigma)):
        step = h * np.eye(3)[k]
        assert float(found) == pytest.approx((moved(*step) - moved(*-step)) / (2 * h), abs=1e-7)


@pytest.mark.parametrize("law", [rt.Uniform(-1, 1), rt.Uniform(-0.4, 1.1), rt.Constant(-1.0)])
def test_pairs_of_signed_amplitudes(law):
    a, b, p = 1.2, -0.1, 0.3
    model, features = rt.Model([[1.0, -1.0]], [[a], [-a]], b), rt.Identical(2, p, law)
    exact = rt.exact_loss(model, features, rtol=1e-10).mean
    assert rt.antipodal_loss(a, b, 0.0, p, amplitude=law) == pytest.approx(exact, rel=1e-8)
