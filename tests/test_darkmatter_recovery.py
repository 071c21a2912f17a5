"""Latents against known features: brute force, scikit-learn, SAELens and probabilities."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from rugtheory import darkmatter
from rugtheory.cli import main

SAELENS = sorted((Path(__file__).parent / "data" / "features").glob("saelens-*"))
EYES = np.eye(2), np.zeros(2), np.eye(2), np.zeros(2)
detect, match = darkmatter.detect_features, darkmatter.match_features


def cosine(one, two):
    return abs(one @ two) / np.sqrt((one @ one) * (two @ two))


class TestMatch:
    @pytest.mark.parametrize(("m", "n"), [(4, 6), (6, 4), (5, 5), (1, 3)])
    @pytest.mark.parametrize("seed", range(5))
    def test_all_pairings(self, m, n, seed):
        rng = np.random.default_rng(seed)
        decoder, features = rng.normal(size=(m, 3)), rng.normal(size=(n, 3))
        table = np.array([[cosine(d, f) for f in features] for d in decoder])
        tall = table if m <= n else table.T
        pairings = itertools.permutations(range(tall.shape[1]), tall.shape[0])
        best = max(tall[np.arange(tall.shape[0]), list(one)].mean() for one in pairings)
        found = match(decoder, features)
        assert found.mcc == pytest.approx(best, rel=1e-12)
        assert found.cosines == pytest.approx(table[found.latents, found.features])
        assert len(set(found.latents)) == len(set(found.features)) == min(m, n)
        assert found.nearest.tolist() == [int(np.argmax(row)) for row in table]
        assert found.uniqueness == len({int(np.argmax(row)) for row in table}) / m

    def test_scale_sign_and_order_do_not_matter(self):
        rng = np.random.default_rng(0)
        features = rng.normal(size=(7, 5))
        order = rng.permutation(7)
        for scale in (1e-40, 1.0, 1e40):
            found = match(-scale * features[order], features)
            assert found.mcc == pytest.approx(1, abs=1e-14)
            assert found.mcc <= 1
            assert np.array_equal(found.nearest, order)

    def test_a_latent_without_direction(self):
        found = match([[0, 0], [1, 0]], np.eye(2))
        assert (found.mcc, found.uniqueness, found.nearest.tolist()) == (0.5, 0.5, [-1, 0])
        scores = detect(found, [[1, 1], [1, 0]], np.ones((2, 2)))
        assert scores.latent_precision.tolist() == [0, 1]
        assert scores.latent_recall.tolist() == [0, 0.5]

    @pytest.mark.parametrize(
        ("decoder", "features", "message"),
        [
            (np.zeros((2, 3)), np.eye(3), "decoder must have a row that is not zero, got none"),
            (np.eye(3), np.diag([1, 0, 1]), "features must have no zero row, got one at 1"),
            (np.eye(3), np.eye(2), "features must have 3 columns like decoder, got 2"),
            (
                np.ones(3),
                np.eye(3),
                r"decoder must have shape \(n, d\), none of them 0, got \(3,\)",
            ),
            (np.eye(2), [[np.nan, 1.0]], "features must be finite"),
        ],
    )
    def test_refused(self, decoder, features, message):
        with pytest.raises(ValueError, match=message):
            match(decoder, features)


class TestDetect:
    def given(self, rows=500, m=9, n=6):
        rng = np.random.default_rng(1)
        found = match(rng.normal(size=(m, 4)), rng.normal(size=(n, 4)))
        weights = rng.exponential(size=(rows, n)) * (rng.random((rows, n)) < 0.2)
        codes = rng.normal(size=(rows, m)) * (rng.random((rows, m)) < 0.3)
        codes[:, 2] = 0  # one that never fires
        weights[:, found.nearest[3]] = 0  # one that has nothing to find
        return found, codes, weights

    def test_scikit_learn(self):
        found, codes, weights = self.given()
        scores = detect(found, codes, weights)
        for j, k in enumerate(found.nearest):
            expected = precision_recall_fscore_support(
                weights[:, k] != 0, codes[:, j] != 0, average="binary", zero_division=0
            )
            mine = scores.latent_precision[j], scores.latent_recall[j], scores.latent_f1[j]
            assert mine == pytest.approx(expected[:3])
        right = [accuracy_score(weights[:, k] != 0, codes[:, j] != 0)
                 for j, k in enumerate(found.nearest)]  # fmt: skip
        assert scores.accuracy == pytest.approx(np.mean(right))
        assert scores.f1 == pytest.approx(scores.latent_f1.mean())

    def test_blocks_and_sparse_matrices(self):
        found, codes, weights = self.given()
        whole = detect(found, codes, weights)
        for block in (1, 7, 10_000):
            parts = detect(found, sparse.csr_array(codes), weights, block_rows=block)
            assert parts == whole
            assert detect(found, codes, sparse.csr_array(weights), block_rows=block) == whole

    def test_known_probabilities(self):
        """On with q; fires with a where on and with b where off: F₁ = 2qa/(q + qa + (1 - q)b)."""
        q, a, b, rows = 0.1, 0.8, 0.05, 200_000
        rng = np.random.default_rng(2)
        on = rng.random((rows, 1)) < q
        fires = rng.random((rows, 1)) < np.where(on, a, b)
        found = detect(match([[1.0]], [[2.0]]), 3.0 * fires, 2.0 * on)
        rate = q * a + (1 - q) * b
        error = np.sqrt(1 / (rows * q))
        assert found.recall == pytest.approx(a, abs=4 * error)
        assert found.precision == pytest.approx(q * a / rate, abs=4 * error)
        assert found.f1 == pytest.approx(2 * q * a / (q + rate), abs=4 * error)

    def test_refused(self):
        found, codes, weights = self.given()
        with pytest.raises(ValueError, match="codes must have 9 columns, got 8"):
            detect(found, codes[:, :8], weights)
        with pytest.raises(ValueError, match="weights must have 6 columns, got 5"):
            detect(found, codes, weights[:, :5])
        with pytest.raises(ValueError, match="numbers of rows must agree"):
            detect(found, codes, weights[:-1])


@pytest.fixture(scope="module")
def known():
    """Features, their weights, and TopK decoders that know the first of them."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(12, 8))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    weights = rng.exponential(size=(1500, 12)) * (rng.random((1500, 12)) < 0.15)

    def sae(m):
        some = features[:m]
        return darkmatter.SAE("topk", some.T, np.zeros(m), some, np.zeros(8), k=2)

    return features, weights, {f"topk_{m}": sae(m) for m in (3, 6, 12)}


class Module(torch.nn.Module):
    """An SAE of PyTorch whose decoder is nowhere to be found by name."""

    def __init__(self, sae):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(np.float32(sae.w_dec)))
        self.bias = torch.nn.Parameter(torch.ones(8))

    def encode(self, x):
        pre = torch.relu((x - self.bias) @ self.weight.T)
        top = pre.topk(2, dim=-1)
        return torch.zeros_like(pre).scatter(-1, top.indices, top.values)

    def decode(self, codes):
        return codes @ self.weight + self.bias


class Sparse(Module):
    """As those of sparsify."""

    num_latents = 6

    def encode(self, x):
        top = torch.relu((x - self.bias) @ self.weight.T).topk(2, dim=-1)
        return type("Codes", (), {"top_acts": top.values, "top_indices": top.indices})

    def decode(self, acts, indices):
        codes = torch.zeros(len(acts), 6).scatter(-1, indices, acts)
        return codes @ self.weight + self.bias


@pytest.mark.parametrize("folder", SAELENS, ids=lambda path: path.name)
def test_saelens(folder):
    """Scores that SAELens gave of latents on one of its synthetic models, from its files."""

    def tensor(name, file="sample"):
        path = f"{folder}/{file}.safetensors:{name}"
        return darkmatter.read_activations(path)[:]

    expected = json.loads((folder / "scores.json").read_text())["scores"]
    found = match(tensor("decoder"), tensor("feature_vectors", "synthetic_model"))
    scores = detect(found, tensor("codes"), tensor("weights"))
    for name, value in expected.items():
        mine = getattr(found if name in ("mcc", "uniqueness") else scores, name)
        assert mine == pytest.approx(value, abs=1e-6)


class TestReport:
    def test_as_the_functions_say(self, known, tmp_path):
        features, weights, saes = known
        x, drop = weights @ features, np.arange(1500) % 7 == 0
        found = darkmatter.write_report(
            x, saes, tmp_path, features=features, weights=weights, drop=drop, bootstrap=5
        )
        for record in found["saes"]:
            sae = saes[record["name"]]
            matched = match(sae.w_dec, features)
            scores = detect(matched, sae.encode(x[~drop]), weights[~drop])
            for name in ("mcc", "uniqueness"):
                assert record["features"][name] == pytest.approx(getattr(matched, name))
            for name in ("precision", "recall", "f1", "accuracy"):
                assert record["features"][name] == pytest.approx(getattr(scores, name))
        text = darkmatter.tables(found, ["features.png"])
        assert "## Known features" in text and "](features.png)" in text
        assert tmp_path / "features.png" in darkmatter.save_figures(found, tmp_path)

    @pytest.mark.parametrize("kind", [Module, Sparse])
    def test_objects(self, kind, known, tmp_path):
        """What latents decode to is asked of the object itself."""
        features, weights, saes = known
        x = np.float32(weights @ features)
        made = kind(saes["topk_6"])
        found = darkmatter.write_report(
            x, {"one": made}, tmp_path, features=features, weights=weights, bootstrap=5
        )
        record = found["saes"][0]["features"]
        assert record["mcc"] == pytest.approx(1, abs=1e-6)
        pre = np.maximum((x - 1) @ saes["topk_6"].w_dec.T, 0)
        codes = np.where(pre >= np.sort(pre)[:, [-2]], pre, 0)
        scores = detect(match(saes["topk_6"].w_dec, features), codes, weights)
        assert record["f1"] == pytest.approx(scores.f1, abs=1e-3)

    def test_without_weights_or_latents(self, known, tmp_path):
        features, weights, saes = known
        given = saes | {"function": lambda x: 0.9 * x}
        found = darkmatter.write_report(
            weights @ features, given, tmp_path, features=features, bootstrap=5
        )
        records = {r["name"]: r for r in found["saes"]}
        assert "features" not in records["function"] and found["failures"] == []
        assert records["topk_3"]["features"]["f1"] is None
        assert records["topk_3"]["features"]["mcc"] == pytest.approx(1)
        assert darkmatter.save_figures(found, tmp_path)

    def test_a_failure_costs_nothing_else(self, known, tmp_path):
        """A decoder that decodes to nothing matches nothing."""
        features, weights, saes = known
        none = darkmatter.SAE("topk", features.T, np.zeros(12), 0 * features, np.zeros(8), k=2)
        found = darkmatter.write_report(
            weights @ features, saes | {"none": none}, tmp_path, features=features, bootstrap=5
        )
        assert [one["name"] for one in found["failures"]] == ["none, features"]
        assert "decoder must have a row that is not zero" in found["failures"][0]["error"]
        assert len(found["saes"]) == 4

    def test_command(self, known, tmp_path):
        features, weights, saes = known
        np.save(tmp_path / "x.npy", weights @ features)
        np.save(tmp_path / "features.npy", features)
        np.save(tmp_path / "weights.npy", weights)
        np.save(tmp_path / "loss.npy", weights.sum(axis=1))
        (tmp_path / "saes").mkdir()
        darkmatter.write_sae(saes["topk_6"], tmp_path / "saes" / "topk_6")
        out = tmp_path / "out"
        command = ["darkmatter", f"{tmp_path}/x.npy", "--sae", f"{tmp_path}/saes"]
        command += ["--features", f"{tmp_path}/features.npy", "--bootstrap", "5"]
        command += [
            "--weights",
            f"{tmp_path}/weights.npy",
            "--baseline",
            f"sum={tmp_path}/loss.npy",
        ]
        assert main([*command, "--out", str(out)]) == 0
        (record,) = json.loads((out / "report.json").read_text())["saes"]
        assert record["features"]["mcc"] == pytest.approx(1)
        # The sum of the weights says more of the size of the error than nothing does.
        assert record["baselines"]["sum"]["value"] > 0.1
        # Other weights are other results, not those of before.
        np.save(tmp_path / "weights.npy", weights[::-1])
        assert main([*command, "--out", str(out), "--overwrite"]) == 0
        (other,) = json.loads((out / "report.json").read_text())["saes"]
        assert other["features"]["f1"] < record["features"]["f1"] - 0.05

    def test_baselines_that_are_constant(self, known, tmp_path):
        """They are not left out in silence: a dash in the table."""
        features, weights, saes = known
        loss = {"loss": weights.sum(axis=1), "same": np.ones(1500)}
        found = darkmatter.write_report(
            weights @ features, saes, tmp_path, baselines=loss, bootstrap=5
        )
        assert all(r["baselines"]["same"] is None for r in found["saes"])
        assert re.search(r"\| activation norm \| loss \| same \|", darkmatter.tables(found))
        assert darkmatter.save_figures(found, tmp_path)

    @pytest.mark.parametrize("option", ["baseline", "component"])
    @pytest.mark.parametrize("text", ["a", "a=", "=x.npy", "a=,sae"])
    def test_names_of_files(self, option, text, tmp_path, capsys):
        np.save(tmp_path / "x.npy", np.ones((9, 2)))
        darkmatter.write_sae(darkmatter.SAE("topk", *EYES, k=1), tmp_path / "sae")
        command = ["darkmatter", f"{tmp_path}/x.npy", "--sae", f"{tmp_path}/sae"]
        with pytest.raises(SystemExit):
            main([*command, f"--{option}", text, "--out", f"{tmp_path}/out"])
        assert f"--{option} must be NAME=FILE" in capsys.readouterr().err
        twice = [f"--{option}", f"a={tmp_path}/x.npy"] * 2
        with pytest.raises(SystemExit):
            main([*command, *twice, "--out", f"{tmp_path}/out"])
        assert f"--{option} must have names that differ, got a twice" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({"weights": np.ones((1500, 12))}, "weights must be None without features"),
            ({"features": np.ones((12, 7))}, r"features must have shape \(n_features, 8\), got"),
            ({"features": np.zeros((2, 8))}, "features must have no zero row, got one at 0"),
            (
                {"features": np.eye(8), "weights": np.ones((1500, 12))},
                r"weights must have shape \(1500, 8\), got \(1500, 12\)",
            ),
            ({"baselines": {"a": np.ones(3)}}, r"baselines: a must have shape \(1500,\), got \(3,"),
            ({"baselines": {"L0": np.ones(1500)}}, "baselines must have names of their own, got"),
            ({"baselines": {"a": np.full(1500, np.nan)}}, "baselines: a must be finite"),
        ],
    )
    def test_refused(self, known, more, message, tmp_path):
        features, weights, saes = known
        with pytest.raises(ValueError, match=message):
            darkmatter.write_report(weights @ features, saes, tmp_path, **more)
