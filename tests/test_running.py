"""How commands end: Ctrl-C, a closed pipe, a package that is missing; and "-" for files."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

import rugtheory as rt
from rugtheory import cli
from rugtheory._extras import EXTRAS
from validation import cli as validation

from .test_overwriting import RUNS, commands, parsers

ROOT = Path(rt.__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
PROGRAMS = {"rugtheory": cli.main, "validation": validation.main}
# Commands that write nothing, or only if asked, and how they are called.
CALLS = {name: f"{name.split()[1]} {given}" for name, (given, _) in RUNS.items()}
CALLS |= {
    "rugtheory optimum": "optimum --p 0.1 --ratio 0.4",
    "validation fit": "fit --n-sparse 8 --steps 2",
}


def call(name, *more):
    program, _ = name.split()
    needed = []
    for option, path in RUNS.get(name, ("", {}))[1].items():
        needed += [option, path]
    return PROGRAMS[program]([*CALLS[name].split(), *needed, *more])


def test_every_command_is_tried():
    assert {name for name, _ in commands()} == set(CALLS)


@pytest.fixture
def failing(monkeypatch):
    """Makes the work of all commands raise an error."""

    def make(error):
        def fail(options):
            raise error

        for command in (*cli.COMMANDS, *validation.COMMANDS):
            monkeypatch.setattr(command, "run", fail)

    return make


@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_is_a_line_and_130(name, failing, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failing(KeyboardInterrupt())
    assert call(name) == 130
    said = capsys.readouterr()
    assert said.out == "" and said.err.strip().endswith(": interrupted")
    assert len(said.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("package", sorted(EXTRAS))
def test_a_missing_package_is_found_in_an_extra(name, package, failing, capsys):
    failing(ModuleNotFoundError(f"No module named '{package}'", name=f"{package}.part"))
    with pytest.raises(SystemExit) as stop:
        call(name)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and len(said.splitlines()) == 1
    extra = EXTRAS[package]
    assert f"'rugtheory[{extra}]'" in said and f"pip install -e '.[{extra}]'" in said


def test_the_extras_are_those_of_the_project():
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    inside = {
        extra: " ".join(some).replace("scikit-learn", "sklearn")
        for extra, some in known["optional-dependencies"].items()
    }
    for package, extra in EXTRAS.items():
        name = {"distributed": "dask[distributed]", "mpl_toolkits": "matplotlib"}.get(
            package, package
        )
        assert name in inside[extra], package


LONG = {
    "rugtheory": "curves --p 0.1 --ratio 0.5 --simulate 100000000 --n-sparse 4096 --out out",
    "validation": "train --n-sparse 64 --steps 1000000 --rounds 1",
}


@pytest.mark.slow
@pytest.mark.parametrize("module", LONG)
def test_a_signal_in_the_middle_of_the_work(module, tmp_path):
    command = [sys.executable, "-m", module, *LONG[module].split()]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    # The bar is drawn when the work begins.
    seen = b""
    while not re.search(rb"%\|.*\]", seen) and process.poll() is None:
        seen += process.stderr.read(1)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    # Python ends by the signal itself if it came while a library ran code; shells say 130.
    assert process.returncode in (130, -signal.SIGINT)
    assert b"Traceback" not in seen + rest
    lines = [line for line in re.split(r"[\r\n]+", (seen + rest).decode()) if line.strip()]
    assert [line for line in lines if "|" not in line] == [lines[-1]]
    assert lines[-1].endswith(": interrupted")


def test_a_closed_pipe_is_silent():
    command = [sys.executable, "-m", "rugtheory", "optimum", "--p", "0.1", "--ratio", "0.5"]
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.close()
    with process.stderr as stream:
        said = stream.read()
    assert process.wait() == 141 and said == b""


class Binary(io.StringIO):
    """Standard input or output with bytes behind it."""

    def __init__(self, content=b""):
        super().__init__()
        self.buffer = io.BytesIO(content)


def piped(arguments, content=b""):
    """Exit code, bytes on stdout and text on stderr."""
    given, out, err = sys.stdin, Binary(), io.StringIO()
    sys.stdin = Binary(content)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = cli.main(arguments)
            except SystemExit as stop:
                code = stop.code
    finally:
        sys.stdin = given
    return code, out.buffer.getvalue() or out.getvalue(), err.getvalue()


class TestStreams:
    RUG = ("rug", "--n-sparse", "8", "--n-dense", "2", "--seed", "0")

    def test_weights_through_a_pipe(self, tmp_path):
        code, content, said = piped([*self.RUG, "--out", "-"])
        assert code == 0 and "wrote -" in said and "/" not in said
        path = tmp_path / "rug.safetensors"
        path.write_bytes(content)
        assert np.array_equal(rt.Rug.load(path).rows, rt.hadamard_rug(8, 2, seed=0).rows)
        code, out, _ = piped(["weights", "-", "--p", "0.1", "--rows", "2", "--json"], content)
        assert code == 0
        again = piped(["weights", str(path), "--p", "0.1", "--rows", "2", "--json"])[1]
        assert json.loads(out) == json.loads(again)

    def test_pictures_and_features(self, tmp_path):
        code, content, said = piped([*self.RUG, "--figure", "-"])
        assert code == 0 and content.startswith(b"\x89PNG") and "n_sparse" in said
        np.savez(tmp_path / "m.npz", W=rt.hadamard_rug(8, 2, seed=0).w_in, b=np.zeros(8))
        rt.Identical(8, 0.1).save(tmp_path / "f.toml")
        arguments = ["weights", str(tmp_path / "m.npz"), "--rows", "2", "--features", "-"]
        assert piped(arguments, (tmp_path / "f.toml").read_bytes())[0] == 0

    @pytest.mark.parametrize(
        ("arguments", "content", "message"),
        [
            (["weights", "-", "--p", "0.1"], b"nothing", "- must be an .npz"),
            (["weights", "-", "--p", "0.1"], b"PK\x03\x04nothing", "- must be an .npz"),
            (["weights", "-", "--p", "0.1"], b"\0" * 8 + b"{", "- cannot be read"),
            (["weights", "-", "--features", "-"], b"", "only one of"),
            ([*RUG, "--out", "-", "--figure", "-"], b"", "only one of"),
            (["curves", "--out", "-"], b"", "--out must be a folder"),
        ],
    )
    def test_bad_streams(self, arguments, content, message):
        code, out, said = piped(arguments, content)
        assert code == 2 and not out and len(said.splitlines()) == 1
        assert message in said and "tmp" not in said


# Commands whose numbers are tables or objects.
JSON = (
    "optimum", "decoders", "scaling", "weights", "curves", "rug", "darkmatter", "fit", "path",
    "allocate", "minimize",
)  # fmt: skip


def test_every_option_is_explained():
    silent = [
        f"{name} {action.option_strings or action.dest}"
        for name, parser in parsers()
        for action in parser._actions
        if not action.help
    ]
    assert not silent


def test_every_choice_is_explained():
    silent = [
        f"{name} {action.option_strings[0]} {choice}"
        for name, parser in parsers()
        for action in parser._actions
        if action.choices and action.option_strings
        for choice in action.choices
        if choice not in action.help
    ]
    assert not silent


def test_every_command_says_what_it_does():
    """In a sentence of its own help, as in the list of all commands."""
    silent = [name for name, parser in parsers() if " " in name and not parser.description]
    assert not silent


def test_commands_that_print_numbers_have_json():
    found = {name.split()[1] for name, options in commands() if "--json" in options}
    assert found == set(JSON)
    # The others print the paths that they write; train prints JSON only.
    others = {"figures", "train", "sweep", "collect", "report", "darkmatter"}
    assert {name.split()[1] for name, _ in commands()} == found | others


def test_json_of_small_commands(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("rugtheory curves", "rugtheory rug", "validation fit", "validation path"):
        assert call(name, "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert found, name
    assert found[0]["step"] == 2 and "paper_stop" not in found[0]
