"""
The law of the interference, exactly
====================================

What the other features add to one reading, by inversion of its moment generating function, and the
Gaussian of the same mean and variance. In a random rug of this size the two nearly agree; in a
trained model the interference is skewed to the negative side, where the ReLU does not see it.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt

import rugtheory as rt
from rugtheory.figures import draw_row_law, numbers

P = 0.045
rug = rt.hadamard_rug(512, 128, seed=0)
data = Path(sys.argv[0]).resolve().parents[2] / "tests" / "data"
model = rt.read_weights(data / "trained_512_128.safetensors")
features = rt.Identical(512, P)
models = {"rug": rug.model(1.0, 0.0), "trained": model}

figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.2), sharey=True, layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    channel = rt.RowChannel(model, features, 0)
    draw_row_law(numbers.row_law(channel), ax)
    distance = channel.distance_from_gaussian().value
    ax.set_title(
        f"{name}, (512, 128), p = {P}\nskewness {channel.skewness:.2f}, "
        f"distance from Gaussian {distance:.3f}",
        fontsize="medium",
    )
axes[1].set_ylabel("")
plt.show()
