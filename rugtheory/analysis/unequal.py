"""From the Gaussian losses of a model's own channels to those of the best allocation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..model.model import Model
from ..numerics.search import find_root
from ..source.features import Features
from ..source.independent import Independent
from ..structure.allocation import allocate
from ..theory.optimum import optimum

# Noise is multiplied by factors with these logarithms to use all hidden units.
_FACTORS = -60.0, 1.0


def constant_losses(features: Features) -> Array:
    """Of the best constant output: that of a ReLU is not below 0."""
    return np.asarray(features.variance + np.minimum(features.mean, 0.0) ** 2)


def gaussian_losses(sigma: Array, features: Features, dead: NDArray[np.bool_]) -> Array:
    """Least losses if the interference were Gaussian; of dead features those of a constant."""
    loss, p = constant_losses(features), features.on_probability
    for law, members in features.by_law.items():
        some = members[~dead[members]]
        if some.size:
            loss[some] = optimum(p[some], sigma=sigma[some], amplitude=law).loss
    return loss


def allocation_steps(
    model: Model,
    features: Features,
    sigma: Array,
    gaussian: Array,
    dead: NDArray[np.bool_],
    cap: float | None,
) -> tuple[dict[str, float], float, NDArray[np.bool_]]:
    """The steps of independent features, the loss of the allocation, and what it drops.

    `sigma` are the deviations of the interference, of which `gaussian` are the losses.  With a
    `cap` there is one more step, to the best structures of couplings up to it.
    """
    weight, n, alive = features.importance, len(features), ~dead
    own = float(np.mean(weight * gaussian))
    full = float(
        np.mean(weight * gaussian_losses(_full(model, features, sigma, alive), features, dead))
    )
    idle = float(np.sum((weight * features.variance)[dead])) / n
    among = idle
    if np.any(weight[alive] > 0):
        laws = features.amplitudes
        part = Independent(
            features.on_probability[alive],
            tuple(laws[i] for i in np.flatnonzero(alive).tolist()),
            weight[alive],
        )
        among += allocate(part, model.n_dense).loss * int(alive.sum()) / n
    best = allocate(features, model.n_dense)
    terms = {
        "unused capacity": own - full,
        "shares of features alive": full - among,
        "dropped features": among - best.loss,
    }
    if cap is not None:
        rugs, best = best, allocate(features, model.n_dense, family="best", max_coupling=cap)
        terms["structure"] = rugs.loss - best.loss
    return terms, best.loss, best.dropped


def _full(model: Model, features: Features, sigma: Array, alive: NDArray[np.bool_]) -> Array:
    """Deviations in proportion to the model's with which all capacity is used."""
    variance, square = features.variance[alive], sigma[alive] ** 2
    heard = (variance > 0) & (square > 0)
    ratio = square[heard] / variance[heard]
    room = model.n_dense - int(np.sum((variance > 0) & (square == 0)))
    if room >= ratio.size:
        return np.where(alive, 0.0, sigma)

    def spare(log: Array) -> Array:
        return np.asarray(np.sum(1 / (1 + np.exp(log)[..., None] * ratio), axis=-1) - room)

    found = find_root(spare, tuple(np.array([x]) for x in _FACTORS), args=())
    return np.asarray(sigma * np.exp(found.x[0] / 2))
