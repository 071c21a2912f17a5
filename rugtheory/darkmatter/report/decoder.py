"""All tests of one decoder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._check import Array
from .._moments import gram
from .._rows import Rows, block_length
from ..decomposition import Decomposition
from ..norm_test import as_they_are, token_means
from ..regression import Regression, regressions
from ..sae import SAE
from .coded import PARTS, Reconstructed, code, latents, squared_norms
from .entries import Record, check_finite, failure, r2, scores
from .extras import extras
from .features import Features, features_of
from .keeping import Norms, digest_of, digest_of_rows, keep, kept
from .known import Known, gaussian_r2
from .parts import decomposed, rounding
from .predictors import OfSAE, Predictor, predictor


def examined(name: str, known: Known, settings: str, folder: Path, detail: Any) -> Record:
    """The record of one decoder, kept in the folder with the norms of its errors.

    Nothing else stays in the folder.
    """
    given, stem, start = known.given, folder / name, time.perf_counter()
    made = predictor(name, given)
    sae = made.sae if isinstance(made, OfSAE) else None
    file = folder / f"{name}.unfinished.npy"
    digest = "" if sae is None else digest_of(sae, settings, given.asked(name))
    try:
        if digest and (before := kept(stem, digest)) is not None:
            return before
        features, failed = _features(made, known)
        coded = code(made, given, known.used, file, detail, *([features.count] if features else []))
        if not digest:
            digest = digest_of_rows(coded.x_hat, settings, given.asked(name))
            if (before := kept(stem, digest)) is not None:
                return before
        kind = "reconstructions" if isinstance(made, Rows) else made.kind
        record, norms = _tested(name, kind, sae, coded, known)
        if features is not None:
            record["features"] = features.record
        if failed:
            record["failed"] = record.get("failed", {}) | failed
        check_finite("", record)
        record["seconds"] = round(time.perf_counter() - start, 1)
        return keep(stem, digest, record, norms)
    finally:
        file.unlink(missing_ok=True)


def _features(made: Predictor | Rows, known: Known) -> tuple[Features | None, dict[str, str]]:
    """The latents beside the known features, and why they are not."""
    try:
        return features_of(made, known.given, known.used), {}
    except Exception as error:
        # Of objects that somebody else made anything may be raised.
        return None, {"features": failure("features", error)["error"]}


def _tested(
    name: str, kind: str, sae: SAE | None, coded: Reconstructed, known: Known
) -> tuple[Record, Norms]:
    """The record without checks and seconds, and the norms of errors."""
    given, main = known.given, known.main
    parts = decomposed(known, coded.x_hat, main)
    squares, cosines = squared_norms(given, coded.x_hat, parts, known.of_targets)
    used = known.used
    record: Record = {
        "name": name,
        "architecture": kind,
        **latents(coded, used),
        "cosines": None if sae is None else cosines_of(sae),
        **scores(parts),
        **_norm_tests(coded, squares, parts, known),
        "shrinkage": {
            "norm_ratio": float(
                np.sqrt(squares[used, 1]).mean() / np.sqrt(squares[used, 0]).mean()
            ),
            "cosine": float(cosines[used].mean()),
        },
    }
    if known.other is not None:
        record["other_rows"] = scores(decomposed(known, coded.x_hat, known.other))
    record |= extras(name, known, sae, coded, parts)
    norms = dict(zip(("error", "linear", "nonlinear"), np.sqrt(squares[:, 3:]).T, strict=True))
    return record, {**norms, "held_out": main.parts.held_out}


def _norm_tests(coded: Reconstructed, squares: Array, split: Decomposition, known: Known) -> Record:
    """R² of the squared norms of all parts, with null values and baselines of the error's."""
    given, main, x = known.given, known.main, known.given.x
    parts, noise = main.parts, _rounding(squares, rounding(coded.x_hat, given.whole))
    varies = [
        k
        for k in range(len(PARTS))
        if squares[parts.held_out, k].std() > noise[k] and squares[parts.fitted, k].std() > noise[k]
    ]
    shared = given.bootstrap, given.seed
    found: dict[str, Any] = dict.fromkeys(PARTS)
    if varies:
        probes = regressions(
            lambda rows: (x.read(rows), squares[rows][:, varies]),
            x.columns,
            [1] * len(varies),
            parts,
            *shared,
            solver=main.solver,
        )
        found |= {PARTS[k]: r2(one) for k, one in zip(varies, probes, strict=True)}
    error = PARTS.index("error")
    null: dict[str, float | None] = {"x": known.null, "gaussian": None, "sign flip": None}
    baselines: dict[str, Any] = {}
    if error in varies:
        target = squares[:, [error]]
        (flipped,) = regressions(
            lambda rows: (known.signs[rows] * x.read(rows), target[rows]),
            x.columns,
            [1],
            parts,
            *shared,
            solver=known.flipped,
        )
        null |= {"gaussian": _gaussian(coded.x_hat, split, known), "sign flip": flipped.r2}
        found_baselines = _baselines(coded, target, known)
        baselines = {k: None if v is None else r2(v) for k, v in found_baselines.items()}
    return {"norm_test": found, "null": null, "baselines": baselines}


def _rounding(squares: Array, eps: float) -> Array:
    """Spread that ‖v‖² has by the rounding δ of v alone: 2‖v‖δ + δ².

    δ/‖x‖ is some eps of the reconstruction, and more of float64 for what a regression leaves.
    """
    size, delta = np.sqrt(squares.mean(axis=0)), 8 * eps + 1e3 * np.finfo(float).eps
    delta *= np.sqrt(squares[:, 0].mean())
    return np.asarray(2 * size * delta + delta**2)


def _gaussian(x_hat: Rows, split: Decomposition, known: Known) -> float:
    """R² of the squared norm of the error if it and x were Gaussian."""
    whole, main = known.given.whole, known.main

    def error(rows: NDArray[np.intp]) -> Array:
        found: Array = np.subtract(whole.read(rows), x_hat.read(rows), dtype=np.float64)
        return found

    own = gram(error, main.parts.fitted, block_length(None, whole.columns))
    return gaussian_r2(own, split.slope, main.solver.gram)


def _baselines(coded: Reconstructed, target: Array, known: Known) -> dict[str, Regression | None]:
    """Predictions of ‖E‖² from less than x."""
    given, parts = known.given, known.main.parts
    shared = given.bootstrap, given.seed

    def alone(values: Array) -> Regression:
        column = values[:, None]
        (found,) = regressions(lambda rows: (column[rows], target[rows]), 1, [1], parts, *shared)
        return found

    found: dict[str, Regression | None] = {"activation norm": alone(known.norms)}
    # What is the same for all rows predicts nothing.
    for name, values in given.baselines.items():
        found[name] = alone(values) if np.ptp(values[parts.fitted]) else None
    if coded.l0 is not None and np.ptp(coded.l0[parts.fitted]):
        found["L0"] = alone(coded.l0)
    if given.tokens is not None:
        means = token_means(given.tokens, target, parts)
        length = block_length(None, 2)
        (found["token identity"],) = as_they_are(means, target, parts, *shared, length)
    return found


def cosines_of(sae: SAE) -> Record | None:
    """Quantiles over latents of the cosine of encoder and decoder, which autoencoders have."""
    if sae.d_in != sae.d_out:
        return None
    inner = np.einsum("ij,ji->j", sae.w_enc.astype(np.float64), sae.w_dec.astype(np.float64))
    size = np.linalg.norm(sae.w_enc, axis=0) * np.linalg.norm(sae.w_dec, axis=1)
    if not size.any():
        return None
    values = inner[size > 0] / size[size > 0]
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    return {
        f"{share:g}": float(v) for share, v in zip(shares, np.quantile(values, shares), strict=True)
    }
