"""
What weights can reach
======================

Loss over p² against the compression ratio. Lines are the Gaussian rug, pairs, the best structures
known with couplings up to 10 and without a cap, and what is proved about all weights at that p.
Points are of 128 features: the best rug, the row law, the lowest end of exact descents with
couplings up to 10, and models that Adam trained until a round gained less than 1 %, the last of 512
features as well, at the three larger p. Hollow ones had not ended, or are laws that are not those
of their own weights; at p = 0.001 training was stopped while a round gained 2 to 8 %.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from rugtheory.figures import draw_reachable
from rugtheory.figures.numbers import reachable

data = Path(sys.argv[0]).resolve().parents[2] / "validation" / "data"
table = xr.load_dataset(data / "reachable.nc")
table = table.isel(point=(table.n_sparse == 128).values)
columns = ["n_sparse", "p", "ratio", "loss", "gain"]
trained = xr.concat(
    [xr.load_dataset(data / f"{name}.nc")[columns] for name in ("gpu", "cpu_rare")], "point"
)
kinds = {"optimised_rug": "best rug", "row_law": "row law", "minimum": "lowest exact descent"}
found = {
    kind: table[["p", "ratio"]].assign(
        loss=table[name],
        converged=table.get(f"{name}_converged", xr.ones_like(table.p, dtype=bool)),
    )
    for name, kind in kinds.items()
}
for n in (128, 512):
    some = trained.isel(point=(trained.n_sparse == n).values)
    found[f"trained by Adam, {n}"] = some[["p", "ratio", "loss"]].assign(
        converged=abs(some.gain) < 0.01
    )
points = xr.concat(
    [some.assign(kind=("point", [kind] * some.sizes["point"])) for kind, some in found.items()],
    "point",
)
curves = reachable([0.001, 0.003, 0.01, 0.045, 0.1], np.linspace(0.05, 0.5, 46))

figure, axes = plt.subplots(2, 3, figsize=(13, 8.5), layout="constrained")
*panels, last = axes.ravel()
for ax, p in zip(panels, curves.p.values, strict=True):
    *_, legend = draw_reachable(curves, float(p), ax, points=points)
    legend.remove()
labels = {}
for ax in panels:
    lines, texts = ax.get_legend_handles_labels()
    labels |= dict(zip(texts, lines, strict=True))
last.legend(labels.values(), labels, loc="center", frameon=False)
last.axis("off")
plt.show()
