"""Decoders of any kind, each as what gives predictions and codes for a block of activations.

Whatever is not an `SAE` is taken as it computes: an object with ``encode`` and ``decode``, as those
of SAELens, sparsify and dictionary_learning are, a function, or an array of reconstructions.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .._rows import Rows, to_numpy
from ..sae import SAE, read_sae
from .given import Given

# So many latents are decoded at a time.
_LATENTS = 512


@dataclass(frozen=True, eq=False)
class Coded:
    """Predictions for a block of rows, and what is known of their codes.

    Attributes
    ----------
    x_hat : ndarray, shape (rows, columns)
    l0 : ndarray of int, shape (rows,), or None
    active : ndarray of int, or None
        The latent of each code that is not zero, row by row; l0 of them for each row.
    width : int or None
        Number of latents.
    """

    x_hat: NDArray[Any]
    l0: NDArray[Any] | None = None
    active: NDArray[Any] | None = None
    width: int | None = None


class Predictor(Protocol):
    """What a report needs of a decoder."""

    kind: str

    def code(self, block: NDArray[Any]) -> Coded:
        """Predictions and codes of a block of activations."""

    def directions(self, block: NDArray[Any]) -> NDArray[Any] | None:
        """What each latent decodes to, shape (latents, columns); None without latents."""


class OfSAE:
    """A decoder whose weights are known."""

    def __init__(self, sae: SAE) -> None:
        self.sae, self.kind = sae, sae.architecture

    def code(self, block: NDArray[Any]) -> Coded:
        codes = self.sae.encode(block)
        needed = self.sae.normalization != "none" or self.sae.w_skip is not None
        x_hat = self.sae.decode(codes, block if needed else None)
        return Coded(x_hat, np.diff(codes.indptr), codes.indices, self.sae.d_sae)

    def directions(self, block: NDArray[Any]) -> NDArray[Any]:
        return self.sae.w_dec


class OfObject:
    """An object with `encode` and `decode`, a torch module mostly."""

    def __init__(self, made: Any) -> None:
        self.made, self.kind = made, type(made).__name__

    def code(self, block: NDArray[Any]) -> Coded:
        with _without_gradients(self.made):
            found = self.made.encode(_for(self.made, block))
            if _greatest(found):
                x_hat = self.made.decode(found.top_acts, found.top_indices)
                on = to_numpy(found.top_acts) != 0
                width = getattr(self.made, "num_latents", None)
                active = to_numpy(found.top_indices)[on]
                return Coded(to_numpy(x_hat), on.sum(axis=1), active, width)
            x_hat = to_numpy(self.made.decode(found))
            codes = found.toarray() if hasattr(found, "toarray") else to_numpy(found)
        on = codes != 0
        return Coded(x_hat, on.sum(axis=1), np.nonzero(on)[1], codes.shape[1])

    def directions(self, block: NDArray[Any]) -> NDArray[Any] | None:
        """What single latents decode to, less what none of them does."""
        with _without_gradients(self.made):
            found = self.made.encode(_for(self.made, block[:1]))
            if _greatest(found):
                width = getattr(self.made, "num_latents", None)
                if width is None:
                    return None
                one, latents = np.ones((width, 1), np.float32), np.arange(width)[:, None]
                given = (_for(self.made, one), _place(self.made, latents))
                none = (_for(self.made, 0 * one[:1]), _place(self.made, latents[:1]))
                alone = to_numpy(self.made.decode(*given))
                return np.asarray(alone - to_numpy(self.made.decode(*none)))
            width = found.shape[1]
            zero = to_numpy(self.made.decode(_for(self.made, np.zeros((1, width), np.float32))))
            parts = []
            for start in range(0, width, _LATENTS):
                codes = np.eye(min(_LATENTS, width - start), width, start, dtype=np.float32)
                parts.append(to_numpy(self.made.decode(_for(self.made, codes))) - zero)
        return np.concatenate(parts)


class OfFunction:
    """A function of a block of activations, or a module without codes."""

    def __init__(self, made: Any) -> None:
        self.made, self.kind = made, getattr(made, "__name__", type(made).__name__)

    def code(self, block: NDArray[Any]) -> Coded:
        with _without_gradients(self.made):
            return Coded(to_numpy(self.made(_for(self.made, block))))

    def directions(self, block: NDArray[Any]) -> None:
        return None


def predictor(name: str, given: Given) -> Predictor | Rows:
    """The decoder of that name, read if it is in a file; `Rows` if it is reconstructions."""
    made = given.saes[name]
    if isinstance(made, str | Path):
        made = read_sae(made, input_scale=given.input_scale)
    if isinstance(made, SAE):
        _check_sae(name, made, given)
        return OfSAE(made)
    if callable(getattr(made, "encode", None)) and callable(getattr(made, "decode", None)):
        return OfObject(made)
    if callable(made):
        return OfFunction(made)
    try:
        rows = Rows(name, made)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must be an SAE, a path, an object with encode and decode, a function of "
            f"activations or reconstructions, got {made!r:.60} ({error})"
        ) from None
    shape = given.x.count, given.whole.columns
    if (rows.count, rows.columns) != shape:
        raise ValueError(
            f"{name} must have shape {shape} as reconstructions, got {(rows.count, rows.columns)}"
        )
    return rows


def _check_sae(name: str, sae: SAE, given: Given) -> None:
    if sae.transcoder and given.targets is None:
        raise ValueError(
            f"{name} must be an autoencoder, got a transcoder: it predicts other activations than "
            "it encodes; give those as targets"
        )
    if sae.d_in != given.x.columns:
        raise ValueError(f"{name} is of {sae.d_in} columns, the activations of {given.x.columns}")
    if sae.d_out != given.whole.columns:
        raise ValueError(
            f"{name} predicts {sae.d_out} columns, the targets have {given.whole.columns}"
        )


def _module(made: Any) -> Any:
    """The torch module that `made` is, None if it is none."""
    torch = sys.modules.get("torch")
    return made if torch is not None and isinstance(made, torch.nn.Module) else None


def _for(made: Any, block: NDArray[Any]) -> Any:
    """A block as `made` takes it: modules get tensors of their own type and place."""
    if _module(made) is None:
        return block
    torch = sys.modules["torch"]
    weights = next(iter(made.parameters()), None)
    tensor = torch.from_numpy(np.ascontiguousarray(block))
    return tensor if weights is None else tensor.to(weights.device, weights.dtype)


def _place(made: Any, latents: NDArray[Any]) -> Any:
    """Numbers of latents as `made` takes them."""
    if _module(made) is None:
        return latents
    weights = next(iter(made.parameters()), None)
    tensor = sys.modules["torch"].from_numpy(latents)
    return tensor if weights is None else tensor.to(weights.device)


def _greatest(found: Any) -> bool:
    """Whether codes are the greatest values and their places, as those of sparsify."""
    return hasattr(found, "top_acts") and hasattr(found, "top_indices")


def _without_gradients(made: Any) -> AbstractContextManager[Any]:
    return nullcontext() if _module(made) is None else sys.modules["torch"].no_grad()
