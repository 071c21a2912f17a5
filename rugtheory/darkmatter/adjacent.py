r"""The error of a decoder, explained from components of the model that come before it.

A residual stream is resid_ℓ = resid_{ℓ-1} + attn_ℓ + mlp_ℓ, equation (11) of arXiv:2410.14670: each
term of its right-hand side, and anything else given, is regressed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array
from .._result import Result
from ._moments import Whole
from ._rows import Rows, same_count
from ._split import Split, split
from .decomposition import Decomposition
from .regression import Regression, regressions


@dataclass(frozen=True, eq=False, repr=False)
class Adjacent(Result):
    """Regressions of each part of the error on one component; R² is `error.r2` and so on.

    Attributes
    ----------
    error, linear, nonlinear : Regression
    """

    error: Regression
    linear: Regression = field(repr=False)
    nonlinear: Regression = field(repr=False)


def adjacent(
    components: Mapping[str, Any],
    x: Any,
    x_hat: Any,
    decomposition: Decomposition,
    *,
    contexts: ArrayLike | None = None,
    test_fraction: float = 0.25,
    bootstrap: int = 200,
    seed: int = 0,
    block_rows: int | None = None,
) -> dict[str, Adjacent]:
    """Regress the error x - x̂, its linear and its nonlinear part on each component.

    Parameters
    ----------
    components : mapping of str to array_like or sliceable, shape (rows, columns)
        For example the previous residual, the outputs of attention and MLP, or their
        reconstructions.
    x, x_hat : array_like or sliceable, shape (rows, d)
    decomposition : Decomposition
        Of this x and x_hat, or of other rows of the same.
    contexts, test_fraction, bootstrap, seed, block_rows
        As in `regress`.

    Returns
    -------
    dict of str to Adjacent
        For each component.

    Raises
    ------
    ValueError, TypeError
        As `regress`; also if there are no components.

    Notes
    -----
    With the contexts, fraction and seed of the decomposition the rows held out are the same, and no
    row evaluated here was used to separate linear from nonlinear.  An R² of the nonlinear error
    above 0 is no sign of a cause: it is a function of x, as the components mostly are.

    Examples
    --------
    >>> import numpy as np
    >>> import rugtheory as rt
    >>> before, mlp = np.random.default_rng(0).normal(size=(2, 4000, 3))
    >>> x, x_hat = before + mlp, before + mlp * [1, 1, 0.5]
    >>> split = rt.darkmatter.decompose(x, x_hat)
    >>> found = rt.darkmatter.adjacent({"before": before, "mlp": mlp}, x, x_hat, split)
    >>> round(found["mlp"].error.r2, 9), abs(found["before"].error.r2) < 0.01
    (1.0, True)
    """
    _check.instance("components", components, Mapping)
    if not components:
        raise ValueError("components must hold at least one, got none")
    _check.instance("decomposition", decomposition, Decomposition)
    rows, hat = Rows("x", x), Rows("x_hat", x_hat)
    d = decomposition.intercept.size
    for one in (rows, hat):
        if one.columns != d:
            raise ValueError(f"{one.name} must have {d} columns, got {one.columns}")
    parts = split(same_count(rows, hat), contexts, test_fraction, _check.rng(seed))

    def targets(some: NDArray[np.intp]) -> Array:
        block = rows.read(some)
        error = np.subtract(block, hat.read(some), dtype=np.float64)
        linear = block @ decomposition.slope + decomposition.intercept
        return np.hstack([error, linear, error - linear])

    return of_components(components, targets, d, parts, bootstrap, seed, block_rows)


def of_components(
    components: Mapping[str, Any],
    targets: Whole,
    d: int,
    parts: Split,
    bootstrap: int,
    seed: int,
    block_rows: int | None = None,
) -> dict[str, Adjacent]:
    """The same of any errors: `targets` gives those of rows, beside both parts, d columns each."""

    def read(component: Rows, some: NDArray[np.intp]) -> tuple[NDArray[Any], NDArray[Any]]:
        return component.read(some), targets(some)

    found = {}
    for name, source in components.items():
        component = Rows(f"components: {name}", source)
        if component.count != parts.unit.size:
            raise ValueError(
                f"numbers of rows must agree, got x {parts.unit.size}, "
                f"{component.name} {component.count}"
            )
        found[name] = Adjacent(
            *regressions(
                partial(read, component),
                component.columns,
                [d, d, d],
                parts,
                bootstrap,
                seed,
                block_rows,
            )
        )
    return found
