"""The command `rugtheory curves`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, _check
from .._files import add_overwrite
from ..structure.curves import (
    FIGURE_2_P,
    PAPER_GRID,
    finite_curves,
    loss_curves,
    save_curves,
    simulated_curves,
)
from .shared import RATIO, P, add_amplitude, add_command, draw_file, output, settings

_LINE = 60
# What a file of curves can hold.
_MOST_SEED = 2**63 - 1


def add(commands: Any) -> None:
    """The command curves."""
    parser = add_command(
        commands, "curves", run, "losses against the ratio, as netCDF, CSV and figure"
    )
    parser.add_argument(
        "--p", type=float, nargs="+", help=f"{P}; those of the paper's Fig. 2 by default"
    )
    parser.add_argument(
        "--ratio", type=float, nargs="+", help=f"{RATIO}; the 20 of the paper by default"
    )
    parser.add_argument("--grid", choices=["paper"], help="the 20 by 20 grid of the paper")
    parser.add_argument(
        "--simulate", type=int, metavar="N", help="also simulate rugs with N samples"
    )
    parser.add_argument(
        "--finite",
        type=int,
        metavar="N",
        help="also the least losses of N rugs of --n-sparse features; slow",
    )
    parser.add_argument(
        "--n-sparse", type=int, default=4096, help="number of features of these rugs (4096)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of these rugs (0)")
    parser.add_argument("--out", type=Path, default=Path("curves"), help="folder to write (curves)")
    parser.add_argument(
        "--json", action="store_true", help="print a list of objects as JSON, with all digits"
    )
    add_overwrite(parser)
    add_amplitude(parser)


def _check_options(options: argparse.Namespace) -> None:
    if options.grid and (options.p or options.ratio):
        raise ValueError("--grid paper fixes p and ratio; give it without --p and --ratio")
    _check.integer("--seed", options.seed, 0, _MOST_SEED)
    for name in ("simulate", "finite"):
        if getattr(options, name) is not None:
            _check.count(f"--{name}", getattr(options, name), 2)


def run(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from ..figures import draw_curves, draw_grid

    _check_options(options)
    p = PAPER_GRID if options.grid else np.unique(options.p or FIGURE_2_P)
    ratio = np.unique(options.ratio) if options.ratio else PAPER_GRID
    curves = loss_curves(p, ratio, amplitude=options.amplitude)
    curves.attrs["rugtheory"] = __version__
    made = settings("curves", options, "grid", "amplitude") | {"p": list(p), "ratio": list(ratio)}
    if options.simulate is not None:
        made |= settings("curves", options, "simulate", "n_sparse", "seed")
    if options.finite is not None:
        made |= settings("curves", options, "finite", "n_sparse", "seed")
    paths = [options.out / f"curves.{suffix}" for suffix in ("nc", "csv", "png")]
    # Lines are smooth whatever the points.
    many = np.union1d(ratio, np.linspace(ratio[0], ratio[-1], _LINE))
    many = np.union1d(many, np.geomspace(ratio[0], ratio[-1], _LINE))
    with output(options, dict.fromkeys(paths, made), [options.out]):
        if not options.overwrite:
            curves = _with_known(curves, paths[0])
        for add, count, word in (
            (simulated_curves, options.simulate, "simulating"),
            (finite_curves, options.finite, "of this size"),
        ):
            if count is None:
                continue

            def bar(points: Any, word: str = word) -> Any:
                return tqdm(points, desc=word, unit="rug")

            curves = add(
                curves,
                count,
                n_sparse=options.n_sparse,
                seed=options.seed,
                amplitude=options.amplitude,
                progress=bar,
                checkpoint=lambda known: save_curves(known, options.out),
            )
        save_curves(curves, options.out)
        if options.grid:
            draw_file(paths[-1], lambda ax: draw_grid(curves, ax))
        else:
            lines = loss_curves(p, many, amplitude=options.amplitude)
            draw_file(paths[-1], lambda ax: draw_curves(curves, ax, lines=lines))
    if options.json:
        # Where nothing is simulated there is no number.
        print(json.dumps(_records(curves), indent=1))
        return
    _summarise(curves)
    print("\n".join(f"wrote {path}" for path in paths))


def _records(curves: Any) -> list[dict[str, float | None]]:
    """A row for each point, as in the CSV file."""
    rows = curves.to_dataframe().reset_index().to_dict("records")
    return [{k: None if x != x else x for k, x in row.items()} for row in rows]


def _with_known(curves: Any, path: Path) -> Any:
    """Curves with what an earlier run of the same version simulated, if there is any."""
    import xarray as xr

    if not path.exists():
        return curves
    known = xr.load_dataset(path)
    if known.attrs.get("rugtheory") != __version__:
        return curves
    more = {name: known[name] for name in known.data_vars if name not in curves}
    return curves.assign(more).assign_attrs(known.attrs | curves.attrs)


def _summarise(curves: Any) -> None:
    some = np.unique(np.linspace(0, curves.sizes["ratio"] - 1, 4).astype(int))
    ratios = curves["ratio"].values[some]
    print("loss of the rug over v(p)" + "".join(f"  r={r:<8.3g}" for r in ratios))
    relative = (curves["loss"] / curves["floor"]).values[:, some]
    for p, row in zip(curves["p"].values, relative, strict=True):
        print(f"p = {p:<21.4g}" + "".join(f"  {x:<10.4g}" for x in row))
    if "simulated_loss" in curves:
        gap = (curves["simulated_loss"] - curves["simulated_theory"]) / curves["standard_error"]
        for p, row in zip(curves["p"].values, gap.values, strict=True):
            row = row[curves["simulated_theory"].sel(p=p).values > 0]
            print(
                f"p = {p:.4g}: simulated - theory in standard errors: mean {row.mean():+.2f}, "
                f"rms {np.sqrt(np.mean(row**2)):.2f}, at {row.size} ratios"
            )
