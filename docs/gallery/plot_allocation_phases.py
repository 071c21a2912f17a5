"""
Dropped, in superposition, or alone
===================================

What becomes of one feature among very many depends on how often it is on and on its importance over
the price of a hidden unit. Rare features are in superposition over many decades of importance;
features that are mostly on are dropped or alone.
"""

import matplotlib.pyplot as plt
import numpy as np

from rugtheory.figures import draw_allocation_phases
from rugtheory.figures.allocation_numbers import allocation_phase_diagram

phases = allocation_phase_diagram(np.geomspace(1e-5, 1, 80), np.geomspace(1, 1e6, 120))

figure, ax = plt.subplots(figsize=(7.5, 5), layout="constrained")
draw_allocation_phases(phases, ax)
plt.show()
