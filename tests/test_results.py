"""What results look like: short whatever they hold, as tables and as dictionaries."""

import copy
import dataclasses
import inspect
import json
import re

import numpy as np
import pandas as pd
import pytest

import rugtheory as rt
from rugtheory import darkmatter as dm
from rugtheory._result import Result

from .test_values import MADE

# Public classes that functions return, never given to one.
GIVEN = {"GraphCode", "PrecedenceCode", "Rug", "SAE", "WeightLaw"}
RESULTS = {
    name
    for module in (rt, dm)
    for name in module.__all__
    if inspect.isclass(getattr(module, name)) and issubclass(getattr(module, name), Result)
}


def made(function, arguments):
    one = function(**arguments)
    if not dataclasses.is_dataclass(one):
        pytest.skip("not a dataclass")
    return one


def enlarged(value):
    """The same with arrays and sequences of many entries."""
    if isinstance(value, np.ndarray) and value.ndim:
        return np.resize(value, (700, *value.shape[1:])) if value.size else value
    if isinstance(value, tuple) and value:
        return value * 300
    if isinstance(value, dict):
        return {f"{key} {k}": x for key, x in value.items() for k in range(3)}
    return value


@pytest.mark.parametrize(("function", "arguments"), MADE)
def test_short_whatever_it_holds(function, arguments):
    one = made(function, arguments)
    other = copy.copy(one)
    for field in dataclasses.fields(one):
        object.__setattr__(other, field.name, enlarged(getattr(one, field.name)))
    for x in (one, other):
        text = repr(x)
        assert text.startswith(f"{type(x).__name__}(") and text.endswith(")")
        assert "np." not in text
        assert len(text.splitlines()) <= 20 and max(map(len, text.splitlines())) <= 200
    if type(one).__name__ in RESULTS - {"FittedFeatures"}:  # which holds what may be given
        assert not re.search(r"\d\.\d{11}", repr(one))


@pytest.mark.parametrize(("function", "arguments"), MADE)
def test_tables_hold_the_numbers(function, arguments):
    one = made(function, arguments)
    if not isinstance(one, Result):
        assert type(one).__name__ not in RESULTS
        pytest.skip("not a result")
    names = [field.name for field in dataclasses.fields(one)]
    kept = one.to_dict()
    assert list(kept) == names
    assert json.loads(json.dumps(kept)).keys() == kept.keys()
    html = one._repr_html_()
    assert all(f">{name}" in html for name in names) and html.count("<tr>") >= len(names)
    frame = one.to_dataframe()
    assert len(frame)
    for name in names:
        value = getattr(one, name)
        if isinstance(value, np.ndarray):
            assert np.array_equal(
                np.reshape(kept[name], value.shape), value, value.dtype.kind == "f"
            )
            if name in frame:
                np.testing.assert_array_equal(frame[name], value.ravel() if value.ndim else value)
            else:
                np.testing.assert_array_equal(frame.attrs[name], value)
        elif isinstance(value, float):
            assert kept[name] == value or value != value
            assert (frame[name] == value).all() or value != value


def test_every_result_is_one():
    """All that is public, a dataclass, and not made by its user has tables."""
    made_by_users = {"Independent", "Identical"}  # of many more
    for module in (rt, dm):
        for name in module.__all__:
            kind = getattr(module, name)
            if not inspect.isclass(kind) or not dataclasses.is_dataclass(kind):
                continue
            is_given = (
                name in GIVEN
                or issubclass(kind, rt.Features | rt.Amplitude | rt.Channel)
                or name in made_by_users
                or kind.__module__.startswith(
                    ("rugtheory.decoder.", "rugtheory.source.", "rugtheory.channel.")
                )
                or kind is rt.Model
            )
            assert issubclass(kind, Result) or is_given, name


def test_a_table_of_an_optimum():
    best = rt.optimum([[0.01], [0.1]], [0.25, 0.5])
    frame = best.to_dataframe()
    assert isinstance(frame, pd.DataFrame) and len(frame) == 4
    np.testing.assert_array_equal(frame["loss"], best.loss.ravel())
    assert {"p", "ratio", "a", "b", "sigma", "loss"} <= set(frame)


def test_a_table_of_statistics_has_a_row_a_feature():
    rug = rt.hadamard_rug(64, 16, seed=0)
    found = rt.statistics(rt.Model(rug.w_in, rug.w_out()), rt.Identical(64, 0.1), rows=1)
    frame = found.to_dataframe()
    assert len(frame) == 64 and set(frame["n_dense"]) == {16}
    assert frame.attrs["singular_values"].shape == (16,)
    assert len(repr(found).splitlines()) <= 20


def test_without_pandas(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pandas.*rugtheory\[sweep\]"):
        rt.optimum(0.1, 0.5).to_dataframe()
