"""The command `rugtheory`."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from . import __version__, _check, darkmatter
from ._files import add_overwrite, digest, replacing, writing
from .channel.row import RowChannel
from .darkmatter.present import PICTURES
from .decoder.table import decoder_table
from .model.reading import Weights, read_weights
from .model.statistics import Symmetry, symmetry
from .model.verdict import Verdict, explain
from .source.amplitude import Amplitude
from .source.beta import Beta
from .source.discrete import Constant
from .source.exponential import Exponential
from .source.half_normal import HalfNormal
from .source.uniform import Uniform
from .structure.curves import FIGURE_2_P, PAPER_GRID, loss_curves, save_curves, simulated_curves
from .structure.rug import Rug, hadamard_rug
from .theory.bounds import linear_loss
from .theory.optimum import optimum

_CITATION = f"""\
@article{{cowsik2024persian,
  title   = {{The Persian Rug: solving toy models of superposition using large-scale symmetries}},
  author  = {{Cowsik, Aditya and Dolev, Kfir and Infanger, Alex}},
  journal = {{arXiv:2410.12101}},
  year    = {{2024}}
}}
@software{{rugtheory,
  title   = {{rugtheory: theory of toy models of superposition}},
  author  = {{{{The rugtheory developers}}}},
  version = {{{__version__}}},
  year    = {{2026}}
}}"""

_EXAMPLES = """\
examples:
  rugtheory curves --simulate 2000
  rugtheory curves --p 0.01 0.045 --ratio 0.1 0.25 0.5 --out small
  rugtheory curves --grid paper
  rugtheory optimum --p 0.045 --ratio 0.25 --json
  rugtheory decoders --p 1e-6 1e-4 0.01 --ratio 0.5 --figure decoders.png
  rugtheory scaling --power 0.5 --figure scaling.png
  rugtheory figures --out figures --only phases decoders
  rugtheory weights model.safetensors --p 0.045 --figure weights.png
  rugtheory darkmatter acts.npy --sae saes/ --contexts contexts.npy --tokens tokens.npy
  rugtheory rug --n-sparse 256 --n-dense 40 --seed 0 --out rug.safetensors --figure rug.png
"""

_LAWS: dict[str, Callable[..., Amplitude]] = {
    "uniform": Uniform,
    "constant": Constant,
    "exponential": Exponential,
    "halfnormal": HalfNormal,
    "beta": Beta,
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 after one line on bad input."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.citation:
        print(_CITATION)
        return 0
    if options.run is None:
        parser.error("a command is needed, such as curves (see --help)")
    try:
        options.run(options)
    except ImportError as error:
        parser.error(f"{error}; install it with: pip install 'rugtheory[plot,sweep]'")
    except MemoryError as error:
        parser.error(f"not enough memory: {error}")
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        parser.error(" ".join(str(error).split()))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="rugtheory",
        description="Theory of toy models of superposition.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rugtheory {__version__}")
    parser.add_argument("--citation", action="store_true", help="how to cite, as BibTeX")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", parser_class=_Parser)

    curves = commands.add_parser("curves", help="loss against ratio, as netCDF, CSV and figure")
    curves.set_defaults(run=_curves)
    curves.add_argument("--p", type=float, nargs="+", help="default: those of the paper's Fig. 2")
    curves.add_argument("--ratio", type=float, nargs="+", help="default: the 20 of the paper")
    curves.add_argument("--grid", choices=["paper"], help="the 20 by 20 grid of the paper")
    curves.add_argument("--simulate", type=int, metavar="N", help="simulate rugs with N samples")
    curves.add_argument("--n-sparse", type=int, default=4096, help="their size (4096)")
    curves.add_argument("--seed", type=int, default=0, help="their seed (0)")
    curves.add_argument("--out", type=Path, default=Path("curves"), help="folder (curves)")
    add_overwrite(curves)
    _add_amplitude(curves)

    best = commands.add_parser("optimum", help="best a and b, and the least loss")
    best.set_defaults(run=_optimum)
    best.add_argument("--p", type=float, nargs="+", required=True)
    channel = best.add_mutually_exclusive_group(required=True)
    channel.add_argument("--ratio", type=float, nargs="+")
    channel.add_argument("--sigma", type=float, nargs="+")
    best.add_argument("--json", action="store_true", help="a list of objects, all digits")
    _add_amplitude(best)

    decoders = commands.add_parser("decoders", help="losses of decoders beyond ReLU")
    decoders.set_defaults(run=_decoders)
    decoders.add_argument("--p", type=float, nargs="+", required=True)
    decoders.add_argument("--ratio", type=float, nargs="+", required=True)
    decoders.add_argument("--channel", choices=["gaussian", "antipodal"], default="gaussian")
    decoders.add_argument("--json", action="store_true", help="a list of objects, all digits")
    decoders.add_argument("--figure", type=Path, help="picture for the first ratio")
    add_overwrite(decoders)
    _add_amplitude(decoders)

    scaling = commands.add_parser("scaling", help="loss against p and ratio, with the laws")
    scaling.set_defaults(run=_scaling)
    scaling.add_argument("--power", type=float, default=0.5, help="s in r = p^s (0.5)")
    scaling.add_argument("--p", type=float, default=0.01, help="p of the curve against r (0.01)")
    scaling.add_argument("--points", type=int, default=60, help="points of each curve (60)")
    scaling.add_argument("--json", action="store_true", help="the curves, all digits")
    scaling.add_argument("--figure", type=Path, help="picture to write")
    add_overwrite(scaling)

    figures = commands.add_parser("figures", help="the figures of the paper, and more")
    figures.set_defaults(run=_figures)
    figures.add_argument("--out", type=Path, required=True, help="folder")
    figures.add_argument("--only", nargs="+", metavar="NAME", help="these figures only")
    figures.add_argument("--data", type=Path, metavar="FILE", help="netCDF file of trained models")
    figures.add_argument("--weights", type=Path, metavar="FILE", help="a trained model")
    figures.add_argument("--p", type=float, default=0.045, help="p it is trained for (0.045)")
    figures.add_argument("--format", choices=["png", "svg", "pdf"], default="png")
    add_overwrite(figures)

    rug = commands.add_parser("rug", help="weights of a Persian rug")
    rug.set_defaults(run=_rug)
    rug.add_argument("--n-sparse", type=int, required=True, help="a power of two")
    rug.add_argument("--n-dense", type=int, required=True)
    rug.add_argument("--seed", type=int, default=0)
    rug.add_argument("--p", type=float, help="optimise a and b for this p (else a = 1, b = 0)")
    rug.add_argument("--out", type=Path, help="safetensors file to write")
    rug.add_argument("--figure", type=Path, help="picture of W to write")
    add_overwrite(rug)
    _add_amplitude(rug)

    weights = commands.add_parser("weights", help="what the weights of a trained model really do")
    weights.set_defaults(run=_weights)
    weights.add_argument("file", type=Path, help=".safetensors, .npz or PyTorch state dict")
    weights.add_argument("--p", type=float, required=True, help="p that the features are on with")
    weights.add_argument("--rows", type=int, default=32, help="rows to invert (32); 0 for all")
    weights.add_argument("--seed", type=int, default=0, help="for the choice of rows (0)")
    weights.add_argument("--json", action="store_true")
    weights.add_argument("--figure", type=Path, help="picture to write")
    add_overwrite(weights)
    _add_amplitude(weights)

    dark = commands.add_parser("darkmatter", help="what sparse autoencoders leave unexplained")
    dark.set_defaults(run=_darkmatter)
    dark.add_argument("acts", help="activations: .npy, .safetensors or .safetensors:NAME")
    dark.add_argument(
        "--sae",
        type=Path,
        nargs="+",
        required=True,
        help="decoders (SAELens, Gemma Scope, sparsify), or folders of them",
    )
    dark.add_argument("--out", type=Path, default=Path("darkmatter"), help="folder (darkmatter)")
    dark.add_argument("--contexts", help="label of each row's context, in a file like ACTS")
    dark.add_argument("--tokens", help="label of each row's token, in a file like ACTS")
    dark.add_argument(
        "--component",
        action="append",
        default=[],
        metavar="NAME=FILE[,SAE]",
        help="activations, or a decoder's reconstruction of them, to regress errors on",
    )
    dark.add_argument("--pursuit", action="store_true", help="try gradient pursuit; slow")
    dark.add_argument("--align", action="store_true", help="compare norm probe and latents; slow")
    dark.add_argument("--seed", type=int, default=0, help="of split and bootstrap (0)")
    add_overwrite(dark)
    return parser


def _add_amplitude(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--amplitude",
        type=_amplitude,
        default=Uniform(),
        metavar="LAW",
        help="uniform:0,1 (default), constant:1, exponential:1, halfnormal:1 or beta:2,3",
    )


def _amplitude(text: str) -> Amplitude:
    match = re.fullmatch(r"(\w+)(?::([^:]+))?", text)
    if match is None or match[1] not in _LAWS:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(_LAWS)}, got {text!r}")
    try:
        return _LAWS[match[1]](*(float(x) for x in (match[2] or "").split(",") if x))
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def _made(command: str, options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """What goes into a result: the settings of these names, and the contents of files."""
    found: dict[str, Any] = {"command": f"rugtheory {command}"}
    for name in names:
        value = getattr(options, name)
        if isinstance(value, Path):
            value = digest(value)
        found[name] = repr(value) if isinstance(value, Amplitude) else value
    return found


def _writing(
    options: argparse.Namespace,
    outputs: Mapping[Path | None, Mapping[str, Any]],
    folders: Iterable[Path] = (),
) -> AbstractContextManager[None]:
    """Checks all outputs that are asked for before the work, pictures for their suffix too."""
    given = {path: made for path, made in outputs.items() if path is not None}
    if getattr(options, "figure", None) is not None:
        from ._style import check_suffix

        check_suffix(options.figure)
    return writing(given, overwrite=options.overwrite, folders=folders)


def _curves(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from .figures import draw_curves, draw_grid

    if options.grid and (options.p or options.ratio):
        raise ValueError("--grid paper fixes p and ratio; give it without --p and --ratio")
    p = PAPER_GRID if options.grid else np.unique(options.p or FIGURE_2_P)
    ratio = np.unique(options.ratio) if options.ratio else PAPER_GRID
    curves = loss_curves(p, ratio, amplitude=options.amplitude)
    curves.attrs["rugtheory"] = __version__
    made = _made("curves", options, "grid", "amplitude") | {"p": list(p), "ratio": list(ratio)}
    if options.simulate is not None:
        made |= _made("curves", options, "simulate", "n_sparse", "seed")
    paths = [options.out / f"curves.{suffix}" for suffix in ("nc", "csv", "png")]
    draw = draw_grid if options.grid else draw_curves
    with _writing(options, dict.fromkeys(paths, made), [options.out]):
        if options.simulate is not None:
            already = 0 if options.overwrite else _simulated(paths[0])

            def checkpoint(known: Any) -> None:
                # An earlier run may have come further.
                if int(known["simulated_loss"].notnull().sum()) > already:
                    save_curves(known, options.out)

            curves = simulated_curves(
                curves,
                options.simulate,
                n_sparse=options.n_sparse,
                seed=options.seed,
                amplitude=options.amplitude,
                progress=lambda points: tqdm(points, desc="simulating", unit="rug"),
                checkpoint=checkpoint,
            )
        save_curves(curves, options.out)
        _draw(paths[-1], lambda ax: draw(curves, ax))
    _summarise(curves)
    print("\n".join(f"wrote {path}" for path in paths))


def _simulated(path: Path) -> int:
    """Number of simulated points in a file of curves."""
    import xarray as xr

    if not path.exists():
        return 0
    with xr.open_dataset(path) as known:
        return int(known["simulated_loss"].notnull().sum()) if "simulated_loss" in known else 0


def _summarise(curves: Any) -> None:
    some = np.unique(np.linspace(0, curves.sizes["ratio"] - 1, 4).astype(int))
    ratios = curves["ratio"].values[some]
    print("loss of the rug over v(p)" + "".join(f"  r={r:<8.3g}" for r in ratios))
    relative = (curves["loss"] / curves["floor"]).values[:, some]
    for p, row in zip(curves["p"].values, relative, strict=True):
        print(f"p = {p:<21.4g}" + "".join(f"  {x:<10.4g}" for x in row))
    if "simulated_loss" in curves:
        gap = (curves["simulated_loss"] - curves["simulated_theory"]) / curves["standard_error"]
        for p, row in zip(curves["p"].values, gap.values, strict=True):
            row = row[curves["simulated_theory"].sel(p=p).values > 0]
            print(
                f"p = {p:.4g}: simulated - theory in standard errors: mean {row.mean():+.2f}, "
                f"rms {np.sqrt(np.mean(row**2)):.2f}, at {row.size} ratios"
            )


def _optimum(options: argparse.Namespace) -> None:
    p = np.array(options.p)[:, None]
    given = {name: getattr(options, name) for name in ("ratio", "sigma") if getattr(options, name)}
    best = optimum(p, **{k: np.array(x) for k, x in given.items()}, amplitude=options.amplitude)
    columns = {"p": best.p, "ratio": best.ratio, "sigma": best.sigma}
    columns |= {"a": best.a, "b": best.b, "loss": best.loss}
    if best.ratio is not None:
        columns["linear_loss"] = linear_loss(best.p, best.ratio, amplitude=options.amplitude)
    known = {name: np.ravel(x).tolist() for name, x in columns.items() if x is not None}
    rows = [dict(zip(known, row, strict=True)) for row in zip(*known.values(), strict=True)]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print("  ".join(f"{name:>16}" for name in known))
    for row in rows:
        print("  ".join(f"{x:16.10g}" for x in row.values()))


def _decoders(options: argparse.Namespace) -> None:
    made = _made("decoders", options, "p", "ratio", "channel", "amplitude")
    with _writing(options, {options.figure: made}):
        _show_decoders(options)


def _show_decoders(options: argparse.Namespace) -> None:
    table = decoder_table(
        np.unique(options.p),
        np.unique(options.ratio),
        channel=options.channel,
        amplitude=options.amplitude,
    )
    frame = table.to_dataframe().reset_index()
    frame = frame[["p", "ratio", "decoder", "loss", "over_bayes", "over_oracle"]]
    frame = frame.sort_values(["p", "ratio"], kind="stable")
    if options.json:
        print(json.dumps(frame.to_dict("records"), indent=1))
    else:
        print(frame.to_string(index=False, float_format=lambda x: f"{x:.6g}"))
    if options.figure is not None:
        from .figures import draw_decoders

        ratio = options.ratio[0]

        def draw(ax: Any) -> None:
            draw_decoders(table.sel(ratio=ratio), ax)
            ax.set_title(
                f"{options.channel.capitalize()} channel, ratio {ratio:g}", fontsize="medium"
            )

        _draw(options.figure, draw)


def _scaling(options: argparse.Namespace) -> None:
    made = _made("scaling", options, "power", "p", "points")
    with _writing(options, {options.figure: made}):
        _show_scaling(options)


def _show_scaling(options: argparse.Namespace) -> None:
    from .figures.numbers import scaling_curves

    power = _check.scalar("power", options.power)
    points = _check.count("points", options.points, 2)
    _check.probability("p", options.p)
    p = np.geomspace(1e-8, 0.3, points)
    r = np.geomspace(options.p / 100, 0.95, points)
    curves = {
        f"r = p^{power:g}": (scaling_curves(p, p**power), "p"),
        f"p = {options.p:g}": (scaling_curves(options.p, r), "ratio"),
    }
    if options.json:
        report = {
            name: {"x": curve[x].values.tolist(), "exact": curve["exact"].values.tolist()}
            | {str(law): curve["law"].sel(name=law).values.tolist() for law in curve["name"].values}
            | {
                "exponent of p": curve["exponent_p"].values.tolist(),
                "exponent of r": curve["exponent_ratio"].values.tolist(),
            }
            for name, (curve, x) in curves.items()
        }
        print(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        for name, (curve, x) in curves.items():
            laws = ", ".join(map(str, curve["name"].values))
            print(f"{name}; laws over exact: {laws}; exponents of p and r")
            for k in np.unique(np.linspace(0, points - 1, 9).astype(int)):
                at = curve.isel(point=k)
                ratios = "  ".join(f"{ratio:10.5g}" for ratio in (at["law"] / at["exact"]).values)
                print(
                    f"{float(at[x]):10.3e} {float(at['exact']):12.5e}  {ratios}  "
                    f"{float(at['exponent_p']):6.3f} {float(at['exponent_ratio']):7.3f}"
                )
    if options.figure is not None:
        from .figures import draw_scaling

        def draw(axes: Any) -> None:
            for k, (name, (curve, x)) in enumerate(curves.items()):
                draw_scaling(curve, x, axes[:, k])
                axes[0, k].set_title(name, fontsize="medium")

        _draw(options.figure, draw, panels=(2, 2))


def _figures(options: argparse.Namespace) -> None:
    from .figures.gallery import TRAINED, Given, chosen, read_trained, write_figures

    trained = None if options.data is None else read_trained(options.data)
    model = None if options.weights is None else read_weights(options.weights)
    given = Given(_check.scalar("p", _check.probability("p", options.p)), trained, model)
    outputs: dict[Path | None, dict[str, Any]] = {}
    for name in chosen(given, options.only):
        made = _made("figures", options, "p", "weights", *(["data"] if name in TRAINED else []))
        for suffix in ("nc", options.format):
            outputs[options.out / f"{name}.{suffix}"] = made | {"figure": name}
    with _writing(options, outputs, [options.out]):
        for line in write_figures(options.out, given, only=options.only, suffix=options.format):
            print(line, flush=True)


def _rug(options: argparse.Namespace) -> None:
    rug = hadamard_rug(options.n_sparse, options.n_dense, seed=options.seed)
    made = _made("rug", options, "n_sparse", "n_dense", "seed")
    ab = made | _made("rug", options, "p", "amplitude")
    if options.out is not None and options.out == options.figure:
        raise ValueError(f"--out and --figure must be different files, got {options.out} twice")
    with _writing(options, {options.out: ab, options.figure: made}):
        _write_rug(rug, options)


def _write_rug(rug: Rug, options: argparse.Namespace) -> None:
    lines = [
        f"n_sparse {rug.n_sparse}, n_dense {rug.n_dense}, ratio {rug.ratio:.6g}",
        f"row sum {rug.row_sum:.6g}, Lyapunov statistic {rug.lyapunov:.6g}",
    ]
    a, b = 1.0, 0.0
    if options.p is not None:
        law = options.amplitude
        best = optimum(options.p, rug.ratio, amplitude=law)
        a, b = float(best.a), rug.bias(float(best.b), float(best.a), options.p, amplitude=law)
        lines += [
            f"at p = {options.p:g}: sigma {rug.sigma(options.p, amplitude=law):.10g}, "
            f"skewness {rug.skewness(options.p, amplitude=law):.4g}",
            f"a {a:.10g}, bias {b:.10g}, loss in theory {float(best.loss):.10g}",
        ]
    # Both files appear, or none does.
    with ExitStack() as both:
        if options.out is not None:
            rug.save(both.enter_context(replacing(options.out)), a=a, b=b, seed=options.seed)
            lines.append(f"wrote {options.out}")
        if options.figure is not None:
            from .figures import draw_rug

            _draw(both.enter_context(replacing(options.figure)), lambda ax: draw_rug(rug, ax))
            lines.append(f"wrote {options.figure}")
    print("\n".join(lines))


def _weights(options: argparse.Namespace) -> None:
    model = read_weights(options.file)
    made = _made("weights", options, "file", "p", "rows", "seed", "amplitude")
    with _writing(options, {options.figure: made}):
        _show_weights(model, options)


def _show_weights(model: Weights, options: argparse.Namespace) -> None:
    from tqdm import tqdm

    given = model.w_in, model.w_out, model.b, options.p
    found = symmetry(*given, amplitude=options.amplitude, seed=options.seed)
    verdict = explain(
        *given,
        rows=options.rows or None,
        amplitude=options.amplitude,
        seed=options.seed,
        progress=lambda rows: tqdm(rows, desc="inverting", unit="row"),
    )
    if options.json:
        print(json.dumps({"symmetry": found.summary(), "verdict": vars(verdict)}, indent=1))
    else:
        for name, value in found.summary().items():
            print(f"{name:32} {value:.6g}")
        print(f"{'loss':32} {verdict.loss:.6g} (standard error {verdict.standard_error:.1g})")
        print(f"{'outputs that never fire':32} {verdict.silent}")
        print("above the next step by")
        for name, value in verdict.terms.items():
            print(f"  {name:30} {value:+.6g}")
        print(f"{'best known, ' + verdict.family:32} {verdict.best:.6g}")
        print(f"{'Gaussian rug':32} {verdict.rug:.6g}")
    if options.figure is not None:
        _draw_weights(model, found, verdict, options)
        if not options.json:
            print(f"wrote {options.figure}")


def _draw_weights(
    model: Weights, found: Symmetry, verdict: Verdict, options: argparse.Namespace
) -> None:
    from .figures import draw_corner, draw_diagonal, draw_row_law, draw_waterfall
    from .figures.numbers import row_law

    def draw(axes: Any) -> None:
        draw_corner(model.w_out[:30] @ model.w_in[:, :30], model.b[:30], axes[0, 0])
        draw_diagonal(found, axes[0, 1])
        if found.rows.size:
            i = found.rows[0]
            row = np.delete(model.w_out[i] @ model.w_in, i)
            draw_row_law(row_law(RowChannel(row, options.p, options.amplitude)), axes[1, 0])
        draw_waterfall(verdict, axes[1, 1])

    _draw(options.figure, draw, panels=(2, 2))


def _darkmatter(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    saes = _decoders_in(options.sae)
    components = {}
    for text in options.component:
        name, equals, place = text.partition("=")
        file, comma, sae = place.partition(",")
        if not (name and equals and file):
            raise ValueError(f"--component must be NAME=FILE or NAME=FILE,SAE, got {text!r}")
        acts = darkmatter.read_activations(file)
        components[name] = (
            darkmatter.Reconstruction(acts, darkmatter.read_sae(sae)) if comma else acts
        )
    contexts, tokens = (
        None if file is None else np.asarray(darkmatter.read_activations(file)[:])
        for file in (options.contexts, options.tokens)
    )
    acts = darkmatter.read_activations(options.acts)
    with _writing(options, _dark_outputs(options, saes), [options.out, options.out / "saes"]):
        found = darkmatter.write_report(
            acts,
            saes,
            options.out,
            contexts=contexts,
            tokens=tokens,
            components=components,
            pursuit=saes if options.pursuit else (),
            align=saes if options.align else (),
            about={"activations": options.acts},
            seed=options.seed,
            progress=lambda names: tqdm(names, desc="decoders", unit="SAE"),
        )
        written = [darkmatter.save_tables(found, options.out)]
        written += darkmatter.save_figures(found, options.out)
    for record in found["saes"]:
        print(
            f"{record['name']:24} L0 {record['l0']:7.4g}  FVU {record['fvu']['value']:.4f}  "
            f"nonlinear {record['fvu_nl']['value']:.4f}  R² of error {record['r2']['value']:.3f}, "
            f"of its norm {record['norm_test']['error']['value']:.3f}"
        )
    print("\n".join(f"wrote {path}" for path in [options.out / "report.json", *written]))
    if found["failures"]:
        failed = "; ".join(f"{one['name']}: {one['error']}" for one in found["failures"])
        raise RuntimeError(f"the report is written, but lacks what failed: {failed}")


def _dark_outputs(
    options: argparse.Namespace, saes: Mapping[str, Path]
) -> dict[Path | None, dict[str, Any]]:
    def content(place: str | None) -> str | None:
        """Digest of a file, or of one tensor in a file."""
        if place is None:
            return None
        file, tensor, name = place.partition(".safetensors:")
        return f"{digest(Path(f'{file}.safetensors'))} {name}" if tensor else digest(Path(place))

    made = _made("darkmatter", options, "seed")
    made |= {name: content(getattr(options, name)) for name in ("acts", "contexts", "tokens")}
    for text in options.component:
        name, _, place = text.partition("=")
        file, comma, sae = place.partition(",")
        made[f"component {name}"] = [content(file), digest(Path(sae)) if comma else None]
    # What only adds to a report is not there unless it is asked for.
    made |= {name: True for name in ("pursuit", "align") if getattr(options, name)}
    digests = {name: digest(path) for name, path in saes.items()}
    whole = made | {f"sae {name}": found for name, found in digests.items()}
    files = ["report.json", "report.md", *(f"{name}.png" for name in PICTURES)]
    outputs: dict[Path | None, dict[str, Any]] = {options.out / name: whole for name in files}
    for name, found in digests.items():
        for suffix in ("json", "npz"):
            outputs[options.out / "saes" / f"{name}.{suffix}"] = made | {"sae": found}
    return outputs


def _decoders_in(paths: Sequence[Path]) -> dict[str, Path]:
    """The decoders at `paths` and in folders there, by name."""
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"no such file or folder: {path}")
        inside = [] if path.is_file() or _holds_decoder(path) else sorted(path.iterdir())
        some = [p for p in inside if p.suffix == ".npz" or (p.is_dir() and _holds_decoder(p))]
        if inside and not some:
            raise ValueError(f"{path} holds no decoder and no folder of one")
        for one in some or [path]:
            name = one.stem if one.is_file() else one.resolve().name
            if name in found:
                raise ValueError(f"two decoders are called {name}: {found[name]} and {one}")
            found[name] = one
    return found


def _holds_decoder(folder: Path) -> bool:
    return (folder / "cfg.json").is_file() or (folder / "params.npz").is_file()


def _draw(path: Path, draw: Any, panels: tuple[int, int] = (1, 1)) -> None:
    from ._style import save

    size = (2 + 5 * panels[1], 1.2 + 4 * panels[0])
    save(path, lambda figure: draw(figure.subplots(*panels)), size)


if __name__ == "__main__":
    sys.exit(main())
