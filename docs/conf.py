"""Sphinx: ``sphinx-build -W --keep-going -b html docs docs/_build/html``; needs no network."""

from __future__ import annotations

import argparse
import os
import shutil
from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from numpydoc.xref import DEFAULT_LINKS

import rugtheory
from rugtheory import cli

os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "rugtheory"
author = "The rugtheory developers"
copyright = "The rugtheory developers, MIT licence"
version = release = rugtheory.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "gallery/README.rst", "explorer"]

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_default_options = {"members": True}
autodoc_typehints = "none"
numpydoc_show_class_members = False
# Types in docstrings are links, if they are classes of the package; others would need the network.
DEFAULT_LINKS.clear()
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = {
    name: f"{room.__name__}.{name}"
    for room in (rugtheory.darkmatter, rugtheory)
    for name in room.__all__
    if isinstance(getattr(room, name), type)
}

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "min_reported_time": 5,
    "remove_config_comments": True,
    "show_signature": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "rugtheory"
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["rugtheory.css"]
html_show_sourcelink = False
html_sidebars: dict[str, list[str]] = {
    name: []
    for name in ("index", "tutorial", "commands", "validation", "accuracy", "performance", "laws")
}
html_theme_options: dict[str, Any] = {
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
}
html_math_renderer = "mathml"


# Signs in the docstrings' formulas that docutils knows by their names only.
_NAMES = {
    "→": r"\to ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≈": r"\approx ",
    "½": r"\tfrac{1}{2}",
    "¼": r"\tfrac{1}{4}",
    "∝": r"\propto ",
    "∂": r"\partial ",
    "∞": r"\infty ",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
}


def _mathml(tex: str, as_block: bool = False) -> str:
    tex = tex.translate(str.maketrans(_NAMES))
    if r"\\" in tex and r"\begin" not in tex:
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    return tex2mathml(tex, as_block=as_block)


def _inline(writer: Any, node: Any) -> None:
    writer.body.append(_mathml(node.astext()))
    raise SkipNode


def _displayed(writer: Any, node: Any) -> None:
    writer.body.append(writer.starttag(node, "div", CLASS="math"))
    writer.body.append(_mathml(node.astext(), as_block=True) + "</div>\n")
    raise SkipNode


def _keep_bars(app: Any, what: str, name: str, of: Any, options: Any, lines: list[str]) -> None:
    """A bar in a docstring is that of a modulus or a condition, not of a substitution."""
    formula = False
    for k, line in enumerate(lines):
        if line.strip():
            formula = line.lstrip().startswith(".. math::") or (formula and line.startswith(" "))
        if not formula and ">>>" not in line and "``" not in line:
            lines[k] = line.replace("|", r"\|")


def _copy_explorer(app: Any, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        shutil.copytree(app.srcdir / "explorer", app.outdir / "explorer", dirs_exist_ok=True)


def _write_commands(app: Any) -> None:
    """The page of all commands, from their own help."""
    parser = cli.make_parser()
    (commands,) = (x for x in parser._actions if isinstance(x, argparse._SubParsersAction))
    title = "Commands"
    parts = [
        title,
        "=" * len(title),
        "",
        "What ``rugtheory --help`` prints, and the help of each command.",
        "",
    ]
    for one in (parser, *commands.choices.values()):
        head = f"``{one.prog}``"
        text = one.format_help().replace("\n", "\n   ").rstrip()
        parts += [head, "-" * len(head), "", ".. code-block:: text", "", f"   {text}", ""]
    path = app.srcdir / "commands.rst"
    text = "\n".join(parts)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _allow_missing_pictures(app: Any, config: Any) -> None:
    """Pages lack pictures of the gallery if it is left out: that is no reason to fail."""
    if str(config.plot_gallery).lower() in ("0", "false"):
        config.suppress_warnings.append("image.not_readable")


def setup(app: Any) -> None:
    """Formulas as MathML, which browsers draw without a script from the network."""
    app.add_html_math_renderer("mathml", (_inline, None), (_displayed, None))
    app.connect("config-inited", _allow_missing_pictures)
    app.connect("builder-inited", _write_commands)
    app.connect("autodoc-process-docstring", _keep_bars)
    app.connect("build-finished", _copy_explorer)
