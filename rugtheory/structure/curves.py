"""Loss curves as labelled datasets: theory, linear model and simulated rugs over (p, ratio)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .._files import replacing
from ..source.amplitude import Amplitude
from ..source.laws import law_text
from ..source.sparse import SparseSource
from ..source.uniform import Uniform
from ..theory.bounds import linear_loss
from ..theory.optimum import optimum
from .finite import finite_rug
from .rug import hadamard_rug
from .simulation import simulate

if TYPE_CHECKING:
    import xarray as xr


# The six sparsities in the titles of Fig. 2 of arXiv:2410.12101, and the grid of its models
# (p and ratio alike), both as in the authors' published scripts.
FIGURE_2_P = (0.001, 0.01, 0.05, 0.1, 0.4, 0.6)
PAPER_GRID: Array = np.linspace(0.002001, 0.8, 20)
_ABOUT = {
    "loss": "loss of the Gaussian rug at its optimum",
    "linear_loss": "loss of the best linear model",
    "floor": "loss of predicting the mean",
    "sigma": "least standard deviation of the interference",
    "a": "optimal diagonal",
    "b": "optimal bias for zero-mean interference",
    "simulated_loss": "loss of a simulated Hadamard rug",
    "standard_error": "standard error of the simulated loss",
    "simulated_theory": "theory at the simulated n_dense / n_sparse",
    "finite_loss": "mean of the least losses of rugs of this size",
    "finite_spread": "standard deviation of the least loss between rugs of this size",
}
Points = Iterable[tuple[int, int]]


def loss_curves(p: ArrayLike, ratio: ArrayLike, *, amplitude: Amplitude = Uniform()) -> xr.Dataset:
    """Optimum and baselines on the grid of `p` and `ratio`, as an xarray Dataset.

    Parameters
    ----------
    p, ratio : array_like, at most one-dimensional, in (0, 1]
        The coordinates of the grid.
    amplitude : Amplitude
        Law of a feature that is on.

    Returns
    -------
    xarray.Dataset
        Dimensions p and ratio; variables loss, sigma, a and b of `optimum`, `linear_loss` of the
        best linear model, and floor, the variance of a feature, which a constant output loses.

    Examples
    --------
    >>> import rugtheory as rt
    >>> curves = rt.loss_curves([0.01, 0.1], [0.1, 0.25, 0.5])
    >>> print(f"{float(curves.loss.sel(p=0.1, ratio=0.25)):.6f}")
    0.016449
    """
    import xarray as xr

    p, ratio = (_check.axis(name, x) for name, x in (("p", p), ("ratio", ratio)))
    best = optimum(p[:, None], ratio, amplitude=amplitude)
    linear = linear_loss(p[:, None], ratio, amplitude=amplitude)
    floor = np.broadcast_to(SparseSource(p, amplitude).variance[:, None], linear.shape)
    values = {
        "loss": best.loss,
        "linear_loss": linear,
        "floor": floor,
        "sigma": best.sigma,
        "a": best.a,
        "b": best.b,
    }
    dataset = xr.Dataset(
        {name: (("p", "ratio"), x, {"long_name": _ABOUT[name]}) for name, x in values.items()},
        {
            "p": ("p", p, {"long_name": "probability that a feature is on"}),
            "ratio": ("ratio", ratio, {"long_name": "n_dense / n_sparse"}),
        },
        {"amplitude": law_text(amplitude), "loss": "mean squared error per feature"},
    )
    return dataset


def simulated_curves(
    curves: xr.Dataset,
    n_samples: int,
    *,
    n_sparse: int = 4096,
    amplitude: Amplitude = Uniform(),
    seed: int = 0,
    progress: Callable[[Points], Points] = iter,
    checkpoint: Callable[[xr.Dataset], object] | None = None,
) -> xr.Dataset:
    """The same curves with the losses of simulated rugs beside them.

    Parameters
    ----------
    curves : xarray.Dataset
        From `loss_curves` with the same `amplitude`; or what a call with the same arguments knew
        when it was stopped, whose points are kept.
    n_samples : int, at least 2
        Samples of all features, for each point.
    n_sparse : int, a power of two
        Size of the rugs; n_dense is the nearest integer to ratio · n_sparse, at least 1.
    seed : int
        Point (i, j) draws its rug and its samples from the seed sequence (seed, i, j).
    progress : callable
        Wraps the iterable of points, to show progress.
    checkpoint : callable
        Called with all that is known after each p; unfinished points hold NaN.

    Returns
    -------
    xarray.Dataset
        With simulated_loss, standard_error, and simulated_theory: the optimum at the simulated
        n_dense / n_sparse, whose a and b the rug uses.
    """
    _check.function("progress", progress)
    seed, n_samples = _check.integer("seed", seed, 0), _check.count("n_samples", n_samples, 2)
    hadamard_rug(n_sparse, 1, seed=seed)  # a bad size must not wait for the first simulation

    def point(p: float, n_dense: int, generator: np.random.Generator) -> tuple[float, ...]:
        rug = hadamard_rug(n_sparse, n_dense, seed=generator)
        best = optimum(p, rug.ratio, amplitude=amplitude)
        source = SparseSource(p, amplitude)
        b = rug.bias(float(best.b), float(best.a), p, amplitude=amplitude)
        measured = simulate(rug, float(best.a), b, source, n_samples, seed=generator)
        return measured.loss, measured.standard_error, float(best.loss)

    names = ("simulated_loss", "standard_error", "simulated_theory")
    about = {"n_sparse": n_sparse, "n_samples": n_samples, "seed": seed}
    return _beside(curves, names, point, about, progress, checkpoint)


def finite_curves(
    curves: xr.Dataset,
    draws: int,
    *,
    n_sparse: int = 4096,
    amplitude: Amplitude = Uniform(),
    seed: int = 0,
    progress: Callable[[Points], Points] = iter,
    checkpoint: Callable[[xr.Dataset], object] | None = None,
) -> xr.Dataset:
    """The same curves with the least losses of rugs of `n_sparse` features beside them.

    Parameters
    ----------
    curves : xarray.Dataset
        As in `simulated_curves`.
    draws : int, at least 2
        Rugs, or tight frames, for each point; see `finite_rug`.
    n_sparse : int, at least 2
        Number of features; n_dense is the nearest integer to ratio · n_sparse, at least 1.
    seed, progress, checkpoint
        As in `simulated_curves`.

    Returns
    -------
    xarray.Dataset
        With finite_loss and finite_spread.
    """
    _check.function("progress", progress)
    seed, draws = _check.integer("seed", seed, 0), _check.count("draws", draws, 2)
    n_sparse = _check.count("n_sparse", n_sparse, 2)

    def point(p: float, n_dense: int, generator: np.random.Generator) -> tuple[float, ...]:
        found = finite_rug(p, n_sparse, n_dense, draws=draws, amplitude=amplitude, seed=generator)
        return found.loss, found.spread

    about = {"n_sparse": n_sparse, "draws": draws, "seed": seed}
    return _beside(curves, ("finite_loss", "finite_spread"), point, about, progress, checkpoint)


def _beside(
    curves: xr.Dataset,
    names: tuple[str, ...],
    point: Callable[[float, int, np.random.Generator], tuple[float, ...]],
    about: dict[str, int],
    progress: Callable[[Points], Points],
    checkpoint: Callable[[xr.Dataset], object] | None,
) -> xr.Dataset:
    """The curves with variables of these names, computed where they are not yet known."""
    _check_curves(curves)
    if checkpoint is not None:
        _check.function("checkpoint", checkpoint)
    p, ratio = curves["p"].values, curves["ratio"].values
    same = all(curves.attrs.get(key) == value for key, value in about.items())
    nothing = np.full((p.size, ratio.size), np.nan)
    known = {
        name: curves[name].values.copy() if same and name in curves else nothing.copy()
        for name in names
    }
    result = curves.assign(
        {name: (("p", "ratio"), x, {"long_name": _ABOUT[name]}) for name, x in known.items()}
    ).assign_attrs(about)
    n_dense = np.clip(np.rint(ratio * about["n_sparse"]).astype(int), 1, about["n_sparse"])
    points = [(int(i), int(j)) for i, j in np.argwhere(np.isnan(known[names[-1]]))]
    ends = dict(points)  # the last of each p
    for i, j in progress(points):
        generator = np.random.default_rng((about["seed"], i, j))
        values = point(float(p[i]), int(n_dense[j]), generator)
        for name, value in zip(names, values, strict=True):
            result[name].values[i, j] = value
        if checkpoint is not None and j == ends[i]:
            checkpoint(result)
    return result


def save_curves(curves: xr.Dataset, directory: str | Path) -> list[Path]:
    """Write `curves.nc` and `curves.csv` (a row a point); each appears whole or not at all."""
    _check_curves(curves)
    directory = _check.path("directory", directory)
    directory.mkdir(parents=True, exist_ok=True)
    netcdf, csv = directory / "curves.nc", directory / "curves.csv"
    with replacing(netcdf) as partial:
        curves.to_netcdf(partial, engine="h5netcdf")
    with replacing(csv) as partial:
        curves.to_dataframe().reset_index().to_csv(partial, index=False)
    return [netcdf, csv]


def _check_curves(curves: xr.Dataset) -> None:
    import xarray as xr

    _check.instance("curves", curves, xr.Dataset)
    if not {"p", "ratio"} <= set(curves.dims):
        raise ValueError(f"curves must have the dimensions p and ratio, got {tuple(curves.dims)}")
