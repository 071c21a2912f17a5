"""The figure and the table of docs/decoders.md: ``python docs/decoders.py``."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import rugtheory as rt

P = 10.0 ** -np.arange(1, 9)
KINDS = {"relu": "ReLU", "topk": "TopK, k/n = p", "jumprelu": "JumpReLU"}


def main() -> None:
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    colours = [str(x) for x in np.linspace(0.75, 0, P.size)]
    print("| p | ReLU/Bayes at r = p | √p | 0.1 | 0.5 | 0.99 | Λ(p) | JumpReLU/Bayes, worst r |")
    print("|---|---|---|---|---|---|---|---|")
    for p, colour in zip(P, colours, strict=True):
        table = rt.decoder_table(p, np.geomspace(p, 0.99, 80)).isel(p=0)
        for ax, (kind, name) in zip(panels, KINDS.items(), strict=True):
            ax.plot(table.ratio, table.over_bayes.sel(decoder=kind), color=colour)
            ax.set(xscale="log", title=name, xlabel="compression ratio r")
        shown = rt.decoder_table(p, np.unique([p, np.sqrt(p), 0.1, 0.5, 0.99])).isel(p=0)
        relu = shown.over_bayes.sel(decoder="relu")
        cells = [f"{float(relu.sel(ratio=r)):.2f}" for r in (p, np.sqrt(p), 0.1, 0.5, 0.99)]
        worst = float(table.over_bayes.sel(decoder="jumprelu").max())
        constant = float(rt.sparse_constants(p).leading)
        print(f"| {p:.0e} | {' | '.join(cells)} | {constant:.2f} | {worst:.3f} |")
    panels[0].set(ylabel="loss / loss of Bayes' decoder", ylim=(0.9, 9))
    for k in (0, 3, 7):
        panels[0].annotate(
            f"p = {P[k]:.0e}",
            (0.99, float(rt.decoder_table(P[k], 0.99).over_bayes.sel(decoder="relu").item())),
            xytext=(-28, 4),
            textcoords="offset points",
            ha="right",
            fontsize="small",
        )
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=130)


if __name__ == "__main__":
    main()
