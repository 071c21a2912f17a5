"""
The Persian rug, plain and antipodal
====================================

W = W_out W_in of two rugs of the same size, which interfere with the same variance. In the second
one all rows of the Hadamard matrix have their highest bit set, so features i and i + 32 are stored
as v and -v. The rows are chosen with a seed; same seed, same rug.
"""

import matplotlib.pyplot as plt

import rugtheory as rt
from rugtheory.figures import draw_rug

figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.6), layout="constrained")
draw_rug(rt.hadamard_rug(64, 16, seed=0), axes[0])
draw_rug(rt.antipodal_rug(64, 16, seed=0), axes[1])
axes[1].set_title("Antipodal rug of the same size", fontsize="medium")
plt.show()
