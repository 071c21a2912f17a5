r"""The joint law of many features: how often each is on, how large then, and what is on with it.

Everything that is computed from features needs only this: they are a mixture of a few *scenarios*,
and in each of them most features are independent of all others and the rest come in small blocks,
independent of each other, with a `Pattern` each; amplitudes are independent of everything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array
from .._value import ByValue
from .amplitude import Amplitude, check_amplitude
from .pattern import Algebra, Pattern, check_patterns
from .sparse import SparseSource

if TYPE_CHECKING:
    import torch

# Relative difference of probabilities that are the same.
_SAME = 1e-9

Masks = Callable[[Any], dict[int, Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Scenario(ByValue):
    """One value of what makes features dependent on a large scale.

    Attributes
    ----------
    probability : float
        That this is the scenario.
    p : ndarray, shape (n,)
        Probability in it that each feature is on.
    blocks : tuple of Pattern
        The features in them depend on each other; all others are independent.

    Raises
    ------
    ValueError, TypeError
        If an argument is outside its range, a feature stands in two places, or is on in its block
        with another probability than `p` says.
    """

    probability: float
    p: Array
    blocks: tuple[Pattern, ...] = ()

    def __post_init__(self) -> None:
        share = _check.share("probability", _check.scalar("probability", self.probability))
        p = _check.share("p", self.p)
        if p.ndim != 1:
            raise ValueError(f"p must be a vector with an element a feature, got shape {p.shape}")
        object.__setattr__(self, "probability", float(share))
        object.__setattr__(self, "p", p)
        object.__setattr__(self, "blocks", check_patterns("blocks", self.blocks))
        members = [i for block in self.blocks for i in block.features()]
        if len(set(members)) < len(members) or any(i >= p.size for i in members):
            raise ValueError(
                f"blocks must hold each of {p.size} features at most once, got {members}"
            )
        for i, one in (x for block in self.blocks for x in block.fold(_Chances())):
            if abs(one - p[i]) > _SAME * p[i]:
                raise ValueError(f"p must be {one} for feature {i}, as in its block, got {p[i]}")


class Features(ABC):
    """The joint law of n features, each with an importance.

    A law of your own is a subclass that says which features are on together, by `scenarios`, how
    large each of them is, by `amplitudes`, and how much its error counts, by `importance`.  Means,
    covariances, samples and the laws of sums, and with them exact losses, follow.

    Examples
    --------
    Features that come in pairs, on together, by a law of one's own:

    >>> from dataclasses import dataclass
    >>> import numpy as np, rugtheory as rt
    >>> @dataclass(frozen=True)
    ... class Pairs(rt.Features):
    ...     pairs: int
    ...     p: float
    ...
    ...     @property
    ...     def amplitudes(self):
    ...         return (rt.Uniform(),) * (2 * self.pairs)
    ...
    ...     @property
    ...     def scenarios(self):
    ...         blocks = tuple(
    ...             rt.OneOf((self.p,), (rt.Every((rt.On(2 * k), rt.On(2 * k + 1))),))
    ...             for k in range(self.pairs)
    ...         )
    ...         return (rt.Scenario(1.0, np.full(2 * self.pairs, self.p), blocks),)
    >>> print(f"{Pairs(2, 0.1).covariance[0, 1]:.4f}")  # p (1 - p) (E u)²
    0.0225
    """

    @property
    @abstractmethod
    def amplitudes(self) -> Sequence[Amplitude]:
        """The law of each feature when it is on, n of them."""

    @property
    @abstractmethod
    def scenarios(self) -> Sequence[Scenario]:
        """Which features are on together; the probabilities of the scenarios add up to 1."""

    @property
    def importance(self) -> Array:
        """Weight of the squared error of each feature, shape (n,); 1 unless a law says so."""
        return np.ones(len(self))

    def __len__(self) -> int:
        """Number of features."""
        return len(self.amplitudes)

    @property
    def independent(self) -> bool:
        """Whether no feature depends on another."""
        return len(self.scenarios) == 1 and not self.scenarios[0].blocks

    @cached_property
    def on_probability(self) -> Array:
        """Probability that each feature is on, shape (n,)."""
        return np.asarray(sum(x.probability * x.p for x in self.scenarios))

    @cached_property
    def mean(self) -> Array:
        """E x, shape (n,)."""
        return self.on_probability * self._moments[0]

    @cached_property
    def second_moment(self) -> Array:
        """E x², shape (n,)."""
        return self.on_probability * self._moments[1]

    @cached_property
    def variance(self) -> Array:
        """Var x, shape (n,)."""
        p, (m1, m2) = self.on_probability, self._moments
        return p * (m2 - m1**2) + p * (1 - p) * m1**2

    @cached_property
    def covariance(self) -> Array:
        """Covariance matrix of x, shape (n, n)."""
        m1 = self._moments[0]
        total = np.zeros((len(self), len(self)))
        for scenario in self.scenarios:
            shift = scenario.p - self.on_probability
            total += scenario.probability * np.outer(shift, shift)
            for block in scenario.blocks:
                members, _, inside = block.fold(_Covariance())
                total[np.ix_(members, members)] += scenario.probability * inside
        total *= np.outer(m1, m1)
        np.fill_diagonal(total, self.variance)
        return total

    @cached_property
    def _moments(self) -> tuple[Array, Array]:
        """E u and E u² of each feature."""
        first, second = np.empty((2, len(self)))
        for law, members in self.by_law.items():
            first[members], second[members] = law.mean, law.second_moment
        return first, second

    def sample(self, n: int, seed: int | np.random.Generator) -> Array:
        """`n` independent draws of all features, shape (n, n_features); same seed, same draws."""
        generator = _check.rng(seed)
        x = self.switches(n, generator).astype(float)
        for law, columns in self.by_law.items():
            some = x[:, columns]
            on = some > 0
            some[on] = law.sample(int(on.sum()), generator)
            x[:, columns] = some
        return x

    def sample_torch(
        self, n: int, seed: int | torch.Generator, *, dtype: Any = None
    ) -> torch.Tensor:
        """The same as a tensor of PyTorch, float32 by default, on the device of the generator.

        Draws of one seed are not those of `sample`.
        """
        import torch

        from .torch_draws import sample_torch

        if not isinstance(seed, torch.Generator):
            seed = torch.Generator().manual_seed(_check.integer("seed", seed, 0, 2**63 - 1))
        dtype = torch.float32 if dtype is None else dtype
        _check.instance("dtype", dtype, torch.dtype)
        return sample_torch(self, _check.count("n", n, 0), seed, dtype)

    def switches(self, n: int, seed: int | np.random.Generator) -> NDArray[np.bool_]:
        """Which features are on in `n` independent draws, shape (n, n_features)."""
        n, generator, scenarios = _check.count("n", n, 0), _check.rng(seed), self.scenarios
        on = np.zeros((n, len(self)), bool)
        shares = np.array([x.probability for x in scenarios])
        which = generator.choice(len(scenarios), n, p=shares / shares.sum())
        for k, scenario in enumerate(scenarios):
            rows = np.flatnonzero(which == k)
            some = generator.random((rows.size, len(self))) < scenario.p
            for block in scenario.blocks:
                drawn = block.fold(Draws(partial(_branches, n=rows.size, generator=generator)))
                masks = drawn(np.ones(rows.size, bool))
                for i in block.features():
                    some[:, i] = masks.get(i, False)
            on[rows] = some
        return on

    @cached_property
    def by_law(self) -> dict[Amplitude, NDArray[np.intp]]:
        """The features of each amplitude law."""
        laws = self.amplitudes
        # Most are one object: only those that are not are compared.
        _, first, which = np.unique(
            np.fromiter(map(id, laws), np.int64, len(laws)), return_index=True, return_inverse=True
        )
        numbers: dict[Amplitude, int] = {}
        number = np.empty(first.size, np.intp)
        for k in np.argsort(first):
            number[k] = numbers.setdefault(laws[first[k]], len(numbers))
        every = number[which]
        return {law: np.flatnonzero(every == k) for law, k in numbers.items()}

    def save(self, path: str | Path) -> None:
        """Write the law as the TOML that `read_features` reads; a file there is replaced.

        Raises TypeError for a class, or an amplitude law, that is not of the package.
        """
        from .files import save_features

        save_features(self, path)

    def source(self, i: int) -> SparseSource:
        """The law of feature `i` alone."""
        i = _check.integer("i", i, 0, len(self) - 1)
        return SparseSource(float(self.on_probability[i]), self.amplitudes[i])


class _Chances(Algebra[list[tuple[int, float]]]):
    """The features, each with its probability."""

    def on(self, feature: int) -> list[tuple[int, float]]:
        return [(feature, 1.0)]

    def one_of(
        self, p: tuple[float, ...], of: list[list[tuple[int, float]]]
    ) -> list[tuple[int, float]]:
        return [(i, q * x) for q, found in zip(p, of, strict=True) for i, x in found]

    def every(self, of: list[list[tuple[int, float]]]) -> list[tuple[int, float]]:
        return [x for found in of for x in found]


_Dependence = tuple[list[int], Array, Array]


class _Covariance(Algebra[_Dependence]):
    """The features, which are on or off, their means and covariances; nothing cancels."""

    def on(self, feature: int) -> _Dependence:
        return [feature], np.ones(1), np.zeros((1, 1))

    def one_of(self, p: tuple[float, ...], of: list[_Dependence]) -> _Dependence:
        members, mean, covariance = self.every(
            [
                (x, q * m, q * c + q * (1 - q) * np.outer(m, m))
                for q, (x, m, c) in zip(p, of, strict=True)
            ]
        )
        which = np.repeat(np.arange(len(of)), [len(x) for x, _, _ in of])
        apart = which[:, None] != which
        covariance[apart] = -np.outer(mean, mean)[apart]
        return members, mean, covariance

    def every(self, of: list[_Dependence]) -> _Dependence:
        members = [i for x, _, _ in of for i in x]
        mean = np.concatenate([np.zeros(0), *(m for _, m, _ in of)])
        covariance, start = np.zeros((len(members), len(members))), 0
        for x, _, c in of:
            part = slice(start, start + len(x))
            covariance[part, part], start = c, part.stop
        return members, mean, covariance


class Draws(Algebra[Masks]):
    """Draws of a pattern, as arrays or tensors: which features are on where it is looked at.

    `branches` draws which of the alternatives with some probabilities there is, if any: indices,
    and the number of alternatives for none.
    """

    def __init__(self, branches: Callable[[tuple[float, ...]], Any]) -> None:
        self.branches = branches

    def on(self, feature: int) -> Masks:
        return lambda active: {feature: active}

    def one_of(self, p: tuple[float, ...], of: list[Masks]) -> Masks:
        drawn = self.branches(p)
        return lambda active: {
            i: some for k, x in enumerate(of) for i, some in x(active & (drawn == k)).items()
        }

    def every(self, of: list[Masks]) -> Masks:
        return lambda active: {i: some for x in of for i, some in x(active).items()}


def _branches(p: tuple[float, ...], n: int, generator: np.random.Generator) -> NDArray[np.intp]:
    return np.searchsorted(np.cumsum(p), generator.random(n), side="right")


def check_features(features: Features) -> None:
    """Raise TypeError unless `features` is a law of features."""
    if not isinstance(features, Features):
        raise TypeError(
            "features must be a law of features such as Identical(n, p) or Independent(p), "
            f"got {_check.shown(features)}"
        )
    laws, n = features.amplitudes, len(features)
    for law in {id(x): x for x in laws}.values():
        check_amplitude(law)
    importance_of(features.importance, n)
    scenarios = _check.sequence("scenarios of features", features.scenarios)
    for scenario in scenarios:
        _check.instance("scenarios of features", scenario, Scenario)
        if scenario.p.size != n:
            raise ValueError(
                f"scenarios of features must be of {n}, as many as amplitudes, "
                f"got {scenario.p.size}"
            )
    total = sum(x.probability for x in scenarios)
    if abs(total - 1) > _SAME:
        raise ValueError(
            f"scenarios of features must have probabilities that add up to 1, got {total}"
        )


def laws_of(amplitude: Amplitude | Sequence[Amplitude], n: int) -> tuple[Amplitude, ...]:
    """One law for all `n` features, or the laws given, as many."""
    if isinstance(amplitude, Amplitude):
        return (amplitude,) * n
    try:
        laws = tuple(amplitude)
    except TypeError:
        check_amplitude(amplitude)  # type: ignore[arg-type]
    for law in laws:
        check_amplitude(law)
    if len(laws) != n:
        raise ValueError(f"amplitude must be one law, or {n} of them, got {len(laws)}")
    return laws


def importance_of(importance: ArrayLike, n: int) -> Array:
    """Weights of `n` features, not all zero."""
    weights = _check.nonnegative("importance", importance)
    if weights.shape not in ((), (n,)):
        raise ValueError(f"importance must be a number or have shape ({n},), got {weights.shape}")
    if not np.any(weights > 0):
        raise ValueError(f"importance must be positive for one feature at least, got {weights}")
    return np.broadcast_to(weights, n)
