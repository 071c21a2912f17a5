"""Which rows a report is of, what their number costs, and decoders at the edge of what has scores.

Truth is planted, or numpy.linalg.lstsq on the rows kept.
"""

import numpy as np
import pytest

from rugtheory import darkmatter
from rugtheory.darkmatter.report import groups
from rugtheory.darkmatter.report.dropped import positions

ROWS, D, CONTEXT, WIDTH = 6000, 10, 200, 20
rng = np.random.default_rng(0)
FEATURES = rng.normal(size=(30, D))
FEATURES /= np.linalg.norm(FEATURES, axis=1, keepdims=True)


def planted(rows=ROWS, seed=1):
    generator = np.random.default_rng(seed)
    on = generator.random((rows, 30)) < 0.1
    return (generator.exponential(size=on.shape) * on) @ FEATURES


def coder(architecture="topk", w_dec=None, **more):
    known = FEATURES[:WIDTH]
    if architecture == "topk":
        more.setdefault("k", 2)
    w_dec = known if w_dec is None else w_dec
    return darkmatter.SAE(architecture, known.T, np.zeros(WIDTH), w_dec, np.zeros(D), **more)


def report(x, saes, out, **more):
    return darkmatter.write_report(x, saes, out, **{"bootstrap": 20, **more})


def value(record, name):
    return record[name]["value"]


# First tokens of contexts, a few hundred times as long as others.
CONTEXTS = np.arange(ROWS) // CONTEXT
FIRST = np.arange(ROWS) % CONTEXT == 0
TOKENS = np.where(FIRST, 7, 1 + np.arange(ROWS) % 5)
HUGE = planted() + np.where(FIRST, 400.0, 0.0)[:, None] * np.linspace(0.5, 1.5, D)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    out, saes = tmp_path_factory.mktemp("huge"), {"a": coder()}
    return (
        report(HUGE, saes, out / "huge", contexts=CONTEXTS),
        report(HUGE, saes, out / "kept", contexts=CONTEXTS, drop_first=1),
    )


class TestHugeRows:
    def test_it_is_said(self, told):
        huge, kept = told
        assert huge["about"]["variance_of_farthest_rows"] > 0.5 and len(huge["warnings"]) == 1
        assert "1 % of the rows have" in huge["warnings"][0]
        assert "**Note.** 1 % of the rows" in darkmatter.tables(huge)
        assert kept["warnings"] == [] and kept["about"]["rows_dropped"] == ROWS // CONTEXT

    def test_with_and_without(self, told):
        """What is told of the other rows when all are kept, and of all when some are dropped."""
        (huge,), (kept,) = (found["saes"] for found in told)
        for name in ("fvu", "fvu_nl", "r2"):
            assert value(kept["other_rows"], name) == pytest.approx(value(huge, name), rel=1e-9)
            # Half a percent of all other rows are left out too.
            assert value(huge["other_rows"], name) == pytest.approx(value(kept, name), rel=0.05)
        assert value(huge, "fvu_nl") < 0.01 < 0.1 < value(kept, "fvu_nl")

    def test_against_least_squares(self, told, tmp_path):
        (kept,) = told[1]["saes"]
        report(HUGE, {"a": coder()}, tmp_path, contexts=CONTEXTS, drop_first=1)
        held = np.load(tmp_path / "saes" / "a.npz")["held_out"]
        assert not held[FIRST].any()
        names = np.unique(CONTEXTS[held])
        fit = ~np.isin(CONTEXTS, names) & ~FIRST
        error = HUGE - coder().reconstruct(HUGE)
        ones = np.column_stack([HUGE, np.ones(ROWS)])
        left = error[held] - ones[held] @ np.linalg.lstsq(ones[fit], error[fit])[0]
        total = ((HUGE[held] - HUGE[held].mean(axis=0)) ** 2).sum()
        assert value(kept, "fvu") == pytest.approx((error[held] ** 2).sum() / total, rel=1e-6)
        assert kept["fvu_nl"]["held_out"] == pytest.approx((left**2).sum() / total, rel=1e-6)

    @pytest.mark.parametrize(
        "how",
        [{"drop_norm": 10}, {"drop_tokens": [7]}, {"drop": FIRST}, {"drop": 1 * FIRST}],
    )
    def test_every_way(self, how, told, tmp_path):
        given = {"contexts": CONTEXTS, "tokens": TOKENS}
        (found,) = report(HUGE, {"a": coder()}, tmp_path, **given, **how)["saes"]
        (kept,) = told[1]["saes"]
        for name in ("fvu", "fvu_nl", "r2", "l0"):
            assert found[name] == kept[name]

    @pytest.mark.parametrize(
        ("how", "message"),
        [
            ({"drop_first": 1}, "drop_first must be 0 without contexts, got 1"),
            ({"drop_first": -1}, "drop_first must be at least 0, got -1"),
            ({"drop_norm": 0.0}, "drop_norm must be positive"),
            ({"drop_tokens": [1]}, "drop_tokens must be empty without tokens"),
            ({"drop_tokens": [99], "tokens": TOKENS}, "drop_tokens must be tokens of the rows"),
            ({"drop": np.zeros(3)}, r"drop must have shape \(6000,\)"),
            ({"drop": np.full(ROWS, 2)}, "hold true or false"),
            ({"drop": np.ones(ROWS)}, "x must leave some rows"),
        ],
    )
    def test_bad(self, how, message, tmp_path):
        with pytest.raises(ValueError, match=message):
            report(HUGE, {"a": coder()}, tmp_path, **how)

    def test_positions(self):
        labels = np.array(["b", "a", "a", "b", "c", "a"])
        assert positions(labels).tolist() == [0, 0, 1, 1, 0, 2]


class TestFewRows:
    def test_gaussian(self):
        """Two rows a dimension: .2 is found where .1 is true, and .1 after the correction."""
        d, found = 40, []
        for seed in range(40):
            x, noise = np.random.default_rng(seed).normal(size=(2, 107, d))
            one = darkmatter.decompose(x, x - 0.1**0.5 * noise, bootstrap=0, seed=seed)
            assert one.fit_rows == 2 * d
            found.append((one.fvu_nl, one.corrected.fvu_nl))
        raw, corrected = np.mean(found, axis=0)
        se = np.std([c for _, c in found]) / 40**0.5
        assert raw > 0.19 and abs(corrected - 0.1) < 4 * se < 0.02

    def test_sparse_features(self):
        """Rows far from the mean have larger errors: what holds for Gaussian x corrects too little.

        The truth is that of 100 000 rows.
        """
        d, n = 10, 100
        sae, found = coder(), []
        x = planted(100_000, 2)
        truth = darkmatter.decompose(x, sae.reconstruct(x), bootstrap=0).fvu_nl
        for seed in range(60):
            x = planted(4 * n // 3, 100 + seed)
            one = darkmatter.decompose(x, sae.reconstruct(x), bootstrap=0, seed=seed)
            found.append((one.fvu_nl, one.corrected.fvu_nl, one.fvu_nl / (1 + d / n)))
        raw, corrected, gaussian = np.mean(found, axis=0) / truth
        se = np.std([c for _, c, _ in found]) / 60**0.5 / truth
        assert raw > 1.2 and abs(corrected - 1) < 0.01 + 3 * se < 0.06 < gaussian - 1

    def test_on_the_rows_of_the_fit(self):
        """E of what is left of pure noise, by 300 fits."""
        d, n, left = 4, 24, []
        for seed in range(300):
            x, noise = np.random.default_rng(seed).normal(size=(2, n, d))
            one = darkmatter.decompose(x, x - noise, bootstrap=0, test_fraction=0)
            left.append((one.nonlinear(x, x - noise) ** 2).mean())
        assert abs(np.mean(left) - one.fit_factor) < 4 * np.std(left) / 300**0.5

    def test_refused_before_anything_is_computed(self, tmp_path):
        def never(block):
            raise AssertionError

        with pytest.raises(ValueError, match=r"at least columns \+ 4 = 14 rows .*, got 12 of 16"):
            report(planted(16), {"a": never}, tmp_path)

    def test_it_is_said(self, tmp_path):
        found = report(planted(60), {"a": coder()}, tmp_path)
        (text,) = found["warnings"]
        entry = found["saes"][0]["fvu_nl"]
        assert "10 coordinates are fitted on 45 rows" in text
        assert f"{100 * (entry['held_out'] / entry['value'] - 1):.0f} % more" in text
        assert "fewer than 4 rows a coordinate" in text

    def test_not_the_number_of_rows_is_blamed_where_few_have_the_variance(self, tmp_path):
        """And the correction holds: the truth is that of a map fitted on many times the rows."""

        def long(rows, seed):
            return planted(rows, seed) * np.where(np.arange(rows) % 100, 1, 60)[:, None]

        found = [report(long(ROWS, seed), {"a": coder()}, tmp_path / str(seed)) for seed in (2, 3)]
        for one in found:
            assert len(one["warnings"]) == 2
            assert "for most of the variance is that of few rows" in one["warnings"][1]
            assert "rows a coordinate" not in one["warnings"][1]
        x = long(40 * ROWS, 4)
        truth = darkmatter.decompose(x, coder().reconstruct(x), bootstrap=0).corrected.fvu_nl
        entries = [one["saes"][0]["fvu_nl"] for one in found]
        assert min(entry["held_out"] for entry in entries) > 1.06 * truth
        assert all(abs(entry["value"] - truth) < 4 * entry["se"] for entry in entries)


class TestConvention:
    def test_paper(self, tmp_path):
        """The scores of `decompose`, and a norm test without intercept on rows split at random."""
        x = planted() + 0.5
        contexts = np.arange(ROWS) // 100
        given = {"contexts": contexts, "convention": "paper"}
        found = report(x, {"a": coder()}, tmp_path / "a", **given)
        (record,) = found["saes"]
        x_hat = coder().reconstruct(x)
        alone = darkmatter.decompose(x, x_hat, bootstrap=20, **given)
        for name in ("fvu", "fvu_nl", "r2", "r2_coordinates"):
            assert value(record, name) == pytest.approx(getattr(alone, name), rel=1e-9)
        held = alone.held_out
        size = ((x - x_hat) ** 2).sum(axis=1)
        left = size - x @ np.linalg.lstsq(x[~held], size[~held])[0]
        r2 = 1 - (left[held] ** 2).sum() / ((size[held] - size[held].mean()) ** 2).sum()
        assert record["norm_test"]["error"]["value"] == pytest.approx(r2, abs=1e-9)
        assert "no intercept" in darkmatter.tables(found)
        other = report(x, {"a": coder()}, tmp_path / "a", contexts=contexts)["saes"][0]
        assert value(other, "fvu_nl") != value(record, "fvu_nl")


class TestAtTheEdge:
    """Decoders that have no error, or no code: each has the scores that are defined."""

    x = np.float32(planted())

    def test_all_at_once(self, tmp_path):
        eye = np.eye(D, dtype=np.float32)
        rows = FEATURES[:WIDTH].copy()
        rows[3] = 0
        saes = {
            "perfect": darkmatter.SAE("abstopk", eye, np.zeros(D), eye, np.zeros(D), k=D),
            "silent": coder("jumprelu", threshold=np.full(WIDTH, 1e9)),
            "void": coder(w_dec=0 * rows),
            "hole": coder(w_dec=rows),
            "norm": coder(normalization="layer_norm"),
            "good": coder(),
        }
        found = report(self.x, saes, tmp_path, pursuit=saes, align=["hole", "good"])
        records = {r["name"]: r for r in found["saes"]}
        assert set(records) == set(saes)
        assert {one["name"] for one in found["failures"]} == {"norm, pursuit"}
        total = ((self.x - self.x.mean(axis=0)) ** 2).sum()
        perfect, silent, void = (records[k] for k in ("perfect", "silent", "void"))
        assert value(perfect, "fvu") == 0 == value(perfect, "fvu_nl")
        assert value(perfect, "r2") is None and perfect["norm_test"]["error"] is None
        assert perfect["norm_test"]["x_hat"]["value"] == pytest.approx(
            perfect["norm_test"]["x"]["value"]
        )
        for one in (silent, void):
            whole = (self.x.astype(float) ** 2).sum() / total
            assert value(one, "fvu") == pytest.approx(whole, rel=0.03)
            assert value(one, "fvu_nl") < 1e-12 and value(one, "r2") == pytest.approx(1)
            assert one["norm_test"]["x_hat"] is None and one["norm_test"]["nonlinear error"] is None
        assert silent["dead"] == 1 and silent["l0"] == 0
        assert records["hole"]["alignment"]["r2"]["value"] > 0
        assert "| – |" in darkmatter.save_tables(found, tmp_path).read_text(encoding="utf-8")
        assert darkmatter.save_figures(found, tmp_path)

    def test_a_pruned_copy(self, tmp_path):
        """Beside itself with latents that never fire."""
        wide = darkmatter.SAE(
            "topk",
            np.hstack([FEATURES[:WIDTH].T, np.zeros((D, 7))]),
            np.zeros(WIDTH + 7),
            np.vstack([FEATURES[:WIDTH], np.ones((7, D))]),
            np.zeros(D),
            k=2,
        )
        found = report(self.x, {"one": coder(), "two": wide}, tmp_path)
        (pair,) = found["pairs"]
        assert pair["r2"]["value"] == 1 and pair["fvu_decrease_percent"]["value"] is None
        assert found["failures"] == []
        assert darkmatter.save_figures(found, tmp_path)


def suite(l0s):
    """Records of widths and their L0s."""
    return [
        {
            "name": f"{width} {l0}",
            "architecture": "jumprelu",
            "width": width,
            "l0": float(l0),
            "fvu": {"value": 0.3},
            "fvu_nl": {"value": 0.2},
        }
        for width, some in l0s.items()
        for l0 in some
    ]


# Steps of less than a quarter, from 46 to 427: a chain of neighbours has no end.
CHAIN = {
    2**14: [46, 71, 110, 193, 280, 400],
    2**15: [52, 80, 130, 220, 330],
    2**16: [60, 95, 150, 240, 360, 427],
    2**17: [57, 88, 160, 265],
}


class TestGroups:
    def test_no_chain(self):
        found = groups.groups(suite(CHAIN))
        assert sum(len(g["members"]) for g in found) == sum(map(len, CHAIN.values()))
        assert len({g["name"] for g in found}) == len(found)
        for group in found:
            widths, l0s = zip(*(map(float, m.split()) for m in group["members"]), strict=True)
            assert len(set(widths)) == len(widths) and list(widths) == sorted(widths)
            assert max(l0s) / min(l0s) <= 1.25**2
        assert max(len(g["members"]) for g in found) == 4

    def test_nearest_to_a_target(self):
        """As the paper has it: of each width the one nearest to the L0 asked for."""
        found = groups.groups(suite(CHAIN), [75.0])
        (group,) = [g for g in found if len(g["members"]) == 4 and "16384 71" in g["members"]]
        assert group["members"] == ["16384 71", "32768 80", "65536 60", "131072 88"]

    def test_seeds_are_not_one_curve(self):
        found = groups.groups(suite({512: [16, 16, 16], 1024: [16]}))
        assert sorted(len(g["members"]) for g in found) == [1, 1, 2]
        assert len({g["name"] for g in found}) == 3
