"""Arithmetic in small finite fields, by tables."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.integer[Any]]
# x^d in terms of 1, x, …, x^(d-1), such that x generates the field; for a prime itself, nothing.
_MODULI = {
    4: (2, (1, 1)),
    8: (2, (1, 0, 1)),
    9: (3, (1, 1)),
    729: (3, (1, 0, 0, 0, 0, 1)),
    4096: (2, (1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1)),
}


class Field(NamedTuple):
    """Elements are 0 … q - 1, whose digits in base p are coefficients, with tables."""

    add: NDArray[np.uint8]
    multiply: NDArray[np.uint8]

    @property
    def size(self) -> int:
        return len(self.add)

    def total(self, terms: list[Integers]) -> Integers:
        result = terms[0]
        for term in terms[1:]:
            result = self.add[result, term]
        return result

    def power(self, x: Integers, exponent: int) -> Integers:
        result = x
        for _ in range(exponent - 1):
            result = self.multiply[result, x]
        return result


@cache
def field(q: int) -> Field:
    """The field of q elements, q a prime or 4, 8 or 9."""
    p, modulus = _MODULI.get(q, (q, (0,)))
    digits, place = _digits(p, len(modulus)), p ** np.arange(len(modulus))
    step = _companion(modulus)
    powers = np.stack([np.linalg.matrix_power(step, k) for k in range(len(modulus))])
    times = np.einsum("ai,ijk->ajk", digits, powers)
    multiply = np.einsum("ajk,bk->abj", times, digits) % p @ place
    add = (digits[:, None] + digits) % p @ place
    return Field(add.astype(np.uint8), multiply.astype(np.uint8))


def powers_of_x(q: int) -> tuple[int, Integers]:
    """The prime p, and the coefficients of x^0, x^1, …, x^(q-2), for q in the table of moduli."""
    p, modulus = _MODULI[q]
    step = _companion(modulus)
    found = [np.eye(len(modulus), dtype=np.int64)[0]]
    while len(found) < q - 1:
        found.append(step @ found[-1] % p)
    return p, np.array(found)


def projective_points(q: int, coordinates: int) -> Integers:
    """Points of projective space over the field of q elements, the first non-zero entry 1."""
    zeros = range(coordinates)
    return np.array(
        [
            (*(0,) * k, 1, *rest)
            for k in zeros
            for rest in product(range(q), repeat=coordinates - 1 - k)
        ],
        dtype=np.int64,
    )


def _digits(p: int, degree: int) -> Integers:
    return np.asarray(np.arange(p**degree)[:, None] // p ** np.arange(degree) % p)


def _companion(modulus: tuple[int, ...]) -> Integers:
    """What multiplication by x does to coefficients."""
    step = np.eye(len(modulus), k=-1, dtype=np.int64)
    step[:, -1] = modulus
    return step
