"""Posteriors of a law with a density, by polynomials between readings."""

from __future__ import annotations

import numpy as np

from .._check import Array
from ..source.amplitude import Amplitude
from .posterior import Posterior, ends, reading

# Of tables: nodes a panel, and what the last coefficients may be.
_ORDER = 18
_ACCURACY = 1e-12
_DEPTH = 40


class Table:
    """The posterior of a law with a density at one σ, by polynomials between readings."""

    def __init__(self, amplitude: Amplitude, sigma: float) -> None:
        edges = ends(amplitude)
        fixed = np.concatenate([edges, amplitude.breakpoints()])
        low, high = fixed.min() - 12 * sigma, fixed.max() + 12 * sigma
        around = (edges[:, None] + sigma * np.arange(-12.0, 12.5, 2.0)).ravel()
        points = np.unique(np.clip(np.concatenate([fixed, around]), low, high))
        angle = np.pi * (np.arange(_ORDER) + 0.5) / _ORDER
        node = np.cos(angle)
        degree = np.arange(_ORDER)[:, None]
        transform = 2 / _ORDER * np.cos(degree * angle)
        transform[0] /= 2
        left, right = points[:-1], points[1:]
        # What the nodes of the law resolve at this σ is all that a table can.
        accuracy = _ACCURACY + 1e-15 * max(abs(low), abs(high)) / sigma
        done = []
        for depth in range(_DEPTH):
            y = (left + right) / 2 + (right - left) / 2 * node[:, None]
            s = np.full_like(y, sigma)
            log, _, variance, shift = reading(amplitude, y, np.zeros_like(y), s)
            assert shift is not None
            values = np.stack([log, shift / sigma, np.log(variance / sigma / sigma + 1e-30)])
            coefficients = np.einsum("kn,fnm->fkm", transform, values)
            tail = np.abs(coefficients[:, -2:]).max(axis=(0, 1))
            short = right - left < sigma / 8
            fine = (tail < accuracy) | short | (depth == _DEPTH - 1)
            done.append((left[fine], right[fine], coefficients[..., fine]))
            if fine.all():
                break
            middle = (left + right)[~fine] / 2
            left, right = (
                np.concatenate([left[~fine], middle]),
                np.concatenate([middle, right[~fine]]),
            )
        starts, stops, tables = (np.concatenate(x, axis=-1) for x in zip(*done, strict=True))
        order = np.argsort(starts)
        self._starts, self._stops = starts[order], stops[order]
        self._coefficients = np.ascontiguousarray(tables[..., order].transpose(2, 1, 0))
        self._sigma = sigma

    def __call__(self, y: Array) -> Posterior:
        """At a vector of readings; beyond the table as if the law were an atom at its end."""
        sigma, low, high = self._sigma, self._starts[0], self._stops[-1]
        at = np.clip(y, low, high)
        panel = np.clip(np.searchsorted(self._starts, at, side="right") - 1, 0, None)
        start, stop = self._starts[panel], self._stops[panel]
        x = 2 * ((at - start) / (stop - start)) - 1
        # Clenshaw's recurrence, on rows that are gathered once.
        rows = self._coefficients[panel]
        one = two = np.zeros((3, *y.shape))
        for k in range(_ORDER - 1, 0, -1):
            one, two = rows[..., k, :].T + 2 * x * one - two, one
        log, shift, spread = rows[..., 0, :].T + x * one - two
        out = (y - at) / sigma
        # 12 deviations outside already.
        log = log - np.abs(out) * (12 + np.abs(out) / 2)
        shift = sigma * (shift - out)
        return Posterior(log, y + shift, sigma**2 * np.exp(spread), shift)
