"""Panels of readings, to begin an integral with, that see all that may be narrow."""

from __future__ import annotations

import numpy as np

from .._check import Array

# The noise has a probability below 1e-21 beyond this many deviations.
_FAR = 9.6
_STEPS = _FAR * np.linspace(-1, 1, 9)
# Posteriors turn from one atom to another over this many times σ²/Δ, at gaps Δ up to _GAP σ,
# beyond which the probability of a confusion, exp(-Δ²/8σ²), underflows.
_TURNS = 2.0 ** np.arange(1, 13)
_GAP = 90.0


def panels(
    anchors: Array,
    breaks: Array,
    sigma: float,
    p: float,
    scale: float,
    *,
    turns: bool,
    extra: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Anchors, left and right ends of panels that see all that may be narrow.

    Parameters
    ----------
    anchors : array
        Readings around which densities change on the scale of σ, ascending.
    breaks, extra : arrays
        Readings that are to be ends of panels.
    scale : float
        Typical size of an amplitude.
    turns : bool
        Whether posteriors may turn between neighbouring anchors within σ²/Δ.
    """
    if anchors.size > 1 and np.diff(anchors).min() < sigma / 4:
        cells = np.floor((anchors - anchors[0]) / (sigma / 4))
        anchors = anchors[np.unique(cells, return_index=True)[1]]
    # So far out there is no more than 1e-20 of p.
    tail = sigma * np.sqrt(92 - 2 * np.log(p))
    low = min(float(anchors[0]), float(breaks.min(initial=anchors[0]))) - tail
    high = max(float(anchors[-1]), float(breaks.max(initial=anchors[-1]))) + tail
    flank, around = _flank(sigma, p, scale)
    if anchors[0] < 0:
        around = np.concatenate([around, -around])
    middles = (anchors[:-1] + anchors[1:]) / 2
    loose = [breaks, np.linspace(low, high, 9 if extra is None else 41)]
    if anchors.size <= 8:  # laws that go as a power of u
        reach = np.log((high - low) / sigma) / np.log(32)
        out = sigma * _FAR * 32.0 ** np.arange(1, max(reach, 1.0))
        loose += [anchors[:, None] + out, anchors[:, None] - out]
    if extra is not None:
        loose.append(extra)
    if turns:
        loose += [_turns(anchors, k, sigma) for k in (1, 2, 3)]
    free = np.concatenate([np.ravel(x) for x in loose])
    free = free[(free >= low) & (free <= high)]
    home = np.searchsorted(middles, free)
    zero = int(np.argmin(np.abs(anchors)))
    count = anchors.size
    cell = np.concatenate(
        [
            np.repeat(np.arange(count), _STEPS.size),
            home,
            np.full(around.size, zero),
            np.arange(count - 1),
            np.arange(1, count),
        ]
    )
    offset = np.concatenate(
        [
            np.tile(sigma * _STEPS, count),
            free - anchors[home],
            sigma * around,
            middles - anchors[:-1],
            middles - anchors[1:],
        ]
    )
    first = np.concatenate([[low - anchors[0]], middles - anchors[1:]])
    last = np.concatenate([middles - anchors[:-1], [high - anchors[-1]]])
    inside = (offset >= first[cell]) & (offset <= last[cell])
    cell, offset = cell[inside], offset[inside]
    order = np.lexsort((offset, cell))
    cell, offset = cell[order], offset[order]
    same = cell[1:] == cell[:-1]
    close = same & (np.diff(offset) <= 1e-3 * sigma / (1 + flank))
    keep = ~np.append(False, close)
    # The last point of a cell is the end of its last panel.
    ends = np.append(~same, True)
    keep |= ends
    cell, offset = cell[keep], offset[keep]
    true = (cell[1:] == cell[:-1]) & (offset[1:] > offset[:-1])
    return anchors[cell[:-1][true]], offset[:-1][true], offset[1:][true]


def _flank(sigma: float, p: float, scale: float) -> tuple[float, Array]:
    """Where on and off are equally likely, some way up the flank of the noise at zero; in σ."""
    with np.errstate(divide="ignore"):
        rarity = np.log1p(-p) - np.log(p) + np.log(scale) - np.log(sigma) - 0.919
    flank = float(np.sqrt(2 * max(float(rarity), 0.0)))
    around = [
        flank * np.array([0.3, 0.5, 0.7, 0.85]),
        flank + np.array([-5.0, -2.5, -1, 0, 1, 2.5, 5, 10]) / (1 + flank),
        flank + np.array([1.5, 3.0, 6.0, 9.6]),
    ]
    return flank, np.concatenate(around)


def _turns(anchors: Array, apart: int, sigma: float) -> Array:
    gap = anchors[apart:] - anchors[:-apart]
    some = (gap > sigma) & (gap < _GAP * sigma)
    gap, middle = gap[some], anchors[:-apart][some] + gap[some] / 2
    step = (sigma / gap) * sigma * np.concatenate([-_TURNS[::-1], [0.0], _TURNS])[:, None]
    return np.asarray(np.where(np.abs(step) <= gap / 2, middle + step, middle).ravel())
