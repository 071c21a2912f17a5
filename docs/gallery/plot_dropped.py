"""
Dropped features
================

The loss of the rug is not a convex function of the ratio. Below the ratio r_c, where the straight
line from the loss v(p) at ratio 0 touches the curve, it is better to represent the fraction r/r_c
of the features and to predict the mean of the others.
"""

import matplotlib.pyplot as plt
import numpy as np

import rugtheory as rt

P = 0.045
critical = float(rt.critical_ratio(P))
ratio = np.linspace(0.001, 0.3, 150)
variance = rt.SparseSource(P).variance
rug, mixed = rt.optimum(P, ratio).loss / variance, rt.mixture_loss(P, ratio) / variance

figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
axes[0].plot(ratio, rug, color="#0072B2", label="all features represented")
axes[0].plot(ratio, mixed, "--", color="#D55E00", label="some dropped")
axes[0].axvline(critical, color="0.7", linestyle=":")
axes[0].annotate(
    f"r_c = {critical:.3f} = {critical / P:.2f} p",
    (critical, 0.9),
    xytext=(4, 0),
    textcoords="offset points",
)
axes[0].set(xlabel="compression ratio r", ylabel="loss / variance of a feature")
axes[0].set_title(f"p = {P}", fontsize="medium")
axes[0].legend(frameon=False, loc="lower left")

p = np.geomspace(1e-5, 0.5, 40)
axes[1].plot(p, rt.critical_ratio(p) / p, color="#0072B2")
axes[1].set(xscale="log", xlabel="probability p that a feature is on", ylabel="r_c / p")
axes[1].set_title("Critical ratio", fontsize="medium")
plt.show()
