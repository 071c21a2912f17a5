"""The figures of trained models that the command line draws."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import numbers
from .picture import Given, Picture
from .trained import draw_map, draw_trained

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


# Column of the collected results, what it is, and what it is for a rug of n_sparse features.
_MAPS: dict[str, tuple[str, str, Callable[[int], float]]] = {
    "fig4_diagonal": ("diagonal_spread", "standard deviation of $W_{ii}$", lambda n: 0.0),
    "fig5_bias": ("bias_spread", "standard deviation of $b_i$", lambda n: 0.0),
    "fig6_variance": ("variance_spread", r"standard deviation of Var $\nu_i$", lambda n: 0.0),
    "fig7_lyapunov": (
        "Lyapunov_worst",
        "worst Lyapunov statistic of a row",
        lambda n: float(np.sqrt(8 / (np.pi * n))),
    ),
}


def read_trained(path: Path) -> xr.Dataset:
    """Trained models from a netCDF file, such as ``python -m validation collect`` writes."""
    import xarray as xr

    try:
        data = xr.load_dataset(path)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{path} cannot be read as netCDF: {error}") from error
    needed = {"p", "ratio", "n_sparse", "loss", "best_known", "protocol", "tied"}
    needed |= {column for column, _, _ in _MAPS.values()}
    if missing := needed - set(data):
        raise ValueError(f"{path} holds no trained models: it lacks {', '.join(sorted(missing))}")
    return data


def _fig2_trained(given: Given) -> Picture:
    trained = _trained(given)
    points = trained[["p", "n_sparse", "ratio", "loss", "best_known"]]
    kinds = _kinds(trained)
    p = np.unique(points["p"])
    p = p[np.unique(np.linspace(0, p.size - 1, 4).astype(int))]
    ratio = np.linspace(min(0.02, float(points["ratio"].min())), 0.97, 48)
    theory = numbers.theory_beside(p, ratio)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(kinds), p.size, squeeze=False, sharex=True, sharey=True)
        shown: dict[str, Any] = {}
        for row, (kind, chosen) in zip(panels, kinds.items(), strict=True):
            for ax, one in zip(row, p, strict=True):
                draw_trained(
                    points.isel(point=chosen), theory, one, ax, sizes=points["n_sparse"].values
                )
                ax.set_title(f"p = {one:g}, {kind}", fontsize="medium")
                ax.label_outer()
                ax.get_legend().remove()
                for artist, label in zip(*ax.get_legend_handles_labels(), strict=True):
                    shown.setdefault(label, artist)
        # One legend for all panels, which need not have all sizes.
        panels[0, 0].legend(shown.values(), shown.keys(), fontsize="x-small", frameon=False)
        figure.suptitle("Trained models, seeds averaged ± 2 SE")

    shown = points.rename(p="point_p", ratio="point_ratio", loss="trained_loss").merge(theory)
    return Picture(shown, draw, (1 + 3.3 * p.size, 0.4 + 3.8 * len(kinds)))


def _map(name: str) -> Callable[[Given], Picture]:
    column, label, of_rug = _MAPS[name]

    def picture(given: Given) -> Picture:
        trained = _trained(given)
        points = trained[["p", "n_sparse", "ratio", column]]
        kinds, sizes = _kinds(trained), np.unique(points["n_sparse"])
        least, most = float(points[column].min()), float(points[column].max())
        log = 0 < 100 * least < most
        limits = least if log else 0.0, most

        def draw(figure: Figure) -> None:
            panels = figure.subplots(len(kinds), sizes.size, squeeze=False)
            for row, (kind, chosen) in zip(panels, kinds.items(), strict=True):
                for ax, n in zip(row, sizes, strict=True):
                    part = points.isel(point=chosen & (points["n_sparse"].values == n))
                    if not part.sizes["point"]:
                        ax.set_axis_off()
                        continue
                    at = part["p"], part["ratio"], part[column]
                    draw_map(*at, ax, label=label, limits=limits, log=log)
                    ax.set_title(
                        rf"{kind}, $n_\mathrm{{sparse}}$ = {n} (rug: {of_rug(int(n)):.2g})",
                        fontsize="medium",
                    )
            figure.suptitle(f"Trained models: {label} over features alive, mean over seeds")

        return Picture(points, draw, (0.5 + 4.8 * sizes.size, 0.6 + 3.8 * len(kinds)))

    return picture


def _trained(given: Given) -> xr.Dataset:
    assert given.trained is not None  # `write_figures` draws these figures only then
    return given.trained


def _kinds(trained: xr.Dataset) -> dict[str, NDArray[np.bool_]]:
    """Which models are of each protocol, tied ones apart."""
    protocol, tied = trained["protocol"].values.astype(str), trained["tied"].values.astype(bool)
    name = np.where(tied, np.char.add(protocol, ", tied"), protocol)
    return {str(kind): name == kind for kind in np.unique(name)}


TRAINED: dict[str, Callable[[Given], Picture]] = {"fig2_trained": _fig2_trained} | {
    name: _map(name) for name in _MAPS
}
