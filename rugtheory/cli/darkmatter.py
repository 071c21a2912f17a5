"""The command `rugtheory darkmatter`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import darkmatter
from .._files import add_overwrite, digest
from ..darkmatter.report.pictures import PICTURES
from .shared import output, settings


def add(commands: Any) -> None:
    """The command darkmatter."""
    parser = commands.add_parser("darkmatter", help="what sparse autoencoders leave unexplained")
    parser.set_defaults(run=run)
    parser.add_argument("acts", help="activations: .npy, .safetensors or .safetensors:NAME")
    parser.add_argument(
        "--sae",
        type=Path,
        nargs="+",
        required=True,
        help="decoders (SAELens, Gemma Scope, sparsify), or folders of them",
    )
    parser.add_argument("--out", type=Path, default=Path("darkmatter"), help="folder (darkmatter)")
    parser.add_argument("--contexts", help="label of each row's context, in a file like ACTS")
    parser.add_argument("--tokens", help="label of each row's token, in a file like ACTS")
    parser.add_argument(
        "--component",
        action="append",
        default=[],
        metavar="NAME=FILE[,SAE]",
        help="activations, or a decoder's reconstruction of them, to regress errors on",
    )
    parser.add_argument("--pursuit", action="store_true", help="try gradient pursuit; slow")
    parser.add_argument("--align", action="store_true", help="compare norm probe and latents; slow")
    parser.add_argument("--seed", type=int, default=0, help="of split and bootstrap (0)")
    add_overwrite(parser)


def run(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    saes = _decoders_in(options.sae)
    components = {}
    for text in options.component:
        name, equals, place = text.partition("=")
        file, comma, sae = place.partition(",")
        if not (name and equals and file):
            raise ValueError(f"--component must be NAME=FILE or NAME=FILE,SAE, got {text!r}")
        acts = darkmatter.read_activations(file)
        components[name] = (
            darkmatter.Reconstruction(acts, darkmatter.read_sae(sae)) if comma else acts
        )
    contexts, tokens = (
        None if file is None else np.asarray(darkmatter.read_activations(file)[:])
        for file in (options.contexts, options.tokens)
    )
    acts = darkmatter.read_activations(options.acts)
    with output(options, _dark_outputs(options, saes), [options.out, options.out / "saes"]):
        found = darkmatter.write_report(
            acts,
            saes,
            options.out,
            contexts=contexts,
            tokens=tokens,
            components=components,
            pursuit=saes if options.pursuit else (),
            align=saes if options.align else (),
            about={"activations": options.acts},
            seed=options.seed,
            progress=lambda names: tqdm(names, desc="decoders", unit="SAE"),
        )
        written = darkmatter.save_figures(found, options.out)
        written.insert(0, darkmatter.save_tables(found, options.out, written))
    for record in found["saes"]:
        print(
            f"{record['name']:24} L0 {record['l0']:7.4g}  FVU {record['fvu']['value']:.4f}  "
            f"nonlinear {record['fvu_nl']['value']:.4f}  R² of error {record['r2']['value']:.3f}, "
            f"of its norm {record['norm_test']['error']['value']:.3f}"
        )
    print("\n".join(f"wrote {path}" for path in [options.out / "report.json", *written]))
    if found["failures"]:
        failed = "; ".join(f"{one['name']}: {one['error']}" for one in found["failures"])
        raise RuntimeError(f"the report is written, but lacks what failed: {failed}")


def _dark_outputs(
    options: argparse.Namespace, saes: Mapping[str, Path]
) -> dict[Path | None, dict[str, Any]]:
    def content(place: str | None) -> str | None:
        """Digest of a file, or of one tensor in a file."""
        if place is None:
            return None
        file, tensor, name = place.partition(".safetensors:")
        return f"{digest(Path(f'{file}.safetensors'))} {name}" if tensor else digest(Path(place))

    made = settings("darkmatter", options, "seed")
    made |= {name: content(getattr(options, name)) for name in ("acts", "contexts", "tokens")}
    for text in options.component:
        name, _, place = text.partition("=")
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


def _decoders_in(paths: Sequence[Path]) -> dict[str, Path]:
    """The decoders at `paths` and in folders there, by name."""
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"no such file or folder: {path}")
        inside = [] if path.is_file() or _holds_decoder(path) else sorted(path.iterdir())
        some = [p for p in inside if p.suffix == ".npz" or (p.is_dir() and _holds_decoder(p))]
        if inside and not some:
            raise ValueError(f"{path} holds no decoder and no folder of one")
        for one in some or [path]:
            name = one.stem if one.is_file() else one.resolve().name
            if name in found:
                raise ValueError(f"two decoders are called {name}: {found[name]} and {one}")
            found[name] = one
    return found


def _holds_decoder(folder: Path) -> bool:
    return (folder / "cfg.json").is_file() or (folder / "params.npz").is_file()
