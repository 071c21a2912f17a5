"""The report written: each decoder in its turn, and then all of them together."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ... import _check
from .._moments import moments
from .._rows import Rows, block_length
from ..norm_theory import gaussian_null
from ..sae import SAE, read_sae
from ..sae.sae import check_autoencoder
from .decoder import analyse
from .entries import failure
from .given import Given, names_in
from .groups import groups
from .keeping import Found, digest_of, fingerprint, keep, kept, write_json
from .pairs import pairs
from .tokens import shown_tokens

Progress = Callable[..., Any]


def write_report(
    x: Any,
    saes: Mapping[str, SAE | str | Path],
    out: str | Path,
    *,
    contexts: ArrayLike | None = None,
    tokens: ArrayLike | None = None,
    components: Mapping[str, Any] | None = None,
    pursuit: Iterable[str] = (),
    align: Iterable[str] = (),
    about: Mapping[str, Any] | None = None,
    test_fraction: float = 0.25,
    bootstrap: int = 200,
    seed: int = 0,
    progress: Progress = lambda names: names,
) -> dict[str, Any]:
    """Test the reconstructions of the activations `x` by each of `saes`; kept in the folder `out`.

    Parameters
    ----------
    x : array_like or sliceable, shape (rows, d)
        Activations the decoders were not trained on; see `read_activations`.
    saes : mapping of str to SAE or path
        Decoders by name; paths are read when their turn comes.
    out : path
        Folder for ``report.json`` and two files for each decoder, written when it is finished.
        A run that was killed is taken up there; a decoder is done again if anything that goes into
        its results has changed, any row of `x` or of a component included.
    contexts, tokens : array_like, shape (rows,), optional
        Label of the context of each row, and of its token.
    components : mapping of str to array_like or sliceable, shape (rows, columns), optional
        Components of the model to regress the errors on (Equation 11); `Reconstruction` gives those
        of decoders.
    pursuit : iterable of str
        Names of the decoders to replace the encoder of by gradient pursuit, exact in L0.
    align : iterable of str
        Names of the decoders to compare the probe for the norm of x̂ with the latents of, on the
        first 32768 rows; takes memory for (256, width) float64 values and time in proportion.
    about : mapping, optional
        Where things come from; kept in the report.
    test_fraction, bootstrap, seed
        As in `decompose`; the same rows are held out in every test.
    progress : callable
        Wraps the iterable of names, to show progress.

    Returns
    -------
    dict
        `about`; `saes`, a list of the results of each decoder; `pairs`, per-token predictions
        (Equations 5 and 10) between decoders of one architecture and about one L0 (neighbours in L0
        within a factor 1.25: their `group`); `groups`, FVU against the number of latents; `null`,
        the R² of the squared norm of a Gaussian x; `tokens`, error norms on one context;
        `failures`, a list of `name` and `error`.  Every R² and FVU is of rows held out, "se" is a
        standard error over contexts.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a value is not finite or a name is unknown; or if every decoder
        fails.

    Notes
    -----
    A decoder that fails is listed in `failures`, and the others go on.  It fails if it cannot be
    read, does not fit the activations, is a transcoder (which does not reconstruct what it
    encodes), leaves no error at all, or normalizes its input and is to have pursuit.  Pursuit,
    alignment, components and pairs may fail alone.

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
    rows, out = Rows("x", x), _check.path("out", out)
    about = {} if about is None else about
    _check.instance("about", about, Mapping)
    _check.function("progress", progress)
    given = Given(
        rows,
        saes,
        contexts=contexts,
        tokens=tokens,
        components={} if components is None else components,
        pursuit=names_in("pursuit", pursuit),
        align=names_in("align", align),
        test_fraction=test_fraction,
        bootstrap=_check.count("bootstrap", bootstrap, 0),
        seed=seed,
    )
    found = _found(given, *_decoders(given, out / "saes", progress))
    found["about"] |= about
    found["about"]["seconds_of_saes"] = round(sum(r["seconds"] for r in found["saes"]), 1)
    found["about"]["seconds_of_last_run"] = round(time.perf_counter() - start, 1)
    write_json(out / "report.json", found)
    return found


def _decoders(
    given: Given, folder: Path, progress: Progress
) -> tuple[dict[str, Found], dict[str, Exception]]:
    """What is found about each decoder, and why there is nothing about others; raise if of all."""
    settings = fingerprint(given)
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Found] = {}
    errors: dict[str, Exception] = {}
    for name in progress(given.saes):
        try:
            sae = _decoder(name, given)
            stem, digest = folder / name, digest_of(sae, settings, given.asked(name))
            found[name] = kept(stem, digest) or keep(
                stem, digest, analyse(name, sae, given, folder)
            )
        except Exception as error:
            errors[name] = error
    if not found:
        if len(errors) == 1:
            raise next(iter(errors.values()))
        said = "; ".join(f"{name}: {error}" for name, error in errors.items())
        raise ValueError(f"saes must hold a decoder that does not fail, got {said}")
    return found, errors


def _decoder(name: str, given: Given) -> SAE:
    """The decoder of that name, read if it is in a file, that fits the activations."""
    decoder = given.saes[name]
    sae = decoder if isinstance(decoder, SAE) else read_sae(decoder)
    check_autoencoder(name, sae)
    if sae.d_in != given.x.columns:
        raise ValueError(f"{name} is of {sae.d_in} columns, the activations of {given.x.columns}")
    return sae


def _found(
    given: Given, decoders: Mapping[str, Found], errors: Mapping[str, Exception]
) -> dict[str, Any]:
    """The report without the origin of its inputs and the time it took."""
    records = [record for record, _ in decoders.values()]
    norms = {name: found for name, (_, found) in decoders.items()}
    held_out = next(iter(norms.values()))["held_out"].astype(bool)
    grouped = groups(records)
    group_of = {name: group["name"] for group in grouped for name in group["members"]}
    paired, unpaired = pairs(grouped, records, norms, given)
    failures = [failure(name, error) for name, error in errors.items()]
    failures += [
        {"name": f"{record['name']}, {part}", "error": text}
        for record in records
        for part, text in record.get("failed", {}).items()
    ]
    contexts = given.contexts
    return {
        "about": {
            "rugtheory": version("rugtheory"),
            "numpy": np.__version__,
            "date": datetime.date.today().isoformat(),
            "rows": given.x.count,
            "columns": given.x.columns,
            "contexts": None if contexts is None else len(np.unique(np.asarray(contexts))),
            "rows_held_out": int(held_out.sum()),
            **given.settings,
        },
        "saes": [record | {"group": group_of[record["name"]]} for record in records],
        "pairs": paired,
        "groups": grouped,
        "tokens": shown_tokens(norms, contexts, held_out),
        "null": {"x": _null_of(given.x)},
        "failures": failures + unpaired,
    }


def _null_of(x: Rows) -> float:
    """R² of ‖x‖² on x if x were Gaussian: an offset alone makes it large."""
    found = moments(
        lambda rows: (x.read(rows), np.zeros((rows.size, 1))),
        np.ones(x.count, bool),
        block_length(None, x.columns),
    )
    return gaussian_null(found.x_mean, found.xx / found.count)
