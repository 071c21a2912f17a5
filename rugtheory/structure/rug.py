"""The Persian rug: weights that reach the Welch-type bound, and their fast transform.

With H the Sylvester–Hadamard matrix, H_ij = (-1)^popcount(i AND j), and S a set of n_dense rows,
W_ij = n_dense⁻¹ Σ_{k∈S} H_ki H_kj = φ_S(i XOR j) (arXiv:2410.12101, section 4.2.2, where the XOR
printed inside H has to be an AND).  Every row of W is a permutation of the one vector φ_S, and φ_S,
the encoder and the decoder are Walsh–Hadamard transforms: no matrix is ever formed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._check import Array
from .._extras import remedy
from .._files import replacing
from .._value import ShortRepr
from ..model.model import Model
from ..numerics.hadamard import fwht, log2, real_array, signs
from ..source.amplitude import Amplitude
from ..source.sparse import SparseSource
from ..source.uniform import Uniform
from ..theory.optimum import Optimum
from ..theory.pairs import AntipodalOptimum

_LARGEST_MATRIX = 2**24
_FORMAT = "rugtheory.rug"
CHANNELS = ("gaussian", "antipodal")


@dataclass(frozen=True, eq=False, repr=False)
class Rug(ShortRepr):
    """A Persian rug: `n_dense` rows S of the `n_sparse` × `n_sparse` Hadamard matrix.

    Attributes
    ----------
    n_sparse : int
        Number of features, a power of two.
    rows : ndarray of int64, shape (n_dense,)
        The chosen rows, counted from 0, ascending and read-only.  Rugs are equal if their rows are.
    channel : "gaussian" or "antipodal"
        The theory that goes with it, see `bias`; "antipodal" for an `antipodal_rug`.

    Raises
    ------
    ValueError, TypeError
        If `n_sparse` is no power of two, `rows` are not different integers in [0, n_sparse), or
        `channel` is "antipodal" though no features are stored as v and -v.
    """

    n_sparse: int
    rows: NDArray[np.int64]
    channel: str = "gaussian"

    def __post_init__(self) -> None:
        n_sparse = _check.integer("n_sparse", self.n_sparse, 1)
        log2("n_sparse", n_sparse)
        rows, times = np.unique(_check.integers("rows", self.rows), return_counts=True)
        if np.any(times > 1):
            raise ValueError(f"rows must be different, got {rows[times > 1][0]} more than once")
        if rows[0] < 0 or rows[-1] >= n_sparse:
            bad = rows[0] if rows[0] < 0 else rows[-1]
            raise ValueError(f"rows must lie in [0, {n_sparse - 1}], got {bad}")
        _check.choice("channel", self.channel, CHANNELS)
        if self.channel == "antipodal" and not _in_pairs(rows):
            raise ValueError(
                "channel must be gaussian for rows without pairs of features v, -v, got antipodal"
            )
        rows.flags.writeable = False
        object.__setattr__(self, "n_sparse", n_sparse)
        object.__setattr__(self, "rows", rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rug):
            return NotImplemented
        return self.n_sparse == other.n_sparse and np.array_equal(self.rows, other.rows)

    def __hash__(self) -> int:
        return hash((self.n_sparse, self.rows.tobytes()))

    @property
    def n_dense(self) -> int:
        """Number of hidden units."""
        return int(self.rows.size)

    @property
    def ratio(self) -> float:
        """n_dense / n_sparse."""
        return self.n_dense / self.n_sparse

    @cached_property
    def phi(self) -> Array:
        """φ_S, shape (n_sparse,): W_ij = φ_S[i XOR j], so φ_S[0] = W_ii = 1."""
        chosen = np.zeros(self.n_sparse)
        chosen[self.rows] = 1
        phi = fwht(chosen) / self.n_dense
        phi.flags.writeable = False
        return phi

    @property
    def row_sum(self) -> float:
        """Σ_j W_ij: n_sparse/n_dense if row 0 of H is among the rows, else 0."""
        return 1 / self.ratio if self.rows[0] == 0 else 0.0

    @property
    def lyapunov(self) -> float:
        """Σ_{j≠i}|W_ij|³ / (Σ_{j≠i}W_ij²)^{3/2}, equation (3); the same for every row.

        Zero for a rug without interference (n_dense = n_sparse).
        """
        return self._moment_ratio(np.abs(self.phi[1:]) ** 3)

    def sigma(self, p: float, *, amplitude: Amplitude = Uniform()) -> float:
        """Standard deviation of the interference ν_i = Σ_{j≠i} W_ij x_j.

        It reaches the Welch-type bound, equation (6), whatever the rows.
        """
        variance = _source(p, amplitude).variance
        return float(np.sqrt(variance * np.sum(self.phi[1:] ** 2)))

    def interference_mean(self, p: float, *, amplitude: Amplitude = Uniform()) -> float:
        """Mean of the interference, E x (row sum - 1); `bias` makes up for it."""
        return float(_source(p, amplitude).mean * (self.row_sum - 1))

    def skewness(self, p: float, *, amplitude: Amplitude = Uniform()) -> float:
        """Skewness of the interference, k₃ Σ_{j≠i}W_ij³ / σ³.

        Zero where the interference does not vary: n_dense = n_sparse, or features that are always
        on with one amplitude.  For random rows it dies out as n_sparse grows.
        """
        skewness = float(_source(p, amplitude).skewness)
        return skewness * self._moment_ratio(self.phi[1:] ** 3)

    def bias(
        self,
        b: float,
        a: float,
        p: float,
        *,
        channel: str | None = None,
        amplitude: Amplitude = Uniform(),
    ) -> float:
        """The bias of a model whose theory has bias `b`.

        The b of an optimum goes with the mean that the interference has in its channel: 0 for
        `optimum`, and -E x, that of the partner, for `antipodal_optimum`.  The model's bias makes
        up for the difference from `interference_mean`.

        Parameters
        ----------
        b, a : float
            Of an optimum, per unit of the feature.
        p : float in (0, 1]
        channel : "gaussian" or "antipodal", optional
            The channel of that optimum; that of the rug by default.
        amplitude : Amplitude

        Examples
        --------
        >>> import rugtheory as rt
        >>> rug, best = rt.antipodal_rug(64, 16, seed=0), rt.antipodal_optimum(0.1, 0.25)
        >>> bool(rug.bias(best.b, best.a, 0.1) == best.b)
        True
        """
        mean = self.interference_mean(p, amplitude=amplitude)
        if _check.choice("channel", self.channel if channel is None else channel, CHANNELS) == (
            "antipodal"
        ):
            mean += float(_source(p, amplitude).mean)
        return _check.scalar("b", b) - _check.scalar("a", a) * mean

    def model(
        self, optimum: Optimum | AntipodalOptimum | float, source: SparseSource | float
    ) -> Model:
        """The model with the a and b of an optimum of theory, or with a given diagonal and bias.

        Parameters
        ----------
        optimum : Optimum, AntipodalOptimum or float
            Its b goes with the mean that the interference has in its channel, and the model's makes
            up for the difference from `interference_mean`, as `bias` says.  A number is the
            diagonal a.
        source : SparseSource or float
            The law of one feature.  Beside a diagonal, a number: the bias of the model, as it is.

        Examples
        --------
        >>> import rugtheory as rt
        >>> rug, source = rt.hadamard_rug(256, 64, seed=0), rt.SparseSource(0.1)
        >>> model = rug.model(rt.optimum(0.1, 0.25), source)
        >>> exact = rt.exact_loss(model, rt.Identical(256, 0.1), rows=[0])
        >>> bool(abs(exact.mean / rt.optimum(0.1, 0.25).loss - 1) < 0.05)
        True
        """
        if isinstance(optimum, Optimum | AntipodalOptimum):
            _check.instance("source", source, SparseSource)
            assert isinstance(source, SparseSource)
            channel = CHANNELS[isinstance(optimum, AntipodalOptimum)]
            a, b = _check.scalar("a", optimum.a), _check.scalar("b", optimum.b)
            p, law = source.p, source.amplitude
            b = self.bias(b, a, p, amplitude=law, channel=channel)
        else:
            if isinstance(source, SparseSource):
                raise TypeError(
                    f"optimum must be one of theory with a source, got {_check.shown(optimum)}"
                )
            a, b = _check.scalar("optimum", optimum), _check.scalar("source", source)
        return Model(self.w_in, self.w_out(a), b)

    @property
    def w_in(self) -> Array:
        """W_in, shape (n_dense, n_sparse): the chosen rows of H, entries ±1.

        Raises ValueError above 2²⁴ entries; `encode` has no limit.
        """
        self._within_limit("w_in", self.n_dense * self.n_sparse)
        return signs(self.rows[:, None], np.arange(self.n_sparse))

    def w_out(self, a: float = 1.0) -> Array:
        """W_out, shape (n_sparse, n_dense), such that W_out W_in has diagonal `a`."""
        return _check.scalar("a", a) / self.n_dense * self.w_in.T

    def matrix(self, a: float = 1.0) -> Array:
        """W = W_out W_in, shape (n_sparse, n_sparse); ValueError above n_sparse = 4096."""
        self._within_limit("matrix", self.n_sparse**2)
        index = np.arange(self.n_sparse)
        return np.asarray(_check.scalar("a", a) * self.phi[index[:, None] ^ index])

    def encode(self, x: ArrayLike) -> NDArray[Any]:
        """W_in x: (..., n_sparse) → (..., n_dense)."""
        x = self._last_axis("x", x, self.n_sparse)
        return np.asarray(fwht(x)[..., self.rows])

    def decode(self, h: ArrayLike, a: ArrayLike, b: ArrayLike) -> NDArray[Any]:
        """ReLU(W_out h + b): (..., n_dense) → (..., n_sparse), W_out W_in having diagonal `a`.

        `b` is the bias of the model (see `bias`).  `a` and `b` may be arrays that broadcast to the
        shape of the result, such as one value a feature.
        """
        h = self._last_axis("h", h, self.n_dense)
        a, b = _check.real("a", a), _check.real("b", b)
        shape = (*h.shape[:-1], self.n_sparse)
        for name, value in (("a", a), ("b", b)):
            if value.ndim > len(shape) or any(
                m not in (1, n) for m, n in zip(value.shape[::-1], shape[::-1], strict=False)
            ):
                raise ValueError(f"{name} must broadcast to {shape}, got shape {value.shape}")
        spread = np.zeros(shape, h.dtype)
        spread[..., self.rows] = h
        reading = fwht(spread)
        reading *= a / self.n_dense
        reading += b
        return np.asarray(np.maximum(reading, 0, out=reading))

    def save(
        self, path: str | Path, *, a: float = 1.0, b: float = 0.0, seed: int | None = None
    ) -> None:
        """Write the rug as safetensors: `rows`, `b` and, where they fit, `W_in` and `W_out`.

        Parameters
        ----------
        path : str or Path
            The file appears there whole or not at all.
        a, b : float
            Diagonal and bias of the model x̂ = ReLU(W_out W_in x + b).  `b` is written n_sparse
            times; `W_in` and `W_out` are left out above 2²⁴ entries each, as they follow from
            `rows` and `a`.
        seed : int, optional
            The seed the rug came from, for the record.

        Notes
        -----
        Tensors are float64 (`rows` int64).  The metadata hold the texts of `n_sparse`, `n_dense`,
        `a`, `b`, `channel`, and `seed` if given.

        Raises
        ------
        ImportError
            Without the package safetensors.
        """
        package = _safetensors()
        path, a, b = _check.path("path", path), _check.scalar("a", a), _check.scalar("b", b)
        about = {"format": _FORMAT, "n_sparse": str(self.n_sparse), "n_dense": str(self.n_dense)}
        about |= {"a": repr(a), "b": repr(b), "channel": self.channel}
        if seed is not None:
            about["seed"] = str(_check.integer("seed", seed, 0))
        tensors: dict[str, NDArray[Any]] = {"rows": self.rows, "b": np.full(self.n_sparse, b)}
        if self.n_dense * self.n_sparse <= _LARGEST_MATRIX:
            tensors |= {"W_in": self.w_in, "W_out": np.ascontiguousarray(self.w_out(a))}
        with replacing(path) as partial:
            partial.write_bytes(package.numpy.save(tensors, about))

    @classmethod
    def load(cls, path: str | Path) -> Rug:
        """Read a rug that `save` wrote: the same rows, whatever the seed or NumPy's version.

        Raises
        ------
        ValueError
            If the file does not hold a rug.
        FileNotFoundError, ImportError
            If there is no file, or no package safetensors.
        """
        package, path = _safetensors(), _check.path("path", path)
        try:
            with package.safe_open(path, framework="numpy") as file:
                about = file.metadata() or {}
                if about.get("format") != _FORMAT:
                    raise ValueError(f"its metadata lack format = {_FORMAT}")
                channel = about.get("channel", "gaussian")  # of files from before there was one
                return cls(int(about["n_sparse"]), file.get_tensor("rows"), channel)
        except KeyError as error:
            raise ValueError(f"{path} does not hold a rug: it lacks {error}") from None
        except (package.SafetensorError, TypeError, ValueError) as error:
            raise ValueError(f"{path} does not hold a rug: {error}") from None

    def _moment_ratio(self, cubes: Array) -> float:
        squares = float(np.sum(self.phi[1:] ** 2))
        return float(np.sum(cubes)) / squares**1.5 if squares > 0 else 0.0

    def _within_limit(self, name: str, entries: int) -> None:
        if entries > _LARGEST_MATRIX:
            raise ValueError(
                f"{name} would have {entries} entries, more than {_LARGEST_MATRIX}; "
                "use phi, encode and decode, which need no matrix"
            )

    @staticmethod
    def _last_axis(name: str, value: ArrayLike, length: int) -> NDArray[Any]:
        array = real_array(name, value)
        if array.ndim == 0 or array.shape[-1] != length:
            raise ValueError(f"{name} must have last axis {length}, got shape {array.shape}")
        return array


def _in_pairs(rows: NDArray[np.int64]) -> bool:
    """Whether some j has an odd number of common bits with every row: φ_j = -1."""
    # Then, and only then, no sum over GF(2) of differences of rows is a row.
    rest = rows ^ rows[0]
    target = int(rows[0])
    for bit in range(int(rows.max()).bit_length()):
        having = np.flatnonzero(rest >> bit & 1)
        if having.size:
            pivot = rest[having[0]]
            rest[having] ^= pivot
            target ^= int(pivot) if target >> bit & 1 else 0
    return target != 0


def hadamard_rug(n_sparse: int, n_dense: int, *, seed: int | np.random.Generator) -> Rug:
    """A rug of random rows, every set of `n_dense` out of `n_sparse` equally likely.

    Parameters
    ----------
    n_sparse : int
        Number of features, a power of two.
    n_dense : int in [1, n_sparse]
        Number of hidden units.
    seed : int or Generator
        Same seed, same rug.

    Raises
    ------
    ValueError, TypeError
        If `n_sparse` is no power of two or `n_dense` is not in [1, n_sparse].

    Examples
    --------
    >>> import rugtheory as rt
    >>> rug = rt.hadamard_rug(256, 40, seed=0)
    >>> round(rug.sigma(0.1) / float(rt.welch_sigma(0.1, 40 / 256)), 12)
    1.0
    """
    log2("n_sparse", _check.integer("n_sparse", n_sparse, 1))
    n_dense = _check.integer("n_dense", n_dense, 1, n_sparse)
    return Rug(n_sparse, _check.rng(seed).choice(n_sparse, n_dense, replace=False, shuffle=False))


def _source(p: float, amplitude: Amplitude) -> SparseSource:
    return SparseSource(_check.scalar("p", p), amplitude)


def _safetensors() -> ModuleType:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(remedy(error), name="safetensors") from error
    return safetensors
