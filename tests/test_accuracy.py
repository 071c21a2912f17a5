"""The package against integrals of the definition at 50 digits (`tests/oracle`)."""

import numpy as np
import pytest

import rugtheory as rt

from .oracle import generate, tables

LOSS = 1e-12
DECODER = 1e-11


def assert_close(name, found, table, column, tolerance):
    """Relative agreement; the message names the worst row."""
    expected = table[column]
    scale = np.where(expected == 0, 1.0, np.abs(expected))
    error = np.abs(found - expected) / scale
    assert np.all(np.isfinite(error))
    worst = int(np.argmax(error))
    row = {key: values[worst] for key, values in table.columns.items()}
    assert error[worst] <= tolerance, f"{name}: {error[worst]:.2e}, {found[worst]!r} at {row}"


def by_law(table):
    for law in np.unique(table.laws):
        here = table.laws == law
        part = tables.Table({key: x[here] for key, x in table.columns.items()}, None)
        yield law, tables.amplitude(law), part


class TestOptimum:
    def test_uniform(self):
        table = tables.read("optimum_uniform")
        assert table["p"].size >= 300
        best = rt.optimum(table["p"], table["ratio"])
        assert_close("loss", best.loss, table, "loss", LOSS)
        assert_close("a", best.a, table, "a", DECODER)
        assert_close("b", best.b, table, "b", DECODER)

    def test_through_the_table_of_starts(self):
        # Large calls start from an interpolated table instead of a scan.
        table = tables.read("optimum_uniform")
        best = rt.optimum(np.tile(table["p"], 5), np.tile(table["ratio"], 5))
        size = table["p"].size
        assert_close("loss", best.loss[:size], table, "loss", LOSS)
        assert_close("a", best.a[:size], table, "a", DECODER)
        assert_close("b", best.b[:size], table, "b", DECODER)

    def test_other_laws(self):
        for law, amplitude, table in by_law(tables.read("optimum_laws")):
            best = rt.optimum(table["p"], sigma=table["sigma"], amplitude=amplitude)
            assert_close(law, best.loss, table, "loss", LOSS)
            assert_close(law, best.a, table, "a", DECODER)
            assert_close(law, best.b, table, "b", DECODER)

    def test_no_threshold_scanned_does_better(self):
        table = tables.read("scan_uniform")
        best = rt.optimum(table["p"], sigma=table["sigma"])
        assert np.all(best.loss <= table["loss"] * (1 + LOSS))
        # The scan is fine enough to find another minimum if there were a deeper one.
        assert np.all(best.loss >= table["loss"] * 0.97)


class TestLoss:
    def check(self, name, table, amplitude):
        at = [table[key] for key in ("a", "b", "sigma", "p")]
        parts = rt.loss_parts(*at, amplitude=amplitude)
        assert_close(name, parts.on, table, "on", LOSS)
        assert_close(name, parts.total, table, "total", LOSS)
        assert_close(name, rt.reduced_loss(*at, amplitude=amplitude), table, "total", LOSS)
        # Noise that never lifts a zero feature over the threshold has no digits to compare.
        assert_close(
            name, np.where(table["off"] < 1e-60, table["off"], parts.off), table, "off", LOSS
        )

    def test_uniform(self):
        table = tables.read("loss_uniform")
        assert table["p"].size >= 300
        self.check("uniform", table, rt.Uniform())

    def test_other_laws(self):
        for law, amplitude, table in by_law(tables.read("loss_laws")):
            self.check(law, table, amplitude)


@pytest.mark.parametrize(
    "name",
    ["optimum_uniform", "loss_uniform", pytest.param("loss_laws", marks=pytest.mark.slow)],
)
def test_tables_follow_from_the_definition(name):
    """A few rows integrated anew: the tables are not edited by hand, nor the definition since."""
    lines = (tables.DATA / f"{name}.csv").read_text().splitlines()[3:]
    inputs = len(generate.TABLES[name][2].split())
    for line in lines[:: len(lines) // 2]:
        at, results = line.split(",")[:inputs], line.split(",")[inputs:]
        assert generate.row(name, at) == results
