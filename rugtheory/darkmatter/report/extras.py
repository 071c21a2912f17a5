"""What is found about a decoder only if it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._check import Array
from .._rows import Rows, block_length, blocks
from ..adjacent import of_components
from ..alignment import alignment
from ..decomposition import Decomposition
from ..pursuit import gradient_pursuit
from ..regression import scatter
from ..sae import SAE
from .activations import Beside
from .coded import Reconstructed, slices
from .entries import Record, change, check_finite, failure, r2, scores
from .known import Known
from .parts import decomposed, errors

_SHOWN_LATENTS = 300
# What the regression on all components at once is called.
TOGETHER = "all together"
_ALIGNED_ROWS = 32_768

Extra = Callable[[Known, SAE | None, Reconstructed, Decomposition], Record]


def extras(
    name: str, known: Known, sae: SAE | None, coded: Reconstructed, parts: Decomposition
) -> Record:
    """All that was asked for of the decoder `name`; under "failed", why some of it is missing."""
    given = known.given
    wanted = {
        "alignment": name in given.align,
        "components": bool(given.components),
        # By itself, as it takes more rows than each of them.
        TOGETHER: len(given.components) > 1,
        "pursuit": name in given.pursuit,
    }
    record: Record = {}
    for extra, compute in EXTRAS.items():
        if not wanted[extra]:
            continue
        try:
            found = compute(known, sae, coded, parts)
            check_finite(extra, found)
            record[extra] = found
        except (ValueError, TypeError, ArithmeticError, np.linalg.LinAlgError) as error:
            record.setdefault("failed", {})[extra] = failure(extra, error)["error"]
    if TOGETHER in record:
        record.setdefault("components", {}).update(record.pop(TOGETHER))
    return record


def _alignment(known: Known, sae: SAE | None, coded: Reconstructed, parts: Decomposition) -> Record:
    """Equations (12) and (13), with some of the points to draw."""
    if sae is None:
        raise ValueError("alignment needs an SAE whose weights are known")
    given = known.given
    rows = np.flatnonzero(known.used)[:_ALIGNED_ROWS]
    chosen = np.zeros(given.x.count, bool)
    chosen[rows] = True
    length = block_length(None, given.x.columns)
    block = np.concatenate([given.x.read(some) for some in blocks(chosen, length)])
    # A latent that decodes to nothing has no direction.
    has = np.linalg.norm(sae.w_dec, axis=1) > 0
    if not has.any():
        raise ValueError("alignment needs a latent that decodes to something, got none")
    found = alignment(sae.encode(block)[:, has], sae.w_dec[has], **given.options(rows))
    shown = {"latents": found.latents, "running": found.running_dot}
    some, means = (
        np.unique(np.linspace(0, values.size - 1, _SHOWN_LATENTS).astype(int))
        for values in shown.values()
    )
    return {
        "rows": rows.size,
        "r2": r2(found.probe),
        "correlation_mean_active": found.correlation_mean_active,
        "correlation_slope": found.correlation_slope,
        "correlation_running": found.correlation_running,
        **{
            label: np.round(getattr(found, label)[means], 5).tolist()
            for label in ("running_dot", "running_mean_active")
        },
        **{
            label: np.round(getattr(found, label)[some], 5).tolist()
            for label in ("dot", "mean_active", "slope")
        },
    }


def _components(
    known: Known, sae: SAE | None, coded: Reconstructed, parts: Decomposition
) -> Record:
    """R² of the error and of its parts on each component."""
    components = {"x_hat": coded.x_hat.source, **known.given.components}
    return _regressed(components, known, coded, parts)


def _together(known: Known, sae: SAE | None, coded: Reconstructed, parts: Decomposition) -> Record:
    """The same on all components that are given, at once."""
    given = known.given.components.items()
    beside = Beside([Rows(f"components: {name}", one) for name, one in given])
    return _regressed({TOGETHER: beside}, known, coded, parts)


def _regressed(
    components: Mapping[str, Any], known: Known, coded: Reconstructed, parts: Decomposition
) -> Record:
    """R² on each of some components, of the rows that all tests fit and evaluate."""
    given = known.given
    read = errors(given, coded.x_hat)

    def targets(rows: NDArray[np.intp]) -> Array:
        block, error = read(rows)
        linear = block @ parts.slope + parts.intercept
        return np.hstack([error, linear, error - linear])

    found = of_components(
        components, targets, given.whole.columns, known.main.parts, given.bootstrap, given.seed
    )
    return {
        label: {part: r2(getattr(one, part)) for part in ("error", "linear", "nonlinear")}
        for label, one in found.items()
    }


def _pursuit(known: Known, sae: SAE | None, coded: Reconstructed, before: Decomposition) -> Record:
    """Scores with codes by gradient pursuit, whose reconstructions overwrite the others."""
    if sae is None or sae.normalization != "none" or sae.transcoder or coded.l0 is None:
        what = "one that is no SAE" if sae is None else f"normalization {sae.normalization!r}"
        what = "a transcoder" if sae is not None and sae.transcoder else what
        raise ValueError(f"pursuit needs an SAE without normalization, got {what}")
    x, reached = known.given.x, 0
    for rows in slices(x, x.columns):
        block = x.read(np.arange(rows.start, rows.stop))
        centred = np.asarray(block, sae.w_dec.dtype) - sae.b_dec
        codes = gradient_pursuit(centred, sae.w_dec, coded.l0[rows].astype(int))
        reached += int(np.diff(codes.indptr)[known.used[rows]].sum())
        coded.x_hat.source[rows] = codes @ sae.w_dec + sae.b_dec
    after = decomposed(known, coded.x_hat, known.main)
    changes = {}
    for score in ("fvu", "fvu_nl"):
        old, new = before.replicates[score], after.replicates[score]
        # Where nothing was unexplained there is no ratio.
        ratio = new / old if old.all() else None
        changes[score] = {
            "relative": change(getattr(before, score), getattr(after, score)),
            "se": None if ratio is None else scatter(ratio),
        }
    return {"l0": reached / int(known.used.sum()), **scores(after), "change": changes}


# Pursuit last, as it overwrites the reconstructions.
EXTRAS: dict[str, Extra] = {
    "alignment": _alignment,
    "components": _components,
    TOGETHER: _together,
    "pursuit": _pursuit,
}
