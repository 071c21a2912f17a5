"""What a reading hears besides its own feature: the base class of its laws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from .._check import Array
from .._value import ByValue
from ..numerics.quadrature import Index, Panels, integrate
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from .fields import Problems, Reader
from .panels import panels
from .posterior import Posterior, discrete, ends, has_closed_form, mixed
from .readings import RTOL

# Over the typical amplitude.  The square of the first times any p is still a number; readings have
# digits around amplitudes for the second.
NO_NOISE = 1e-100
LEAST_NOISE = 1e-30
AT_A_TIME = 400_000


@dataclass(frozen=True, eq=False, repr=False)
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
        block = max(1, AT_A_TIME // (200 * edges.size))
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
        sigma = np.maximum(sigma, NO_NOISE * amplitude.scale)

        def function(problem: Index, anchor: Array, offset: Array) -> tuple[Array, Array]:
            y = anchor + offset
            density = np.exp(self.off(amplitude, y, sigma[problem], p[problem]))
            return y[None][:0], density * of(y, problem)

        start = start_panels(self, amplitude, sigma, p)
        value = integrate(function, start, sigma.size, rtol=RTOL).value
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


def start_panels(
    channel: Channel, amplitude: Amplitude, sigma: Array, p: Array, extra: Array | None = None
) -> Panels:
    """Panels to begin with; `extra` of shape (k, problems) are ends of panels as well."""
    anchors = channel._anchors(amplitude)
    breaks = amplitude.breakpoints()
    breaks = np.unique(np.concatenate([breaks, anchors[0] + breaks]))
    # Posteriors turn sharply between atoms, of the feature or of its interference.
    turns = discrete(amplitude) is not None or type(channel)._reader is Channel._reader
    found = [
        panels(
            anchors,
            breaks,
            float(sigma[k]),
            float(p[k]),
            amplitude.scale,
            turns=turns,
            extra=None if extra is None else extra[:, k],
        )
        for k in range(sigma.size)
    ]
    problem = np.repeat(np.arange(sigma.size), [len(x[0]) for x in found])
    return Panels(problem, *(np.concatenate(x) for x in zip(*found, strict=True)))


def problems_of(channel: Channel, amplitude: Amplitude, sigma: Array, p: Array) -> Problems:
    own = type(channel)._reader is not Channel._reader
    exact = own and (discrete(amplitude) is not None or has_closed_form(amplitude))
    return Problems(channel._reader(amplitude, sigma, p), sigma, p, amplitude.mean, exact)
