"""
What weights can reach
======================

Loss over p² against the compression ratio: the Gaussian rug, pairs, the best structures known with
couplings up to 10 and without a cap, and what is proved about all weights where features are rare.
Diamonds are models of 128 features that Adam trained until a round gained less than 1 %, circles
the ends of descents on the exact loss.  How they were found is on the pages about validation and
about descent.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from rugtheory.figures import draw_reachable
from rugtheory.figures.numbers import reachable

data = Path(sys.argv[0]).resolve().parents[2] / "validation" / "data"
trained = xr.load_dataset(data / "cpu.nc")
chosen = (trained.protocol == "converged") & (trained.n_sparse == 128) & (trained.ratio <= 0.5)
kinds = {
    "trained by Adam, 128 features": trained.isel(point=chosen.values),
    "exact descent, 128 features": xr.load_dataset(data / "minima.nc"),
}
points = xr.concat(
    [
        found[["p", "ratio", "loss"]].assign(kind=("point", [kind] * found.sizes["point"]))
        for kind, found in kinds.items()
    ],
    "point",
)
curves = reachable([0.01, 0.045, 0.1], np.linspace(0.03, 0.5, 48))

figure, panels = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained")
for ax, p in zip(panels, curves.p.values, strict=True):
    draw_reachable(curves, float(p), ax, points=points)
    if ax is not panels[0]:
        ax.get_legend().remove()
plt.show()
