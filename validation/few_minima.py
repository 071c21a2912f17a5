"""``python -m validation.few_minima``: critical points of tied models of a few features.

x̂ = ReLU(WᵀW x + b), importance-weighted mean squared error, exact (`validation.few_features`).
Minima are looked for by descent from random weights, other critical points as least squares of the
gradient; both are polished by Newton's method.  What is found is counted up to rotations of the
hidden units, and permutations of features that are alike.  Nothing says that all were found.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from tqdm import tqdm

import rugtheory as rt
from rugtheory._files import add_overwrite, replacing, writing
from rugtheory.cli.running import guarded
from rugtheory.cli.shared import Parser

from .few_features import Array, Sets, losses

# Step of differences of the gradient, which is exact to rounding.
_STEP = 3e-6
# Eigenvalues below this part of the largest are zero.
_ZERO = 1e-6
_NEWTON, _GTOL = 12, 1e-11
# What was not polished to this is no critical point; what agrees to this is the same.
_DIGITS = 12
_CRITICAL, _SAME = 1e-9, 1e-10


@dataclass(frozen=True)
class Case:
    """A number of features in two hidden units, how rare they are, and their importances."""

    n: int
    p: float | None
    factor: float

    @property
    def importance(self) -> Array:
        """factor^i."""
        return np.asarray(self.factor ** np.arange(self.n), float)

    @property
    def sets(self) -> Sets:
        """Independent features, or one on at a time."""
        if self.p is None:
            return Sets.one_on(self.n, self.importance)
        return Sets.independent(np.full(self.n, self.p), self.importance)

    @property
    def name(self) -> str:
        """For tables."""
        how = "one on" if self.p is None else f"p {self.p:g}"
        return f"({self.n}, 2), {how}, importance {self.factor:g}^i"


# Descents and searches from random weights.  Searches take long where sets of any size are on, and
# start there at the lowest points that were found with one feature on at a time.
_NEAR = 12
PLAN = {
    Case(5, None, 1.0): (100, 200),
    Case(6, None, 1.0): (100, 200),
    Case(5, None, 0.9): (100, 200),
    Case(6, None, 0.9): (100, 200),
    Case(5, 0.1, 1.0): (6, 0),
    Case(5, 0.1, 0.9): (6, 0),
}


class Tied:
    """Loss and gradient of tied weights and biases, as one vector."""

    def __init__(self, case: Case) -> None:
        self.sets, self.n = case.sets, case.n
        self.share = self.sets.importance / case.n

    def parts(self, x: Array) -> tuple[Array, Array]:
        """Weights, shape (2, n), and biases."""
        return x[: -self.n].reshape(-1, self.n), x[-self.n :]

    def __call__(self, x: Array) -> tuple[float, Array]:
        w, b = self.parts(x)
        loss, by_w, by_b = losses(self.sets, w.T @ w, b)
        by_w = self.share[:, None] * by_w
        return float(self.share @ loss), np.append(w @ (by_w + by_w.T), self.share * by_b)

    def gradient(self, x: Array) -> Array:
        """That alone."""
        return self(x)[1]

    def hessian(self, x: Array) -> Array:
        """By central differences."""
        steps = _STEP * np.eye(x.size)
        rows = np.array([self.gradient(x + s) - self.gradient(x - s) for s in steps]) / (2 * _STEP)
        return np.asarray((rows + rows.T) / 2)


def polished(f: Tied, x: Array) -> Array:
    """A critical point nearby, by Newton's method where the Hessian is not singular."""
    for _ in range(_NEWTON):
        slope = f.gradient(x)
        if np.abs(slope).max() <= _GTOL:
            break
        value, vector = np.linalg.eigh(f.hessian(x))
        some = np.abs(value) > _ZERO * np.abs(value).max()
        step = vector[:, some] @ ((vector[:, some].T @ slope) / value[some])
        x = x - step * min(1.0, 0.3 / float(np.abs(step).max()))
    return x


def critical_points(
    case: Case, descents: int, searches: int, known: Sequence[Array] = (), seed: int = 0
) -> list[dict[str, Any]]:
    """What was found, by its loss; `known` are places to look near."""
    f, generator = Tied(case), np.random.default_rng([seed, case.n])
    found: list[dict[str, Any]] = []

    def start() -> Array:
        w = generator.normal(size=(2, case.n)) * generator.uniform(0.3, 1.0)
        return np.append(w, generator.uniform(-0.3, 0.3, case.n))

    def descent(x: Array) -> Array:
        options = {"gtol": 1e-7, "maxiter": 2000}
        return np.asarray(scipy.optimize.minimize(f, x, jac=True, method="BFGS", options=options).x)

    def search(x: Array) -> Array:
        options = {"ftol": 1e-12, "xtol": 1e-12, "maxiter": 60 * x.size}
        return np.asarray(scipy.optimize.root(f.gradient, x, method="lm", options=options).x)

    kinds: list[tuple[str, Callable[[Array], Array], int]] = [
        ("descents", descent, descents),
        ("searches", search, searches),
    ]
    for how, run, count in kinds:
        for _ in tqdm(range(count), desc=f"{case.name}, {how}"):
            _count(found, _described(f, polished(f, run(start()))), how)
    for x in tqdm(known, desc=f"{case.name}, known"):
        _count(found, _described(f, polished(f, x)), "searches")
    return sorted(found, key=lambda x: x["loss"])


def _described(f: Tied, x: Array) -> dict[str, Any]:
    loss, slope = f(x)
    w, b = f.parts(x)
    value = np.linalg.eigvalsh(f.hessian(x))
    zero = _ZERO * np.abs(value).max()
    return {
        "loss": loss,
        "gradient": float(np.abs(slope).max()),
        "index": int((value < -zero).sum()),
        # One is the rotation, unless no weights are left.
        "flat": int((np.abs(value) <= zero).sum()) - int(np.abs(w).max() > _CRITICAL),
        "w": w.round(_DIGITS).tolist(),
        "b": b.round(_DIGITS).tolist(),
    }


def _count(found: list[dict[str, Any]], point: dict[str, Any], how: str) -> None:
    """Add a point, or count it where it is known."""
    if not point["gradient"] <= _CRITICAL:
        return
    for other in found:
        # Flat directions join points of one loss, whose index may change along them.
        flat = point["flat"] > 0 and other["flat"] > 0
        same = flat or (other["index"], other["flat"]) == (point["index"], point["flat"])
        if same and abs(other["loss"] - point["loss"]) <= _SAME:
            other[how] += 1
            return
    found.append(point | {"descents": 0, "searches": 0} | {how: 1})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(prog="python -m validation.few_minima")
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    parser.add_argument("--seed", type=int, default=0)
    add_overwrite(parser)
    return guarded(parser, parser.parse_args(arguments), _run)


def _run(options: argparse.Namespace) -> None:
    made = {"command": "validation few_minima", "seed": options.seed}
    kept: dict[str, Any] = {
        "command": f"python -m validation.few_minima --seed {options.seed}",
        "rugtheory": rt.__version__,
        "cases": [],
    }
    near_points: dict[tuple[int, float], list[Array]] = {}
    with writing({options.out: made}, overwrite=options.overwrite):
        for case, (descents, searches) in PLAN.items():
            near = near_points.get((case.n, case.factor), []) if case.p else []
            points = critical_points(case, descents, searches, near, options.seed)
            near_points[case.n, case.factor] = [np.append(np.ravel(x["w"]), x["b"]) for x in points]
            kept["cases"].append(
                {
                    "n": case.n,
                    "p": case.p,
                    "factor": case.factor,
                    "descents": descents,
                    "searches": searches,
                    "points": points,
                }
            )
            with replacing(options.out) as partial:
                partial.write_text(json.dumps(kept) + "\n")
    print(f"wrote {options.out}, {sum(len(x['points']) for x in kept['cases'])} critical points")


if __name__ == "__main__":
    sys.exit(main())
