"""The finished points of a sweep, gathered."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import rugtheory as rt

from .descent import Descent, Law
from .spec import Spec, gain
from .sweep import COMMON, hash_of

# Weights of models as small as this are kept with their results.
_FEW_WEIGHTS = 1000
# Of models that were trained only, or whose descent started from no law.
_NO_DESCENT, _NO_LAW = (
    {
        one.name: "" if one.type == "str" else -1 if one.type == "int" else np.nan
        for one in fields(kind)
    }
    for kind in (Descent, Law)
)
_KEPT = ("loss", "standard_error", "numerical_error", "spread", "batch_loss", "steps_done")


def results_of(out: Path) -> dict[Path, dict[str, Any]]:
    """All finished points of a folder, by their files."""
    found: dict[Path, dict[str, Any]] = {}
    files: dict[Spec, Path] = {}
    for path in sorted(out.glob("*.json")):
        if path.name.startswith("."):
            continue
        try:
            result = json.loads(path.read_text())
            if "sha256" not in result:
                continue
            spec = Spec(**result["spec"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} cannot be read as a result: {error}") from error
        if spec in files:
            raise ValueError(f"{files[spec]} and {path} are results of one point")
        found[path], files[spec] = result, path
    if not found:
        raise ValueError(f"{out} holds no finished points")
    return found


def digests(out: Path) -> dict[str, str]:
    """What `collect` gathers: hashes of the finished points by their names."""
    return {f"point {path.stem}": hash_of(path) for path in results_of(out)}


def collect(out: Path) -> xr.Dataset:
    """All finished points of a folder as a Dataset with one dimension, point.

    Theory is beside each: the losses of the rug, of pairs and of the best known structure, in the
    limit of unbounded couplings, at the model's own n_dense/n_sparse.  Where some features are not
    identical there is none, but small models have their weights.
    """
    found = results_of(out)
    results = list(found.values())
    columns: dict[str, list[Any]] = {}
    for x in results:
        row = {k: v for k, v in x["spec"].items() if k not in COMMON}
        row = {"max_coupling": np.nan, "descent_steps": 0, "decay": 0.0} | row
        row |= {name: np.nan if x.get(name) is None else x[name] for name in _KEPT}
        row |= x.get("descent") or _NO_DESCENT
        row |= _NO_LAW | (x.get("shared") or {})
        row |= {"rounds_done": len(x["rounds"]), "gain": gain(x["rounds"])}
        row |= x["statistics"] | {f"verdict {name}": v for name, v in x["verdict"].items()}
        for name, value in row.items():
            columns.setdefault(name.replace(" ", "_"), []).append(value)
    columns = {k: v for k, v in columns.items() if len(v) == len(results)}
    data = xr.Dataset({name: ("point", np.array(values)) for name, values in columns.items()})
    p, ratio = data["p"].values, data["n_dense"].values / data["n_sparse"].values
    if any("law" in x["spec"] for x in results):
        data = data.assign(ratio=("point", ratio))
        return _described(_with_weights(data, list(found)), results)
    best = rt.best_known(p, ratio, limit=True)
    theory = {
        "ratio": ratio,
        "rug": rt.optimum(p, ratio).loss,
        "antipodal": rt.antipodal_optimum(p, ratio).loss,
        "best_known": best.loss,
        "family": best.family.astype("U32"),
    }
    data = data.assign({name: ("point", values) for name, values in theory.items()})
    # The one term that is theory alone, by that of today.
    data["verdict_structure"] = data["rug"] - data["best_known"]
    return _described(data, results)


def _with_weights(data: xr.Dataset, files: list[Path]) -> xr.Dataset:
    """With the weights of each point, where they are few and of one shape."""
    models = [rt.read_weights(file.with_suffix(".safetensors")) for file in files]
    if len({model.w_in.shape for model in models}) > 1 or models[0].w_in.size > _FEW_WEIGHTS:
        return data
    return data.assign(
        W_in=(("point", "unit", "feature"), np.stack([m.w_in for m in models])),
        W_out=(("point", "feature", "unit"), np.stack([m.w_out for m in models])),
        b=(("point", "feature"), np.stack([m.b for m in models])),
    )


def _described(data: xr.Dataset, results: list[dict[str, Any]]) -> xr.Dataset:
    """With what all points have in common as attributes."""
    for name in ("date", "device", "machine", "torch", "numpy", "rugtheory"):
        data.attrs[name] = ", ".join(sorted({str(x[name]) for x in results}))
    for name in COMMON:
        data.attrs[name] = ", ".join(sorted({str(x["spec"][name]) for x in results}))
    return data
