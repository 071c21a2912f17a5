"""Every code block of the README and of docs/ runs, and prints what the page says it prints.

A page is one test with one namespace, so that blocks may build on each other: a collector of single
blocks would have them spread over the workers of pytest-xdist.
"""

import ast
import contextlib
import doctest
import importlib.util
import io
import re
import shlex
import sys
import tomllib
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from markdown_it import MarkdownIt

import rugtheory as rt
from rugtheory import cli, figures
from validation import cli as validation

ROOT = Path(rt.__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(x for x in sorted(ROOT.glob("docs/**/*.md")) if not x.is_relative_to(ROOT / "docs/_build")),
]
CHECKER = doctest.OutputChecker()
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# Too long for a test: their options are read and nothing is computed.
LONG = {"curves --simulate", "darkmatter", "figures"}
# Pages that take half a minute each.
SLOW = {"allocation.md", "found_codes.md"}


def blocks(page):
    """Language, first line and text of the fenced blocks of a page; wants of the ones with output.

    A block of language "text" right after another block is the output of that one.
    """
    fences = [x for x in MarkdownIt().parse(page.read_text()) if x.type in ("fence", "inline")]
    for token, following in zip(fences, [*fences[1:], None], strict=True):
        if token.type == "fence" and token.info in ("python", "sh"):
            output = following is not None and following.info == "text"
            want = following.content if output else None
            yield token.info, token.map[0] + 1, token.content, want


def test_code_for_contributors_has_types():
    """mypy would refuse a function without them."""
    code = "\n".join(x[2] for x in blocks(ROOT / "CONTRIBUTING.md") if x[0] == "python")
    found = [x for x in ast.walk(ast.parse(code)) if isinstance(x, ast.FunctionDef)]
    assert found
    for one in found:
        untyped = [x.arg for x in one.args.args if x.annotation is None and x.arg != "self"]
        assert one.returns is not None and not untyped, one.name


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty folder that reads like a clone."""
    for name in ("tests", "validation", "benchmarks", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: None)
    yield
    plt.close("all")


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(x, marks=[pytest.mark.slow] * (x.name in SLOW), id=str(x.relative_to(ROOT)))
        for x in PAGES
    ],
)
def test_code_blocks(page, checkout, monkeypatch):
    namespace = {"__name__": "__main__"}
    for language, line, text, want in blocks(page):
        where = f"{page.relative_to(ROOT)}:{line}"
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            if language == "python":
                code = compile("\n" * line + text, str(page), "exec")
                exec(code, namespace)
            else:
                for command in shell_lines(text):
                    run_shell(command, where, monkeypatch)
        if want is not None:
            got = printed.getvalue()
            assert CHECKER.check_output(want, got, FLAGS), f"{where} printed:\n{got}"


def shell_lines(text):
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        for command in line.split("&&"):
            words = shlex.split(command, comments=True)
            if words:
                yield words


def run_shell(words, where, monkeypatch):
    """Run what is cheap; of what is not, check that its files and options exist."""
    while "=" in words[0]:  # variables of the environment
        words = words[1:]
    program, *rest = words
    if program == "rugtheory":
        if any(all(x in rest for x in long.split()) for long in LONG):
            with monkeypatch.context() as patch:
                patch.setattr(getattr(cli, rest[0]), "run", lambda options: None)
                assert cli.main(rest) == 0, where
        else:
            assert cli.main(rest) == 0, where
    elif rest[:2] == ["-m", "validation"]:
        with monkeypatch.context() as patch:
            patch.setattr(getattr(validation, rest[2]), "run", lambda options: None)
            patch.setattr(sys, "argv", ["validation", *rest[2:]])
            validation.main()
    elif rest[:1] == ["-m"]:
        assert importlib.util.find_spec(rest[1]), where
    elif program == "python":
        assert (ROOT / rest[0]).exists(), where
    elif "install" in rest:
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        for extras in re.findall(r"\[(.+)\]", " ".join(rest)):
            assert set(extras.split(",")) <= set(known["optional-dependencies"]), where
    else:
        assert program in {"git", "cd", "source", "pytest", "dask", "sphinx-build"}, where


def test_the_collector_sees_a_wrong_output(tmp_path, monkeypatch, checkout):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1)\n```\n```text\n2\n```\n")
    ((language, line, text, want),) = blocks(page)
    assert (language, line, text, want) == ("python", 1, "print(1)\n", "2\n")
    assert not CHECKER.check_output(want, "1\n", FLAGS)


def test_every_public_name_is_in_the_reference():
    text = (ROOT / "docs" / "api.md").read_text()
    parts = re.split(r"currentmodule:: rugtheory\.(?:darkmatter|figures)", text)
    core, dark, pictures = (sorted(re.findall(r"^   (\w+)$", part, re.M)) for part in parts)
    assert core == sorted(set(rt.__all__) - {"darkmatter"})
    assert dark == sorted(rt.darkmatter.__all__)
    assert pictures == sorted(figures.__all__)


def test_every_figure_names_its_maker():
    """A picture in the repository is followed by the command that makes it."""
    found = set()
    for page in PAGES:
        for path, command in re.findall(
            r"!\[[^\]]*\]\(([^)]+)\)\s*\n\s*\*?`([^`]+)`", page.read_text()
        ):
            assert command.startswith(("rugtheory ", "python docs/")), (page, command)
            found.add((page.parent / path).resolve())
    kept = {x for x in (ROOT / "docs").glob("**/*.png") if not generated(x)}
    assert {x.resolve() for x in kept} <= found


def generated(path):
    top = path.relative_to(ROOT / "docs").parts[0]
    return top in ("_build", "auto_gallery")
