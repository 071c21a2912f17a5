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

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from . import _check, _readings
from ._check import Array
from ._expect import blockwise
from ._quadrature import Index, Panels, integrate
from ._readings import Fields, Problems, Reader, Readings
from ._value import ByValue
from .antipodal import antipodal_loss, antipodal_optimum, antipodal_sigma, partner_nodes
from .bounds import welch_sigma
from .loss import reduced_loss
from .optimum import optimum
from .posterior import (
    Posterior,
    Table,
    above,
    discrete,
    ends,
    has_closed_form,
    log_normal,
    mixed,
    mixture,
    posterior,
    reading,
)
from .source import Amplitude, SparseSource, Uniform, check_amplitude, on_law

if TYPE_CHECKING:
    import xarray as xr

KINDS = ("linear", "relu", "jumprelu", "gated", "topk", "selection", "oracle", "bayes")
# Over the mean amplitude.  The square of the first times any p is still a number; readings have
# digits around amplitudes for the second.
_NO_NOISE = 1e-100
_LEAST_NOISE = 1e-30
_BLOCK = 128
_AT_A_TIME = 400_000


@dataclass(frozen=True, eq=False)
class Channel(ByValue, ABC):
    """The law of the interference ν in a reading y = x + ν, independent of x.

    A channel of your own is a subclass with the methods `off` and `edges`.  All that decoders lose
    in it follows by quadrature; `mean`, `variance` and `on` may be overridden where there is a
    closed form.  Other parameters than σ are fields of the subclass and scalars.

    Attributes
    ----------
    sigma : float or array ≥ 0
        Standard deviation of its Gaussian part, the scale below which no density has features.

    Examples
    --------
    Interference that is +h or -h besides its Gaussian part:

    >>> from dataclasses import dataclass
    >>> import numpy as np, rugtheory as rt
    >>> @dataclass(frozen=True)
    ... class TwoSided(rt.Channel):
    ...     h: float
    ...
    ...     def off(self, amplitude, y, sigma, p):
    ...         up, down = ((y + s * self.h) / sigma for s in (1, -1))
    ...         return np.logaddexp(-(up**2) / 2, -(down**2) / 2) - np.log(
    ...             2 * sigma * np.sqrt(2 * np.pi)
    ...         )
    ...
    ...     def edges(self, amplitude):
    ...         return [-self.h, self.h]
    >>> channel, source = TwoSided(0.1, 0.05), rt.SparseSource(0.1)
    >>> print(f"{rt.decoder_loss(rt.JumpReLU(1.0, 0.0, 0.3), channel, source):.6f}")
    0.002471
    """

    sigma: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", _check.nonnegative("sigma", self.sigma))

    @abstractmethod
    def off(self, amplitude: Amplitude, y: Array, sigma: Array, p: Array) -> Array:
        """Log density of ν at `y`; arrays of one shape, σ > 0.

        It may depend on the law of the features, `amplitude` and `p`, as if ν is made of others.
        """

    @abstractmethod
    def edges(self, amplitude: Amplitude) -> list[float]:
        """Where the density of ν changes on the scale of σ.

        Farther than ten σ below the first and above the last there is nothing left of ν.
        """

    def on(self, amplitude: Amplitude, y: Array, sigma: Array, p: Array) -> Posterior:
        """The posterior of u given y = u + ν; arrays of one shape, σ > 0."""
        flat = y.ravel(), sigma.ravel(), p.ravel()
        atoms = discrete(amplitude)
        parts = []
        edges = np.unique(self.edges(amplitude))[:, None]
        block = max(1, _AT_A_TIME // (200 * edges.size))
        for k in range(0, max(y.size, 1), block):
            z, s, q = (x[k : k + block] for x in flat)
            if atoms is None:
                u, weights = amplitude.resolving(z - edges, s)
            else:
                u, weights = atoms[0][:, None], atoms[1][:, None]
            u, weights = (
                np.broadcast_to(u, (len(u), z.size)),
                np.broadcast_to(weights, (len(u), z.size)),
            )
            noise = (np.broadcast_to(x, u.shape).ravel() for x in (s, q))
            with np.errstate(divide="ignore"):
                log = self.off(amplitude, (z - u).ravel(), *noise).reshape(u.shape)
                atom = Posterior(np.log(weights) + log, u, np.zeros_like(u))
            parts.append(mixed([(np.zeros_like(u), atom)])[:3])
        return Posterior(*(np.concatenate(x).reshape(y.shape) for x in zip(*parts, strict=True)))

    def mean(self, source: SparseSource) -> Array:
        """E ν."""
        above, below = self._moments(
            source, lambda y, _: np.stack([np.maximum(y, 0), np.maximum(-y, 0)])
        )
        return np.asarray(above - below)

    def variance(self, source: SparseSource) -> Array:
        """Var ν."""
        mean = np.ravel(np.broadcast_to(self.mean(source), self._shape(source)))
        return np.asarray(
            self._moments(source, lambda y, problem: (y - mean[problem])[None] ** 2)[0]
        )

    def _shape(self, source: SparseSource) -> tuple[int, ...]:
        return np.broadcast_shapes(np.shape(self.sigma), np.shape(source.p))

    def _moments(self, source: SparseSource, of: Callable[[Array, Index], Array]) -> Array:
        """E of(ν), each component non-negative."""
        amplitude, shape = source.amplitude, self._shape(source)
        sigma, p = (np.ravel(np.broadcast_to(x, shape)) for x in (self.sigma, source.p))
        sigma = np.maximum(sigma, _NO_NOISE * amplitude.mean)

        def function(problem: Index, anchor: Array, offset: Array) -> tuple[Array, Array]:
            y = anchor + offset
            density = np.exp(self.off(amplitude, y, sigma[problem], p[problem]))
            return y[None][:0], density * of(y, problem)

        start = _start(self, amplitude, sigma, p)
        value = integrate(function, start, sigma.size, rtol=_readings.RTOL).value
        return value.reshape(-1, *shape)

    def _anchors(self, amplitude: Amplitude) -> Array:
        """Readings around which any density changes on the scale of σ."""
        edges = np.asarray(self.edges(amplitude), float)
        return np.unique(np.concatenate([[0.0], edges, (edges[:, None] + ends(amplitude)).ravel()]))

    def _reader(self, amplitude: Amplitude, sigma: Array, p: Array) -> Reader:
        """Posterior and log density of ν at readings anchor + offset, of flat `sigma` and `p`."""

        def read(problem: Index, anchor: Array, offset: Array) -> tuple[Posterior, Array]:
            at = amplitude, anchor + offset, sigma[problem], p[problem]
            return self.on(*at), self.off(*at)

        return read


class GaussianChannel(Channel):
    """ν ~ N(0, σ²): the channel of a rug with many features (arXiv:2410.12101, section 3.2)."""

    def mean(self, source: SparseSource) -> Array:
        return np.zeros_like(self.sigma)

    def variance(self, source: SparseSource) -> Array:
        return np.asarray(self.sigma**2)

    def off(self, amplitude: Amplitude, y: Array, sigma: Array, p: Array) -> Array:
        return log_normal(y, sigma)

    def on(self, amplitude: Amplitude, y: Array, sigma: Array, p: Array) -> Posterior:
        return posterior(amplitude, y, sigma)

    def edges(self, amplitude: Amplitude) -> list[float]:
        return [0.0]

    def _reader(self, amplitude: Amplitude, sigma: Array, p: Array) -> Reader:
        def read(problem: Index, anchor: Array, offset: Array) -> tuple[Posterior, Array]:
            s = sigma[problem]
            return reading(amplitude, anchor, offset, s), log_normal(anchor + offset, s)

        return read


class AntipodalChannel(Channel):
    """ν = -x₂ + N(0, σ²), x₂ a feature like x: the channel of an antipodal rug."""

    def mean(self, source: SparseSource) -> Array:
        return np.asarray(-source.mean + 0 * self.sigma)

    def variance(self, source: SparseSource) -> Array:
        return np.asarray(self.sigma**2 + source.variance)

    def off(self, amplitude: Amplitude, y: Array, sigma: Array, p: Array) -> Array:
        nothing = np.zeros(y.size)
        log = _partner_alone(amplitude, y.ravel(), nothing, sigma.ravel(), p.ravel())
        return np.asarray(log.reshape(y.shape))

    def on(self, amplitude: Amplitude, y: Array, sigma: Array, p: Array) -> Posterior:
        channels, problem = np.unique(
            np.stack([sigma.ravel(), p.ravel()]), axis=1, return_inverse=True
        )
        read = self._reader(amplitude, *channels)
        found, _ = read(problem.ravel(), y.ravel(), np.zeros(y.size))
        return Posterior(*(np.reshape(x, y.shape) for x in found if x is not None))

    def edges(self, amplitude: Amplitude) -> list[float]:
        most = {float(amplitude.breakpoints().max())}
        return sorted({0.0} | {-float(x) for x in ends(amplitude)} | {-x for x in most})

    def _reader(self, amplitude: Amplitude, sigma: Array, p: Array) -> Reader:
        atoms = discrete(amplitude)
        if atoms is not None:
            return _discrete_pairs(*atoms, sigma, p)
        return _pairs(amplitude, sigma, p)


def _partner_alone(
    amplitude: Amplitude, anchor: Array, offset: Array, sigma: Array, p: Array
) -> Array:
    """Log density of -x₂ + N(0, σ²)."""
    with np.errstate(divide="ignore"):
        partner = np.log(p) + reading(amplitude, -anchor, -offset, sigma).log_density
        return np.logaddexp(np.log1p(-p) + log_normal(anchor + offset, sigma), partner)


def _discrete_pairs(u: Array, weights: Array, sigma: Array, p: Array) -> Reader:
    """Readings u - w + N(0, σ²) of atoms."""
    with np.errstate(divide="ignore"):
        log_p, log_q, log_u = np.log(p), np.log1p(-p), np.log(weights)
    values, centres = np.tile(u, u.size + 1), np.concatenate([u, (u - u[:, None]).ravel()])
    pair = np.tile(log_u, u.size + 1), np.concatenate([0 * u, np.repeat(log_u, u.size)])
    with_partner = np.repeat([False, True], [u.size, u.size**2])[:, None]

    def read(problem: Index, anchor: Array, offset: Array) -> tuple[Posterior, Array]:
        s, one, none = sigma[problem], log_p[problem], log_q[problem]
        logs = (pair[0] + pair[1])[:, None] + np.where(with_partner, one, none)
        on = mixture(values, centres, logs, anchor, offset, s)
        alone = np.concatenate([none[None], log_u[:, None] + one])
        at = np.append(0.0, -u)
        return on, mixture(at, at, alone, anchor, offset, s).log_density

    return read


def _pairs(amplitude: Amplitude, sigma: Array, p: Array) -> Reader:
    """Readings u - w + N(0, σ²) of a law with a density."""
    kinks = ends(amplitude)[:, None]
    closed = has_closed_form(amplitude)
    tables: dict[float, Table] = {}

    def alone(t: Array, s: Array, weights: Array) -> Posterior:
        if closed:
            return reading(amplitude, t, np.zeros_like(t), np.broadcast_to(s, t.shape))
        # Panels of no length are not worth a look.
        out = np.zeros((4, *t.shape))
        for value in np.unique(s):
            if value not in tables:
                tables[value] = Table(amplitude, value)
            some = (weights > 0) & (s == value)
            out[:, some] = np.stack(tables[value](t[some]))  # type: ignore[arg-type]
        return Posterior(*out)

    def read(problem: Index, anchor: Array, offset: Array) -> tuple[Posterior, Array]:
        parts, k = [], 0
        block = 256
        while k < max(anchor.size, 1):
            here = slice(k, k + block)
            s, q, y = sigma[problem[here]], p[problem[here]], anchor[here] + offset[here]
            w, weights = amplitude.resolving(_graded(kinks - y, s, closed), s)
            both = alone(y + w, s, weights)
            single = reading(amplitude, anchor[here], offset[here], s)
            with np.errstate(divide="ignore"):
                pairs = np.log(q) + np.log(weights)
                logs = [(np.log1p(-q), single), (pairs, both)]
            assert single.shift is not None and both.shift is not None
            found = mixed(logs, [single.shift, both.shift + w])
            parts.append((*found, _partner_alone(amplitude, anchor[here], offset[here], s, q)))
            k += block
            block = max(1, _AT_A_TIME // len(w))
        *on, off = (np.concatenate(x) for x in zip(*parts, strict=True))
        return Posterior(*on), off

    return read


def _graded(kinks: Array, sigma: Array, smooth: bool) -> Array:
    """`kinks`, and for a density that may be singular there more of them, ever farther away."""
    if smooth:
        return kinks
    steps = 20.0 ** np.arange(1, 8)[:, None, None]
    with np.errstate(over="ignore"):
        away = sigma * np.concatenate([-steps, 0 * steps[:1], steps])
    return np.asarray((kinks + away).reshape(-1, sigma.size))


def _start(
    channel: Channel, amplitude: Amplitude, sigma: Array, p: Array, extra: Array | None = None
) -> Panels:
    """Panels to begin with; `extra` of shape (k, problems) are ends of panels as well."""
    anchors = channel._anchors(amplitude)
    breaks = amplitude.breakpoints()
    breaks = np.unique(np.concatenate([breaks, anchors[0] + breaks]))
    # Posteriors turn sharply between atoms, of the feature or of its interference.
    turns = discrete(amplitude) is not None or type(channel)._reader is Channel._reader
    found = [
        _readings.panels(
            anchors,
            breaks,
            float(sigma[k]),
            float(p[k]),
            amplitude.mean,
            turns=turns,
            extra=None if extra is None else extra[:, k],
        )
        for k in range(sigma.size)
    ]
    problem = np.repeat(np.arange(sigma.size), [len(x[0]) for x in found])
    return Panels(problem, *(np.concatenate(x) for x in zip(*found, strict=True)))


def _problems(channel: Channel, amplitude: Amplitude, sigma: Array, p: Array) -> Problems:
    own = type(channel)._reader is not Channel._reader
    exact = own and (discrete(amplitude) is not None or has_closed_form(amplitude))
    return Problems(channel._reader(amplitude, sigma, p), sigma, p, amplitude.mean, exact)


class _Parameters(ByValue):
    """Fields that are real numbers or arrays."""

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items()):
            value = _check.real(name, value)
            object.__setattr__(self, name, value if value.ndim else float(value))


@dataclass(frozen=True, eq=False)
class Linear(_Parameters):
    """a y + b."""

    a: Any
    b: Any

    def __call__(self, y: ArrayLike) -> Array:
        return np.asarray(self.a * _check.real("y", y) + self.b)


@dataclass(frozen=True, eq=False)
class ReLU(_Parameters):
    """ReLU(a y + b)."""

    a: Any
    b: Any

    def __call__(self, y: ArrayLike) -> Array:
        return np.asarray(np.maximum(self.a * _check.real("y", y) + self.b, 0))


@dataclass(frozen=True, eq=False)
class JumpReLU(_Parameters):
    """a y + b where y > threshold, else 0."""

    a: Any
    b: Any
    threshold: Any

    def __call__(self, y: ArrayLike) -> Array:
        y = _check.real("y", y)
        return np.asarray(np.where(y > self.threshold, self.a * y + self.b, 0))


@dataclass(frozen=True, eq=False)
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
        amplitude = self.source.amplitude
        sigma = np.full(1, max(float(self.channel.sigma), _LEAST_NOISE * amplitude.mean))
        problems = _problems(self.channel, amplitude, sigma, np.full(1, self.source.p))
        flat = y.reshape(-1)
        x = problems.densities(np.zeros(flat.size, int), flat, np.zeros(flat.size))
        return np.asarray((special.expit(x.odds) * x.mean).reshape(y.shape))


def decoder_loss(
    decoder: Callable[[Array], ArrayLike], channel: Channel, source: SparseSource
) -> Array:
    """Loss E(x - f(x + ν))² of a decoder in a channel.

    Parameters
    ----------
    decoder : Linear, ReLU, JumpReLU, Gated, Bayes or any callable
        A function of arrays of readings.  The first four broadcast against σ and p; others take
        a scalar σ > 0 and p, and one array of readings at a time.
    channel : Channel
        `GaussianChannel`, `AntipodalChannel` or a subclass of your own.
    source : SparseSource

    Returns
    -------
    ndarray
        Mean squared error per feature.

    Raises
    ------
    ValueError, TypeError
        If shapes do not broadcast, a callable meets arrays of σ or p, or what it returns are no
        finite numbers.

    Warns
    -----
    RuntimeWarning
        If the loss of a callable is estimated to be off by more than a relative 1e-8, as for one
        that changes faster than the integral can follow.

    Notes
    -----
    Linear decoders, and ReLUs in both channels of the package, have closed forms.  Other losses
    are integrals over the reading, adaptive to a relative error of 1e-11 by their own estimate,
    also where the decoder jumps.  What a callable does in less than 1/100 of the range of readings
    may be missed, unless it is a jump or close to an edge of the channel.

    Worst relative errors measured against moments of normal laws cut off, at 400 digits, for
    discrete amplitudes at 120 points in both channels, p from 1e-6 to 1 and σ from 0.03 to 3:
    2e-15 for `JumpReLU`, 5e-12 for a function that jumps.  `JumpReLU` and a function agree to 3e-12
    for laws with a density as well, σ from 1e-8 to 0.3; for a Beta law that is singular and a
    partner, to 1e-10 at σ = 1e-6.

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
    if type(decoder) is Linear:
        a, b = np.asarray(decoder.a), np.asarray(decoder.b)
        offset = b + a * (source.mean + channel.mean(source)) - source.mean
        noise = a * a * channel.variance(source)
        return np.asarray(source.variance * (1 - a) ** 2 + noise + offset**2)
    closed = _CLOSED_FORMS.get((type(decoder), type(channel)))
    if closed is not None:
        return closed(decoder, channel, source)
    if type(decoder) in (ReLU, JumpReLU, Gated):
        return _piecewise_loss(decoder, channel, source)
    return np.asarray(_any_loss(decoder, channel, source))


def _relu_in_noise(decoder: Any, channel: Channel, source: SparseSource) -> Array:
    return reduced_loss(decoder.a, decoder.b, channel.sigma, source.p, amplitude=source.amplitude)


def _relu_in_pairs(decoder: Any, channel: Channel, source: SparseSource) -> Array:
    return antipodal_loss(decoder.a, decoder.b, channel.sigma, source.p, amplitude=source.amplitude)


def _jump_in_noise(decoder: Any, channel: Channel, source: SparseSource) -> Array:
    return _averaged_jump(_jump, decoder, channel, source)


def _jump_in_pairs(decoder: Any, channel: Channel, source: SparseSource) -> Array:
    return _averaged_jump(_jump_of_pairs, decoder, channel, source)


def _averaged_jump(
    loss: Callable[..., Array], decoder: Any, channel: Channel, source: SparseSource
) -> Array:
    a, b, theta, sigma, p = np.broadcast_arrays(
        decoder.a, decoder.b, decoder.threshold, channel.sigma, source.p
    )
    sigma = np.maximum(sigma, _NO_NOISE * source.amplitude.mean)

    def at(amplitude: Amplitude, *x: Array) -> tuple[Array]:
        return (loss(amplitude, *x),)

    return blockwise(at, source.amplitude, a, b, theta, sigma, p, size=1024)[0]


def _jump(
    amplitude: Amplitude,
    a: Array,
    b: Array,
    theta: Array,
    sigma: Array,
    p: Array,
    partner: Array | float = 0.0,
) -> Array:
    """Loss of a jump if the reading is x - `partner` + N(0, σ²), on flat arrays."""
    u, weights = amplitude.resolving(theta + partner, sigma)

    def error(u: Array | float) -> Array:
        z = (theta - u + partner) / sigma
        passed, spread, lead = above(z)
        missed = (1 - a) * u + (a * partner - b) - a * sigma * lead
        return np.asarray(passed * (missed**2 + (a * sigma) ** 2 * spread) + u**2 * special.ndtr(z))

    return np.asarray(p * (weights * error(u)).sum(axis=0) + (1 - p) * error(0.0))


def _jump_of_pairs(
    amplitude: Amplitude, a: Array, b: Array, theta: Array, sigma: Array, p: Array
) -> Array:
    w, weights = partner_nodes(amplitude, -theta, sigma)
    some = (weights > 0).any(axis=1)
    w, weights = w[some], weights[some]
    w = np.broadcast_to(w, (len(w), theta.size))
    flat = [np.broadcast_to(x, w.shape).ravel() for x in (a, b, theta, sigma, p, w)]
    block = 512
    parts = [_jump(amplitude, *(x[k : k + block] for x in flat)) for k in range(0, w.size, block)]
    paired = (weights * np.concatenate(parts).reshape(w.shape)).sum(axis=0)
    return np.asarray((1 - p) * _jump(amplitude, a, b, theta, sigma, p) + p * paired)


# By the very types: a subclass may be another law.
_CLOSED_FORMS: dict[tuple[type, type], Callable[[Any, Channel, SparseSource], Array]] = {
    (ReLU, GaussianChannel): _relu_in_noise,
    (ReLU, AntipodalChannel): _relu_in_pairs,
    (JumpReLU, GaussianChannel): _jump_in_noise,
    (JumpReLU, AntipodalChannel): _jump_in_pairs,
}


def _piecewise_loss(decoder: Any, channel: Channel, source: SparseSource) -> Array:
    """Of decoders that are a y + b or zero."""
    amplitude = source.amplitude
    rectified = not isinstance(decoder, JumpReLU)
    threshold = getattr(decoder, "threshold", -np.inf)
    arrays = np.broadcast_arrays(decoder.a, decoder.b, threshold, channel.sigma, source.p)
    shape = arrays[0].shape
    flat = [np.asarray(x, float).ravel() for x in arrays]
    losses = [np.zeros(0)]
    for k in range(0, flat[0].size, _BLOCK):
        a, b, theta, sigma, p = (x[k : k + _BLOCK] for x in flat)
        sigma = np.maximum(sigma, _NO_NOISE * amplitude.mean)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            extra = np.stack([theta, -b / a])
        start = _start(channel, amplitude, sigma, p, np.nan_to_num(extra, nan=0.0))
        pieces = _Piecewise(a, b, theta, rectified)
        problems = _problems(channel, amplitude, sigma, p)
        losses.append(_readings.integrated_loss(problems, start, pieces.value, pieces.missed)[0])
    return np.concatenate(losses).reshape(shape)


class _Piecewise(NamedTuple):
    a: Array
    b: Array
    theta: Array
    rectified: bool

    def value(self, problem: Index, y: Array) -> Array:
        value = self.a[problem] * y + self.b[problem]
        passed = y > self.theta[problem]
        if self.rectified:
            passed = passed & (value > 0)
        return np.where(passed, value, 0.0)

    def missed(self, problem: Index, x: Fields, f: Array) -> Array:
        """E[u | y] - f, from E[u - y | y] where f is close to y."""
        a, b = self.a[problem], self.b[problem]
        near = (np.abs(1 - a) < 0.5) & (f != 0)
        return np.where(near, x.shift + (1 - a) * x.y - b, x.mean - f)


def _any_loss(
    decoder: Callable[[Array], ArrayLike], channel: Channel, source: SparseSource
) -> float:
    if np.ndim(channel.sigma) or np.ndim(source.p):
        raise ValueError("sigma and p must be scalars for a decoder that is integrated numerically")
    if float(channel.sigma) == 0:
        raise ValueError(
            "sigma must be positive for a decoder that is integrated numerically, got 0"
        )
    amplitude = source.amplitude
    sigma, p = np.full(1, float(channel.sigma)), np.full(1, source.p)

    def value(problem: Index, y: Array) -> Array:
        found = _check.real("values of the decoder", decoder(y))
        try:
            return np.broadcast_to(found, y.shape)
        except ValueError:
            raise ValueError(
                f"decoder must return one value a reading, got shape {found.shape} for {y.shape}"
            ) from None

    loss, error = _readings.integrated_loss(
        _problems(channel, amplitude, sigma, p),
        _start(channel, amplitude, sigma, p, np.zeros((1, 1))),
        value,
        lambda problem, x, f: x.mean - f,
        jumps=True,
    )
    if error[0] > 1e-8 * loss[0]:
        text = f"the loss {loss[0]:.6g} of the decoder may be off by {error[0]:.1g}"
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    return float(loss[0])


_NAMED = ("gaussian", "antipodal")
# The channel of p, ratio and amplitude.
ChannelOf = Callable[[Array, Array, Amplitude], Channel]


@dataclass(frozen=True, eq=False)
class DecoderOptimum(ByValue):
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
    Where σ is 0, at ratio 1 or for pairs at ratio ½, it counts as 1e-100 of the mean amplitude.

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
    plain = None
    if callable(channel) and not isinstance(channel, type):
        law = channel(p, ratio, amplitude)
        _check.instance("what channel returns", law, Channel)
    else:
        _check.choice("channel", channel, _NAMED)
        antipodal = channel == "antipodal"
        sigma = (antipodal_sigma if antipodal else welch_sigma)(p, ratio, amplitude=amplitude)
        law = (AntipodalChannel if antipodal else GaussianChannel)(sigma)
        if {"relu", "jumprelu", "gated"} & set(kinds):
            best = (antipodal_optimum if antipodal else optimum)(p, ratio, amplitude=amplitude)
            with np.errstate(divide="ignore", invalid="ignore"):
                bend = np.where(best.a == 0, np.nan, -best.b / best.a)
            plain = _Found(sigma, best.loss, best.a, best.b, bend)
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
        _from_readings(rest, law, amplitude, *(x[k : k + _BLOCK] for x in flat))
        for k in range(0, p.size, _BLOCK)
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


def _from_readings(
    kinds: tuple[str, ...],
    law: Channel,
    amplitude: Amplitude,
    sigma: Array,
    p: Array,
    keep: Array,
) -> dict[str, tuple[Array, Array, Array, Array]]:
    """Loss, a, b and threshold of each kind, on flat arrays."""
    clean = sigma == 0
    sigma = np.maximum(sigma, _NO_NOISE * amplitude.mean)
    readings = Readings.of(_problems(law, amplitude, sigma, p), _start(law, amplitude, sigma, p))
    every, nothing = np.arange(p.size), np.full(p.shape, np.nan)
    found = {}
    for kind in kinds:
        a, b, theta = nothing, nothing, nothing
        if kind == "oracle":
            loss = readings.oracle
        elif kind == "bayes":
            loss = readings.bayes
        elif kind == "relu":
            a, b, loss = _best_relu(readings, amplitude.mean)
        elif kind == "topk":
            theta = readings.kept(keep)
            a, b, loss = readings.affine(every, theta)
        else:
            refined, end = readings.best(_readings.with_jump)
            first, second = readings.affine(every, refined), readings.affine(every, end)
            pairs = zip((refined, *first), (end, *second), strict=True)
            theta, a, b, loss = (np.where(first[2] <= second[2], *pair) for pair in pairs)
        # Without noise nothing is lost to the little that stands for it.
        loss = np.where(clean & (loss <= p * (10 * sigma) ** 2), 0.0, loss)
        found[kind] = loss, a, b, theta
    return found


def _best_relu(readings: Readings, mean: float) -> tuple[Array, Array, Array]:
    """a, b and loss: the best of all bends, or the affine one if it bends below all readings."""
    every = np.arange(readings.problems.p.size)

    def added(above: _readings.Moments, below: _readings.Moments, theta: Array) -> Array:
        return np.asarray(_readings.ramp(above, theta, mean).rest + below.tt[1])

    bend, _ = readings.best(added)
    above, below = readings.moments(every, bend)
    fit = _readings.ramp(above, bend, mean)
    a, b, loss = fit.a, -fit.a * bend, readings.bayes + fit.rest + below.tt[1]
    lowest = readings.integral.panels[np.searchsorted(readings.integral.panels.problem, every)]
    start = lowest.anchor + lowest.left
    slope, level, affine = readings.affine(every, start)
    straight = (slope > 0) & (slope * start + level >= 0) & (affine < loss)
    pairs = ((slope, a), (level, b), (affine, loss))
    a, b, loss = (np.where(straight, x, y) for x, y in pairs)
    return a, b, loss


def decoder_table(
    p: ArrayLike,
    ratio: ArrayLike,
    *,
    channel: str | ChannelOf = "gaussian",
    amplitude: Amplitude = Uniform(),
) -> xr.Dataset:
    """Losses of all decoders on the grid of `p` and `ratio`, and their ratios to the best.

    Parameters
    ----------
    p, ratio : array_like, at most one-dimensional
        The coordinates of the grid, in the ranges of `optimum_decoder`.
    channel : "gaussian", "antipodal" or callable
        As for `optimum_decoder`.
    amplitude : Amplitude
        Law of a feature that is on.

    Returns
    -------
    xarray.Dataset
        Dimensions decoder, p and ratio; variables loss, over_bayes and over_oracle, the last two 1
        where nothing is lost.

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
    _check.probability("ratio", ratio)
    on, law = on_law(p, amplitude, least=_check.LEAST_P)
    rows, columns = np.broadcast_arrays(on[:, None], ratio)
    kinds = tuple(kind for kind in KINDS if kind != "gated")
    optima = _optima(kinds, rows, columns, channel, law, rows)
    found = {kind: optima[kind].loss for kind in kinds}
    found["gated"] = found["jumprelu"]
    loss = np.stack([found[kind] for kind in KINDS])
    with np.errstate(divide="ignore", invalid="ignore"):
        over = {
            # Where neither loses anything, neither does better.
            f"over_{kind}": np.where((loss == 0) & (found[kind] == 0), 1.0, loss / found[kind])
            for kind in ("bayes", "oracle")
        }
    dimensions = ("decoder", "p", "ratio")
    return xr.Dataset(
        {name: (dimensions, values) for name, values in ({"loss": loss} | over).items()},
        {"decoder": list(KINDS), "p": p, "ratio": ratio},
        {
            "channel": channel if isinstance(channel, str) else repr(channel),
            "amplitude": repr(amplitude),
            "loss": "mean squared error per feature",
        },
    )
