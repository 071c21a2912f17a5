"""Pictures of a report: which there are, and the panels of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ... import _check
from ..._style import save
from . import figures, maps
from .entries import check_report

Panel = Callable[..., Any]

_DPI = 90
# All pictures that there may be of a report, and what they show.
CAPTIONS = {
    "norm_test": "R² of the squared norm of six vectors on the activation, a point for each "
    "decoder.",
    "baselines": "R² of the squared error norm from the activation and from less.",
    "breakdown": "FVU against width: the nonlinear part, the linear part on top of it, and fits.",
    "against_width": "Four scores against width, a line for decoders of about one L0.",
    "contours": "Scores over width and L0; points are decoders.",
    "density": "How often latents are active: part of all latents in each quarter of a decade.",
    "features": "Latents beside known features: pairing by direction, and detection.",
    "tokens": "Norm of the error and of its parts along one context.",
    "pairs": "Error norms of wider decoders predicted from narrower ones.",
    "pursuit": "FVU and its nonlinear part with the encoder and with gradient pursuit.",
    "alignment": "The probe for the squared norm of x̂ − b along each latent, against statistics "
    "of the latent.",
    "components": "R² of the error and of its parts on components of the model.",
}
PICTURES = tuple(CAPTIONS)


def save_figures(found: Mapping[str, Any], out: str | Path) -> list[Path]:
    """Draw what a report holds as PNG files in the folder `out`; needs matplotlib."""
    check_report(found)
    out = _check.path("out", out)
    wide = {"baselines": 0.3 * max(0, len(found["saes"]) - 12)}
    return [
        _save(out / f"{name}.png", panels, wide.get(name, 0.0))
        for name, panels in _panels(found).items()
    ]


def _panels(found: Mapping[str, Any]) -> dict[str, list[Panel]]:
    """What draws each of the pictures that there are of this report."""
    groups = [g["name"] for g in found["groups"] if len(g["members"]) > 1]
    paired = [name for name in groups if any(p["group"] == name for p in found["pairs"])]
    plans: dict[str, list[Panel]] = {
        "norm_test": [partial(figures.draw_norm_test, found)],
        "baselines": [partial(figures.draw_baselines, found["saes"])],
    }
    if any(r.get("density") for r in found["saes"]):
        plans["density"] = [partial(maps.draw_density, found)]
    if any(r.get("features") for r in found["saes"]):
        plans["features"] = [
            partial(maps.draw_features, found, score)
            for score in ("mcc", "f1", "precision", "recall")
        ]
    kinds = [
        kind
        for kind in sorted({r["architecture"] for r in found["saes"]})
        if maps.mapped(found, kind)
    ]
    if kinds:
        plans["contours"] = [
            partial(maps.draw_contours, found, kind, quantity)
            for kind in kinds
            for quantity in ("norm", "r2", "fvu", "fvu_nl")
        ]
    if groups:
        some = _middle(found, groups)
        plans["breakdown"] = [partial(figures.draw_breakdown, found, name) for name in groups]
        plans["against_width"] = [
            partial(figures.draw_against_width, found, quantity)
            for quantity in ("norm", "r2", "fvu", "fvu_nl")
        ]
        plans["tokens"] = [
            partial(figures.draw_tokens, found, some, part)
            for part in ("error", "linear", "nonlinear")
        ]
    if paired:
        some = _middle(found, paired)
        plans["pairs"] = [
            partial(figures.draw_pairs, found, some, quantity)
            for quantity in ("r2", "fvu_decrease_percent")
        ]
    pursued = dict.fromkeys(r["group"] for r in found["saes"] if "pursuit" in r)
    # A group of one decoder has no line, and is in the table.
    pursued = {name: None for name in pursued if name in groups} or pursued
    if pursued:
        plans["pursuit"] = [partial(figures.draw_pursuit, found, group) for group in pursued]
    for key, draw in (
        ("alignment", figures.draw_alignment),
        ("components", figures.draw_components),
    ):
        with_it = [r for r in found["saes"] if key in r]
        if with_it:
            plans[key] = [partial(draw, r) for r in with_it[:4]]
    return plans


def _middle(found: Mapping[str, Any], groups: Sequence[str]) -> str:
    """The group with most widths, the middle one of several."""
    sizes = {g["name"]: len(g["members"]) for g in found["groups"]}
    best = [name for name in groups if sizes[name] == max(sizes[n] for n in groups)]
    return best[len(best) // 2]


def _save(path: Path, panels: Sequence[Panel], wider: float) -> Path:
    columns = min(len(panels), 3 if len(panels) != 4 else 2)
    rows = -(-len(panels) // columns)

    def draw(figure: Any) -> None:
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, ax in zip(panels, axes, strict=False):
            panel(ax=ax)
        for ax in axes[len(panels) :]:
            ax.remove()

    save(path, draw, (1 + 4.6 * columns + wider, 0.8 + 4 * rows), dpi=_DPI)
    return path
