"""What parts of an SAE's error are: SAEs trained on them, the model's loss with them, a bench.

Figures 8, 9, 14 and 15 and the table of section 5.2 of arXiv:2410.14670, on the activations and
with decoders of `darkmatter`: those it has trained in the same folder are not trained again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rugtheory import darkmatter
from rugtheory._files import replacing

from .components import FIT_ROWS, component_losses
from .darkmatter import (
    L0,
    LAYER,
    LAYERS,
    MIDDLE,
    USUAL,
    WIDTHS,
    Plan,
    Progress,
    about,
    both_pieces,
    examine,
    extract_both,
    rounded,
)
from .masked import Masked, token_losses, trained_head
from .saes import SaeSpec, trained

# The SAE whose linear and nonlinear error, about equal in norm, others are trained on.
SPLIT = (WIDTHS[0], MIDDLE)
ERRORS = ("linear_error", "nonlinear_error")
# Noise of the test bench, in standard deviations of a coordinate of x̂.
BENCH_LEVELS = (0.0, 0.1, 0.2, 0.3)
BENCH_ROWS = 30_000
# Tokens held out whose cross entropy is measured with parts of errors.
CROSS_ENTROPY = 30_000
_BLOCK = 8192


def run_parts(plan: Plan, bar: Progress) -> dict[str, Any]:
    """Do what is missing of the plan; returns what there is to keep as evidence."""
    start = time.process_time()
    pieces = both_pieces(plan)
    extract_both(plan, pieces, bar)
    masked = masked_losses(plan, pieces, bar)
    layers = [f"layer_{k}" for k in LAYERS]
    reports = {name: _report(plan, name) for name in bar(layers, desc="layers", unit="SAE")}
    write_errors(plan)
    reports |= {name: _report(plan, name) for name in bar(ERRORS, desc="errors", unit="SAE")}
    kept = {
        "about": about(plan, reports[f"layer_{LAYER}"], "darkmatter --parts"),
        **{
            name: {"saes": report["saes"], "null": report["null"]}
            for name, report in reports.items()
        },
        "bench": bench(plan),
        "cross_entropy": cross_entropy(plan, pieces["held_out"], masked, bar),
    }
    kept["about"]["errors_of"] = _spec(plan, *SPLIT).name
    kept["about"]["processor_seconds_of_last_run"] = round(time.process_time() - start, 1)
    kept = dict(rounded(kept))
    with replacing(plan.out / "parts.json") as partial:
        partial.write_text(json.dumps(kept, indent=1, ensure_ascii=False), encoding="utf-8")
    return kept


def _spec(plan: Plan, width: int, l0: int) -> SaeSpec:
    return SaeSpec("topk", width, l0, seed=plan.seed, steps=plan.steps)


def _sae(plan: Plan, name: str, width: int, l0: int) -> Path:
    """The decoder of activations, or errors, of that name, trained unless it is there."""
    acts, folder = plan.out / "training" / f"{name}.npy", plan.out / "saes" / name
    return trained(_spec(plan, width, l0), acts, folder)


def _report(plan: Plan, name: str) -> dict[str, Any]:
    """The report on the usual decoder of activations, or errors, of that name."""
    path = _sae(plan, name, *USUAL)
    loss = {"model loss": plan.acts("held_out", "loss")}
    return examine(plan, name, {path.name: path}, plan.out / "parts" / name, baselines=loss)


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
    sae = darkmatter.read_sae(_sae(plan, f"layer_{LAYER}", *SPLIT))
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


def bench(plan: Plan) -> dict[str, Any]:
    """Section 5.2's table with the usual decoder of the layer; noise in units of a coordinate."""
    path = _sae(plan, f"layer_{LAYER}", *USUAL)
    sae = darkmatter.read_sae(path)
    x = plan.acts("held_out", f"layer_{LAYER}")[:BENCH_ROWS].astype(np.float32)
    contexts = plan.acts("held_out", "contexts")[:BENCH_ROWS]
    unit = float(np.sqrt(sae.reconstruct(x).var(axis=0).mean()))
    levels = [unit * level for level in BENCH_LEVELS]
    found = darkmatter.sae_bench(
        sae, x, dense=levels, introduced=levels, contexts=contexts, seed=plan.seed
    )
    return {"sae": path.name, "rows": len(x), "unit": unit} | found.to_dict()


def cross_entropy(
    plan: Plan, pieces: list[Any], masked: tuple[Any, Any, Any], bar: Progress
) -> dict[str, Any]:
    """What parts of the error bring back of the loss, for some decoders of the layer."""
    ends = np.cumsum([len(ids) for _, ids in pieces])
    some = pieces[: int(np.searchsorted(ends, CROSS_ENTROPY)) + 1]
    shapes = [(width, MIDDLE) for width in WIDTHS]
    shapes += [(USUAL[0], l0) for l0 in L0 if l0 != MIDDLE]
    paths = [_sae(plan, f"layer_{LAYER}", *shape) for shape in shapes]
    saes, acts = {path.name: path for path in paths}, plan.acts("training", f"layer_{LAYER}")
    with bar(desc="cross entropy", unit="token") as shown:
        return component_losses(some, *masked, saes, acts, plan.seed, shown.update)
