"""Laws of features as TOML files."""

import json

import numpy as np
import pytest

import rugtheory as rt
from rugtheory.cli import main

from .random_features import DISCRETE, KINDS

LAWS = (*DISCRETE, rt.Uniform(-1, 2), rt.Exponential(0.5), rt.HalfNormal(0.3), rt.Beta(2, 3))


@pytest.mark.parametrize("kind", KINDS, ids=lambda x: x.__name__)
def test_what_is_saved_is_read(kind, tmp_path):
    for k in range(20):
        features = KINDS[kind](np.random.default_rng(k), LAWS)
        features.save(tmp_path / "features.toml")
        assert rt.read_features(tmp_path / "features.toml") == features


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p = 0.1", "kind must be one of identical, independent, groups, latent, got None"),
        ("kind = 'identical'\nn = 3", "identical needs n, p, amplitude, got n"),
        ("kind = 'identical'\nn = 3\np = 0.1\nq = 1", "identical has n, p, amplitude, got q"),
        ("kind = 'identical'\nn = 3\np = 2.0", r"p must lie in \(0, 1\], got 2.0"),
        ("kind = 'identical'\nn = 3\np = 0.1\namplitude = 'cauchy'", "amplitude must be one of"),
        ("kind = 'identical'\nn = 3\np = 0.1\namplitude = 3", "amplitude must be a text or"),
        ("kind = 'groups'\ngroups = 3", "groups must be a list of tables, got 3"),
        ("kind = 'groups'\ngroups = [{ kind = 'pair' }]", "kind must be one of together"),
        ("kind = 'groups'\ngroups = [{ kind = 'together', p = 0.1, size = 2 }]", "got size"),
        ("kind = ", "cannot be read as TOML"),
    ],
)
def test_bad_files(text, message, tmp_path):
    path = tmp_path / "features.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"features.toml:? .*{message}"):
        rt.read_features(path)


def test_laws_of_others_are_refused(tmp_path):
    class Mine(rt.Uniform):
        pass

    with pytest.raises(TypeError, match=r"amplitude must be one of .* got .*Mine"):
        rt.Identical(3, 0.1, Mine()).save(tmp_path / "features.toml")
    assert not list(tmp_path.iterdir())


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    model = rt.Model(rng.normal(size=(2, 4)), b=-0.1)
    features = rt.Independent([0.3, 0.2, 0.1, 0.05], importance=rt.geometric(4, 0.9))
    model.save("model.safetensors")
    features.save("features.toml")
    given = ["weights", "model.safetensors", "--rows", "0", "--json"]
    assert main([*given, "--features", "features.toml"]) == 0
    found = json.loads(capsys.readouterr().out)["verdict"]
    exact = rt.exact_loss(model, features)
    assert found["loss"] == pytest.approx(exact.mean, rel=1e-6)
    assert found["rug"] is None and found["family"] == "allocation"
    with pytest.raises(SystemExit):
        main([*given, "--features", "features.toml", "--p", "0.1"])
    assert "not allowed with argument" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*given, "--features", "features.toml", "--amplitude", "constant:1"])
    assert "--amplitude goes with --p" in capsys.readouterr().err
