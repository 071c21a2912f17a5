"""What commands share: options, and limits of their numbers."""

from __future__ import annotations

import argparse
import math

import torch

# Of a model, unless its options say otherwise.
N_SPARSE, P, _RATIO = 512, 0.045, 0.25
# PyTorch takes seeds of 64 bits.
_MOST_SEED = 2**63 - 1
# More losses of steps, and values of features, than a machine holds.
_MOST_STEPS, _MOST_FEATURES = 10**9, 10**7


def add_point(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ratio", type=float, default=_RATIO, help=f"hidden units a feature ({_RATIO})"
    )
    parser.add_argument(
        "--p", type=float, default=P, help=f"probability that a feature is on ({P})"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and samples (0)")


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda, …; the GPU if there is one by default"
    )


def add_machine(parser: argparse.ArgumentParser) -> None:
    add_device(parser)
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch on a CPU (1)")


def hidden_units(n_sparse: int, ratio: float) -> int:
    """As many as the ratio gives, one at least."""
    if not (n_dense := int(n_sparse * ratio)):
        raise ValueError(
            f"--ratio must give {n_sparse} features at least one hidden unit, got {ratio}"
        )
    return n_dense


def check(options: argparse.Namespace) -> None:
    """Numbers that training would stumble over, and devices that are not there."""
    limits = {
        "seed": (0, _MOST_SEED),
        "steps": (1, _MOST_STEPS),
        "rounds": (1, 30),
        "threads": (1, 4096),
        "workers": (1, 4096),
        "group": (1, 4096),
        "training": (1, _MOST_STEPS),
        "held_out": (1, _MOST_STEPS),
        "n_sparse": (1, _MOST_FEATURES),
    }
    for name, (low, high) in limits.items():
        value = getattr(options, name, None)
        for one in value if isinstance(value, list) else [value]:
            if one is not None and not low <= one <= high:
                option = name.replace("_", "-")
                raise ValueError(f"--{option} must be in [{low}, {high}], got {one}")
    minutes = getattr(options, "minutes", math.inf)
    if not minutes > 0:
        raise ValueError(f"--minutes must be positive, got {minutes}")
    for name in ("p", "ratio"):
        value = getattr(options, name, None)
        if value is not None and not 0 < value <= 1:
            raise ValueError(f"--{name} must lie in (0, 1], got {value}")
    if hasattr(options, "steps") and hasattr(options, "rounds"):
        total = options.steps * (2**options.rounds - 1)
        if total > _MOST_STEPS:
            raise ValueError(
                f"--steps and --rounds must make at most {_MOST_STEPS} steps, got {total}"
            )
    out = getattr(options, "out", None)
    if options.suffix and out is not None and out.suffix != options.suffix:
        raise ValueError(f"--out must end in {options.suffix}, got {out}")
    if hasattr(options, "device"):
        options.device = _device(options.device)


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
        if kind not in ("cpu", "meta"):
            torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ValueError(
            f"--device must be auto, cpu or a device of torch {torch.__version__} here, "
            f"got {name!r}, which it does not find"
        ) from None
    if kind == "meta":
        raise ValueError("--device must be a device that computes, got 'meta'")
    return name
