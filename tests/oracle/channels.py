"""Losses of decoders in the Gaussian channel, integrated over the reading with mpmath.

Uniform amplitudes on [0, 1].  Given that the feature is on, the reading y = u + ν has density
P(0 < y - ν < 1), and u, u² have the posterior averages that follow from the truncated normal law.
"""

import mpmath as mp
import numpy as np

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


def discrete_losses(u, weights, sigma, p, *, antipodal=False, kept=()):
    """Of E[x | y], of E[x | y, on or off], and of functions `kept`, for amplitudes at atoms.

    Readings are a mixture of normal laws.  The trapezoidal rule, exact to rounding for integrands
    that are analytic, sums over x = 0, u with and without a partner; its step resolves the widths
    σ²/Δ over which posteriors turn.
    """
    u, weights = np.asarray(u, float), np.asarray(weights, float) / np.sum(weights)
    partners = [(0.0, 1 - p), *zip(u, p * weights, strict=True)] if antipodal else [(0.0, 1.0)]
    off = [(-w, (1 - p) * share) for w, share in partners]
    on = [
        (x - w, x, p * weight * share)
        for x, weight in zip(u, weights, strict=True)
        for w, share in partners
    ]
    low, high = min(c for c, _ in off), max(c for c, *_ in on)
    step = min(sigma, sigma**2 / (high - low)) / 8
    n = int((high - low + 24 * sigma) / step) + 1
    totals = np.zeros(2 + len(kept))
    for k in range(0, n, 200_000):
        y = low - 12 * sigma + step * np.arange(k, min(n, k + 200_000))

        def density(c, y=y):
            return np.exp(-(((y - c) / sigma) ** 2) / 2) / (sigma * np.sqrt(2 * np.pi))

        absent = sum(share * density(c) for c, share in off)
        parts = [share * density(c) for c, _, share in on]
        values = np.array([x for _, x, _ in on])
        present = sum(parts)
        whole = np.maximum(present, 1e-320)
        mean = sum(x * part for x, part in zip(values, parts, strict=True)) / whole
        spread = sum(part * (x - mean) ** 2 for x, part in zip(values, parts, strict=True))
        doubt = present * absent / np.maximum(present + absent, 1e-320) * mean**2
        totals[0] += (spread + doubt).sum()
        totals[1] += spread.sum()
        for j, f in enumerate(kept):
            value = f(y)
            totals[2 + j] += (spread + present * (mean - value) ** 2 + absent * value**2).sum()
    return totals * step
