"""Decoders of any kind, each as what gives predictions and codes for a block of activations.

Whatever is not an `SAE` is taken as it computes: an object with ``encode`` and ``decode``, as those
of SAELens, sparsify and dictionary_learning are, a function, or an array of reconstructions.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .._rows import Rows, to_numpy
from ..sae import SAE, read_sae
from .given import Given

# So many latents are decoded at a time.
_LATENTS = 512
# On so many rows an object is compared with what it gives when it is called, up to this part of
# the norm: of bfloat16 a few roundings.
_TRIED, _APART = 64, 0.02


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
        self.skip = getattr(made, "W_skip", None)
        self.tried = False

    def code(self, block: NDArray[Any]) -> Coded:
        if not self.tried:
            self._try(block[:_TRIED])
        found = self._coded(block)
        if self.skip is None:
            return found
        # The packages add it only when the whole is called.
        return replace(found, x_hat=found.x_hat + block @ to_numpy(self.skip).T)

    def _coded(self, block: NDArray[Any]) -> Coded:
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

    def _try(self, block: NDArray[Any]) -> None:
        """Raise if it gives something else when it is called: more than encode and decode do."""
        self.tried = True
        x_hat = self.code(block).x_hat
        try:
            with _without_gradients(self.made):
                found = self.made(_for(self.made, block))
            called = to_numpy(getattr(found, "sae_out", found))
            apart = np.linalg.norm(called - x_hat) > _APART * np.linalg.norm(x_hat)
        except Exception:
            # What cannot be called with activations alone, or gives more than one thing.
            return
        if apart:
            raise ValueError(
                f"an object with encode and decode must give decode(encode(x)) when it is called, "
                f"got something else of {self.kind}; give a function in its place"
            )

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
        _check_targets(name, _transcodes(made), given)
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


def _check_targets(name: str, transcoder: bool, given: Given) -> None:
    if transcoder and given.targets is None:
        raise ValueError(
            f"{name} must be an autoencoder, got a transcoder: it predicts other activations than "
            "it encodes; give those as targets"
        )


def _transcodes(made: Any) -> bool:
    """Whether an object is a transcoder, by what SAELens and sparsify say of theirs."""
    settings = getattr(made, "cfg", None)
    about = getattr(settings, "metadata", None)
    into = getattr(about, "hook_name_out", None)
    return (
        "transcoder" in type(made).__name__.lower()
        or getattr(settings, "transcode", False) is True
        or bool(into and into != getattr(about, "hook_name", None))
    )


def _check_sae(name: str, sae: SAE, given: Given) -> None:
    _check_targets(name, sae.transcoder, given)
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
