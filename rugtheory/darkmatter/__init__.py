"""What sparse decoders leave unexplained: the dark matter of arXiv:2410.14670.

Everything public is here: ``rugtheory.darkmatter``.
"""

from .pursuit import gradient_pursuit, orthogonal_matching_pursuit

__all__ = ["gradient_pursuit", "orthogonal_matching_pursuit"]
