"""Sweeps: many models over a grid, resumable, on any executor of `concurrent.futures`.

A finished point is a pair of files, weights as safetensors and results as JSON, each written whole
or not at all, the JSON last and holding the hash of the weights.  Their name ends in a digest of
all settings, so that different points have different files.  A killed sweep leaves finished points
alone when it is called again, also those with the names of earlier versions.
"""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json
import math
import platform
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, as_completed
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

import rugtheory as rt
from rugtheory._files import replacing
from rugtheory.source.files import features_of, text_of

from .spec import DESCENTS, PROTOCOLS, Spec, Trained
from .training import train

_RTOL = 1e-6
# Of larger models, which take minutes for all rows, some rows are evaluated.
_ROWS = 1024
_EXPLAINED_ROWS = 32
# Failures that are named, of many.
_SHOWN = 3

COMMON = ("steps", "rate", "tolerance", "rounds")
_AXES = ("n_sparse", "features", "ratio", "p", "seed", "protocol", "max_coupling", "decay")
# What differs between points of sweeps that have the settings above in common.
_POINT = ("n_sparse", "n_dense", "p", "seed", "protocol", "tied", "max_coupling", "decay")


def _number(x: object) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool)


def _integer(x: object) -> bool:
    return isinstance(x, int) and not isinstance(x, bool)


_VALID: dict[str, tuple[Callable[[Any], bool], str]] = {
    "n_sparse": (lambda x: _integer(x) and x >= 1, "positive integers"),
    "features": (lambda x: isinstance(x, str), "files of features"),
    "ratio": (lambda x: _number(x) and 0 < x <= 1, "in (0, 1]"),
    "p": (lambda x: _number(x) and 0 < x <= 1, "in (0, 1]"),
    "seed": (lambda x: _integer(x) and x >= 0, "integers from 0 on"),
    "protocol": (PROTOCOLS.__contains__, f"one of {', '.join(PROTOCOLS)}"),
    "steps": (lambda x: _integer(x) and x >= 1, "a positive integer"),
    "tied": (lambda x: isinstance(x, bool), "true or false"),
    "rate": (lambda x: _number(x) and 0 < x < float("inf"), "a positive number"),
    "tolerance": (lambda x: _number(x) and 0 < x < 1, "in (0, 1)"),
    "rounds": (lambda x: _integer(x) and x >= 1, "a positive integer"),
    "max_coupling": (lambda x: _number(x) and 0 < x < float("inf"), "positive numbers"),
    "descent_steps": (lambda x: _integer(x) and x >= 1, "a positive integer"),
    "decay": (lambda x: _number(x) and abs(x) < float("inf"), "finite numbers"),
}


@dataclass(frozen=True)
class Sweep:
    """A grid of models.

    Attributes
    ----------
    n_sparse, ratio, p, seed, protocol, max_coupling, decay : tuple
        The axes; n_dense is ratio · n_sparse rounded down.  Only descents have a max_coupling.
    features : tuple of str
        TOML of laws of features, an axis in the place of n_sparse and p.
    steps, tied, rate, tolerance, rounds, descent_steps
        See `Spec`.
    """

    ratio: tuple[float, ...]
    n_sparse: tuple[int, ...] = ()
    p: tuple[float, ...] = ()
    features: tuple[str, ...] = ()
    seed: tuple[int, ...] = (0,)
    protocol: tuple[str, ...] = ("converged",)
    steps: int = 2000
    tied: bool = False
    rate: float = 1e-2
    tolerance: float = 0.01
    rounds: int = 4
    max_coupling: tuple[float, ...] = (10.0,)
    descent_steps: int = 0
    decay: tuple[float, ...] = (0.0,)

    def specs(self) -> list[Spec]:
        """All models, the small ones first, those that see the same batches side by side."""
        kinds = [("", n, self.p) for n in sorted(self.n_sparse)]
        for text in self.features:
            law = features_of(text)
            kinds.append((text, len(law), (float(law.on_probability.mean()),)))
        return [
            Spec(
                n,
                int(n * r),
                p,
                seed=seed,
                steps=self.steps,
                protocol=protocol,
                tied=self.tied,
                rate=self.rate,
                tolerance=self.tolerance,
                rounds=self.rounds,
                law=text,
                max_coupling=cap,
                descent_steps=self.descent_steps if protocol in DESCENTS else 0,
                decay=decay,
            )
            for text, n, frequencies in kinds
            for protocol in self.protocol
            for cap in (self.max_coupling if protocol in DESCENTS else [Spec.max_coupling])
            for decay in self.decay
            for p, seed, r in itertools.product(frequencies, self.seed, self.ratio)
        ]


def read_sweep(path: Path) -> Sweep:
    """A sweep from TOML with the fields of `Sweep`; a single value stands for a list of one."""
    try:
        given = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None
    if unknown := set(given) - set(_VALID):
        raise ValueError(
            f"{path}: unknown {', '.join(sorted(unknown))}; known are {sorted(_VALID)}"
        )
    needed = ("ratio",) if "features" in given else ("n_sparse", "ratio", "p")
    if missing := [name for name in needed if name not in given]:
        raise ValueError(f"{path}: {missing[0]} is missing")
    if both := [name for name in ("n_sparse", "p") if "features" in given and name in given]:
        raise ValueError(f"{path}: {both[0]} is that of the features, which are given")
    for name, value in given.items():
        valid, range_ = _VALID[name]
        values = value if name in _AXES and isinstance(value, list) else [value]
        if not values or not all(map(valid, values)):
            bad = next((x for x in values if not valid(x)), values)
            raise ValueError(f"{path}: {name} must be {range_}, got {bad!r}")
        given[name] = tuple(values) if name in _AXES else value
    if "features" in given:
        files = [path.parent / name for name in given["features"]]
        try:
            given["features"] = tuple(text_of(rt.read_features(file)) for file in files)
        except OSError as error:
            raise ValueError(f"{path}: {error}") from None
    sweep = Sweep(**given)
    try:
        sweep.specs()
    except ValueError as error:
        raise ValueError(f"{path}: {error}; n_dense is ratio · n_sparse") from None
    return sweep


def key(spec: Spec) -> str:
    """The name of a point's files: different for any two that differ."""
    kinds = {one.name: one.type for one in fields(spec)}
    settings = {
        name: float(value) if kinds[name] == "float" else value
        for name, value in spec.settings().items()
    }
    text = json.dumps(settings, sort_keys=True)
    return f"{_axes_name(spec)}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _axes_name(spec: Spec) -> str:
    """What is in the name for the eye: all but what a sweep has in common."""
    tied = "_tied" if spec.tied else ""
    if spec.law:
        tied += f"_{hashlib.sha256(spec.law.encode()).hexdigest()[:8]}"
    p = repr(float(spec.p))
    return f"{spec.protocol}_{spec.n_sparse}_{spec.n_dense}_p{p}_s{spec.seed}{tied}"


def _former_key(spec: Spec) -> str:
    """The name in version 0.1.0, which had six digits of p."""
    tied = "_tied" if spec.tied else ""
    return f"{spec.protocol}_{spec.n_sparse}_{spec.n_dense}_p{spec.p:g}_s{spec.seed}{tied}"


def run(
    sweep: Sweep,
    out: Path,
    executor: Executor,
    *,
    device: str = "cpu",
    group: int = 1,
    minutes: float = math.inf,
    progress: Callable[[Iterable[Future[Any]], int], Iterable[Future[Any]]] = lambda x, n: x,
    warn: Callable[[str], object] = print,
) -> None:
    """Train what is missing of `sweep` in the folder `out`, `group` models at a time.

    After so many minutes descents stop where they are, and nothing more is begun.

    Points that fail are named at the end, in a RuntimeError; all others are kept.  So are points
    without a result of their own, if there should be any.  ValueError if `out` holds points that
    were trained otherwise.
    """
    out.mkdir(parents=True, exist_ok=True)
    models = sweep.specs()
    specs = list(dict.fromkeys(models))
    if len(specs) < len(models):
        warn(f"{len(models) - len(specs)} of {len(models)} models are the same as others")
    missing = [spec for spec in specs if not finished(out, spec, warn)]
    jobs = list(_groups(missing, group))
    until = time.time() + 60 * minutes
    futures = {executor.submit(work, job, device, until): job for job in jobs}
    failures: list[tuple[str, Exception]] = []
    late = 0
    try:
        for future in progress(as_completed(futures), len(futures)):
            try:
                done = future.result()
                late += not done
                for trained, result in done:
                    write(out, trained, result)
            except Exception as error:
                failures.append((key(futures[future][0]), error))
    finally:
        for future in futures:
            future.cancel()
    if failures:
        count = f"{len(failures)} of {len(futures)} jobs failed"
        shown = "; ".join(f"{name} with: {error}" for name, error in failures[:_SHOWN])
        more = f"; and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
        raise RuntimeError(f"{count}, {shown}{more}") from failures[0][1]
    if late:
        warn(f"{late} of {len(futures)} jobs are left: the same command goes on")
        return
    found = {key(spec): _find(out, spec, warn) for spec in specs}
    left = [name for name, path in found.items() if path is None]
    if left or len(set(found.values())) < len(specs):
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        raise RuntimeError(
            f"{len(specs)} points have {len(set(found.values()) - {None})} results in {out}; "
            f"those without are {', '.join(left[:_SHOWN])}{more}"
        )


def _groups(specs: list[Spec], size: int) -> Iterator[list[Spec]]:
    # What is trained together differs in these only.
    for _, same in itertools.groupby(specs, lambda s: replace(s, n_dense=1, p=1.0, seed=0)):
        items = list(same)
        for start in range(0, len(items), size):
            yield items[start : start + size]


def work(specs: list[Spec], device: str, until: float) -> list[tuple[Trained, dict[str, Any]]]:
    """Train models and evaluate them; runs on a worker.  Nothing if it is late."""
    if time.time() > until:
        return []
    torch.set_num_threads(1)
    trained = train(specs, device=device, until=until)
    return [(model, evaluate(model, device)) for model in trained]


def evaluate(trained: Trained, device: str) -> dict[str, Any]:
    """The exact loss of a model, its statistics, the verdict on it, and where it was made."""
    spec = trained.spec
    model, features = trained.model, spec.features
    rows = min(_ROWS, spec.n_sparse)
    exact = rt.exact_loss(model, features, rows=rows, rtol=_RTOL)
    verdict = {}
    if not spec.law:
        found = rt.explain(model, features, rows=min(_EXPLAINED_ROWS, spec.n_sparse))
        verdict = found.terms | {"loss of these rows": found.loss}
    return {
        "spec": spec.settings(),
        "loss": exact.mean,
        "standard_error": exact.standard_error,
        "numerical_error": exact.mean_error,
        "spread": float(exact.loss.std() / exact.loss.mean()) if rows == spec.n_sparse else None,
        "batch_loss": float(trained.losses[-200:].mean()) if trained.losses.size else None,
        "steps_done": int(trained.losses.size),
        "rounds": trained.rounds,
        "descent": asdict(trained.descent) if trained.descent else None,
        "shared": asdict(trained.shared) if trained.shared else None,
        "statistics": rt.statistics(model, features, rows=1).summary(),
        "verdict": verdict,
        "date": str(datetime.date.today()),
        "device": device,
        "machine": platform.processor() or platform.machine(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "rugtheory": rt.__version__,
    }


def tensors(trained: Trained) -> dict[str, np.ndarray]:
    """The weights by the names that `rugtheory.read_weights` knows."""
    named = {"W_in": trained.w_in, "W_out": trained.w_out, "b": trained.b}
    return {name: np.ascontiguousarray(x) for name, x in named.items()}


def write(out: Path, trained: Trained, result: dict[str, Any]) -> None:
    """The pair of files of a finished point."""
    weights, about = out / f"{key(trained.spec)}.safetensors", out / f"{key(trained.spec)}.json"
    for path in (weights, about):
        _set_aside(path)
    former = out / f"{_former_key(trained.spec)}.json"
    if former.exists() and _read(former, lambda message: None) is None:
        _set_aside(former)
    with replacing(weights) as partial:
        save_file(tensors(trained), partial)
    result = result | {"sha256": hash_of(weights)}
    with replacing(about) as partial:
        partial.write_text(json.dumps(result, indent=1))


def _set_aside(path: Path) -> None:
    """Rename a file that is in the way: it is no result, but may be of use to somebody."""
    if path.exists():
        names = (path.with_name(f"{path.name}.{k}.aside") for k in itertools.count(1))
        path.rename(next(name for name in names if not name.exists()))


def finished(out: Path, spec: Spec, warn: Callable[[str], object] = print) -> bool:
    """Whether the point is there and whole; a corrupt one is named and counts as missing.

    ValueError if the same point of the axes is there but was trained otherwise.
    """
    if _find(out, spec, warn) is not None:
        return True
    others = out.glob(f"{_axes_name(spec)}_*.json")
    for about in (*others, out / f"{_former_key(spec)}.json"):
        if about.name == f"{key(spec)}.json" or not about.exists():
            continue
        found = _read(about, lambda message: None)
        settings = spec.settings()
        if found is None or any(found.get(k) != settings.get(k) for k in _POINT):
            continue  # of another p, in an earlier version
        for name, value in settings.items():
            if found.get(name) != value:
                raise ValueError(
                    f"{about}: was trained with {name} = {found.get(name)!r}, the sweep has "
                    f"{value!r}; use another folder"
                )
    return False


def _find(out: Path, spec: Spec, warn: Callable[[str], object]) -> Path | None:
    """The whole result of a point, under its name or that of an earlier version."""
    for name in (key(spec), _former_key(spec)):
        about = out / f"{name}.json"
        if about.exists() and _read(about, warn) == spec.settings():
            return about
    return None


def _read(about: Path, warn: Callable[[str], object]) -> dict[str, Any] | None:
    """The settings in a result, None after a word of warning if it is not whole."""
    weights = about.with_suffix(".safetensors")
    try:
        result = json.loads(about.read_text())
        whole = result["sha256"] == hash_of(weights)
        found: dict[str, Any] = dict(result["spec"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        warn(f"{about}: corrupt ({error}), trained anew")
        return None
    if not whole:
        warn(f"{weights}: corrupt (its hash is not the one in {about.name}), trained anew")
        return None
    return found


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
