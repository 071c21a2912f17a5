"""
Groups and precedence
=====================

Losses for rare features, p = 0.01, over p². A rug (blue), a rug of antipodal pairs (orange), groups
of features on the vertices of strongly regular graphs (points), uneven pairs (square), and the
best of them side by side (black), which weights with couplings up to 10 can be. Below all is the
limit of unbounded couplings (dashed): features in two hidden units with an order of precedence.
"""

import matplotlib.pyplot as plt
import numpy as np

import rugtheory as rt

p = 0.01
ratio = np.geomspace(0.04, 0.5, 60)
figure, ax = plt.subplots(figsize=(7.5, 5), layout="constrained")
ax.plot(ratio, rt.optimum(p, ratio).loss / p**2, color="#0072B2", label="rug")
ax.plot(ratio, rt.antipodal_optimum(p, ratio).loss / p**2, color="#D55E00", label="rug of pairs")
ax.plot(ratio, rt.best_known(p, ratio).loss / p**2, "k", lw=1, label="best known, couplings to 10")
limit = rt.best_known(p, ratio, limit=True)
ax.plot(ratio, limit.loss / p**2, "k--", lw=1, label="limit: precedence")
for name in rt.GRAPHS:
    best = rt.graph_optimum(p, name)
    ax.plot(best.ratio, best.loss / p**2, "ko", markersize=5)
    ax.annotate(name, (best.ratio, float(best.loss) / p**2), (-5, 2), ha="right",
                textcoords="offset points", fontsize="x-small")  # fmt: skip
ax.plot(0.5, rt.uneven_pairs(p).loss / p**2, "ks", markersize=5, label="uneven pairs")
ax.set(xscale="log", yscale="log", xlabel="compression ratio r", ylabel="loss / p²", ylim=(0.1, 40))
ax.minorticks_off()
ax.set_xticks([0.05, 0.1, 0.2, 0.5], ["0.05", "0.1", "0.2", "0.5"])
ax.legend(frameon=False)
plt.show()
