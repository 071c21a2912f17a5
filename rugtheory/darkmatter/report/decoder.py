"""All tests of one decoder."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ... import _check
from .._split import split
from ..decomposition import decompose
from ..norm_test import norm_test
from ..regression import regressions
from ..sae import SAE
from .activations import ErrorVectors
from .coded import PARTS, Coded, code, squared_norms
from .entries import Record, check_finite, r2, scores
from .extras import extras
from .given import Given
from .keeping import Found


def analyse(name: str, sae: SAE, given: Given, folder: Path) -> Found:
    """The record of one decoder, and the norms of its errors; nothing stays in the folder."""
    start = time.perf_counter()
    if name in given.pursuit and sae.normalization != "none":
        raise ValueError(f"pursuit needs decoders without normalization, {name} has some")
    file = folder / f"{name}.unfinished.npy"
    try:
        record, norms = _tested(name, code(sae, given.x, file), given)
    finally:
        file.unlink(missing_ok=True)
    check_finite("", record)
    record["seconds"] = round(time.perf_counter() - start, 1)
    return record, norms


def _tested(name: str, coded: Coded, given: Given) -> Found:
    """The same without checks and seconds."""
    x, sae = given.x, coded.sae
    parts = decompose(x.source, coded.x_hat, **given.options())
    squares, cosine = squared_norms(x, coded.x_hat, parts)
    divided = split(x.count, given.contexts, given.test_fraction, _check.rng(given.seed))
    predicted = regressions(
        lambda rows: (x.read(rows), squares[rows]),
        x.columns,
        [1] * len(PARTS),
        divided,
        given.bootstrap,
        given.seed,
    )
    test = norm_test(
        ErrorVectors(x, coded.x_hat),
        x=x.source,
        tokens=given.tokens,
        # An L0 that is the same for all rows predicts nothing.
        l0=coded.l0 if np.ptp(coded.l0) else None,
        **given.options(),
    ).squared
    record: Record = {
        "name": name,
        "architecture": sae.architecture,
        "width": sae.d_sae,
        "l0": float(coded.l0.mean()),
        "dead": coded.dead,
        **scores(parts),
        "norm_test": {part: r2(one) for part, one in zip(PARTS, predicted, strict=True)},
        "null": {"gaussian": test.gaussian, "sign flip": test.sign_flip.r2},
        "baselines": {label: r2(one) for label, one in test.baselines.items()},
        "shrinkage": {
            "norm_ratio": float(np.sqrt(squares[:, 1]).mean() / np.sqrt(squares[:, 0]).mean()),
            "cosine": cosine,
        },
    }
    record |= extras(name, given, coded, parts)
    norms = dict(zip(("error", "linear", "nonlinear"), np.sqrt(squares[:, 3:]).T, strict=True))
    return record, {**norms, "held_out": parts.held_out}
