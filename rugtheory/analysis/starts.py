"""Weights to descend from: random ones, those of rare features, the best known, or given ones."""

from __future__ import annotations

import numpy as np

from .. import _check
from .._check import Array
from ..model.model import Model, check_fit
from ..source.features import Features
from ..source.identical import Identical
from ..source.independent import Independent
from ..source.sparse import on_law
from ..structure.quiet import unit_columns
from ..theory.optimum import optimum
from .allocated_model import allocated_model
from .best_model import best_model
from .pair_energy import leak_of, low_energy
from .row_descent import Symmetric
from .statistics import interference_variance

RANDOM, RARE, BEST = INITS = ("random", "rare", "best")
# n_sparse² n_dense up to which a start "rare" competes with the best weights known.
_SOON = 2**26
# W_out against W_in: tied and alike, outputs would stay so.
_UNLIKE = {RANDOM: 0.05, RARE: 0.01}
# Of features that are rarer less, as positive couplings cost the more.
_RARER = 0.01
# Rounding of float32 weights.
_UNIT = 1e-6


def starts_of(
    init: str | Model,
    features: Features,
    n_dense: int,
    generator: np.random.Generator,
    *,
    cap: float,
    noise: float,
    tied: bool,
) -> list[Model]:
    """Starts of that name, or the one given; ValueError if it does not go with the rest.

    Where features are alike the best weights known are copies of a few blocks if n_sparse is large,
    and weights that all features share, with a start "rare", may end lower: they are two starts.
    """
    if isinstance(init, Model):
        check_fit(init, features)
        if init.n_dense != n_dense:
            raise ValueError(f"init must have n_dense = {n_dense}, got {init.n_dense}")
        _check_init(init, noise, tied)
        return [init]
    if not (isinstance(init, str) and init in INITS):
        names = ", ".join(map(repr, INITS))
        made = ", such as its .model" if hasattr(init, "model") else ""
        raise ValueError(f"init must be {names} or a Model{made}, got {_check.shown(init)}")
    if init == RANDOM:
        w_in = generator.normal(size=(n_dense, len(features)))
        w_in /= np.linalg.norm(w_in, axis=0)
        return [_decoded(w_in, w_in.T, features, generator, _UNLIKE[RANDOM])]
    _check_named(init, features, cap, noise, tied)
    if not _alike(features):
        return [allocated_model(features, n_dense, max_coupling=cap).model]
    if init == RARE:
        return [_rare(features, n_dense, generator)]
    best = _best(features, n_dense, cap, noise)
    soon = len(features) ** 2 * n_dense <= _SOON
    return [best, _rare(features, n_dense, generator)] if soon else [best]


def _rare(features: Features, n_dense: int, generator: np.random.Generator) -> Model:
    """Couplings of low pair energy, of features that are alike."""
    (law,), p = features.by_law, float(features.on_probability[0])
    at = Symmetric(len(features), n_dense)
    leak = leak_of(float(on_law(p, law)[0]), len(features))
    low = at.model(low_energy(at, generator, leak))
    unlike = _UNLIKE[RARE] * min(1.0, float(np.sqrt(p / _RARER)))
    return _decoded(low.w_in, low.w_out, features, generator, unlike)


def _best(features: Features, n_dense: int, cap: float, noise: float) -> Model:
    """The best weights known, of features that are alike."""
    (law,), p = features.by_law, float(features.on_probability[0])
    options = {"max_coupling": cap, "hidden_noise": noise}
    best = best_model(len(features), n_dense, p, amplitude=law, **options).model
    if not noise:
        return best
    # Columns of features that are dropped are 0: the others share their length.
    return Model(*unit_columns(best.w_in, best.w_out), best.b, hidden_noise=noise)


def _check_named(init: str, features: Features, cap: float, noise: float, tied: bool) -> None:
    """Raise if these are no features of a start of that name, other than a random one."""
    if tied:
        raise ValueError(f"tied must be False with init = {init!r}, whose W is not positive")
    alike = _alike(features)
    if not alike and (init == RARE or not features.independent):
        raise ValueError(
            f"init must not be {init!r} for features that are not "
            f"{'alike and ' * (init == RARE)}independent"
        )
    if init == BEST and cap == np.inf:
        raise ValueError("max_coupling must not be None with init = 'best', which has such a cap")
    if noise and not alike:
        raise ValueError(
            f"hidden_noise must be 0 with init = {init!r} for features that are not alike, "
            f"got {noise}"
        )


def _check_init(init: Model, noise: float, tied: bool) -> None:
    """Raise if a descent with these settings would not start from these weights."""
    if init.activation != "relu":
        raise ValueError(f"init must have the activation 'relu', got {init.activation!r}")
    if init.hidden_noise != noise:
        raise ValueError(f"hidden_noise must be that of init, {init.hidden_noise}, got {noise}")
    if noise and abs(np.sum(init.w_in**2) / init.n_sparse - 1) > _UNIT:
        raise ValueError(
            "init must have columns of W_in of mean square length 1 with hidden_noise, "
            f"got {np.sum(init.w_in**2) / init.n_sparse}"
        )
    if tied and not np.array_equal(init.w_out, init.w_in.T):
        raise ValueError("tied must be False for an init whose w_out is not w_in transposed")


def _alike(features: Features) -> bool:
    """Whether features are independent and of one law."""
    laws = zip(features.on_probability, features.amplitudes, features.importance, strict=True)
    return isinstance(features, Identical | Independent) and len(set(laws)) == 1


def _decoded(
    w_in: Array, w_out: Array, features: Features, generator: np.random.Generator, unlike: float
) -> Model:
    """W of unit diagonal, W_out moved a little, with the best decoders for Gaussian noise."""
    sigma = np.sqrt(interference_variance(Model(w_in, w_out), features))
    a, b = np.ones((2, len(features)))
    for law, some in features.by_law.items():
        if law.start < 0:  # no ReLU serves both signs: half of the amplitudes, and no bias
            b[some] = 0.0
            continue
        share, on = on_law(1.0, law)
        best = optimum(share * features.on_probability[some], sigma=sigma[some], amplitude=on)
        a[some], b[some] = best.a, best.b
    means = features.mean
    heard = a * (w_out @ (w_in @ means) - means)
    moved = w_out + unlike / np.sqrt(len(w_in)) * generator.normal(size=w_out.shape)
    return Model(w_in, a[:, None] * moved, b - heard)
