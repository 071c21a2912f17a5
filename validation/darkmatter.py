"""The dark matter of a real transformer: activations, SAEs, report.

The middle of all-MiniLM-L6-v2, layer 3 of 6, has SAEs of every width and L0; the other layers, and
what attention and MLP add in block 3, have one each, for the baselines over layers and Equation
(11) of arXiv:2410.14670.  SAEs are trained on texts of their own: the report is about others.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import as_completed
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rugtheory import darkmatter
from rugtheory._files import replacing

from .activations import MODEL, PACKAGES, contexts, documents, extract, versions
from .components import FIT_ROWS, component_losses
from .masked import Masked, token_losses, trained_head
from .saes import SaeSpec, trained
from .workers import Workers

LAYER = 3
LAYERS = (1, 2, 3, 4, 5, 6)
WIDTHS = (512, 1024, 2048, 4096)
# TopK at every L0, JumpReLU at the middle one.
L0 = (8, 16, 32)
MIDDLE = 16
# The SAE that other layers and components have.
USUAL = (1024, 16)
# The SAE whose linear and nonlinear error, about equal in norm, others are trained on.
SPLIT = f"topk_{WIDTHS[0]}_{MIDDLE}"
ERRORS = ("linear_error", "nonlinear_error")
# Noise of the test bench, in standard deviations of a coordinate of x̂.
BENCH_LEVELS = (0.0, 0.1, 0.2, 0.3)
BENCH_ROWS = 30_000
# Tokens held out whose cross entropy is measured with parts of errors.
CROSS_ENTROPY = 40_000
_BLOCK = 8192

Progress = Callable[..., Any]


@dataclass(frozen=True)
class Plan:
    """What to run: tokens to train on and to report on, and steps of training."""

    out: Path
    training: int = 200_000
    held_out: int = 100_000
    steps: int = 600
    seed: int = 0

    def acts(self, part: str, name: str) -> Any:
        """One array of the folder "training" or "held_out"."""
        return np.load(self.out / part / f"{name}.npy", mmap_mode="r")

    def jobs(self) -> list[tuple[str, SaeSpec]]:
        """Name of the activations and decoder to train on them, the longest first."""
        given = {"seed": self.seed, "steps": self.steps}
        jobs = [
            (f"layer_{LAYER}", SaeSpec(kind, width, l0, **given))
            for kind in ("topk", "jumprelu")
            for l0 in (L0 if kind == "topk" else (MIDDLE,))
            for width in WIDTHS
        ]
        others = [f"layer_{k}" for k in LAYERS if k != LAYER] + [f"attn_{LAYER}", f"mlp_{LAYER}"]
        jobs += [(name, SaeSpec("topk", *USUAL, **given)) for name in others]
        return sorted(jobs, key=lambda job: -job[1].width * job[1].l0)


def both_pieces(plan: Plan) -> dict[str, list[tuple[int, list[int]]]]:
    """Contexts to train on and to report on, of other texts each."""
    pieces = contexts(documents(seed=plan.seed), plan.training + plan.held_out)
    ends = list(accumulate(len(ids) for _, ids in pieces))
    # No text is in both.
    cut = next(
        i
        for i in range(1, len(pieces))
        if ends[i - 1] >= plan.training and pieces[i][0] != pieces[i - 1][0]
    )
    return {"training": pieces[:cut], "held_out": pieces[cut:]}


def extract_both(plan: Plan, pieces: Mapping[str, Any], bar: Progress) -> None:
    """Activations to train on and to report on, in the folders "training" and "held_out"."""
    for name, part in pieces.items():
        with bar(total=sum(len(ids) for _, ids in part), desc=name, unit="token") as shown:
            folder = plan.out / name
            extract(part, folder, layers=LAYERS, block=LAYER, about={}, progress=shown.update)


def examine(plan: Plan, name: str, saes: dict[str, Path], out: Path, **more: Any) -> dict[str, Any]:
    """The report on decoders of the activations `name`."""
    return darkmatter.write_report(
        plan.acts("held_out", name),
        saes,
        out,
        contexts=plan.acts("held_out", "contexts"),
        tokens=plan.acts("held_out", "tokens"),
        seed=plan.seed,
        baselines={"model loss": plan.acts("held_out", "loss")},
        **more,
    )


def extras(saes: dict[str, Path]) -> dict[str, list[str]]:
    """The decoders that have the slow tests too."""
    some = [name for name in saes if name in {f"topk_{width}_{MIDDLE}" for width in WIDTHS}]
    return {"pursuit": some, "align": some}


def masked_losses(plan: Plan, pieces: Mapping[str, Any], bar: Progress) -> tuple[Any, Any, Any]:
    """The cut transformer, its head and its classes; the loss of each token held out is kept."""
    model = Masked(LAYER)
    training, held_out = plan.acts("training", "tokens"), plan.acts("held_out", "tokens")
    with bar(total=len(training), desc="head", unit="token") as shown:
        file = plan.out / "head.safetensors"
        head, number = trained_head(pieces["training"], model, file, plan.seed, shown.update)
    file = plan.out / "held_out" / "loss.npy"
    if not file.exists():
        with bar(total=len(held_out), desc="losses", unit="token") as shown:
            found = token_losses(pieces["held_out"], model, head, number, plan.seed, shown.update)
        with replacing(file) as partial, partial.open("wb") as opened:
            np.save(opened, found)
    return model, head, number


def write_errors(plan: Plan) -> None:
    """Linear and nonlinear error of one decoder, as activations in both folders."""
    sae = darkmatter.read_sae(plan.out / "saes" / f"layer_{LAYER}" / SPLIT)
    x = np.float32(plan.acts("training", f"layer_{LAYER}")[:FIT_ROWS])
    fitted = darkmatter.decompose(x, sae.reconstruct(x), test_fraction=0.0, bootstrap=0)
    for part in ("training", "held_out"):
        acts = plan.acts(part, f"layer_{LAYER}")
        files = [plan.out / part / f"{name}.npy" for name in ERRORS]
        if all(file.exists() for file in files):
            continue
        linear, nonlinear = np.empty((2, *acts.shape), np.float32)
        for k in range(0, len(acts), _BLOCK):
            block = np.float32(acts[k : k + _BLOCK])
            linear[k : k + _BLOCK] = fitted.linear(block)
            nonlinear[k : k + _BLOCK] = fitted.nonlinear(block, sae.reconstruct(block))
        for file, values in zip(files, (linear, nonlinear), strict=True):
            with replacing(file) as partial, partial.open("wb") as opened:
                np.save(opened, values)


def on_errors(plan: Plan, bar: Progress) -> dict[str, Any]:
    """Reports on decoders that are trained on the linear and on the nonlinear error."""
    write_errors(plan)
    spec, found = SaeSpec("topk", *USUAL, seed=plan.seed, steps=plan.steps), {}
    for name in bar(ERRORS, desc="decoders of errors", unit="SAE"):
        path = trained(spec, plan.out / "training" / f"{name}.npy", plan.out / "saes" / name)
        found[name] = examine(plan, name, {spec.name: path}, plan.out / "report" / name)
    return found


def bench(plan: Plan) -> dict[str, Any]:
    """Section 5.2's table with the usual decoder of the layer; noise in units of a coordinate."""
    width, l0 = USUAL
    sae = darkmatter.read_sae(plan.out / "saes" / f"layer_{LAYER}" / f"topk_{width}_{l0}")
    x = plan.acts("held_out", f"layer_{LAYER}")[:BENCH_ROWS].astype(np.float32)
    contexts = plan.acts("held_out", "contexts")[:BENCH_ROWS]
    unit = float(np.sqrt(sae.reconstruct(x).var(axis=0).mean()))
    levels = [unit * level for level in BENCH_LEVELS]
    found = darkmatter.sae_bench(
        sae, x, dense=levels, introduced=levels, contexts=contexts, seed=plan.seed
    )
    return {"sae": f"topk_{width}_{l0}", "rows": len(x), "unit": unit} | found.to_dict()


def work(plan: Plan, name: str, spec: SaeSpec) -> None:
    """Train one decoder and examine it, unless that is done; one thread."""
    torch.set_num_threads(1)
    path = trained(spec, plan.out / "training" / f"{name}.npy", plan.out / "saes" / name)
    if name.startswith("layer"):
        # The report on all decoders of this folder will find what this one leaves there.
        more = extras({spec.name: path}) if name == f"layer_{LAYER}" else {}
        examine(plan, name, {spec.name: path}, plan.out / "report" / name, **more)


def run(plan: Plan, *, workers: int, bar: Progress) -> dict[str, Any]:
    """Do what is missing of the plan; returns what there is to keep as evidence."""
    start = time.perf_counter()
    pieces = both_pieces(plan)
    extract_both(plan, pieces, bar)
    masked = masked_losses(plan, pieces, bar)
    jobs = plan.jobs()
    failures: list[str] = []
    with (
        Workers(workers) as pool,
        bar(total=len(jobs), desc="decoders", unit="SAE") as shown,
    ):
        futures = {
            pool.submit(work, plan, name, spec): f"{spec.name} of {name}" for name, spec in jobs
        }
        for future in as_completed(futures):
            if error := future.exception():
                failures.append(f"{futures[future]} with: {error}")
            shown.update()
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(jobs)} decoders failed, {'; '.join(failures)}")
    reports = {}
    for name in dict.fromkeys(name for name, _ in jobs if name.startswith("layer")):
        saes = {spec.name: plan.out / "saes" / name / spec.name for n, spec in jobs if n == name}
        saes = dict(sorted(saes.items(), key=lambda item: _order(item[0])))
        more = extras(saes) if name == f"layer_{LAYER}" else {}
        reports[name] = examine(plan, name, saes, plan.out / "report" / name, **more)
    reports["components"] = _components(plan)
    reports |= on_errors(plan, bar)
    for name, found in reports.items():
        darkmatter.save_tables(found, plan.out / "report" / name)
        darkmatter.save_figures(found, plan.out / "report" / name)
    kept = _evidence(plan, reports)
    kept["bench"] = _rounded(bench(plan))
    kept["cross_entropy"] = _rounded(cross_entropy(plan, pieces["held_out"], masked, bar))
    kept["seconds"]["last run"] = round(time.perf_counter() - start, 1)
    with replacing(plan.out / "darkmatter.json") as partial:
        partial.write_text(json.dumps(kept, indent=1, ensure_ascii=False), encoding="utf-8")
    left = [one for found in reports.values() for one in found["failures"]]
    if left:
        said = "; ".join(f"{one['name']}: {one['error']}" for one in left)
        raise RuntimeError(f"the reports are written, but lack what failed: {said}")
    return kept


def cross_entropy(
    plan: Plan, pieces: list[Any], masked: tuple[Any, Any, Any], bar: Progress
) -> dict[str, Any]:
    """What parts of the error bring back of the loss, for some decoders of the layer."""
    ends = np.cumsum([len(ids) for _, ids in pieces])
    some = pieces[: int(np.searchsorted(ends, CROSS_ENTROPY)) + 1]
    names = [f"topk_{width}_{MIDDLE}" for width in WIDTHS]
    names += [f"topk_{USUAL[0]}_{l0}" for l0 in L0 if l0 != MIDDLE]
    acts = plan.acts("training", f"layer_{LAYER}")
    saes = {name: plan.out / "saes" / f"layer_{LAYER}" / name for name in names}
    with bar(desc="cross entropy", unit="token") as shown:
        return component_losses(some, *masked, saes, acts, plan.seed, shown.update)


def _order(name: str) -> tuple[str, int, int]:
    kind, width, l0 = name.split("_")
    return kind, int(l0), int(width)


def _components(plan: Plan) -> dict[str, Any]:
    """The errors of the usual decoder of the layer, regressed on what the layer is made of."""
    width, l0 = USUAL
    name = f"topk_{width}_{l0}"
    given: dict[str, Any] = {}
    for part in (f"layer_{LAYER - 1}", f"attn_{LAYER}", f"mlp_{LAYER}"):
        acts = plan.acts("held_out", part)
        sae = darkmatter.read_sae(plan.out / "saes" / part / name)
        given |= {part: acts, f"{part}, its SAE": darkmatter.Reconstruction(acts, sae)}
    path = plan.out / "saes" / f"layer_{LAYER}" / name
    out = plan.out / "report" / "components"
    return examine(plan, f"layer_{LAYER}", {name: path}, out, components=given)


def _evidence(plan: Plan, reports: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What to keep of the reports: all figures but those of single tokens and latents."""
    abouts = {
        part: json.loads((plan.out / part / "about.json").read_text())
        for part in ("training", "held_out")
    }
    training = [
        darkmatter.read_sae(plan.out / "saes" / name / spec.name).metadata["seconds"]
        for name, spec in plan.jobs()
    ]
    seconds = {
        "extraction": sum(about["seconds"] for about in abouts.values()),
        "training, summed over processes": round(sum(training), 1),
        "tests, summed over processes": round(
            sum(r["seconds"] for found in reports.values() for r in found["saes"]), 1
        ),
    }
    kept = {
        "about": reports[f"layer_{LAYER}"]["about"]
        | {
            "command": "python -m validation darkmatter --out DIR "
            f"--steps {plan.steps} --training {plan.training} --held-out {plan.held_out} "
            f"--seed {plan.seed}",
            "model": f"{MODEL}, output of block {LAYER} of 6",
            "text": "docstrings of " + ", ".join(PACKAGES) + "; pydoc_data.topics",
            "versions": versions(),
            "cores": os.cpu_count(),
            "training": {k: abouts["training"][k] for k in ("tokens", "contexts", "texts")},
            "held_out": {k: abouts["held_out"][k] for k in ("tokens", "contexts", "texts")},
            "sha256_of_tokens": {k: v["made_of"]["sha256_of_tokens"] for k, v in abouts.items()},
        },
        "seconds": seconds,
    }
    for name, found in reports.items():
        parts = {k: v for k, v in found.items() if k in ("saes", "pairs", "groups", "null")}
        kept[name] = _rounded(parts)
    return kept


def _rounded(value: Any) -> Any:
    """Without the points of pictures, and with 7 digits."""
    if isinstance(value, dict):
        points = ("dot", "mean_active", "slope", "running_dot", "running_mean_active")
        return {k: _rounded(v) for k, v in value.items() if k not in points}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value
