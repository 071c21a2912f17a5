r"""Sparse autoencoders of the published architectures, computed with NumPy.

An SAE encodes z = N(x) - b_dec (or N(x) alone) and decodes x̂ = N⁻¹(f @ w_dec + b_dec), where N is
a normalization of the row, mostly none.  With pre = z @ w_enc + b_enc the codes f are

=========  ==================================================================
standard   ReLU(pre)
jumprelu   pre where it is above both the threshold of the latent and 0
topk       the k greatest of ReLU(pre)
abstopk    the k greatest of pre in size, with their signs
groupmax   the greatest of ReLU(pre) in each of k groups of adjacent latents
gated      ReLU((z @ w_enc) exp(r_mag) + b_enc) where z @ w_enc + b_gate > 0
=========  ==================================================================

Of equal values at the k-th place, those of lower index are taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ... import _check
from ..._value import ShortRepr
from .._rows import Rows

if TYPE_CHECKING:
    from scipy import sparse

ARCHITECTURES = ("standard", "jumprelu", "topk", "abstopk", "groupmax", "gated")
NORMALIZATIONS = ("none", "layer_norm", "constant_norm_rescale")
_WITH_K = ("topk", "abstopk", "groupmax")

# Pre-activations of a block of rows: 64 MB in float32.
_BLOCK_VALUES = 2**24
_LAYER_NORM_EPS = 1e-5

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False, repr=False)
class SAE(ShortRepr):
    """A sparse autoencoder; the formulas are in the description of the module.

    Attributes
    ----------
    architecture : str
        "standard", "jumprelu", "topk", "abstopk", "groupmax" or "gated".
    w_enc : ndarray, shape (d_in, d_sae)
    b_enc : ndarray, shape (d_sae,)
        Bias of the encoder; of the magnitudes, b_mag, if gated.
    w_dec : ndarray, shape (d_sae, d_out)
        d_out is d_in, except in transcoders.
    b_dec : ndarray, shape (d_out,)
    threshold : ndarray, shape (d_sae,), if jumprelu
    k : int, if topk, abstopk or groupmax
    b_gate, r_mag : ndarray, shape (d_sae,), if gated
    subtract_b_dec : bool
        Whether b_dec is subtracted from the input.
    normalization : str
        "none"; "layer_norm", subtracts the mean of the row and divides by its standard deviation
        (with d_in - 1) plus 1e-5; or "constant_norm_rescale", to a norm of √d_in.
    metadata : dict
        What the file says besides, such as the model and the layer.
    transcoder : bool
        Whether it predicts other activations than those it encodes, such as the output of an MLP
        from its input.  Then `reconstruct` gives these predictions; `write_report` takes it
        with the activations it predicts.
    w_skip : ndarray, shape (d_out, d_in), optional
        Of transcoders: x @ w_skip.T is added to what is decoded.

    Raises
    ------
    ValueError, TypeError
        If a value is not among those above, a shape does not fit, or an array is not finite.

    Notes
    -----
    All arrays are float64 if `w_enc` is, else float32, and so is the computation.
    """

    architecture: str
    w_enc: Floats = field(repr=False)
    b_enc: Floats = field(repr=False)
    w_dec: Floats = field(repr=False)
    b_dec: Floats = field(repr=False)
    threshold: Floats | None = field(default=None, repr=False)
    k: int | None = None
    b_gate: Floats | None = field(default=None, repr=False)
    r_mag: Floats | None = field(default=None, repr=False)
    subtract_b_dec: bool = True
    normalization: str = "none"
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    transcoder: bool = False
    w_skip: Floats | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        needed = self._check_options()
        self._check_arrays(needed)
        d_sae = self.d_sae
        if self.k is not None:
            k = _check.integer("k", self.k, 1, d_sae)
            if self.architecture == "groupmax" and d_sae % k:
                raise ValueError(f"k must divide d_sae = {d_sae} if groupmax, got {k}")
            object.__setattr__(self, "k", k)

    def _check_options(self) -> dict[str, bool]:
        """Which of what only some architectures have is needed."""
        _check.choice("architecture", self.architecture, ARCHITECTURES)
        _check.choice("normalization", self.normalization, NORMALIZATIONS)
        _check.boolean("subtract_b_dec", self.subtract_b_dec)
        _check.boolean("transcoder", self.transcoder)
        if self.transcoder and self.normalization != "none":
            raise ValueError(
                f"normalization must be none of a transcoder, got {self.normalization!r}: what it "
                "predicts has not the mean and scale of what it encodes"
            )
        _check.instance("metadata", self.metadata, Mapping)
        needed = {
            "threshold": self.architecture == "jumprelu",
            "k": self.architecture in _WITH_K,
            "b_gate": self.architecture == "gated",
            "r_mag": self.architecture == "gated",
        }
        if self.w_skip is not None and not self.transcoder:
            raise ValueError("w_skip must be None of what is no transcoder, got an array")
        for name, need in needed.items():
            value = getattr(self, name)
            if (value is not None) != need:
                verb = "must be given" if need else "must be None"
                raise ValueError(
                    f"{name} {verb} if architecture is {self.architecture!r}, "
                    f"got {_check.shown(value)}"
                )
        return needed

    def _check_arrays(self, needed: dict[str, bool]) -> None:
        w_enc = _check.array("w_enc", self.w_enc)
        shape, given = w_enc.shape, w_enc.dtype
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"w_enc must have shape (d_in, d_sae), none of them 0, got {shape}")
        d_in, d_sae = shape
        dtype = np.float64 if given.kind == "f" and given.itemsize > 4 else np.float32
        d_out = d_in
        if self.transcoder:
            out = np.shape(self.w_dec)
            d_out = out[1] if len(out) == 2 else d_in
            if self.subtract_b_dec and d_out != d_in:
                raise ValueError(
                    f"subtract_b_dec must be False if b_dec has not {d_in} values, got {d_out}"
                )
        shapes = {"w_enc": shape, "b_enc": (d_sae,), "w_dec": (d_sae, d_out), "b_dec": (d_out,)}
        if self.w_skip is not None:
            shapes["w_skip"] = (d_out, d_in)
        shapes |= {n: (d_sae,) for n in ("threshold", "b_gate", "r_mag") if needed[n]}
        for name, expected in shapes.items():
            array = _checked(name, getattr(self, name), expected, dtype)
            object.__setattr__(self, name, array)
        if self.normalization == "layer_norm" and d_in < 2:
            raise ValueError("layer_norm needs d_in of at least 2, got 1")
        if self.r_mag is not None and self.r_mag.max() > np.log(np.finfo(dtype).max) / 2:
            raise ValueError(f"r_mag must have a moderate exponential, got {self.r_mag.max()}")

    @property
    def d_in(self) -> int:
        """Length of the activations."""
        return int(self.w_enc.shape[0])

    @property
    def d_out(self) -> int:
        """Length of what is decoded: d_in, except in transcoders."""
        return int(self.w_dec.shape[1])

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return int(self.w_enc.shape[1])

    def encode(self, x: Any) -> sparse.csr_array:
        """Codes of the activations `x`, of shape (rows, d_in), which is read in blocks of rows.

        Returns
        -------
        scipy.sparse.csr_array, shape (rows, d_sae)

        Raises
        ------
        ValueError, TypeError
            If `x` has another shape, is not finite, is zero where its norm is rescaled, or
            overflows.
        """
        from scipy import sparse

        parts = [_csr(values, active) for _, values, active in self._blocks(x)]
        return parts[0] if len(parts) == 1 else sparse.csr_array(sparse.vstack(parts, format="csr"))

    def l0(self, x: Any) -> NDArray[np.int64]:
        """Number of non-zero codes of each row of `x`; see `encode`."""
        return np.concatenate(
            [np.count_nonzero(active, axis=1) for _, _, active in self._blocks(x)]
        ).astype(np.int64)

    def decode(self, codes: Any, x: Any = None) -> Floats:
        """Reconstructions, shape (rows, d_in), from codes, sparse or dense, shape (rows, d_sae).

        `x` is what was encoded.  It is needed if, and only if, rows are normalized (the
        reconstruction is brought back to the mean and scale of its row) or there is a `w_skip`.
        """
        from scipy import sparse

        if not sparse.issparse(codes):
            codes = _check.real("codes", codes)
        if codes.ndim != 2 or codes.shape[1] != self.d_sae:
            raise ValueError(f"codes must have shape (rows, {self.d_sae}), got {codes.shape}")
        if (x is None) != (self.normalization == "none" and self.w_skip is None):
            verb = "given" if x is None else "None"
            raise ValueError(
                f"x must be {verb} to decode with normalization {self.normalization!r}"
                f"{'' if self.w_skip is None else ' and w_skip'}, got {_check.shown(x)}"
            )
        if x is None:
            return self._decode(codes)
        rows = self._rows(x)
        if rows.count != codes.shape[0]:
            raise ValueError(f"x must have {codes.shape[0]} rows like codes, got {rows.count}")
        if self.w_skip is not None:
            return self._decode(codes) + rows.all().astype(self.w_dec.dtype) @ self.w_skip.T
        mean, scale = self._statistics(rows.all(), 0)
        return self._decode(codes) * scale.astype(self.w_dec.dtype) + mean.astype(self.w_dec.dtype)

    def reconstruct(self, x: Any) -> Floats:
        """Reconstructions of the activations `x`, without keeping the codes of all of them."""
        whole = self.normalization == "none" and self.w_skip is None
        return np.concatenate(
            [
                self.decode(_csr(values, active), None if whole else block)
                for block, values, active in self._blocks(x)
            ]
        )

    def _rows(self, x: Any) -> Rows:
        rows = Rows("x", x)
        if rows.columns != self.d_in:
            raise ValueError(f"x must have {self.d_in} columns, got {rows.columns}")
        return rows

    def _blocks(self, x: Any) -> Iterator[tuple[NDArray[Any], Floats, NDArray[np.bool_]]]:
        """Blocks of rows of `x`, with dense values, and where these are codes."""
        rows = self._rows(x)
        length = max(1, _BLOCK_VALUES // self.d_sae)
        for start in range(0, rows.count, length):
            block = rows.read(np.arange(start, min(start + length, rows.count)))
            with np.errstate(over="ignore", invalid="ignore"):
                values, active = self._encode(block, start)
                finite = np.isfinite(values.sum())
            if not finite and not np.isfinite(values).all():
                row = start + int(np.argmin(np.isfinite(values).all(axis=1)))
                raise ValueError(f"x must be moderate, codes of row {row} overflow {values.dtype}")
            yield block, values, active

    def _statistics(
        self, block: NDArray[np.float64], start: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and scale of each row, columns to bring its reconstruction back."""
        if self.normalization == "layer_norm":
            scale = block.std(axis=1, ddof=1, keepdims=True)
            return block.mean(axis=1, keepdims=True), scale
        norm = np.linalg.norm(block, axis=1, keepdims=True)
        if not norm.all():
            raise ValueError(
                f"x must have no zero row to rescale its norm, got row {start + np.argmin(norm)}"
            )
        return np.zeros_like(norm), norm / np.sqrt(self.d_in)

    def _encode(self, block: NDArray[Any], start: int) -> tuple[Floats, NDArray[np.bool_]]:
        """Values, and where they are codes: all others are zero.

        A comparison and no copy, as a matrix of all values takes longer to go through than many of
        its products take.
        """
        if self.normalization != "none":
            block = block.astype(np.float64)
            mean, scale = self._statistics(block, start)
            eps = _LAYER_NORM_EPS if self.normalization == "layer_norm" else 0
            block = (block - mean) / (scale + eps)
        z = block.astype(self.w_enc.dtype)
        if self.subtract_b_dec:
            z = z - self.b_dec
        pre = z @ self.w_enc
        if self.b_gate is not None and self.r_mag is not None:
            magnitude = pre * np.exp(self.r_mag) + self.b_enc
            return magnitude, (pre + self.b_gate > 0) & (magnitude > 0)
        pre += self.b_enc
        if self.threshold is not None:
            return pre, pre > np.maximum(self.threshold, 0)
        if self.k is None:
            return pre, pre > 0
        if self.architecture == "abstopk":
            return pre, _largest(np.abs(pre), self.k) & (pre != 0)
        positive = np.maximum(pre, 0)
        if self.architecture == "groupmax":
            groups = positive.reshape(len(pre), self.k, -1)
            kept = np.zeros(groups.shape, bool)
            np.put_along_axis(kept, groups.argmax(axis=2)[:, :, None], True, axis=2)
            return pre, kept.reshape(pre.shape) & (pre > 0)
        return pre, _largest(positive, self.k) & (pre > 0)

    def _decode(self, codes: Any) -> Floats:
        return np.asarray(codes.astype(self.w_dec.dtype) @ self.w_dec + self.b_dec)


def check_autoencoder(name: str, sae: SAE) -> None:
    """Raise unless what `sae` decodes is to be compared with what it encodes."""
    if sae.transcoder:
        raise ValueError(
            f"{name} must be an autoencoder, got a transcoder: it predicts other activations than "
            "it encodes"
        )


def _checked(name: str, value: Any, shape: tuple[int, ...], dtype: DTypeLike) -> Floats:
    array = _check.array(name, value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be real, got dtype {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    with np.errstate(over="ignore"):
        cast: Floats = array.astype(dtype)
    finite = np.isfinite(cast)
    if not finite.all():
        raise ValueError(f"{name} must be finite in {cast.dtype}, got {array[~finite][0]}")
    return cast


def _csr(values: Floats, active: NDArray[np.bool_]) -> sparse.csr_array:
    """The active values as a sparse matrix."""
    from scipy import sparse

    flat = np.flatnonzero(active)
    latents = (flat % values.shape[1]).astype(np.int32)
    ends = np.concatenate([[0], np.cumsum(np.count_nonzero(active, axis=1))])
    return sparse.csr_array((values.ravel()[flat], latents, ends), shape=values.shape)


def _largest(values: Floats, k: int) -> NDArray[np.bool_]:
    """Where the `k` largest of each row are, of equal ones those of lower index."""
    n = values.shape[1]
    least = np.partition(values, n - k, axis=1)[:, n - k, None]
    chosen = values >= least
    (excess,) = np.nonzero(np.count_nonzero(chosen, axis=1) > k)
    above = values[excess] > least[excess]
    equal = values[excess] == least[excess]
    places = k - np.count_nonzero(above, axis=1, keepdims=True)
    chosen[excess] = above | (equal & (np.cumsum(equal, axis=1) <= places))
    return chosen
