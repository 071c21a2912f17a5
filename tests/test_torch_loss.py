"""The exact loss in training loops of PyTorch."""

import sys

import numpy as np
import pytest

import rugtheory as rt

torch = pytest.importorskip("torch")
FEATURES = rt.Independent([0.1, 0.2, 0.15, 0.3, 0.05], importance=[1.0, 2.0, 0.5, 1.0, 1.0])


def weights(seed, n=5, d=2, dtype=torch.float64):
    made = torch.Generator().manual_seed(seed)
    shapes = (d, n), (n, d), (n,)
    found = [0.5 * torch.randn(*s, generator=made, dtype=torch.float64) for s in shapes]
    found[1] = found[1] + found[0].T
    return [x.to(dtype).requires_grad_() for x in found]


GROUPS = rt.Groups([rt.Together(0.2, 2), rt.Exclusive([0.1, 0.2]), rt.SparseSource(0.1)])


@pytest.mark.parametrize("features", [FEATURES, GROUPS], ids=lambda x: type(x).__name__)
def test_differences(features):
    loss = rt.exact_loss_torch(features, hidden_noise=0.1)
    assert torch.autograd.gradcheck(loss, weights(0), eps=1e-4, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("draws", [20_000, pytest.param(625_000, marks=pytest.mark.slow)])
def test_gradient_of_samples(draws):
    """PyTorch's own gradient over 16 times as many draws, within their standard errors."""
    w_in, w_out, b = weights(1)
    rt.exact_loss_torch(FEATURES)(w_in, w_out, b).backward()
    importance = torch.tensor(FEATURES.importance)
    slopes = []
    for seed in range(16):
        x = FEATURES.sample_torch(draws, torch.Generator().manual_seed(seed), dtype=b.dtype)
        missed = importance * (torch.relu(x @ w_in.T @ w_out.T + b) - x) ** 2
        slopes.append(torch.autograd.grad(missed.mean(), (w_in, w_out, b)))
    for exact, sampled in zip((w_in, w_out, b), zip(*slopes, strict=True), strict=True):
        some = torch.stack(sampled)
        error = some.std(0) / 4
        assert ((some.mean(0) - exact.grad).abs() <= 4 * error + 1e-7).all()


def test_tied_weights_and_one_bias_add_up():
    """Parameters that stand for several weights collect the derivatives of all of them."""
    (w, _, b), features = weights(2), rt.Identical(5, 0.1)
    one = b.detach()[0].clone().requires_grad_()
    value = rt.exact_loss_torch(features)(w, w.T, one)
    value.backward()
    found = rt.exact_gradient(rt.Model(w, b=one), features)
    assert abs(value.item() - found.loss) <= 1e-14
    assert np.allclose(w.grad.numpy(), found.w_in + found.w_out.T, rtol=1e-12, atol=1e-15)
    assert one.grad.item() == pytest.approx(found.b.sum(), rel=1e-12)


def test_lbfgs_of_torch_ends_where_minimize_does():
    features = rt.Identical(2, 0.1)
    net = rt.Model([[0.9, -1.1]], [[1.0], [-1.0]], 0.0).to_torch(dtype=torch.float64)
    loss = rt.exact_loss_torch(features)
    steps = torch.optim.LBFGS(net.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        steps.zero_grad()
        value = loss(net.W_in, net.W_out, net.b)
        value.backward()
        return value

    steps.step(closure)
    end = loss(net.W_in, net.W_out, net.b).item()
    assert end == pytest.approx(float(rt.uneven_pairs(0.1).loss), rel=1e-4)
    assert rt.exact_loss(rt.Model(net.W_in, net.W_out, net.b), features).mean == pytest.approx(end)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_dtypes_stay_what_they_are(dtype):
    given = weights(3, dtype=dtype)
    value = rt.exact_loss_torch(FEATURES)(*given)
    value.backward()
    assert value.dtype == dtype and all(x.grad.dtype == dtype for x in given)
    exact = rt.exact_loss(rt.Model(*given), FEATURES).mean
    assert value.item() == pytest.approx(exact, rel=1e-2 if dtype == torch.bfloat16 else 1e-6)


def test_no_second_derivatives():
    """A penalty on the gradient is refused, where it would be taken for a constant."""
    given = weights(4)
    with pytest.raises(RuntimeError, match="no second derivatives"):
        torch.autograd.grad(rt.exact_loss_torch(FEATURES)(*given), given, create_graph=True)


def test_bad_input():
    loss = rt.exact_loss_torch(FEATURES)
    w_in, w_out, b = weights(5)
    with pytest.raises(ValueError, match="w_out must have shape"):
        loss(w_in, w_in, b)
    with pytest.raises(ValueError, match="features must be n_sparse = 4"):
        loss(w_in[:, :4], w_out[:4], b[:4])
    with pytest.raises(TypeError, match="b must be a tensor, got 0"):
        loss(w_in, w_out, 0.0)
    with pytest.raises(ValueError, match="w_in must be finite"):
        loss(w_in / 0.0, w_out, b)
    with pytest.raises(ValueError, match="a density"):
        rt.exact_loss_torch(rt.Identical(3, 0.7, rt.Constant()))
    with pytest.raises(ValueError, match="hidden_noise"):
        rt.exact_loss_torch(FEATURES, hidden_noise=-1.0)


def test_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "rugtheory.analysis.torch_function", raising=False)
    with pytest.raises(ImportError, match=r"rugtheory\[validation\]"):
        rt.exact_loss_torch(FEATURES)
