"""Arguments that many functions have mean the same and come in one order."""

import inspect

import pytest

import rugtheory as rt
from rugtheory import darkmatter as dm

# Of keywords; positions are those of the papers' formulas.
ORDER = ("channel", "amplitude", "rows", "rtol", "seed", "progress")


def functions():
    for space in (rt, dm):
        for name in space.__all__:
            thing = getattr(space, name)
            if inspect.isfunction(thing):
                yield pytest.param(thing, id=name)
            elif inspect.isclass(thing):
                for method, found in inspect.getmembers(thing, inspect.isroutine):
                    if not method.startswith("_") and found.__module__.startswith("rugtheory"):
                        yield pytest.param(found, id=f"{name}.{method}")


@pytest.mark.parametrize("function", list(functions()))
def test_keywords_come_in_one_order(function):
    keywords = [
        x.name
        for x in inspect.signature(function).parameters.values()
        if x.kind is x.KEYWORD_ONLY and x.name in ORDER
    ]
    assert keywords == sorted(keywords, key=ORDER.index)


@pytest.mark.parametrize("function", list(functions()))
def test_models_and_features_come_first(function):
    names = [x for x in inspect.signature(function).parameters if x not in ("self", "cls")]
    if "model" in names:
        assert names[0] == "model"
        assert "features" not in names or names[1] == "features"


def test_functions_of_a_model_and_features_take_nothing_that_these_hold():
    """No p, amplitude or importance beside features, no b or activation beside a model."""
    for param in functions():
        names = set(inspect.signature(param.values[0]).parameters)
        if {"model", "features"} <= names:
            assert not names & {"p", "amplitude", "importance", "w_in", "w_out", "b", "activation"}
