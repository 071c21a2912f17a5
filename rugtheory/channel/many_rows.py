r"""Losses of many outputs at once, and their derivatives in every weight, by products of matrices.

The integral of `rugtheory.channel.inversion` on Re s > 0 alone,

.. math:: E(x - v_+)^2 = p\,E u^2 + \frac1{2πi} \int [p K(as) + (1-p)\,2 s^{-3}]\, e^{sb}\,
    E[e^{sZ}; Z ≠ 0]\, ds + \text{what is left with all others off},

with K(as) = 2 s⁻² (E e^{asu}/s - E u e^{asu}), for all rows at the nodes of a few contours.  A row
is measured in units of what it hears on the side that passes the ReLU, so that rows of very
different size share nodes, and :math:`\log E e^{sZ}` is a product with a `WeightTable`.  Its
derivative in a weight is the adjoint of the same product.  Blocks of features that depend on each
other are more factors: see `rugtheory.channel.dependent`.

Errors are those of the inversion of one row: images are bounded, and that of the table is measured
where it is largest.  What is cut off is bounded by the moduli of the terms, or judged by sums cut
off earlier: for rows of many terms the first is far less, and the smaller one is stated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._check import Array
from ..numerics.circle import on_circle
from ..source.amplitude import Complex
from ..source.uniform import expm1
from ..theory.loss import LossGradient, loss_gradient, parts
from .contours import PROBES, Contour, exists
from .dependent import Dependent
from .family import Chances, Family, Own
from .heard import Binned, Heard, Nodes, Senders
from .inversion import CUTS, cut_off, most_cut_off, windows
from .listed import Listed
from .loss_slopes import LossSlopes
from .outputs import Losses, Outputs, heard_power
from .row_laws import Kind, RowScenario
from .weight_bins import HALF_PHASE, LOUD, REGULAR, Axis

_EPS = float(np.finfo(float).eps)
# Heights of contours, in inverse units of the row.
HEIGHTS = (100.0, 150.0, 240.0, 400.0, 800.0)
_MOST_NODES, _MOST_LISTED = 2**12, 2**14
# Terms below this part of a row are left out; weights are numbers above.
_NEGLIGIBLE = 1e-14
_ROUNDING = 4e-15
# Error of a logarithm that a bound may have.
_ROUGH = 1e-3
_FAR_OUT = 30.0
# Errors above this, in units of the row, say that a contour does not serve it.
_NOTHING = 1e3
_LOG_NOTHING = -1e4
# What is cut off falls at least as fast as s⁻² from half a contour on.
_LEFT = np.minimum((np.array(CUTS) / 0.5) ** 2, 1.0)
# Of slopes, which weigh terms by s, more is cut off: so many sums cut off last have a say as well.
_LATE = 4
# Diagonals below this part of the noise are as good as none; and of slopes, to that part of them.
_LEAST_OWN, _LEAST_SLOPED = 1e-30, 1e-8
# Outputs for which a contour pays where others have to be tabulated anyway.
_ENOUGH = 100
# Part of the tolerance that images may take, of a loss of p² E u², and the most it may be.
_IMAGES, _LAX = 0.1, 1e-2
# A feature that never is on counts as one of this p.
_RARE = 1e-140
_ON_AND_OFF = np.array([[1.0], [_RARE]])


class Together:
    """Losses of outputs that hear features of a few kinds, and blocks of dependent ones.

    Parameters
    ----------
    kinds : sequence of Kind
        Independent features, amplitudes with a density.
    height : float
        Of the contours, in inverse units of a row.
    rtol : float
        Aimed at in each loss.
    listed : bool
        Whether without tables, term by term; tables are of features that are on with less than an
        even chance.
    fewest : int
        Outputs for which a contour is tabulated.
    families : sequence of Family
        Dependent features.
    """

    def __init__(
        self,
        kinds: tuple[Kind, ...],
        height: float,
        rtol: float,
        *,
        listed: bool = False,
        fewest: int = 1,
        families: Sequence[Family] = (),
    ) -> None:
        self.axis, self.rtol = Axis(HALF_PHASE / height), rtol
        self.listed, self.fewest, self.families = listed, fewest, families
        self.senders = [Senders.of(k.columns, k.p, k.amplitude) for k in kinds]
        chances = np.concatenate([np.zeros(0), *(x.odds / (1 + x.odds) for x in self.senders)])
        self.typical = float(chances.mean()) if chances.size else 0.0
        self.contours = Contour.every(height, _MOST_LISTED if listed else _MOST_NODES)
        self.probes = Nodes(self.senders, PROBES.astype(complex), self.axis)
        self.known: dict[int, Nodes] = {}

    @staticmethod
    def can(scenario: RowScenario, *, listed: bool = False) -> bool:
        """Whether features are of the kind this is for."""
        most = 1.0 if listed else 0.5
        laws = [x.amplitude for x in scenario.kinds]
        laws += [law for family in scenario.families for law, _ in family.by_law]
        dense = bool(laws) and all(law.atoms() is None for law in laws)
        return dense and all(np.max(x.p) < most for x in scenario.kinds)

    def __call__(self, outputs: Outputs, *, slopes: bool = False) -> Losses:
        """Losses of these outputs, a few at a time; derivatives with `slopes`."""
        return OutputBlock(self, outputs).losses(slopes)

    def heard(self, w: Array, left_out: NDArray[np.bool_]) -> Heard:
        """The terms of some rows."""
        made = Listed if self.listed else Binned
        return made(self.senders, w, left_out, self.axis)

    def at(self, contour: int) -> Nodes:
        """What is known on a contour."""
        if contour not in self.known:
            self.known[contour] = Nodes(self.senders, self.contours[contour].nodes, self.axis)
        return self.known[contour]


class OutputBlock:
    """A few outputs, their weights taken apart."""

    blocks: Dependent | None = None

    def __init__(self, of: Together, outputs: Outputs) -> None:
        self.of, self.outputs, self.m = of, outputs, outputs.rows.size
        # Weights of the others.
        w = outputs.w.copy()
        w[np.arange(self.m), outputs.rows] = 0.0
        parts = [(w[:, x.columns], x.amplitude) for x in of.senders]
        for family in of.families:
            parts += [(w[:, family.columns[:, at].ravel()], law) for law, at in family.by_law]
        self._measure(np.sum([heard_power(*part) for part in parts], axis=0))
        w /= self.unit[:, None]
        self.scaled, self.left_out = w, np.abs(w) < _NEGLIGIBLE
        scaled = (w[:, x.columns] for x in of.senders)
        self.ends = [(part.min(axis=1), part.max(axis=1)) for part in scaled]
        self.log_none = np.zeros(self.m)
        for x in of.senders:
            off, at = -np.log1p(x.odds), np.nonzero(self.left_out[:, x.columns])  # log(1 - p)
            self.log_none += off.sum() - np.bincount(at[0], off[at[1]], self.m)
        self.heard = of.heard(w, self.left_out)
        if of.families:
            own = outputs.rows, outputs.p
            self.blocks = Dependent(of.families, w, self.left_out, *own, listed=of.listed)
            self.log_none += self.blocks.log_none

    def _measure(self, power: Array) -> None:
        """Units of the rows: terms on the side that passes, and the own feature."""
        o = self.outputs
        self.power = np.empty(self.m)
        for one, members in o.by_law:
            self.power[members] = one.second_moment
        unit = np.sqrt(self._size(power) + o.noise**2 + np.maximum(o.b, 0.0) ** 2)
        unit = np.where(unit > 0, unit, np.abs(o.b))
        self.unit = unit = np.where(unit > 0, unit, 1.0)
        self.a, self.b, self.tau = o.a / unit, o.b / unit, o.noise / unit

    def _size(self, power: Array) -> Array:
        """Squares of readings, `power` of them from others."""
        return power + self.outputs.a**2 * self.power

    def slopes(self, by_a: Array, by_b: Array) -> Array:
        """Derivatives in the weights of independent features, with those in a and b."""
        by_w = np.zeros_like(self.scaled)
        for x, slopes in zip(self.of.senders, self.heard.slopes(), strict=True):
            # Losses are in units of the square of the row, weights in units of the row.
            slopes *= self.unit[:, None]
            # A term too small to be seen moves the mean of what is heard.
            row, at = np.nonzero(self.left_out[:, x.columns])
            slopes[row, at] = (x.odds / (1 + x.odds) * x.amplitude.mean)[at] * by_b[row]
            by_w[:, x.columns] = slopes
        by_w[np.arange(self.m), self.outputs.rows] = by_a
        return by_w

    def own(
        self, nodes: Nodes, rows: NDArray[np.int64], *, slope: bool = False
    ) -> tuple[Complex, Array]:
        """E u^k e^{asu} of some rows, k = 0, 1, and 2 with `slope`; errors of the first two."""
        found = np.empty((2 + slope, rows.size, nodes.nodes.size), np.complex128)
        error = np.empty((2, rows.size, nodes.nodes.size))
        for law, some in self.outputs.by_law:
            at = np.flatnonzero(np.isin(rows, some))
            if at.size:
                found[:, at], error[:, at] = nodes.own(law)(self.a[rows[at]], slope=slope)
        return found, error

    def exponent(self, nodes: Nodes, rows: NDArray[np.int64]) -> tuple[Complex, Array]:
        """Q of some rows, without the block of the own feature, and its error."""
        q, error = self.heard.exponent(nodes, rows)
        if self.blocks is None:
            return q, error
        more, inexact = self.blocks.exponent(nodes, rows)
        return q + more, error + inexact

    def beside(self, nodes: Nodes, rows: NDArray[np.int64], c: Complex) -> Own:
        """The factor of the own feature and those that depend on it; c stands for it where on."""
        alone = Own.alone(self.outputs.p[rows, None], c)
        return alone if self.blocks is None else self.blocks.own(nodes, rows, c, alone)

    @property
    def atom(self) -> NDArray[np.bool_]:
        """Whether it may be that nothing is heard from other blocks."""
        return np.ones(self.m, np.bool_) if self.blocks is None else self.blocks.atom

    @property
    def chances(self) -> Chances:
        """Of the block of the own feature."""
        p = self.outputs.p
        return Chances(p, np.zeros_like(p), 1 - p) if self.blocks is None else self.blocks.chances

    def log_bounds(self) -> tuple[Array, Array]:
        """Log of Chernoff's bound on the integrals at the probes, +inf where there is none; Q."""
        o, s = self.outputs, PROBES
        everyone = np.arange(self.m)
        q, error = self.exponent(self.of.probes, everyone)
        (m0, m1), inexact = self.own(self.of.probes, everyone)
        m0, m1 = m0.real, m1.real
        for law, some in o.by_law:
            if law.start < 0:
                m1[some] = law.reach * m0[some]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            # In units of the row: E u e^{asu} against E e^{asu}/s.
            own = self.beside(self.of.probes, everyone, m0 + m1 * s / self.unit[:, None])
            # e^{-q} of what is heard is that nothing is.
            silent = np.where(self.atom[:, None], -np.expm1(-q.real), 1.0)
            log = np.log(own.none.real * silent + own.rest.real) + np.log(2 / s**2)
            log += self.log_none[:, None] + q.real + np.multiply.outer(self.b, s)
            log += 0.5 * np.multiply.outer(self.tau, s) ** 2
            error = error + own.error / (own.none.real + own.rest.real)
        log = np.maximum(log, _LOG_NOTHING)  # rows that hear nothing
        known = np.isfinite(log) & (error <= _ROUGH) & (inexact[0] <= _ROUGH * m0)
        return np.where(known, log, np.inf), q.real

    def _smooth(self) -> NDArray[np.bool_]:
        """At which probes no logarithm of a row has a branch point nearby, shape (m, probes)."""
        smooth = np.ones((self.m, PROBES.size), np.bool_)
        for law, ends in [] if self.blocks is None else self.blocks.ends:
            for end in ends:
                smooth &= exists(law, np.multiply.outer(end, PROBES))
        for x, ends in zip(self.of.senders, self.ends, strict=True):
            law = x.amplitude
            for end in ends:
                t = np.multiply.outer(end, PROBES)
                smooth &= exists(law, t)
                if self.of.listed:
                    continue
                with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                    growth = law.transform(t.astype(complex), 0).real
                most = REGULAR / x.range.most
                if len(x.range.orders) > 1:
                    most = min(most, LOUD)
                smooth &= np.isfinite(growth) & (growth < most)
        return smooth

    def chosen(self, bounds: Array) -> tuple[NDArray[np.int64], Array]:
        """The contour of each row, -1 if there is none; logs of bounds on its images."""
        best = np.full(self.m, -1)
        images, score = np.full(self.m, np.inf), np.full(self.m, np.inf)
        p = np.maximum(self.outputs.p, _RARE)
        # What a rare feature loses is in proportion to the chance that others are on.
        least = p * np.maximum(p, self.of.typical) * self.power / self.unit**2
        floor = np.log(_IMAGES * min(self.of.rtol, _LAX) * least)
        smooth, known = self._smooth(), []
        for c, contour in enumerate(self.of.contours):
            if np.all(score <= floor):
                break  # others have more nodes
            at = contour.probe
            away = np.abs(PROBES - PROBES[at]) * contour.period
            with np.errstate(invalid="ignore"):
                shifted = bounds - away
            left, right = shifted[:, :at].min(axis=1), shifted[:, at + 1 :].min(axis=1)
            image = np.logaddexp(left, right) + np.log(4)
            rounding = bounds[:, at] + np.log(4 * _EPS)
            worse = np.maximum(np.logaddexp(image, rounding), floor)
            known.append((image, np.where(smooth[:, at], worse, np.inf)))
            take = known[-1][1] < score - 1e-9
            best[take], images[take], score[take] = c, image[take], worse[take]
        counts = np.bincount(best[best >= 0], minlength=len(self.of.contours))
        for often in np.flatnonzero(counts >= _ENOUGH) if not self.of.listed else ():
            # Others take more to tabulate than longer contours take here.
            image, worse = known[often]
            take = (best >= 0) & (counts[best] < _ENOUGH) & (worse <= score)
            best[take], images[take] = often, image[take]
        counts = np.bincount(best[best >= 0], minlength=len(self.of.contours))
        best[(best >= 0) & (counts[best] < self.of.fewest)] = -1
        return best, images

    def losses(self, slopes: bool) -> Losses:
        """In the units of the features."""
        o, unit = self.outputs, self.unit
        bounds, heard = self.log_bounds()
        best, images = self.chosen(bounds)
        chances, none = self.chances, np.exp(self.log_none) * self.atom
        (on, off), quiet_slopes = self._quiet(slopes)
        # On, and another with it.
        heard_on = (
            np.where(self.atom, -np.expm1(self.log_none), 1.0) * chances.alone + chances.beside
        )
        known = none * (chances.alone * on + chances.off * off) + heard_on * self.power
        value, error = known.copy(), _ROUNDING * known
        value[best < 0], error[best < 0] = np.nan, np.inf
        every = None
        if slopes:
            every = LossSlopes(self)
            every.add_quiet(quiet_slopes, none)
        for c in np.unique(best[best >= 0]):
            rows = np.flatnonzero(best == c)
            nodes = self.of.at(int(c))
            most = float(heard[rows, self.of.contours[c].probe].max())
            found = self._integral(self.of.contours[c], nodes, rows, most, every)
            value[rows] += unit[rows] ** 2 * found[0]
            error[rows] += unit[rows] ** 2 * (found[1] + np.exp(images[rows]))
        # Terms left out move a reading by so much at most.
        missed = _NEGLIGIBLE * o.w.shape[1] * unit
        error += 2 * np.sqrt(np.maximum(value, 0.0)) * missed + missed**2
        nothing = ~(error <= _NOTHING * unit**2)
        value[nothing], error[nothing] = np.nan, np.inf
        if every is None:
            return Losses(value, error)
        return Losses(value, error, *every.finished())

    def own_diagonal(self, slopes: bool) -> Array:
        """a, or a part of the noise where it is less: formulas divide the noise by it.

        Of slopes, they subtract what is larger by that factor.
        """
        least = (_LEAST_SLOPED if slopes else _LEAST_OWN) * self.outputs.noise
        return np.where(np.abs(self.outputs.a) > least, self.outputs.a, least)

    def _quiet(self, slopes: bool) -> tuple[Array, LossGradient]:
        """Loss with all others off, of a feature on and off, shape (2, m); slopes in a, b and σ."""
        o = self.outputs
        a = self.own_diagonal(slopes)
        sigma = np.divide(o.noise, np.abs(a), out=np.zeros_like(a), where=a != 0)
        loss, gradient = np.empty((2, self.m)), np.zeros((3, 2, self.m))
        for law, some in o.by_law:
            arguments = a[some], o.b[some], sigma[some]
            loss[:, some] = parts(law, *arguments, o.p[some], 1 - a[some])[:2]
            if slopes:
                found = loss_gradient(*arguments, _ON_AND_OFF, amplitude=law)
                gradient[..., some] = found.a, found.b, found.sigma
        return loss, LossGradient(*gradient)

    def _integral(
        self,
        contour: Contour,
        nodes: Nodes,
        rows: NDArray[np.int64],
        heard: float,
        slopes: LossSlopes | None,
    ) -> tuple[Array, Array]:
        """Of some rows on a contour, and all errors but those of images; in units of the row.

        `heard` is the largest Q on the real axis.
        """
        s, unit = contour.nodes, self.unit[rows, None]
        q, inexact = self.exponent(nodes, rows)
        factor, atom = 2 / contour.period, self.atom[rows]
        # With all others off: e^{sb} times their probability, and noise.
        size = self.b[rows] * s[0].real + self.log_none[rows]
        quiet = on_circle(np.multiply.outer(self.b[rows], s.imag)) * np.exp(size)[:, None]
        if self.tau.any():
            quiet *= np.exp(0.5 * np.multiply.outer(self.tau[rows], s) ** 2)
        value = expm1(q) * quiet
        full = value + quiet
        value[~atom] = full[~atom]
        moments, missed = self.own(nodes, rows, slope=slopes is not None)
        off = 2 / s**3
        own = self.beside(nodes, rows, moments[0] - moments[1] * s / unit)
        none, rest = off * own.none, off * own.rest
        terms, heights = value * none, np.abs(value)
        sizes = heights * np.abs(none)
        both = np.abs(none)
        if self.blocks is not None:
            terms += full * rest
            sizes += np.abs(full * rest)
            both = np.abs(none + rest)
        sums = windows(s.size) @ terms.real.T
        total, error = cut_off(sums, _LEFT)
        error = np.minimum(error, most_cut_off(sizes, s))
        if slopes is not None:
            error = np.maximum(error, cut_off(sums[: _LATE + 1])[1])
        alpha = s[0].real
        turns = np.abs(s) * (np.abs(self.b[rows, None]) + min(1.0, _FAR_OUT / alpha))
        laws = nodes.error * (1 + 2 * heard)
        inexact = np.abs(full) * (inexact + laws) * both + _EPS * (4 + turns) * sizes
        missed = (missed[0] + missed[1] * np.abs(s) / unit) * (
            own.none_by_c * heights + own.rest_by_c * np.abs(full)
        )
        inexact += np.abs(off) * (missed + own.error * np.abs(full))
        error += inexact.sum(axis=1)
        if slopes is not None:
            slopes.add(contour, nodes, rows, (value, full), own, moments)
        return factor * total, factor * error
