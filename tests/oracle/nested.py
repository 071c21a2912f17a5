"""Losses of a few features of any amplitude law with a density, by nested Gauss rules.

Each amplitude is a smooth function of a variable in which its density is smooth.  Every integral is
cut where the reading may be zero with the features inside at either end of their range, and near to
it if there is noise.  Nothing is shared with the package but the parameters of the laws.
"""

from itertools import product

import numpy as np
from scipy.special import betaln, ndtr

import rugtheory as rt

from .boxes import patterns
from .joint import amplitudes_of

_NEAR = np.array([-8.0, -4.0, 0.0, 4.0, 8.0])


class Law:
    """u(t), its inverse, the density of t, and cuts of the range of t."""

    def __init__(self, law):
        if isinstance(law, rt.Exponential):
            s = law.scale
            self.u, self.t = (lambda t: s * t), (lambda u: u / s)
            self.density = lambda t: np.exp(-t)
            self.cuts = [0, 1, 4, 10, 20, 45]
        elif isinstance(law, rt.HalfNormal):
            s = law.scale
            self.u, self.t = (lambda t: s * t), (lambda u: u / s)
            self.density = lambda t: np.exp(-(t**2) / 2) * np.sqrt(2 / np.pi)
            self.cuts = [0, 1, 2.5, 5, 9]
        elif isinstance(law, rt.Beta):
            # u = sin² t: the density in t is smooth for multiples of ½.
            a, b = law.alpha, law.beta
            log = betaln(a, b)
            self.u = lambda t: np.sin(t) ** 2
            self.t = lambda u: np.arcsin(np.sqrt(np.clip(u, 0, 1)))
            self.density = lambda t: (
                2 * np.sin(t) ** (2 * a - 1) * np.cos(t) ** (2 * b - 1) * np.exp(-log)
            )
            self.cuts = [0, np.pi / 4, np.pi / 2]
        elif isinstance(law, rt.Uniform):
            low, width = law.low, law.high - law.low
            self.u, self.t = (lambda t: low + width * t), (lambda u: (u - low) / width)
            self.density = np.ones_like
            self.cuts = [0, 1]
        else:
            raise TypeError(law)
        self.cuts = np.array(self.cuts, float)
        self.ends = self.u(self.cuts[[0, -1]])


def expect(g, c, weights, laws, noise, order, own, u_own=None):
    """E g(c + Σ w u, u_own), `c` and what it gives of shape (m,); u_own is u number `own`."""
    if not laws:
        return g(c, np.zeros_like(c) if u_own is None else u_own)
    w, law, rest, others = weights[0], laws[0], weights[1:], laws[1:]
    points = [np.broadcast_to(law.cuts, (c.size, law.cuts.size))]
    for ends in product(*(x.ends for x in others)):
        if not w:
            break
        kink = (-(c + sum(v * e for v, e in zip(rest, ends, strict=True))) / w)[:, None]
        near = kink + _NEAR * (noise / abs(w)) if noise else kink
        points.append(np.clip(law.t(np.clip(near, *law.ends)), law.cuts[0], law.cuts[-1]))
    t = np.sort(np.concatenate(points, axis=1), axis=1)
    x, q = np.polynomial.legendre.leggauss(order)
    half = np.diff(t, axis=1)[..., None] / 2
    nodes = t[:, :-1, None] + half * (1 + x)
    share = (half * q * law.density(nodes)).reshape(c.size, -1)
    u = law.u(nodes).reshape(c.size, -1)
    inner = np.zeros(u.shape)
    some = share > 0
    mine = u[some] if own == 0 else None
    if own != 0 and u_own is not None:
        mine = np.broadcast_to(u_own[:, None], u.shape)[some]
    inner[some] = expect(g, (c[:, None] + w * u)[some], rest, others, noise, order, own - 1, mine)
    return np.sum(share * inner, axis=1)


def squared_error(noise):
    def g(v, u):
        if not noise:
            return (u - np.maximum(v, 0)) ** 2
        z = v / noise
        chance, density = ndtr(z), np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
        first = noise * (density + z * chance)
        return u**2 - 2 * u * first + noise**2 * ((1 + z**2) * chance + z * density)

    return g


def losses(model, features, order):
    """Loss of each output."""
    n, laws = len(features), features.amplitudes
    matrix, total = model.w_out @ model.w_in, np.zeros(len(features))
    for share, on in patterns(features):
        listed = [j for j in range(n) if on[j] and laws[j].atoms() is not None]
        dense = [j for j in range(n) if on[j] and j not in listed]
        for atoms in product(*(amplitudes_of(laws[j]) for j in listed)):
            p = float(share) * float(np.prod([q for q, _ in atoms]))
            known = {j: u for j, (_, u) in zip(listed, atoms, strict=True)}
            for i in range(n):
                heard = sorted((j for j in dense if matrix[i, j] or j == i), key=lambda j: j != i)
                noise = model.hidden_noise * float(np.linalg.norm(model.w_out[i]))
                c = np.array([model.b[i] + sum(matrix[i, j] * u for j, u in known.items())])
                own = 0 if i in heard else -1
                fixed = np.array([known[i]]) if i in known else None
                total[i] += (
                    p
                    * expect(
                        squared_error(noise),
                        c,
                        [matrix[i, j] for j in heard],
                        [Law(laws[j]) for j in heard],
                        noise,
                        order,
                        own,
                        fixed,
                    )[0]
                )
    return total
