"""A report as Markdown and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from .. import _check
from .._files import replacing
from .report import PARTS

_DPI = 90
# All pictures that there may be of a report.
PICTURES = (
    "norm_test",
    "baselines",
    "breakdown",
    "against_width",
    "tokens",
    "pairs",
    "pursuit",
    "alignment",
    "components",
)


def save_tables(found: Mapping[str, Any], out: str | Path) -> Path:
    """Write the tables of a report to ``report.md`` in the folder `out`."""
    path = _check.path("out", out) / "report.md"
    with replacing(path) as file:
        file.write_text(tables(found), encoding="utf-8")
    return path


def tables(found: Mapping[str, Any]) -> str:
    """The tables of a report, as Markdown."""
    _check_report(found)
    about = found["about"]
    lines = [
        "# What the decoders leave unexplained",
        "",
        f"{about['rows']} activations of {about['columns']} coordinates, {about['rows_held_out']} "
        "of them held out from the linear fits; all figures are of those. Brackets: standard "
        "error in the last digits, over "
        + ("rows." if about["contexts"] is None else f"{about['contexts']} contexts."),
        "",
        "## Errors",
        "",
        *_table(
            ("decoder", "width", "L0", "FVU", "nonlinear FVU", "R² of error", "R² of ‖error‖²"),
            (
                (
                    r["name"],
                    str(r["width"]),
                    f"{r['l0']:.3g}",
                    *(_with_error(r[score]) for score in ("fvu", "fvu_nl", "r2")),
                    _with_error(r["norm_test"]["error"]),
                )
                for r in found["saes"]
            ),
        ),
        "## Norm prediction test",
        "",
        "R² of the squared norm of each vector on the activation; “Gaussian” is what the error "
        "would have if it and the activation were Gaussian with their moments; the activation "
        f"would have {found['null']['x']:.3f}.",
        "",
        *_table(
            ("decoder", *(p.replace("x_hat", "x̂") for p in PARTS), "error, Gaussian"),
            (
                (
                    r["name"],
                    *(_with_error(r["norm_test"][part]) for part in PARTS),
                    f"{r['null']['gaussian']:.3f}",
                )
                for r in found["saes"]
            ),
        ),
        "## Baselines of the squared error norm, and shrinkage",
        "",
        *_baselines(found["saes"]),
    ]
    law = [g for g in found["groups"] if len(g["members"]) > 1]
    if law:
        lines += ["## Against width", "", *_laws(law)]
    if found["pairs"]:
        lines += [
            "## Error norms of larger decoders from smaller ones, token by token",
            "",
            *_table(
                ("decoders", "R² (5)", "R² with nonlinear norm (10)", "% less unexplained"),
                (
                    (
                        f"{p['group']}: {p['widths'][0]} → {p['widths'][1]}",
                        _with_error(p["r2"]),
                        _with_error(p["r2_both"]),
                        _with_error(p["fvu_decrease_percent"], 2),
                    )
                    for p in found["pairs"]
                ),
            ),
        ]
    improved = [r for r in found["saes"] if "pursuit" in r]
    if improved:
        lines += [
            "## Gradient pursuit in place of the encoder",
            "",
            *_table(
                ("decoder", "L0", "FVU", "nonlinear FVU", "FVU changes by", "nonlinear by"),
                (
                    (
                        r["name"],
                        f"{r['pursuit']['l0']:.3g}",
                        _with_error(r["pursuit"]["fvu"]),
                        _with_error(r["pursuit"]["fvu_nl"]),
                        *(_percent(r["pursuit"]["change"][s]) for s in ("fvu", "fvu_nl")),
                    )
                    for r in improved
                ),
            ),
        ]
    aligned = [r for r in found["saes"] if "alignment" in r]
    if aligned:
        lines += [
            "## Probe for the squared norm of x̂ − b against the latents",
            "",
            *_table(
                ("decoder", "R²", "correlation with mean", "with Cov(W², W)/Var W"),
                (
                    (
                        r["name"],
                        _with_error(r["alignment"]["r2"]),
                        f"{r['alignment']['correlation_mean_active']:.3f}",
                        f"{r['alignment']['correlation_slope']:.3f}",
                    )
                    for r in aligned
                ),
            ),
        ]
    for record in found["saes"]:
        if "components" in record:
            lines += [f"## Components: {record['name']}", "", *_components(record)]
    if found.get("failures"):
        rows = ((one["name"], one["error"].replace("|", "\\|")) for one in found["failures"])
        lines += ["## What failed", "", *_table(("", "error"), rows)]
    return "\n".join(lines)


def save_figures(found: Mapping[str, Any], out: str | Path) -> list[Path]:
    """Draw what a report holds as PNG files in the folder `out`; needs matplotlib."""
    from . import figures

    _check_report(found)
    out = _check.path("out", out)
    groups = [g["name"] for g in found["groups"] if len(g["members"]) > 1]
    paired = [name for name in groups if any(p["group"] == name for p in found["pairs"])]
    plans: dict[str, list[Callable[..., Any]]] = {
        "norm_test": [partial(figures.draw_norm_test, found)],
        "baselines": [partial(figures.draw_baselines, found["saes"])],
    }
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
    if any("pursuit" in r for r in found["saes"]):
        plans["pursuit"] = [partial(figures.draw_pursuit, found)]
    for key, draw in (
        ("alignment", figures.draw_alignment),
        ("components", figures.draw_components),
    ):
        with_it = [r for r in found["saes"] if key in r]
        if with_it:
            plans[key] = [partial(draw, r) for r in with_it[:4]]
    return [_save(out / f"{name}.png", panels) for name, panels in plans.items()]


def _check_report(found: Mapping[str, Any]) -> None:
    _check.instance("found", found, Mapping)
    missing = {"about", "saes", "pairs", "groups", "null"} - set(found)
    if missing:
        raise ValueError(f"found must be a report, got none of its {', '.join(sorted(missing))}")


def _middle(found: Mapping[str, Any], groups: Sequence[str]) -> str:
    """The group with most widths, the middle one of several."""
    sizes = {g["name"]: len(g["members"]) for g in found["groups"]}
    best = [name for name in groups if sizes[name] == max(sizes[n] for n in groups)]
    return best[len(best) // 2]


def _save(path: Path, panels: Sequence[Callable[..., Any]]) -> Path:
    from .._style import save

    columns = min(len(panels), 3 if len(panels) != 4 else 2)
    rows = -(-len(panels) // columns)

    def draw(figure: Any) -> None:
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, ax in zip(panels, axes, strict=False):
            panel(ax=ax)
        for ax in axes[len(panels) :]:
            ax.remove()

    save(path, draw, (1 + 4.6 * columns, 0.6 + 3.6 * rows), dpi=_DPI)
    return path


def _table(head: Sequence[str], rows: Any) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [*("| " + " | ".join(line) + " |" for line in lines), ""]


def _with_error(found: Mapping[str, float], digits: int = 4) -> str:
    """0.1234(5): the error is in units of the last digit."""
    return f"{found['value']:.{digits}f}({found['se'] * 10**digits:.0f})"


def _percent(found: Mapping[str, float | None]) -> str:
    if found["relative"] is None or found["se"] is None:
        return "from 0"
    return f"{100 * found['relative']:+.1f}({10 * 100 * found['se']:.0f}) %"


def _baselines(records: Sequence[Mapping[str, Any]]) -> list[str]:
    labels = list(dict.fromkeys(b for r in records for b in r["baselines"]))
    return _table(
        ("decoder", "activation", *labels, "‖x̂‖/‖x‖", "cos(linear error, x)", "dead latents"),
        (
            (
                r["name"],
                _with_error(r["norm_test"]["error"]),
                *(_with_error(r["baselines"][b]) if b in r["baselines"] else "" for b in labels),
                f"{r['shrinkage']['norm_ratio']:.4f}",
                f"{r['shrinkage']['cosine']:.3f}",
                f"{100 * r['dead']:.1f} %",
            )
            for r in records
        ),
    )


def _laws(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    def interval(law: Mapping[str, Any]) -> str:
        low, high = law["floor_interval"]
        return (
            f"{'−∞' if low is None else f'{low:.3g}'} to {'∞' if high is None else f'{high:.3g}'}"
        )

    rows = []
    for group in groups:
        for score, name in (("fvu", "FVU"), ("fvu_nl", "nonlinear FVU")):
            found, law = group[score], group[score]["law"]
            rows.append(
                (
                    group["name"],
                    name,
                    "" if found["change"] is None else f"{100 * found['change']:+.1f} %",
                    "" if law is None else _floor(law),
                    "" if law is None else interval(law),
                    "" if law is None else f"{law['beta']:.2f}",
                )
            )
    head = ("decoders", "", "narrowest to widest", "floor c of c + αM^β", "95 %", "β")
    return _table(head, rows)


def _floor(law: Mapping[str, Any]) -> str:
    """The floor, if the widths fix it at all."""
    return f"{law['floor']:.4f}" if law["floor_interval"][0] is not None else "not fixed"


def _components(record: Mapping[str, Any]) -> list[str]:
    return _table(
        ("R² on", "error", "linear error", "nonlinear error"),
        (
            (name, *(_with_error(parts[p]) for p in ("error", "linear", "nonlinear")))
            for name, parts in record["components"].items()
        ),
    )
