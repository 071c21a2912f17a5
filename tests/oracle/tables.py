"""The reference tables as read back."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

import rugtheory as rt

DATA = Path(__file__).parent / "data"


class Table(NamedTuple):
    """Columns as float64 by name, and the laws of the rows where the table has them."""

    columns: dict[str, np.ndarray]
    laws: np.ndarray | None

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]


def amplitude(name: str) -> rt.Amplitude:
    """The package's law for a name as in ``exponential(0.5)``."""
    kind, _, parameters = name.rstrip(")").partition("(")
    laws = {
        "uniform": rt.Uniform,
        "constant": rt.Constant,
        "exponential": rt.Exponential,
        "halfnormal": rt.HalfNormal,
        "beta": rt.Beta,
    }
    return laws[kind](*map(float, parameters.split(";")))


def read(name: str) -> Table:
    lines = (DATA / f"{name}.csv").read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    laws = columns.pop("law", None)
    return Table(
        {key: np.array(values, float) for key, values in columns.items()},
        None if laws is None else np.array(laws),
    )
