"""
Trained models against theory
=============================

Exact losses of the trained models kept in ``validation/data/cpu.nc``, over the variance of a
feature, with the Gaussian rug (lines) and the best structure known at the same p and ratio (bars).
How they were trained, and where they miss, is on the page about validation.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import rugtheory as rt

COLOURS = {0.3: "#CC79A7", 0.1: "#D55E00", 0.045: "#0072B2", 0.01: "#009E73"}
models = xr.load_dataset(Path(sys.argv[0]).resolve().parents[2] / "validation" / "data" / "cpu.nc")
models = models.isel(point=models.protocol.values == "converged")
ratio = np.linspace(0.02, 0.9, 60)

figure, ax = plt.subplots(figsize=(7.5, 5), layout="constrained")
for p, colour in COLOURS.items():
    variance = rt.SparseSource(p).variance
    here = models.where(models.p == p, drop=True)
    ax.plot(ratio, rt.optimum(p, ratio).loss / variance, color=colour, label=f"p = {p:g}")
    ax.plot(here.ratio, here.best_known / variance, "_", markersize=16, color=colour)
    ax.plot(here.ratio, here.loss / variance, "o", markersize=4, color=colour, alpha=0.7)
ax.plot(ratio, 1 - ratio, "--", color="0.5", label="linear model, any p")
ax.plot([], [], "_", markersize=16, color="0.3", label="best known structure")
ax.plot([], [], "o", markersize=4, color="0.3", label="trained models")
ax.set(yscale="log", xlabel="compression ratio r", ylabel="loss / variance of a feature")
ax.legend(frameon=False, fontsize="small")
plt.show()
