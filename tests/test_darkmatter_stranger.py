"""A stranger's folder: Gemma Scope's layout, bfloat16, a corrupt file; runs that are killed."""

import json
import os
import re
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rugtheory import darkmatter
from rugtheory.cli import main
from rugtheory.darkmatter.report import decoder

ROWS, D, FEATURES, CONTEXT = 2400, 10, 40, 40
SUITE = "gemma-scope-9b-pt-res/layer_20"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Activations in bfloat16 and a suite, one decoder of which was cut off while it was copied."""
    root = tmp_path_factory.mktemp("stranger")
    rng = np.random.default_rng(0)
    known = rng.normal(size=(FEATURES, D))
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    weights = rng.exponential(size=(ROWS, FEATURES)) * (rng.random((ROWS, FEATURES)) < 0.08)
    x = weights @ known
    x[::CONTEXT] *= 100  # first tokens
    tensors = {
        "resid_post": torch.tensor(x).to(torch.bfloat16),
        "document": torch.arange(ROWS) // CONTEXT,
        "token": torch.tensor(weights.argmax(axis=1)),
    }
    save_file(tensors, root / "acts.safetensors")
    for width, m in (("16k", 12), ("65k", 24), ("131k", 40)):
        for l0, threshold in ((20, 0.7), (71, 0.3)):
            place = root / SUITE / f"width_{width}" / f"average_l0_{l0}"
            place.mkdir(parents=True)
            arrays = {"W_enc": known[:m].T, "W_dec": known[:m], "b_enc": np.zeros(m)}
            arrays |= {"b_dec": np.zeros(D), "threshold": np.full(m, threshold)}
            np.savez(place / "params.npz", **{k: np.float32(v) for k, v in arrays.items()})
    broken = root / SUITE / "width_262k" / "average_l0_71"
    broken.mkdir(parents=True)
    whole = (root / SUITE / "width_16k" / "average_l0_71" / "params.npz").read_bytes()
    (broken / "params.npz").write_bytes(whole[: len(whole) // 2])
    return root


def run(root, out):
    """The exit code of the command."""
    acts = root / "acts.safetensors"
    given = [
        *("darkmatter", f"{acts}:resid_post", "--sae", str(root / SUITE)),
        *("--contexts", f"{acts}:document", "--tokens", f"{acts}:token"),
        *("--drop-first", "1", "--bootstrap", "20", "--out", str(out)),
    ]
    with pytest.raises(SystemExit) as ended:
        main(given)
    return ended.value.code


def found_in(out):
    """What a report says, but for what depends on the run."""
    found = json.loads((out / "report.json").read_text())
    for key in ("date", "seconds_of_saes", "seconds_of_last_run"):
        del found["about"][key]
    for record in found["saes"]:
        del record["seconds"]
    return found


@pytest.fixture(scope="module")
def whole(folder):
    out = folder / "whole"
    assert run(folder, out) == 2
    return out


def test_report(folder, whole, capsys):
    """One command, nothing renamed; the corrupt decoder costs itself only, and is named."""
    assert run(folder, whole) == 2
    assert re.search(r"lacks what failed: width_262k_average_l0_71: .*params.npz", 
                     capsys.readouterr().err)  # fmt: skip
    found = found_in(whole)
    names = {f"width_{w}_average_l0_{k}" for w in ("16k", "65k", "131k") for k in (20, 71)}
    assert {r["name"] for r in found["saes"]} == names
    assert [one["name"] for one in found["failures"]] == ["width_262k_average_l0_71"]
    text = (whole / "report.md").read_text()
    assert "60 rows are left out: the first row of each context" in text
    shown = re.findall(r"!\[[^]]*\]\(([^)]*)\)", text)
    assert shown and all((whole / name).stat().st_size > 5000 for name in shown)


def killed(work, where):
    """Work in a process of its own that is killed by SIGKILL where `where` has it killed."""
    child = os.fork()
    if not child:
        try:
            where(lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
            work()
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def at_file(number):
    """Just before the file of that number takes its place."""

    def where(kill):
        left, replace = [number], os.replace

        def counted(*names):
            left[0] -= 1
            if not left[0]:
                kill()
            replace(*names)

        os.replace = counted

    return where


def while_coded(kill):
    """With the reconstructions of a decoder on disk, and none of its results."""
    decoder._tested = kill


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process")
@pytest.mark.parametrize("number", [None, 1, 2, 13, 14])
def test_killed(folder, whole, number, tmp_path, monkeypatch):
    """What was finished is not lost, the report is that of a run in one piece, nothing is left."""
    out = tmp_path / "out"
    # Pictures take most of the time, and are files like others.
    monkeypatch.setattr(darkmatter, "save_figures", lambda found, out: [])
    where = while_coded if number is None else at_file(number)
    killed(lambda: run(folder, out), where)
    assert list(out.rglob("*.partial.*")) or list(out.rglob("*.unfinished.*"))
    done = {p: p.stat().st_mtime_ns for p in (out / "saes").glob("[!.]*.json")}
    assert len(done) == {None: 0, 1: 0, 2: 0, 13: 5, 14: 5}[number]
    assert run(folder, out) == 2
    assert found_in(out) == found_in(whole)
    expected = {p.name for p in whole.rglob("*") if p.suffix != ".png"}
    assert {p.name for p in out.rglob("*")} == expected
    for path, time in done.items():
        assert path.stat().st_mtime_ns == time
