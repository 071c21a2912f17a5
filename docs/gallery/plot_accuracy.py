"""
Errors in units of eps
======================

The package against integrals of the definition at 50 digits, from ``tests/oracle``: losses at given
(a, b, σ, p), and least losses with their a and b over the whole plane of p and ratio. The reference
values have 32 digits, and the differences are formed in decimal arithmetic.
"""

import csv
import sys
from decimal import Decimal
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import rugtheory as rt

EPS = float(np.finfo(float).eps)
DATA = Path(sys.argv[0]).resolve().parents[2] / "tests" / "oracle" / "data"


def read(name):
    """The columns of a table, as strings."""
    lines = (DATA / f"{name}.csv").read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    return {key: [row[key] for row in rows] for key in rows[0]}


def in_eps(found, reference):
    """Relative errors of doubles against decimal strings."""
    pairs = [(Decimal(float(x)), Decimal(y)) for x, y in zip(found, reference, strict=True)]
    return np.array([float(abs(x - y) / abs(y) if y else abs(x - y)) for x, y in pairs]) / EPS


def numbers(table, *names):
    return [np.array(table[name], float) for name in names]


given = read("loss_uniform")
a, b, sigma, q = numbers(given, "a", "b", "sigma", "p")
at_given = in_eps(rt.reduced_loss(a, b, sigma, q), given["total"])
print(f"reduced_loss: {q.size} points, worst {at_given.max():.1f} eps")

table = read("optimum_uniform")
p, ratio = numbers(table, "p", "ratio")
best = rt.optimum(p, ratio)
errors = {key: in_eps(getattr(best, key), table[key]) for key in ("loss", "a", "b")}
for key, error in errors.items():
    at = error.argmax()
    print(
        f"optimum, {key}: {p.size} points, worst {error.max():.1f} eps, at p = {p[at]:.3g}, "
        f"ratio = {ratio[at]:.3g}"
    )

figure, axes = plt.subplots(2, 2, figsize=(10.5, 8), layout="constrained")
shown = np.maximum(sigma, 1e-10)  # σ = 0 at the left edge
axes[0, 0].loglog(shown, np.maximum(at_given, 0.1), ".", color="#0072B2")
axes[0, 0].set(xlabel="σ (0 drawn at 1e-10)", ylabel="relative error / eps")
axes[0, 0].set_title("reduced_loss", fontsize="medium")
for ax, (key, error) in zip(axes.flat[1:], errors.items(), strict=True):
    odds = ratio / (1 - ratio)
    points = ax.scatter(p, odds, c=np.maximum(error, 0.1), s=14, norm="log", cmap="viridis")
    ax.set(xscale="log", yscale="log", xlabel="p", ylabel="ratio / (1 - ratio)")
    ax.set_title(f"optimum: {key}", fontsize="medium")
    figure.colorbar(points, ax=ax, label="relative error / eps")
plt.show()
