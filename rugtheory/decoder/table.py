"""All decoders side by side, over a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from ..source.amplitude import Amplitude
from ..source.laws import law_text
from ..source.sparse import on_law
from ..source.uniform import Uniform
from .optimum import KINDS, ChannelOf, _optima

if TYPE_CHECKING:
    import xarray as xr


def decoder_table(
    p: ArrayLike,
    ratio: ArrayLike,
    *,
    channel: str | ChannelOf = "gaussian",
    amplitude: Amplitude = Uniform(),
) -> xr.Dataset:
    """Losses of all decoders on the grid of `p` and `ratio`, and their ratios to the best.

    Parameters
    ----------
    p, ratio : array_like, at most one-dimensional
        The coordinates of the grid, in the ranges of `optimum_decoder`.
    channel : "gaussian", "antipodal" or callable
        As for `optimum_decoder`.
    amplitude : Amplitude
        Law of a feature that is on.

    Returns
    -------
    xarray.Dataset
        Dimensions decoder, p and ratio; variables loss, over_bayes and over_oracle, the last two 1
        where nothing is lost.

    Examples
    --------
    >>> import rugtheory as rt
    >>> table = rt.decoder_table([0.01, 0.1], [0.1, 0.5])
    >>> gap = table.over_bayes.sel(decoder="relu", p=0.01, ratio=0.5)
    >>> print(f"{float(gap):.4f}")
    1.5080
    """
    import xarray as xr

    p, ratio = (_check.axis(name, x) for name, x in (("p", p), ("ratio", ratio)))
    _check.probability("ratio", ratio)
    on, law = on_law(p, amplitude, least=_check.LEAST_P)
    rows, columns = np.broadcast_arrays(on[:, None], ratio)
    alike = law.start >= 0  # gates and jumps
    kinds = tuple(kind for kind in KINDS if not (alike and kind == "gated"))
    optima = _optima(kinds, rows, columns, channel, law, rows)
    found = {kind: optima[kind].loss for kind in kinds}
    if alike:
        found["gated"] = found["jumprelu"]
    loss = np.stack([found[kind] for kind in KINDS])
    with np.errstate(divide="ignore", invalid="ignore"):
        over = {
            # Where neither loses anything, neither does better.
            f"over_{kind}": np.where((loss == 0) & (found[kind] == 0), 1.0, loss / found[kind])
            for kind in ("bayes", "oracle")
        }
    dimensions = ("decoder", "p", "ratio")
    return xr.Dataset(
        {name: (dimensions, values) for name, values in ({"loss": loss} | over).items()},
        {"decoder": list(KINDS), "p": p, "ratio": ratio},
        {
            "channel": channel if isinstance(channel, str) else repr(channel),
            "amplitude": law_text(amplitude),
            "loss": "mean squared error per feature",
        },
    )
