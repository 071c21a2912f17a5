"""What sparse decoders leave unexplained: the dark matter of arXiv:2410.14670.

Everything public is here: ``rugtheory.darkmatter``.
"""

from .leakage import MaskedError, leaked_variance, masked_error
from .norm_theory import NormProbe, WeightLaw, features_from_gram, gaussian_null, norm_probe
from .rug import (
    RugDarkMatter,
    SimulatedDarkMatter,
    rug_dark_matter,
    simulate_dark_matter,
)

__all__ = [
    "MaskedError",
    "NormProbe",
    "RugDarkMatter",
    "SimulatedDarkMatter",
    "WeightLaw",
    "features_from_gram",
    "gaussian_null",
    "leaked_variance",
    "masked_error",
    "norm_probe",
    "rug_dark_matter",
    "simulate_dark_matter",
]
