"""What is known of all outputs at once, without inversions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..model.model import Model
from ..source.features import Features
from ..theory.loss import reduced_loss

# A feature is dead if its diagonal is less than this part of the typical one of those alive.
_DEAD = 0.25
_BLOCK = 64
# Interference below this part of the diagonal, with a minus sign, is mostly rectified away.
_SCREENED = 0.25
# So many multiplications for the product W_out W_in are worth it.
_WHOLE = 2**35


def columns_of(model: Model, features: Features) -> tuple[Array, NDArray[np.bool_]]:
    """What is known of all outputs without inversions, and which features are dead.

    Columns: loss in the Gaussian channel, times the importance, a, b, deviation and mean of the
    interference; each over its mean size, those of a reading over that of a reading.  A partner,
    which the ReLU screens, shows in the shape of the interference only.  So where the whole product
    W is not too much work, the loss is without interference below -¼ a, and Σ_{j≠i} W_ij³ comes
    after it.  Features are taken for independent here.
    """
    w_in, w_out, b, a = model.w_in, model.w_out, model.b, model.diagonal
    means, variances = features.mean, features.variance
    dead = dead_features(a)
    first = w_out @ (w_in @ means) - a * means
    second = np.einsum("ik,ik->i", w_out @ ((w_in * variances) @ w_in.T), w_out) - a * a * variances
    noise = model.output_noise
    spread = np.sqrt(np.maximum(second, 0.0) + noise**2)
    sizes = np.array([law.scale for law in features.amplitudes])
    reading = np.abs(a) * sizes + np.abs(b) + spread
    weight = features.importance
    # Where laws differ, the number of the law is a column too.
    own = [] if np.ptp(weight * variances) == 0 else [weight * variances / np.mean(variances)]
    if model.activation == "identity":
        loss = variances * (1 - a) ** 2 + spread**2 + (b + first - (1 - a) * means) ** 2
        return _scaled([weight * loss, *own], a, [b, spread, first], reading), dead
    if b.size**2 * len(w_in) > _WHOLE:
        loss = _gaussian(a, b + first, spread, features)
        return _scaled([weight * loss, *own], a, [b, spread, first], reading), dead
    heard, squares, shape = np.empty((3, b.size))
    typical = float(np.mean(np.abs(a))) or 1.0
    for start in range(0, b.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        w = w_out[block] @ w_in
        rows = np.arange(len(w))
        w[rows, start + rows] = 0.0
        v = w / typical
        shape[block] = np.einsum("ij,ij,ij->i", v, v, v)
        w[w < -_SCREENED * np.abs(a[block, None])] = 0.0
        heard[block], squares[block] = w @ means, np.einsum("ij,ij,j->i", w, w, variances)
    loss = _gaussian(a, b + heard, np.sqrt(squares + noise**2), features)
    return _scaled([weight * loss, shape, *own], a, [b, spread, first], reading), dead


def _gaussian(a: Array, b: Array, spread: Array, features: Features) -> Array:
    """Losses if the interference were Gaussian of this deviation, its mean in b."""
    # A reading without its own feature is one of a feature far below the noise.
    own = np.where(np.abs(a) > 1e-12 * spread, a, 1e-12 * spread)
    noise = np.divide(spread, np.abs(own), out=np.zeros_like(a), where=own != 0)
    loss, p = np.empty_like(a), features.on_probability
    for law, some in features.by_law.items():
        loss[some] = reduced_loss(own[some], b[some], noise[some], p[some], amplitude=law)
    return loss


def _scaled(first: list[Array], a: Array, readings: list[Array], reading: Array) -> Array:
    """Columns over their mean sizes, those of a reading over that of a reading."""
    sizes = [float(np.mean(np.abs(x))) or 1.0 for x in (*first[:1], a, reading)]
    columns = [first[0] / sizes[0], *first[1:], a / sizes[1], *(x / sizes[2] for x in readings)]
    return np.column_stack(columns)


def dead_features(diagonal: Array) -> NDArray[np.bool_]:
    """Which features are not represented; see `Statistics`."""
    return np.asarray(diagonal < _DEAD * _typical(diagonal)[0])


def presence(diagonal: Array) -> tuple[Array, Callable[[Array], Array]]:
    """How far each feature is represented, and the gradient of a sum of these with weights.

    1 of features that are alive, 0 of those with a diagonal below half of what that takes, and a
    polynomial with continuous slopes between.
    """
    typical, by_diagonal = _typical(diagonal)
    least = _DEAD * typical
    x = np.clip(2 * diagonal / least - 1, 0.0, 1.0)
    steep = 12 * x * (1 - x) / least

    def slope(weights: Array) -> Array:
        each = weights * steep
        return np.asarray(each - (each @ diagonal) / typical * by_diagonal)

    return x * x * (3 - 2 * x), slope


def _typical(diagonal: Array) -> tuple[float, Array]:
    """The mean diagonal, each weighted by its square, and its derivatives."""
    d = np.maximum(diagonal, 0.0)
    most = float(d.max(initial=0.0))
    if not most:
        return 1.0, d
    d = d / most  # cubes of what is far from 1 may be no numbers
    squares, cubes = np.sum(d**2), np.sum(d**3)
    return most * float(cubes / squares), (3 * d * d - 2 * d * (cubes / squares)) / squares


def each_row(model: Model, rows: NDArray[np.int64]) -> Iterator[tuple[int, Array]]:
    """The number and W_ij of each of `rows`; W in blocks large enough for a product."""
    for start in range(0, rows.size, _BLOCK):
        some = rows[start : start + _BLOCK]
        for i, row in zip(some, model.w_out[some] @ model.w_in, strict=True):
            yield int(i), row
