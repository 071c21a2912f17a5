"""The loss of one output of x̂ = ReLU(W x + b) for few features, from its definition in closed form.

All patterns of features on and off are enumerated.  For a constant amplitude that is all; for
amplitudes uniform on [0, 1] the integral of a power of a ReLU over each one in turn raises the
power and takes a difference, with cancellation that enough digits of mpmath make harmless.
"""

import itertools

import mpmath as mp

DIGITS = 80


def _power(v, k):
    return v**k if v > 0 else mp.mpf(0)


def _averaged(c, weights, k):
    """E ReLU(c + Σ w_j u_j)^k, the u_j independent and uniform on [0, 1]."""
    total = mp.mpf(0)
    for top in itertools.product((0, 1), repeat=len(weights)):
        sign = (-1) ** (len(weights) - sum(top))
        total += sign * _power(
            c + sum(w for w, t in zip(weights, top, strict=True) if t), k + len(weights)
        )
    for j, w in enumerate(weights, start=1):
        total /= w * (k + j)
    return total


def _cross(a, c, weights):
    """E u ReLU(a u + c + Σ w_j u_j), by parts in u; a ≠ 0."""
    rise = _averaged(c + a, weights, 3) - _averaged(c, weights, 3)
    return _averaged(c + a, weights, 2) / (2 * a) - rise / (6 * a * a)


def _uniform_given(a, w, b, own):
    """Of an own feature that is on or off, with the weights of those on."""
    if not own:
        return _averaged(b, w, 2)
    square = _averaged(b, [*w, a] if a else w, 2)
    cross = _cross(a, b, w) if a else _averaged(b, w, 1) / 2
    return mp.mpf(1) / 3 - 2 * cross + square


def uniform_loss(a, weights, b, p):
    with mp.workdps(DIGITS):
        a, b, p = mp.mpf(a), mp.mpf(b), mp.mpf(p)
        total = mp.mpf(0)
        for on in itertools.product((0, 1), repeat=len(weights)):
            w = [mp.mpf(x) for x, c in zip(weights, on, strict=True) if c]
            share = p ** len(w) * (1 - p) ** (len(weights) - len(w))
            off, at = (_uniform_given(a, w, b, own) for own in (False, True))
            total += share * ((1 - p) * off + p * at)
        return total


def uniform_loss_of_sets(i, row, b, sets):
    """Of output i, the whole row of W, and the probabilities of the sets of features on."""
    with mp.workdps(DIGITS):
        w, b = [mp.mpf(x) for x in row], mp.mpf(b)
        return sum(
            mp.mpf(share) * _uniform_given(w[i], [w[j] for j in on if j != i and w[j]], b, i in on)
            for on, share in sets.items()
        )


def constant_loss(a, weights, b, p, value):
    with mp.workdps(DIGITS):
        a, b, p, value = map(mp.mpf, (a, b, p, value))
        total = mp.mpf(0)
        for on in itertools.product((0, 1), repeat=len(weights)):
            k = sum(on)
            z = b + value * sum(mp.mpf(x) for x, c in zip(weights, on, strict=True) if c)
            share = p**k * (1 - p) ** (len(weights) - k)
            error = (1 - p) * _power(z, 2) + p * (value - _power(a * value + z, 1)) ** 2
            total += share * error
        return total
