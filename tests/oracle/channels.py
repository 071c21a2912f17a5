"""Losses of decoders in the Gaussian channel, integrated over the reading with mpmath.

Uniform amplitudes on [0, 1].  Given that the feature is on, the reading y = u + ν has density
P(0 < y - ν < 1), and u, u² have the posterior averages that follow from the truncated normal law.
"""

from functools import cache
from itertools import pairwise

import mpmath as mp
import numpy as np

DIGITS = 30
# Integrands are analytic, with no pole nearer than half of a panel of length σ: posteriors that
# turn at y = tσ have theirs at πσ/t.  Tanh-sinh gives the same doubles in four times as long.
ORDER = 24


def density_on(y, sigma):
    """Density of the reading, and it times E[u | y] and E[u² | y]."""
    low, high = -y / sigma, (1 - y) / sigma
    root = mp.sqrt(2)
    if low > 0:
        mass = (mp.erfc(low / root) - mp.erfc(high / root)) / 2
    elif high < 0:
        mass = (mp.erfc(-high / root) - mp.erfc(-low / root)) / 2
    else:
        mass = (mp.erf(high / root) - mp.erf(low / root)) / 2
    left, right = mp.npdf(low), mp.npdf(high)
    first = y * mass + sigma * (left - right)
    second = (y * y + sigma * sigma) * mass + sigma * y * (left - right) - sigma * right
    return mass, first, second


def _points(sigma, breaks):
    steps = [k * sigma for k in range(-13, 14)]
    points = {mp.mpf(x) for x in (*steps, *(1 + x for x in steps), *breaks)}
    return sorted(points)


@cache
def _rule():
    """Nodes and weights of Gauss and Legendre on [-1, 1]."""
    with mp.workdps(DIGITS):
        found = []
        for start in np.polynomial.legendre.leggauss(ORDER)[0]:
            x = mp.findroot(lambda t: mp.legendre(ORDER, t), mp.mpf(start))
            slope = ORDER * mp.legendre(ORDER - 1, x) / (1 - x * x)
            found.append((x, 2 / ((1 - x * x) * slope**2)))
        return found


def _integral(f, points):
    return mp.fsum(
        (right - left) / 2 * w * f((left + right) / 2 + (right - left) / 2 * x)
        for left, right in pairwise(points)
        for x, w in _rule()
    )


def loss(decoder, sigma, p, breaks=()):
    """E(x - f(y))², `breaks` being where f is not smooth."""
    with mp.workdps(DIGITS):
        sigma, p = mp.mpf(sigma), mp.mpf(p)

        def error(y):
            mass, first, second = density_on(y, sigma)
            f = decoder(y)
            off = mp.npdf(y / sigma) / sigma
            return p * (second - 2 * f * first + f * f * mass) + (1 - p) * off * f * f

        return _integral(error, _points(sigma, breaks))


def least_losses(sigma, p):
    """Of E[x | y] and of E[x | y, on or off]."""
    with mp.workdps(DIGITS):
        sigma, p = mp.mpf(sigma), mp.mpf(p)

        def bayes(y):
            mass, first, second = density_on(y, sigma)
            return p * second - (p * first) ** 2 / (p * mass + (1 - p) * mp.npdf(y / sigma) / sigma)

        def oracle(y):
            mass, first, second = density_on(y, sigma)
            return p * (second - first * first / mass)

        points = _points(sigma, ())
        return _integral(bayes, points), _integral(oracle, points)


def cases(u, weights, p, *, antipodal=False):
    """x, centre of the reading and probability of each case of x and its partner, at atoms."""
    weights = np.asarray(weights, float) / np.sum(weights)
    atoms = [(0.0, 1 - p), *((float(x), p * w) for x, w in zip(u, weights, strict=True))]
    partners = atoms if antipodal else [(0.0, 1.0)]
    return [
        (x, x - w, share * other, on > 0)
        for on, (x, share) in enumerate(atoms)
        for w, other in partners
    ]


def least_discrete_losses(u, weights, sigma, p, *, antipodal=False):
    """Of E[x | y] and of E[x | y, on or off], for amplitudes at atoms.

    Readings are a mixture of normal laws.  The trapezoidal rule is exact to rounding for integrands
    that are analytic; its step resolves the widths σ²/Δ over which posteriors turn.
    """
    every = cases(u, weights, p, antipodal=antipodal)
    low, high = (f(c for _, c, *_ in every) for f in (min, max))
    step = min(sigma, sigma**2 / (high - low)) / 8
    n = int((high - low + 24 * sigma) / step) + 1
    bayes = oracle = 0.0
    for k in range(0, n, 200_000):
        y = low - 12 * sigma + step * np.arange(k, min(n, k + 200_000))
        parts = [
            (x, on, q / (sigma * np.sqrt(2 * np.pi)) * np.exp(-(((y - c) / sigma) ** 2) / 2))
            for x, c, q, on in every
        ]
        absent = sum(part for _, on, part in parts if not on)
        present = sum(part for _, on, part in parts if on)
        # Around one of the amplitudes, so that the mean of one has no rounding.
        shifted = sum((x - u[0]) * part for x, on, part in parts if on)
        mean = shifted / np.maximum(present, 1e-320)
        spread = sum(part * (x - u[0] - mean) ** 2 for x, on, part in parts if on)
        doubt = present * absent / np.maximum(present + absent, 1e-320) * (u[0] + mean) ** 2
        bayes, oracle = bayes + step * (spread + doubt).sum(), oracle + step * spread.sum()
    return bayes, oracle


def discrete_jump_loss(u, weights, sigma, p, a, b, theta, *, antipodal=False):
    """Loss of a y + b above θ, else 0, for amplitudes at atoms: moments of normal laws cut off."""
    with mp.workdps(400):
        s, a, b, theta, total = *(mp.mpf(float(x)) for x in (sigma, a, b, theta)), mp.mpf(0)
        for x, c, q, _ in cases(u, weights, p, antipodal=antipodal):
            z = (theta - mp.mpf(c)) / s
            above, density = mp.erfc(z / mp.sqrt(2)) / 2, mp.npdf(z)
            first = s * density
            second = s * s * (above + z * density)
            level = mp.mpf(x) - a * mp.mpf(c) - b
            error = level**2 * above - 2 * level * a * first + a * a * second
            total += mp.mpf(q) * (error + mp.mpf(x) ** 2 * (1 - above))
        return float(total)
