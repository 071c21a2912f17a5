"""Readers of files given broken ones: a clear error or a usable answer, nothing else."""

import io
import json
import warnings
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

import rugtheory as rt
from rugtheory import darkmatter

generator = np.random.default_rng(0)
D_IN, D_SAE = 3, 8
WEIGHTS = {
    "W_in": generator.normal(size=(3, 7)),
    "W_out": generator.normal(size=(7, 3)),
    "b": generator.normal(size=7),
}
SAE = {
    "W_enc": generator.normal(size=(D_IN, D_SAE)).astype("f4"),
    "W_dec": generator.normal(size=(D_SAE, D_IN)).astype("f4"),
    "b_enc": generator.normal(size=D_SAE).astype("f4"),
    "b_dec": generator.normal(size=D_IN).astype("f4"),
}
JUMPRELU = SAE | {"threshold": generator.random(D_SAE).astype("f4")}
GATED = {k: v for k, v in SAE.items() if k != "b_enc"} | {
    name: generator.normal(size=D_SAE).astype("f4") for name in ("b_mag", "b_gate", "r_mag")
}
SPARSIFY = {
    "encoder.weight": np.ascontiguousarray(SAE["W_enc"].T),
    "encoder.bias": SAE["b_enc"],
    "W_dec": SAE["W_dec"],
    "b_dec": SAE["b_dec"],
}
COMMON = {"d_in": D_IN, "d_sae": D_SAE, "normalize_activations": "none"}
V6 = COMMON | {"metadata": {"sae_lens_version": "6.5.0"}, "apply_b_dec_to_input": True}
V5 = COMMON | {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 2}}


def npz(tensors):
    buffer = io.BytesIO()
    np.savez(buffer, **tensors)
    return buffer.getvalue()


def torch_state(tensors):
    buffer = io.BytesIO()
    torch.save({k: torch.tensor(v) for k, v in tensors.items()}, buffer)
    return buffer.getvalue()


def saelens(config, tensors):
    return {"cfg.json": json.dumps(config).encode(), "sae_weights.safetensors": save(tensors)}


# Every format: its files, and what to give the reader.
FORMATS = {
    "weights.npz": ({"m.npz": npz(WEIGHTS)}, "m.npz"),
    "weights.safetensors": ({"m.safetensors": save(WEIGHTS)}, "m.safetensors"),
    "weights.pt": ({"m.pt": torch_state(WEIGHTS)}, "m.pt"),
    "gemma_scope": ({"params.npz": npz(JUMPRELU)}, ""),
    "saelens_6_jumprelu": (saelens(V6 | {"architecture": "jumprelu"}, JUMPRELU), ""),
    "saelens_6_topk": (saelens(V6 | {"architecture": "topk", "k": 2}, SAE), ""),
    "saelens_6_gated": (saelens(V6 | {"architecture": "gated"}, GATED), ""),
    "saelens_5": (saelens(V5, SAE), ""),
    "sparsify": (
        {
            "cfg.json": json.dumps({"d_in": D_IN, "k": 2, "activation": "groupmax"}).encode(),
            "sae.safetensors": save(SPARSIFY),
        },
        "",
    ),
}
FORMATS |= {
    "gemma_scope_2": (
        {
            "params.safetensors": save({k.lower(): v for k, v in JUMPRELU.items()}),
            "config.json": json.dumps({"architecture": "jump_relu"}).encode(),
        },
        "",
    ),
    "dictionary_learning": (
        {
            "ae.pt": torch_state(JUMPRELU),
            "config.json": json.dumps({"trainer": {"dict_class": "JumpReluAutoEncoder"}}).encode(),
        },
        "",
    ),
    "saelens_transcoder": (
        saelens(
            V6 | {"architecture": "skip_transcoder", "apply_b_dec_to_input": False},
            SAE | {"W_skip": np.eye(D_IN, dtype="f4")},
        ),
        "",
    ),
}
CONFIGURED = {name: files for name, (files, _) in FORMATS.items() if "cfg.json" in files}


def read(folder, files, given):
    """What the reader makes of `files`, or the error that it may raise."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    path = folder / given if given else folder
    reader = rt.read_weights if given else darkmatter.read_sae
    try:
        with warnings.catch_warnings():
            # That shapes decided where a name was broken.
            warnings.filterwarnings("ignore", ".* was read as ", UserWarning)
            return reader(path)
    except (ValueError, OSError) as error:
        assert str(folder) in str(error)
        assert len(str(error)) < 2000
        return None


def assert_usable(result):
    """Values may differ from those that were saved, but they fit together and compute."""
    if isinstance(result, rt.Model):
        n_dense, n_sparse = result.w_in.shape
        assert result.w_out.shape == (n_sparse, n_dense)
        assert result.b.shape == (n_sparse,)
        for array in (result.w_in, result.w_out, result.b):
            assert array.dtype == np.float64 and np.isfinite(array).all()
    elif result is not None:
        x = np.ones((2, result.d_in))
        x[1, 0] = -1
        try:
            codes = result.encode(x)
        except ValueError as error:
            assert "overflow" in str(error)
            return
        assert codes.shape == (2, result.d_sae) and np.isfinite(codes.data).all()


@st.composite
def broken(draw, files):
    """The files with one of them cut short, with bytes changed, left out, repeated or inserted."""
    name = draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name])
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        match draw(st.sampled_from(["cut", "set", "set", "drop", "repeat", "insert"])):
            case "cut":
                del content[at:]
            case "set" if at < len(content):
                content[at] = draw(st.integers(0, 255))
            case "drop":
                del content[at : at + draw(st.integers(1, 20))]
            case "repeat":
                content[at:at] = content[at : at + draw(st.integers(1, 40))]
            case _:
                content[at:at] = draw(st.binary(max_size=10))
    return files | {name: bytes(content)}


@pytest.mark.parametrize("name", FORMATS)
def test_whole_files_are_read(tmp_path, name):
    files, given_path = FORMATS[name]
    result = read(tmp_path, files, given_path)
    assert result is not None
    assert_usable(result)


@pytest.mark.parametrize("name", FORMATS)
def test_broken_bytes(tmp_path_factory, name):
    files, given_path = FORMATS[name]
    folder = tmp_path_factory.mktemp("broken")

    @given(broken(files))
    def check(changed):
        assert_usable(read(folder, changed, given_path))

    check()


@pytest.mark.parametrize("name", FORMATS)
def test_every_truncation_is_an_error(tmp_path, name):
    files, given_path = FORMATS[name]
    for file, content in files.items():
        for length in sorted({0, 1, 7, 8, 9, len(content) // 2, len(content) - 1}):
            assert read(tmp_path, files | {file: content[:length]}, given_path) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=5,
)
words = st.sampled_from(
    ["none", "layer_norm", "constant_norm_rescale", "topk", "abstopk", "groupmax", "relu", "5", "7"]
)


@pytest.mark.parametrize("name", CONFIGURED)
def test_any_setting(tmp_path_factory, name):
    files = CONFIGURED[name]
    config = json.loads(files["cfg.json"])
    folder = tmp_path_factory.mktemp("settings")
    known = (
        *config,
        "activation_fn",
        "apply_b_dec_to_input",
        "architecture",
        "finetuning_scaling_factor",
        "k",
        "num_latents",
        "rescale_acts_by_decoder_norm",
        "sae_lens_version",
        "signed",
        "transcode",
    )

    @given(st.dictionaries(st.sampled_from(sorted(known)), json_values | words))
    def check(changes):
        changed = files | {"cfg.json": json.dumps(config | changes).encode()}
        assert_usable(read(folder, changed, ""))

    check()


arrays = st.builds(
    lambda shape, dtype: np.ones(shape, dtype),
    st.lists(st.integers(0, 8), max_size=3).map(tuple),
    st.sampled_from(["f2", "f4", "f8", ">f8", "i4", "u1", "?", "c8", "S3", "M8[s]"]),
)


@pytest.mark.parametrize("name", ["weights.npz", "gemma_scope"])
def test_any_arrays(tmp_path_factory, name):
    files, given_path = FORMATS[name]
    [file] = files
    tensors = WEIGHTS if given_path else JUMPRELU
    folder = tmp_path_factory.mktemp("arrays")

    @given(st.dictionaries(st.sampled_from(sorted(tensors)), arrays, min_size=1))
    def check(changes):
        assert_usable(read(folder, {file: npz(tensors | changes)}, given_path))

    check()


def npy(header):
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 1000000), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-3, 7), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3, 7), }",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (3, 7), }",
        "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (0,), }",
        "not a dictionary",
    ],
)
@pytest.mark.parametrize("name", ["weights.npz", "gemma_scope"])
def test_lying_headers(tmp_path, name, header):
    files, given_path = FORMATS[name]
    [file] = files
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for key in WEIGHTS if given_path else JUMPRELU:
            archive.writestr(f"{key}.npy", npy(header))
    assert read(tmp_path, {file: buffer.getvalue()}, given_path) is None


@pytest.mark.parametrize("name", ["weights.npz", "gemma_scope"])
def test_members_that_are_no_arrays(tmp_path, name):
    files, given_path = FORMATS[name]
    [file] = files
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for key in WEIGHTS if given_path else JUMPRELU:
            archive.writestr(key, b"some text")
    assert read(tmp_path, {file: buffer.getvalue()}, given_path) is None


@pytest.mark.parametrize("dtype", ["F8_E4M3", "BF16", "I64", "BOOL", "NONE"])
@pytest.mark.parametrize("shape", [[7], [2**40, 2**40], [-1], [0]])
def test_safetensors_of_other_dtypes_and_shapes(tmp_path, dtype, shape):
    header = {"b": {"dtype": dtype, "shape": shape, "data_offsets": [0, 14]}}
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + bytes(14)
    assert read(tmp_path, {"m.safetensors": content}, "m.safetensors") is None
    files = CONFIGURED["saelens_6_topk"] | {"sae_weights.safetensors": content}
    assert read(tmp_path / "sae", files, "") is None
