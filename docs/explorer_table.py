"""Make the tables of the explorer: losses of pairs, and of the best known structures.

The rest of the explorer is computed in the page (docs/explorer/theory.js).  These take
milliseconds and more, too long for a curve that follows a slider.  Tabulated are logs of losses, on
an even grid of log p + 8p, which resolves p near 1 too:

* antipodal_table.js: of loss over variance, against arsinh 5s, with s² = 1/r - 2 the interference
  of other pairs in units of the variance, in which it is smooth;
* best_known_table.js: of loss over (1 - r) times the variance, against log r/(1 - r).  It has kinks
  where one structure takes over from another, so that linear interpolation has to do.

Run as ``python docs/explorer_table.py``; it takes some minutes.
"""

import json
from pathlib import Path

import numpy as np
from scipy import special

import rugtheory as rt
from rugtheory._files import replacing

STRETCH = 8.0
SPARSITY = np.linspace(np.log(1e-8) + STRETCH * 1e-8, STRETCH, 106)
SPREAD = 5.0
NOISE = np.linspace(0.0, np.arcsinh(SPREAD * np.sqrt(1e4 - 2)), 88)
LOGIT = np.linspace(np.log(1e-4 / (1 - 1e-4)), np.log(1e6 - 1), 161)


def probability(sparsity: np.ndarray) -> np.ndarray:
    """p at `sparsity` = log p + 8p."""
    return np.minimum(special.lambertw(STRETCH * np.exp(sparsity)).real / STRETCH, 1.0)


def table(sparsity: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Log of loss over variance at `sparsity` = log p + 8p (rows) and `noise` = arsinh 5s."""
    p = probability(sparsity)[:, None]
    ratio = 1 / ((np.sinh(noise) / SPREAD) ** 2 + 2)
    return np.log(rt.antipodal_optimum(p, ratio).loss / rt.SparseSource(p).variance)


def best_known(sparsity: np.ndarray, logit: np.ndarray) -> np.ndarray:
    """Log of loss over (1 - r) times the variance at `sparsity` (rows) and log r/(1 - r)."""
    p = probability(sparsity)[:, None]
    unit = rt.SparseSource(p).variance * special.expit(-logit)
    return np.log(rt.best_known(p, special.expit(logit), limit=True).loss / unit)


def axis(grid: np.ndarray) -> str:
    step = (grid[-1] - grid[0]) / (grid.size - 1)
    return f"{{ start: {float(grid[0])!r}, step: {float(step)!r}, count: {grid.size} }}"


def write(name: str, about: str, fields: dict[str, str], logs: np.ndarray, digits: int) -> None:
    """A script that defines `name`, with these fields and a row for each p."""
    fields = {"stretch": repr(STRETCH), "sparsity": axis(SPARSITY), **fields}
    rows = ",\n".join(json.dumps([round(x, digits) for x in row]) for row in logs)
    file = "".join(f"_{x.lower()}" if x.isupper() else x for x in name) + ".js"
    with replacing(Path(__file__).parent / "explorer" / file) as partial:
        partial.write_text(
            f"// Made by docs/explorer_table.py: {about}.\n"
            '"use strict";\n\n'
            f"const {name} = {{\n"
            + "".join(f"  {key}: {value},\n" for key, value in fields.items())
            + f"  logShare: [\n{rows}\n  ],\n}};\n\n"
            f'if (typeof module !== "undefined") module.exports = {name};\n',
            encoding="utf-8",
        )


def main() -> None:
    pairs = {"spread": repr(SPREAD), "noise": axis(NOISE)}
    about = "log(loss/variance) of the best antipodal rug"
    write("antipodalTable", about, pairs, table(SPARSITY, NOISE), 6)
    about = "log(loss/variance/(1 - ratio)) of the best known structure"
    write("bestKnownTable", about, {"logit": axis(LOGIT)}, best_known(SPARSITY, LOGIT), 4)


if __name__ == "__main__":
    main()
