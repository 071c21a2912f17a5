"""The figures of the command line: which there are, with which parameters, and their files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .._check import Array
from .._files import replacing
from .._style import save
from ..channel.row import RowChannel
from ..decoder.table import decoder_table
from ..model.model import Model
from ..source.identical import Identical
from ..structure.antipodal import antipodal_rug
from ..structure.curves import FIGURE_2_P, PAPER_GRID, loss_curves, simulated_curves
from ..structure.rug import Rug, hadamard_rug
from ..theory.optimum import optimum
from ..theory.pairs import antipodal_optimum
from . import numbers
from .picture import Given, Picture
from .theory import (
    draw_curves,
    draw_dark_matter,
    draw_decoders,
    draw_grid,
    draw_pairs,
    draw_phases,
    draw_scaling,
)
from .trained_pictures import TRAINED
from .weights import draw_corner, draw_lyapunov, draw_row_law, draw_rug

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_AMPLITUDE = "Uniform[0, 1]"
_SEED = 0
# The sizes of Fig. 1 and, as far as they are known, Fig. 3 of arXiv:2410.12101.
_FIGURE_1 = 256, 40
_FIGURE_3 = 512, 128
_CORNER = 30
_PAIR_RATIOS = np.concatenate([np.linspace(0.05, 0.5, 10), np.linspace(0.55, 0.99, 8)])


def write_figures(
    out: Path, given: Given, *, only: Sequence[str] | None = None, suffix: str = "png"
) -> Iterator[str]:
    """Write figures and, as netCDF beside each, the numbers drawn; yields a line for each.

    Parameters
    ----------
    out : Path
        Folder; made if it is missing.
    given : Given
    only : sequence of str, optional
        Names of figures; by default all that can be drawn from `given`.
    suffix : "png", "svg" or "pdf"

    Raises
    ------
    ValueError
        If a name is unknown, or a figure of trained models is asked for but none are given.
    """
    names = chosen(given, only)
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        start = time.perf_counter()
        picture = (THEORY | TRAINED)[name](given)
        shown = picture.numbers.assign_attrs(rugtheory=version("rugtheory"), amplitude=_AMPLITUDE)
        with replacing(out / f"{name}.nc") as partial:
            shown.to_netcdf(partial, engine="h5netcdf")
        save(out / f"{name}.{suffix}", _with_footer(picture.draw), picture.size)
        yield f"wrote {out / name}.{suffix} and .nc in {time.perf_counter() - start:.1f} s"
    if not only and given.trained is None:
        yield f"left out, for want of --data: {', '.join(TRAINED)}"


def chosen(given: Given, only: Sequence[str] | None = None) -> list[str]:
    """Names of the figures `only`, by default of all that can be drawn from `given`.

    Raises
    ------
    ValueError
        If a name is unknown, or a figure of trained models is asked for but none are given.
    """
    known = THEORY | (TRAINED if given.trained is not None else {})
    for name in only or ():
        if name not in THEORY | TRAINED:
            raise ValueError(
                f"only must name figures among {', '.join(THEORY | TRAINED)}, got {name!r}"
            )
        if name not in known:
            raise ValueError(f"{name} shows trained models: give their file with --data")
    return list(dict.fromkeys(only or known))


def _with_footer(draw: Callable[[Figure], object]) -> Callable[[Figure], None]:
    def footed(figure: Figure) -> None:
        draw(figure)
        text = f"rugtheory {version('rugtheory')}, amplitudes {_AMPLITUDE}"
        figure.supxlabel(text, x=0.995, ha="right", fontsize="x-small", color="0.4")

    return footed


def _fig1_rug(given: Given) -> Picture:
    import xarray as xr

    rug = hadamard_rug(*_FIGURE_1, seed=_SEED)
    shown = xr.Dataset(
        {"W": (("i", "j"), rug.matrix()), "rows": ("k", rug.rows)},
        attrs={"n_sparse": rug.n_sparse, "n_dense": rug.n_dense, "seed": _SEED},
    )
    return Picture(shown, lambda figure: draw_rug(rug, figure.subplots()), (6.4, 5.4))


def _fig2_curves(given: Given) -> Picture:
    fine = np.unique(
        np.concatenate([PAPER_GRID, np.geomspace(1e-4, 0.1, 30), np.linspace(0.1, 0.99, 90)])
    )
    some = simulated_curves(
        loss_curves(FIGURE_2_P, PAPER_GRID[1::3]), 100, n_sparse=4096, seed=_SEED
    )
    both = loss_curves(FIGURE_2_P, fine).merge(
        some[["simulated_loss", "standard_error"]], join="outer"
    )
    both.attrs.update(some.attrs)

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        draw_curves(both, ax)
        points = some.isel(p=0, ratio=2)
        ax.annotate(
            f"p = {float(points['p']):g}: {float(points['p']) * some.n_sparse:.0f} features on,\n"
            "not yet Gaussian",
            (float(points["ratio"]), float(points["loss"] / points["floor"])),
            xytext=(-4, -6),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize="small",
        )

    return Picture(both, draw, (7, 5.2))


def _fig2_map(given: Given) -> Picture:
    curves = loss_curves(np.geomspace(1e-4, 1, 120), np.linspace(0.005, 0.995, 120))

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        ax.set_yscale("log")
        draw_grid(curves, ax)
        ax.set_ylim(1e-4, 1)

    return Picture(curves, draw, (6.4, 5))


def _fig3_weights(given: Given) -> Picture:
    import xarray as xr

    models = _models(given)
    size = min(_CORNER, *(bias.size for _, _, bias in models.values()))
    w, b, features = [], [], []
    for name, (w_in, w_out, bias) in models.items():
        chosen = np.arange(size)
        if name.startswith("antipodal"):  # partners beside each other
            chosen = chosen // 2 + chosen % 2 * bias.size // 2
        w.append(w_out[chosen] @ w_in[:, chosen])
        b.append(bias[chosen])
        features.append(chosen)
    shown = xr.Dataset(
        {
            "W": (("model", "i", "j"), np.stack(w)),
            "b": (("model", "i"), np.stack(b)),
            "feature": (("model", "i"), np.stack(features)),
        },
        {"model": list(models)},
        {"p": given.p, "seed": _SEED},
    )

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(models), squeeze=False)[0]
        for ax, name in zip(panels, models, strict=True):
            draw_corner(shown["W"].sel(model=name), shown["b"].sel(model=name), ax)
            ax.set_title(name.replace(",", "\n", 1), fontsize="medium")
            if name.startswith("antipodal"):
                ax.set(xlabel="input feature, then its partner, the next, ...")
        figure.suptitle(f"W and bias of {size} features, p = {given.p:g}")

    return Picture(shown, draw, (0.4 + 4.6 * len(models), 3.9))


def _fig7_rugs(given: Given) -> Picture:
    statistics = numbers.lyapunov_of_rugs(2 ** np.arange(5, 16), [0.1, 0.25, 0.5], seed=_SEED)
    return Picture(
        statistics, lambda figure: draw_lyapunov(statistics, figure.subplots()), (6, 4.6)
    )


def _phases(given: Given) -> Picture:
    phases = numbers.phase_diagram(np.geomspace(1e-6, 1, 240), np.geomspace(1e-6, 0.999, 240))
    return Picture(phases, lambda figure: draw_phases(phases, figure.subplots()), (6.4, 5))


def _pairs(given: Given) -> Picture:
    gain = numbers.pair_gain(np.geomspace(1e-3, 1, 19), _PAIR_RATIOS)
    return Picture(gain, lambda figure: draw_pairs(gain, figure.subplots()), (6.4, 5))


def _decoders(given: Given) -> Picture:
    table = decoder_table(np.geomspace(1e-6, 0.5, 30), [0.1, 0.5])

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for ax, ratio in zip(panels, table["ratio"].values, strict=True):
            draw_decoders(table.sel(ratio=ratio), ax)
            ax.set_title(f"Gaussian channel, r = {ratio:g}", fontsize="medium")
            ax.label_outer()
        panels[1].get_legend().remove()
        panels[0].set_ylim(bottom=0.8 * float(table["over_bayes"].min()))

    return Picture(table, draw, (10, 5))


def _scaling(given: Given) -> Picture:
    import xarray as xr

    p = np.geomspace(1e-8, 0.3, 90)
    ratio = np.concatenate([np.geomspace(1e-4, 0.8, 60), 1 - np.geomspace(0.2, 1e-3, 31)[1:]])
    curves = {
        "r = √p": ("p", numbers.scaling_curves(p, np.sqrt(p))),
        "r = 0.5": ("p", numbers.scaling_curves(p, 0.5)),
        "p = 0.01": ("ratio", numbers.scaling_curves(0.01, ratio)),
    }

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2, len(curves), sharex="col", height_ratios=(3, 2))
        for column, (name, (x, curve)) in zip(panels.T, curves.items(), strict=True):
            draw_scaling(curve, x, column)
            column[0].set_title(f"Gaussian rug, {name}", fontsize="medium")
            if column[0] is not panels[0, 0]:
                column[0].get_legend().remove()
                for ax in column:
                    ax.set_ylabel("")

    together = xr.concat([curve for _, curve in curves.values()], "curve")
    together = together.assign_coords(curve=list(curves))
    return Picture(together, draw, (13, 6.5))


def _row_law(given: Given) -> Picture:
    import xarray as xr

    laws = []
    models = _models(given)
    for w_in, w_out, b in models.values():
        features = Identical(b.size, given.p)
        law = numbers.row_law(RowChannel(Model(w_in, w_out, b), features, 0))
        laws.append(law.assign(skewness=law.skewness))
    shown = xr.concat(laws, "model", combine_attrs="drop").assign_coords(model=list(models))

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
        for ax, name, law in zip(panels, models, laws, strict=True):
            draw_row_law(law, ax)
            ax.set_title(
                f"{name}\nrow of feature 0, skewness {law.attrs['skewness']:.2f}", fontsize="medium"
            )
            ax.label_outer()
        figure.suptitle(f"Interference in one output, p = {given.p:g}")

    return Picture(shown.assign_attrs(p=given.p, seed=_SEED), draw, (0.8 + 4.2 * len(models), 4.4))


def _dark_matter(given: Given) -> Picture:
    import xarray as xr

    p, ratio = [0.001, 0.01, 0.045, 0.2], 0.25
    by_ratio = numbers.dark_matter(p, np.geomspace(1e-3, 0.99, 160), 1.0)
    by_fraction = numbers.dark_matter(p, ratio, np.linspace(0, 1, 81))

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        draw_dark_matter(by_ratio.squeeze("fraction"), "ratio", left)
        left.set(xscale="log", yscale="log", ylim=(1e-5, 20))
        left.set_title("all features learned", fontsize="medium")
        draw_dark_matter(by_fraction.squeeze("ratio"), "fraction", right)
        right.get_legend().remove()
        right.set_title(f"ratio r = {ratio:g}, a share of features learned", fontsize="medium")
        figure.suptitle("Persian rug as an autoencoder: error nonlinear (solid), linear (dashed)")

    both = xr.Dataset(
        {f"{name}_by_ratio": by_ratio[name].squeeze("fraction", drop=True) for name in by_ratio}
        | {
            f"{name}_by_fraction": by_fraction[name].squeeze("ratio", drop=True)
            for name in by_ratio
        },
        attrs=by_ratio.attrs | {"ratio_of_by_fraction": ratio},
    )
    return Picture(both, draw, (10.5, 4.8))


def _models(given: Given) -> dict[str, tuple[Array, Array, Array]]:
    """W_in, W_out and bias of rugs at their best a and b, and of the weights given."""
    model = given.weights
    n_dense, n_sparse = model.w_in.shape if model else _FIGURE_3[::-1]
    size = 1 << (n_sparse - 1).bit_length()
    rank = max(1, round(size * n_dense / n_sparse))

    def of(n_sparse: int, n_dense: int) -> str:
        return f", {n_sparse} features, {n_dense} hidden units"

    best = optimum(given.p, rank / size)
    a, b = float(best.a), float(best.b)
    rug = hadamard_rug(size, rank, seed=_SEED)
    found = {f"Persian rug{of(size, rank)}": _weights(rug, a, rug.bias(b, a, given.p))}
    if 2 * rank <= size:
        pairs = antipodal_rug(size, rank, seed=_SEED)
        own = antipodal_optimum(given.p, rank / size)
        found[f"antipodal rug{of(size, rank)}"] = _weights(pairs, float(own.a), float(own.b))
    if model:
        found[f"trained model{of(n_sparse, n_dense)}"] = model.w_in, model.w_out, model.b
    return found


def _weights(rug: Rug, a: float, b: float) -> tuple[Array, Array, Array]:
    return rug.w_in, rug.w_out(a), np.full(rug.n_sparse, b)


THEORY: dict[str, Callable[[Given], Picture]] = {
    "fig1_rug": _fig1_rug,
    "fig2_curves": _fig2_curves,
    "fig2_map": _fig2_map,
    "fig3_weights": _fig3_weights,
    "fig7_rugs": _fig7_rugs,
    "phases": _phases,
    "pairs": _pairs,
    "decoders": _decoders,
    "scaling": _scaling,
    "row_law": _row_law,
    "dark_matter": _dark_matter,
}
