"""Objects that hold arrays can be compared: all that is public and makes a dataclass."""

import copy
import dataclasses

import numpy as np
import pytest

import rugtheory as rt
from rugtheory import darkmatter as dm

from .test_hostile import CALLS

# What reads or writes files, which are not there.
_FILES = {"path", "directory", "folder", "out"}
_NOT_HERE = (dm.run_bench, rt.simulated_curves, rt.finite_curves, rt.read_weights)
MADE = [
    pytest.param(function, arguments, id=name)
    for name, (function, arguments) in CALLS.items()
    if not _FILES & arguments.keys() and function not in _NOT_HERE
]


@pytest.mark.parametrize(("function", "arguments"), MADE)
def test_equality(function, arguments):
    """A copy is equal, and what differs in one number is not; to ask raises nothing."""
    one = function(**arguments)
    if not dataclasses.is_dataclass(one) or isinstance(one, type):
        pytest.skip("not a dataclass")
    assert (one == one) is True
    assert (one == object()) is False
    if type(one).__eq__ is object.__eq__:
        return  # compared by identity
    assert (one == copy.deepcopy(one)) is True
    for field in dataclasses.fields(one):
        value = getattr(one, field.name)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size:
            other = copy.deepcopy(one)
            object.__setattr__(other, field.name, np.where(np.isnan(value), 0.0, value + 1))
            assert (one == other) is False
            break


def test_sources_with_one_p_can_be_keys():
    assert {rt.SparseSource(0.1): 1}[rt.SparseSource(0.1)] == 1
    with pytest.raises(TypeError):
        hash(rt.SparseSource([0.1, 0.2]))
    assert rt.SparseSource([0.1, 0.2]) == rt.SparseSource([0.1, 0.2])
    assert rt.SparseSource([0.1, 0.2]) != rt.SparseSource([0.1, 0.3])
    assert rt.GaussianChannel([0.1, 0.2]) == rt.GaussianChannel([0.1, 0.2])
    assert rt.GaussianChannel(0.1) != rt.AntipodalChannel(0.1)


def test_laws_of_many_nodes_are_shown_short_and_recorded_whole():
    nodes = np.linspace(0.1, 1, 300)
    laws = [rt.FromQuadrature(nodes, weights) for weights in (nodes, nodes**2)]
    assert str(laws[0]) == "FromQuadrature(300 nodes in [0.1, 1])"
    with_law = [rt.loss_curves(0.1, 0.5, amplitude=law).attrs["amplitude"] for law in laws]
    assert with_law[0] != with_law[1]
    for law, text in zip(laws, with_law, strict=True):
        assert eval(text, {"FromQuadrature": rt.FromQuadrature}) == law
