"""Break formulas on purpose and see whether the laws notice: ``python -m tests.laws.mutate``.

Each mutant is one change in a temporary copy of the package, with the laws named beside it run
against that copy and nothing else.  What they say goes to `mutants.md`, from where
`python -m tests.laws.table` takes it into the page.  Names of mutants as arguments run only those,
and print without writing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


class Mutant(NamedTuple):
    """One formula, the same broken, and the class of laws that should notice."""

    name: str
    module: str
    right: str
    wrong: str
    laws: str


MUTANTS = [
    Mutant(
        "neighbours in a graph at twice their weight", "structure/graph_optimum",
        "np.array([lift - 1 / graph.theta, lift])", "np.array([lift - 2 / graph.theta, lift])",
        "test_decoders.py::TestGraphs",
    ),
    Mutant(
        "features silenced by the one before, too", "structure/precedence",
        "_silenced(p, n - 2)", "_silenced(p, n - 1)",
        "test_decoders.py::TestPrecedence",
    ),
    Mutant(
        "G₁ near zero slightly off", "numerics/rectified",
        "g1 = z + 3 * g3", "g1 = z + 3.0001 * g3",
        "test_scalar.py::TestLoss",
    ),
    Mutant(
        "noise that passes, in the closed form over u", "theory/loss",
        "e * (g.g3 - active * g.g1)",
        "e * (g.g3 - 0.5 * active * g.g1)",
        "test_scalar.py::TestLoss",
    ),
    Mutant(
        "gradient in σ without the signal's part", "theory/loss",
        "by_sigma = sigma * a**2 * passed - p * np.abs(a) * on.uphi",
        "by_sigma = sigma * a**2 * passed",
        "test_scalar.py::TestLoss",
    ),
    Mutant(
        "stationarity in b of the optimum", "theory/stationary",
        "(sigma * sigma * passed + beta * h) * h - noise * hh",
        "(sigma * sigma * passed + beta * h) * h - 1.0001 * noise * hh",
        "test_scalar.py::TestOptimum",
    ),
    Mutant(
        "Welch bound with 1/r for 1/r - 1", "theory/bounds",
        "np.sqrt(source.variance * ((1 - ratio) / ratio))", "np.sqrt(source.variance / ratio)",
        "test_scalar.py::TestBounds",
    ),
    Mutant(
        "cubes summed with the diagonal", "theory/bounds",
        "np.mean(cubes.sum(axis=1) - 1)", "np.mean(cubes.sum(axis=1))",
        "test_weights.py::TestRugs",
    ),
    Mutant(
        "third cumulant of a sparse source", "source/sparse",
        "p * k3 + 3 * q * k1 * k2 + q * (1 - 2 * p) * k1**3",
        "p * k3 + 3 * q * k1 * k2 + q * (1 - p) * k1**3",
        "test_scalar.py::TestSource",
    ),
    Mutant(
        "Λ₁ without what lies below the threshold", "theory/sparse_law",
        "- 2 * e * e * m1 * m * share - boundary", "- 2 * e * e * m1 * m * share",
        "test_scalar.py::TestScaling",
    ),
    Mutant(
        "slope of log L in r", "theory/scaling",
        "-steep / (2 * (1 - ratio))", "-steep / 2",
        "test_scalar.py::TestScaling",
    ),
    Mutant(
        "partner that adds instead of screening", "theory/partner",
        "at(b - a * coupling * u)", "at(b + a * coupling * u)",
        "test_decoders.py::TestPairs",
    ),
    Mutant(
        "pairs with a variance of 1/r - 1", "theory/pairs",
        "((1 - 2 * ratio) / ratio)", "((1 - ratio) / ratio)",
        "test_scalar.py::TestBounds",
    ),
    Mutant(
        "readings missed by a jump", "decoder/loss",
        "* spread) + u**2 * special.ndtr(z)", "* spread)",
        "test_decoders.py::TestDecoders",
    ),
    Mutant(
        "variance of the posterior", "channel/posterior",
        "variance = 1 + (t * low", "variance = 1 - (t * low",
        "test_decoders.py::TestDecoders",
    ),
    Mutant(
        "kernel of the inversion", "channel/row_loss",
        "return on, lambda s: 2 / s**3", "return on, lambda s: 2.001 / s**3",
        "test_weights.py::TestExactLoss",
    ),
    Mutant(
        "probability that no interferer is on", "channel/terms",
        "self.weights.size * float(np.log1p(-self.p))",
        "(self.weights.size - 1) * float(np.log1p(-self.p))",
        "test_weights.py::TestExactLoss",
    ),
    Mutant(
        "Edgeworth's term in κ₃", "channel/row",
        "total += k3 / 6 * derivative(3)", "total -= k3 / 6 * derivative(3)",
        "test_weights.py::TestRowChannel",
    ),
    Mutant(
        "Walsh–Hadamard signs by XOR, as printed in the paper", "numerics/hadamard",
        "np.bitwise_count(np.bitwise_and(i, j))", "np.bitwise_count(np.bitwise_xor(i, j))",
        "test_weights.py::TestRugs",
    ),
    Mutant(
        "chord of dropped features", "structure/mixture",
        "(1 - fraction) * dropped + fraction * best.loss",
        "(1 - fraction) * dropped + best.loss",
        "test_decoders.py::TestStructures",
    ),
    Mutant(
        "mean of the interference by columns", "analysis/statistics",
        "mean=sums.mean / alive", "mean=sums.mean",
        "test_weights.py::TestSymmetry",
    ),
    Mutant(
        "terms of a verdict without the share of features alive", "analysis/verdict",
        'terms["spread between rows"] = f * float(np.mean(gaussian) - mean)',
        'terms["spread between rows"] = float(np.mean(gaussian) + mean)',
        "test_weights.py::TestSymmetry",
    ),
    Mutant(
        "error about zero in place of its mean", "darkmatter/decomposition",
        '"fvu_centred": error / total',
        '"fvu_centred": all_error.about_zero(weights).sum(axis=1) / total',
        "test_darkmatter.py::TestDecomposition",
    ),
    Mutant(
        "pairs of features counted once", "darkmatter/norm_theory",
        "max(2 * float(np.sum(small**2) - np.sum(scaled_length**2)), 0.0)",
        "max(float(np.sum(small**2) - np.sum(scaled_length**2)), 0.0)",
        "test_darkmatter.py::TestNormTest",
    ),
    Mutant(
        "rest of the code without its slope over amplitudes", "darkmatter/rug",
        "rest = (kinked + (a * sigma) ** 2 * steep + straight) / varying",
        "rest = (kinked + straight) / varying",
        "test_darkmatter.py::TestDarkRug",
    ),
]  # fmt: skip


def run(mutant: Mutant) -> list[str]:
    """The laws, of those named, that fail against the mutant."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("rugtheory", "tests"):
            ignore = shutil.ignore_patterns("__pycache__", "data")
            shutil.copytree(ROOT / name, Path(folder) / name, ignore=ignore)
        module = Path(folder) / "rugtheory" / f"{mutant.module}.py"
        text = module.read_text(encoding="utf-8")
        if mutant.right not in text:
            raise ValueError(f"{mutant.module} has no {mutant.right!r}")
        module.write_text(text.replace(mutant.right, mutant.wrong), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-x"]
        shown = subprocess.run(
            [*command, "-o", "addopts=", "-o", "testpaths=", f"tests/laws/{mutant.laws}"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": folder, "RUGTHEORY_HYPOTHESIS": "mutants"},
            capture_output=True,
            text=True,
        )
        if shown.returncode not in (0, 1):
            raise RuntimeError(shown.stdout + shown.stderr)
        return re.findall(r"^FAILED \S+::(\w+::\w+)", shown.stdout, re.MULTILINE)


def main(only: list[str]) -> int:
    """Run the mutants, write the table; 1 if any survives."""
    chosen = [x for x in MUTANTS if not only or x.name in only or x.module in only]
    rows, survivors = [], 0
    for mutant in chosen:
        caught = run(mutant)
        survivors += not caught
        by = f"`{caught[0].replace('::', '.')}`" if caught else "**nothing**"
        rows.append(f"| `{mutant.module}` | {mutant.name} | {by} |")
        print(rows[-1], flush=True)
    head = f"""\
## Formulas broken on purpose

`python -m tests.laws.mutate` breaks one formula at a time in a copy of the package and runs laws on
it, and no other test.  Of {len(chosen)} mutants, {len(chosen) - survivors} were caught; the first
law that noticed:

| module | broken | caught by |
|---|---|---|
"""
    if not only:
        (HERE / "mutants.md").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
