"""
Loss against compression ratio
==============================

The least loss of a Persian rug over the variance of a feature, with rugs simulated beside it. A
curve leaves the linear model's where the ratio comes to a few times p.
"""

import matplotlib.pyplot as plt
import numpy as np

import rugtheory as rt
from rugtheory.figures import draw_curves

curves = rt.loss_curves([0.01, 0.05, 0.1, 0.4], np.linspace(0.02, 0.9, 12))
curves = rt.simulated_curves(curves, 50, n_sparse=2048)

figure, ax = plt.subplots(figsize=(7.5, 5), layout="constrained")
draw_curves(curves, ax)
plt.show()
