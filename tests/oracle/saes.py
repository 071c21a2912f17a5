"""Small random autoencoders written and computed by the libraries that define their formats.

Run once in an environment with the library, from the root of the repository:

    python tests/oracle/saes.py saelens     # sae-lens, either before or from version 6
    python tests/oracle/saes.py sparsify    # eai-sparsify
    python tests/oracle/saes.py dictionary_learning

Each case becomes a folder of tests/data/saes/<library>-<version>/: the files of the library, and
figures.safetensors with inputs x, codes and reconstructions x_hat, computed by it in float32.
"""

import json
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file

D_IN, D_SAE, K, ROWS = 8, 24, 6, 16
# Of transcoders.
WIDER = {"d_out": D_IN + 2, "apply_b_dec_to_input": False}
DATA = Path(__file__).parent.parent / "data" / "saes"


def randomize(module, generator):
    """Parameters of moderate size; thresholds positive; decoder rows of different norms."""
    for name, parameter in module.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        scale = {"W_dec": 0.6, "decoder.weight": 0.6, "r_mag": 0.3, "threshold": 0.5}.get(name, 0.4)
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
        "transcoder": ("transcoder", WIDER),
        "skip_transcoder": ("skip_transcoder", WIDER),
        "jumprelu_transcoder": ("jumprelu_transcoder", WIDER),
        "jumprelu_skip_transcoder": ("jumprelu_skip_transcoder", WIDER),
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
        # A skip connection is not in decode.
        keep(folder, x, codes, sae(x) if "skip" in name else sae.decode(codes))
    if major >= 6:
        for name in ("batchtopk", "matryoshka_batchtopk"):
            saelens_while_training(target / name, name, generator)


def saelens_while_training(folder, architecture, generator):
    """A checkpoint and its scaling factor; figures by the SAE saved for inference, on scaled x."""
    from sae_lens import SAE
    from sae_lens.registry import get_sae_training_class
    from sae_lens.training.activation_scaler import ActivationScaler

    cls, config = get_sae_training_class(architecture)
    settings = {"matryoshka_widths": [8, D_SAE]} if "matryoshka" in architecture else {}
    sae = cls(config(d_in=D_IN, d_sae=D_SAE, k=K, normalize_activations="none", **settings))
    randomize(sae, generator)
    sae.topk_threshold.fill_(0.7)
    sae.cfg.normalize_activations = "expected_average_only_in"
    sae.save_model(folder)
    ActivationScaler(scaling_factor=0.8).save(str(folder / "activation_scaler.json"))
    sae.cfg.normalize_activations = "none"
    with tempfile.TemporaryDirectory() as saved:
        sae.save_inference_model(saved)
        inference = SAE.load_from_disk(saved, dtype="float32")
    x = torch.randn(ROWS, D_IN, generator=generator) + 0.3
    codes = inference.encode(0.8 * x)
    keep(folder, x, codes, inference.decode(codes) / 0.8)


def sparsify(target, generator):
    from sparsify import SparseCoder, SparseCoderConfig

    cases = {
        "topk": {},
        "groupmax": {"activation": "groupmax"},
        "transcode": {"transcode": True, "num_latents": D_SAE},
        "skip": {"transcode": True, "skip_connection": True},
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
        x_hat = coder.decode(top.top_acts, top.top_indices)
        keep(folder, x, codes, x_hat if coder.W_skip is None else coder(x).sae_out)


def dictionary_learning(target, generator):
    from dictionary_learning import dictionary
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK

    plain = dictionary.AutoEncoder, dictionary.AutoEncoderNew, dictionary.GatedAutoEncoder
    makers = [(cls, ()) for cls in (*plain, dictionary.JumpReluAutoEncoder)]
    makers += [(cls, (K,)) for cls in (AutoEncoderTopK, BatchTopKSAE)]
    for cls, more in (*makers, (MatryoshkaBatchTopKSAE, (K, [8, D_SAE - 8]))):
        name = cls.__name__
        folder = target / name
        folder.mkdir()
        coder = cls(D_IN, D_SAE, *more)
        randomize(coder, generator)
        if name in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
            coder.threshold.fill_(0.7)
        torch.save(coder.state_dict(), folder / "ae.pt")
        trainer = {"dict_class": name, "activation_dim": D_IN, "dict_size": D_SAE}
        trainer |= {"k": K} if more else {}
        (folder / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {}}))
        if name == "AutoEncoder":  # what from_pretrained does
            coder.normalize_decoder()
        x = torch.randn(ROWS, D_IN, generator=generator) + 0.3
        codes = coder.encode(x)
        keep(folder, x, codes, coder.decode(codes))


def main():
    make, package = {
        "saelens": (saelens, "sae-lens"),
        "sparsify": (sparsify, "eai-sparsify"),
        "dictionary_learning": (dictionary_learning, "dictionary-learning"),
    }[sys.argv[1]]
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
