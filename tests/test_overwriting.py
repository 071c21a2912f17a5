"""No command replaces what it did not write, and none works before it knows where results go.

The commands are those of the parsers of rugtheory and of validation that have --out or --figure.
"""

import argparse
import contextlib
import errno
import importlib
import inspect
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import rugtheory as rt
from rugtheory import _files, cli, darkmatter
from rugtheory._files import RECORD, replacing, writing
from validation import cli as validation

ROOT = Path(rt.__file__).parents[1]
X = np.random.default_rng(0).exponential(size=(40, 3))

# A quick valid run of every command that writes: what it is given, and where it writes.
RUNS = {
    "rugtheory curves": ("--p 0.1 --ratio 0.5 --simulate 2 --n-sparse 8", {"--out": "out"}),
    "rugtheory decoders": (
        "--p 0.1 --ratio 0.4 --amplitude constant:1",
        {"--figure": "decoders.png"},
    ),
    "rugtheory scaling": ("--points 2", {"--figure": "scaling.svg"}),
    "rugtheory allocate": ("--zipf 1 --n-sparse 9 --n-dense 2", {"--figure": "allocation.png"}),
    "rugtheory minimize": (
        "--n-sparse 3 --n-dense 2 --p 0.1 --steps 2",
        {"--out": "least.safetensors", "--figure": "descent.png"},
    ),
    "rugtheory figures": ("--only fig1_rug", {"--out": "out"}),
    "rugtheory rug": (
        "--n-sparse 8 --n-dense 2",
        {"--out": "rug.safetensors", "--figure": "rug.pdf"},
    ),
    "rugtheory weights": ("model.npz --p 0.1 --rows 2", {"--figure": "weights.png"}),
    "rugtheory darkmatter": ("acts.npy --sae sae", {"--out": "out"}),
    "validation train": ("--n-sparse 4 --steps 2 --rounds 1", {"--out": "model.safetensors"}),
    "validation path": ("--n-sparse 4 --steps 2", {"--out": "out"}),
    "validation collect": ("points", {"--out": "points.nc"}),
    "validation report": ("trained.nc", {"--out": "out"}),
    "validation darkmatter": ("", {"--out": "out"}),
    "validation sweep": ("sweep.toml --workers 1", {"--out": "points"}),
}
PATH = ("rug", "antipodal", "paper_stop")
# It goes on with what is there, and never takes other files for results: tests/test_validation.py.
RESUMED = {"validation sweep"}
WRITING = sorted(set(RUNS) - RESUMED)
FOLDERS = {name for name in WRITING if RUNS[name][1].get("--out") == "out"}


def parsers():
    """All commands of both programs, with their parsers."""
    for program, parser in {
        "rugtheory": cli.make_parser(),
        "validation": validation.make_parser(),
    }.items():
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, sub in action.choices.items():
                    yield f"{program} {name}", sub


def commands():
    """All commands of both programs, with their options."""
    for name, parser in parsers():
        yield name, {x for one in parser._actions for x in one.option_strings}


def test_every_command_that_writes_is_tried():
    found = {name: options for name, options in commands() if options & {"--out", "--figure"}}
    assert set(found) == set(RUNS)
    for name, options in found.items():
        assert set(RUNS[name][1]) == options & {"--out", "--figure"}, name
        assert ("--overwrite" in options) == (name not in RESUMED), name


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with inputs for all commands, and trained models."""
    folder = tmp_path_factory.mktemp("inputs")
    np.savez(folder / "model.npz", W_in=np.ones((1, 3)), W_out=np.ones((3, 1)), b=np.zeros(3))
    np.save(folder / "acts.npy", X)
    eye = np.eye(3)
    sae = darkmatter.SAE("topk", eye, np.zeros(3), eye, np.zeros(3), k=2)
    darkmatter.write_sae(sae, folder / "sae")
    data = xr.load_dataset(ROOT / "validation" / "data" / "cpu.nc")
    data = data.isel(point=(data.n_sparse.values == 128) & (data.p.values == 0.1))
    data.to_netcdf(folder / "trained.nc", engine="h5netcdf")
    data.isel(point=slice(1, None)).to_netcdf(folder / "fewer.nc", engine="h5netcdf")
    return folder, data.isel(point=[0])


@pytest.fixture
def place(inputs, tmp_path, monkeypatch):
    """A copy of it to work in; what takes long is done once or made up."""
    folder, data = inputs
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    verdict = rt.Verdict(1.0, 0.0, 0.0, {"structure": 0.3}, 1.1, 0.7, "antipodal", 0, 3)
    monkeypatch.setattr(cli.weights, "explain", lambda *_, **__: verdict)
    monkeypatch.setattr(cli.decoders, "decoder_table", remembered(cli.decoders.decoder_table))
    for name in ("draw_curves", "draw_decoders", "draw_scaling", "draw_rug"):
        monkeypatch.setattr(f"rugtheory.figures.{name}", lambda *_, **__: [])
    monkeypatch.setattr(
        cli.weights, "statistics", lambda *_, **__: argparse.Namespace(summary=dict)
    )
    monkeypatch.setattr(
        cli.weights,
        "_draw_weights",
        lambda *given: cli.shared.draw_file(given[-1].figure, lambda ax: None),
    )
    numbers = importlib.import_module("rugtheory.figures.numbers")
    monkeypatch.setattr(numbers, "scaling_curves", remembered(numbers.scaling_curves))
    monkeypatch.setattr(validation.train, "evaluate", lambda *_: {"loss": 1.0})
    monkeypatch.setattr(validation.train.rt, "best_known", cache(best_known))
    monkeypatch.setattr(validation.collect, "collect", lambda folder: data)
    monkeypatch.setattr(validation.collect, "digests", lambda folder: {"point": "of the folder"})
    known = {}

    def opened(path):
        content = Path(path).read_bytes()
        if content not in known:
            known[content] = xr.load_dataset(path)
        return contextlib.nullcontext(known[content])

    monkeypatch.setattr(validation.report, "xr", argparse.Namespace(open_dataset=opened))
    monkeypatch.setattr("validation.report.save", lambda path, *_: path.write_bytes(b"picture"))
    path = xr.Dataset({"loss": ("step", [1.0])}, attrs=dict.fromkeys(PATH, 1.0))
    monkeypatch.setattr(validation.path, "follow", lambda *_, **__: path)
    monkeypatch.setattr("validation.darkmatter.run", run_darkmatter)
    return tmp_path


def remembered(function):
    known = {}

    def call(*arguments, **named):
        key = repr((arguments, named))
        if key not in known:
            known[key] = function(*arguments, **named)
        return known[key]

    return call


def best_known(p, ratio):
    return rt.BestKnown(*(np.full_like(np.asarray(p, float), 0.1) for _ in inspect.signature(
        rt.BestKnown).parameters))  # fmt: skip


def run_darkmatter(plan, **_):
    plan.out.mkdir(exist_ok=True)
    (plan.out / "darkmatter.json").write_text("{}")
    return {"seconds": {}}


def run(name, capsys, *more, **outputs):
    """Exit code, output and error of a command."""
    program, command = name.split()
    given, places = RUNS[name]
    arguments = [command, *given.split()]
    for option, path in (places | outputs).items():
        arguments += [option, str(path)]
    arguments += more
    code = 0
    try:
        if program == "rugtheory":
            code = cli.main(arguments)
        else:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("sys.argv", ["validation", *arguments])
                code = validation.main()
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr()
    return code, said.out, said.err


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def one_line(err):
    return len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("name", WRITING)
def test_only_its_own_files_are_replaced(name, place, capsys):
    before = contents(place)
    assert run(name, capsys)[0] == 0
    written = [x for x in contents(place) if x not in before and x.name != RECORD]
    assert written
    # The same again.
    code, _, err = run(name, capsys)
    assert code == 0, err
    for path in written:
        # What a user has put there, by a program that keeps nothing of ours.
        own, path_bytes = b"mine", path.read_bytes()
        path.write_bytes(own)
        kept = contents(place)
        code, out, err = run(name, capsys)
        assert (code, out) == (2, "") and one_line(err), path
        assert path.name in err and "was changed since" in err and "--overwrite" in err
        assert contents(place) == kept
        path.write_bytes(path_bytes)
    # Files that nobody recorded.
    records = list(place.rglob(RECORD))
    for record in records:
        record.unlink()
    kept = contents(place)
    code, out, err = run(name, capsys)
    assert (code, out) == (2, "") and one_line(err)
    assert "was not written by a command" in err and contents(place) == kept
    written[0].write_bytes(b"mine")
    code, _, err = run(name, capsys, "--overwrite")
    assert code == 0, err
    if name != "rugtheory darkmatter":  # whose caches that still hold are left as they are
        assert written[0].read_bytes() != b"mine"
        assert run(name, capsys)[0] == 0


# A run that would lose something of the run above, by command.
OTHERS = {
    "rugtheory curves": "--seed 1",
    "rugtheory decoders": "--channel antipodal",
    "rugtheory scaling": "--power 0.4",
    "rugtheory figures": "--p 0.2",
    "rugtheory allocate": "--zipf 2",
    "rugtheory minimize": "--seed 1",
    "rugtheory rug": "--seed 1",
    "rugtheory weights": "--seed 1",
    "rugtheory darkmatter": "--seed 1",
    "validation train": "--seed 1",
    "validation path": "--seed 1",
    "validation darkmatter": "--seed 1",
}
BY_INPUT = {"validation collect", "validation report"}


# Some in the fast suite, the others in the slow one.
QUICK = ("decoders", "rug", "weights", "path", "collect")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name.split()[1] in QUICK else pytest.mark.slow)
        for name in WRITING
    ],
)
def test_results_of_other_inputs_are_kept(name, place, capsys, monkeypatch):
    assert set(OTHERS) | BY_INPUT == set(WRITING)
    code, out, err = run(name, capsys)
    assert code == 0
    assert all(f"wrote {path}" in out + err for path in RUNS[name][1].values())
    if name == "validation collect":
        monkeypatch.setattr(
            validation.collect, "digests", lambda folder: {"other": "of the folder"}
        )
    elif name in BY_INPUT:
        shutil.copy("fewer.nc", "trained.nc")
    kept = contents(place)
    more = OTHERS.get(name, "").split()
    code, out, err = run(name, capsys, *more)
    assert (code, out) == (2, "") and one_line(err) and "was made with" in err
    assert contents(place) == kept
    code, _, err = run(name, capsys, *more, "--overwrite")
    assert code == 0, err
    assert contents(place) != kept


def bad_places(name):
    for option in RUNS[name][1]:
        if option == "--out" and name in FOLDERS:
            yield option, "file", "file"
            yield option, "file/inside", "file"
        else:
            suffix = Path(RUNS[name][1][option]).suffix
            yield option, f"missing/x{suffix}", "missing"
            yield option, f"file/x{suffix}", "file"
            yield option, f"folder{suffix}", f"folder{suffix}"
        if option == "--figure":
            yield option, "x.xyz", "x.xyz"
            yield option, "x", "x must end in"


@pytest.mark.parametrize(
    ("name", "option", "path", "named"),
    [(name, *bad) for name in WRITING for bad in bad_places(name)],
)
def test_places_are_checked_before_the_work(name, option, path, named, place, capsys):
    Path("file").write_bytes(b"mine")
    if "folder" in path:
        Path(path).mkdir()
    kept = contents(place)
    code, out, err = run(name, capsys, **{option: path})
    assert (code, out) == (2, "") and one_line(err), err
    assert named in err and "partial" not in err
    assert contents(place) == kept


def test_a_rug_and_its_figure_appear_together(place, capsys, monkeypatch):
    """The matrix of 8192 features is too large to be drawn; its weights are not left alone."""
    monkeypatch.setattr("rugtheory.figures.draw_rug", lambda rug, ax: rug.matrix())
    kept = contents(place)
    code, out, err = run("rugtheory rug", capsys, "--n-sparse", "8192")
    assert (code, out) == (2, "") and "would have" in err
    assert contents(place) == kept


class TestCurves:
    def test_simulated_curves_are_not_lost(self, place, capsys):
        assert run("rugtheory curves", capsys)[0] == 0
        kept = contents(place)
        arguments = ["curves", "--p", "0.1", "--ratio", "0.5", "--out", "out"]
        with pytest.raises(SystemExit):
            cli.main(arguments)
        assert "was made with simulate 2, now null" in capsys.readouterr().err
        assert contents(place) == kept

    def test_simulations_may_be_added(self, place, capsys):
        arguments = ["curves", "--p", "0.1", "--ratio", "0.5", "--out", "out"]
        assert cli.main(arguments) == 0
        assert run("rugtheory curves", capsys)[0] == 0
        with xr.open_dataset("out/curves.nc") as curves:
            assert "simulated_loss" in curves and curves.attrs["n_samples"] == 2

    @pytest.mark.parametrize("finite", [[], ["--finite", "2"]])
    def test_a_run_that_is_cut_short_is_gone_on_with(self, place, capsys, monkeypatch, finite):
        def some(points):
            taken.extend(points)
            yield from points[:most]
            if len(points) > most:
                raise KeyboardInterrupt

        given = ["--p", "0.1", "0.2", "0.3", *finite]
        monkeypatch.setattr("tqdm.tqdm", lambda points, **_: some(points))
        taken, most = [], 9
        assert run("rugtheory curves", capsys, *given)[0] == 0
        whole = xr.load_dataset("out/curves.nc")
        assert len(taken) == 3 * (1 + len(finite) // 2)
        taken.clear()
        assert run("rugtheory curves", capsys, *given)[0] == 0 and not taken
        assert xr.load_dataset("out/curves.nc").identical(whole)
        shutil.rmtree("out")
        most = 2
        assert run("rugtheory curves", capsys, *given)[0] == 130
        taken.clear()
        most = 9
        assert run("rugtheory curves", capsys, *given)[0] == 0
        assert taken[0] == (2, 0) and len(taken) == 1 + 3 * (len(finite) // 2)
        assert xr.load_dataset("out/curves.nc").identical(whole)


class TestWriting:
    """The rule itself."""

    def test_a_failed_command_leaves_what_it_did_not_touch_as_it_was(self, tmp_path):
        one, two = tmp_path / "one", tmp_path / "two"
        with writing({one: {"a": 1}}):
            one.write_text("1")
        with pytest.raises(RuntimeError, match="stop"), writing({one: {"a": 1, "b": 2}, two: {}}):
            raise RuntimeError("stop")
        with writing({one: {"a": 1}}):
            pass
        assert set(_files.read_record(tmp_path)) == {"one"}

    def test_folders_made_for_nothing_are_removed(self, tmp_path):
        inner = tmp_path / "a" / "b"
        with pytest.raises(RuntimeError), writing({inner / "x": {}}, folders=[inner.parent, inner]):
            assert inner.is_dir()
            raise RuntimeError
        assert list(tmp_path.iterdir()) == []

    def test_one_file_for_two_results(self, tmp_path):
        outputs = {tmp_path / "x": {}, tmp_path / "sub" / ".." / "x": {}}
        (tmp_path / "sub").mkdir()
        with pytest.raises(ValueError, match="outputs must be different files"):
            with writing(outputs):
                pass

    def test_what_is_kept_of_a_foreign_file_stays_foreign(self, tmp_path):
        """--overwrite does not claim a file that the command did not write after all."""
        (tmp_path / "x").write_text("mine")
        with writing({tmp_path / "x": {}}, overwrite=True):
            pass
        with pytest.raises(FileExistsError, match="was not written by a command"):
            with writing({tmp_path / "x": {}}):
                pass

    @pytest.mark.parametrize("existing", [False, True])
    def test_killed(self, tmp_path, existing):
        """SIGKILL in the middle of writing: the same command can be run again, no other."""
        file = tmp_path / "x"
        if existing:
            with writing({file: {"a": 1}}):
                file.write_text("whole")
        program = (
            "import os, signal, sys\n"
            "from pathlib import Path\n"
            "from rugtheory._files import writing\n"
            "file = Path(sys.argv[1])\n"
            "with writing({file: {'a': 1, 'b': 2}}):\n"
            "    file.write_text('half')\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", program, file], env=environment, check=False)
        assert file.read_text() == "half"
        for other in ({"a": 1}, {"a": 2, "b": 2}):
            with pytest.raises(FileExistsError, match="was made with"), writing({file: other}):
                pass
        with writing({file: {"a": 1, "b": 2}}):
            file.write_text("whole")
        assert file.read_text() == "whole"

    def test_a_record_that_is_none(self, tmp_path):
        (tmp_path / RECORD).write_text("{")
        with pytest.raises(ValueError, match=r"\.rugtheory\.json cannot be read as JSON"):
            with writing({tmp_path / "x": {}}):
                pass


@pytest.mark.parametrize(
    "error",
    [
        lambda path: OSError(errno.ENOSPC, "No space left on device", str(path)),
        lambda path: PermissionError(errno.EACCES, "Permission denied", path),
        lambda path: OSError(f"unable to open file: name = '{path}', errno = 28"),
        lambda path: ValueError(f"cannot write {path}"),
        lambda path: OSError(errno.EIO, "Input/output error", os.fsencode(path)),
    ],
)
def test_messages_name_the_path_of_the_user(error, tmp_path):
    with pytest.raises((OSError, ValueError)) as caught, replacing(tmp_path / "mine.nc") as partial:
        partial.write_text("half")
        raise error(partial)
    assert "mine.nc" in str(caught.value) and "partial" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_replaced_is_named_once(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError, match="x") as caught, replacing(tmp_path / "x") as partial:
        partial.write_text("half")
    assert "partial" not in str(caught.value) and "->" not in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="modes of files")
def test_files_are_for_whom_the_user_lets_read_them(tmp_path):
    """Savers of weights make files that only their owner can read."""
    path, model = tmp_path / "weights.safetensors", rt.Model(np.eye(2))
    before = os.umask(0o022)
    try:
        model.save(path)
        assert path.stat().st_mode & 0o777 == 0o644
        path.chmod(0o640)
        model.save(path)
        assert path.stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)
