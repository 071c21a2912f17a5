r"""``python -m validation.certificate``: two or three features, and bounds from below.

Tied weights w and biases b, x̂ = ReLU(wᵀw x + b), loss Σ_i I_i E(x_i - x̂_i)²/n.  For two
features in one hidden unit there is a bound.  The root of the loss of an output is a distance in
L², and a ReLU shrinks distances, so with a = w_i² and c = w_1 w_2

.. math:: |\sqrt{L_i(θ)} - \sqrt{L_i(θ')}| ≤ \bigl\|Δa\,x_i + Δc\,x_j + Δb\bigr\|_{L^2} .

Cells of (w_1, w_2), and for each output intervals of its bias, are halved until this leaves no cell
that could be better than the best found by more than a tolerance.  For large weights, whatever the
other feature does, L_i ≥ p (1/3 - 4/(3 w_i²)) for uniform amplitudes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from tqdm import tqdm

import rugtheory as rt
from rugtheory._files import add_overwrite, replacing, writing
from rugtheory.cli.running import guarded
from rugtheory.cli.shared import Parser

from .few_features import open_moments
from .few_minima import Case, Tied

Array = NDArray[np.float64]
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)
# Halvings, starts of descents, and first cells along each axis.
_MOST, _STARTS, _CELLS = 24, 10, 12
_ROUNDING = 1e-12
# Intervals at which to end with the bound there is.
_ENOUGH = 2**24
# Parts of the largest weight, and cosines, below which there is none.
_SMALL = 0.1
# Features and hidden units.
_SIZES = ((2, 1), (3, 1), (3, 2))


def _alone(a: Array, b: Array) -> tuple[Array, Array]:
    """Integrals of v² and u v over the u in [0, 1] with v = au + b > 0."""
    m0, m1, m2 = open_moments(a, b)
    return b * b * m0 + 2 * a * b * m1 + a * a * m2, b * m1 + a * m2


def output_loss(a: Array, c: Array, b: Array, p: float) -> Array:
    """E(x - ReLU(ax + cx' + b))² of independent features, each on with probability p, uniform."""
    quiet = np.maximum(b, 0.0) ** 2
    square, cross = _alone(a, b)
    on = 1 / 3 - 2 * cross + square
    other, _ = _alone(c, b)
    # Both on: polynomials between the u' at which the interval of u changes its form.
    with np.errstate(divide="ignore", invalid="ignore"):
        cuts = [np.where(c != 0, np.clip(-x / c, 0, 1), 0.0) for x in (b, a + b)]
    first, last = np.minimum(*cuts), np.maximum(*cuts)
    both = np.full(np.shape(b), 1 / 3)
    for low, high in ((0.0, first), (first, last), (last, 1.0)):
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            at = (low + high) / 2 + (high - low) / 2 * node
            square, cross = _alone(a, b + c * at)
            both = both + weight * (high - low) / 2 * (square - 2 * cross)
    return (1 - p) ** 2 * quiet + p * (1 - p) * (on + other) + p * p * both


@dataclass
class Cells:
    """Cells of (w_1, w_2) with intervals of b for each output: centres and half-widths."""

    w: Array
    half_w: float
    owner: NDArray[np.int64]
    row: NDArray[np.int64]
    b: Array
    half_b: Array

    def bounds(self, p: float) -> Array:
        """Below the losses of outputs anywhere in these cells and intervals."""
        w, h = self.w[self.owner], self.half_w
        own = w[np.arange(len(w)), self.row]
        a, c = own**2, w[:, 0] * w[:, 1]
        by_a = 2 * np.abs(own) * h + h * h
        by_c = (np.abs(w).sum(axis=1) + h) * h
        # ‖Δa x + Δc x' + Δb‖ of the worst signs, all the same.
        mean, power = p / 2, p / 3
        moved = power * (by_a**2 + by_c**2) + 2 * mean**2 * by_a * by_c
        moved += 2 * mean * (by_a + by_c) * self.half_b + self.half_b**2
        root = np.sqrt(output_loss(a, c, self.b, p)) - np.sqrt(moved) - _ROUNDING
        return np.asarray(np.maximum(root, 0.0) ** 2)

    def kept(self, bounds: Array, shares: Array, most: float) -> tuple[Cells, float]:
        """Those that may hold less than `most`, and the least bound of any."""
        least = np.full((len(self.w), 2), np.inf)
        np.minimum.at(least, (self.owner, self.row), bounds)
        total = least @ shares
        other = total[self.owner] - shares[self.row] * least[self.owner, self.row]
        some = shares[self.row] * bounds + other < most
        alive = np.flatnonzero(total < most)
        place = np.full(len(self.w), -1)
        place[alive] = np.arange(alive.size)
        some &= place[self.owner] >= 0
        kept = Cells(
            self.w[alive],
            self.half_w,
            place[self.owner[some]],
            self.row[some],
            self.b[some],
            self.half_b[some],
        )
        return kept, float(total.min(initial=np.inf))

    def halved(self) -> Cells:
        """Each cell in four, each interval in two."""
        h, n = self.half_w / 2, len(self.w)
        corners = np.array(list(product((-h, h), repeat=2)))
        w = (self.w[None] + corners[:, None]).reshape(-1, 2)
        parts = [(k, s) for k in range(4) for s in (-0.5, 0.5)]
        return Cells(
            w,
            h,
            np.concatenate([self.owner + k * n for k, _ in parts]),
            np.tile(self.row, 8),
            np.concatenate([self.b + s * self.half_b for _, s in parts]),
            np.tile(self.half_b / 2, 8),
        )


def lower_bound(p: float, importance: float, best: float, tolerance: float) -> tuple[float, int]:
    """A bound below the least loss, (1 - tolerance) `best` if halvings suffice; cells looked at."""
    shares = np.array([1.0, importance]) / 2
    # Beyond, one output alone loses more than the best.
    room = 1 / 3 - best / (shares.min() * p)
    if not room > 0:
        raise ValueError(f"best must be below what one output can lose, got {best}")
    edge = float(np.sqrt(4 / (3 * room))) * (1 + 1e-9)
    half = edge / _CELLS
    centres = (np.arange(_CELLS) + 0.5) * 2 * half
    # Signs of both weights may change together.
    grid = np.array([(x, y) for x in centres - edge for y in centres - edge if x > -half])
    cells = _first(grid, half)
    bound, looked = 0.0, 0
    for _ in range(_MOST):
        looked += cells.b.size
        kept, least = cells.kept(cells.bounds(p), shares, (1 - tolerance) * best)
        bound = max(bound, min(least, (1 - tolerance) * best))
        if not len(kept.w) or kept.b.size > _ENOUGH // 8:
            break
        cells = kept.halved()
    return bound, looked


def _first(grid: Array, half: float) -> Cells:
    """Intervals of all biases that may be best anywhere in a cell."""
    owner, row, b, half_b = [], [], [], []
    for k, w in enumerate(grid):
        size = np.abs(w) + half
        # Below, the output is zero throughout; above, it is over 1 throughout.
        for i in (0, 1):
            low, high = -(size[i] ** 2 + size[0] * size[1]), 1 + size[0] * size[1]
            count = max(4, int(np.ceil((high - low) / (2 * half))))
            step = (high - low) / count
            owner += [k] * count
            row += [i] * count
            b += (low + (np.arange(count) + 0.5) * step).tolist()
            half_b += [step / 2] * count
    return Cells(grid, half, np.array(owner), np.array(row), np.array(b), np.array(half_b))


def least_found(case: Case, n_dense: int) -> tuple[float, Array, Array]:
    """The least loss that descents from many starts end at, weights and biases."""
    f, generator = Tied(case), np.random.default_rng(0)
    best, where = np.inf, np.zeros(n_dense * case.n + case.n)
    for _ in range(_STARTS):
        w = generator.normal(size=n_dense * case.n)
        start = np.append(w, generator.uniform(-0.3, 0.3, case.n))
        found = scipy.optimize.minimize(f, start, jac=True, method="BFGS", options={"gtol": 1e-9})
        if found.fun < best:
            best, where = float(found.fun), found.x
    return best, *f.parts(where)


def phase(w: Array) -> str:
    """Of each feature: dropped, alone (at right angles to the others), or in superposition."""
    size = np.linalg.norm(w, axis=0)
    alive = size > _SMALL * size.max()
    overlap = np.abs(w.T @ w) / np.maximum(np.outer(size, size), 1e-30)
    names = []
    for i in range(w.shape[1]):
        others = alive & (np.arange(alive.size) != i)
        shares = alive[i] and bool(np.any(overlap[i, others] > _SMALL))
        names.append("superposed" if shares else "alone" if alive[i] else "dropped")
    return " ".join(names)


def point(n: int, n_dense: int, p: float, importance: float, tolerance: float) -> dict[str, Any]:
    """The least loss found, the phase, and the bound where there is one; importance^i."""
    best, w, b = least_found(Case(n, p, importance), n_dense)
    found = {"n": n, "n_dense": n_dense, "p": p, "importance": importance, "loss": best}
    if n == 2:
        found["bound"], found["looked"] = lower_bound(p, importance, best, tolerance)
    return found | {"phase": phase(w), "w": w.tolist(), "b": b.tolist()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(prog="python -m validation.certificate")
    parser.add_argument("--p", type=float, nargs="+", default=[0.02, 0.1, 0.3, 0.5, 0.8])
    parser.add_argument("--importance", type=float, nargs="+", default=[0.1, 0.3, 1.0])
    parser.add_argument("--tolerance", type=float, default=0.02)
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    add_overwrite(parser)
    return guarded(parser, parser.parse_args(arguments), _run)


def _run(options: argparse.Namespace) -> None:
    settings = {name: getattr(options, name) for name in ("p", "importance", "tolerance")}
    made = {"command": "validation certificate"} | settings
    kept = {"command": "python -m validation.certificate", "rugtheory": rt.__version__} | settings
    points: list[dict[str, Any]] = []
    with writing({options.out: made}, overwrite=options.overwrite):
        grid = list(product(_SIZES, options.p, options.importance))
        for (n, n_dense), p, importance in tqdm(grid, unit="point"):
            points.append(point(n, n_dense, p, importance, options.tolerance))
            with replacing(options.out) as partial:
                partial.write_text(json.dumps(kept | {"points": points}, indent=1) + "\n")
    print(f"wrote {options.out}, {len(points)} points")


if __name__ == "__main__":
    sys.exit(main())
