"""All features spread over all hidden units, at couplings of low pair energy.

They serve sizes that blocks side by side do not fit.  Where features are rare, one that is dropped
loses more than all others together do in such weights.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..channel.least import least_loss
from ..channel.row_loss import RowLaw
from ..model.model import Model
from ..source.sparse import SparseSource
from ..structure.small_code import Directions
from .pair_energy import PairEnergy, leak_of, low_energy
from .row_descent import Symmetric

# On the pair energy, of which the lowest end counts.
_STARTS = 3
# Rows are much alike: so many say what decoder is best for all, and with which error.
_ROWS, _RTOL = 8, 1e-4


def spread_models(
    n_sparse: int, n_dense: int, source: SparseSource, cap: float, noise: float
) -> Iterator[tuple[Model, float]]:
    """Such weights at two costs of positive couplings, and about what they lose per feature.

    None for a single hidden unit, or one for each feature.
    """
    if not 1 < n_dense < n_sparse:
        return
    p, at = float(source.p), Symmetric(n_sparse, n_dense)
    for leak in sorted({leak_of(p, n_sparse), leak_of(p, 0)}):
        ends = [
            low_energy(at, np.random.default_rng(seed), leak, cap=cap) for seed in range(_STARTS)
        ]
        low = at.model(min(ends, key=lambda x: PairEnergy(at, leak, cap)(x)[0]))
        code, heard = Directions(low.w_in, low.w_out).with_noise(noise)
        some = np.unique(np.linspace(0, n_sparse - 1, _ROWS).astype(np.int64))
        laws = [RowLaw.identical(code.interferers[i], source, float(heard[i])) for i in some]
        best = [least_loss(law, _RTOL) for law in laws]
        a = float(np.median([row.a for row in best]))
        if not a > 0:
            continue
        b = -a * float(np.median([row.threshold for row in best if row.a > 0]))
        model = Model(code.w_in, a * code.w_out, np.full(n_sparse, b), hidden_noise=noise)
        yield model, float(np.mean([row.loss for row in best]))
