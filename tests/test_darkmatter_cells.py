"""Numbers with their errors, as tables show them."""

import pytest

from rugtheory.darkmatter.report.cells import percent, table, with_error


@pytest.mark.parametrize(
    ("value", "se", "shown"),
    [
        (0.31523, 0.0041, "0.3152(41)"),
        (0.31523, 0.00041, "0.31523(41)"),
        (0.31523, 0.123, "0.32(12)"),
        (-0.0323, 33.7177, "0 ± 34"),
        (12.3456, 1.0, "12.3 ± 1.0"),
        (9.4567, 1.83, "9.5 ± 1.8"),
        (-146.8, 12.3, "-147 ± 12"),
        (0.5, 0.0, "0.5000"),
        (1e-9, 1e-12, "0.0000"),
        (0.12345678, 3.2e-6, "0.123457(3)"),
        (None, None, "–"),
    ],
)
def test_errors(value, se, shown):
    """Two digits of the error, in units of the last digit, as far as that can be read."""
    assert with_error({"value": value, "se": se}) == shown


def test_what_is_missing():
    assert with_error(None) == "–"
    assert percent({"relative": None, "se": None}) == "from 0"
    assert percent({"relative": -0.1234, "se": 0.0056}) == "-12.34(56) %"


def test_table_escapes_bars():
    assert table(("a", "b"), [("x|y", "1")])[2] == "| x\\|y | 1 |"
