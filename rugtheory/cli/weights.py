"""The command `rugtheory weights`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .. import _check
from .._files import add_overwrite
from ..analysis.descent import coupling
from ..analysis.row_law import SharedLaw, row_law
from ..analysis.statistics import Statistics, statistics
from ..analysis.verdict import ENDS, Verdict, explain, noise_by_length
from ..channel.row import RowChannel
from ..model.model import Model
from ..source.features import Features
from ..source.uniform import Uniform
from ..structure.hull_curves import best_of
from ..theory.lower import proved
from .shared import add_amplitude, add_command, draw_file, features_of, output, settings
from .weight_files import add_reading, read_model

# Rows whose law is compared with a Gaussian, at most, unless all are asked for.
_DISTANCES = 8


def add(commands: Any) -> None:
    """The command weights."""
    parser = add_command(
        commands, "weights", run, "statistics of given weights, and where their loss comes from"
    )
    parser.add_argument("file", type=Path, help=".safetensors, .npz or PyTorch state dict")
    law = parser.add_mutually_exclusive_group(required=True)
    law.add_argument(
        "--p", type=float, help="probability that a feature is on, for features that are alike"
    )
    law.add_argument("--features", type=Path, metavar="FILE", help="TOML file of a law of features")
    parser.add_argument(
        "--rows",
        type=int,
        default=32,
        help=f"rows to invert (32), {_DISTANCES} of which are also compared with a Gaussian; "
        "0 for all, with all compared",
    )
    parser.add_argument(
        "--row-law",
        action="store_true",
        help="also find the least loss of weights whose rows all hear one law, in up to a minute; "
        "couplings are at most 1, or the largest of the file",
    )
    parser.add_argument(
        "--family",
        choices=ENDS,
        default=ENDS[0],
        help=(
            "what features that are not alike are compared with at last: rugs (gaussian, the "
            "default) or the best structures known (best), a second for each p, up to a minute"
        ),
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of rows (0)")
    parser.add_argument(
        "--json", action="store_true", help="print an object as JSON, with all digits"
    )
    parser.add_argument("--figure", type=Path, help="picture to write")
    add_reading(parser)
    add_overwrite(parser)
    add_amplitude(parser)


def run(options: argparse.Namespace) -> None:
    _check.integer("rows", options.rows, 0)
    _check.integer("seed", options.seed, 0)
    model = read_model(options.file, options)
    reading = ("names", "ignore", "instance")
    names = ("file", "p", "features", "rows", "row_law", "seed", "family", "amplitude", *reading)
    made = settings("weights", options, *(x for x in names if getattr(options, x) is not None))
    with output(options, {options.figure: made}):
        features = features_of(options, model.n_sparse)
        law = _law(model, features, options)  # of some features there is none, which is soon told
        found, verdict = _analysed(model, features, options)
        if options.json:
            _print_json(found, verdict, law)
        else:
            _print_text(model, features, found, verdict, law)
        if options.figure is not None:
            _draw_weights(model, features, found, verdict, options)
            if not options.json:
                print(f"wrote {options.figure}")


def _analysed(
    model: Model, features: Features, options: argparse.Namespace
) -> tuple[Statistics, Verdict]:
    from tqdm import tqdm

    n = model.n_sparse
    compared = min(options.rows, _DISTANCES, n) if options.rows else n
    inverted = min(options.rows or n, n)
    with tqdm(total=compared + inverted + 1, unit="step", leave=False) as bar:

        def counted(rows: Iterable[int], then: str = "") -> Iterable[int]:
            for row in rows:
                yield row
                bar.update()
            bar.set_description(then)

        bar.set_description("laws of rows")
        found = statistics(model, features, rows=compared, seed=options.seed, progress=counted)
        bar.set_description("losses of rows")
        # What comes after the rows takes about as long as they do in small models.
        verdict = explain(
            model,
            features,
            rows=options.rows or None,
            seed=options.seed,
            family=options.family,
            progress=lambda rows: counted(rows, "what is best known"),
        )
        bar.update(bar.total - bar.n)
    return found, verdict


def _print_json(found: Statistics, verdict: Verdict, law: SharedLaw | None) -> None:
    shown: dict[str, Any] = {"statistics": found.summary(), "verdict": vars(verdict)}
    if law is not None:
        shown["row_law"] = {x: getattr(law, x) for x in ("loss", "error", "exact", "verdict")}
    print(json.dumps(shown, indent=1))


def _print_text(
    model: Model, features: Features, found: Statistics, verdict: Verdict, law: SharedLaw | None
) -> None:
    for name, value in found.summary().items():
        print(f"{name:32} {value:.6g}")
    print(f"{'loss':32} {verdict.loss:.6g} (standard error {verdict.standard_error:.1g})")
    print(f"{'rows inverted':32} {verdict.rows}")
    print(f"{'outputs that never fire':32} {verdict.silent}")
    print("above the next step by")
    for name, value in verdict.terms.items():
        print(f"  {name:30} {value:+.6g}")
    if verdict.rug is not None:
        _print_structures(model, features, verdict)
    else:
        print(f"{verdict.family:32} {verdict.best:.6g}")
        if verdict.dropped is not None:
            print(f"{'features it drops':32} {verdict.dropped}")
            print(f"{'of them alive in the model':32} {verdict.dropped_alive}")
    if law is not None:
        lost = f"{law.loss:.6g} (its weights lose {law.exact:.6g}: {law.verdict})"
        print(f"{'row law':32} {lost}")


def _law(model: Model, features: Features, options: argparse.Namespace) -> SharedLaw | None:
    if not options.row_law:
        return None
    cap = max(coupling(model), 1.0)
    return row_law(features, model.n_dense, max_coupling=cap, seeds=options.seed)


def _print_structures(model: Model, features: Features, verdict: Verdict) -> None:
    """Losses that weights of this ratio reach, down to the best that is known."""
    p, law = float(features.on_probability[0]), features.amplitudes[0]
    noise = verdict.hidden_noise
    if noise:
        print(f"{'noise, by length of columns':32} {noise:.6g}")
    print(f"{'Gaussian rug':32} {verdict.rug:.6g}")
    if law.start < 0:
        print("amplitudes may be negative, for which no other structure is known")
        return
    if model.ratio <= 0.5:
        pairs = best_of("antipodal", p, np.array(model.ratio), law, noise)
        print(f"{'rug of antipodal pairs':32} {float(pairs.loss):.6g}")
    print(f"{'best known, ' + verdict.family:32} {verdict.best:.6g}")
    print(f"{'  of couplings |W_ij|/W_ii up to':32} {coupling(model):.6g}")
    if law == Uniform():
        bound = proved(p, min(model.ratio, 1.0), hidden_noise=noise_by_length(model, model.w_in))
        print(f"{'no weights below':32} {bound:.6g}")


def _draw_weights(
    model: Model,
    features: Features,
    found: Statistics,
    verdict: Verdict,
    options: argparse.Namespace,
) -> None:
    from ..figures import draw_corner, draw_diagonal, draw_row_law, draw_waterfall
    from ..figures.numbers import row_law as numbers_of_row

    def draw(axes: Any) -> None:
        draw_corner(model.w_out[:30] @ model.w_in[:, :30], model.b[:30], axes[0, 0])
        draw_diagonal(found, axes[0, 1])
        if found.rows.size:
            channel = RowChannel(model, features, int(found.rows[0]))
            draw_row_law(numbers_of_row(channel), axes[1, 0])
        draw_waterfall(verdict, axes[1, 1])

    draw_file(options.figure, draw, panels=(2, 2))
