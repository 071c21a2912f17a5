"""What sparse decoders leave unexplained: the dark matter of arXiv:2410.14670.

Everything public is here: ``rugtheory.darkmatter``.
"""

from .adjacent import Adjacent, adjacent
from .alignment import Alignment, alignment
from .bench import Bench, BenchTable, run_bench, synthetic
from .decomposition import Decomposition, ErrorNorms, Scores, decompose
from .floor import FloorFit, fit_floor
from .norm_test import NormScores, NormTest, norm_test
from .per_token import PerToken, per_token
from .pursuit import gradient_pursuit, orthogonal_matching_pursuit
from .regression import Regression, regress
from .sae import SAE
from .sae_files import read_sae, write_sae

__all__ = [
    "SAE",
    "Adjacent",
    "Alignment",
    "Bench",
    "BenchTable",
    "Decomposition",
    "ErrorNorms",
    "FloorFit",
    "NormScores",
    "NormTest",
    "PerToken",
    "Regression",
    "Scores",
    "adjacent",
    "alignment",
    "decompose",
    "fit_floor",
    "gradient_pursuit",
    "norm_test",
    "orthogonal_matching_pursuit",
    "per_token",
    "read_sae",
    "regress",
    "run_bench",
    "synthetic",
    "write_sae",
]
