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
from .regression import Regression, regress

__all__ = [
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
    "norm_test",
    "per_token",
    "regress",
    "run_bench",
    "synthetic",
]
