"""``python -m validation``: train toy models and compare them with the theory."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from safetensors.numpy import save_file
from tqdm import tqdm

import rugtheory as rt
from rugtheory._files import add_overwrite, digest, replacing, writing
from rugtheory.cli.running import guarded
from rugtheory.cli.shared import Parser
from rugtheory.source.files import text_of

from .collect import collect, digests
from .fit import fit
from .path import follow
from .report import POINT, THEORY, VERDICT, outputs, read_paths, write_paths, write_report
from .spec import PROTOCOLS, Spec, gain
from .sweep import evaluate, read_sweep, run, tensors
from .training import train
from .workers import Workers

# PyTorch takes seeds of 64 bits.
_MOST_SEED = 2**63 - 1
# More losses of steps, and values of features, than a machine holds.
_MOST_STEPS, _MOST_FEATURES = 10**9, 10**7


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 2 after one line on bad input, 130 after Ctrl-C."""
    parser = _parser()
    options = parser.parse_args(arguments)

    def work(options: argparse.Namespace) -> None:
        _check_options(options)
        options.run(options)

    return guarded(parser, options, work)


def _check_options(options: argparse.Namespace) -> None:
    """Numbers that training would stumble over, and devices that are not there."""
    limits = {
        "seed": (0, _MOST_SEED),
        "steps": (1, _MOST_STEPS),
        "rounds": (1, 30),
        "threads": (1, 4096),
        "workers": (1, 4096),
        "group": (1, 4096),
        "training": (1, _MOST_STEPS),
        "held_out": (1, _MOST_STEPS),
        "n_sparse": (1, _MOST_FEATURES),
    }
    for name, (low, high) in limits.items():
        value = getattr(options, name, None)
        for one in value if isinstance(value, list) else [value]:
            if one is not None and not low <= one <= high:
                option = name.replace("_", "-")
                raise ValueError(f"--{option} must be in [{low}, {high}], got {one}")
    for name in ("p", "ratio"):
        value = getattr(options, name, None)
        if value is not None and not 0 < value <= 1:
            raise ValueError(f"--{name} must lie in (0, 1], got {value}")
    if hasattr(options, "steps") and hasattr(options, "rounds"):
        total = options.steps * (2**options.rounds - 1)
        if total > _MOST_STEPS:
            raise ValueError(
                f"--steps and --rounds must make at most {_MOST_STEPS} steps, got {total}"
            )
    out = getattr(options, "out", None)
    if options.suffix and out is not None and out.suffix != options.suffix:
        raise ValueError(f"--out must end in {options.suffix}, got {out}")
    if hasattr(options, "device"):
        options.device = _device(options.device)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m validation")
    parser.set_defaults(suffix=None)
    commands = parser.add_subparsers(required=True, metavar="command", parser_class=Parser)
    for add in (
        _add_train,
        _add_sweep,
        _add_collect,
        _add_path,
        _add_fit,
        _add_report,
        _add_darkmatter,
    ):
        add(commands)
    return parser


_N_SPARSE, _P, _RATIO = 512, 0.045, 0.25


def _add_point(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ratio", type=float, default=_RATIO, help=f"hidden units a feature ({_RATIO})"
    )
    parser.add_argument(
        "--p", type=float, default=_P, help=f"probability that a feature is on ({_P})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and samples (0)")


def _add_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda, …; the GPU if there is one by default"
    )
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch on a CPU (1)")


def _add_train(commands: Any) -> None:
    parser = commands.add_parser("train", help="train one model and print its exact loss")
    parser.set_defaults(run=_train)
    parser.add_argument("--features", type=Path, metavar="FILE", help="TOML file of any features")
    parser.add_argument("--n-sparse", type=int, help=f"features ({_N_SPARSE})")
    _add_point(parser)
    parser.set_defaults(p=None)  # --features has its own
    parser.add_argument("--steps", type=int, default=2000, help="of the first round (2000)")
    parser.add_argument("--rounds", type=int, default=4, help="at most, each twice as long (4)")
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="converged",
        help="converged: until a round changes the loss by less than 1 %% (default); paper: until "
        "100 steps do not lower it; constant: all steps of one size, none left out; descent: on "
        "the exact loss, without samples; continued: the same after converged",
    )
    parser.add_argument(
        "--max-coupling", type=float, default=10.0, help="cap on |W_ij|/W_ii of descents (10)"
    )
    parser.add_argument("--tied", action="store_true", help="W_out the transpose of W_in")
    _add_machine(parser)
    parser.add_argument("--half", action="store_true", help="store float16")
    parser.add_argument("--out", type=Path, help="safetensors file to write")
    parser.set_defaults(suffix=".safetensors")
    add_overwrite(parser)


def _add_sweep(commands: Any) -> None:
    parser = commands.add_parser("sweep", help="train what is missing of a grid of models")
    parser.set_defaults(run=_sweep)
    parser.add_argument("spec", type=Path, help="TOML file")
    parser.add_argument("--out", type=Path, required=True, help="folder of the points")
    parser.add_argument("--workers", type=int, help="processes (one a core on a CPU, 2 on a GPU)")
    parser.add_argument("--dask", metavar="ADDRESS", help="a Dask scheduler to work on instead")
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda, …; the GPU if there is one by default"
    )
    parser.add_argument("--group", type=int, help="models in a job (1 on a CPU, 16 on a GPU)")


def _add_collect(commands: Any) -> None:
    parser = commands.add_parser("collect", help="gather the finished points into one netCDF file")
    parser.set_defaults(run=_collect)
    parser.add_argument("folder", type=Path, help="where the sweep wrote its points")
    parser.add_argument("--out", type=Path, required=True, help="netCDF file to write")
    parser.set_defaults(suffix=".nc")
    add_overwrite(parser)


def _add_path(commands: Any) -> None:
    parser = commands.add_parser("path", help="loss and statistics against the number of steps")
    parser.set_defaults(run=_path)
    parser.add_argument(
        "--n-sparse",
        type=int,
        nargs="+",
        default=[_N_SPARSE],
        help=f"features; a file for each number ({_N_SPARSE})",
    )
    _add_point(parser)
    parser.add_argument("--steps", type=int, default=20_000, help="of one size (20000)")
    _add_machine(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for netCDF files")
    parser.add_argument("--json", action="store_true", help="a list of objects, all digits")
    add_overwrite(parser)


def _add_fit(commands: Any) -> None:
    parser = commands.add_parser("fit", help="fit a and b alone on a fixed rug")
    parser.set_defaults(run=_fit)
    parser.add_argument("--n-sparse", type=int, default=4096, help="features of the rug (4096)")
    _add_point(parser)
    parser.add_argument("--steps", type=int, default=1500, help="of the fit (1500)")
    _add_machine(parser)
    parser.add_argument("--json", action="store_true", help="an object, all digits")


def _add_report(commands: Any) -> None:
    parser = commands.add_parser("report", help="tables and figures of collected results")
    parser.set_defaults(run=_report)
    parser.add_argument("data", type=Path, help="netCDF file, or the folder of a sweep")
    parser.add_argument("--paths", type=Path, nargs="+", help="netCDF files of the command path")
    parser.add_argument("--out", type=Path, default=Path("report"), help="folder (report)")
    add_overwrite(parser)


def _add_darkmatter(commands: Any) -> None:
    parser = commands.add_parser("darkmatter", help="activations of a transformer, SAEs, report")
    parser.set_defaults(run=_darkmatter)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder; a killed run goes on there"
    )
    parser.add_argument("--training", type=int, default=200_000, help="tokens to train on")
    parser.add_argument("--held-out", type=int, default=100_000, help="tokens to report on")
    parser.add_argument("--steps", type=int, default=600, help="of the training of each SAE")
    parser.add_argument("--seed", type=int, default=0, help="of the SAEs' weights and rows (0)")
    parser.add_argument("--threads", type=int, default=1, help="of the transformer")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes of the SAEs")
    parser.add_argument(
        "--parts", action="store_true", help="instead, what the parts of errors are and do"
    )
    add_overwrite(parser)


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
        if kind not in ("cpu", "meta"):
            torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ValueError(
            f"--device must be auto, cpu or a device of torch {torch.__version__} here, "
            f"got {name!r}, which it does not find"
        ) from None
    if kind == "meta":
        raise ValueError("--device must be a device that computes, got 'meta'")
    return name


def _sweep(options: argparse.Namespace) -> None:
    sweep = read_sweep(options.spec)
    group = options.group or (16 if options.device.startswith("cuda") else 1)

    def progress(futures: Iterable[Any], total: int) -> Iterable[Any]:
        return tqdm(futures, total=total, desc=str(options.out), unit="job")

    with _executor(options) as executor:
        run(sweep, options.out, executor, device=options.device, group=group, progress=progress)


# Seconds for a scheduler to answer.
_PATIENCE = 10


def _executor(options: argparse.Namespace) -> AbstractContextManager[Executor]:
    if options.dask is None:
        return Workers(
            options.workers or (2 if options.device.startswith("cuda") else os.cpu_count() or 1)
        )
    from distributed import Client

    try:
        return Client(options.dask, timeout=_PATIENCE).get_executor()
    except OSError as error:
        raise OSError(f"--dask {options.dask}: no scheduler answers there") from error


def _collect(options: argparse.Namespace) -> None:
    made = {"command": "validation collect"} | digests(options.folder)
    with writing({options.out: made}, overwrite=options.overwrite):
        data = collect(options.folder)
        with replacing(options.out) as partial:
            data.to_netcdf(partial, engine="h5netcdf")
    print(f"wrote {options.out}, {data.sizes['point']} points")


def _path(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    device = options.device
    specs = {
        options.out / f"path_{n_sparse}.nc": Spec(
            n_sparse,
            int(n_sparse * options.ratio),
            options.p,
            seed=options.seed,
            steps=options.steps,
            rounds=1,
            protocol="constant",
        )
        for n_sparse in options.n_sparse
    }
    followed: list[xr.Dataset] = []
    made = {file: {"command": "validation path"} | spec.settings() for file, spec in specs.items()}
    with writing(made, overwrite=options.overwrite, folders=[options.out]):
        for file, spec in specs.items():
            with tqdm(total=spec.steps, desc=f"n_sparse {spec.n_sparse}", unit="step") as bar:
                data = follow(spec, device=device, progress=lambda step, bar=bar: bar.update())
            with replacing(file) as partial:
                data.to_netcdf(partial, engine="h5netcdf")
            followed.append(data)
            if not options.json:
                print(data.to_dataframe().to_string())
                print(
                    f"rug {data.rug:.6g}, antipodal {data.antipodal:.6g}, "
                    f"paper stops {data.paper_stop}"
                )
                print(f"wrote {file}")
    if options.json:
        rows = [data.to_dataframe().reset_index().to_dict("records") for data in followed]
        print(
            json.dumps(
                _finite(
                    [
                        r | {"n_sparse": d.n_sparse}
                        for d, some in zip(followed, rows, strict=True)
                        for r in some
                    ]
                ),
                indent=1,
            )
        )


def _finite(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without the numbers that are none."""
    return [{k: None if x != x else x for k, x in row.items()} for row in rows]


def _fit(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    n_dense = int(options.n_sparse * options.ratio)
    rug = rt.hadamard_rug(options.n_sparse, n_dense, seed=options.seed)
    with tqdm(total=options.steps, desc="fitting", unit="step") as bar:
        found = fit(
            rug,
            options.p,
            steps=options.steps,
            seed=options.seed,
            device=options.device,
            progress=lambda step: bar.update(),
        )
    best = found.optimum
    if options.json:
        numbers = {name: getattr(found, name) for name in ("a", "b", "loss", "exact_at_optimum")}
        print(json.dumps(numbers | {"optimum": best.to_dict()}, indent=1))
        return
    print(f"{'':24}{'fitted':>14}{'optimum':>14}{'fitted/optimum - 1':>20}")
    for name in ("a", "b", "loss"):
        value, theory = getattr(found, name), float(getattr(best, name))
        print(f"{name:24}{value:14.6g}{theory:14.6g}{value / theory - 1:20.2e}")
    finite = found.exact_at_optimum / float(best.loss) - 1
    print(f"{'exact loss at optimum':24}{found.exact_at_optimum:28.6g}{finite:20.2e}")


def _check_collected(path: Path, data: xr.Dataset) -> None:
    """Raise ValueError unless this is what the command collect writes."""
    needed = (*POINT, *THEORY, *VERDICT, "loss", "gain", "family", "steps_done")
    lacking = [name for name in needed if name not in data]
    if "point" not in data.dims or lacking:
        more = [f"{len(lacking) - 4} more"] * (len(lacking) > 4)
        raise ValueError(
            f"{path} must be what python -m validation collect writes, got a file without "
            f"{', '.join([*lacking[:4], *more]) or 'the dimension point'}"
        )


def _report(options: argparse.Namespace) -> None:
    made: dict[str, Any] = {"command": "validation report"}
    if options.data.is_dir():
        data = collect(options.data)
        made |= digests(options.data)
    else:
        with xr.open_dataset(options.data) as file:
            data = file.load()
        _check_collected(options.data, data)
        made["data"] = digest(options.data)
    files: dict[Path, dict[str, Any]] = dict.fromkeys(outputs(data, options.out), made)
    paths = read_paths(options.paths or [])
    if options.paths:
        digests_of_paths = sorted(map(digest, options.paths))
        files[options.out / "path.png"] = {"command": made["command"], "paths": digests_of_paths}
    with writing(files, overwrite=options.overwrite, folders=[options.out]):
        written = write_report(data, options.out)
        if paths:
            written.append(write_paths(paths, options.out))
    for path in written:
        print(f"wrote {path}")


def _darkmatter(options: argparse.Namespace) -> None:
    from .darkmatter import Plan, run
    from .parts import run_parts

    torch.set_num_threads(options.threads)
    plan = Plan(options.out, options.training, options.held_out, options.steps, options.seed)
    made = {k: v for k, v in asdict(plan).items() if k != "out"}
    made["command"] = "validation darkmatter" + (" --parts" if options.parts else "")
    if options.parts:
        file = options.out / "parts.json"
        with writing({file: made}, overwrite=options.overwrite, folders=[options.out]):
            run_parts(plan, tqdm)
        print(f"wrote {file}")
        return
    file = options.out / "darkmatter.json"
    with writing({file: made}, overwrite=options.overwrite, folders=[options.out]):
        kept = run(plan, workers=options.workers, bar=tqdm)
    print(json.dumps(kept["seconds"], indent=1))
    print(f"wrote {file} and {options.out / 'report'}")


def _features(options: argparse.Namespace) -> tuple[int, float, str]:
    """Number, mean probability and TOML of the features; no TOML of those that are all alike."""
    if options.features is None:
        p = _P if options.p is None else options.p
        return _N_SPARSE if options.n_sparse is None else options.n_sparse, p, ""
    for name in ("p", "n_sparse"):
        if getattr(options, name) is not None:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} goes without --features, which has its own")
    features = rt.read_features(options.features)
    return len(features), float(features.on_probability.mean()), text_of(features)


def _train(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    device = options.device
    n_sparse, p, law = _features(options)
    spec = Spec(
        n_sparse,
        int(n_sparse * options.ratio),
        p,
        seed=options.seed,
        steps=options.steps,
        protocol=options.protocol,
        tied=options.tied,
        rounds=options.rounds,
        law=law,
        max_coupling=options.max_coupling,
    )
    made = {"command": "validation train", "half": options.half} | spec.settings()
    files = {} if options.out is None else {options.out: made}
    with writing(files, overwrite=options.overwrite):
        with tqdm(total=spec.most_steps, desc="training", unit="step") as bar:
            (trained,) = train([spec], device=device, progress=lambda step: bar.update())
        if options.half:
            halved = {k: getattr(trained, k).astype("float16") for k in ("w_in", "w_out", "b")}
            trained = replace(trained, **halved)
        result = evaluate(trained, device)
        print(json.dumps(result | _theory(spec), indent=1))
        fell = gain(trained.rounds)
        if spec.tolerance <= fell < np.inf:
            print(
                f"note: the last round still lowered the loss by {100 * fell:.2g} %, more --rounds "
                "would lower it further",
                file=sys.stderr,
            )
        if options.out is not None:
            about = {"command": "python -m validation train", "result": json.dumps(result)}
            with replacing(options.out) as partial:
                save_file(tensors(trained), partial, about)
            print(f"wrote {options.out}", file=sys.stderr)


def _theory(spec: Spec) -> dict[str, Any]:
    """What the loss is compared with: nothing, if features depend on each other."""
    if not spec.law:
        ratio = spec.n_dense / spec.n_sparse
        best = rt.best_known(spec.p, ratio)
        rug = float(rt.optimum(spec.p, ratio).loss)
        return {"rug": rug, "best_known": float(best.loss), "family": str(best.family)}
    if not spec.features.independent:
        return {}
    return {"allocation": float(rt.allocate(spec.features, spec.n_dense).loss)}


if __name__ == "__main__":
    sys.exit(main())
