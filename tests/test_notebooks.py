"""The notebooks of docs/notebooks run, and show what they say they show."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

import rugtheory as rt

FOLDER = Path(rt.__file__).parents[1] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
# Estimates of errors differ between machines.
NOISE = 1e-7


def texts(outputs):
    for output in outputs:
        data = output.get("data", {"text/plain": output.get("text", [])})
        yield "".join(data.get("text/plain", [])), set(data) - {"text/html"}


def test_there_are_some():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_it_computes(path):
    spec = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
    execute = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(execute)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    kept = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(kept) or len(kept) > 3
    for before, now in zip(kept, execute.run(notebook["cells"]), strict=True):
        for (text, kinds), (again, same) in zip(texts(before), texts(now), strict=True):
            assert kinds == same
            assert re.sub(NUMBER, "#", text) == re.sub(NUMBER, "#", again)
            numbers = [[float(x) for x in re.findall(NUMBER, t)] for t in (text, again)]
            assert numbers[0] == pytest.approx(numbers[1], rel=1e-3, abs=NOISE)
