"""Scaling laws and phases of unequal features, against differences, limits and other functions."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.optimize import brentq

import rugtheory as rt
from rugtheory import figures
from rugtheory.cli import main
from rugtheory.figures import allocation_numbers as numbers

FEATURES = rt.Independent(rt.zipf(300, 0.05, alpha=1.2), importance=rt.geometric(300, 0.995))


class TestScaling:
    def test_exponents_are_derivatives(self):
        units, h = np.array([8.0, 30.0, 100.0]), 1e-4
        found, *near = (rt.allocation_scaling(FEATURES, units * (1 + x)) for x in (0, -h, h))
        slope = (np.log(near[1].bound) - np.log(near[0].bound)) / (2 * h)
        assert found.exponent == pytest.approx(slope, rel=1e-4)
        for k, n_dense in enumerate(units):
            one = rt.allocate(FEATURES, n_dense)
            assert found.loss[k] == pytest.approx(one.loss, rel=1e-13)
            assert found.bound[k] == pytest.approx(one.bound, rel=1e-13)
            assert found.dropped[k] == one.dropped.sum()
            assert found.alone[k] == np.sum(one.capacity == 1)
        assert np.all(found.dropped + found.superposed + found.alone == 300)

    def test_what_does_not_matter_counts(self):
        p = np.array([0.3, 0.2, 0.1])
        features = rt.Independent(np.append(p, [0.4, 0.2]), importance=[1, 1, 1, 0, 0])
        found = rt.allocation_scaling(features, [1, 2])
        assert found.dropped.tolist() == [x.dropped.sum() for x in map_allocate(features, [1, 2])]
        assert found.loss == pytest.approx([x.loss for x in map_allocate(features, [1, 2])])

    @pytest.mark.parametrize("n_dense", [3, 40, 250])
    @pytest.mark.parametrize("amplitude", [rt.Uniform(), rt.Exponential()])
    def test_law_is_a_minimum(self, n_dense, amplitude):
        """Of Σ I p Λ v (1/c - 1) over capacities, by the price that uses all hidden units."""
        features = rt.Independent(FEATURES.p, amplitude, importance=FEATURES.importance)
        p = features.p
        leading = rt.sparse_constants(p, amplitude=amplitude).leading
        square = features.importance * p * leading * features.variance

        def capacity(log_price):
            return np.minimum(1, np.sqrt(square / np.exp(log_price)))

        price = brentq(lambda x: capacity(x).sum() - n_dense, -200, 10, xtol=1e-13)
        c = capacity(price)
        loss = np.mean(square * (1 / c - 1))
        assert rt.sparse_allocation_law(features, n_dense) == pytest.approx(loss, rel=1e-9)

    def test_law_is_the_limit_of_rare_features(self):
        off = []
        for largest in (1e-2, 1e-4, 1e-6):
            features = rt.Independent(rt.zipf(300, largest, alpha=0.5))
            exact = rt.allocate(features, 100).loss
            off.append(abs(float(rt.sparse_allocation_law(features, 100)) / exact - 1))
        assert off[0] > 3 * off[1] > 9 * off[2] and off[2] < 2e-3

    @pytest.mark.parametrize("alpha", [1.5, pytest.param(2.0, marks=pytest.mark.slow), 2.5])
    def test_power_of_skewed_frequencies(self, alpha):
        """2α - 1, which logarithms in Λ lower by a tenth or two; not 2(α - 1)."""
        features = rt.Independent(rt.zipf(100_000, 1e-5, alpha=alpha))
        units = np.array([50.0, 200.0])
        loss = rt.sparse_allocation_law(features, units)
        assert -np.log(loss[1] / loss[0]) / np.log(4) == pytest.approx(2 * alpha - 1, abs=0.2)
        exponent = rt.allocation_scaling(features, units).exponent
        assert -exponent == pytest.approx(2 * alpha - 1, abs=0.2)

    def test_power_of_flat_frequencies(self):
        """1, while n_dense is far from n_sparse."""
        features = rt.Identical(100_000, 1e-9)
        exponent = rt.allocation_scaling(features, [100, 1000, 10_000]).exponent
        assert exponent == pytest.approx(-1 / (1 - np.array([1e-3, 0.01, 0.1])), rel=0.02)

    def test_refusals(self):
        with pytest.raises(ValueError, match="less than 3"):
            rt.allocation_scaling(rt.Identical(3, 0.1), [1, 3])
        with pytest.raises(ValueError, match="less than 3"):
            rt.sparse_allocation_law(rt.Identical(3, 0.1), 4)


def map_allocate(features, units):
    return [rt.allocate(features, x) for x in units]


class TestPhases:
    @pytest.mark.parametrize("amplitude", [rt.Uniform(), rt.Constant(), rt.Uniform(0.5, 1)])
    def test_chord_and_limit(self, amplitude):
        p = np.array([1e-6, 1e-3, 0.045, 0.3])
        found = rt.allocation_phases(p, amplitude=amplitude)
        critical = rt.critical_ratio(p, amplitude=amplitude)
        variance = rt.SparseSource(p, amplitude).variance
        chord = (variance - rt.optimum(p, critical, amplitude=amplitude).loss) / critical
        assert found.dropped_above == pytest.approx(chord, rel=1e-9)
        assert found.least_capacity == pytest.approx(critical, rel=1e-3)
        if amplitude == rt.Uniform():
            limit = p * rt.sparse_constants(p).leading * variance
            assert found.alone_below == pytest.approx(limit, rel=1e-4)

    def test_pairs(self):
        """Alone below the slope of the chord from ½ to 1, which is twice the loss of a pair."""
        found = rt.allocation_phases([0.045, 0.3], family="pairs")
        twice = 2 * rt.antipodal_optimum([0.045, 0.3], 0.5).loss
        assert found.alone_below == pytest.approx(twice, rel=1e-6)

    @pytest.mark.parametrize("p", [1e-3, 0.2])
    def test_one_feature_among_many(self, p):
        others = 20_000
        price = rt.allocate(rt.Identical(others, 0.045), others / 4).multiplier * others
        found = rt.allocation_phases(p)
        kept, alone = price / found.dropped_above, price / found.alone_below
        for importance, phase in (
            (0.98 * kept, "dropped"),
            (1.02 * kept, "superposed"),
            (0.98 * alone, "superposed"),
            (1.05 * alone, "alone"),
        ):
            features = rt.Independent(
                np.append(np.full(others, 0.045), p),
                importance=np.append(np.ones(others), importance),
            )
            c = rt.allocate(features, others / 4).capacity[-1]
            assert ("dropped" if c == 0 else "alone" if c == 1 else "superposed") == phase

    def test_refusals(self):
        with pytest.raises(ValueError, match="vary"):
            rt.allocation_phases([0.5, 1.0], amplitude=rt.Constant())


class TestFigures:
    def test_phases(self):
        p, importance = np.geomspace(1e-4, 0.9, 8), np.geomspace(1, 1e5, 30)
        phases = numbers.allocation_phase_diagram(p, importance)
        for k in range(p.size):
            c = phases["capacity"].values[k]
            assert np.array_equal(c > 0, importance > phases["kept_above"].values[k])
            assert np.all(np.diff(c) >= -1e-9)
        artists = figures.draw_allocation_phases(phases, Figure().add_subplot())
        shown = artists[0].get_array()
        assert np.ma.count(shown) == np.sum(phases["capacity"].values > 0)

    def test_zipf(self):
        curves = numbers.zipf_curves([0.5, 1.5], [5, 20], n_sparse=100)
        one = rt.allocate(rt.Independent(rt.zipf(100, 0.1, alpha=1.5)), 20)
        assert float(curves["loss"].sel(alpha=1.5, n_dense=20)) == pytest.approx(
            one.loss, rel=1e-13
        )
        panels = Figure().subplots(2, 1)
        figures.draw_allocation_scaling(curves, panels)
        assert np.array_equal(panels[0].lines[0].get_ydata(), curves["loss"].values[0])
        assert np.array_equal(panels[1].lines[0].get_ydata(), -curves["exponent"].values[0])

    def test_allocation(self):
        found = rt.allocate(FEATURES, 10)
        ax = Figure().add_subplot()
        figures.draw_allocation(found, FEATURES, ax)
        assert sum(line.get_xdata().size for line in ax.lines) == 300


class TestCommand:
    def test_table_and_json(self, capsys, tmp_path):
        arguments = ["allocate", "--zipf", "1.2", "--n-sparse", "50", "--n-dense", "6"]
        assert main(arguments) == 0
        printed = capsys.readouterr().out
        found = rt.allocate(rt.Independent(rt.zipf(50, 0.1, alpha=1.2)), 6)
        assert f"{found.loss:.6g}" in printed and "in superposition" in printed
        picture = tmp_path / "allocation.png"
        assert main([*arguments, "--json", "--figure", str(picture)]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["loss"] == found.loss and report["capacity"] == found.capacity.tolist()
        assert all(x is None for x, c in zip(report["sigma"], found.capacity, strict=True) if not c)
        assert picture.stat().st_size > 1000

    def test_features_file(self, capsys, tmp_path):
        path = tmp_path / "features.toml"
        FEATURES.save(path)
        arguments = ["allocate", "--features", str(path), "--n-dense", "9", "--json"]
        assert main(arguments) == 0
        assert json.loads(capsys.readouterr().out)["loss"] == rt.allocate(FEATURES, 9).loss
        for more in (["--n-sparse", "3"], ["--largest", "0.2"], ["--importance", "0.9"]):
            with pytest.raises(SystemExit, match="2"):
                main([*arguments, *more])
            assert more[0] in capsys.readouterr().err

    def test_refusals(self, capsys):
        with pytest.raises(SystemExit, match="2"):
            main(["allocate", "--zipf", "1", "--n-dense", "2"])
        assert "--n-sparse" in capsys.readouterr().err
