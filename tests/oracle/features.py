"""A synthetic model of SAELens, saved by it, and its scores of random latents on that.

Run once in an environment with sae-lens, from the root of the repository:

    python tests/oracle/features.py

It writes tests/data/features/saelens-<version>/: the files of the model, sample.safetensors with
activations, the weights of the features, and a decoder with codes, and scores.json.
"""

import json
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file

N, D, LATENTS, ROWS = 20, 8, 12, 200


def main():
    from sae_lens.synthetic import SyntheticModel, SyntheticModelConfig
    from sae_lens.synthetic.evals import (
        compute_classification_metrics,
        feature_uniqueness,
        mean_correlation_coefficient,
    )
    from sae_lens.synthetic.firing_probabilities import ZipfianFiringProbabilityConfig

    torch.manual_seed(0)
    folder = Path(__file__).parent.parent / "data" / "features" / f"saelens-{version('sae-lens')}"
    config = SyntheticModelConfig(
        num_features=N,
        hidden_dim=D,
        firing_probability=ZipfianFiringProbabilityConfig(max_prob=0.4, min_prob=0.05),
        seed=0,
    )
    model = SyntheticModel(config)
    model.save(folder)
    x, weights = model.sample_with_features(ROWS)
    features = model.feature_dict.feature_vectors
    # Latents near the first features, two of them near one, and one that never fires.
    decoder = features[:LATENTS] + 0.5 * torch.randn(LATENTS, D)
    decoder[3] = 2 * decoder[2]
    codes = torch.relu((x - model.feature_dict.bias) @ decoder.T - 0.5)
    codes[:, 7] = 0
    found = compute_classification_metrics(codes, weights, decoder, features)
    scores = {
        "mcc": mean_correlation_coefficient(decoder, features),
        "uniqueness": feature_uniqueness(decoder, features),
        "precision": found.precision,
        "recall": found.recall,
        "f1": found.f1_score,
        "accuracy": found.accuracy,
    }
    sample = {"x": x, "weights": weights, "decoder": decoder, "codes": codes}
    save_file({k: v.contiguous() for k, v in sample.items()}, folder / "sample.safetensors")
    about = {"library": "sae-lens", "version": version("sae-lens"), "torch": version("torch")}
    text = json.dumps({"about": about, "scores": scores}, indent=1)
    (folder / "scores.json").write_text(f"{text}\n")


if __name__ == "__main__":
    with torch.no_grad():
        main()
