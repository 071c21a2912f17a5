"""Reading weights: every format and naming, and clear errors for what cannot be read."""

import contextlib

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import rugtheory as rt

from .models import alike

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
        with contextlib.nullcontext() if path.suffix == ".pt" else pytest.warns(match="epoch"):
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
        ({"W_in": W_IN, "b": B}, r"there is no W_out; got W_in \(3, 7\), b"),
        (
            {"W_in": W_IN, "W_out": W_OUT, "b": B[:5]},
            "W_in must be a matrix with an axis of length 5",
        ),
        ({"W_in": W_IN[0], "W_out": W_OUT, "b": B}, r"there is no W_in; got W_in \(7,\)"),
        ({"W_in": W_IN, "W_out": W_OUT[:, :2], "b": B}, "do not fit together"),
        ({"W_in": W_IN * np.nan, "W_out": W_OUT, "b": B}, "W_in must be finite, got nan"),
        ({"W_in": W_IN, "W_out": W_OUT, "b": W_IN}, r"b must be a vector, and has shape \(3, 7\)"),
        ({"W_in": W_IN * 1j, "W_out": W_OUT, "b": B}, "W_in must be real, got dtype complex128"),
        ({"W": np.ones((2, 3, 7)), "b": B}, "instance must be in .* for the 2 instances"),
        ({"W": np.ones((2, 2, 3, 7)), "b": B}, r"got W \(2, 2, 3, 7\), b \(7,\)"),
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
    with pytest.raises(ValueError, match=r"x of weights must end in \.safetensors, \.npz"):
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


LAYERS = {"initial_layer.weight": W_IN, "final_layer.weight": W_OUT}
LAYOUTS = {
    "pair": {"W_in": W_IN, "W_out": W_OUT, "b": B},
    "turned": {"W_in": W_IN.T, "W_out": W_OUT.T, "bias": B},
    "small letters": {"w_in": W_IN, "w_out": W_OUT, "b_final": B},
    "layers": LAYERS | {"final_layer.bias": B},
    "tied": {"W": W_IN, "b": B},
}
# Names of tensors found in the state dicts of toy models, and of what else they hold.
EXTRA = (
    "b_in",
    "initial_layer.bias",
    "b_enc",
    "b_dec",
    "bias",
    "b",
    "b_final",
    "final_layer.bias",
    "W",
    "w",
    "w_in",
    "W_in",
    "initial_layer.weight",
    "final_layer.weight",
    "layers.0.weight",
    "layers.0.bias",
    "middle_layer.weight",
    "norm.weight",
    "scale",
    "importance",
    "rows",
)
SHAPES = [(), (1,), (3,), (7,), (3, 7), (7, 3), (3, 3), (7, 7)]


def forward(tensors, x):
    """What a torch module with these tensors does, as far as their names tell."""
    t = {name: torch.tensor(value) for name, value in tensors.items()}
    w_in = next(t[k] for k in ("W_in", "w_in", "initial_layer.weight", "W") if k in t)
    w_in = w_in if w_in.shape == (3, 7) else w_in.T
    w_out = next((t[k] for k in ("W_out", "w_out", "final_layer.weight") if k in t), w_in.T)
    w_out = w_out if w_out.shape == (7, 3) else w_out.T
    hidden = next((t[k] for k in ("b_in", "b_enc", "initial_layer.bias") if k in t), None)
    b = next(t[k] for k in ("b", "bias", "b_final", "final_layer.bias") if k in t)
    h = torch.nn.functional.linear(torch.tensor(x), w_in, hidden)
    return torch.relu(torch.nn.functional.linear(h, w_out, b)).numpy()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", WRITERS)
def test_nothing_is_dropped(tmp_path, layout, name):
    """Any tensor more is folded in exactly, or an error that names it and its shape."""
    x, folded = np.random.default_rng(1).random((20, 7)), set()
    for extra in EXTRA:
        if extra in LAYOUTS[layout]:
            continue
        for shape in SHAPES:
            value = np.random.default_rng(2).normal(size=shape)
            if shape == (1,) and extra == "rows":
                value = np.array([5])
            tensors = LAYOUTS[layout] | {extra: value}
            WRITERS[name](tmp_path / name, **tensors)
            try:
                got = rt.read_weights(tmp_path / name)
            except ValueError as error:
                said = str(error)
                assert extra in said or "must be a vector" in said, said
                continue
            folded.add((extra, shape))
            told = np.maximum(x @ got.w_in.T @ got.w_out.T + got.b, 0)
            np.testing.assert_allclose(told, forward(tensors, x), atol=1e-12)
    layers = {("initial_layer.bias", (3,))} if layout in ("layers", "tied") else set()
    assert folded == {("b_in", (3,)), ("b_enc", (3,))} | layers


def test_a_torch_module_with_a_bias_of_its_hidden_units(tmp_path):
    """Its exact loss is that of samples of the module, not of what is left without the bias."""

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.initial_layer = torch.nn.Linear(7, 3)
            self.final_layer = torch.nn.Linear(3, 7)

        def forward(self, x):
            return torch.relu(self.final_layer(self.initial_layer(x)))

    torch.manual_seed(0)
    module = Model().double()
    torch.save(module.state_dict(), tmp_path / "m.pt")
    weights = rt.read_weights(tmp_path / "m.pt")
    x = rt.SparseSource(0.3).sample((200_000, 7), seed=0)
    with torch.no_grad():
        losses = np.mean((module(torch.tensor(x)).numpy() - x) ** 2, axis=1)
    exact = rt.exact_loss(*alike(weights.w_in, weights.w_out, weights.b, 0.3))
    assert abs(exact.mean - losses.mean()) < 4 * losses.std() / np.sqrt(losses.size)


def test_what_is_no_tensor_is_named(tmp_path):
    path = tmp_path / "m.pt"
    state = {name: torch.tensor(x) for name, x in LAYOUTS["pair"].items()}
    torch.save(state | {"temperature": 0.5}, path)
    with pytest.raises(ValueError, match=r"nothing is known about temperature \(float\)"):
        rt.read_weights(path)
    assert_same(rt.read_weights(path, ignore="temperature"))


def test_rows_of_a_rug_are_passed_over_only_if_they_are_rows(tmp_path):
    path = tmp_path / "m.safetensors"
    safetensors(path, **LAYOUTS["pair"], rows=np.arange(3))
    assert_same(rt.read_weights(path))
    for rows in (np.arange(4), np.ones(3), np.ones((3, 3), int)):
        safetensors(path, **LAYOUTS["pair"], rows=rows)
        with pytest.raises(ValueError, match="nothing is known about rows"):
            rt.read_weights(path)
