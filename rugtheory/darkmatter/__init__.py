"""What sparse decoders leave unexplained: the dark matter of arXiv:2410.14670.

Everything public is here: ``rugtheory.darkmatter``.
"""

from .pursuit import gradient_pursuit, orthogonal_matching_pursuit
from .sae import SAE
from .sae_files import read_sae, write_sae

__all__ = [
    "SAE",
    "gradient_pursuit",
    "orthogonal_matching_pursuit",
    "read_sae",
    "write_sae",
]
