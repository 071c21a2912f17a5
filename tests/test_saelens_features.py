"""Features of SAELens' synthetic models, against a simulation of what those do."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import rugtheory as rt


def node(i, *children, exclusive=False):
    return {
        "feature_index": i,
        "mutually_exclusive_children": exclusive,
        "feature_id": None,
        "children": list(children),
    }


ROOTS = [
    node(0, node(1), node(2, node(3), node(4), exclusive=True), node(5), exclusive=True),
    node(None, node(6), node(7, node(8)), node(9), exclusive=True),
    node(10, node(None, node(11), node(12), exclusive=True), node(13)),
]
CONFIG = {
    "num_features": 15,
    "hidden_dim": 4,
    "firing_probability": {"generator_name": "zipfian", "exponent": 0.5}
    | {"max_prob": 0.8, "min_prob": 0.3},
    "hierarchy": {"total_root_nodes": 3, "compensate_probabilities": False},
    "orthogonalization": None,
    "correlation": None,
    "std_firing_magnitudes": 0.0,
    "mean_firing_magnitudes": {"generator_name": "linear", "start": 2.0, "end": 1.0},
    "bias": False,
    "dtype": "float32",
    "seed": 0,
}


def saved(folder, change=None, roots=ROOTS):
    (folder / "synthetic_model_config.json").write_text(json.dumps(CONFIG | (change or {})))
    (folder / "hierarchy.json").write_text(json.dumps({"roots": roots}))
    return folder


def fires(p, n, rng, positive=True):
    """All fire by themselves; then, from the roots down, what may not is switched off."""
    on = (rng.random((n, p.size)) < p) & positive

    def below(one, active):
        i = one["feature_index"]
        if i is not None:
            on[:, i] &= active
            active = on[:, i]
        if one["mutually_exclusive_children"]:
            rivals = [x["feature_index"] for x in one["children"] if x["feature_index"] is not None]
            # One of those that fire is kept, each with the same chance.
            score = np.where(on[:, rivals], rng.random((n, len(rivals))), -1.0)
            best = np.zeros((n, len(rivals)), bool)
            best[np.arange(n), score.argmax(axis=1)] = True
            on[:, rivals] &= best
        for child in one["children"]:
            below(child, active)

    for root in ROOTS:
        below(root, np.ones(n, bool))
    return on


def test_law(tmp_path):
    features = rt.read_features(saved(tmp_path))
    share = np.arange(1.0, 16) ** -0.5
    p = 0.3 + 0.5 * (share - share[-1]) / (1 - share[-1])
    n = 400_000
    on = fires(p, n, np.random.default_rng(0)).astype(float)
    error = np.sqrt(on.var(axis=0) / n)
    assert np.all(np.abs(on.mean(axis=0) - features.on_probability) < 5 * error)
    size = np.linspace(2, 1, 15)
    found = np.cov((on * size).T)
    slack = 5 * np.sqrt(np.outer(features.variance, features.variance) / n)
    assert np.all(np.abs(found - features.covariance) < 2 * slack)
    # And the exact loss of a model on what is simulated.
    rng = np.random.default_rng(1)
    model = rt.Model(rng.normal(size=(4, 15)) / 4, b=-0.1)
    x = on[:100_000] * size
    losses = (x - model(x)) ** 2
    exact = rt.exact_loss(model, features, rtol=1e-5)
    deviation = losses.std(axis=0) / np.sqrt(len(x))
    assert np.all(np.abs(exact.loss - losses.mean(axis=0)) < 4.5 * deviation)


def test_magnitudes_that_vary(tmp_path):
    """A ReLU follows the magnitudes, and only then parents and siblings are looked at."""
    rule = {"generator_name": "linear", "start": 0.0, "end": 1.5}
    features = rt.read_features(saved(tmp_path, {"std_firing_magnitudes": rule}))
    share = np.arange(1.0, 16) ** -0.5
    p = 0.3 + 0.5 * (share - share[-1]) / (1 - share[-1])
    n, rng = 400_000, np.random.default_rng(0)
    size = np.linspace(2, 1, 15) + np.linspace(0, 1.5, 15) * rng.normal(size=(n, 15))
    x = fires(p, n, rng, size > 0) * size
    deviation = x.std(axis=0) / np.sqrt(n)
    assert np.all(np.abs(x.mean(axis=0) - features.mean) < 5 * deviation)
    slack = 10 * np.sqrt(np.outer(features.variance, features.variance) / n)
    assert np.all(np.abs(np.cov(x.T) - features.covariance) < slack)
    model = rt.Model(np.random.default_rng(1).normal(size=(4, 15)) / 4, b=-0.1)
    losses = (x[:100_000] - model(x[:100_000])) ** 2
    exact = rt.exact_loss(model, features, rtol=1e-5)
    deviation = losses.std(axis=0) / np.sqrt(len(losses))
    assert np.all(np.abs(exact.loss - losses.mean(axis=0)) < 4.5 * deviation)
    scaled = [node(0, node(1)) | {"scale_children_by_parent": True}]
    change = {"std_firing_magnitudes": 0.5}
    with pytest.raises(ValueError, match="scale_children_by_parent must be false where"):
        rt.read_features(saved(tmp_path, change, scaled))


def test_probabilities_that_are_compensated(tmp_path):
    """What a parent takes is given back exactly, what siblings take is not."""
    change = {
        "hierarchy": {"compensate_probabilities": True},
        "firing_probability": {"generator_name": "linear", "max_prob": 0.5, "min_prob": 0.1},
        "num_features": 5,
        "mean_firing_magnitudes": 1.0,
    }
    base = np.linspace(0.5, 0.1, 5)
    chain = [node(0, node(1, node(2)), node(None, node(3))), node(4)]
    features = rt.read_features(saved(tmp_path, change, chain))
    assert features.on_probability == pytest.approx(base, rel=1e-12)
    # Given the parent, children fire with (p_k/p_0)(1 + p_j/p_0), at most 1; one of two is kept.
    rivals = [node(0, node(3), node(4), exclusive=True)]
    first, second = 0.4 * (1 + 0.2), 0.2 * (1 + 0.4)
    kept = np.array([first * (1 - second / 2), second * (1 - first / 2)])
    features = rt.read_features(saved(tmp_path, change, rivals))
    assert features.on_probability[3:] == pytest.approx(0.5 * kept, rel=1e-12)
    # Saved probabilities have their factors.
    p = np.array([0.5, 0.4, 0.3, first, second])
    save_file({"firing_probabilities": p}, tmp_path / "synthetic_model.safetensors")
    features = rt.read_features(tmp_path)
    assert features.on_probability == pytest.approx([0.5, 0.4, 0.3, *(0.5 * kept)], rel=1e-12)
    (tmp_path / "hierarchy.json").unlink()
    with pytest.raises(FileNotFoundError, match="json, which holds the hierarchy"):
        rt.read_features(tmp_path)


def test_without_a_hierarchy(tmp_path):
    rule = {"generator_name": "linear", "max_prob": 0.5, "min_prob": 0.1}
    change = {"hierarchy": None, "firing_probability": rule, "mean_firing_magnitudes": 2}
    features = rt.read_features(saved(tmp_path, change))
    assert features == rt.Independent(np.linspace(0.5, 0.1, 15), [rt.Constant(2.0)] * 15)
    p = np.linspace(0.2, 0.4, 15)
    save_file({"firing_probabilities": p}, tmp_path / "synthetic_model.safetensors")
    assert np.array_equal(rt.read_features(tmp_path).on_probability, p)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"correlation": {"rank": 3}}, "correlation must be null: .* Gaussian copula"),
        ({"std_firing_magnitudes": -0.5}, "std_firing_magnitudes must not be negative, got -0.5"),
        ({"mean_firing_magnitudes": 0.0}, "mean_firing_magnitudes must be positive, got 0"),
        ({"mean_firing_magnitudes": {"generator_name": "folded_normal"}}, "got 'folded_normal'"),
        ({"firing_probability": {"generator_name": "random"}}, "got 'random'"),
        ({"temperature": 3}, "settings must not have temperature"),
        ({"num_features": 12}, "feature_index must be in .0, 11., got 12"),
        ({"num_features": None}, "num_features must be an integer, got None"),
    ],
)
def test_what_is_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        rt.read_features(saved(tmp_path, change))


def test_broken_files(tmp_path):
    for roots in (3, [3], [node(0) | {"gate": 1}], [node(0), node(0)]):
        with pytest.raises(ValueError, match=str(tmp_path)):
            rt.read_features(saved(tmp_path, roots=roots))
    (tmp_path / "hierarchy.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read as JSON"):
        rt.read_features(tmp_path)
