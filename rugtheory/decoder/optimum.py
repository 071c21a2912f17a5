r"""Decoders x̂ = f(y) of a reading y = x + ν, and their losses E(x - f(x + ν))².

========== ==================================================================================
linear     a y + b
relu       ReLU(a y + b)
jumprelu   (a y + b) where y > θ, else 0; also called TRec
gated      ReLU(a y + b) where y > θ, else 0: one affine reading opens, another gives the value
topk       (a y + b) for the k largest of n readings
selection  a y + b where the feature is on, else 0: support known, value affine
oracle     E[x | y, on or off]: support known
bayes      E[x | y], the best of all functions of y
========== ==================================================================================

In the limit of many features the k-th largest of n readings is the quantile of their law that k/n
lie above, by the law of large numbers, so TopK is a threshold there.  With the best
threshold, a JumpReLU either is a ReLU or jumps to 2E[x | y = θ] > 0 there, so the ReLU of a gate
changes nothing: gated and jumprelu have the same optimum in a scalar channel.  Not so where
amplitudes may be negative: a JumpReLU that passes all readings is linear, a gate is never negative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .._result import Result
from ..channel.base import Channel
from ..channel.gaussian import GaussianChannel
from ..channel.pair import AntipodalChannel
from ..source.amplitude import Amplitude, check_amplitude
from ..source.sparse import SparseSource, on_law
from ..source.uniform import Uniform
from ..theory.bounds import welch_sigma
from ..theory.optimum import optimum
from ..theory.pairs import antipodal_optimum, antipodal_sigma
from .loss import BLOCK
from .search import from_readings

KINDS = ("linear", "relu", "jumprelu", "gated", "topk", "selection", "oracle", "bayes")
_NAMED = ("gaussian", "antipodal")
# The channel of p, ratio and amplitude.
ChannelOf = Callable[[Array, Array, Amplitude], Channel]


@dataclass(frozen=True, eq=False, repr=False)
class DecoderOptimum(Result):
    """Best decoder of a kind; arrays of one shape.

    Attributes
    ----------
    kind : str
    p, ratio, sigma : ndarray
        σ is that of the Gaussian part of the channel.
    loss : ndarray
    a, b, threshold : ndarray
        Of the value a y + b and of the threshold on y, NaN where the kind has none.
    """

    kind: str
    p: Array
    ratio: Array
    sigma: Array
    loss: Array
    a: Array
    b: Array
    threshold: Array


def optimum_decoder(
    kind: str,
    p: ArrayLike,
    ratio: ArrayLike,
    *,
    channel: str | ChannelOf = "gaussian",
    amplitude: Amplitude = Uniform(),
    keep: ArrayLike | None = None,
) -> DecoderOptimum:
    """The best decoder of a kind in the channel of a rug or of an antipodal rug.

    Parameters
    ----------
    kind : str
        "linear", "relu", "jumprelu", "gated", "topk", "selection", "oracle" or "bayes".
    p : array_like in (0, 1]
        Probability that a feature is on, at least 1e-140.
    ratio : array_like in (0, 1)
        n_dense / n_sparse; at most ½ for the antipodal channel.
    channel : "gaussian", "antipodal" or callable
        A function of p, ratio (arrays of one shape) and amplitude that returns the `Channel`.
    amplitude : Amplitude
        Law of a feature that is on, of either sign.
    keep : array_like in (0, 1], optional
        k/n of "topk"; p by default, as many as there are features on.

    Returns
    -------
    DecoderOptimum

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range.

    Notes
    -----
    Where σ is 0, at ratio 1 or for pairs at ratio ½, it counts as 1e-100 of a typical amplitude.

    Worst relative errors of the losses measured for discrete laws, at 120 points in both channels,
    p from 1e-6 to 1 and σ from 0.03 to 3: 1e-14, of "bayes" and "oracle" against the trapezoidal
    rule, of "relu", "jumprelu" and "topk" (at the a, b and threshold returned) against moments at
    400 digits; for Uniform[0, 1], of "bayes" and "oracle" against mpmath: 3e-15.  The order linear
    ≥ relu ≥ jumprelu = gated ≥ bayes ≥ oracle holds to a relative 1e-9 in the tests, for p from
    1e-12 and ratios to 1 - 1e-9.  Laws without closed form of the posterior, as `Beta`, take
    seconds for a point of the antipodal channel.

    Examples
    --------
    >>> import rugtheory as rt
    >>> for kind in ("relu", "jumprelu", "bayes"):
    ...     print(kind, f"{rt.optimum_decoder(kind, 0.045, 0.25).loss:.6f}")
    relu 0.004856
    jumprelu 0.004856
    bayes 0.004480
    """
    _check.choice("kind", kind, KINDS)
    given = _check.probability("p", p)
    p, amplitude = on_law(p, amplitude, least=_check.LEAST_P)
    ratio = _check.probability("ratio", ratio)
    keep = p if keep is None else _check.probability("keep", keep)
    _check.broadcastable(p=p, ratio=ratio, keep=keep)
    given, p, ratio, keep = np.broadcast_arrays(given, p, ratio, keep)
    found = _optima((kind,), p, ratio, channel, amplitude, keep)[kind]
    return DecoderOptimum(
        kind, given, ratio, found.sigma, found.loss, found.a, found.b, found.theta
    )


class _Found(NamedTuple):
    sigma: Array
    loss: Array
    a: Array
    b: Array
    theta: Array


def _optima(
    kinds: tuple[str, ...],
    p: Array,
    ratio: Array,
    channel: str | ChannelOf,
    amplitude: Amplitude,
    keep: Array,
) -> dict[str, _Found]:
    """The best decoders of several kinds, the densities of readings integrated once."""
    check_amplitude(amplitude)
    law, plain = _law(kinds, p, ratio, channel, amplitude)
    sigma = np.asarray(law.sigma, float)
    try:
        sigma = np.broadcast_to(sigma, p.shape)
    except ValueError:
        raise ValueError(
            f"sigma of the channel must have the shape {p.shape} of p and ratio, got {sigma.shape}"
        ) from None
    nothing = np.full(p.shape, np.nan)
    found = {}
    for kind in kinds:
        if kind in ("linear", "selection"):
            found[kind] = _affine(kind, law, SparseSource(p, amplitude), sigma)
        elif kind == "relu" and plain is not None:
            found[kind] = plain._replace(theta=nothing)
    rest = tuple(kind for kind in kinds if kind not in found)
    if not p.size:
        found |= dict.fromkeys(rest, _Found(sigma, nothing, nothing, nothing, nothing))
        return found
    if not rest:
        return found
    shape, flat = p.shape, [x.ravel() for x in (sigma, p, keep)]
    blocks = [
        from_readings(rest, law, amplitude, *(x[k : k + BLOCK] for x in flat))
        for k in range(0, p.size, BLOCK)
    ]
    for kind in rest:
        columns = zip(*(block[kind] for block in blocks), strict=True)
        found[kind] = _Found(sigma, *(np.concatenate(x).reshape(shape) for x in columns))
        if plain is not None and kind in ("jumprelu", "gated"):
            # Where a decoder without a jump is the best, it is a ReLU.
            better = plain.loss <= found[kind].loss
            pairs = zip(plain, found[kind], strict=True)
            found[kind] = _Found(*(np.where(better, x, y) for x, y in pairs))
    return found


def _law(
    kinds: tuple[str, ...],
    p: Array,
    ratio: Array,
    channel: str | ChannelOf,
    amplitude: Amplitude,
) -> tuple[Channel, _Found | None]:
    """The channel, and its best ReLU where one of `kinds` is that or may be."""
    if callable(channel) and not isinstance(channel, type):
        given = channel(p, ratio, amplitude)
        _check.instance("what channel returns", given, Channel)
        return given, None
    _check.choice("channel", channel, _NAMED)
    antipodal = channel == "antipodal"
    sigma = (antipodal_sigma if antipodal else welch_sigma)(p, ratio, amplitude=amplitude)
    law = (AntipodalChannel if antipodal else GaussianChannel)(sigma)
    # The search for pairs is one for features that are not negative.
    known = not antipodal or amplitude.start >= 0
    if not (known and {"relu", "jumprelu", "gated"} & set(kinds)):
        return law, None
    best = (antipodal_optimum if antipodal else optimum)(p, ratio, amplitude=amplitude)
    with np.errstate(divide="ignore", invalid="ignore"):
        bend = np.where(best.a == 0, np.nan, -best.b / best.a)
    if amplitude.start < 0:  # a constant passes all readings
        bend = np.where(best.a == 0, -40 * (amplitude.extent + best.sigma), bend)
    return law, _Found(sigma, best.loss, best.a, best.b, bend)


def _affine(kind: str, law: Channel, source: SparseSource, sigma: Array) -> _Found:
    """Regression of x on y, of all readings or of those of a feature that is on."""
    p, amplitude = np.broadcast_to(source.p, sigma.shape), source.amplitude
    mean, variance = source.mean, source.variance
    if kind == "selection":
        mean, variance = amplitude.mean + 0 * p, amplitude.variance + 0 * p
    noise = law.variance(source)
    total = variance + noise
    a = np.divide(variance, total, out=np.ones_like(total), where=total > 0)
    b = mean - a * (mean + law.mean(source))
    loss = (p if kind == "selection" else 1.0) * a * noise
    return _Found(sigma, loss, a, b, np.full(sigma.shape, np.nan))
