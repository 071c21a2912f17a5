"""Threads of SciPy's and NumPy's linear algebra, which stand in each other's way."""

import numpy as np
import pytest
import scipy.linalg
from threadpoolctl import threadpool_info, threadpool_limits

import rugtheory as rt
from rugtheory.numerics.pools import one_pool


def threads():
    """Of SciPy's own pool, if it has one, and of the others."""
    scipy.linalg.norm(np.ones(2))
    blas = [x for x in threadpool_info() if x["user_api"] == "blas"]
    own = [x for x in blas if "scipy.libs" in x["filepath"]]
    return {x["num_threads"] for x in own}, {x["num_threads"] for x in blas if x not in own}


def test_one_of_two_pools_rests():
    with threadpool_limits(2):
        own, others = threads()
        with one_pool():
            assert threads() == ({1} if own else set(), others)
        assert threads() == (own, others)


@pytest.mark.parametrize("init", ["random", "rare"])
def test_descents_leave_the_cores_to_one_pool(init):
    seen = []
    with threadpool_limits(2):
        before = threads()
        rt.minimize(
            rt.Identical(6, 0.1), 2, init=init, steps=3, callback=lambda *_: seen.append(threads())
        )
        assert threads() == before
    assert seen and all(own <= {1} and others == before[1] for own, others in seen)
