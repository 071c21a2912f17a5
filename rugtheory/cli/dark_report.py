"""What the command `rugtheory darkmatter` does: read, judge, write."""

from __future__ import annotations

import argparse
import glob
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from .. import darkmatter
from .._files import digest
from ..darkmatter._rows import to_numpy
from ..darkmatter.report.activations import contexts_of, split_name
from ..darkmatter.report.pictures import PICTURES
from ..darkmatter.sae.found import decoders_in
from .shared import output, settings

# What a run is recorded with, unless it is as usual.
_USUAL: dict[str, Any] = {
    "drop_first": 0,
    "drop_norm": None,
    "drop_token": [],
    "l0": [],
    "input_scale": None,
    "convention": "centred",
    "test_fraction": 0.25,
    "bootstrap": 200,
}

# Options that name files like the activations.
_FILES = ("targets", "contexts", "tokens", "drop", "features", "weights")


def report(options: argparse.Namespace) -> None:
    """Write the report that the options ask for; the error of what failed comes last."""
    from tqdm import tqdm

    saes = decoders_in(options.sae)
    acts = darkmatter.read_activations(options.acts)
    own_contexts = contexts_of(acts)
    labels = partial(_labels, rows=None if own_contexts is None else own_contexts.size)
    components = {}
    for name, place in _named("component", options.component, "NAME=FILE or NAME=FILE,SAE"):
        file, comma, sae = place.partition(",")
        of = darkmatter.read_activations(file)
        components[name] = darkmatter.Reconstruction(of, darkmatter.read_sae(sae)) if comma else of
    baselines = {name: labels(file) for name, file in _named("baseline", options.baseline)}
    contexts, tokens, drop = (
        None if file is None else labels(file)
        for file in (options.contexts, options.tokens, options.drop)
    )
    dropped: list[Any] = options.drop_token
    if tokens is not None and tokens.dtype.kind in "iu":
        dropped = [_token(text) for text in dropped]
    targets = None if options.targets is None else darkmatter.read_activations(options.targets)
    weights = None if options.weights is None else darkmatter.read_activations(options.weights)
    with output(options, _dark_outputs(options, saes), [options.out, options.out / "saes"]):
        found = darkmatter.write_report(
            acts,
            saes,
            options.out,
            targets=targets,
            contexts=own_contexts if contexts is None else contexts,
            tokens=tokens,
            drop_first=options.drop_first,
            drop_norm=options.drop_norm,
            drop_tokens=dropped,
            drop=drop,
            components=components,
            features=None if options.features is None else _matrix(options.features),
            weights=weights,
            baselines=baselines,
            pursuit=saes if options.pursuit else (),
            align=saes if options.align else (),
            l0=options.l0,
            about=_about(options, saes),
            input_scale=options.input_scale,
            convention=options.convention,
            test_fraction=options.test_fraction,
            bootstrap=options.bootstrap,
            seed=options.seed,
            progress=lambda names: tqdm(names, desc="decoders", unit="SAE"),
            detail=lambda blocks, name: tqdm(blocks, desc=name, unit="block", leave=False),
        )
        # Tables first: pictures need matplotlib, and much may be wrong with it.
        darkmatter.save_tables(found, options.out)
        pictures = darkmatter.save_figures(found, options.out)
        written = [darkmatter.save_tables(found, options.out, pictures), *pictures]
    if options.json:
        print((options.out / "report.json").read_text())
    else:
        _show(found)
        print("\n".join(f"wrote {path}" for path in [options.out / "report.json", *written]))
    if found["failures"]:
        failed = "; ".join(f"{one['name']}: {one['error']}" for one in found["failures"])
        raise RuntimeError(f"the report is written, but lacks what failed: {failed}")


def _about(options: argparse.Namespace, saes: Mapping[str, Path]) -> dict[str, Any]:
    """Where everything comes from, as it was given."""
    given = {name: getattr(options, name) for name in _FILES}
    pairs = {name: dict(_named(name, getattr(options, name))) for name in ("component", "baseline")}
    return {
        "activations": options.acts,
        **{f"{name} from": place for name, place in given.items() if place is not None},
        **{f"{name} from": places for name, places in pairs.items() if places},
        "input_scale": options.input_scale,
        "decoders": {name: str(path) for name, path in saes.items()},
    }


def _show(found: Mapping[str, Any]) -> None:
    for record in found["saes"]:
        print(_line(record))
    for text in found["warnings"]:
        print(f"note: {text}")


def _line(record: Mapping[str, Any]) -> str:
    """Headline numbers of a decoder."""

    def number(entry: Mapping[str, float | None] | None, digits: int) -> str:
        value = None if entry is None else entry["value"]
        return "–" if value is None else f"{value:.{digits}f}"

    l0 = "–" if record["l0"] is None else f"{record['l0']:.4g}"
    return (
        f"{record['name']:24} L0 {l0:>7}  FVU {number(record['fvu'], 4)}  "
        f"nonlinear {number(record['fvu_nl'], 4)}  R² of error {number(record['r2'], 3)}, "
        f"of its norm {number(record['norm_test']['error'], 3)}"
    )


def _labels(file: str, rows: int | None) -> Any:
    """A value for each row; of `rows` that come as contexts and positions, these axes as well."""
    found = to_numpy(darkmatter.read_activations(file)[:])
    column = found.ndim == 2 and found.shape[1] == 1
    return found.ravel() if column or found.size == rows else found


def _matrix(file: str) -> Any:
    return to_numpy(darkmatter.read_activations(file)[:])


def _named(option: str, texts: Iterable[str], form: str = "NAME=FILE") -> list[tuple[str, str]]:
    """Name and place of each text; no two of one name."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, place = text.partition("=")
        if not (name and equals and place and not place.startswith(",")):
            raise ValueError(f"--{option} must be {form}, got {text!r}")
        if name in found:
            raise ValueError(f"--{option} must have names that differ, got {name} twice")
        found[name] = place
    return list(found.items())


def _token(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"--drop-token must be integers like the tokens, got {text!r}") from None


def _dark_outputs(
    options: argparse.Namespace, saes: Mapping[str, Path]
) -> dict[Path | None, dict[str, Any]]:
    def content(place: str | None) -> str | None:
        """Digest of a file, or of one tensor in a file."""
        if place is None:
            return None
        file, name = split_name(place)
        digests = [digest(Path(part)) for part in sorted(glob.glob(file)) or [file]]
        return " ".join([*digests, *([name] if name else [])])

    made = settings("darkmatter", options, "seed")
    made |= {name: content(getattr(options, name)) for name in ("acts", "contexts", "tokens")}
    # What is not asked for leaves no trace: results of before there was the option go on.
    more = {name: content(getattr(options, name)) for name in _FILES if name not in made}
    more |= {f"baseline {k}": content(file) for k, file in _named("baseline", options.baseline)}
    made |= {name: value for name, value in more.items() if value is not None}
    made |= {k: getattr(options, k) for k, v in _USUAL.items() if getattr(options, k) != v}
    for name, place in _named("component", options.component):
        file, comma, sae = place.partition(",")
        made[f"component {name}"] = [content(file), digest(Path(sae)) if comma else None]
    # What only adds to a report is not there unless it is asked for.
    made |= {name: True for name in ("pursuit", "align") if getattr(options, name)}
    digests = {name: digest(path) for name, path in saes.items()}
    whole = made | {f"sae {name}": found for name, found in digests.items()}
    files = ["report.json", "report.md", *(f"{name}.png" for name in PICTURES)]
    outputs: dict[Path | None, dict[str, Any]] = {options.out / name: whole for name in files}
    for name, found in digests.items():
        for suffix in ("json", "npz"):
            outputs[options.out / "saes" / f"{name}.{suffix}"] = made | {"sae": found}
    return outputs
