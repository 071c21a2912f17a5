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
        **more,
    )


def extras(saes: dict[str, Path]) -> dict[str, list[str]]:
    """The decoders that have the slow tests too."""
    some = [name for name in saes if name in {f"topk_{width}_{MIDDLE}" for width in WIDTHS}]
    return {"pursuit": some, "align": some}


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
    for name, found in reports.items():
        darkmatter.save_tables(found, plan.out / "report" / name)
        darkmatter.save_figures(found, plan.out / "report" / name)
    kept = _evidence(plan, reports)
    kept["seconds"]["last run"] = round(time.perf_counter() - start, 1)
    with replacing(plan.out / "darkmatter.json") as partial:
        partial.write_text(json.dumps(kept, indent=1, ensure_ascii=False), encoding="utf-8")
    left = [one for found in reports.values() for one in found["failures"]]
    if left:
        said = "; ".join(f"{one['name']}: {one['error']}" for one in left)
        raise RuntimeError(f"the reports are written, but lack what failed: {said}")
    return kept


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


def about(plan: Plan, report: Mapping[str, Any], command: str = "darkmatter") -> dict[str, Any]:
    """Where results come from."""
    abouts = _abouts(plan)
    return dict(report["about"]) | {
        "command": f"python -m validation {command} --out DIR "
        f"--steps {plan.steps} --training {plan.training} --held-out {plan.held_out} "
        f"--seed {plan.seed}",
        "model": f"{MODEL}, output of block {LAYER} of 6",
        "text": "docstrings of " + ", ".join(PACKAGES) + "; pydoc_data.topics",
        "versions": versions(),
        "cores": os.cpu_count(),
        "training": {k: abouts["training"][k] for k in ("tokens", "contexts", "texts")},
        "held_out": {k: abouts["held_out"][k] for k in ("tokens", "contexts", "texts")},
        "sha256_of_tokens": {k: v["made_of"]["sha256_of_tokens"] for k, v in abouts.items()},
    }


def _abouts(plan: Plan) -> dict[str, Any]:
    return {
        part: json.loads((plan.out / part / "about.json").read_text())
        for part in ("training", "held_out")
    }


def _evidence(plan: Plan, reports: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What to keep of the reports: all figures but those of single tokens and latents."""
    training = [
        darkmatter.read_sae(plan.out / "saes" / name / spec.name).metadata["seconds"]
        for name, spec in plan.jobs()
    ]
    seconds = {
        "extraction": sum(one["seconds"] for one in _abouts(plan).values()),
        "training, summed over processes": round(sum(training), 1),
        "tests, summed over processes": round(
            sum(r["seconds"] for found in reports.values() for r in found["saes"]), 1
        ),
    }
    kept = {
        "about": about(plan, reports[f"layer_{LAYER}"]),
        "seconds": seconds,
    }
    for name, found in reports.items():
        parts = {k: v for k, v in found.items() if k in ("saes", "pairs", "groups", "null")}
        kept[name] = rounded(parts)
    return kept


def rounded(value: Any) -> Any:
    """Without the points of pictures, and with 7 digits."""
    if isinstance(value, dict):
        points = ("dot", "mean_active", "slope", "running_dot", "running_mean_active")
        return {k: rounded(v) for k, v in value.items() if k not in points}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value
