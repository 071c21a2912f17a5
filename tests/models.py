"""Trained weights kept as data, and simulation of a single output."""

from pathlib import Path

import numpy as np

import rugtheory as rt

DATA = Path(__file__).parent / "data"
# p = 0.045; the command that trained each is in its metadata.
TRAINED = {path.stem: path for path in sorted(DATA.glob("trained_*.safetensors"))}


def monte_carlo(a, weights, b, p, amplitude, samples, seed=0):
    """Mean squared error of ReLU(a x + weights·x' + b), and its standard error."""
    source, generator = rt.SparseSource(p, amplitude), np.random.default_rng(seed)
    losses = []
    for _ in range(10):
        x = source.sample(samples // 10, generator)
        z = source.sample((samples // 10, len(weights)), generator) @ weights
        losses.append((x - np.maximum(a * x + z + b, 0)) ** 2)
    losses = np.concatenate(losses)
    return losses.mean(), losses.std() / np.sqrt(losses.size)


def alike(w_in, w_out, b, p, amplitude=rt.Uniform(), decoder="relu"):
    """A model and identical features."""
    model = rt.Model(w_in, w_out, b, activation=decoder)
    return model, rt.Identical(model.n_sparse, p, amplitude)
