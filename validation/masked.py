"""The loss of naming masked tokens, with something else in the place of a layer's output.

all-MiniLM-L6-v2 is an encoder of sentences and comes without a head for tokens.  One of BERT's
form, a layer and the embeddings, is trained here on the outputs of its last block at masked tokens,
the transformer being left as it is.  Tokens that the training texts have less than FEWEST times are
one class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch.nn import functional

from rugtheory._files import replacing

from .activations import BATCH, padded, transformer

MASK = 103
# One token of so many is masked at a time.
GROUPS = 4
FEWEST = 3
EPOCHS = 6
_BATCH, _RATE = 256, 1e-3

# Contexts: the number of the text, and the ids of tokens.
Pieces = Sequence[tuple[int, list[int]]]
Progress = Callable[[int], object]


def groups(pieces: Pieces, seed: int) -> list[NDArray[np.int64]]:
    """For each context, which of GROUPS each token is masked with."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(len(ids)) % GROUPS for _, ids in pieces]


@dataclass(frozen=True)
class Batch:
    """Contexts of which one group of tokens is masked.

    Attributes
    ----------
    contexts : ndarray of int, shape (batch,)
        Their numbers.
    ids, mask, hidden : tensor, shape (batch, longest + 2)
        Ids with [MASK], what is no padding, and where tokens are masked.
    targets : tensor of int
        Classes of the masked tokens.
    """

    contexts: NDArray[np.int64]
    ids: torch.Tensor
    mask: torch.Tensor
    hidden: torch.Tensor
    targets: torch.Tensor

    @property
    def tokens(self) -> int:
        """Number of tokens, [CLS] and [SEP] left out."""
        return int(self.mask.sum()) - 2 * len(self.contexts)


class Masked:
    """The transformer cut after a block, and its head if there is one."""

    def __init__(self, block: int) -> None:
        model = transformer()
        layers = model.encoder.layer
        if not 1 <= block < len(layers):
            raise ValueError(f"block must lie in [1, {len(layers) - 1}], got {block}")
        self.rest = layers[block:]
        model.encoder.layer = layers[:block]
        self.front, self.head = model, None

    @torch.inference_mode()
    def states(self, batch: Batch) -> torch.Tensor:
        """Output of the block after which the transformer is cut."""
        found: torch.Tensor = self.front(batch.ids, attention_mask=batch.mask).last_hidden_state
        return found

    @torch.inference_mode()
    def onwards(self, states: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Output of the last block, from states after the cut."""
        bias = torch.zeros(batch.mask.shape, dtype=states.dtype)
        bias.masked_fill_(batch.mask == 0, torch.finfo(states.dtype).min)
        for layer in self.rest:
            states = layer(states, bias[:, None, None, :])
        return states


class Head(torch.nn.Module):
    """Scores of classes from an output of the last block."""

    def __init__(self, embeddings: torch.Tensor) -> None:
        super().__init__()
        width = embeddings.shape[1]
        self.dense, self.norm = torch.nn.Linear(width, width), torch.nn.LayerNorm(width)
        self.classes = torch.nn.Linear(width, len(embeddings))
        with torch.no_grad():
            self.classes.weight.copy_(embeddings)
            self.classes.bias.zero_()

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.classes(self.norm(functional.gelu(self.dense(states))))
        return found


def classes(pieces: Pieces, size: int) -> NDArray[np.int64]:
    """Class of each of `size` tokens: 0 for those that the contexts have less than FEWEST times."""
    counts = np.bincount(np.concatenate([ids for _, ids in pieces]), minlength=size)
    found = np.zeros(size, np.int64)
    frequent = np.flatnonzero(counts >= FEWEST)
    found[frequent] = 1 + np.arange(frequent.size)
    return found


def batches(pieces: Pieces, number: NDArray[np.int64], seed: int, group: int) -> Iterator[Batch]:
    """The contexts, short ones first, with the tokens of one group masked."""
    belongs = groups(pieces, seed)
    order = np.argsort([len(ids) for _, ids in pieces], kind="stable")
    for k in range(0, len(order), BATCH):
        some = order[k : k + BATCH]
        ids, mask = padded([pieces[i][1] for i in some])
        hidden = torch.zeros(ids.shape, dtype=torch.bool)
        for row, i in enumerate(some):
            hidden[row, 1 : 1 + belongs[i].size] = torch.from_numpy(belongs[i] == group)
        targets = torch.from_numpy(number)[ids[hidden]]
        yield Batch(some, torch.where(hidden, MASK, ids), mask, hidden, targets)


def trained_head(
    pieces: Pieces, model: Masked, file: Path, seed: int, progress: Progress
) -> tuple[Head, NDArray[np.int64]]:
    """The head trained on one group of masked tokens of the contexts, unless it is in `file`.

    `progress` is called with the number of tokens of each batch, whose states are computed.
    """
    embeddings = model.front.embeddings.word_embeddings.weight.detach()
    number = classes(pieces, len(embeddings))
    rare = embeddings[torch.from_numpy(number == 0)].mean(dim=0, keepdim=True)
    torch.manual_seed(seed)
    head = Head(torch.cat([rare, embeddings[torch.from_numpy(np.flatnonzero(number))]]))
    if file.exists():
        head.load_state_dict(load_file(file))
        return head.eval(), number
    states, targets = [], []
    for batch in batches(pieces, number, seed, 0):
        states.append(model.onwards(model.states(batch), batch)[batch.hidden])
        targets.append(batch.targets)
        progress(batch.tokens)
    _fit(head, torch.cat(states).clone(), torch.cat(targets))
    with replacing(file) as partial:
        save_file(head.state_dict(), partial)
    return head.eval(), number


def _fit(head: Head, states: torch.Tensor, targets: torch.Tensor) -> None:
    adam = torch.optim.Adam(head.parameters(), _RATE, fused=True)
    steps = EPOCHS * (len(states) // _BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 1 - step / (steps + 1))
    for _ in range(EPOCHS):
        order = torch.randperm(len(states))
        for k in range(0, len(states) - _BATCH + 1, _BATCH):
            some = order[k : k + _BATCH]
            adam.zero_grad()
            functional.cross_entropy(head(states[some]), targets[some]).backward()
            adam.step()
            schedule.step()


@torch.inference_mode()
def losses(model: Masked, head: Head, states: torch.Tensor, batch: Batch) -> NDArray[Any]:
    """Cross entropy of the masked tokens of a batch, given states after the cut."""
    scores = head(model.onwards(states, batch)[batch.hidden])
    found: NDArray[Any] = functional.cross_entropy(scores, batch.targets, reduction="none").numpy()
    return found


def token_losses(
    pieces: Pieces,
    model: Masked,
    head: Head,
    number: NDArray[np.int64],
    seed: int,
    progress: Progress,
) -> NDArray[np.float32]:
    """Cross entropy of every token of the contexts, each masked with its group, in their order."""
    starts = np.concatenate([[0], np.cumsum([len(ids) for _, ids in pieces])])
    found = np.full(int(starts[-1]), np.nan, np.float32)
    for group in range(GROUPS):
        for batch in batches(pieces, number, seed, group):
            values = losses(model, head, model.states(batch), batch)
            row, place = (axis.numpy() for axis in torch.nonzero(batch.hidden, as_tuple=True))
            found[starts[batch.contexts[row]] + place - 1] = values
            progress(len(values))
    return found
