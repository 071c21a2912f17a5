"""Theory of toy models of superposition: losses, optima, bounds and the weights that reach them.

Everything public is here: ``import rugtheory as rt``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .analysis.allocated_model import allocated_model
from .analysis.best_model import BestModel, best_model
from .analysis.exact import ExactLoss, exact_loss
from .analysis.gradient import ExactGradient, exact_gradient
from .analysis.hessian import HessianProduct, exact_hessian_product
from .analysis.minimize import Minimum, minimize
from .analysis.row_law import SharedLaw, row_law
from .analysis.spectrum import FrameSpectrum, frame_spectrum
from .analysis.statistics import Statistics, statistics
from .analysis.torch_loss import exact_loss_torch
from .analysis.verdict import Verdict, explain
from .channel.base import Channel
from .channel.gaussian import GaussianChannel
from .channel.pair import AntipodalChannel
from .channel.row import RowChannel
from .decoder.bayes import Bayes
from .decoder.gated import Gated
from .decoder.jumprelu import JumpReLU
from .decoder.linear import Linear
from .decoder.loss import decoder_loss
from .decoder.optimum import DecoderOptimum, optimum_decoder
from .decoder.relu import ReLU
from .decoder.table import decoder_table
from .model.model import Model
from .model.reading import read_weights
from .numerics.hadamard import fwht
from .source.amplitude import Amplitude
from .source.beta import Beta
from .source.discrete import Constant, FromQuadrature
from .source.exponential import Exponential
from .source.features import Features, Scenario
from .source.files import read_features
from .source.fit import FittedFeatures, fit_features
from .source.groups import Exclusive, Groups, Parent, Together
from .source.half_normal import HalfNormal
from .source.identical import Identical
from .source.independent import Independent, geometric, zipf
from .source.latent import Latent
from .source.pattern import Every, On, OneOf
from .source.patterned import Patterned
from .source.sparse import SparseSource
from .source.truncated_normal import TruncatedNormal
from .source.uniform import Uniform
from .structure.allocation import allocate
from .structure.allocation_phases import AllocationPhases, allocation_phases
from .structure.allocation_scaling import (
    AllocationScaling,
    allocation_scaling,
    sparse_allocation_law,
)
from .structure.antipodal import antipodal_rug
from .structure.best import BestKnown, best_known
from .structure.curves import finite_curves, loss_curves, save_curves, simulated_curves
from .structure.finite import FiniteRug, finite_rug
from .structure.frame import frame
from .structure.graph_optimum import graph_optimum
from .structure.graphs import GRAPHS, GraphCode, GraphOptimum, graph_code
from .structure.mixture import critical_ratio, mixture_loss, represented_fraction
from .structure.optimised_rug import OptimisedRug, optimised_rug
from .structure.precedence import PrecedenceCode, precedence_code, precedence_loss
from .structure.rug import Rug, hadamard_rug
from .structure.rug_curvature import RugCurvature, rug_curvature
from .structure.simulation import SimulatedLoss, simulate
from .theory.allocation import Allocation
from .theory.bounds import cubic_sum, least_skewness, linear_loss, welch_sigma
from .theory.capacity import capacity_bound
from .theory.loss import LossGradient, LossParts, loss_gradient, loss_parts, reduced_loss
from .theory.lower import Bound, lower_bounds
from .theory.optimum import Optimum, optimum
from .theory.pairs import AntipodalOptimum, antipodal_loss, antipodal_optimum, antipodal_sigma
from .theory.scaling import (
    Exponents,
    Regime,
    local_exponents,
    lower_bound,
    regime,
    upper_bound,
)
from .theory.sparse_law import (
    SparseConstants,
    sparse_constant_expansion,
    sparse_constants,
    sparse_law,
)
from .theory.uneven import UnevenPairs, uneven_pairs

if TYPE_CHECKING:
    from . import darkmatter

__version__ = "0.2.0"

__all__ = [
    "GRAPHS",
    "Allocation",
    "AllocationPhases",
    "AllocationScaling",
    "Amplitude",
    "AntipodalChannel",
    "AntipodalOptimum",
    "Bayes",
    "BestKnown",
    "BestModel",
    "Beta",
    "Bound",
    "Channel",
    "Constant",
    "DecoderOptimum",
    "Every",
    "ExactGradient",
    "ExactLoss",
    "Exclusive",
    "Exponential",
    "Exponents",
    "Features",
    "FiniteRug",
    "FittedFeatures",
    "FrameSpectrum",
    "FromQuadrature",
    "Gated",
    "GaussianChannel",
    "GraphCode",
    "GraphOptimum",
    "Groups",
    "HalfNormal",
    "HessianProduct",
    "Identical",
    "Independent",
    "JumpReLU",
    "Latent",
    "Linear",
    "LossGradient",
    "LossParts",
    "Minimum",
    "Model",
    "On",
    "OneOf",
    "OptimisedRug",
    "Optimum",
    "Parent",
    "Patterned",
    "PrecedenceCode",
    "ReLU",
    "Regime",
    "RowChannel",
    "Rug",
    "RugCurvature",
    "Scenario",
    "SharedLaw",
    "SimulatedLoss",
    "SparseConstants",
    "SparseSource",
    "Statistics",
    "Together",
    "TruncatedNormal",
    "UnevenPairs",
    "Uniform",
    "Verdict",
    "allocate",
    "allocated_model",
    "allocation_phases",
    "allocation_scaling",
    "antipodal_loss",
    "antipodal_optimum",
    "antipodal_rug",
    "antipodal_sigma",
    "best_known",
    "best_model",
    "capacity_bound",
    "critical_ratio",
    "cubic_sum",
    "darkmatter",
    "decoder_loss",
    "decoder_table",
    "exact_gradient",
    "exact_hessian_product",
    "exact_loss",
    "exact_loss_torch",
    "explain",
    "finite_curves",
    "finite_rug",
    "fit_features",
    "frame",
    "frame_spectrum",
    "fwht",
    "geometric",
    "graph_code",
    "graph_optimum",
    "hadamard_rug",
    "least_skewness",
    "linear_loss",
    "local_exponents",
    "loss_curves",
    "loss_gradient",
    "loss_parts",
    "lower_bound",
    "lower_bounds",
    "minimize",
    "mixture_loss",
    "optimised_rug",
    "optimum",
    "optimum_decoder",
    "precedence_code",
    "precedence_loss",
    "read_features",
    "read_weights",
    "reduced_loss",
    "regime",
    "represented_fraction",
    "row_law",
    "rug_curvature",
    "save_curves",
    "simulate",
    "simulated_curves",
    "sparse_allocation_law",
    "sparse_constant_expansion",
    "sparse_constants",
    "sparse_law",
    "statistics",
    "uneven_pairs",
    "upper_bound",
    "welch_sigma",
    "zipf",
]


def __getattr__(name: str) -> Any:
    # Imported at its first use: it takes longer than all else here.
    if name == "darkmatter":
        return import_module(".darkmatter", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
