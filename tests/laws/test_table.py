"""The page of the laws is current, and the laws speak of everything public."""

import re
from pathlib import Path

import rugtheory as rt
from rugtheory import darkmatter as dm
from rugtheory.source.laws import LAWS

from ..test_hostile import DARK_NOT_CALLED, NOT_CALLED
from .mutate import MUTANTS, ROOT
from .table import PAGE, page


def test_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.laws.table"


def test_everything_public_obeys_a_law():
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py"))
    tried = {law.__name__ for law in LAWS.values()} | set(re.findall(r"\brt\.(\w+)", text))
    assert set(rt.__all__) - NOT_CALLED - {"darkmatter"} <= tried
    assert set(dm.__all__) - DARK_NOT_CALLED <= set(re.findall(r"\bdm\.(\w+)", text))


def test_formulas_to_break_are_there():
    for mutant in MUTANTS:
        module = ROOT / "rugtheory" / f"{mutant.module}.py"
        assert module.read_text(encoding="utf-8").count(mutant.right) == 1, mutant.name
