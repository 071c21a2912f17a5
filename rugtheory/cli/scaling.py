"""The command `rugtheory scaling`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from .. import _check
from .._files import add_overwrite
from .shared import add_command, draw_file, output, settings


def add(commands: Any) -> None:
    """The command scaling."""
    parser = add_command(
        commands, "scaling", run, "how losses scale with p and with the ratio, beside the laws"
    )
    parser.add_argument(
        "--power", type=float, default=0.5, help="exponent s of the curve r = p^s (0.5)"
    )
    parser.add_argument("--p", type=float, default=0.01, help="p of the curve against r (0.01)")
    parser.add_argument(
        "--points", type=int, default=60, help="number of points of each curve (60)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the curves as JSON, with all digits"
    )
    parser.add_argument("--figure", type=Path, help="picture to write")
    add_overwrite(parser)


def run(options: argparse.Namespace) -> None:
    made = settings("scaling", options, "power", "p", "points")
    with output(options, {options.figure: made}):
        _show_scaling(options)


def _show_scaling(options: argparse.Namespace) -> None:
    from ..figures.numbers import scaling_curves

    power = _check.scalar("power", options.power)
    points = _check.count("points", options.points, 2)
    _check.probability("p", options.p)
    p = np.geomspace(1e-8, 0.3, points)
    with np.errstate(over="ignore", under="ignore"):
        ratio = p**power
    if not np.all((ratio >= _check.LEAST) & (ratio < 1)):
        valid = f"leave p^power in [{_check.LEAST:g}, 1) from p = {p[0]:g} to {p[-1]:g}"
        raise ValueError(f"--power must {valid}, got {power}")
    r = np.geomspace(options.p / 100, 0.95, points)
    curves = {
        f"r = p^{power:g}": (scaling_curves(p, ratio), "p"),
        f"p = {options.p:g}": (scaling_curves(options.p, r), "ratio"),
    }
    if options.json:
        report = {
            name: {"x": curve[x].values.tolist(), "exact": curve["exact"].values.tolist()}
            | {str(law): curve["law"].sel(name=law).values.tolist() for law in curve["name"].values}
            | {
                "exponent of p": curve["exponent_p"].values.tolist(),
                "exponent of r": curve["exponent_ratio"].values.tolist(),
            }
            for name, (curve, x) in curves.items()
        }
        print(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        for name, (curve, x) in curves.items():
            laws = ", ".join(map(str, curve["name"].values))
            print(f"{name}; laws over exact: {laws}; exponents of p and r")
            for k in np.unique(np.linspace(0, points - 1, 9).astype(int)):
                at = curve.isel(point=k)
                ratios = "  ".join(f"{ratio:10.5g}" for ratio in (at["law"] / at["exact"]).values)
                print(
                    f"{float(at[x]):10.3e} {float(at['exact']):12.5e}  {ratios}  "
                    f"{float(at['exponent_p']):6.3f} {float(at['exponent_ratio']):7.3f}"
                )
    if options.figure is not None:
        from ..figures import draw_scaling

        def draw(axes: Any) -> None:
            for k, (name, (curve, x)) in enumerate(curves.items()):
                draw_scaling(curve, x, axes[:, k])
                axes[0, k].set_title(name, fontsize="medium")

        draw_file(options.figure, draw, panels=(2, 2))
        if not options.json:
            print(f"wrote {options.figure}")
