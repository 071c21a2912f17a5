r"""Factors of W that hear least of the noise in the hidden units.

With columns of W_in of mean square length 1 and noise of deviation τ in each hidden unit, output i
hears noise of deviation τ |w_out,i|.  For any invertible G, W_out G⁻¹ and G W_in make the same W,
and with W = U Σ Vᵀ

.. math:: \sum_i |w_{\mathrm{out},i}|^2 ≥ \frac{(\operatorname{tr} Σ)^2}{n} ,

attained by W_in ∝ Σ^½ Vᵀ and W_out ∝ U Σ^½.
"""

from __future__ import annotations

import numpy as np

from .._check import Array


def quiet_factors(w_in: Array, w_out: Array) -> tuple[Array, Array]:
    """Factors of the same W with columns of W_in of mean square length 1 that hear least noise."""
    right, r_in = np.linalg.qr(w_in.T)
    left, r_out = np.linalg.qr(w_out)
    u, s, v = np.linalg.svd(r_out @ r_in.T)
    root, size = np.sqrt(s), np.sqrt(s.sum() / w_in.shape[1])
    return (root[:, None] * v) @ right.T / size, (left @ u * root) * size


def unit_columns(w_in: Array, w_out: Array) -> tuple[Array, Array]:
    """The same up to a factor, such that columns of W_in have mean square length 1."""
    size = np.sqrt(np.sum(w_in**2) / w_in.shape[1])
    return w_in / size, w_out * size
