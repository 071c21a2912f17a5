"""Losses and tails of outputs with few weights, in closed form, by mpmath.

Given which features are on, the reading is V = b + Σ c_j u_j.  E V₊ⁿ is a sum over the corners of
the cube for uniform amplitudes, and by partial fractions for exponential ones.  Nothing here knows
transforms, nor imports the package.
"""

from itertools import product

import mpmath as mp

DIGITS = 300


def _corners(b, coefficients, low, high, power):
    """E V₊ᵖ/p! for u uniform on [low, high]; a jump, E 1[V > 0], for p = 0."""
    total, m = mp.mpf(0), len(coefficients)
    for corner in product((0, 1), repeat=m):
        v = b + sum(c * (high if k else low) for c, k in zip(coefficients, corner, strict=True))
        if v > 0:
            total += (-1) ** (m - sum(corner)) * v ** (power + m)
    return total / mp.factorial(power + m) / mp.fprod(c * (high - low) for c in coefficients)


def _fractions(b, coefficients, scale, power):
    """The same for exponential u."""
    if not coefficients:
        return mp.mpf(b > 0) * b**power / mp.factorial(power)
    cs = [c * scale for c in coefficients]
    total = mp.mpf(0)
    for j, c in enumerate(cs):
        share = mp.fprod(c / (c - d) for k, d in enumerate(cs) if k != j)
        # ∫ (b + v)₊ᵖ/p! e^{-v/c}/|c| dv over the v of the sign of c
        if c > 0 and b < 0:
            part = mp.exp(b / c) * c**power
        elif c > 0 or b > 0:
            part = sum(b ** (power - k) * c**k / mp.factorial(power - k) for k in range(power + 1))
            part -= 0 if c > 0 else c**power * mp.exp(b / c)
        else:
            part = mp.mpf(0)
        total += share * part
    return total


def _moment(law, b, coefficients, power):
    kind, *parameters = law
    coefficients = [c for c in coefficients if c]
    if kind == "uniform":
        return _corners(b, coefficients, *map(mp.mpf, parameters), power)
    return _fractions(b, coefficients, mp.mpf(parameters[0]), power)


def _patterns(weights, p):
    """Which weights are on, and with what probability."""
    for on in product((0, 1), repeat=len(weights)):
        share = mp.fprod(p if k else 1 - p for k in on)
        if share:
            yield [w for w, k in zip(weights, on, strict=True) if k], share


def _apart(weights):
    """Partial fractions need distinct numbers; a change in the 60th digit tells them apart."""
    return [mp.mpf(w) * (1 + k * mp.mpf(10) ** -60) for k, w in enumerate(weights, 1)]


def loss(law, a, weights, b, p):
    """E (x - ReLU(a x + b + Σ w_j x_j))²; `law` is ("uniform", low, high) or ("exponential", s)."""
    with mp.workdps(DIGITS):
        a, b, p = (mp.mpf(x) for x in (a, b, p))
        kind, *parameters = law
        weights = _apart(weights) if kind == "exponential" else [mp.mpf(w) for w in weights]
        if kind == "uniform":
            low, high = map(mp.mpf, parameters)
            square = (low * low + low * high + high * high) / 3
        else:
            square = 2 * mp.mpf(parameters[0]) ** 2
        total = mp.mpf(0)
        for some, share in _patterns(weights, p):
            off = 2 * _moment(law, b, some, 2)
            # E[u V₊] is half the derivative of E V₊² in the coefficient of u.
            step = mp.mpf(10) ** -30
            near = a if a else step**2
            at = [2 * _moment(law, b, [near + k * step, *some], 2) for k in (-2, -1, 0, 1, 2)]
            slope = (at[0] - 8 * at[1] + 8 * at[3] - at[4]) / (12 * step)
            total += share * (p * (square - slope + at[2]) + (1 - p) * off)
        return total


def tail(law, weights, t, p):
    """P(Σ w_j x_j > t)."""
    with mp.workdps(DIGITS):
        p, t = mp.mpf(p), mp.mpf(t)
        weights = _apart(weights) if law[0] == "exponential" else [mp.mpf(w) for w in weights]
        return sum(share * _moment(law, -t, some, 0) for some, share in _patterns(weights, p))


def hard(seed, count):
    """Outputs that are hard to invert: (law, a, weights, b, p).

    Weights of very different size, equal or commensurate ones, kinks at a reading of zero.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    laws = [("uniform", 0, 1), ("uniform", 0.5, 1.5), ("uniform", 0.999, 1.0)]
    laws += [("exponential", 0.2), ("exponential", 1.0)]
    for _ in range(count):
        n = rng.integers(1, 4)
        weights = [
            rng.normal(size=n),
            rng.choice([-2, -1, -0.5, -0.25, 0.25, 0.5, 1, 2], n),
            rng.choice([-1, 1], n) * 10 ** rng.uniform(-3, 2, n),
            -(10 ** rng.uniform(-2, 1, n)),
        ][rng.integers(4)]
        a = rng.choice([1.0, -1.0, 0.5, 0.0, 1.3, -0.5, 0.05])
        b = rng.choice([0.0, 0.06, -0.1, -1.0, -0.5, 0.3, 1e-9, rng.normal()])
        p = rng.choice([0.01, 0.1, 0.3, 0.5, 0.9, 1.0, 10 ** rng.uniform(-4, 0)])
        law = laws[rng.integers(len(laws))]
        yield law, float(a), [float(w) for w in weights], float(b), float(p)
