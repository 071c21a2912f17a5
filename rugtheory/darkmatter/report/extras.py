"""What is found about a decoder only if it is asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..adjacent import adjacent
from ..alignment import alignment
from ..decomposition import Decomposition, decompose
from ..pursuit import gradient_pursuit
from ..regression import scatter
from .coded import Coded, slices
from .entries import Record, change, check_finite, failure, r2, scores
from .given import Given

_SHOWN_LATENTS = 300
_ALIGNED_ROWS = 32_768

Extra = Callable[[Given, Coded, Decomposition], Record]


def extras(name: str, given: Given, coded: Coded, parts: Decomposition) -> Record:
    """All that was asked for of the decoder `name`; under "failed", why some of it is missing."""
    wanted = {
        "alignment": name in given.align,
        "components": bool(given.components),
        "pursuit": name in given.pursuit,
    }
    record: Record = {}
    for extra, compute in EXTRAS.items():
        if not wanted[extra]:
            continue
        try:
            found = compute(given, coded, parts)
            check_finite(extra, found)
            record[extra] = found
        except (ValueError, TypeError, ArithmeticError, np.linalg.LinAlgError) as error:
            record.setdefault("failed", {})[extra] = failure(extra, error)["error"]
    return record


def _alignment(given: Given, coded: Coded, parts: Decomposition) -> Record:
    """Equations (12) and (13), with some of the points to draw."""
    count = min(given.x.count, _ALIGNED_ROWS)
    codes = coded.sae.encode(given.x.source[:count])
    found = alignment(codes, coded.sae.w_dec, **given.options(slice(count)))
    some = np.unique(np.linspace(0, found.latents.size - 1, _SHOWN_LATENTS).astype(int))
    return {
        "rows": count,
        "r2": r2(found.probe),
        "correlation_mean_active": found.correlation_mean_active,
        "correlation_slope": found.correlation_slope,
        **{
            label: np.round(getattr(found, label)[some], 5).tolist()
            for label in ("dot", "mean_active", "slope")
        },
    }


def _components(given: Given, coded: Coded, parts: Decomposition) -> Record:
    """R² of the error and of its parts on components."""
    components = {"x_hat": coded.x_hat, **given.components}
    found = adjacent(components, given.x.source, coded.x_hat, parts, **given.options())
    return {
        label: {part: r2(getattr(one, part)) for part in ("error", "linear", "nonlinear")}
        for label, one in found.items()
    }


def _pursuit(given: Given, coded: Coded, before: Decomposition) -> Record:
    """Scores with codes by gradient pursuit, whose reconstructions overwrite the others."""
    sae, x, reached = coded.sae, given.x, 0
    for rows in slices(x, sae.d_sae):
        centred = np.asarray(x.source[rows], sae.w_dec.dtype) - sae.b_dec
        codes = gradient_pursuit(centred, sae.w_dec, coded.l0[rows].astype(int))
        reached += codes.nnz
        coded.x_hat[rows] = codes @ sae.w_dec + sae.b_dec
    after = decompose(x.source, coded.x_hat, **given.options())
    changes = {}
    for score in ("fvu", "fvu_nl"):
        old, new = before.replicates[score], after.replicates[score]
        # Where nothing was unexplained there is no ratio.
        ratio = new / old if old.all() else None
        changes[score] = {
            "relative": change(getattr(before, score), getattr(after, score)),
            "se": None if ratio is None else scatter(ratio),
        }
    return {"l0": reached / x.count, **scores(after), "change": changes}


# Pursuit last, as it overwrites the reconstructions.
EXTRAS: dict[str, Extra] = {
    "alignment": _alignment,
    "components": _components,
    "pursuit": _pursuit,
}
