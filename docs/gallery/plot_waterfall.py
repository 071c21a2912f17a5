"""
Why a trained model has the loss it has
=======================================

The way from the exact loss of a trained model down to the best structure known. Green terms are
what the model does worse than the next step, orange ones what it does better: here the skewed
interference more than makes up for its larger variance.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt

import rugtheory as rt
from rugtheory.figures import draw_waterfall

data = Path(sys.argv[0]).resolve().parents[2] / "tests" / "data"
model = rt.read_weights(data / "trained_512_128.safetensors")
verdict = rt.explain(model, rt.Identical(model.n_sparse, 0.045), rows=8)

figure, ax = plt.subplots(figsize=(8.5, 4.2), layout="constrained")
draw_waterfall(verdict, ax)
plt.show()
