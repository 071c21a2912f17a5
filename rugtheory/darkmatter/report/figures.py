"""Figures of a report.  A function draws on the Axes it is given and returns the artists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._style import COLOURS, axes, styles
from .coded import PARTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_STYLES = ("-", "--", ":", "-.")
_BLUE, _ORANGE = COLOURS[:2]
# So many decoders have a distribution.
_VIOLIN = 5


def values(entries: Iterable[Mapping[str, Any] | None], key: str = "value") -> list[float]:
    """Numbers of entries, NaN for those that are not defined."""
    return [float("nan") if one is None or one[key] is None else float(one[key]) for one in entries]


def short(name: str, most: int = 28) -> str:
    """The end of a long name, in which decoders differ more than at the start."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def legend(ax: Axes, columns: int = 1, size: str = "small") -> Any:
    """A legend below the axes, where it hides no data."""
    return ax.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=columns,
        columnspacing=1,
        fontsize=size,
        frameon=False,
    )


def draw_breakdown(found: Mapping[str, Any], group: str, ax: Axes | None = None) -> list[Any]:
    """FVU against width with its nonlinear part, and both fits: figure 1 of arXiv:2410.14670."""
    ax = axes(ax)
    records = _members(found, group)
    width = np.array([r["width"] for r in records], float)
    fvu, nonlinear = (np.array(values(r[score] for r in records)) for score in ("fvu", "fvu_nl"))
    artists: list[Any] = [
        ax.fill_between(width, nonlinear, color=_ORANGE, alpha=0.3, lw=0, label="nonlinear error"),
        ax.fill_between(width, nonlinear, fvu, color=_BLUE, alpha=0.3, lw=0, label="linear error"),
    ]
    for points, score, colour in ((fvu, "fvu", _BLUE), (nonlinear, "fvu_nl", _ORANGE)):
        error = [2 * se for se in values((r[score] for r in records), "se")]
        artists.append(ax.errorbar(width, points, error, fmt="o", color=colour, markersize=4))
    fits = next(one for one in found["groups"] if one["name"] == group)
    artists += ax.plot(
        width[[0, -1]],
        [fits["fvu_nl"]["mean"]] * 2,
        ":",
        color=_ORANGE,
        label=f"mean nonlinear {fits['fvu_nl']['mean']:.3g}",
    )
    law = fits["fvu"]["law"]
    if law is not None:
        # Only a law whose floor the points fix says something beyond them.
        fixed = law["floor_interval"][0] is not None and law["floor"] > 0
        many = np.geomspace(width[0], (4 if fixed else 1) * width[-1])
        label = f"{law['floor']:.3g} + {law['alpha']:.3g} $M^{{{law['beta']:.2g}}}$"
        curve = law["floor"] + law["alpha"] * many ** law["beta"]
        label = label if fixed else "power law, floor not fixed by these widths"
        artists += ax.plot(many, curve, "--", color=_BLUE, label=label)
        width = np.append(width, many[-1])
    _widths(ax, width)
    ax.set(ylabel="fraction of variance unexplained", ylim=(0, None))
    ax.set_title(f"{group} (points ± 2 SE)", fontsize="medium")
    artists.append(legend(ax, 2))
    return artists


def draw_against_width(
    found: Mapping[str, Any], quantity: str, ax: Axes | None = None
) -> list[Any]:
    """One quantity against width, a line for each group of decoders: figures 3 and 5.

    `quantity` is "r2" (error vector), "norm" (norm of the error, squared) or a score of the report
    such as "fvu_nl".
    """
    ax = axes(ax)
    artists: list[Any] = []
    architectures = sorted({r["architecture"] for r in found["saes"]})
    looks = styles(range(len(found["groups"])))
    for k, group in enumerate(found["groups"]):
        records = _members(found, group["name"])
        kind = records[0]["architecture"]
        if records[0]["width"] is None:
            continue
        entries = [r["norm_test"]["error"] if quantity == "norm" else r[quantity] for r in records]
        artists.append(
            ax.errorbar(
                [r["width"] for r in records],
                values(entries),
                [2 * se for se in values(entries, "se")],
                color=looks[k][0],
                marker=looks[k][1],
                linestyle=_STYLES[architectures.index(kind) % len(_STYLES)],
                markersize=4,
                label=group["name"],
            )
        )
    names = {
        "r2": "R² of the error vector on x",
        "norm": "R² of the squared error norm on x",
        "fvu": "FVU",
        "fvu_nl": "FVU by reconstruction and linear error",
    }
    _widths(ax, np.array([r["width"] for r in found["saes"] if r["width"]], float))
    ax.set(ylabel=names.get(quantity, quantity))
    artists.append(legend(ax, 2, "x-small"))
    return artists


def draw_norm_test(found: Mapping[str, Any], ax: Axes | None = None) -> list[Any]:
    """R² of the norm prediction test of six vectors, points and violins of decoders: figure 8."""
    ax = axes(ax)
    artists: list[Any] = []
    kinds = sorted({r["architecture"] for r in found["saes"]})
    for k, kind in enumerate(kinds):
        records = [r for r in found["saes"] if r["architecture"] == kind]
        shift = 0.3 * ((k + 0.5) / len(kinds) - 0.5)
        for i, part in enumerate(PARTS):
            points = values(r["norm_test"][part] for r in records)
            known = [point for point in points if np.isfinite(point)]
            if len(known) >= _VIOLIN and np.ptp(known) > 0:
                drawn = ax.violinplot(known, [i + shift], widths=0.25, showextrema=False)
                bodies: Any = drawn["bodies"]
                for body in bodies:
                    body.set(facecolor=COLOURS[k % len(COLOURS)], alpha=0.2)
                artists += bodies
            artists += ax.plot(
                np.full(len(points), i + shift),
                points,
                _MARKERS[k % len(_MARKERS)],
                color=COLOURS[k % len(COLOURS)],
                alpha=0.6,
                markersize=4,
                label=kind if i == 0 else None,
            )
    nulls = values({"value": r["null"]["gaussian"]} for r in found["saes"])
    artists += ax.plot(
        [PARTS.index("x") + 0.3, *[PARTS.index("error") + 0.3] * len(nulls)],
        [found["null"]["x"], *nulls], "_", color="0.3", markersize=9,
        label="x and error, if all were Gaussian",
    )  # fmt: skip
    ax.axhline(0, color="0.7", lw=0.8)
    names = ["x", "x̂", "linear\npart of x̂", "error", "linear\nerror", "nonlinear\nerror"]
    ax.set_xticks(range(len(PARTS)), names, fontsize="small")
    ax.set(ylabel="R² of the squared norm on x")
    artists.append(legend(ax, 3))
    return artists


def draw_baselines(records: Sequence[Mapping[str, Any]], ax: Axes | None = None) -> list[Any]:
    """R² of the squared error norm from x and from less: appendix A.3 of arXiv:2410.14670."""
    ax = axes(ax)
    labels = ["activation", *dict.fromkeys(b for r in records for b in r["baselines"])]
    artists: list[Any] = []
    for k, label in enumerate(labels):
        entries = [
            r["norm_test"]["error"] if label == "activation" else r["baselines"].get(label)
            for r in records
        ]
        artists.append(
            ax.errorbar(
                range(len(records)),
                values(entries),
                [2 * se for se in values(entries, "se")],
                color=COLOURS[k % len(COLOURS)],
                marker=_MARKERS[k % len(_MARKERS)],
                linestyle="",
                markersize=4,
                label=label,
            )
        )
    names = [short(r["name"]) for r in records]
    turned = sum(map(len, names)) > 60
    ax.set_xticks(
        range(len(names)), names, fontsize="x-small",
        rotation=40 if turned else 0, ha="right" if turned else "center",
    )  # fmt: skip
    ax.axhline(0, color="0.7", lw=0.8)
    ax.set(ylabel="R² of the squared error norm (± 2 SE)")
    above = ax.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        ncols=2,
        columnspacing=1,
        fontsize="small",
        frameon=False,
    )
    artists.append(above)
    return artists


def draw_pairs(
    found: Mapping[str, Any], group: str, quantity: str = "r2", ax: Axes | None = None
) -> list[Any]:
    """Prediction of larger decoders' error norms from smaller ones': figures 5 and 11.

    `quantity` is "r2" (Equation 5), or "fvu_decrease_percent" (what the nonlinear norm adds).
    """
    ax = axes(ax)
    pairs = [pair for pair in found["pairs"] if pair["group"] == group]
    small = sorted({pair["widths"][0] for pair in pairs})
    large = sorted({pair["widths"][1] for pair in pairs})
    table = np.full((len(large), len(small)), np.nan)
    for pair in pairs:
        place = large.index(pair["widths"][1]), small.index(pair["widths"][0])
        (table[place],) = values([pair[quantity]])
    artists: list[Any] = [ax.imshow(table, cmap="cividis", origin="lower", aspect="auto")]
    known = table[np.isfinite(table)]
    middle = (known.min() + known.max()) / 2 if known.size else 0.0
    for i, j in np.argwhere(np.isfinite(table)):
        colour = "white" if table[i, j] <= middle else "black"
        text = f"{table[i, j]:.3g}"
        artists.append(ax.text(j, i, text, ha="center", va="center", color=colour))
    ax.set_xticks(range(len(small)), [f"{w}" for w in small])
    ax.set_yticks(range(len(large)), [f"{w}" for w in large])
    ax.set(xlabel="width of the smaller decoder", ylabel="width of the larger decoder")
    names = {
        "r2": "R² of the larger error norm on the smaller",
        "fvu_decrease_percent": "% less unexplained with the nonlinear norm",
    }
    ax.set_title(f"{names[quantity]}\n{group}", fontsize="medium")
    return artists


def draw_tokens(
    found: Mapping[str, Any], group: str, part: str = "error", ax: Axes | None = None
) -> list[Any]:
    """Norm of the error, or of its "linear" or "nonlinear" part, token by token: figures 6, 12."""
    ax = axes(ax)
    artists: list[Any] = []
    records = _members(found, group)
    for k, record in enumerate(records):
        norms = found["tokens"]["norms"][record["name"]][part]
        colour = COLOURS[k % len(COLOURS)]
        label = f"width {record['width']}"
        artists += ax.plot(norms, "-o", markersize=2.5, lw=0.9, color=colour, label=label)
    whole = "error" if part == "error" else f"{part} error"
    ax.set(xlabel="token of one context", ylabel=f"norm of the {whole}", ylim=(0, None))
    ax.set_title(group, fontsize="medium")
    artists.append(legend(ax, 3, "x-small"))
    return artists


def draw_pursuit(found: Mapping[str, Any], group: str, ax: Axes | None = None) -> list[Any]:
    """FVU and FVU_nl with the encoder (full) and with gradient pursuit (open): figure 10a."""
    ax = axes(ax)
    artists: list[Any] = []
    records = [r for r in _members(found, group) if "pursuit" in r]
    width = [r["width"] for r in records]
    for score, colour, name in (("fvu", _BLUE, "FVU"), ("fvu_nl", _ORANGE, "nonlinear FVU")):
        for source, face, style in (("encoder", colour, "-"), ("pursuit", "white", "--")):
            artists += ax.plot(
                width,
                values((r["pursuit"] if source == "pursuit" else r)[score] for r in records),
                "o",
                linestyle=style,
                color=colour,
                markerfacecolor=face,
                markersize=5,
                label=f"{name}, {source}",
            )
    _widths(ax, np.array(width, float))
    ax.set(ylabel="fraction of variance unexplained", ylim=(0, None))
    ax.set_title(group, fontsize="medium")
    artists.append(legend(ax, 2))
    return artists


def draw_components(record: Mapping[str, Any], ax: Axes | None = None) -> list[Any]:
    """R² of the error of one decoder and of its parts on components of the model: figure 10b."""
    ax = axes(ax)
    names = list(record["components"])
    artists: list[Any] = []
    for k, part in enumerate(("error", "linear", "nonlinear")):
        entries = [record["components"][name][part] for name in names]
        artists.append(
            ax.barh(
                np.arange(len(names)) + 0.27 * (k - 1),
                values(entries),
                0.25,
                xerr=[2 * se for se in values(entries, "se")],
                color=COLOURS[k],
                label=part if part == "error" else f"{part} error",
            )
        )
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.invert_yaxis()
    ax.axvline(0, color="0.7", lw=0.8)
    ax.set(xlabel="R² (± 2 SE)")
    ax.set_title(f"{short(record['name'])}: errors regressed on components", fontsize="medium")
    artists.append(legend(ax, 3))
    return artists


def draw_alignment(record: Mapping[str, Any], ax: Axes | None = None) -> list[Any]:
    """Probe for ‖x̂ - b‖² along each latent against its mean and its slope: appendix B.2."""
    ax = axes(ax)
    found = record["alignment"]
    artists: list[Any] = []
    for k, (label, name, key) in enumerate(
        (
            ("mean_active", "mean where active", "correlation_mean_active"),
            ("slope", "Cov(W², W) / Var W", "correlation_slope"),
        )
    ):
        text = f"{name}, correlation {found[key]:.3f}"
        artists += ax.plot(
            found[label], found["dot"], _MARKERS[k], color=COLOURS[k], markersize=3,
            alpha=0.6, label=text,
        )  # fmt: skip
    if "running_dot" in found:
        text = f"running mean of the first, correlation {found['correlation_running']:.3f}"
        artists += ax.plot(
            found["running_mean_active"], found["running_dot"], "-", color="black", label=text
        )
    ends = [0, max(*found["mean_active"], *found["slope"])]
    artists += ax.plot(ends, ends, "-", color="0.5", lw=0.8, label="equal")
    ax.set(xlabel="statistic of a latent's activation W", ylabel="probe · direction of the latent")
    ax.set_title(f"{short(record['name'])}: probe for the squared norm", fontsize="medium")
    artists.append(legend(ax))
    return artists


def _members(found: Mapping[str, Any], group: str) -> list[Any]:
    records = [r for r in found["saes"] if r["group"] == group]
    if not records:
        names = ", ".join(one["name"] for one in found["groups"])
        raise ValueError(f"group must be one of {names}, got {group!r}")
    return sorted(records, key=lambda r: r["width"] or 0)


def _widths(ax: Axes, width: np.ndarray[Any, Any]) -> None:
    ax.set(xscale="log", xlabel="latents of the decoder, M")
    ticks = np.unique(width)
    if ticks.size <= 8:
        ax.set_xticks(ticks, [f"{w:.0f}" for w in ticks])
        ax.minorticks_off()
