"""Losses of decoders in the Gaussian channel, integrated over the reading with mpmath.

Uniform amplitudes on [0, 1].  Given that the feature is on, the reading y = u + ν has density
P(0 < y - ν < 1), and u, u² have the posterior averages that follow from the truncated normal law.
"""

import mpmath as mp

DIGITS = 30


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


def loss(decoder, sigma, p, breaks=()):
    """E(x - f(y))², `breaks` being where f is not smooth."""
    with mp.workdps(DIGITS):
        sigma, p = mp.mpf(sigma), mp.mpf(p)

        def error(y):
            mass, first, second = density_on(y, sigma)
            f = decoder(y)
            off = mp.npdf(y / sigma) / sigma
            return p * (second - 2 * f * first + f * f * mass) + (1 - p) * off * f * f

        return mp.quad(error, _points(sigma, breaks))


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
        return mp.quad(bayes, points), mp.quad(oracle, points)
