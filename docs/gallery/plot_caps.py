"""
The cap on couplings
====================

The least loss of weights falls with the cap on couplings ``|W_ij|/W_ii``: large negative ones
silence an output whenever another feature is on, the better the larger they are. Without a cap
there is no minimum where features are on often, but a limit. Points are where descents of 16
features in 4 hidden units end, from six random starts each; the line with steps is the best
structure known below the cap, for many features.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import rugtheory as rt

P, RATIO = 0.1, 0.25
data = Path(sys.argv[0]).resolve().parents[2] / "validation" / "data"
ends = xr.load_dataset(data / "caps.nc").to_dataframe()
lowest = ends.groupby("max_coupling")["loss"].min()
caps = np.unique(ends["max_coupling"])
known = [float(rt.best_known(P, RATIO, max_coupling=cap).loss) for cap in caps]
lines = {
    "rug": (float(rt.optimum(P, RATIO).loss), "0.4"),
    "limit of the best known": (float(rt.best_known(P, RATIO, limit=True).loss), "#009E73"),
}

figure, ax = plt.subplots(figsize=(8.5, 4.2), layout="constrained")
ax.plot(ends["max_coupling"], ends["loss"] / P**2, ".", color="0.6", label="ends of descents")
ax.plot(lowest.index, lowest / P**2, "o-", color="#0072B2", label="lowest end, 16 features in 4")
ax.step(
    caps,
    np.array(known) / P**2,
    "--",
    where="post",
    color="#D55E00",
    label="best known below the cap",
)
for name, (loss, color) in lines.items():
    ax.axhline(loss / P**2, color=color, linestyle=":", label=name)
ax.set(xscale="log", xlabel="largest coupling |W_ij|/W_ii", ylabel="loss / p²")
ax.set_title(f"p = {P}, ratio {RATIO}", fontsize="medium")
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
plt.show()
