"""SAE files: each format from its definition, a row at a time, and figures of the libraries."""

import dataclasses
import inspect
import json
import re
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as torch_file
from safetensors.torch import save_file
from scipy import sparse

from rugtheory import darkmatter
from rugtheory.darkmatter.sae import sae as sae_module
from rugtheory.darkmatter.sae.found import decoders_in

CASES = sorted((Path(__file__).parent / "data" / "saes").glob("*/*/c*f*g.json"))
D_IN, D_SAE, K = 6, 20, 4

generator = np.random.default_rng(0)
X = generator.normal(size=(13, D_IN)) + 0.2
TENSORS = {
    "W_enc": generator.normal(size=(D_IN, D_SAE)),
    "W_dec": generator.normal(size=(D_SAE, D_IN)),
    "b_enc": 0.4 * generator.normal(size=D_SAE),
    "b_dec": 0.4 * generator.normal(size=D_IN),
    "threshold": generator.random(D_SAE) - 0.1,
    "b_gate": 0.4 * generator.normal(size=D_SAE),
    "b_mag": 0.4 * generator.normal(size=D_SAE),
    "r_mag": 0.3 * generator.normal(size=D_SAE),
}
BASIS = ("W_enc", "W_dec", "b_enc", "b_dec")
GATED = ("W_enc", "W_dec", "b_dec", "b_gate", "b_mag", "r_mag")
V6 = {
    "d_in": D_IN,
    "d_sae": D_SAE,
    "dtype": "float64",
    "device": "cpu",
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
    "reshape_activations": "none",
    "metadata": {"sae_lens_version": "6.0.0-rc.5", "hook_name": "blocks.3.hook_resid_post"},
}
V5 = {
    "d_in": D_IN,
    "d_sae": D_SAE,
    "dtype": "float64",
    "device": "cpu",
    "activation_fn_str": "relu",
    "activation_fn_kwargs": {},
    "apply_b_dec_to_input": True,
    "finetuning_scaling_factor": False,
    "normalize_activations": "none",
    "hook_name": "blocks.3.hook_resid_post",
    "sae_lens_training_version": "5.1.0",
}
TOPK_5 = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}


def relu(values):
    return [max(value, 0.0) for value in values]


def pre_activations(x, t, bias="b_enc", subtract=True):
    z = [x[i] - t["b_dec"][i] * subtract for i in range(D_IN)]
    return [sum(z[i] * t["W_enc"][i][j] for i in range(D_IN)) + t[bias][j] for j in range(D_SAE)]


def standard(x, t, subtract=True):
    return relu(pre_activations(x, t, subtract=subtract))


def jumprelu(x, t, subtract=True):
    pre = pre_activations(x, t, subtract=subtract)
    return [max(p, 0.0) if p > limit else 0.0 for p, limit in zip(pre, t["threshold"], strict=True)]


def top(values, by, k=K):
    kept = sorted(range(len(values)), key=lambda j: -by[j])[:k]
    return [values[j] if j in kept else 0.0 for j in range(len(values))]


def topk(x, t, subtract=True):
    pre = relu(pre_activations(x, t, subtract=subtract))
    return top(pre, pre)


def abstopk(x, t, subtract=True):
    pre = pre_activations(x, t, subtract=subtract)
    return top(pre, [abs(p) for p in pre])


def groupmax(x, t, subtract=True):
    pre = relu(pre_activations(x, t, subtract=subtract))
    size = D_SAE // K
    groups = [pre[g : g + size] for g in range(0, D_SAE, size)]
    return [value if value == max(group) else 0.0 for group in groups for value in group]


def gated(x, t, subtract=True):
    gate = pre_activations(x, t, "b_gate", subtract)
    wide = {**t, "W_enc": np.array(t["W_enc"]) * np.exp(t["r_mag"])}
    magnitude = relu(pre_activations(x, wide, "b_mag", subtract))
    return [m if g > 0 else 0.0 for m, g in zip(magnitude, gate, strict=True)]


def decode(codes, t):
    return [
        sum(codes[j] * t["W_dec"][j][i] for j in range(D_SAE)) + t["b_dec"][i] for i in range(D_IN)
    ]


def files(folder, name, tensors, config=None, dtype=torch.float64):
    folder.mkdir(exist_ok=True)
    tensors = {k: torch.tensor(np.array(v)).to(dtype).contiguous() for k, v in tensors.items()}
    save_file(tensors, folder / name)
    if config is not None:
        (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def saelens(folder, names, config, changes=None, dtype=torch.float64):
    tensors = {name: TENSORS[name] for name in names} | (changes or {})
    return files(folder, "sae_weights.safetensors", tensors, config, dtype)


def sparsify_tensors():
    return {
        "encoder.weight": TENSORS["W_enc"].T,
        "encoder.bias": TENSORS["b_enc"],
        "W_dec": TENSORS["W_dec"],
        "b_dec": TENSORS["b_dec"],
    }


def sparsify(folder, config, changes=None, dtype=torch.float64):
    config = {"d_in": D_IN, "k": K, "expansion_factor": 3, "normalize_decoder": True} | config
    tensors = sparsify_tensors() | (changes or {})
    return files(folder, "sae.safetensors", tensors, config, dtype)


def gemma(path, names=("W_enc", "W_dec", "b_enc", "b_dec", "threshold"), **changes):
    np.savez(path, **{name: TENSORS[name] for name in names} | changes)
    return path


def assert_computes(sae, encoder, tensors=TENSORS, subtract=True, x=X):
    expected = np.array([encoder(row, tensors, subtract) for row in x])
    codes = sae.encode(x)
    assert np.array_equal(codes.toarray() != 0, expected != 0)
    assert codes.toarray() == pytest.approx(expected, rel=1e-12, abs=1e-14)
    assert np.array_equal(sae.l0(x), np.count_nonzero(expected, axis=1))
    x_hat = np.array([decode(row, tensors) for row in expected])
    for given in (codes, codes.toarray()):
        assert sae.decode(given) == pytest.approx(x_hat, rel=1e-12, abs=1e-13)
    assert sae.reconstruct(x) == pytest.approx(x_hat, rel=1e-12, abs=1e-13)


# The formats, from their definitions.


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize(
    ("encoder", "names", "settings"),
    [
        (standard, BASIS, {}),
        (jumprelu, (*BASIS, "threshold"), {}),
        (topk, BASIS, {"k": K}),
        (abstopk, BASIS, {"k": K}),
        (gated, GATED, {}),
    ],
)
def test_saelens_6(tmp_path, encoder, names, settings, subtract):
    config = V6 | {"architecture": encoder.__name__, "apply_b_dec_to_input": subtract} | settings
    sae = darkmatter.read_sae(saelens(tmp_path, names, config))
    assert_computes(sae, encoder, subtract=subtract)
    assert sae.metadata["hook_name"] == "blocks.3.hook_resid_post"
    assert (sae.d_in, sae.d_sae, sae.w_enc.dtype) == (D_IN, D_SAE, np.float64)


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize(
    ("encoder", "names", "settings"),
    [
        (standard, BASIS, {}),
        (standard, BASIS, {"architecture": "standard", "normalize_activations": False}),
        (jumprelu, (*BASIS, "threshold"), {"architecture": "jumprelu"}),
        (topk, BASIS, {"architecture": "topk", **TOPK_5}),
        (topk, BASIS, {"architecture": "standard", **TOPK_5}),
        (gated, GATED, {"architecture": "gated", "normalize_activations": None}),
    ],
)
def test_saelens_before_6(tmp_path, encoder, names, settings, subtract):
    config = V5 | settings | {"apply_b_dec_to_input": subtract}
    assert_computes(
        darkmatter.read_sae(saelens(tmp_path, names, config)), encoder, subtract=subtract
    )


def test_saelens_defaults_of_the_first_versions(tmp_path):
    config = {"d_in": D_IN, "d_sae": D_SAE, "activation_fn": "relu", "hook_point": "blocks.0"}
    ones = {"scaling_factor": np.ones(D_SAE)}
    assert_computes(darkmatter.read_sae(saelens(tmp_path, BASIS, config, ones)), standard)


@pytest.mark.parametrize("key", ["scaling_factor", "finetuning_scaling_factor"])
def test_scaling_factors_are_applied_to_codes_when_decoding(tmp_path, key):
    factor = np.linspace(0.5, 2, D_SAE)
    config = V5 | {"finetuning_scaling_factor": True}
    sae = darkmatter.read_sae(saelens(tmp_path, BASIS, config, {key: factor}))
    codes = np.array([standard(row, TENSORS) for row in X])
    assert sae.encode(X).toarray() == pytest.approx(codes, abs=1e-13)
    x_hat = np.array([decode(row * factor, TENSORS) for row in codes])
    assert sae.reconstruct(X) == pytest.approx(x_hat, abs=1e-12)


def test_topk_rescaled_by_decoder_norms(tmp_path):
    config = V6 | {"architecture": "topk", "k": K, "rescale_acts_by_decoder_norm": True}
    w_dec = TENSORS["W_dec"].copy()
    w_dec[3] = 0
    sae = darkmatter.read_sae(saelens(tmp_path, BASIS, config, {"W_dec": w_dec}))
    norms = [sum(v * v for v in row) ** 0.5 for row in w_dec]
    codes, x_hat = [], []
    for row in X:
        pre = [p * n for p, n in zip(pre_activations(row, TENSORS), norms, strict=True)]
        codes.append(top(relu(pre), pre))
        scaled = [c / n if n else 0 for c, n in zip(codes[-1], norms, strict=True)]
        x_hat.append(decode(scaled, TENSORS | {"W_dec": w_dec}))
    assert sae.encode(X).toarray() == pytest.approx(np.array(codes), abs=1e-12)
    assert sae.reconstruct(X) == pytest.approx(np.array(x_hat), abs=1e-12)


@pytest.mark.parametrize("layout", [V5, V6])
@pytest.mark.parametrize("kind", ["layer_norm", "constant_norm_rescale"])
def test_normalized_rows(tmp_path, layout, kind):
    config = layout | {"architecture": "standard", "normalize_activations": kind}
    sae = darkmatter.read_sae(saelens(tmp_path, BASIS, config))
    codes, x_hat = [], []
    for row in X:
        if kind == "layer_norm":
            mean = sum(row) / D_IN
            scale = (sum((v - mean) ** 2 for v in row) / (D_IN - 1)) ** 0.5
            inside = [(v - mean) / (scale + 1e-5) for v in row]
        else:
            mean, scale = 0.0, (sum(v * v for v in row) / D_IN) ** 0.5
            inside = [v / scale for v in row]
        codes.append(standard(inside, TENSORS))
        x_hat.append([v * scale + mean for v in decode(codes[-1], TENSORS)])
    assert sae.encode(X).toarray() == pytest.approx(np.array(codes), abs=1e-12)
    assert sae.reconstruct(X) == pytest.approx(np.array(x_hat), abs=1e-12)
    assert sae.decode(sae.encode(X), X) == pytest.approx(np.array(x_hat), abs=1e-12)
    with pytest.raises(ValueError, match="x must be given to decode"):
        sae.decode(sae.encode(X))
    with pytest.raises(ValueError, match="x must have 13 rows like codes, got 2"):
        sae.decode(sae.encode(X), X[:2])
    with pytest.raises(ValueError, match=r"input_scale must be None, as .* normalizes rows"):
        darkmatter.read_sae(tmp_path, input_scale=2)
    if kind == "constant_norm_rescale":
        with pytest.raises(ValueError, match="no zero row to rescale its norm, got row 1"):
            sae.encode([X[0], 0 * X[0]])


@pytest.mark.parametrize("value", ["expected_average_only_in", True])
@pytest.mark.parametrize("subtract", [True, False])
def test_input_scale(tmp_path, value, subtract):
    changes = {"normalize_activations": value, "apply_b_dec_to_input": subtract}
    folder = saelens(tmp_path, BASIS, V5 | {"architecture": "standard"} | changes)
    with pytest.raises(ValueError, match=r"cfg.json: normalize_activations is .* input_scale"):
        darkmatter.read_sae(folder)
    sae = darkmatter.read_sae(folder, input_scale=2.5)
    codes = np.array([standard(row, TENSORS, subtract) for row in 2.5 * X])
    assert sae.encode(X).toarray() == pytest.approx(codes, abs=1e-12)
    x_hat = np.array([decode(row, TENSORS) for row in codes]) / 2.5
    assert sae.reconstruct(X) == pytest.approx(x_hat, abs=1e-12)
    assert_computes(darkmatter.read_sae(folder, input_scale=1), standard, subtract=subtract)


@pytest.mark.parametrize(
    ("encoder", "settings", "subtract"),
    [
        (topk, {}, True),
        (topk, {"activation": "topk", "transcode": False, "num_latents": D_SAE}, True),
        (topk, {"transcode": True}, False),
        (groupmax, {"activation": "groupmax", "signed": False}, True),
        (abstopk, {"signed": True}, True),
    ],
)
def test_sparsify(tmp_path, encoder, settings, subtract):
    sae = darkmatter.read_sae(sparsify(tmp_path, settings))
    assert_computes(sae, encoder, subtract=subtract)


def test_gemma_scope(tmp_path):
    path = gemma(tmp_path / "params.npz")
    for given in (path, str(path), tmp_path):
        assert_computes(darkmatter.read_sae(given), jumprelu, subtract=False)
    renamed = {"w_enc": TENSORS["W_enc"], "w_dec": TENSORS["W_dec"]}
    path = gemma(tmp_path / "other.npz", ("b_enc", "b_dec", "threshold"), **renamed)
    assert_computes(darkmatter.read_sae(path), jumprelu, subtract=False)


def test_the_threshold_must_be_exceeded(tmp_path):
    eye = np.eye(3, dtype="f4")
    np.savez(tmp_path / "m.npz", W_enc=eye, W_dec=eye, b_enc=0 * eye[0], b_dec=9 + eye[0],
             threshold=np.array([1, 0, -1], dtype="f4"))  # fmt: skip
    sae = darkmatter.read_sae(tmp_path / "m.npz")
    above = np.nextafter(np.float32(1), np.float32(2))
    codes = sae.encode(np.array([[1, 0, -0.5], [above, 0.5, 0.5]], dtype="f4"))
    assert np.array_equal(codes.toarray(), np.array([[0, 0, 0], [above, 0.5, 0.5]], dtype="f4"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_short_floats(tmp_path, dtype):
    rounded = {k: torch.tensor(v).to(dtype).double().numpy() for k, v in TENSORS.items()}
    for folder in (
        saelens(tmp_path / "a", BASIS, V6 | {"architecture": "topk", "k": K}, dtype=dtype),
        sparsify(tmp_path / "b", {}, dtype=dtype),
    ):
        sae = darkmatter.read_sae(folder)
        assert sae.w_enc.dtype == sae.b_dec.dtype == np.float32
        expected = np.array([topk(row, rounded) for row in X])
        assert sae.encode(X).toarray() == pytest.approx(expected, abs=1e-5)
        assert_computes(darkmatter.read_sae(folder, dtype=np.float64), topk, rounded)


# The libraries themselves.


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(case.parts[-3:-1]))
def test_figures_of_the_libraries(case):
    figures = load_file(case.parent / "figures.safetensors")
    for dtype in (np.float32, np.float64):
        sae = darkmatter.read_sae(case.parent, dtype=dtype)
        codes = sae.encode(figures["x"])
        assert np.array_equal(codes.toarray() != 0, figures["codes"] != 0)
        assert codes.toarray() == pytest.approx(figures["codes"], abs=5e-6)
        assert sae.reconstruct(figures["x"]) == pytest.approx(figures["x_hat"], abs=5e-6)


def test_every_library_has_its_figures():
    libraries = {case.parts[-3]: case.parts[-2] for case in CASES}
    assert len(CASES) == 35
    for library in libraries:
        provenance = json.loads((CASES[0].parents[2] / library / "provenance.json").read_text())
        assert library.endswith(provenance["version"])


# Formats that no package at hand writes, from their definitions.


def scope_2(folder, config=None, **changes):
    tensors = {
        "w_enc": TENSORS["W_enc"],
        "w_dec": TENSORS["W_dec"],
        "b_enc": TENSORS["b_enc"],
        "b_dec": TENSORS["b_dec"],
        "threshold": TENSORS["threshold"],
    } | changes
    files(folder, "params.safetensors", tensors)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_gemma_scope_2(tmp_path):
    config = {"architecture": "jump_relu", "hf_hook_point_in": "model.layers.12.output"}
    for given in (scope_2(tmp_path / "a"), scope_2(tmp_path / "b", config)):
        for path in (given, given / "params.safetensors"):
            sae = darkmatter.read_sae(path)
            assert_computes(sae, jumprelu, subtract=False)
            assert not sae.transcoder
    with pytest.raises(ValueError, match="architecture must be one of jump_relu, got 'gated'"):
        darkmatter.read_sae(scope_2(tmp_path / "c", config | {"architecture": "gated"}))


def test_gemma_scope_2_transcoders(tmp_path):
    out = D_IN + 1
    rng = np.random.default_rng(3)
    w_dec, b_dec, skip = (rng.normal(size=s) for s in ((D_SAE, out), out, (D_IN, out)))
    config = {"hf_hook_point_in": "in", "hf_hook_point_out": "out"}
    wide = {"w_dec": w_dec, "b_dec": b_dec}
    plain = darkmatter.read_sae(scope_2(tmp_path / "a", config, **wide))
    affine = darkmatter.read_sae(scope_2(tmp_path / "b", **wide, affine_skip_connection=skip))
    codes = np.array([jumprelu(row, TENSORS, subtract=False) for row in X])
    for sae, more in ((plain, 0), (affine, X @ skip)):
        assert sae.transcoder and (sae.d_in, sae.d_out) == (D_IN, out)
        assert sae.reconstruct(X) == pytest.approx(codes @ w_dec + b_dec + more, abs=1e-12)
    with pytest.raises(ValueError, match=r"x must be given to decode .* w_skip"):
        affine.decode(affine.encode(X))


def test_log_threshold(tmp_path):
    positive = np.abs(TENSORS["threshold"]) + 0.01
    config = V6 | {"architecture": "jumprelu"}
    sae = darkmatter.read_sae(saelens(tmp_path, BASIS, config, {"log_threshold": np.log(positive)}))
    assert_computes(sae, jumprelu, TENSORS | {"threshold": positive})


def test_activation_scaler(tmp_path):
    """A factor beside the weights counts if the settings ask for one and none is given."""
    scaled = V6 | {"architecture": "standard", "normalize_activations": "expected_average_only_in"}
    folder = saelens(tmp_path, BASIS, scaled)
    scaler = folder / "activation_scaler.json"
    scaler.write_text(json.dumps({"scaling_factor": 2.5, "has_whitening": False}))
    codes = np.array([standard(row, TENSORS) for row in 2.5 * X])
    assert darkmatter.read_sae(folder).encode(X).toarray() == pytest.approx(codes, abs=1e-12)
    assert_computes(darkmatter.read_sae(folder, input_scale=1), standard)
    scaler.write_text(json.dumps({"scaling_factor": None}))
    with pytest.raises(ValueError, match="give it as input_scale"):
        darkmatter.read_sae(folder)
    scaler.write_text(json.dumps({"scaling_factor": 2.5, "has_whitening": True}))
    with pytest.raises(ValueError, match="has_whitening must be false, got True"):
        darkmatter.read_sae(folder)
    scaler.write_text(json.dumps({"scaling_factor": "2"}))
    with pytest.raises(ValueError, match="scaling_factor must be a number, got '2'"):
        darkmatter.read_sae(folder)


def test_shards(tmp_path):
    whole = darkmatter.read_sae(
        saelens(tmp_path / "whole", BASIS, V6 | {"architecture": "standard"})
    )
    folder = tmp_path / "parts"
    folder.mkdir()
    shutil.copy(tmp_path / "whole" / "cfg.json", folder)
    tensors = {name: torch.tensor(TENSORS[name]) for name in BASIS}
    where = {}
    for k, name in enumerate(BASIS):
        file = f"sae_weights-{k % 2 + 1:05}-of-00002.safetensors"
        where[name] = file
    for file in set(where.values()):
        save_file({n: tensors[n] for n in BASIS if where[n] == file}, folder / file)
    index = folder / "sae_weights.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    assert np.array_equal(darkmatter.read_sae(folder).reconstruct(X), whole.reconstruct(X))
    index.write_text(json.dumps({"weight_map": where | {"W_more": file}}))
    with pytest.raises(ValueError, match="its shards must hold W_more"):
        darkmatter.read_sae(folder)
    index.write_text(json.dumps({"weight_map": {"W_enc": "../x.safetensors"}}))
    with pytest.raises(ValueError, match="must name files beside it"):
        darkmatter.read_sae(folder)


def test_shards_are_found_in_a_suite(tmp_path):
    """Without settings nothing but the index says that a folder is a decoder."""
    (tmp_path / "layer").mkdir()
    folder = scope_2(tmp_path / "layer" / "one")
    whole = darkmatter.read_sae(folder)
    file = folder / "params.safetensors"
    part = file.rename(folder / "params-00001-of-00001.safetensors")
    index = {"weight_map": dict.fromkeys(load_file(part), part.name)}
    (folder / f"{file.name}.index.json").write_text(json.dumps(index))
    (path,) = decoders_in([tmp_path]).values()
    assert np.array_equal(darkmatter.read_sae(path).reconstruct(X), whole.reconstruct(X))


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("hyperparams.json", "looks like Llama Scope; SAELens reads it"),
        ("l19.pth", "looks like Goodfire; SAELens reads it"),
        ("autoencoders/6.pt", "looks like OpenAI .* w_enc=t.'encoder.weight'..T"),
        ("weights.safetensors", "no format known here; make a darkmatter.SAE"),
    ],
)
def test_other_formats_are_told_how_to_convert(tmp_path, name, advice):
    tmp_path = tmp_path / "suite" / "one"
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes(b"")
    # A folder or one above it, read or given to the command; or the file.
    calls = [(darkmatter.read_sae, tmp_path), (places_of, tmp_path), (places_of, tmp_path.parent)]
    if not name.endswith(".json"):
        calls.append((darkmatter.read_sae, tmp_path / name))
    for call, path in calls:
        with pytest.raises(ValueError, match=f"{advice}.*write_sae or SAELens' save_inference"):
            call(path)


def places_of(folder):
    return decoders_in([folder])


def test_what_is_advised_for_openai_is_right(tmp_path):
    """Its autoencoder: LN, minus pre_bias, TopK of ReLU, decoded and brought back."""
    t = {
        "encoder.weight": TENSORS["W_enc"].T,
        "decoder.weight": TENSORS["W_dec"].T,
        "latent_bias": TENSORS["b_enc"],
        "pre_bias": TENSORS["b_dec"],
    }
    with pytest.raises(ValueError) as told:
        (tmp_path / "6.pt").write_bytes(b"")
        darkmatter.read_sae(tmp_path)
    call = re.search(r"SAE\('topk'.*?'layer_norm'\)", str(told.value))[0]
    sae = eval(call, {"SAE": darkmatter.SAE, "t": t, "k": K})
    for row, x_hat in zip(X, sae.reconstruct(X), strict=True):
        mean, scale = row.mean(), row.std(ddof=1)
        codes = topk((row - mean) / (scale + 1e-5), TENSORS)
        expected = np.array(decode(codes, TENSORS)) * scale + mean
        assert x_hat == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dict_class": "CrossCoder"}, "dict_class must be one of AutoEncoder"),
        ({"dict_size": 25}, "dict_size is 25, but the weights have 24"),
        ({"k": 5}, "k is 5, but the weights have 6"),
    ],
)
def test_bad_dictionaries(tmp_path, change, message):
    case = next(c for c in CASES if c.parts[-2] == "AutoEncoderTopK")
    shutil.copytree(case.parent, tmp_path / "a")
    config = json.loads(case.read_text())
    config["trainer"] |= change
    (tmp_path / "a" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"config.json: {message}"):
        darkmatter.read_sae(tmp_path / "a")
    (tmp_path / "a" / "ae.pt").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"ae\.pt cannot be read by torch\.load"):
        darkmatter.read_sae(tmp_path / "a")


# Behaviour.


def test_ties_go_to_lower_indices():
    w_enc = np.ones((1, 6), dtype="f4")
    sae = darkmatter.SAE("topk", w_enc, np.array([0, 1, 1, 2, 1, 1]), w_enc.T, [0], k=3)
    assert sae.encode([[1], [-1.5]]).toarray().tolist() == [
        [0, 2, 2, 3, 0, 0],
        [0, 0, 0, 0.5, 0, 0],
    ]
    wide = darkmatter.SAE("groupmax", w_enc, np.array([0, 1, 1, 2, 1, 1]), w_enc.T, [0], k=3)
    assert wide.encode([[1]]).toarray().tolist() == [[0, 2, 0, 3, 2, 0]]


def test_blocks(tmp_path, monkeypatch):
    config = V6 | {"architecture": "topk", "k": K, "normalize_activations": "layer_norm"}
    sae = darkmatter.read_sae(saelens(tmp_path, BASIS, config))
    codes, l0, x_hat = sae.encode(X), sae.l0(X), sae.reconstruct(X)
    stored = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float64, X.shape)
    stored[:] = X
    monkeypatch.setattr(sae_module, "_BLOCK_VALUES", 4 * D_SAE)
    blocks = sae.encode(stored)
    assert isinstance(blocks, sparse.csr_array) and blocks.shape == (13, D_SAE)
    assert blocks.toarray() == pytest.approx(codes.toarray(), rel=1e-12)
    assert np.array_equal(sae.l0(stored), l0) and l0.dtype == np.int64
    assert sae.reconstruct(stored) == pytest.approx(x_hat, rel=1e-12)
    stored[9, 2] = np.nan
    with pytest.raises(ValueError, match="x must be finite, got nan in row 9, column 2"):
        sae.encode(stored)


def test_bad_inputs():
    sae = darkmatter.SAE("standard", np.eye(2, 3, dtype="f4"), [0] * 3, np.eye(3, 2), [0] * 2)
    for method in (sae.encode, sae.l0, sae.reconstruct):
        with pytest.raises(ValueError, match="x must have 2 columns, got 3"):
            method(np.ones((4, 3)))
    with pytest.raises(ValueError, match="codes of row 1 overflow float32"):
        sae.encode(np.array([[1, 1], [1e300, 1]]))
    with pytest.raises(ValueError, match=r"codes must have shape \(rows, 3\), got \(2, 2\)"):
        sae.decode(np.ones((2, 2)))
    with pytest.raises(ValueError, match="x must be None to decode with normalization 'none'"):
        sae.decode(np.ones((2, 3)), np.ones((2, 2)))


ARRAYS = ("standard", np.ones((2, 3)), np.ones(3), np.ones((3, 2)), np.ones(2))


@pytest.mark.parametrize(
    ("positional", "named", "error", "message"),
    [
        (("relu", *ARRAYS[1:]), {}, ValueError, "architecture must be one of .* got 'relu'"),
        (ARRAYS, {"normalization": "batch"}, ValueError, "normalization must be one of .* 'batch'"),
        (ARRAYS, {"subtract_b_dec": 1}, TypeError, "subtract_b_dec must be True or False, got 1"),
        (ARRAYS, {"k": 3}, ValueError, "k must be None if architecture is 'standard'"),
        (("topk", *ARRAYS[1:]), {}, ValueError, "k must be given if architecture is 'topk'"),
        (("topk", *ARRAYS[1:]), {"k": 4}, ValueError, r"k must be in \[1, 3\], got 4"),
        (("groupmax", *ARRAYS[1:]), {"k": 2}, ValueError, "k must divide d_sae = 3"),
        ((*ARRAYS[:4], np.ones(3)), {}, ValueError, r"b_dec must have shape \(2,\), got \(3,\)"),
        (("standard", np.ones(3), *ARRAYS[2:]), {}, ValueError, "w_enc must have shape"),
        ((*ARRAYS[:4], [1, np.inf]), {}, ValueError, "b_dec must be finite in float64, got inf"),
        ((*ARRAYS[:4], ["a", "b"]), {}, TypeError, "b_dec must be real, got dtype <U1"),
        (
            ("gated", *ARRAYS[1:]),
            {"b_gate": np.ones(3), "r_mag": np.full(3, 800)},
            ValueError,
            "r_mag must have a moderate exponential, got 800",
        ),
        (
            ("standard", np.ones((1, 3)), np.ones(3), np.ones((3, 1)), [1]),
            {"normalization": "layer_norm"},
            ValueError,
            "layer_norm needs d_in of at least 2",
        ),
    ],
)
def test_bad_autoencoders(positional, named, error, message):
    with pytest.raises(error, match=message):
        darkmatter.SAE(*positional, **named)


# Files that cannot be read say why.


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        ({"architecture": "crosscoder"}, {}, "architecture must be one of .* 'crosscoder'"),
        ({"architecture": None}, {}, "cfg.json has no architecture"),
        ({"architecture": "topk"}, {}, "cfg.json has no k"),
        ({"architecture": "topk", "k": "4"}, {}, "cfg.json: k must be an integer, got '4'"),
        ({"architecture": "topk", "k": True}, {}, "cfg.json: k must be an integer, got True"),
        ({"architecture": "topk", "k": 21}, {}, r"k must be in \[1, 20\], got 21"),
        ({"architecture": "jumprelu"}, {}, "sae_weights.safetensors has no threshold"),
        ({"normalize_activations": "whitening"}, {}, "normalize_activations must be .*whiten"),
        ({"apply_b_dec_to_input": "yes"}, {}, "apply_b_dec_to_input must be true or false"),
        ({"d_in": 7}, {}, "cfg.json: d_in is 7, but the weights have 6"),
        ({"d_sae": 7}, {}, "cfg.json: d_sae is 7, but the weights have 20"),
        ({"metadata": 3}, {}, "cfg.json: metadata must be an object, got 3"),
        ({"sae_lens_version": "six"}, {}, "sae_lens_version must be a version, got 'six'"),
        ({}, {"W_enc": np.ones((D_SAE, D_IN))}, r"W_enc must have shape \(6, 20\), got \(20, 6\)"),
        ({}, {"W_dec": np.ones(D_SAE)}, r"W_dec must be a matrix, got shape \(20,\)"),
        ({}, {"b_enc": np.full(D_SAE, np.nan)}, "b_enc must be finite, got nan"),
        ({}, {"W_skip": np.ones((2, 2))}, "holds W_skip, of unknown meaning"),
        ({}, {"scaling_factor": np.full(D_SAE, 2)}, "finetuning_scaling_factor must be true, as"),
    ],
)  # fmt: skip
def test_bad_saelens_files(tmp_path, config, changes, message):
    config = V6 | {"architecture": "standard"} | config
    with pytest.raises(ValueError, match=message) as caught:
        darkmatter.read_sae(saelens(tmp_path, BASIS, config, changes))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"activation_fn_str": "tanh-relu"}, "activation_fn_str must be .* got 'tanh"),
        ({"activation_fn_str": "topk"}, "cfg.json has no k"),
        ({"activation_fn": "gelu"}, "activation_fn must be one of relu, topk, got 'gelu'"),
        ({"architecture": "topk"}, "must be topk for architecture topk, got relu"),
        ({"architecture": "gated", **TOPK_5}, "activation_fn_str must be one of relu, got 'topk'"),
        ({"architecture": "abstopk"}, "architecture must be one of .* got 'abstopk'"),
    ],
)  # fmt: skip
def test_bad_old_saelens_files(tmp_path, config, message):
    with pytest.raises(ValueError, match=message):
        darkmatter.read_sae(saelens(tmp_path, BASIS, V5 | config))


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        ({"activation": "jumprelu"}, {}, "activation must be one of .* got 'jumprelu'"),
        ({"activation": "groupmax", "signed": True}, {}, "activation must be .* got 'group"),
        ({"skip_connection": True}, {}, "skip_connection must be false without transcode"),
        ({"skip_connection": True, "transcode": True}, {}, "has no W_skip"),
        ({"num_latents": 21}, {}, "num_latents is 21, but the weights have 20"),
        ({"activation": "groupmax", "k": 3}, {}, "k must divide d_sae = 20"),
        ({"k": None}, {}, "cfg.json has no k"),
        ({}, {"W_skip": np.ones((6, 6))}, "sae.safetensors holds W_skip"),
        ({}, {"encoder.bias": np.ones(3)}, r"encoder.bias must have shape \(20,\), got \(3,\)"),
    ],
)  # fmt: skip
def test_bad_sparsify_files(tmp_path, config, changes, message):
    with pytest.raises(ValueError, match=message):
        darkmatter.read_sae(sparsify(tmp_path, config, changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": np.ones(3)}, r"threshold must have shape \(20,\), got \(3,\)"),
        ({"W_enc": np.ones((6, 20), dtype=int)}, "W_enc must be floating, got dtype int64"),
        ({"b_dec": np.full(6, np.inf)}, "b_dec must be finite, got inf"),
        ({"archive": np.ones(2)}, "holds archive, of unknown meaning"),
    ],
)
def test_bad_gemma_scope_files(tmp_path, changes, message):
    with pytest.raises(ValueError, match=f"params.npz.*{message}"):
        darkmatter.read_sae(gemma(tmp_path / "params.npz", **changes))


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        darkmatter.read_sae(tmp_path / "none")
    with pytest.raises(ValueError, match=r"a folder with one of .*params.npz"):
        darkmatter.read_sae(tmp_path)
    folder = saelens(tmp_path / "a", BASIS, V6 | {"architecture": "standard"})
    weights, config = folder / "sae_weights.safetensors", folder / "cfg.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-5])
    with pytest.raises(ValueError, match=r"sae_weights.safetensors cannot be read as safetensors"):
        darkmatter.read_sae(folder)
    weights.write_bytes(whole)
    for text in (b"{", b"[" * 100_000, b"\xff", b'{"k": NaN'):
        config.write_bytes(text)
        with pytest.raises(ValueError, match=r"cfg.json cannot be read as JSON"):
            darkmatter.read_sae(folder)
    config.write_text("[1]")
    with pytest.raises(ValueError, match=r"cfg.json must hold a JSON object, got list"):
        darkmatter.read_sae(folder)
    config.unlink()
    with pytest.raises(FileNotFoundError, match=r"cfg.json"):
        darkmatter.read_sae(folder)
    shutil.copy(weights, folder / "sae.safetensors")
    shutil.copy(weights, folder / "other.safetensors")
    with pytest.raises(ValueError, match=r"with sae_weights.safetensors with sae.safetensors"):
        darkmatter.read_sae(folder)
    gemma(tmp_path / "g.npz")
    with pytest.raises(ValueError, match=r"dtype must be float32 or float64, got"):
        darkmatter.read_sae(tmp_path / "g.npz", dtype=int)
    with pytest.raises(ValueError, match="input_scale must be positive, got -1"):
        darkmatter.read_sae(tmp_path / "g.npz", input_scale=-1)
    with pytest.raises(ValueError, match=r"an .npz file or a folder"):
        darkmatter.read_sae(tmp_path / "a" / "other.safetensors")


# Writing.


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(case.parts[-3:-1]))
def test_what_is_written_is_read(tmp_path, case):
    sae = darkmatter.read_sae(case.parent)
    if sae.architecture == "groupmax" or (sae.w_skip is not None and sae.k):
        with pytest.raises(ValueError, match=r"architecture must be .* got '(groupmax|topk)'"):
            darkmatter.write_sae(sae, tmp_path / "sae")
        return
    darkmatter.write_sae(sae, tmp_path / "sae")
    again = darkmatter.read_sae(tmp_path / "sae")
    assert (again.architecture, again.k, again.subtract_b_dec, again.normalization) == (
        sae.architecture, sae.k, sae.subtract_b_dec, sae.normalization
    )  # fmt: skip
    for name in ("w_enc", "b_enc", "w_dec", "b_dec", "threshold", "b_gate", "r_mag"):
        old, new = getattr(sae, name), getattr(again, name)
        assert (old is None and new is None) or np.array_equal(old, new)
    assert again.metadata.items() >= {
        k: v for k, v in sae.metadata.items() if k != "sae_lens_version" and v is not None
    }.items()  # fmt: skip


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    sae = darkmatter.SAE(*ARRAYS)
    for given in ({"a": object()}, {"a": np.ones(2)}):
        bad = darkmatter.SAE(*ARRAYS, metadata=given)
        with pytest.raises(ValueError, match="metadata must be writable as JSON"):
            darkmatter.write_sae(bad, tmp_path / "sae")
    assert list(tmp_path.iterdir()) == []

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            darkmatter.write_sae(sae, tmp_path / "sae")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "sae").mkdir()
    darkmatter.write_sae(sae, tmp_path / "sae")
    assert [f.name for f in tmp_path.iterdir()] == ["sae"]
    assert sorted(f.name for f in (tmp_path / "sae").iterdir()) == [
        "cfg.json",
        "sae_weights.safetensors",
    ]
    with pytest.raises(FileExistsError, match="folder must be new or empty"):
        darkmatter.write_sae(sae, tmp_path / "sae")


# Folds.


def stored(case):
    """Tensors of a stored file, exactly, in float64."""
    name = "sae_weights.safetensors" if "saelens" in str(case) else "sae.safetensors"
    tensors = torch_file(case.parent / name)
    return name, {k: v.double() for k, v in tensors.items()}


# Settings that are folded into the weights, with the tensors they need; each is tried on every
# stored file whose reader takes it.
FOLDS = {
    "input_scale": (lambda config: config, {}, {"input_scale": 1 / 3}),
    "scaling_factor": (
        lambda config: config | {"finetuning_scaling_factor": True},
        {"scaling_factor": torch.linspace(0.1, 1.7, 24)},
        {},
    ),
    "rescale_acts_by_decoder_norm": (
        lambda config: config | {"rescale_acts_by_decoder_norm": True}, {}, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("fold", FOLDS)
def test_folds_are_rounded_once(tmp_path, fold):
    """A file in float32 and the same numbers in float64 give the same autoencoder in float64."""
    change, more, options = FOLDS[fold]
    tried = set()
    for case in CASES:
        if case.name == "config.json":
            continue
        name, long = stored(case)
        config = change(json.loads(case.read_text()))
        short = torch_file(case.parent / name)
        kind = next(iter(short.values())).dtype
        saes = []
        for dtype, tensors in ((kind, short), (torch.float64, long)):
            folder = tmp_path / f"{len(tried)} {dtype}"
            extra = {k: v.to(kind).to(dtype) for k, v in more.items()}
            folder.mkdir(exist_ok=True)
            save_file({**tensors, **extra}, folder / name)
            (folder / "cfg.json").write_text(json.dumps(config))
            try:
                saes.append(darkmatter.read_sae(folder, dtype=np.float64, **options))
            except ValueError as error:
                assert re.search(
                    "holds scaling_factor|rescale_acts|input_scale( must be|$| \\()", str(error)
                )
            shutil.rmtree(folder)
        if saes:
            tried.add(case.parent)
            for one in dataclasses.fields(darkmatter.SAE):
                if isinstance(getattr(saes[0], one.name), np.ndarray):
                    pair = [getattr(sae, one.name) for sae in saes]
                    assert np.array_equal(*pair), (case, one.name)
    assert len(tried) >= 3, tried


def test_folds_against_fractions(tmp_path):
    """Exact rational arithmetic on the numbers of the file, in float32 and in float64."""
    factor = np.linspace(0.3, 2, D_SAE).astype("f4")
    config = V5 | {"finetuning_scaling_factor": True}
    folder = saelens(tmp_path, BASIS, config, {"scaling_factor": factor}, torch.float32)
    raw = {k: v.astype("f4") for k, v in TENSORS.items()}
    for dtype, ulp in ((np.float64, 2**-52), (np.float32, 2**-23)):
        sae = darkmatter.read_sae(folder, dtype=dtype, input_scale=0.7)
        scale = Fraction(0.7)
        for j, i in np.ndindex(4, D_IN):
            exact = Fraction(float(raw["W_dec"][j, i])) * Fraction(float(factor[j])) / scale
            assert abs(Fraction(float(sae.w_dec[j, i])) / exact - 1) <= ulp
            exact = Fraction(float(raw["W_enc"][i, j])) * scale
            assert abs(Fraction(float(sae.w_enc[i, j])) / exact - 1) <= ulp / 2


def test_rescaling_is_for_topk_only(tmp_path):
    config = V6 | {"architecture": "jumprelu", "rescale_acts_by_decoder_norm": True}
    with pytest.raises(ValueError, match="must be false for architecture jumprelu, got True"):
        darkmatter.read_sae(saelens(tmp_path, (*BASIS, "threshold"), config))


# Transcoders.


TRANSCODERS = {
    "sparsify": lambda folder: sparsify(folder, {"transcode": True}),
    "saelens 6": lambda folder: saelens(
        folder,
        BASIS,
        V6 | {"architecture": "topk", "k": K}
        | {"metadata": V6["metadata"] | {"hook_name_out": "blocks.3.hook_mlp_out"}},
    ),
    "saelens 5": lambda folder: saelens(
        folder, BASIS, V5 | {"hook_name_out": "blocks.3.hook_mlp_out"}
    ),
    "gemma scope": lambda folder: gemma(new(folder / "gemma-scope-2b-pt-transcoders" / "layer_3")),
    "gemma scope, of the hub": lambda folder: gemma(
        new(folder / "models--google--gemma-scope-2b-pt-transcoders" / "snapshots")
    ),
    "said": lambda folder: gemma(folder / "params.npz"),
}  # fmt: skip


def new(folder):
    folder.mkdir(parents=True)
    return folder / "params.npz"


@pytest.fixture(params=TRANSCODERS)
def transcoder(request, tmp_path):
    said = {"transcoder": True} if request.param == "said" else {}
    return darkmatter.read_sae(TRANSCODERS[request.param](tmp_path), **said)


def test_transcoders_are_told_and_written(transcoder, tmp_path):
    assert transcoder.transcoder
    darkmatter.write_sae(transcoder, tmp_path / "written")
    assert darkmatter.read_sae(tmp_path / "written").transcoder
    assert not darkmatter.read_sae(tmp_path / "written", transcoder=False).transcoder


def test_nothing_compares_a_transcoder_with_its_input(transcoder, tmp_path):
    """Everything public that takes a decoder, but what makes, reads and writes one."""
    takes = {
        name
        for name in darkmatter.__all__
        if "SAE" in str(inspect.signature(getattr(darkmatter, name)))
    }
    makes = {"SAE", "read_sae", "write_sae"}
    calls = {
        "Reconstruction": lambda: darkmatter.Reconstruction(X, transcoder),
        "sae_bench": lambda: darkmatter.sae_bench(
            transcoder, X, dense=[0, 0.1], introduced=[0, 0.1]
        ),
        "write_report": lambda: darkmatter.write_report(X, {"mine": transcoder}, tmp_path / "out"),
    }
    assert takes - makes == set(calls)
    for call in calls.values():
        with pytest.raises(
            ValueError, match=r"(sae|mine) must be an autoencoder, got a transcoder"
        ):
            call()


def test_stored_transcoders():
    found = {case.parent.name for case in CASES if darkmatter.read_sae(case.parent).transcoder}
    across = {"transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"}
    assert found == {"transcode", "skip"} | across


def test_autoencoders_are_no_transcoders(tmp_path):
    same = V6["metadata"] | {"hook_name_out": V6["metadata"]["hook_name"]}
    config = V6 | {"architecture": "standard", "metadata": same}
    assert not darkmatter.read_sae(saelens(tmp_path / "a", BASIS, config)).transcoder
    assert not darkmatter.read_sae(gemma(new(tmp_path / "gemma-scope-2b-pt-res"))).transcoder
    assert not darkmatter.read_sae(gemma(new(tmp_path / "transcoders" / "x"))).transcoder


def test_what_a_transcoder_cannot_have(tmp_path):
    with pytest.raises(ValueError, match="normalization must be none of a transcoder"):
        darkmatter.SAE(*ARRAYS, normalization="layer_norm", transcoder=True)
    with pytest.raises(ValueError, match=r"input_scale must be None, as .* is a transcoder, got 2"):
        darkmatter.read_sae(sparsify(tmp_path, {"transcode": True}), input_scale=2)
    with pytest.raises(TypeError, match="transcoder must be True or False, got 1"):
        darkmatter.read_sae(tmp_path, transcoder=1)
