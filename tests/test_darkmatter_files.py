"""Files as people have them: folders of SAEs at any depth, bfloat16 activations, shards."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import stats

from rugtheory import darkmatter
from rugtheory.cli import main
from rugtheory.darkmatter._rows import Rows, to_numpy
from rugtheory.darkmatter.report.activations import contexts_of
from rugtheory.darkmatter.sae.found import decoders_in

ROOT = Path(__file__).parents[1]
ROWS, D, CONTEXT = 2400, 16, 40
X = torch.randn(ROWS, D, generator=torch.Generator().manual_seed(0))
SUITE = [f"layer_20/width_{width}k/average_l0_{l0}" for width in (16, 32, 65) for l0 in (20, 71)]


def scope(folder, width, threshold, seed=0):
    """A decoder in the format of Gemma Scope."""
    folder.mkdir(parents=True)
    w = np.random.default_rng(seed).normal(size=(width, D)).astype(np.float32)
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    zeros = np.zeros(width, np.float32)
    np.savez(
        folder / "params.npz",
        W_enc=w.T,
        W_dec=w * np.float32(2 * D / width),
        b_enc=zeros,
        b_dec=np.zeros(D, np.float32),
        threshold=zeros + np.float32(threshold),
    )


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """What a stranger has."""
    folder = tmp_path_factory.mktemp("given")
    for place in SUITE:
        width, l0 = map(int, re.findall(r"width_(\d+)k/average_l0_(\d+)", place)[0])
        # Pre-activations of unit rows are standard normal.
        active = {20: 3, 71: 9}[l0] / (2 * width)
        scope(folder / "scope" / place, 2 * width, stats.norm.isf(active))
    (folder / "scope" / "README.md").write_text("# Gemma Scope\n")
    (folder / "scope" / ".cache").mkdir()
    contexts = torch.arange(ROWS) // CONTEXT
    half = X.to(torch.bfloat16)
    save_file({"resid_post": half, "position": contexts}, folder / "acts.safetensors")
    save_file({"x": half[:1000].clone()}, folder / "part_00.safetensors")
    save_file({"x": half[1000:].clone()}, folder / "part_01.safetensors")
    torch.save(half, folder / "acts.pt")
    torch.save({"resid": half, "ids": contexts}, folder / "several.pt")
    np.save(folder / "acts.npy", half.float().numpy())
    return folder


def command(given, out, *more):
    return [
        "darkmatter",
        f"{given}/acts.safetensors:resid_post",
        *("--sae", f"{given}/scope"),
        *("--contexts", f"{given}/acts.safetensors:position"),
        *("--out", str(out)),
        *more,
    ]


class TestActivations:
    @pytest.mark.parametrize(
        "file",
        ["acts.safetensors:resid_post", "acts.pt", "several.pt:resid", "part_*.safetensors"],
    )
    def test_bfloat16(self, given, file):
        """Bit for bit the values of PyTorch, in whatever pieces they are read."""
        found = Rows("x", darkmatter.read_activations(f"{given}/{file}"))
        expected = X.to(torch.bfloat16).float().numpy()
        assert (found.count, found.columns) == X.shape
        assert np.array_equal(found.all(), expected)
        for rows in (np.arange(7, 31), np.arange(950, 1100), np.array([998, 1003])):
            assert np.array_equal(found.read(rows), expected[rows])

    @pytest.mark.parametrize("name", ["acts.safetensors:position", "several.pt:ids"])
    def test_labels(self, given, name):
        found = to_numpy(darkmatter.read_activations(f"{given}/{name}")[:])
        assert np.array_equal(found, np.arange(ROWS) // CONTEXT) and found.dtype == np.int64

    @pytest.mark.parametrize("kind", ["safetensors", "pt", "npy", "shards"])
    def test_axis_of_contexts(self, given, kind, tmp_path):
        """(contexts, positions, columns) are rows, whatever the pieces, and contexts with them."""
        half = X.to(torch.bfloat16).reshape(-1, CONTEXT, X.shape[1])
        file = tmp_path / f"acts.{kind}"
        if kind == "pt":
            torch.save(half, file)
        elif kind == "npy":
            np.save(file, half.float().numpy())
        else:
            save_file({"x": half[:7].clone() if kind == "shards" else half}, file)
        if kind == "shards":
            file = tmp_path / "part_*.safetensors"
            for k, part in enumerate((half[:7], half[7:])):
                save_file({"x": part.clone()}, tmp_path / f"part_{k}.safetensors")
        found = darkmatter.read_activations(file)
        expected = X.to(torch.bfloat16).float().numpy()
        rows = Rows("x", found)
        assert np.array_equal(rows.all(), expected)
        for some in (np.arange(7, 31), np.arange(CONTEXT, 2 * CONTEXT), np.arange(ROWS - 5, ROWS)):
            assert np.array_equal(rows.read(some), expected[some])
        assert np.array_equal(contexts_of(found), np.arange(ROWS) // CONTEXT)
        assert contexts_of(darkmatter.read_activations(f"{given}/acts.npy")) is None

    def test_report_on_an_axis_of_contexts(self, given, tmp_path):
        """The same as on rows with their contexts; labels come in the shape of the activations."""
        shape = -1, CONTEXT
        np.save(tmp_path / "acts.npy", np.load(given / "acts.npy").reshape(*shape, X.shape[1]))
        np.save(tmp_path / "tokens.npy", (np.arange(ROWS) % 7).reshape(shape))
        np.save(tmp_path / "flat.npy", np.arange(ROWS) % 7)
        place = ["--sae", f"{given}/scope/{SUITE[0]}", "--bootstrap", "20", "--drop-first", "1"]
        rows = [*("--tokens", f"{tmp_path}/flat.npy"),
                *("--contexts", f"{given}/acts.safetensors:position")]  # fmt: skip
        found = []
        for acts, more in ((tmp_path, ["--tokens", f"{tmp_path}/tokens.npy"]), (given, rows)):
            out = tmp_path / f"out{len(found)}"
            main(["darkmatter", f"{acts}/acts.npy", *place, *more, "--out", str(out)])
            found.append(json.loads((out / "report.json").read_text())["saes"])
            del found[-1][0]["seconds"]
        assert found[0] == found[1]

    def test_tensors_in_memory(self):
        half = X.to(torch.bfloat16).requires_grad_()
        assert np.array_equal(Rows("x", half).all(), half.detach().float().numpy())
        exact = darkmatter.decompose(half.detach().float().numpy(), np.zeros(X.shape), bootstrap=0)
        assert darkmatter.decompose(half, np.zeros(X.shape), bootstrap=0).fvu == exact.fvu

    def test_refused(self, given, tmp_path):
        with pytest.raises(ValueError, match=r"holds resid, ids; name .*several\.pt:resid"):
            darkmatter.read_activations(f"{given}/several.pt")
        with pytest.raises(ValueError, match="one tensor without a name, got x"):
            darkmatter.read_activations(f"{given}/acts.pt:x")
        np.save(tmp_path / "a.npy", np.zeros((3, 2)))
        np.save(tmp_path / "b.npy", np.zeros((3, 4)))
        with pytest.raises(ValueError, match=r"of files of one width, got \[2, 4\]"):
            darkmatter.read_activations(f"{tmp_path}/*.npy")
        torch.save([1, 2], tmp_path / "list.pt")
        with pytest.raises(ValueError, match="must hold a tensor, got list"):
            darkmatter.read_activations(tmp_path / "list.pt")


class TestNames:
    def test_suite(self, given):
        """At any depth; the parts that differ tell apart what the last part does not."""
        found = decoders_in([given / "scope"])
        assert list(found) == [place[9:].replace("/", "_") for place in sorted(SUITE)]
        assert all((path / "params.npz").is_file() for path in found.values())

    def test_last_part_is_enough(self, given):
        found = decoders_in([given / "scope" / "layer_20" / "width_16k"])
        assert list(found) == ["average_l0_20", "average_l0_71"]

    @pytest.mark.parametrize("end", ["", "/params.npz"])
    def test_patterns(self, given, end):
        found = decoders_in([f"{given}/scope/layer_20/*/average_l0_71{end}"])
        assert list(found) == [f"width_{width}k_average_l0_71" for width in (16, 32, 65)]
        deep = decoders_in([f"{given}/scope/**/params.npz"])
        assert list(deep) == list(decoders_in([given / "scope"]))

    def test_places_are_named_each_by_itself(self, given, tmp_path):
        """A place more does not rename the others, but where names clash."""
        for place in ("mine/width_16k_average_l0_20", "mine/other"):
            scope(tmp_path / place, 32, 1.0)
        places = [given / "scope", tmp_path / "mine"]
        found, before = decoders_in(places), list(decoders_in(places[:1]))
        assert len(found) == len(before) + 2 and "other" in found
        assert set(before) - set(found) == {"width_16k_average_l0_20"}

    def test_depths_that_differ(self, tmp_path):
        """Names begin below the folder given, whatever the depths."""
        places = ["layer_1/width_4/l0_2", "layer_1/width_8/l0_2", "transcoder", "b/layer_1/l0_2"]
        for place in places:
            scope(tmp_path / "suite" / place, 32, 1.0)
        named = {
            name: str(path.relative_to(tmp_path / "suite"))
            for name, path in decoders_in([tmp_path / "suite"]).items()
        }
        assert named == {
            "layer_1_width_4_l0_2": places[0],
            "layer_1_width_8_l0_2": places[1],
            "transcoder": places[2],
            "b_layer_1_l0_2": places[3],
        }

    def test_given_names(self, given):
        one, two = (f"{given}/scope/{place}" for place in SUITE[:2])
        found = decoders_in([f"mine={one}", f"yours={two}/params.npz"])
        assert found == {"mine": Path(one), "yours": Path(two)}

    @pytest.mark.parametrize(
        ("places", "message"),
        [
            (["{scope}", "{scope}/layer_20"], "a decoder is given twice"),
            (["a={0}", "a={1}"], "two decoders are called a"),
            (["average_l0_20={1}", "{0}"], "two decoders are called average_l0_20"),
            (["a={scope}/none"], "no such file or folder: .*none"),
            (["a/b={0}"], "must be the name of a file, got 'a/b="),
            (["{scope}/none*"], "no file or folder like"),
            (["{scope}/.cache"], "holds no decoder: .*sae_weights.safetensors"),
        ],
    )
    def test_refused(self, given, places, message):
        filled = [
            place.format(*(given / "scope" / p for p in SUITE), scope=given / "scope")
            for place in places
        ]
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            decoders_in(filled)


@pytest.fixture(scope="module")
def out(given, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    assert main(command(given, folder)) == 0
    return folder


class TestStranger:
    """A folder of SAEs and a bfloat16 file: a report in one command."""

    def test_report(self, out):
        found = json.loads((out / "report.json").read_text())
        assert len(found["saes"]) == len(SUITE) and found["failures"] == []
        groups = [r["group"] for r in found["saes"]]
        assert groups == sorted(groups, key=groups.index)
        for group in found["groups"]:
            widths = [r["width"] for r in found["saes"] if r["group"] == group["name"]]
            assert widths == sorted(set(widths))
        text = (out / "report.md").read_text(encoding="utf-8")
        shown = re.findall(r"\]\((\w+\.png)\)", text)
        assert {"norm_test.png", "baselines.png", "density.png", "breakdown.png"} <= set(shown)
        assert sorted(shown) == sorted(path.name for path in out.glob("*.png"))
        for word in ("FVU =", "bootstrap", "seed", "acts.safetensors", "2410.14670", "width_16k"):
            assert word in text
        assert not re.search(r"\d\(\d{4,}\)|nan|inf\b", text)

    def test_it_is_not_touched_again(self, given, out, monkeypatch):
        # Slow, and not the question.
        monkeypatch.setattr("rugtheory.darkmatter.save_figures", lambda *_: [])
        before = {path: path.stat().st_mtime_ns for path in (out / "saes").iterdir()}
        assert main(command(given, out)) == 0
        after = {path: path.stat().st_mtime_ns for path in (out / "saes").iterdir()}
        assert {k: v for k, v in after.items() if k.name[0] != "."} == {
            k: v for k, v in before.items() if k.name[0] != "."
        }

    def test_some_that_are_corrupt(self, given, out, tmp_path, capsys):
        """They cost themselves only."""
        damages = ["cut", "empty", "keys", "nan", "text"]
        for damage in damages:
            scope(tmp_path / damage, 32, 2.0)
            file = tmp_path / damage / "params.npz"
            arrays, whole = dict(np.load(file)), file.read_bytes()
            if damage == "keys":
                del arrays["b_enc"]
            else:
                arrays["b_enc"][3] = np.nan
            if damage in ("keys", "nan"):
                np.savez(file, **arrays)
            else:
                cut = whole[: len(whole) // 2]
                file.write_bytes({"cut": cut, "empty": b"", "text": b"no"}[damage])
        bad = [str(tmp_path / damage) for damage in damages]
        with pytest.raises(SystemExit) as stop:
            main(command(given, tmp_path / "out", "--sae", f"{given}/scope", *bad))
        assert stop.value.code == 2
        found = json.loads((tmp_path / "out" / "report.json").read_text())
        assert len(found["saes"]) == len(SUITE)
        assert sorted(x["name"] for x in found["failures"]) == damages
        whole = json.loads((out / "report.json").read_text())
        drop = ("seconds", "name", "group")
        mine, theirs = (
            [{k: v for k, v in r.items() if k not in drop} for r in f["saes"]]
            for f in (found, whole)
        )
        assert mine == theirs
        assert (tmp_path / "out" / "norm_test.png").exists()

    @pytest.mark.slow
    def test_killed_at_any_moment(self, given, out, tmp_path):
        """Ten runs that are killed one after another, later each time, and one that ends."""
        done = json.loads((out / "report.json").read_text())
        call = [sys.executable, "-m", "rugtheory", *command(given, tmp_path / "out")]
        for wait in np.linspace(0.8, 4, 10):
            run = subprocess.Popen(
                call, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(wait)
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
        ended = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        found = json.loads((tmp_path / "out" / "report.json").read_text())
        for record in (*found["saes"], *done["saes"]):
            record.pop("seconds", None)
        assert [found[k] for k in ("saes", "pairs", "groups", "tokens")] == [
            done[k] for k in ("saes", "pairs", "groups", "tokens")
        ]
        left = [p.name for p in (tmp_path / "out").rglob("*") if "unfinished" in p.name]
        assert left == []


class TestOptions:
    def test_all(self, given, tmp_path, capsys):
        """What a command is given comes in the report."""
        tokens = np.arange(ROWS) % 7
        np.save(tmp_path / "tokens.npy", tokens)
        mask = np.arange(ROWS) % 5 == 0
        np.save(tmp_path / "mask.npy", mask)
        more = ["--drop-first", "2", "--drop-token", "3", "5", "--drop", f"{tmp_path}/mask.npy"]
        more += ["--tokens", f"{tmp_path}/tokens.npy", "--test-fraction", "0.4"]
        more += ["--bootstrap", "7", "--l0", "4", "--drop-norm", "50"]
        assert main(command(given, tmp_path / "out", *more)) == 0
        about = json.loads((tmp_path / "out" / "report.json").read_text())["about"]
        dropped = (np.arange(ROWS) % CONTEXT < 2) | np.isin(tokens, [3, 5]) | mask
        assert about["rows_dropped"] == dropped.sum() and len(about["dropped"]) == 4
        assert (about["test_fraction"], about["bootstrap"]) == (0.4, 7)
        text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
        assert "## The same, all rows" in text
        with pytest.raises(SystemExit):
            main(command(given, tmp_path / "b", *more, "--drop-token", "x"))
        assert "--drop-token must be integers" in capsys.readouterr().err
