"""One model to train, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

import rugtheory as rt
from rugtheory.source.files import features_of

from .descent import Descent, Law

# Starts of `rugtheory.minimize` that are not tied.
NAMED = ("rare", "best")
PROTOCOLS = ("converged", "paper", "constant", "descent", *NAMED, "continued", "law")
# Those that descend on the exact loss: from the start, from one of those named, from where
# "converged" ends, from a law.
DESCENTS = ("descent", *NAMED, "continued", "law")
_UNTIED = (*NAMED, "law")
WARM_UP = 100


@lru_cache(maxsize=64)
def _features(law: str) -> rt.Features:
    return features_of(law)


@dataclass(frozen=True)
class Spec:
    """One model to train.

    Attributes
    ----------
    n_sparse, n_dense : int
    p : float
        Probability that a feature is on; amplitudes are uniform on [0, 1].
    seed : int
        Of the initial weights and of the data.
    steps : int
        Number of steps of the first round.
    protocol : str
        "converged": rounds in which the step size rises over the first steps and then falls
        linearly to zero, each going on from the best and twice as long (the warm restarts of
        arXiv:1608.03983), until one changes the exact loss by less than `tolerance`; after one that
        raises it by more, the largest step size is a quarter.
        "paper": the step size is 3e-3/√n_sparse throughout, and training stops when the mean loss
        of the last 100 batches is not below that of the 100 before (arXiv:2410.12101, appendix B).
        "constant": the same without stopping.  These end after the steps of all rounds.
        "descent": `rugtheory.minimize` from the same initial weights, no more steps than
        `descent_steps`.  "rare", "best": with that `init` and this seed.  "continued": from where
        "converged" ends.  "law": from the weights of `rugtheory.row_law` with this seed, which are
        not tied, as those of "rare" and "best" are not.
    tied : bool
        Whether W_out is W_in transposed.
    rate : float
        Largest step size of the protocol "converged".
    tolerance : float
        Relative change by a round below which "converged" ends.
    rounds : int
        Number of rounds, at most.
    law : str
        TOML of a law of n_sparse features to train on, whose importances weigh the errors; empty
        for identical features.  Then `p` is their mean frequency, for the eye.
    max_coupling : float
        Cap on couplings |W_ij|/W_ii, of protocols that descend on the exact loss.
    descent_steps : int
        Steps of these descents, at most; 0 for those of all rounds.
    decay : float
        γ of the weight decay of arXiv:2505.10465, of tied weights: before each step of size η the
        column w of a feature becomes (1 - γη) w, or w + γη (1 - 1/|w|) w if γ is negative, which
        draws it to length 1.
    """

    n_sparse: int
    n_dense: int
    p: float
    seed: int = 0
    steps: int = 2000
    protocol: str = "converged"
    tied: bool = False
    rate: float = 1e-2
    tolerance: float = 0.01
    rounds: int = 4
    law: str = ""
    max_coupling: float = 10.0
    descent_steps: int = 0
    decay: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.p <= 1:
            raise ValueError(f"p must lie in (0, 1], got {self.p}")
        if not 1 <= self.n_dense <= self.n_sparse:
            raise ValueError(f"n_dense must lie in [1, {self.n_sparse}], got {self.n_dense}")
        for name in ("steps", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol must be one of {PROTOCOLS}, got {self.protocol!r}")
        if self.tied and self.protocol in _UNTIED:
            raise ValueError(f"tied must be false with the protocol {self.protocol!r}, got true")
        if not 0 < self.max_coupling < np.inf:
            raise ValueError(f"max_coupling must be positive and finite, got {self.max_coupling}")
        if self.max_coupling != Spec.max_coupling and self.protocol not in DESCENTS:
            raise ValueError(
                f"max_coupling is of the protocols {DESCENTS} only, got {self.max_coupling} "
                f"with {self.protocol!r}"
            )
        if self.descent_steps < 0 or (self.descent_steps and self.protocol not in DESCENTS):
            raise ValueError(
                f"descent_steps must be positive, of the protocols {DESCENTS} only, "
                f"got {self.descent_steps} with {self.protocol!r}"
            )
        if not np.isfinite(self.decay) or (
            self.decay and (not self.tied or self.protocol == "descent")
        ):
            raise ValueError(
                f"decay must be finite, and 0 unless tied weights are trained, got {self.decay} "
                f"with {self.protocol!r}, tied = {self.tied}"
            )
        if self.law and len(self.features) != self.n_sparse:
            raise ValueError(
                f"n_sparse must be {len(self.features)} of the law, got {self.n_sparse}"
            )

    @property
    def features(self) -> rt.Features:
        """The law of what the model is trained on."""
        return _features(self.law) if self.law else rt.Identical(self.n_sparse, self.p)

    def settings(self) -> dict[str, Any]:
        """All fields, without those that have no meaning."""
        left = {
            "law": bool(self.law),
            "max_coupling": self.protocol in DESCENTS,
            "descent_steps": self.descent_steps > 0,
            "decay": self.decay != 0,
        }
        return {k: v for k, v in asdict(self).items() if left.get(k, True)}

    @property
    def most_steps(self) -> int:
        """Steps of all rounds."""
        return int(self.steps * (2**self.rounds - 1))

    def step_size(self, step: int, steps: int) -> float:
        """Step size at `step` of a round of `steps`."""
        if self.protocol in ("paper", "constant"):
            return float(3e-3 / self.n_sparse**0.5)
        return self.rate * min(1.0, (step + 1) / WARM_UP) * (1 - step / steps)


@dataclass(frozen=True)
class Trained:
    """Weights after training, float32, or after descent, float64.

    Attributes
    ----------
    spec : Spec
    w_in, w_out, b : ndarray
    losses : ndarray
        Of every batch.
    rounds : tuple of float
        Exact loss, of 1024 rows at most, after each round of the protocol "converged"; the weights
        are those after the best.  A descent is one more round.
    descent : Descent, optional
        Of protocols that descend on the exact loss.
    shared : Law, optional
        Where the protocol "law" started.
    """

    spec: Spec
    w_in: np.ndarray
    w_out: np.ndarray
    b: np.ndarray
    losses: np.ndarray
    rounds: tuple[float, ...] = ()
    descent: Descent | None = None
    shared: Law | None = None

    @property
    def model(self) -> rt.Model:
        """The weights as a model."""
        return rt.Model(self.w_in, self.w_out, self.b)


def gain(rounds: Sequence[float]) -> float:
    """By what part the last round lowered the loss; infinite after the first or none."""
    return 1 - rounds[-1] / min(rounds[:-1]) if len(rounds) > 1 else np.inf


def initial(spec: Spec) -> Trained:
    """W_in with columns of about unit length, W_out its transpose, b = 0."""
    generator = torch.Generator().manual_seed(spec.seed)
    w = torch.randn(spec.n_dense, spec.n_sparse, generator=generator) / spec.n_dense**0.5
    zero = np.zeros(spec.n_sparse, np.float32)
    return Trained(spec, w.numpy(), w.T.numpy(), zero, np.empty(0, np.float32))
