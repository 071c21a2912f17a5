"""Roots of many functions at a time, against closed forms."""

import numpy as np
import pytest

from rugtheory.numerics.search import find_root

C = np.geomspace(1e-12, 1e12, 49)
FUNCTIONS = {
    "power": (lambda x, c: x**5 - c, lambda c: c**0.2),
    "flat": (lambda x, c: (x - c) ** 9, lambda c: c),
    "steep": (lambda x, c: np.arctan(1e9 * (x / c - 1)), lambda c: c),
    "jump": (lambda x, c: np.sign(x - c), lambda c: c),
    "logarithm": (lambda x, c: np.log(x / c), lambda c: c),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_roots_to_rounding(name):
    f, root = FUNCTIONS[name]
    found = find_root(f, (1e-13, 1e13), (C,))
    assert found.success.all()
    np.testing.assert_allclose(found.x, root(C), rtol=2e-15)


def test_ends_and_functions_without_a_root():
    found = find_root(lambda x, c: x - c, (0.0, np.array([[2.0], [3.0]])), (np.arange(4.0),))
    np.testing.assert_array_equal(found.x, [[0, 1, 2, np.nan], [0, 1, 2, 3]])
    np.testing.assert_array_equal(found.success, np.isfinite(found.x))
    assert np.isnan(find_root(lambda x: np.nan * x, (0.0, 1.0), ()).x)


def test_nothing_in_nothing_out():
    assert find_root(lambda x: x, (np.empty(0), np.empty(0)), ()).x.shape == (0,)
