"""
Scaling laws of power-law frequencies
=====================================

The loss of the best allocation against the number of hidden units, for frequencies that fall as a
power α of the rank, and its exact exponent. For α > 1 the exponent is near 2α - 1, for less near 1;
few hidden units represent few features, and then the loss hardly falls. Dashed: the law for sparse
features, and the exponents of its limits.
"""

import matplotlib.pyplot as plt
import numpy as np

from rugtheory.figures import draw_allocation_scaling
from rugtheory.figures.allocation_numbers import zipf_curves

curves = zipf_curves([0.5, 1, 1.5, 2], np.geomspace(2, 700, 12), n_sparse=2000, largest=0.1)

figure, panels = plt.subplots(2, 1, figsize=(7, 6.5), sharex=True, layout="constrained")
draw_allocation_scaling(curves, panels)
plt.show()
