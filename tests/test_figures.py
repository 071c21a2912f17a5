"""Figures: the artists hold the right numbers, and nothing but the Axes given is touched."""

import contextlib
import io
from itertools import combinations, pairwise

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import optimize, stats
from scipy.linalg import hadamard

import rugtheory as rt
from rugtheory import figures
from rugtheory._files import RECORD
from rugtheory._style import styles
from rugtheory.cli import main
from rugtheory.figures import allocation_numbers, gallery, numbers
from rugtheory.figures.picture import Given
from rugtheory.figures.trained_pictures import read_trained

from .models import TRAINED, alike
from .shared import once
from .test_evidence import DATA

# Least loss of the Gaussian rug at (p, ratio), by mpmath at 60 digits from the definition.
MPMATH = {
    (0.045, 0.25): 0.0048557980886387557341,
    (0.01, 0.1): 0.00099629899422041229999,
    (0.1, 0.25): 0.016449387550054645147,
    (0.05, 0.5): 0.0019033223240018511367,
    (0.5, 1e-4): 0.10415625,
}


# A feature stored alone, a pair that shares a unit, and one that is not stored.
SMALL = (
    rt.Model([[1, 0, 0, 0], [0, 1, -1, 0]]),
    rt.Independent([0.3, 0.2, 0.1, 0.05], rt.Constant(2.0), importance=[1, 1, 0.5, 0.1]),
)


def variance(p):
    """Of a feature: E x² = p/3, E x = p/2."""
    return p / 3 - p**2 / 4


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.fixture(scope="module")
def sweep():
    """The models of two sizes, three seeds and one protocol."""
    found = read_trained(DATA / "cpu.nc")
    return found.isel(point=found["n_sparse"].values <= 256)


def few(p):
    """One in eight, and those that are looked at."""
    looked = [int(np.argmin(np.abs(p - x))) for x in (0.01, 0.045, 0.2)]
    return p[np.unique([*range(0, p.size, 8), *looked])]


@pytest.fixture(scope="session")
def run_of_all(tmp_path_factory):
    """The folder of one run of the command, what it said, and the looks in each figure.

    The map of phases has fewer p than that of a user, there are fewer models, and pictures are
    coarse: these take most of the time of all figures.
    """
    return once(tmp_path_factory, "figures", all_figures)


def all_figures(folder):
    found, said, data = {}, io.StringIO(), folder.with_suffix(".nc")
    every = xr.load_dataset(DATA / "cpu.nc")
    every.isel(point=every["n_sparse"].values <= 256).to_netcdf(data, engine="h5netcdf")

    def save(path, draw, *size):
        def drawn(figure):
            draw(figure)
            found[path.stem] = looks(figure)

        gallery_save(path, drawn, *size, dpi=60)

    gallery_save, phase_diagram = gallery.save, numbers.phase_diagram
    with contextlib.redirect_stdout(said), pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery, "save", save)
        patch.setattr(numbers, "phase_diagram", lambda p, ratio: phase_diagram(few(p), ratio))
        assert main(["figures", "--out", str(folder), "--data", str(data)]) == 0
    return folder, said.getvalue().splitlines(), found


@pytest.fixture(scope="session")
def written(run_of_all):
    return run_of_all[:2]


def look(artist):
    """Colour, marker and dashes of a line or of points with bars."""
    line = artist[0] if isinstance(artist, ErrorbarContainer) else artist
    return to_hex(line.get_color()), line.get_marker(), line.get_linestyle()


def looks(figure):
    """How what is labelled looks, in all Axes and legends: a set for each label."""
    found = {}
    for ax in figure.axes:
        for artist, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, set()).add(look(artist))
        if ax.get_legend() is not None:
            legend = ax.get_legend()
            for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
                line = handle.lines[0] if hasattr(handle, "lines") else handle
                if hasattr(line, "get_marker"):
                    found.setdefault(text.get_text(), set()).add(look(line))
    return found


@pytest.fixture(scope="session")
def phases(written):
    kept = xr.load_dataset(written[0] / "phases.nc")
    return kept.sel(p=[0.01, 0.045, 0.2], method="nearest")


@pytest.fixture(scope="session")
def gain(written):
    kept = xr.load_dataset(written[0] / "pairs.nc")
    return kept.sel(p=[0.01, 0.9], ratio=[0.5, 0.9], method="nearest")


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


class TestTheory:
    def test_curves(self, ax):
        curves = rt.loss_curves([0.01, 0.045, 0.1], [0.1, 0.25, 0.5, 1.0])
        figures.draw_curves(curves, ax)
        drawn = lines(ax)
        for (p, ratio), loss in MPMATH.items():
            if p in curves.p and ratio in curves.ratio:
                x, y = drawn[f"p = {p:.3g}"].get_data()
                assert y[x == ratio] * variance(p) == pytest.approx(loss, rel=1e-12)
        x, y = drawn["linear model, any p"].get_data()
        np.testing.assert_array_equal(x, [0.1, 0.25, 0.5])  # at ratio 1 nothing is lost
        np.testing.assert_allclose(y, 1 - x, rtol=1e-13)

    def test_simulated_points_and_their_bars(self, ax):
        curves = rt.simulated_curves(rt.loss_curves([0.2], [0.25, 0.5]), 20, n_sparse=64)
        artists = figures.draw_curves(curves, ax)
        (bars,) = (x for x in artists if isinstance(x, ErrorbarContainer))
        loss, error = (curves[k].values[0] for k in ("simulated_loss", "standard_error"))
        np.testing.assert_allclose(bars[0].get_ydata(), loss / variance(0.2))
        ends = np.array(bars[2][0].get_segments())[:, :, 1] * variance(0.2)
        np.testing.assert_allclose(ends, np.stack([loss - 2 * error, loss + 2 * error], axis=1))

    def test_every_curve_has_a_colour_of_its_own(self, ax):
        curves = rt.loss_curves(np.geomspace(1e-3, 0.5, 12), [0.2, 0.5])
        figures.draw_curves(curves, ax)
        drawn = [str(x.get_color()) for name, x in lines(ax).items() if name.startswith("p =")]
        assert len(drawn) == len(set(drawn)) == 12

    def test_lines_at_more_ratios_and_losses_of_a_size(self, ax):
        curves = rt.finite_curves(rt.loss_curves([0.2], [0.25, 0.5]), 2, n_sparse=16)
        many = rt.loss_curves([0.2], np.linspace(0.25, 0.5, 9))
        figures.draw_curves(curves, ax, lines=many)
        (line,) = (x for name, x in lines(ax).items() if name == "p = 0.2")
        np.testing.assert_allclose(line.get_ydata(), many.loss.values[0] / variance(0.2))
        (dotted,) = (x for x in ax.get_lines() if x.get_linestyle() == ":")
        np.testing.assert_allclose(dotted.get_ydata(), curves.finite_loss.values[0] / variance(0.2))

    def test_maps_of_values_of_many_sizes_have_a_log_scale(self, ax):
        image, *_ = figures.draw_map([0.1, 0.1], [0.2, 0.5], [1e-4, 1.0], ax, log=True)
        assert image.norm(1e-2) == pytest.approx(0.5)

    def test_grid(self, ax):
        p, ratio = [0.01, 0.045, 0.1], [0.1, 0.25]
        mesh, *_ = figures.draw_grid(rt.loss_curves(p, ratio), ax)
        shown = np.asarray(mesh.get_array()).reshape(3, 2)
        for (q, r), loss in MPMATH.items():
            if q in p and r in ratio:
                at = shown[p.index(q), ratio.index(r)]
                assert at * variance(q) == pytest.approx(loss, rel=1e-12)

    def test_decoders(self, ax):
        table = rt.decoder_table([0.045, 0.1], [0.25])
        figures.draw_decoders(table.sel(ratio=0.25), ax)
        drawn = {name: line.get_ydata() for name, line in lines(ax).items()}
        over = np.array([variance(p) * 0.75 / MPMATH[p, 0.25] for p in (0.045, 0.1)])
        np.testing.assert_allclose(drawn["linear"] / drawn["ReLU"], over, rtol=1e-9)
        # The least elementwise losses, by quadrature in another program.
        bayes = np.array([0.004480, 0.015921])
        relu = np.array([MPMATH[p, 0.25] for p in (0.045, 0.1)])
        np.testing.assert_allclose(drawn["ReLU"], relu / bayes, rtol=2e-4)

    def test_scaling(self):
        panels = Figure().subplots(2, 1)
        curves = numbers.scaling_curves([0.01, 0.045, 0.1], [0.1, 0.25, 0.25])
        figures.draw_scaling(curves, "p", panels)
        exact = np.array([MPMATH[0.01, 0.1], MPMATH[0.045, 0.25], MPMATH[0.1, 0.25]])
        p, ratio = curves.p.values, curves.ratio.values
        upper = lines(panels[0])
        np.testing.assert_allclose(upper["exact"].get_ydata(), exact, rtol=1e-12)
        linear = variance(p) * (1 - ratio)
        np.testing.assert_allclose(upper["linear, v(1 - r)"].get_ydata(), linear, rtol=1e-13)
        # Λ to 8 digits, by minimising its definition elsewhere.
        known = np.array([2.51943314, 2.00737614, 1.75438618])
        sparse = p * variance(p) * (1 / ratio - 1) * known
        np.testing.assert_allclose(upper["p σ² Λ"].get_ydata(), sparse, rtol=1e-8)
        residuals = [line.get_ydata() for line in panels[1].get_lines()[:2]]
        for drawn, law in zip(residuals, (linear, sparse), strict=True):
            np.testing.assert_allclose(drawn, np.abs(law / exact - 1), rtol=1e-6)

    def test_regimes_change_where_the_law_is_off_by_a_tenth(self, ax, phases):
        p, ratio = phases.p.values[0], phases.ratio.values
        mesh, *_ = figures.draw_phases(phases, ax)
        codes = np.asarray(mesh.get_array()).reshape(3, -1)[0]

        def excess(log_ratio):
            r = np.exp(log_ratio)
            return variance(p) * (1 - r) / float(rt.optimum(p, r).loss) - 1.1

        edge = np.exp(optimize.brentq(excess, np.log(p / 10), np.log(10 * p)))
        k = np.searchsorted(ratio, edge)
        assert codes[:k].max() == 0 and codes[k] > 0
        assert codes[-1] == 2 and np.all(np.diff(codes) >= 0)

    def test_left_of_the_black_line_features_are_dropped(self, ax, phases):
        figures.draw_phases(phases, ax)
        critical, p = ax.get_lines()[0].get_data()
        np.testing.assert_allclose(p, [0.01, 0.045, 0.2], rtol=0.05)
        for q, r in zip(p, critical, strict=True):
            slopes = (rt.optimum(q, r * np.array([0.97, 1, 1.03])).loss - variance(q)) / (
                r * np.array([0.97, 1, 1.03])
            )
            assert slopes[1] < slopes[0] and slopes[1] < slopes[2]  # the chord is steepest there

    def test_pairs_and_rug_lose_the_same_on_the_line(self, ax, gain):
        mesh, *_ = figures.draw_pairs(gain, ax)
        (drawn,) = ax.get_lines()
        np.testing.assert_allclose(drawn.get_xdata(), [0.5, 0.9], atol=0.05)
        for r, p in zip(*drawn.get_data(), strict=True):
            assert least(rt.antipodal_loss, p - 0.01, r) < least(rt.reduced_loss, p - 0.01, r)
            assert least(rt.antipodal_loss, p + 0.01, r) > least(rt.reduced_loss, p + 0.01, r)
            crossing = optimize.bisect(
                lambda q, r=r: float(rt.antipodal_optimum(q, r).loss / rt.optimum(q, r).loss) - 1,
                p - 1e-3,
                p + 1e-3,
                xtol=2e-5,
            )
            assert p == pytest.approx(crossing, abs=4e-5)
        shown = np.asarray(mesh.get_array()).reshape(2, 2)
        # At ratio ½ pairs lose at most p²/6.
        (p, _), ratio = gain.p.values, gain.ratio.values[0]
        assert ratio == 0.5
        most = p**2 / 6 / float(rt.optimum(p, 0.5).loss)
        assert 0.98 * most < shown[0, 0] < most

    def test_dark_matter(self, ax):
        """Against a simulated rug, which is off by about 1/n_sparse."""
        dark = numbers.dark_matter(0.1, 0.25, [0.0, 0.5, 1.0])
        nonlinear, linear, *_ = figures.draw_dark_matter(dark.squeeze("ratio"), "fraction", ax)
        np.testing.assert_array_equal(nonlinear.get_xdata(), [0, 0.5, 1])
        assert nonlinear.get_ydata()[0] == pytest.approx(0, abs=1e-15)  # no code: h is its error
        assert linear.get_ydata()[0] == pytest.approx(1)
        rug = rt.hadamard_rug(1024, 256, seed=0)
        best = rt.optimum(0.1, 0.25)
        a, b = float(best.a), rug.bias(float(best.b), float(best.a), 0.1)
        x = rt.SparseSource(0.1).sample((8000, 1024), seed=1)
        hidden = rug.encode(x)
        error = hidden - rug.encode(rug.decode(hidden, a, b))
        hidden, error = (z - z.mean(axis=0) for z in (hidden, error))
        # By symmetry the best prediction is the same multiple of each hidden unit.
        slope = np.sum(hidden * error) / np.sum(hidden**2)
        rest = np.sum((error - slope * hidden) ** 2) / np.sum(hidden**2)
        assert nonlinear.get_ydata()[2] == pytest.approx(rest, rel=0.02)
        assert linear.get_ydata()[2] == pytest.approx(slope**2, rel=0.2)

    def test_bad_ratio_of_pairs(self):
        with pytest.raises(ValueError, match=r"ratio must lie in \[0.05, 0.999\], got 0.01"):
            numbers.pair_boundary([0.01, 0.5])


def least(loss, p, ratio):
    """The least of a loss over a and b, by a general search; above ratio ½ some are alone."""
    pairs = loss is rt.antipodal_loss
    r = min(ratio, 0.5) if pairs else ratio
    sigma = np.sqrt(variance(p) * max(1 / r - (2 if pairs else 1), 0))
    found = optimize.minimize(
        lambda x: float(loss(*x, sigma, p)), (0.5, 0.05), method="Nelder-Mead", tol=1e-9
    )
    return found.fun * (min(1, 2 * (1 - ratio)) if pairs else 1)


class TestWeights:
    def test_rug(self, ax):
        rug = rt.hadamard_rug(16, 5, seed=0)
        rows = hadamard(16)[rug.rows]
        image, *_ = figures.draw_rug(rug, ax)
        np.testing.assert_allclose(image.get_array(), rows.T @ rows / 5, atol=1e-15)

    def test_corner(self, ax):
        w = np.arange(9.0).reshape(3, 3)
        image, *_ = figures.draw_corner(w, [-1, -2, -10], ax)
        shown = np.ma.filled(image.get_array(), np.nan)
        np.testing.assert_array_equal(shown[:, :3], w)
        assert np.isnan(shown[:, 3]).all()
        np.testing.assert_array_equal(shown[:, 4], [-1, -2, -10])
        assert image.get_clim() == (-10, 10)

    def test_row_law(self, ax):
        """Against samples, of a row with a partner in a trained model."""
        model = rt.read_weights(TRAINED["trained_512_128"])
        weights = np.delete(model.w_out[0] @ model.w_in, 0)
        law = numbers.row_law(rt.RowChannel.of(weights, 0.045))
        stairs, gaussian, *_ = figures.draw_row_law(law, ax)
        values, edges, _ = stairs.get_data()
        n = 20_000
        z = rt.SparseSource(0.045).sample((n, weights.size), seed=0) @ weights
        spread = np.sqrt(variance(0.045) * np.sum(weights**2))
        z = (z - 0.045 / 2 * weights.sum()) / spread
        expected = values * np.diff(edges) * n
        often = expected > 20
        counts = np.histogram(z, edges)[0][often]
        assert often.sum() > 40
        assert np.all(np.abs(counts - expected[often]) < 4 * np.sqrt(expected[often]))
        normal = stats.norm.cdf(edges[1:]) - stats.norm.cdf(edges[:-1])
        np.testing.assert_allclose(gaussian.get_ydata() * np.diff(edges), normal, rtol=1e-9)

    def test_lyapunov(self, ax):
        statistics = numbers.lyapunov_of_rugs([64, 4096], [0.25], repeats=3, seed=7)
        line, _, bars, *_ = figures.draw_lyapunov(statistics, ax)
        generator, values = np.random.default_rng(7), []
        for _ in range(3):
            row = rt.hadamard_rug(64, 16, seed=generator).matrix()[0, 1:]
            values.append(np.sum(np.abs(row) ** 3) / np.sum(row**2) ** 1.5)
        assert bars[0].get_ydata()[0] == pytest.approx(np.median(values), rel=1e-12)
        ends = np.array(bars[2][0].get_segments())[0, :, 1]
        np.testing.assert_allclose(ends, [min(values), max(values)])
        # Third absolute moment of a Gaussian.
        moment = stats.norm.expect(lambda g: abs(g) ** 3)
        np.testing.assert_allclose(line.get_ydata(), moment / np.sqrt([64, 4096]), rtol=1e-6)
        assert bars[0].get_ydata()[1] == pytest.approx(line.get_ydata()[1], rel=0.02)

    def test_diagonal(self, ax):
        rug = rt.hadamard_rug(8, 5, seed=0)
        bias = np.linspace(-1, -0.5, 8)
        figures.draw_diagonal(
            rt.statistics(*alike(rug.w_in, rug.w_out(1.3), bias, 0.1), rows=1), ax
        )
        diagonal, _, drawn, *_ = (line.get_ydata() for line in ax.get_lines())
        np.testing.assert_allclose(diagonal, 1.3, rtol=1e-13)
        np.testing.assert_array_equal(drawn, bias)

    def test_waterfall_falls_from_the_model_to_the_best(self, ax):
        terms = {"dropped features": -0.1, "structure": 0.4}
        verdict = rt.Verdict(1.0, 0.0, 0.0, terms, 1.1, 0.7, "antipodal", 0, 8)
        figures.draw_waterfall(verdict, ax)
        model, dropped, structure, best = ax.patches
        assert (model.get_x(), model.get_width()) == (0, 1.0)
        assert dropped.get_x() == 1.0 and dropped.get_width() == pytest.approx(0.1)
        end = structure.get_x() + structure.get_width()
        assert end == pytest.approx(best.get_width()) == pytest.approx(0.7)
        # Numbers are the terms, as in text and JSON: positive goes down, to the left.
        told = [text.get_text().strip() for text in ax.texts][:4]
        assert told == ["1", "-0.1", "+0.4", "0.7"]


class TestTrained:
    def test_losses(self, ax, sweep):
        theory = numbers.theory_beside([0.045, 0.1], [0.25, 0.5])
        artists = figures.draw_trained(sweep, theory, 0.045, ax)
        np.testing.assert_allclose(lines(ax)["linear"].get_ydata(), [0.75, 0.5], rtol=1e-13)
        rug = lines(ax)["Gaussian rug"].get_ydata()[0] * variance(0.045)
        assert rug == pytest.approx(MPMATH[0.045, 0.25], rel=1e-12)
        small, _ = (x for x in artists if isinstance(x, ErrorbarContainer))
        x, y = small[0].get_data()
        at = (sweep.p == 0.045) & (sweep.n_sparse == 128) & (sweep.ratio == 0.5)
        seeds = sweep["loss"].values[at.values]
        assert seeds.size == 3
        assert y[x == 0.5] * variance(0.045) == pytest.approx(seeds.mean(), rel=1e-12)
        low, high = np.array(small[2][0].get_segments())[x == 0.5][0, :, 1]
        error = seeds.std(ddof=1) / np.sqrt(3)
        assert (high - low) * variance(0.045) == pytest.approx(4 * error, rel=1e-9)
        best = lines(ax)["best known (limit)"]
        (shown,) = best.get_ydata()[best.get_xdata() == 0.5]
        known = float(sweep["best_known"].values[at.values][0])
        assert shown * variance(0.045) == pytest.approx(known, rel=1e-12)

    def test_map_averages_seeds_and_leaves_gaps(self, ax):
        p, ratio = [0.1, 0.1, 0.2, 0.1], [0.5, 0.5, 0.5, 0.25]
        image, *texts, _ = figures.draw_map(p, ratio, [1.0, 3.0, 5.0, 7.0], ax, label="x")
        shown = np.ma.filled(image.get_array(), np.nan)
        np.testing.assert_array_equal(shown, [[7, 2], [np.nan, 5]])  # rows p, columns ratio
        assert image.origin == "lower"
        assert [text.get_text() for text in texts] == ["7", "2", "5"]
        assert [t.get_text() for t in ax.get_xticklabels()] == ["0.25", "0.5"]
        assert [t.get_text() for t in ax.get_yticklabels()] == ["0.1", "0.2"]

    def test_signed_map_is_white_at_zero(self, ax):
        image, *_ = figures.draw_map([0.1, 0.2], [0.5, 0.5], [-3.0, 1.0], ax, signed=True)
        assert image.get_clim() == (-3, 3)

    def test_large_map_has_few_labels(self, ax):
        p, ratio = (x.ravel() for x in np.meshgrid(np.arange(1, 21) / 20, np.arange(1, 21) / 20))
        image, *rest = figures.draw_map(p, ratio, p * ratio, ax)
        assert image.get_array().shape == (20, 20) and len(rest) == 1  # the colour bar
        assert len(ax.get_xticks()) <= 8

    def test_paths(self):
        panels = Figure().subplots(2, 1)
        bars, *_ = figures.draw_paths([path()], panels)
        steps, losses = bars[0].get_data()
        np.testing.assert_array_equal(steps, [10, 100])
        np.testing.assert_allclose(losses, [1.5, 0.9])
        (bound,) = {y for line in panels[1].get_lines()[1:] for y in line.get_ydata()}
        # Least skewness, -k₃/σ³ with k₃ = p/4 - p²/2 + p³/4 and σ² = 3v at ratio ¼.
        third = 0.1 / 4 - 0.1**2 / 2 + 0.1**3 / 4
        assert bound == pytest.approx(-third / (3 * variance(0.1)) ** 1.5, rel=1e-12)


class TestFeatures:
    """Of four features with amplitude 2: alone, an opposite pair, dropped."""

    def test_losses(self, ax):
        model, features = SMALL
        *_, bars = figures.draw_losses(rt.exact_loss(model, features), features, ax)
        p, shown = bars[0].get_data()
        assert p.tolist() == [0.3, 0.2, 0.1, 0.05]
        # Of a pair all is lost that is on with the other; 4p of what is not stored, v is 4p(1 - p).
        both = 4 * 0.2 * 0.1
        expected = [0, both / (4 * 0.16), both / (4 * 0.09), 1 / 0.95]
        assert shown == pytest.approx(expected, abs=1e-9)
        some = rt.exact_loss(model, features, rows=[3])
        with pytest.raises(ValueError, match="at least 4, got 2"):
            figures.draw_losses(some, rt.Identical(2, 0.1), ax)

    def test_capacity(self, ax):
        _, alive, dead = figures.draw_capacity(rt.statistics(*SMALL, rows=1), ax)
        assert dead.get_xdata() == [0.05] and dead.get_ydata() == [0]
        # v_i/(v_i + v_j): the pair shares one unit.
        first, second = 0.16, 0.09
        share = [1, first / (first + second), second / (first + second)]
        assert alive.get_ydata() == pytest.approx(share)
        assert ax.get_title().startswith("Capacity, 2 in all of 2")

    def test_spectrum(self, ax):
        image, *_ = figures.draw_spectrum(rt.frame_spectrum(SMALL[0]), ax)
        # λ = 2 of the pair, 1 of what is alone.
        assert np.allclose(image.get_array(), [[0, 1], [1, 0], [1, 0], [0, 0]])
        assert [x.get_text() for x in ax.get_xticklabels()] == ["2", "1"]


def path():
    return xr.Dataset(
        {
            "loss": ("step", [0.03, 0.018]),
            "standard_error": ("step", [0.001, 0.001]),
            "row_skewness": ("step", [0.0, -0.1]),
        },
        {"step": [10, 100]},
        {"n_sparse": 64, "n_dense": 16, "p": 0.1, "rug": 0.02, "antipodal": 0.016, "paper_stop": 0},
    )


TWO_PANELS = ("draw_allocation_scaling", "draw_paths", "draw_scaling")


def everything(sweep, phases, gain):
    """Each function with something to draw, on one or two Axes."""
    curves = rt.loss_curves([0.01, 0.1], [0.1, 0.25])
    rug = rt.hadamard_rug(8, 5, seed=0)
    found = rt.statistics(*alike(rug.w_in, rug.w_out(), np.zeros(8), 0.1), rows=1)
    terms = {"dropped features": 0.1, "structure": -0.2}
    verdict = rt.Verdict(1.0, 0.0, 0.0, terms, 1.1, 0.9, "antipodal", 0, 8)
    theory = numbers.theory_beside([0.045], [0.25, 0.5])
    scaling = numbers.scaling_curves([0.01, 0.1], 0.5)
    unequal = rt.Independent(rt.zipf(9, 0.2))
    shares = allocation_numbers.allocation_phase_diagram([0.01, 0.1], [1.0, 1e3])
    zipf = allocation_numbers.zipf_curves([1.5], [2, 4], n_sparse=9)
    points = xr.Dataset(
        {"p": ("point", [0.1]), "ratio": ("point", [0.25]), "loss": ("point", [0.012])}
    ).assign(kind=("point", ["exact minimum"]))
    model, laws = SMALL
    return {
        "draw_allocation": lambda ax: figures.draw_allocation(rt.allocate(unequal, 3), unequal, ax),
        "draw_allocation_phases": lambda ax: figures.draw_allocation_phases(shares, ax),
        "draw_allocation_scaling": lambda axes: figures.draw_allocation_scaling(zipf, axes),
        "draw_capacity": lambda ax: figures.draw_capacity(rt.statistics(*SMALL, rows=1), ax),
        "draw_losses": lambda ax: figures.draw_losses(rt.exact_loss(*SMALL), laws, ax),
        "draw_spectrum": lambda ax: figures.draw_spectrum(rt.frame_spectrum(model), ax),
        "draw_corner": lambda ax: figures.draw_corner(rug.matrix(), np.zeros(8), ax),
        "draw_curves": lambda ax: figures.draw_curves(curves, ax),
        "draw_dark_matter": lambda ax: figures.draw_dark_matter(
            numbers.dark_matter([0.01, 0.1], [0.25, 0.5], 1.0).squeeze("fraction"), "ratio", ax
        ),
        "draw_decoders": lambda ax: figures.draw_decoders(
            rt.decoder_table([0.01, 0.1], [0.5]).sel(ratio=0.5), ax
        ),
        "draw_descent": lambda ax: figures.draw_descent([3.0, 2.0, 1.9], {"rug": 2.5}, ax),
        "draw_diagonal": lambda ax: figures.draw_diagonal(found, ax),
        "draw_grid": lambda ax: figures.draw_grid(curves, ax),
        "draw_lyapunov": lambda ax: figures.draw_lyapunov(
            numbers.lyapunov_of_rugs([16, 32], [0.25, 0.5]), ax
        ),
        "draw_map": lambda ax: figures.draw_map(sweep.p, sweep.ratio, sweep["loss"], ax),
        "draw_pairs": lambda ax: figures.draw_pairs(gain, ax),
        "draw_paths": lambda axes: figures.draw_paths([path()], axes),
        "draw_phases": lambda ax: figures.draw_phases(phases, ax),
        "draw_reachable": lambda ax: figures.draw_reachable(
            numbers.reachable([0.1], [0.25, 0.5]), 0.1, ax, points=points
        ),
        "draw_row_law": lambda ax: figures.draw_row_law(
            numbers.row_law(rt.RowChannel.of(rug.phi[1:], 0.1)), ax
        ),
        "draw_rug": lambda ax: figures.draw_rug(rug, ax),
        "draw_scaling": lambda axes: figures.draw_scaling(scaling, "p", axes),
        "draw_trained": lambda ax: figures.draw_trained(sweep, theory, 0.045, ax),
        "draw_waterfall": lambda ax: figures.draw_waterfall(verdict, ax),
    }


def test_only_the_axes_given_are_drawn_on(sweep, phases, gain):
    functions = everything(sweep, phases, gain)
    assert sorted(functions) == sorted(figures.__all__)
    settings = dict(matplotlib.rcParams)
    for name, draw in functions.items():
        panels = 2 if name in TWO_PANELS else 1
        figure = Figure()
        axes = figure.subplots(panels)
        artists = draw(axes)
        assert isinstance(artists, list) and len(artists) > 1
        for ax in np.ravel(axes):
            assert ax.has_data() and (ax.get_xlabel() or panels > 1)
        for artist in artists:
            for part in artist if isinstance(artist, ErrorbarContainer) else [artist]:
                for leaf in part if isinstance(part, tuple) else [part]:
                    home = leaf.ax.figure if hasattr(leaf, "mappable") else leaf.figure
                    assert leaf is None or home is figure, name
        figure.draw_without_rendering()
    assert dict(matplotlib.rcParams) == settings
    assert plt.get_fignums() == []


@pytest.mark.parametrize("width", [4.5, pytest.param(6.0, marks=pytest.mark.slow)])
def test_texts_do_not_touch(sweep, written, width):
    """Neither numbers below axes nor texts inside, in panels as small as those of `weights`."""
    whole = (xr.load_dataset(written[0] / f"{name}.nc") for name in ("phases", "pairs"))
    functions = everything(sweep, *whole)
    terms = {"variance above the Welch bound": 0.012}
    verdict = rt.Verdict(0.0153, 0, 0, terms, 0.0058, 0.0033, "Higman-Sims and M22", 0, 8)
    functions["draw_waterfall"] = lambda ax: figures.draw_waterfall(verdict, ax)
    for name, draw in functions.items():
        panels = 2 if name in TWO_PANELS else 1
        figure = Figure(figsize=(width, 4.6 * panels), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure.subplots(panels))
        figure.draw_without_rendering()
        for ax in figure.axes:
            low, high = sorted(ax.get_xlim())
            inside = [x for x in ax.xaxis.get_major_ticks() if low <= x.get_loc() <= high]
            boxes = [x.label1.get_window_extent() for x in inside if x.label1.get_text()]
            boxes.sort(key=lambda box: box.x0)
            for one, other in pairwise(boxes):
                assert one.x1 + 4 < other.x0, name
            texts = [x for x in ax.texts if x.get_text() and x.get_visible()]
            for one, other in combinations(texts, 2):
                boxes = [Text.get_window_extent(x) for x in (one, other)]
                assert not boxes[0].overlaps(boxes[1]), (name, one.get_text(), other.get_text())


def test_without_axes_the_current_ones_are_taken():
    try:
        current = plt.figure().add_subplot()
        image, *_ = figures.draw_rug(rt.hadamard_rug(8, 3, seed=0))
        assert image.axes is current
    finally:
        plt.close("all")


@pytest.mark.slow
def test_a_label_looks_the_same_everywhere_in_a_figure(run_of_all, sweep):
    """In all figures of the command, and no two labels look the same."""
    found = run_of_all[2]
    assert set(found) == set(gallery.THEORY | gallery.TRAINED)
    for name, labels in found.items():
        for label, some in labels.items():
            assert len({(colour, dashes) for colour, _, dashes in some}) == 1, (name, label, some)
        colours = [min(some) for some in labels.values()]
        assert len(set(colours)) == len(colours), (name, labels)
    sizes = np.unique(sweep["n_sparse"])
    trained = {label for label in found["fig2_trained"] if label.startswith("trained")}
    assert trained == {rf"trained, $n_\mathrm{{sparse}}$ = {n}" for n in sizes}


def test_the_legend_of_trained_models_names_all_sizes(sweep):
    """Also those that its own Axes lack; points of one protocol keep their colours."""
    large = sweep.isel(point=sweep["n_sparse"].values == 256)
    both = xr.concat([large.assign(protocol=("point", ["paper"] * 48)), sweep], "point")
    figure = Figure()
    gallery.TRAINED["fig2_trained"](Given(trained=both)).draw(figure)
    legends = [ax.get_legend() for ax in figure.axes if ax.get_legend() is not None]
    (texts,) = [[text.get_text() for text in legend.get_texts()] for legend in legends]
    assert sum(text.startswith("trained") for text in texts) == 2
    found = looks(figure)
    assert all(len({colour for colour, *_ in some}) == 1 for some in found.values())


def test_styles():
    """Of 49 keys no two look the same, and the order in which they are given does not matter."""
    keys = list(range(49))
    found = styles(keys)
    assert len(set(found.values())) == 49 and styles(keys[::-1] + keys) == found


def test_more_series_than_colours_are_all_drawn():
    many = [path().assign_attrs(n_sparse=32 * 2**k) for k in range(9)]
    panels = Figure().subplots(2, 1)
    artists = figures.draw_paths(many, panels)
    assert sum(isinstance(x, ErrorbarContainer) for x in artists) == 9
    for draw, data in (
        (
            lambda ax, data: figures.draw_dark_matter(data, "ratio", ax),
            numbers.dark_matter(np.linspace(0.1, 0.5, 9), [0.25, 0.5], 1.0).squeeze("fraction"),
        ),
        (
            lambda ax, data: figures.draw_lyapunov(data, ax),
            numbers.lyapunov_of_rugs([16, 32], np.linspace(0.1, 0.9, 9)),
        ),
    ):
        ax = Figure().add_subplot()
        draw(ax, data)
        assert len(ax.get_legend_handles_labels()[1]) == 9


def test_a_size_without_a_look(ax, sweep):
    theory = numbers.theory_beside([0.045], [0.25, 0.5])
    with pytest.raises(ValueError, match="sizes must hold every n_sparse of points, got none for"):
        figures.draw_trained(sweep, theory, 0.045, ax, sizes=[128])


class TestCommand:
    def test_writes_all(self, written):
        folder, said = written
        names = [*gallery.THEORY, *gallery.TRAINED]
        assert {x.name for x in folder.iterdir()} == {
            RECORD,
            *(f"{name}.{suffix}" for name in names for suffix in ("png", "nc")),
        }
        for name in names:
            picture = plt.imread(folder / f"{name}.png")[..., :3]
            assert picture.min() < 0.5 < picture.max() and picture.std() > 0.05
        assert [line.split()[1].rsplit("/", 1)[1] for line in said] == [f"{x}.png" for x in names]
        with xr.open_dataset(folder / "scaling.nc") as kept:
            curve = kept.isel(curve=1)  # ratio ½
            expected = rt.optimum(curve.p.values, 0.5).loss
            np.testing.assert_allclose(curve.exact.values, expected, rtol=1e-12)
            assert kept.attrs["rugtheory"] == rt.__version__
        with xr.open_dataset(folder / "fig3_weights.nc") as kept:
            pairs = kept.W.sel(model=next(m for m in kept.model.values if "antipodal" in m))
            np.testing.assert_allclose(pairs.values[0, 1], -pairs.values[0, 0], rtol=1e-12)

    def test_weights_given_are_beside_the_rugs(self, tmp_path, capsys):
        file = TRAINED["trained_512_256"]
        arguments = ["figures", "--out", str(tmp_path), "--only", "fig3_weights"]
        assert main([*arguments, "--weights", str(file), "--format", "svg"]) == 0
        assert (tmp_path / "fig3_weights.svg").read_text().rstrip().endswith("</svg>")
        model = rt.read_weights(file)
        with xr.open_dataset(tmp_path / "fig3_weights.nc") as kept:
            w = kept.W.sel(model="trained model, 512 features, 256 hidden units")
            np.testing.assert_allclose(w, (model.w_out @ model.w_in)[:30, :30], rtol=1e-12)

    def test_small_weights(self, tmp_path):
        """Fewer features than the corner shows, and no power of two."""
        generator = np.random.default_rng(0)
        w, b = generator.normal(size=(6, 20)), np.full(20, -0.1)
        np.savez(tmp_path / "small.npz", W_in=w, W_out=w.T, b=b)
        arguments = ["figures", "--out", str(tmp_path), "--weights", str(tmp_path / "small.npz")]
        assert main([*arguments, "--only", "fig3_weights", "--p", "0.2"]) == 0
        with xr.open_dataset(tmp_path / "fig3_weights.nc") as kept:
            found = kept.W.sel(model="trained model, 20 features, 6 hidden units")
            np.testing.assert_allclose(found, w.T @ w, rtol=1e-12)

    def test_weights_without_interference(self, tmp_path, capsys):
        np.savez(tmp_path / "one.npz", W_in=np.eye(4)[:3], W_out=np.eye(4)[:, :3], b=np.zeros(4))
        arguments = ["figures", "--out", str(tmp_path), "--weights", str(tmp_path / "one.npz")]
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--only", "row_law"])
        assert stop.value.code == 2
        assert "interference that varies" in capsys.readouterr().err

    def test_sizes_that_only_some_protocols_have(self, tmp_path, sweep):
        other = sweep.isel(point=sweep["n_sparse"].values == 128)
        both = xr.concat([sweep, other.assign(protocol=("point", ["paper"] * 48))], "point")
        picture = gallery.TRAINED["fig4_diagonal"](Given(trained=both))
        figure = Figure()
        picture.draw(figure)
        panels = [ax for ax in figure.axes if ax.images]
        assert len(panels) == 3 and sum(not ax.axison for ax in figure.axes) == 1

    def test_without_data_what_is_left_out_is_said(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(gallery, "THEORY", {"fig1_rug": gallery.THEORY["fig1_rug"]})
        assert main(["figures", "--out", str(tmp_path), "--format", "pdf"]) == 0
        assert {x.name for x in tmp_path.iterdir()} == {"fig1_rug.pdf", "fig1_rug.nc", RECORD}
        assert (tmp_path / "fig1_rug.pdf").read_bytes().startswith(b"%PDF")
        assert "left out, for want of --data: fig2_trained, fig4" in capsys.readouterr().out

    def test_what_is_drawn_is_kept_when_a_later_one_fails(self, tmp_path, monkeypatch):
        def fails(given):
            raise KeyboardInterrupt

        monkeypatch.setitem(gallery.THEORY, "phases", fails)
        arguments = ["figures", "--out", str(tmp_path), "--only", "fig1_rug", "phases"]
        assert main(arguments) == 130
        assert {x.name for x in tmp_path.iterdir()} == {"fig1_rug.png", "fig1_rug.nc", RECORD}

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--only", "fig9"], "only must name figures among fig1_rug, fig2_curves"),
            (["--only", "fig4_diagonal"], "fig4_diagonal shows trained models: give their file"),
            (["--data", "{tmp}/none.nc"], "none.nc"),
            (["--data", "{tmp}/other.nc"], "other.nc holds no trained models: it lacks Lyapunov"),
            (["--data", "{tmp}/broken.nc"], "broken.nc"),
            (["--p", "0", "--only", "row_law"], "p must lie in (0, 1], got 0.0"),
            (["--format", "gif"], "invalid choice: 'gif'"),
        ],
    )
    def test_bad_input(self, arguments, message, tmp_path, capsys):
        xr.Dataset({"p": ("point", [0.1])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
        (tmp_path / "broken.nc").write_bytes(b"no netCDF")
        out = tmp_path / "out"
        with pytest.raises(SystemExit) as stop:
            main(["figures", "--out", str(out), *(x.format(tmp=tmp_path) for x in arguments)])
        assert stop.value.code == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1 and message in said[0]
        assert not out.exists()
