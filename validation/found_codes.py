"""``python -m validation.found_codes``: codes of few features by exact descents, for the package.

From random weights or a start that `rt.minimize` names, with a cap on couplings; features that the
descent drops are left out, as `best_known` drops features by itself.  A code is kept if it loses
less than all that is known at its ratio at the p it was found at, those kept before included, and
named by its size and that p.  In the end those go that no p has on the hull of all structures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

import rugtheory as rt
from rugtheory._check import Array
from rugtheory._files import replacing
from rugtheory.analysis.columns import dead_features
from rugtheory.analysis.starts import INITS
from rugtheory.cli.running import guarded
from rugtheory.cli.shared import Parser
from rugtheory.source.sparse import SparseSource
from rugtheory.structure.best import MAX_COUPLING
from rugtheory.structure.found_codes import DATA, Found, code_at, directions_of, rough_loss, table
from rugtheory.structure.hull import hull, hull_of
from rugtheory.structure.members import Node
from rugtheory.structure.small_code import Directions, SmallCode

# A code has to lose that much less than what is known.
_GAIN = 0.002
# Where hulls are looked at, and what a code may be of use for beyond.
_P, _WIDER = np.geomspace(0.001, 0.5, 36), 1.5


def found(
    n: int, n_dense: int, p: float, seed: int, cap: float, *, init: str, steps: int
) -> Directions | None:
    """The features that one descent keeps; None if it ends above its cap."""
    features = rt.Identical(n, p)
    end = rt.minimize(features, n_dense, init=init, seed=seed, max_coupling=cap, steps=steps)
    if end.coupling > cap:
        return None
    alive = ~dead_features(end.model.diagonal)
    return directions_of(end.model.w_in[:, alive], end.model.w_out[alive])


def better(code: Directions, p: float) -> bool:
    """Whether it loses less than what is known at its ratio."""
    known = rt.best_known(p, code.ratio, max_coupling=max(code.coupling, 1.0)).loss
    return SmallCode.of(code, SparseSource(p)).loss < (1 - _GAIN) * float(known)


def is_at(node: Node, code: Found) -> bool:
    """Whether a node is a code; large ones are known by their names there."""
    if isinstance(node.made, SmallCode):
        return node.made.directions is code.directions
    return (node.family, node.ratio) == (code.size, code.directions.ratio)


def of_use() -> dict[str, Found]:
    """The codes that are a corner of the hull at some p, with the cap of some code.

    With the p between which they are, and a factor more on both sides.
    """
    codes, at = table(), dict[str, list[float]]()
    for p in _P.tolist():
        source = SparseSource(p)
        for cap in sorted({float(np.ceil(code.directions.coupling)) for code in codes.values()}):
            chain = hull(p, source.amplitude, cap)
            ends = [x for one in chain for x in (one.low, one.high)]
            for name, code in codes.items():
                if any(is_at(x, code) for x in ends):
                    at.setdefault(name, []).append(p)
    return {
        name: codes[name]._replace(least=min(p) / _WIDER, most=min(max(p) * _WIDER, 1.0))
        for name, p in at.items()
    }


def cases(arguments: argparse.Namespace) -> Iterator[tuple[int, int, float, int]]:
    """n, n_dense, p and seed."""
    for p in arguments.p:
        for size in arguments.sizes:
            n, _, n_dense = size.partition("x")
            for seed in range(arguments.seeds):
                yield int(n), int(n_dense), p, seed


def parser() -> Parser:
    """Of the command."""
    made = Parser(prog="python -m validation.found_codes", description=__doc__)
    made.add_argument("--p", type=float, nargs="+", required=True, help="probabilities")
    made.add_argument("--sizes", nargs="+", required=True, help="features and units: 16x4")
    made.add_argument("--seeds", type=int, default=3, help="descents of each size and p")
    made.add_argument("--init", choices=INITS, default=INITS[0], help="what descents start from")
    made.add_argument("--steps", type=int, default=1500, help="of each descent")
    made.add_argument("--max-coupling", type=float, default=MAX_COUPLING, help="cap on couplings")
    return made


def run(arguments: argparse.Namespace) -> None:
    """Add what is found to the file of the package, after each size."""
    cap = arguments.max_coupling
    init, steps = arguments.init, arguments.steps
    for n, n_dense, p, seed in tqdm(list(cases(arguments))):
        code = found(n, n_dense, p, seed, cap, init=init, steps=steps)
        if code is None or not better(code, p):
            continue
        kept = Found(code, 0.0, 1.0)
        name = f"{kept.size}, p {p:g}" + ("" if cap == MAX_COUPLING else f", cap {cap:g}")
        keep(table() | {name: kept})
    keep(of_use())


def keep(codes: dict[str, Found]) -> None:
    """Write all codes to the file of the package, and forget those read."""
    arrays: dict[str, Array] = {}
    for name, code in sorted(codes.items()):
        arrays |= {f"{name}.w_in": code.directions.w_in, f"{name}.w_out": code.directions.w_out}
        arrays[f"{name}.range"] = np.array([code.least, code.most])
    with replacing(DATA) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    for kept in (table, rough_loss, code_at, hull_of):
        kept.cache_clear()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    made = parser()
    return guarded(made, made.parse_args(arguments), run)


if __name__ == "__main__":
    sys.exit(main())
