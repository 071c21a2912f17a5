"""Batches of sparse features, as sparse matrices where products with these are faster."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csc_array, csr_array

import rugtheory as rt

BATCH = 1024
# A product with a sparse matrix takes this times p of the time of a product with a dense one.
_COST = 5.0


def sample(p: float, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Features on with probability p, their amplitudes uniform on [0, 1]."""
    return _features(torch.rand(shape, generator=generator, device=generator.device), p)


def _features(uniform: torch.Tensor, p: float) -> torch.Tensor:
    """The same of uniform draws, in their place."""
    return uniform.sub_(1 - p).relu_().div_(p)


class Batch(NamedTuple):
    """Samples as rows, and what products with them need.

    Attributes
    ----------
    x, transposed : Tensor
        Sparse where that is faster.
    dense : Tensor
        The same as x, never sparse.
    cost : float
        About the time of a product with x, in that of one with `dense`.
    """

    x: torch.Tensor
    transposed: torch.Tensor
    dense: torch.Tensor
    cost: float = 1.0

    @classmethod
    def of(cls, dense: torch.Tensor) -> Batch:
        """Without sparse tensors."""
        return cls(dense, dense.mT, dense)


class LawData:
    """The batches of features of any law that all models of one seed see."""

    def __init__(self, features: rt.Features, seed: int, device: str = "cpu") -> None:
        self.features = features
        self.draws = torch.Generator(device).manual_seed(seed)
        self.step = -1

    def at(self, step: int) -> Batch:
        """That of a step, drawn for whoever asks first."""
        if step != self.step:
            dense = self.features.sample_torch(BATCH, self.draws)
            self.batch, self.step = Batch.of(dense), step
        return self.batch


class Data:
    """The batches that all models of one seed and p see."""

    def __init__(self, p: float, n_sparse: int, seed: int, device: str = "cpu") -> None:
        self.p = p
        self.dense = torch.empty(BATCH, n_sparse, device=device)
        self.on_cpu = self.dense.device.type == "cpu"
        self.draws = np.random.default_rng(seed)
        self.device_draws = torch.Generator(device).manual_seed(seed)
        self.step = -1

    def at(self, step: int) -> Batch:
        """That of a step, in the place of the one before, whoever asks first."""
        if step != self.step:
            self.batch, self.step = self._draw(), step
        return self.batch

    def _draw(self) -> Batch:
        if self.on_cpu and _COST * self.p < 1:
            return self._sparse()
        if self.on_cpu:
            self.draws.random(out=self.dense.numpy(), dtype=np.float32)
        else:
            self.dense.uniform_(generator=self.device_draws)
        return Batch.of(_features(self.dense, self.p))

    def _sparse(self) -> Batch:
        size, (samples, n_sparse) = self.dense.numel(), self.dense.shape
        # Gaps between the features that are on are geometric; by ten deviations there are enough.
        most = int(size * self.p + 10 * math.sqrt(size * self.p) + 40)
        gaps = np.minimum(self.draws.geometric(self.p, most), size + 1)
        on = gaps.cumsum() - 1
        on = on[: np.searchsorted(on, size)]
        column = (on % n_sparse).astype(np.int32)
        starts = np.searchsorted(on, np.arange(0, size + 1, n_sparse)).astype(np.int32)
        values = self.draws.random(on.size, np.float32)
        rows = csr_array((values, column, starts), (samples, n_sparse))
        rows.toarray(out=self.dense.numpy())
        return Batch(_by_rows(rows), _by_rows(rows.tocsc()), self.dense, _COST * self.p)


def _by_rows(matrix: csr_array | csc_array) -> torch.Tensor:
    """A matrix by rows as it is, one by columns transposed."""
    shape = matrix.shape if matrix.format == "csr" else matrix.shape[::-1]
    starts, columns, values = map(torch.from_numpy, (matrix.indptr, matrix.indices, matrix.data))
    return torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=False)


# The first one warns that such tensors are in a beta state.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    _by_rows(csr_array((1, 1)))
