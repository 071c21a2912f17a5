"""A report as Markdown: a heading and a table for each of its tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ... import _check
from ..._files import replacing
from .coded import PARTS
from .entries import check_report

Report = Mapping[str, Any]


def save_tables(found: Mapping[str, Any], out: str | Path) -> Path:
    """Write the tables of a report to ``report.md`` in the folder `out`."""
    path = _check.path("out", out) / "report.md"
    with replacing(path) as file:
        file.write_text(tables(found), encoding="utf-8")
    return path


def tables(found: Report) -> str:
    """The tables of a report, as Markdown."""
    check_report(found)
    sections = (
        _head,
        _errors,
        _norm_test,
        _baselines,
        _against_width,
        _pairs,
        _pursuit,
        _alignment,
        _components,
        _failures,
    )
    return "\n".join(line for section in sections for line in section(found))


def _head(found: Report) -> list[str]:
    about = found["about"]
    return [
        "# What the decoders leave unexplained",
        "",
        f"{about['rows']} activations of {about['columns']} coordinates, {about['rows_held_out']} "
        "of them held out from the linear fits; all figures are of those. Brackets: standard "
        "error in the last digits, over "
        + ("rows." if about["contexts"] is None else f"{about['contexts']} contexts."),
        "",
    ]


def _errors(found: Report) -> list[str]:
    return [
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
    ]


def _norm_test(found: Report) -> list[str]:
    return [
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
    ]


def _baselines(found: Report) -> list[str]:
    records = found["saes"]
    labels = list(dict.fromkeys(b for r in records for b in r["baselines"]))
    return [
        "## Baselines of the squared error norm, and shrinkage",
        "",
        *_table(
            ("decoder", "activation", *labels, "‖x̂‖/‖x‖", "cos(linear error, x)", "dead latents"),
            (
                (
                    r["name"],
                    _with_error(r["norm_test"]["error"]),
                    *(
                        _with_error(r["baselines"][b]) if b in r["baselines"] else ""
                        for b in labels
                    ),
                    f"{r['shrinkage']['norm_ratio']:.4f}",
                    f"{r['shrinkage']['cosine']:.3f}",
                    f"{100 * r['dead']:.1f} %",
                )
                for r in records
            ),
        ),
    ]


def _against_width(found: Report) -> list[str]:
    groups = [g for g in found["groups"] if len(g["members"]) > 1]
    if not groups:
        return []
    head = ("decoders", "", "narrowest to widest", "floor c of c + αM^β", "95 %", "β")
    rows = (
        _law(group["name"], name, group[score])
        for group in groups
        for score, name in (("fvu", "FVU"), ("fvu_nl", "nonlinear FVU"))
    )
    return ["## Against width", "", *_table(head, rows)]


def _law(group: str, name: str, score: Mapping[str, Any]) -> tuple[str, ...]:
    law = score["law"]
    change = "" if score["change"] is None else f"{100 * score['change']:+.1f} %"
    if law is None:
        return group, name, change, "", "", ""
    low, high = law["floor_interval"]
    # The widths may not fix the floor at all.
    floor = "not fixed" if low is None else f"{law['floor']:.4f}"
    interval = (
        f"{'−∞' if low is None else f'{low:.3g}'} to {'∞' if high is None else f'{high:.3g}'}"
    )
    return group, name, change, floor, interval, f"{law['beta']:.2f}"


def _pairs(found: Report) -> list[str]:
    if not found["pairs"]:
        return []
    return [
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


def _pursuit(found: Report) -> list[str]:
    records = [r for r in found["saes"] if "pursuit" in r]
    if not records:
        return []
    return [
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
                for r in records
            ),
        ),
    ]


def _alignment(found: Report) -> list[str]:
    records = [r for r in found["saes"] if "alignment" in r]
    if not records:
        return []
    return [
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
                for r in records
            ),
        ),
    ]


def _components(found: Report) -> list[str]:
    lines = []
    for record in found["saes"]:
        if "components" in record:
            rows = (
                (name, *(_with_error(parts[p]) for p in ("error", "linear", "nonlinear")))
                for name, parts in record["components"].items()
            )
            head = ("R² on", "error", "linear error", "nonlinear error")
            lines += [f"## Components: {record['name']}", "", *_table(head, rows)]
    return lines


def _failures(found: Report) -> list[str]:
    if not found.get("failures"):
        return []
    rows = ((one["name"], one["error"].replace("|", "\\|")) for one in found["failures"])
    return ["## What failed", "", *_table(("", "error"), rows)]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [*("| " + " | ".join(line) + " |" for line in lines), ""]


def _with_error(found: Mapping[str, float], digits: int = 4) -> str:
    """0.1234(5): the error is in units of the last digit."""
    return f"{found['value']:.{digits}f}({found['se'] * 10**digits:.0f})"


def _percent(found: Mapping[str, float | None]) -> str:
    if found["relative"] is None or found["se"] is None:
        return "from 0"
    return f"{100 * found['relative']:+.1f}({10 * 100 * found['se']:.0f}) %"
