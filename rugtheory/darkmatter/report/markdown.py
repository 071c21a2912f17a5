"""A report as Markdown: a heading and a table for each of its tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ... import _check
from ..._files import replacing
from .cells import number, percent, table, with_error
from .coded import PARTS
from .entries import check_report
from .pictures import CAPTIONS

Report = Mapping[str, Any]


def save_tables(found: Report, out: str | Path, pictures: Iterable[str | Path] = ()) -> Path:
    """Write the tables of a report to ``report.md`` in the folder `out`.

    `pictures` are files in the folder, as `save_figures` gives them, to be shown beside tables.
    """
    path = _check.path("out", out) / "report.md"
    content = tables(found, pictures)
    with replacing(path) as file:
        file.write_text(content, encoding="utf-8")
    return path


def tables(found: Report, pictures: Iterable[str | Path] = ()) -> str:
    """The tables of a report, as Markdown, with pictures in the folder where it is to be."""
    check_report(found)
    there: set[str] = {
        _check.path("pictures", p).name for p in _check.sequence("pictures", pictures)
    }
    lines: list[str] = []
    for section, names in _SECTIONS:
        lines += section(found)
        for name in names:
            if f"{name}.png" in there:
                lines += [f"![{CAPTIONS[name]}]({name}.png)", "", f"*{CAPTIONS[name]}*", ""]
    return "\n".join(lines)


def _head(found: Report) -> list[str]:
    about = found["about"]
    units = "rows" if about["contexts"] is None else f"{about['contexts']} contexts"
    dropped = ""
    if about.get("rows_dropped"):
        dropped = f" {about['rows_dropped']} rows are left out: {', '.join(about['dropped'])}."
    lines = [
        "# What the decoders leave unexplained",
        "",
        f"{about['rows']} activations of {about['columns']} coordinates, {about['rows_held_out']} "
        f"of them held out from the linear fits.{dropped} Brackets: "
        f"standard error in the last digits, by bootstrap over {units}.",
        "",
    ]
    lines += [f"**Note.** {said}\n" for said in found.get("warnings", ())]
    return lines


def _symbols(found: Report) -> list[str]:
    y = "x" if not found["about"].get("targets") else "y"
    of = "" if y == "x" else ", y the targets"
    return [
        f"x is an activation{of}, x̂ its reconstruction, E = {y} − x̂ the error; the linear error "
        "is the least-squares prediction of E from x, the nonlinear error the "
        f"rest. FVU = Σ‖E‖²/Σ‖{y} − mean‖² is the fraction of variance unexplained, the nonlinear "
        "FVU the same of the nonlinear error; R² of error is the part of Σ‖E − mean‖² that is "
        f"linear in x, R² of ‖error‖² that of the squared norm. "
        f"{_CONVENTIONS[found['about'].get('convention', 'centred')]} L0 is the mean number "
        "of active latents, M the number of latents. A dash: not defined. The tests are those of "
        "arXiv:2410.14670.",
        "",
    ]


_CONVENTIONS = {
    "centred": "Linear maps have an intercept. What they leave is the root of the product of what "
    "they leave on the rows held out, which is too much, and on those fitted, too little.",
    "paper": "Linear maps have no intercept, rows are held out whatever their context, and both "
    "FVUs are of all rows, as in the scripts of the paper.",
}


def _errors(found: Report) -> list[str]:
    return [
        "## Errors",
        "",
        *_symbols(found),
        *table(
            ("decoder", "width", "L0", "FVU", "nonlinear FVU", "R² of error", "R² of ‖error‖²"),
            (
                (
                    r["name"],
                    number(r["width"], "d"),
                    number(r["l0"], ".3g"),
                    *(with_error(r[score]) for score in ("fvu", "fvu_nl", "r2")),
                    with_error(r["norm_test"]["error"]),
                )
                for r in found["saes"]
            ),
        ),
    ]


def _other_rows(found: Report) -> list[str]:
    records = [r for r in found["saes"] if "other_rows" in r]
    if not records:
        return []
    return [
        f"## The same, {found['about']['other_rows']}",
        "",
        *table(
            ("decoder", "FVU", "nonlinear FVU", "R² of error"),
            (
                (
                    r["name"],
                    *(with_error(r["other_rows"][score]) for score in ("fvu", "fvu_nl", "r2")),
                )
                for r in records
            ),
        ),
    ]


def _latents(found: Report) -> list[str]:
    records = [r for r in found["saes"] if r.get("density")]
    if not records:
        return []
    return [
        "## Latents",
        "",
        "Dead: not active in any row. The cosine is that of a latent's encoder and decoder, its "
        "median over latents, with the 5 and 95 % quantiles.",
        "",
        *table(
            ("decoder", "width", "L0", "dead", "active in over 10 % of rows", "cosine"),
            (
                (
                    r["name"],
                    number(r["width"], "d"),
                    number(r["l0"], ".3g"),
                    f"{100 * r['dead']:.1f} %",
                    str(_frequent(r["density"])),
                    _quantiles(r["cosines"]),
                )
                for r in records
            ),
        ),
    ]


def _frequent(density: Mapping[str, Any]) -> int:
    starts = density["log10"][:-1]
    return sum(n for at, n in zip(starts, density["latents"], strict=True) if at >= -1)


def _quantiles(cosines: Mapping[str, float] | None) -> str:
    if cosines is None:
        return "–"
    return f"{cosines['0.5']:.2f} ({cosines['0.05']:.2f} to {cosines['0.95']:.2f})"


def _features(found: Report) -> list[str]:
    records = [r for r in found["saes"] if r.get("features")]
    if not records:
        return []
    scores = ("mcc", "uniqueness", "precision", "recall", "f1")
    return [
        "## Known features",
        "",
        "MCC: mean |cosine| of decoder rows and features, in the best one-to-one pairing. Unique: "
        "features that are nearest to some latent, over the number of latents. Precision, recall "
        "and F₁ of each latent as a detector of its nearest feature, means over latents, where one "
        "that never fires counts as 0: the definitions of SAELens.",
        "",
        *table(
            ("decoder", "width", "MCC", "unique", "precision", "recall", "F₁"),
            (
                (
                    r["name"],
                    number(r["width"], "d"),
                    *(number(r["features"][score], ".4f") for score in scores),
                )
                for r in records
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
        *table(
            ("decoder", *(p.replace("x_hat", "x̂") for p in PARTS), "error, Gaussian"),
            (
                (
                    r["name"],
                    *(with_error(r["norm_test"][part]) for part in PARTS),
                    number(r["null"]["gaussian"], ".3f"),
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
        "R² of ‖error‖² from the activation and from less; how much shorter reconstructions are.",
        "",
        *table(
            ("decoder", "activation", *labels, "‖x̂‖/‖x‖", "cos(linear error, x)"),
            (
                (
                    r["name"],
                    with_error(r["norm_test"]["error"]),
                    *(with_error(r["baselines"].get(b)) for b in labels),
                    f"{r['shrinkage']['norm_ratio']:.4f}",
                    f"{r['shrinkage']['cosine']:.3f}",
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
    return [
        "## Against width",
        "",
        "One decoder of each width, of one architecture and about one L0 (the least and the "
        "greatest in brackets). The law c + αM^β is fitted where there are four widths and the "
        "score falls.",
        "",
        *table(head, rows),
    ]


def _law(group: str, name: str, score: Mapping[str, Any]) -> tuple[str, ...]:
    law = score["law"]
    change = "" if score["change"] is None else f"{100 * score['change']:+.1f} %"
    if law is None:
        return group, name, change, "–", "–", "–"
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
        "R² of ‖E‖ of the wider decoder, row by row, on ‖E‖ of the narrower one (equation 5), and "
        "on this and the norm of its nonlinear part (equation 10). The last column is of the rows "
        "held out, without a correction.",
        "",
        *table(
            ("decoders", "R² (5)", "R² with nonlinear norm (10)", "% less unexplained"),
            (
                (
                    f"{p['group']}: {p['widths'][0]} → {p['widths'][1]}",
                    with_error(p["r2"]),
                    with_error(p["r2_both"]),
                    with_error(p["fvu_decrease_percent"]),
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
        *table(
            ("decoder", "L0", "FVU", "nonlinear FVU", "FVU changes by", "nonlinear by"),
            (
                (
                    r["name"],
                    f"{r['pursuit']['l0']:.3g}",
                    with_error(r["pursuit"]["fvu"]),
                    with_error(r["pursuit"]["fvu_nl"]),
                    *(percent(r["pursuit"]["change"][s]) for s in ("fvu", "fvu_nl")),
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
        *table(
            ("decoder", "R²", "correlation with mean", "running means", "with Cov(W², W)/Var W"),
            (
                (
                    r["name"],
                    with_error(r["alignment"]["r2"]),
                    f"{r['alignment']['correlation_mean_active']:.3f}",
                    number(r["alignment"].get("correlation_running"), ".3f"),
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
                (name, *(with_error(parts[p]) for p in ("error", "linear", "nonlinear")))
                for name, parts in record["components"].items()
            )
            head = ("R² on", "error", "linear error", "nonlinear error")
            lines += [f"## Components: {record['name']}", "", *table(head, rows)]
    return lines


def _failures(found: Report) -> list[str]:
    if not found.get("failures"):
        return []
    rows = ((one["name"], one["error"]) for one in found["failures"])
    return ["## What failed", "", *table(("", "error"), rows)]


def _source(found: Report) -> list[str]:
    about = found["about"]
    shown = {k: v for k, v in about.items() if k not in _TOLD and v not in (None, [], "")}
    rows: list[tuple[str, str]] = []
    for key, value in shown.items():
        label = key.replace("_", " ")
        # Decoders and where they are, a row each.
        several = value.items() if isinstance(value, Mapping) else ()
        rows += [(f"{label}: {name}", str(one)) for name, one in several] or [(label, str(value))]
    return ["## Where it comes from", "", *table(("", ""), rows)]


# Said elsewhere in the text.
_TOLD = (
    "rows", "columns", "contexts", "rows_dropped", "dropped", "other_rows",
    "variance_of_farthest_rows", "targets",
)  # fmt: skip

_SECTIONS: tuple[tuple[Callable[[Report], list[str]], tuple[str, ...]], ...] = (
    (_head, ()),
    (_errors, ()),
    (_other_rows, ()),
    (_against_width, ("breakdown", "against_width", "contours")),
    (_latents, ("density",)),
    (_features, ("features",)),
    (_norm_test, ("norm_test",)),
    (_baselines, ("baselines",)),
    (_pairs, ("pairs", "tokens")),
    (_pursuit, ("pursuit",)),
    (_alignment, ("alignment",)),
    (_components, ("components",)),
    (_failures, ()),
    (_source, ()),
)
