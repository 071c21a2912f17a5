"""What sparse decoders leave unexplained: the dark matter of arXiv:2410.14670.

Everything public is here: ``rugtheory.darkmatter``.
"""

from .decomposition import Decomposition, ErrorNorms, Scores, decompose
from .regression import Regression, regress

__all__ = [
    "Decomposition",
    "ErrorNorms",
    "Regression",
    "Scores",
    "decompose",
    "regress",
]
