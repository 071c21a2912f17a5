"""
Scaling laws with their residuals
=================================

The exact least loss at r = √p, the laws for small noise to first and second order in σ, and the
linear model. The lower panel shows how far each law is from the exact loss.
"""

import matplotlib.pyplot as plt
import numpy as np

from rugtheory.figures import draw_scaling, numbers

p = np.geomspace(1e-8, 0.3, 60)
curves = numbers.scaling_curves(p, np.sqrt(p))

figure, panels = plt.subplots(2, 1, figsize=(7, 6.5), sharex=True, layout="constrained")
draw_scaling(curves, "p", panels)
panels[0].set_title("Ratio r = √p", fontsize="medium")
panels[1].set_xlabel("probability p that a feature is on")
plt.show()
