"""Laws of finitely many amplitudes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from .. import _check
from .._check import Array
from ..numerics.gauss import gauss_rule, points
from .amplitude import Amplitude, Complex, set_parameters

# Nodes that are shown, each with its weight.
_MOST_SHOWN = 4


class Discrete(Amplitude):
    """A discrete law: positive probabilities at finitely many amplitudes."""

    @abstractmethod
    def atoms(self) -> tuple[Array, Array]:
        """Amplitudes and their probabilities."""

    def cumulants(self) -> tuple[float, float, float, float]:
        u, w = self.atoms()
        mean = float(w @ u)
        m2, m3, m4 = (float(w @ (u - mean) ** k) for k in (2, 3, 4))
        return mean, m2, m3, m4 - 3 * m2**2

    def transform(self, t: Complex, order: int) -> Complex:
        u, w = self.atoms()
        w = w * u if order else w
        return np.asarray(np.exp(t[..., None] * u) @ w)

    @property
    def start(self) -> float:
        return float(self.atoms()[0].min())

    @property
    def end(self) -> float:
        return float(self.atoms()[0].max())

    def quadrature(self, n: int) -> tuple[Array, Array]:
        u, w = self.atoms()
        return (u, w) if u.size <= points(n) else gauss_rule(u, w, n)

    def breakpoints(self) -> Array:
        return self.atoms()[0]

    def sample(self, shape: int | tuple[int, ...], seed: int | np.random.Generator) -> Array:
        u, w = self.atoms()
        return _check.rng(seed).choice(u, _check.shape("shape", shape), p=w)

    def resolving(self, kink: Array, width: Array) -> tuple[Array, Array]:
        u, w = self.atoms()
        return u[:, None], w[:, None]


@dataclass(frozen=True)
class Constant(Discrete):
    """Always `value`, not zero: Bernoulli features."""

    value: float = 1.0

    def __post_init__(self) -> None:
        set_parameters(self, value=_check.nonzero("value", self.value))

    def atoms(self) -> tuple[Array, Array]:
        return np.array([self.value]), np.array([1.0])


@dataclass(frozen=True, repr=False)
class FromQuadrature(Discrete):
    """The discrete law with weight `weights[i]` at `nodes[i]`, for any law one can integrate.

    The weights are normalised to add to 1.  Results are exact for this discrete law; they hold
    for a continuous law that it stands for only while the interference is wide against the
    distance of the nodes.
    """

    nodes: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        nodes = _check.real("nodes", self.nodes)
        weights = _check.nonnegative("weights", self.weights)
        if nodes.ndim != 1 or nodes.shape != weights.shape:
            raise ValueError(
                "nodes and weights must be one-dimensional and of equal length, "
                f"got shapes {nodes.shape} and {weights.shape}"
            )
        if not weights @ np.abs(nodes) > 0:
            raise ValueError("weights must give positive probability to a node, not 0, got none")
        object.__setattr__(self, "nodes", tuple(nodes.tolist()))
        object.__setattr__(self, "weights", tuple(_check.shares(weights).tolist()))

    def __repr__(self) -> str:
        if len(self.nodes) <= _MOST_SHOWN:
            return f"FromQuadrature(nodes={self.nodes}, weights={self.weights})"
        return f"FromQuadrature({len(self.nodes)} nodes in [{self.start:.6g}, {self.end:.6g}])"

    def atoms(self) -> tuple[Array, Array]:
        return np.array(self.nodes), np.array(self.weights)
