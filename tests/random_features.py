"""Random laws of features, and models of them, for tests by discovery of the kinds there are."""

import numpy as np

import rugtheory as rt

DISCRETE = (
    rt.Constant(1.0),
    rt.Constant(0.6),
    rt.FromQuadrature((0.5, 1.5), (0.3, 0.7)),
    rt.FromQuadrature((0.0, 1.0), (0.4, 0.6)),
)


def p_of(rng, size=None):
    return 10.0 ** rng.uniform(-3, -0.05, size)


def group(rng, laws, depth=0):
    kind = rng.integers(4 if depth < 2 else 3)

    def law():
        return laws[rng.integers(len(laws))]

    if kind == 0:
        return rt.SparseSource(float(p_of(rng)), law())
    if kind == 1:
        n = int(rng.integers(1, 4))
        return rt.Together(float(p_of(rng)), n, [law() for _ in range(n)])
    if kind == 2:
        n = int(rng.integers(1, 4))
        return rt.Exclusive(p_of(rng, n) / n, [law() for _ in range(n)])
    exclusive = bool(rng.integers(2))
    n = int(rng.integers(0, 3))
    if exclusive:
        p = p_of(rng, n) / max(n, 1)
        children = [
            rt.Parent(float(q), amplitude=law())
            if rng.integers(2)
            else rt.SparseSource(float(q), law())
            for q in p
        ]
    else:
        children = [group(rng, laws, depth + 1) for _ in range(n)]
    return rt.Parent(float(p_of(rng)), children, law(), exclusive)


def identical(rng, laws):
    return rt.Identical(int(rng.integers(1, 9)), float(p_of(rng)), laws[rng.integers(len(laws))])


def independent(rng, laws):
    n = int(rng.integers(1, 9))
    return rt.Independent(p_of(rng, n), [laws[k] for k in rng.integers(len(laws), size=n)])


def groups(rng, laws):
    found, n = [], 0
    while not found or (n < 8 and rng.random() < 0.8):
        one = group(rng, laws)
        found.append(one)
        n = len(rt.Groups(found))
    return rt.Groups(found) if n <= 9 else groups(rng, laws)


def latent(rng, laws):
    n, k = int(rng.integers(1, 7)), int(rng.integers(1, 4))
    p = np.where(rng.random((k, n)) < 0.2, 0.0, p_of(rng, (k, n)))
    p[0] = np.maximum(p[0], 1e-3)
    return rt.Latent(p, rng.random(k) + 0.1, [laws[j] for j in rng.integers(len(laws), size=n)])


KINDS = {rt.Identical: identical, rt.Independent: independent, rt.Groups: groups, rt.Latent: latent}


def model(rng, features, noise):
    n = len(features)
    d = int(rng.integers(1, n + 1))
    w_in, w_out = rng.normal(size=(d, n)), rng.normal(size=(n, d)) / d
    if rng.random() < 0.3:
        w_in, w_out = np.round(w_in), np.round(2 * w_out) / 2
    b = rng.choice([0.0, 0.3, 1.0]) * rng.normal(size=n)
    return rt.Model(w_in, w_out, b, hidden_noise=noise)
