"""Hostile input: every argument of everything public meets every hostile value in turn.

The rest of the call is valid.  What comes back must be an answer without NaN, or a ValueError or
TypeError that names the argument and what it got; numpy's warnings count as failures.
"""

import dataclasses
import inspect
import json
import re
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import rugtheory as rt
from rugtheory import darkmatter as dm
from rugtheory.cli import main
from rugtheory.source.laws import LAWS
from validation.cli import main as validation

from .test_overwriting import parsers

RUG, SOURCE, CHANNEL = rt.hadamard_rug(8, 2, seed=0), rt.SparseSource(0.1), rt.GaussianChannel(0.2)
ROW = rt.RowChannel.of([0.3, -0.2], 0.1)
CURVES = rt.loss_curves(0.1, 0.5)
LAW, SEED = {"amplitude": rt.Uniform()}, {"seed": 0}
POINT = {"p": 0.1, "ratio": 0.4}
GRID = POINT | LAW
# Quick, for what searches long.
QUICK = {"amplitude": rt.Constant()}
READING = {"a": 1.2, "b": -0.3, "sigma": 0.2, "p": 0.1} | LAW
WEIGHTS = {"w_in": [[1.0, -1.0, 0.5]], "w_out": [[1.0], [-1.0], [0.5]], "b": [0.0, 0.1, -0.1]}
MODEL = {"model": rt.Model(**WEIGHTS), "features": rt.Identical(3, 0.3, rt.Constant())}
MODEL |= {"rows": 2} | SEED
FEATURES = MODEL["features"]
FAMILY = {"family": "gaussian", "max_coupling": 10.0}
TREE = rt.OneOf((0.3,), (rt.On(0),))
LINE = {"a": 1.0, "b": -0.1}
ROUND = {"progress": iter}
OPTIMISED = rt.optimised_rug(rt.hadamard_rug(8, 3, seed=0), SOURCE)

AMPLITUDES = {
    rt.Uniform: {"low": 0.5, "high": 1.0},
    rt.Constant: {"value": 1.0},
    rt.Exponential: {"scale": 1.0},
    rt.HalfNormal: {"scale": 1.0},
    rt.Beta: {"alpha": 2.0, "beta": 3.0},
    rt.FromQuadrature: {"nodes": [0.5, 1.0], "weights": [1.0, 2.0]},
}
AMPLITUDES |= {
    law: {x.name: x.default for x in dataclasses.fields(law)}
    for law in LAWS.values()
    if law not in AMPLITUDES
}
DECODERS = {
    rt.Linear: LINE,
    rt.ReLU: LINE,
    rt.JumpReLU: LINE | {"threshold": 0.2},
    rt.Gated: LINE | {"threshold": 0.2},
    rt.Bayes: {"channel": CHANNEL, "source": SOURCE},
}

X = np.random.default_rng(0).exponential(size=(24, 3))

# What is called, with valid arguments.
FUNCTIONS = {
    rt.allocate: {"features": FEATURES, "n_dense": 2.0} | FAMILY,
    rt.allocated_model: {"features": FEATURES, "n_dense": 2, "max_coupling": 4.0},
    rt.allocation_phases: {"p": 0.1} | FAMILY | LAW,
    rt.allocation_scaling: {"features": FEATURES, "n_dense": 2.0} | FAMILY,
    rt.antipodal_loss: READING,
    rt.antipodal_optimum: GRID,
    rt.antipodal_rug: {"n_sparse": 8, "n_dense": 2} | SEED,
    rt.antipodal_sigma: GRID,
    rt.best_known: POINT | {"max_coupling": 10.0, "hidden_noise": 0.0, "limit": True} | QUICK,
    rt.best_model: {"n_sparse": 4, "n_dense": 2, "p": 0.1, "max_coupling": 4.0}
    | {"hidden_noise": 0.1}
    | QUICK,
    rt.capacity_bound: {"features": FEATURES, "n_dense": 2},
    rt.critical_ratio: {"p": 0.1} | QUICK,
    rt.cubic_sum: {"w": [[1.0, -0.5], [-0.5, 1.0]]},
    rt.decoder_loss: {"decoder": rt.ReLU(1.0, 0.0), "channel": CHANNEL, "source": SOURCE},
    rt.decoder_table: GRID | {"channel": "gaussian"},
    rt.exact_loss: MODEL | {"rtol": 1e-6} | ROUND,
    rt.exact_gradient: {"model": MODEL["model"], "features": rt.Identical(3, 0.1), "rtol": 1e-6},
    rt.exact_hessian_product: (
        {"model": MODEL["model"], "features": rt.Identical(3, 0.1), "rtol": 1e-6}
        | {"direction": [np.ones((1, 3)), np.ones((3, 1)), np.ones(3)]}
    ),
    rt.exact_loss_torch: {"features": rt.Identical(3, 0.1), "hidden_noise": 0.1, "rtol": 1e-6},
    rt.explain: MODEL | ROUND | {"family": "gaussian"},
    rt.finite_curves: (
        {"curves": CURVES, "draws": 2, "n_sparse": 8, "checkpoint": None} | ROUND | LAW | SEED
    ),
    rt.finite_rug: {"p": 0.1, "n_sparse": 8, "n_dense": 4, "draws": 2} | ROUND | QUICK | SEED,
    rt.fit_features: {"x": X, "atoms": 4, "importance": 1.0, "level": 0.05},
    rt.geometric: {"n": 3, "factor": 0.9},
    rt.read_features: {"path": "features.toml"},
    rt.zipf: {"n": 3, "largest": 0.5, "alpha": 1.0},
    rt.frame: {"features": FEATURES, "capacities": [1.0, 0.5, 0.5]} | SEED,
    rt.frame_spectrum: {"model": MODEL["model"]},
    rt.fwht: {"x": [1.0, 2.0], "axis": -1},
    rt.graph_code: {"name": "Gewirtz"},
    rt.graph_optimum: {"p": 0.1, "name": "Gewirtz"} | QUICK,
    rt.hadamard_rug: {"n_sparse": 8, "n_dense": 2} | SEED,
    rt.least_skewness: GRID,
    rt.linear_loss: GRID,
    rt.local_exponents: GRID,
    rt.loss_curves: GRID,
    rt.loss_gradient: READING,
    rt.loss_parts: READING,
    rt.lower_bound: POINT,
    rt.lower_bounds: (
        {"p": 0.1, "ratio": None, "n_sparse": 6, "n_dense": 3, "max_coupling": 2.0}
        | {"hidden_noise": 0.1}
    ),
    rt.minimize: {
        "features": rt.Identical(2, 0.1),
        "n_dense": 1,
        "init": "random",
        "max_coupling": 4.0,
        "hidden_noise": 0.01,
        "tied": False,
        "weight_decay": 1e-4,
        "steps": 3,
        "gtol": 1e-3,
        "curvature": 0,
        "rtol": 1e-3,
        "callback": None,
    }
    | SEED
    | ROUND,
    rt.mixture_loss: POINT | QUICK,
    rt.optimised_rug: {"rug": rt.hadamard_rug(8, 3, seed=0), "source": SOURCE},
    rt.optimum: GRID | {"sigma": None},
    rt.rug_curvature: {"optimised": OPTIMISED, "characters": [0, 3]} | ROUND,
    rt.precedence_code: {"n_sparse": 5, "scale": 10.0},
    rt.precedence_loss: {"p": 0.1, "n_sparse": 5} | LAW,
    rt.optimum_decoder: GRID | {"kind": "topk", "channel": "gaussian", "keep": 0.1},
    rt.read_weights: {"x": "model.npz", "names": None, "ignore": (), "instance": None},
    rt.reduced_loss: READING,
    rt.regime: GRID,
    rt.represented_fraction: POINT | QUICK,
    rt.row_law: {
        "features": rt.Identical(3, 0.02),
        "n_dense": 2,
        "classes": 1,
        "free": False,
        "max_coupling": 4.0,
        "seeds": 0,
        "steps": 3,
        "gain": 1e-2,
        "products": 2,
    }
    | ROUND,
    rt.save_curves: {"curves": CURVES, "directory": "curves"},
    rt.simulate: LINE | {"rug": RUG, "source": SOURCE, "n_samples": 2, "batch": 1} | SEED,
    rt.simulated_curves: (
        {"curves": CURVES, "n_samples": 2, "n_sparse": 8, "checkpoint": None} | ROUND | LAW | SEED
    ),
    rt.sparse_allocation_law: {"features": FEATURES, "n_dense": 2.0},
    rt.sparse_constant_expansion: {"p": 0.1},
    rt.sparse_constants: {"p": 0.1} | LAW,
    rt.sparse_law: GRID | {"kind": "relu", "order": 1},
    rt.statistics: MODEL | ROUND,
    rt.uneven_pairs: {"p": 0.1, "max_coupling": 10.0, "hidden_noise": 0.1} | QUICK,
    rt.upper_bound: GRID,
    rt.welch_sigma: GRID,
}
# Activations, their reconstructions, and labels of contexts.
HAT, CONTEXTS = X * [0.9, 0.5, 0.2] + 0.1 * X**2, np.repeat(np.arange(6), 4)
RESAMPLED = {"contexts": CONTEXTS, "test_fraction": 0.25, "bootstrap": 3} | SEED
BLOCKS = RESAMPLED | {"block_rows": 5}
WEIGHT = dm.WeightLaw.poisson(1.0)
PARTS, FIT = dm.decompose(X, HAT), dm.fit_floor([1, 2, 4, 8], [1.3, 0.8, 0.62, 0.5])
EYE, EMPTY = np.eye(3), np.zeros(3)
CODER = {"architecture": "topk", "w_enc": EYE, "b_enc": EMPTY, "w_dec": EYE, "b_dec": EMPTY}
CODER |= {"threshold": None, "k": 2, "b_gate": None, "r_mag": None, "subtract_b_dec": True}
CODER |= {"normalization": "none", "metadata": {}, "transcoder": False, "w_skip": None}
SAE = dm.SAE(**CODER)
PROBED = dm.regress(X, HAT)
BENCH = {"features": EYE, "p": 0.3, "rows": 40} | LAW | SEED
REPORT = {"about": {}, "saes": [], "pairs": [], "groups": [], "tokens": {}, "null": {"x": 0.0}}
REPORT["about"] |= {"rows": 1, "columns": 1, "rows_held_out": 1, "contexts": None}
MOMENTS = {"mean": 1.0, "variance": 1.0}

DARK = {
    dm.adjacent: (
        {"components": {"x": X}, "x": X, "x_hat": HAT, "decomposition": PARTS} | BLOCKS
    ),
    dm.alignment: {"latents": X, "decoder": EYE} | BLOCKS,
    dm.decompose: {"x": X, "x_hat": HAT, "convention": "centred"} | BLOCKS,
    dm.detect_features: (
        {"match": dm.match_features(EYE, EYE), "codes": X, "weights": X, "block_rows": 5}
    ),
    dm.features_from_gram: {"gram": EYE},
    dm.fit_floor: {
        "size": [1, 2, 4, 8], "loss": [1.3, 0.8, 0.62, 0.5], "sigma": None, "confidence": 0.9
    },
    dm.gaussian_null: {"mean": EMPTY, "covariance": EYE},
    dm.gradient_pursuit: {"x": X, "dictionary": EYE, "l0": 2, "exact": True} | ROUND,
    dm.leaked_variance: {"dense": 1.0, "signal": 1.0},
    dm.loss_recovered: (
        {"loss": X[:, 0], "with_x_hat": X[:, 1] + 1, "with_part": X[:, 2], "contexts": CONTEXTS}
        | {"bootstrap": 3} | SEED
    ),
    dm.match_features: {"decoder": EYE, "features": EYE},
    dm.masked_error: {"ratio": 0.5, "fraction": 0.5},
    dm.norm_probe: {"features": EYE, "law": WEIGHT},
    dm.norm_test: {"v": X, "x": HAT, "tokens": CONTEXTS, "l0": X[:, 0]} | BLOCKS,
    dm.orthogonal_matching_pursuit: {"x": X, "dictionary": EYE, "l0": 2},
    dm.per_token: {"small": X[:, 0], "large": X[:, 1], "nonlinear": X[:, 2]} | RESAMPLED,
    dm.read_activations: {"path": "acts.npy"},
    dm.read_sae: {"path": "sae", "input_scale": None, "dtype": None, "transcoder": None},
    dm.regress: {"x": X, "y": HAT} | BLOCKS,
    dm.rug_dark_matter: (
        POINT | {"a": 1.0, "b": -0.1, "fraction": 0.5, "constant_row": False} | LAW
    ),
    dm.run_bench: (
        BENCH | {"learned": [1], "dense": [0.1, 0.2], "introduced": [0.1, 0.2], "bootstrap": 0}
    ),
    dm.sae_bench: (
        {"sae": SAE, "x": X, "learned": [0.5], "dense": [0.1, 0.2], "introduced": [0.1, 0.2]}
        | {"contexts": CONTEXTS} | SEED
    ),
    dm.save_figures: {"found": REPORT, "out": "."},
    dm.save_tables: {"found": REPORT, "out": ".", "pictures": []},
    dm.simulate_dark_matter: (
        LINE | {"rug": RUG, "source": SOURCE, "n_samples": 8, "fraction": 0.5, "batch": 4} | SEED
    ),
    dm.synthetic: BENCH | {"learned": 1, "dense": 0.1, "introduced": 0.1},
    dm.tables: {"found": REPORT, "pictures": []},
    dm.write_report: (
        {"x": X, "saes": {"one": SAE}, "out": "out", "tokens": CONTEXTS, "components": {"x": X}}
        | {"pursuit": ["one"], "align": ["one"], "about": {}, "l0": [2.0], "input_scale": None}
        | {"targets": None, "drop_first": 1, "drop_norm": 10.0, "drop_tokens": [0], "drop": None}
        | {"features": EYE, "weights": None, "baselines": {"loss": np.arange(len(X))}}
        | {"detail": lambda blocks, name: blocks, "convention": "centred"}
        | RESAMPLED | ROUND
    ),
    dm.write_sae: {"sae": SAE, "folder": "new"},
}  # fmt: skip
DARK_CLASSES = {
    dm.Reconstruction: {"x": X, "sae": SAE},
    dm.SAE: CODER,
    dm.WeightLaw: MOMENTS | {"slope": 1.0, "curvature": 1.0},
}
CLASSES = AMPLITUDES | DECODERS
CLASSES |= {
    rt.SparseSource: {"p": 0.1} | LAW,
    rt.GaussianChannel: {"sigma": 0.1},
    rt.AntipodalChannel: {"sigma": 0.1},
    rt.RowChannel: {"model": MODEL["model"], "features": MODEL["features"], "i": 1},
    rt.Model: WEIGHTS | {"activation": "relu", "hidden_noise": 0.1, "b_in": [0.2]},
    rt.Identical: {"n": 3, "p": 0.1} | LAW,
    rt.Independent: {"p": [0.1, 0.2], "importance": [1.0, 0.5]} | LAW,
    rt.Groups: {"groups": [rt.Together(0.1), SOURCE], "importance": 1.0},
    rt.Together: {"p": 0.1, "n": 2} | LAW,
    rt.Exclusive: {"p": [0.1, 0.2]} | LAW,
    rt.Parent: {"p": 0.1, "children": [SOURCE], "exclusive": False} | LAW,
    rt.Latent: {"p": [[0.1, 0.2], [0.3, 0.0]], "weights": [1.0, 2.0], "importance": 1.0} | LAW,
    rt.Patterned: {"p": [0.0, 0.2], "blocks": (TREE,), "importance": 1.0} | LAW,
    rt.Scenario: {"probability": 0.5, "p": np.array([1.0, 0.2]), "blocks": (rt.On(0),)},
    rt.On: {"feature": 1},
    rt.OneOf: {"p": (0.1, 0.2), "of": (rt.On(0), rt.On(1))},
    rt.Every: {"of": (rt.On(0), rt.On(1))},
    rt.Rug: {"n_sparse": 8, "rows": [1, 2], "channel": "gaussian"},
}
METHODS = {
    SOURCE.mgf: {"t": 0.1},
    SOURCE.quadrature: {"n": 2},
    SOURCE.sample: {"shape": 2} | SEED,
    ROW.mgf: {"s": 0.1},
    ROW.tail: {"t": 0.1, "atol": 1e-6},
    rt.RowChannel.of: {"weights": [0.1], "p": 0.1} | LAW,
    rt.Latent.sigmoid: {"offset": [-1.0, -2.0], "loading": 1.0, "nodes": 4, "importance": 1.0}
    | LAW,
    FEATURES.sample: {"n": 2} | SEED,
    FEATURES.sample_torch: {"n": 2, "dtype": None} | SEED,
    FEATURES.switches: {"n": 2} | SEED,
    FEATURES.source: {"i": 1},
    FEATURES.save: {"path": "features.toml"},
    MODEL["model"].save: {"path": "new.safetensors"},
    MODEL["model"].__call__: {"x": np.ones(3)},
    RUG.model: {"optimum": 1.0, "source": -0.1},
    rt.graph_code("Gewirtz").model: {"optimum": 1.0, "b": -0.1, "lift": 0.1},
    rt.precedence_code(5, 10.0).model: LINE,
    ROW.loss: LINE | {"rtol": 1e-6},
    ROW.gaussian_loss: LINE,
    ROW.corrected_loss: LINE | {"order": 4},
    RUG.sigma: {"p": 0.1} | LAW,
    RUG.interference_mean: {"p": 0.1} | LAW,
    RUG.skewness: {"p": 0.1} | LAW,
    RUG.bias: LINE | {"p": 0.1, "channel": "gaussian"} | LAW,
    RUG.w_out: {"a": 1.0},
    RUG.matrix: {"a": 1.0},
    RUG.encode: {"x": np.ones(8)},
    RUG.decode: LINE | {"h": np.ones(2)},
    rt.graph_code("Gewirtz").w_out: {"a": 1.0, "lift": 0.1},
    RUG.save: LINE | {"path": "rug.safetensors"} | SEED,
    rt.Rug.load: {"path": "rug.safetensors"},
    PARTS.linear: {"x": X},
    PARTS.nonlinear: {"x": X, "x_hat": HAT},
    PARTS.norms: {"x": X, "x_hat": HAT, "block_rows": 5},
    FIT.__call__: {"size": 2.0},
    PROBED.predict: {"x": X},
    SAE.encode: {"x": X},
    SAE.l0: {"x": X},
    SAE.decode: {"codes": X, "x": None},
    SAE.reconstruct: {"x": X},
    dm.WeightLaw.sparse: {"source": SOURCE},
    dm.WeightLaw.poisson: {"rate": 1.0},
    dm.WeightLaw.from_moments: MOMENTS | {"third": 1.0, "fourth": 4.0},
}
for kind, parameters in AMPLITUDES.items():
    law = kind(**parameters)
    METHODS |= {
        law.mgf: {"t": 0.5, "order": 0},
        law.quadrature: {"n": 2},
        law.sample: {"shape": 2} | SEED,
    }
    if hasattr(law, "density"):
        METHODS[law.density] = {"u": 0.5}
METHODS |= {kind(**parameters).__call__: {"y": 0.5} for kind, parameters in DECODERS.items()}
CALLS = {
    getattr(f, "__qualname__", ""): (f, arguments)
    for f, arguments in (FUNCTIONS | CLASSES | DARK | DARK_CLASSES | METHODS).items()
}
CALLS["optimum at sigma"] = rt.optimum, {"p": 0.1, "ratio": None, "sigma": 0.3} | LAW

# Results of functions, not to be made by hand, and bases.
NOT_CALLED = {
    "Allocation", "AllocationPhases", "AllocationScaling", "Amplitude", "AntipodalOptimum",
    "BestKnown", "BestModel", "Bound", "Channel", "DecoderOptimum", "ExactGradient", "ExactLoss",
    "Exponents", "Features", "FiniteRug", "FittedFeatures", "FrameSpectrum",
    "HessianProduct", "Minimum",
    "LossGradient", "LossParts", "OptimisedRug", "Optimum", "Regime", "RugCurvature", "SharedLaw",
    "SimulatedLoss", "SparseConstants", "Statistics", "UnevenPairs", "Verdict", "GRAPHS",
    "GraphCode", "GraphOptimum", "PrecedenceCode",
}  # fmt: skip
DARK_NOT_CALLED = {
    "Adjacent", "Alignment", "Bench", "BenchTable", "Decomposition", "Detection", "ErrorNorms",
    "FeatureMatch", "FloorFit", "LossRecovered", "MaskedError", "NormProbe", "NormScores",
    "NormTest", "PerToken", "Regression", "RugDarkMatter", "SaeBench", "Scores",
    "SimulatedDarkMatter",
}  # fmt: skip

HOSTILE = {
    "nan": np.nan,
    "inf": np.inf,
    "-inf": -np.inf,
    "negative": -1,
    "zero": 0,
    "one": 1,
    "tiny": 1e-320,
    "huge": 1e308,
    "huge negative": -1e308,
    "large": 1e40,
    "huge integer": 10**400,
    "fraction": 0.3,
    "true": True,
    "imaginary": 1j,
    "string": "x",
    "number as string": "0.5",
    "bytes": b"\0",
    "none": None,
    "empty": [],
    "ragged": [[1.0], [1.0, 2.0]],
    "strings": ["a", "b"],
    "nones": [None, None],
    "nan inside": [0.5, np.nan],
    "two": [0.4, 0.5],
    "three": [0.1, 0.2, 0.3],
    "cube": np.full((2, 2, 2), 0.5),
    "booleans": np.array([True, False]),
    "complex array": np.array([1j, 2]),
    "dates": np.array(["2026-01-01"], "datetime64[D]"),
    "objects": np.array([object()]),
    "dict": {"p": 0.1},
    "set": {0.1},
    "object": object(),
    "type": rt.Uniform,
    "masked": np.ma.masked_array([0.1, 0.2], mask=[True, False]),
    "timedelta": np.timedelta64(1, "s"),
    "of many lines": pd.DataFrame({"x": [0.1, 0.2]}),
    "long string": "x" * 10**4,
    "without numbers": torch.zeros(2, device="meta"),
}
# Any function is valid there, and what it does its own business.
FUNCTION_ARGUMENTS = {"callback", "decoder", "progress", "checkpoint", "detail"}
# Nothing hostile for a p or a ratio, and slow where they take a search.
ORDINARY = {"fraction", "two", "three", "cube"}
# Documented: where there is no such number.
MAY_LACK = {
    "best_known": (".a", ".b", ".coupling"),
    "exact_loss": (".standard_error",),
    "least_skewness": ("",),
    "row_law": (".curvature",),
}
MAY_LACK["allocate"] = (".sigma",)
MAY_LACK["fit_floor"] = (".floor_interval[0]", ".alpha_interval[1]", ".beta_interval[0]")


def numbers(x, path=""):
    """All numbers in a result, with where they are."""
    if dataclasses.is_dataclass(x):
        for field in dataclasses.fields(x):
            yield from numbers(getattr(x, field.name), f"{path}.{field.name}")
    elif isinstance(x, Mapping):
        for key, value in x.items():
            yield from numbers(getattr(value, "values", value), f"{path}[{key}]")
    elif isinstance(x, tuple | list):
        for k, value in enumerate(x):
            yield from numbers(value, f"{path}[{k}]")
    elif isinstance(x, np.ndarray | np.number | float | complex):
        yield path, np.asarray(x)


def complaint(name, function, arguments, argument, value):
    """What is wrong with the answer to a hostile call, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = function(**(arguments | {argument: value}))
    except (ValueError, TypeError) as error:
        said = str(error)
        named = any(x in said.replace(":", " ").split() for x in arguments)
        clear = named and "got" in said and "\n" not in said and len(said) < 600
        return None if clear else f"{type(error).__name__}: {said:.600}"
    except OSError as error:
        is_path = argument in ("path", "directory", "out", "folder") or name == "read_weights"
        return None if is_path else repr(error)
    except Exception as error:
        return repr(error)
    for path, array in numbers(result):
        if array.dtype.kind in "fc" and not np.isfinite(array).all():
            if path not in MAY_LACK.get(name, ()):
                return f"not finite{path}"
    return None


@pytest.mark.parametrize("name", CALLS)
def test_hostile_arguments(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rugtheory.analysis.verdict.best_known", cache(rt.best_known))
    RUG.save("rug.safetensors")
    np.savez("model.npz", W_in=np.ones((1, 3)), W_out=np.ones((3, 1)), b=np.zeros(3))
    np.save("acts.npy", X)
    FEATURES.save("features.toml")
    dm.write_sae(SAE, "sae")
    function, arguments = CALLS[name]
    assert set(inspect.signature(function).parameters) == set(arguments)
    function(**arguments)
    wrong = {}
    for argument in arguments:
        for key, value in HOSTILE.items():
            if argument in FUNCTION_ARGUMENTS and key == "type":
                continue
            if value is arguments[argument]:  # 0, 1, None or True: the call above
                continue
            if argument in POINT and key in ORDINARY:
                continue
            found = complaint(name, function, arguments, argument, value)
            if found:
                wrong[f"{argument} = {key}"] = found
    assert not wrong, json.dumps(wrong, indent=1)


def test_everything_public_is_tried():
    tried = {f.__name__ for f in (*FUNCTIONS, *CLASSES)}
    assert tried | NOT_CALLED == set(rt.__all__) - {"darkmatter"} and not tried & NOT_CALLED
    tried = {f.__name__ for f in (*DARK, *DARK_CLASSES)}
    assert tried | DARK_NOT_CALLED == set(dm.__all__) and not tried & DARK_NOT_CALLED


OPTIMUM = {"--p": "0.1", "--ratio": "0.4"}
# A valid run of every command: its name, positional arguments, options (None: not given).
COMMANDS = {
    "curves": ([], OPTIMUM | {"--simulate": "2", "--n-sparse": "8", "--seed": "0", "--out": "out"}),
    "optimum": ([], OPTIMUM | {"--amplitude": "constant:1"}),
    "decoders": ([], OPTIMUM | {"--channel": "gaussian", "--amplitude": "constant:1"}),
    "scaling": ([], {"--power": "0.5", "--p": "0.01", "--points": "2"}),
    "allocate": (
        [],
        {"--zipf": "1", "--largest": "0.1", "--n-sparse": "9", "--n-dense": "2"}
        | {"--importance": "1", "--amplitude": "constant:1", "--max-coupling": "10"},
    ),
    "minimize": (
        [],
        {"--n-sparse": "3", "--n-dense": "2", "--p": "0.1", "--steps": "1", "--seed": "0"}
        | {"--max-coupling": "2", "--hidden-noise": "0", "--weight-decay": "0", "--from": None}
        | {"--names": None, "--ignore": None, "--instance": None, "--out": "m.safetensors"},
    ),
    "rug": (
        [],
        {
            "--n-sparse": "8",
            "--n-dense": "2",
            "--seed": "0",
            "--p": "0.1",
            "--out": "r.safetensors",
        },
    ),
    "weights": (
        ["model.npz"],
        {"--p": "0.1", "--rows": "2", "--seed": "0", "--amplitude": "constant:1"}
        | {"--names": None, "--ignore": None, "--instance": None},
    ),
    "figures": (
        [],
        {"--out": "out", "--only": "fig1_rug", "--p": "0.1", "--format": "png"}
        | {"--weights": None, "--data": None},
    ),
    "darkmatter": (
        ["acts.npy"],
        {"--sae": "sae", "--out": "out", "--contexts": "labels.npy", "--tokens": "labels.npy"}
        | {"--component": "x=acts.npy,sae", "--seed": "0", "--targets": None, "--drop": None}
        | {"--drop-first": "0", "--drop-norm": "20", "--drop-token": "5", "--l0": "2"}
        | {"--input-scale": None, "--test-fraction": "0.25", "--bootstrap": "3"},
    ),
}
TRAINING = {"--n-sparse": "4", "--ratio": "0.5", "--p": "0.1", "--seed": "0", "--steps": "2"}
TRAINING |= {"--device": "cpu", "--threads": "1"}
VALIDATION = {
    "train": ([], TRAINING | {"--rounds": "1", "--out": "m.safetensors", "--protocol": "paper"}),
    "path": ([], TRAINING | {"--out": "out"}),
    "fit": ([], TRAINING | {"--n-sparse": "8"}),
    "report": (["trained.nc"], {"--out": "out", "--paths": None}),
    "collect": (["points"], {"--out": "points.nc"}),
    "sweep": (["sweep.toml"], {"--out": "points", "--workers": "1", "--group": "1"}),
}
# The options of each command that are numbers.
NUMBERS = {
    command.split()[1]: {
        action.option_strings[0] for action in parser._actions if action.type in (int, float)
    }
    for command, parser in parsers()
}
WORDS = ("nan", "inf", "-1", "0", "1e308", "1e-320", "1" + "0" * 400, "x", "", "0.5;", "1j", "True")
BROKEN = ("empty", "cut", "text", "folder", "missing")


@pytest.mark.parametrize("name", COMMANDS)
def test_hostile_commands(name, tmp_path, monkeypatch, capsys):
    """One line and exit code 2, or a result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rugtheory.analysis.verdict.best_known", cache(rt.best_known))
    # Slow, and not the question.
    monkeypatch.setattr("rugtheory._style.save", lambda *_: None)
    monkeypatch.setattr("rugtheory.figures.gallery.save", lambda *_: None)
    monkeypatch.setattr("rugtheory.darkmatter.save_figures", lambda *_: [])
    np.savez("model.npz", W_in=np.ones((1, 3)), W_out=np.ones((3, 1)), b=np.zeros(3))
    np.save("acts.npy", X)
    np.save("labels.npy", CONTEXTS)
    dm.write_sae(SAE, "sae")
    for whole in (tmp_path / "model.npz", tmp_path / "acts.npy"):
        content = whole.read_bytes()
        for stem, part in zip(BROKEN, (b"", content[:-200], b"W_in"), strict=False):
            whole.with_stem(stem).write_bytes(part)
        whole.with_stem("folder").mkdir()
    files, options = COMMANDS[name]
    attempts = [(files, options | {key: word}) for key in options for word in WORDS]
    cut = [f"{stem}.{kind}" for stem in BROKEN for kind in ("npz", "npy", "txt")]
    attempts += [([path], options) for path in cut if files]
    attempts += [
        (files, options | {key: path})
        for key in {"--sae", "--contexts", "--weights", "--data"} & set(options)
        for path in cut
    ]
    flags = [] if name == "optimum" else ["--overwrite"]
    assert not (wrong := unclear(main, name, files, options, attempts, flags, capsys)), wrong


def unclear(program, name, files, options, attempts, flags, capsys):
    """The attempts that end in anything but a result, or one line and exit code 2, as JSON.

    The line names the option if that is a number, and nan gives no result.
    """
    wrong, numbers = {}, NUMBERS[name]
    for given, chosen in [(files, options), *attempts]:
        arguments = [
            name,
            *given,
            *(f"{key}={value}" for key, value in chosen.items() if value is not None),
            *flags,
        ]
        before = set(Path().iterdir())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                code = program(arguments)
        except SystemExit as stop:
            code = stop.code
        except Exception as error:
            code = repr(error)
        said = capsys.readouterr()
        lines = [line for line in said.err.splitlines() if line and "|" not in line]
        valid = (given, chosen) == (files, options)
        left = set(Path().iterdir()) - before if code == 2 else ()
        if (
            code not in ((0,) if valid else (0, 2))
            or (code == 2 and len(lines) != 1)
            or "nan " in said.out
            or left
            or any(chosen[key] == "nan" and code == 0 for key in numbers & set(chosen))
            or (code == 2 and not names_option(said.err, options, chosen, numbers))
        ):
            wrong[" ".join(arguments)[:200]] = f"{code} {said.err[-200:]} {left or ''}"
    return json.dumps(wrong, indent=1) if wrong else ""


def names_option(said, options, chosen, numbers):
    """If a complaint about the one option that is changed, a number, calls it by its name."""
    changed = {key for key in numbers & set(chosen) if chosen[key] != options[key]}
    words = {word.strip("_") for word in re.findall(r"\w+", said.replace("-", "_"))}
    return all(key.strip("-").replace("-", "_") in words for key in changed)


@pytest.mark.parametrize("name", VALIDATION)
def test_hostile_validation(name, tmp_path, monkeypatch, capsys):
    """The same of ``python -m validation``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rugtheory.analysis.verdict.best_known", cache(rt.best_known))
    monkeypatch.setattr("validation.report.save", lambda *_: None)
    monkeypatch.setattr("validation.cli.sweep.Workers", ThreadPoolExecutor)
    data = xr.load_dataset(Path(__file__).parents[1] / "validation" / "data" / "cpu.nc")
    some = data.isel(point=(data.n_sparse.values == 128) & (data.p.values == 0.1))
    some = some.isel(point=slice(None, None, 8))
    some.to_netcdf("trained.nc", engine="h5netcdf")
    CURVES.to_netcdf("curves.nc", engine="h5netcdf")
    some.isel(point=0).to_netcdf("one.nc", engine="h5netcdf")
    np.savez("numbers.npz", W=np.ones((2, 3)))
    spec = "n_sparse = [4]\nratio = [0.5]\np = [0.1]\nsteps = 2\nrounds = 1\n"
    Path("sweep.toml").write_text(spec)
    Path("text.toml").write_text("n_sparse = ")
    Path("huge.toml").write_text(spec.replace("[4]", f"[{10**30}]"))
    Path("odd.toml").write_text(spec.replace("[0.1]", "['x']") + "other = 1\n")
    Path("empty").write_bytes(b"")
    Path("folder").mkdir()
    if name == "collect":
        validation(["sweep", "sweep.toml", "--out", "points", "--workers", "1"])
    files, options = VALIDATION[name]
    attempts = [(files, options | {key: word}) for key in options for word in WORDS]
    attempts += [(files, options | {"--device": x}) for x in ("mps", "meta", "cuda:99")]
    names = sorted({str(x) for x in Path().iterdir()} - {"points"} | {"missing.nc"})
    attempts = [x for x in attempts if "--device" in options or "--device" not in x[1]]
    attempts += [([path], options) for path in names if files and [path] != files]
    if name == "report":
        attempts += [(files, options | {"--paths": path}) for path in names]
    flags = [] if name in ("fit", "sweep") else ["--overwrite"]
    assert not (wrong := unclear(validation, name, files, options, attempts, flags, capsys)), wrong
