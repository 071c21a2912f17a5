r"""``python -m validation.bernoulli_pair``: two features that are 0 or 1, in one hidden unit.

Tied weights w and biases b, x̂ = ReLU(wᵀw x + b), loss (L_1 + I L_2)/2 with L_i = E(x_i - x̂_i)²,
each feature on with probability p.  The best bias of an output is that of a piecewise square of 4
terms, so all depends on (w_1, w_2), or on a = w_i² and c = w_1 w_2, and three bounds hold.

* The root of L_i at its best bias is a distance in L², so that over a cell of (w_1, w_2) it falls
  by ‖Δa x_i + Δc x_j‖ at most.
* Without its own weight an output knows nothing: √L_i ≥ √(p(1 - p)) - a √p.
* Readings of an output with its feature on differ by c, so that
  L_i ≥ min(p²(1 - p)c², p², p(1 - p)).

Cells are quartered until none can be better than the best found by more than a tolerance.  Beyond
the first cells, where |w_1| > R say, the third bound serves if |c| is large, and the second, with
w_2 < |c|/R, if it is not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

import rugtheory as rt
from rugtheory._files import add_overwrite, replacing, writing
from rugtheory.cli.running import guarded
from rugtheory.cli.shared import Parser

Array = NDArray[np.float64]
# First cells lie within this; a side of them; halvings.
_EDGE, _SIDE, _MOST = 16.0, 0.5, 16
_STARTS = 6
P, IMPORTANCE = (0.02, 0.05, 0.1, 0.2, 0.3), (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_ALONE = 1e-6


def output_loss(a: Array, c: Array, b: Array, p: float) -> Array:
    """E(x - ReLU(ax + cx' + b))²."""
    return np.asarray(
        (1 - p) ** 2 * np.maximum(b, 0) ** 2
        + p * (1 - p) * (1 - np.maximum(a + b, 0)) ** 2
        + p * (1 - p) * np.maximum(c + b, 0) ** 2
        + p * p * (1 - np.maximum(a + c + b, 0)) ** 2
    )


def least_loss(a: Array, c: Array, p: float) -> tuple[Array, Array]:
    """The loss of an output at its best bias, and that bias."""
    a, c = np.broadcast_arrays(a, c)
    reading = np.stack([np.zeros_like(a), a, c, a + c])
    aim = np.array([0.0, 1.0, 0.0, 1.0]).reshape(4, *[1] * a.ndim)
    weight = np.array([(1 - p) ** 2, p * (1 - p), p * (1 - p), p * p]).reshape(aim.shape)
    kinks = np.sort(-reading, axis=0)
    best, bias = np.full(a.shape, np.inf), np.zeros(a.shape)
    for k in range(4):
        # From this kink on, up to the next, these readings are above zero.
        low, high = kinks[k], kinks[k + 1] if k < 3 else np.full(a.shape, np.inf)
        on = weight * (-reading <= low)
        b = np.clip(np.sum(on * (aim - reading), axis=0) / np.sum(on, axis=0), low, high)
        loss = output_loss(a, c, b, p)
        bias, best = np.where(loss < best, b, bias), np.minimum(loss, best)
    return best, bias


def total(w: Array, p: float, importance: float) -> Array:
    """The loss at the best biases, of w with two columns."""
    c = w[..., 0] * w[..., 1]
    losses = [least_loss(w[..., k] ** 2, c, p)[0] for k in (0, 1)]
    return np.asarray((losses[0] + importance * losses[1]) / 2)


def cell_bound(w: Array, h: float, p: float, importance: float) -> Array:
    """Below the loss anywhere in cells with these centres and half-widths."""
    size, c = np.abs(w), w[:, 0] * w[:, 1]
    by_c = (size.sum(axis=1) + h) * h
    least_c = np.prod(np.maximum(size - h, 0), axis=1)
    apart = np.minimum(min(p * p, p * (1 - p)), p * p * (1 - p) * least_c**2)
    losses = []
    for k in (0, 1):
        by_a = (2 * size[:, k] + h) * h
        moved = np.sqrt(p * (by_a**2 + by_c**2) + 2 * p * p * by_a * by_c)
        near = np.sqrt(least_loss(w[:, k] ** 2, c, p)[0]) - moved
        blind = np.sqrt(p * (1 - p)) - (size[:, k] + h) ** 2 * np.sqrt(p)
        root = np.maximum(np.maximum(near, blind), 0)
        losses.append(np.maximum(root**2, apart))
    return np.asarray((losses[0] + importance * losses[1]) / 2)


def far_bound(p: float, importance: float) -> float:
    """Below the loss where a weight is beyond the first cells."""
    enough = np.sqrt(min(1.0, (1 - p) / p) / (1 - p))  # |c| from which L_i ≥ min(p², p(1 - p))
    apart = (1 + importance) / 2 * min(p * p, p * (1 - p))
    blind = max(np.sqrt(p * (1 - p)) - (enough / _EDGE) ** 2 * np.sqrt(p), 0.0) ** 2
    return float(min(apart, importance / 2 * blind))


def certified(p: float, importance: float, tolerance: float) -> dict[str, Any]:
    """The best found, and a bound that is at most `tolerance` below it unless halvings ran out."""

    def loss(x: Array) -> float:
        return float(total(x, p, importance))

    side = np.arange(_SIDE / 2, _EDGE, _SIDE)
    # w and -w are the same model.
    grid = np.stack(np.meshgrid(side, np.concatenate([-side, side]), indexing="ij"), axis=-1)
    w, h = grid.reshape(-1, 2), _SIDE / 2
    values = total(w, p, importance)
    starts = [*w[np.argsort(values)[:_STARTS]], np.array([1.0, -1.0]), np.array([1.0, 0.0])]
    options = {"xatol": 1e-10, "fatol": 1e-17, "maxiter": 4000}
    ends = [
        scipy.optimize.minimize(loss, x, method="Nelder-Mead", options=options).x for x in starts
    ]
    best = min([*ends, *starts[-2:]], key=loss)
    least, bound = loss(best), np.inf
    for _ in range(_MOST):
        below = cell_bound(w, h, p, importance)
        open_ = below < (1 - tolerance) * least
        bound = min(bound, float(below[~open_].min(initial=np.inf)))
        w = w[open_]
        if not len(w):
            break
        h /= 2
        steps = h * np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])
        w = (w[:, None] + steps).reshape(-1, 2)
    else:
        bound = min(bound, float(cell_bound(w, h, p, importance).min()))
    best = best * (1.0 if best[0] > 0 else -1.0)
    c = float(best[0] * best[1])
    return {
        "p": p,
        "importance": importance,
        "loss": least,
        "bound": min(bound, far_bound(p, importance), least),
        "w": best.tolist(),
        "b": [float(least_loss(best[k] ** 2, np.array(c), p)[1]) for k in (0, 1)],
        "alone": (1 - p) * p * importance / 2,
        "opposite": p * p * (1 + importance) / 2,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(prog="python -m validation.bernoulli_pair")
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    parser.add_argument("--tolerance", type=float, default=0.01)
    add_overwrite(parser)
    return guarded(parser, parser.parse_args(arguments), _run)


def _run(options: argparse.Namespace) -> None:
    made = {"command": "validation bernoulli_pair", "tolerance": options.tolerance}
    with writing({options.out: made}, overwrite=options.overwrite):
        points = [certified(p, x, options.tolerance) for p in P for x in IMPORTANCE]
        kept = made | {"rugtheory": rt.__version__, "points": points}
        with replacing(options.out) as partial:
            partial.write_text(json.dumps(kept) + "\n")
    print(f"wrote {options.out}, {len(points)} points")


if __name__ == "__main__":
    sys.exit(main())
