"""Draw the figures of dark_matter_validation.md from the kept results, beside this file."""

import json
from pathlib import Path

import numpy as np

from rugtheory._style import COLOURS, save
from rugtheory.darkmatter.report import figures

HERE = Path(__file__).parent
KEPT = HERE.parent / "validation" / "data"


def layers(parts):
    """The usual decoder of each layer, for figure 14."""
    return [
        record | {"name": name.replace("_", " ")}
        for name, found in parts.items()
        if name.startswith("layer_")
        for record in found["saes"]
    ]


def draw_trained(parts, ax):
    """FVU of decoders of x, and of the parts of an error: figure 8, right."""
    names = {"layer_3": "x", "linear_error": "linear error", "nonlinear_error": "nonlinear error"}
    entries = [parts[name]["saes"][0]["fvu"] for name in names]
    ax.bar(
        list(names.values()),
        [one["value"] for one in entries],
        yerr=[2 * one["se"] for one in entries],
        color=COLOURS[: len(names)],
    )
    ax.set(ylabel="FVU of an SAE trained on it (± 2 SE)")


def draw_cross_entropy(parts, ax):
    """What parts bring back of the loss, beside two guesses of it: figure 9."""
    records = parts["cross_entropy"]["saes"]
    place = np.arange(len(records))
    for k, part in enumerate(("linear", "nonlinear")):
        some = [record[part] for record in records]
        at = place + 0.3 * (k - 0.5)
        ax.errorbar(
            at,
            [one["recovered"]["value"] for one in some],
            [2 * one["recovered"]["se"] for one in some],
            fmt="o",
            color=COLOURS[k],
            label=f"x̂ + {part} error, ± 2 SE",
        )
        for guess, marker in (("norm", "_"), ("variance", "x")):
            shown = [one[guess] for one in some]
            label = f"its part of the {'mean norm' if guess == 'norm' else 'variance'}"
            ax.plot(at, shown, marker, color=COLOURS[k], markersize=9, label=label)
    ax.axhline(0, color="0.7", lw=0.8)
    ax.set_xticks(place, [r["name"] for r in records], fontsize="x-small", rotation=20)
    ax.set(ylabel="part of the added loss undone", ylim=(None, 1.02))
    figures.legend(ax, 2, "x-small")


def draw_bench(parts, figure):
    """Variance explained against the elements that are left out: figure 15."""
    bench = parts["bench"]
    table = {k: np.array(bench[k]) for k in ("learned", "dense", "introduced", "fvu", "fvu_nl")}
    gone = 1 - table["learned"] / table["learned"][-1]
    levels = np.unique(table["dense"])
    for ax, tau in zip(figure.subplots(1, levels.size, sharey=True), levels, strict=True):
        cases = np.flatnonzero(table["dense"] == tau)
        for k, case in enumerate(cases):
            label = f"ε = {table['introduced'][case] / bench['unit']:.1f} s"
            for score, style in (("fvu_nl", "o-"), ("fvu", "s:")):
                ax.plot(
                    gone,
                    1 - table[score][case],
                    style,
                    color=COLOURS[k],
                    markersize=4,
                    label=label if score == "fvu_nl" else None,
                )
        ax.set(xlabel="part of the elements left out")
        ax.set_title(f"τ = {tau / bench['unit']:.1f} s", fontsize="medium")
        figures.legend(ax, 2, "x-small")
    figure.axes[0].set(ylabel="variance explained by x̂ (dotted)\nand x̂ + linear error (full)")


def draw_parts(parts, figure):
    left, right = figure.subplots(1, 2, width_ratios=(1, 2))
    draw_trained(parts, left)
    draw_cross_entropy(parts, right)


def main() -> None:
    found = json.loads((KEPT / "darkmatter.json").read_text(encoding="utf-8"))["layer_3"]
    parts = json.loads((KEPT / "parts.json").read_text(encoding="utf-8"))

    def breakdown(figure):
        for ax, group in zip(figure.subplots(2, 2).ravel(), found["groups"], strict=True):
            figures.draw_breakdown(found, group["name"], ax)

    pictures = {
        "breakdown": (breakdown, (10, 7.6)),
        "norm_test": (lambda figure: figures.draw_norm_test(found, figure.subplots()), (7, 4.2)),
        "layers": (
            lambda figure: figures.draw_baselines(layers(parts), figure.subplots()),
            (7, 4.6),
        ),
        "parts": (lambda figure: draw_parts(parts, figure), (11, 4.6)),
        "bench": (lambda figure: draw_bench(parts, figure), (12, 3.8)),
    }
    for name, (draw, size) in pictures.items():
        save(HERE / f"dark_matter_{name}.png", draw, size, dpi=90)


if __name__ == "__main__":
    main()
