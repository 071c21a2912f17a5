"""Models: their parameters, what is read and saved, and those that structures make."""

import numpy as np
import pytest

import rugtheory as rt

WEIGHTS = np.random.default_rng(0).normal(size=(2, 3))


class TestModel:
    def test_forward(self):
        x = np.random.default_rng(1).random((5, 3))
        model = rt.Model(WEIGHTS, b=[0.1, 0.2, -0.3], b_in=[0.5, -1.0])
        hidden = x @ WEIGHTS.T + [0.5, -1.0]
        expected = np.maximum(hidden @ WEIGHTS + [0.1, 0.2, -0.3], 0)
        assert model(x) == pytest.approx(expected, rel=1e-13)
        linear = rt.Model(WEIGHTS, b=[0.1, 0.2, -0.3], b_in=[0.5, -1.0], activation="identity")
        assert linear(x) == pytest.approx(hidden @ WEIGHTS + [0.1, 0.2, -0.3], rel=1e-13)

    def test_a_bias_that_is_folded_in_changes_no_loss(self):
        """A hidden bias c is the same as a feature that is always on, with weights c."""
        c, features = np.array([0.5, -1.0]), rt.Identical(3, 0.3, rt.Constant())
        folded = rt.exact_loss(rt.Model(WEIGHTS, b_in=c), features)
        w_in = np.column_stack([WEIGHTS, c])
        w_out = np.vstack([WEIGHTS.T, np.zeros(2)])
        always = rt.Independent([0.3, 0.3, 0.3, 1.0], rt.Constant())
        other = rt.exact_loss(rt.Model(w_in, w_out), always, rows=[0, 1, 2])
        assert folded.loss == pytest.approx(other.loss, rel=1e-12)

    @pytest.mark.parametrize("activation", ["relu", "identity"])
    @pytest.mark.parametrize("noise", [0.0, 0.25])
    def test_saved_and_read(self, tmp_path, activation, noise):
        model = rt.Model(WEIGHTS, b=0.3, activation=activation, hidden_noise=noise)
        model.save(tmp_path / "model.safetensors")
        assert rt.read_weights(tmp_path / "model.safetensors") == model

    @pytest.mark.parametrize("activation", ["relu", "identity"])
    def test_torch(self, activation):
        torch = pytest.importorskip("torch")
        model = rt.Model(WEIGHTS, b=0.3, activation=activation, hidden_noise=0.5)
        module = model.to_torch(dtype=torch.float64).eval()
        x = np.random.default_rng(1).random((5, 3))
        assert module(torch.tensor(x)).detach().numpy() == pytest.approx(model(x), rel=1e-13)
        again = rt.Model(module.W_in, module.W_out, module.b)
        assert np.array_equal(again.w_in, model.w_in) and np.array_equal(again.b, model.b)
        # Noise is drawn in training: of the deviation that the model says it has.
        torch.manual_seed(0)
        module.train()
        y = module(torch.zeros(20_000, 3, dtype=torch.float64)).detach().numpy()
        if activation == "identity":
            assert y.std(axis=0) == pytest.approx(model.output_noise, rel=0.03)
            assert y.mean(axis=0) == pytest.approx(np.full(3, 0.3), abs=0.03)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"w_in": np.ones(3)}, r"w_in must have shape \(n_dense, n_sparse\), got \(3,\)"),
            ({"w_out": np.ones((2, 3))}, r"w_out must have shape .* = \(3, 2\) .* got \(2, 3\)"),
            ({"b": np.ones(2)}, r"b must be a scalar or have shape \(3,\), got \(2,\)"),
            ({"b_in": np.ones(3)}, r"b_in must be a scalar or have shape \(2,\), got \(3,\)"),
            ({"b": np.inf}, "b must be finite, got inf"),
            ({"activation": "tanh"}, "activation must be one of relu, identity, got 'tanh'"),
            ({"hidden_noise": -1.0}, "hidden_noise must be non-negative, got -1.0"),
        ],
    )
    def test_bad_values(self, given, message):
        with pytest.raises(ValueError, match=message):
            rt.Model(**{"w_in": WEIGHTS} | given)


class TestStructures:
    @pytest.mark.parametrize("p", [0.02, 0.3])
    def test_the_loss_of_a_rug_tends_to_that_of_the_optimum(self, p):
        ratio, source = 0.25, rt.SparseSource(p)
        found = {
            "gaussian": (rt.hadamard_rug, rt.optimum(p, ratio)),
            "antipodal": (rt.antipodal_rug, rt.antipodal_optimum(p, ratio)),
        }
        for make, best in found.values():
            gaps = []
            for n in (64, 512, 4096):
                model = make(n, n // 4, seed=1).model(best, source)
                exact = rt.exact_loss(model, rt.Identical(n, p), rows=[0], rtol=1e-6)
                gaps.append(abs(exact.mean / float(best.loss) - 1))
            assert gaps[2] < 0.02 and gaps[2] < gaps[0]

    def test_numbers_are_taken_as_they_are(self):
        rug = rt.hadamard_rug(16, 5, seed=0)
        model = rug.model(1.3, -0.2)
        assert np.all(model.b == -0.2) and model.diagonal == pytest.approx(np.full(16, 1.3))
        code = rt.graph_code("Gewirtz")
        assert np.all(code.model(1.3, -0.2, lift=0.1).b == -0.2)
        assert np.all(rt.precedence_code(5, 3.0).model(1.3, -0.2).b == -0.2)

    def test_an_optimum_needs_its_source(self):
        rug, best = rt.hadamard_rug(16, 5, seed=0), rt.optimum(0.1, 5 / 16)
        with pytest.raises(TypeError, match=r"source must be of type SparseSource, got -0\.2"):
            rug.model(best, -0.2)
        with pytest.raises(TypeError, match=r"must be one of theory with a source, got 1\.3"):
            rug.model(1.3, rt.SparseSource(0.1))
        with pytest.raises(TypeError, match="b and lift must be left out"):
            code = rt.graph_code("Gewirtz")
            code.model(rt.graph_optimum(0.1, "Gewirtz"), 0.1)

    def test_precedence_codes_lose_what_their_limit_says(self):
        p, n = 0.05, 5
        losses = [
            rt.exact_loss(rt.precedence_code(n, s).model(), rt.Identical(n, p)).mean
            for s in (30.0, 300.0, 3000.0)
        ]
        gaps = np.array(losses) - float(rt.precedence_loss(p, n))
        assert np.all(np.diff(gaps) < 0) and gaps[2] < 0.02 * losses[2]
