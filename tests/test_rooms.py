"""Folders of the package import each other in one direction only."""

import ast
from pathlib import Path

import pytest

import rugtheory

ROOT = Path(rugtheory.__file__).parent
# The folders in each folder that has some.  Each may import what stands before it; files beside
# them come first, but for the facade.
ROOMS = {
    "": (
        "numerics",
        "source",
        "model",
        "theory",
        "channel",
        "decoder",
        "structure",
        "analysis",
        "darkmatter",
        "figures",
        "cli",
    ),
    "darkmatter": ("sae", "report"),
}
# They stand above the folders beside them.
FACADES = ("__init__.py", "__main__.py")


def folder_of(file):
    """Parts of the path of a file's folder."""
    return file.relative_to(ROOT).parts[:-1]


def imports(text, package):
    """Paths below the root of all that a file of the folder `package` imports from the package."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                base = package[: len(package) - node.level + 1]
            elif module[:1] == ("rugtheory",):
                base, module = (), module[1:]
            else:
                continue
            yield from ((*base, *module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
            yield from (name[1:] for name in names if name[0] == "rugtheory")


def against_the_order(path, imported):
    """Whether a file may not import that: both parts of paths below the root."""
    for parent, rooms in ROOMS.items():
        inside = tuple(parent.split("/")) if parent else ()
        depth = len(inside)
        if path[:depth] != inside or imported[:depth] != inside or path[depth] in FACADES:
            continue
        goal = imported[depth] if len(imported) > depth else None
        allowed = rooms[: rooms.index(path[depth]) + 1] if path[depth] in rooms else ()
        if goal in rooms and goal not in allowed:
            return True
    return False


def from_a_facade_above(package, imported):
    """Whether that is a name which a folder around the file, or its own, only passes on."""
    *folder, name = imported
    inside = ROOT.joinpath(*folder)
    return (
        tuple(folder) == package[: len(folder)]
        and name != "__version__"
        and not (inside / f"{name}.py").is_file()
        and not (inside / name / "__init__.py").is_file()
    )


def test_every_folder_has_its_place():
    found = {}
    for path in ROOT.rglob("*/__init__.py"):
        *parent, name = folder_of(path)
        found.setdefault("/".join(parent), set()).add(name)
    assert found == {parent: set(rooms) for parent, rooms in ROOMS.items()}


def test_arrows_point_one_way():
    wrong = [
        f"{file.relative_to(ROOT)} imports {'.'.join(name)}"
        for file in ROOT.rglob("*.py")
        for name in imports(file.read_text("utf-8"), folder_of(file))
        if against_the_order(file.relative_to(ROOT).parts, name)
    ]
    assert not wrong


def test_no_file_imports_a_facade_above_it():
    wrong = [
        f"{file.relative_to(ROOT)} imports {'.'.join(name)}"
        for file in ROOT.rglob("*.py")
        for name in imports(file.read_text("utf-8"), folder_of(file))
        if not file.name.startswith("__") and from_a_facade_above(folder_of(file), name)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("file", "text", "wrong"),
    [
        ("darkmatter/sae/read.py", "from ..report import tables", True),
        ("darkmatter/sae/read.py", "from .. import report", True),
        ("darkmatter/sae/read.py", "from rugtheory.darkmatter.report import tables", True),
        ("darkmatter/sae/read.py", "from ...figures import draw_map", True),
        ("darkmatter/sae/read.py", "from .._rows import Rows", False),
        ("darkmatter/report/write.py", "from ..sae import SAE", False),
        ("darkmatter/floor.py", "from .sae import SAE", True),
        ("darkmatter/__init__.py", "from .report import tables", False),
        ("theory/loss.py", "from .. import cli", True),
        ("theory/loss.py", "import rugtheory.cli.curves", True),
        ("cli/rug.py", "from .. import darkmatter", False),
    ],
)
def test_order_is_told(file, text, wrong):
    path = tuple(file.split("/"))
    (name,) = imports(text, path[:-1])
    assert against_the_order(path, name) == wrong


@pytest.mark.parametrize(
    ("package", "text", "wrong"),
    [
        ("darkmatter/sae", "from .. import SAE", True),
        ("darkmatter/sae", "from . import SAE", True),
        ("darkmatter/sae", "from ... import optimum", True),
        ("darkmatter/sae", "from ... import _check", False),
        ("darkmatter/sae", "from ... import __version__", False),
        ("darkmatter/sae", "from . import saelens", False),
        ("darkmatter/report", "from ..sae import SAE", False),
    ],
)
def test_facade_is_told(package, text, wrong):
    package = tuple(package.split("/"))
    (name,) = imports(text, package)
    assert from_a_facade_above(package, name) == wrong
