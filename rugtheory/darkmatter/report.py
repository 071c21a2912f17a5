"""Every test of arXiv:2410.14670 that applies, on given activations and decoders: the report.

A report is a dict that JSON can hold, so that what is computed, kept on disk, drawn and tested is
one thing.  What is found about each decoder is kept when it is finished.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array
from .._files import replacing
from ._moments import moments
from ._rows import Rows, block_length
from ._split import split
from .adjacent import adjacent
from .alignment import alignment
from .decomposition import Decomposition, decompose
from .floor import fit_floor
from .norm_test import norm_test
from .norm_theory import gaussian_null
from .per_token import per_token
from .pursuit import gradient_pursuit
from .regression import Regression, regressions, scatter
from .sae import SAE, check_autoencoder
from .sae_files import read_sae

# The six random vectors of section 6, whose squared norms are predicted from x.
PARTS = ("x", "x_hat", "linear x_hat", "error", "linear error", "nonlinear error")
# Decoders count as of one L0 if neighbours in L0 differ by less than this factor.
_SAME_L0 = 1.25
_SHOWN_TOKENS = 48
_SHOWN_LATENTS = 300
_ALIGNED_ROWS = 32_768

Progress = Callable[..., Any]
Norms = dict[str, NDArray[Any]]


class Reconstruction:
    """x̂ of activations, computed when rows are read; not of a transcoder."""

    def __init__(self, x: Any, sae: SAE) -> None:
        _check.instance("sae", sae, SAE)
        check_autoencoder("sae", sae)
        self.x, self.sae = Rows("x", x), sae
        self.shape = self.x.count, sae.d_in

    def __getitem__(self, rows: slice) -> NDArray[np.floating[Any]]:
        return self.sae.reconstruct(self.x.source[rows])


class _Error:
    """x - x̂, computed when rows are read."""

    def __init__(self, x: Rows, x_hat: Any) -> None:
        self.x, self.x_hat = x, x_hat
        self.shape = x.count, x.columns

    def __getitem__(self, rows: slice) -> Array:
        return np.asarray(np.float64(self.x.source[rows]) - self.x_hat[rows])


def read_activations(path: str | Path) -> Any:
    """Activations in a file, not read into memory: .npy, or .safetensors with one tensor.

    ``file.safetensors:name`` names one tensor of several.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file or tensor, or it is of another kind.
    """
    text, _, name = str(_check.path("path", path)).partition(".safetensors:")
    file = Path(f"{text}.safetensors" if name else text)
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {file}")
    if file.suffix == ".npy":
        try:
            return np.load(file, mmap_mode="r")
        except (ValueError, EOFError) as error:
            raise ValueError(f"{file} cannot be read as .npy: {error}") from error
    if file.suffix != ".safetensors":
        raise ValueError(f"{file} must be .npy or .safetensors")
    from safetensors import SafetensorError, safe_open

    try:
        tensors: Any = safe_open(file, "numpy")
    except SafetensorError as error:
        raise ValueError(f"{file} cannot be read as safetensors: {error}") from error
    names = list(tensors.keys())
    if not name and len(names) == 1:
        (name,) = names
    if name not in names:
        raise ValueError(f"{file} holds {', '.join(names)}; name one, as in {file}:{names[0]}")
    found = tensors.get_slice(name)
    if found.get_dtype() not in ("F16", "F32", "F64"):
        raise ValueError(f"{name} of {file} must be float16, 32 or 64, got {found.get_dtype()}")
    return found


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
    components, about = ({} if given is None else given for given in (components, about))
    for label, mapping in {"saes": saes, "components": components, "about": about}.items():
        _check.instance(label, mapping, Mapping)
    _check.function("progress", progress)
    bootstrap = _check.count("bootstrap", bootstrap, 0)
    if not saes:
        raise ValueError("saes must hold at least one decoder, got none")
    for name, decoder in saes.items():
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(f"names of saes must be names of files, got {name!r}")
        if not isinstance(decoder, SAE | str | Path):
            raise TypeError(f"saes must be decoders or paths, got {decoder!r:.60}")
    extras = {"pursuit": _names("pursuit", pursuit), "align": _names("align", align)}
    for label, names in extras.items():
        if not names <= set(saes):
            unknown = ", ".join(map(str, names - set(saes)))
            raise ValueError(f"{label} must name decoders, got {unknown:.60}")
    for label, values in {"contexts": contexts, "tokens": tokens}.items():
        if values is not None and _check.array(label, values).shape != (rows.count,):
            raise ValueError(f"{label} must have shape ({rows.count},), got {np.shape(values)}")
    shared: dict[str, Any] = {"contexts": contexts, "test_fraction": test_fraction}
    shared |= {"bootstrap": bootstrap, "seed": seed}
    settings = _fingerprint(rows, contexts, tokens, components, (test_fraction, bootstrap, seed))
    (out / "saes").mkdir(parents=True, exist_ok=True)
    records: list[dict[str, Any]] = []
    norms: dict[str, Norms] = {}
    errors: dict[str, Exception] = {}
    for name in progress(saes):
        try:
            given = saes[name]
            sae = given if isinstance(given, SAE) else read_sae(given)
            check_autoencoder(name, sae)
            if sae.d_in != rows.columns:
                raise ValueError(
                    f"{name} is of {sae.d_in} columns, the activations of {rows.columns}"
                )
            more = {label for label, names in extras.items() if name in names}
            digest = _digest(settings, sae, more)
            record, norms[name] = _kept(out / "saes" / name, digest) or _keep(
                out / "saes" / name,
                digest,
                _one(name, sae, rows, tokens, components, more, out, shared),
            )
            records.append(record)
        except Exception as error:
            errors[name] = error
    if not records:
        if len(errors) == 1:
            raise next(iter(errors.values()))
        said = "; ".join(f"{name}: {error}" for name, error in errors.items())
        raise ValueError(f"saes must hold a decoder that does not fail, got {said}")
    failures = [_failure(name, error) for name, error in errors.items()]
    for record in records:
        failures += [
            {"name": f"{record['name']}, {part}", "error": text}
            for part, text in record.get("failed", {}).items()
        ]
    groups = _groups(records)
    held_out = norms[records[0]["name"]]["held_out"].astype(bool)
    found: dict[str, Any] = {
        "about": {
            "rugtheory": version("rugtheory"),
            "numpy": np.__version__,
            "date": datetime.date.today().isoformat(),
            "rows": rows.count,
            "columns": rows.columns,
            "contexts": None if contexts is None else len(np.unique(np.asarray(contexts))),
            "rows_held_out": int(held_out.sum()),
            **{k: v for k, v in shared.items() if k != "contexts"},
            **about,
        },
        "saes": records,
        "pairs": _pairs(groups, records, norms, shared, failures),
        "groups": groups,
        "tokens": _shown(records, norms, contexts, held_out),
        "null": {"x": _null_of(rows)},
        "failures": failures,
    }
    found["about"]["seconds_of_saes"] = round(sum(r["seconds"] for r in records), 1)
    found["about"]["seconds_of_last_run"] = round(time.perf_counter() - start, 1)
    _write_json(out / "report.json", found)
    return found


def _failure(name: str, error: Exception) -> dict[str, str]:
    return {"name": name, "error": " ".join(f"{type(error).__name__}: {error}".split())}


def _finite(name: str, values: Any) -> None:
    """Raise if a number is not finite: JSON holds no such numbers."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            _finite(f"{name}: {key}" if name else str(key), value)
    elif isinstance(values, list):
        for value in values:
            _finite(name, value)
    elif isinstance(values, float) and not math.isfinite(values):
        raise ValueError(f"{name} must be finite, got {values}")


def _names(label: str, names: Iterable[str]) -> frozenset[str]:
    try:
        return frozenset(names)
    except TypeError:
        raise TypeError(f"{label} must hold names of decoders, got {names!r:.60}") from None


def _one(
    name: str,
    sae: SAE,
    x: Rows,
    tokens: ArrayLike | None,
    components: Mapping[str, Any],
    more: set[str],
    out: Path,
    shared: dict[str, Any],
) -> tuple[dict[str, Any], Norms]:
    """All tests of one decoder, and the norms of its errors."""
    start = time.perf_counter()
    if "pursuit" in more and sae.normalization != "none":
        raise ValueError(f"pursuit needs decoders without normalization, {name} has some")
    held = out / "saes" / f"{name}.unfinished.npy"
    try:
        record, norms = _tested(name, sae, x, tokens, components, more, held, shared)
    finally:
        held.unlink(missing_ok=True)
    _finite("", record)
    record["seconds"] = round(time.perf_counter() - start, 1)
    return record, norms


def _tested(
    name: str,
    sae: SAE,
    x: Rows,
    tokens: ArrayLike | None,
    components: Mapping[str, Any],
    more: set[str],
    held: Path,
    shared: dict[str, Any],
) -> tuple[dict[str, Any], Norms]:
    """The same, with reconstructions in the file `held`."""
    x_hat = np.lib.format.open_memmap(held, "w+", dtype=np.float32, shape=(x.count, x.columns))
    l0, total, active = np.empty(x.count), np.zeros(sae.d_sae), np.zeros(sae.d_sae)
    for rows in _slices(x, sae.d_sae):
        block = x.source[rows]
        codes = sae.encode(block)
        x_hat[rows] = sae.decode(codes, None if sae.normalization == "none" else block)
        l0[rows] = np.diff(codes.indptr)
        total += codes.sum(axis=0)
        active += np.bincount(codes.indices, minlength=sae.d_sae)
    parts = decompose(x.source, x_hat, **shared)
    squares, cosine = _squares(x, x_hat, parts)
    divided = split(
        x.count, shared["contexts"], shared["test_fraction"], _check.rng(shared["seed"])
    )
    predicted = regressions(
        lambda rows: (x.read(rows), squares[rows]),
        x.columns,
        [1] * len(PARTS),
        divided,
        shared["bootstrap"],
        shared["seed"],
    )
    test = norm_test(_Error(x, x_hat), x=x.source, tokens=tokens, l0=_varying(l0), **shared).squared
    record: dict[str, Any] = {
        "name": name,
        "architecture": sae.architecture,
        "width": sae.d_sae,
        "l0": float(l0.mean()),
        "dead": float(np.mean(active == 0)),
        **_scores(parts),
        "norm_test": {part: _r2(one) for part, one in zip(PARTS, predicted, strict=True)},
        "null": {"gaussian": test.gaussian, "sign flip": test.sign_flip.r2},
        "baselines": {label: _r2(one) for label, one in test.baselines.items()},
        "shrinkage": {
            "norm_ratio": float(np.sqrt(squares[:, 1]).mean() / np.sqrt(squares[:, 0]).mean()),
            "cosine": cosine,
        },
    }
    wanted: dict[str, Callable[[], dict[str, Any]]] = {}
    if "align" in more:
        wanted["alignment"] = lambda: _alignment(sae, x, shared)
    if components:
        wanted["components"] = lambda: _components(x, x_hat, components, parts, shared)
    if "pursuit" in more:  # last, as it overwrites x_hat
        wanted["pursuit"] = lambda: _pursuit(sae, x, x_hat, l0, parts, shared)
    for part, compute in wanted.items():
        try:
            found = compute()
            _finite(part, found)
            record[part] = found
        except (ValueError, TypeError, ArithmeticError, np.linalg.LinAlgError) as error:
            record.setdefault("failed", {})[part] = _failure(part, error)["error"]
    norms = dict(zip(("error", "linear", "nonlinear"), np.sqrt(squares[:, 3:]).T, strict=True))
    return record, {**norms, "held_out": parts.held_out}


def _components(
    x: Rows,
    x_hat: Any,
    components: Mapping[str, Any],
    parts: Decomposition,
    shared: dict[str, Any],
) -> dict[str, Any]:
    """R² of the error and of its parts on components."""
    found = adjacent({"x_hat": x_hat, **components}, x.source, x_hat, parts, **shared)
    return {
        label: {part: _r2(getattr(one, part)) for part in ("error", "linear", "nonlinear")}
        for label, one in found.items()
    }


def _null_of(x: Rows) -> float:
    """R² of ‖x‖² on x if x were Gaussian: an offset alone makes it large."""
    found = moments(
        lambda rows: (x.read(rows), np.zeros((rows.size, 1))),
        np.ones(x.count, bool),
        block_length(None, x.columns),
    )
    return gaussian_null(found.x_mean, found.xx / found.count)


def _slices(x: Rows, columns: int) -> Iterable[slice]:
    length = block_length(None, max(columns, x.columns))
    return (slice(k, min(k + length, x.count)) for k in range(0, x.count, length))


def _squares(x: Rows, x_hat: Any, parts: Decomposition) -> tuple[Array, float]:
    """‖·‖² of PARTS, shape (rows, 6), and the mean cosine of x and its linear error."""
    squares, cosines = np.empty((x.count, len(PARTS))), np.empty(x.count)
    for rows in _slices(x, x.columns):
        block, hat = np.float64(x.source[rows]), np.float64(x_hat[rows])
        error, linear = block - hat, parts.linear(block)
        # The linear part of x̂ is what the best map leaves of x.
        vectors = block, hat, block - linear, error, linear, error - linear
        squares[rows] = np.stack([np.einsum("ij,ij->i", v, v) for v in vectors], axis=1)
        product = np.linalg.norm(block, axis=1) * np.linalg.norm(linear, axis=1)
        inner = np.einsum("ij,ij->i", block, linear)
        cosines[rows] = np.divide(inner, product, out=np.zeros_like(inner), where=product > 0)
    return squares, float(cosines.mean())


def _pursuit(
    sae: SAE, x: Rows, x_hat: Any, l0: Array, before: Decomposition, shared: dict[str, Any]
) -> dict[str, Any]:
    """Scores with codes by gradient pursuit; `x_hat` is overwritten by the new reconstructions."""
    reached = 0
    for rows in _slices(x, sae.d_sae):
        centred = np.asarray(x.source[rows], sae.w_dec.dtype) - sae.b_dec
        codes = gradient_pursuit(centred, sae.w_dec, l0[rows].astype(int))
        reached += codes.nnz
        x_hat[rows] = codes @ sae.w_dec + sae.b_dec
    after = decompose(x.source, x_hat, **shared)
    change = {}
    for score in ("fvu", "fvu_nl"):
        old, new = before.replicates[score], after.replicates[score]
        # Where nothing was unexplained there is no ratio.
        ratio = new / old if old.all() else None
        change[score] = {
            "relative": _change(getattr(before, score), getattr(after, score)),
            "se": None if ratio is None else scatter(ratio),
        }
    return {"l0": reached / x.count, **_scores(after), "change": change}


def _alignment(sae: SAE, x: Rows, shared: dict[str, Any]) -> dict[str, Any]:
    """Equations (12) and (13), with some of the points to draw."""
    count = min(x.count, _ALIGNED_ROWS)
    labels = shared["contexts"]
    given = shared | {"contexts": None if labels is None else np.asarray(labels)[:count]}
    found = alignment(sae.encode(x.source[:count]), sae.w_dec, **given)
    some = np.unique(np.linspace(0, found.latents.size - 1, _SHOWN_LATENTS).astype(int))
    return {
        "rows": count,
        "r2": _r2(found.probe),
        "correlation_mean_active": found.correlation_mean_active,
        "correlation_slope": found.correlation_slope,
        **{
            label: np.round(getattr(found, label)[some], 5).tolist()
            for label in ("dot", "mean_active", "slope")
        },
    }


def _change(before: float, after: float) -> float | None:
    """By what part of itself a number grows, None from 0."""
    return after / before - 1 if before else None


def _scores(parts: Decomposition) -> dict[str, Any]:
    return {
        score: {"value": getattr(parts, score), "se": getattr(parts.standard_error, score)}
        for score in ("fvu", "fvu_centred", "fvu_nl", "r2", "r2_coordinates")
    }


def _r2(found: Regression) -> dict[str, float]:
    return {"value": found.r2, "se": found.r2_se}


def _varying(l0: Array) -> Array | None:
    """An L0 that is the same for all rows predicts nothing."""
    return l0 if np.ptp(l0) else None


def _groups(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Decoders of one architecture and about one L0, those of few latents first."""
    groups: list[list[dict[str, Any]]] = []
    for record in sorted(records, key=lambda r: (r["architecture"], r["l0"])):
        last = groups[-1][-1] if groups else None
        near = (
            last is not None
            and last["architecture"] == record["architecture"]
            and record["l0"] <= _SAME_L0 * last["l0"]
        )
        if near:
            groups[-1].append(record)
        else:
            groups.append([record])
    found = []
    for group in groups:
        group.sort(key=lambda r: r["width"])
        l0 = math.exp(sum(math.log(max(r["l0"], 1e-9)) for r in group) / len(group))
        name = f"{group[0]['architecture']}, L0 ≈ {l0:.3g}"
        for record in group:
            record["group"] = name
        one = {"name": name, "l0": l0, "members": [r["name"] for r in group]}
        found.append(one | {score: _against_width(group, score) for score in ("fvu", "fvu_nl")})
    return found


def _against_width(group: list[dict[str, Any]], score: str) -> dict[str, Any]:
    """A horizontal line, and a power law with a floor if there are enough widths that it falls."""
    width = np.array([r["width"] for r in group], float)
    value = np.array([r[score]["value"] for r in group])
    found: dict[str, Any] = {
        "mean": float(value.mean()),
        "change": _change(float(value[0]), float(value[-1])),
        "law": None,
    }
    if len(np.unique(width)) >= 4 and value.argmin() > value.argmax():
        try:
            law = fit_floor(width, value)
        except (ValueError, ArithmeticError, RuntimeError) as error:
            return found | {"no_law": str(error)}
        found["law"] = {"floor": law.floor, "alpha": law.alpha, "beta": law.beta}
        found["law"]["floor_interval"] = [x if np.isfinite(x) else None for x in law.floor_interval]
        found["law"]["beta_interval"] = [x if np.isfinite(x) else None for x in law.beta_interval]
    return found


def _pairs(
    groups: list[dict[str, Any]],
    records: list[dict[str, Any]],
    norms: dict[str, Norms],
    shared: dict[str, Any],
    failures: list[dict[str, str]],
) -> list[dict[str, Any]]:
    """Equations (5) and (10) for a smaller and a larger decoder of one group."""
    pairs = []
    known = {r["name"]: r for r in records}
    for one, two in (
        pair
        for group in groups
        for pair in combinations([known[name] for name in group["members"]], 2)
    ):
        if one["width"] == two["width"]:
            continue
        small, large = norms[one["name"]], norms[two["name"]]
        held = small["held_out"]
        labels = shared["contexts"]
        given = shared | {"contexts": None if labels is None else np.asarray(labels)[held]}
        name = f"{one['name']} → {two['name']}"
        try:
            found = per_token(
                small["error"][held], large["error"][held], small["nonlinear"][held], **given
            )
            pair = {
                "group": one["group"],
                "small": one["name"],
                "large": two["name"],
                "widths": [one["width"], two["width"]],
                "r2": _r2(found.error),
                "r2_both": _r2(found.both),
                "fvu_decrease_percent": {
                    "value": found.fvu_decrease,
                    "se": found.fvu_decrease_se,
                },
            }
            _finite(name, pair)
            pairs.append(pair)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            failures.append(_failure(name, error))
    return pairs


def _shown(
    records: list[dict[str, Any]],
    norms: dict[str, Norms],
    contexts: ArrayLike | None,
    held_out: NDArray[np.bool_],
) -> dict[str, Any]:
    """Norms on the start of the first context held out that is long enough."""
    rows = np.flatnonzero(held_out)
    if contexts is not None:
        labels = np.asarray(contexts)[rows]
        names, first, count = np.unique(labels, return_index=True, return_counts=True)
        long = np.flatnonzero(count >= min(_SHOWN_TOKENS, count.max()))
        rows = rows[labels == names[long[np.argmin(first[long])]]]
    rows = rows[:_SHOWN_TOKENS]
    return {
        "rows": rows.tolist(),
        "norms": {
            r["name"]: {
                part: np.round(norms[r["name"]][part][rows], 4).tolist()
                for part in ("error", "linear", "nonlinear")
            }
            for r in records
        },
    }


def _fingerprint(
    x: Rows,
    contexts: ArrayLike | None,
    tokens: ArrayLike | None,
    components: Mapping[str, Any],
    settings: tuple[Any, ...],
) -> str:
    """What results depend on besides the decoder: every byte of it."""
    digest = hashlib.sha256(repr((version("rugtheory"), settings)).encode())
    for label, values in {"contexts": contexts, "tokens": tokens}.items():
        digest.update(f"{label} {values is None}".encode())
        if values is not None:
            # Which rows have one label is all that is used.
            codes = np.unique(np.asarray(values), return_inverse=True)[1]
            digest.update(codes.astype("<i8").tobytes())
    _hash_rows(digest, "x", x)
    for label, source in components.items():
        name = f"components: {label}"
        if isinstance(source, Reconstruction):
            # Both together give it, without computing it.
            digest.update(f"reconstruction {_digest('', source.sae, set())}".encode())
            source = source.x.source
        _hash_rows(digest, name, Rows(name, source))
    return digest.hexdigest()


def _hash_rows(digest: Any, label: str, rows: Rows) -> None:
    """Every row of a matrix, a block at a time."""
    digest.update(f"{label} {rows.count} {rows.columns}".encode())
    length = block_length(None, rows.columns)
    for start in range(0, rows.count, length):
        block = rows.read(np.arange(start, min(start + length, rows.count)))
        digest.update(block.dtype.str.encode())
        digest.update(np.ascontiguousarray(block).data)


def _digest(settings: str, sae: SAE, more: set[str]) -> str:
    digest = hashlib.sha256(f"{settings} {sorted(more)} {sae!r}".encode())
    for one in fields(sae):
        array = getattr(sae, one.name)
        if isinstance(array, np.ndarray):
            digest.update(f"{one.name} {array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _kept(stem: Path, digest: str) -> tuple[dict[str, Any], Norms] | None:
    """What an earlier run found, if it is whole and of the same inputs."""
    try:
        kept = json.loads(stem.with_name(f"{stem.name}.json").read_text(encoding="utf-8"))
        if kept.pop("digest") != digest:
            return None
        # NumPy leaves a broken file open if it opened it.
        with stem.with_name(f"{stem.name}.npz").open("rb") as file, np.load(file) as found:
            norms = dict(found)
        # A run that was killed between the two files leaves them of different inputs.
        return (kept, norms) if str(norms.pop("digest")) == digest else None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _keep(
    stem: Path, digest: str, found: tuple[dict[str, Any], Norms]
) -> tuple[dict[str, Any], Norms]:
    record, norms = found
    with replacing(stem.with_name(f"{stem.name}.npz")) as partial:
        np.savez(partial, digest=np.array(digest), **norms)  # type: ignore[arg-type]
    _write_json(stem.with_name(f"{stem.name}.json"), {"digest": digest, **record})
    return found


def _write_json(path: Path, values: Any) -> None:
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
