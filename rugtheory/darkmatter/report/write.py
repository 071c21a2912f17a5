"""The report written: each decoder in its turn, and then all of them together."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ... import _check
from ..._check import Array
from .._rows import Rows
from ..sae import SAE
from .blocks import activations
from .decoder import examined
from .dropped import Dropped, some
from .entries import Record, failure
from .given import Given, names_in
from .groups import groups
from .keeping import KeptNorms, survey, write_json
from .known import FEW, Known
from .pairs import pairs
from .tokens import shown_tokens

Progress = Callable[..., Any]

# A price of fitting that is worth a word.
_PRICE = 0.05


def write_report(
    x: Any,
    saes: Mapping[str, SAE | str | Path | Any],
    out: str | Path,
    *,
    targets: Any = None,
    contexts: ArrayLike | None = None,
    tokens: ArrayLike | None = None,
    drop_first: int = 0,
    drop_norm: float | None = None,
    drop_tokens: Iterable[Any] = (),
    drop: ArrayLike | None = None,
    components: Mapping[str, Any] | None = None,
    features: ArrayLike | None = None,
    weights: Any = None,
    baselines: Mapping[str, ArrayLike] | None = None,
    pursuit: Iterable[str] = (),
    align: Iterable[str] = (),
    l0: Iterable[float] = (),
    about: Mapping[str, Any] | None = None,
    input_scale: float | None = None,
    convention: str = "centred",
    test_fraction: float = 0.25,
    bootstrap: int = 200,
    seed: int = 0,
    progress: Progress = lambda names: names,
    detail: Progress = lambda blocks, name: blocks,
) -> dict[str, Any]:
    """Test the reconstructions of the activations `x` by each of `saes`; kept in the folder `out`.

    Parameters
    ----------
    x : array_like, sliceable, iterable of blocks, or function that gives one; shape (rows, d)
        Activations the decoders were not trained on; see `read_activations`.  An iterable, or a
        function without arguments that returns an iterator, gives blocks of rows in their order,
        and is gone through anew for each reading: nothing is stored.  An iterator, which can be
        gone through once, is stored in `out` while the report is made, in its own type.
    saes : mapping of str to decoder
        Decoders by name: an `SAE`; a path, read when its turn comes; an object with ``encode`` and
        ``decode``, as those of SAELens, sparsify and dictionary_learning; a function of a block of
        activations; or reconstructions, array_like or sliceable, shape (rows, d).
    out : path
        Folder for ``report.json`` and two files for each decoder, written when it is finished.
        A run that was killed is taken up there; a decoder is done again if anything that goes into
        its results has changed, any row of `x` or of a component included.  Of a decoder without
        weights that are known the reconstructions are computed again, and nothing else.
    targets : array_like or sliceable, shape (rows, columns), optional
        What the decoders predict, for transcoders: the error is targets - x̂, and its linear part
        is that in x.
    contexts, tokens : array_like, shape (rows,), optional
        Label of the context of each row, and of its token.
    drop_first, drop_norm, drop_tokens, drop : int, float, iterable, array_like of bool (rows,)
        Rows to leave out of everything: the first so many of each context, those whose norm is
        more than so many times the median norm, those of the given tokens, those where `drop` is
        true.  None are left out by default.  If some are, the scores of all rows are given too; if
        none are, and 1 % of the rows have more than half of the variance, those without them.
    components : mapping of str to array_like or sliceable, shape (rows, columns), optional
        Components of the model to regress the errors on (Equation 11), each and all together;
        `Reconstruction` gives those of decoders.
    features : array_like, shape (n_features, columns), optional
        Directions of the features that synthetic activations are made of; latents are matched with
        them, see `match_features`.
    weights : array_like or sliceable, shape (rows, n_features), optional
        Their weights in each row; latents are judged as detectors, see `detect_features`.
    baselines : mapping of str to array_like, shape (rows,), optional
        Numbers of the rows, such as the loss of the model on each token, to predict ‖E‖² from
        beside those of appendix A.3: the norm of x, L0 and the token.
    pursuit : iterable of str
        Names of the decoders to replace the encoder of by gradient pursuit, exact in L0.
    align : iterable of str
        Names of the decoders to compare the probe for the norm of x̂ with the latents of, on the
        first 32768 rows; takes memory for (256, width) float64 values and time in proportion.
    l0 : iterable of float
        L0s at which widths are compared, each by the decoder nearest to it.  By default those that
        decoders of several widths are near, within a factor of 1.25.
    about : mapping, optional
        Where things come from; kept in the report.
    input_scale : float, optional
        For the decoders that are read; see `read_sae`.
    convention, test_fraction, bootstrap, seed
        As in `decompose`; the same rows are held out in every test.  "paper" holds for errors and
        norm tests; alignment, components, pairs and baselines have an intercept.
    progress : callable
        Wraps the iterable of names, to show progress.
    detail : callable
        Wraps the list of blocks of one decoder, given its name as second argument.

    Returns
    -------
    dict
        `about`; `saes`, a list of the results of each decoder; `pairs`, per-token predictions
        (Equations 5 and 10) between decoders of one architecture and about one L0 (their `group`,
        one decoder a width); `groups`, FVU against the number of latents; `null`, the R² of the
        squared norm of a Gaussian x; `tokens`, error norms on one context; `warnings`, a list of
        texts; `failures`, a list of `name` and `error`.  Every R² and FVU is of rows held out, "se"
        is a standard error over contexts.  Those of linear maps of x are corrected for the price of
        fitting (`Decomposition.corrected`; "held_out" is without).  What is not defined is None: an
        R² of what does not vary, L0 and width of what has no codes.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a value is not finite or a name is unknown; or if every decoder
        fails.

    Notes
    -----
    A decoder that fails is listed in `failures`, and the others go on.  It fails if it cannot be
    read, does not fit the activations, or is a transcoder and there are no targets.  An object with
    ``encode`` and ``decode`` fails if it gives anything but decode(encode(x)) when it is called; a
    skip connection `W_skip` is added, as SAELens and sparsify add it.  Pursuit, alignment,
    components and pairs may fail alone; pursuit does for what is no SAE, or normalizes.

    Of matrix products with d columns the report computes xᵀx once, and for each decoder what it
    takes to encode and decode, xᵀE and EᵀE on the rows fitted, and the linear error of all rows
    and once more of those held out.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from rugtheory import darkmatter
    >>> x = np.random.default_rng(0).exponential(size=(600, 4))
    >>> eye = np.eye(4)
    >>> saes = {"two": darkmatter.SAE("topk", eye, np.zeros(4), eye, np.zeros(4), k=2)}
    >>> with tempfile.TemporaryDirectory() as out:
    ...     found = darkmatter.write_report(x, saes, out)
    >>> found["saes"][0]["l0"]
    2.0
    """
    start = time.perf_counter()
    out = _check.path("out", out)
    about = {} if about is None else about
    _check.instance("about", about, Mapping)
    for name, wrap in {"progress": progress, "detail": detail}.items():
        _check.function(name, wrap)
    with activations("x", x, out) as rows:
        given = Given(
            rows,
            saes,
            contexts=contexts,
            tokens=tokens,
            components={} if components is None else components,
            features=None if features is None else _check.real("features", features),
            weights=None if weights is None else Rows("weights", weights),
            baselines=_baselines(baselines),
            pursuit=names_in("pursuit", pursuit),
            align=names_in("align", align),
            test_fraction=test_fraction,
            bootstrap=_check.count("bootstrap", bootstrap, 0),
            seed=seed,
            targets=None if targets is None else Rows("targets", targets),
            dropped=Dropped(drop_first, drop_norm, some(drop_tokens), drop),
            l0=_l0s(l0),
            input_scale=input_scale,
            convention=convention,
        )
        surveyed = survey(given)
        known = Known(given, surveyed)
        decoders, errors = _decoders(known, surveyed.digest, out / "saes", progress, detail)
        found = _found(known, decoders, errors, out / "saes")
    found["about"] |= about
    found["about"]["seconds_of_saes"] = round(sum(r["seconds"] for r in found["saes"]), 1)
    found["about"]["seconds_of_last_run"] = round(time.perf_counter() - start, 1)
    write_json(out / "report.json", found)
    return found


def _decoders(
    known: Known, settings: str, folder: Path, progress: Progress, detail: Progress
) -> tuple[dict[str, Record], dict[str, Exception]]:
    """What is found about each decoder, and why there is nothing about others; raise if of all."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Record] = {}
    errors: dict[str, Exception] = {}
    for name in progress(known.given.saes):
        try:
            found[name] = examined(name, known, settings, folder, partial(_detail, detail, name))
        except Exception as error:
            errors[name] = error
    if not found:
        if len(errors) == 1:
            raise next(iter(errors.values()))
        said = "; ".join(f"{name}: {error}" for name, error in errors.items())
        raise ValueError(f"saes must hold a decoder that does not fail, got {said}")
    return found, errors


def _baselines(values: Mapping[str, ArrayLike] | None) -> dict[str, Array]:
    if values is None:
        return {}
    _check.instance("baselines", values, Mapping)
    return {str(name): _check.real(f"baselines: {name}", one) for name, one in values.items()}


def _l0s(values: Iterable[float]) -> tuple[float, ...]:
    found = _check.sequence("l0", values)
    return tuple(float(_check.positive("l0", _check.scalar("l0", value))) for value in found)


def _detail(detail: Progress, name: str, blocks: Any) -> Any:
    return detail(blocks, name)


def _found(
    known: Known,
    decoders: Mapping[str, Record],
    errors: Mapping[str, Exception],
    folder: Path,
) -> dict[str, Any]:
    """The report without the origin of its inputs and the time it took."""
    given = known.given
    records, norms = list(decoders.values()), KeptNorms(folder, decoders)
    held_out = known.parts.held_out & known.used
    grouped = groups(records, given.l0)
    group_of = {name: group["name"] for group in grouped for name in group["members"]}
    order = {name: k for k, name in enumerate(group_of)}
    records.sort(key=lambda r: order[r["name"]])
    paired, unpaired = pairs(grouped, records, norms, given)
    failures = [failure(name, error) for name, error in errors.items()]
    failures += [
        {"name": f"{record['name']}, {part}", "error": text}
        for record in records
        for part, text in record.get("failed", {}).items()
    ]
    contexts = given.contexts
    fitted = int((known.parts.fitted & known.used).sum())
    return {
        "about": {
            "rugtheory": version("rugtheory"),
            "numpy": np.__version__,
            "date": datetime.date.today().isoformat(),
            "rows": given.x.count,
            "columns": given.x.columns,
            "contexts": None if contexts is None else len(np.unique(np.asarray(contexts))),
            "rows_fitted": fitted,
            "rows_held_out": int(held_out.sum()),
            "rows_dropped": int((~known.used).sum()),
            "dropped": given.dropped.said,
            "variance_of_farthest_rows": known.share,
            "other_rows": None if known.other_rows is None else known.other_rows[0],
            "targets": None if given.targets is None else given.targets.columns,
            "convention": given.convention,
            **given.settings,
        },
        "saes": [record | {"group": group_of[record["name"]]} for record in records],
        "pairs": paired,
        "groups": grouped,
        "tokens": shown_tokens(norms, contexts, held_out),
        "null": {"x": records[0]["null"]["x"]},
        "warnings": _warnings(known, fitted, records),
        "failures": failures + unpaired,
    }


def _warnings(known: Known, fitted: int, records: Iterable[Record]) -> list[str]:
    """What a reader has to know before he believes a figure."""
    said = []
    if known.heavy:
        said.append(
            f"{100 * FEW:g} % of the rows have {100 * known.share:.0f} % of the variance about the "
            "middle of all: every score is mostly theirs. First tokens of contexts often are such "
            "rows; leave rows out by position, token, norm or mask."
        )
    scores = [r["fvu_nl"] for r in records]
    price = max((s["held_out"] / s["value"] - 1 for s in scores if "held_out" in s), default=0.0)
    if price > _PRICE:
        columns = known.given.x.columns
        why = ", for most of the variance is that of few rows" if known.heavy else ""
        doubt = (
            ""
            if known.heavy
            else "; with fewer than 4 rows a coordinate the correction itself may be off by a "
            "tenth, with 10 by a hundredth"
        )
        said.append(
            f"Linear maps of {columns} coordinates are fitted on {fitted} rows: on rows held out "
            f"they leave up to {100 * price:.0f} % more than the best maps do{why}. Scores are "
            f"corrected for it{doubt}."
        )
    return said
