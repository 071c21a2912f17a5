r"""The test bench of sections 5.2 and B.3 of arXiv:2410.14670, with a decoder that was trained.

Its own reconstructions s = Sae(x) are sparse sums of the directions it has, distributed much as
features of activations are.  They pass through it again, all parts of the error being controlled:

.. math:: x' = s + \tau g, \quad \hat x' = \mathrm{Sae}_m(x') + \epsilon g',

with g and g' standard Gaussian, and of the dictionary of Sae_m only the m elements left that are
most often active: the others are absent features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import _check
from ..._check import Array
from ..._result import Result
from .._rows import Rows
from ..decomposition import decompose
from .sae import SAE, check_autoencoder


@dataclass(frozen=True, eq=False, repr=False)
class SaeBench(Result):
    """What is left at every level of both noises and every number of elements: figure 15.

    Attributes
    ----------
    learned : ndarray of int, shape (m,)
        Numbers of elements of the dictionary, ascending; the last is all that are ever active.
    dense, introduced : ndarray, shape (cases,)
        τ and ε of each case, every pair of them.
    dense_share, introduced_share : ndarray, shape (cases,)
        τ²d and ε²d over the variance of x'.
    fvu, fvu_nl : ndarray, shape (cases, m)
        As `decompose` has them, corrected for the price of fitting.
    estimated_dense : ndarray, shape (cases,)
        FVU_centred - FVU_nl with all elements: what section 5.2 takes for the dense part.
    estimated_introduced : ndarray, shape (cases,)
        Mean of FVU_nl over `learned`, the height of the horizontal line.
    correlation : ndarray, shape (2, 2)
        Of (τ, ε) with (estimated dense, estimated introduced): the table of section 5.2.
    """

    learned: NDArray[np.intp]
    dense: Array
    introduced: Array
    dense_share: Array
    introduced_share: Array
    fvu: Array = field(repr=False)
    fvu_nl: Array = field(repr=False)
    estimated_dense: Array
    estimated_introduced: Array
    correlation: Array


def sae_bench(
    sae: SAE,
    x: Any,
    *,
    learned: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    dense: Sequence[float],
    introduced: Sequence[float],
    contexts: ArrayLike | None = None,
    seed: int = 0,
) -> SaeBench:
    """Decompose the error of a decoder on its own reconstructions, with noise that is known.

    Parameters
    ----------
    sae : SAE
        An autoencoder that does not normalize.
    x : array_like or sliceable, shape (rows, d)
        Activations; held in memory four times.
    learned : sequence of float in (0, 1]
        Parts of the dictionary's elements that are ever active to keep; 1 is added.
    dense, introduced : sequence of float ≥ 0
        τ and ε, standard deviations per coordinate, at least 2 levels of each.
    contexts : array_like, shape (rows,), optional
        As in `decompose`.
    seed : int
        Of the noise and the split.

    Returns
    -------
    SaeBench

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range, or shapes do not fit; if the decoder is never active.

    Notes
    -----
    Even without noise the decoder does not reconstruct s: at ε = τ = 0 the estimated introduced
    part is its own, and the estimates at other levels contain it.

    Examples
    --------
    >>> import numpy as np
    >>> import rugtheory as rt
    >>> x = np.random.default_rng(0).exponential(size=(2000, 4))
    >>> sae = rt.darkmatter.SAE("topk", np.eye(4), np.zeros(4), np.eye(4), np.zeros(4), k=2)
    >>> found = rt.darkmatter.sae_bench(sae, x, dense=[0, 0.1], introduced=[0, 0.3])
    >>> bool(found.correlation[1, 1] > 0.9)
    True
    """
    _check.instance("sae", sae, SAE)
    check_autoencoder("sae", sae)
    if sae.normalization != "none":
        raise ValueError(f"sae must not normalize, got normalization {sae.normalization!r}")
    levels = [_levels("dense", dense), _levels("introduced", introduced)]
    parts = _check.probability("learned", _check.axis("learned", learned))
    clean = sae.reconstruct(Rows("x", x).all()).astype(np.float64)
    order, counts = _elements(sae, clean, parts)
    rng = _check.rng(seed)
    noise = [rng.normal(size=clean.shape) for _ in range(2)]
    cases, scores = [], []
    for tau in levels[0]:
        given = clean + tau * noise[0]
        codes = sae.encode(given).tocsc()
        kept = [sae.decode(_masked(codes, order[:m]).tocsr()) for m in counts]
        total = given.var(axis=0).sum()
        for epsilon in levels[1]:
            scores.append(
                [_scores(given, one + epsilon * noise[1], contexts, seed) for one in kept]
            )
            cases.append([tau, epsilon, *(level**2 * sae.d_in / total for level in (tau, epsilon))])
    fvu, fvu_nl, centred = np.moveaxis(np.array(scores), 2, 0)
    table = np.array(cases).T
    gap, line = centred[:, -1] - fvu_nl[:, -1], fvu_nl.mean(axis=1)
    return SaeBench(
        learned=counts,
        dense=table[0],
        introduced=table[1],
        dense_share=table[2],
        introduced_share=table[3],
        fvu=fvu,
        fvu_nl=fvu_nl,
        estimated_dense=gap,
        estimated_introduced=line,
        correlation=np.corrcoef([*table[:2], gap, line])[:2, 2:],
    )


def _levels(name: str, values: Sequence[float]) -> Array:
    found = _check.nonnegative(name, _check.axis(name, values))
    if np.unique(found).size < 2:
        raise ValueError(f"{name} must hold at least 2 levels, got {found}")
    return found


def _scores(x: Array, x_hat: Array, contexts: ArrayLike | None, seed: int) -> list[float]:
    error = x - x_hat
    if np.all(np.ptp(error, axis=0) <= 64 * np.finfo(float).eps * np.abs(x).max()):
        # A decoder that is exact on what it made: there is nothing to split.
        return [float(np.sum(error**2) / x.var(axis=0).sum() / len(x)), 0.0, 0.0]
    found = decompose(x, x_hat, contexts=contexts, bootstrap=0, seed=seed).corrected
    return [found.fvu, found.fvu_nl, found.fvu_centred]


def _elements(sae: SAE, clean: Array, parts: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Latents in the order of how often they are active, and how many of them to keep."""
    active = np.bincount(sae.encode(clean).indices, minlength=sae.d_sae)
    alive = np.count_nonzero(active)
    if not alive:
        raise ValueError("sae must be active on its own reconstructions, got no code")
    order = np.argsort(-active, kind="stable")
    counts = np.unique(np.append(np.maximum(np.round(parts * alive), 1), alive)).astype(np.intp)
    return order, counts


def _masked(codes: Any, latents: NDArray[np.intp]) -> Any:
    """Codes of these latents only."""
    from scipy import sparse

    keep = np.zeros(codes.shape[1])
    keep[latents] = 1
    return codes @ sparse.diags_array(keep)
