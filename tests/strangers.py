"""Subclasses that somebody else might write: copies that pass everything on, and new laws."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

import rugtheory as rt


def concrete(base):
    """All public classes of the package that derive from `base` and can be made."""
    found = [getattr(rt, name) for name in rt.__all__]
    classes = [x for x in found if isinstance(x, type) and issubclass(x, base)]
    return [x for x in classes if not getattr(x, "__abstractmethods__", None)]


def passing_on(base, name):
    """A method or property of `base` that asks the copied object."""
    if isinstance(getattr(base, name), property):
        return property(lambda self: getattr(self.of, name))
    return lambda self, *args, **kwargs: getattr(self.of, name)(*args, **kwargs)


def copied_law(law, *more):
    """A law that derives from `Amplitude` alone, all of its abstract methods passed on.

    An unbounded law also has to say how fast it falls; `more` may name other methods.
    """
    names = {*rt.Amplitude.__abstractmethods__, *more}
    names |= set() if np.isfinite(law.end) else {"abscissa"}
    methods = {x: passing_on(rt.Amplitude, x) for x in names}
    copy = type(f"Copy{type(law).__name__}", (rt.Amplitude,), methods)()
    copy.of = law
    return copy


def copied_channel(channel):
    """A channel that derives from `Channel` alone, all of its abstract methods passed on."""
    methods = {x: passing_on(rt.Channel, x) for x in rt.Channel.__abstractmethods__}
    kind = type(f"Copy{type(channel).__name__}", (rt.Channel,), methods)
    copy = kind(channel.sigma)
    object.__setattr__(copy, "of", channel)
    return copy


@dataclass(frozen=True)
class TwoNormals(rt.Channel):
    """N(0, σ²), or with probability `share` N(shift, (width σ)²)."""

    share: Any
    shift: float
    width: float

    def off(self, amplitude, y, sigma, p):
        def log(z, s):
            return -((z / s) ** 2) / 2 - np.log(s * np.sqrt(2 * np.pi))

        first = np.log1p(-self.share) + log(y, sigma)
        return np.logaddexp(first, np.log(self.share) + log(y - self.shift, self.width * sigma))

    def edges(self, amplitude):
        wide = 9 * float(np.max(self.sigma)) * max(self.width - 1, 0)
        return [-wide, 0.0, self.shift - wide, self.shift, self.shift + wide]

    def sample(self, n, generator):
        second = generator.random(n) < self.share
        z = generator.normal(0, float(self.sigma), n)
        return np.where(second, self.shift + self.width * z, z)


@dataclass(frozen=True)
class Smeared(rt.Channel):
    """Uniform on [-h, h], and N(0, σ²)."""

    h: float

    def off(self, amplitude, y, sigma, p):
        out = np.abs(y)
        # Of the two tails the difference that does not cancel.
        far, near = (out - self.h) / sigma, (out + self.h) / sigma
        log_far, log_near = special.log_ndtr(-far), special.log_ndtr(-near)
        return log_far + np.log1p(-np.exp(log_near - log_far)) - np.log(2 * self.h)

    def edges(self, amplitude):
        return [-self.h, self.h]

    def sample(self, n, generator):
        return generator.uniform(-self.h, self.h, n) + generator.normal(0, float(self.sigma), n)
