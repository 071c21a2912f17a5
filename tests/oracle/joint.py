"""Losses of features with discrete amplitudes, by listing all that they can be.

Written from the definitions of the laws: nothing is shared with the package but their parameters.
"""

from itertools import product

import numpy as np
from scipy.special import ndtr

import rugtheory as rt


def amplitudes_of(law):
    values, shares = law.atoms()
    shares = shares.astype(np.longdouble)
    return list(zip(shares / shares.sum(), values.tolist(), strict=True))


def one(p, law):
    """Outcomes of a feature: (probability, values)."""
    p = np.longdouble(p)
    return [(1 - p, (0.0,)), *((p * q, (u,)) for q, u in amplitudes_of(law))]


def both(first, second):
    """Of two independent lists of features, one after the other."""
    return [(p * q, (*x, *y)) for (p, x), (q, y) in product(first, second)]


def all_of(lists):
    found = [(np.longdouble(1), ())]
    for outcomes in lists:
        found = both(found, outcomes)
    return found


def width(group):
    if isinstance(group, rt.SparseSource):
        return 1
    if isinstance(group, rt.Parent):
        return 1 + sum(map(width, group.children))
    return len(group.amplitude)


def outcomes_of_group(group):
    if isinstance(group, rt.SparseSource):
        return one(group.p, group.amplitude)
    off = (0.0,) * width(group)
    if isinstance(group, rt.Together):
        on = all_of([[(q, (u,)) for q, u in amplitudes_of(law)] for law in group.amplitude])
        return [(1 - group.p, off), *((group.p * q, x) for q, x in on)]
    if isinstance(group, rt.Exclusive):
        found = [(1 - sum(group.p), off)]
        for i, (p, law) in enumerate(zip(group.p, group.amplitude, strict=True)):
            for q, u in amplitudes_of(law):
                found.append((p * q, (*off[:i], u, *off[i + 1 :])))
        return found
    own = [(q, (u,)) for q, u in amplitudes_of(group.amplitude)]
    if group.exclusive and group.children:
        # At most one child: each with its own probability, and then what is below it.
        below = [(1 - sum(child.p for child in group.children), off[1:])]
        place = 0
        for child in group.children:
            for p, x in outcomes_of_group(child)[1:]:  # the first is that it is off
                below.append((p, (*off[1 : 1 + place], *x, *off[1 + place + len(x) :])))
            place += width(child)
    else:
        below = all_of([outcomes_of_group(child) for child in group.children])
    return [(1 - group.p, off), *((group.p * p, x) for p, x in both(own, below))]


def outcomes(features):
    """Probabilities and values of all features."""
    laws = features.amplitudes
    if isinstance(features, rt.Groups):
        found = all_of([outcomes_of_group(group) for group in features.groups])
    elif isinstance(features, rt.Latent):
        found = []
        for weight, p in zip(features.weights, features.p, strict=True):
            given = all_of([one(q, law) for q, law in zip(p, laws, strict=True)])
            found += [(weight * q, x) for q, x in given]
    else:
        p = np.broadcast_to(features.p, len(laws))
        found = all_of([one(q, law) for q, law in zip(p, laws, strict=True)])
    probability, x = zip(*found, strict=True)
    return np.array(probability), np.array(x)


def losses(model, features):
    """Loss of each output."""
    probability, x = outcomes(features)
    x = x.astype(np.longdouble)
    reading = x @ model.w_in.T @ model.w_out.T + model.b
    noise = model.hidden_noise * np.sqrt((model.w_out**2).sum(axis=1))
    if model.activation == "identity":
        return probability @ ((x - reading) ** 2 + noise**2)
    quiet = probability @ (x - np.maximum(reading, 0)) ** 2
    z = reading / np.where(noise > 0, noise, np.inf)
    chance = ndtr(z.astype(float))
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    first = noise * (density + z * chance)
    second = noise**2 * ((1 + z**2) * chance + z * density)
    return np.where(noise > 0, probability @ (x**2 - 2 * x * first + second), quiet)
