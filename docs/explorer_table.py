"""Make docs/explorer/antipodal_table.js, the one table of the explorer: losses of pairs.

The rest of the explorer is computed in the page (docs/explorer/theory.js).  An antipodal optimum
takes milliseconds, too long for a curve that follows a slider.  Tabulated is the log of loss over
variance, on an even grid of log p + 8p, which resolves p near 1 too, and of arsinh 5s, with
s² = 1/r - 2 the interference of other pairs in units of the variance, in which it is smooth.

Run as ``python docs/explorer_table.py``; it takes a minute or two.
"""

import json
from pathlib import Path

import numpy as np
from scipy.special import lambertw

import rugtheory as rt
from rugtheory._files import replacing

STRETCH = 8.0
SPARSITY = np.linspace(np.log(1e-8) + STRETCH * 1e-8, STRETCH, 106)
SPREAD = 5.0
NOISE = np.linspace(0.0, np.arcsinh(SPREAD * np.sqrt(1e4 - 2)), 88)


def table(sparsity: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Log of loss over variance at `sparsity` = log p + 8p (rows) and `noise` = arsinh 5s."""
    p = np.minimum(lambertw(STRETCH * np.exp(sparsity)).real / STRETCH, 1.0)[:, None]
    ratio = 1 / ((np.sinh(noise) / SPREAD) ** 2 + 2)
    return np.log(rt.antipodal_optimum(p, ratio).loss / rt.SparseSource(p).variance)


def axis(grid: np.ndarray) -> str:
    step = (grid[-1] - grid[0]) / (grid.size - 1)
    return f"{{ start: {float(grid[0])!r}, step: {float(step)!r}, count: {grid.size} }}"


def main() -> None:
    rows = ",\n".join(json.dumps([round(x, 6) for x in row]) for row in table(SPARSITY, NOISE))
    path = Path(__file__).parent / "explorer" / "antipodal_table.js"
    with replacing(path) as partial:
        partial.write_text(
            "// Made by docs/explorer_table.py: log(loss/variance) of the best antipodal rug.\n"
            '"use strict";\n\n'
            "const antipodalTable = {\n"
            f"  stretch: {STRETCH!r},\n"
            f"  spread: {SPREAD!r},\n"
            f"  sparsity: {axis(SPARSITY)},\n"
            f"  noise: {axis(NOISE)},\n"
            f"  logShare: [\n{rows}\n  ],\n}};\n\n"
            'if (typeof module !== "undefined") module.exports = antipodalTable;\n',
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
