"""The numbers behind figures, as labelled datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import elementwise
from scipy.special import ndtr

from .. import _check
from .._check import Array
from ..channel.row import RowChannel
from ..darkmatter import rug_dark_matter
from ..structure.best import best_known
from ..structure.curves import loss_curves
from ..structure.mixture import critical_ratio
from ..structure.rug import hadamard_rug
from ..theory.bounds import linear_loss
from ..theory.lower import proved
from ..theory.optimum import optimum
from ..theory.pairs import antipodal_optimum
from ..theory.scaling import local_exponents, regime
from ..theory.sparse_law import sparse_law

if TYPE_CHECKING:
    import xarray as xr


_PAIR_RATIOS = np.geomspace(0.05, 0.999, 14)


def scaling_curves(p: ArrayLike, ratio: ArrayLike) -> xr.Dataset:
    """The loss of the Gaussian rug along a curve in (p, ratio), and the laws for it.

    Parameters
    ----------
    p, ratio : array_like, in (0, 1] and (0, 1), at most one-dimensional
        The points of the curve; broadcast together.

    Returns
    -------
    xarray.Dataset
        Along `point`: exact, law (for each `name`), exponent_p and exponent_ratio.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.

    Examples
    --------
    >>> from rugtheory.figures.numbers import scaling_curves
    >>> curve = scaling_curves(0.01, [1e-4, 0.99])
    >>> print((curve.law / curve.exact).sel(name="linear, v(1 - r)").values.round(3))
    [ 1.    38.822]
    """
    import xarray as xr

    p, ratio = (_check.axis(name, x) for name, x in (("p", p), ("ratio", ratio)))
    _check.broadcastable(p=p, ratio=ratio)
    p, ratio = np.broadcast_arrays(p, ratio)
    laws = {
        "linear, v(1 - r)": linear_loss(p, ratio),
        "p σ² Λ": sparse_law("relu", p, ratio, order=0),
        "p σ² (Λ + Λ₁σ)": sparse_law("relu", p, ratio),
    }
    slopes = local_exponents(p, ratio)
    return xr.Dataset(
        {
            "exact": ("point", optimum(p, ratio).loss),
            "law": (("name", "point"), np.stack(list(laws.values()))),
            "exponent_p": ("point", slopes.p),
            "exponent_ratio": ("point", slopes.ratio),
        },
        {"p": ("point", p), "ratio": ("point", ratio), "name": list(laws)},
        {"loss": "mean squared error per feature"},
    )


def phase_diagram(p: ArrayLike, ratio: ArrayLike) -> xr.Dataset:
    """Regimes of the Gaussian rug on a grid, where it drops features, and where pairs beat it.

    Parameters
    ----------
    p, ratio : array_like, in (0, 1] and (0, 1), at most one-dimensional

    Returns
    -------
    xarray.Dataset
        Dimensions p and ratio; variables regime and error, see `rugtheory.Regime`, critical_ratio
        against p, and `pair_boundary` along a dimension of its own, pair_ratio.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.

    Examples
    --------
    >>> from rugtheory.figures.numbers import phase_diagram
    >>> phase_diagram([0.01], [1e-4, 0.03, 0.9]).regime.values.tolist()
    [['linear', 'crossover', 'sparse']]
    """
    import xarray as xr

    p, ratio = (_check.axis(name, x) for name, x in (("p", p), ("ratio", ratio)))
    found = regime(p[:, None], ratio)
    return xr.Dataset(
        {
            "regime": (("p", "ratio"), found.name),
            "error": (("p", "ratio"), found.error),
            "critical_ratio": ("p", critical_ratio(p)),
            "pair_boundary": ("pair_ratio", pair_boundary(_PAIR_RATIOS)),
        },
        {"p": p, "ratio": ratio, "pair_ratio": _PAIR_RATIOS},
    )


def pair_gain(p: ArrayLike, ratio: ArrayLike) -> xr.Dataset:
    """The loss of antipodal pairs over that of the Gaussian rug, all features represented.

    Parameters
    ----------
    p : array_like in (0, 1], at most one-dimensional
    ratio : array_like in [0.05, 0.999], at most one-dimensional
        Above ½ some features are stored alone, see `rugtheory.antipodal_optimum`.

    Returns
    -------
    xarray.Dataset
        Dimensions p and ratio; variables over_rug, and boundary against ratio: the p above which
        pairs do worse.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.

    Examples
    --------
    >>> from rugtheory.figures.numbers import pair_gain
    >>> gain = pair_gain([0.01, 0.9], [0.25, 0.5])
    >>> print(gain.over_rug.values.round(3).tolist(), gain.boundary.values.round(3).tolist())
    [[0.707, 0.178], [1.0, 1.006]] [0.69, 0.683]
    """
    import xarray as xr

    p, ratio = (_check.axis(name, x) for name, x in (("p", p), ("ratio", ratio)))
    over = antipodal_optimum(p[:, None], ratio).loss / optimum(p[:, None], ratio).loss
    return xr.Dataset(
        {"over_rug": (("p", "ratio"), over), "boundary": ("ratio", pair_boundary(ratio))},
        {"p": p, "ratio": ratio},
    )


def pair_boundary(ratio: ArrayLike) -> Array:
    """The p at which antipodal pairs and the Gaussian rug lose the same.

    Below it pairs are better.  At ratios under 0.05 both are linear, and near the boundary their
    losses differ by less than 1e-9 of themselves.

    Parameters
    ----------
    ratio : array_like in [0.05, 0.999]

    Returns
    -------
    ndarray
        Of the shape of `ratio`; the error was at most 3e-6 at eleven ratios.

    Raises
    ------
    ValueError, TypeError
        If `ratio` is outside its range.

    Examples
    --------
    >>> from rugtheory.figures.numbers import pair_boundary
    >>> print(f"{pair_boundary(0.9):.3f}")
    0.481
    """
    ratio = _check.real("ratio", ratio)
    if np.any(bad := (ratio < 0.05) | (ratio > 0.999)):
        raise ValueError(f"ratio must lie in [0.05, 0.999], got {ratio[bad].flat[0]}")

    def excess(p: Array, ratio: Array) -> Array:
        p, ratio = np.broadcast_arrays(p, ratio)
        return np.asarray(np.log(antipodal_optimum(p, ratio).loss / optimum(p, ratio).loss))

    found = elementwise.find_root(excess, (0.3, 0.75), args=(ratio,), tolerances={"xatol": 1e-5})
    return np.asarray(found.x)


def row_law(channel: RowChannel) -> xr.Dataset:
    """Density of the interference in one row and of its Gaussian, within 5 standard deviations.

    Parameters
    ----------
    channel : RowChannel

    Returns
    -------
    xarray.Dataset
        Along `bin`, in standard deviations from the mean: density and gaussian, both averaged over
        each of 120 bins, from `low` to `high`; the skewness in the attributes.

    Raises
    ------
    ValueError
        If the interference does not vary.
    """
    import xarray as xr

    if channel.std == 0:
        raise ValueError("channel must have interference that varies, got none")
    edges = np.linspace(-5, 5, 121)
    tail, error = channel.tail(channel.mean + channel.std * edges)
    width = np.diff(edges)
    return xr.Dataset(
        {
            "density": ("bin", -np.diff(tail) / width),
            "gaussian": ("bin", np.diff(ndtr(edges)) / width),
        },
        {"low": ("bin", edges[:-1]), "high": ("bin", edges[1:])},
        {"skewness": channel.skewness, "numerical_error": error},
    )


def lyapunov_of_rugs(
    n_sparse: ArrayLike, ratio: ArrayLike, *, repeats: int = 8, seed: int = 0
) -> xr.Dataset:
    """Lyapunov's statistic, equation (3) of arXiv:2410.12101, of Hadamard rugs by their size.

    The off-diagonal entries of a rug with random rows are near Gaussian and of equal variance, so
    the statistic tends to E|g|³/√n_sparse = √(8/π)/√n_sparse, whatever the ratio.

    Parameters
    ----------
    n_sparse : array_like of int, powers of two
    ratio : array_like in (0, 1)
    repeats : int
        Rugs of each kind.
    seed : int

    Returns
    -------
    xarray.Dataset
        Dimensions n_sparse, ratio and rug; variables lyapunov, and law against n_sparse.
    """
    import xarray as xr

    sizes = [int(n) for n in np.atleast_1d(np.asarray(n_sparse))]
    ratio = _check.axis("ratio", ratio)
    generator = np.random.default_rng(_check.integer("seed", seed, 0))
    values = [
        [
            [
                hadamard_rug(n, max(1, round(r * n)), seed=generator).lyapunov
                for _ in range(_check.integer("repeats", repeats, 1))
            ]
            for r in ratio
        ]
        for n in sizes
    ]
    return xr.Dataset(
        {
            "lyapunov": (("n_sparse", "ratio", "rug"), np.array(values)),
            "law": ("n_sparse", np.sqrt(8 / (np.pi * np.array(sizes)))),
        },
        {"n_sparse": sizes, "ratio": ratio},
        {"seed": seed},
    )


def dark_matter(p: ArrayLike, ratio: ArrayLike, fraction: ArrayLike) -> xr.Dataset:
    """`rugtheory.darkmatter.rug_dark_matter` on a grid.

    Parameters
    ----------
    p, ratio : array_like in (0, 1], at most one-dimensional
    fraction : array_like in [0, 1], at most one-dimensional
        Share of features learned.

    Returns
    -------
    xarray.Dataset
        Dimensions p, ratio and fraction; variables linear and nonlinear, the parts of the variance
        of the hidden layer that are error, predicted by the hidden layer or not.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.

    Examples
    --------
    >>> from rugtheory.figures.numbers import dark_matter
    >>> dark = dark_matter(0.045, 0.25, [0.0, 1.0])
    >>> print(dark.nonlinear.values.round(4).tolist(), dark.linear.values.round(4).tolist())
    [[[0.0, 0.1971]]] [[[1.0, 0.0013]]]
    """
    import xarray as xr

    given = {"p": p, "ratio": ratio, "fraction": fraction}
    axes = {name: _check.axis(name, x) for name, x in given.items()}
    q, r, f = np.meshgrid(*axes.values(), indexing="ij")
    found = rug_dark_matter(q, r, fraction=f)
    return xr.Dataset(
        {
            "linear": (tuple(axes), found.r2 * found.fvu_centred),
            "nonlinear": (tuple(axes), found.fvu_nl),
        },
        axes,
        {"unit": "variance of the hidden layer"},
    )


def theory_beside(p: ArrayLike, ratio: ArrayLike) -> xr.Dataset:
    """`rugtheory.loss_curves` with the variable antipodal, to draw beside trained models."""
    p, ratio = (_check.axis(name, x) for name, x in (("p", p), ("ratio", ratio)))
    pairs = antipodal_optimum(p[:, None], ratio).loss
    return loss_curves(p, ratio).assign(antipodal=(("p", "ratio"), pairs))


def reachable(p: ArrayLike, ratio: ArrayLike, *, max_coupling: float = 10.0) -> xr.Dataset:
    """What weights can reach: losses over p² of structures, and proved bounds.

    Parameters
    ----------
    p, ratio : array_like in (0, 1], at most one-dimensional
    max_coupling : float > 0
        Cap on |W_ij|/W_ii of the best known.

    Returns
    -------
    xarray.Dataset
        Dimensions p and ratio; variables rug, antipodal, best_known, limit (the best known without
        a cap), and bound, which is proved for all weights at that p.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.

    Examples
    --------
    >>> from rugtheory.figures.numbers import reachable
    >>> at = reachable(0.01, 0.25).squeeze()
    >>> bool(at.bound < at.limit < at.best_known < at.antipodal < at.rug)
    True
    """
    import xarray as xr

    p, ratio = (_check.axis(name, x) for name, x in (("p", p), ("ratio", ratio)))
    square, r = p[:, None] ** 2, ratio[None]
    found = {
        "rug": optimum(p[:, None], r).loss,
        "antipodal": antipodal_optimum(p[:, None], r).loss,
        "best_known": best_known(p[:, None], r, max_coupling=max_coupling).loss,
        "limit": best_known(p[:, None], r, limit=True).loss,
        "bound": np.array([[proved(x, y) for y in ratio] for x in p]),
    }
    return xr.Dataset(
        {name: (("p", "ratio"), loss / square) for name, loss in found.items()},
        {"p": p, "ratio": ratio},
        {"unit": "p²", "max_coupling": max_coupling},
    )
