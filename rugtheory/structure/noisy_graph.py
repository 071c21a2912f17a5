r"""The best diagonal, bias and lift of a graph code with noise in the hidden units.

W = (I - A/θ + μJ)/(1 + μ) has the eigenvalue e = (1 - k/θ + μn)/(1 + μ) on the vector of ones, and
others that are not negative add up to n - e.  All rows are alike, so with `quiet_factors` each
hears noise of deviation τ times the sum of the moduli over n,

.. math:: 1 + 2\,(-e)_+/n .
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy

from ..channel.least import least_loss
from ..channel.row_loss import Least, RowLaw
from ..model.model import Model
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from .graph_optimum import even_lift, interferers
from .graphs import TABLE, GraphOptimum, graph_code
from .quiet import quiet_factors

# Of losses that are compared, and of the loss returned.
_RTOL, _FINAL = 1e-6, 1e-9
# Lifts that are tried, in units of that of the linear decoder, and searches between.
_LIFTS = np.append(0.0, np.geomspace(3e-3, 1.2, 7))
_REFINED = 10


def noise_of(name: str, lift: float) -> float:
    """Deviation of what an output hears of noise of deviation 1, for a diagonal of 1."""
    graph = TABLE[name]
    on_ones = (1 - graph.degree / graph.theta + lift * graph.n) / (1 + lift)
    return 1 + 2 * max(-on_ones, 0.0) / graph.n


@lru_cache(maxsize=1024)
def best_of_noisy(
    name: str, p: float, amplitude: Amplitude, noise: float
) -> tuple[float, float, float, float]:
    """a, b, μ and the loss, with noise in the hidden units of this deviation."""
    source, tried = SparseSource(p, amplitude), dict[float, Least]()

    def loss(lift: float, rtol: float = _RTOL) -> float:
        law = RowLaw.identical(interferers(name, lift), source, noise * noise_of(name, lift))
        tried[lift] = least_loss(law, rtol)
        return tried[lift].loss

    lifts = (even_lift(name) * _LIFTS).tolist()
    k = int(np.argmin([loss(lift) for lift in lifts]))
    scipy.optimize.minimize_scalar(
        loss,
        bounds=(lifts[max(k - 1, 0)], lifts[min(k + 1, len(lifts) - 1)]),
        method="bounded",
        options={"maxiter": _REFINED},
    )
    lift = min(tried, key=lambda x: tried[x].loss)
    loss(lift, _FINAL)
    best = tried[lift]
    # Without a diagonal a feature is as good as dropped.
    return max(best.a, 0.0), best.bias(float(source.mean)), lift, best.loss


def noisy_graph_model(name: str, p: float, amplitude: Amplitude, noise: float) -> Model:
    """Weights with the least loss; columns of W_in have mean square length 1."""
    a, b, lift, loss = best_of_noisy(name, p, amplitude, noise)
    found = (np.array(x) for x in (a, b, lift, loss))
    best = GraphOptimum(np.array(p), TABLE[name].ratio, *found)
    model = graph_code(name).model(best)
    w_in, w_out = quiet_factors(model.w_in, model.w_out)
    return Model(w_in, w_out, model.b, hidden_noise=noise)
