r"""Features of SAELens' synthetic models, from the folder that they are saved in.

Each feature of such a model fires by itself with a probability of its own.  What fires is switched
off again if the parent above it is off; and of siblings that exclude each other, if several fire,
one is kept at random.  So given that the parent is on the k-th of them is on with probability

.. math:: p_k E\frac{1}{1 + N_k} = p_k \int_0^1 \prod_{j≠k} (1 - p_j + p_j x)\, dx ,

with N_k the number of others that fire.

With `compensate_probabilities` the p_k have factors that make up for both, as saved too.

What fires has a magnitude N(m, s²) and passes a ReLU, before parents and siblings are looked at: it
is on with probability p Φ(m/s), and then the law is that of `TruncatedNormal`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from .. import _check
from .._check import Array
from .._files import read_tensors
from ..numerics.gauss import legendre_rule
from .amplitude import Amplitude
from .discrete import Constant
from .features import Features
from .independent import Independent
from .pattern import Every, On, OneOf, Pattern
from .patterned import Patterned
from .truncated_normal import TruncatedNormal

CONFIG = "synthetic_model_config.json"
_WEIGHTS = "synthetic_model.safetensors"
_HIERARCHY = "hierarchy.json"
# Settings that say nothing of the law of the features.
_OTHERS = {"hidden_dim", "orthogonalization", "bias", "dtype", "seed"}
_LAW = {
    "num_features", "firing_probability", "hierarchy", "correlation",
    "std_firing_magnitudes", "mean_firing_magnitudes",
}  # fmt: skip
_NODE = {
    "feature_index", "mutually_exclusive_children", "feature_id", "children",
    "scale_children_by_parent",
}  # fmt: skip


def read_saelens(folder: Path) -> Features:
    """The law of the features of a synthetic model; ValueError for what is not one of ours."""
    config = _json(folder / CONFIG)
    _known(config, _OTHERS | _LAW, "settings")
    n = _check.integer("num_features", config.get("num_features"), 1)
    if config.get("correlation") is not None:
        raise ValueError("correlation must be null: no law here is a Gaussian copula of low rank")
    deviation = _magnitudes("std_firing_magnitudes", config.get("std_firing_magnitudes", 0.0), n)
    if np.any(deviation < 0):
        raise ValueError(f"std_firing_magnitudes must not be negative, got {deviation.min():g}")
    size = _magnitudes("mean_firing_magnitudes", config.get("mean_firing_magnitudes", 1.0), n)
    if np.any(size <= 0):
        raise ValueError(f"mean_firing_magnitudes must be positive, got {size.min():g}")
    varies = deviation > 0
    p, given, roots = _probabilities(folder, config, n), config.get("hierarchy"), []
    if given is not None:
        roots = _roots(folder)
        # What is saved is compensated already.
        if given.get("compensate_probabilities") and not (folder / _WEIGHTS).is_file():
            p = np.minimum(p * _compensation(roots, p), 1.0)
    p[varies] *= special.ndtr(size[varies] / deviation[varies])
    laws = [_law(float(m), float(s)) for m, s in zip(size, deviation, strict=True)]
    if given is None:
        return Independent(p, laws)
    if varies.any():
        for root in roots:
            _unscaled(root)
    blocks = [Every(tuple(_below(x, p))) for x in roots]
    inside = [i for block in blocks for i in block.features()]
    alone = p.copy()
    alone[inside] = 0.0
    return Patterned(alone, blocks, laws)


def _roots(folder: Path) -> list[Any]:
    """The nodes of the hierarchy that stand below no other."""
    if not (folder / _HIERARCHY).is_file():
        raise FileNotFoundError(
            f"no such file: {folder / _HIERARCHY}, which holds the hierarchy of the settings"
        )
    roots = _json(folder / _HIERARCHY).get("roots")
    if not isinstance(roots, list):
        raise ValueError(f"{_HIERARCHY} must have a list of roots, got {_check.shown(roots)}")
    return roots


def _compensation(roots: list[Any], p: Array) -> Array:
    """Factors of the probabilities by which SAELens makes up for parents and siblings.

    The inverse of p of the parent, and of siblings that exclude each other 1 + Σ_j p_j / p of the
    parent over the others: right for parents, approximately for siblings.
    """
    factor = np.ones_like(p)

    def below(node: Any, above: float) -> None:
        _known(node, _NODE, "nodes")
        own = _feature(node, p)
        if own is not None:
            factor[own] = 1 / above
            above = float(p[own])
        for child in node.get("children", []):
            below(child, above)
        if node.get("mutually_exclusive_children"):
            children = [_feature(child, p) for child in node.get("children", [])]
            rivals = [i for i in children if i is not None]
            if len(rivals) > 1:
                factor[rivals] *= 1 + (p[rivals].sum() - p[rivals]) / above

    for root in roots:
        below(root, 1.0)
    return factor


def _law(mean: float, deviation: float) -> Amplitude:
    return TruncatedNormal(mean, deviation) if deviation > 0 else Constant(mean)


def _unscaled(node: Any) -> None:
    """Raise if children are scaled by the magnitude of a parent, where that may vary."""
    _known(node, _NODE, "nodes")
    if node.get("scale_children_by_parent"):
        raise ValueError("scale_children_by_parent must be false where magnitudes vary, got true")
    for child in node.get("children", []):
        _unscaled(child)


def _below(node: Any, p: Array) -> list[Pattern]:
    """What a node and all below it do, given that what is above is on."""
    _known(node, _NODE, "nodes")
    exclusive = node.get("mutually_exclusive_children", False)
    below: list[Pattern] = []
    rivals: list[int] = []
    branches: list[Pattern] = []
    for child in node.get("children", []):
        found, feature = _below(child, p), _feature(child, p)
        if exclusive and feature is not None and isinstance(found[0], OneOf):
            # A choice of its own with one branch, which is what is kept.
            rivals.append(feature)
            branches.append(found[0].of[0])
        else:
            below += found
    if rivals:
        below.append(OneOf(tuple(_kept(p[rivals]).tolist()), tuple(branches)))
    own = _feature(node, p)
    if own is None:
        return below
    return [OneOf((float(p[own]),), (Every((On(own), *below)),))]


def _feature(node: Mapping[str, Any], p: Array) -> int | None:
    """The feature of a node; None if it only holds others together."""
    index = node.get("feature_index")
    return None if index is None else _check.integer("feature_index", index, 0, p.size - 1)


def _kept(p: Array) -> Array:
    """Probabilities that each of some that fire is the one that is kept."""
    x, w = legendre_rule(p.size // 2 + 1)
    x, w = (1 + x) / 2, w / 2
    factors = 1 - p + p * x[:, None]
    others = np.stack([np.delete(factors, k, axis=1).prod(axis=1) for k in range(p.size)])
    return np.asarray(p * (others @ w))


def _probabilities(folder: Path, config: Mapping[str, Any], n: int) -> Array:
    """As saved, or by the rule in the settings."""
    if (folder / _WEIGHTS).is_file():
        found = read_tensors(folder / _WEIGHTS).get("firing_probabilities")
        if found is None or found.shape != (n,):
            raise ValueError(
                f"{_WEIGHTS} must have {n} firing_probabilities, got {_check.shown(found)}"
            )
        return np.array(_check.probability("firing_probabilities", found))
    rule = dict(config.get("firing_probability") or {})
    name = rule.pop("generator_name", None)
    high, low = rule.pop("max_prob", 0.3), rule.pop("min_prob", 0.01)
    if name == "constant":
        p = np.full(n, rule.pop("probability", 0.1))
    elif name == "linear":
        p = np.linspace(high, low, n) if n > 1 else np.array([high])
    elif name == "zipfian":
        power = np.arange(1.0, n + 1) ** -rule.pop("exponent", 1.0)
        share = (power - power[-1]) / (power[0] - power[-1]) if n > 1 else np.ones(1)
        p = low + (high - low) * share
    else:
        raise ValueError(
            "firing_probability must be zipfian, linear or constant, or saved in "
            f"{_WEIGHTS}, got {_check.shown(name)}"
        )
    _known(rule, set(), "firing_probability")
    return np.array(_check.probability("firing_probability", p))


def _magnitudes(name: str, value: Any, n: int) -> Array:
    if isinstance(value, int | float):
        return np.full(n, _check.scalar(name, value))
    rule = dict(value or {})
    kind = rule.pop("generator_name", None)
    if kind == "constant":
        return np.full(n, _check.scalar(name, rule.get("value", 1.0)))
    if kind in ("linear", "exponential"):
        _known(rule, {"start", "end"}, name)
        ends = [_check.scalar(name, rule.get(x, np.nan)) for x in ("start", "end")]
        steps = np.linspace(0, 1, n)
        if kind == "linear":
            return ends[0] + (ends[1] - ends[0]) * steps
        return np.asarray(ends[0] * (ends[1] / ends[0]) ** steps)
    raise ValueError(
        f"{name} must be a number, constant, linear or exponential, got {_check.shown(kind)}"
    )


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} must hold an object, got {_check.shown(found)}")
    return found


def _known(given: Any, known: set[str], what: str) -> None:
    if not isinstance(given, Mapping):
        raise ValueError(f"{what} must be objects, got {_check.shown(given)}")
    if unknown := set(given) - known:
        names = ", ".join(sorted(unknown))
        raise ValueError(
            f"{what} must not have {names}, of unknown meaning, got {_check.shown(given)}"
        )
