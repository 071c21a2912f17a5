"""The kept table of optimised rugs is what the package computes."""

from pathlib import Path

import pytest
import xarray as xr

from validation.rugs import GRID, main, point

KEPT = xr.load_dataset(Path(__file__).parents[1] / "validation/data/rugs.nc")


def row(k):
    return {name: KEPT[name].values[k].item() for name in KEPT}


def test_all_points_are_there():
    assert [(*(row(k)[x] for x in ("n_sparse", "p", "seed")),) for k in range(len(GRID))] == [
        (n, p, seed) for n, _, p, seed, _ in GRID
    ]


# Small ones, and a ratio and a p of their own.
@pytest.mark.parametrize("k", [1, 21, pytest.param(15, marks=pytest.mark.slow)])
def test_a_point_again(k):
    again = point(*GRID[k])
    for name, value in row(k).items():
        if not name.startswith(("seconds", "gradient", "error")):
            assert again[name] == pytest.approx(value, rel=1e-4), name


def test_saddles():
    """Lowest eigenvalues are negative beyond their errors, and the gradient is gone."""
    for k in range(len(GRID)):
        one = row(k)
        assert one["lowest"] < -10 * one["error"]
        assert one["loss"] < one["equal"]
        assert one["gradient"] < 1e-6


def test_the_command(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--largest", "32", "--out", str(tmp_path / "rugs.nc")])
    assert stop.value.code == 2
    assert "--largest must be at least 64" in capsys.readouterr().err
