"""Sparse autoencoders, and the files in which they are published, a file each format."""

from .read import read_sae
from .sae import SAE
from .write import write_sae

__all__ = ["SAE", "read_sae", "write_sae"]
