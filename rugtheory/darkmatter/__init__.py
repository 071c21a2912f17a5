"""What sparse decoders leave unexplained: the dark matter of arXiv:2410.14670.

Everything public is here: ``rugtheory.darkmatter``.
"""

from .adjacent import Adjacent, adjacent
from .alignment import Alignment, alignment
from .bench import Bench, BenchTable, run_bench, synthetic
from .decomposition import Decomposition, ErrorNorms, Scores, decompose
from .floor import FloorFit, fit_floor
from .leakage import MaskedError, leaked_variance, masked_error
from .loss_recovered import LossRecovered, loss_recovered
from .norm_test import NormScores, NormTest, norm_test
from .norm_theory import NormProbe, WeightLaw, features_from_gram, gaussian_null, norm_probe
from .per_token import PerToken, per_token
from .pursuit import gradient_pursuit, orthogonal_matching_pursuit
from .recovery import Detection, FeatureMatch, detect_features, match_features
from .regression import Regression, regress
from .report import (
    Reconstruction,
    read_activations,
    save_figures,
    save_tables,
    tables,
    write_report,
)
from .rug import RugDarkMatter, rug_dark_matter
from .rug_samples import SimulatedDarkMatter, simulate_dark_matter
from .sae import SAE, read_sae, write_sae
from .sae.bench import SaeBench, sae_bench

__all__ = [
    "SAE",
    "Adjacent",
    "Alignment",
    "Bench",
    "BenchTable",
    "Decomposition",
    "Detection",
    "ErrorNorms",
    "FeatureMatch",
    "FloorFit",
    "LossRecovered",
    "MaskedError",
    "NormProbe",
    "NormScores",
    "NormTest",
    "PerToken",
    "Reconstruction",
    "Regression",
    "RugDarkMatter",
    "SaeBench",
    "Scores",
    "SimulatedDarkMatter",
    "WeightLaw",
    "adjacent",
    "alignment",
    "decompose",
    "detect_features",
    "features_from_gram",
    "fit_floor",
    "gaussian_null",
    "gradient_pursuit",
    "leaked_variance",
    "loss_recovered",
    "masked_error",
    "match_features",
    "norm_probe",
    "norm_test",
    "orthogonal_matching_pursuit",
    "per_token",
    "read_activations",
    "read_sae",
    "regress",
    "rug_dark_matter",
    "run_bench",
    "sae_bench",
    "save_figures",
    "save_tables",
    "simulate_dark_matter",
    "synthetic",
    "tables",
    "write_report",
    "write_sae",
]
