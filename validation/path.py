"""The path of training: loss, row skewness and partners against the number of steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import xarray as xr

import rugtheory as rt

from .spec import Spec, Trained
from .training import WINDOW, stops, train

_ROWS = 48
_SHOWN = {
    "row_skewness": "skewness mean",
    "sum_of_cubes": "sum of cubes mean",
    "partners": "with antipodal partner",
    "variance_over_welch": "variance over Welch bound",
    "dead": "dead",
    "diagonal": "diagonal mean",
}


def follow(
    spec: Spec,
    *,
    points: int = 24,
    device: str = "cpu",
    progress: Callable[[int], object] = lambda step: None,
) -> xr.Dataset:
    """Exact loss and statistics of a model at steps in geometric progression from 100 on.

    The loss is that of 48 rows, with its standard error for all.  The attribute `paper_stop` is the
    step at which the paper's rule would have ended training, -1 if it did not.
    """
    steps = np.unique(np.geomspace(min(100, spec.steps), spec.steps, points).astype(int))
    rows: list[dict[str, float]] = []

    def record(models: list[Trained]) -> None:
        (model,) = models
        exact = rt.exact_loss(model.model, spec.features, rows=min(_ROWS, spec.n_sparse), rtol=1e-5)
        found = rt.statistics(model.model, spec.features, rows=1).summary()
        row = {"loss": exact.mean, "standard_error": exact.standard_error}
        row["batch_loss"] = float(model.losses[-WINDOW:].mean())
        rows.append(row | {name: found.get(key, np.nan) for name, key in _SHOWN.items()})

    (model,) = train([spec], device=device, progress=progress, watch=record, watched=set(steps))
    losses = model.losses[:, None]
    ends = (k for k in range(2 * WINDOW, len(losses) + 1, WINDOW) if stops(losses[:k])[0])
    data = xr.Dataset(
        {name: ("step", [row[name] for row in rows]) for name in rows[0]}, {"step": steps}
    )
    ratio = spec.n_dense / spec.n_sparse
    theory = {
        "rug": float(rt.optimum(spec.p, ratio).loss),
        "antipodal": float(rt.antipodal_optimum(spec.p, ratio).loss),
        "best_known": float(rt.best_known(spec.p, ratio, limit=True).loss),
    }
    about = {
        "paper_stop": next(ends, -1),
        "torch": str(torch.__version__),
        "rugtheory": rt.__version__,
    }
    about |= {k: int(v) if isinstance(v, bool) else v for k, v in spec.settings().items()}
    return data.assign_attrs(theory | about | {"device": device})
