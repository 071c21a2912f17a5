"""Losses of trained models beside those of theory: tables and figures of collected results."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from rugtheory._files import replacing
from rugtheory._style import save
from rugtheory.figures import draw_map, draw_paths, draw_trained
from rugtheory.figures.numbers import theory_beside

POINT = ["n_sparse", "n_dense", "ratio", "p", "protocol", "tied"]
THEORY = ("rug", "antipodal", "best_known")


def table(data: xr.Dataset) -> pd.DataFrame:
    """One row a point of the grid, seeds averaged.

    Relative gaps are trained/theory - 1; `se` columns are standard errors over seeds, NaN for one.
    `gain` is the most by which a last round lowered the loss, infinite where there were no rounds;
    `converged` says whether all of them had, see `converged`.
    """
    frame = data.to_dataframe().assign(converged=converged(data))
    for name in THEORY:
        frame[f"over_{name}"] = frame["loss"] / frame[name] - 1
    grouped = frame.groupby(POINT)
    averaged = ["loss", *THEORY, *(f"over_{name}" for name in THEORY)]
    averaged += [x for x in (*STATISTICS, *VERDICT) if x in frame]
    result = grouped[averaged].mean()
    result["seeds"] = grouped.size()
    for name in ("loss", *(f"over_{name}" for name in THEORY)):
        result[f"{name}_se"] = grouped[name].sem()
    result["steps"] = grouped["steps_done"].mean()
    result["gain"] = grouped["gain"].max()
    result["converged"] = grouped["converged"].all()
    result["family"] = grouped["family"].first()
    return result.reset_index()


def converged(data: xr.Dataset) -> np.ndarray:
    """Which models have: the last round of training changed the loss by less than the tolerance.

    Descents have where no gradient is left.  A model that was trained in one round, or that the
    rule of the paper stopped, has not been seen to converge.
    """
    tolerance = min(map(float, str(data.attrs["tolerance"]).split(", ")))
    found = np.abs(data["gain"].values) < tolerance
    if "ended" in data:
        ended = data["ended"].values
        found = np.where(ended == "", found, np.isin(ended, ("stationary", "at the cap")))
    return np.asarray(found)


# Of `Statistics.summary`, by the figure of the paper that shows it.
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
    head = ["n_sparse", "protocol", "p", "r", "steps", "last gain", "trained loss"]
    # The best known is that without a cap on couplings.
    head += [f"over {name.replace('best_known', 'best known (limit)')}" for name in THEORY]
    lines = [head, ["---"] * len(head)]
    for row in frame.to_dict("records"):
        cells = [str(row["n_sparse"]), row["protocol"], f"{row['p']:g}", f"{row['ratio']:.3g}"]
        gain = f"{100 * row['gain']:.1f} %" if np.isfinite(row["gain"]) else "–"
        gain += "" if row["converged"] else " (not converged)"
        cells += [f"{row['steps']:.0f}", gain, f"{row['loss']:.4e}"]
        for name in THEORY:
            gap, error = 100 * row[f"over_{name}"], 100 * row[f"over_{name}_se"]
            cells.append(f"{gap:+.1f} %" if np.isnan(error) else f"{gap:+.1f} ± {error:.1f} %")
        lines.append(cells)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def outputs(data: xr.Dataset, out: Path) -> list[Path]:
    """The files that `write_report` writes."""
    paths = [out / "gaps.csv", out / "gaps.md", out / "verdict.md"]
    for protocol, part in data.to_dataframe().groupby("protocol"):
        paths.append(out / f"losses_{protocol}.png")
        paths += [
            out / f"maps_{protocol}_{n_sparse}.png" for n_sparse in np.unique(part["n_sparse"])
        ]
    return paths


def write_report(data: xr.Dataset, out: Path) -> list[Path]:
    """Tables `gaps.csv`, `gaps.md` and `verdict.md`, and figures, into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    frame = table(data)
    paths = [out / "gaps.csv", out / "gaps.md", out / "verdict.md"]
    texts = frame.to_csv(index=False), markdown(frame), explained(frame)
    for path, text in zip(paths, texts, strict=True):
        with replacing(path) as unfinished:
            unfinished.write_text(text)
    sizes = data["n_sparse"].values  # the same colours in all files
    for protocol, part in frame.groupby("protocol"):
        path, n = out / f"losses_{protocol}.png", part["p"].nunique()
        points = data.isel(point=data["protocol"].values == protocol)
        save(path, partial(_losses, points, sizes), (3.4 * n, 3.6))
        paths.append(path)
        for n_sparse, same in part.groupby("n_sparse"):
            path = out / f"maps_{protocol}_{n_sparse}.png"
            save(path, partial(_maps, same), (18, 11))
            paths.append(path)
    return paths


def _losses(points: xr.Dataset, sizes: np.ndarray, figure: Any) -> None:
    p = np.unique(points["p"])
    theory = theory_beside(p, np.linspace(min(0.02, float(points["ratio"].min())), 0.97, 48))
    for ax, one in zip(figure.subplots(1, p.size, squeeze=False)[0], p, strict=True):
        draw_trained(points, theory, one, ax, sizes=sizes)


def _maps(frame: pd.DataFrame, figure: Any) -> None:
    shown = {
        "over_rug": "loss over the Gaussian rug - 1",
        "over_best_known": "loss over the best known - 1",
    }
    axes = figure.subplots(3, 4).ravel()
    for ax, (column, label) in zip(axes, (shown | STATISTICS).items(), strict=False):
        signed = column.startswith("over")
        draw_map(frame["p"], frame["ratio"], frame[column], ax, label=label, signed=signed)


def read_paths(files: list[Path]) -> list[xr.Dataset]:
    """Results of the command path; raises ValueError for files of anything else."""
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"no such file: {file}")
    found = [(file, xr.load_dataset(file)) for file in files]
    settings = ("n_sparse", "n_dense", "p", "rug", "paper_stop")
    for file, data in found:
        lacking = [x for x in ("loss", "standard_error", "row_skewness") if x not in data]
        lacking += [x for x in settings if x not in data.attrs]
        if lacking:
            raise ValueError(
                f"{file} must be what python -m validation path writes, got a file without "
                f"{', '.join(lacking)}"
            )
    return sorted((data for _, data in found), key=lambda x: int(x.n_sparse))


def write_paths(paths: list[xr.Dataset], out: Path) -> Path:
    """The figure `path.png` of results of the command path."""
    out.mkdir(parents=True, exist_ok=True)
    save(out / "path.png", lambda figure: draw_paths(paths, figure.subplots(2, 1)), (7, 7))
    return out / "path.png"
