"""The class `Model`: weights, biases, an activation and noise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .._check import Array
from .._files import replacing
from .._value import ByValue
from ..source.features import Features, check_features

if TYPE_CHECKING:
    import torch

ACTIVATIONS = ("relu", "identity")
FORMAT = "rugtheory.model"


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Model(ByValue):
    """Weights of x̂ = f(W_out (W_in x + b_in + noise) + b).

    Parameters
    ----------
    w_in : array_like, shape (n_dense, n_sparse)
    w_out : array_like, shape (n_sparse, n_dense), optional
        The transpose of `w_in` if it is left out: tied weights.
    b : array_like, shape (n_sparse,) or scalar
        Bias of the outputs.
    activation : "relu" or "identity"
    hidden_noise : float ≥ 0
        Standard deviation of independent Gaussian noise in each hidden unit.
    b_in : array_like, shape (n_dense,) or scalar, optional
        Bias of the hidden units; it is folded in, so that the `b` kept is b + W_out b_in.

    Attributes
    ----------
    w_in, w_out, b : ndarray
        float64, of the shapes above.
    activation : str
    hidden_noise : float

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, or a value is not finite or outside its range.

    Examples
    --------
    >>> import rugtheory as rt
    >>> model = rt.Model([[1.0, -1.0]])
    >>> model
    Model(n_sparse=2, n_dense=1)
    >>> model([0.5, 0.0])
    array([0.5, 0. ])
    """

    w_in: Array
    w_out: Array
    b: Array
    activation: str
    hidden_noise: float

    def __init__(
        self,
        w_in: ArrayLike,
        w_out: ArrayLike | None = None,
        b: ArrayLike = 0.0,
        *,
        activation: str = "relu",
        hidden_noise: float = 0.0,
        b_in: ArrayLike | None = None,
    ) -> None:
        w_in = _matrix("w_in", w_in, "(n_dense, n_sparse)")
        w_out = w_in.T if w_out is None else _matrix("w_out", w_out, "(n_sparse, n_dense)")
        if w_out.shape != w_in.shape[::-1]:
            raise ValueError(
                f"w_out must have shape (n_sparse, n_dense) = {w_in.shape[::-1]} "
                f"to go with w_in, got {w_out.shape}"
            )
        n_dense, n_sparse = w_in.shape
        bias = _vector("b", b, n_sparse)
        if b_in is not None:
            bias = bias + w_out @ _vector("b_in", b_in, n_dense)
        noise = _check.nonnegative("hidden_noise", _check.scalar("hidden_noise", hidden_noise))
        for name, value in (
            ("w_in", w_in),
            ("w_out", w_out),
            ("b", bias),
            ("activation", _check.choice("activation", activation, ACTIVATIONS)),
            ("hidden_noise", float(noise)),
        ):
            object.__setattr__(self, name, value)

    @property
    def n_sparse(self) -> int:
        """Number of features."""
        return int(self.w_in.shape[1])

    @property
    def n_dense(self) -> int:
        """Number of hidden units."""
        return int(self.w_in.shape[0])

    @property
    def ratio(self) -> float:
        """n_dense / n_sparse."""
        return self.n_dense / self.n_sparse

    @property
    def diagonal(self) -> Array:
        """W_ii of W = W_out W_in, shape (n_sparse,)."""
        return np.asarray(np.einsum("ik,ki->i", self.w_out, self.w_in))

    @property
    def output_noise(self) -> Array:
        """Standard deviation of the noise in each reading, shape (n_sparse,)."""
        if not self.hidden_noise:
            return np.zeros(self.n_sparse)
        return np.asarray(self.hidden_noise * np.linalg.norm(self.w_out, axis=1))

    def __call__(self, x: ArrayLike) -> Array:
        """Outputs for features `x`, shape (..., n_sparse), without the noise."""
        x = _check.real("x", x)
        if x.ndim == 0 or x.shape[-1] != self.n_sparse:
            raise ValueError(f"x must have shape (..., {self.n_sparse}), got {x.shape}")
        reading = x @ self.w_in.T @ self.w_out.T + self.b
        return np.maximum(reading, 0.0) if self.activation == "relu" else np.asarray(reading)

    def __repr__(self) -> str:
        more = "" if self.activation == "relu" else f", activation={self.activation!r}"
        more += f", hidden_noise={self.hidden_noise:g}" if self.hidden_noise else ""
        return f"Model(n_sparse={self.n_sparse}, n_dense={self.n_dense}{more})"

    def save(self, path: str | Path) -> None:
        """Write a safetensors file with W_in, W_out, b, and the activation and noise beside them.

        An existing file is replaced.  `read_weights` reads it.
        """
        from safetensors.numpy import save_file

        path = _check.path("path", path)
        if path.suffix != ".safetensors":
            raise ValueError(f"path must end in .safetensors, got {_check.shown(path.name)}")
        tensors = {"W_in": self.w_in, "W_out": self.w_out, "b": self.b}
        metadata = {"format": FORMAT, "activation": self.activation}
        metadata["hidden_noise"] = repr(self.hidden_noise)
        with replacing(path) as temporary:
            save_file({k: np.ascontiguousarray(x) for k, x in tensors.items()}, temporary, metadata)

    def to_torch(self, *, dtype: Any = None) -> torch.nn.Module:
        """A module with the parameters W_in, W_out and b; noise is drawn in training mode only.

        `dtype` is that of the parameters, float32 by default.
        """
        from .module import module_of

        return module_of(self, dtype)


def _matrix(name: str, value: ArrayLike, shape: str) -> Array:
    matrix = _check.real(name, value)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"{name} must have shape {shape}, got {matrix.shape}")
    return matrix


def _vector(name: str, value: ArrayLike, n: int) -> Array:
    vector = _check.real(name, value)
    if vector.shape not in ((), (n,)):
        raise ValueError(f"{name} must be a scalar or have shape ({n},), got {vector.shape}")
    return np.array(np.broadcast_to(vector, n))


def check_model(model: Model) -> None:
    """Raise TypeError unless `model` is a Model."""
    if not isinstance(model, Model):
        raise TypeError(
            f"model must be a Model, such as Model(w_in, w_out, b), got {_check.shown(model)}"
        )


def check_fit(model: Model, features: Features) -> None:
    """Raise unless these are a model and as many features."""
    check_model(model)
    check_features(features)
    if len(features) != model.n_sparse:
        raise ValueError(
            f"features must be n_sparse = {model.n_sparse}, as many as the model has inputs, "
            f"got {len(features)}"
        )
