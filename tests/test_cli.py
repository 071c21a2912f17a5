"""The command line: what it writes is what the library says, and bad input costs one line."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import rugtheory as rt
from rugtheory._files import RECORD
from rugtheory.cli import main
from rugtheory.structure.curves import FIGURE_2_P, PAPER_GRID

from .models import alike


def rows_of(folder):
    return pd.read_csv(folder / "curves.csv").set_index(["p", "ratio"])


def test_curves_by_default(tmp_path, capsys):
    assert main(["curves", "--out", str(tmp_path)]) == 0
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"curves.nc", "curves.csv", "curves.png", RECORD}
    with xr.open_dataset(tmp_path / "curves.nc") as curves:
        np.testing.assert_array_equal(curves["p"], FIGURE_2_P)
        np.testing.assert_array_equal(curves["ratio"], PAPER_GRID)
        best = rt.optimum(np.array(FIGURE_2_P)[:, None], PAPER_GRID)
        np.testing.assert_array_equal(curves["loss"], best.loss)
        assert curves.attrs["rugtheory"] == rt.__version__
    table = rows_of(tmp_path)
    assert len(table) == 120
    np.testing.assert_array_equal(table["b"].values, best.b.ravel())
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    assert "wrote" in capsys.readouterr().out


def test_simulated_curves_agree_with_theory(tmp_path, capsys):
    arguments = ["curves", "--p", "0.3", "0.05", "--ratio", "0.25", "0.5", "1.0"]
    arguments += ["--simulate", "200", "--seed", "3", "--out", str(tmp_path)]
    assert main(arguments) == 0
    table = rows_of(tmp_path)
    noisy = table[table["simulated_theory"] > 0]
    gap = (noisy["simulated_loss"] - noisy["simulated_theory"]) / noisy["standard_error"]
    assert len(gap) == 4 and np.all(np.abs(gap) < 4.5)
    perfect = table.xs(1.0, level="ratio")
    assert np.all(perfect["simulated_loss"] < 1e-25)
    assert "standard errors" in capsys.readouterr().out
    main(arguments)
    pd.testing.assert_frame_equal(table, rows_of(tmp_path))


def test_what_is_simulated_is_kept_as_it_comes(tmp_path):
    curves = rt.loss_curves([0.1, 0.2], [0.25, 0.5])

    class Killed(Exception):
        pass

    def killed_after_three(points):
        for k, point in enumerate(points):
            if k == 3:
                raise Killed
            yield point

    with pytest.raises(Killed):
        rt.simulated_curves(
            curves,
            10,
            n_sparse=64,
            progress=killed_after_three,
            checkpoint=lambda known: rt.save_curves(known, tmp_path),
        )
    kept = rows_of(tmp_path)["simulated_loss"]
    assert kept.loc[0.1].notna().all() and kept.loc[0.2].isna().all()


def test_paper_grid(tmp_path):
    assert main(["curves", "--grid", "paper", "--out", str(tmp_path)]) == 0
    assert len(rows_of(tmp_path)) == 400


def test_optimum_as_json_and_table(capsys):
    arguments = ["optimum", "--p", "0.045", "0.1", "--ratio", "0.25", "0.5"]
    main([*arguments, "--json"])
    rows = json.loads(capsys.readouterr().out)
    best = rt.optimum([[0.045], [0.1]], [0.25, 0.5])
    assert [row["loss"] for row in rows] == best.loss.ravel().tolist()
    assert rows[0]["linear_loss"] == float(rt.linear_loss(0.045, 0.25))
    main(arguments)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and float(lines[1].split()[3]) == pytest.approx(best.a[0, 0], rel=1e-9)


def test_optimum_at_sigma_and_other_amplitudes(capsys):
    main(["optimum", "--p", "0.1", "--sigma", "0.2", "--amplitude", "beta:2,3", "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    best = rt.optimum(0.1, sigma=0.2, amplitude=rt.Beta(2, 3))
    assert row["a"] == float(best.a) and "linear_loss" not in row and "ratio" not in row


def test_rug(tmp_path, capsys):
    weights, figure = tmp_path / "rug.safetensors", tmp_path / "rug.png"
    arguments = ["rug", "--n-sparse", "64", "--n-dense", "10", "--seed", "5", "--p", "0.1"]
    assert main([*arguments, "--out", str(weights), "--figure", str(figure)]) == 0
    rug = rt.hadamard_rug(64, 10, seed=5)
    np.testing.assert_array_equal(rt.Rug.load(weights).rows, rug.rows)
    assert figure.stat().st_size > 10_000
    assert f"a {float(rt.optimum(0.1, 10 / 64).a):.10g}" in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "a command is needed"),
        (["optimum", "--p", "0", "--ratio", "0.5"], "p must lie in (0, 1], got 0.0"),
        (["optimum", "--p", "0.1", "--ratio", "2"], "ratio must lie in (0, 1], got 2.0"),
        (["optimum", "--p", "0.1"], "--ratio --sigma is required"),
        (["optimum", "--p", "0.1", "--ratio", "0.5", "--sigma", "1"], "not allowed with"),
        (["optimum", "--p", "x", "--ratio", "0.5"], "invalid float value: 'x'"),
        (["optimum", "--p", "0.1", "--ratio", "1", "--amplitude", "cauchy:1"], "must be one of"),
        (["optimum", "--p", "0.1", "--ratio", "1", "--amplitude", "beta:2"], "beta"),
        (["rug", "--n-sparse", "100", "--n-dense", "5"], "power of two, got 100"),
        (["rug", "--n-sparse", "64", "--n-dense", "65"], "n_dense must be in [1, 64], got 65"),
        (["rug", "--n-sparse", "8", "--n-dense", "2", "--out", "/missing/x"], "/missing"),
        (["curves", "--grid", "paper", "--p", "0.1"], "--grid paper fixes p and ratio"),
        (["curves", "--simulate", "1", "--out", "{tmp}"], "--simulate must be at least 2"),
        (["curves", "--n-sparse", "100", "--simulate", "9", "--out", "{tmp}"], "power of two"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments, message, capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main([argument.format(tmp=tmp_path) for argument in arguments])
    assert stop.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and message in said[0] and said[0].startswith("rugtheory")


def test_version_citation_and_help(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == f"rugtheory {rt.__version__}"
    main(["--citation"])
    assert "arXiv:2410.12101" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "examples:" in capsys.readouterr().out


class TestWeights:
    @pytest.fixture
    def file(self, tmp_path):
        rug = rt.antipodal_rug(32, 8, seed=0)
        rug.save(tmp_path / "m.safetensors", a=1.2, b=-0.2)
        return tmp_path / "m.safetensors"

    def test_json_and_figure(self, file, capsys):
        picture = file.with_suffix(".png")
        arguments = ["weights", str(file), "--p", "0.05", "--rows", "2", "--json"]
        assert main([*arguments, "--figure", str(picture)]) == 0
        out, err = capsys.readouterr()
        report = json.loads(out)
        model = rt.read_weights(file)
        verdict = rt.explain(*alike(model.w_in, model.w_out, model.b, 0.05), rows=2)
        assert report["verdict"] == vars(verdict)
        assert report["statistics"]["with antipodal partner"] == 32
        assert picture.stat().st_size > 20_000
        assert "losses of rows" in err and "what is best known" in err

    def test_text(self, file, capsys):
        assert main(["weights", str(file), "--p", "0.05", "--rows", "2"]) == 0
        out = capsys.readouterr().out
        assert "distance from Gaussian" in out and "best known, " in out
        assert "no weights below" in out and "antipodal pairs" in out
        assert "outputs that never fire          0" in out
        # Terms have the signs of the verdict, which add up to the gap: no minus sign before them.
        model = rt.read_weights(file)
        verdict = rt.explain(*alike(model.w_in, model.w_out, model.b, 0.05), rows=2)
        for name, value in verdict.terms.items():
            assert f"\n  {name:30} {value:+.6g}\n" in out
        assert sum(verdict.terms.values()) == pytest.approx(verdict.loss - verdict.best)

    def test_the_row_law_is_that_of_its_size(self, capsys, tmp_path):
        path = tmp_path / "rug.npz"
        rug = rt.antipodal_rug(4, 2, seed=0)
        np.savez(path, W_in=rug.w_in, W_out=rug.w_out(1.3), b=np.full(4, -0.37))
        arguments = ["weights", str(path), "--p", "0.02", "--rows", "2", "--row-law"]
        assert main([*arguments, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["row_law"]
        law = rt.row_law(rt.Identical(4, 0.02), 2, seeds=0, max_coupling=1)
        assert found["loss"] == law.loss and found["exact"] == law.exact
        assert main(arguments) == 0
        assert f"{law.loss:.6g} (its weights lose {law.exact:.6g}" in capsys.readouterr().out

    def test_names_that_the_message_shows_work(self, file, capsys, tmp_path):
        model = rt.read_weights(file)
        path = tmp_path / "odd.npz"
        np.savez(path, P=model.w_in, Q=model.w_out, c=model.b, importance=model.b)
        arguments = ["weights", str(path), "--p", "0.05", "--rows", "2", "--json"]
        with pytest.raises(SystemExit):
            main(arguments)
        remedy = capsys.readouterr().err.partition("would be read with ")[2].split()
        assert remedy[:4] == ["--names", "W_in=P", "W_out=Q", "b=c"]
        assert main([*arguments, *remedy]) == 0
        found = json.loads(capsys.readouterr().out)["verdict"]
        main(["weights", str(file), *arguments[2:]])
        assert json.loads(capsys.readouterr().out)["verdict"] == found

    def test_what_was_taken_for_what_is_said(self, tmp_path, capsys):
        path = tmp_path / "odd.npz"
        np.savez(path, dictionary=rt.hadamard_rug(8, 2, seed=0).w_in)
        assert main(["weights", str(path), "--p", "0.05", "--rows", "2"]) == 0
        said = capsys.readouterr().err
        assert said.startswith("note: ") and "W = dictionary (2, 8)" in said and "b = 0" in said

    def test_bad_input(self, file, capsys, tmp_path):
        for arguments in (
            ["weights", str(tmp_path / "none.npz"), "--p", "0.05"],
            ["weights", str(file), "--p", "0"],
            ["weights", str(file), "--p", "0.05", "--rows", "-1"],
        ):
            with pytest.raises(SystemExit) as stop:
                main(arguments)
            assert stop.value.code == 2
            assert capsys.readouterr().err.strip().count("\n") == 0


class TestDecoders:
    ARGUMENTS = ("decoders", "--p", "0.01", "0.1", "--ratio", "0.25", "0.5")

    def test_json_and_figure(self, tmp_path, capsys):
        picture = tmp_path / "decoders.png"
        assert main([*self.ARGUMENTS, "--json", "--figure", str(picture)]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert len(rows) == 2 * 2 * 8
        table = rt.decoder_table([0.01, 0.1], [0.25, 0.5])
        for row in rows:
            at = {key: row[key] for key in ("decoder", "p", "ratio")}
            assert row["loss"] == float(table.loss.sel(at))
        assert picture.stat().st_size > 10_000

    def test_text(self, capsys):
        assert main([*self.ARGUMENTS, "--amplitude", "constant:1"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert "over_bayes" in lines[0]
        # Constant amplitudes: no function of a reading that is usual is as good as a threshold.
        table = rt.decoder_table([0.01, 0.1], [0.25, 0.5], amplitude=rt.Constant(1.0)).loss
        for line in lines[1:]:
            words = line.split()
            if words[-1] == "*":
                p, ratio, kind = float(words[0]), float(words[1]), words[2]
                at = table.sel(p=p, ratio=ratio).drop_sel(decoder=["bayes", "selection", "oracle"])
                assert at.sel(decoder=kind) == pytest.approx(float(at.min()), rel=1e-6)
        assert sum(line.endswith("*") for line in lines) >= 4

    def test_bad_input(self, capsys):
        with pytest.raises(SystemExit) as stop:
            main(["decoders", "--p", "0.1", "--ratio", "0.7", "--channel", "antipodal"])
        assert stop.value.code == 2
        assert "ratio must lie in (0, 1/2]" in capsys.readouterr().err


class TestScaling:
    def test_json_and_figure(self, tmp_path, capsys):
        picture = tmp_path / "scaling.png"
        arguments = ["scaling", "--points", "5", "--power", "0.3", "--figure", str(picture)]
        assert main([*arguments, "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        by_p, by_ratio = report["r = p^0.3"], report["p = 0.01"]
        p, ratio = np.array(by_p["x"]), np.array(by_ratio["x"])
        assert by_p["exact"] == rt.optimum(p, p**0.3).loss.tolist()
        assert by_ratio["p σ² Λ"] == rt.sparse_law("relu", 0.01, ratio, order=0).tolist()
        assert by_p["exponent of p"] == rt.local_exponents(p, p**0.3).p.tolist()
        assert picture.stat().st_size > 20_000
        assert main(arguments) == 0
        assert "laws over exact" in capsys.readouterr().out

    def test_bad_input(self, capsys):
        with pytest.raises(SystemExit):
            main(["scaling", "--points", "1"])
        assert "points must be at least 2, got 1" in capsys.readouterr().err
