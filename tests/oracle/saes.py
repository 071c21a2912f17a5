"""Small random autoencoders written and computed by the libraries that define their formats.

Run once in an environment with the library, from the root of the repository:

    python tests/oracle/saes.py saelens     # sae-lens, either before or from version 6
    python tests/oracle/saes.py sparsify    # eai-sparsify

Each case becomes a folder of tests/data/saes/<library>-<version>/: the files of the library, and
figures.safetensors with inputs x, codes and reconstructions x_hat, computed by it in float32.
"""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file

D_IN, D_SAE, K, ROWS = 8, 24, 6, 16
DATA = Path(__file__).parent.parent / "data" / "saes"


def randomize(module, generator):
    """Parameters of moderate size; thresholds positive; decoder rows of different norms."""
    for name, parameter in module.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        scale = {"W_dec": 0.6, "r_mag": 0.3, "threshold": 0.5}.get(name, 0.4)
        values = scale * (values.abs() if name == "threshold" else values)
        if name == "finetuning_scaling_factor":
            values = 1 + values
        parameter.data = values.to(parameter.dtype)


def keep(folder, x, codes, x_hat):
    tensors = {"x": x, "codes": codes, "x_hat": x_hat}
    tensors = {k: v.detach().float().contiguous() for k, v in tensors.items()}
    save_file(tensors, folder / "figures.safetensors")


def saelens_6():
    from sae_lens import SAE
    from sae_lens.registry import get_sae_class
    from sae_lens.saes.sae import SAEMetadata

    cases = {
        "standard": ("standard", {}),
        "standard_constant_norm": ("standard", {"normalize_activations": "constant_norm_rescale"}),
        "standard_no_b_dec": ("standard", {"apply_b_dec_to_input": False}),
        "jumprelu": ("jumprelu", {}),
        "jumprelu_bfloat16": ("jumprelu", {"dtype": "bfloat16"}),
        "topk": ("topk", {"k": K}),
        "topk_float16": ("topk", {"k": K, "dtype": "float16"}),
        "topk_layer_norm": ("topk", {"k": K, "normalize_activations": "layer_norm"}),
        "topk_rescaled": ("topk", {"k": K, "rescale_acts_by_decoder_norm": True}),
        "abstopk": ("abstopk", {"k": K}),
        "gated": ("gated", {}),
    }
    for name, (architecture, settings) in cases.items():
        metadata = SAEMetadata(model_name="none", hook_name="blocks.0.hook_resid_post")
        cls, config = get_sae_class(architecture)
        config = config(d_in=D_IN, d_sae=D_SAE, metadata=metadata, **settings)
        # What 16 bits keep is computed with in 32.
        yield name, cls(config), lambda folder: SAE.load_from_disk(folder, dtype="float32")


def saelens_5():
    from sae_lens.sae import SAE, SAEConfig

    topk = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}
    cases = {
        "standard": {},
        "standard_scaling_factor": {"finetuning_scaling_factor": True},
        "standard_topk": topk,
        "topk": {"architecture": "topk", **topk},
        "topk_layer_norm": {"architecture": "topk", "normalize_activations": "layer_norm", **topk},
        "jumprelu": {"architecture": "jumprelu", "apply_b_dec_to_input": False},
        "gated": {"architecture": "gated"},
    }
    common = {
        "architecture": "standard",
        "d_in": D_IN,
        "d_sae": D_SAE,
        "activation_fn_str": "relu",
        "apply_b_dec_to_input": True,
        "finetuning_scaling_factor": False,
        "context_size": 128,
        "model_name": "none",
        "hook_name": "blocks.0.hook_resid_post",
        "hook_layer": 0,
        "hook_head_index": None,
        "prepend_bos": True,
        "dataset_path": "none",
        "dataset_trust_remote_code": False,
        "normalize_activations": "none",
        "dtype": "float32",
        "device": "cpu",
        "sae_lens_training_version": version("sae-lens"),
    }
    for name, settings in cases.items():
        config = SAEConfig(**{**common, **settings})
        # SAELens 5 does not read the scaling factors that it writes, so nothing is read again.
        yield name, SAE(config), None


def saelens(target, generator):
    major = int(version("sae-lens").split(".")[0])
    for name, sae, load in (saelens_6 if major >= 6 else saelens_5)():
        folder = target / name
        randomize(sae, generator)
        sae.save_model(folder)
        sae = load(folder) if load else sae
        x = torch.randn(ROWS, D_IN, generator=generator) + 0.3
        codes = sae.encode(x)
        keep(folder, x, codes, sae.decode(codes))


def sparsify(target, generator):
    from sparsify import SparseCoder, SparseCoderConfig

    cases = {
        "topk": {},
        "groupmax": {"activation": "groupmax"},
        "transcode": {"transcode": True, "num_latents": D_SAE},
    }
    for name, settings in cases.items():
        folder = target / name
        config = SparseCoderConfig(expansion_factor=D_SAE // D_IN, k=K, **settings)
        coder = SparseCoder(D_IN, config)
        randomize(coder, generator)
        coder.save_to_disk(folder)
        x = torch.randn(ROWS, D_IN, generator=generator) + 0.3
        top = coder.encode(x)
        codes = torch.zeros(ROWS, D_SAE).scatter(1, top.top_indices, top.top_acts)
        keep(folder, x, codes, coder.decode(top.top_acts, top.top_indices))


def main():
    make, package = {"saelens": (saelens, "sae-lens"), "sparsify": (sparsify, "eai-sparsify")}[
        sys.argv[1]
    ]
    target = DATA / f"{sys.argv[1]}-{version(package)}"
    target.mkdir(parents=True)
    make(target, torch.Generator().manual_seed(0))
    provenance = {
        "library": package,
        "version": version(package),
        "torch": version("torch"),
        "python": platform.python_version(),
        "command": f"python tests/oracle/saes.py {sys.argv[1]}",
    }
    (target / "provenance.json").write_text(json.dumps(provenance, indent=1) + "\n")


if __name__ == "__main__":
    with torch.no_grad():
        main()
