"""Folders of the package import each other in one direction only."""

import ast
from pathlib import Path

import rugtheory

ROOT = Path(rugtheory.__file__).parent
# Each may import what stands before it; files of the top level come first, but for the facade.
ROOMS = (
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
)


def imports(file):
    """Names of what a file imports from the package, the first one below its root."""
    package = file.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            path = (*base, *(node.module.split(".") if node.module else ()))
            yield from [path[0]] if path else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            yield from (name[1] for name in names if name[0] == "rugtheory" and len(name) > 1)


def test_every_folder_has_its_place():
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders == set(ROOMS)


def test_arrows_point_one_way():
    wrong = []
    for file in ROOT.rglob("*.py"):
        room = file.relative_to(ROOT).parts[0]
        if room == "__init__.py":
            continue
        allowed = ROOMS[: ROOMS.index(room) + 1] if room in ROOMS else ()
        for name in imports(file):
            if name in ROOMS and name not in allowed:
                wrong.append(f"{file.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_no_file_imports_the_facade():
    for file in ROOT.rglob("*.py"):
        package = file.relative_to(ROOT).parts[:-1]
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == len(package) + 1:
                assert node.module or {alias.name for alias in node.names} <= {
                    "__version__",
                    *(path.stem for path in ROOT.glob("_*.py")),
                    *ROOMS,
                }, file
