"""The command `rugtheory minimize`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from .. import _check
from .._files import add_overwrite, replacing
from ..analysis.minimize import Minimum, minimize
from ..analysis.starts import INITS, RANDOM
from ..model.model import Model
from ..source.features import Features
from ..structure.allocation import allocate
from ..structure.best import best_known
from ..theory.optimum import optimum
from ..theory.pairs import antipodal_optimum
from .shared import add_amplitude, add_command, draw_file, features_of, output, settings
from .weight_files import add_reading, read_model

# Settings that go into what is written.
_MADE = (
    "p", "features", "n_sparse", "n_dense", "file", "names", "ignore", "instance", "max_coupling",
    "hidden_noise", "tied", "weight_decay", "steps", "init", "seed", "amplitude",
)  # fmt: skip
# Seconds between copies of the weights on the way, for a process that is killed.
_EVERY = 30.0


def add(commands: Any) -> None:
    """The command minimize."""
    parser = add_command(
        commands, "minimize", run, "find weights of least exact loss, by descent without data"
    )
    parser.set_defaults(suffix=".safetensors")
    parser.add_argument(
        "--n-dense", type=int, help="number of hidden units; that of --from by default"
    )
    law = parser.add_mutually_exclusive_group(required=True)
    law.add_argument(
        "--p", type=float, help="probability that a feature is on, for features that are alike"
    )
    law.add_argument("--features", type=Path, metavar="FILE", help="TOML file of a law of features")
    parser.add_argument("--n-sparse", type=int, help="number of features, with --p")
    parser.add_argument("--from", dest="file", type=Path, help="file of weights to start from")
    parser.add_argument(
        "--max-coupling",
        type=float,
        default=10.0,
        help="cap on the couplings |W_ij|/W_ii (10); inf for none",
    )
    parser.add_argument(
        "--hidden-noise",
        type=float,
        help="standard deviation of noise in each hidden unit: 0, or that of --from, by default",
    )
    parser.add_argument("--tied", action="store_true", help="keep W_out the transpose of W_in")
    parser.add_argument(
        "--weight-decay",
        type=float,
        default=0.0,
        help="twice the factor of the sum of squared weights (0)",
    )
    parser.add_argument("--steps", type=int, default=5000, help="number of steps at most (5000)")
    parser.add_argument(
        "--init",
        choices=INITS,
        help="start without --from: random weights (the default); rare: couplings of low pair "
        "energy, for features that are alike; best: the best weights known with this cap",
    )
    parser.add_argument("--seed", type=int, help="seed of the start (0), without --from")
    parser.add_argument("--out", type=Path, help="safetensors file to write, on the way too")
    parser.add_argument("--trajectory", type=Path, help="JSON file of the losses of all steps")
    parser.add_argument("--figure", type=Path, help="picture of the losses of all steps")
    parser.add_argument(
        "--json", action="store_true", help="print an object as JSON, with all digits"
    )
    add_reading(parser)
    add_overwrite(parser)
    add_amplitude(parser)


def run(options: argparse.Namespace) -> None:
    start = None if options.file is None else read_model(options.file, options)
    n_dense = _check_start(options, start)
    options.hidden_noise = _noise(options.hidden_noise, start)
    if start is None:
        options.seed, options.init = options.seed or 0, options.init or RANDOM
    features = _features(options, start)
    if options.out is not None and options.out.suffix != ".safetensors":
        raise ValueError(f"--out must end in .safetensors, got {options.out}")
    made = settings("minimize", options, *(x for x in _MADE if getattr(options, x) is not None))
    if not np.isfinite(made["max_coupling"]):
        made["max_coupling"] = "inf"
    if options.out is None:
        print("the weights are not kept: --out FILE.safetensors does", file=sys.stderr)
    descent = _Descent(options, features, _references(options, features, n_dense))
    with output(options, {x: made for x in (options.out, options.trajectory, options.figure)}):
        found = descent.run(start, n_dense)
        descent.save()
        if options.trajectory is not None:
            with replacing(options.trajectory) as path:
                path.write_text(json.dumps({"loss": descent.losses}))
        if options.figure is not None:
            draw_file(options.figure, descent.draw)
    if found is None:
        kept = f"; {options.out} has the weights, --from goes on" if options.out else ""
        print(f"stopped after {len(descent.losses)} steps{kept}", file=sys.stderr)
        raise KeyboardInterrupt
    _show(found, descent.references, options)


def _check_start(options: argparse.Namespace, start: Model | None) -> int:
    """Hidden units; ValueError for options that do not go with the start, or contradict it."""
    if start is None:
        for name in ("names", "ignore", "instance"):
            if getattr(options, name) is not None:
                raise ValueError(f"--{name} goes with --from FILE, which it is about")
        if options.n_dense is None:
            raise ValueError("--n-dense is needed without --from")
        return _check.count("--n-dense", options.n_dense, 1)
    for name in ("init", "seed"):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name} is of a start that is made; --from FILE is one")
    for name in ("n_dense", "n_sparse"):
        given, there = getattr(options, name), getattr(start, name)
        if given not in (None, there):
            raise ValueError(
                f"--{name.replace('_', '-')} must be that of --from, {there}, got {given}"
            )
    return start.n_dense


def _features(options: argparse.Namespace, start: Model | None) -> Features:
    if options.features is not None and options.n_sparse is not None:
        raise ValueError("--n-sparse goes with --p; --features FILE has as many as it says")
    n_sparse = options.n_sparse if start is None else start.n_sparse
    if n_sparse is None and options.features is None:
        raise ValueError("--n-sparse is needed with --p")
    if n_sparse is not None:
        _check.count("--n-sparse", n_sparse, 1)
    return features_of(options, n_sparse)


def _noise(given: float | None, start: Model | None) -> float:
    if given is not None:
        return given
    return 0.0 if start is None else start.hidden_noise


class _Descent:
    """A descent that keeps what it has when it is interrupted."""

    def __init__(
        self, options: argparse.Namespace, features: Features, references: dict[str, float]
    ) -> None:
        self.options, self.features, self.references = options, features, references
        self.model: Model | None = None
        self.losses: list[float] = []
        self._saved = time.monotonic()

    def run(self, start: Model | None, n_dense: int) -> Minimum | None:
        """The minimum; None after Ctrl-C."""
        from tqdm import tqdm

        o = self.options
        beside = "".join(f", {name} {loss:.4g}" for name, loss in self.references.items())
        bars: list[Any] = []

        def keep(model: Model, loss: float) -> None:
            self.model = model
            self.losses.append(loss)
            if time.monotonic() > self._saved + _EVERY:
                self.save()
            if not bars:
                bars.append(tqdm(total=o.steps, desc="descent", unit="step", leave=False))
            bars[0].set_postfix_str(f"loss {loss:.4g}{beside}", refresh=False)
            bars[0].update()

        try:
            found = minimize(
                self.features,
                n_dense,
                init=o.init if start is None else start,
                max_coupling=None if o.max_coupling == np.inf else o.max_coupling,
                hidden_noise=o.hidden_noise,
                tied=o.tied,
                weight_decay=o.weight_decay,
                steps=o.steps,
                seed=o.seed or 0,
                callback=keep,
            )
        except KeyboardInterrupt:
            return None
        finally:
            for bar in bars:
                bar.close()
        self.model, self.losses = found.model, found.trajectory.tolist()
        return found

    def save(self) -> None:
        """Write the weights there are, if they are to be kept."""
        if self.options.out is not None and self.model is not None:
            with replacing(self.options.out) as path:
                self.model.save(path)
        self._saved = time.monotonic()

    def draw(self, ax: Any) -> None:
        """Loss against the step, with the losses to compare it with."""
        from ..figures import draw_descent

        draw_descent(self.losses, self.references, ax)


def _references(options: argparse.Namespace, features: Features, n_dense: int) -> dict[str, float]:
    """Losses of structures of many features, to compare with; none where no theory holds."""
    n, noise, cap = len(features), options.hidden_noise, options.max_coupling
    if n_dense > n or not features.independent or any(law.start < 0 for law in features.by_law):
        return {}
    if options.p is None:
        families = {} if noise else {"rugs": "gaussian", "pairs": "pairs"}
        return {
            name: allocate(features, n_dense, family=family).loss
            for name, family in families.items()
        }
    p, ratio, law = options.p, n_dense / n, options.amplitude
    found = {}
    if not noise:
        found["rug"] = optimum(p, ratio, amplitude=law).loss
        found["pairs"] = antipodal_optimum(p, ratio, amplitude=law).loss
    if np.isfinite(cap):
        best = best_known(p, ratio, max_coupling=cap, hidden_noise=noise, amplitude=law)
        found["best known"] = best.loss
    return {name: float(loss) for name, loss in found.items()}


def _show(found: Minimum, references: dict[str, float], options: argparse.Namespace) -> None:
    if options.json:
        kept = {k: v for k, v in found.to_dict().items() if k not in ("model", "trajectory")}
        print(json.dumps(kept | {"references": references, "steps": found.trajectory.size - 1}))
        return
    print(f"{'loss':32} {found.loss:.9g} (numerical error {found.error:.1g})")
    for name, value in references.items():
        print(f"{f'{name}, many features':32} {value:.6g}")
    print(f"{'largest coupling':32} {found.coupling:.6g}")
    print(f"{'gradient of the log of the loss':32} {found.gradient:.3g}")
    print(f"{'steps':32} {found.trajectory.size - 1}")
    print(f"{'verdict':32} {found.verdict}")
    for path in (options.out, options.trajectory, options.figure):
        if path is not None:
            print(f"wrote {path}")
