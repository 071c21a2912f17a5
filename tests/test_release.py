"""What a release promises: versions that agree, a light import, types, bounds that are tested."""

import os
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import rugtheory as rt

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def told_by(code, **variables):
    """What a fresh interpreter prints."""
    command, given = [sys.executable, "-c", code], os.environ | variables
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=given)
    return found.stdout.strip()


def test_versions_agree():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)", changelog, re.MULTILINE)[0] == rt.__version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: \"?([^\"\s]+)", citation, re.MULTILINE) == [rt.__version__]
    shown = told_by("from rugtheory.cli import main; main(['--version'])")
    assert shown == f"rugtheory {rt.__version__}"


def test_import_leaves_out_what_is_slow_or_extra():
    heavy = ("torch", "matplotlib", "xarray", "pandas", "safetensors", "tqdm")
    heavy += ("scipy.optimize", "scipy.linalg", "scipy.integrate", "scipy.ndimage", "scipy.stats")
    heavy += ("scipy.sparse", "rugtheory.darkmatter")
    code = f"import sys, rugtheory; print(sorted({set(heavy)} & set(sys.modules)))"
    assert told_by(code) == "[]"


def test_import_is_quick(tmp_path):
    """In processor time, as a ratio to what numpy and scipy.special take in the same process.

    All of them compiled, as they are from the second time on.
    """
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    code = """if True:
        import time
        start = time.process_time()
        import numpy, scipy.special
        middle = time.process_time()
        import rugtheory
        print((time.process_time() - start) / (middle - start))
    """
    assert min(float(told_by(code, **compiled)) for _ in range(4)) < 2


def test_lowest_versions_are_the_bounds():
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    )
    extras = PROJECT["optional-dependencies"]
    tested = (extras[name] for name in ("plot", "sweep", "oracle"))
    for requirement in chain(PROJECT["dependencies"], *tested):
        found = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", requirement)
        assert found, requirement
        pin = [int(x) for x in pins[found[1]].split(".")]
        bound = [int(x) for x in found[2].split(".")]
        assert pin[: len(bound)] == bound and not any(pin[len(bound) :]), requirement


def test_types_are_shipped():
    assert (Path(rt.__file__).parent / "py.typed").is_file()
