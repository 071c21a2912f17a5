"""Loss that parts of an error bring back, against its definition and a simulation."""

import numpy as np
import pytest

from rugtheory.darkmatter import loss_recovered


def losses(seed, texts=60, per_text=20):
    """Losses that share an offset in each text; a quarter of the increase is undone."""
    rng = np.random.default_rng(seed)
    hard = np.repeat(rng.exponential(size=texts), per_text)
    clean = 2 + hard + rng.normal(size=hard.size)
    x_hat = clean + hard + 0.3 * rng.normal(size=hard.size)
    part = x_hat - 0.25 * hard - 0.1 * np.repeat(rng.normal(size=texts), per_text)
    return clean, x_hat, part, np.repeat(np.arange(texts), per_text)


def test_definition():
    clean, x_hat, part, contexts = losses(0)
    found = loss_recovered(clean, x_hat, part, contexts=contexts)
    assert found.increase == pytest.approx(x_hat.mean() - clean.mean())
    expected = (x_hat.mean() - part.mean()) / (x_hat.mean() - clean.mean())
    assert found.recovered == pytest.approx(expected)
    assert loss_recovered(clean, x_hat, clean).recovered == 1
    assert loss_recovered(clean, x_hat, x_hat).recovered == 0


def test_standard_errors():
    """Over fresh texts the results scatter as the errors say, which rows alone would not."""
    runs = []
    for seed in range(300):
        clean, x_hat, part, contexts = losses(seed)
        runs.append(loss_recovered(clean, x_hat, part, contexts=contexts, bootstrap=60))
    for name, truth in (("increase", 1.0), ("recovered", 0.25)):
        values = np.array([getattr(run, name) for run in runs])
        errors = np.array([getattr(run, f"{name}_se") for run in runs])
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(len(runs)) + 0.01
        # A standard deviation of 300 is known to 4 %; bootstrap of 60 units is 2 % too small.
        assert errors.mean() == pytest.approx(values.std(), rel=0.2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([1.0, 2.0], [1.0, 2.0], [1.0, 1.0]), "with_x_hat must have another mean than loss"),
        (([1.0, 2.0], [2.0], [1.0, 1.0]), "with_x_hat must have 2 values, got 1"),
        (([1.0, 2.0], [2.0, np.nan], [1.0, 1.0]), "with_x_hat must be finite"),
    ],
)
def test_refused(given, message):
    with pytest.raises(ValueError, match=message):
        loss_recovered(*given, bootstrap=0)
