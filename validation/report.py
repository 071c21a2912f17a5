"""Trained losses against theory: tables and figures from collected results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

import rugtheory as rt
from rugtheory._files import replacing

POINT = ["n_sparse", "n_dense", "ratio", "p", "protocol", "tied"]
THEORY = ("rug", "antipodal", "best_known")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def table(data: xr.Dataset) -> pd.DataFrame:
    """One row a point of the grid, seeds averaged.

    Relative gaps are trained/theory - 1; `se` columns are standard errors over seeds, NaN for one.
    """
    frame = data.to_dataframe()
    for name in THEORY:
        frame[f"over_{name}"] = frame["loss"] / frame[name] - 1
    grouped = frame.groupby(POINT)
    averaged = ["loss", *THEORY, *(f"over_{name}" for name in THEORY)]
    averaged += [x for x in (*STATISTICS, *VERDICT) if x in frame]
    result = grouped[averaged].mean()
    result["seeds"] = grouped.size()
    for name in ("loss", *(f"over_{name}" for name in THEORY)):
        result[f"{name}_se"] = grouped[name].sem()
    result["family"] = grouped["family"].first()
    return result.reset_index()


# Of `Symmetry.summary`, by the figure of the paper that shows it.
STATISTICS = {
    "diagonal_mean": "mean of the diagonal (Fig. 4)",
    "diagonal_spread": "spread of the diagonal (Fig. 4)",
    "bias_spread": "spread of the bias (Fig. 5)",
    "variance_over_Welch_bound": "interference variance over the Welch bound",
    "variance_spread": "spread of the interference variance (Fig. 6)",
    "Lyapunov_worst": "worst Lyapunov statistic (Fig. 7)",
    "skewness_mean": "row skewness",
    "sum_of_cubes_mean": "sum of cubes of a row",
    "dead": "dead features",
    "with_antipodal_partner": "features with an antipodal partner",
}


# The way down from the trained loss to the best structure known, `rugtheory.explain`.
VERDICT = {
    "verdict_own_a_and_b": "own a and b",
    "verdict_non-Gaussian_interference": "non-Gaussian interference",
    "verdict_spread_between_rows": "spread between rows",
    "verdict_variance_above_the_Welch_bound": "variance above the Welch bound",
    "verdict_dropped_features": "dropped features",
    "verdict_structure": "structure",
}


def explained(frame: pd.DataFrame) -> str:
    """The verdicts as Markdown: terms in per cent of the loss of the rows they were taken from."""
    head = ["n_sparse", "protocol", "p", "r", *VERDICT.values(), "best known"]
    lines = [head, ["---"] * len(head)]
    for row in frame.to_dict("records"):
        cells = [str(row["n_sparse"]), row["protocol"], f"{row['p']:g}", f"{row['ratio']:.3g}"]
        terms = [row[name] for name in VERDICT]
        best = row["best_known"]
        total = sum(terms) + best
        cells += [f"{100 * x / total:+.1f}" for x in terms] + [f"{100 * best / total:.1f}"]
        lines.append(cells)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def markdown(frame: pd.DataFrame) -> str:
    """The table of gaps as Markdown."""
    head = ["n_sparse", "protocol", "p", "r", "trained loss"]
    head += [f"over {name.replace('_', ' ')}" for name in THEORY]
    lines = [head, ["---"] * len(head)]
    for row in frame.to_dict("records"):
        cells = [str(row["n_sparse"]), row["protocol"], f"{row['p']:g}", f"{row['ratio']:.3g}"]
        cells.append(f"{row['loss']:.4e}")
        for name in THEORY:
            gap, error = 100 * row[f"over_{name}"], 100 * row[f"over_{name}_se"]
            cells.append(f"{gap:+.1f} %" if np.isnan(error) else f"{gap:+.1f} ± {error:.1f} %")
        lines.append(cells)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def draw_losses(frame: pd.DataFrame, axes: Any) -> None:
    """Fig. 2: loss over v(p) against ratio; theory curves, and trained points for each n_sparse."""
    for ax, (p, part) in zip(axes, frame.groupby("p"), strict=False):
        ratio = np.geomspace(min(0.05, part["ratio"].min()), 0.99, 80)
        floor = float(rt.SparseSource(p).variance)
        best = rt.best_known(p, ratio)
        ax.plot(ratio, rt.linear_loss(p, ratio) / floor, "--", color="0.6", label="linear")
        ax.plot(ratio, rt.optimum(p, ratio).loss / floor, color="0.4", label="Gaussian rug")
        ax.plot(ratio, best.loss / floor, color="0", label="best known structure")
        for (n, points), colour in zip(part.groupby("n_sparse"), COLOURS, strict=False):
            error = 2 * points["loss_se"].fillna(0) / floor
            ax.errorbar(
                points["ratio"],
                points["loss"] / floor,
                error,
                fmt="o",
                markersize=4,
                color=colour,
                label=f"trained, $n_s$ = {n}",
            )
        ax.set(yscale="log", title=f"p = {p:g}", xlabel="ratio r")
    axes[0].set_ylabel("loss / variance of a feature")
    axes[0].legend(fontsize="x-small", frameon=False)


def draw_map(
    frame: pd.DataFrame, column: str, label: str, ax: Any, *, signed: bool = False
) -> None:
    """Heat map of a column over ratio and p."""
    grid = frame.pivot_table(index="p", columns="ratio", values=column)
    values = grid.to_numpy()
    limit = float(np.nanmax(np.abs(values))) or 1.0
    norm = TwoSlopeNorm(0, -limit, limit) if signed else None
    image = ax.imshow(
        values, origin="lower", aspect="auto", cmap="RdBu_r" if signed else "viridis", norm=norm
    )
    ax.set_xticks(range(grid.shape[1]), [f"{r:.3g}" for r in grid.columns])
    ax.set_yticks(range(grid.shape[0]), [f"{p:g}" for p in grid.index])
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            box = {"facecolor": "white", "alpha": 0.6, "linewidth": 0, "pad": 1}
            ax.text(j, i, f"{value:.3g}", ha="center", va="center", fontsize="small", bbox=box)
    ax.set(xlabel="ratio r", ylabel="p", title=label)
    ax.figure.colorbar(image, ax=ax)


def write_report(data: xr.Dataset, out: Path) -> list[Path]:
    """Tables `gaps.csv`, `gaps.md` and `verdict.md`, and figures, into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    frame = table(data)
    paths = [out / "gaps.csv", out / "gaps.md", out / "verdict.md"]
    texts = frame.to_csv(index=False), markdown(frame), explained(frame)
    for path, text in zip(paths, texts, strict=True):
        with replacing(path) as partial:
            partial.write_text(text)
    for protocol, part in frame.groupby("protocol"):
        n = part["p"].nunique()
        path = out / f"losses_{protocol}.png"
        _figure(path, (1, n), (3.4 * n, 3.6), lambda axes, x=part: draw_losses(x, axes[0]))
        paths.append(path)
        for n_sparse, same in part.groupby("n_sparse"):
            path = out / f"maps_{protocol}_{n_sparse}.png"
            _figure(path, (3, 4), (18, 11), lambda axes, x=same: _maps(x, axes.ravel()))
            paths.append(path)
    return paths


def _maps(frame: pd.DataFrame, axes: Any) -> None:
    shown = {
        "over_rug": "loss over the Gaussian rug - 1",
        "over_best_known": "loss over the best known - 1",
    }
    for ax, (column, label) in zip(axes, (shown | STATISTICS).items(), strict=False):
        draw_map(frame, column, label, ax, signed=column.startswith("over"))


def _figure(
    path: Path, panels: tuple[int, int], size: tuple[float, float], draw: Callable[[Any], None]
) -> None:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.subplots(*panels, squeeze=False))
    with replacing(path) as partial:
        figure.savefig(partial, dpi=110)


def draw_paths(paths: list[xr.Dataset], axes: Any) -> None:
    """Loss over that of the rug, and row skewness, against steps; squares: the paper stops."""
    upper, lower = axes
    for path, colour in zip(paths, COLOURS, strict=False):
        error = 2 * path["standard_error"] / path.rug
        label = f"$n_s$ = {path.n_sparse}"
        ratio = path["loss"] / path.rug
        upper.errorbar(path["step"], ratio, error, color=colour, label=label, capsize=2)
        lower.plot(path["step"], path["row_skewness"], color=colour)
        if path.paper_stop > 0:
            at = float(np.interp(path.paper_stop, path["step"], ratio))
            upper.plot(path.paper_stop, at, "s", color=colour)
    first = paths[0]
    for level, name in ((1, "Gaussian rug"), (first.antipodal / first.rug, "antipodal rug")):
        upper.axhline(level, color="0.6", linestyle="--", linewidth=0.8)
        upper.annotate(name, (0.01, level), xycoords=("axes fraction", "data"), va="bottom")
    bound = float(rt.least_skewness(first.p, first.n_dense / first.n_sparse))
    lower.axhline(bound, color="0.6", linestyle="--", linewidth=0.8)
    lower.annotate("antipodal rug", (0.01, bound), xycoords=("axes fraction", "data"), va="bottom")
    upper.set(xscale="log", ylabel="exact loss / Gaussian rug", ylim=(0.6, 2))
    upper.set_title(f"p = {first.p:g}, r = {first.n_dense / first.n_sparse:g}, constant step size")
    upper.legend(frameon=False)
    lower.set(xscale="log", xlabel="steps", ylabel="row skewness")


def write_paths(files: list[Path], out: Path) -> Path:
    """The figure `path.png` of results of the command path."""
    paths = sorted((xr.load_dataset(file) for file in files), key=lambda x: int(x.n_sparse))
    out.mkdir(parents=True, exist_ok=True)
    _figure(out / "path.png", (2, 1), (7, 7), lambda axes: draw_paths(paths, axes[:, 0]))
    return out / "path.png"
