"""What sparse decoders leave unexplained: the dark matter of arXiv:2410.14670.

Everything public is here: ``rugtheory.darkmatter``.
"""

from .adjacent import Adjacent, adjacent
from .decomposition import Decomposition, ErrorNorms, Scores, decompose
from .norm_test import NormScores, NormTest, norm_test
from .per_token import PerToken, per_token
from .regression import Regression, regress

__all__ = [
    "Adjacent",
    "Decomposition",
    "ErrorNorms",
    "NormScores",
    "NormTest",
    "PerToken",
    "Regression",
    "Scores",
    "adjacent",
    "decompose",
    "norm_test",
    "per_token",
    "regress",
]
