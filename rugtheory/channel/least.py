r"""The least loss of an output over all a and b, with the interference it has.

With ν = Z/W_ii and the decoder ReLU(a (u + ν - t)) the loss is a quadratic in a, so what is left is
a function of the threshold t, and it may have many minima: kinks where the law of ν has atoms, a
linear decoder far below, a constant far above.  So the whole range of t is scanned before any
search.  a is not negative: a decoder that falls with its reading, which rises with x, has
Cov(x, x̂) ≤ 0, and loses no less than the mean of x does.

* Where the values of ν are few, as for discrete amplitudes, every piece of the function between two
  readings is a quotient of two quadratics, and the best point of each is known in closed form.
* Else the scan takes all t at once, see `rugtheory.channel.profile`.  Exact losses check it and
  decide between its minima.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .._check import Array
from ..numerics.search import local_minimum
from ..theory.optimum import optimum
from .interference import Interference
from .profile import Profile, thresholds
from .row_loss import Least, Row, RowLaw
from .support import support

# Nodes of each path: more, where scan and exact losses differ by more than this part of them.
_NODES, _BELIEVED = (128, 512, 2048, 8192), 5e-3
_SCAN_NODES = 256
# Minima of the scan that are compared by exact losses, if they are not above the least by more.
_CANDIDATES, _FAR_ABOVE = 4, 1.2
# Of losses that are compared only.
_COARSE = 1e-3
_ZOOMS, _ZOOM = 3, 9
_ROUNDING = 1e-14
# A diagonal so much smaller than where the search starts is rounding: nothing passes.
_NO_GAIN = 1e-12
# Steps of a, as parts of it, that are too long to be exact.
_LONG_STEP = 0.3
# How near a minimum is looked for, in units of how well it is known.
_NEAR = 3e-2
# Values so unlikely are left out of a list, in units of p², and so many are listed.
_UNLIKELY, _FEW_VALUES, _ALL = 1e-9, 2**13, 2**31


def least_loss(law: RowLaw, rtol: float, known: Row | None = None) -> Least:
    """Least E(x - ReLU(a (x + ν - t)))² over a > 0 and t, ν what `law` says of a diagonal of 1.

    `known` is the row of some diagonal: if its threshold is near the best, as that of trained
    weights is, its inversion does for this.  The answer depends on the arguments alone.  It is the
    loss at the `a` and `t` found, to `rtol`; never above those of a constant and of the best linear
    decoder with a > 0.
    """
    variance, mean = law.variance, law.p * law.amplitude.mean
    # A constant output is no less than 0.
    floor = Least(variance, 0.0, -np.inf) if mean >= 0 else Least(law.second_moment, 0.0, np.inf)
    if not law.second_moment > 0 or not floor.loss > 0:
        return Least(0.0, 0.0, -np.inf)
    if not law.noise > 0:
        return min(_unheard(law), floor, key=lambda x: x.loss)
    kept, shift = _kept(law)
    found = _discrete(kept, support)
    if found:
        best = min((least_at(law, t + shift, 1.0, rtol)[0] for _, t in found), key=lambda x: x.loss)
    else:
        best = _searched(law, kept, shift, rtol, known)
    linear = law.linear
    if linear.a > 0 and best.loss > linear.loss:
        # At this threshold a ReLU is no worse than the best linear decoder.
        best = min(best, least_at(law, linear.threshold, linear.a, rtol)[0], key=lambda x: x.loss)
    # The limit of low thresholds is a constant; rounding of what is 0 may be below.
    return replace(best, loss=max(best.loss, 0.0)) if best.loss <= floor.loss else floor


def _unheard(law: RowLaw) -> Least:
    """Where there is no interference but a constant."""
    if law.amplitude.start >= 0:
        return Least(0.0, 1.0, law.on.mean)
    best = optimum(law.p, sigma=0.0, amplitude=law.amplitude)
    a, b = float(best.a), float(best.b)
    return Least(float(best.loss), a, law.on.mean - b / a if a > 0 else -np.inf)


def scanned_least(law: RowLaw) -> Least:
    """The least loss by a scan alone.

    It takes 5 ms where `least_loss` takes 30.  The loss is a few 1e-5 of it off where interferers
    are many and alike (measured for graph codes, p from 1e-3 to 0.3).
    """
    kept, shift = _kept(law)
    grid, profile = thresholds(kept), Profile(kept, _SCAN_NODES)
    k = int(np.argmin(profile(grid)[0]))
    best, _ = _zoomed(profile, grid, k)
    return replace(best, threshold=best.threshold + shift)


def _kept(law: RowLaw) -> tuple[RowLaw, float]:
    """The law without interferers that are not seen, and what they add to thresholds."""
    if law.off is not law.on:
        return law, 0.0
    on, shift, _ = law.on.significant(law.amplitude.rms)
    return replace(law, on=on, off=on), shift


def least_at(law: RowLaw, threshold: float, a: float, rtol: float) -> tuple[Least, Row]:
    """The least loss over a at a threshold, and the row that says so; `a` is where to start."""
    for _ in range(3):  # a quadratic; again where the step was too long to be exact
        row = Row(a, law.scaled(a), -a * threshold, rtol)
        loss, better = (float(x[0]) for x in row.least(a, np.array([threshold])))
        if not better > _NO_GAIN * a:
            return Least(law.second_moment, 0.0, threshold), row
        near, a = abs(better - a) <= _LONG_STEP * a, better
        if near:
            break
    return Least(loss, a, threshold), row


def _from(known: Row | None, threshold: float, rtol: float) -> tuple[Least, Row] | None:
    """The same from the inversion of a row, if it is near enough."""
    if known is None or known.inversion is None or not known.a > 0:
        return None
    if not known.inversion.is_near(-known.a * threshold):
        return None
    (found,) = leasts(known, known.a, np.array([threshold]))
    near = abs(found.a - known.a) <= _LONG_STEP * known.a
    return (found, known) if near and known.estimate.error <= rtol * found.loss else None


def leasts(row: Row, a: float, thresholds: Array) -> list[Least]:
    """What `Row.least` says at each threshold."""
    loss, better = row.least(a, thresholds)
    found = zip(loss.tolist(), better.tolist(), thresholds.tolist(), strict=True)
    return [Least(*x) for x in found]


def _polished(start: Least, row: Row, width: float) -> Least:
    """The minimum next to `start`, by the inversion of its row and what that says nearby."""
    if not start.a > 0:
        return start
    tried = [start]

    def loss(t: Array) -> Array:
        found = leasts(row, start.a, t.ravel())
        tried.extend(found)
        return np.array([x.loss for x in found]).reshape(t.shape)

    threshold = start.threshold
    step = max(width, 0.05 * abs(threshold))
    near = tuple(np.array([threshold + x]) for x in (-step, 0.0, step))
    loss(local_minimum(loss, near, (), xatol=_NEAR * step))
    return min((x for x in tried if x.a > _NO_GAIN * start.a), key=lambda x: x.loss)


def rough_least(law: RowLaw) -> Least:
    """The least loss to a few 1e-3, of discrete laws from their values if they are few.

    Values that are too rare to matter are left out; then the a of the answer is 1.
    """
    if not law.noise > 0:
        return _unheard(law)
    kept, shift = _kept(law)
    if law.amplitude.atoms() is None or _many_values(kept):
        return scanned_least(law)
    rare = _UNLIKELY * law.p**2
    found = _discrete(kept, lambda heard, scale: support(heard, scale, rare, _FEW_VALUES))
    if not found:
        return scanned_least(law)
    loss, threshold = found[0]
    return Least(loss, 1.0, threshold + shift)


def _many_values(law: RowLaw) -> bool:
    """Whether sums of equal weights have too many values within their deviations to be listed."""
    p, number = law.p, 1.0
    _, counts = np.unique(law.on.strongest(_ALL), return_counts=True)
    for count in counts:
        number *= min(count + 1, 12 * np.sqrt(count * p * (1 - p)) + 8)
    return number > 2 * _FEW_VALUES


def _discrete(
    law: RowLaw, support: Callable[[Interference, float], tuple[Array, Array] | None]
) -> list[tuple[float, float]]:
    """Losses and thresholds where it may be least, best ones first; none unless values are few."""
    atoms = law.amplitude.atoms()
    if atoms is None or not (law.on.discrete and law.off.discrete) or law.on.noise:
        return []
    heard = support(law.on, law.amplitude.scale)
    alone = heard if law.off is law.on else support(law.off, law.amplitude.scale)
    if heard is None or alone is None:
        return []
    p, z = law.p, heard[0]
    nu = np.concatenate([alone[0], *(z for _ in atoms[0])])
    x = np.concatenate([0 * alone[0], *(np.full_like(z, u) for u in atoms[0])])
    share = np.concatenate([(1 - p) * alone[1], *(p * q * heard[1] for q in atoms[1])])
    v = x + nu
    order = np.argsort(-v)
    v, x, nu, share = v[order], x[order], nu[order], share[order]
    # Of the readings above a threshold: sums of the error x - v = -ν, of v and of 1.
    m, sv, sn = (np.cumsum(share * y) for y in (np.ones_like(v), v, nu))
    svv, snv, snn = (np.cumsum(share * y) for y in (v * v, nu * v, nu * nu))
    missed = np.cumsum((share * x * x)[::-1])[::-1]
    missed = np.append(missed[1:], 0.0)
    # Best line a v + c through what is above: with d = a - 1 the error is ν + d v + c.
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = svv - sv * sv / m
        d = -(snv - sn * sv / m) / spread
        c = -(sn + d * sv) / m
        inside = -c / (1 + d)
        below = np.append(v[1:], -np.inf)
        inner = np.where((d > -1) & (inside <= v) & (inside >= below), inside, np.nan)
        thresholds = np.concatenate([inner, v[1:]])
        loss = np.concatenate(
            [
                missed + snn + d * (2 * snv + d * svv) + c * (2 * sn + 2 * d * sv + c * m),
                _through(v[1:], missed[:-1], *(y[:-1] for y in (m, sv, sn, svv, snv, snn))),
            ]
        )
    loss = np.where(np.isfinite(thresholds) & np.isfinite(loss), loss, np.inf)
    few = np.argsort(loss, kind="stable")[: 2 * _CANDIDATES]
    best = [(float(loss[k]), float(thresholds[k])) for k in few if np.isfinite(loss[k])]
    return best or [(np.inf, float(v[-1]))]


def _through(
    t: Array, missed: Array, m: Array, sv: Array, sn: Array, svv: Array, snv: Array, snn: Array
) -> Array:
    """Least loss over a at thresholds t, from the sums over the readings above."""
    # x - a (v - t) = (t - ν) - d h, with h = v - t.
    hh = svv - 2 * t * sv + t * t * m
    eh = t * sv - snv - t * (t * m - sn)
    ee = snn - 2 * t * sn + t * t * m
    d = np.maximum(eh / hh, -1.0)
    return np.asarray(missed + ee - 2 * d * eh + d * d * hh)


def _searched(law: RowLaw, kept: RowLaw, shift: float, rtol: float, known: Row | None) -> Least:
    """The lowest minimum; `kept` and `shift` say what the law is without what is not seen."""
    grid, profile = thresholds(kept), Profile(kept, _NODES[0])
    loss, _ = profile(grid)
    first, *others = _minima(loss)
    if not others or loss[others[0]] > _FAR_ABOVE * loss[first]:
        # There is nothing to choose, so the loss that the search starts from is check enough.
        at, width = _zoomed(profile, grid, first)
        there = at.threshold + shift
        start, row = _from(known, there, rtol) or least_at(law, there, at.a, rtol)
        if abs(at.loss - start.loss) <= _BELIEVED * start.loss:
            return _polished(start, row, width)
    threshold, a, width = _scanned(kept, grid, profile)
    return _polished(*least_at(law, threshold + shift, a, rtol), width)


def _scanned(law: RowLaw, grid: Array, profile: Profile) -> tuple[float, float, float]:
    """The best threshold of a scan over all, zoomed; its best a; how well it is known.

    `profile` is that of the fewest nodes.
    """
    known: dict[float, tuple[float, float, float]] = {}
    for nodes in _NODES:
        if nodes > _NODES[0]:
            profile = Profile(law, nodes)
        loss, _ = profile(grid)
        believed = True
        for k in _minima(loss):
            if known and loss[k] > _FAR_ABOVE * min(known.values())[0]:
                continue
            at, width = _zoomed(profile, grid, k)
            truth = least_at(law, at.threshold, at.a, _COARSE)[0]
            known[at.threshold] = truth.loss, truth.a, width
            believed &= abs(at.loss - truth.loss) <= _BELIEVED * truth.loss
        if believed:
            break
    best = min(known, key=lambda t: known[t][0])
    return best, *known[best][1:]


def _zoomed(profile: Profile, grid: Array, k: int) -> tuple[Least, float]:
    """The minimum next to number `k` of the grid, and the distance of the points it is among."""
    low, high = grid[max(k - 1, 0)], grid[min(k + 1, grid.size - 1)]
    for _ in range(_ZOOMS):
        t = np.linspace(low, high, _ZOOM)
        loss, a = profile(t)
        at = int(np.argmin(loss))
        low, high = t[max(at - 1, 0)], t[min(at + 1, t.size - 1)]
    return Least(float(loss[at]), float(a[at]), float(t[at])), float(t[1] - t[0])


def _minima(loss: Array) -> list[int]:
    """Local minima, the deepest first."""
    padded = np.concatenate([[np.inf], loss, [np.inf]])
    local = np.flatnonzero((loss <= padded[:-2]) & (loss <= padded[2:]))
    return [int(k) for k in local[np.argsort(loss[local], kind="stable")][:_CANDIDATES]]
