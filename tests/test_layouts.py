"""Checkpoints as people have them, made and run by torch: what is read is what they compute."""

import re
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, prune

import rugtheory as rt

N, M, K = 7, 3, 4


def random(*shape, seed=0):
    made = torch.Generator().manual_seed(seed + 100 * len(shape) + sum(shape))
    return torch.randn(*shape, generator=made, dtype=torch.float64)


class Two(nn.Module):
    """Two linear layers of any names, and a ReLU."""

    def __init__(self, first="encoder", second="decoder", bias=(True, True), sizes=(N, M)):
        super().__init__()
        self.names = first, second
        self.add_module(first, nn.Linear(*sizes, bias=bias[0]))
        self.add_module(second, nn.Linear(*sizes[::-1], bias=bias[1]))

    def forward(self, x):
        first, second = (getattr(self, name) for name in self.names)
        return torch.relu(second(first(x)))


class Tied(nn.Module):
    def __init__(self, weight="W", bias="b_final", turned=False):
        super().__init__()
        self.names, self.turned = (weight, bias), turned
        self.register_parameter(weight, nn.Parameter(random(*((N, M) if turned else (M, N)))))
        if bias:
            self.register_parameter(bias, nn.Parameter(random(N)))

    def forward(self, x):
        w = getattr(self, self.names[0])
        w = w.T if self.turned else w
        return torch.relu(x @ w.T @ w + (getattr(self, self.names[1]) if self.names[1] else 0))


class Untied(nn.Module):
    """x @ W_in @ W_out, or the transposes."""

    def __init__(self, first="W_in", second="W_out", b="b", b_in=None, rows=False):
        super().__init__()
        self.names, self.rows = (first, second, b, b_in), rows
        shapes = [(M, N), (N, M), (N,), (M,)] if rows else [(N, M), (M, N), (N,), (M,)]
        for name, shape in zip(self.names, shapes, strict=True):
            if name:
                self.register_parameter(name, nn.Parameter(random(*shape)))

    def forward(self, x):
        w_in, w_out, b, b_in = (getattr(self, name) if name else 0 for name in self.names)
        if self.rows:
            w_in, w_out = w_in.T, w_out.T
        return torch.relu((x @ w_in + b_in) @ w_out + b)


class Arena(nn.Module):
    """W of shape (instances, hidden, features), as in ARENA's chapter on superposition."""

    def __init__(self, k=K, bias=True, notebook=False):
        super().__init__()
        self.notebook = notebook  # Anthropic's: (instances, features, hidden)
        self.W = nn.Parameter(random(k, *((N, M) if notebook else (M, N))))
        if bias:
            self.b_final = nn.Parameter(random(k, N))

    def forward(self, x):
        w = self.W if self.notebook else self.W.transpose(1, 2)
        h = torch.einsum("...if,ifh->...ih", x, w)
        return torch.relu(torch.einsum("...ih,ifh->...if", h, w) + getattr(self, "b_final", 0))


class Wrapped(nn.Module):
    def __init__(self, inner, name="model"):
        super().__init__()
        self.name = name
        self.add_module(name, inner)

    def forward(self, x):
        return getattr(self, self.name)(x)


def sequential(*layers):
    return nn.Sequential(*layers)


class Chain(nn.Module):
    """Several linear layers."""

    def __init__(self, *sizes, bias=True):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=bias) for a, b in pairwise(sizes))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return torch.relu(x)


class Squeezed(nn.Module):
    """One model, with an axis of instances and a bias of shape (1, n)."""

    def __init__(self):
        super().__init__()
        self.W, self.b_final = nn.Parameter(random(M, N)), nn.Parameter(random(1, N))

    def forward(self, x):
        return torch.relu(x @ self.W.T @ self.W + self.b_final)


class Noisy(Two):
    """Noise in the hidden units in training only."""

    def forward(self, x):
        h = self.encoder(x)
        return torch.relu(self.decoder(h + torch.randn_like(h) if self.training else h))


class Pair(Two):
    def forward(self, x):
        h = self.encoder(x)
        return torch.relu(self.decoder(h)), h


NO_BIAS = (False, False)
# Modules, what `read_weights` is told about them, and whether it has something to say.
MODULES = {
    "encoder, decoder": (Two, {}, False),
    "encoder without bias": (lambda: Two(bias=(False, True)), {}, False),
    "no biases": (lambda: Two(bias=NO_BIAS), {}, True),
    "a bias of hidden units only": (lambda: Two(bias=(True, False)), {}, True),
    "initial, final": (lambda: Two("initial_layer", "final_layer"), {}, False),
    "enc, dec": (lambda: Two("enc", "dec"), {}, False),
    "linear1, linear2": (lambda: Two("linear1", "linear2"), {}, False),
    "fc1, fc2": (lambda: Two("fc1", "fc2"), {}, False),
    "lin_0, lin_1": (lambda: Two("lin_0", "lin_1"), {}, False),
    "down, up": (lambda: Two("down_proj", "up_proj"), {}, False),
    "embed, unembed": (lambda: Two("embed", "unembed"), {}, False),
    "W_in, W_out as layers": (lambda: Two("W_in", "W_out"), {}, False),
    "square layers": (lambda: Two(sizes=(N, N)), {}, False),
    "square layers without biases": (lambda: Two(bias=NO_BIAS, sizes=(N, N)), {}, True),
    "names of no meaning": (lambda: Two("squash", "stretch"), {}, True),
    "no meaning, no biases": (lambda: Two("squash", "stretch", NO_BIAS), {}, True),
    "Sequential 0, 1": (
        lambda: sequential(nn.Linear(N, M, bias=False), nn.Linear(M, N), nn.ReLU()), {}, False
    ),
    "Sequential 0, 2": (
        lambda: sequential(nn.Linear(N, M), nn.Identity(), nn.Linear(M, N), nn.ReLU()), {}, False
    ),
    "a Sequential in each": (
        lambda: sequential_in_each(), {}, False
    ),
    "tied W": (Tied, {}, False),
    "tied W, turned": (lambda: Tied(turned=True), {}, False),
    "tied W without bias": (lambda: Tied(bias=None), {}, True),
    "tied weight, bias": (lambda: Tied("weight", "bias"), {}, False),
    "tied, of no meaning": (lambda: Tied("dictionary", "offset"), {}, True),
    "tied, told": (
        lambda: Tied("dictionary", "offset"),
        {"names": {"W": "dictionary", "b": "offset"}},
        False,
    ),
    "W_in, W_out": (Untied, {}, False),
    "w_in, w_out, bias": (lambda: Untied("w_in", "w_out", "bias"), {}, False),
    "W_in, W_out as rows": (lambda: Untied(rows=True), {}, False),
    "W_in, W_out without b": (lambda: Untied(b=None), {}, True),
    "W_enc, W_dec, b_dec": (lambda: Untied("W_enc", "W_dec", "b_dec"), {}, False),
    "W_enc, W_dec, b_enc, b_dec": (
        lambda: Untied("W_enc", "W_dec", "b_dec", "b_enc"), {}, False
    ),
    "W1, W2, b2, b1": (lambda: Untied("W1", "W2", "b2", "b1"), {}, False),
    "matrices of no meaning, told": (
        lambda: Untied("P", "Q", "c", "d"),
        {"names": {"W_in": "P", "W_out": "Q", "b": "c", "b_in": "d"}},
        False,
    ),
    "one told, the other by name": (
        lambda: Untied("P", "W_out", "b"), {"names": {"W_in": "P"}}, False
    ),
    "square matrices, told": (
        lambda: Square(), {"names": {"W_in": "W_in.T", "W_out": "W_out.T"}}, False
    ),
    "b of shape (1, n)": (Squeezed, {}, False),
    "one instance": (lambda: Arena(1), {}, False),
    "an instance": (Arena, {"instance": 2}, False),
    "an instance without bias": (lambda: Arena(bias=False), {"instance": 0}, True),
    "an instance of the notebook": (lambda: Arena(notebook=True), {"instance": 3}, False),
    "in a module": (lambda: Wrapped(Tied()), {}, False),
    "in two modules": (lambda: Wrapped(Wrapped(Two()), "module"), {}, False),
    "compiled": (lambda: Wrapped(Two(), "_orig_mod"), {}, False),
    "in a module of another name": (lambda: Wrapped(Untied(), "autoencoder"), {}, False),
    "a chain, told": (
        lambda: Chain(N, 5, M, N),
        {
            "names": {
                "W_in": ["layers.0.weight", "layers.1.weight"],
                "W_out": "layers.2.weight",
                "b_in": ["layers.0.bias", "layers.1.bias"],
                "b": "layers.2.bias",
            }
        },
        False,
    ),
    "a chain of two": (lambda: Chain(N, M, N), {}, False),
    "a buffer ignored": (
        lambda: with_buffer(Tied(), "importance", N), {"ignore": "importance"}, False
    ),
    "buffers ignored": (
        lambda: with_buffer(with_buffer(Two(), "p", N), "p_of_pairs", 2, 2),
        {"ignore": ("p*",)},
        False,
    ),
    "noise in training": (Noisy, {}, False),
    "a pair returned": (Pair, {}, False),
}  # fmt: skip


def sequential_in_each():
    class Each(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(N, M), nn.Dropout(0.1))
            self.decoder = nn.Sequential(nn.Linear(M, N), nn.ReLU())

        def forward(self, x):
            return self.decoder(self.encoder(x))

    return Each()


class Square(nn.Module):
    def __init__(self):
        super().__init__()
        self.W_in, self.W_out = nn.Parameter(random(N, N)), nn.Parameter(random(N, N, seed=1))
        self.b = nn.Parameter(random(N))

    def forward(self, x):
        return torch.relu(x @ self.W_in @ self.W_out + self.b)


def with_buffer(module, name, *shape):
    module.register_buffer(name, torch.ones(*shape))
    return module


def outputs(module, x, instance=None):
    """What the module does with features x in double precision."""
    module = module.double().eval()
    arena = isinstance(module, Arena)
    given = torch.tensor(x)[:, None].expand(-1, len(module.W), -1) if arena else torch.tensor(x)
    with torch.no_grad():
        got = module(given)
    got = got[0] if isinstance(got, tuple) else got
    return (got[:, instance or 0] if arena else got).numpy()


def make(name):
    torch.manual_seed(1)
    maker, told, says = MODULES[name]
    return maker().double(), told, says


X = np.random.default_rng(0).random((40, N)) * (np.random.default_rng(1).random((40, N)) < 0.3)


def read(x, says, **told):
    """The model, and what was said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = rt.read_weights(x, **told)
    said = [str(one.message) for one in caught]
    assert bool(said) == says, said
    return model


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("how", ["module", "state", "pt", "safetensors", "npz", "checkpoint"])
def test_what_is_read_is_what_torch_computes(name, how, tmp_path):
    module, told, says = make(name)
    state = module.state_dict()
    if how == "module":
        x = module
    elif how == "state":
        x = state
    elif how == "pt":
        torch.save(state, x := tmp_path / "m.pt")
    elif how == "checkpoint":
        whole = {"epoch": 3, "model_state_dict": state, "optimizer": {"lr": 0.1}}
        torch.save(whole, x := tmp_path / "m.ckpt")
        says = True
    elif how == "npz":
        np.savez(x := tmp_path / "m.npz", **{k: v.numpy() for k, v in state.items()})
    else:
        save_file({k: v.contiguous() for k, v in state.items()}, x := tmp_path / "m.safetensors")
    model = read(x, says, **told)
    np.testing.assert_allclose(model(X), outputs(module, X, told.get("instance")), atol=1e-12)


def test_enough_layouts():
    assert len(MODULES) >= 40


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("how", ["module", "state", "pt", "safetensors", "parameter"])
def test_short_floats(dtype, how, tmp_path):
    module = Tied().to(dtype)
    state, x = module.state_dict(), module
    if how == "state":
        x = state
    elif how == "pt":
        torch.save(state, x := tmp_path / "m.pt")
    elif how == "safetensors":
        save_file(state, x := tmp_path / "m.safetensors")
    elif how == "parameter":
        x = module.W
    model = read(x, how == "parameter")
    assert np.array_equal(model.w_in, module.W.detach().double().numpy())
    assert model.w_in.dtype == np.float64


def normed(how):
    """Two layers, of which torch makes the first from parts."""
    module = Two(bias=(False, True))
    with torch.no_grad():
        how(module.encoder)
        module(torch.ones(N))
    return module


def pruned(layer):
    prune.random_unstructured(layer, "weight", 5)


def weight_norm_of_old(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.nn.utils.weight_norm(layer)
    layer.weight_g *= 1.7


def weight_norm_of_columns(layer):
    parametrizations.weight_norm(layer, dim=1)
    layer.parametrizations.weight.original0 *= 0.3


def weight_norm_of_all(layer):
    parametrizations.weight_norm(layer, dim=None)
    layer.parametrizations.weight.original0 *= 0.3


def old_weight_norm_of_all(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.nn.utils.weight_norm(layer, dim=None)


def spectral_norm_of_old(layer):
    torch.nn.utils.spectral_norm(layer)


def spectral_norm_of_columns(layer):
    torch.nn.utils.spectral_norm(layer, dim=1)


PARTS = (
    weight_norm_of_old,
    weight_norm_of_columns,
    weight_norm_of_all,
    old_weight_norm_of_all,
    spectral_norm_of_old,
    spectral_norm_of_columns,
    parametrizations.weight_norm,
    pruned,
)


@pytest.mark.parametrize("how", [*PARTS, parametrizations.orthogonal])
@pytest.mark.parametrize("saved", [False, True])
def test_weights_in_parts(how, saved, tmp_path):
    """They are what the module computes with, or an error that says what to save."""
    module = normed(how).eval()
    x = torch.rand(7, N)
    with torch.no_grad():
        computed = module(x).double().numpy()
    given = module
    if saved:
        given = tmp_path / "w.pth.tar"
        torch.save({"state_dict": module.state_dict()}, given)
    if saved and how is parametrizations.orthogonal:
        with pytest.raises(ValueError, match="remove_parametrizations"):
            rt.read_weights(given)
        return
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = rt.read_weights(given)
    assert not saved or "encoder.weight by" in str(said[0].message)
    reading = x.double().numpy() @ (model.w_out @ model.w_in).T + model.b
    np.testing.assert_allclose(np.maximum(reading, 0), computed, atol=1e-6)


def test_parts_that_are_named():
    """What is put together can be named, and so can a part of it."""
    g, v = random(M, 1), random(M, N)
    state = {"P_g": g, "P_v": v, "Q": random(N, M), "c": random(N)}
    named = {"W_in": "P", "W_out": "Q", "b": "c"}
    with pytest.warns(UserWarning, match="P by weight_norm from P_g and P_v"):
        whole = rt.read_weights(state, names=named)
    unit = v / v.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(whole.w_in, g * unit, rtol=1e-14)
    part = rt.read_weights(state, names=named | {"W_in": "P_v"}, ignore="P_g")
    np.testing.assert_array_equal(part.w_in, v)
    pair = {"W_g": random(M, N), "W_v": random(M, N, seed=1)}  # no lengths: two matrices
    with pytest.raises(ValueError, match=r"got W_g \(3, 7\), W_v \(3, 7\)"):
        rt.read_weights(pair)


def test_a_matrix_in_a_file_of_its_own(tmp_path):
    w = random(M, N)
    np.save(tmp_path / "w.npy", w)
    with pytest.warns(UserWarning, match="W_out = W transposed"):
        model = rt.read_weights(tmp_path / "w.npy")
    np.testing.assert_array_equal(model.w_in, w)
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ValueError, match=r"x\.npy cannot be read as npy"):
        rt.read_weights(tmp_path / "x.npy")


def test_a_mask_is_not_dropped():
    masked = np.ma.masked_array(random(M, N), mask=np.eye(M, N))
    with pytest.raises(ValueError, match="W must not be masked"):
        rt.read_weights({"W": masked, "b": np.zeros(N)})


def test_all_instances():
    module = Arena()
    models = rt.read_weights(module, instance="all")
    for k, model in enumerate(models):
        assert model == rt.read_weights(module, instance=k)
        np.testing.assert_allclose(model(X), outputs(module, X, k), atol=1e-12)
    for wrong in (None, K, -1):
        with pytest.raises(ValueError, match=rf"instance must be in \[0, 3\].* {K} instances"):
            rt.read_weights(module, instance=wrong)
    with pytest.raises(ValueError, match="instance must be None, as there is no axis"):
        rt.read_weights(Tied(), instance=0)
    shared = {"W": random(K, M, N), "b": random(N)}
    assert all(np.array_equal(m.b, shared["b"]) for m in rt.read_weights(shared, instance="all"))


class TestModulesThatDoMore:
    """A module is run: what its weights do not say is an error, not a wrong answer."""

    def relu_between(self):
        return sequential(nn.Linear(N, M), nn.ReLU(), nn.Linear(M, N), nn.ReLU())

    def test_a_hidden_activation(self):
        with pytest.raises(ValueError, match="it does not, got Sequential"):
            rt.read_weights(self.relu_between())

    def test_a_wide_hidden_layer(self):
        """Linear in a module, which is run; with a ReLU it is a sparse autoencoder."""
        module = Two(sizes=(M, N)).double()
        model = read(module, True)
        x = X[:, :M]
        np.testing.assert_allclose(model(x), outputs(module, x), atol=1e-12)
        rectified = sequential(nn.Linear(M, N), nn.ReLU(), nn.Linear(N, M))
        with pytest.raises(ValueError, match=r"sparse autoencoder.*read_sae"):
            rt.read_weights(rectified)

    def test_a_scale_kept_elsewhere(self):
        class Scaled(Two):
            def forward(self, x):
                return 2 * super().forward(x)

        with pytest.raises(ValueError, match="it does not, got Scaled"):
            rt.read_weights(Scaled())

    def test_linear_outputs(self):
        class Linear(Two):
            def forward(self, x):
                return self.decoder(self.encoder(x))

        assert rt.read_weights(Linear()).activation == "identity"
        assert rt.read_weights(Two()).activation == "relu"

    def test_the_mode_is_left_as_it_was(self):
        for training in (True, False):
            module = Noisy().train(training)
            rt.read_weights(module)
            assert module.training is training and module.encoder.training is training

    def test_a_module_that_cannot_be_run(self):
        class Other(Two):
            def forward(self, x, y):
                return x + y

        with pytest.warns(UserWarning, match="was not run"):
            rt.read_weights(Other())

    def test_what_is_ambiguous_is_settled_by_running(self):
        """Two matrices of no meaning: which is first is what the module does."""
        for first, second in (("P", "Q"), ("Q", "P")):
            module = Untied(first, second, "c")
            model = read(module, True)
            np.testing.assert_allclose(model(X), outputs(module, X), atol=1e-12)
        module = Chain(N, 5, M, N).double()
        model = read(module, True)
        np.testing.assert_allclose(model(X), outputs(module, X), atol=1e-12)


STATE = {"W_in": random(M, N), "W_out": random(N, M), "b": random(N)}
REFUSED = {
    "something more": STATE | {"importance": random(N)},
    "two biases": STATE | {"b_dec": random(N)},
    "no W_out": {"W_in": STATE["W_in"], "b": STATE["b"]},
    "ambiguous": {"P": random(M, N), "Q": random(N, M), "c": random(N)},
    "square": {"W_in": random(N, N), "W_out": random(N, N), "b": random(N)},
    "square and tied": {"W": random(N, N), "b": random(N)},
    "three layers": Chain(N, 5, M, N).state_dict(),
    "three layers on the way out": Chain(N, M, 5, N, bias=False).state_dict(),
    "a bias of another length": STATE | {"b": random(N + 1)},
    "a number beside": STATE | {"temperature": 0.5},
    "two models": {"a": {**STATE}, "b": {**STATE}},
    "which vector": {"W": random(M, N), "u": random(N), "v": random(N)},
    "a wide hidden layer": Two(sizes=(M, N)).state_dict(),
    "layers of an autoencoder": {
        "W_enc": random(M, N), "W_dec": random(N, M), "b_enc": random(N), "b_dec": random(M)
    },
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_show_names_that_work(name):
    state = REFUSED[name]
    with pytest.raises(ValueError, match="got") as caught:
        rt.read_weights(state)
    said = str(caught.value)
    assert "\n" not in said
    for key, value in state.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        for more, x in inner:
            full = f"{key}.{more}".rstrip(".")
            shape = tuple(x.shape) if torch.is_tensor(x) else f"({type(x).__name__})"
            assert f"{full} {shape}" in said
    remedy = re.search(r"names=(\{.*?\})(?:, ignore=(\(.*?\)))?$", said)
    assert remedy, said
    told = {"names": eval(remedy[1])} | ({"ignore": eval(remedy[2])} if remedy[2] else {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert isinstance(rt.read_weights(state, **told), rt.Model)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"v": random(N)},
        {"text": "x"},
        {"W_in": random(M, N), "W_out": random(N, M + 1), "b": random(N)},
        {"W": random(2, 2, M, N)},
        {"W": random(2, M, N), "V": random(3, M, N)},
    ],
)
def test_what_cannot_be_read_is_listed(state):
    with pytest.raises(ValueError, match="got"):
        rt.read_weights(state)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"names": {"W_in": "nothing"}}, "names must be of what x holds, got 'nothing'"),
        ({"names": {"V": "W_in"}}, "names must be of W_in, W_out, W, b, b_in, got 'V'"),
        ({"names": {"W": "W_in", "W_in": "W_in"}}, "names must have W"),
        ({"names": {"b": ["b", "b"]}}, "one name for b"),
        ({"ignore": "nothing"}, "ignore must name what x holds, got 'nothing'"),
        ({"instance": "some"}, 'instance must be None, an integer or "all"'),
    ],
)
def test_bad_arguments(told, message):
    with pytest.raises(ValueError, match=message):
        rt.read_weights(STATE, **told)
    for wrong in ({"names": 3}, {"names": {"b": 3}}, {"ignore": 3}):
        with pytest.raises(TypeError, match="got"):
            rt.read_weights(STATE, **wrong)


def test_matrices_in_a_tuple_are_for_the_model_itself():
    with pytest.raises(TypeError, match=r"Model\(w_in, w_out, b\) takes matrices"):
        rt.read_weights((random(2, 5), random(5, 2), random(5)))


def test_saved_square_models_are_read(tmp_path):
    model = rt.Model(random(N, N), random(N, N, seed=1), random(N))
    model.save(tmp_path / "m.safetensors")
    assert rt.read_weights(tmp_path / "m.safetensors") == model


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_refused_files_are_one_line_without_dangerous_advice(tmp_path):
    files = {"whole.pt": nn.Linear(2, 3), "numpy.pt": {"W": np.ones((2, 3))}}
    for name, content in files.items():
        torch.save(content, tmp_path / name)
    torch.jit.save(torch.jit.script(nn.Linear(2, 3)), tmp_path / "script.pt")
    (tmp_path / "text.pt").write_text("garbage")
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save([1, 2], tmp_path / "list.pt")
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match=path.name) as caught:
            rt.read_weights(path)
        said = str(caught.value)
        assert "\n" not in said and "weights_only" not in said and "safe_globals" not in said
        assert len(said) < 300


def test_what_lies_beside_a_state_dict_is_said(tmp_path):
    beside = {"epoch": 3, "losses": torch.ones(5), "optimizer": {"state": {0: {"m": random(N)}}}}
    for key in ("state_dict", "model_state_dict", "model", "net"):
        with pytest.warns(UserWarning) as caught:
            model = rt.read_weights({key: STATE, **beside})
        assert np.array_equal(model.b, STATE["b"])
        assert "passed over: epoch (int), losses (5,), optimizer (dict)" in str(caught[0].message)
    scalar = rt.read_weights(STATE | {"b": torch.tensor([0.5])})
    assert np.array_equal(scalar.b, np.full(N, 0.5))
    with pytest.raises(ValueError, match=r"must hold all weights in model, got b \(7,\) beside it"):
        rt.read_weights({"model": {"W": random(M, N)}, "b": random(N)})
    with pytest.warns(UserWarning, match="b = 0"):
        deep = {
            "params": {"encoder": {"kernel": random(N, M)}, "decoder": {"kernel": random(M, N)}}
        }
        model = rt.read_weights(deep | {"step": 3})
    assert np.array_equal(model.w_in, random(N, M).T)
