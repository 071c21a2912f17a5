"""
Antipodal pairs against the rug
===============================

Losses of antipodal rugs over that of the Gaussian rug. Pairs store two features as v and -v: the
interference of the partner is negative, and the ReLU removes it unless both are on. The variance of
the interference is the same as in the rug. Above ratio ½ some features are in pairs and the others
have a hidden unit each.
"""

import matplotlib.pyplot as plt
import numpy as np

import rugtheory as rt

COLOURS = {0.3: "#CC79A7", 0.1: "#D55E00", 0.01: "#009E73", 0.001: "#0072B2"}
ratio = np.append(np.geomspace(0.01, 0.49, 40), np.linspace(0.5, 0.98, 25))

figure, ax = plt.subplots(figsize=(7.5, 5), layout="constrained")
for p, colour in COLOURS.items():
    rug = rt.optimum(p, ratio).loss
    ax.plot(ratio, rt.antipodal_optimum(p, ratio).loss / rug, color=colour, label=f"p = {p:g}")
ax.axhline(1, color="0.8", linewidth=0.8, zorder=0)
ax.set(
    xscale="log",
    yscale="log",
    ylim=(0.08, 1.5),
    yticks=[0.1, 0.2, 0.5, 1],
    yticklabels=["0.1", "0.2", "0.5", "1"],
    xlabel="compression ratio r",
    ylabel="loss / loss of the Gaussian rug",
)
ax.legend(frameon=False)
plt.show()
