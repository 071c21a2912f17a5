"""Results of functions: what they look like in a notebook, and as tables."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ._extras import remedy
from ._value import ByValue, shown

if TYPE_CHECKING:
    import pandas as pd


class Result(ByValue):
    """A frozen dataclass of numbers, to be combined with ``dataclass(eq=False, repr=False)``."""

    _digits = 6

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="text-align:left">{html.escape(name)}</th>'
            f'<td style="text-align:left">{html.escape(text)}</td></tr>'
            for name, text in _lines(self)
        )
        return f"<table><caption>{type(self).__name__}</caption><tbody>{rows}</tbody></table>"

    def to_dict(self) -> dict[str, Any]:
        """The fields as numbers, texts, lists and dictionaries of them, as JSON has them."""
        return {name: _plain(value) for name, value in _named(self)}

    def to_dataframe(self) -> pd.DataFrame:
        """The fields as columns of a DataFrame of pandas.

        Its rows are the entries of the arrays whose shape most fields have, flattened; what is one
        number or text is repeated, and everything else is left to ``attrs``.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(remedy(error), name="pandas") from None
        values = dict(_flat(self))
        arrays = {name: np.asarray(x) for name, x in values.items() if _is_numbers(x)}
        shapes = [x.shape for x in arrays.values() if x.ndim]
        shape = max(shapes, key=lambda s: (shapes.count(s), np.prod(s)), default=())
        columns, attrs = {}, {}
        for name, value in values.items():
            if name in arrays and arrays[name].shape == shape:
                columns[name] = arrays[name].ravel()
            elif isinstance(value, str | None) or (name in arrays and not arrays[name].ndim):
                columns[name] = value
            else:
                attrs[name] = value
        frame = pd.DataFrame(columns, index=pd.RangeIndex(int(np.prod(shape))))
        frame.attrs = attrs
        return frame


def _named(of: Any) -> Iterator[tuple[str, Any]]:
    yield from ((field.name, getattr(of, field.name)) for field in fields(of))


def _is_numbers(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic | float | int)


def _flat(of: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Fields, and entries of mappings and dataclasses in them."""
    for field, value in _named(of):
        name = before + field
        if isinstance(value, Mapping):
            yield from ((f"{name}: {key}", x) for key, x in value.items())
        elif isinstance(value, Result):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _lines(of: Any) -> Iterator[tuple[str, str]]:
    for name, value in _flat(of):
        yield name, shown(value, of._digits)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(x) for key, x in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(x) for x in value]
    if isinstance(value, Result):
        return value.to_dict()
    if is_dataclass(value) or not isinstance(value, str | int | float | bool | None):
        return repr(value)
    return value
