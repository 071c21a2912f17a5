"""Losses and optima from their definition, integrated numerically at high precision.

Nothing here knows the closed forms of the package, nor imports it.  The expectations are

    L(a, b, σ) = E (x - ReLU(a (x + ν) + b))²,  x = c u, c ~ Bernoulli(p), ν ~ N(0, σ²),

with ν integrated by Gauss–Legendre rules over panels between the kinks of the integrand.  For the
uniform law the integral over u at fixed ν is one of a quadratic on either side of the kink, which a
two-point Gauss rule does exactly; for the other laws u is integrated over panels as well.
"""

from collections.abc import Callable, Iterable
from functools import cache
from itertools import pairwise

import mpmath as mp

DIGITS = 50
# Digits that are written down; the rest absorbs rounding.
KEPT = 32
ORDER = 36

UNIFORM = "uniform(0;1)"
# Amplitude laws by name: density and panels.  Parameters are as float64 holds them.
LAWS: dict[str, tuple[Callable, list]] = {
    "exponential(0.5)": (lambda u: 2 * mp.exp(-2 * u), [0, 1, 3, 6, 10, 16, 24, 32]),
    "halfnormal(1.2)": (
        lambda u: mp.sqrt(2 / mp.pi) / mp.mpf(1.2) * mp.exp(-((u / mp.mpf(1.2)) ** 2) / 2),
        [0, 1, 2, 3, 5, 7, 9, 12, 15],
    ),
    "beta(2;3)": (lambda u: 12 * u * (1 - u) ** 2, [0, 1]),
    "uniform(0.2;1.5)": (lambda u: 1 / (mp.mpf(1.5) - mp.mpf(0.2)), [mp.mpf(0.2), mp.mpf(1.5)]),
    "uniform(0.5;0.6)": (lambda u: 1 / (mp.mpf(0.6) - mp.mpf(0.5)), [mp.mpf(0.5), mp.mpf(0.6)]),
}
ATOMS = {"constant(0.7)": mp.mpf(0.7)}

Vector = list


def expectation(g: Callable, kink, sigma, law: str = UNIFORM) -> tuple[Vector, Vector]:
    """E g(u, ν) given that the feature is on, and E g(0, ν) given that it is off.

    `g` returns a list; each entry is a polynomial, of degree at most 3 in u, on either side of
    u + ν = `kink`.
    """
    off = _over_noise(lambda nu: g(mp.mpf(0), nu), [kink], sigma)
    if law == UNIFORM:
        on = _over_noise(lambda nu: _over_unit(g, nu, kink - nu), [kink, kink - 1], sigma)
    elif law in ATOMS:
        value = ATOMS[law]
        on = _over_noise(lambda nu: g(value, nu), [kink - value], sigma)
    else:
        density, panels = LAWS[law]
        near = [kink + k * sigma for k in (-12, -8, -5, -2.5, 0, 2.5, 5, 8, 12)]
        points = sorted({*map(mp.mpf, panels), *(x for x in near if panels[0] < x < panels[-1])})
        nodes = [(u, w * density(u)) for u, w in _panels(points, 20)]
        on = _sum((w, _over_noise(lambda nu, u=u: g(u, nu), [kink - u], sigma)) for u, w in nodes)
    return on, off


def _over_unit(g, nu, split) -> Vector:
    ends = [mp.mpf(0), split, mp.mpf(1)] if 0 < split < 1 else [mp.mpf(0), mp.mpf(1)]
    return _sum((w, g(u, nu)) for u, w in _panels(ends, 2))


def _over_noise(f, kinks, sigma) -> Vector:
    """E f(ν), f polynomial between the `kinks`, with relative precision also where f is rare."""
    if sigma == 0:
        return f(mp.mpf(0))
    points = {sigma * k for k in (-16, -12, -8, -5, -2.5, 0, 2.5, 5, 8, 12, 16)}
    for kink in kinks:
        # Beyond a far kink the density falls on the scale σ²/|kink|.
        if abs(kink) < 40 * sigma:
            fall = sigma / (1 + abs(kink) / sigma)
            points |= {kink + fall * k for k in (-60, -30, -14, -6, -2, 0, 2, 6, 14, 30, 60)}
    scale = 1 / (sigma * mp.sqrt(2 * mp.pi))
    nodes = _panels(sorted(points), ORDER)
    return _sum((w * scale * mp.exp(-((nu / sigma) ** 2) / 2), f(nu)) for nu, w in nodes)


def _panels(points: list, order: int) -> Iterable[tuple]:
    for low, high in pairwise(points):
        half, middle = (high - low) / 2, (high + low) / 2
        for x, w in _legendre(order, mp.mp.dps):
            yield middle + half * x, half * w


@cache
def _legendre(order: int, digits: int) -> list[tuple]:
    """Nodes and weights on [-1, 1] by Newton's method on the Legendre polynomial."""
    rule = []
    with mp.workdps(digits + 10):
        for k in range(order):
            x = mp.cos(mp.pi * (k + mp.mpf(3) / 4) / (order + mp.mpf(1) / 2))
            for _ in range(12):
                below, here = mp.mpf(1), x
                for n in range(2, order + 1):
                    below, here = here, ((2 * n - 1) * x * here - (n - 1) * below) / n
                slope = order * (x * here - below) / (x * x - 1)
                x -= here / slope
            rule.append((+x, 2 / ((1 - x * x) * slope**2)))
    return rule


def _sum(terms: Iterable[tuple]) -> Vector:
    total: Vector = []
    for weight, values in terms:
        total = total or [mp.mpf(0)] * len(values)
        total = [t + weight * value for t, value in zip(total, values, strict=True)]
    return total


def loss(a, b, sigma, p, law: str = UNIFORM) -> tuple:
    """On, off and total loss."""
    a, b, sigma, p = map(mp.mpf, (a, b, sigma, p))

    def error(u, nu):
        return [(u - max(a * (u + nu) + b, 0)) ** 2]

    (on,), (off,) = expectation(error, -b / a if a != 0 else mp.mpf(-1), sigma, law)
    return on, off, p * on + (1 - p) * off


def moments(theta, sigma, p, law: str = UNIFORM) -> Vector:
    """E[x; h > 0], E[x h], E[h], E[h²] with h = ReLU(x + ν - θ)."""

    def g(u, nu):
        h = max(u + nu - theta, 0)
        return [u if h > 0 else mp.mpf(0), u * h, h, h * h]

    on, off = expectation(g, theta, sigma, law)
    return [p * x + (1 - p) * y for x, y in zip(on, off, strict=True)]


def imbalance(theta, sigma, p, law: str = UNIFORM):
    """Zero where the loss, minimal in a, is stationary in the threshold θ = -b/a.

    Minimal in a: a = E[xh]/E[h²].  Stationary in θ: E[(x - ah); h > 0] = 0.
    """
    x, xh, h, hh = moments(theta, sigma, p, law)
    return (x * hh - xh * h) / (h * hh)


def optimum(sigma, p, guess, law: str = UNIFORM) -> tuple:
    """a, b and loss at the stationary point next to `guess`, a value of -b/a good to 8 digits."""
    sigma, p, guess = mp.mpf(sigma), mp.mpf(p), mp.mpf(guess)
    scale = sigma + abs(guess)
    before, theta = guess - scale * mp.mpf(10) ** -8, guess
    f_before, step = imbalance(before, sigma, p, law), scale
    # A secant step multiplies the digits by 1.6; when it no longer shrinks, rounding is reached.
    for _ in range(12):
        f = imbalance(theta, sigma, p, law)
        last = step
        if f == f_before:
            break
        step = -f * (theta - before) / (f - f_before)
        if abs(step) >= abs(last):
            break
        before, f_before, theta = theta, f, theta + step
    if abs(last) > scale * mp.mpf(10) ** (4 - KEPT) or abs(theta - guess) > scale / 10**6:
        raise ArithmeticError(f"no root next to {guess} at sigma = {sigma}, p = {p}")
    _, xh, _, hh = moments(theta, sigma, p, law)
    a = xh / hh
    return a, -a * theta, loss(a, -a * theta, sigma, p, law)[2]


def profile(theta, sigma, p, law: str = UNIFORM):
    """The loss at threshold θ with the best a."""
    _, xh, _, hh = moments(theta, sigma, p, law)
    a = xh / hh
    return loss(a, -a * theta, sigma, p, law)[2]


def welch_sigma(p, ratio):
    """σ² = v(p)(1/r - 1), equation (6) of arXiv:2410.12101, uniform amplitudes."""
    p, ratio = mp.mpf(p), mp.mpf(ratio)
    return mp.sqrt((p / 3 - p * p / 4) * (1 / ratio - 1))


def dark_matter(p, ratio, a, b, law: str = UNIFORM) -> Vector:
    """The code x̂ = ReLU(a (x + ν) + b) of a rug regressed on x and on ν, σ from the bound.

    Linear error (1 - κ/r)², κ = rα + (1-r)β, and nonlinear error Var(rest), both over Var x; the
    slopes α and β; and E x̂.
    """
    p, ratio, a, b = map(mp.mpf, (p, ratio, a, b))

    def average(g: Callable, sigma, kink) -> Vector:
        on, off = expectation(g, kink, sigma, law)
        return [p * x + (1 - p) * y for x, y in zip(on, off, strict=True)]

    mean, second = average(lambda u, nu: [u, u * u], mp.mpf(0), mp.mpf(-1))
    variance = second - mean**2
    sigma = mp.sqrt(variance * (1 - ratio) / ratio)
    kink = -b / a

    def code(u, nu):
        return max(a * (u + nu) + b, 0)

    def products(u, nu):
        return [code(u, nu), (u - mean) * code(u, nu), nu * code(u, nu)]

    m, signal, noise = average(products, sigma, kink)
    signal, noise = signal / variance, noise / sigma**2

    def rest(u, nu):
        return [(code(u, nu) - m - signal * (u - mean) - noise * nu) ** 2]

    nonlinear = average(rest, sigma, kink)[0] / variance
    linear = (1 - signal - (1 - ratio) / ratio * noise) ** 2
    return [linear, nonlinear, signal, noise, m]
