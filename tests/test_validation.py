"""Training, sweeps and reports: what they promise, on models small enough to train in a test."""

import contextlib
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import rugtheory as rt
from rugtheory.source.files import text_of
from validation.batches import BATCH, Batch, Data, sample
from validation.cli import main
from validation.collect import collect, results_of
from validation.fit import fit
from validation.path import follow
from validation.report import (
    VERDICT,
    converged,
    markdown,
    read_paths,
    table,
    write_paths,
    write_report,
)
from validation.spec import DESCENTS, NAMED, PROTOCOLS, Spec, gain, initial
from validation.sweep import Sweep, finished, key, read_sweep, run, write
from validation.training import _Scratch, gradients, train
from validation.workers import Died, Workers

from .models import alike
from .random_features import KINDS

SPECS = Path(rt.__file__).parents[1] / "validation" / "specs"
SMALL = Spec(n_sparse=16, n_dense=6, p=0.2, steps=150, rounds=1, rate=1e-3)


@pytest.fixture(autouse=True)
def quick_verdicts(monkeypatch):
    monkeypatch.setattr("validation.sweep._EXPLAINED_ROWS", 2)


class InPlace(Executor):
    """Runs everything at once, in this process."""

    def submit(self, function, /, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


class TestTraining:
    @pytest.mark.parametrize("shared", [False, True])
    def test_together_as_alone(self, shared, monkeypatch):
        monkeypatch.setattr("validation.training._share_products", lambda device: shared)
        specs = [SMALL, replace(SMALL, n_dense=3, seed=1), replace(SMALL, n_dense=10, p=0.05)]
        for spec, company in zip(specs, train(specs), strict=True):
            (alone,) = train([spec])
            assert company.w_in.shape == (spec.n_dense, 16) == alone.w_in.shape
            for name in ("w_in", "w_out", "b"):
                assert getattr(company, name) == pytest.approx(getattr(alone, name), abs=2e-4)
            assert company.losses == pytest.approx(alone.losses, rel=1e-3)

    @pytest.mark.parametrize("n_dense", [5, 40])
    @pytest.mark.parametrize("p", [0.03, 0.3])
    def test_gradients_are_those_of_autograd(self, n_dense, p):
        """With the encoder first and with the product of the weights first, dense and sparse."""
        data = Data(p, 48, 7)
        generator = torch.Generator().manual_seed(5)
        shapes = (48, n_dense), (n_dense, 48), (1, 48)
        weights = [torch.randn(shape, generator=generator) for shape in shapes]
        parameters = [y.clone().requires_grad_() for y in weights]
        batch = data.at(0)
        x = batch.dense
        expected = (torch.relu(x @ parameters[0] @ parameters[1] + parameters[2]) - x).square()
        expected.sum(1).mean().backward()
        three = Batch.of(torch.stack([x] * 3)), *[torch.stack([y] * 3) for y in weights]
        for given in ((batch, *weights), three):
            loss, found = gradients(*given, _Scratch())
            assert loss.numpy() == pytest.approx(expected.sum(1).mean().item(), rel=1e-5)
            for gradient, parameter in zip(found, parameters, strict=True):
                scale = float(parameter.grad.abs().max())
                assert gradient.numpy() == pytest.approx(
                    parameter.grad.expand(gradient.shape).numpy(), rel=1e-4, abs=1e-6 * scale
                )

    def test_weighed_gradients_are_those_of_autograd(self):
        generator = torch.Generator().manual_seed(5)
        shapes = (6, 3), (3, 6), (1, 6)
        weights = [torch.randn(shape, generator=generator) for shape in shapes]
        parameters = [y.clone().requires_grad_() for y in weights]
        x, weight = torch.rand(50, 6, generator=generator), torch.arange(6.0)
        error = torch.relu(x @ parameters[0] @ parameters[1] + parameters[2]) - x
        expected = (error.square() * weight).sum(1).mean()
        expected.backward()
        loss, found = gradients(Batch.of(x), *weights, _Scratch(), weight)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        for gradient, parameter in zip(found, parameters, strict=True):
            assert gradient.numpy() == pytest.approx(parameter.grad.numpy(), rel=1e-4, abs=1e-6)

    def test_features_of_any_law(self):
        """Training lowers the exact loss on the law, with its importances, and keeps to it."""
        law = rt.Groups([rt.Exclusive([0.2, 0.2]), rt.SparseSource(0.3)], [1.0, 0.5, 2.0])
        spec = Spec(3, 2, 0.23, steps=300, rounds=1, law=text_of(law))
        assert spec.features == law
        (model,) = train([spec])
        before = initial(spec)
        start, end = (rt.exact_loss(x.model, law).mean for x in (before, model))
        assert end < 0.2 * start
        assert model.losses[-50:].mean() == pytest.approx(end, rel=0.3)

    @pytest.mark.parametrize("kind", KINDS, ids=lambda x: x.__name__)
    def test_tensors_have_the_law_of_the_features(self, kind):
        """Means, mean squares and covariances of 100,000 draws, within five standard errors."""
        laws = (rt.Uniform(-1, 2), rt.Exponential(0.5), rt.HalfNormal(0.3), rt.Beta(2, 3))
        for seed in range(4):
            features = KINDS[kind](np.random.default_rng(seed), (*laws, rt.Constant(0.6)))
            generator = torch.Generator().manual_seed(seed)
            x = features.sample_torch(100_000, generator, dtype=torch.float64).numpy()
            for found, expected in (
                (x, features.mean),
                (x**2, features.second_moment),
            ):
                error = found.std(axis=0) / len(x) ** 0.5
                assert np.all(np.abs(found.mean(axis=0) - expected) < 5 * error + 1e-12)
            again = features.sample_torch(100_000, seed, dtype=torch.float64).numpy()
            assert np.array_equal(again, x)
            y = x - features.mean
            products = y[:, :, None] * y[:, None, :]
            error = products.std(axis=0) / len(x) ** 0.5
            gap = np.abs(products.mean(axis=0) - features.covariance)
            # Of what hardly ever happens the deviation is not known.
            rare = (x[:, :, None] * x[:, None, :] != 0).sum(axis=0) < 30
            assert np.all((gap < 5 * error + 1e-12) | rare)

    def test_rounds_end_when_a_longer_one_gains_nothing(self):
        spec = replace(SMALL, steps=100, rate=1e-2, rounds=6, tolerance=0.03)
        models = train([spec, replace(spec, n_dense=15)])
        for model in models:
            rounds = model.rounds
            assert 2 <= len(rounds) and model.losses.size == 100 * (2 ** len(rounds) - 1)
            gains = [gain(rounds[: k + 1]) for k in range(len(rounds))]
            assert gains[0] == np.inf and all(abs(x) >= 0.03 for x in gains[:-1])
            assert abs(gains[-1]) < 0.03 or len(rounds) == 6
            exact = rt.exact_loss(*alike(model.w_in, model.w_out, model.b, spec.p), rtol=1e-4)
            assert exact.mean == pytest.approx(min(rounds), rel=1e-9)
        assert min(len(model.rounds) for model in models) < 6

    def test_a_round_that_does_harm_is_followed_by_smaller_steps(self, monkeypatch):
        spec = replace(SMALL, rounds=6, tolerance=0.01)
        losses, rates, went_on_from = iter([4.0, 3.0, 5.0, 3.1, 2.0, 1.999]), [], []

        def one_round(starts, k, steps, *_):
            rates.append(starts[0].spec.rate / spec.rate)
            went_on_from.append(float(starts[0].b[0]))
            return [replace(starts[0], b=starts[0].b * 0 + k + 1)]

        monkeypatch.setattr("validation.training._round", one_round)
        monkeypatch.setattr("validation.training._exact", lambda model: next(losses))
        (model,) = train([spec])
        assert rates == [1, 1, 1, 1 / 4, 1 / 16, 1 / 16]
        assert went_on_from == [0, 1, 2, 2, 2, 5]
        assert model.spec == spec and model.b[0] == 6
        assert model.rounds == (4.0, 3.0, 5.0, 3.1, 2.0, 1.999)

    def test_each_round_trains_a_model_once(self, monkeypatch):
        """Also one whose step size becomes that of others in the same round."""
        specs = [replace(SMALL, n_dense=n, rounds=5, tolerance=0.01) for n in (4, 6)]
        ends = {4: iter([4.0, 5.0, 3.0, 2.0, 1.0]), 6: iter([4.0, 3.0, 5.0, 2.0, 1.0])}
        trained = []

        def one_round(starts, k, steps, *_):
            trained.extend((k, start.spec.n_dense) for start in starts)
            return starts

        monkeypatch.setattr("validation.training._round", one_round)
        monkeypatch.setattr(
            "validation.training._exact", lambda model: next(ends[model.spec.n_dense])
        )
        models = train(specs)
        assert sorted(trained) == [(k, n) for k in range(5) for n in (4, 6)]
        assert [len(model.rounds) for model in models] == [5, 5]

    def test_same_seed_same_model(self):
        (first,), (second,) = train([SMALL]), train([SMALL])
        assert np.array_equal(first.w_out, second.w_out)
        (other,) = train([replace(SMALL, seed=1)])
        assert not np.array_equal(first.w_out, other.w_out)

    @pytest.mark.parametrize("tied", [False, True])
    def test_the_order_of_numbers_in_memory_does_not_matter(self, tied):
        spec = replace(SMALL, tied=tied, steps=20)
        start = initial(spec)
        turned = replace(
            start, **{k: np.asfortranarray(getattr(start, k)) for k in ("w_in", "w_out")}
        )
        (first,), (second,) = (train([spec], starts=[x]) for x in (start, turned))
        assert np.array_equal(first.w_out, second.w_out)

    def test_learns_and_is_tied(self):
        (model,) = train([replace(SMALL, tied=True, steps=400, rate=1e-2)])
        assert np.array_equal(model.w_in, model.w_out.T)
        exact = rt.exact_loss(*alike(model.w_in, model.w_out, model.b, 0.2), rtol=1e-5)
        assert exact.mean < 0.8 * float(rt.linear_loss(0.2, 6 / 16))

    def test_exact_loss_is_that_of_fresh_batches(self):
        (model,) = train([SMALL])
        x = sample(0.2, (20_000, 16), torch.Generator().manual_seed(3)).double().numpy()
        y = np.maximum(x @ model.w_in.T.astype(float) @ model.w_out.T + model.b, 0)
        losses = np.mean((x - y) ** 2, axis=1)
        exact = rt.exact_loss(*alike(model.w_in, model.w_out, model.b, 0.2), rtol=1e-6)
        assert abs(losses.mean() - exact.mean) < 4.5 * losses.std() / np.sqrt(losses.size)

    @pytest.mark.parametrize("p", [1e-5, 0.03, 0.15, 0.3, 1.0])
    def test_data_follow_the_source(self, p):
        source, data = rt.SparseSource(p), Data(p, 100, 3)
        x = np.concatenate([data.at(k).dense.double().numpy() for k in range(20)]).ravel()
        n, on = x.size, x[x > 0]
        assert abs(x.mean() - source.mean) < 4.5 * np.sqrt(source.variance / n)
        assert abs(on.size / n - p) <= 4.5 * np.sqrt(p * (1 - p) / n)
        assert abs(on.mean() - 0.5) < 4.5 / np.sqrt(12 * on.size) and on.max() <= 1
        neighbours = np.mean((x[1:] > 0) & (x[:-1] > 0))
        assert abs(neighbours - p**2) <= 6 * np.sqrt((p**2 + 2 * p**3) / n)
        features = (x.reshape(-1, 100) > 0).mean(axis=0)
        assert np.abs(features - p).max() <= 6 * np.sqrt(p * (1 - p) / (n / 100)) + 1e-12

    def test_gaps_beyond_all_integers(self):
        assert not torch.any(Data(1e-30, 60, 1).at(0).dense)

    def test_sparse_batches_are_the_dense_ones(self):
        data = Data(0.05, 60, 1)
        first = data.at(0)
        kept = first.dense.clone()
        assert first.x.layout == first.transposed.layout == torch.sparse_csr
        assert torch.equal(first.x.to_dense(), kept)
        assert torch.equal(first.transposed.to_dense(), kept.T)
        assert data.at(0) is first
        assert not torch.equal(data.at(1).dense, kept)

    @pytest.mark.parametrize("tied", [False, True])
    def test_descents_start_where_training_does_and_end_lower(self, tied):
        spec = replace(SMALL, n_sparse=8, n_dense=3, steps=60, tied=tied)
        (trained,) = train([spec])
        steps = []
        (went_on,) = train([replace(spec, protocol="continued")], progress=steps.append)
        (descended,) = train([replace(spec, protocol="descent")])
        for model, start in ((went_on, trained), (descended, initial(spec))):
            exact = rt.exact_loss(start.model, spec.features, rtol=1e-6).mean
            assert model.descent.start == pytest.approx(exact, rel=1e-4)
            end = rt.exact_loss(model.model, spec.features, rtol=1e-6).mean
            assert model.rounds[-1] == pytest.approx(end, rel=1e-6) and end < exact
            assert 0 < model.descent.descended <= spec.most_steps
            assert model.descent.coupling <= spec.max_coupling
            assert np.array_equal(model.w_in, model.w_out.T) == tied
        assert gain(went_on.rounds) == pytest.approx(
            1 - end_of(went_on) / end_of(trained), rel=1e-4
        )
        assert steps == list(range(1, 61 + went_on.descent.descended))

    def test_a_descent_from_a_law_starts_at_its_weights(self):
        spec = replace(SMALL, n_sparse=8, n_dense=2, protocol="law", steps=20, p=0.02)
        (model,) = train([spec])
        law = rt.row_law(spec.features, spec.n_dense, seeds=spec.seed, max_coupling=10)
        assert model.descent.start == pytest.approx(law.exact, rel=1e-3)
        assert end_of(model) < law.exact
        assert model.shared.law_loss == law.loss and model.shared.law_ended == law.verdict
        with pytest.raises(ValueError, match="tied must be false"):
            replace(spec, tied=True)

    @pytest.mark.parametrize("init", NAMED)
    def test_a_descent_from_a_start_of_that_name(self, init):
        spec = replace(SMALL, protocol=init, seed=3, descent_steps=5)
        (model,) = train([spec])
        found = rt.minimize(spec.features, spec.n_dense, init=init, seed=3, steps=5)
        assert end_of(model) == pytest.approx(found.loss, rel=1e-6)
        with pytest.raises(ValueError, match="tied must be false"):
            replace(spec, tied=True)

    def test_a_cap_is_that_of_descents(self):
        with pytest.raises(ValueError, match=r"max_coupling .* got 3"):
            replace(SMALL, max_coupling=3.0)
        spec = replace(
            SMALL, n_sparse=8, n_dense=3, protocol="descent", steps=500, p=0.1, max_coupling=2.0
        )
        (model,) = train([spec])
        assert 1.5 < model.descent.coupling <= 2
        alone = replace(SWEEP, protocol=("descent", "paper"), max_coupling=(1.0, 2.0))
        caps = [one.max_coupling for one in alone.specs() if one.protocol == "descent"]
        assert sorted(set(caps)) == [1, 2] and len(alone.specs()) == 3 * len(SWEEP.specs())

    def test_a_descent_has_steps_of_its_own(self):
        spec = replace(SMALL, protocol="continued", steps=60, descent_steps=3)
        (model,) = train([spec])
        assert model.losses.size == 60 and model.descent.descended == 3
        with pytest.raises(ValueError, match=r"descent_steps .* got 3 with 'converged'"):
            replace(SMALL, descent_steps=3)

    def test_weight_decay_is_that_of_adamw(self):
        spec = replace(SMALL, tied=True, decay=2.0, rounds=1, steps=30)
        start = initial(spec)
        w = torch.tensor(start.w_in.T.copy(), requires_grad=True)
        b = torch.zeros(spec.n_sparse, requires_grad=True)
        adam = torch.optim.AdamW([{"params": w, "weight_decay": 2.0}, {"params": b}], 1.0)
        adam.param_groups[1]["weight_decay"] = 0.0
        data = Data(spec.p, spec.n_sparse, 2**32 + spec.seed)
        for step in range(spec.steps):
            for group in adam.param_groups:
                group["lr"] = spec.step_size(step, spec.steps)
            adam.zero_grad()
            x = data.at(step).dense
            ((torch.relu(x @ w @ w.T + b) - x) ** 2).sum(dim=1).mean().backward()
            adam.step()
        (model,) = train([spec])
        assert model.w_in == pytest.approx(w.detach().numpy().T, abs=1e-4)
        assert model.b == pytest.approx(b.detach().numpy(), abs=1e-4)

    def test_negative_decay_draws_columns_to_length_one(self):
        def lengths(decay):
            (model,) = train([replace(SMALL, tied=True, decay=decay, rounds=1, steps=1000)])
            return np.linalg.norm(model.w_in, axis=0)

        free, drawn = lengths(0.0), lengths(-20.0)
        assert drawn == pytest.approx(1, abs=0.05) and np.abs(free - 1).max() > 0.2
        with pytest.raises(ValueError, match=r"decay .* got -1"):
            replace(SMALL, decay=-1.0)

    def test_the_paper_stops_when_a_window_is_no_better(self):
        spec = replace(SMALL, protocol="paper", steps=5000)
        assert spec.step_size(0, 5000) == spec.step_size(4999, 5000) == 3e-3 / 4
        (model,) = train([spec])
        size = model.losses.size
        assert size < 5000 and size % 100 == 0
        windows = model.losses.reshape(-1, 100).mean(axis=1)
        assert windows[-1] >= windows[-2] and np.all(np.diff(windows[:-1]) < 0)

    def test_watching_changes_nothing(self):
        seen = []
        (model,) = train([SMALL], watch=seen.extend, watched={10, 150})
        assert [m.losses.size for m in seen] == [10, 150]
        assert np.array_equal(seen[-1].w_in, model.w_in)
        assert not np.array_equal(seen[0].w_in, model.w_in)
        assert np.array_equal(train([SMALL])[0].w_in, model.w_in)

    def test_the_path_of_training(self, tmp_path):
        spec = replace(SMALL, protocol="constant", steps=1500)
        path = follow(spec, points=6)
        assert path.step.values[0] == 100 and path.step.values[-1] == 1500
        assert path.loss.values[-1] < path.loss.values[0]
        (stopped,) = train([replace(spec, protocol="paper")])
        expected = stopped.losses.size if stopped.losses.size < 1500 else -1
        assert path.paper_stop in (expected, 1500)
        (model,) = train([spec])
        exact = rt.exact_loss(*alike(model.w_in, model.w_out, model.b, spec.p), rtol=1e-5)
        assert path.loss.values[-1] == pytest.approx(exact.mean, rel=1e-4)
        path.to_netcdf(tmp_path / "path.nc", engine="h5netcdf")
        assert write_paths(read_paths([tmp_path / "path.nc"]), tmp_path).stat().st_size > 10_000

    def test_step_size_falls_to_zero(self):
        sizes = [SMALL.step_size(k, SMALL.steps) for k in range(SMALL.steps)]
        assert max(sizes) <= SMALL.rate and sizes[-1] < 0.01 * SMALL.rate and BATCH == 1024

    @pytest.mark.parametrize("name", ["steps", "batch"])
    def test_bad_fit(self, name):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            fit(rt.hadamard_rug(16, 4, seed=0), 0.1, **{name: 0})

    def test_bad_company(self):
        with pytest.raises(ValueError, match="specs may differ in n_dense, p and seed only"):
            train([SMALL, replace(SMALL, steps=10)])


def test_training_stays_at_a_graph_code():
    """Adam finds nothing better near it, and from random weights nothing as good."""
    p, code, best = 0.01, rt.graph_code("M22"), rt.graph_optimum(0.01, "M22")
    spec = Spec(code.n_sparse, code.n_dense, p, steps=800, rounds=1, rate=2e-3)
    w_out, b = code.w_out(float(best.a), float(best.lift)), np.full(code.n_sparse, best.b)
    start = initial(spec)
    at = replace(start, w_in=np.float32(code.w_in), w_out=np.float32(w_out), b=np.float32(b))
    random = replace(spec, rate=1e-2)
    losses = []
    for models in (train([spec], starts=[at]), train([random])):
        given = models[0].w_in, models[0].w_out, models[0].b
        losses.append(rt.exact_loss(*alike(*given, p), rtol=1e-5).mean / float(best.loss))
    assert losses[0] == pytest.approx(1, abs=0.01)
    assert losses[1] > 1.1


@pytest.mark.slow
def test_training_stays_at_precedence_codes():
    """Couplings of up to 500 come within 3 % of the limit, far below groups on graphs."""
    p, code, copies = 0.1, rt.precedence_code(5, 8.0), 12
    spec = Spec(5 * copies, 2 * copies, p, steps=1500, rounds=1, rate=1e-3)
    w_in, w_out = (np.kron(np.eye(copies), x).astype(np.float32) for x in (code.w_in, code.w_out))
    start = replace(initial(spec), w_in=w_in, w_out=w_out)
    model = train([spec], starts=[start])[0]
    x = rt.SparseSource(p).sample((200_000, spec.n_sparse), 0)
    y = np.maximum(x @ model.w_in.T @ model.w_out.T + model.b, 0)
    losses = ((y - x) ** 2).mean(axis=1)
    limit = float(rt.precedence_loss(p, 5))
    error = 4 * losses.std() / np.sqrt(losses.size)
    assert limit - error < losses.mean() < 1.03 * limit + error
    assert losses.mean() < 0.75 * rt.graph_optimum(p, "Gewirtz").loss


def test_a_and_b_fitted_on_a_rug_are_those_of_the_optimum():
    """Exactly but for the finite size of the rug, which the exact loss tells."""
    found = fit(rt.hadamard_rug(2048, 512, seed=0), 0.1, steps=400, batch=64)
    best = found.optimum
    assert found.a == pytest.approx(float(best.a), rel=0.02)
    assert found.b == pytest.approx(float(best.b), rel=0.02)
    finite = abs(found.exact_at_optimum - float(best.loss))
    assert finite < 0.01 * best.loss
    assert abs(found.loss - found.exact_at_optimum) < finite


SWEEP = Sweep(n_sparse=(8,), ratio=(0.25, 0.5), p=(0.1, 0.3), seed=(0, 1), steps=30, rounds=1)


def end_of(trained):
    return rt.exact_loss(trained.model, trained.spec.features, rtol=1e-6).mean


def swept(tmp_path, sweep=SWEEP, executor=None):
    messages = []
    run(sweep, tmp_path, executor or InPlace(), group=3, warn=messages.append)
    return messages


class TestSweep:
    def test_resumes(self, tmp_path):
        swept(tmp_path)
        files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
        assert len(files) == 16
        (tmp_path / f"{key(SWEEP.specs()[2])}.json").unlink()
        assert swept(tmp_path) == []
        changed = [p for p in files if p.stat().st_mtime_ns != files[p]]
        assert {path.stem for path in changed} == {key(SWEEP.specs()[2])}

    def test_corrupt_files_are_named_and_replaced(self, tmp_path):
        swept(tmp_path)
        names = [key(spec) for spec in SWEEP.specs()]
        (tmp_path / f"{names[0]}.safetensors").write_bytes(b"cut")
        (tmp_path / f"{names[1]}.json").write_text("{")
        (tmp_path / f"{names[2]}.safetensors").unlink()
        messages = swept(tmp_path)
        assert len(messages) == 3
        for name, message in zip(names, messages, strict=False):
            assert name in message and "corrupt" in message
        assert all(finished(tmp_path, spec) for spec in SWEEP.specs())

    def test_a_changed_spec_is_named(self, tmp_path):
        swept(tmp_path)
        with pytest.raises(ValueError, match="trained with steps = 30, the sweep has 40"):
            swept(tmp_path, replace(SWEEP, steps=40))

    def test_a_failing_job_does_not_lose_the_others(self, tmp_path, monkeypatch):
        def failing(specs, device, until):
            if specs[0].p == 0.1 and specs[0].seed == 1:
                raise RuntimeError("out of memory")
            return work(specs, device, until)

        from validation.sweep import work

        monkeypatch.setattr("validation.sweep.work", failing)
        with pytest.raises(RuntimeError, match=r"2 of 8 jobs failed, .*_s1_\w+ with: out of mem"):
            run(SWEEP, tmp_path, ThreadPoolExecutor(1))
        monkeypatch.undo()
        assert sum(finished(tmp_path, spec) for spec in SWEEP.specs()) == 6
        swept(tmp_path)
        assert all(finished(tmp_path, spec) for spec in SWEEP.specs())

    def test_out_of_time(self, tmp_path):
        """The descent under way is kept where it is, later ones are left to the next call."""
        messages: list[str] = []
        sweep = Sweep((0.25,), (64,), (0.05, 0.1), protocol=("descent",))
        run(sweep, tmp_path, ThreadPoolExecutor(1), minutes=0.01, warn=messages.append)
        (about,) = tmp_path.glob("*.json")
        descent = json.loads(about.read_text())["descent"]
        assert descent["ended"] == "stopped" and descent["seconds"] > 0.5
        assert messages == ["1 of 2 jobs are left: the same command goes on"]

    def test_killed(self, tmp_path):
        """SIGKILL in the middle: finished points stay, the next call does the rest."""
        spec, out = tmp_path / "sweep.toml", tmp_path / "out"
        grid = "n_sparse = 8\nratio = [0.25, 0.375, 0.5, 0.625, 0.75]\np = 0.3\n"
        spec.write_text(grid + "steps = 200\nrounds = 1\n")
        command = [
            sys.executable,
            "-m",
            "validation",
            "sweep",
            spec,
            "--out",
            out,
            "--workers",
            "1",
        ]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and len(list(out.glob("[!.]*.json"))) < 2:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        sweep = read_sweep(spec)
        done = [s for s in sweep.specs() if finished(out, s)]
        assert 2 <= len(done)
        times = {key(s): (out / f"{key(s)}.json").stat().st_mtime_ns for s in done}
        run(sweep, out, InPlace())
        assert all(finished(out, s) for s in sweep.specs())
        assert all((out / f"{k}.json").stat().st_mtime_ns == t for k, t in times.items())

    def test_weights_are_models(self, tmp_path):
        swept(tmp_path)
        spec = SWEEP.specs()[0]
        weights = rt.read_weights(tmp_path / f"{key(spec)}.safetensors")
        about = json.loads((tmp_path / f"{key(spec)}.json").read_text())
        exact = rt.exact_loss(*alike(weights.w_in, weights.w_out, weights.b, spec.p), rtol=1e-6)
        assert about["loss"] == pytest.approx(exact.mean, rel=1e-9)
        assert about["torch"] == torch.__version__

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("n_sparse = 16\nratio = 0.5", "p is missing"),
            ("n_sparse = 16\nratio = 0.5\np = 0.1\nspeed = 3", "unknown speed"),
            ("n_sparse = 16\nratio = [0.5, 1.5]\np = 0.1", r"ratio must be in \(0, 1\], got 1.5"),
            ("n_sparse = 16\nratio = 0.5\np = 'x'", r"p must be in \(0, 1\], got 'x'"),
            ("n_sparse = 16\nratio = 0.5\np = []", r"p must be in \(0, 1\], got \[\]"),
            ("n_sparse = 16\nratio = 0.5\np = 1\nsteps = [3]", "steps must be a positive integer"),
            ("n_sparse = 16\nratio = 0.5\np = 1\nprotocol = 'fast'", "protocol must be one of"),
            ("n_sparse = 16\nratio = 0.5\np = 1\nrounds = 0", "rounds must be a positive integer"),
            ("n_sparse = 16\nratio = 0.5\np = 1\ntolerance = 2", r"tolerance must be in \(0, 1\)"),
            ("n_sparse = 16\nratio = 0.05\np = 1", r"n_dense must lie in \[1, 16\], got 0"),
            ("n_sparse = ", "Invalid value"),
            ("features = 'law.toml'", "ratio is missing"),
            ("features = 'law.toml'\nratio = 0.5\np = 0.1", "p is that of the features"),
            ("features = 'law.toml'\nratio = 0.5", "no such file"),
        ],
    )
    def test_bad_specs(self, tmp_path, text, message):
        (tmp_path / "s.toml").write_text(text)
        with pytest.raises(ValueError, match=rf"s.toml: .*{message}"):
            read_sweep(tmp_path / "s.toml")

    @pytest.mark.parametrize("path", sorted(SPECS.glob("*.toml")), ids=lambda x: x.stem)
    def test_specs_that_are_shipped(self, path):
        models = read_sweep(path).specs()
        assert len({key(spec) for spec in models}) == len(models)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--dask", "tcp://127.0.0.1:9"], "no scheduler answers there"),
            (["--device", "cuda:77"], "got 'cuda:77', which it does not find"),
            (["--group", "0"], "--group must be in [1, 4096], got 0"),
            (["--workers", "-2"], "--workers must be in [1, 4096], got -2"),
        ],
    )
    def test_nothing_to_work_on(self, tmp_path, arguments, message, monkeypatch, capsys):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr("validation.cli.sweep._PATIENCE", 1)
        (tmp_path / "s.toml").write_text("n_sparse = 16\nratio = 0.5\np = 0.1\nsteps = 1")
        out = tmp_path / "out"
        command = ["validation", "sweep", str(tmp_path / "s.toml"), "--out", str(out), *arguments]
        monkeypatch.setattr("sys.argv", command)
        with pytest.raises(SystemExit) as stop:
            main()
        error = capsys.readouterr().err
        assert stop.value.code == 2 and message in error and error.count("\n") == 1
        assert not out.exists()


def stub(specs, device, until):
    """Untrained models with results made up: what concerns files only."""
    return [(initial(spec), {"spec": spec.settings(), "loss": spec.p}) for spec in specs]


class Stub(InPlace):
    def submit(self, function, /, *arguments):
        return super().submit(stub, *arguments)


def neighbours(spec):
    """For each field of a spec, others that differ from it in this field alone, if but a little."""
    for one in fields(spec):
        value = getattr(spec, one.name)
        others = {
            "int": lambda v: [v + 1, v + 2],
            "float": lambda v: [float(np.nextafter(v, 1)), float(np.nextafter(v, 0)), v * 1.0001],
            "bool": lambda v: [not v],
            "str": lambda v: [x for x in PROTOCOLS if x != v],
        }[one.type](value)
        if one.name == "law":
            laws = [text_of(rt.Identical(spec.n_sparse, q)) for q in (0.1, 0.2)]
            others = [law for law in laws if law != value]
        for other in (x for x in others if x != value):
            with contextlib.suppress(ValueError):  # the size of a law is that of the model
                yield one.name, replace(spec, **{one.name: other})


class TestNames:
    """Of the files of points: one for each, whatever tells them apart."""

    @pytest.mark.parametrize("p", [0.1, 1e-5, 0.1234561, 1 / 3])
    @pytest.mark.parametrize("protocol", ["converged", "descent"])
    def test_different_points_have_different_names(self, p, protocol):
        spec = replace(SMALL, p=p, protocol=protocol)
        others = list(neighbours(spec))
        meaningless = set() if protocol in DESCENTS else {"max_coupling", "descent_steps"}
        meaningless.add("decay")  # of weights that are not tied
        assert {name for name, _ in others} == {one.name for one in fields(Spec)} - meaningless
        # And those in which two fields differ.
        pairs = [pair for _, one in others for _, pair in neighbours(one)]
        every = {spec, *(one for _, one in others), *pairs}
        assert len({key(one) for one in every}) == len(every) > 150

    def test_equal_points_have_one_name(self):
        one, two = replace(SMALL, p=1, rate=1), replace(SMALL, p=1.0, rate=1.0)
        assert one == two and key(one) == key(two)
        stored = Spec(**json.loads(json.dumps(asdict(SMALL))))
        assert key(stored) == key(SMALL)

    def test_names_are_names_of_files_and_say_what_is_in_them(self):
        for _, spec in neighbours(replace(SMALL, p=1e-300)):
            assert re.fullmatch(r"[\w.-]+", key(spec)) and len(key(spec)) < 120
        assert key(replace(SMALL, p=0.045)).startswith("converged_16_6_p0.045_s0_")

    def test_points_that_agree_in_six_digits(self, tmp_path):
        sweep = replace(SWEEP, p=(0.1234561, 0.1234562, 0.12345600000000001), seed=(0,))
        for _ in range(2):
            swept(tmp_path, sweep, Stub())
            stored = [json.loads(x.read_text())["spec"]["p"] for x in tmp_path.glob("*.json")]
            assert sorted(stored) == sorted(2 * sweep.p)
        assert all(finished(tmp_path, spec) for spec in sweep.specs())

    def test_points_of_earlier_versions_are_found(self, tmp_path):
        swept(tmp_path, executor=Stub())
        for spec in SWEEP.specs():
            for suffix in (".json", ".safetensors"):
                old = f"converged_{spec.n_sparse}_{spec.n_dense}_p{spec.p:g}_s{spec.seed}{suffix}"
                (tmp_path / f"{key(spec)}{suffix}").rename(tmp_path / old)
        names = sorted(tmp_path.iterdir())
        assert all(finished(tmp_path, spec) for spec in SWEEP.specs())
        swept(tmp_path, executor=Stub())
        assert sorted(tmp_path.iterdir()) == names
        with pytest.raises(ValueError, match="trained with steps = 30, the sweep has 40"):
            swept(tmp_path, replace(SWEEP, steps=40), Stub())
        # Another p that had the same name.
        near = replace(SWEEP.specs()[0], p=0.10000001)
        assert not finished(tmp_path, near)
        # One that is corrupt is trained anew, and not collected twice.
        (tmp_path / names[1].name).write_bytes(b"cut")
        assert len(swept(tmp_path, executor=Stub())) == 1
        assert all(finished(tmp_path, spec) for spec in SWEEP.specs())
        assert len(results_of(tmp_path)) == 8

    def test_two_results_of_one_point(self, tmp_path):
        swept(tmp_path, executor=Stub())
        name = key(SWEEP.specs()[0])
        (tmp_path / "copy.json").write_bytes((tmp_path / f"{name}.json").read_bytes())
        with pytest.raises(ValueError, match=r"_s0_.* and .*copy.json are results of one point"):
            collect(tmp_path)

    def test_a_point_without_a_result_is_named(self, tmp_path, monkeypatch):
        lost = SWEEP.specs()[3]

        def writes_all_but_one(out, trained, result):
            if trained.spec != lost:
                write(out, trained, result)

        monkeypatch.setattr("validation.sweep.write", writes_all_but_one)
        with pytest.raises(RuntimeError, match=rf"8 points have 7 results .* are {key(lost)}"):
            swept(tmp_path, executor=Stub())

    def test_points_that_are_the_same_are_trained_once(self, tmp_path):
        """Two ratios with one n_dense."""
        messages = swept(tmp_path, replace(SWEEP, ratio=(0.5, 0.51)), Stub())
        assert messages == ["4 of 8 models are the same as others"]
        assert len(list(tmp_path.glob("*.json"))) == 4

    def test_files_in_the_way_are_set_aside(self, tmp_path):
        file = tmp_path / f"{key(SWEEP.specs()[0])}.json"
        file.write_text("mine")
        assert len(swept(tmp_path, executor=Stub())) == 1
        assert file.with_name(f"{file.name}.1.aside").read_text() == "mine"
        assert all(finished(tmp_path, spec) for spec in SWEEP.specs())


def alive(pid):
    """Whether a process runs; one that has ended but has not been waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid):
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


needs_proc = pytest.mark.skipif(
    not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="asks /proc"
)


class TestWorkers:
    def test_a_job_that_ends_its_process_is_the_only_one_that_fails(self):
        with Workers(2) as workers:
            jobs = [workers.submit(pow, 2, k) for k in range(6)]
            jobs[3:3] = [workers.submit(os._exit, 7), workers.submit(signal.raise_signal, 9)]
            jobs += [workers.submit(pow, 3, k) for k in range(6)]
            errors = [job.exception() for job in jobs]
        assert [k for k, error in enumerate(errors) if error] == [3, 4]
        assert all(isinstance(error, Died) for error in errors[3:5])
        assert "ended with exit code 7" in str(errors[3]) and "SIGKILL" in str(errors[4])
        assert [job.result() for job in jobs[5:8]] == [8, 16, 32]

    def test_what_jobs_raise_and_what_cannot_be_sent(self):
        with Workers(1) as workers:
            raised, gone = workers.submit(int, "x"), workers.submit(open, os.devnull)
            unknown = workers.submit(lambda: 1)
            with pytest.raises(ValueError, match="invalid literal"):
                raised.result()
            with pytest.raises(RuntimeError, match="TextIOWrapper"):
                gone.result()
            with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
                unknown.result()
            first, second = (workers.submit(os.getpid).result() for _ in range(2))
        assert first == second != os.getpid()
        assert not alive(first)

    def test_an_error_of_the_main_process_ends_them(self):
        with pytest.raises(KeyboardInterrupt), Workers(1) as workers:
            pid = workers.submit(os.getpid).result()
            slow, later = (workers.submit(time.sleep, 60) for _ in range(2))
            while not slow.running():
                time.sleep(0.01)
            raise KeyboardInterrupt
        assert not alive(pid) and isinstance(slow.exception(), Died) and later.cancelled()

    def test_the_guilty_point_is_named_and_the_others_are_kept(self, tmp_path):
        """One job ends its process, as want of memory does."""
        guilty = SWEEP.specs()[2]

        class Some(Workers):
            def submit(self, function, /, *given):
                if given[0] == [guilty]:
                    return super().submit(signal.raise_signal, 9)
                return Stub().submit(function, *given)

        with Some(2) as workers, pytest.raises(RuntimeError) as caught:
            run(SWEEP, tmp_path, workers)
        assert str(caught.value).startswith(f"1 of 8 jobs failed, {key(guilty)} with: its process")
        done = [spec for spec in SWEEP.specs() if finished(tmp_path, spec)]
        assert done == [spec for spec in SWEEP.specs() if spec != guilty]
        swept(tmp_path, executor=Stub())
        assert all(finished(tmp_path, spec) for spec in SWEEP.specs())

    @needs_proc
    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
    def test_they_end_with_the_main_process(self, how):
        """In the middle of a job that would go on for a minute, and idle."""
        program = (
            "import time, threading\n"
            "from validation.workers import Workers\n"
            "if __name__ == '__main__':\n"
            "    workers = Workers(2)\n"
            "    workers.submit(time.sleep, 0.1).result()\n"
            "    busy = workers.submit(exec, 'while True: pass')\n"
            "    idle = workers.submit(time.sleep, 60)\n"
            "    time.sleep(0.3)\n"
            "    print('ready', flush=True)\n"
            "    time.sleep(60)\n"
        )
        root = Path(rt.__file__).parents[1]
        command = [sys.executable, "-c", program]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as process:
            try:
                assert process.stdout.readline() == b"ready\n"
                workers = children(process.pid)
                assert len(workers) >= 2 and all(map(alive, workers))
            finally:
                process.send_signal(how)
        limit = time.monotonic() + 10
        while any(map(alive, workers)) and time.monotonic() < limit:
            time.sleep(0.02)
        assert not any(map(alive, workers))


@pytest.mark.slow
def test_dask_with_a_worker_killed(tmp_path):
    """A real scheduler and two workers on loopback; one dies, its work moves to the other."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(processes=True, host="127.0.0.1", **options) as cluster:
        with distributed.Client(cluster) as client:
            pids = list(client.run(os.getpid).values())

            def killing(futures, total):
                for k, future in enumerate(futures):
                    if k == 0:
                        os.kill(pids[0], signal.SIGKILL)
                    yield future

            sweep = replace(SWEEP, p=(0.3,), seed=(0, 1, 2, 3), steps=150)
            run(sweep, tmp_path, client.get_executor(), progress=killing)
    assert all(finished(tmp_path, spec) for spec in sweep.specs())


class TestReport:
    def test_table_and_files(self, tmp_path):
        swept(tmp_path / "points")
        data = collect(tmp_path / "points")
        assert data.sizes["point"] == 8
        frame = table(data)
        assert len(frame) == 4 and np.all(frame["seeds"] == 2)
        row = frame.iloc[0]
        same = (data.p == row["p"]) & (data.n_dense == row["n_dense"])
        losses = data.loss.values[same.values]
        assert row["loss"] == pytest.approx(losses.mean())
        assert row["loss_se"] == pytest.approx(losses.std(ddof=1) / np.sqrt(2))
        rug = float(rt.optimum(row["p"], row["ratio"]).loss)
        assert row["over_rug"] == pytest.approx((losses / rug - 1).mean())
        assert markdown(frame).count("\n") == 6
        terms = sum(data[name].values for name in VERDICT) + data.best_known.values
        assert terms == pytest.approx(data.verdict_loss_of_these_rows.values, rel=1e-9)
        paths = write_report(data, tmp_path / "report")
        assert {path.suffix for path in paths} == {".csv", ".md", ".png"}
        assert all(path.stat().st_size > 100 for path in paths)

    def test_what_has_not_converged_is_marked(self, tmp_path):
        """One round is not seen to converge; a descent has where its gradient is gone."""
        protocols = ("converged", "descent")
        some = replace(SWEEP, seed=(0,), n_sparse=(8,), ratio=(0.25,), protocol=protocols, steps=60)
        swept(tmp_path, some)
        data = collect(tmp_path)
        ended = dict(zip(data.protocol.values, converged(data), strict=True))
        assert not ended["converged"]
        small = data.gradient.values <= 1e-6
        descents = data.protocol.values == "descent"
        assert np.array_equal(converged(data)[descents], small[descents])
        lines = markdown(table(data)).splitlines()[2:]
        marked = ["(not converged)" in line for line in lines]
        assert marked == [not x for x in table(data)["converged"]] and sum(marked) >= 2
        later = data.assign(gain=("point", np.full(data.sizes["point"], 0.001)))
        assert np.all(converged(later)[~descents])

    def test_a_law_is_kept_beside_the_end_of_its_descent(self, tmp_path):
        """And how the losses of outputs differ, at either."""
        protocols = ("law", "paper")
        some = replace(SWEEP, seed=(0,), n_sparse=(8,), ratio=(0.25,), p=(0.02,), steps=20)
        swept(tmp_path, replace(some, protocol=protocols))
        data = collect(tmp_path)
        of = data.protocol.values == "law"
        (law,) = data.law_exact.values[of]
        assert law == pytest.approx(data.start.values[of][0], rel=1e-3)
        assert np.isnan(data.law_loss.values[~of]).all() and set(data.law_ended.values[~of]) == {""}
        assert np.all(data.spread > 0)

    def test_empty_folder(self, tmp_path):
        with pytest.raises(ValueError, match="holds no finished points"):
            collect(tmp_path)


def test_training_on_features_of_a_file(tmp_path, capsys):
    """Elhage's features: all of a probability, with importances that fall."""
    features = rt.Independent(np.full(6, 0.1), importance=rt.geometric(6, 0.5))
    file, out = tmp_path / "features.toml", tmp_path / "model.safetensors"
    features.save(file)
    given = ["train", "--features", str(file), "--ratio", "0.5", "--steps", "300", "--rounds", "1"]
    assert main([*given, "--tied", "--out", str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    model = rt.read_weights(out)
    assert found["loss"] == pytest.approx(rt.exact_loss(model, features).mean, rel=1e-5)
    assert found["loss"] < 0.5 * float(np.mean(features.importance * features.variance))
    assert found["allocation"] == float(rt.allocate(features, 3).loss)
    for more, message in (
        (["--p", "0.1"], "--p goes without --features"),
        (["--n-sparse", "6"], "--n-sparse goes without --features"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main([*given, *more])
        assert message in capsys.readouterr().err


def test_a_model_that_is_not_finished_says_so(capsys):
    given = ["train", "--n-sparse", "8", "--ratio", "0.5", "--p", "0.1", "--steps", "100"]
    assert main([*given, "--rounds", "2"]) == 0
    out, err = capsys.readouterr()
    first, last = json.loads(out)["rounds"]
    fell = 1 - last / first
    assert fell > 0.01
    assert f"the last round still lowered the loss by {100 * fell:.2g} %" in err


def test_training_on_dependent_features(tmp_path, capsys):
    file = tmp_path / "features.toml"
    rt.Groups([rt.Exclusive([0.1, 0.1])]).save(file)
    assert (
        main(["train", "--features", str(file), "--steps", "2", "--rounds", "1", "--ratio=.5"]) == 0
    )
    assert "allocation" not in json.loads(capsys.readouterr().out)
