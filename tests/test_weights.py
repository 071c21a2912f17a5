"""Reading weights: every format and naming, and clear errors for what cannot be read."""

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import rugtheory as rt

generator = np.random.default_rng(0)
W_IN, W_OUT = generator.normal(size=(3, 7)), generator.normal(size=(7, 3))
B = generator.normal(size=7)


def npz(path, **tensors):
    np.savez(path, **tensors)


def safetensors(path, **tensors):
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path)


def torch_state(path, **tensors):
    torch.save({k.replace("__", "."): torch.tensor(v) for k, v in tensors.items()}, path)


WRITERS = {"model.npz": npz, "model.safetensors": safetensors, "model.pt": torch_state}


def assert_same(weights, w_in=W_IN, w_out=W_OUT):
    assert np.array_equal(weights.w_in, w_in)
    assert np.array_equal(weights.w_out, w_out)
    assert np.array_equal(weights.b, B)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("names", [("W_in", "W_out"), ("w_in", "w_out")])
def test_formats_names_and_orientations(tmp_path, name, turned, names):
    pair = (W_IN.T, W_OUT.T) if turned else (W_IN, W_OUT)
    WRITERS[name](tmp_path / name, **dict(zip(names, pair, strict=True)), b=B)
    assert_same(rt.read_weights(tmp_path / name))


def test_a_torch_module(tmp_path):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.initial_layer = torch.nn.Linear(7, 3, bias=False)
            self.final_layer = torch.nn.Linear(3, 7)

    module = Model()
    for path, state in (
        (tmp_path / "a.pt", module.state_dict()),
        (tmp_path / "b.ckpt", {"state_dict": module.state_dict(), "epoch": 3}),
    ):
        torch.save(state, path)
        weights = rt.read_weights(path)
        x = np.random.default_rng(1).random(7)
        with torch.no_grad():
            h = module.initial_layer(torch.tensor(x, dtype=torch.float32))
            expected = module.final_layer(h).numpy()
        assert weights.w_out @ weights.w_in @ x + weights.b == pytest.approx(expected, abs=1e-6)


def test_square_layers_are_told_by_their_names(tmp_path):
    path, square = tmp_path / "m.npz", np.arange(49.0).reshape(7, 7)
    named = {"initial_layer.weight": square, "final_layer.weight": 2 * square}
    np.savez(path, **named, **{"final_layer.bias": B})
    assert_same(rt.read_weights(path), square, 2 * square)
    np.savez(path, W_in=square, W_out=square, b=B)
    with pytest.raises(ValueError, match=r"W_in is square.*initial_layer.weight"):
        rt.read_weights(path)


@pytest.mark.parametrize("bias", ["b", "bias", "b_final"])
def test_tied_weights(tmp_path, bias):
    np.savez(tmp_path / "m.npz", W=W_IN, **{bias: B})
    assert_same(rt.read_weights(tmp_path / "m.npz"), W_IN, W_IN.T)


def test_half_precision(tmp_path):
    path = tmp_path / "m.safetensors"
    safetensors(path, W_in=W_IN.astype("f2"), W_out=W_OUT.astype("f2"), b=B.astype("f2"))
    weights = rt.read_weights(path)
    assert weights.w_in.dtype == np.float64
    assert weights.w_in == pytest.approx(W_IN, rel=1e-3)


def test_rugs_are_models(tmp_path):
    rug = rt.hadamard_rug(8, 3, seed=0)
    rug.save(tmp_path / "rug.safetensors", a=1.2, b=-0.1)
    weights = rt.read_weights(tmp_path / "rug.safetensors")
    assert np.array_equal(weights.w_in, rug.w_in)
    assert weights.w_out @ weights.w_in == pytest.approx(rug.matrix(1.2))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"W_in": W_IN, "W_out": W_OUT}, "has no b or bias or b_final or final_layer.bias"),
        ({"W_in": W_IN, "b": B}, "has no W_out; it holds W_in, b"),
        ({"weights": W_IN, "b": B}, "has no W or w; it holds weights, b"),
        (
            {"W_in": W_IN, "W_out": W_OUT, "b": B[:5]},
            "W_in must be a matrix with an axis of length 5",
        ),
        ({"W_in": W_IN[0], "W_out": W_OUT, "b": B}, r"got shape \(7,\)"),
        ({"W_in": W_IN, "W_out": W_OUT[:, :2], "b": B}, "do not fit together"),
        ({"W_in": W_IN * np.nan, "W_out": W_OUT, "b": B}, "W_in must be finite, got nan"),
        ({"W_in": W_IN, "W_out": W_OUT, "b": B[None]}, r"b must be a vector, got shape \(1, 7\)"),
        ({"W_in": W_IN * 1j, "W_out": W_OUT, "b": B}, "W_in must be real, got dtype complex128"),
        ({"W": np.ones((2, 3, 7)), "b": B}, r"got shape \(2, 3, 7\)"),
    ],
)
def test_bad_tensors(tmp_path, tensors, message):
    np.savez(tmp_path / "m.npz", **tensors)
    with pytest.raises(ValueError, match=message):
        rt.read_weights(tmp_path / "m.npz")


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file: .*missing\.npz"):
        rt.read_weights(tmp_path / "missing.npz")
    for name in WRITERS:
        (tmp_path / name).write_bytes(b"garbage")
        with pytest.raises(ValueError, match=f"{name} cannot be read as {name.split('.')[1]}"):
            rt.read_weights(tmp_path / name)
    (tmp_path / "m.json").write_text("{}")
    with pytest.raises(ValueError, match=r"path must end in \.safetensors, \.npz"):
        rt.read_weights(tmp_path / "m.json")


def test_no_code_is_run_from_a_file(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"W_in": Evil()}, tmp_path / "m.pt")
    with pytest.raises(ValueError, match="cannot be read"):
        rt.read_weights(tmp_path / "m.pt")
    np.savez(tmp_path / "m.npz", W_in=np.array([{}], dtype=object), W_out=W_OUT, b=B)
    with pytest.raises(ValueError, match="cannot be read"):
        rt.read_weights(tmp_path / "m.npz")
