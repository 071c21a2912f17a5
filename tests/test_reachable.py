"""The kept table of what weights reach: kept models, and what the package computes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import rugtheory as rt
from rugtheory._files import digest
from validation.reachable import (
    by_size,
    frame_of,
    kept,
    main,
    markdown,
    optimised,
    points,
    theory,
)

ROOT = Path(rt.__file__).parents[1]
DATA = ROOT / "validation" / "data"
SOURCES = [
    DATA / f"{name}.nc"
    for name in (
        "minima_law", "minima_reach", "minima", "minima_256", "minima_rare", "minima_rare_512",
        "minima_best", "minima_best_512", "minima_best_512_rare", "minima_starts", "minima_ends",
        "cpu", "cpu_rare", "cpu_rare_256", "cpu_rare_512", "gpu",
    )
]  # fmt: skip
TABLE = xr.load_dataset(DATA / "reachable.nc")
TRAINED = xr.load_dataset(DATA / "gpu.nc")


def rows():
    return TABLE.to_dataframe().to_dict("records")


def test_models_are_those_of_the_sweeps():
    again = [kept(some) for some in points(frame_of(SOURCES))]
    assert len(again) == TABLE.sizes["point"]
    found = TABLE.to_dataframe()[list(again[0])]
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True), pd.DataFrame(again), check_dtype=False
    )


def test_it_was_made_of_the_kept_sweeps():
    made = json.loads((DATA / ".rugtheory.json").read_text())["reachable.nc"]["made_of"]
    assert {k: x for k, x in made.items() if k != "command"} == {
        f"data {k}": digest(file) for k, file in enumerate(SOURCES)
    }


def test_what_is_known_of_structures_is_taken_over(tmp_path):
    """From an earlier table, which this one is but for its models."""
    out, files = tmp_path / "again.nc", [str(x) for x in SOURCES]
    assert main([*files, "--known", str(DATA / "reachable.nc"), "--out", str(out)]) == 0
    assert xr.load_dataset(out).drop_attrs().identical(TABLE.drop_attrs())


def test_models_of_a_point_are_comparable():
    """Of two laws the lower one counts, of descents those with its cap, and no tied weights."""
    some = next(x for x in points(frame_of(SOURCES)) if "law" in set(x["protocol"]))
    law = some[some["protocol"] == "law"].iloc[0]
    low, loss = {"loss": law["loss"] / 2}, law["loss"]
    others = [
        law.to_dict() | {"law_exact": 2 * law["law_exact"], "law_loss": 1.0},
        law.to_dict() | {"protocol": "descent", "max_coupling": 100.0} | low,
        law.to_dict() | {"tied": True, "law_exact": 0.0} | low,
        law.to_dict() | {"law": "kind = 'independent'", "law_exact": 0.0} | low,
    ]
    more = pd.concat([some, pd.DataFrame(others)], ignore_index=True)
    (again,) = [kept(x) for x in points(more)]
    assert again["row_law"] == law["law_loss"] and again["minimum"] == min(
        loss, kept(some)["minimum"]
    )


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            x,
            id=f"{x['n_sparse']}-{x['p']}-{x['n_dense']}",
            marks=[pytest.mark.slow] * (k % 32 > 0 or x["n_sparse"] > 128 or x["ratio"] < 0.2),
        )
        for k, x in enumerate(rows())
    ],
)
def test_theory_has_not_drifted(row):
    for name, value in theory(row["n_sparse"], row["n_dense"], row["p"]).items():
        assert row[name] == (value if name == "family" else pytest.approx(value, rel=1e-6))


@pytest.mark.slow
def test_a_best_rug_again():
    row = next(x for x in rows() if x["n_sparse"] == 128 and x["p"] == 0.045)
    assert optimised(128, row["n_dense"], 0.045) == pytest.approx(row["optimised_rug"], rel=1e-6)


def test_the_page_has_what_was_trained():
    """A line for each p and n_dense, and what it says of plateaus."""
    text = (ROOT / "docs" / "validation.md").read_text()
    assert by_size(TRAINED) in text
    at = (TRAINED.n_dense == 128) & (TRAINED.n_sparse == 512) & (TRAINED.p == 0.045)
    one = TRAINED.isel(point=at.values)
    assert f"{one.loss.item() / 0.045**2:.3f}" in text and one.asymmetry.item() > 0.5


def test_where_training_ends_below_what_is_known():
    """With 6 of 128 and 12 of 256 units; theory is at each model's own ratio."""
    p, ratio = TRAINED.p.values, (TRAINED.n_dense / TRAINED.n_sparse).values
    rare = p == 0.01
    best = rt.best_known(0.01, np.unique(ratio[rare]))
    known = best.loss[np.searchsorted(np.unique(ratio[rare]), ratio[rare])]
    over = TRAINED.loss.values[rare] / known - 1
    assert sorted(over[over < 0]) == pytest.approx([-0.043, -0.005], abs=0.002)
    assert set(TRAINED.n_dense.values[rare][over < 0]) == {6, 12}


def test_the_page_has_the_table():
    """Its stars are those of models that have not converged, and couplings are below the cap."""
    text = (ROOT / "docs" / "validation.md").read_text()
    assert markdown(TABLE) in text
    stars = [line for line in markdown(TABLE).splitlines() if "*" in line]
    done = TABLE.minimum_converged & (TABLE.row_law_converged | np.isnan(TABLE.row_law))
    done &= TABLE.trained_converged | np.isnan(TABLE.trained)
    assert len(stars) == int((~done).sum()) < len(done)
    assert np.all(TABLE.minimum_coupling <= 10)
    at = (TABLE.n_dense == 8) & (TABLE.p == 0.01)
    (star,) = [line for line in stars if line.startswith("| 128 | 0.01 | 8 |")]
    assert "12.13 *" in star and not TABLE.minimum_converged.values[at.values].item()


def test_best_models_are_lowest_but_at_small_ratios():
    """What the page says of the table."""
    frame = TABLE.to_dataframe()
    large = frame[frame["ratio"] > 0.15]
    assert (large["minimum_from"] == "best").all() and set(large["n_sparse"]) == {128, 256, 512}
    assert (large["best_model"] / large["minimum"]).max() < 1.012
    trained = large[large["trained"].notna()]
    gap = trained["best_model"] / trained["trained"] - 1
    stuck = (trained["n_dense"] == 128) & (trained["n_sparse"] == 256) & (trained["p"] == 0.001)
    assert gap[stuck].item() < -0.89
    gap = gap[~stuck]
    assert gap.max() < 0 and gap.min() == pytest.approx(-0.322, abs=0.005)
    assert gap[trained["n_sparse"] < 512].min() == pytest.approx(-0.304, abs=0.005)
    many = frame.query("n_sparse == 512")
    for p, low, high in ((0.01, 0.03, 0.22), (0.045, 0.01, 0.32)):
        some = many[many["p"] == p]
        below = 1 - some["minimum"] / some["trained"]
        assert (some["minimum_from"] == "best").all() and len(some) == 10
        assert below.round(2).between(low, high).all()
    law = frame[frame["row_law"].notna() & (frame["ratio"] > 0.15)]
    assert (law["row_law"] > law["best_model"]).all()
    few = frame.query("p == 0.01 and ratio == 0.0625")
    assert (few["best_model"] <= few["best_known"] * (1 + 1e-9)).all()
    assert (few["best_known"] < few["trained"]).all()


def test_training_of_rare_features():
    """128 features: up to 13 % above descents at p = 0.003, to 43 % at 0.001, not at its end."""
    every = TABLE.to_dataframe().query("p < 0.005 and trained == trained")
    frame = every.query("n_sparse == 128")
    over = frame["trained"] / frame["minimum"] - 1
    assert over[frame["p"] == 0.003].between(0, 0.13).all() and (frame["p"] == 0.003).sum() == 6
    assert over[frame["p"] == 0.001].between(0.05, 0.43).all() and (frame["p"] == 0.001).sum() == 8
    assert not frame["trained_converged"][frame["p"] == 0.001].any()
    most = every.query("n_sparse == 512").set_index("n_dense")
    over = most["trained"] / most["minimum"] - 1
    assert over[128] == pytest.approx(0.219, abs=5e-4)
    assert most["trained_converged"].to_dict() == {128: False, 256: True}
    assert over[256] == pytest.approx(0.139, abs=5e-4) and len(over) == 2
    many = every.query("n_sparse == 256")
    over = (many["trained"] / many["minimum"] - 1).to_numpy()
    few, half = many["n_dense"] == 16, many["n_dense"] == 128
    assert many["trained_converged"].sum() == 1 and len(many) == 10
    np.testing.assert_allclose(over[few], [-0.0114, -0.0037], atol=5e-5)
    np.testing.assert_allclose(over[half], [8.6, 0.118], rtol=1e-2)
    assert np.all((over[~few & ~half] > 0.02) & (over[~few & ~half] < 0.36))


def test_laws_are_near_where_descents_from_other_starts_than_codes_end():
    """As the pages of validation and of row laws say, within half a per cent."""
    some = pd.concat(points(frame_of(SOURCES))).query("protocol in ['law', 'rare', 'descent']")
    some = some[some["n_sparse"] >= 256]
    ends = some.groupby(["n_sparse", "n_dense", "p"])["loss"].min()
    for n, d, law in ((256, 25, 7.752), (512, 51, 7.430), (256, 64, 1.5312), (512, 128, 1.6112)):
        assert 0 < law * 1e-4 / ends[n, d, 0.01] - 1 < 0.005
    assert 0 < 1.6145 * 0.045**2 / ends[256, 64, 0.045] - 1 < 0.005
    kept_laws = some[some["protocol"] == "law"].set_index("n_dense")["law_loss"] / 1e-4
    assert kept_laws[25] == pytest.approx(7.752, abs=5e-4)
    assert kept_laws[51] == pytest.approx(7.430, abs=5e-4)


def test_couplings_above_the_cap_are_marked():
    coupling = TABLE.minimum_coupling.copy()
    coupling[0], coupling[1:] = 10.1, 10.0
    table = markdown(TABLE.assign(minimum_coupling=coupling))
    assert table.count("†") == 1
    first = TABLE.to_dataframe().iloc[0]
    (line,) = (x for x in table.splitlines() if "†" in x)
    assert line.startswith(f"| {first.n_sparse} | {first.p:g} | {first.n_dense} |")
