"""Write `docs/laws.md`, the table of the laws, from the docstrings of the suite.

Run as ``python -m tests.laws.table``.  A test checks that the page is current.
"""

from __future__ import annotations

import ast
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "laws.md"
MUTANTS = HERE / "mutants.md"

_HEAD = """\
# Laws

Identities, inequalities, limits, invariances and round trips that the package keeps.  Each is a
test in `tests/laws/`, tried by hypothesis at random points: p from 1e-12 to 1, ratios from 1e-9 to
1 − 1e-9 where the functions claim them, and seven amplitude laws.  `python -m tests.laws.table`
writes this page.
"""


def laws() -> dict[str, list[tuple[str, str]]]:
    """Laws and the tests that state them, by subject."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for group in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(group, ast.ClassDef):
                continue
            subject = ast.get_docstring(group)
            assert subject, group.name
            for law in group.body:
                if isinstance(law, ast.FunctionDef) and law.name.startswith("test_"):
                    text = ast.get_docstring(law)
                    assert text, f"{group.name}.{law.name} states no law"
                    name = f"{path.name}::{group.name}::{law.name}"
                    found.setdefault(subject, []).append((" ".join(text.split()), name))
    return found


def page() -> str:
    """The page as it should be."""
    parts = [_HEAD]
    for subject, statements in laws().items():
        parts.append(f"## {subject}\n\n| law | test |\n|---|---|")
        for text, name in statements:
            _, group, test = name.split("::")
            parts.append(f"| {text.replace('|', chr(92) + '|')} | `{group}.{test}` |")
        parts.append("")
    parts.append(MUTANTS.read_text(encoding="utf-8"))
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{sum(map(len, laws().values()))} laws, wrote {PAGE}")
