"""
Phase diagram
=============

Where which law holds within 10 %, where a rug does better to drop features, and where antipodal
pairs do better than a rug, in the plane of p and ratio.
"""

import matplotlib.pyplot as plt
import numpy as np

from rugtheory.figures import draw_phases, numbers

phases = numbers.phase_diagram(np.geomspace(1e-6, 0.9, 60), np.geomspace(1e-5, 0.95, 60))

figure, ax = plt.subplots(figsize=(7.5, 5.5), layout="constrained")
draw_phases(phases, ax)
plt.show()
