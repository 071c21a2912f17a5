"""
Losses of decoders over that of the best
========================================

In the Gaussian channel of a rug, against the loss of Bayes' decoder E[x | y], for p = 0.1 (light)
to 1e-8 (dark). The loss of a ReLU is up to 8 times as large at small p; a decoder that jumps stays
within 18 %. The script prints the table of the page about decoders.
"""

import matplotlib.pyplot as plt
import numpy as np

import rugtheory as rt

P = 10.0 ** -np.arange(1, 9)
KINDS = {"relu": "ReLU", "topk": "TopK, k/n = p", "jumprelu": "JumpReLU"}

figure, panels = plt.subplots(
    1, 3, figsize=(11, 3.8), sharex=True, sharey=True, layout="constrained"
)
colours = [str(x) for x in np.linspace(0.75, 0, P.size)]
print("| p | ReLU/Bayes at r = p | √p | 0.1 | 0.5 | 0.99 | Λ(p) | JumpReLU/Bayes, worst r |")
print("|---|---|---|---|---|---|---|---|")
for k, (p, colour) in enumerate(zip(P, colours, strict=True)):
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
    if k in (0, 3, 7):
        panels[0].annotate(
            f"p = {p:.0e}",
            (0.99, float(relu.sel(ratio=0.99))),
            xytext=(-28, 4),
            textcoords="offset points",
            ha="right",
            fontsize="small",
        )
panels[0].set(
    ylabel="loss / loss of Bayes' decoder",
    yscale="log",
    ylim=(0.95, 10),
    yticks=[1, 1.2, 2, 4, 8],
    yticklabels=["1", "1.2", "2", "4", "8"],
)
plt.show()
