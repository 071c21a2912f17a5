"""``python -m validation``: train toy models to hold against the theory."""

from __future__ import annotations

import argparse
import datetime
import json
import platform
from pathlib import Path

import torch
from tqdm import tqdm

import rugtheory as rt
from rugtheory._files import replacing

from .training import Spec, Trained, train


def save(trained: Trained, path: Path, device: str) -> None:
    """Weights as safetensors, with everything that is needed to train them again."""
    import safetensors.numpy

    about = {
        "command": "python -m validation train",
        "date": str(datetime.date.today()),
        "device": device,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "rugtheory": rt.__version__,
        "batch_loss": repr(float(trained.losses[-200:].mean())),
        **{key: str(value) for key, value in vars(trained.spec).items()},
    }
    tensors = {"W_in": trained.w_in, "W_out": trained.w_out, "b": trained.b}
    with replacing(path) as partial:
        safetensors.numpy.save_file({k: v.copy() for k, v in tensors.items()}, partial, about)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m validation")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train", help="train one model and print its exact loss")
    one.add_argument("--n-sparse", type=int, default=512)
    one.add_argument("--ratio", type=float, default=0.25)
    one.add_argument("--p", type=float, default=0.045)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--steps", type=int, default=10_000)
    one.add_argument("--protocol", choices=["converged", "paper"], default="converged")
    one.add_argument("--tied", action="store_true")
    one.add_argument("--device", default="auto")
    one.add_argument("--threads", type=int, default=1)
    one.add_argument("--half", action="store_true", help="store float16")
    one.add_argument("--out", type=Path, help="safetensors file")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    n_dense = max(1, int(options.n_sparse * options.ratio))
    spec = Spec(
        options.n_sparse,
        n_dense,
        options.p,
        seed=options.seed,
        steps=options.steps,
        protocol=options.protocol,
        tied=options.tied,
    )
    with tqdm(total=spec.steps, desc="training", unit="step") as bar:
        (trained,) = train([spec], device=device, progress=lambda step, losses: bar.update())
    if options.half:
        halved = (x.astype("float16") for x in (trained.w_in, trained.w_out, trained.b))
        trained = Trained(spec, *halved, trained.losses)
    exact = rt.exact_loss(
        trained.w_in,
        trained.w_out,
        trained.b,
        spec.p,
        progress=lambda x: tqdm(x, desc="exact loss"),
    )
    best = rt.best_known(spec.p, spec.n_dense / spec.n_sparse)
    rug = rt.optimum(spec.p, spec.n_dense / spec.n_sparse)
    print(
        json.dumps(
            {
                "loss": exact.mean,
                "numerical_error": exact.mean_error,
                "rug": float(rug.loss),
                "best_known": float(best.loss),
                "family": str(best.family),
                "steps": int(trained.losses.size),
            },
            indent=1,
        )
    )
    if options.out is not None:
        save(trained, options.out, device)


if __name__ == "__main__":
    main()
