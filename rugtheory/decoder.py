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
changes nothing: gated and jumprelu have the same optimum in a scalar channel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from . import _check
from ._check import Array
from ._expect import blockwise
from ._search import find_minimum, find_root
from .antipodal import antipodal_loss, antipodal_optimum, antipodal_sigma, partner_nodes
from .bounds import welch_sigma
from .loss import reduced_loss
from .moments import off_moments, on_moments
from .optimum import optimum
from .posterior import Posterior, log_normal, mixed, posterior
from .source import Amplitude, SparseSource, Uniform, composite

if TYPE_CHECKING:
    import xarray as xr

KINDS = ("linear", "relu", "jumprelu", "gated", "topk", "selection", "oracle", "bayes")
_NO_NOISE = 1e-9
_ORDER = 10
_BLOCK = 1024


class Above(NamedTuple):
    """Averages over readings above a threshold θ, v = y - θ, ν = y - x."""

    passed: Array
    v: Array
    vv: Array
    x: Array
    xv: Array
    nu: Array
    nuv: Array
    nunu: Array
    missed: Array  # E x² of readings below


@dataclass(frozen=True)
class Channel(ABC):
    """The law of the interference ν in a reading y = x + ν.

    Attributes
    ----------
    sigma : float or array ≥ 0
        Standard deviation of its Gaussian part.
    """

    sigma: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", _check.nonnegative("sigma", self.sigma))

    @abstractmethod
    def mean(self, source: SparseSource) -> Array:
        """E ν."""

    @abstractmethod
    def variance(self, source: SparseSource) -> Array:
        """Var ν."""

    @abstractmethod
    def above(self, amplitude: Amplitude, theta: Array, sigma: Array, p: Array) -> Above:
        """Averages above the threshold, on flat arrays, σ > 0."""

    @abstractmethod
    def off(self, amplitude: Amplitude, y: Array, sigma: Array, p: Array) -> Array:
        """Log density of ν at `y`."""

    @abstractmethod
    def on(self, amplitude: Amplitude, y: Array, sigma: Array, p: Array) -> Posterior:
        """The posterior of u given y = u + ν."""

    @abstractmethod
    def edges(self, amplitude: Amplitude) -> list[float]:
        """Readings around which densities change on the scale of σ."""


class GaussianChannel(Channel):
    """ν ~ N(0, σ²): the channel of a rug with many features (arXiv:2410.12101, section 3.2)."""

    def mean(self, source: SparseSource) -> Array:
        return np.zeros_like(self.sigma)

    def variance(self, source: SparseSource) -> Array:
        return np.asarray(self.sigma**2)

    def above(self, amplitude: Amplitude, theta: Array, sigma: Array, p: Array) -> Above:
        return _above(amplitude, theta, sigma, p, np.zeros_like(theta))

    def off(self, amplitude: Amplitude, y: Array, sigma: Array, p: Array) -> Array:
        return log_normal(y, sigma)

    def on(self, amplitude: Amplitude, y: Array, sigma: Array, p: Array) -> Posterior:
        return posterior(amplitude, y, sigma)

    def edges(self, amplitude: Amplitude) -> list[float]:
        return [0.0, *_ends(amplitude)]


class AntipodalChannel(Channel):
    """ν = -x₂ + N(0, σ²), x₂ a feature like x: the channel of an antipodal rug."""

    def mean(self, source: SparseSource) -> Array:
        return np.asarray(-source.mean + 0 * self.sigma)

    def variance(self, source: SparseSource) -> Array:
        return np.asarray(self.sigma**2 + source.variance)

    def above(self, amplitude: Amplitude, theta: Array, sigma: Array, p: Array) -> Above:
        alone = _above(amplitude, theta, sigma, p, np.zeros_like(theta))
        u, weights = partner_nodes(amplitude, -theta, sigma)
        u = np.broadcast_to(u, weights.shape[:1] + theta.shape)
        flat = (np.broadcast_to(x, u.shape).ravel() for x in (theta + u, sigma, p, u))
        paired = _above(amplitude, *flat)
        both = ((weights * x.reshape(u.shape)).sum(axis=0) for x in paired)
        return Above(*((1 - p) * x + p * y for x, y in zip(alone, both, strict=True)))

    def off(self, amplitude: Amplitude, y: Array, sigma: Array, p: Array) -> Array:
        with np.errstate(divide="ignore"):
            partner = np.log(p) + posterior(amplitude, -y, sigma).log_density
            return np.logaddexp(np.log1p(-p) + log_normal(y, sigma), partner)

    def on(self, amplitude: Amplitude, y: Array, sigma: Array, p: Array) -> Posterior:
        flat_y, flat_sigma = y.ravel(), sigma.ravel()
        kinks = np.stack([end - flat_y for end in _ends(amplitude)])
        u, weights = amplitude.resolving(kinks, flat_sigma)
        u = np.broadcast_to(u, weights.shape[:1] + flat_y.shape)
        moved = posterior(amplitude, flat_y + u, np.broadcast_to(flat_sigma, u.shape))
        q = p.ravel()
        with np.errstate(divide="ignore"):
            parts = [
                (np.log1p(-q), posterior(amplitude, flat_y, flat_sigma)),
                (np.log(q) + np.log(weights), moved),
            ]
        return Posterior(*(x.reshape(y.shape) for x in mixed(parts)))

    def edges(self, amplitude: Amplitude) -> list[float]:
        ends = _ends(amplitude)
        return sorted({0.0, *ends, *(-x for x in ends)})


def _ends(amplitude: Amplitude) -> list[float]:
    atoms = amplitude.atoms()
    if atoms is not None:
        return [float(u) for u in atoms[0]]
    return sorted({amplitude.start, amplitude.end} - {np.inf})


def _above(amplitude: Amplitude, theta: Array, sigma: Array, p: Array, shift: Array) -> Above:
    """`Above` for ν = n - shift, n ~ N(0, σ²); `theta` is the threshold of x + n."""
    one = np.ones_like(theta)
    on, off = on_moments(amplitude, one, -theta, sigma), off_moments(one, -theta, sigma)
    # What stays below is averaged directly: it is far less than what there is in all.
    below = on_moments(amplitude, -one, theta, sigma)
    odds = (1 - p) / p
    passed, v, vv = (p * (x + odds * y) for x, y in zip(on[:3], off[:3], strict=True))
    # With z = (θ - u)/σ: E[n; +] = σφ, E[n v; +] = σ² P(+), E[n²; +] = σ² (P(+) + z φ).
    first = sigma * p * (on.phi + odds * off.phi)
    far = p * (theta * on.phi - on.uphi + odds * theta * off.phi)
    second = sigma**2 * passed + sigma * far
    return Above(
        passed,
        v,
        vv,
        p * on.u,
        p * on.uv,
        first - shift * passed,
        sigma**2 * passed - shift * v,
        second - 2 * shift * first + shift**2 * passed,
        p * below.uu,
    )


class _Parameters:
    """Fields that are real numbers or arrays."""

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items()):
            value = _check.real(name, value)
            object.__setattr__(self, name, value if value.ndim else float(value))


@dataclass(frozen=True)
class Linear(_Parameters):
    """a y + b."""

    a: Any
    b: Any

    def __call__(self, y: ArrayLike) -> Array:
        return np.asarray(self.a * _check.real("y", y) + self.b)


@dataclass(frozen=True)
class ReLU(_Parameters):
    """ReLU(a y + b)."""

    a: Any
    b: Any

    def __call__(self, y: ArrayLike) -> Array:
        return np.asarray(np.maximum(self.a * _check.real("y", y) + self.b, 0))


@dataclass(frozen=True)
class JumpReLU(_Parameters):
    """a y + b where y > threshold, else 0."""

    a: Any
    b: Any
    threshold: Any

    def __call__(self, y: ArrayLike) -> Array:
        y = _check.real("y", y)
        return np.asarray(np.where(y > self.threshold, self.a * y + self.b, 0))


@dataclass(frozen=True)
class Gated(_Parameters):
    """ReLU(a y + b) where y > threshold, else 0."""

    a: Any
    b: Any
    threshold: Any

    def __call__(self, y: ArrayLike) -> Array:
        y = _check.real("y", y)
        return np.asarray(np.where(y > self.threshold, np.maximum(self.a * y + self.b, 0), 0))


@dataclass(frozen=True)
class Bayes:
    """E[x | y] in a channel, the function of y with the least loss; scalar σ and p."""

    channel: Channel
    source: SparseSource

    def __post_init__(self) -> None:
        _check.instance("channel", self.channel, Channel)
        _check.instance("source", self.source, SparseSource)

    def __call__(self, y: ArrayLike) -> Array:
        y = _check.real("y", y)
        on, share = _posterior(self.channel, self.source, y.reshape(-1))
        return np.asarray((share * on.mean).reshape(y.shape))


def _posterior(channel: Channel, source: SparseSource, y: Array) -> tuple[Posterior, Array]:
    """Posterior of u, and the probability that the feature is on, given `y`."""
    amplitude = source.amplitude
    sigma, p = np.full_like(y, float(channel.sigma)), np.full_like(y, source.p)
    sigma = np.maximum(sigma, _NO_NOISE * amplitude.mean)
    on = channel.on(amplitude, y, sigma, p)
    odds = special.logit(p) + on.log_density - channel.off(amplitude, y, sigma, p)
    return on, special.expit(odds)


def decoder_loss(
    decoder: Callable[[Array], ArrayLike], channel: Channel, source: SparseSource
) -> Array:
    """Loss E(x - f(x + ν))² of a decoder in a channel.

    Parameters
    ----------
    decoder : Linear, ReLU, JumpReLU, Gated, Bayes or any callable
        A function of arrays of readings.  The first three are done in closed form and broadcast
        against σ and p.  Others take a scalar σ > 0 and p and one-dimensional quadrature, adaptive
        to a relative error of 1e-9 where the function is smooth but for a few jumps.
    channel : GaussianChannel or AntipodalChannel
    source : SparseSource

    Returns
    -------
    ndarray
        Mean squared error per feature.

    Raises
    ------
    ValueError, TypeError
        If shapes do not broadcast, or a callable meets arrays of σ or p.

    Examples
    --------
    >>> import numpy as np, rugtheory as rt
    >>> channel, source = rt.GaussianChannel(0.2), rt.SparseSource(0.045)
    >>> print(f"{rt.decoder_loss(rt.ReLU(1.3, -0.45), channel, source):.10f}")
    0.0045019767
    >>> print(f"{rt.decoder_loss(lambda y: np.maximum(1.3 * y - 0.45, 0), channel, source):.10f}")
    0.0045019767
    """
    _check.function("decoder", decoder)
    _check.instance("channel", channel, Channel)
    _check.instance("source", source, SparseSource)
    amplitude = source.amplitude
    if isinstance(decoder, Linear):
        a, b = np.asarray(decoder.a), np.asarray(decoder.b)
        offset = b + a * (source.mean + channel.mean(source)) - source.mean
        noise = a * a * channel.variance(source)
        return np.asarray(source.variance * (1 - a) ** 2 + noise + offset**2)
    if isinstance(decoder, ReLU):
        loss = antipodal_loss if isinstance(channel, AntipodalChannel) else reduced_loss
        return loss(decoder.a, decoder.b, channel.sigma, source.p, amplitude=amplitude)
    if isinstance(decoder, JumpReLU):
        a, b, theta, sigma, p = np.broadcast_arrays(
            decoder.a, decoder.b, decoder.threshold, channel.sigma, source.p
        )

        def at(amplitude: Amplitude, *x: Array) -> tuple[Array]:
            return (_jump_loss(channel, amplitude, *x),)

        return blockwise(at, amplitude, a, b, theta, sigma, p)[0]
    return np.asarray(_by_quadrature(decoder, channel, source))


def _jump_loss(
    channel: Channel, amplitude: Amplitude, a: Array, b: Array, theta: Array, sigma: Array, p: Array
) -> Array:
    m = channel.above(amplitude, theta, np.maximum(sigma, _NO_NOISE * amplitude.mean), p)
    # Above the threshold the error is -(ν + α v + γ).
    alpha, gamma = a - 1, b + (a - 1) * theta
    square = m.nunu + alpha**2 * m.vv + gamma**2 * m.passed
    return square + 2 * (alpha * m.nuv + gamma * m.nu + alpha * gamma * m.v) + m.missed


def _best_affine(
    channel: Channel, amplitude: Amplitude, theta: Array, sigma: Array, p: Array
) -> tuple[Array, Array, Array]:
    """a, b and loss of the best affine value above a threshold."""
    m = channel.above(amplitude, theta, sigma, p)
    power = p * amplitude.second_moment
    # The error is regressed where it is small, x where that is.
    noisy = m.nunu + m.missed > power
    first = np.where(noisy, m.xv, -m.nuv)
    second = np.where(noisy, m.x, -m.nu)
    mean = np.divide(m.v, m.passed, out=np.zeros_like(m.v), where=m.passed > 0)
    spread = m.vv - mean * m.v
    slope = np.divide(first - mean * second, spread, out=np.zeros_like(m.v), where=spread > 0)
    level = np.divide(second, m.passed, out=np.zeros_like(m.v), where=m.passed > 0) - slope * mean
    gain = slope * first + level * second
    loss = np.where(noisy, power, m.nunu + m.missed) - gain
    a = np.where(noisy, slope, 1 + slope)
    return a, level - slope * theta, loss


def _density_points(channel: Channel, source: SparseSource) -> Array:
    """Readings between which densities and posteriors are smooth enough for a Gauss rule."""
    return _panels(channel, source.amplitude, np.atleast_1d(channel.sigma), np.atleast_1d(source.p))


def _panels(channel: Channel, amplitude: Amplitude, sigma: Array, p: Array) -> Array:
    sigma = np.maximum(sigma, _NO_NOISE * amplitude.mean)
    # Where on and off are equally likely, some way up the flank of the noise at zero.
    rarity = -2 * np.log(np.sqrt(2 * np.pi) * p * sigma / ((1 - p) + 1e-300) / amplitude.mean)
    flank = np.sqrt(np.maximum(rarity, 0.0))
    pieces = [
        edge + sigma * np.arange(-9.0, 9.5, 1.5)[:, None] for edge in channel.edges(amplitude)
    ]
    pieces.append(sigma * flank * np.linspace(0, 1, 12)[:, None])
    pieces.append(sigma * (flank + np.linspace(-6, 8, 15)[:, None] / (1 + flank)))
    pieces.append(sigma * (flank + np.array([2.0, 3.0, 4.5, 6.5, 9.0])[:, None]))
    breaks = amplitude.breakpoints()
    pieces.append(np.broadcast_to(breaks[:, None], (breaks.size, sigma.size)))
    return np.sort(np.concatenate(pieces), axis=0)


def _posterior_losses(
    channel: Channel, amplitude: Amplitude, sigma: Array, p: Array
) -> tuple[Array, Array]:
    """Losses of Bayes' decoder and of the oracle, E Var(x | y) and E Var(x | y, on or off)."""
    sigma = np.maximum(sigma, _NO_NOISE * amplitude.mean)
    y, weights = composite(_panels(channel, amplitude, sigma, p), _ORDER)
    s, q = (np.broadcast_to(x, y.shape) for x in (sigma, p))
    on = channel.on(amplitude, y, s, q)
    with np.errstate(divide="ignore"):
        odds = special.logit(q) + on.log_density - channel.off(amplitude, y, s, q)
    weights = weights * np.exp(on.log_density)
    oracle = p * (weights * on.variance).sum(axis=0)
    doubt = p * (weights * special.expit(-odds) * on.mean**2).sum(axis=0)
    return oracle + doubt, oracle


def _by_quadrature(
    decoder: Callable[[Array], ArrayLike], channel: Channel, source: SparseSource
) -> float:
    if np.ndim(channel.sigma) or np.ndim(source.p):
        raise ValueError("sigma and p must be scalars for a decoder that is integrated numerically")
    if float(channel.sigma) == 0:
        raise ValueError(
            "sigma must be positive for a decoder that is integrated numerically, got 0"
        )
    points = np.unique(_density_points(channel, source))

    def density(y: float) -> float:
        at = np.array([y])
        on, _ = _posterior(channel, source, at)
        sigma, p = np.full(1, float(channel.sigma)), np.full(1, source.p)
        off = np.exp(channel.off(source.amplitude, at, sigma, p))
        value = np.asarray(decoder(at), float)
        error = np.exp(on.log_density) * ((on.mean - value) ** 2 + on.variance)
        return float((source.p * error + (1 - source.p) * off * value**2)[0])

    value, _ = scipy.integrate.quad_vec(
        density, points[0], points[-1], points=points[1:-1], epsabs=0, epsrel=1e-10, limit=5000
    )
    return float(value)


@dataclass(frozen=True)
class DecoderOptimum:
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
    channel: str = "gaussian",
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
    channel : "gaussian" or "antipodal"
    amplitude : Amplitude
        Law of a feature that is on.
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
    Kinds with a threshold or a posterior take a σ below 1e-9 of the mean amplitude as that much:
    below it their losses stay where those of the other kinds go on falling.

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
    _check.choice("channel", channel, ("gaussian", "antipodal"))
    p = _check.probability("p", p, least=_check.LEAST_P)
    ratio = _check.probability("ratio", ratio)
    keep = p if keep is None else _check.probability("keep", keep)
    _check.broadcastable(p=p, ratio=ratio, keep=keep)
    p, ratio, keep = np.broadcast_arrays(p, ratio, keep)
    antipodal = channel == "antipodal"
    sigma = (antipodal_sigma if antipodal else welch_sigma)(p, ratio, amplitude=amplitude)
    law: Channel = (AntipodalChannel if antipodal else GaussianChannel)(sigma)
    source = SparseSource(p, amplitude)
    nothing = np.full(p.shape, np.nan)
    a, b, threshold = nothing, nothing, nothing
    if kind in ("linear", "selection"):
        mean, variance = source.mean, source.variance
        if kind == "selection":
            mean, variance = amplitude.mean + 0 * p, amplitude.variance + 0 * p
        noise = law.variance(source)
        total = variance + noise
        a = np.divide(variance, total, out=np.ones_like(total), where=total > 0)
        b = mean - a * (mean + law.mean(source))
        loss = (p if kind == "selection" else 1.0) * a * noise
    elif kind == "relu":
        best = (antipodal_optimum if antipodal else optimum)(p, ratio, amplitude=amplitude)
        a, b, loss = best.a, best.b, best.loss
    elif kind in ("oracle", "bayes"):

        def losses(amplitude: Amplitude, s: Array, q: Array) -> tuple[Array, Array]:
            return _posterior_losses(law, amplitude, s, q)

        loss = blockwise(losses, amplitude, sigma, p, size=_BLOCK)[kind == "oracle"]
    elif kind == "topk":

        def kept(amplitude: Amplitude, *x: Array) -> tuple[Array, ...]:
            return _kept(law, amplitude, *x)

        threshold, a, b, loss = blockwise(kept, amplitude, sigma, p, keep, size=_BLOCK)
    else:

        def jump(amplitude: Amplitude, *x: Array) -> tuple[Array, ...]:
            return _best_jump(law, amplitude, *x)

        threshold, a, b, loss = blockwise(jump, amplitude, sigma, p, size=_BLOCK)
        # Where a decoder without a jump is the best, it is a ReLU.
        best = (antipodal_optimum if antipodal else optimum)(p, ratio, amplitude=amplitude)
        plain = best.loss <= loss
        found = (best.loss, best.a, best.b, -best.b / best.a)
        loss, a, b, threshold = (
            np.where(plain, x, y) for x, y in zip(found, (loss, a, b, threshold), strict=True)
        )
    return DecoderOptimum(kind, p, ratio, sigma, loss, a, b, threshold)


def _best_jump(
    channel: Channel, amplitude: Amplitude, sigma: Array, p: Array
) -> tuple[Array, Array, Array, Array]:
    """Threshold, a, b and loss: the best of a scan of thresholds, refined."""
    sigma = np.maximum(sigma, _NO_NOISE * amplitude.mean)
    size = np.full_like(sigma, amplitude.mean)
    flank = np.sqrt(2 * np.log(1 / p)) + 4 + np.sqrt(2 * np.log1p(size / sigma))
    grid = np.concatenate(
        [
            sigma * np.linspace(-9, 0, 10)[:, None],
            sigma * flank * np.linspace(0.04, 1, 40)[:, None],
            size * np.linspace(0.05, 1.5, 12)[:, None],
        ]
    )
    grid = np.sort(grid, axis=0) + 1e-13 * sigma * np.arange(len(grid))[:, None]

    def loss(theta: Array, sigma: Array, p: Array) -> Array:
        return _best_affine(channel, amplitude, theta, sigma, p)[2]

    shape = grid.shape
    flat = (np.broadcast_to(x, shape).ravel() for x in (grid, sigma, p))
    losses = loss(*flat).reshape(shape)
    best = np.argmin(losses, axis=0)
    inside = np.clip(best, 1, len(grid) - 2)
    bracket = tuple(np.take_along_axis(grid, (inside + k)[None], axis=0)[0] for k in (-1, 0, 1))
    found = find_minimum(loss, bracket, args=(sigma, p))
    lowest = np.take_along_axis(grid, best[None], axis=0)[0]
    theta = np.where(found.success & (found.f_x <= losses.min(axis=0)), found.x, lowest)
    return theta, *_best_affine(channel, amplitude, theta, sigma, p)


def _kept(
    channel: Channel, amplitude: Amplitude, sigma: Array, p: Array, keep: Array
) -> tuple[Array, Array, Array, Array]:
    """Threshold, a, b and loss where a part `keep` of the readings is above the threshold."""
    sigma = np.maximum(sigma, _NO_NOISE * amplitude.mean)

    def excess(theta: Array, sigma: Array, p: Array, keep: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(channel.above(amplitude, theta, sigma, p).passed / keep))

    low = min(channel.edges(amplitude)) - 9 * sigma
    high = sigma * (9 + np.sqrt(2 * np.log(1 / keep))) + np.quantile(amplitude.breakpoints(), 1)
    found = find_root(excess, (low, high), args=(sigma, p, keep)).x
    # Where all are kept, nothing is below `low`.
    theta = np.where(excess(low, sigma, p, keep) > 0, found, low)
    return theta, *_best_affine(channel, amplitude, theta, sigma, p)


def decoder_table(
    p: ArrayLike,
    ratio: ArrayLike,
    *,
    channel: str = "gaussian",
    amplitude: Amplitude = Uniform(),
) -> xr.Dataset:
    """Losses of all decoders on the grid of `p` and `ratio`, and their ratios to the best.

    Parameters
    ----------
    p, ratio : array_like, at most one-dimensional
        The coordinates of the grid, in the ranges of `optimum_decoder`.
    channel : "gaussian" or "antipodal"
    amplitude : Amplitude
        Law of a feature that is on.

    Returns
    -------
    xarray.Dataset
        Dimensions decoder, p and ratio; variables loss, over_bayes and over_oracle.

    Examples
    --------
    >>> import rugtheory as rt
    >>> table = rt.decoder_table([0.01, 0.1], [0.1, 0.5])
    >>> gap = table.over_bayes.sel(decoder="relu", p=0.01, ratio=0.5)
    >>> print(f"{float(gap):.4f}")
    1.5080
    """
    import xarray as xr

    p, ratio = (_check.axis(name, x) for name, x in (("p", p), ("ratio", ratio)))
    found = {
        kind: optimum_decoder(kind, p[:, None], ratio, channel=channel, amplitude=amplitude).loss
        for kind in KINDS
        if kind != "gated"
    }
    found["gated"] = found["jumprelu"]
    loss = np.stack([found[kind] for kind in KINDS])
    with np.errstate(divide="ignore", invalid="ignore"):
        over = {f"over_{kind}": loss / found[kind] for kind in ("bayes", "oracle")}
    dimensions = ("decoder", "p", "ratio")
    return xr.Dataset(
        {name: (dimensions, values) for name, values in ({"loss": loss} | over).items()},
        {"decoder": list(KINDS), "p": p, "ratio": ratio},
        {
            "channel": channel,
            "amplitude": repr(amplitude),
            "loss": "mean squared error per feature",
        },
    )
