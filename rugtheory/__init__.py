"""Theory of toy models of superposition: losses, optima, bounds and the weights that reach them.

Everything public is here: ``import rugtheory as rt``.
"""

from importlib.metadata import version

from .antipodal import antipodal_loss, antipodal_optimum, antipodal_rug, antipodal_sigma
from .bounds import cubic_sum, least_skewness, linear_loss, welch_sigma
from .channel import RowChannel
from .curves import loss_curves, save_curves, simulated_curves
from .exact import ExactLoss, exact_loss
from .loss import LossGradient, LossParts, loss_gradient, loss_parts, reduced_loss
from .optimum import Optimum, optimum
from .rug import Rug, SimulatedLoss, fwht, hadamard_rug, simulate
from .source import (
    Amplitude,
    Beta,
    Constant,
    Exponential,
    FromQuadrature,
    HalfNormal,
    SparseSource,
    Uniform,
)
from .structures import BestKnown, best_known, critical_ratio, mixture_loss, represented_fraction
from .symmetry import Symmetry, symmetry
from .verdict import Verdict, explain
from .weights import Weights, read_weights

__version__ = version("rugtheory")

__all__ = [
    "Amplitude",
    "BestKnown",
    "Beta",
    "Constant",
    "ExactLoss",
    "Exponential",
    "FromQuadrature",
    "HalfNormal",
    "LossGradient",
    "LossParts",
    "Optimum",
    "RowChannel",
    "Rug",
    "SimulatedLoss",
    "SparseSource",
    "Symmetry",
    "Uniform",
    "Verdict",
    "Weights",
    "antipodal_loss",
    "antipodal_optimum",
    "antipodal_rug",
    "antipodal_sigma",
    "best_known",
    "critical_ratio",
    "cubic_sum",
    "exact_loss",
    "explain",
    "fwht",
    "hadamard_rug",
    "least_skewness",
    "linear_loss",
    "loss_curves",
    "loss_gradient",
    "loss_parts",
    "mixture_loss",
    "optimum",
    "read_weights",
    "reduced_loss",
    "represented_fraction",
    "save_curves",
    "simulate",
    "simulated_curves",
    "symmetry",
    "welch_sigma",
]
