"""Write the reference tables: ``python -m tests.oracle.generate [TABLE ...]``.

Each finished row is appended at once, in shuffled order; a killed run continues where it stopped.
The package is asked only where to start the search for an optimum; the oracle's own root-find and
integrals decide where it is.
"""

import argparse
import datetime
import itertools
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import mpmath as mp

from . import definition

DATA = Path(__file__).parent / "data"
KNOWN = [(0.045, 0.25), (0.01, 0.1), (0.1, 0.25), (0.05, 0.5), (1e-9, 0.5), (0.3, 0.9999999)]
KNOWN += [(0.5, 1e-4), (0.001, 0.25), (0.6, 0.8), (0.4, 0.02)]
NEAR_ONE = [1 - 1e-9, 1 - 1e-7, 1 - 1e-4, 0.99]
LAWS = [*definition.LAWS, *definition.ATOMS]

Row = tuple[str, ...]


def optimum_uniform() -> list[Row]:
    """(p, ratio) over the domain, its edges, and the crossover to the linear decoder."""
    rng = random.Random(1)
    points = list(KNOWN)
    edges = [1e-12, 1e-9, 1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999, 1.0]
    points += itertools.product(edges, [1e-9, 1e-6, 1e-3, 0.03, 0.3, *NEAR_ONE])
    for p in (1e-8, 1e-4, 1e-2, 0.2, 0.7):
        points += [(p, min(p * 10**x, 0.95)) for x in (-3, -1.5, -0.7, -0.2, 0.2, 0.7, 1.5, 2.5)]
    points += [(10 ** rng.uniform(-12, 0), 10 ** rng.uniform(-9, 0)) for _ in range(120)]
    points += [(10 ** rng.uniform(-6, 0), 1 / (1 + 10 ** rng.uniform(-9, 3))) for _ in range(90)]
    return list(dict.fromkeys((repr(p), repr(r)) for p, r in points))


def optimum_laws() -> list[Row]:
    """(law, p, sigma)."""
    points = [(1e-6, 1e-3), (1e-3, 0.07), (0.045, 0.25), (0.3, 1.0), (0.5, 20.0), (0.95, 0.3)]
    return [(law, repr(p), repr(sigma)) for law in LAWS for p, sigma in points]


def loss_uniform() -> list[Row]:
    """(a, b, sigma, p)."""
    return list(_decoders(340, 2, 1.0))


def loss_laws() -> list[Row]:
    """(law, a, b, sigma, p)."""
    return [(law, *row) for k, law in enumerate(LAWS) for row in _decoders(24, 3 + k, 0.6)]


def scan_uniform() -> list[Row]:
    """(p, sigma), for the least loss over many thresholds."""
    rng = random.Random(9)
    ps = [10 ** rng.uniform(-8, 0) for _ in range(30)]
    return [(repr(p), repr(10 ** rng.uniform(-2.5, 1.5))) for p in ps]


def dark_matter() -> list[Row]:
    """(law, p, ratio, a, b): around the optimum, and off it by some noise widths."""
    uniform = [(1e-12, 1 - 1e-9), (1e-12, 0.5), (1e-12, 1e-9), (1e-9, 1e-6), (1e-6, 1e-3)]
    uniform += [(1e-3, 0.03), (0.01, 1e-3), (0.02, 0.125), (0.045, 0.25), (0.3, 1 - 1e-9)]
    uniform += [(0.3, 0.25), (0.9, 0.5), (1 - 1e-9, 0.7), (1.0, 0.3), (0.2, 0.99)]
    others = [(1e-9, 0.3), (0.045, 0.25), (0.7, 0.6)]
    points = [(definition.UNIFORM, *at, shift) for at in uniform for shift in (0, -2, 1, -6, 3)]
    points += [(law, *at, 0.5) for law in LAWS for at in others]
    return [(law, repr(p), repr(r), *_shifted(law, p, r, shift)) for law, p, r, shift in points]


def _shifted(law: str, p: float, ratio: float, shift: float) -> tuple[str, str]:
    """The best a and b, the latter moved by `shift` standard deviations; six digits."""
    import rugtheory as rt
    from tests.oracle.tables import amplitude

    best = rt.optimum(p, ratio, amplitude=amplitude(law))
    return f"{best.a:.6g}", f"{best.b + shift * best.a * best.sigma:.6g}"


def _decoders(count: int, seed: int, scale: float) -> Iterator[Row]:
    """a, b of either sign, the kink outside, at the ends of, and within the amplitudes."""
    rng = random.Random(seed)
    for k in range(count):
        a = rng.choice([1, 1, 1, -1]) * 10 ** rng.uniform(-3, 1.5)
        sigma = 0.0 if k % 25 == 0 else 10 ** rng.uniform(-9, 3)
        kink = [
            rng.uniform(0, scale),
            sigma * rng.uniform(-6, 6),
            scale + sigma * rng.uniform(-6, 6),
            rng.choice([-1, 1]) * 10 ** rng.uniform(-3, 2),
        ][k % 4]
        if k % 31 == 5:
            a = 0.0
        b = -a * kink if a else rng.uniform(-1, 1)
        p = 1.0 if k % 29 == 3 else 10 ** rng.uniform(-12, 0)
        yield repr(a), repr(b), repr(sigma), repr(p)


def _start(**at: float | str) -> float:
    import rugtheory as rt
    from tests.oracle.tables import amplitude

    law = amplitude(str(at.pop("law", definition.UNIFORM)))
    best = rt.optimum(**at, amplitude=law)  # type: ignore[arg-type]
    return -float(best.b) / float(best.a)


def _optimum_uniform(p: str, ratio: str) -> tuple:
    sigma = definition.welch_sigma(float(p), float(ratio))
    return definition.optimum(sigma, float(p), _start(p=float(p), ratio=float(ratio)))


def _optimum_laws(law: str, p: str, sigma: str) -> tuple:
    guess = _start(law=law, p=float(p), sigma=float(sigma))
    return definition.optimum(float(sigma), float(p), guess, law)


def _loss_uniform(*at: str) -> tuple:
    return definition.loss(*map(float, at))


def _loss_laws(law: str, *at: str) -> tuple:
    return definition.loss(*map(float, at), law)


def _scan_uniform(p: str, sigma: str) -> tuple:
    with mp.workdps(20):
        widths = [mp.mpf(k) / 3 * mp.mpf(sigma) for k in range(-36, 30)]
        thresholds = sorted({*widths, *(mp.mpf(k) / 25 for k in range(25))})
        losses = [definition.profile(x, mp.mpf(sigma), mp.mpf(p)) for x in thresholds]
        least = min(losses)
        return thresholds[losses.index(least)], least


def _dark_matter(law: str, *at: str) -> list:
    return definition.dark_matter(*map(float, at), law)


# Points, their integration, names of the inputs and of the results.
TABLES: dict[str, tuple[Callable, Callable, str, str]] = {
    "optimum_uniform": (optimum_uniform, _optimum_uniform, "p ratio", "a b loss"),
    "optimum_laws": (optimum_laws, _optimum_laws, "law p sigma", "a b loss"),
    "loss_uniform": (loss_uniform, _loss_uniform, "a b sigma p", "on off total"),
    "loss_laws": (loss_laws, _loss_laws, "law a b sigma p", "on off total"),
    "scan_uniform": (scan_uniform, _scan_uniform, "p sigma", "threshold loss"),
    "dark_matter": (
        dark_matter,
        _dark_matter,
        "law p ratio a b",
        "linear nonlinear signal noise mean",
    ),
}


def row(name: str, at: Row) -> list[str]:
    """The results of one row, as decimal strings."""
    mp.mp.dps = definition.DIGITS
    return [mp.nstr(value, definition.KEPT, strip_zeros=False) for value in TABLES[name][1](*at)]


def generate(name: str, workers: int) -> None:
    points, _, inputs, results = TABLES[name]
    path = DATA / f"{name}.csv"
    if not path.exists():
        path.write_text(
            f"# python -m tests.oracle.generate {name}\n"
            f"# {datetime.date.today()}, mpmath {mp.__version__}, {definition.DIGITS} digits\n"
            f"{','.join((inputs + ' ' + results).split())}\n"
        )
    done = {tuple(line.split(",")[: len(inputs.split())]) for line in path.read_text().splitlines()}
    missing = [at for at in points() if at not in done]
    random.Random(0).shuffle(missing)
    with ProcessPoolExecutor(workers) as pool, open(path, "a") as file:
        running = {pool.submit(row, name, at): at for at in missing}
        for finished in as_completed(running):
            file.write(",".join([*running[finished], *finished.result()]) + "\n")
            file.flush()
    print(f"{path}: {len(missing)} rows added")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.oracle.generate")
    parser.add_argument("table", nargs="*", default=list(TABLES), metavar="TABLE")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    for name in arguments.table:
        generate(name, arguments.workers)


if __name__ == "__main__":
    main()
