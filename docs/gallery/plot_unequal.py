"""
Trained models of unequal features
==================================

Losses of trained models, dots, beside the best allocation to Gaussian rugs, lines, and to the best
structures known, dashes: 64 features whose frequencies or importances fall. Right: which capacity
each feature has in one of them.
"""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from rugtheory.source.files import features_of

figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.4), layout="constrained")
colours = iter(["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"])
for name in ("unequal", "unequal_zipf"):
    data = xr.load_dataset(f"../../validation/data/{name}.nc", engine="h5netcdf")
    for law, some in data.groupby("law"):
        features, colour = features_of(str(law)), next(colours)
        none = np.mean(features.importance * features.variance)
        second = features.importance[1] * features.on_probability[1] / features.on_probability[0]
        label = f"importances {second:.2f}$^i$"
        if name == "unequal_zipf":
            label = f"frequencies $i^{{-{-np.log2(second):.1f}}}$"
        left.plot(some["n_dense"], some["loss"] / none, "o", color=colour, label=label)
        for family, style in (("gaussian", "-"), ("best", "--")):
            theory = some["theory"].sel(family=family) / none
            left.plot(some["n_dense"], theory, style, color=colour, linewidth=1)
left.set(xscale="log", yscale="log", xlabel="hidden units", ylabel="loss / loss with none")
ticks = [4, 8, 16, 32, 60]
left.set_xticks(ticks, labels=map(str, ticks))
left.minorticks_off()
left.legend(frameon=False, fontsize="small")

one = data.isel(point=int(np.flatnonzero(data["n_dense"] == 12)[1]))
rank = np.arange(1, one.sizes["feature"] + 1)
right.plot(rank, one["capacity"], "o", color="0.4", markersize=4, label="trained")
for family, style in (("gaussian", "-"), ("best", "--")):
    capacity = one["theory_capacity"].sel(family=family)
    right.plot(rank, capacity, style, color="#D55E00", drawstyle="steps-mid", label=family)
right.set(xscale="log", xlabel="feature, by frequency $0.3/i$", ylabel="capacity")
right.set_title("12 hidden units", fontsize="medium")
right.legend(frameon=False)
plt.show()
