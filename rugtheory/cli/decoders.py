"""The command `rugtheory decoders`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from .._files import add_overwrite
from ..decoder.table import decoder_table
from .shared import RATIO, P, add_amplitude, add_command, draw_file, output, settings

# What a network does not usually have, and cannot have; losses within this factor are alike.
_LIMITS, _AS_GOOD = ("bayes", "selection", "oracle"), 1 + 1e-6


def add(commands: Any) -> None:
    """The command decoders."""
    parser = add_command(commands, "decoders", run, "least losses of ReLU and other decoders")
    parser.add_argument("--p", type=float, nargs="+", required=True, help=P)
    parser.add_argument("--ratio", type=float, nargs="+", required=True, help=RATIO)
    parser.add_argument(
        "--channel",
        choices=["gaussian", "antipodal"],
        default="gaussian",
        help="interference of a rug (gaussian, the default) or of a rug of pairs (antipodal)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a list of objects as JSON, with all digits"
    )
    parser.add_argument("--figure", type=Path, help="picture to write, for the first ratio")
    add_overwrite(parser)
    add_amplitude(parser)


def run(options: argparse.Namespace) -> None:
    made = settings("decoders", options, "p", "ratio", "channel", "amplitude")
    with output(options, {options.figure: made}):
        _show_decoders(options)


def _show_decoders(options: argparse.Namespace) -> None:
    table = decoder_table(
        np.unique(options.p),
        np.unique(options.ratio),
        channel=options.channel,
        amplitude=options.amplitude,
    )
    frame = table.to_dataframe().reset_index()
    frame = frame[["p", "ratio", "decoder", "loss", "over_bayes", "over_oracle"]]
    frame = frame.sort_values(["p", "ratio"], kind="stable")
    if options.json:
        print(json.dumps(frame.to_dict("records"), indent=1))
    else:
        _print_table(frame)
    if options.figure is not None:
        from ..figures import draw_decoders

        ratio = options.ratio[0]

        def draw(ax: Any) -> None:
            draw_decoders(table.sel(ratio=ratio), ax)
            ax.set_title(
                f"{options.channel.capitalize()} channel, ratio {ratio:g}", fontsize="medium"
            )

        draw_file(options.figure, draw)
        if not options.json:
            print(f"wrote {options.figure}")


def _print_table(frame: Any) -> None:
    """All decoders, with a star at those to choose."""
    frame[""] = ""
    choice = frame[~frame.decoder.isin(_LIMITS)]
    least = choice.groupby(["p", "ratio"]).loss.transform("min")
    frame.loc[choice.index[choice.loss <= _AS_GOOD * least], ""] = "*"
    print(frame.to_string(index=False, float_format=lambda x: f"{x:.6g}"))
    print("* loses least.  bayes is E[x | y], no network's usual function; selection and oracle")
    print("  know which features are on: all three are limits.")
