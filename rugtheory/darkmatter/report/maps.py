"""Figures of scores over width and L0, of how often latents are active, and of known features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._style import COLOURS, axes, colour_bar, styles
from .figures import legend, short, values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMES = {
    "norm": "R² of the squared error norm on x",
    "r2": "R² of the error vector on x",
    "fvu_nl": "nonlinear FVU",
    "fvu": "FVU",
}


def mapped(found: Mapping[str, Any], kind: str) -> list[Any]:
    """Decoders of an architecture that spread over widths and L0s; none if they do not."""
    records = [r for r in found["saes"] if r["architecture"] == kind and r["width"] and r["l0"]]
    if not records:
        return []
    places = np.log([[r["width"], r["l0"]] for r in records])
    spread = np.linalg.svd(places - places.mean(axis=0), compute_uv=False)
    return records if len(records) >= 4 and spread[-1] > 0.1 else []


def draw_contours(
    found: Mapping[str, Any], kind: str, quantity: str = "norm", ax: Axes | None = None
) -> list[Any]:
    """A score over width and L0, for decoders of one architecture: figures 3 and 5.

    `quantity` is "norm", "r2", "fvu_nl" or "fvu"; points are the decoders.
    """
    ax = axes(ax)
    records = mapped(found, kind)
    entries = [r["norm_test"]["error"] if quantity == "norm" else r[quantity] for r in records]
    z = np.array(values(entries))
    known = np.isfinite(z)
    width, l0 = (np.array([r[key] for r in records], float)[known] for key in ("width", "l0"))
    artists: list[Any] = []
    try:
        filled = ax.tricontourf(np.log2(width), np.log2(l0), z[known], 12, cmap="cividis")
        artists += [filled, *colour_bar(filled, ax, _NAMES[quantity])]
    except (RuntimeError, ValueError):  # points on a line have no triangles
        ax.text(0.5, 0.5, "too few decoders", ha="center", transform=ax.transAxes)
    artists += ax.plot(
        np.log2(width), np.log2(l0), "o", color="white", mec="black", markersize=4, clip_on=False
    )
    ax.xaxis.set_ticks(np.log2(np.unique(width)), [f"{w:.0f}" for w in np.unique(width)])
    ax.yaxis.set_ticks(np.log2(_nice(l0)), [f"{tick:g}" for tick in _nice(l0)])
    ax.set_ylim(*np.log2([l0.min(), l0.max()]))
    ax.set(xlabel="latents of the decoder, M", ylabel="L0")
    ax.set_title(f"{kind}: {_NAMES[quantity]}", fontsize="medium")
    return artists


def _nice(l0: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Powers of two between the values, and their ends to two digits."""
    low, high = np.ceil(np.log2(l0.min())), np.floor(np.log2(l0.max()))
    powers = 2.0 ** np.arange(low, high + 1)
    return (
        powers if powers.size > 1 else np.array([float(f"{v:.2g}") for v in (l0.min(), l0.max())])
    )


def draw_density(found: Mapping[str, Any], ax: Axes | None = None) -> list[Any]:
    """Histogram of how often latents are active, a line for each decoder."""
    ax = axes(ax)
    artists: list[Any] = []
    records = [r for r in found["saes"] if r.get("density")]
    for k, record in enumerate(records):
        edges, counts = record["density"]["log10"], np.array(record["density"]["latents"], float)
        label = f"{short(record['name'])} ({100 * record['dead']:.0f} % dead)"
        artists.append(
            ax.stairs(
                counts / record["width"], edges, color=COLOURS[k % len(COLOURS)], label=label,
                linestyle=("-", "--", ":", "-.")[k // len(COLOURS) % 4],
            )
        )  # fmt: skip
    filled = [k for r in records for k, n in enumerate(r["density"]["latents"]) if n]
    if filled:
        edges = records[0]["density"]["log10"]
        ax.set_xlim(edges[min(filled)] - 0.25, edges[max(filled) + 1] + 0.25)
    ax.set(xlabel="log10 of the part of rows a latent is active in", ylabel="part of all latents")
    if len(records) <= 24:
        artists.append(legend(ax, 2, "x-small"))
    return artists


def draw_features(
    found: Mapping[str, Any], score: str = "mcc", ax: Axes | None = None
) -> list[Any]:
    """How well latents stand for known features, against L0, a line for each width.

    `score` is "mcc", "uniqueness", "precision", "recall", "f1" or "accuracy".
    """
    ax = axes(ax)
    records = [r for r in found["saes"] if r.get("features")]
    kinds = sorted({(r["architecture"], r["width"]) for r in records})
    artists: list[Any] = []
    for (kind, width), (colour, marker) in styles(kinds).items():
        some = [r for r in records if (r["architecture"], r["width"]) == (kind, width)]
        some.sort(key=lambda r: r["l0"])
        # What is not known is no point.
        shown = [(r["l0"], r["features"][score]) for r in some if r["features"][score] is not None]
        artists += ax.plot(
            [l0 for l0, _ in shown], [value for _, value in shown], marker=marker, color=colour,
            markersize=4, lw=1, label=f"{kind}, {width} latents",
        )  # fmt: skip
    names = {"mcc": "MCC", "f1": "F₁"}
    ax.set(xlabel="L0", ylabel=names.get(score, score), ylim=(0, 1.03))
    artists.append(legend(ax, 2, "x-small"))
    return artists
