"""Losses of features with uniform or discrete amplitudes and Gaussian noise, by vertices of boxes.

Given which features are on, and the values of the discrete ones, a reading is c + Σ_j w_j u_j with
m independent u_j, uniform on [l_j, h_j].  The mean of the k-th power of its positive part is k!
times a sum over the vertices of the box, of either sign, of the (k + m)-th power over
(k + m)! Π_j w_j (h_j - l_j); noise makes every power its mean over the noise.  The sum cancels, and
takes many digits.  Nothing is shared with the package but the parameters of the laws.
"""

from dataclasses import replace
from itertools import product

import mpmath as mp

import rugtheory as rt

from . import joint

DIGITS = 100


def switched(of):
    """The same features or groups, with all amplitudes 1."""
    one = rt.Constant(1.0)
    if isinstance(of, rt.Groups):
        return rt.Groups([switched(group) for group in of.groups])
    if isinstance(of, rt.SparseSource):
        return rt.SparseSource(of.p, one)
    if isinstance(of, rt.Parent):
        return rt.Parent(of.p, [switched(x) for x in of.children], one, of.exclusive)
    return replace(of, amplitude=one)


def patterns(features):
    """Probabilities and which are on, each pattern once."""
    found = {}
    for p, x in zip(*joint.outcomes(switched(features)), strict=True):
        on = tuple((x != 0).tolist())
        found[on] = found.get(on, 0) + mp.mpf(float(p)) + mp.mpf(float(p - float(p)))
    return [(p, on) for on, p in found.items() if p > 0]


def ramps(r, noise, m):
    """E (r + N(0, noise²))₊^k / k!, k = 0 … m."""
    if not noise:
        found = [mp.mpf(r > 0)]
        for k in range(1, m + 1):
            found.append(found[-1] * r / k)
        return found
    z = r / noise
    found = [mp.ncdf(z), r * mp.ncdf(z) + noise * mp.npdf(z)]
    for k in range(2, m + 1):
        found.append((r * found[-1] + noise**2 * found[-2]) / k)
    return found


def box_means(c, weights, boxes, noise, own):
    """E R, E R² and E u R, R the positive part of the reading, u its term number `own`."""
    m = len(weights)
    first = second = cross = mp.mpf(0)
    scale = mp.mpf(1)
    for w, (low, high) in zip(weights, boxes, strict=True):
        scale *= w * (high - low)
    for ends in product((0, 1), repeat=m):
        vertex = [box[k] for box, k in zip(boxes, ends, strict=True)]
        sign = (-1) ** (m - sum(ends))
        r = c + mp.fdot(weights, vertex)
        if r <= 0 and not noise:
            continue
        power = ramps(r, noise, m + 2)
        first += sign * power[m + 1]
        second += sign * 2 * power[m + 2]
        if own is not None:
            # ∫ u f(c + w u) du = [u F(c + w u) / w - FF(c + w u) / w²]
            cross += sign * (vertex[own] * power[m + 1] - power[m + 2] / weights[own])
    return first / scale, second / scale, cross / scale


def losses(model, features):
    """Loss of each output, as numbers of mpmath."""
    with mp.workdps(DIGITS):
        n, laws = len(features), features.amplitudes
        w_in, w_out = mp.matrix(model.w_in.tolist()), mp.matrix(model.w_out.tolist())
        matrix = w_out * w_in
        noises = [
            mp.mpf(model.hidden_noise) * mp.sqrt(mp.fsum(mp.mpf(x) ** 2 for x in row.tolist()))
            for row in model.w_out
        ]
        b = [mp.mpf(x) for x in model.b.tolist()]
        total = [mp.mpf(0)] * n
        for share, on in patterns(features):
            uniform = [j for j in range(n) if on[j] and isinstance(laws[j], rt.Uniform)]
            listed = [j for j in range(n) if on[j] and j not in uniform]
            for atoms in product(*(joint.amplitudes_of(laws[j]) for j in listed)):
                p = share * mp.fprod(mp.mpf(float(q)) for q, _ in atoms)
                known = {j: mp.mpf(u) for j, (_, u) in zip(listed, atoms, strict=True)}
                for i in range(n):
                    total[i] += p * _one(matrix, b[i], noises[i], laws, uniform, known, i)
        return total


def _one(matrix, b, noise, laws, uniform, known, i):
    c = b + mp.fsum(matrix[i, j] * u for j, u in known.items())
    heard = [j for j in uniform if matrix[i, j] != 0]
    boxes = [(mp.mpf(laws[j].low), mp.mpf(laws[j].high)) for j in heard]
    own = heard.index(i) if i in heard else None
    first, second, cross = box_means(c, [matrix[i, j] for j in heard], boxes, noise, own)
    if i in uniform:
        low, high = mp.mpf(laws[i].low), mp.mpf(laws[i].high)
        power = (low**2 + low * high + high**2) / 3
        if own is None:
            cross = (low + high) / 2 * first
    else:
        power = known.get(i, mp.mpf(0)) ** 2
        cross = known.get(i, mp.mpf(0)) * first
    return power - 2 * cross + second


def tail(model, features, i, t):
    """Probability that what reading `i` hears is above t; all amplitudes are uniform."""
    with mp.workdps(DIGITS):
        n, laws, total = len(features), features.amplitudes, mp.mpf(0)
        row = [mp.fdot(model.w_out[i].tolist(), model.w_in[:, j].tolist()) for j in range(n)]
        noise = mp.mpf(model.hidden_noise) * mp.sqrt(
            mp.fsum(mp.mpf(x) ** 2 for x in model.w_out[i])
        )
        for share, on in patterns(features):
            heard = [j for j in range(n) if on[j] and j != i and row[j]]
            chance = mp.mpf(0)
            for ends in product((0, 1), repeat=len(heard)):
                vertex = [(laws[j].low, laws[j].high)[k] for j, k in zip(heard, ends, strict=True)]
                r = mp.fdot([row[j] for j in heard], vertex) - mp.mpf(t)
                if r > 0 or noise:
                    sign = (-1) ** (len(heard) - sum(ends))
                    chance += sign * ramps(r, noise, len(heard))[len(heard)]
            scale = [row[j] * (mp.mpf(laws[j].high) - laws[j].low) for j in heard]
            total += share * chance / mp.fprod(scale)
        return total
